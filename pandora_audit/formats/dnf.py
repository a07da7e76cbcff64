"""What rpm and dnf say, and what is written for dnf. Pure."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pandora_audit.question import Unreadable


@dataclass(frozen=True, kw_only=True)
class Package:
    """An installed package."""

    name: str
    version: str
    release: str
    vendor: str
    installed_at: int

    @property
    def modular(self) -> bool:
        """Whether it belongs to an Application Stream, which may end before the distribution does."""
        return ".module" in self.release


def installed(lines: Iterable[str]) -> tuple[Package, ...]:
    """The installed packages, from rows of name, version, release, seconds, vendor."""
    rows = (line.split("\t") for line in lines)
    return tuple(
        Package(name=row[0], version=row[1], release=row[2], installed_at=int(row[3]), vendor=row[4])
        for row in rows
        if len(row) == 5 and re.fullmatch(r"\d{1,12}", row[3]) and row[0] != "gpg-pubkey"
    )


@dataclass(frozen=True, kw_only=True)
class Advisory:
    """An update that an advisory offers for an installed package."""

    id: str
    severity: str
    package: str
    updated: datetime.date


def advisories(lines: Iterable[str]) -> tuple[Advisory, ...]:
    """The rows of ``dnf -v updateinfo list --security``: id, severity, package, date and time.

    Raises Unreadable for a row of an advisory in any other form.
    """
    pattern = r"(?:[i*] )?(\S+) +(\S+) +(\S+)-[^-\s]+-[^-\s]+ +(\d{4}-\d\d-\d\d) \d\d:\d\d:\d\d"
    found = []
    for line in lines:
        row = re.fullmatch(pattern, line.strip())
        day = _day(row[4]) if row else None
        if row and day:
            found.append(Advisory(id=row[1], severity=row[2], package=row[3], updated=day))
        elif "/Sec." in line or " security " in line:
            raise Unreadable(f"dnf's row of an advisory was not understood: {line.strip()[:100]}")
    return tuple(found)


def issued(lines: Iterable[str]) -> dict[str, datetime.date]:
    """When each advisory was issued first, from the ``<id>`` and ``<issued date=…`` of updateinfo.xml, in order."""
    found: dict[str, datetime.date] = {}
    last = ""
    for line in lines:
        if row := re.match(r"<id>([^<]+)", line):
            last = row[1]
        elif (row := re.match(r"<issued +date=\"([^\"]{10})", line)) and (day := _issue_day(row[1])) and last:
            found[last] = min(day, found.get(last, day))
    return found


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def _issue_day(text: str) -> datetime.date | None:
    """Some vendors write seconds since the epoch."""
    if re.fullmatch(r"\d{10}", text):
        return datetime.datetime.fromtimestamp(int(text), datetime.UTC).date()
    return _day(text)


@dataclass(frozen=True)
class Offered:
    """A newer version of an installed package, and the repository that has it."""

    package: str
    version: str
    repository: str


def offered(lines: Iterable[str]) -> tuple[Offered, ...]:
    """The rows of ``dnf check-update``, without what would only replace another package.

    A row that is too long for dnf goes on in the next line, after blanks.
    """
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("Obsoleting Packages"):
            break
        if line.startswith(" ") and rows:
            rows[-1] += line.split()
        else:
            rows.append(line.split())
    return tuple(Offered(row[0].rpartition(".")[0], row[1], row[2]) for row in rows if len(row) == 3 and "." in row[0])


@dataclass
class Repository:
    """A section of a .repo file, with what [main] says where it says nothing."""

    name: str
    where: str
    own: dict[str, tuple[str, str]] = field(default_factory=dict)
    main: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def says(self, key: str, default: str = "") -> str:
        return self.own.get(key, self.main.get(key, (default, "")))[0]

    @property
    def enabled(self) -> bool:
        return is_true(self.own.get("enabled", ("1", ""))[0])

    @property
    def place(self) -> str:
        return " ".join(self.own[key][0] for key in ("baseurl", "mirrorlist", "metalink") if key in self.own)

    @property
    def signed(self) -> bool:
        """Whether its packages' signatures are checked, or those of the list that holds their checksums."""
        return is_true(self.says("gpgcheck", "0")) or is_true(self.says("repo_gpgcheck", "0"))

    @property
    def cause(self) -> str:
        """The line that decides about signatures; the section where none does."""
        return self.own.get("gpgcheck", self.main.get("gpgcheck", ("", self.where)))[1]


def is_true(word: str) -> bool:
    """As dnf reads a switch."""
    return word.strip().lower() in ("1", "yes", "true", "on", "enabled")


def repositories(lines: Iterable[str]) -> tuple[tuple[Repository, ...], Mapping[str, str]]:
    """The repositories, and what [main] says, from ``grep -nH`` of the files; the last of two equal lines counts."""
    main: dict[str, tuple[str, str]] = {}
    found: dict[str, Repository] = {}
    section, file = "", ""
    for line in lines:
        row = re.fullmatch(r"(/[^:]*):(\d{1,9}):(.*)", line)
        if row is None:
            continue
        where, text = f"{row[1]}:{row[2]}", row[3].rstrip("\r")
        if row[1] != file:
            file, section = row[1], ""
        if head := re.match(r"\[([^\]]+)\]", text):
            section = head[1]
            if section != "main":
                found.setdefault(section, Repository(section, where, main=main))
        elif section and (pair := re.match(r"([a-z_]+)\s*=\s*(.*)", text)):
            own = main if section == "main" else found[section].own
            own[pair[1]] = (pair[2].strip(), where)
    return tuple(found.values()), {key: value for key, (value, _) in main.items()}


def locked(lines: Iterable[str]) -> tuple[str, ...]:
    """The versions that the versionlock plugin keeps, from ``grep -nH`` of its list."""
    rows = (re.fullmatch(r"/\S*/versionlock\.list:\d{1,9}:(\S+)\s*", line) for line in lines)
    return tuple(row[1] for row in rows if row)


def caches(lines: Iterable[str]) -> dict[str, int]:
    """When the metadata of each repository was last checked, from rows of seconds and the path of its repomd.xml."""
    found: dict[str, int] = {}
    for line in lines:
        if row := re.fullmatch(r"(\d{1,12}) \S*/([^/\s]+)-[0-9a-f]{16}/repodata/repomd\.xml", line):
            found[row[2]] = max(int(row[1]), found.get(row[2], 0))
    return found


def last_upgrade(lines: Iterable[str]) -> datetime.date | None:
    """The last day on which dnf.rpm.log tells of an upgrade that was completed."""
    days = (_day(line[:10]) for line in lines if " Upgraded: " in line)
    return max(filter(None, days), default=None)
