"""Runs the benchmarks on a host of the lab: ``python -m benchmarks.run``."""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import lab
from benchmarks.bare import Bare
from benchmarks.sixty import checks
from benchmarks.sixty.ours.facts import FACTS
from pandora_audit import script
from pandora_audit.gather import Plan, ask_machine
from pandora_audit.question import Ask
from pandora_audit.target import Target
from pandora_audit.transport import Network, Options

_SIXTY = Path(__file__).parent / "sixty"
# A session is logged only then; and without a login that stays, systemd starts a manager for each first login.
HOST = (
    "echo 'LogLevel VERBOSE' > /etc/ssh/sshd_config.d/benchmark.conf",
    "mkdir -p /var/lib/systemd/linger && touch /var/lib/systemd/linger/audit",
)
HEAD = f"{'':<36} {'A':>8} {'B':>8}     {'CPU A / B':<14} {'A / B':>6}"
# Neither form needs them: no cache in the repository, no plugin that only developers have.
_COMMON = ("-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")


@dataclass(frozen=True)
class Cost:
    """Seconds of one run."""

    wall: float
    cpu: float = 0.0


@dataclass(frozen=True)
class Form:
    """One of the two ways to judge the sixty, as a command."""

    name: str
    options: tuple[str, ...]
    environment: Mapping[str, str]

    def run(self, *more: str) -> Cost:
        """The whole process, from start to end. Raises RuntimeError unless it judged."""
        began = time.monotonic()
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *_COMMON, *self.options, *more],
                cwd=_SIXTY / self.name,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 1:  # some of the sixty fail
                said.seek(0)
                raise RuntimeError(f"{self.name} exited {process.returncode}:\n{said.read().decode()}")
        return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime)

    def verdicts(self) -> dict[str, str]:
        """What it says of each check: passed, failed, error or skipped."""
        with tempfile.NamedTemporaryFile(suffix=".xml") as report:
            self.run(f"--junitxml={report.name}")
            cases = ElementTree.parse(report.name).iter("testcase")
            found = {_check(case.attrib["name"]): case for case in cases}
        words = {"failure": "failed", "error": "error", "skipped": "skipped"}
        return {
            name: next((words[child.tag] for child in found[name] if child.tag in words), "passed")
            for name in checks.NAMES
        }


def _check(title: str) -> str:
    """The check that a test is about: ``test_file_tmp[HOST]`` or ``test_file[HOST-file-tmp]``."""
    return next(name for name in checks.NAMES if title.startswith(_function(name)) or title.endswith(f"-{name}]"))


def _function(name: str) -> str:
    return f"test_{name.replace('-', '_')}["


def forms(hosts: Sequence[lab.Host], folder: Path) -> tuple[Form, Form]:
    """Both forms for these hosts; what they need lies in the folder."""
    known_hosts = folder / "known_hosts"
    known_hosts.write_text("".join(host.known_hosts for host in hosts))
    key = f"--ssh-identity-file={hosts[0].key}"
    # Installed programs have their bytecode; ours is written by the first run, and not into the repository.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    stock_hosts = ",".join(f"paramiko://{host.spec()}" for host in hosts)
    own_hosts = ",".join(host.spec() for host in hosts)
    stock = Form("stock", ("-p", "no:pandora_audit.plugin", f"--hosts={stock_hosts}", key), environment)
    return stock, Form("ours", (f"--hosts={own_hosts}", key, f"--known-hosts={known_hosts}"), environment)


def agree(stock: Form, ours: Form) -> str:
    """How many passed. Raises RuntimeError where the two forms differ."""
    theirs, own = stock.verdicts(), ours.verdicts()
    differing = [
        f"{name}: stock {theirs[name]}, ours {own[name]}" for name in checks.NAMES if theirs[name] != own[name]
    ]
    if differing:
        raise RuntimeError("the forms disagree:\n" + "\n".join(differing))
    passed = list(own.values()).count("passed")
    return f"{len(own)} verdicts agree: {passed} passed, {len(own) - passed} failed"


