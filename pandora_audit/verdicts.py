"""What was concluded on one host before: what a control that sums up asks for."""

from __future__ import annotations

from collections.abc import Iterable

from pandora_audit.finding import Finding
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import NotObserved
from pandora_audit.verdict import NotApplicable, Word


class Verdicts:
    """The findings on one host."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = sorted(findings, key=lambda found: found.key)

    def unmet(self, *chapters: str) -> Offences:
        """The claims of these chapters that do not hold; accepted risks are no offence.

        Raises NotObserved when some were not assessed and none failed, NotApplicable when none was judged.
        """
        mine = [found for found in self.findings if found.control.chapter in chapters]
        failed = [found for found in mine if found.word.is_finding]
        silent = [found.control.id for found in mine if found.word is Word.NOT_ASSESSED]
        if not failed and silent:
            raise NotObserved(f"{len(silent)} of {len(mine)} were not assessed: {', '.join(silent)}")
        if all(found.word is Word.NOT_APPLICABLE for found in mine):
            raise NotApplicable(f"no control of {' and '.join(chapters)} was judged on this host")
        offences = (Offence(subject=found.control.id, text=f"{found.control.id}: {found.word}") for found in failed)
        return Offences(offences, f"{len(mine)} controls, none of them unmet")
