"""The accounts and groups of a machine, as ``getent`` lists them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """One line of passwd."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str

    @property
    def is_root(self) -> bool:
        return self.uid == 0

    @property
    def lives_at_home(self) -> bool:
        return self.home.startswith("/home/")

    def file(self, pattern: str) -> str:
        """The file that an AuthorizedKeysFile pattern of sshd names for this account."""
        tokens = {"h": self.home, "u": self.name, "U": str(self.uid), "%": "%"}
        path = re.sub("%([huU%])", lambda token: tokens[token[1]], pattern)
        return posixpath.normpath(posixpath.join(self.home, path))


@dataclass(frozen=True)
class Group:
    """One line of group; its members are those who do not have it as their first group."""

    name: str
    gid: int
    members: tuple[str, ...]


_NUMBER = re.compile(r"[0-9]{1,10}")


def accounts(lines: Iterable[str]) -> tuple[Account, ...]:
    """The accounts, without the doubles that two sources of one account make."""
    rows = (line.split(":") for line in lines)
    return tuple(
        dict.fromkeys(
            Account(row[0], int(row[2]), int(row[3]), row[5], row[6])
            for row in rows
            if len(row) > 6 and _NUMBER.fullmatch(row[2]) and _NUMBER.fullmatch(row[3])
        )
    )


def groups(lines: Iterable[str]) -> tuple[Group, ...]:
    rows = (line.split(":") for line in lines)
    return tuple(
        Group(row[0], int(row[2]), tuple(filter(None, row[3].split(","))))
        for row in rows
        if len(row) > 3 and _NUMBER.fullmatch(row[2])
    )
