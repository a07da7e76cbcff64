"""The keys that open accounts, and the private keys that lie beside root's."""

from __future__ import annotations

import re
from collections.abc import Iterator
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


class AuthorizedKeys(Fact):
    """Whoever holds one of these keys enters without a password."""

    questions = (SSHD_CONFIG, AUTHORIZED_KEYS, _PRIVATE, PASSWD)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        fact = cls(seen)
        if seen.answers[SSHD_CONFIG.key].silence or seen.answers[PASSWD.key].silence:
            return ()
        further = [path for path in fact._further if re.fullmatch(r"/[\w./@+-]+", path)]
        return (keys_in_files(f"{AUTHORIZED_KEYS.key}@elsewhere", *further),) if further else ()

    @cached_property
    def _homes(self) -> dict[str, str]:
        """User -> home folder, as far as the machine lists its users."""
        rows = (line.split(":") for line in self.answers[PASSWD.key].succeeded().lines)
        return {row[0]: row[5] for row in rows if len(row) > 5 and row[5].startswith("/")}

    @cached_property
    def _config(self) -> sshd_config.Values:
        return sshd_config.effective(self.answers[SSHD_CONFIG.key].succeeded().text)

    @cached_property
    def _expected(self) -> dict[str, str]:
        """Every file that sshd would read keys from -> the user whom they open."""
        patterns = " ".join(self._config.get("authorizedkeysfile", _USUAL)).split()
        found = {}
        for user, home in self._homes.items():
            for pattern in patterns:
                if pattern != "none":
                    path = pattern.replace("%h", home).replace("%u", user).replace("%%", "%")
                    found[path if path.startswith("/") else f"{home}/{path}"] = user
        return found

    @cached_property
    def _further(self) -> tuple[str, ...]:
        """The files among them that the first trip did not look for."""
        return tuple(
            path
            for path in sorted(self._expected)
            if not (re.match(r"/(root|home)/", path) and path.endswith(_USUAL) and path.count("/") <= 5)
            and not re.match(r"/(nonexistent|dev/null|proc|bin|sbin|usr/(s?bin|games))\b", path)
        )[: _MOST_FILES + 1]

    @cached_property
    def _keys(self) -> tuple[AuthorizedKey, ...]:
        """Every key of every account. Raises NotObserved when a file was not read."""
        answer = self.answers[AUTHORIZED_KEYS.key]
        lines = [*answer.lines]
        _nothing_withheld(answer.question, answer.err)
        if self._further:
            if len(self._further) > _MOST_FILES:
                raise NotObserved(f"sshd reads keys from more than {_MOST_FILES} files beyond the homes")
            further = self.answers[f"{AUTHORIZED_KEYS.key}@elsewhere"]
            if further.silence:
                raise NotObserved(f"sshd also reads keys from {self._further[0]}: {further.silence}")
            lines += further.lines
            _nothing_withheld(further.question, further.err)
        return tuple(key for key in authorized_keys.keys(lines) if key.file in self._expected)

    def _of(self, *, root: bool) -> Iterator[AuthorizedKey]:
        return (key for key in self._keys if (self._expected[key.file] == "root") is root)

    @cached_property
    def root_openers(self) -> Offences:
        """The keys that open root for a command of the caller's choice, and the private keys in root's folder."""
        found = [
            Offence(
                subject=key.fingerprint,
                text=("every certificate signed by " if key.authority else "")
                + f"{key.type} {key.fingerprint} opens root",
                layer="file",
                cause=key.file,
            )
            for key in self._of(root=True)
            if key.is_free
        ]
        found += [
            Offence(subject=path, text="a private key lies in root's folder", layer="file", cause=path)
            for path in self._private_keys
        ]
        forced = [key.fingerprint for key in self._of(root=True) if not key.is_free]
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
        people = list(self._of(root=False))
        if people and known is None:
            names = ", ".join(sorted({self._expected[key.file] for key in people}))
            raise ToDecide(f"{len(people)} keys open the accounts {names}: are they known? Promise audit_user_keys")
        found = [
            Offence(
                subject=key.fingerprint,
                text=f"{key.type} {key.fingerprint} opens {self._expected[key.file]}",
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
