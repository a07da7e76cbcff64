"""The listening sockets of a machine, as ``ss`` prints them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pandora_audit.question import Unreadable

_OWNER = r'\("([^"]{0,64})",pid=(\d{1,10}),fd=\d{1,10}\)'
# In full, or not at all: a process may call itself what looks like a list of owners.
_OWNERS = re.compile(rf"users:\({_OWNER}(?:,{_OWNER})*\)")


@dataclass(frozen=True, order=True)
class Owner:
    """A process that holds a socket: what it calls itself, and its id."""

    name: str
    pid: str


@dataclass(frozen=True, order=True, kw_only=True)
class Socket:
    """A socket that waits for others.

    Args:
        address: where it is bound, without brackets; ``*``, ``0.0.0.0`` and ``::`` are everywhere.
        interface: the one that it is bound to, if any.
        owners: nobody where they were not shown, or the kernel itself listens.
    """

    protocol: str
    port: int
    address: str
    interface: str = ""
    owners: tuple[Owner, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return re.match(r"127\.|::1$|::ffff:127\.", self.address) is not None or self.interface == "lo"


def sockets(protocol: str, lines: Iterable[str]) -> Iterator[Socket]:
    """The rows of ``ss -ltn`` or ``ss -lun``, with ``-p`` or without. Raises Unreadable."""
    for line in lines:
        words = line.split(None, 5)
        if words[:1] == ["State"]:  # its titles
            continue
        if len(words) < 5:
            raise Unreadable(f"`ss` said {line[:100]!r}, which is no socket")
        place, _, port = words[3].rpartition(":")
        if not place or not re.fullmatch(r"\d{1,5}", port):
            raise Unreadable(f"`ss` said {line[:100]!r}, which has no address and port")
        address, _, interface = re.sub(r"[\[\]]", "", place).partition("%")
        yield Socket(protocol=protocol, port=int(port), address=address, interface=interface, owners=_owners(words[5:]))


def _owners(rest: list[str]) -> tuple[Owner, ...]:
    said = rest[0].strip() if rest else ""
    if not said.startswith("users:"):
        return ()
    if not _OWNERS.fullmatch(said):
        raise Unreadable(f"`ss` said {said[:100]!r}, which is no list of owners")
    return tuple(sorted({Owner(name, pid) for name, pid in re.findall(_OWNER, said)}))
