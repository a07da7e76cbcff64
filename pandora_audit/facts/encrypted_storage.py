"""Whether what is secret in the database is encrypted there: with one passphrase, which server and console share."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pandora_audit.across import Look, Share, noting
from pandora_audit.fact import Fact
from pandora_audit.facts.pandora_console import PandoraConsole, Told
from pandora_audit.facts.pandora_server import PandoraServer
from pandora_audit.formats import config_php, sealed, server_conf
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.sealed import Sealed
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import PERL, Ask, NotObserved, Role, Unreadable
from pandora_audit.questions import config_files
from pandora_audit.verdict import NotApplicable

_TOKEN = "encryption_passphrase"  # noqa: S105  (a name)
# The key of the run comes by standard input, which grep takes for one more file, and only the filter sees it.
_SERVER = Ask(
    key="server-passphrase",
    argv=(
        *("grep", "-ranHis", "--label=key", "-e", f"^{_TOKEN}", "-", "/etc/pandora/"),
        *("--exclude-dir=plugins", "--exclude-dir=collections", "--exclude-dir=commands"),
    ),
    root=True,
    stdin=sealed.LINE,
    only_if=Role.SERVER,
    keep=PERL
    + sealed.SEAL
    + server_conf.COUNTS
    + r"""if (/^key:/) { opens($_); next }
