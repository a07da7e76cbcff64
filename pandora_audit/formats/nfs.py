"""Mounts as the kernel shows them, and exports as exports(5) writes them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """Where something is mounted, what it is, from where it comes, and with which options."""

    point: str
    kind: str
    source: str
    options: frozenset[str]

    @property
    def is_nfs(self) -> bool:
        return self.kind in ("nfs", "nfs4")

    def option(self, name: str) -> str:
        """The value of an option; empty where it has none."""
        return next((each.partition("=")[2] for each in self.options if each.startswith(f"{name}=")), "")

    @property
    def server(self) -> str:
        """The machine that an NFS mount comes from, as it was named."""
        return self.source.rpartition(":/")[0].strip("[]")


def mounts(lines: Iterable[str]) -> dict[str, Mount]:
    """The lines of mountinfo by mount point; of several, the last one covers the others."""
    found = {}
    for line in lines:
        before, dash, after = line.partition(" - ")
        first, last = before.split(" "), after.split(" ")
        if dash and len(first) >= 6 and len(last) >= 3:
            point = _plain(first[4])
            options = frozenset((*first[5].split(","), *last[2].split(",")))
            found[point] = Mount(point, last[0], _plain(last[1]), options)
    return found


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda code: chr(int(code[1], 8)), text)


@dataclass(frozen=True)
class Export:
    """A folder, a client that may mount it, with which options; and the file and line that say so."""

    path: str
    client: str
    options: tuple[str, ...]
    cause: str

    @property
    def kerberos(self) -> bool:
        """Whether only who has a ticket gets anything."""
        flavours = [flavour for each in self.options if each.startswith("sec=") for flavour in each[4:].split(":")]
        return bool(flavours) and all(flavour.startswith("krb5") for flavour in flavours)

    @property
    def squashes_root(self) -> bool:
        """Whether a client's root is nobody here: unless it is switched off; the last word counts."""
        words = [each for each in self.options if each in ("root_squash", "no_root_squash")]
        return "all_squash" in self.options or words[-1:] != ["no_root_squash"]

    @property
    def names_its_client(self) -> bool:
        """Whether the client is one machine, or a group of named ones; not a pattern, a network or everybody."""
        if re.search(r"[*?\[]", self.client) or not self.client:
            return False
        if self.client.startswith("@"):
            return True
        try:
            return ipaddress.ip_network(self.client, strict=False).num_addresses == 1
        except ValueError:
            return "/" not in self.client


def exports(lines: Iterable[tuple[str, str]]) -> Iterator[Export]:
    """The exports that lines make, each line with its cause: of /etc/exports, of its folder, of the kernel's table.

    A backslash at the end joins the next line; a dash begins options for the clients behind it; a blank before a
    parenthesis makes it everybody's.
    """
    joined = ""
    for cause, line in lines:
        joined += line
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        yield from _exports(joined, cause)
        joined = ""


def _exports(line: str, cause: str) -> Iterator[Export]:
    found = re.match(r'\s*(?:"([^"]*)"|([^\s"#]\S*))\s*(.*)', line)
    if found is None:
        return
    path = _plain(found[1] if found[1] is not None else found[2])
    common: tuple[str, ...] = ()
    clients = found[3].partition("#")[0].split()
    for word in clients or ["*"]:
        client, _, options = word.partition("(")
        if word.startswith("-"):
            common = tuple(word[1:].split(","))
            continue
        yield Export(path, client, (*common, *filter(None, options.rstrip(")").split(","))), cause)