def trips(host: lab.Host, form: Form) -> tuple[int, int]:
    """Connections and commands that the host's sshd saw during a run (P1)."""
    before = sshd_saw(host)
    form.run()
    after = sshd_saw(host)
    return after[0] - before[0], after[1] - before[1]


def sshd_saw(host: lab.Host) -> tuple[int, int]:
    journal = host.run("journalctl --sync; journalctl -o cat _COMM=sshd").stdout
    return journal.count("Accepted publickey for audit"), len(re.findall(r"Starting session: \w+ ", journal))


def in_turn(pairs: int, one: Callable[[], Cost], other: Callable[[], Cost]) -> list[tuple[Cost, Cost]]:
    """Pairs of runs, one after the other, after a first that does not count."""
    return [(one(), other()) for _ in range(pairs + 1)][1:]


def gathering(host: lab.Host, known_hosts: Path) -> tuple[Callable[[], Cost], Callable[[], Cost]]:
    """From connect to last fact, in this process: ours, and what paramiko needs for the same command (P4)."""
    target = Target(name="host", address=host.address, user="audit", port=22)
    plan = Plan(target, FACTS)
    options = Options(known_hosts=known_hosts, identity_file=host.key)
    asks = [question for question in plan.questions if isinstance(question, Ask)]
    command = script.compose(asks, marker="benchmark", promised=()).command
    bare = Bare(host.key, known_hosts)

    def ours() -> Cost:
        network = Network(options)
        began = time.monotonic()
        machine = ask_machine(plan, network, lambda: None)
        took = time.monotonic() - began
        network.close()
        silent = [answer.silence for answer in machine.answers.values() if answer.silence]
        if machine.silence or silent or machine.commands != 1:
            raise RuntimeError(f"ours: {machine.silence or silent or machine.commands}")
        return Cost(took)

    def least() -> Cost:
        began = time.monotonic()
        [output] = bare.ask("audit", host.address, (command, b""))
        took = time.monotonic() - began
        if any(f"\n.{ask.key} ".encode() not in output for ask in asks):
            raise RuntimeError(f"bare: not all was answered: {output[-500:]!r}")
        return Cost(took)

    return ours, least


def row(title: str, pairs: Sequence[tuple[Cost, Cost]], unit: str, target: str) -> str:
    """Medians of both, and the ratio of each pair: median and range."""
    scale = 1000 if unit == "ms" else 1
    walls = [statistics.median(pair[side].wall for pair in pairs) * scale for side in (0, 1)]
    cpus = [statistics.median(pair[side].cpu for pair in pairs) for side in (0, 1)]
    ratios = [one.wall / other.wall for one, other in pairs]
    digits = 0 if unit == "ms" else 2
    cpu = f"{cpus[0]:.2f} / {cpus[1]:.2f} s" if any(cpus) else ""
    return (
        f"{title:<36} {walls[0]:8.{digits}f} {walls[1]:8.{digits}f} {unit:<2}  {cpu:<14} "
        f"{statistics.median(ratios):6.2f}  ({min(ratios):.2f}-{max(ratios):.2f}, {len(ratios)} pairs)  {target}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="pairs of whole processes (default: 5)")
    parser.add_argument("--gathers", type=int, default=21, help="pairs of gatherings in one process (default: 21)")
    parser.add_argument("--image", default="bookworm", help="image of the lab (default: bookworm)")
    chosen = parser.parse_args(arguments)
    with lab.boot(chosen.image, HOST) as host, tempfile.TemporaryDirectory() as folder:
        stock, ours = forms([host], Path(folder))
        print(agree(stock, ours))
        for form in (stock, ours):
            connections, commands = trips(host, form)
            print(f"P1 {form.name}: {connections} connection(s), {commands} command(s)")
        print(HEAD)
        whole = in_turn(chosen.pairs, stock.run, ours.run)
        print(row("P2 whole process: stock / ours", whole, "s", "target >= 8, stretch 12"), flush=True)
        gathers = in_turn(chosen.gathers, *gathering(host, Path(folder) / "known_hosts"))
        print(row("P4 connect to last fact: ours / bare", gathers, "ms", "target <= 1.15, stretch 1.05"))


if __name__ == "__main__":
    main()
