"""Runs all chapters against full hosts of the lab, as installers leave them: ``python -m benchmarks.chapters``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import lab
from benchmarks.bare import Bare
from benchmarks.run import HEAD, HOST, Cost, in_turn, row, sshd_saw
from pandora_audit import script
from pandora_audit.fact import known_facts
from pandora_audit.gather import Machine, Plan, ask_machine, further
from pandora_audit.promises import Promises
from pandora_audit.question import Ask, Question
from pandora_audit.target import Target
from pandora_audit.transport import Network, Options

_ROOT = Path(__file__).parent.parent
_IMAGES = ("server", "console", "database", "rhel")
# What an idle host may take for one question without a reason.
_LONG = 2.0


def trips(host: lab.Host, known_hosts: Path) -> tuple[int, int]:
    """Connections and commands that the host's sshd saw during an audit by all chapters (P1)."""
    before = sshd_saw(host)
    options = ["--level=strict", f"--ssh-identity-file={host.key}", f"--known-hosts={known_hosts}", "-qq"]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--hosts={host.spec()}", *options],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    after = sshd_saw(host)
    return after[0] - before[0], after[1] - before[1]


def gathering(host: lab.Host, known_hosts: Path) -> tuple[Machine, Callable[[], Cost], Callable[[], Cost]]:
    """What the host tells; from connect to last fact: ours, and what paramiko needs for the same commands."""
    target = Target(name="host", address=host.address, user="audit", port=22, promises=Promises.read({}))
    plan = Plan(target, frozenset(kind for kind in known_facts().values() if kind.__module__.startswith("pandora_")))
    options = Options(known_hosts=known_hosts, identity_file=host.key)
    bare = Bare(host.key, known_hosts)

    def ask() -> tuple[Machine, float]:
        network = Network(options)
        began = time.monotonic()
        machine = ask_machine(plan, network, lambda: None)
        took = time.monotonic() - began
        network.close()
        return machine, took

    def ours() -> Cost:
        machine, took = ask()
        if machine.silence or machine.commands != len(commands):
            raise RuntimeError(f"ours: {machine.silence or machine.commands}")
        return Cost(took)

    def least() -> Cost:
        began = time.monotonic()
        outputs = bare.ask("audit", host.address, *((each.command, each.stdin) for each in commands))
        took = time.monotonic() - began
        if any(
            f"\n.{ask.key} ".encode() not in output
            for each, output in zip(commands, outputs, strict=True)
            for ask in each.asks
        ):
            raise RuntimeError(f"bare: not all was answered: {outputs[-1][-500:]!r}")
        return Cost(took)

    told, _ = ask()
    commands = [_trip(plan.questions, first=True), _trip(further(plan.kinds, told), first=False)]
    return told, ours, least


def _trip(questions: Sequence[Question], *, first: bool) -> script.Script:
    asks = [question for question in questions if isinstance(question, Ask)]
    return script.compose(asks, marker="benchmark", promised=(), first=first)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chapters", description=__doc__)
    parser.add_argument("image", nargs="*", default=_IMAGES, help=f"images of the lab (default: {' '.join(_IMAGES)})")
    parser.add_argument("--gathers", type=int, default=11, help="pairs of gatherings in one process (default: 11)")
    chosen = parser.parse_args(arguments)
    print(HEAD)
    for image in chosen.image:
        with lab.boot(image) as host, tempfile.TemporaryDirectory() as folder:
            host.run("; ".join((*HOST, "systemctl reload ssh || systemctl reload sshd")))
            known_hosts = Path(folder, "known_hosts")
            known_hosts.write_text(host.known_hosts)
            connections, commands = trips(host, known_hosts)
            print(f"P1 {image}: {connections} connection(s), {commands} command(s)")
            told, ours, least = gathering(host, known_hosts)
            pairs = in_turn(chosen.gathers, ours, least)
            print(row(f"P4 {image}: ours / bare", pairs, "ms", "target <= 1.15, stretch 1.05"))
            slowest = sorted(told.answers.values(), key=lambda answer: -answer.seconds)
            for answer in slowest[:3]:
                mark = "ABOVE" if answer.seconds > _LONG else "below"
                print(f"   {answer.seconds:5.2f} s, {mark} {_LONG:.0f} s: {answer.key}", flush=True)


if __name__ == "__main__":
    main()
