"""The end of a run on the terminal: what to fix first, what nobody could see, and the counts."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from pandora_audit import eol
from pandora_audit.audit import Audit
from pandora_audit.finding import Finding
from pandora_audit.items import accepted, advice
from pandora_audit.printable import one_line, printable
from pandora_audit.report import worklist
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


def summary(audit: Audit, today: datetime.date, *, verbose: bool = False) -> Iterator[tuple[str, list[str]]]:
    """The sections of the summary, each with its lines, the most urgent first; verbose: each verdict too."""
    findings = audit.sorted_findings
    if verbose:
        yield "every verdict", [_row(found) for found in findings]
    for word in (Word.NOT_COMPLIANT, Word.EDITION, Word.ACCEPTED):
        mine = [found for found in findings if found.word is word]
        if mine:
            yield word.value, list(_by_control(mine))
        if word is Word.EDITION:
            yield from grouped(findings, Word.NOT_ASSESSED)
            yield from grouped(findings, Word.TO_DECIDE)
    made = worklist.changes(audit.counted, audit.roles)
    for what, some in (("", worklist.own(made)), ("as the installer left it: ", worklist.left(made))):
        if some:
            yield what + worklist.headline(some), [printable(one_line(str(each))) for each in some]
    if remarks := notes(audit, today):
        yield "notes", remarks
    for coverage in audit.coverage:
        yield f"coverage of {coverage.deployment}", [f"{title}: {text}" for title, text in coverage]
    lines = [line for table in tables(audit) for line in _table(*table)]
    yield "verdicts", [*lines, total(audit)]


def _row(found: Finding) -> str:
    """One verdict in one line: control, severity, host, word, what was seen."""
    control = found.control
    return " | ".join((control.id, str(control.severity), found.host, found.word.value, one_line(found.told)))


def _by_control(findings: list[Finding]) -> Iterator[str]:
    """The findings of one word, the most severe control first, each control's advice once for all of its hosts.

    Hosts of which the same was seen share a line: of hundreds, one says as much.
    """
    controls = {found.control.id: found.control for found in findings}
    for control in sorted(controls.values(), key=lambda control: (-control.severity, control.id)):
        mine = [found for found in findings if found.control.id == control.id]
        yield f"{control.id}  {str(control.severity).upper()}  {control.title}"
        yield f"  expected  {mine[0].expected}"
        alike: dict[tuple[str, ...], list[str]] = {}
        for found in mine:
            alike.setdefault((one_line(found.observed), *accepted(found)), []).append(found.host)
        width = max(len(worklist.some(hosts)) for hosts in alike.values())
        for (observed, *further), hosts in alike.items():
            yield printable(f"  {worklist.some(hosts):<{width}}  {observed}")
            yield from further
        yield from advice(control)
        yield ""


def grouped(findings: Iterable[Finding], word: Word) -> Iterator[tuple[str, list[str]]]:
    """Findings of one word by host and reason: a host that was not reached is one line, not a hundred.

    Hosts with the same reason for the same controls are one line, too.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for found in findings:
        if found.word is word:
            groups.setdefault((found.host, found.reason), []).append(found.control.id)
    alike: dict[tuple[str, str], list[str]] = {}
    for (host, reason), ids in sorted(groups.items()):
        alike.setdefault((one_line(reason), ", ".join(ids)), []).append(host)
    if alike:
        lines = []
        for (reason, controls), hosts in alike.items():
            lines += [f"{worklist.some(hosts)}: {reason}", f"  {controls}"]
        yield word.value, [printable(line) for line in lines]


def notes(audit: Audit, today: datetime.date) -> list[str]:
    """What the run has to say beside its verdicts."""
    found = []
    if audit.partial:
        found.append(f"PARTIAL: {audit.partial}; this is what was known until then")
    found += audit.unwritten
    for host, roles in sorted(audit.unpromised.items()):
        if roles:
            found.append(f"{host} plays {', '.join(roles)}, which the inventory does not promise")
    if drafts := audit.unapproved:
        some = ", ".join(sorted(set(drafts.values())))
        place = min(drafts, key=lambda place: (place.rpartition(":")[0], len(place), place))
        found.append(f"{len(drafts)} drafted lines wait for an approved-by and promise nothing ({place} …): {some}")
    if old := eol.stale(today):
        found.append(f"{', '.join(old)}: the end-of-life table here has not been looked at for half a year")
    for leftover in audit.leftovers(today):
        entry = leftover.entry
        found.append(f"{entry.where}: the exception for {entry.control} on {entry.host} {leftover.why}")
    return [one_line(note) for note in found]


def total(audit: Audit) -> str:
    """The counts in one sentence."""
    counts = audit.counts()
    silent = [counts[word] for word in (Word.NOT_APPLICABLE, Word.TO_DECIDE, Word.NOT_ASSESSED)]
    hosts = len({found.host for found in audit.findings} & {target.name for target in audit.targets})
    counted = len(audit.counted)
    return (
        f"{counted} verdicts on {hosts} host{'s' * (hosts != 1)}: "
        f"{counted - sum(silent)} assessed, "
        f"{silent[0]} not applicable, {silent[1]} to decide, {silent[2]} not assessed"
    )


def tables(audit: Audit) -> Iterator[tuple[str, list[Word], list[tuple[str, list[int]]]]]:
    """The counts by chapter and by severity: name, columns, rows."""
    findings = audit.counted
    words = [word for word in Word if any(found.word is word for found in findings)]

    def rows(keys: Iterable[str], key: Callable[[Finding], str]) -> list[tuple[str, list[int]]]:
        counted = Counter((key(found), found.word) for found in findings)
        return [(name, [counted[name, word] for word in words]) for name in keys]

    chapters = sorted({found.control.chapter for found in findings})
    present = {found.control.severity for found in findings}
    severities = [str(severity) for severity in sorted(present, reverse=True)]
    yield "chapter", words, rows(chapters, lambda found: found.control.chapter)
    yield "severity", words, rows(severities, lambda found: str(found.control.severity))


def _table(name: str, words: list[Word], rows: list[tuple[str, list[int]]]) -> Iterator[str]:
    width = max(len(title) for title in (name, *(title for title, _ in rows))) + 2
    yield f"{name:<{width}}" + "  ".join(words)
    for title, counts in rows:
        cells = (f"{count or '·':>{len(word)}}" for count, word in zip(counts, words, strict=True))
        yield f"{title:<{width}}" + "  ".join(cells)
    yield ""
