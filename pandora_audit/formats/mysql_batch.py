"""What the MySQL or MariaDB client prints in ``--batch``: a row a line, its columns between tabs."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARKS = {"t": "\t", "n": "\n", "0": "\0", "\\": "\\"}


def rows(lines: Iterable[str]) -> list[tuple[str, ...]]:
    """The rows, with what the client escaped as it was."""
    return [tuple(map(_plain, line.split("\t"))) for line in lines]


def _plain(text: str) -> str:
    return re.sub(r"\\([tn0\\])", lambda mark: _MARKS[mark[1]], text)
