"""What of an installation an audit saw: known to Pandora FMS, in the inventory, reached, fully assessed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.across import Share
from pandora_audit.endpoints import SCHEME, UNINVENTORIED, Machines
from pandora_audit.facts.roster import Agent, Component, Estate
from pandora_audit.printable import one_line
from pandora_audit.question import NotObserved, Role
from pandora_audit.target import Target

_MOST_NAMED = 20
_DECIDED = {"server": "seen from the server only (audit_method: server)", "none": "not looked at (audit_method: none)"}


@dataclass(frozen=True)
class Host:
    """A machine of the deployment, in the run or only in the inventory.

    Args:
        share: what its deployment knows of it: roles, and why it was silent.
        judged, unanswered: whether a control was judged on it; whether one of them was not answered.
    """

    target: Target
    share: Share
    judged: bool = False
    unanswered: bool = False

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def is_listed(self) -> bool:
        """Whether somebody named it, and not only Pandora FMS's database."""
        return UNINVENTORIED not in self.target.groups

    @property
    def is_entered(self) -> bool:
        return self.target.promises.method == "ssh"


class Coverage:
    """The coverage of one deployment.

    Args:
        hosts: all of them; what only stands for EndPoints that are not known is left out.
    """

    def __init__(self, deployment: str, hosts: Iterable[Host], estate: Estate) -> None:
        self.deployment = deployment
        self.hosts = sorted((host for host in hosts if not host.name.startswith(SCHEME)), key=lambda host: host.name)
        self.estate = estate

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Each line: what it is about, and what is so."""
        machines = [host for host in self.hosts if Role.AGENT in host.share.roles]
        yield "installed", self.estate.installed or "nobody told the release"
        yield "known to Pandora FMS", self._known
        yield "in the inventory", _endpoints(sum(host.is_listed for host in machines))
        yield "reached", _endpoints(sum(not host.share.silence for host in machines))
        assessed = [host for host in machines if host.is_entered and host.judged and not host.unanswered]
        yield "fully assessed", _endpoints(len(assessed))
        for title, names in self._differences(machines):
            if names:
                yield title, _named(names)
        for component in self._uncovered:
            yield "detected, and no host of this audit", one_line(str(component), 300)

    @cached_property
    def _silence(self) -> str:
        """Why nobody told which agents there are; empty when somebody did."""
        try:
            _ = self.estate.agents
        except NotObserved as silent:
            return silent.reason
        return ""

    @cached_property
    def _agents(self) -> list[Agent]:
        """The agents of EndPoints that are in use."""
        return [agent for agent in self.estate.agents if agent.is_endpoint and not agent.disabled]

    @property
    def _known(self) -> str:
        if self._silence:
            return f"not told: {one_line(self._silence, 500)}"
        disabled = sum(agent.disabled for agent in self.estate.agents)
        devices = len(self.estate.agents) - len(self._agents) - disabled
        beside = [f"{devices} watched without agent"] * bool(devices) + [f"{disabled} disabled"] * bool(disabled)
        return _endpoints(len(self._agents)) + (f" (beside {', '.join(beside)})" if beside else "")

    @cached_property
    def _claims(self) -> dict[str, list[Agent]]:
        """The agents that are each host, by its name or its address."""
        machines = Machines(host.target for host in self.hosts)
        found: dict[str, list[Agent]] = {host.name: [] for host in self.hosts}
        for agent in self.estate.agents:
            for target in machines.of(agent):
                found[target.name].append(agent)
        return found

    def _differences(self, machines: Iterable[Host]) -> Iterator[tuple[str, list[str]]]:
        if not self._silence:
            listed = {id(agent) for host in self.hosts if host.is_listed for agent in self._claims[host.name]}
            unlisted = [str(agent) for agent in self._agents if id(agent) not in listed]
            yield "known to Pandora FMS, not in the inventory", unlisted
            unknown = [host.name for host in machines if host.is_listed and not self._claims[host.name]]
            yield "in the inventory, not known to Pandora FMS", unknown
            # One of them may hide behind the other's name or address.
            several = [(host, agents) for host, agents in self._claims.items() if len(agents) > 1]
            doubles = [f"{host} is {', '.join(map(str, agents[:5]))}" for host, agents in several]
            yield "one host, several agents", doubles
        for method, title in _DECIDED.items():
            yield title, [host.name for host in self.hosts if host.target.promises.method == method]
        silent = [host.name for host in self.hosts if host.is_entered and host.share.silence]
        yield "not reached, or not asked in this run", silent
        partly = [host.name for host in self.hosts if not host.share.silence and host.unanswered]
        yield "not fully assessed", partly

    @property
    def _uncovered(self) -> list[Component]:
        """What the installation consists of, beside EndPoints, and no host is."""
        machines = Machines(host.target for host in self.hosts)
        return [component for component in self.estate.components if not machines.of(component)]


def _endpoints(count: int) -> str:
    return f"{count} EndPoint{'s' * (count != 1)}"


def _named(names: Collection[str]) -> str:
    """How many, and the first of them."""
    shown = [one_line(name, 300) for name in list(names)[:_MOST_NAMED]]
    more = [f"and {len(names) - len(shown)} more"] if len(names) > len(shown) else []
    return f"{len(names)}: {'; '.join([*shown, *more])}"
