"""What grep, and whatever else reads many files, says instead of lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pandora_audit.question import Answer, NotObserved, Unreadable

_NUMBERED = re.compile(r"(/[^:]*):(\d{1,9}):(.*)", re.S)
_BINARY = re.compile(r"Binary file (/.*) matches|(?:/\S*/)?grep: (/.*): binary file matches")


# A link that leads to itself leads to nothing, whoever follows it.
_NOT_THERE = ("No such file or directory", "Too many levels of symbolic links")


def nothing_withheld(answer: Answer) -> None:
    """Raises NotObserved when a program complained of anything but a file that is not there.

    Raises Unreadable for a file whose lines grep holds back.
    """
    for line in answer.err.decode("utf-8", "backslashreplace").splitlines():
        if path := binary(line):
            raise Unreadable(f"{path} is not text")
        if line and not any(said in line for said in _NOT_THERE):
            raise NotObserved(f"`{answer.question}` did not see everything: {line[:200]}")


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
