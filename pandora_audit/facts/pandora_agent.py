"""The Pandora FMS agent of a Unix machine: what its file says, what runs, and who may change what it executes."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from pandora_audit.fact import Fact, Seen
from pandora_audit.formats import agent_conf, stat
from pandora_audit.formats.addresses import is_loopback
from pandora_audit.formats.agent_conf import AgentConf, Module, Setting
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.stat import Entry
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question, Role, Unreadable
from pandora_audit.verdict import NotApplicable, ToDecide

SECURITY_PLUGINS = ("basic_security", "basic_security_v2", "pandora_security_check")
LOG_PLUGINS = ("grep_log", "grep_log_module")

# The vendor's place, Debian's, and the folder that Debian's agent is started with.
_PLACES = ("/etc/pandora", "/etc/pandorafms", "/var/lib/pandorafms/agent")
_FILES = tuple(f"{place}/pandora_agent.conf" for place in _PLACES)
FOLDERS = tuple(
    f"{top}/{name}"
    for top in (*_PLACES, "/usr/share/pandora_agent")
    for name in ("plugins", "collections", "commands", "ref")
)
_PROGRAMS = (
    *(f"/usr/bin/{name}" for name in ("pandora_agent", "pandora_agent_exec", "tentacle_client")),
    "/usr/sbin/pandora_agent",
)

# What these say leaves the host; of whatever else the agent knows only what it executes, without its arguments (but for
# the logs that plugins read, and what inventories hold). Anything else may be, or hold, a secret.
_TOLD = (
    *("include", "file_collection", "cmd_file", "remote_config", "udp_server", "proxy_mode", "rmm_enabled", "standby"),
    *("temporal", "pandora_user", "agent_name", "agent_alias"),
    *(f"{server}{each}" for server in ("", "secondary_") for each in ("server_ip", "server_ssl", "transfer_mode")),
    *("server_opts", "secondary_server_opts", "secondary_mode"),
    *("module_begin", "module_end", "module_name", "module_type", "module_disabled", "module_regexp"),
)
_PLUGIN = (
    r"^[^:]*:[0-9]+:[[:space:]]*module_plugin[[:space:]]+(([^[:space:]]*\/)?(perl|python3?|ba?sh|env)[[:space:]]+)?"
)
_KEEP = rf"""
/^[^:]*:[0-9]+:[[:space:]]*(#|$)/d
s/(["']-[cghqvwz]*x|[[:space:]]-[cghqvwz]*["']?x["']+[[:space:]]).*/\1…/
s/([[:space:]]-[cghqvwz]*x[[:space:]]*)('[^']*'|"[^"]*"|[^[:space:]]+)/\1…/g
/^[^:]*:[0-9]+:[[:space:]]*({"|".join(_TOLD)})([[:space:]]|$)/p
s/^([^:]*:[0-9]+:[[:space:]]*agent_name_cmd[[:space:]]).*/\1…/p
/{_PLUGIN}["']?([^[:space:]]*\/)?(grep_log(_module)?|inventory)["']?([[:space:]]|$)/{{p;d}}
s/({_PLUGIN}[^[:space:]]+).*/\1/p
s/^([^:]*:[0-9]+:[[:space:]]*module_(exec|proc|service|cpu[a-z]*|mem[a-z]*|free[a-z]*|occupied[a-z]*)[[:space:]]).*/\1…/p
"""


def _conf(key: str, *paths: str) -> Ask:
    """The lines of these files; of a folder, of every file in it."""
    return Ask(key=key, argv=("grep", "-arnHs", "-e", "^", *paths), root=True, only_if=Role.AGENT, keep=_KEEP)


_CONF = _conf("agent-conf", *_FILES)
# A process that nobody shows is no process that does not run: of process 1 everybody knows that it runs.
_PROCESSES = Ask(
    key="agent-processes",
    sh="date +%s; ps -p 1 -o pid=; ps -eo ruid=,euid=,etimes=,ruser:32=,args=",
    only_if=Role.AGENT,
    keep=r"""
/^ *[0-9]+$/p
s/^( *[0-9]+ +[0-9]+ +[0-9]+ +[^ ]+ +)(([^ ]*\/)?perl[0-9.]* +(-[^ ]+ +)*)?(([^ ]*\/)?pandora_agent( .*)?)$/\1\5/p
""",
)
_STAT = ("stat", "-L", "-c", stat.WITH_TIME)
_MODES = Ask(
    key="agent-modes",
    argv=(
        *_STAT,
        *_FILES,
        *_PROGRAMS,
        "/etc",
        *_PLACES,
        "/usr/share/pandora_agent",
        "/usr/bin",
    ),
    root=True,
    only_if=Role.AGENT,
)
_LINKS = Ask(key="agent-links", argv=("find", *_FILES, "-maxdepth", "0", "-type", "l"), root=True, only_if=Role.AGENT)


def _above(path: str) -> tuple[str, ...]:
    """A path and the folders above it."""
    parts = path.split("/")
    return tuple("/".join(parts[:length]) or "/" for length in range(len(parts), 0, -1))


# What a program of these names is a link to, link by link, lies in folders of its own.
_FOLDERS_ABOVE = Ask(
    key="agent-program-folders",
    sh=rf"""for program in {" ".join(_PROGRAMS)}; do
    at=$program
    for hop in 1 2 3 4 5 6 7 8; do
        [ -L "$at" ] || break
        to=$(readlink "$at")
        case $to in /*) ;; *) to=${{at%/*}}/$to ;; esac
        at=$(readlink -f "${{to%/*}}/")/${{to##*/}}
        above=${{at%/*}}
        while [ -n "$above" ]; do
            stat -c '{stat.WITH_TIME}' "$above"
            above=${{above%/*}}
        done
    done
    {{ [ -e "$at" ] && [ ! -L "$at" ]; }} || echo "hidden $program"
done""",
    only_if=Role.AGENT,
)
# Where data usually waits; of another folder the second trip asks.
_SPOOLS = tuple(
    f"/var/spool/{each}{below}" for each in ("pandora", "pandorafms") for below in ("", "/data_out", "/temporal")
)
_SPOOL = Ask(key="agent-spool", argv=(*_STAT, "/", "/var", "/var/spool", *_SPOOLS), root=True, only_if=Role.AGENT)
_SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  (the folders that a claim forbids)
_CODE = Ask(
    key="agent-code",
    argv=(
        *("find", "-L", *FOLDERS, "-maxdepth", "4"),
        *("-perm", "/022", "-exec", *_STAT, "{}", "+"),
        *("-o", "-not", "-user", "root", "-exec", *_STAT, "{}", "+"),
    ),
    root=True,
    seconds=20,
    only_if=Role.AGENT,
)


@dataclass(frozen=True)
class _Process:
    """A running agent: whose it is, when it started (seconds since the epoch), and its configuration file."""

    user: str
    real: int
    effective: int
    started: float
    file: str


def _alterable(entry: Entry, owners: Collection[str]) -> str:
    """Who else than these owners may alter it, as a phrase; empty for nobody."""
    if entry.owner not in owners:
        return f"{entry.path} belongs to {entry.owner}"
    if entry.mode & 0o002 and not (entry.mode & 0o1000 and entry.kind == "directory"):
        return f"{entry.path} may be altered by everybody (mode {entry.mode:o})"
    if entry.mode & 0o020 and entry.group not in owners:
        return f"{entry.path} may be altered by the group {entry.group} (mode {entry.mode:o})"
    return ""


class PandoraAgent(Fact):
    """The agent of Pandora FMS."""

    role = Role.AGENT
    questions: ClassVar[tuple[Question, ...]] = (_CONF, _PROCESSES, _LINKS, _MODES, _FOLDERS_ABOVE, _CODE, _SPOOL)
    tls_words: ClassVar[tuple[str, ...]] = ("1", "yes")
    """The values of server_ssl that turn TLS on."""

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        agent = cls(seen)
        places = agent._main.places
        included = (_conf(f"{_CONF.key}@included", *places),) if places else ()
        temporal = agent._main["temporal"].value.rstrip("/")
        if temporal in (*_SPOOLS, *_SHARED) or not re.fullmatch(r"/[\w./@+-]+", temporal):
            return included
        return (*included, Ask(key=f"{_SPOOL.key}@temporal", argv=(*_STAT, *_above(temporal)), root=True))

    # --- what is written ---

    @cached_property
    def _lines(self) -> list[agent_conf.Line]:
        return agent_conf.lines(self.answers[_CONF.key].lines)

    @cached_property
    def file(self) -> str:
        """The file that the agent reads: the one that it was started with, or the first that is there."""
        there = list(dict.fromkeys(line.file for line in self._lines))
        if not there:
            raise Unreadable("the agent's configuration says nothing, or could not be read")
        started = sorted({each.file for each in self._processes})
        if len(started) > 1:
            raise NotObserved(f"agents run with {', '.join(started)}, and this looks at one agent only")
        if started and started[0] not in there:
            raise NotObserved(f"the agent runs with {started[0]}, which was not looked into")
        return started[0] if started else there[0]

    @cached_property
    def _main(self) -> AgentConf:
        return agent_conf.read(self._own_lines)

    @cached_property
    def _own_lines(self) -> list[agent_conf.Line]:
        file = self.file
        return [line for line in self._lines if line.file == file]

    @cached_property
    def conf(self) -> AgentConf:
        """The agent's configuration with what it includes. Raises NotObserved when an included file was not seen."""
        if not self._main.includes:
            return self._main
        answer = self.answers[f"{_CONF.key}@included"]
        patterns = [each.value.strip() for each in self._main.includes]
        included = [
            line
            for line in agent_conf.lines(answer.lines)
            if any(fnmatch.fnmatchcase(line.file, word) for pattern in patterns for word in pattern.split())
        ]
        return agent_conf.read(self._own_lines, included)

    def setting(self, token: str) -> Setting:
        """The effective value of a general token; only the main file sets one."""
        return self._main[token]

    # --- what runs ---

    @cached_property
    def _processes(self) -> tuple[_Process, ...]:
        lines = self.answers[_PROCESSES.key].lines
        alone = [line.strip() for line in lines if re.fullmatch(r" *\d{1,12}", line)]
        if len(alone) < 2:
            raise NotObserved("this account is not shown the processes of others")
        rows = (re.fullmatch(r" *(\d{1,10}) +(\d{1,10}) +(\d{1,10}) +(\S+) +(.*)", line) for line in lines)
        return tuple(
            _Process(row[4], int(row[1]), int(row[2]), int(alone[0]) - int(row[3]), _started_with(row[5]))
            for row in rows
            if row
        )

    @cached_property
    def runs(self) -> bool:
        return bool(self._processes)

    @cached_property
    def _running(self) -> _Process:
        """The running agent. Raises NotApplicable when none runs."""
        if not self._processes:
            raise NotApplicable("no agent runs")
        return self._processes[0]

    @cached_property
    def unread_changes(self) -> Offences:
        """The configuration, where it was written after the agent started."""
        file = self._mode(self.file)
        # ps counts whole seconds, and so does the file's date.
        return self._unread(file.path, late=file.changed > self._running.started + 2)

    def _unread(self, file: str, *, late: bool) -> Offences:
        """A file that was written after the agent started. What comes from the server is read when it comes."""
        if late and self.remote_configuration:
            raise NotObserved(
                f"{file} is newer than the agent's start, and may be the server's, which the agent has read"
            )
        text = f"{file} was written after the agent started"
        found = [Offence(subject=file, text=text, layer="process")] if late else []
        return Offences(found, f"{file} is older than the agent's start")

    @cached_property
    def privileged(self) -> Offences:
        """The superuser as whom the agent runs, by its real user: a command's shell may take the effective one back."""
        real = self._running.real
        text = "the agent runs as root" + (
            " (pandora_user sets its effective user only)" if self._running.effective else ""
        )
        found = [Offence(subject="root", text=text, layer="process")] if real == 0 else []
        return Offences(found, f"the agent's real user is {real}")

    # --- sensitive EndPoints ---

    @cached_property
    def remote_configuration(self) -> Offences:
        """Where the agent takes its configuration from the server."""
        setting = self.setting("remote_config")
        found = [Offence(subject="remote_config", text="remote_config 1", layer="file", cause=setting.where)]
        return Offences(found if setting.value == "1" else [], f"remote_config {setting.value or 'empty'}")

    @cached_property
    def remote_execution(self) -> Offences:
        """The other ways by which somebody else makes the agent execute or relay something."""
        found = [remote("file_collection", each) for each in self.conf.collections]
        found += [remote("cmd_file", each) for each in self.conf.commands]
        switches = {"udp_server": _is_one, "proxy_mode": _is_true, "rmm_enabled": _is_true}
        for token, is_on in switches.items():
            if is_on(self.setting(token).value):
                found.append(remote(token, self.setting(token)))
        return Offences(found, "no collection, no remote command, no UDP server, no proxy, no remote management")

    def sensitive(self, offences: Offences, promised: bool | None) -> Offences:
        """Offences that count where the EndPoint is sensitive. Raises ToDecide or NotApplicable where they do not."""
        if not offences or promised:
            return offences
        if promised is None:
            raise ToDecide(f"{offences}: unmet if this EndPoint is sensitive (audit_sensitive)")
        raise NotApplicable("the site says that this EndPoint is not sensitive")

    def superuser(self, *, promised: bool | None) -> Offences:
        """The same for an agent that is to run without superuser."""
        if self.privileged and not promised:
            if promised is None:
                raise ToDecide(f"{self.privileged}: unmet if it needs no superuser here (audit_unprivileged)")
            raise NotApplicable("the site says that this agent needs the superuser")
        return self.privileged

    # --- the way to Tentacle ---

    @cached_property
    def clear_text(self) -> Offences:
        """The servers to which the agent sends without TLS. NotApplicable where nothing leaves the machine."""
        found = [each for prefix in self._ways for each in self._in_the_clear(prefix)]
        return Offences(found, "the agent sends through TLS")

    @cached_property
    def unverified(self) -> Offences:
        """The servers that the agent sends to without verifying whom it talks to."""
        found = []
        for prefix in self._ways:
            letters, where = self._options(prefix)
            if "f" not in letters and self.setting(f"{prefix}transfer_mode").value == "tentacle":
                text = f"{prefix}server_opts names no CA (-f)"
                found.append(Offence(subject=f"{prefix}server_opts", text=text, layer="file", cause=where))
        return Offences(found, "server_opts names the CA that the server's certificate must chain to (-f)")

    @property
    def _prefixes(self) -> tuple[str, ...]:
        """What the servers' tokens begin with: "" for the first, "secondary_" where a second is used."""
        return ("", "secondary_") if self.setting("secondary_mode").value in ("always", "on_error") else ("",)

    @cached_property
    def _ways(self) -> tuple[str, ...]:
        """The prefixes of the servers beyond its own machine. Raises NotApplicable where there is none."""
        beyond = tuple(each for each in self._prefixes if not self._stays(each))
        if not beyond:
            raise NotApplicable("the agent sends to its own machine only")
        return beyond

    @cached_property
    def servers(self) -> tuple[Setting, ...]:
        """Whom the agent sends to, its own machine included. Raises NotApplicable where that is all."""
        _ = self._ways
        return tuple(self.setting(f"{prefix}server_ip") for prefix in self._prefixes)

    def _stays(self, prefix: str) -> bool:
        mode = self.setting(f"{prefix}transfer_mode").value
        return mode == "local" or is_loopback(self.setting(f"{prefix}server_ip").value)

    def _options(self, prefix: str) -> tuple[frozenset[str], str]:
        """The client's options for one server, and where they are set."""
        opts, ssl = self.setting(f"{prefix}server_opts"), self.setting(f"{prefix}server_ssl")
        letters = agent_conf.client_options(opts.value) | (
            frozenset("c") if ssl.value in self.tls_words else frozenset()
        )
        return letters, opts.where or ssl.where

    def _in_the_clear(self, prefix: str) -> Iterator[Offence]:
        mode = self.setting(f"{prefix}transfer_mode")
        letters, where = self._options(prefix)
        ssl = self.setting(f"{prefix}server_ssl")
        said = ""
        if mode.value == "ftp":
            said, where = f"{prefix}transfer_mode ftp", mode.where
        elif mode.value == "tentacle" and not letters & {"c", "e"}:
            said, where = f"{prefix}server_ssl {ssl.value}", ssl.where
        elif mode.value == "tentacle" and {"c", "e"} <= letters:
            said = f"{prefix}server_ssl and -e exclude each other: tentacle_client refuses, and nothing is sent"
        if said:
            yield Offence(subject=f"{prefix}server_ssl", text=said, layer="file", cause=where or self.file)

    # --- files ---

    def _mode(self, path: str) -> Entry:
        found = stat.entries(self.answers[_MODES.key].lines).get(path)
        if found is None:
            raise NotObserved(f"the mode of {path} was not told")
        return found

    @cached_property
    def readable_configuration(self) -> Offences:
        """Who reads the configuration, or alters it, besides its owner."""
        file, folder = self._mode(self.file), self._mode(self.file.rpartition("/")[0])
        texts = [_alterable(each, self._runs_as) for each in (file, folder)]
        # What a link leads to lies elsewhere: the folder of the link keeps nobody out.
        is_linked = self.file in self.answers[_LINKS.key].lines
        if not is_linked:
            nothing_withheld(self.answers[_LINKS.key])
        if file.others_read and (is_linked or folder.others_enter):
            texts.append(f"{file.path} may be read by everybody (mode {file.mode:o})")
        return Offences(
            [Offence(subject=file.path, text=text, layer="file") for text in texts if text],
            f"{file.path}: {file.owner}, mode {file.mode:o}",
        )

    @cached_property
    def _runs_as(self) -> frozenset[str]:
        """Root, and the account that the agent really runs as."""
        return frozenset({"root", *(each.user for each in self._processes)})

    @cached_property
    def alterable_code(self) -> Offences:
        """What the agent executes and others than root, or than the account that it runs as, may alter."""
        entries: dict[str, Entry] = {}
        for question in (_MODES, _CODE):
            entries |= stat.entries(self.answers[question.key].lines)
            nothing_withheld(self.answers[question.key])
        if not any(path in entries for path in _PROGRAMS):
            raise NotObserved(f"none of {', '.join(_PROGRAMS)} is there: the agent's programs lie elsewhere")
        above = self.answers[_FOLDERS_ABOVE.key].lines
        entries |= stat.entries(above)
        wrong = {path: text for path, each in entries.items() if (text := _alterable(each, self._runs_as))}
        wrong = {path: text for path, text in wrong.items() if path not in _FILES}
        tops = {path: text for path, text in wrong.items() if not any(path.startswith(f"{other}/") for other in wrong)}
        found = [Offence(subject=path, text=text, layer="file") for path, text in sorted(tops.items())]
        for path in _PROGRAMS:
            if f"hidden {path}" in above and path in entries and not found:
                raise NotObserved(f"{path} is a link to where this account sees nothing")
        return Offences(found, "only root may alter the agent's programs, plugins, collections and commands")

    @cached_property
    def open_temporal(self) -> Offences:
        """The folder in which data waits, where others may read or write it."""
        setting = self.setting("temporal")
        folder = setting.value.rstrip("/")
        text = ""
        if folder in _SHARED:
            text = f"temporal is {folder}, which everybody shares"
        elif self._others_enter(folder):
            text = f"{folder} is open to everybody"
        offences = [Offence(subject=folder, text=text, layer="file", cause=setting.where)] if text else []
        return Offences(offences, f"{folder} is closed to others")

    def _others_enter(self, folder: str) -> bool:
        """Whether others may do anything in a folder: it and all above it have to let them."""
        answer = self.answers[_SPOOL.key if folder in _SPOOLS else f"{_SPOOL.key}@temporal"]
        modes = stat.entries(answer.lines)
        if folder not in modes:
            raise NotObserved(f"the mode of {folder} was not told")
        above = [path for path in _above(folder) if path != folder]
        if not modes[folder].mode & 0o007 or any(not modes[path].others_enter for path in above if path in modes):
            return False
        if missing := [path for path in above if path not in modes]:
            raise NotObserved(f"the mode of {missing[0]} was not told")
        return True

    # --- what it watches ---

    def watches(self, paths: Iterable[str]) -> Module | None:
        """The module that reads one of these logs: a log module, or a plugin that greps it; None for none."""
        wanted = tuple(paths)
        for each in self.conf.modules:
            words = [word.strip("\"'") for word in each.parameters.split()]
            if each.kind == "log" and words and words[0] in wanted:
                return each
            if each.kind == "plugin" and plugin(each) in LOG_PLUGINS and set(words) & set(wanted):
                return each
        return None

    @cached_property
    def security_plugin(self) -> Module | None:
        """The line that runs one of the vendor's security plugins; None for none."""
        return next((each for each in self.conf.modules if plugin(each) in SECURITY_PLUGINS), None)


def plugin(module: Module) -> str:
    """The name of the plugin that a module runs, by itself or by its interpreter; empty for other modules."""
    words = [word.strip("\"'").rpartition("/")[2] for word in module.parameters.split()]
    if module.kind != "plugin" or not words:
        return ""
    return words[1] if re.fullmatch(r"perl|python3?|ba?sh|env", words[0]) and len(words) > 1 else words[0]


def _started_with(command: str) -> str:
    """The configuration file of a running agent: its first argument is the folder, a second one names the file."""
    words = command.split()[1:]
    folder = words[0].rstrip("/") if words else "/etc/pandora"
    return f"{folder}/{words[1] if len(words) > 1 else 'pandora_agent.conf'}"


def _is_one(value: str) -> bool:
    """As Perl compares with 1: by the number that the text begins with."""
    return re.match(r"\s*\+?0*1(\.0*)?(?![\d.])", value) is not None


def _is_true(value: str) -> bool:
    """As Perl understands a condition."""
    return value not in ("", "0")


def remote(token: str, setting: Setting) -> Offence:
    """The offence of a token by which somebody else makes the agent act."""
    text = f"{token} {setting.value}"[:200]
    return Offence(subject=text, text=text, layer="file", cause=setting.where)
