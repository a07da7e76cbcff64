"""What a site accepts for a while: written exceptions, with two people's names and a last day."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pandora_audit import sitefile
from pandora_audit.sitefile import SiteError, Value, read_yaml

_REQUIRED = ("control", "host", "until", "requested_by", "approved_by", "reason")
_OPTIONAL = ("subject", "ticket")


@dataclass(frozen=True, kw_only=True)
class SiteException:
    """One entry of an exceptions file.

    Args:
        control: the control's id.
        host: a host's name, or a glob.
        until: the last day on which it is in force.
        subject: the offender as the control names it, or a glob; empty: the whole control on that host.
        where: ``file:line`` of the entry.
    """

    control: str
    host: str
    until: date
    requested_by: str
    approved_by: str
    reason: str
    subject: str = ""
    ticket: str = ""
    where: str = ""

    def in_force(self, today: date) -> bool:
        """Whether it still counts; its last day does."""
        return today <= self.until

    def concerns(self, control: str, host: str) -> bool:
        """Whether it speaks of this control on this host."""
        return self.control == control and glob(self.host, host)

    def covers(self, offenders: Collection[str]) -> frozenset[str]:
        """Those of a finding's offenders that it accepts."""
        return frozenset(each for each in offenders if not self.subject or glob(self.subject, each))


@dataclass(frozen=True)
class Coverage:
    """Whether a failed finding is accepted, by which entries, and which offenders nobody accepted."""

    accepted: bool
    by: tuple[SiteException, ...]
    uncovered: frozenset[str]


@dataclass(frozen=True)
class Leftover:
    """An entry that did nothing in this run; ``why`` completes the sentence "the exception …"."""

    entry: SiteException
    why: str


def beside(inventory: Path) -> Path:
    """Where the exceptions of an inventory are: ``production.yml`` → ``production.exceptions.yml``."""
    return inventory.with_suffix(".exceptions.yml")


def load(path: Path, known_controls: Collection[str]) -> tuple[SiteException, ...]:
    """The entries of an exceptions file; none when it is empty. Raises SiteError with file and line."""
    value = read_yaml(path)
    if value.data is not None and not isinstance(value.data, list):
        raise SiteError(f"{value.where}: exceptions are a list; begin each entry with a dash")
    return tuple(_entry(each, known_controls) for each in value.data or ())


def accept(
    entries: Iterable[SiteException], control: str, host: str, offenders: Collection[str], today: date
) -> Coverage:
    """What the entries in force accept of a failed finding: all of its offenders, or it stays failed.

    A finding without named offenders is accepted only by an entry without subject.
    """
    mine = [entry for entry in entries if entry.in_force(today) and entry.concerns(control, host)]
    by = tuple(entry for entry in mine if not entry.subject or entry.covers(offenders))
    uncovered = frozenset(offenders).difference(*(entry.covers(offenders) for entry in by))
    return Coverage(bool(by) and not uncovered, by, uncovered)


def leftovers(
    entries: Iterable[SiteException],
    used: Collection[SiteException],
    judged: Mapping[tuple[str, str], bool],
    hosts: Collection[str],
    today: date,
) -> tuple[Leftover, ...]:
    """The entries to renew or remove after a run.

    Args:
        used: the entries that covered something.
        judged: whether a control was compliant by itself, by (control, host); what is absent was not judged.
        hosts: the names of the audited hosts.
    """
    found = ((entry, _idle(entry, judged, hosts, today)) for entry in entries if entry not in used)
    return tuple(Leftover(entry, why) for entry, why in found if why)


def _idle(entry: SiteException, judged: Mapping[tuple[str, str], bool], hosts: Collection[str], today: date) -> str:
    """Why an unused entry did nothing; empty when this run cannot tell."""
    if not entry.in_force(today):
        return f"expired on {entry.until}"
    meant = [host for host in hosts if glob(entry.host, host)]
    if not meant:
        return f"covers nothing: no audited host is called {entry.host}"
    compliant = [judged.get((entry.control, host)) for host in meant]
    if None in compliant:
        return ""
    if all(compliant):
        return f"is no longer needed: {entry.control} is compliant on {', '.join(sorted(meant))}"
    return f"covers nothing: {entry.control} names no {entry.subject}"


def glob(pattern: str, text: str) -> bool:
    """Equality first: addresses and paths may hold brackets that mean themselves."""
    return pattern == text or fnmatch.fnmatchcase(text, pattern)


def _entry(value: Value, known_controls: Collection[str]) -> SiteException:
    pairs = sitefile.entry(value, "an exception", _REQUIRED, _OPTIONAL)
    sitefile.known_control(pairs["control"], known_controls)
    words = {key: each.text(key).strip() for key, each in pairs.items() if key != "until"}
    if _person(words["requested_by"]) == _person(words["approved_by"]):
        raise SiteError(f"{pairs['approved_by'].where}: who requests an exception does not approve it (four eyes)")
    return SiteException(until=pairs["until"].day("until"), where=value.where, **words)


def _person(name: str) -> str:
    return " ".join(name.split()).casefold()
