"""What grep says instead of lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pandora_audit.question import Unreadable

_NUMBERED = re.compile(r"(/[^:]*):(\d{1,9}):(.*)", re.S)
_BINARY = re.compile(r"Binary file (/.*) matches|grep: (/.*): binary file matches")


def binary(line: str) -> str:
    """The file whose lines grep holds back, because it is not text; empty when this is a line."""
    found = _BINARY.fullmatch(line)
    return (found[1] or found[2]) if found else ""


def numbered(lines: Iterable[str]) -> Iterator[tuple[str, int, str]]:
    """File, number and text of each line of ``grep -Hn``. Raises Unreadable for a file whose lines are held back."""
    for line in lines:
        if file := binary(line):
            raise Unreadable(f"{file} is not text")
        if found := _NUMBERED.fullmatch(line):
            yield found[1], int(found[2]), found[3]
