"""What apt says of packages, archives and sources, and what is written for it. Pure."""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

# apt's own names of the distributions' archives, by the Origin of their Release files.
EXTENSIONS = ("UbuntuESM", "UbuntuESMApps")
OFFICIAL = ("Debian", "Ubuntu", *EXTENSIONS)
_STATUS = "/var/lib/dpkg/status"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An archive, by the head of its Release file."""

    origin: str = ""
    label: str = ""
    suite: str = ""
    codename: str = ""
    date: datetime.datetime | None = None

    @property
    def secures(self) -> bool:
        """Whether it holds security updates and nothing else."""
        return self.label == "Debian-Security" or any(
            name.endswith("-security") for name in (self.suite, self.codename)
        )

    def is_of(self, other: Archive) -> bool:
        """Whether this is the other's Release file. One that names no suite has its code name alone."""
        mine, others = (self.origin, self.label, self.codename), (other.origin, other.label, other.codename)
        return mine == others and self.suite in ("", other.suite)

    @property
    def name(self) -> str:
        return " ".join(dict.fromkeys(filter(None, (self.label or self.origin, self.codename or self.suite))))


@dataclass(frozen=True)
class Version:
    """One version of a package, and the source lines that have it (without dpkg's own status)."""

    number: str
    sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package as ``apt-cache policy`` shows it.

    Args:
        versions: newest first, the installed one among them.
    """

    installed: str
    candidate: str
    versions: tuple[Version, ...]

    @property
    def newer(self) -> tuple[Version, ...]:
        """The versions above the installed one, newest first."""
        numbers = [each.number for each in self.versions]
        return self.versions[: numbers.index(self.installed)] if self.installed in numbers else ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that have the installed version."""
        return next((each.sources for each in self.versions if each.number == self.installed), ())

    @property
    def has_a_source(self) -> bool:
        """Whether any archive has any version of it."""
        return any(each.sources for each in self.versions)


def packages(lines: Iterable[str]) -> dict[str, Package]:
    """The installed packages by name, as ``apt-cache policy NAME…`` shows them."""
    found: dict[str, Package] = {}
    name = installed = candidate = number = ""
    versions: dict[str, list[str]] = {}

    def end() -> None:
        if name and installed not in ("", "(none)"):
            table = tuple(Version(each, tuple(sources)) for each, sources in versions.items())
            found[name] = Package(installed=installed, candidate=candidate, versions=table)

    for line in lines:
        if line and not line.startswith(" "):
            end()
            name, installed, candidate, number, versions = line.removesuffix(":"), "", "", "", {}
        elif row := re.match(r"  (Installed|Candidate): (\S+)", line):
            installed, candidate = (row[2], candidate) if row[1] == "Installed" else (installed, row[2])
        elif row := re.match(r" (?:\*\*\*|   ) (\S+)", line):
            number = row[1]
            versions.setdefault(number, [])
        elif (row := re.match(r" {5,} *-?\d{1,9} (\S.*)", line)) and number and row[1] != _STATUS:
            versions[number].append(row[1])
    end()
    return found


def archives(lines: Iterable[str]) -> dict[str, Archive]:
    """The archives by source line, as ``apt-cache policy`` without a name shows them."""
    found: dict[str, Archive] = {}
    source = ""
    for line in lines:
        if row := re.match(r" *-?\d{1,9} (\S.*)", line):
            source = row[1]
        elif (row := re.match(r" +release (.*)", line)) and source:
            parts = dict(part.split("=", 1) for part in row[1].split(",") if "=" in part)
            found[source] = Archive(
                origin=parts.get("o", ""),
                label=parts.get("l", ""),
                suite=parts.get("a", ""),
                codename=parts.get("n", ""),
            )
    found.pop(_STATUS, None)
    return found


