"""The options that print and judge nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pandora_audit import database_views, norms, powershell, script
from pandora_audit.control import Control
from pandora_audit.facts.pandora_console import views
from pandora_audit.facts.roster import ROSTER, PandoraRoster
from pandora_audit.gather import Machine, Plan, further
from pandora_audit.printable import one_line
from pandora_audit.question import Ask, Shell
from pandora_audit.record import replayed
from pandora_audit.script import PRIVILEGE, ROLES


def listed(controls: Iterable[Control]) -> Iterator[str]:
    """One line for each control."""
    for control in controls:
        yield (
            f"{control.id:<24} {control.severity!s:<9} {control.level.value[0]} {control.level.value[1]:<9}"
            f"{control.duty:<9} {control.title}"
        )


def explained(control: Control) -> Iterator[str]:
    """All that a control says of itself."""
    yield f"{control.id}: {control.title}"
    yield f"  severity  {control.severity}"
    yield f"  level     {control.level.value[1]} ({control.level.value[0]})"
    yield f"  duty      {control.duty}, of the {control.subject}"
    yield f"  why       {control.why}"
    yield f"  fix       {control.fix}"
    yield f"  impact    {control.impact}"
    for clause in norms.clauses(control.id):
        yield f"  {'clause' if clause.direct else 'related':<9} {clause.norm} {clause.number}: {clause.title}"
    if control.promises:
        yield f"  promises  {', '.join(f'audit_{name}' for name in control.promises)}"


def print_script(plan: Plan) -> str:
    """The shell text that the first trip runs on this target, readable; the password's place is empty."""
    target = plan.target
    if target.asks:
        roster = print_script(Plan(target.asks, frozenset({PandoraRoster})))
        each = print_script(replace(plan, target=replace(target, asks=None, silence="")))
        return f"# First on {target.asks.name}: which EndPoints there are.\n{roster}# Then on each of them.\n{each}"
    if target.unasked:
        return f"# Nothing: {target.unasked}.\n"
    asks = [question for question in plan.questions if isinstance(question, Ask)]
    promised = target.promised or ()
    if target.shell is Shell.POWERSHELL:
        return powershell.compose(asks, marker="MARKER", promised=promised).text
    return script.compose(asks, marker="MARKER", become=target.become, promised=promised).text


def sudoers(plans: Iterable[Plan], account: str) -> str:
    """The sudoers file that lets the account ask everything of these plans. Raises ValueError if visudo objects.

    What a machine is asked because of its answers is known of recorded ones only.
    """
    plans = [plan for plan in plans if plan.target.shell is Shell.POSIX]
    asks = {question for plan in plans for question in plan.questions if isinstance(question, Ask)}
    recorded = [plan for plan in plans if plan.target.backend == "replay"]
    beyond = {each for plan in recorded for each in further(plan.kinds, replayed(plan)) if isinstance(each, Ask)}
    text = (
        "# What pandora-audit asks as root: these programs with these arguments, and nothing else.\n"
        f"# Install as /etc/sudoers.d/{account}, owner root, mode 0440.\n" + script.sudoers(asks, account)
    )
    if lines := script.further_sudoers(beyond, asks, account):
        text += f"# For places that the recorded machines name themselves: look at each before you install it.\n{lines}"
    visudo = shutil.which("visudo", path="/usr/sbin:/usr/bin")
    if visudo:
        checked = subprocess.run(
            [visudo, "-cf", "-"], input=text, capture_output=True, text=True, timeout=30, check=False
        )
        if checked.returncode != 0:
            raise ValueError(f"visudo objects: {(checked.stderr or checked.stdout).strip()}")
    return text


DIALECTS = tuple(database_views.Dialect)


def database_account(kind: str, name: str, schema: str) -> str:
    """The SQL of the audit's own account in a database. Raises ValueError for a kind or a name that it cannot have."""
    if kind not in DIALECTS:
        raise ValueError(f"{kind} is none of {', '.join(DIALECTS)}")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", name):
        raise ValueError(f"{name!r} is no name of an account that logs in")
    pandora = f"-- And where the schema {schema} of Pandora FMS is on this server:\n{views(schema, ROSTER)}"
    return database_views.account(database_views.Dialect(kind), name) + pandora


def access(machine: Machine) -> Iterator[str]:
    """How one machine was entered, as whom, and which questions it did not answer."""
    name = machine.target.name
    if machine.silence:
        yield f"{name}: not reached: {one_line(machine.silence)}"
        return
    account, _, how = machine.privilege.partition(" ")
    by, _, why = how.partition(" ")
    words = {"root": "is root", "sudo": "asks as root through sudo"}
    yield f"{name}: entered as {account}, {words.get(by, f'cannot ask as root ({one_line(why)})')}"
    if machine.wire.host_key:
        yield f"  host key  {machine.wire.host_key}"
    roles = [role for role, state in machine.roles.items() if state.state == "present"]
    yield f"  roles     {', '.join(roles) or 'none of Pandora FMS'}"
    asked = [answer for key, answer in machine.answers.items() if key not in (PRIVILEGE, ROLES)]
    silent = [answer for answer in asked if answer.silence]
    yield f"  answered  {len(asked) - len(silent)} of {len(asked)} questions in {machine.seconds:.1f} s"
    yield from (f"  silent    {one_line(answer.silence)}" for answer in silent)
