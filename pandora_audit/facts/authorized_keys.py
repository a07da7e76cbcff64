"""The keys that open accounts, and the private keys that lie beside root's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.formats import authorized_keys, sshd_config
from pandora_audit.formats.authorized_keys import AuthorizedKey
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question
from pandora_audit.questions import AUTHORIZED_KEYS, PASSWD, SSHD_CONFIG, keys_in_files
from pandora_audit.verdict import ToDecide

_PRIVATE = Ask(
    key="root-private-keys",
    argv=(
        *("grep", "-rlF", "-e", "PRIVATE", "-e", "PuTTY-User-Key-File"),
        *("--exclude=authorized_keys", "--exclude=authorized_keys2", "--exclude=known_hosts"),
        *("--exclude=config", "/root/.ssh"),
    ),
    root=True,
)
# The files that the first trip reads; others are asked for by name in the second.
_USUAL = (".ssh/authorized_keys", ".ssh/authorized_keys2")
_MOST_FILES = 200
# login.defs' UID_MIN on both families; below are accounts of packages.
_FIRST_PERSON = 1000
_NOBODY = 65534


@dataclass(frozen=True)
class _User:
    name: str
    uid: int
    home: str

    @property
    def is_root(self) -> bool:
        return self.uid == 0

    @property
    def lives_at_home(self) -> bool:
        return self.home.startswith("/home/")


def _elsewhere(root: bool) -> str:
    return f"{AUTHORIZED_KEYS.key}@{'root' if root else 'people'}"


class AuthorizedKeys(Fact):
    """Whoever holds one of these keys enters without a password."""

    questions = (SSHD_CONFIG, AUTHORIZED_KEYS, _PRIVATE, PASSWD)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        fact = cls(seen)
        if seen.answers[SSHD_CONFIG.key].silence or seen.answers[PASSWD.key].silence:
            return ()
        found = []
        for root in (True, False):
            paths = [path for path in fact._further(root=root) if re.fullmatch(r"/[\w./@+-]+", path)][:_MOST_FILES]
            if paths:
                found.append(keys_in_files(_elsewhere(root), *paths))
        return tuple(found)

    @cached_property
    def _users(self) -> tuple[_User, ...]:
        """Root, by whatever name, and the people, as far as the machine lists them."""
        rows = (line.split(":") for line in self.answers[PASSWD.key].succeeded().lines)
        users = (_User(row[0], int(row[2]), row[5]) for row in rows if len(row) > 5 and row[2].isdigit())
        return tuple(user for user in users if user.is_root or _FIRST_PERSON <= user.uid != _NOBODY or user.lives_at_home)

    @cached_property
    def _config(self) -> sshd_config.Values:
        return sshd_config.effective(self.answers[SSHD_CONFIG.key].succeeded().text)

    @cached_property
    def _expected(self) -> dict[str, _User]:
        """Every file that sshd would read keys from -> the user whom they open."""
        patterns = " ".join(self._config.get("authorizedkeysfile", _USUAL)).split()
        found = {}
        for user in self._users:
            for pattern in patterns:
                if pattern != "none":
                    path = pattern.replace("%h", user.home).replace("%u", user.name).replace("%%", "%")
                    found[path if path.startswith("/") else f"{user.home}/{path}"] = user
        return found

    def _further(self, *, root: bool) -> list[str]:
        """The files of root, or of people, that the first trip did not look for."""
        return [
            path
            for path, user in sorted(self._expected.items())
            if user.is_root is root
            and not (re.match(r"/(root|home)/", path) and path.endswith(_USUAL) and path.count("/") <= 5)
        ]

    def _keys(self, *, root: bool) -> list[AuthorizedKey]:
        """The keys that open root, or people. Raises NotObserved when a file of theirs was not read."""
        answers = [self.answers[AUTHORIZED_KEYS.key]]
        further = self._further(root=root)
        if further:
            answers.append(self.answers[_elsewhere(root)])
            if answers[1].silence:
                raise NotObserved(f"sshd also reads keys from {further[0]}: {answers[1].silence}")
            if len(further) > _MOST_FILES:
                raise NotObserved(f"sshd reads keys from more than {_MOST_FILES} files beyond the homes")
        lines = [line for answer in answers for line in answer.lines]
        for answer in answers:
            _nothing_withheld(answer.question, answer.err)
        found = (key for key in authorized_keys.keys(lines) if key.file in self._expected)
        return [key for key in found if self._expected[key.file].is_root is root]

    @cached_property
    def root_openers(self) -> Offences:
        """The keys that open root for a command of the caller's choice, and the private keys in root's folder."""
        keys = self._keys(root=True)
        found = [
            Offence(
                subject=key.fingerprint,
                text=("every certificate signed by " if key.authority else "")
                + f"{key.type} {key.fingerprint} opens root",
                layer="file",
                cause=key.file,
            )
            for key in keys
            if key.is_free
        ]
        found += [
            Offence(subject=path, text="a private key lies in root's folder", layer="file", cause=path)
            for path in self._private_keys
        ]
        forced = [key.fingerprint for key in keys if not key.is_free]
        if not found:
            self._no_key_command_for_root()
        seen = "no key opens root"
        return Offences(found, seen + (f" but for a forced command: {', '.join(forced)}" if forced else ""))

    @cached_property
    def _private_keys(self) -> tuple[str, ...]:
        answer = self.answers[_PRIVATE.key]
        names = tuple(line for line in answer.lines if line.startswith("/"))
        _nothing_withheld(answer.question, answer.err)
        return names

    def _no_key_command_for_root(self) -> None:
        """Raises NotObserved where a program could name further keys for root, and root may enter."""
        command = self._config.get("authorizedkeyscommand", ("none",))[0]
        if command != "none" and self._config.get("permitrootlogin", ("",))[0] != "no":
            raise NotObserved(f"further keys of root come from the program {command}, which is not run here")

    def strangers(self, known: tuple[str, ...] | None) -> Offences:
        """The keys of people that the site does not know. Raises ToDecide where it promised no list."""
        people = self._keys(root=False)
        if people and known is None:
            names = ", ".join(sorted({self._expected[key.file].name for key in people}))
            raise ToDecide(f"{len(people)} keys open the accounts {names}: are they known? Promise audit_user_keys")
        found = [
            Offence(
                subject=key.fingerprint,
                text=f"{key.type} {key.fingerprint} opens {self._expected[key.file].name}",
                layer="file",
                cause=key.file,
            )
            for key in people
            if key.fingerprint not in (known or ())
        ]
        return Offences(found, f"{len(people)} keys of people, all of them known")


def _nothing_withheld(question: str, err: bytes) -> None:
    """Raises NotObserved when a program complained of anything but a file that is not there."""
    for line in err.decode("utf-8", "backslashreplace").splitlines():
        if line and "No such file or directory" not in line:
            raise NotObserved(f"`{question}` did not see everything: {line[:200]}")
