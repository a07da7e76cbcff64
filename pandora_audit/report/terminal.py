"""The end of a run on the terminal: what to fix first, what nobody could see, and the counts."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator

from pandora_audit.audit import Audit
from pandora_audit.control import Severity
from pandora_audit.finding import Finding
from pandora_audit.items import accepted, advice
from pandora_audit.printable import one_line, printable
from pandora_audit.verdict import Word

LETTERS = {
    Word.COMPLIANT: ".",
    Word.NOT_COMPLIANT: "F",
    Word.EDITION: "F",
    Word.ACCEPTED: "x",
    Word.NOT_APPLICABLE: "-",
    Word.TO_DECIDE: "?",
    Word.ATTESTED: "a",
    Word.NOT_ASSESSED: "E",
}


def summary(audit: Audit, today: datetime.date) -> Iterator[tuple[str, list[str]]]:
    """The sections of the summary, each with its lines, the most urgent first."""
    findings = audit.sorted_findings
    for word in (Word.NOT_COMPLIANT, Word.EDITION, Word.ACCEPTED):
        mine = [found for found in findings if found.word is word]
        if mine:
            yield word.value, list(_by_control(mine))
        if word is Word.EDITION:
            yield from _grouped(findings, Word.NOT_ASSESSED)
            yield from _grouped(findings, Word.TO_DECIDE)
    notes = list(_notes(audit, today))
    if notes:
        yield "notes", notes
    yield "verdicts", list(_tables(audit))


def _by_control(findings: list[Finding]) -> Iterator[str]:
    """The findings of one word, the most severe control first, each control's advice once for all of its hosts."""
    width = max(len(found.host) for found in findings)
    controls = {found.control.id: found.control for found in findings}
    for control in sorted(controls.values(), key=lambda control: (-control.severity, control.id)):
        mine = [found for found in findings if found.control.id == control.id]
        yield f"{control.id}  {str(control.severity).upper()}  {control.title}"
        yield f"  expected  {mine[0].expected}"
        for found in mine:
            yield printable(f"  {found.host:<{width}}  {one_line(found.observed)}")
            yield from accepted(found)
        yield from advice(control)
        yield ""


def _grouped(findings: Iterable[Finding], word: Word) -> Iterator[tuple[str, list[str]]]:
    """Findings of one word by host and reason: a host that was not reached is one line, not a hundred."""
    groups: dict[tuple[str, str], list[str]] = {}
    for found in findings:
        if found.word is word:
            groups.setdefault((found.host, found.reason), []).append(found.control.id)
    if groups:
        lines = []
        for (host, reason), ids in sorted(groups.items()):
            lines += [f"{host}: {one_line(reason)}", f"  {', '.join(ids)}"]
        yield word.value, [printable(line) for line in lines]


def _notes(audit: Audit, today: datetime.date) -> Iterator[str]:
    if audit.partial:
        yield f"PARTIAL: {audit.partial}; what follows is what was known until then"
    for host, roles in sorted(audit.unpromised.items()):
        if roles:
            yield f"{host} plays {', '.join(roles)}, which the inventory does not promise"
    for leftover in audit.leftovers(today):
        entry = leftover.entry
        yield f"{entry.where}: the exception for {entry.control} on {entry.host} {leftover.why}"


def _tables(audit: Audit) -> Iterator[str]:
    findings = audit.findings
    words = [word for word in Word if any(found.word is word for found in findings)]
    yield from _table("chapter", findings, words, lambda found: found.control.chapter)
    yield ""
    severities = [str(severity) for severity in sorted(Severity, reverse=True)]
    yield from _table("severity", findings, words, lambda found: str(found.control.severity), severities)
    assessed = [found for found in findings if found.word not in _NOT_JUDGED]
    counts = audit.counts()
    hosts = len({found.host for found in findings})
    yield ""
    yield (
        f"{len(findings)} verdicts on {hosts} host{'s' * (hosts != 1)}: {len(assessed)} assessed, "
        f"{counts[Word.NOT_APPLICABLE]} not applicable, {counts[Word.TO_DECIDE]} to decide, "
        f"{counts[Word.NOT_ASSESSED]} not assessed"
    )


_NOT_JUDGED = (Word.NOT_APPLICABLE, Word.TO_DECIDE, Word.NOT_ASSESSED)


def _table(
    name: str,
    findings: list[Finding],
    words: list[Word],
    key: Callable[[Finding], str],
    order: list[str] | None = None,
) -> Iterator[str]:
    keys = {key(found) for found in findings}
    rows = [row for row in order if row in keys] if order else sorted(keys)
    width = max([len(name), *map(len, rows)]) + 2
    yield f"{name:<{width}}" + "  ".join(words)
    for row in rows:
        mine = [found for found in findings if key(found) == row]
        cells = (f"{sum(found.word is word for found in mine) or '·':>{len(word)}}" for word in words)
        yield f"{row:<{width}}" + "  ".join(cells)
