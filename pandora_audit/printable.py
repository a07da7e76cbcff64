"""What a machine said, made harmless for terminals and logs."""

from __future__ import annotations

import re

# Control characters, the C1 range, and the marks that reorder text (a host must not write its own verdict).
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def printable(text: str, most: int = 0) -> str:
    """The text with its control characters spelled out, shortened to ``most`` characters if that is given."""
    clean = _HARMFUL.sub(lambda mark: f"\\x{ord(mark[0]):02x}", text)
    return clean if not most or len(clean) <= most else clean[: most - 1] + "…"


def one_line(text: str, most: int = 0) -> str:
    return printable(" ".join(text.split()), most)
