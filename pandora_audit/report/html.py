"""The columns, the summary and the look of pytest-html. It inserts text as it is, so everything is escaped here."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from html import escape
from typing import Any

from pandora_audit.audit import Audit
from pandora_audit.finding import Finding
from pandora_audit.printable import one_line
from pandora_audit.report import terminal, worklist
from pandora_audit.verdict import Word

_COLUMNS = ("verdict", "severity", "control", "title", "host", "observed")

_STYLE = """<style>
body { font-size: 14px; color: #222; max-width: 1500px; margin: 1.5em auto; }
h3 { color: #222; margin: 1em 0 .3em; }
p.run-count, p.filter { display: none; }
.verdicts { border-collapse: collapse; margin: .3em 0 1em; color: #222; }
.verdicts th, .verdicts td { padding: .3em .8em; border: 1px solid #ddd; text-align: right; }
.verdicts th:first-child { text-align: left; }
.coverage { color: #222; }
.coverage th { padding: .2em 1em .2em 0; text-align: left; font-weight: normal; white-space: nowrap; }
.coverage td { overflow-wrap: anywhere; }
.coverage th, .coverage td { vertical-align: top; }
#results-table, #environment td { color: #222; font-size: 13px; }
#results-table .col-verdict { font-weight: bold; white-space: nowrap; }
#results-table .col-control, #results-table .col-host { white-space: nowrap; }
#results-table .col-observed { overflow-wrap: anywhere; }
</style>"""

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


def header(cells: list[str]) -> None:
    """Ours instead of pytest's node id, duration and links; the result stays, for the page's own filter."""
    del cells[1:]
    cells += [f'<th class="sortable" data-column-type="{name}">{name.capitalize()}</th>' for name in _COLUMNS]


def row(found: Finding, cells: list[str]) -> None:
    control = found.control
    _fill(cells, found.word.value, str(control.severity), control.id, control.title, found.host, found.told)


def foreign_row(nodeid: str, cells: list[str]) -> None:
    """A site's own test, or a file that could not be collected, in the same columns."""
    _fill(cells, "", "", "", nodeid, "", "")


def _fill(cells: list[str], *values: str) -> None:
    del cells[1:]
    cells += [
        f'<td class="col-{name}">{escape(one_line(value))}</td>' for name, value in zip(_COLUMNS, values, strict=True)
    ]


def summary(audit: Audit, today: datetime.date) -> Iterator[str]:
    """The top of the page: the counts, and what the run has to say beside its verdicts."""
    yield _STYLE
    yield f"<p>{escape(terminal.total(audit))}</p>"
    for name, words, rows in terminal.tables(audit):
        yield _table(name, words, rows)
    if made := worklist.changes(audit.counted):
        jobs = "".join(f"<li>{escape(one_line(str(each)))}</li>" for each in made)
        yield f"<h3>{escape(worklist.headline(made))}</h3><ol>{jobs}</ol>"
    for word in (Word.TO_DECIDE, Word.NOT_ASSESSED):
        for title, lines in terminal.grouped(audit.sorted_findings, word):
            pairs = zip(lines[::2], lines[1::2], strict=True)
            asked = "".join(f"<li>{escape(reason)}<br><small>{escape(ids)}</small></li>" for reason, ids in pairs)
            yield f"<h3>{escape(title.capitalize())}</h3><ul>{asked}</ul>"
    for coverage in audit.coverage:
        covered = "".join(f"<tr><th>{escape(title)}</th><td>{escape(text)}</td></tr>" for title, text in coverage)
        yield f'<h3>Coverage of {escape(coverage.deployment)}</h3><table class="coverage">{covered}</table>'
    notes = terminal.notes(audit, today)
    if notes:
        yield f"<h3>Notes</h3><ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>"


def _table(name: str, words: list[Word], rows: list[tuple[str, list[int]]]) -> str:
    head = "".join(f"<th>{escape(word)}</th>" for word in words)
    body = "".join(f"<tr><th>{escape(title)}</th>{_numbers(counts)}</tr>" for title, counts in rows)
    return f'<table class="verdicts"><tr><th>{escape(name)}</th>{head}</tr>{body}</table>'


def _numbers(counts: list[int]) -> str:
    return "".join(f"<td>{count or ''}</td>" for count in counts)
