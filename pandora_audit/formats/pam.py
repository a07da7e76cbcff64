"""PAM's stacks: one facility of one service, its includes resolved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pandora_audit.formats.grep import binary
from pandora_audit.question import Unreadable


@dataclass(frozen=True)
class Module:
    """One module of a stack: how its result counts, its file name, its arguments."""

    control: str
    name: str
    arguments: tuple[str, ...]

    @property
    def can_refuse(self) -> bool:
        """Whether its failure makes the stack fail."""
        if self.control.startswith("["):
            return re.search(r"=(bad|die)\b", self.control) is not None
        return self.control not in ("optional", "sufficient")


_LINE = re.compile(r"-?(auth|account|session|password)\s+(\[[^\]]*\]|\S+)\s+(\S+)\s*(.*)", re.I)


def files(lines: Iterable[str]) -> dict[str, list[str]]:
    """The lines of ``grep -H`` by the base name of their file; a backslash at the end joins the next one."""
    found: dict[str, list[str]] = {}
    for line in lines:
        path, colon, text = line.partition(":")
        if not colon or binary(line):
            continue
        said = found.setdefault(_base(path), [])
        before = said.pop()[:-1] + " " if said and said[-1].endswith("\\") else ""
        said.append(before + text.partition("#")[0].strip())
    return found


def stack(by_file: Mapping[str, list[str]], service: str, facility: str) -> tuple[Module, ...]:
    """The modules that one facility of a service runs. Raises Unreadable for a missing or circular include."""
    return tuple(_modules(by_file, service, facility, 0))


def _modules(by_file: Mapping[str, list[str]], service: str, facility: str, depth: int) -> Iterator[Module]:
    if service not in by_file or depth > 16:
        raise Unreadable(f"PAM's {service} could not be followed")
    for text in by_file[service]:
        if text.lower().startswith("@include "):
            yield from _modules(by_file, _base(text.split()[-1]), facility, depth + 1)
            continue
        line = _LINE.match(text)
        if line is None or line[1].lower() != facility:
            continue
        if line[2].lower() in ("include", "substack"):
            yield from _modules(by_file, _base(line[3]), facility, depth + 1)
        else:
            yield Module(line[2].lower(), _base(line[3]), tuple(line[4].split()))


def _base(path: str) -> str:
    return path.rpartition("/")[2]