my $is_utf8 = utf8::decode($_);
next unless /^([^:]*:\d+):([a-zA-Z].*)/s;
my ($at, $line) = ($1, $2);
next unless counts($line) and $line =~ /^\w+\s(.*)/;
my $value = $1;
$value =~ s/^\s+|\s+$//g;
utf8::encode($value) if $is_utf8;
print "$at:" . seal($value) . "\n";
""",
)
_CONSOLE = Ask(
    key="console-passphrase",
    argv=config_files("-"),
    root=True,
    stdin=sealed.LINE,
    only_if=Role.CONSOLE,
    keep=config_php.keep(
        hidden=_TOKEN,
        stand="seal($_[0])",
        perl=sealed.SEAL + r"s/\A(?:[^\n]*\n)?(encryption_passphrase \w{16} \w{128})\n// and opens($1);" + "\n",
    ),
)


@dataclass(frozen=True)
class Passphrase:
    """What stands for a passphrase, and the file and line that set it, or the file that does not."""

    sealed: Sealed
    cause: str


class ServerPassphrases(Fact):
    """The passphrase of each server that the machine runs, or will."""

    role = Role.SERVER
    questions = (*PandoraServer.questions, _SERVER)
    then = PandoraServer.then

    @cached_property
    def all(self) -> tuple[Passphrase, ...]:
        answer = self.answers[_SERVER.key]
        lines = answer.lines
        nothing_withheld(answer)
        files = [each.file for each in PandoraServer(self.seen).configurations]
        return tuple(_last(file, lines) for file in files)

    @cached_property
    def unread(self) -> str:
        """What a running server has not read since it was written; empty for nothing."""
        try:
            stale = PandoraServer(self.seen).unread_changes
        except NotApplicable:
            return ""
        return f"what is written would comply, but {stale}" if stale else ""


def _last(file: str, lines: Iterable[str]) -> Passphrase:
    """What the last line of a file sets."""
    found = Passphrase(Sealed("", ""), file)
    for line in lines:
        row = re.fullmatch(rf"({re.escape(file)}:\d{{1,6}}):(.*)", line)
        if row:
            found = Passphrase(_sealed(row[2]), row[1])
    return found


class ConsolePassphrase(Fact):
    """The passphrase of each console on the machine."""

    role = Role.CONSOLE
    questions = (_CONSOLE,)

    @cached_property
    def all(self) -> tuple[Passphrase, ...]:
        return tuple(_of_console(path, config) for path, config in config_php.of(self.answers[_CONSOLE.key]).items())


def _of_console(path: str, config: Mapping[str, config_php.Value]) -> Passphrase:
    value = config.get(_TOKEN)
    if value is None:
        return Passphrase(Sealed("", ""), path)
    if value.text is None:
        raise Unreadable(f"$config['{_TOKEN}'] of {path} is an expression (line {value.line})")
    return Passphrase(_sealed(value.text), f"{path}:{value.line}")


def _sealed(text: str) -> Sealed:
    found = sealed.read(text)
    if found is None:
        raise Unreadable("the host did not tell what stands for its passphrase")
    return found


@dataclass(frozen=True, kw_only=True)
class _Told(Told):
    """What one host told of the console, and its passphrases.

    Args:
        server, console: those of its servers and of its console.
        no_passphrase: why one was not told; empty where all were.
        unread: the file that a running server has not read since it was written.
    """

    server: tuple[Passphrase, ...] = ()
    console: tuple[Passphrase, ...] = ()
    no_passphrase: str = ""
    unread: str = ""


class EncryptedStorage(PandoraConsole):
    """The encryption of the secrets that the database of a deployment holds."""

    of = (*PandoraConsole.of, ServerPassphrases, ConsolePassphrase)

    @classmethod
    def share(cls, look: Look) -> _Told:
        found: dict[str, Any] = vars(cls.heard(look)).copy()
        with noting(found, "no_passphrase"):
            found["server"] = look(ServerPassphrases).all
            found["unread"] = look(ServerPassphrases).unread
        with noting(found, "no_passphrase"):
            found["console"] = look(ConsolePassphrase).all
        return _Told(**found)

    @cached_property
    def missing(self) -> Offences:
        """What keeps secrets from being encrypted: no passphrase, another one, or what was stored before it was set.

        Raises UnmetEdition where the edition cannot encrypt.
        """
        hosts = self.every(Role.SERVER, Role.CONSOLE)
        server = [(share.host, each) for share in hosts for each in share.value.server]
        console = [(share.host, each) for share in hosts for each in share.value.console]
        found = [
            Offence(subject=host, text=f"{what} on {host} has no passphrase", layer="file", cause=each.cause)
            for what, told in (("the server", server), ("the console", console))
            for host, each in told
            if not each.sealed.digest
        ]
        if not found:
            self._all_told(hosts, server, console)
            self._belong(console)
            found = [*_different([*server, *console])] or [*self._clear]
        seen = "server and console have one passphrase, and no password of the credential store is in the clear"
        return self._by_edition(Offences(found, seen), "encrypting what is stored")

    @staticmethod
    def _belong(console: Collection[tuple[str, Passphrase]]) -> None:
        """Raises NotObserved where a machine has several consoles, and only one of them can be the deployment's."""
        for host in {host for host, _ in console}:
            if len({each.sealed for name, each in console if name == host}) > 1:
                raise NotObserved(
                    f"{host} has several consoles with different passphrases: which is this deployment's?"
                )

    def _all_told(self, hosts: Iterable[Share], server: Collection[object], console: Collection[object]) -> None:
        """Raises NotObserved where a passphrase was not told, or is not the one that a server runs with."""
        for share in hosts:
            if why := share.value.no_passphrase or share.value.unread:
                raise NotObserved(f"{share.host}: {why}")
        if not (server and console):
            raise NotObserved(f"no {'console' if server else 'server'} of the deployment was asked for its passphrase")

    @property
    def _clear(self) -> Iterator[Offence]:
        """What the credential store holds as it was before anything was converted."""
        stored, encrypted = map(int, self._tables["credential"][0])
        if encrypted < stored:
            text = f"{stored - encrypted} of {stored} passwords of the credential store are not encrypted"
            yield Offence(subject="tcredential_store", text=text)


def _different(told: list[tuple[str, Passphrase]]) -> Iterator[Offence]:
    """The passphrases that are not the first. Raises NotObserved where they were not asked in one run."""
    if len({each.sealed.run for _, each in told}) > 1:
        raise NotObserved("the hosts were recorded in different runs, whose keys are gone: nothing can be compared")
    first, other = told[0]
    for host, each in told[1:]:
        if each.sealed != other.sealed:
            text = f"the passphrase on {host} is not the one on {first}" if host != first else "they differ"
            yield Offence(subject=host, text=text, layer="file", cause=each.cause)
