"""What inetd and xinetd start for whoever connects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """A service that is switched on: its name, the base name of its program, and the file that says so."""

    name: str
    program: str
    file: str


def inetd(lines: Iterable[str]) -> Iterator[Entry]:
    """Of lines of ``grep -H``, the services of inetd.conf; the program may stand behind tcpd."""
    for file, text in _lines(lines, r"/etc/inetd\."):
        words = text.split()
        if len(words) > 5 and not text.startswith("#"):
            program = words[6] if words[5].endswith("tcpd") and len(words) > 6 else words[5]
            yield Entry(words[0].rpartition(":")[2], program.rpartition("/")[2], file)


@dataclass
class _Block:
    kind: str
    name: str
    file: str
    said: dict[str, list[str]] = field(default_factory=dict)


def xinetd(lines: Iterable[str]) -> Iterator[Entry]:
    """Of lines of ``grep -H``, the services of xinetd that nothing disables; one that does not say so is enabled."""
    blocks = list(_blocks(lines))
    defaults = [block.said for block in blocks if block.kind == "defaults"]
    disabled = {name for said in defaults for name in said.get("disabled", ())}
    only = [said["enabled"] for said in defaults if "enabled" in said]
    for block in blocks:
        identity = (block.said.get("id") or [block.name])[0]
        off = block.said.get("disable") == ["yes"] or identity in disabled
        if block.kind == "service" and not off and (not only or identity in only[0]):
            program = (block.said.get("server") or [""])[0]
            yield Entry(block.name, program.rpartition("/")[2], block.file)


def _blocks(lines: Iterable[str]) -> Iterator[_Block]:
    block: _Block | None = None
    for file, text in _lines(lines, r"/etc/xinetd\."):
        head = re.match(r"(service)\s+(\S+)|(defaults)\b", text)
        setting = re.match(r"(\w+)\s*[-+]?=\s*(.*)", text)
        if head:
            block = _Block(head[1] or head[3], head[2] or "", file)
        elif block is None:
            continue
        elif setting:
            block.said.setdefault(setting[1], []).extend(setting[2].split())
        if block and text.endswith("}"):
            yield block
            block = None


def _lines(lines: Iterable[str], files: str) -> Iterator[tuple[str, str]]:
    for line in lines:
        file, colon, text = line.partition(":")
        if colon and re.match(files, file):
            yield file, text.strip()
