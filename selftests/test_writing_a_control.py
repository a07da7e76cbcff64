"""The walk of docs/writing-a-control.md, taken as it is written: a control in one file outside of the project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import running

import lab

TEXT = (running.ROOT / "docs" / "writing-a-control.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """A folder with the page's files, and the options that reach a booted host."""
    lab.required()
    folder = tmp_path_factory.mktemp("walk")
    for name, block in zip(("test_site.py", "test_uptime.py"), BLOCKS, strict=True):
        (folder / name).write_text(block)
    with lab.boot("bookworm") as host:
        (folder / "known_hosts").write_text(host.known_hosts_line() + "\n")
        yield (
            folder,
            [
                f"--hosts={host.spec()}",
                f"--known-hosts={folder / 'known_hosts'}",
                f"--ssh-identity-file={lab.key_path()}",
            ],
        )


def test_one_function_in_one_file_appears_everywhere(walk: tuple[Path, list[str]]) -> None:
    folder, reach = walk
    done = running.run(
        "test_site.py",
        *reach,
        *("-k", "site.ssh-port-is-ours", "-v"),
        *("--html=audit.html", "--self-contained-html", "--junitxml=audit.xml", "--record=record"),
        cwd=folder,
    )
    rows = running.terminal(done.out)
    assert {(row.control, row.verdict) for row in rows} == {("site.ssh-port-is-ours", "not compliant")}
    assert done.status == 1
    assert running.junit(folder / "audit.xml") == rows
    assert running.record(folder / "record") == rows
    assert running.dom(folder / "audit.html", folder / "profile") == rows
    replayed = running.run("test_site.py", f"--hosts=replay://{folder / 'record'}", "-v", cwd=folder)
    assert running.terminal(replayed.out) == rows
    assert "site.ssh-port-is-ours" in running.run("test_site.py", "--list-controls", cwd=folder).out
    assert "Our firewalls" in running.run("test_site.py", "--explain=site.ssh-port-is-ours", cwd=folder).out


def test_a_fact_of_ones_own(walk: tuple[Path, list[str]]) -> None:
    folder, reach = walk
    done = running.run("test_uptime.py", *reach, "-v", cwd=folder)
    rows = running.terminal(done.out)
    assert {(row.control, row.verdict) for row in rows} == {("site.rebooted", "compliant")}, done.out
    assert done.status == 0


def test_testinfras_host_is_the_audits_own_connection(walk: tuple[Path, list[str]]) -> None:
    folder, reach = walk
    (folder / "test_own.py").write_text(
        "def test_file(host):\n    assert host.file('/etc/hostname').exists\n"
        "def test_root(host):\n    with host.sudo():\n        assert host.file('/etc/shadow').contains('root')\n"
        "def test_wrong(host):\n    assert host.file('/etc/hostname').contains('nothing like it')\n"
    )
    done = running.run("test_own.py", *reach, "--html=own.html", "--self-contained-html", cwd=folder)
    assert "2 passed" in done.out, done.out
    assert "1 failed" in done.out
    assert "$ sudo -n" in (folder / "own.html").read_text("utf-8")


def test_a_refused_sudo_is_no_answer(walk: tuple[Path, list[str]]) -> None:
    """testinfra alone would call the file absent, and pass."""
    folder, reach = walk
    (folder / "test_refused.py").write_text(
        "def test_absent(host):\n    with host.sudo():\n        assert not host.file('/etc/shadow').exists\n"
    )
    reach = [option.replace("audit@", "nosudo@") for option in reach]
    done = running.run("test_refused.py", *reach, cwd=folder)
    assert "not assessed: sudo refused" in done.out, done.out
    assert "1 error" in done.out


def test_what_the_page_names_exists() -> None:
    from pandora_audit.fact import known_facts

    facts = re.search(r"are facts \((.*?)\)", TEXT, re.S)
    assert facts is not None
    assert set(re.findall(r"`(\w+)`", facts[1])) <= set(known_facts())
