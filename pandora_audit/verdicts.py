"""What was concluded on one host before: what a control that sums up asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pandora_audit.finding import Finding
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import NotObserved
from pandora_audit.verdict import NotApplicable, ToDecide, Word


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

    def confirmed(self, alarms: Mapping[str, tuple[str, ...]]) -> Offences:
        """The alarms of somebody else that our own controls confirm, each with the controls that judge the same.

        What they deny, what is accepted, and what they have no word for, is a note. Where none is confirmed, raises
        NotObserved for an alarm of which a control was not judged or not assessed, ToDecide for one of which a control
        waits for the site.
        """
        words = {found.control.id: found.word for found in self.findings}
        found, notes, silent, waiting = [], [], [], []
        for alarm, ids in sorted(alarms.items()):
            same: dict[Word, list[str]] = {word: [] for word in Word}
            for name in ids:
                same[words.get(name, Word.NOT_ASSESSED)].append(name)
            if unmet := same[Word.NOT_COMPLIANT] + same[Word.EDITION]:
                found.append(Offence(subject=alarm, text=f"“{alarm}”: {', '.join(unmet)} is not met"))
            elif same[Word.NOT_ASSESSED]:
                silent.append(f"“{alarm}” by {', '.join(same[Word.NOT_ASSESSED])}")
            elif same[Word.TO_DECIDE]:
                waiting.append(f"“{alarm}” waits for {', '.join(same[Word.TO_DECIDE])}")
            else:
                notes.append(f"{'accepted' if same[Word.ACCEPTED] else 'not confirmed'}: “{alarm}”")
        if silent and not found:
            raise NotObserved(f"nothing in this run confirms or denies {'; '.join(silent)}")
        if waiting and not found:
            raise ToDecide("; ".join(waiting))
        return Offences(found, "; ".join(notes) or "no problem is raised")
