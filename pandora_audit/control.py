"""A recommendation of the guide, before any machine is asked about it."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pandora_audit.promises import KINDS


class Severity(enum.IntEnum):
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    def __str__(self) -> str:
        return self.name.lower()


class Level(enum.Enum):
    """Where a control comes from, and from which ``--level`` on it is judged."""

    GUIDE = ("G", "guide")
    """The guide says it."""
    BYPASS = ("B", "guide")
    """Without it a recommendation of the guide could be green and false."""
    PLUGIN = ("P", "hardened")
    """On the check list of the security plugin that the guide deploys."""
    HYGIENE = ("H", "hardened")
    """Usual hygiene."""
    STRICT = ("S", "strict")

    def within(self, chosen: str) -> bool:
        return LEVELS.index(self.value[1]) <= LEVELS.index(chosen)


VERDICTS = "verdicts"
"""The argument by which a control asks for what was concluded on the same host before."""

LEVELS = ("guide", "hardened", "strict")


class Duty(enum.StrEnum):
    MUST = "must"
    IF = "if"
    """Where a condition is promised or detected; else to decide."""
    CONSIDER = "consider"
    """Unmet, it does not break a build."""
    OR = "or"
    """Met by this or by the named alternative."""


class Subject(enum.StrEnum):
    HOST = "host"
    DEPLOYMENT = "deployment"
    PERSON = "person"


class ControlError(Exception):
    """A control is not written as the house writes them. The text has file and line."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """One control. Everything that reports and selections know of it; nothing is said twice.

    Args:
        id: permanent; ``chapter.claim-in-small``.
        title: the compliant state as one sentence.
        why, fix, impact: the docstring's parts; impact says what the fix may break and what to fix first.
        test: the function that judges; its parameters name the facts it needs.
        needs: those names.
        promises: the site's promises that the function reads, found in its code.
        chapter: the id's first part.
        attestable: whether a person may answer for what no command saw: an alternative, a machine of others.
        from_server: whether the server can tell it of an EndPoint that is not entered.
        rollup: whether it sums up other verdicts: shown, but in no count and at no gate.
    """

    id: str
    severity: Severity
    level: Level
    duty: Duty
    subject: Subject
    title: str
    why: str
    fix: str
    impact: str
    test: Callable[..., None] = field(repr=False, compare=False)
    needs: tuple[str, ...]
    promises: tuple[str, ...]
    chapter: str
    attestable: bool = False
    from_server: bool = False
    rollup: bool = False

    @property
    def reads_verdicts(self) -> bool:
        """Whether it is judged after the others on its host."""
        return VERDICTS in self.needs


_ID = re.compile(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*")


def control(
    id: str,
    severity: Severity,
    *,
    level: Level = Level.GUIDE,
    duty: Duty = Duty.MUST,
    subject: Subject = Subject.HOST,
    attestable: bool = False,
    from_server: bool = False,
    rollup: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a test function a control. Raises ControlError for a docstring without its parts."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        title, parts = _prose(test)
        test.__control__ = Control(  # type: ignore[attr-defined]
            id=_identity(id, test),
            severity=severity,
            level=level,
            duty=duty,
            subject=subject,
            title=title,
            test=test,
            needs=tuple(inspect.signature(test).parameters),
            promises=tuple(sorted(set(test.__code__.co_names) & set(KINDS))),
            chapter=id.partition(".")[0],
            attestable=attestable or duty is Duty.OR or subject is Subject.PERSON,
            from_server=from_server,
            rollup=rollup,
            **parts,
        )
        return test

    return mark


def control_of(function: object) -> Control | None:
    return getattr(function, "__control__", None)


def _where(test: Callable[..., Any]) -> str:
    return f"{test.__code__.co_filename}:{test.__code__.co_firstlineno}: {test.__name__}"


def _identity(text: str, test: Callable[..., Any]) -> str:
    if not _ID.fullmatch(text):
        raise ControlError(f"{_where(test)}: {text!r} is no id; write chapter.claim-in-small")
    return text


def _prose(test: Callable[..., Any]) -> tuple[str, Mapping[str, str]]:
    """Title, and why, fix and impact, of a control's docstring."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(test.__doc__ or ""))
    title = " ".join(paragraphs[0].split()).rstrip(".")
    parts = {"why": "", "fix": "", "impact": ""}
    for paragraph in paragraphs[1:]:
        words = " ".join(paragraph.split())
        label, colon, rest = words.partition(": ")
        name = label.lower() if colon and label in ("Fix", "Impact") else "why"
        parts[name] = f"{parts[name]} {rest if name != 'why' else words}".strip()
    missing = [name for name, text in (("title", title), *parts.items()) if not text]
    if missing:
        raise ControlError(f"{_where(test)}: the docstring lacks {', '.join(missing)}")
    return title, parts
