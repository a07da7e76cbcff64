"""A record: one file of JSON lines for each machine, from which the same verdicts can be had again, offline."""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pandora_audit.control import Control
from pandora_audit.finding import Finding
from pandora_audit.gather import Machine, Plan, unreached
from pandora_audit.promises import Promises
from pandora_audit.question import Answer, Answers, Cause, Question, Role, Shell, Wire
from pandora_audit.sitefile import SiteError
from pandora_audit.target import Target
from pandora_audit.version import VERSION

SCHEMA = 1
_MOST_BYTES = 64 * 1024 * 1024
_MOST_OF_A_NAME = 200


class Recorder:
    """Writes the records of a run below one folder, readable by its owner only. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.folder = folder

    def write(self, machine: Machine, findings: Iterable[Finding], partial: str = "") -> None:
        findings = list(findings)
        rows = [
            _head(machine, [found.control for found in findings], partial),
            *({"answer": _from_answer(answer)} for answer in machine.answers.values()),
            *({"finding": told(found)} for found in sorted(findings, key=lambda found: found.key)),
        ]
        self._write(machine.target.name, rows)

    def write_deployment(self, name: str, findings: Iterable[Finding], partial: str = "") -> None:
        """What was concluded of a deployment: nothing that a replay would read, since it concludes again."""
        findings = sorted(findings, key=lambda found: found.key)
        if findings:
            head = {"schema": SCHEMA, "tool": f"pandora-audit {VERSION}", "deployment": name, "partial": partial}
            self._write(f"{name}.deployment", [head, *({"finding": told(found)} for found in findings)])

    def _write(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        path = self.folder / f"{_file_name(name)}.jsonl"
        temporary = path.with_suffix(".part")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
        temporary.replace(path)


def _file_name(name: str) -> str:
    """A name that a file can have: of long ones the beginning, and a digest that tells them apart."""
    quoted = quote(name, safe="@")
    if len(quoted) <= _MOST_OF_A_NAME:
        return quoted
    return f"{quoted[:_MOST_OF_A_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def told(found: Finding) -> dict[str, Any]:
    """A finding as data; the same words in every report that machines read."""
    return {
        "control": found.control.id,
        "host": found.host,
        "verdict": found.word.value,
        "severity": str(found.control.severity),
        "title": found.control.title,
        "expected": found.expected,
        "observed": found.told,
        "subjects": sorted(found.subjects),
        "accepted": [entry.where or entry.reason for entry in found.accepted],
    }


def _head(machine: Machine, controls: Iterable[Control], partial: str) -> dict[str, Any]:
    target = machine.target
    return {
        "schema": SCHEMA,
        "tool": f"pandora-audit {VERSION}",
        "host": target.name,
        "address": target.address,
        "asked_at": machine.asked_at,
        "seconds": round(machine.seconds, 3),
        "commands": machine.commands,
        "silence": machine.silence,
        "wire": asdict(machine.wire),
        "promised": None if target.promised is None else sorted(target.promised),
        "groups": sorted(target.groups),
        "shell": target.shell,
        "become": target.become,
        "promises": target.promises.to_record(),
        "controls": {control.id: _digest(control) for control in controls},
        "partial": partial,
    }


def _digest(control: Control) -> str:
    """Tells two versions of a control apart."""
    return hashlib.sha256(inspect.getsource(control.test).encode()).hexdigest()[:12]


def _from_answer(answer: Answer) -> dict[str, Any]:
    row = asdict(answer)
    for stream in ("out", "err"):
        row[stream] = _from_bytes(row[stream])
    return row


def _from_bytes(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _to_bytes(data: str | dict[str, str]) -> bytes:
    return data.encode() if isinstance(data, str) else base64.b64decode(data["base64"])


def load(folder: Path) -> tuple[Target, ...]:
    """The recorded machines as targets. Raises SiteError for a folder without records."""
    files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else [folder]
    heads = {path: next(_rows(path)) for path in files if path.is_file()}
    targets = tuple(_target(path, head) for path, head in heads.items() if "deployment" not in head)
    if not targets:
        raise SiteError(f"{folder}: no record is here")
    return targets


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.stat().st_size > _MOST_BYTES:
        raise SiteError(f"{path}: a record of more than {_MOST_BYTES} bytes")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise SiteError(f"{path}:{number}: this is no record: {error}") from error
            if not isinstance(row, dict) or (number == 1 and row.get("schema") != SCHEMA):
                raise SiteError(f"{path}:{number}: this is no record of schema {SCHEMA}")
            yield row


def _target(path: Path, head: dict[str, Any]) -> Target:
    try:
        promised = head["promised"]
        return Target(
            name=str(head["host"]),
            address=str(path),
            backend="replay",
            shell=Shell(head.get("shell", Shell.POSIX)),
            become=bool(head["become"]),
            promised=None if promised is None else frozenset(map(Role, promised)),
            promises=Promises.from_record(head["promises"]),
            groups=frozenset(map(str, head["groups"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SiteError(f"{path}:1: the head of this record lacks something: {error!r}") from error


def replayed(plan: Plan) -> Machine:
    """The recorded machine, with the record's own clock. A question that the record lacks is silence."""
    path = Path(plan.target.address)
    if not path.is_file():
        return unreached(plan.target, f"{path} is not the record of one machine")
    rows = list(_rows(path))
    try:
        head, answers = rows[0], [_to_answer(row["answer"]) for row in rows if "answer" in row]
        machine = unreached(plan.target, str(head["silence"]))
        machine.asked_at = float(head["asked_at"])
        machine.seconds = float(head.get("seconds", 0.0))
        machine.wire = Wire(**head["wire"])
    except (KeyError, TypeError, ValueError) as error:
        return unreached(plan.target, f"{path} is damaged: {error!r}")
    found = {answer.key: answer for answer in answers}
    lacking = {
        question.key: _lacking(question)
        for question in plan.questions
        if question.key not in found or found[question.key].question != question.text
    }
    machine.answers = Answers({**found, **lacking})
    return machine


def _to_answer(row: dict[str, Any]) -> Answer:
    cause = Cause(row["cause"]) if row.get("cause") else None
    if row.pop("unanswered", False):  # as records said it that know no causes
        cause = Cause.UNANSWERED
    answer = Answer(**{**row, "out": b"", "err": b"", "cause": cause})
    return replace(answer, out=_to_bytes(row["out"]), err=_to_bytes(row["err"]))


def _lacking(question: Question) -> Answer:
    return Answer(key=question.key, question=question.text, silence=f"the record lacks an answer to `{question.text}`")
