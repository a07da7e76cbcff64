"""Verdicts on machines that the lab lacks, from answers that were captured or built: the tables of recorded/.

A table begins with ``tests``, the files of controls that it is about. Then its machines:

machine   what it is like
tests     the files of controls that it is about, where they are others than the table's
like      another machine, whose answers hold where this one has none
origin    captured (from a real machine), or built (by hand)
source    from what: the machine and the day; or the source that says how such a machine answers
wire      what the network showed; banner = "none": this way in cannot see it
shell     powershell: a Windows machine
suffices  control = keys without which the rest of the answers still shows compliance
roles     the roles that were detected
promises  what the site promised
level     guide, hardened or strict
answers   by key: out, err, status (0), silence, cause (of the silence); of the second trip too
expect    control = verdict, as in machines/ssh_server.toml
observed  a control's observation or reason must contain this text
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from judging import SHORT, controls, judge, plan

from pandora_audit.finding import Finding
from pandora_audit.gather import Machine
from pandora_audit.promises import Promises
from pandora_audit.question import Answer, Answers, Cause, NotObserved, Role, Shell, Wire
from pandora_audit.script import ROLES
from pandora_audit.target import Target

FOLDER = Path(__file__).parent / "recorded"
TABLES = [tomllib.loads(path.read_text()) for path in sorted(FOLDER.glob("*.toml"))]
MACHINES: dict[str, dict[str, Any]] = {
    row["machine"]: {**row, "tests": tuple(row.get("tests", table["tests"]))}
    for table in TABLES
    for row in table["machine"]
}
ROWS = [(name, control) for name, row in MACHINES.items() for control in row["expect"]]


def told(name: str) -> tuple[dict[str, str | int], dict[str, dict[str, Any]]]:
    """What the network showed, and the answers: a machine's own over those of the one that it is like."""
    row = MACHINES[name]
    wire, answers = told(row["like"]) if "like" in row else ({}, {})
    own = {key: {**answers.get(key, {}), **answer} for key, answer in row.get("answers", {}).items()}
    return {**wire, **row.get("wire", {})}, {**answers, **own}


def machine(name: str) -> Machine:
    wire, answers = told(name)
    row = MACHINES[name]
    promises = {
        key: (tuple(value) if isinstance(value, list) else value) for key, value in row.get("promises", {}).items()
    }
    target = Target(
        name="recorded",
        address="recorded",
        shell=Shell(row.get("shell", Shell.POSIX)),
        promises=Promises.read({key: (value, "record") for key, value in promises.items()}),
    )
    recorded = Machine(target=target, wire=_wire(wire), asked_at=row.get("asked_at", 1710000000))
    wanted = plan(target, CONTROLS[row["tests"]].values())
    asked = {question.key: question.text for question in wanted.questions}
    for _ in range(2):
        found = {key: _answer(key, asked.get(key, key), answer) for key, answer in answers.items()}
        recorded.answers = Answers(found)
        for fact in wanted.kinds:
            try:
                asked |= {question.key: question.text for question in fact.then(recorded.seen)}
            except NotObserved:
                continue
    roles = "".join(f"{role} {'present /' if role in row.get('roles', ()) else 'absent'}\n" for role in Role)
    recorded.answers = Answers({ROLES: _answer(ROLES, ROLES, {"out": roles}), **recorded.answers})
    return recorded


def _wire(wire: dict[str, str | int]) -> Wire:
    if not wire:
        return Wire()
    return Wire(
        software=str(wire["software"]),
        banner=None if wire["banner"] == "none" else str(wire["banner"]),
        port=int(wire["port"]) or None,
    )


def _answer(key: str, question: str, row: dict[str, Any]) -> Answer:
    # As text, a machine's answer ends without its last line break.
    out, err = (str(row.get(stream, "")).removesuffix("\n").encode() for stream in ("out", "err"))
    silence = str(row.get("silence", ""))
    status = None if silence else int(row.get("status", 0))
    cause = Cause(row["cause"]) if silence and "cause" in row else None
    return Answer(key=key, question=question, status=status, out=out, err=err, silence=silence, cause=cause)


CONTROLS = {row["tests"]: controls(*row["tests"]) for row in MACHINES.values()}


def judged(name: str, on: Machine, some: Iterable[str] | None = None) -> dict[str, Finding]:
    """What the controls that this machine's table expects something of, or some of them, say of these answers."""
    row = MACHINES[name]
    wanted = {control: CONTROLS[row["tests"]][control] for control in some or row["expect"]}
    return judge(on, wanted, row.get("level", "guide"))


@pytest.mark.parametrize(("name", "control"), ROWS, ids=[f"{control} | {name}" for name, control in ROWS])
def test_the_verdict_on_recorded_answers(name: str, control: str) -> None:
    row = MACHINES[name]
    found = judged(name, machine(name))[control]
    assert found.word is SHORT[row["expect"][control]], found.told
    assert row.get("observed", {}).get(control, "") in found.told
    assert not found.fault, found.reason


@pytest.mark.parametrize("name", MACHINES)
def test_each_record_tells_where_it_comes_from(name: str) -> None:
    assert MACHINES[name]["origin"] in ("captured", "built")
    assert MACHINES[name]["source"]


@pytest.mark.parametrize("name", [name for name, row in MACHINES.items() if {"N", "E"} & set(row["expect"].values())])
def test_an_answer_that_is_withheld_never_makes_a_machine_greener(name: str) -> None:
    """Each answer in turn that a verdict rests on is missing, on a machine that does not comply."""
    suffices = MACHINES[name].get("suffices", {})
    rest_on: dict[str, list[str]] = {}
    for control, found in judged(name, machine(name)).items():
        if found.word.outcome != "passed":
            for answer in found.evidence:
                rest_on.setdefault(answer.key, []).append(control)
    for key, resting in rest_on.items():
        hindered = machine(name)
        silent = Answer(key=key, question=key, silence="nobody answered")
        hindered.answers = Answers({**hindered.answers, key: silent})
        for control, found in judged(name, hindered, resting).items():
            if key not in suffices.get(control, ()):
                assert found.word.outcome != "passed", f"{key}, {control}: {found.told}"


@pytest.mark.parametrize("name", MACHINES)
def test_the_evidence_of_a_verdict_is_what_it_read_whoever_read_it_before(name: str) -> None:
    """A fact works out each of its readings once: those who come second have read the same."""
    forth, back = judged(name, machine(name)), judged(name, machine(name), reversed(MACHINES[name]["expect"]))
    for control, found in forth.items():
        assert {answer.key for answer in found.evidence} == {answer.key for answer in back[control].evidence}, control
