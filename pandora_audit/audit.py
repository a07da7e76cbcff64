"""One run: what was chosen, who is asked what, what was concluded, how it ends."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pandora_audit import exceptions, finding
from pandora_audit.control import Control, Duty, Severity
from pandora_audit.exceptions import Leftover, SiteException
from pandora_audit.fact import known_facts
from pandora_audit.finding import Finding
from pandora_audit.gather import Gathering, Machine, Plan, ask_machine
from pandora_audit.question import Role
from pandora_audit.record import Recorder, replayed
from pandora_audit.target import Target
from pandora_audit.transport import Network, Options
from pandora_audit.verdict import NotApplicable, Word

# Chapters of the machine itself. An EndPoint is not held to them, unless its site says so.
_MACHINE_CHAPTERS = ("ssh", "system")
_WORDS = ("target", "promises", "level")


@dataclass(kw_only=True)
class Settings:
    """What the command line chose."""

    level: str = "guide"
    fail_on: Severity = Severity.LOW
    max_unassessed: int = 0
    concurrency: int = 32
    record: Path | None = None
    options: Options = field(default_factory=Options)
    password: Callable[[], str | None] = lambda: None


@dataclass(kw_only=True)
class Audit:
    """The state of a run.

    Args:
        findings: what was concluded so far, without evidence (reports have had it).
        unpromised: the roles that a host plays and its inventory does not promise.
        unwritten: reports and records that could not be written, as sentences.
        machine: the one in hand; others are not kept.
        partial: why the run did not reach its end; empty when it did.
    """

    settings: Settings
    targets: tuple[Target, ...]
    exceptions: tuple[SiteException, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    unpromised: dict[str, tuple[Role, ...]] = field(default_factory=dict)
    unwritten: list[str] = field(default_factory=list)
    machine: Machine | None = None
    partial: str = ""

    # --- before anybody connects ---

    def applies(self, control: Control, target: Target) -> bool:
        """Whether the pair can exist, by what the inventory promises."""
        if target.promised is None or control.chapter not in _MACHINE_CHAPTERS:
            return True
        return not (target.promised == {Role.AGENT} and target.promises.scope == "role")

    def gathering(self, plans: Iterable[Plan]) -> tuple[Gathering, Network]:
        """The machines of these plans, to be asked side by side."""
        network = Network(self.settings.options)

        def ask(plan: Plan) -> Machine:
            if plan.target.backend == "replay":
                return replayed(plan)
            return ask_machine(plan, network, self.settings.password)

        return Gathering(plans, ask, self.settings.concurrency), network

    # --- looking up ---

    def lookup(self, name: str, control: Control | None = None) -> object:
        """What a test asks for by the name of its argument, about the machine in hand.

        Raises NotObserved, NotApplicable as facts and roles do; LookupError when nobody provides the name.
        """
        machine = self.machine
        if machine is None:
            raise LookupError(f"{name}: no machine is being judged")
        if name in _WORDS:
            return {
                "target": machine.target,
                "promises": machine.target.promises,
                "level": self.settings.level,
            }[name]
        if name in set(Role):
            return machine.role(Role(name))
        return machine.fact(known_facts()[name])

    def in_scope(self, control: Control) -> None:
        """Raises NotApplicable for a chapter of the machine on what turns out to be an EndPoint."""
        machine = self.machine
        if machine is None or machine.silence or control.chapter not in _MACHINE_CHAPTERS:
            return
        plays = {role for role, state in machine.roles.items() if state.state == "present"}
        plays |= machine.target.promised or frozenset()
        if plays == {Role.AGENT} and machine.target.promises.scope == "role":
            raise NotApplicable("an EndPoint is held to the agent controls only (audit_scope: estate widens it)")

    # --- concluding ---

    def conclude(self, control: Control, arguments: Mapping[str, object], raised: BaseException | None) -> Finding:
        machine = self.machine
        if machine is None:
            raise LookupError("no machine is being judged")
        day = datetime.datetime.fromtimestamp(machine.asked_at, datetime.UTC).date()
        return finding.conclude(control, machine.target.name, arguments, raised, self.exceptions, day)

    def keep(self, found: Finding) -> None:
        self.findings.append(dataclasses.replace(found, evidence=()))

    @property
    def sorted_findings(self) -> list[Finding]:
        return sorted(self.findings, key=lambda found: found.key)

    def counts(self) -> dict[Word, int]:
        return {word: sum(found.word is word for found in self.findings) for word in Word}

    def leftovers(self, today: datetime.date) -> tuple[Leftover, ...]:
        """The site's exceptions to renew or remove."""
        used = {entry for found in self.findings for entry in found.accepted}
        judged = {
            found.key: found.word is Word.COMPLIANT
            for found in self.findings
            if found.word is Word.COMPLIANT or found.word.is_finding
        }
        hosts = [target.name for target in self.targets]
        return exceptions.leftovers(self.exceptions, used, judged, hosts, today)

    # --- the end ---

    def at_the_gate(self) -> list[Finding]:
        """The findings that break a build: severe enough, and not merely to be considered."""
        return [
            found
            for found in self.findings
            if found.word.is_finding
            and found.control.severity >= self.settings.fail_on
            and found.control.duty is not Duty.CONSIDER
        ]

    def exit_status(self) -> int:
        """0 clean, 1 findings at the gate, 10 too much not assessed, 11 both. Nothing assessed is never 0."""
        counts = self.counts()
        unassessed = counts[Word.NOT_ASSESSED]
        assessed = len(self.findings) - unassessed - counts[Word.NOT_APPLICABLE] - counts[Word.TO_DECIDE]
        silent = unassessed > self.settings.max_unassessed or not assessed
        return (1 if self.at_the_gate() else 0) + (10 if silent else 0)


def unknown_words(names: Collection[str]) -> list[str]:
    """The argument names that nobody provides."""
    return [name for name in names if name not in known_facts() and name not in (*_WORDS, *Role)]


def plans(wanted: Iterable[tuple[Target, Collection[str]]], with_host: Callable[[Target], bool]) -> Iterator[Plan]:
    """What each target will be asked, from the names that its remaining tests ask for."""
    by_target: dict[str, tuple[Target, set[str]]] = {}
    for target, names in wanted:
        by_target.setdefault(target.name, (target, set()))[1].update(names)
    facts = known_facts()
    for target, names in by_target.values():
        kinds = frozenset(facts[name] for name in names if name in facts)
        yield Plan(target, kinds, with_host(target))


def recorder(audit: Audit) -> Recorder | None:
    return Recorder(audit.settings.record) if audit.settings.record else None
