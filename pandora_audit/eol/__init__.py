"""Until when releases get security fixes: the dated table beside this file."""

from __future__ import annotations

import datetime
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

_OLD_DAYS = 180


@dataclass(frozen=True, kw_only=True)
class Release:
    """One release of a product.

    Args:
        product: its name.
        number: the release, as the table writes it.
        until: the last day with security fixes; None where no end is set.
        extended: the last day with an extension; None without one.
        extended_by: the pattern of a package source that shows the extension; empty without one.
        as_of: when the row was true.
        source: who says so.
    """

    product: str
    number: str
    until: datetime.date | None
    extended: datetime.date | None
    extended_by: str
    as_of: datetime.date
    source: str

    def told(self, today: datetime.date, *, extension: bool = False) -> str:
        """The row as a phrase, with a warning where the table is old."""
        until = (self.extended or self.until) if extension else self.until
        end = f"gets security fixes until {until}" if until else "has no end of support set"
        if until and until < today:
            end = f"has had no security fixes since {until}"
        days = (today - self.as_of).days
        old = f"; the table is {days} days old: a newer one may say otherwise" if days > _OLD_DAYS else ""
        return f"{self.product} {self.number} {end} (as of {self.as_of}{old})"

    def ended(self, today: datetime.date, *, extension: bool = False) -> bool:
        until = (self.extended or self.until) if extension else self.until
        return until is not None and until < today


def stale(today: datetime.date) -> tuple[str, ...]:
    """The products whose table has not been looked at for long."""
    tables = [table for kind in _table().values() for table in kind.values()]
    return tuple(sorted(each["name"] for each in tables if (today - each["as_of"]).days > _OLD_DAYS))


def release(kind: str, product: str, version: str) -> Release | None:
    """The release of a distribution or a component that a version belongs to; None where the table has none.

    Args:
        kind: ``distributions`` or ``components``.
        version: with as many numbers as the machine tells; the longest release that it begins with counts.
    """
    table = _table()[kind].get(product)
    rows = {row["release"]: row for row in table["releases"]} if table else {}
    numbers = version.split(".")
    for length in range(len(numbers), 0, -1):
        row = rows.get(".".join(numbers[:length]))
        if table and row:
            return Release(
                product=table["name"],
                number=row["release"],
                until=None if row["until"] == "open" else row["until"],
                extended=row.get("extended"),
                extended_by=table.get("extended_by", ""),
                as_of=table["as_of"],
                source=table["source"],
            )
    return None


@functools.cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads((resources.files(__name__) / "releases.toml").read_text("utf-8"))
