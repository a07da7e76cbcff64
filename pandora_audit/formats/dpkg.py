"""What dpkg knows of packages and wrote of its runs. Pure."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Package:
    """An installed package; ``source`` is the package that it was built from."""

    name: str
    version: str
    source: str
    held: bool


def installed(lines: Iterable[str]) -> dict[str, Package]:
    """The installed packages by name, from rows of selection and status, name, version, source."""
    found = {}
    for line in lines:
        row = line.split("\t")
        if len(row) == 4 and re.match(r"[hiu]i", row[0]):
            found[row[1]] = Package(name=row[1], version=row[2], source=row[3], held=row[0].startswith("h"))
    return found


def unpacked(lines: Iterable[str]) -> dict[str, int]:
    """When each package was unpacked, from rows of seconds and the path of its list of files."""
    rows = (re.fullmatch(r"(\d{1,12}) (?:\S*/)?([^/]+)\.list", line) for line in lines)
    return {row[2]: int(row[1]) for row in rows if row}


def last_upgrade(lines: Iterable[str]) -> datetime.date | None:
    """The last day on which dpkg.log tells of an upgrade whose version was installed afterwards."""
    begun: set[tuple[str, str]] = set()
    completed: list[datetime.date] = []
    for line in lines:
        words = line.split()
        if len(words) != 6:
            continue
        if words[2] == "upgrade":
            begun.add((words[3], words[5]))
        elif words[2:4] == ["status", "installed"] and (words[4], words[5]) in begun and (day := _day(words[0])):
            completed.append(day)
    return max(completed, default=None)


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None
