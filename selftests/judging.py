"""Judging controls in this process: what the plugin does for a run, without pytest around it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from pandora_audit.across import known_across
from pandora_audit.audit import Audit, Settings
from pandora_audit.control import Control, Subject, control_of
from pandora_audit.fact import known_facts
from pandora_audit.finding import Finding
from pandora_audit.gather import Machine, Plan, ask_machine
from pandora_audit.target import Target
from pandora_audit.transport import Network, Options
from pandora_audit.verdict import Word

ROOT = Path(__file__).parent.parent

# Verdicts as the tables of machines write them.
SHORT = {
    "C": Word.COMPLIANT,
    "N": Word.NOT_COMPLIANT,
    "ed": Word.EDITION,
    "n/a": Word.NOT_APPLICABLE,
    "?": Word.TO_DECIDE,
    "E": Word.NOT_ASSESSED,
}


def _module(path: Path) -> ModuleType:
    name = f"chapter_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def controls(*places: str) -> dict[str, Control]:
    """The controls of these folders or files (all chapters by default) by id."""
    paths = [ROOT / place for place in places] or sorted(ROOT.glob("tests_*"))
    files = [file for path in paths for file in ([path] if path.suffix else sorted(path.glob("test_*.py")))]
    modules = [_module(path) for path in files]
    found = [control for module in modules for each in vars(module).values() if (control := control_of(each))]
    return {control.id: control for control in found}


def plan(target: Target, wanted: Iterable[Control]) -> Plan:
    facts, across = known_facts(), known_across()
    names = {name for control in wanted for name in control.needs}
    names |= {kind.fact_name() for name in names if name in across for kind in across[name].of}
    return Plan(target, frozenset(facts[name] for name in names if name in facts))


def ask(target: Target, wanted: Iterable[Control], options: Options, password: str | None = None) -> Machine:
    """A machine asked once, everything that these controls need."""
    network = Network(options)
    try:
        return ask_machine(plan(target, wanted), network, lambda: password)
    finally:
        network.close()


def judge(machine: Machine, wanted: Mapping[str, Control], level: str = "guide") -> dict[str, Finding]:
    """The findings of these controls on a machine that has answered."""
    audit = Audit(settings=Settings(level=level), targets=(machine.target,))
    across = known_across()
    names = {name for control in wanted.values() for name in control.needs}
    audit.across = frozenset(across[name] for name in names if name in across)
    audit.contribute(machine)
    found = {}
    for name, control in wanted.items():
        of_host = control.subject is Subject.HOST
        audit.machine, audit.deployment = (machine, None) if of_host else (None, next(audit.deployments()))
        found[name] = _conclude(audit, control)
        audit.keep(found[name])
    return found


def judge_deployment(machines: Iterable[Machine], control: Control) -> Finding:
    """The finding of a control on the deployment that these machines make together."""
    machines = list(machines)
    known = known_across()
    audit = Audit(settings=Settings(), targets=tuple(machine.target for machine in machines))
    audit.across = frozenset(known[name] for name in control.needs if name in known)
    for machine in machines:
        audit.contribute(machine)
    audit.deployment = next(audit.deployments())
    return _conclude(audit, control)


def judge_among(machine: Machine, others: Iterable[Machine], control: Control) -> Finding:
    """The finding of a control on a machine, with what the other machines of its deployment told."""
    machines = [machine, *others]
    known = known_across()
    audit = Audit(settings=Settings(), targets=tuple(each.target for each in machines))
    audit.across = frozenset(known[name] for name in control.needs if name in known)
    for each in machines:
        audit.contribute(each)
    audit.machine = machine
    return _conclude(audit, control)


def _conclude(audit: Audit, control: Control) -> Finding:
    raised: BaseException | None = None
    try:
        audit.call(control)
    except Exception as error:  # noqa: BLE001  (whatever a control raises is part of its finding)
        raised = error
    return audit.conclude(control, raised)
