"""Which clauses of which norms a control is evidence for. A norm is one file beside this one, at its own pace.

``direct``: a pass is technical evidence for part of the clause. ``supporting``: related, and left out of scores.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Clause:
    """A clause of a norm that names a control.

    Args:
        norm: the norm's short name with its edition.
        title: what the clause asks, in our words.
        direct: whether a pass is evidence for it, or only related to it.
    """

    norm: str
    number: str
    title: str
    direct: bool


@functools.cache
def _all() -> tuple[tuple[str, Clause], ...]:
    files = sorted(resources.files(__name__).iterdir(), key=lambda file: file.name)
    return tuple(row for file in files if file.name.endswith(".toml") for row in _rows(file.read_text("utf-8")))


def _rows(text: str) -> Iterator[tuple[str, Clause]]:
    norm = tomllib.loads(text)
    for number, clause in norm["clauses"].items():
        for kind in ("direct", "supporting"):
            for control in clause.get(kind, ()):
                yield control, Clause(norm["name"], number, clause["title"], kind == "direct")


def clauses(control: str) -> tuple[Clause, ...]:
    """The clauses that name a control."""
    return tuple(clause for name, clause in _all() if name == control)


def named() -> frozenset[str]:
    """Every control that a norm names."""
    return frozenset(name for name, _ in _all())


@functools.cache
def phrase(control: str, *, direct: bool = True) -> str:
    """The clauses in one line: ``PCI DSS 4.0.1 2.2.6, 8.6.1 · ISO/IEC 27001:2022 A.8.2``; empty for none."""
    by_norm: dict[str, list[str]] = {}
    for clause in clauses(control):
        if clause.direct is direct:
            by_norm.setdefault(clause.norm, []).append(clause.number)
    return " · ".join(f"{norm} {', '.join(numbers)}" for norm, numbers in by_norm.items())
