"""Verdicts on machines that the lab lacks, from answers that were captured or built: the tables of recorded/.

machine   what it is like
like      another machine, whose answers hold where this one has none
origin    captured (from a real machine), or built (by hand)
source    from what: the machine and the day; or the source that says how such a machine answers
wire      what the network showed; banner = "none": this way in cannot see it
answers   by key: out, err, status (0), silence; of the second trip too
expect    control = verdict, as in machines/ssh_server.toml
observed  a control's observation or reason must contain this text
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from judging import SHORT, controls, judge, plan

from pandora_audit.gather import Machine
from pandora_audit.question import Answer, Answers, NotObserved, Wire
from pandora_audit.target import Target

FOLDER = Path(__file__).parent / "recorded"
MACHINES: dict[str, dict[str, Any]] = {
    row["machine"]: row for path in sorted(FOLDER.glob("*.toml")) for row in tomllib.loads(path.read_text())["machine"]
}
ROWS = [(name, control) for name, row in MACHINES.items() for control in row["expect"]]
CONTROLS = controls("tests_ssh")


def told(name: str) -> tuple[dict[str, str | int], dict[str, dict[str, Any]]]:
    """What the network showed, and the answers: a machine's own over those of the one that it is like."""
    row = MACHINES[name]
    wire, answers = told(row["like"]) if "like" in row else ({}, {})
    own = {key: {**answers.get(key, {}), **answer} for key, answer in row.get("answers", {}).items()}
    return {**wire, **row.get("wire", {})}, {**answers, **own}


def machine(name: str) -> Machine:
    wire, answers = told(name)
    target = Target(name="recorded", address="recorded")
    seen = Wire(
        software=str(wire["software"]),
        banner=None if wire["banner"] == "none" else str(wire["banner"]),
        port=int(wire["port"]) or None,
    )
    recorded = Machine(target=target, wire=seen, asked_at=1710000000)
    wanted = plan(target, CONTROLS.values())
    asked = {question.key: question.text for question in wanted.questions}
    for _ in range(2):
        found = {key: _answer(key, asked.get(key, key), answer) for key, answer in answers.items()}
        recorded.answers = Answers(found)
        for fact in wanted.facts:
            try:
                asked |= {question.key: question.text for question in fact.then(recorded.seen)}
            except NotObserved:
                continue
    return recorded


def _answer(key: str, question: str, row: dict[str, Any]) -> Answer:
    # As text, a machine's answer ends without its last line break.
    out, err = (str(row.get(stream, "")).removesuffix("\n").encode() for stream in ("out", "err"))
    silence = str(row.get("silence", ""))
    status = None if silence else int(row.get("status", 0))
    return Answer(key=key, question=question, status=status, out=out, err=err, silence=silence)


@pytest.mark.parametrize(("name", "control"), ROWS, ids=[f"{control} | {name}" for name, control in ROWS])
def test_the_verdict_on_recorded_answers(name: str, control: str) -> None:
    row = MACHINES[name]
    found = judge(machine(name), {control: CONTROLS[control]})[control]
    assert found.word is SHORT[row["expect"][control]], found.told
    assert row.get("observed", {}).get(control, "") in found.told
    assert not found.fault, found.reason


@pytest.mark.parametrize("name", MACHINES)
def test_each_record_tells_where_it_comes_from(name: str) -> None:
    assert MACHINES[name]["origin"] in ("captured", "built")
    assert MACHINES[name]["source"]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("key", sorted(told("RHEL 8 corrected")[1]))
def test_an_answer_that_is_withheld_never_makes_a_machine_greener(key: str, control: str) -> None:
    """Each answer in turn is missing, on a machine that does not comply."""
    name = "RHEL 8, OpenSSH 8.0"
    whole = judge(machine(name), {control: CONTROLS[control]})[control]
    hindered = machine(name)
    silent = Answer(key=key, question=key, silence="nobody answered")
    hindered.answers = Answers({**hindered.answers, key: silent})
    found = judge(hindered, {control: CONTROLS[control]})[control]
    if whole.word.outcome != "passed":
        assert found.word.outcome != "passed", found.told
