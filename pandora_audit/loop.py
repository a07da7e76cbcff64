"""The order of a run: machines in the order in which they become ready, on each its controls and its site's tests."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from pandora_audit import audit as audits
from pandora_audit import commands, items
from pandora_audit.audit import Audit
from pandora_audit.gather import Machine, Plan
from pandora_audit.items import ControlItem
from pandora_audit.record import Recorder
from pandora_audit.target import Target


def target_of(item: pytest.Item) -> Target | None:
    """The target of a control, or of a site's own test that asks for one; None for a test that asks for none."""
    if isinstance(item, ControlItem):
        return item.target
    callspec = getattr(item, "callspec", None)
    target = callspec.params.get("target") if callspec else None
    return target if isinstance(target, Target) else None


def plans(session_items: Iterable[pytest.Item]) -> list[Plan]:
    """What each target will be asked, from the items that remain after selection."""
    wanted: list[tuple[Target, list[str]]] = []
    with_host: set[str] = set()
    for item in session_items:
        target = target_of(item)
        if target is not None:
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
    gathering, network = audit.gathering(plans(session.items))
    gathering.start()
    # Collections of garbage, of which pytest itself demands some at the end, need not look at what was imported.
    gc.freeze()
    try:
        _judge(session, groups.pop("", []), groups)
        for machine in gathering.machines():
            with _in_hand(audit, machine), _recorded(recorder, machine, audit):
                _judge(session, groups[machine.target.name], groups)
            del groups[machine.target.name]
    except BaseException:
        audit.partial = f"the run was stopped; not judged to the end: {', '.join(groups)}"
        raise
    finally:
        gathering.stop()
        network.close()


@contextmanager
def _recorded(recorder: Recorder | None, machine: Machine, audit: Audit) -> Iterator[None]:
    """What is concluded about this machine is written down, also when its judging is stopped."""
    before = len(audit.findings)
    partial = "the run was stopped"
    try:
        yield
        partial = ""
    finally:
        if recorder is not None:
            try:
                recorder.write(machine, audit.findings[before:], partial)
            except OSError as fault:
                audit.unwritten.append(f"the record of {machine.target.name} could not be written: {fault}")


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


def _judge(session: pytest.Session, mine: list[pytest.Item], waiting: dict[str, list[pytest.Item]]) -> None:
    later = [item for group in waiting.values() if group is not mine for item in group]
    for number, item in enumerate(mine):
        if isinstance(item, ControlItem):
            items.run(item)
        else:
            following = _next_test([*mine[number + 1 :], *later])
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        _heed(session)


def _next_test(later: list[pytest.Item]) -> pytest.Item | None:
    """A test that pytest itself will run next, or later: what keeps its wider fixtures alive until then."""
    return next((item for item in later if not isinstance(item, ControlItem)), None)


def _heed(session: pytest.Session) -> None:
    """Stop where pytest was told to: -x, --maxfail, or a plugin."""
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
