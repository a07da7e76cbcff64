"""Who hears of what the Pandora FMS server watches of itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pandora_audit.across import Look, noting
from pandora_audit.facts.local_agent import LocalAgent, Reporting, Watched
from pandora_audit.facts.pandora_console import PandoraConsole, Told
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import NotObserved, Role
from pandora_audit.verdict import NotApplicable

# Commands that only write something down, or answer to the agent.
_TO_NOBODY = (
    *("Internal Audit", "Pandora FMS Alertlog", "Pandora FMS Event", "Monitoring Event", "Validate Event"),
    *("Restart agent", "Remote agent control"),
)


@dataclass(frozen=True, kw_only=True)
class _Told(Told):
    """What one host told of the console, and what its own agent is known by.

    Args:
        agent: None without one, or where ``silent`` says why that was not seen.
    """

    agent: Reporting | None = None
    silent: str = ""


class MonitoringAlerts(PandoraConsole):
    """The alerts of the modules by which the servers of a deployment watch their own logs and security."""

    of = (*PandoraConsole.of, LocalAgent)

    @classmethod
    def share(cls, look: Look) -> _Told:
        found: dict[str, Any] = vars(cls.heard(look)).copy()
        with noting(found, "silent"):
            found["agent"] = look(LocalAgent).reporting
        return _Told(**found)

    @cached_property
    def unheard(self) -> Offences:
        """The modules that raise no alert, or one that reaches nobody. NotApplicable where no module watches."""
        servers = self.every(Role.SERVER)
        watching = {share.host: share.value.agent.modules(self._tables) for share in servers if share.value.agent}
        found = [each for host, modules in watching.items() for each in self._unheard(host, modules)]
        for share in servers:
            if not found and share.value.silent:
                raise NotObserved(f"{share.host}: {share.value.silent}")
        if not any(watching.values()):
            raise NotApplicable("no module watches a log or the security of a server: see monitoring.log-modules")
        if found and self._tables["correlated"][0][0] != "0":
            raise NotObserved(f"{found[0]}; whether an alert on correlated events does was not looked at")
        return Offences(found, "every log and security module of the servers raises an alert that reaches somebody")

    def _unheard(self, host: str, modules: Iterable[Watched]) -> Iterator[Offence]:
        for each in modules:
            if not any(self._alerts.get(each.number, ())):
                why = "an alert that reaches nobody" if each.number in self._alerts else "no alert"
                yield Offence(subject=f"{host}: {each.name}", text=f"“{each.name}” on {host} raises {why}")

    @cached_property
    def _alerts(self) -> dict[str, list[bool]]:
        """By module, whether each action of its alerts reaches somebody. A mail needs an address."""
        found: dict[str, list[bool]] = {}
        for number, command, addressed in self._tables["alert"]:
            reaches = command not in _TO_NOBODY and (addressed == "1" or command != "eMail")
            found.setdefault(number, []).append(reaches)
        return found
