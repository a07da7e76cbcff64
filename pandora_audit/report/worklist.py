"""What to change, in the order in which to do it: findings with one cause are one job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pandora_audit.finding import Finding


@dataclass(frozen=True)
class Change:
    """One job.

    Args:
        place: the file and line that decide, or the control where no single line does.
        findings: those that it closes.
    """

    place: str
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> int:
        return max(found.control.severity for found in self.findings)

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(sorted({found.host for found in self.findings}))

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(sorted({found.control.id for found in self.findings}))

    def __str__(self) -> str:
        severity = max(found.control.severity for found in self.findings)
        alone = self.controls == (self.place,)
        what = f": {self.findings[0].control.title}" if alone else f": {', '.join(self.controls)}"
        return f"{severity}  {self.place}{what}  ({some(self.hosts)})"


def some(hosts: Sequence[str], most: int = 4) -> str:
    """The first hosts of a list by name, and how many more there are."""
    more = f" and {len(hosts) - most} more" if len(hosts) > most else ""
    return ", ".join(hosts[:most]) + more


def changes(findings: Iterable[Finding]) -> tuple[Change, ...]:
    """The jobs that close these findings: the most severe first, then those that close the most."""
    jobs: dict[str, list[Finding]] = {}
    for found in findings:
        if found.word.is_finding:
            place = next(iter(found.causes)) if len(found.causes) == 1 else found.control.id
            jobs.setdefault(place, []).append(found)
    made = (Change(place, tuple(group)) for place, group in jobs.items())
    return tuple(sorted(made, key=lambda each: (-each.severity, -len(each.findings), each.place)))


def headline(made: tuple[Change, ...]) -> str:
    """``11 changes close 31 findings``."""
    closed, one = sum(len(each.findings) for each in made), len(made) == 1
    return f"{len(made)} change{'' if one else 's'} close{'s' if one else ''} {closed} finding{'s' * (closed != 1)}"
