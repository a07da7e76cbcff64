"""What findings stem from the vendor's installer, left as it was: the dated table beside this file."""

from __future__ import annotations

import datetime
import functools
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources

from pandora_audit.finding import Finding


@dataclass(frozen=True)
class Entry:
    """One thing that installers leave.

    Args:
        change: what mends it, as an order.
        left: what was left, as a sentence.
        roles: those of the hosts that it can be met on; none: all.
        closes: the controls that the change closes, each with all that it may have found.
    """

    change: str
    left: str
    roles: frozenset[str]
    closes: Mapping[str, re.Pattern[str]]

    def explains(self, found: Finding, roles: Collection[str]) -> bool:
        """Whether a finding is what was left here, and nothing else."""
        known = self.closes.get(found.control.id)
        if known is None or not found.offences or (self.roles and not self.roles & set(roles)):
            return False
        return all(known.fullmatch(text) for text in found.offences)


@functools.cache
def _table() -> Mapping[str, object]:
    return tomllib.loads((resources.files("pandora_audit.report") / "installer.toml").read_text("utf-8"))


@functools.cache
def entries() -> tuple[Entry, ...]:
    rows = _table()["entry"]
    assert isinstance(rows, list)
    return tuple(
        Entry(
            row["change"],
            row["left"],
            frozenset(row.get("roles", ())),
            {control: re.compile(text) for control, text in row["closes"].items()},
        )
        for row in rows
    )


def as_of() -> datetime.date:
    """When the table was true."""
    day = _table()["as_of"]
    assert isinstance(day, datetime.date)
    return day


def source() -> str:
    """Whose word the table is."""
    return str(_table()["source"])


def explanation(found: Finding, roles: Collection[str]) -> Entry | None:
    """The entry that a finding stems from; None for somebody's own doing."""
    return next((entry for entry in entries() if entry.explains(found, roles)), None)
