"""What is wrong, one by one: a typed set that a control asserts to be empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, order=True, kw_only=True)
class Offence:
    """One thing that violates a claim.

    Args:
        subject: its stable name; what an exception names to accept it.
        text: what was seen, as a phrase.
        layer: where it was seen: wire, process, next start or file.
        cause: the file and line that decide, where they are known.
    """

    subject: str
    text: str
    layer: str = ""
    cause: str = ""

    def __str__(self) -> str:
        place = ", ".join(part for part in (self.layer, self.cause) if part)
        return f"{self.text} [{place}]" if place else self.text


@dataclass(frozen=True)
class Offences:
    """The offences of one machine against one claim, and what was looked at to find them.

    Args:
        found: the offences, without doubles, in the order in which they should be read.
        seen: what the machine showed, as a phrase; the evidence when nothing is wrong.
    """

    found: tuple[Offence, ...]
    seen: str

    def __init__(self, found: Iterable[Offence], seen: str) -> None:
        object.__setattr__(self, "found", tuple(dict.fromkeys(found)))
        object.__setattr__(self, "seen", seen)

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Offence]:
        return iter(self.found)

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset(offence.subject for offence in self.found)

    @property
    def causes(self) -> frozenset[str]:
        """The files and lines that decide; none where that of an offence is not known."""
        causes = frozenset(offence.cause for offence in self.found)
        return frozenset() if "" in causes else causes

    def __str__(self) -> str:
        return "; ".join(map(str, self.found)) or self.seen

    __repr__ = __str__
