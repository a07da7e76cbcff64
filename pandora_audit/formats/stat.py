"""Lists of files: what ``stat -c %a:%U:%G:%F:%n`` prints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

SHAPE = "%a:%U:%G:%F:%n"
WITH_TIME = "%a:%U:%G:%Y:%F:%n"
"""The same with the time of the last change, which files alone have use for."""
_LINE = re.compile(r"([0-7]{1,5}):([^:]*):([^:]*):(?:(\d{1,12}):)?([^:\d][^:]*):(/.*)", re.S)


@dataclass(frozen=True)
class Entry:
    """A file or a folder, and who may do what with it."""

    mode: int
    owner: str
    group: str
    changed: int
    kind: str
    path: str

    @property
    def others_read(self) -> bool:
        return bool(self.mode & 0o004)

    @property
    def others_enter(self) -> bool:
        return bool(self.mode & 0o001)


def entries(lines: Iterable[str]) -> dict[str, Entry]:
    """The entries by path, in their order. Other lines are passed over."""
    found = (_LINE.fullmatch(line) for line in lines)
    return {
        each[6]: Entry(int(each[1], 8), each[2], each[3], int(each[4] or 0), each[5], each[6]) for each in found if each
    }
