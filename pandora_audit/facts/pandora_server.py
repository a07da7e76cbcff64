"""The Pandora FMS server: how it is configured, whom it talks to, who may alter what it runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol
from urllib.parse import urlsplit

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts import daemons
from pandora_audit.facts.daemons import Process
from pandora_audit.formats import addresses, secret, server_conf, stat
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.server_conf import Configuration, Value
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import PERL, Ask, NotObserved, Question, Role
from pandora_audit.questions import ADDRESSES, GROUP, PASSWD
from pandora_audit.verdict import NotApplicable

_FOLDER = "/etc/pandora"
_MORE = f"{_FOLDER}/conf.d"


def _grep(key: str, words: Iterable[str], where: str, *options: str, keep: str = "") -> Ask:
    # Whole lines of what begins with these words. A link is not followed: its maker chose where it leads.
    patterns = tuple(part for word in words for part in ("-e", f"^{word}"))
    # The folder is not the last word: sudo compares words joined by blanks, and without a folder grep takes them all.
    argv = ("grep", "-ranHi", where, *options, *patterns)
    return Ask(key=key, argv=argv, root=True, only_if=Role.SERVER, keep=keep)


# Some names begin others, and one pattern finds both.
_WORDS = (
    *("autocreate", "console_api_url", "dbhost", "dbport", "dbssl", "ha_hosts_file", "incomingdir"),
    "verify_mysql_ssl_cert",
)
_ONLY_MAIN = "--include=pandora_server.conf"
_LINES = _grep("server-conf", _WORDS, f"{_FOLDER}/", _ONLY_MAIN)
_MORE_LINES = _grep("server-conf-more", _WORDS, f"{_MORE}/")

_SECRETS = (
    "dbpass",
    "ha_dbpass",
    "repl_dbpass",
    "console_api_pass",
    "console_pass",
    "encryption_passphrase",
    "mta_pass",
)
# The server's own grammar decides which lines count; of a value only its length leaves, and whether it is published.
_SECRETS_KEEP = (
    PERL
    + secret.HIDE
    + server_conf.COUNTS
    + r"""utf8::decode($_);
next unless /^([^:]*:\d+):([a-zA-Z].*)/s;
my ($at, $line) = ($1, $2);
next unless counts($line) and $line =~ /^(\w+)\s(.*)/;
my ($token, $value) = (lc $1, $2);
$value =~ s/^\s+|\s+$//g;
print "$at:$token " . hide($value) . "\n";
"""
)
_SECRET_LINES = _grep("server-secrets", _SECRETS, f"{_FOLDER}/", _ONLY_MAIN, keep=_SECRETS_KEEP)
_MORE_SECRET_LINES = _grep("server-secrets-more", _SECRETS, f"{_MORE}/", keep=_SECRETS_KEEP)
_HOLDERS = Ask(
    key="server-secret-files",
    argv=(
        *("grep", "-rlai", "/etc/pandora/", "/etc/tentacle/"),
        *("--exclude-dir=plugins", "--exclude-dir=collections", "--exclude-dir=commands"),
        *(part for word in (*_SECRETS, "password") for part in ("-e", f"^{word}.")),
    ),
    root=True,
    only_if=Role.SERVER,
)
_FILES = Ask(
    key="server-files",
    argv=(
        *("find", "-H", _FOLDER, _MORE, "/etc/tentacle", "-maxdepth", "1"),
        *("-exec", "stat", "-c", "%.3Y:%.3Z:%a:%U:%G:%F:%n", "{}", "+"),
    ),
    root=True,
    only_if=Role.SERVER,
)
# The host of the database, as the watchdog of a cluster overrides it.
_HA_HOSTS = Ask(
    key="server-ha-hosts",
    argv=(
        *("grep", "-ranHm1", f"{server_conf.SPOOL}/conf/"),
        *("--include=pandora_ha_hosts.conf", "-e", "."),
    ),
    root=True,
    only_if=Role.SERVER,
)
_PROCESS = daemons.ask("server-process", "pandora_(serve[r]|h[a])", Role.SERVER)
_UNITS = Ask(
    key="server-units",
    argv=(
        *("systemctl", "show", "--property=Id,LoadState,UnitFileState,ActiveState,User,SourcePath,ExecStart"),
        *("pandora_server.service", "pandora_ha.service"),
    ),
    only_if=Role.SERVER,
)
_CONNECTIONS = Ask(
    key="server-connections",
    argv=("ss", "-tnp"),
    root=True,
    only_if=Role.SERVER,
    keep=r's/^ESTAB.*users:\(\("(pandora_server|perl)".*/&/p',
)
# What root runs of Pandora FMS, and the folders above it: whatever is another's, or may be written by others.
_CODE = Ask(
    key="server-code",
    sh=r"""set +f
