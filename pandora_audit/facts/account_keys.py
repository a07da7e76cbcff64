"""The keys that open an account, one account at a time: people's, and those of services."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.sshd import Sshd
from pandora_audit.formats import authorized_keys, passwd
from pandora_audit.formats.authorized_keys import AuthorizedKey
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.passwd import Account
from pandora_audit.question import Ask, NotObserved, Question
from pandora_audit.questions import (
    AUTHORIZED_KEYS,
    OF_THE_DIRECTORY,
    PASSWD,
    SERVICE_HOMES,
    SERVICE_KEYS,
    SSHD_CONFIG,
    keys_in_files,
)

_USUAL = ".ssh/authorized_keys .ssh/authorized_keys2"
_MOST_FILES = 400
# Folders below those of the first trip at which it still finds a file of keys.
_MOST_DEEP = 3
_ELSEWHERE = f"{SERVICE_KEYS.key}@elsewhere"


class AccountKeys(Fact):
    """Which keys open an account."""

    questions = (*Sshd.questions, AUTHORIZED_KEYS, SERVICE_KEYS)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        fact = cls(seen)
        further = Sshd.then(seen)
        if seen.answers[SSHD_CONFIG.key].silence or seen.answers[PASSWD.key].silence:
            return further
        paths = [path for path in fact._further if re.fullmatch(r"/[\w./@+-]+", path)][:_MOST_FILES]
        return (*further, keys_in_files(_ELSEWHERE, *paths)) if paths else further

    def of(self, account: Account) -> tuple[AuthorizedKey, ...]:
        """The keys in the files that sshd reads for an account. Raises NotObserved when one was not looked into."""
        found: list[AuthorizedKey] = []
        for path in self._files(account):
            answer = self.answers[self._looked_for_by(path)]
            if answer.silence:
                raise NotObserved(f"the keys that open {account.name} were not seen: {answer.silence}")
            nothing_withheld(answer)
            if answer.key == _ELSEWHERE and path not in answer.question.split():
                raise NotObserved(f"sshd reads keys of {account.name} from {path}, which was not looked into")
            lines = [line for line in answer.lines if line.startswith(f"{path}:")]
            found += authorized_keys.keys(lines)
        return tuple(found)

    def no_others(self, account: Account) -> None:
        """Raises NotObserved where further keys of a local account are told from elsewhere."""
        for keyword in ("authorizedkeyscommand", "trustedusercakeys"):
            for told in self._sshd.values(keyword, account.name):
                if told.lower() != "none" and OF_THE_DIRECTORY not in told:
                    raise NotObserved(f"{told} also tells keys that open {account.name}, and is not looked into")

    @cached_property
    def _sshd(self) -> Sshd:
        return Sshd(self.seen)

    def _files(self, account: Account) -> Iterator[str]:
        values = self._sshd.values("authorizedkeysfile", account.name) or (_USUAL,)
        for pattern in dict.fromkeys(" ".join(values).split()):
            if pattern != "none":
                yield account.file(pattern)

    def _looked_for_by(self, path: str) -> str:
        """The key of the question that reads this file, if it exists."""
        usual = path.endswith(tuple(f"/{name}" for name in _USUAL.split()))
        for question, folders in ((AUTHORIZED_KEYS, ("/root/", "/home/")), (SERVICE_KEYS, SERVICE_HOMES)):
            folder = next((folder for folder in folders if usual and path.startswith(folder)), "")
            if (
                folder
                and path.removeprefix(folder).count("/") <= _MOST_DEEP
                and not self._is_behind_a_link(path, question)
            ):
                return question.key
        return _ELSEWHERE

    def _is_behind_a_link(self, path: str, question: Ask) -> bool:
        """Whether a question named a link on the way to a file, which it did not follow."""
        answer = self.answers[question.key]
        links = [] if answer.silence else [line for line in answer.lines if line.startswith("/") and ":" not in line]
        return any(f"{path}/".startswith(f"{link}/") for link in links)

    @cached_property
    def _further(self) -> list[str]:
        """The files that the first trip did not look for."""
        found: dict[str, None] = {}
        for account in passwd.accounts(self.answers[PASSWD.key].lines):
            found |= dict.fromkeys(path for path in self._files(account) if self._looked_for_by(path) == _ELSEWHERE)
        return sorted(found)
