"""The inventories that the agent of Pandora FMS takes of its machine."""

from __future__ import annotations

import re
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.facts.pandora_agent import PandoraAgent
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Role
from pandora_audit.script import ROLES

_PLUGIN = Ask(
    key="agent-inventory-plugin",
    argv=(
        *("find", "-L", "/etc/pandora", "/etc/pandorafms", "/usr/share/pandora_agent", "/usr/share/pandorafms/agent"),
        *("-maxdepth", "3", "-name", "inventory", "-type", "f", "-perm", "/111"),
    ),
    root=True,
    only_if=Role.AGENT,
)


class Inventories(Fact):
    """What the agent reports of its machine: the inventory plugin and its categories."""

    questions = (*PandoraAgent.questions, _PLUGIN)
    then = PandoraAgent.then

    def missing(self, category: str) -> Offences:
        """Why the agent does not report an inventory of this category."""
        said = re.search(r"^agent (\w+)", self.answers[ROLES].text, re.M)
        if said is None or said[1] == "hidden":
            raise NotObserved("whether an agent is installed is hidden from this account")
        if said[1] == "absent":
            return Offences([Offence(subject="agent", text="no agent of Pandora FMS is installed")], "")
        lines = [line for line in self._lines if category in line[1] or "all" in line[1] or not line[1]]
        if not lines:
            others = "; ".join(f"{where} takes {', '.join(sorted(categories))}" for where, categories in self._lines)
            text = f"no line of the agent's configuration takes the {category} inventory"
            return Offences([Offence(subject=category, text=f"{text}{others and f' ({others})'}", layer="file")], "")
        found = []
        where = lines[0][0]
        if not self.answers[_PLUGIN.key].lines:
            nothing_withheld(self.answers[_PLUGIN.key])
            text = "the inventory plugin is not where the agent looks for it, or cannot be executed"
            found.append(Offence(subject="plugin", text=text, layer="file", cause=where))
        if not self._agent.runs:
            found.append(Offence(subject="agent", text="the agent does not run", layer="process"))
        return Offences(found, f"{where}: {' '.join(sorted(lines[0][1])) or 'everything'}")

    @cached_property
    def _agent(self) -> PandoraAgent:
        return PandoraAgent(self.seen)

    @cached_property
    def _lines(self) -> tuple[tuple[str, frozenset[str]], ...]:
        """Where the inventory plugin is called, and its categories: after the interval in days; none are all."""
        found = []
        for module in self._agent.conf.modules:
            words = [word.strip("\"'") for word in module.parameters.split()]
            names = [word.rpartition("/")[2] for word in words[:2]]
            if module.kind == "plugin" and "inventory" in names:
                arguments = words[names.index("inventory") + 1 :]
                found.append((module.where, frozenset(word for word in arguments if not word.isdigit())))
        return tuple(found)
