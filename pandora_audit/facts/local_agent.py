"""The monitoring of the machine that monitors: the agent on the Pandora FMS server itself."""

from __future__ import annotations

import re
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.facts.pandora_agent import LOG_PLUGINS, SECURITY_PLUGINS, PandoraAgent, plugin
from pandora_audit.formats.agent_conf import Module
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Role
from pandora_audit.script import ROLES

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


class LocalAgent(Fact):
    """The agent on the Pandora FMS server."""

    role = Role.SERVER
    questions = (*PandoraAgent.questions, _UNITS, _LOGS, _PLUGINS)
    then = PandoraAgent.then

    @cached_property
    def _agent(self) -> PandoraAgent | None:
        """The agent; None where the machine has none. Raises NotObserved where nobody could look."""
        said = re.search(r"^agent (\w+)", self.answers[ROLES].text, re.M)
        if said is None or said[1] == "hidden":
            raise NotObserved("whether an agent is installed is hidden from this account")
        return PandoraAgent(self.seen) if said[1] == "present" else None

    def _none(self) -> Offences:
        return Offences([Offence(subject="agent", text="no agent of Pandora FMS is installed on the server")], "")

    @cached_property
    def silent(self) -> Offences:
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
        return Offences(found, "an agent runs on the server, and starts with it")

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

    @cached_property
    def security_plugin_missing(self) -> Offences:
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
        return Offences(found, f"{module.where} runs {module.parameters}")
