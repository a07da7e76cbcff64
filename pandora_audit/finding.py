"""What was concluded: one control, one host, one word, and the evidence. Pure: nobody is asked, nothing is printed."""

from __future__ import annotations

import ast
import datetime
import inspect
import textwrap
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from pandora_audit import exceptions
from pandora_audit.control import Control
from pandora_audit.exceptions import SiteException
from pandora_audit.offence import Offences
from pandora_audit.question import Answer, NotObserved
from pandora_audit.verdict import Attested, NotApplicable, ToDecide, UnmetEdition, Word

_MOST_SHOWN = 2000


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One verdict, as every report tells it.

    Args:
        expected: the assertion, as the control writes it.
        observed: what the machine showed: offences with layer and cause, or what was looked at.
        reason: why there is no observation: not assessed, not applicable, to decide.
        subjects: the names of the offenders; what an exception can accept.
        causes: the files and lines that decided, where they are known of every offender.
        offences: what was wrong, one by one, without its place.
        accepted: the site's exceptions that cover all of them.
        evidence: the answers that the control read, in the order in which it read them.
        fault: whether the reason is a fault of the control or of this program, not of the machine.
    """

    control: Control
    host: str
    word: Word
    expected: str = ""
    observed: str = ""
    reason: str = ""
    subjects: frozenset[str] = frozenset()
    causes: frozenset[str] = frozenset()
    offences: tuple[str, ...] = ()
    accepted: tuple[SiteException, ...] = ()
    evidence: tuple[Answer, ...] = field(default=(), repr=False)
    fault: bool = False

    @property
    def told(self) -> str:
        """What was seen, or why nothing was: the one phrase that every report shows for a finding."""
        return self.observed or self.reason

    @property
    def key(self) -> tuple[str, str]:
        return self.control.id, self.host


def conclude(
    control: Control,
    host: str,
    arguments: Mapping[str, object],
    raised: BaseException | None,
    site: Iterable[SiteException],
    today: datetime.date,
    evidence: Iterable[Answer] = (),
) -> Finding:
    """The finding of a control that ended so: with nothing raised, or with what it raised.

    Args:
        arguments: what the control was called with, as far as it could be looked up.
        site: the exceptions of the site; those in force on the day turn a failure into an accepted risk.
        evidence: the answers that it read.
    """
    expected, seen = _assertion(control, arguments, raised)
    word, reason = _word(raised)
    subjects: frozenset[str] = frozenset()
    causes: frozenset[str] = frozenset()
    offences: tuple[str, ...] = ()
    accepted: tuple[SiteException, ...] = ()
    if word.is_finding:
        if isinstance(seen, Offences):
            subjects, causes, offences = seen.subjects, seen.causes, tuple(each.text for each in seen)
        coverage = exceptions.accept(tuple(site), control.id, host, subjects, today)
        if coverage.accepted:
            word, accepted = Word.ACCEPTED, coverage.by
    observed = _shown(seen) if word in (*_OBSERVED, Word.ACCEPTED) else ""
    return Finding(
        control=control,
        host=host,
        word=word,
        expected=expected,
        observed=observed[:_MOST_SHOWN],
        reason=reason[:_MOST_SHOWN],
        subjects=subjects,
        causes=causes,
        offences=offences,
        accepted=accepted,
        evidence=tuple(evidence),
        fault=word is Word.NOT_ASSESSED and not isinstance(raised, NotObserved),
    )


_OBSERVED = (Word.COMPLIANT, Word.NOT_COMPLIANT, Word.EDITION)
_BY_EXCEPTION: tuple[tuple[type[BaseException], Word], ...] = (
    (UnmetEdition, Word.EDITION),
    (AssertionError, Word.NOT_COMPLIANT),
    (NotObserved, Word.NOT_ASSESSED),
    (NotApplicable, Word.NOT_APPLICABLE),
    (ToDecide, Word.TO_DECIDE),
    (Attested, Word.ATTESTED),
)


def _word(raised: BaseException | None) -> tuple[Word, str]:
    if raised is None:
        return Word.COMPLIANT, ""
    for kind, word in _BY_EXCEPTION:
        if isinstance(raised, kind):
            return word, "" if word is Word.NOT_COMPLIANT else str(raised)
    name = type(raised).__name__
    return Word.NOT_ASSESSED, f"a fault of the control or of pandora-audit, not of the machine: {name}: {raised}"


@cache
def _assertions(control: Control) -> tuple[tuple[int, int, str, types.CodeType], ...]:
    """Of each assert of a control: first and last line, its text, and the code of what it looks at."""
    try:
        source, first = inspect.getsourcelines(control.test)
    except OSError:
        return ()
    tree = ast.parse(textwrap.dedent("".join(source)))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            looked_at = ast.Expression(_looked_at(node.test))
            code = compile(ast.fix_missing_locations(looked_at), control.id, "eval")
            end = (node.end_lineno or node.lineno) + first - 1
            found.append((node.lineno + first - 1, end, ast.unparse(node.test), code))
    return tuple(found)


def _looked_at(test: ast.expr) -> ast.expr:
    """What an assertion looks at: X of ``not X``; the container of ``a not in X``; the left of a comparison."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _looked_at(test.operand)
    if isinstance(test, ast.Compare):
        inside = isinstance(test.ops[0], ast.In | ast.NotIn)
        return test.comparators[0] if inside else test.left
    return test


def _assertion(control: Control, arguments: Mapping[str, object], raised: BaseException | None) -> tuple[str, object]:
    """The text of the assertion that decided, and the value that it looked at (None where it cannot be had again).

    Looking again is safe because facts are pure: the same answers give the same value.
    """
    found = _assertions(control)
    if not found:
        return "", None
    namespace = {**control.test.__globals__, **arguments}
    text, code = found[-1][2:]
    if isinstance(raised, AssertionError) and not isinstance(raised, UnmetEdition):
        frame = raised.__traceback__
        while frame is not None and frame.tb_frame.f_code is not control.test.__code__:
            frame = frame.tb_next
        if frame is not None:
            namespace |= frame.tb_frame.f_locals
            here = [row for row in found if row[0] <= frame.tb_lineno <= row[1]]
            text, code = (here or found)[-1][2:]
    elif raised is not None:
        return text, None
    try:
        return text, eval(code, namespace)  # noqa: S307  (the control's own expression, in its own names)
    except NameError:  # it reads a local variable of a control that passed
        return text, None


def _shown(value: object) -> str:
    if isinstance(value, Offences | str):
        return str(value)
    if isinstance(value, frozenset | set):
        return ", ".join(sorted(map(str, value))) or "none"
    return "" if value is None else repr(value)
