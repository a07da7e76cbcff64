"""Pandora FMS's own eye on the security log: the modules of the agent on this machine."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.auth_log import JOURNAL, AuthLog
from pandora_audit.facts.services import Services
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, Question
from pandora_audit.questions import GROUP, PASSWD

_CONFIGS = ("/etc/pandora/pandora_agent.conf", "/etc/pandorafms/pandora_agent.conf")
_LINES = ("grep", "-HnF", "-e", "module_", "-e", "include", "-e", "server_ip")
# Commands may hold passwords: of each only its first word and the log that it names leave the host.
_KEEP = r"""
/^[^:]*:[0-9]+:[[:space:]]*#/d
s/^([^:]*:[0-9]+:[[:space:]]*module_(plugin|exec)[[:space:]]+)[^[:space:]]*\/([^[:space:]\/]+)/\1\3/
/^[^:]*:[0-9]+:[[:space:]]*module_plugin[[:space:]]+grep_log/b whole
s/^([^:]*:[0-9]+:[[:space:]]*module_(plugin|exec)[[:space:]]+[^[:space:]]+).*(\/var\/log\/[A-Za-z0-9._\/-]+).*/\1 \3/p
s/^([^:]*:[0-9]+:[[:space:]]*module_(plugin|exec)[[:space:]]+)(.*[^[:alnum:]_.-])?(journalctl)[[:space:]].*/\1\4/p
/^[^:]*:[0-9]+:[[:space:]]*module_(begin|end|disabled|type|regexp|logchannel)/p
/^[^:]*:[0-9]+:(include|[[:space:]]*server_ip)[[:space:]]/p
d
:whole
p
"""
_MODULES = Ask(key="agent-log-modules", argv=(*_LINES, *_CONFIGS), root=True, keep=_KEEP)
_INCLUDED = f"{_MODULES.key}@included"
_PLUGINS = Ask(
    key="agent-log-plugins",
    argv=(
        *("find", "/etc/pandora/plugins/", "/usr/share/pandora_agent/plugins/"),
        *("/usr/share/pandorafms/agent/plugins/", "-maxdepth", "1", "-perm", "/111"),
    ),
    root=True,
    keep=r"/\/grep_log/p",
)


@dataclass(frozen=True)
class _Line:
    where: str
    keyword: str
    value: str


class LogWatch(Fact):
    """What the agent on this machine reads of its logs."""

    questions = (*AuthLog.questions, _MODULES, _PLUGINS, PASSWD, GROUP)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        found = {
            posixpath.dirname(line.value) if re.search(r"[*?\[]", line.value) else line.value
            for line in cls(seen)._own_lines
            if line.keyword == "include"
        }
        places = sorted(place for place in found if re.fullmatch(r"/[\w./@+-]+", place))
        further = (Ask(key=_INCLUDED, argv=(*_LINES, "-r", *places), root=True, keep=_KEEP),) if places else ()
        return (*AuthLog.then(seen), *further)

    @cached_property
    def _auth_log(self) -> AuthLog:
        return AuthLog(self.seen)

    @cached_property
    def _services(self) -> Services:
        return Services(self.seen)

    @cached_property
    def _own_lines(self) -> tuple[_Line, ...]:
        return tuple(_lines(self.answers[_MODULES.key].lines))

    @cached_property
    def _is_installed(self) -> bool:
        answer = self.answers[_MODULES.key]
        return bool(answer.text) or answer.err.count(b"No such file") < len(_CONFIGS)

    @property
    def _active_lines(self) -> Iterator[tuple[_Line, str]]:
        """The lines of modules that are not disabled, each with its module's type."""
        lines = self._own_lines
        if any(line.keyword == "include" for line in lines):
            lines = (*lines, *_lines(self.answers[_INCLUDED].lines))
        block: list[_Line] | None = None
        for line in lines:
            if line.keyword == "module_begin":
                block = []
            elif line.keyword == "module_end":
                said = {each.keyword: each.value for each in block or ()}
                if said.get("module_disabled") != "1":
                    yield from ((each, said.get("module_type", "")) for each in block or ())
                block = None
            elif block is not None:
                block.append(line)
            elif line.keyword == "module_plugin":
                yield line, ""

    @cached_property
    def server(self) -> str:
        """The Pandora FMS server that the agent reports to; the last line counts."""
        return next((line.value for line in reversed(self._own_lines) if line.keyword == "server_ip"), "localhost")

    @cached_property
    def collected(self) -> tuple[str, ...]:
        """Where modules of log collection stand that send the security log to Pandora FMS."""
        if not self._is_installed:
            return ()
        return tuple(
            line.where
            for line, kind in self._active_lines
            if kind == "log" and line.keyword == "module_regexp" and line.value in self._auth_log.active
        )

    @cached_property
    def agent_runs(self) -> bool:
        """Whether the agent runs."""
        return bool(self._services.users("pandora_agent"))

    @cached_property
    def unwatched(self) -> Offences:
        """Why Pandora FMS does not see what is written to the security log."""
        if not self._is_installed:
            text = "no Pandora FMS agent is on this machine"
            return Offences([Offence(subject="agent", text=text, layer="file")], "")
        active = self._auth_log.active
        if not active:
            text = "no security log is written that could be watched"
            return Offences([Offence(subject="security log", text=text, layer="process")], "")
        watching = [line for line, _ in self._active_lines if _log_of(line, active)]
        if not watching:
            text = f"no module of the agent reads {' or '.join(active)}"
            return Offences([Offence(subject="agent", text=text, layer="next start", cause=self._config)], "")
        found = [offence for line in watching for offence in self._blind(line)]
        blind = found if len({offence.cause for offence in found}) == len(watching) else []
        where = ", ".join(f"{_log_of(line, active)} by {line.where}" for line in watching)
        return Offences((*blind, *self._stopped), f"the agent reads {where}")

    @property
    def _config(self) -> str:
        return self._own_lines[0].where.rpartition(":")[0] if self._own_lines else _CONFIGS[0]

    @cached_property
    def _stopped(self) -> tuple[Offence, ...]:
        found = []
        if not self.agent_runs:
            found.append(Offence(subject="agent", text="the agent does not run", layer="process"))
        unit = self._services.unit("pandora_agent_daemon", "pandorafms-agent")
        if unit is not None and not unit.starts:
            found.append(Offence(subject="agent", text="the agent is not started at the boot", layer="next start"))
        return tuple(found)

    def _blind(self, line: _Line) -> Iterator[Offence]:
        """Why a line that names the log does not read it."""
        program = line.value.split()[0]
        if line.keyword == "module_plugin" and program.startswith("grep_log") and program not in self._plugins:
            text = f"{program} is not among the agent's plugins"
            yield Offence(subject=program, text=text, layer="file", cause=line.where)
        log = _log_of(line, self._auth_log.active)
        for user in sorted(self._services.users("pandora_agent")):
            if not self._auth_log.is_open_to(log, user, self._groups(user)):
                text = f"the agent runs as {user}, who may not read {log}"
                yield Offence(subject=user, text=text, layer="process", cause=line.where)

    @cached_property
    def _plugins(self) -> frozenset[str]:
        answer = self.answers[_PLUGINS.key]
        return frozenset(posixpath.basename(line) for line in answer.lines)

    def _groups(self, user: str) -> frozenset[str]:
        """The groups of an account."""
        own = [row for line in self.answers[PASSWD.key].lines if (row := line.split(":"))[0] == user and len(row) > 3]
        rows = [row for line in self.answers[GROUP.key].lines if len(row := line.split(":")) > 3]
        return frozenset(row[0] for row in rows if user in row[3].split(",") or any(row[2] == each[3] for each in own))


def _lines(lines: list[str]) -> Iterator[_Line]:
    """The lines of the agent's configuration: a token, blanks, a value."""
    for line in lines:
        found = re.match(r"(/[^:]*):(\d{1,7}):\s*(\S+)(?:\s+(.*))?$", line)
        if found:
            yield _Line(f"{found[1]}:{found[2]}", found[3], (found[4] or "").strip())


def _log_of(line: _Line, active: tuple[str, ...]) -> str:
    """The security log that a line of a module reads; empty when it reads none."""
    if line.keyword not in ("module_plugin", "module_exec", "module_regexp"):
        return ""
    words = [word.strip("\"'") for word in line.value.split()]
    if JOURNAL in active and {"journalctl", "journald"} & set(words):
        return JOURNAL
    return next((log for log in active if log in words), "")
