"""The first page, the columns and the look of pytest-html. It inserts text as it is, so everything is escaped here."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from typing import Any
from urllib.parse import quote

from pandora_audit.audit import Audit
from pandora_audit.control import Severity
from pandora_audit.finding import Finding
from pandora_audit.printable import one_line
from pandora_audit.report import installer, terminal, worklist
from pandora_audit.report.worklist import Change
from pandora_audit.verdict import Word

_COLUMNS = ("verdict", "severity", "control", "title", "host", "observed")
_MOST_LINKS = 12
_MOST_LINES = 25

_KINDS = {
    Word.COMPLIANT: "good",
    Word.ATTESTED: "good",
    Word.NOT_COMPLIANT: "bad",
    Word.EDITION: "bad",
    Word.ACCEPTED: "left",
    Word.TO_DECIDE: "ask",
    Word.NOT_ASSESSED: "unseen",
}
_LABELS = {
    "failed": "not compliant",
    "passed": "compliant",
    "skipped": "not applicable or to decide",
    "xfailed": "risk accepted",
    "error": "not assessed",
}


def label(outcomes: dict[str, dict[str, Any]]) -> None:
    """The page's own filter in the words of the audit."""
    for outcome, text in _LABELS.items():
        outcomes[outcome]["label"] = text


# --- the rows ---


def header(cells: list[str]) -> None:
    """Ours instead of pytest's node id, duration and links; the result stays, for the page's own filter."""
    del cells[1:]
    cells += [f'<th class="sortable" data-column-type="{name}">{name.capitalize()}</th>' for name in _COLUMNS]


def row(found: Finding, cells: list[str]) -> None:
    control = found.control
    _fill(cells, found.word.value, str(control.severity), control.id, control.title, found.host, found.told)
    kind = _KINDS.get(found.word, "")
    cells[1] = cells[1].replace('<td class="', f'<td id="{_anchor(found)}" class="{kind} ', 1)
    cells[2] = cells[2].replace('"col-severity"', f'"col-severity {control.severity}"', 1)


def foreign_row(nodeid: str, cells: list[str]) -> None:
    """A site's own test, or a file that could not be collected, in the same columns."""
    _fill(cells, "", "", "", nodeid, "", "")


def _fill(cells: list[str], *values: str) -> None:
    del cells[1:]
    cells += [
        f'<td class="col-{name}">{escape(one_line(value))}</td>' for name, value in zip(_COLUMNS, values, strict=True)
    ]


def _anchor(found: Finding) -> str:
    """The name of a finding's row; the same in an attribute and in an address."""
    return quote(f"{found.control.id}@{found.host}", safe="@").replace("%", "_")


def _link(found: Finding, text: str) -> str:
    return f'<a href="#{_anchor(found)}">{escape(one_line(text))}</a>'


def _links(findings: Iterable[Finding], name: Callable[[Finding], str]) -> str:
    """Links to rows under their names, each name once; many of them folded."""
    by_name: dict[str, Finding] = {}
    for found in findings:
        by_name.setdefault(name(found), found)
    links = [_link(found, text) for text, found in sorted(by_name.items())]
    if len(links) <= _MOST_LINKS:
        return ", ".join(links)
    shown, rest = ", ".join(links[:_MOST_LINKS]), ", ".join(links[_MOST_LINKS:])
    return f"{shown} <details><summary>and {len(links) - _MOST_LINKS} more</summary>{rest}</details>"


# --- the first page ---


