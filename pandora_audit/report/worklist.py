"""What to change, in the order in which to do it: findings with one cause are one job."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources

from pandora_audit.control import Duty, Severity
from pandora_audit.finding import Finding
from pandora_audit.report import installer
from pandora_audit.verdict import Word

_EDITION = "Move to the edition that has the means, or have the risks accepted"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One job.

    Args:
        what: the change, as a phrase: the installer's entry, the title of the one control, or none.
        place: instead, the file and line that decide several controls.
        findings: those that it closes.
        left: what the vendor's installer left; empty for somebody's own doing.
        number: its place in the order.
        after: the numbers of the jobs that must be done before.
    """

    what: str = ""
    place: str = ""
    findings: tuple[Finding, ...]
    left: str = ""
    number: int = 0
    after: tuple[int, ...] = ()

    @property
    def severity(self) -> Severity:
        return max(found.control.severity for found in self.findings)

    @property
    def is_urgent(self) -> bool:
        """Whether it is severe, asked for, and done by an administrator alone: another edition has to be bought."""
        asked = any(found.control.duty is not Duty.CONSIDER for found in self.findings)
        return asked and self.severity >= Severity.HIGH and self.what != _EDITION

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(sorted({found.host for found in self.findings}))

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(sorted({found.control.id for found in self.findings}))

    @property
    def title(self) -> str:
        """What to do, or where."""
        return self.what or self.place

    @property
    def waits(self) -> str:
        """Which jobs come first, as a phrase."""
        return f"after {', '.join(map(str, self.after))}" if self.after else ""

    def __str__(self) -> str:
        waits = f"; {self.waits}" if self.waits else ""
        where = some(self.hosts)
        return f"{self.number}. {self.severity}  {self.title}: {', '.join(self.controls)}  ({where}{waits})"


def some(hosts: Sequence[str], most: int = 4) -> str:
    """The first hosts of a list by name, and how many more there are."""
    more = f" and {len(hosts) - most} more" if len(hosts) > most else ""
    return ", ".join(hosts[:most]) + more


def changes(findings: Iterable[Finding], roles: Mapping[str, Collection[str]] | None = None) -> tuple[Change, ...]:
    """The jobs that close these findings: the most severe first, then those that close the most, none before its time.

    Args:
        roles: the roles that each host plays, for what an installer does to some hosts only.
    """
    jobs: dict[tuple[str, str, str], list[Finding]] = {}
    places: dict[str, list[Finding]] = {}
    for found in (each for each in findings if each.word.is_finding):
        what, left = _cause(found, (roles or {}).get(found.host, ()))
        place = next(iter(found.causes)) if len(found.causes) == 1 and not left else ""
        if place and what == found.control.title:
            places.setdefault(place, []).append(found)
        else:
            jobs.setdefault((what, "", left), []).append(found)
    for place, group in places.items():
        # A line that decides one claim only is no cause of its own: another host may have it elsewhere.
        several = len({found.control.id for found in group}) > 1
        for found in group:
            jobs.setdefault(("", place, "") if several else (found.control.title, "", ""), []).append(found)
    made = [
        Change(what=what, place=place, left=left, findings=tuple(group)) for (what, place, left), group in jobs.items()
    ]
    ordered = list(_in_time(sorted(made, key=lambda each: (-each.severity, -len(each.findings), each.title))))
    numbers = {id(each): number for number, each in enumerate(ordered, 1)}
    return tuple(
        replace(
            each, number=numbers[id(each)], after=tuple(sorted(numbers[id(first)] for first in _first(each, ordered)))
        )
        for each in ordered
    )


def _cause(found: Finding, roles: Collection[str]) -> tuple[str, str]:
    """What to do, and what the vendor's installer left there; equal for the findings of one job."""
    if found.word is Word.EDITION:
        return _EDITION, ""
    entry = installer.explanation(found, roles)
    return (entry.change, entry.left) if entry else (found.control.title, "")


# --- what comes first ---


@functools.cache
def order() -> Mapping[str, tuple[str, ...]]:
    """The controls that must be met before others, by the later one."""
    table = tomllib.loads((resources.files("pandora_audit.report") / "order.toml").read_text("utf-8"))
    return {later: tuple(first) for later, first in table.items()}


def _first(change: Change, others: Iterable[Change]) -> list[Change]:
    """The jobs that must be done before one, where they are to be done at all."""
    if change.what == _EDITION:
        return []
    needed = {first for control in change.controls for first in order().get(control, ())} - {*change.controls}
    return [each for each in others if each is not change and needed & set(each.controls)]


def _in_time(wanted: list[Change]) -> Iterator[Change]:
    """In the given order, each after those that come first. What would go round in a circle stays in that order."""
    done: set[int] = set()

    def visit(change: Change) -> Iterator[Change]:
        if id(change) in done:
            return
        done.add(id(change))
        for each in _first(change, wanted):
            yield from visit(each)
        yield change

    for change in wanted:
        yield from visit(change)


def left(made: Iterable[Change]) -> tuple[Change, ...]:
    """The jobs that the vendor's installer has left."""
    return tuple(each for each in made if each.left)


def own(made: Iterable[Change]) -> tuple[Change, ...]:
    """The others."""
    return tuple(each for each in made if not each.left)


def headline(made: Collection[Change]) -> str:
    """``11 changes close 31 findings``."""
    closed, one = sum(len(each.findings) for each in made), len(made) == 1
    return f"{len(made)} change{'' if one else 's'} close{'s' if one else ''} {closed} finding{'s' * (closed != 1)}"
