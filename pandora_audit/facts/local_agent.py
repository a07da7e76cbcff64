"""The monitoring of the machine that monitors: the agent on the Pandora FMS server itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.facts.pandora_agent import LOG_PLUGINS, SECURITY_PLUGINS, PandoraAgent, plugin
from pandora_audit.facts.pandora_console import SECURITY_MODULES, DeploymentDatabase, Tables
from pandora_audit.formats import addresses
from pandora_audit.formats.addresses import Addresses
from pandora_audit.formats.agent_conf import Module
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Role
from pandora_audit.questions import ADDRESSES
from pandora_audit.script import ROLES
from pandora_audit.verdict import NotApplicable

_UNITS = Ask(
    key="agent-units",
    sh="systemctl show -p Id,UnitFileState pandora_agent_daemon.service pandorafms-agent.service",
    only_if=Role.SERVER,
)
_LOGS = Ask(
    key="agent-logs",
    sh="for log in /var/log/messages /var/log/syslog /var/log/secure /var/log/auth.log; do"
    ' [ -e "$log" ] && echo "$log"; done; true',
    only_if=Role.SERVER,
)
_PLUGINS = Ask(
    key="agent-watching-plugins",
    argv=(
        *("find", "-L", "/etc/pandora", "/usr/share/pandora_agent", "/usr/share/pandorafms/agent", "-maxdepth", "3"),
        *[word for name in (*SECURITY_PLUGINS, *LOG_PLUGINS) for word in ("-o", "-name", name)][1:],
    ),
    root=True,
    only_if=Role.SERVER,
)

_GENERAL_LOGS = ("/var/log/messages", "/var/log/syslog")
_SECURITY_LOGS = ("/var/log/secure", "/var/log/auth.log")

# What the older security plugin looks at, and which of our controls judge the same.
_SAME_AS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"ssh_port", ("ssh.port",)),
    (r"ftp_port", ("system.legacy-services",)),
    (r"ssh_allow_root", ("ssh.root-login",)),
    (r"mysql_without_pass", ("mysql.root-password",)),
    (r"mysql_(bind|port)", ("mysql.bind-address",)),
    (r"SELinux_status", ("system.mandatory-access-control",)),
    (r".*_integrity", ("system.integrity",)),
    (r"authorized_keys.*", ("ssh.root-keys", "ssh.user-keys")),
    (r".*pass.*", ("system.weak-passwords",)),
)


def _judged_by(name: str) -> tuple[str, ...] | None:
    """Our controls that judge what a module of a security plugin looks at; None for a module of something else."""
    if name in SECURITY_MODULES:
        return SECURITY_MODULES[name]
    short = re.fullmatch(r"SEC\[(.*?)\]?", name)
    if short is None:
        return None
    return next((ids for pattern, ids in _SAME_AS if re.fullmatch(pattern, short[1])), ())


@dataclass(frozen=True)
class Watched:
    """A module by which the agent watches a log, or that the security plugin made, as the database has it."""

    number: str
    name: str
    is_raised: bool
    is_fresh: bool


@dataclass(frozen=True)
class Reporting:
    """What Pandora FMS's database may know an agent by: the names and addresses of its machine.

    Args:
        names: besides the machine's own, those that the agent's file sets.
        logs: the names of its modules that watch logs.
    """

    names: frozenset[str]
    addresses: Addresses
    logs: frozenset[str]

    def agents(self, tables: Tables) -> dict[str, bool | None]:
        """The agents that are this one, each with whether it has reported lately: None where nothing of it is regular.

        Only where none has its name, those that have its address, which may be another machine's as well. Raises
        NotObserved for none.
        """
        places = {row[0]: row[1] for row in tables["address"]}
        named = [row for row in tables["agent"] if {row[1], row[2]} & self.names or any(map(self._mean, row[1:3]))]
        found = named or [row for row in tables["agent"] if self._mean(places.get(row[0], ""))]
        if not found:
            raise NotObserved("the database knows no agent by a name or an address of this machine")
        return {row[0]: row[8] == "1" if row[8] else None for row in found}

    def _mean(self, place: str) -> bool:
        """Whether a name or an address is this machine's; one that every machine has says nothing."""
        return bool(place) and not addresses.is_loopback(place) and self.addresses.mean(place)

    def modules(self, tables: Tables) -> tuple[Watched, ...]:
        """Its modules that watch logs, and those of the security plugins.

        An agent of its name that is silent beside one that reports was there before it was installed anew.
        """
        agents = self.agents(tables)
        mine = [agent for agent, heard in agents.items() if heard] or agents
        return tuple(
            Watched(number, name, raised == "1", fresh == "1")
            for number, agent, name, raised, fresh in tables["module"]
            if agent in mine and (name in self.logs or _judged_by(name) is not None)
        )


