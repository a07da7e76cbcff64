"""The eight words, and what a control or a fact raises to say the ones that an assertion cannot."""

from __future__ import annotations

import enum


class Word(enum.StrEnum):
    """A verdict. These eight and no others, in the terminal, in reports, in records."""

    COMPLIANT = "compliant"
    NOT_COMPLIANT = "not compliant"
    EDITION = "not compliant: edition"
    ACCEPTED = "risk accepted"
    NOT_APPLICABLE = "not applicable"
    TO_DECIDE = "to decide"
    ATTESTED = "attested"
    NOT_ASSESSED = "not assessed"

    @property
    def outcome(self) -> str:
        """How pytest calls it."""
        return _OUTCOMES[self]

    @property
    def is_finding(self) -> bool:
        return self in (Word.NOT_COMPLIANT, Word.EDITION)


_OUTCOMES = {
    Word.COMPLIANT: "passed",
    Word.NOT_COMPLIANT: "failed",
    Word.EDITION: "failed",
    Word.ACCEPTED: "xfailed",
    Word.NOT_APPLICABLE: "skipped",
    Word.TO_DECIDE: "skipped",
    Word.ATTESTED: "passed",
    Word.NOT_ASSESSED: "error",
}


class NotApplicable(Exception):  # noqa: N818  (a verdict, not a fault)
    """What the control protects does not exist on this machine. Its text says how that is known."""


class ToDecide(Exception):  # noqa: N818
    """A choice that only the site can make, and has not made. Its text names the promise that makes it."""


class Attested(Exception):  # noqa: N818
    """No command can see it; a person has answered for it. Its text says who, when, until."""


class UnmetEdition(AssertionError):  # noqa: N818
    """The edition of Pandora FMS lacks the means: not compliant, and said so."""
