"""Twenty hosts at once, three of them difficult: the same findings as one after the other, as fast as the slowest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import running

import lab

# One chapter: it is about the hosts, not about what they are asked.
CHAPTER = "tests_ssh"
FIRST = "sed -i '1i %s' /home/audit/.bashrc"
# What a login shell does before it runs the audit's script.
MANNERS = {"slow": [FIRST % "sleep 5"], "flooding": [FIRST % "yes flood"], "silent": [FIRST % "sleep 600"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An inventory of twenty booted hosts, one of them silent for minutes, and one address where nobody answers."""
    lab.required()
    folder = tmp_path_factory.mktemp("site")
    names = [f"host{number:02}" for number in range(17)] + list(MANNERS)
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        booted = pool.map(lambda name: lab.boot("bookworm", MANNERS.get(name, ())), names)
        hosts = {name: stack.enter_context(host) for name, host in zip(names, booted, strict=True)}
        known = "".join(f"{host.known_hosts_line()}\n" for host in hosts.values())
        (folder / "known_hosts").write_text(known)
        addresses = {name: host.address for name, host in hosts.items()} | {"dead": "10.99.254.254"}
        lines = [f"    {name}: {{ansible_host: {address}}}" for name, address in addresses.items()]
        (folder / "site.yml").write_text(
            "all:\n"
            f"  vars: {{ansible_user: audit, ansible_ssh_private_key_file: {lab.key_path()}}}\n"
            "  hosts:\n" + "\n".join(lines) + "\n"
        )
        yield folder


def audit(site: Path, concurrency: int) -> tuple[str, dict[str, tuple[float, float]]]:
    """What was found on every host, as written in the records; and of each host, when its questions began and ended."""
    records = site / f"record{concurrency}"
    done = running.run(
        CHAPTER,
        f"--inventory={site / 'site.yml'}",
        f"--known-hosts={site / 'known_hosts'}",
        "--hosts=all:!silent",
        f"--concurrency={concurrency}",
        f"--record={records}",
        "--connect-timeout=4",
        "--level=hardened",
        "-q",
    )
    assert done.status == 11, done.out + done.err
    lines = [line for path in sorted(records.iterdir()) for line in path.read_text("utf-8").splitlines()]
    heads = [json.loads(line) for line in lines if line.startswith('{"schema"')]
    asked = {head["host"]: (head["asked_at"], head["asked_at"] + head["seconds"]) for head in heads}
    return "\n".join(line for line in lines if line.startswith('{"finding"')), asked


def test_side_by_side_finds_what_one_after_the_other_finds(site: Path) -> None:
    together = audit(site, 32)[0]
    alone = audit(site, 1)[0]
    assert together == alone
    assert together.count("\n") + 1 == 200
    for name, sentence in {"dead": "10.99.254.254", "flooding": "did not run the audit's script"}.items():
        told = [line for line in together.splitlines() if f'"host": "{name}"' in line]
        assert all('"verdict": "not assessed"' in line for line in told)
        assert sentence in told[0]
    assert '"host": "slow", "verdict": "compliant"' in together


def test_every_host_is_asked_while_the_slow_one_keeps_silent(site: Path) -> None:
    _, asked = audit(site, 32)
    assert len(asked) == 20
    began, ended = asked["slow"]
    assert ended - began > 5
    assert all(first < ended for first, _ in asked.values())


def test_a_dead_host_does_not_hold_back_the_others(site: Path) -> None:
    """The verdicts of a host that is ready are printed while another one is still silent."""
    done = running.run(
        CHAPTER,
        f"--inventory={site / 'site.yml'}",
        f"--known-hosts={site / 'known_hosts'}",
        "--hosts=host00:slow",
        "-v",
    )
    lines = [line for line in done.out.splitlines() if "::test_" in line]
    assert ["host00" in line for line in lines] == [True] * 6 + [False] * 6


def test_what_is_known_at_ctrl_c_is_kept_and_marked(site: Path) -> None:
    """The run is stopped while one host is judged and the other will not answer for long."""
    arguments = [
        CHAPTER,
        f"--inventory={site / 'site.yml'}",
        f"--known-hosts={site / 'known_hosts'}",
        "--hosts=host00:silent",
        "-v",
        f"--junitxml={site / 'partial.xml'}",
        f"--html={site / 'partial.html'}",
        f"--record={site / 'partial'}",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=running.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Whoever is started in the background by a shell ignores it, and so do all below.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    record = site / "partial" / "host00.jsonl"
    deadline = time.monotonic() + 100
    while not record.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 2
    assert "PARTIAL: the run was stopped; not judged to the end: silent" in out
    assert {row.host for row in running.terminal(out)} == {"host00"}
    assert running.junit(site / "partial.xml") == running.terminal(out)
    assert "not judged to the end: silent" in (site / "partial.html").read_text("utf-8")