def release_files(lines: Iterable[str]) -> tuple[Archive, ...]:
    """The heads of Release files, from ``grep -H`` of their fields."""
    heads: dict[str, dict[str, str]] = {}
    for line in lines:
        if row := re.fullmatch(r"([^:]+):(Origin|Label|Suite|Codename|Date): (.*)", line):
            heads.setdefault(row[1], {}).setdefault(row[2].lower(), row[3].strip())
    return tuple(
        Archive(**{name: text for name, text in head.items() if name != "date"}, date=_date(head.get("date", "")))
        for head in heads.values()
    )


def _date(text: str) -> datetime.datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


# --- what is written ---


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of packages, enabled.

    Args:
        options: by lower-case name.
        where: file and line.
    """

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    where: str

    @property
    def unsigned(self) -> str:
        """What in it lets unsigned packages in; empty for nothing."""
        for name in ("trusted", "allow-insecure"):
            if is_true(self.options.get(name, "no")):
                return f"{name}=yes"
        return ""


def is_true(word: str) -> bool:
    """As apt reads a switch."""
    return word.strip().lower() in ("yes", "true", "with", "on", "enable", "1")


def sources(lines: Iterable[str]) -> tuple[Source, ...]:
    """The enabled sources of binary packages, from ``grep -nH`` of every line of the files."""
    rows = (re.fullmatch(r"(/[^:]*):(\d{1,9}):(.*)", line, re.S) for line in lines)
    by_file: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        if row:
            by_file.setdefault(row[1], []).append((f"{row[1]}:{row[2]}", row[3].rstrip("\r")))
    return tuple(
        source
        for path, text in by_file.items()
        for source in (_stanzas(text) if path.endswith(".sources") else _one_liners(text))
    )


def _one_liners(text: Iterable[tuple[str, str]]) -> Iterator[Source]:
    for where, line in text:
        row = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)", line.partition("#")[0])
        if row:
            options = (word.partition("=") for word in (row[1] or "").split())
            named = {name.lower().rstrip("+-"): value for name, _, value in options}
            yield Source(uris=(row[2],), suites=(row[3],), options=named, where=where)


def _stanzas(text: Iterable[tuple[str, str]]) -> Iterator[Source]:
    fields: dict[str, str] = {}
    name = first = ""
    for where, line in (*text, ("", "")):
        if line.startswith("#"):
            continue
        if not line.strip():
            if "deb" in fields.get("types", "").split() and is_true(fields.get("enabled", "yes")):
                yield Source(
                    uris=tuple(fields.get("uris", "").split()),
                    suites=tuple(fields.get("suites", "").split()),
                    options=fields,
                    where=first,
                )
            fields, name, first = {}, "", ""
        elif line[0] in " \t":
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        else:
            key, _, value = line.partition(":")
            name = key.strip().lower()
            fields[name] = value.strip()
            first = first or where


def settings(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The values of ``apt-config dump`` by name; a list's values under its name."""
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        if row := re.fullmatch(r'([A-Za-z][^ "]*) "(.*)";', line):
            name = row[1].removesuffix("::")
            found[name] = (*found.get(name, ()), row[2])
    return found


@dataclass(frozen=True)
class Upgrade:
    """A run that upgraded everything it might: when, and whether it was apt-get's own, which installs nothing new."""

    day: datetime.date
    how: str


def upgrades(lines: Iterable[str]) -> tuple[Upgrade, ...]:
    """The runs of history.log that upgraded everything, and did not fail; ``Full:`` lines say what was called."""
    found: list[Upgrade] = []
    day: datetime.date | None = None
    how, failed = "", False
    for line in lines:
        key, _, value = line.partition(":")
        if key == "Start-Date":
            day, how, failed = _day(value.strip()), "", False
        elif key == "Full":
            how = value.strip()
        elif key == "Error":
            failed = True
        elif key == "End-Date" and day and how and not failed:
            found.append(Upgrade(day, how))
    return tuple(found)


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text[:10])
    except ValueError:
        return None
