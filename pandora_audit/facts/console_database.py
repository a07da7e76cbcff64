"""The console's own connection to the database, by its config.php."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.formats import addresses, config_php
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question, Role, Unreadable
from pandora_audit.questions import CONSOLE_CONFIG
from pandora_audit.verdict import NotApplicable

_CA = f"{CONSOLE_CONFIG.key}@ca"


class ConsoleDatabase(Fact):
    """Where the console's database is, and how the console goes there."""

    role = Role.CONSOLE
    questions = (CONSOLE_CONFIG,)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        path = cls(seen)._text("dbsslcafile")
        return (Ask(key=_CA, argv=("ls", "-L", path)),) if path.startswith("/") else ()

    @cached_property
    def _config(self) -> Mapping[str, config_php.Value]:
        return config_php.of(self.answers[CONSOLE_CONFIG.key])

    def _text(self, key: str) -> str:
        value = self._config.get(key)
        if value is None:
            return ""
        if value.text is None:
            raise Unreadable(f"$config['{key}'] of config.php is an expression (line {value.line})")
        return value.text

    @cached_property
    def in_the_clear(self) -> Offences:
        """What keeps the connection from being encrypted and verified.

        Raises NotApplicable where it does not leave the machine.
        """
        host = self._text("dbhost")
        if not host:
            raise NotObserved("config.php does not tell dbhost")
        if host.startswith("/") or addresses.is_loopback(host):
            raise NotApplicable(f"the console's database is on its own machine ({host})")
        found = []
        for key, what in (("dbssl", "TLS is off"), ("sslverifyservercert", "the server's certificate is not verified")):
            value = self._config.get(key)
            if value is None or not value.is_on:
                found.append(
                    _offence(key, f"{what}: {key} is {'absent' if value is None else value.text or 'empty'}", value)
                )
        authority = self._text("dbsslcafile")
        if not authority:
            text = "dbsslcafile is empty, and without it the console does not encrypt at all"
            found.append(_offence("dbsslcafile", text, self._config.get("dbsslcafile")))
        elif not found:
            if not authority.startswith("/"):
                raise NotObserved(f"dbsslcafile is {authority}, which depends on where PHP stands")
            there = self.answers[_CA]
            if b"No such file" in there.err:
                found.append(_offence("dbsslcafile", f"{authority} does not exist", self._config["dbsslcafile"]))
            else:
                there.succeeded()
        return Offences(found, f"TLS to {host}, verified against {authority}")


def _offence(key: str, text: str, value: config_php.Value | None) -> Offence:
    return Offence(subject=key, text=text, layer="file", cause=f"config.php:{value.line}" if value else "config.php")
