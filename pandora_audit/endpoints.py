"""``pandora://CONSOLE``: the EndPoints that Pandora FMS knows, as hosts of an audit.

What a database tells is not believed: names and addresses are checked, and whoever writes there neither ends the run,
nor takes another host's name, nor makes an EndPoint disappear from the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from pandora_audit.facts.roster import Agent, Component, keys
from pandora_audit.promises import Promises
from pandora_audit.question import NotObserved, Role
from pandora_audit.target import Target

SCHEME = "pandora://"
UNINVENTORIED = "uninventoried"
"""The group of the EndPoints that only the database names."""

Asks = Callable[[Target], Iterable[Agent]]


def nobody(_: Target) -> Iterable[Agent]:
    raise NotObserved("this option connects to nobody, so that Pandora FMS was not asked which EndPoints there are")


def unknown(spec: str, console: Target) -> Target:
    """What stands for the EndPoints that a machine is to name: not assessed, as long as it has not."""
    return Target(
        name=spec,
        address="",
        backend="pandora",
        promised=frozenset({Role.AGENT}),
        promises=_of_deployment(console),
        groups=frozenset({"agents"}),
        asks=console,
    )


def _of_deployment(console: Target) -> Promises:
    if not console.promises.given("deployment"):
        return Promises()
    return Promises.read({"deployment": (console.promises.deployment, console.promises.where("deployment"))})


class Machines:
    """Hosts by all that they are called and reached by."""

    def __init__(self, hosts: Iterable[Target]) -> None:
        self._hosts: dict[str, dict[str, Target]] = {}
        for host in hosts:
            for key in keys(host.name, host.address):
                self._hosts.setdefault(key, {})[host.name] = host

    def of(self, each: Agent | Component) -> list[Target]:
        """The hosts that an agent's machine, or a component's, is."""
        return list({name: host for key in each.keys for name, host in self._hosts.get(key, {}).items()}.values())


def expand(place: Target, ask: Asks, inventory: Iterable[Target], others: Iterable[Target]) -> Iterator[Target]:
    """The machines of the agents, each once: the inventory's where it knows them.

    When nobody tells, or of none, ``place`` itself, with the reason. Agents that the console has disabled, and
    devices that are watched from outside, are no machines to enter.

    Args:
        others: hosts that were named beside; an EndPoint of the same name gets another one.
    """
    if place.asks is None:
        raise ValueError(f"{place.name} asks nobody")
    try:
        agents = [agent for agent in ask(place.asks) if agent.is_endpoint and not agent.disabled]
    except NotObserved as silent:
        yield replace(place, silence=f"which EndPoints there are is not known: {silent.reason}")
        return
    if not agents:
        yield replace(place, silence="Pandora FMS's database knows no EndPoint")
    known = list(inventory)
    machines = Machines(host for host in known if _may_be_of(place, host))
    taken = {host.name.casefold() for host in (*known, *others)}
    # A deployment's record has the second of its names.
    deployments = {host.promises.deployment.casefold() for host in (*known, *others, place)}
    taken |= deployments | {f"{deployment}.deployment" for deployment in deployments}
    entered: set[str] = set()
    for agent in agents:
        mine = machines.of(agent)
        if mine:
            yield from mine
        elif not agent.address or agent.address not in entered:
            entered.add(agent.address)
            name = agent.free_name(taken)
            taken.add(name.casefold())
            yield _host(agent, name, place)


def _may_be_of(place: Target, host: Target) -> bool:
    """Whether a host may be an agent of this place: another deployment has private addresses of its own."""
    sides = place.promises, host.promises
    return not all(each.given("deployment") for each in sides) or sides[0].deployment == sides[1].deployment


def _host(agent: Agent, name: str, place: Target) -> Target:
    return Target(
        name=name,
        address=agent.address,
        promised=frozenset({Role.AGENT}),
        promises=place.promises,
        groups=frozenset({"agents", UNINVENTORIED}),
        silence="" if agent.address else "Pandora FMS's database has no address by which it could be entered",
    )
