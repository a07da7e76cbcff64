"""What an alarm of somebody else comes to, by what our own controls said of the same."""

from __future__ import annotations

import pytest
from judging import controls

from pandora_audit.finding import Finding
from pandora_audit.offence import Offences
from pandora_audit.question import NotObserved
from pandora_audit.verdict import ToDecide, Word
from pandora_audit.verdicts import Verdicts

KNOWN = controls()
ALARM = {"root keys": ("ssh.root-keys", "ssh.user-keys")}


def confirmed(*words: Word) -> Offences:
    (names,) = ALARM.values()
    findings = [Finding(control=KNOWN[name], host="a", word=word) for name, word in zip(names, words, strict=False)]
    return Verdicts(findings).confirmed(ALARM)


@pytest.mark.parametrize("word", [Word.NOT_COMPLIANT, Word.EDITION])
@pytest.mark.parametrize("other", Word)
def test_one_that_confirms_is_enough(word: Word, other: Word) -> None:
    assert confirmed(other, word).subjects == {"root keys"}


@pytest.mark.parametrize("word", [Word.COMPLIANT, Word.NOT_APPLICABLE, Word.ATTESTED, Word.ACCEPTED])
def test_what_is_denied_or_answered_for_is_no_offence(word: Word) -> None:
    assert not confirmed(Word.COMPLIANT, word)


def test_an_accepted_risk_is_not_called_unconfirmed() -> None:
    assert str(confirmed(Word.COMPLIANT, Word.ACCEPTED)) == "accepted: “root keys”"
    assert str(confirmed(Word.COMPLIANT, Word.COMPLIANT)) == "not confirmed: “root keys”"


def test_what_nobody_judged_is_no_denial() -> None:
    with pytest.raises(NotObserved, match=r"root keys.* by ssh\.user-keys"):
        confirmed(Word.COMPLIANT)
    with pytest.raises(NotObserved):
        confirmed(Word.TO_DECIDE, Word.NOT_ASSESSED)


def test_what_the_site_has_to_decide_first_is_no_denial() -> None:
    with pytest.raises(ToDecide, match=r"root keys.* waits for ssh\.root-keys"):
        confirmed(Word.TO_DECIDE, Word.COMPLIANT)