def summary(audit: Audit, today: datetime.date) -> Iterator[str]:
    """The top of the page: what an administrator does next, what was met, what nobody saw."""
    yield f"<style>{(resources.files('pandora_audit.report') / 'report.css').read_text('utf-8')}</style>"
    made = worklist.changes(audit.counted, audit.roles)
    own, left = worklist.own(made), worklist.left(made)
    urgent = [each for each in own if each.is_urgent]
    yield _tiles(audit, urgent, left)
    yield f"<p>{escape(terminal.total(audit))}</p>"
    notes = terminal.notes(audit, today)
    if notes:
        yield f"<h3>Notes</h3><ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>"
    yield _section("bad", "to-fix", "To fix today", *_to_fix(own, left, audit.counts()[Word.NOT_ASSESSED]))
    if left:
        installed = "; ".join(dict.fromkeys(each.estate.installed for each in audit.coverage if each.estate.installed))
        of = f" (installed: {installed})" if installed else ""
        told = f"{worklist.headline(left)}, found exactly as the vendor's scripts and packages leave them{of}"
        origin = f"<p><small>As of {installer.as_of()}; {escape(installer.source())}.</small></p>"
        jobs = f"<p>{escape(told)}.</p>{_jobs(left)}"
        yield _section("left", "as-installed", "As the installer left it", jobs, origin)
    if asked := list(_to_decide(audit)):
        yield _section("ask", "to-decide", "To decide", _folded(asked))
    if unseen := list(_not_assessed(audit)):
        yield _section("unseen", "not-assessed", "Not assessed", _folded(unseen))
    tables = "".join(_table(name, words, rows) for name, words, rows in terminal.tables(audit))
    yield _section("good", "met", "All verdicts", tables, _took(audit))
    for coverage in audit.coverage:
        lines = "".join(f"<tr><th>{escape(title)}</th><td>{escape(text)}</td></tr>" for title, text in coverage)
        yield f'<h3>Coverage of {escape(coverage.deployment)}</h3><table class="coverage">{lines}</table>'


def _tiles(audit: Audit, urgent: Sequence[Change], left: Sequence[Change]) -> str:
    counts = audit.counts()
    beside = [f"{counts[word]} {word}" for word in (Word.ATTESTED, Word.ACCEPTED, Word.NOT_APPLICABLE) if counts[word]]
    tiles = (
        ("bad", "to-fix", len(urgent), "to fix today", _closing(urgent, "critical or high")),
        ("left", "as-installed", len(left), "as the installer left it", _closing(left, "")),
        ("ask", "to-decide", counts[Word.TO_DECIDE], "to decide", "only the site can say"),
        ("good", "met", counts[Word.COMPLIANT], "met", ", ".join(beside)),
        ("unseen", "not-assessed", counts[Word.NOT_ASSESSED], "not assessed", "nobody answered"),
    )

    def href(place: str, count: int) -> str:
        return f' href="#{place}"' if count or place in ("to-fix", "met") else ""

    return (
        '<nav class="tiles">'
        + "".join(
            f'<a class="{kind}"{href(place, count)}><b>{count}</b><span>{escape(title)}</span>'
            f"<small>{escape(beside)}</small></a>"
            for kind, place, count, title, beside in tiles
        )
        + "</nav>"
    )


def _closing(made: Sequence[Change], severity: str) -> str:
    return ", ".join(filter(None, (worklist.headline(made), severity))) if made else "nothing"


def _section(kind: str, place: str, title: str, *parts: str) -> str:
    return f'<section class="{kind}" id="{place}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def _to_fix(own: Sequence[Change], left: Sequence[Change], unseen: int) -> Iterator[str]:
    urgent = [each for each in own if each.is_urgent]
    if urgent:
        yield f"<p>{escape(worklist.headline(urgent))}, in the order in which to do them.</p>"
    else:
        beside = " but what the installer left" if left else ""
        silent = f"; {unseen} not assessed" if unseen else ""
        yield f"<p>Nothing critical or high was found{beside}{silent}.</p>"
    for change in left:
        if change.severity is Severity.CRITICAL:
            below = f'<a href="#as-installed">{change.number}. {escape(change.title)}</a>'
            yield f'<p>Before all others, below: <span class="critical">critical</span> {below}</p>'
    yield _jobs(urgent)
    if later := [each for each in own if not each.is_urgent]:
        head = f"Afterwards: {worklist.headline(later)}"
        yield f"<details><summary>{escape(head)}</summary>{_jobs(later)}</details>"


def _jobs(made: Iterable[Change]) -> str:
    return f'<ol class="jobs">{"".join(map(_job, made))}</ol>'


def _job(change: Change) -> str:
    severity = f'<span class="severity {change.severity}">{change.severity}</span>'
    controls = _links(change.findings, lambda found: found.control.id)
    hosts = _links(change.findings, lambda found: found.host)
    beside = [f"<small>{escape(change.waits)}</small>"] if change.waits else []
    lines = [" ".join((severity, f"<b>{escape(one_line(change.title))}</b>", *beside))]
    if change.left:
        lines.append(f"<small>{escape(change.left)}</small>")
    lines.append(f"<small>{controls} on {hosts}</small>")
    return f'<li value="{change.number}">{"<br>".join(lines)}{_how(change)}</li>'


