"""The order of a run: machines in the order in which they become ready, on each its controls and its site's tests."""

from __future__ import annotations

import functools
import gc
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from pandora_audit import audit as audits
from pandora_audit import commands, items
from pandora_audit.across import Across, known_across
from pandora_audit.audit import Audit
from pandora_audit.facts.pandora_console import PandoraConsole
from pandora_audit.facts.remote_configurations import RemoteConfigurations
from pandora_audit.facts.roster import Estate
from pandora_audit.finding import Finding
from pandora_audit.gather import Machine, Plan
from pandora_audit.items import ControlItem
from pandora_audit.target import Target


def target_of(item: pytest.Item) -> Target | None:
    """The target of a control, or of a site's own test that asks for one; None for a test that asks for none."""
    if isinstance(item, ControlItem):
        return item.target
    callspec = getattr(item, "callspec", None)
    target = callspec.params.get("target") if callspec else None
    return target if isinstance(target, Target) else None


def across(session_items: Iterable[pytest.Item]) -> frozenset[type[Across]]:
    """The facts of deployments that the items need."""
    known = known_across()
    mine = [item for item in session_items if isinstance(item, ControlItem)]
    found = {known[name] for item in mine for name in item.control.needs if name in known}
    if any(_is_seen_from_server(item.target) for item in mine):
        found.add(RemoteConfigurations)
    # Whoever asks the database anyway also asks what else it knows, for the coverage.
    if PandoraConsole in found or any(item.target.asks for item in mine):
        found.add(Estate)
    return frozenset(found)


def _is_seen_from_server(target: Target) -> bool:
    return target.promises.method == "server"


def _needs_others(mine: Iterable[pytest.Item], machine: Machine) -> bool:
    """Whether a control on this machine asks for what other hosts know, too: then all of them have to have told."""
    absent = {role for role, state in machine.roles.items() if state.state == "absent"}
    controls = (item.control for item in mine if isinstance(item, ControlItem))
    return any(
        not known_across().keys().isdisjoint(control.needs) and not audits.roles_of(control) & absent
        for control in controls
    )


def plans(session_items: Iterable[pytest.Item], audit: Audit) -> list[Plan]:
    """What each target will be asked, from the items that remain after selection."""
    shared = [kind.fact_name() for each in across(session_items) for kind in each.of]
    wanted: list[tuple[Target, list[str]]] = [(target, shared) for target in audit.targets if shared]
    with_host: set[str] = set()
    for item in session_items:
        target = target_of(item)
        if target is not None and target.backend != "deployment":
            names = item.control.needs if isinstance(item, ControlItem) else getattr(item, "fixturenames", ())
            wanted.append((target, list(names)))
            if "host" in names:
                with_host.add(target.name)
    return list(audits.plans(wanted, lambda target: target.name in with_host))


def run(session: pytest.Session, audit: Audit) -> None:
    """Judge everything. Raises what pytest's own loop raises when a run is to stop."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in session.items:
        target = target_of(item)
        groups.setdefault(target.name if target else "", []).append(item)
    recorder = audits.recorder(audit)
    audit.across = across(session.items)
    gathering, network = audit.gathering(plans(session.items, audit))
    gathering.start()

    def judge(machine: Machine) -> None:
        name = machine.target.name
        write = functools.partial(recorder.write, machine) if recorder else None
        with _in_hand(audit, machine), _recorded(audit, name, write):
            _judge(session, _readers_last(groups.get(name, [])), groups)
        groups.pop(name, None)

    # Collections of garbage, of which pytest itself demands some at the end, need not look at what was imported.
    gc.freeze()
    try:
        _judge(session, groups.pop("", []), groups)
        waiting = []
        for machine in gathering.machines():
            audit.contribute(machine)
            if _is_seen_from_server(machine.target) or _needs_others(groups.get(machine.target.name, ()), machine):
                waiting.append(machine)
            else:
                judge(machine)
        for machine in waiting:
            judge(machine)
        for deployment in audit.deployments():
            write = functools.partial(recorder.write_deployment, deployment.name) if recorder else None
            with _deployment_in_hand(audit, deployment), _recorded(audit, deployment.name, write):
                _judge(session, groups.pop(deployment.name, []), groups)
    except BaseException:
        audit.partial = f"the run was stopped; not judged to the end: {', '.join(groups)}"
        raise
    finally:
        gathering.stop()
        network.close()


@contextmanager
def _recorded(audit: Audit, name: str, write: Callable[[list[Finding], str], None] | None) -> Iterator[None]:
    """What is concluded meanwhile about a machine or a deployment is written down, also when it is stopped."""
    before = len(audit.findings)
    partial = "the run was stopped"
    try:
        yield
        partial = ""
    finally:
        if write is not None:
            try:
                write(audit.findings[before:], partial)
            except OSError as fault:
                audit.unwritten.append(f"the record of {name} could not be written: {fault}")


def check(plans: Iterable[Plan], audit: Audit) -> list[str]:
    """How each machine was entered and what it did not answer, by its name. Nothing is judged."""
    gathering, network = audit.gathering(plans)
    gathering.start()
    try:
        machines = sorted(gathering.machines(), key=lambda machine: machine.target.name)
    finally:
        gathering.stop()
        network.close()
    return [line for machine in machines for line in commands.access(machine)]


@contextmanager
def _in_hand(audit: Audit, machine: Machine) -> Iterator[None]:
    """The machine that is being judged; afterwards only what it plays beyond its promises is remembered."""
    audit.machine = machine
    try:
        yield
    finally:
        audit.machine = None
        audit.unpromised[machine.target.name] = machine.unpromised
        if machine.connection is not None:
            machine.connection.close()


@contextmanager
def _deployment_in_hand(audit: Audit, deployment: Target) -> Iterator[None]:
    audit.deployment = deployment
    try:
        yield
    finally:
        audit.deployment = None


def _readers_last(mine: list[pytest.Item]) -> list[pytest.Item]:
    """What reads the verdicts on a host is judged after them."""
    return sorted(mine, key=lambda item: isinstance(item, ControlItem) and item.control.reads_verdicts)


def _judge(session: pytest.Session, mine: list[pytest.Item], waiting: dict[str, list[pytest.Item]]) -> None:
    for number, item in enumerate(mine):
        if isinstance(item, ControlItem):
            items.run(item)
        else:
            later = (each for group in waiting.values() if group is not mine for each in group)
            following = _next_test(itertools.chain(mine[number + 1 :], later))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        _heed(session)


def _next_test(later: Iterable[pytest.Item]) -> pytest.Item | None:
    """A test that pytest itself will run next, or later: what keeps its wider fixtures alive until then."""
    return next((item for item in later if not isinstance(item, ControlItem)), None)


def _heed(session: pytest.Session) -> None:
    """Stop where pytest was told to: -x, --maxfail, or a plugin."""
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
