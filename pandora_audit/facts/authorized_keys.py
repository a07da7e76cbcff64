"""The keys that open accounts, and the private keys that lie beside root's."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.accounts import ACCOUNT_SOURCES, Accounts
from pandora_audit.facts.sshd import Sshd
from pandora_audit.formats import authorized_keys, passwd
from pandora_audit.formats.authorized_keys import AuthorizedKey
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.passwd import Account
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question, Unreadable
from pandora_audit.questions import AUTHORIZED_KEYS, OF_THE_DIRECTORY, PASSWD, SSHD_CONFIG, SSSD, keys_in_files
from pandora_audit.verdict import ToDecide

_NOT_PRIVATE = ("authorized_keys", "authorized_keys2", "known_hosts", "config")
_PRIVATE = Ask(
    key="root-private-keys",
    argv=(
        *("find", "-L", "/root/.ssh", "-maxdepth", "3", "-type", "f"),
        *(word for name in _NOT_PRIVATE for word in ("-not", "-name", name)),
        *("-exec", "grep", "-lF", "-e", "PRIVATE", "-e", "PuTTY-User-Key-File", "{}", "+"),
    ),
    root=True,
)
# The files that the first trip reads; others are asked for by name in the second.
_USUAL = (".ssh/authorized_keys", ".ssh/authorized_keys2")
_AUTHORITIES = f"{AUTHORIZED_KEYS.key}@authorities"
_MOST_FILES = 200
# login.defs' UID_MIN on both families; below are accounts of packages.
_FIRST_PERSON = 1000
_NOBODY = 65534


# What else lets holders of keys in.
_OTHER_WAYS = {
    "authorizedkeyscommand": "further keys of root come from the program",
    "trustedusercakeys": "whoever holds a certificate for root enters, signed by an authority of",
}


def _can_be_asked(path: str) -> bool:
    return re.fullmatch(r"/[\w./@+-]+", path) is not None


def _elsewhere(root: bool) -> str:
    return f"{AUTHORIZED_KEYS.key}@{'root' if root else 'people'}"


class AuthorizedKeys(Fact):
    """Whoever holds one of these keys enters without a password."""

    questions = (*Sshd.questions, AUTHORIZED_KEYS, _PRIVATE, ACCOUNT_SOURCES, SSSD)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        fact = cls(seen)
        if seen.answers[SSHD_CONFIG.key].silence or seen.answers[PASSWD.key].silence:
            return ()
        found = []
        for root in (True, False):
            paths = [path for path in fact._further(root=root) if _can_be_asked(path)][:_MOST_FILES]
            if paths:
                found.append(keys_in_files(_elsewhere(root), *paths))
        with contextlib.suppress(NotObserved):  # then the keys of people are not judged either
            paths = [path for path in fact._authorities if _can_be_asked(path)][:_MOST_FILES]
            if paths:
                found.append(keys_in_files(_AUTHORITIES, *paths))
        return tuple(found)

    @cached_property
    def _users(self) -> tuple[Account, ...]:
        """Root, by whatever name, and the people, as far as the machine lists them."""
        users = passwd.accounts(self.answers[PASSWD.key].succeeded().lines)
        if not any(user.is_root for user in users):
            raise Unreadable("`getent passwd` listed no root: these are not the users of a machine")
        return tuple(
            user for user in users if user.is_root or _FIRST_PERSON <= user.uid != _NOBODY or user.lives_at_home
        )

    @cached_property
    def _sshd(self) -> Sshd:
        return Sshd(self.seen)

    @cached_property
    def _expected(self) -> dict[str, list[Account]]:
        """Every file from which sshd may read keys -> the users whom they open."""
        found: dict[str, list[Account]] = {}
        for user in self._users:
            values = self._sshd.values("authorizedkeysfile", user.name) or (" ".join(_USUAL),)
            for pattern in dict.fromkeys(" ".join(values).split()):
                if pattern != "none":
                    found.setdefault(user.file(pattern), []).append(user)
        return found

    def _opens(self, path: str, *, root: bool) -> list[Account]:
        return [user for user in self._expected.get(path, ()) if user.is_root is root]

    def _further(self, *, root: bool) -> list[str]:
        """The files of root, or of people, that the first trip did not look for."""
        return [
            path for path in sorted(self._expected) if self._opens(path, root=root) and not self._was_looked_for(path)
        ]

    def _was_looked_for(self, path: str) -> bool:
        """Whether the first trip read this file, if it exists: one of a usual name, and not behind a link."""
        usual = re.match(r"/(root|home)/", path) and path.endswith(_USUAL) and path.count("/") <= 5
        return bool(usual) and not any(f"{path}/".startswith(f"{link}/") for link in self._links)

    @cached_property
    def _links(self) -> list[str]:
        answer = self.answers[AUTHORIZED_KEYS.key]
        return [] if answer.silence else [line for line in answer.lines if line.startswith("/") and ":" not in line]

    def _keys(self, *, root: bool) -> list[AuthorizedKey]:
        """The keys that open root, or people. Raises NotObserved when a file of theirs was not read."""
        answers = [self.answers[AUTHORIZED_KEYS.key]]
        further = self._further(root=root)
        if further:
            answers.append(self.answers[_elsewhere(root)])
            if answers[1].silence:
                raise NotObserved(f"sshd also reads keys from {further[0]}: {answers[1].silence}")
            if odd := [path for path in further if not _can_be_asked(path)]:
                raise NotObserved(f"sshd also reads keys from {odd[0]}, a path that sudo cannot be asked for")
            if len(further) > _MOST_FILES:
                raise NotObserved(f"sshd reads keys from more than {_MOST_FILES} files beyond the homes")
        lines = [line for answer in answers for line in answer.lines]
        for answer in answers:
            nothing_withheld(answer)
        return [
            key
            for key in authorized_keys.keys(lines)
            if self._opens(key.file, root=root) or (not root and self._may_be_the_directorys(key.file))
        ]

    def _may_be_the_directorys(self, path: str) -> bool:
        """Whether a file lies in the home of nobody whom the machine lists, and a directory knows further people."""
        return (
            path.startswith("/home/") and path not in self._expected and bool(Accounts(self.seen).directories("passwd"))
        )

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
            self._no_others_for_root()
        seen = "no key opens root"
        return Offences(found, seen + (f" but for a forced command: {', '.join(forced)}" if forced else ""))

    @cached_property
    def _private_keys(self) -> tuple[str, ...]:
        answer = self.answers[_PRIVATE.key]
        names = tuple(line for line in answer.lines if line.startswith("/"))
        nothing_withheld(answer)
        return names

    def _no_others_for_root(self) -> None:
        """Raises NotObserved where further keys of root are told from elsewhere, and root may enter."""
        for keyword, what in _OTHER_WAYS.items():
            for told in self._sshd.values(keyword, "root"):
                if told.lower() != "none" and self._root_may_enter:
                    raise NotObserved(f"{what} {told}, which is not looked into")

    @property
    def _root_may_enter(self) -> bool:
        try:
            return bool(self._sshd.root_enters)
        except NotObserved:
            return True

    def _names(self, key: AuthorizedKey) -> str:
        """Those, but root, whom a key opens."""
        users = self._opens(key.file, root=False)
        nobody = "whomever a certificate names" if key.authority else "an account of the directory"
        return ", ".join(user.name for user in users) or nobody

    # --- people ---

    def strangers(self, known: tuple[str, ...] | None) -> Offences:
        """The keys of people, and the authorities for them, that the site does not know.

        Raises ToDecide where it promised no list, NotObserved where a program tells further keys and none is strange.
        """
        keys = self._keys(root=False)
        people = [*keys, *self._authority_keys]
        if people and known is None:
            names = ", ".join(sorted({self._names(key) for key in people}))
            raise ToDecide(f"{len(people)} keys open {names}: are they known? Promise audit_user_keys")
        found = [
            Offence(
                subject=key.fingerprint,
                text=("every certificate signed by " if key.authority else "")
                + f"{key.type} {key.fingerprint} opens {self._names(key)}",
                layer="file",
                cause=key.file,
            )
            for key in people
            if key.fingerprint not in (known or ())
        ]
        if not found and (programs := self._told_for_people("authorizedkeyscommand")):
            raise NotObserved(f"further keys of people come from the program {programs[0]}, which is not looked into")
        seen = f"{len(keys)} keys of people" + (", and those of authorities" if self._authority_keys else "")
        return Offences(found, f"{seen}, all of them known")

    def _told_for_people(self, keyword: str) -> list[str]:
        """What a keyword of sshd says for people, where it opens accounts of this machine."""
        told = {value for user in self._users if not user.is_root for value in self._sshd.values(keyword, user.name)}
        return sorted(value for value in told if value.lower() != "none" and OF_THE_DIRECTORY not in value)

    @cached_property
    def _authorities(self) -> list[str]:
        """The files of the authorities that sign certificates of people."""
        return self._told_for_people("trustedusercakeys")

    @cached_property
    def _authority_keys(self) -> list[AuthorizedKey]:
        if not self._authorities:
            return []
        answer = self.answers[_AUTHORITIES]
        if odd := [path for path in self._authorities if not _can_be_asked(path)]:
            raise NotObserved(f"sshd also trusts the authorities in {odd[0]}, a path that sudo cannot be asked for")
        lines = answer.lines
        nothing_withheld(answer)
        return [dataclasses.replace(key, authority=True) for key in authorized_keys.keys(lines)]