def _how(change: Change) -> str:
    """The fixes of a change's controls, and what they may break, folded."""
    controls = {found.control.id: found.control for found in change.findings}
    told = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(each.fix)}<br><i>Impact:</i> {escape(each.impact)}</dd>"
        for name, each in sorted(controls.items())
    )
    return f'<details class="how"><summary>how, and what it may break</summary><dl>{told}</dl></details>'


def _to_decide(audit: Audit) -> Iterator[str]:
    """What the site has to say, each promise once, whoever waits for it."""
    groups: dict[str, list[Finding]] = {}
    for found in audit.sorted_findings:
        if found.word is Word.TO_DECIDE:
            names = dict.fromkeys(re.findall(r"audit_[a-z_]+", found.reason))
            groups.setdefault(" or ".join(names) or found.control.title, []).append(found)
    for name, group in sorted(groups.items(), key=lambda each: (-_severity(each[1]), -len(each[1]), each[0])):
        severity = f'<span class="severity {_severity(group)}">{_severity(group)}</span>'
        where = f"{_links(group, lambda found: found.control.id)} on {_links(group, lambda found: found.host)}"
        yield (
            f"<li>{severity} <b>{escape(name)}</b><br><small>{escape(one_line(group[0].reason, 300))}</small><br>"
            f"<small>{where}</small></li>"
        )


def _severity(group: Iterable[Finding]) -> Severity:
    return max(found.control.severity for found in group)


def _not_assessed(audit: Audit) -> Iterator[str]:
    """Why nobody answered, each reason once: a host that was not reached is one line, not a hundred."""
    groups: dict[str, list[Finding]] = {}
    for found in audit.sorted_findings:
        if found.word is Word.NOT_ASSESSED:
            groups.setdefault(found.reason, []).append(found)
    for reason, group in sorted(groups.items(), key=lambda each: (-len(each[1]), each[0])):
        controls, hosts = _links(group, lambda found: found.control.id), _links(group, lambda found: found.host)
        yield f"<li>{escape(one_line(reason, 300))}<br><small>{controls} on {hosts}</small></li>"


def _folded(items: list[str]) -> str:
    """A list, of which only the first lines are open."""
    shown, rest = "".join(items[:_MOST_LINES]), "".join(items[_MOST_LINES:])
    more = f"<details><summary>and {len(items) - _MOST_LINES} more</summary><ul class='asked'>{rest}</ul></details>"
    return f'<ul class="asked">{shown}</ul>{more if rest else ""}'


def _table(name: str, words: list[Word], rows: list[tuple[str, list[int]]]) -> str:
    head = "".join(f"<th>{escape(word)}</th>" for word in words)
    body = "".join(f"<tr><th>{escape(title)}</th>{_numbers(counts)}</tr>" for title, counts in rows)
    return f'<div class="scroll"><table class="verdicts"><tr><th>{escape(name)}</th>{head}</tr>{body}</table></div>'


def _numbers(counts: list[int]) -> str:
    return "".join(f"<td>{count or ''}</td>" for count in counts)


def _took(audit: Audit) -> str:
    """What the questions took, the slowest machines first."""
    slowest = sorted(audit.took.items(), key=lambda each: (-each[1].seconds, each[0]))
    if not slowest:
        return ""
    rows = "".join(
        f"<tr><th>{escape(host)}</th><td>{took.seconds:.1f} s</td>"
        f'<td class="text">{"<br>".join(_question(*each) for each in took.slowest)}</td></tr>'
        for host, took in slowest[:_MOST_LINES]
    )
    of = f", the slowest {_MOST_LINES} of {len(slowest)} hosts" if len(slowest) > _MOST_LINES else ""
    return (
        f"<details><summary>What the questions took{of}</summary>"
        f'<div class="scroll"><table class="verdicts"><tr><th>host</th><th>in all</th><th>slowest questions</th></tr>'
        f"{rows}</table></div></details>"
    )


def _question(seconds: float, question: str) -> str:
    return f"{seconds:.2f} s <code>{escape(one_line(question, 140))}</code>"
