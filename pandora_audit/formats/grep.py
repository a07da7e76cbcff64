"""What grep says instead of lines."""

from __future__ import annotations

import re

_BINARY = re.compile(r"Binary file (/.*) matches|grep: (/.*): binary file matches")


def binary(line: str) -> str:
    """The file whose lines grep holds back, because it is not text; empty when this is a line."""
    found = _BINARY.fullmatch(line)
    return (found[1] or found[2]) if found else ""
