"""Pandora FMS's own eye on the security log: the modules of the agent on this machine."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.auth_log import JOURNAL, AuthLog
from pandora_audit.facts.services import Services
from pandora_audit.formats import agent_conf
from pandora_audit.formats.agent_conf import AgentConf, Line, Module
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
/^[^:]*:[0-9]+:[[:space:]]*module_(begin|end|name|disabled|type|regexp)/p
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


class LogWatch(Fact):
    """What the agent on this machine reads of its logs."""

    questions = (*AuthLog.questions, _MODULES, _PLUGINS, PASSWD, GROUP)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        places = [place for place in cls(seen)._main.places if re.fullmatch(r"/[\w./@+-]+", place)]
        further = (Ask(key=_INCLUDED, argv=(*_LINES, "-r", *places), root=True, keep=_KEEP),) if places else ()
        return (*AuthLog.then(seen), *further)

    @cached_property
    def _auth_log(self) -> AuthLog:
        return AuthLog(self.seen)

    @cached_property
    def _services(self) -> Services:
        return Services(self.seen)

    @cached_property
    def _lines(self) -> list[Line]:
        return agent_conf.lines(self.answers[_MODULES.key].lines)

    @cached_property
    def _main(self) -> AgentConf:
        return agent_conf.read(self._lines)

    @cached_property
    def _is_installed(self) -> bool:
        answer = self.answers[_MODULES.key]
        return bool(answer.text) or answer.err.count(b"No such file") < len(_CONFIGS)

    @property
    def _modules(self) -> tuple[Module, ...]:
        included = self.answers[_INCLUDED].lines if self._main.includes else []
        return agent_conf.read(self._lines, agent_conf.lines(included)).modules

    @property
    def server(self) -> str:
        """The Pandora FMS server that the agent reports to."""
        return self._main["server_ip"].value

    @cached_property
    def collected(self) -> tuple[str, ...]:
        """Where modules of log collection stand that send the security log to Pandora FMS."""
        if not self._is_installed:
            return ()
        return tuple(
            module.where
            for module in self._modules
            if module.type == module.kind == "log" and module.parameters.strip() in self._auth_log.active
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
        watching = [module for module in self._modules if _log_of(module, active)]
        if not watching:
            text = f"no module of the agent reads {' or '.join(active)}"
            return Offences([Offence(subject="agent", text=text, layer="next start", cause=self._config)], "")
        found = [offence for module in watching for offence in self._blind(module)]
        blind = found if len({offence.cause for offence in found}) == len(watching) else []
        where = ", ".join(f"{_log_of(module, active)} by {module.where}" for module in watching)
        return Offences((*blind, *self._stopped), f"the agent reads {where}")

    @property
    def _config(self) -> str:
        return self._lines[0].file if self._lines else _CONFIGS[0]

    @cached_property
    def _stopped(self) -> tuple[Offence, ...]:
        found = []
        if not self.agent_runs:
            found.append(Offence(subject="agent", text="the agent does not run", layer="process"))
        unit = self._services.unit("pandora_agent_daemon", "pandorafms-agent")
        if unit is not None and not unit.starts:
            found.append(Offence(subject="agent", text="the agent is not started at the boot", layer="next start"))
        return tuple(found)

    def _blind(self, module: Module) -> Iterator[Offence]:
        """Why a module that names the log does not read it."""
        program = module.parameters.split()[0]
        if module.kind == "plugin" and program.startswith("grep_log") and program not in self._plugins:
            text = f"{program} is not among the agent's plugins"
            yield Offence(subject=program, text=text, layer="file", cause=module.where)
        log = _log_of(module, self._auth_log.active)
        for user in sorted(self._services.users("pandora_agent")):
            if not self._auth_log.is_open_to(log, user, self._groups(user)):
                text = f"the agent runs as {user}, who may not read {log}"
                yield Offence(subject=user, text=text, layer="process", cause=module.where)

    @cached_property
    def _plugins(self) -> frozenset[str]:
        answer = self.answers[_PLUGINS.key]
        return frozenset(posixpath.basename(line) for line in answer.lines)

    def _groups(self, user: str) -> frozenset[str]:
        """The groups of an account."""
        own = [row for line in self.answers[PASSWD.key].lines if (row := line.split(":"))[0] == user and len(row) > 3]
        rows = [row for line in self.answers[GROUP.key].lines if len(row := line.split(":")) > 3]
        return frozenset(row[0] for row in rows if user in row[3].split(",") or any(row[2] == each[3] for each in own))


def _log_of(module: Module, active: tuple[str, ...]) -> str:
    """The security log that a module reads; empty when it reads none."""
    words = [word.strip("\"'") for word in module.parameters.split()]
    if JOURNAL in active and {"journalctl", "journald"} & set(words):
        return JOURNAL
    return next((log for log in active if log in words), "")
