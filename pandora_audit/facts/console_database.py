"""The console's own connection to the database, by its config.php."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.formats import addresses, config_php, ss
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question, Role, Unreadable
from pandora_audit.questions import ADDRESSES, CONSOLE_CONFIG, TCP_OWNERS
from pandora_audit.verdict import NotApplicable

_CA = f"{CONSOLE_CONFIG.key}@ca"
# Who holds the port of a database that is on this machine, be it in a container. Whoever else does may go on elsewhere.
_DATABASES = frozenset({"mysqld", "mariadbd", "docker-proxy", "rootlessport", "conmon"})

_Config = Mapping[str, config_php.Value]


class ConsoleDatabase(Fact):
    """Where the console's database is, and how the console goes there."""

    role = Role.CONSOLE
    questions = (CONSOLE_CONFIG, ADDRESSES, TCP_OWNERS)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        configs = cls(seen)._configs.items()
        paths = {path for file, config in configs if (path := _text(file, config, "dbsslcafile")).startswith("/")}
        return (Ask(key=_CA, argv=("ls", "-L", *sorted(paths))),) if paths else ()

    @cached_property
    def _configs(self) -> Mapping[str, _Config]:
        return config_php.of(self.answers[CONSOLE_CONFIG.key])

    @cached_property
    def in_the_clear(self) -> Offences:
        """What keeps the connection from being encrypted and verified.

        Raises NotApplicable where it does not leave the machine.
        """
        remote = {file: config for file, config in self._configs.items() if not self._is_here(file, config)}
        if not remote:
            hosts = (_text(file, config, "dbhost") for file, config in self._configs.items())
            raise NotApplicable(f"the console's database is on its own machine ({', '.join(hosts)})")
        alone = len(self._configs) == 1
        found = [offence for file, config in remote.items() for offence in self._unprotected(file, config)]
        found = [each if alone else replace(each, subject=f"{each.subject} of {each.cause}") for each in found]
        if not found:
            self._hears_the_authorities(remote)
        shown = (
            f"TLS to {_text(*each, 'dbhost')}, verified against {_text(*each, 'dbsslcafile')}"
            for each in remote.items()
        )
        return Offences(found, "; ".join(shown))

    def _is_here(self, file: str, config: _Config) -> bool:
        """Whether the database is on this machine. Raises NotObserved where something else holds its port."""
        host = _text(file, config, "dbhost")
        if not host:
            raise NotObserved(f"{file} does not tell dbhost")
        # PHP takes that word for a socket.
        if host.startswith("/") or host == "localhost":
            return True
        if not (addresses.is_loopback(host) or addresses.read(self.answers[ADDRESSES.key]).mean(host)):
            return False
        port = _text(file, config, "dbport") or "3306"
        held = [
            each
            for each in ss.sockets("tcp", self.answers[TCP_OWNERS.key].succeeded().lines)
            if str(each.port) == port and _takes(each.address, host)
        ]
        strange = sorted({owner.name for each in held for owner in each.owners} - _DATABASES)
        if strange:
            raise NotObserved(
                f"{host}:{port} is held by {strange[0]}, and whether it goes on to another machine was not seen"
            )
        return True

    def _unprotected(self, file: str, config: _Config) -> Iterator[Offence]:
        for key, what in (("dbssl", "TLS is off"), ("sslverifyservercert", "the server's certificate is not verified")):
            value = config.get(key)
            if value is None or not value.is_on:
                text = f"{what}: {key} is {'absent' if value is None else value.text or 'empty'}"
                yield _offence(file, key, text, value)
        authority = _text(file, config, "dbsslcafile")
        if not authority:
            text = "dbsslcafile is empty, and without it the console does not encrypt at all"
            yield _offence(file, "dbsslcafile", text, config.get("dbsslcafile"))
        elif authority.startswith("/") and self._is_missing(authority):
            yield _offence(file, "dbsslcafile", f"{authority} does not exist", config["dbsslcafile"])

    def _is_missing(self, path: str) -> bool:
        said = self.answers[_CA].err.decode("utf-8", "backslashreplace")
        return re.search(rf" '?{re.escape(path)}'?: No such file", said) is not None

    def _hears_the_authorities(self, remote: Mapping[str, _Config]) -> None:
        for file, config in remote.items():
            authority = _text(file, config, "dbsslcafile")
            if not authority.startswith("/"):
                raise NotObserved(f"dbsslcafile of {file} is {authority}, which depends on where PHP stands")
        self.answers[_CA].succeeded()


def _takes(bound: str, host: str) -> bool:
    """Whether a socket that is bound so is reached at an address of this machine."""
    if bound in ("*", "0.0.0.0", "::"):  # noqa: S104  (what ss shows)
        return True
    try:
        return ipaddress.ip_address(bound) == ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return True  # a name: whichever of this machine's addresses it is


def _text(file: str, config: _Config, key: str) -> str:
    value = config.get(key)
    if value is None:
        return ""
    if value.text is None:
        raise Unreadable(f"$config['{key}'] of {file} is an expression (line {value.line})")
    return value.text


def _offence(file: str, key: str, text: str, value: config_php.Value | None) -> Offence:
    return Offence(subject=key, text=text, layer="file", cause=f"{file}:{value.line}" if value else file)
