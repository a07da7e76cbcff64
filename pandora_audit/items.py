"""Controls as pytest items: one for each control and target, judged without fixtures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from _pytest.runner import check_interactive_exception

from pandora_audit import norms
from pandora_audit.audit import Audit
from pandora_audit.control import Control
from pandora_audit.finding import Finding
from pandora_audit.printable import one_line, printable
from pandora_audit.record import told
from pandora_audit.target import Target
from pandora_audit.verdict import Word

AUDIT = pytest.StashKey[Audit]()
FINDING = "pandora_audit_finding"


class ControlItem(pytest.Item):
    """A control on one target. Its arguments are looked up, never asked for."""

    def __init__(self, *, control: Control, target: Target, audit: Audit, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.control = control
        self.target = target
        self.audit = audit
        self.extra_keyword_matches |= {control.id, control.chapter, target.name, *target.groups}
        self.add_marker(str(control.severity))
        self.add_marker(control.chapter)

    def runtest(self) -> None:
        self.audit.call(self.control)

    def reportinfo(self) -> tuple[Any, int, str]:
        code = self.control.test.__code__
        return self.path, code.co_firstlineno - 1, f"{self.control.id} on {self.target.name}"


def run(item: ControlItem) -> None:
    """Judge one control: one call, one verdict, and the closing report that JUnit and HTML wait for.

    pytest's own protocol would set up and tear down fixtures that a control does not have.
    """
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    began = time.time()
    call = pytest.CallInfo.from_call(item.runtest, when="call", reraise=(pytest.exit.Exception, KeyboardInterrupt))
    found = item.audit.conclude(item.control, call.excinfo.value if call.excinfo else None)
    report = _report(item, found, call)
    hook.pytest_runtest_logreport(report=report)
    worth_a_look = found.fault or found.word.is_finding
    if worth_a_look and call.excinfo and check_interactive_exception(call, report):
        hook.pytest_exception_interact(node=item, call=call, report=report)
    closing = _plain_report(item, "passed", None, "teardown", began)
    closing.user_properties = report.user_properties
    hook.pytest_runtest_logreport(report=closing)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    item.audit.keep(found)


def _report(item: ControlItem, found: Finding, call: pytest.CallInfo[None]) -> pytest.TestReport:
    text = tell(found)
    outcome, longrepr, when = {
        "passed": ("passed", None, "call"),
        "failed": ("failed", text, "call"),
        "xfailed": ("skipped", text, "call"),
        "skipped": ("skipped", (str(item.path), item.location[1] or 0, one_line(found.told)), "call"),
        "error": ("failed", text, "setup"),
    }[found.word.outcome]
    report = _plain_report(item, outcome, longrepr, when, call.start)
    report.duration = call.duration
    if found.word is Word.ACCEPTED:
        report.wasxfail = "; ".join(
            f"accepted until {entry.until} by {entry.approved_by}: {entry.reason}" for entry in found.accepted
        )
    report.user_properties = [(name, _text(value)) for name, value in properties(found).items()]
    setattr(report, FINDING, found)
    if found.evidence:
        report.sections.append(("evidence", evidence(found)))
    return report


def _plain_report(item: ControlItem, outcome: Any, longrepr: Any, when: Any, began: float) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome=outcome,
        longrepr=longrepr,
        when=when,
        duration=0.0,
        start=began,
        stop=time.time(),
    )


def properties(found: Finding) -> dict[str, object]:
    """What JUnit and HTML say of a finding beside pytest's own words."""
    control = found.control
    return {
        **told(found),
        "level": control.level.value[0],
        "duty": control.duty.value,
        "why": control.why,
        "fix": control.fix,
        "impact": control.impact,
        "clauses": norms.phrase(control.id),
        "related clauses": norms.phrase(control.id, direct=False),
    }


def _text(value: object) -> str:
    return printable(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def tell(found: Finding) -> str:
    """A finding as a paragraph: what pytest calls its long representation."""
    control = found.control
    head = f"{control.id}  {str(control.severity).upper()}  {control.title}  —  {found.host}: {found.word}"
    said = f"  observed  {one_line(found.observed)}" if found.observed else f"  reason    {one_line(found.reason)}"
    parts = [head, f"  expected  {found.expected}", said, *accepted(found)]
    return printable("\n".join([*parts, *advice(control)] if found.word.is_finding else parts))


def accepted(found: Finding) -> list[str]:
    return [f"  accepted  until {entry.until} by {entry.approved_by}: {entry.reason}" for entry in found.accepted]


def advice(control: Control) -> list[str]:
    """Why a control is there, what to do, what that may break, and for which clauses it is evidence."""
    lines = [f"  why       {control.why}", f"  fix       {control.fix}", f"  impact    {control.impact}"]
    evidence_for = norms.phrase(control.id)
    return [*lines, f"  clauses   {evidence_for}"] if evidence_for else lines


def evidence(found: Finding) -> str:
    """The answers that a control read, as a host's own words, made harmless."""
    return "\n".join(_quoted(answer) for answer in found.evidence)


def _quoted(answer: Any, most: int = 4000) -> str:
    head = f"$ {one_line(answer.question, 300)}"
    if answer.silence:
        return f"{head}\n  (no answer) {one_line(answer.silence)}"
    out = printable(answer.out.decode("utf-8", "backslashreplace"), most).rstrip()
    err = one_line(answer.err.decode("utf-8", "backslashreplace"), 500)
    parts = [head, out, f"  (stderr) {err}" if err else "", f"  (exit {answer.status}, {answer.seconds:.2f} s)"]
    return "\n".join(part for part in parts if part)


def make(collector: pytest.Collector, name: str, control: Control, audit: Audit) -> Iterator[ControlItem]:
    """The items of one control: one for each host to which it can apply, or for each deployment."""
    collector.config.addinivalue_line("markers", f"{control.chapter}: controls of this chapter")
    for target in audit.subjects(control):
        yield ControlItem.from_parent(
            collector,
            name=f"{name}[{target.name}]",
            nodeid=collector.id.child(name).with_params(target.name),
            control=control,
            target=target,
            audit=audit,
        )
