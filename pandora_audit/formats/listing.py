"""Lists of files: what ``ls -lab --time-style=+%s`` and ``getfacl`` print."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file or a folder."""

    path: str
    mode: str
    owner: str
    group: str
    written: int

    @property
    def is_folder(self) -> bool:
        return self.mode.startswith("d")

    @property
    def has_acl(self) -> bool:
        return self.mode.endswith("+")

    def bits(self, whose: int) -> str:
        """What the owner (0), the group (1) or the others (2) may, as ``rwx``; a capital stands for no ``x``."""
        return self.mode[1 + 3 * whose : 4 + 3 * whose].translate(str.maketrans("stST", "xx--"))


@dataclass(frozen=True)
class AclEntry:
    """One entry of an access list: user, group, mask or other; no name: the owner, or the owning group."""

    kind: str
    name: str
    bits: str


_LINE = re.compile(r"([-a-z][-rwxsStT]{9}[.+]?)\s+\d+\s+(\S+)\s+(\S+)\s+\d+(?:,\s*\d+)?\s+(\d{1,12}) (.*)")


def entries(lines: Iterable[str], folder: str) -> Iterator[Entry]:
    """The entries of a listing; ``folder`` is the one whose head is not printed. Links are not files."""
    for line in lines:
        if line.startswith("/") and line.endswith(":"):
            folder = line[:-1]
        found = _LINE.fullmatch(line)
        if found and found[5] != ".." and found[1][0] in "-d":
            path = posixpath.normpath(posixpath.join(folder, found[5]))
            yield Entry(path=path, mode=found[1], owner=found[2], group=found[3], written=int(found[4]))


def acls(lines: Iterable[str]) -> dict[str, tuple[AclEntry, ...]]:
    """The access lists that getfacl tells, by path; default lists, which hold for files to come, are left out."""
    found: dict[str, tuple[AclEntry, ...]] = {}
    path = ""
    for line in lines:
        if line.startswith("# file: "):
            path = line.removeprefix("# file: ")
        elif entry := re.match(r"(user|group|mask|other):([^:]*):([-rwx]{3})", line):
            found[path] = (*found.get(path, ()), AclEntry(*entry.groups()))
    return found