modules=$(perl -e 'print "$_\n" for grep { -e } map { ("$_/PandoraFMS", "$_/PandoraOpen") } @INC, "/usr/lib/perl5"')
for code in /usr/bin/pandora_server /usr/bin/pandora_ha /usr/bin/pandora_exec /usr/share/pandora_server \
    /etc/init.d/pandora_server /etc/cron.hourly/pandora_db /etc/pandora/pandora_server.env \
    $modules; do
    [ -e "$code" ] || [ -L "$code" ] || continue
    echo "code $code"
    find -H "$code" \( ! -user root -o -perm /022 \) ! -type l -exec stat -L -c '%a:%U:%G:%F:%n' {} +
    parent=$(readlink -f "$code") && while parent=${parent%/*}; [ -n "$parent" ]; do
        find "$parent" -maxdepth 0 \( ! -user root -o -perm /022 \) -exec stat -c '%a:%U:%G:%F:%n' {} +
    done
done
true""",
    only_if=Role.SERVER,
)
_UPDATES = Ask(
    key="server-updates",
    argv=(
        *("stat", "-c", "%a:%U:%G:%m:%n"),
        *(f"{server_conf.SPOOL}{below}" for below in ("", "/updates", "/updates/server")),
    ),
    root=True,
    only_if=Role.SERVER,
)

# At its first start the server writes what it found or invented into its own file, within this time.
_OWN_WRITING = 300


@dataclass(frozen=True)
class _File:
    """When its content and when its mode changed; mode, owner, group, kind."""

    changed: float
    touched: float
    mode: int
    owner: str
    group: str
    kind: str


class KnowsConsole(Protocol):
    """Whoever was told where the console says that it is."""

    @property
    def public_url(self) -> str: ...


class PandoraServer(Fact):
    """The server of Pandora FMS."""

    questions = (
        _LINES,
        _MORE_LINES,
        _SECRET_LINES,
        _MORE_SECRET_LINES,
        _HOLDERS,
        _FILES,
        _HA_HOSTS,
        _PROCESS,
        _UNITS,
        _CONNECTIONS,
        _CODE,
        _UPDATES,
        ADDRESSES,
        PASSWD,
        GROUP,
    )
    role = Role.SERVER

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        server = cls(seen)
        paths = {each[token].text for each in server.configurations for token in ("dbsslcafile", "dbsslcapath")}
        hosts = {each["ha_hosts_file"].text for each in server.configurations} - {_HA_FILE}
        return (
            *(_ca_question(path) for path in sorted(paths) if path),
            *(_hosts_question(path) for path in sorted(hosts) if re.fullmatch(r"/[\w./-]+", path)),
        )

    # --- configurations ---

    @cached_property
    def _files(self) -> dict[str, _File]:
        """The files of its folders by path. Raises NotObserved where something was withheld."""
        answer = self.answers[_FILES.key]
        found = {}
        for line in answer.lines:
            row = re.fullmatch(r"(\d{1,12}\.\d+):(\d{1,12}\.\d+):([0-7]{1,5}):([^:]+):([^:]+):([\w ]+):(/.*)", line)
            if row:
                found[row[7]] = _File(float(row[1]), float(row[2]), int(row[3], 8), row[4], row[5], row[6])
        nothing_withheld(answer)
        return found

    @cached_property
    def _processes(self) -> tuple[Process, ...]:
        return daemons.read(self.answers[_PROCESS.key])

    @cached_property
    def _servers(self) -> dict[str, list[Process]]:
        """The running servers by their configuration file."""
        found: dict[str, list[Process]] = {}
        for process in self._processes:
            words = daemons.arguments(process.words, "pandora_server")
            file = next((word for word in words or () if word.startswith("/")), "")
            if file:
                found.setdefault(file, []).append(process)
        return found

    @cached_property
    def _watchdogs(self) -> tuple[Process, ...]:
        return tuple(each for each in self._processes if daemons.arguments(each.words, "pandora_ha") is not None)

    @cached_property
    def _units(self) -> dict[str, dict[str, str]]:
        return daemons.units(self.answers[_UNITS.key])

    @property
    def _started_by_init_script(self) -> bool:
        """Whether the vendor's init script starts the server; it starts the watchdog, and the servers of conf.d."""
        unit = self._units.get("pandora_server.service")
        if unit is None:  # no systemd, or nothing that it knows
            return "code /etc/init.d/pandora_server" in self.answers[_CODE.key].lines
        return bool(unit.get("SourcePath"))

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """The configuration of each server that this machine runs, or will."""
        names = [server_conf.MAIN]
        for file in self._files:
            # As the init script chooses: by what is in the name.
            if re.fullmatch(rf"{_MORE}/(?!.*.template).*.conf.*", file) and (
                self._started_by_init_script or file in self._servers
            ):
                names.append(file)
        for file in self._servers:
            if file not in names and not file.startswith(f"{_FOLDER}/"):
                raise NotObserved(f"a server runs with {file}, which is not read")
        return tuple(self._configuration(name) for name in names)

    def _configuration(self, file: str) -> Configuration:
        main = file == server_conf.MAIN
        if file not in self._files or not self._files[file].kind.startswith("regular"):
            raise NotObserved(f"{file} was not read: it is a link, or not there")
        return server_conf.parse(file, self._lines_of(file, _LINES if main else _MORE_LINES))

    def _lines_of(self, file: str, question: Ask) -> list[tuple[str, str]]:
        answer = self.answers[question.key]
        prefix = re.compile(rf"({re.escape(file)}:\d{{1,6}}):(.*)", re.S)
        lines = [(found[1], found[2]) for line in answer.lines if (found := prefix.match(line))]
        nothing_withheld(answer)
        if answer.status not in (0, 1, 2):
            raise NotObserved(f"{file} was not read")
        return lines

    # --- agents ---

    @property
    def creates_agents(self) -> Offences:
        """The configurations by which an unknown agent is created from its first data."""
        found = []
        for each in self.configurations:
            value = each["autocreate"]
            if value.number == 0:
                continue
            name, number = each["autocreate_group_name"].text, each["autocreate_group"].number
            group = (
                f"in group “{name}”" if name else f"in group {number}" if number > 0 else "in the group that they name"
            )
            if "group that" not in group and not each["autocreate_group_force"].number:
                group += " unless they name another"
            text = f"unknown agents are created, {group}"
            found.append(Offence(subject=each.file, text=text, layer="next start", cause=value.cause))
        return Offences(found or self._unread(), "autocreate is 0: unknown agents are refused")

    def _unread(self) -> Iterator[Offence]:
        """Nothing; NotObserved where a running server has read something else than what is written."""
        if stale := list(self._stale):
            raise NotObserved(f"what is written would comply, but {stale[0].text}")
        yield from ()

    # --- connections ---

    def unprotected_database(self) -> Offences:
        """Connections to a database elsewhere that are not encrypted, or not verified. NotApplicable for none."""
        found, seen = [], []
        for each in self.configurations:
            host, cause = self._database(each)
            if self._is_here(host) and not (host := self._remote_peer(each)):
                seen.append("the database is reached by a socket or loopback")
                continue
            seen.append(
                f"{host}: dbssl {each['dbssl'].text}, verify_mysql_ssl_cert {each['verify_mysql_ssl_cert'].text}"
            )
            found += [
                Offence(
                    subject=each.file, text=f"{text} (database at {host})", layer="next start", cause=where or cause
                )
                for text, where in self._unencrypted(each)
            ]
        if not found and not any(":" in each for each in seen):
            raise NotApplicable(seen[0])
        return Offences(found or self._unread(), "; ".join(seen))

    def _database(self, configuration: Configuration) -> tuple[str, str]:
        """The database's host that counts, and what decides it."""
        file = configuration["ha_hosts_file"].text
        answer = self.answers[_HA_HOSTS.key if file == _HA_FILE else _hosts_question(file).key]
        first = re.match(rf"{re.escape(file)}:1:(.*)", answer.text)
        nothing_withheld(answer)
        if first and first[1].strip():
            return first[1].strip(), file
        value = configuration["dbhost"]
        return value.text, value.cause

    def _unencrypted(self, configuration: Configuration) -> Iterator[tuple[str, str]]:
        """What is missing, and where."""
        tls, verify = configuration["dbssl"], configuration["verify_mysql_ssl_cert"]
        if tls.number == 0:
            yield "dbssl is off: the connection is in plain text", tls.cause
            return
        authorities = [value for name in ("dbsslcafile", "dbsslcapath") if (value := configuration[name]).text]
        if not authorities:
            yield (
                "no dbsslcafile is set: there is nothing to verify the database by",
                configuration["dbsslcafile"].cause,
            )
        for value in authorities:
            answer = self.answers[_ca_question(value.text).key]
            if not answer.silence and "No such file" in answer.err.decode("utf-8", "backslashreplace"):
                yield f"{value.text} does not exist", value.cause
            else:
                answer.succeeded()
        if verify.number == 0:
            yield "verify_mysql_ssl_cert is off: any certificate is accepted, and none at all", verify.cause

    def _remote_peer(self, configuration: Configuration) -> str:
        """Where a running server is connected to at the database's port, though its file says otherwise."""
        pids = {process.pid for process in self._servers.get(configuration.file, ())}
        for line in self.answers[_CONNECTIONS.key].succeeded().lines if pids else ():
            row = re.match(r"ESTAB\s+\d+\s+\d+\s+\S+\s+(\S+):(\d{1,5})\s+(.*)", line)
            mine = row and row[2] == configuration["dbport"].text and pids & set(re.findall(r"pid=(\d+)", row[3]))
            if row and mine and not self._is_here(row[1].strip("[]")):
                return row[1]
        return ""

    def _is_here(self, host: str) -> bool:
        """Whether a name or an address is this machine's own."""
        return not host or addresses.is_loopback(host) or addresses.read(self.answers[ADDRESSES.key]).mean(host)

    def plain_api(self, console: KnowsConsole) -> Offences:
        """The configurations by which calls to the console's API travel in plain text."""
        found, seen = [], []
        for each in self.configurations:
            value = each["console_api_url"]
            if not value.text:
                value = self._api_by(console, value.cause)
            try:
                url = urlsplit(value.text)
                host = url.hostname or ""
            except ValueError:
                raise NotObserved(f"console_api_url is no address: {value.text[:80]}") from None
            seen.append(f"{url.scheme} to {host}")
            if url.scheme.lower() != "https" and not self._is_here(host):
                text = f"the console's API is called by {url.scheme or 'nothing'} at {host}"
                found.append(Offence(subject=each.file, text=text, layer="next start", cause=value.cause))
        return Offences(found or self._unread(), "; ".join(dict.fromkeys(seen)))

    @staticmethod
    def _api_by(console: KnowsConsole, cause: str) -> Value:
        """The address that the server takes where its file has none: the console's, or one of its own machine."""
        try:
            return Value(console.public_url or "http://127.0.0.1/", f"{cause}, and tconfig.public_url")
        except NotObserved as silent:
            raise NotObserved(f"{cause}, and what holds instead was not told: {silent}") from silent

    # --- secrets ---

    @property
    def readable_secrets(self) -> Offences:
        """The files with secrets that others may read."""
        answer = self.answers[_HOLDERS.key]
        nothing_withheld(answer)
        found, kept = [], []
        for file in answer.lines:
            # What packages bring along has the published values only.
            if not file.startswith("/") or file.endswith((".new", ".template")):
                continue
            if file not in self._files:
                raise NotObserved(f"who may read {file} was not told")
            folder, mode = file.rpartition("/")[0], self._files[file].mode
            if mode & 0o006 and not any(map(self._is_closed, (folder, folder.rpartition("/")[0]))):
                text = f"others may read or change {file} (mode {mode:o})"
                found.append(Offence(subject=file, text=text, layer="file", cause=file))
            kept.append(file)
        if not kept:
            raise NotObserved("no file with a secret was found, and there should be one")
        return Offences(found, f"private: {', '.join(kept)}")

    def _is_closed(self, folder: str) -> bool:
        """Whether nobody but owner and group enters a folder."""
        return folder in self._files and not self._files[folder].mode & 0o001

    @property
    def published_secrets(self) -> Offences:
        """The secrets that everybody knows."""
        found = []
        for each in self.configurations:
            question = _SECRET_LINES if each.file == server_conf.MAIN else _MORE_SECRET_LINES
            told: dict[str, tuple[str, secret.Secret]] = {}
            for cause, line in self._lines_of(each.file, question):
                token, _, value = line.partition(" ")
                if one := secret.read(value):
                    told[token] = (cause, one)
            if "dbpass" not in told:
                text = "dbpass is not set, and has its published default"
                found.append(Offence(subject="dbpass", text=text, layer="file", cause=each.file))
            for token, (cause, one) in told.items():
                if one.published:
                    text = f"{token} is a published default"
                    found.append(Offence(subject=token, text=text, layer="file", cause=cause))
        return Offences(found, "no secret is a published one")

    # --- code ---

    @property
    def alterable_code(self) -> Offences:
        """What somebody else than root may alter of what root runs. NotApplicable where root runs nothing of it."""
        answer = self.answers[_CODE.key]
        lines = answer.succeeded().lines
        nothing_withheld(answer)
        if not self._runs_as_root and "code /etc/cron.hourly/pandora_db" not in lines:
            raise NotApplicable("root runs nothing of the server")
        groups: dict[tuple[str, str], list[str]] = {}
        top = ""
        for line in lines:
            if line.startswith("code "):
                top = line[5:]
            for each in stat.entries([line]).values():
                for who in self._who_alters(each.mode, each.owner, each.group):
                    groups.setdefault((top if each.path.startswith(top) else each.path, who), []).append(each.path)
        for path, file in self._files.items():
            if path in (_FOLDER, _MORE, server_conf.MAIN):
                for who in self._who_alters(file.mode, file.owner, file.group):
                    groups.setdefault((path, who), []).append(path)
        found = [
            Offence(subject=path, text=f"{who} may alter {_many(path, paths)}", layer="file", cause=path)
            for (path, who), paths in groups.items()
        ]
        return Offences([*found, *self._dropped_updates], "root alone may alter what root runs")

    @property
    def _runs_as_root(self) -> bool:
        running = [process for each in self._servers.values() for process in each] + list(self._watchdogs)
        if running:
            return any("0" in process.users for process in running)
        return self._units.get("pandora_server.service", {}).get("User", "") in ("", "root", "0")

    def _who_alters(self, mode: int, owner: str, group: str) -> Iterator[str]:
        if owner != "root":
            yield owner
        if mode & 0o020 and (members := self._members(group)):
            yield f"the group {group} ({', '.join(members)})"
        if mode & 0o002 and not mode & 0o1000:
            yield "everybody"

    def _members(self, group: str) -> list[str]:
        """The accounts of a group besides root. A group without any alters nothing."""
        accounts = [line.split(":") for line in self.answers[PASSWD.key].succeeded().lines]
        for line in self.answers[GROUP.key].succeeded().lines:
            row = line.split(":")
            if len(row) == 4 and row[0] == group:
                primary = [account[0] for account in accounts if len(account) > 3 and account[3] == row[2]]
                return sorted({*primary, *filter(None, row[3].split(","))} - {"root", *_SYSTEMS})
        raise NotObserved(f"the members of the group {group} were not told")

    @property
    def _dropped_updates(self) -> Iterator[Offence]:
        """The folder from which the watchdog installs, as root and unsigned, whatever lies there."""
        unit = self._units.get("pandora_ha.service", {})
        layers = ["process"] if any("0" in each.users for each in self._watchdogs) else []
        # The init script begins with the watchdog where there is one; Pandora Open has none.
        by_script = self._started_by_init_script and "code /usr/bin/pandora_ha" in self.answers[_CODE.key].lines
        if not layers and (unit.get("UnitFileState") == "enabled" or by_script):
            layers = ["next start"]
        if not layers:
            return
        answer = self.answers[_UPDATES.key]
        rows = [line.split(":", 4) for line in answer.lines]
        nothing_withheld(answer)
        # A mount cannot be renamed, so that nobody puts another folder in its place.
        mounted = (row for row in rows if len(row) == 5 and row[3] == row[4] and row[4] != server_conf.SPOOL)
        if any(row[1] == "root" and not int(row[0], 8) & 0o022 for row in mounted):
            return
        folder = f"{server_conf.SPOOL}/updates/server"
        text = f"pandora_ha installs as root what pandora or the web server puts into {folder}"
        yield Offence(subject="updates", text=text, layer=layers[0], cause=folder)

    # --- running and written ---

    @property
    def _stale(self) -> Iterator[Offence]:
        """The configuration files younger than the server that read them.

        Raises NotObserved for a file whose content may be: replaced later, by one with an older date.
        """
        doubtful = []
        for file, processes in self._servers.items():
            if file not in self._files:
                raise NotObserved(f"the dates of {file} were not told")
            changed, touched = self._files[file].changed, self._files[file].touched
            started = min(process.started for process in processes)
            if changed > started + 1 and not self._own_writing(file, changed - started):
                text = f"{file} was written after the running server read it"
                yield Offence(subject=file, text=text, layer="process", cause=file)
            elif changed <= started + 1 < touched:
                doubtful.append(file)
        if doubtful:
            raise NotObserved(
                f"{doubtful[0]} was replaced, or its mode changed, after the server read it, "
                "which its dates cannot tell apart; restart pandora_server to be sure"
            )

    def _own_writing(self, file: str, after: float) -> bool:
        """Whether it was the server that wrote: at its first start it appends the passwords that it made."""
        question = _SECRET_LINES if file == server_conf.MAIN else _MORE_SECRET_LINES
        tokens = [line.partition(" ")[0] for _, line in self._lines_of(file, question)]
        return after < _OWN_WRITING and tokens[-1:] in (["console_pass"], ["console_api_pass"])

    @property
    def unread_changes(self) -> Offences:
        """The files that changed after the server read them. NotApplicable when none runs."""
        if not self._servers:
            raise NotApplicable("no pandora_server runs")
        return Offences(self._stale, "every configuration file is older than the server that read it")


_HA_FILE = server_conf.DEFAULTS["ha_hosts_file"]
# Accounts of the system in root's group, which log in nowhere and run nothing.
_SYSTEMS = ("sync", "shutdown", "halt", "operator")


def _ca_question(path: str) -> Ask:
    return Ask(key=f"{_LINES.key}@{path.encode().hex()[:200]}", sh=f"stat -L -c %s -- {shlex.quote(path)}")


def _hosts_question(path: str) -> Ask:
    return Ask(
        key=f"{_HA_HOSTS.key}@{path.encode().hex()[:200]}",
        argv=("grep", "-anHm1", "-e", ".", path),
        root=True,
    )


def _many(path: str, paths: list[str]) -> str:
    others = len(paths) - 1
    return paths[0] if not others else f"{paths[0]} and {others} more" + (f" below {path}" if path != paths[0] else "")
