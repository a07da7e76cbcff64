"""The accounts and groups of a machine, as ``getent`` lists them, and the states of their passwords."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pandora_audit.question import Unreadable


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


@dataclass(frozen=True)
class Password:
    """What a password field says without its hash.

    Args:
        kind: ``empty``, the scheme of the hash, or ``-`` for what no password fits.
        expires: the day of the epoch from which on nobody enters; None for never.
    """

    kind: str
    locked: bool
    expires: int | None

    @property
    def is_set(self) -> bool:
        return not self.locked and self.kind not in ("-", "empty")

    @property
    def is_empty(self) -> bool:
        return not self.locked and self.kind == "empty"


_STATE = re.compile(r"/etc/(passwd|shadow):([^:]+):([01]):([\w-]{0,16}):(-?[0-9]{0,9})")


def passwords(lines: Iterable[str]) -> dict[tuple[str, str], Password]:
    """The states of password fields as the question PASSWORD_STATES tells them, by file and account.

    Raises Unreadable for anything else, and where root is in neither file.
    """
    found: dict[tuple[str, str], Password] = {}
    for line in lines:
        row = _STATE.fullmatch(line)
        if row is None:
            raise Unreadable(f"`awk` said {line[:100]!r} of an account")
        file, name, locked, kind, day = row.groups()
        found[file, name] = Password(kind or "-", locked == "1", int(day) if day.isdecimal() else None)
    if not any(name == "root" for _, name in found):
        raise Unreadable("neither passwd nor shadow lists root")
    return found
