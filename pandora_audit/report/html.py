"""The columns and the summary of pytest-html. It inserts cells as they are, so everything is escaped here."""

from __future__ import annotations

import datetime
import html
from collections.abc import Iterator

from pandora_audit.audit import Audit
from pandora_audit.finding import Finding
from pandora_audit.printable import printable
from pandora_audit.report import terminal

_COLUMNS = ("verdict", "severity", "control", "title", "host", "observed")


def header(cells: list[str]) -> None:
    """Ours instead of pytest's node id, duration and links; the result stays, for the page's own filter."""
    del cells[1:]
    cells += [f'<th class="sortable" data-column-type="{name}">{name.capitalize()}</th>' for name in _COLUMNS]


def row(found: Finding, cells: list[str]) -> None:
    values = (
        found.word.value,
        str(found.control.severity),
        found.control.id,
        found.control.title,
        found.host,
        found.told,
    )
    del cells[1:]
    cells += [
        f'<td class="col-{name}">{html.escape(printable(" ".join(value.split())))}</td>'
        for name, value in zip(_COLUMNS, values, strict=True)
    ]


def foreign_row(nodeid: str, cells: list[str]) -> None:
    """A site's own test, or a file that could not be collected, in the same columns."""
    del cells[1:]
    values = {"title": nodeid}
    cells += [f'<td class="col-{name}">{html.escape(values.get(name, ""))}</td>' for name in _COLUMNS]


def summary(audit: Audit, today: datetime.date) -> Iterator[str]:
    """The top of the page: the counts, and what the run has to say beside its verdicts."""
    for title, lines in terminal.summary(audit, today):
        if title in ("notes", "verdicts"):
            yield f"<h3>{html.escape(title)}</h3><pre>{html.escape(chr(10).join(lines))}</pre>"
