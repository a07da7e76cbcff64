"""A fact: its questions as data, and a pure reading of the answers, field by field."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache, cached_property
from typing import Any, ClassVar

from pandora_audit.baseline import Section
from pandora_audit.promises import Promises
from pandora_audit.question import Answer, Answers, Question, Role, Shell, Wire
from pandora_audit.verdict import ToDecide


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Everything that a fact may read: one machine's answers and what its site promised.

    Args:
        asked_at: when the machine was asked, in seconds since the epoch, by the auditor's clock.
    """

    answers: Answers
    wire: Wire = field(default_factory=Wire)
    promises: Promises = field(default_factory=Promises)
    asked_at: float = 0.0

    @property
    def day(self) -> date:
        """The day on which the machine was asked."""
        return datetime.fromtimestamp(self.asked_at, UTC).date()

    def accepted(self, section: str) -> Section:
        """What the site's baseline accepts of this machine. Raises ToDecide where none is in force."""
        if self.promises.baseline is None:
            raise ToDecide("no baseline of this machine is promised: `pandora-audit baseline propose`, audit_baseline")
        return self.promises.baseline.section(section, self.day)


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class _Reading:
    """A property of a fact that is worked out once, and remembers which answers it was made of.

    Whoever uses it has read those, first or second: evidence does not depend on who came first.
    """

    def __init__(self, made: cached_property[Any]) -> None:
        self._work_out, self.__doc__ = made.func, made.__doc__

    def __get__(self, fact: Fact | None, kind: type[Fact]) -> Any:
        if fact is None:
            return self
        if self in fact._worked_out:
            value, read = fact._worked_out[self]
            fact.answers.was_read(read)
        else:
            with fact.answers.reading() as read:
                value = self._work_out(fact)
            fact._worked_out[self] = value, read
        return value


class Fact:
    """One component of a machine, in the words of its administrator.

    A subclass declares its questions and reads them in properties, each of which answers, or raises NotObserved
    when nobody answered what it reads. Its name, in snake case, is what tests ask for.

    Where Windows answers other questions, ``class OnWindows(Component, windows=True)`` reads those: the same
    component under the same name, for the same tests. ``registered=False`` is for a form that the audit itself puts
    in its base's place: no test asks for it, and no machine is asked for its sake.
    """

    questions: ClassVar[tuple[Question, ...]] = ()
    role: ClassVar[Role | None] = None
    section: ClassVar[str] = ""
    """The section of a baseline that this fact proposes; none for most."""
    on_windows: ClassVar[type[Fact] | None] = None
    """The form that this fact has on Windows; none for what only Unix has."""
    _called: ClassVar[str]

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.answers = seen.answers
        self._worked_out: dict[_Reading, tuple[Any, Mapping[str, Answer]]] = {}

    def __init_subclass__(cls, *, windows: bool = False, registered: bool = True) -> None:
        for name, made in [*vars(cls).items()]:
            if isinstance(made, cached_property):
                setattr(cls, name, _Reading(made))
        if windows:
            cls.__base__.on_windows = cls  # type: ignore[union-attr]
        elif registered:
            cls._called, cls.on_windows = snake_case(cls.__name__), None
            FACTS[cls._called] = cls

    @classmethod
    def fact_name(cls) -> str:
        return cls._called

    @classmethod
    def form(cls, shell: Shell) -> type[Fact]:
        """What reads this fact on a machine that is asked in this language."""
        return cls.on_windows if shell is Shell.POWERSHELL and cls.on_windows else cls

    @classmethod
    def first(cls, promises: Promises) -> tuple[Question, ...]:
        """The questions of the first trip; what they name may depend on what the site promised."""
        return cls.questions

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        """The questions of the second trip: what depends on an answer. Raises NotObserved if they cannot be known."""
        return ()

    def proposal(self) -> Section:
        """What is on the machine now, as its section of a baseline would accept it. Raises NotObserved."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{self.fact_name()}>"


FACTS: dict[str, type[Fact]] = {}


def known_facts() -> Mapping[str, type[Fact]]:
    """Every fact by name: the modules of ``facts/``, and whatever a site's own modules have declared."""
    _import_facts()
    return FACTS


@cache
def _import_facts() -> None:
    package = importlib.import_module("pandora_audit.facts")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"pandora_audit.facts.{module.name}")