class LocalAgent(Fact):
    """The agent on the Pandora FMS server."""

    role = Role.SERVER
    questions = (*PandoraAgent.questions, _UNITS, _LOGS, _PLUGINS, ADDRESSES)
    then = PandoraAgent.then

    @cached_property
    def reporting(self) -> Reporting:
        """What the database may know this agent by. Raises NotApplicable where there is none."""
        if self._agent is None:
            raise NotApplicable("no agent of Pandora FMS is installed on the server")
        names = {self._agent.setting(token).value for token in ("agent_name", "agent_alias")} - {""}
        plugins = [_words(each.parameters) for each in self._agent.conf.modules if plugin(each) in LOG_PLUGINS]
        # After the plugin, with or without an interpreter: the log, the module's name, the pattern.
        logs = {words[at + 2] for words in plugins for at in _of_plugin(words) if len(words) > at + 2}
        return Reporting(frozenset(names), addresses.read(self.answers[ADDRESSES.key]), frozenset(logs))

    @cached_property
    def _agent(self) -> PandoraAgent | None:
        """The agent; None where the machine has none. Raises NotObserved where nobody could look."""
        said = re.search(r"^agent (\w+)", self.answers[ROLES].text, re.M)
        if said is None or said[1] == "hidden":
            raise NotObserved("whether an agent is installed is hidden from this account")
        return PandoraAgent(self.seen) if said[1] == "present" else None

    def _none(self) -> Offences:
        return Offences([Offence(subject="agent", text="no agent of Pandora FMS is installed on the server")], "")

    def silent(self, database: DeploymentDatabase) -> Offences:
        """Why the server's own agent does not watch it: not installed, not running, not at the next start."""
        if self._agent is None:
            return self._none()
        found = []
        if not self._agent.runs:
            found.append(Offence(subject="agent", text="the agent does not run", layer="process"))
        if self._agent.setting("standby").value == "1":
            where = self._agent.setting("standby").where
            found.append(Offence(subject="standby", text="standby 1: it reports nothing", layer="file", cause=where))
        states = re.findall(r"^UnitFileState=(.+)$", self.answers[_UNITS.key].succeeded().text, re.M)
        if not states and not found:
            raise NotObserved("no unit of the agent is known: whether it starts with the machine was not seen")
        if states and not set(states) & {"enabled", "generated"}:
            found.append(Offence(subject="unit", text=f"its unit is {states[0]}", layer="next start"))
        if not found and not any(heard := self.reporting.agents(database.tables).values()):
            if None in heard:
                raise NotObserved(
                    "the agent brings nothing at intervals, so that the database does not show its silence"
                )
            text = "the database has heard nothing of the agent for two of its intervals"
            found.append(Offence(subject="contact", text=text))
        return Offences(found, "an agent runs on the server, and starts with it; the database has heard of it")

    @cached_property
    def unwatched_logs(self) -> Offences:
        """The general and the security log, where no module reads them."""
        if self._agent is None:
            return self._none()
        there = self.answers[_LOGS.key].succeeded().lines
        logs = {
            name: [path for path in paths if path in there]
            for name, paths in (("general log", _GENERAL_LOGS), ("security log", _SECURITY_LOGS))
        }
        modules = {name: self._agent.watches(paths) for name, paths in logs.items()}
        found = [
            Offence(subject=name, text=f"no module reads the {name} ({' or '.join(logs[name])})")
            for name, module in modules.items()
            if module is None and logs[name]
        ]
        found += [each for module in modules.values() if module and (each := self._not_there(module))]
        if not found and (missing := [name for name, paths in logs.items() if not paths]):
            raise NotObserved(f"the machine writes no file of the {missing[0]}; who watches the journal was not seen")
        seen = ", ".join(f"{name}: {module.parameters}" for name, module in modules.items() if module)
        return Offences(found, seen)

    def _not_there(self, module: Module) -> Offence | None:
        """The offence of a plugin that the agent is told to run, and does not find."""
        name = plugin(module)
        places = self.answers[_PLUGINS.key].lines
        if not name or any(path.rpartition("/")[2] == name for path in places):
            return None
        nothing_withheld(self.answers[_PLUGINS.key])
        return Offence(subject=name, text=f"{name} is not where the agent looks for it", cause=module.where)

    def security_plugin_missing(self, database: DeploymentDatabase) -> Offences:
        """What keeps the security plugin from seeing anything: no line, no file, not root."""
        if self._agent is None:
            return self._none()
        module = self._agent.security_plugin
        if module is None:
            text = "no line of the agent's configuration runs the security plugin"
            return Offences([Offence(subject="security plugin", text=text, layer="file")], "")
        found = [each for each in (self._not_there(module),) if each]
        if not self._agent.runs:
            found.append(Offence(subject="agent", text="the agent does not run", layer="process"))
        elif not self._agent.privileged:
            text = "the agent does not run as root, so the plugin cannot read what it judges"
            found.append(Offence(subject="root", text=text, layer="process"))
        if not found:
            found = self._outdated(database.tables)
        return Offences(found, f"{module.where} runs {module.parameters}")

    def _security_modules(self, tables: Tables) -> list[Watched]:
        return [each for each in self.reporting.modules(tables) if _judged_by(each.name) is not None]

    def _outdated(self, tables: Tables) -> list[Offence]:
        """What the database lacks of the plugin: all of it, or what is new."""
        modules = self._security_modules(tables)
        if not modules:
            text = "the database has heard nothing of the security plugin"
            return [Offence(subject="security plugin", text=text)]
        return [
            Offence(subject=each.name, text=f"“{each.name}” has brought nothing for two days")
            for each in modules
            if not each.is_fresh
        ]

    def raised(self, database: DeploymentDatabase) -> Mapping[str, tuple[str, ...]]:
        """The problems that the security plugin raises, each with our controls that judge the same.

        Raises NotApplicable where no plugin is deployed, NotObserved where its last values were not told.
        """
        if self._agent is None or self._agent.security_plugin is None:
            raise NotApplicable("the security plugin is not deployed on the server: see monitoring.security-plugin")
        modules = self._security_modules(database.tables)
        if not any(each.is_fresh for each in modules):
            raise NotObserved("the security plugin has brought nothing lately: see monitoring.security-plugin")
        return {each.name: _judged_by(each.name) or () for each in modules if each.is_raised}


def _words(command: str) -> list[str]:
    """The words of a command line, as a shell would cut it; as blanks do where a quote is left open."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _of_plugin(words: list[str]) -> list[int]:
    """Where the log plugin stands among the words."""
    return [at for at, word in enumerate(words[:2]) if word.rpartition("/")[2] in LOG_PLUGINS]
