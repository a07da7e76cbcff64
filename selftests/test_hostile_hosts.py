"""Hosts that lie, hang, flood or break off: every control is judged truly or not assessed, in bounded time."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest
from judging import ask, controls, judge, plan

import lab
from pandora_audit import script
from pandora_audit.finding import Finding
from pandora_audit.gather import Machine
from pandora_audit.question import Ask
from pandora_audit.target import Target
from pandora_audit.transport import Options
from pandora_audit.verdict import Word

CONTROLS = controls("tests_ssh")
# The time that a machine gets in these tests, in seconds; and what lies around it: login, the last word.
STAY = 20
SHORT_STAY = 6  # where nothing is answered anyway
HURRY = 3
COMPOSE = script.compose
AROUND = 15


@pytest.fixture(scope="module", autouse=True)
def _hurry() -> Iterator[None]:
    with mock.patch.object(script, "compose", hurried):
        yield


@pytest.fixture(scope="module")
def host() -> Iterator[lab.Host]:
    lab.required()
    with lab.boot("bookworm") as booted:
        yield booted


def answered(host: lab.Host, user: str = "audit", stay: float = STAY) -> tuple[Machine, float]:
    """The machine as this account shows it, and how long that took."""
    known = host.root.parent / "known_hosts"
    known.write_text(host.known_hosts)
    target = Target(name=host.name, address=host.address, user=user, port=host.port)
    options = Options(known_hosts=known, identity_file=host.key, machine_seconds=stay)
    began = time.monotonic()
    machine = ask(target, CONTROLS.values(), options)
    return machine, time.monotonic() - began


def hurried(asks: Iterable[Ask], **how: Any) -> script.Script:
    """The same questions, each with less patience: what hangs here hangs at once."""
    return COMPOSE([dataclasses.replace(each, seconds=HURRY) for each in asks], **how)


def verdicts(machine: Machine) -> dict[str, Finding]:
    found = judge(machine, CONTROLS)
    assert not any(finding.fault for finding in found.values()), [finding.reason for finding in found.values()]
    return found


def nothing_assessed(machine: Machine) -> str:
    """That no control was assessed, each with a sentence; one of them."""
    found = verdicts(machine)
    assert {finding.word for finding in found.values()} == {Word.NOT_ASSESSED}
    assert all(finding.reason for finding in found.values())
    return next(iter(found.values())).reason


# --- the way in ---

FRAMES = r"\n0123456789abcdef01234567 plain\n@sshd-config 0\noport 31122\no\no.\n.sshd-config 0 1\n"
HANDLERS = {
    "floods before it does anything": ("yes", ""),
    "floods errors": ("yes >&2", ""),
    "sleeps forever": ("exec sleep 1000", "no end of output"),
    "exits at once": ("exit 0", "did not run the audit's script"),
    "exits at once with an error": ("exit 1", "did not run the audit's script"),
    "is killed": ("kill -9 $$", ""),
    "prints frames of another run": (f"printf '{FRAMES}'", "did not run the audit's script"),
    "prints bytes that are no text": (r"printf '\377\376\000\001\200'", "did not run the audit's script"),
    "prints no newline": ("head -c 1000000 /dev/zero", "did not run the audit's script"),
    "kills its own session": ("kill -9 $PPID", ""),
}


@pytest.mark.parametrize("name", HANDLERS)
def test_a_login_shell_of_ill_will(host: lab.Host, name: str) -> None:
    text, sentence = HANDLERS[name]
    host.write("/usr/local/bin/shell", f"#!/bin/sh\n{text}\n", mode=0o755)
    with host.mutated("usermod -s /usr/local/bin/shell fishy", undo="usermod -s /usr/bin/fish fishy"):
        machine, took = answered(host, "fishy", stay=SHORT_STAY)
    assert sentence in nothing_assessed(machine)
    assert took < SHORT_STAY + AROUND


STARTUPS = {
    "noise that is no text": r"printf '\377\376\000\001\200\n'",
    "frames of another run": f"printf '{FRAMES}'",
    "much of both": "head -c 2000000 /dev/zero; head -c 2000000 /dev/zero >&2",
    "a PATH of its own": "export PATH=/home/nosudo/bin:$PATH",
    "an empty PATH": "export PATH=",
    "an environment": "export SHELLOPTS LC_ALL=xx POSIXLY_CORRECT=1 GREP_OPTIONS=-v IFS=e TMPDIR=/none pw=x; set -a",
}


@pytest.mark.parametrize("name", STARTUPS)
def test_a_startup_file_of_ill_will_changes_no_answer(host: lab.Host, name: str) -> None:
    sham = "#!/bin/sh\\necho sham >> /tmp/sham; echo port 31122; exit 0\\n"
    host.run(
        "mkdir -p /home/nosudo/bin; for name in sudo ss sshd grep sed timeout base64 tr sh gzip id; do "
        f"printf '{sham}' > /home/nosudo/bin/$name; done; chmod -R 755 /home/nosudo; rm -f /tmp/sham"
    )
    honest, _ = answered(host)
    with host.mutated(
        "cp -p /home/audit/.bashrc /root/bashrc; cat > /home/audit/.bashrc <<'END'\n" + STARTUPS[name] + "\nEND",
        undo="cp -p /root/bashrc /home/audit/.bashrc",
    ):
        machine, _ = answered(host)
    assert told(machine) == told(honest)
    assert host.run("ls /tmp/sham", check=False).returncode != 0


def told(machine: Machine) -> dict[str, tuple[Word, str]]:
    return {name: (finding.word, finding.reason) for name, finding in verdicts(machine).items()}


# --- the programs ---

FLOOD = "yes 'LISTEN 0 128 0.0.0.0:31122 0.0.0.0:* users:((\"sshd\"))'"
PROGRAMS = {
    "floods": FLOOD,
    "floods errors": f"{FLOOD} >&2",
    "floods without a newline": "cat /dev/zero",
    "hangs": "exec sleep 1000",
    "hangs and does not listen": "trap '' TERM HUP INT; while :; do sleep 100; done",
    "leaves a child that holds its output": "setsid sleep 300 & exit 0",
    "leaves a child that holds its errors": "setsid sleep 300 >/dev/null & exit 0",
    "prints bytes that are no text": r"printf '\377\376\000\001\200\n'",
    "prints nothing": "exit 0",
    "fails": "exit 1",
    "crashes": "kill -SEGV $$",
    "prints frames": r"printf '\n.sshd-config 0 1\n@sshd-config 0\noport 31122\no.\n.sshd-config 0 1\n'",
    "says it is not there": "exit 127",
    "cannot be run": "exec /etc/passwd",
}
REAL = {
    "sudo": "/usr/bin/sudo",
    "ss": "/usr/bin/ss",
    "sshd": "/usr/sbin/sshd",
    "find": "/usr/bin/find",
    "getent": "/usr/bin/getent",
}
# Slow, and the same for every program: tried where the account itself runs it, and where sudo does.
SLOW = ("hangs and does not listen", "leaves a child that holds its output", "leaves a child that holds its errors")
# Where find finds nothing, that is an answer; a host whose root lies so well cannot be seen through.
LIES = {("find", "prints nothing"), ("find", "fails")}
SHAMS = [
    (program, behaviour)
    for program in REAL
    for behaviour in PROGRAMS
    if program != "sudo"
    if (program in ("ss", "sshd") or behaviour not in SLOW) and (program, behaviour) not in LIES
]


@pytest.fixture(scope="module")
def honest(host: lab.Host) -> dict[str, tuple[Word, str]]:
    return told(answered(host)[0])


@pytest.fixture(scope="module", autouse=True)
def tries(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, str], Future[tuple[Machine, float]]]]:
    """The selected behaviours, one after the other for each program, on a host for each program."""
    lab.required()
    items = [item for item in request.session.items if item.module is request.module and hasattr(item, "callspec")]
    wanted = [each for each in (item.callspec.params for item in items) if "program" in each]
    with contextlib.ExitStack() as stack:
        begun = {}
        for program in {params["program"] for params in wanted}:
            thread = stack.enter_context(ThreadPoolExecutor(1))
            stack.callback(thread.shutdown, cancel_futures=True)
            host = thread.submit(lambda: stack.enter_context(lab.boot("bookworm")))
            for params in wanted:
                if params["program"] == program:
                    begun[program, params["behaviour"]] = thread.submit(tried, host, program, params["behaviour"])
        yield begun


def tried(booting: Future[lab.Host], program: str, behaviour: str) -> tuple[Machine, float]:
    """The host asked while this program of it behaves so."""
    host = booting.result()
    path = REAL[program]
    # The listening sshd becomes sshd again, with -R, for every connection.
    lets_in = 'case "$*" in *-R*) exec /root/sshd "$@" ;; esac'
    host.run("[ -e /root/sshd ] || cp /usr/sbin/sshd /root/sshd")
    host.write("/root/sham", f"#!/bin/sh\n{lets_in}\n{PROGRAMS[behaviour]}\n", mode=0o755)
    with host.mutated(
        f"mount --bind /root/sham {path}", undo=f"umount -l {path}; for p in $(pidof sleep yes); do kill -9 $p; done"
    ):
        return answered(host, stay=120)


@pytest.mark.parametrize(("program", "behaviour"), SHAMS)
def test_a_program_of_ill_will(
    tries: dict[tuple[str, str], Future[tuple[Machine, float]]],
    honest: dict[str, tuple[Word, str]],
    program: str,
    behaviour: str,
) -> None:
    machine, took = tries[program, behaviour].result()
    found = verdicts(machine)
    assert not machine.silence
    target = Target(name="x", address="x")
    asks = [each for each in plan(target, CONTROLS.values()).questions if isinstance(each, Ask)]
    affected = [each for each in asks if each.argv and each.argv[0] == program]
    assert affected
    assert took < AROUND + 2 * len(affected) * (HURRY + 5)
    for name, finding in found.items():
        assert finding.word is not Word.COMPLIANT or honest[name][0] is Word.COMPLIANT, (name, finding.told)
        assert finding.word is not Word.NOT_ASSESSED or finding.reason, name
    if behaviour not in ("prints nothing", "fails"):
        assert all(
            machine.answers[each.key].silence or machine.answers[each.key].status is not None for each in affected
        )


@pytest.mark.parametrize(("program", "behaviour"), [("sudo", "hangs")])
def test_sudo_that_hangs_takes_only_the_privileged_answers(
    tries: dict[tuple[str, str], Future[tuple[Machine, float]]], program: str, behaviour: str
) -> None:
    machine, took = tries[program, behaviour].result()
    assert took < 20 + AROUND
    assert not machine.silence
    found = verdicts(machine)
    assert found["ssh.port"].word is Word.NOT_COMPLIANT
    assert "sudo did not answer" in found["ssh.root-login"].reason


def test_a_session_that_dies_midway_leaves_nothing_green(host: lab.Host) -> None:
    host.write("/root/sham", "#!/bin/sh\npkill -9 -u audit; exit 0\n", mode=0o755)
    with host.mutated("mount --bind /root/sham /usr/bin/find", undo="umount /usr/bin/find"):
        machine, took = answered(host)
    assert took < STAY + AROUND
    assert {finding.word for finding in verdicts(machine).values()} <= {Word.NOT_ASSESSED, Word.NOT_COMPLIANT}


def test_answers_cut_anywhere_turn_nothing_green(host: lab.Host) -> None:
    machine, _ = answered(host)
    honest = told(machine)
    for key, answer in machine.answers.items():
        lost = dataclasses.replace(answer, silence="it was lost", out=b"", err=b"", status=None)
        without = dataclasses.replace(machine, answers=type(machine.answers)({**machine.answers, key: lost}))
        without._facts.clear()
        for name, finding in verdicts(without).items():
            assert finding.word is not Word.COMPLIANT or honest[name][0] is Word.COMPLIANT, (key, name)
