"""One run: what was chosen, who is asked what, what was concluded, how it ends."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pandora_audit import attestations, endpoints, exceptions, finding
from pandora_audit.across import Across, F, Share, known_across
from pandora_audit.attestations import Attestation
from pandora_audit.control import VERDICTS, Control, Duty, Severity, Subject
from pandora_audit.coverage import Coverage, Host
from pandora_audit.exceptions import Leftover, SiteException
from pandora_audit.fact import known_facts
from pandora_audit.facts.pandora_agent import PandoraAgent
from pandora_audit.facts.remote_configurations import AgentFromServer, RemoteConfigurations
from pandora_audit.facts.roster import Estate, PandoraRoster, Told
from pandora_audit.finding import Finding
from pandora_audit.gather import Gathering, Machine, Plan, ask_machine, unreached
from pandora_audit.promises import PREFIX, Promises
from pandora_audit.question import Answer, Answers, NotObserved, Role, Shell
from pandora_audit.record import Recorder, replayed
from pandora_audit.sitefile import SiteError
from pandora_audit.target import Target
from pandora_audit.transport import Network, Options
from pandora_audit.verdict import Attested, NotApplicable, ToDecide, Word
from pandora_audit.verdicts import Verdicts

# Chapters of the machine itself, a Unix machine. An EndPoint is not held to them, unless its site says so.
_MACHINE_CHAPTERS = ("ssh", "system")
_NOT_OF_ENDPOINTS = (*_MACHINE_CHAPTERS, "mysql", "web", "php", "console", "server", "tentacle", "monitoring")
# What makes an installation of Pandora FMS: EndPoints alone are none.
_COMPONENTS = frozenset(Role) - {Role.AGENT}
_WORDS = ("target", "promises", "level", "attestation", VERDICTS)
_DEPLOYMENTS_WORDS = ("promises", "level", "attestation")


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


@dataclass(frozen=True)
class Took:
    """How long a machine took, and the questions that took it the longest: seconds and question."""

    seconds: float
    slowest: tuple[tuple[float, str], ...]


_SLOWEST = 3


@dataclass(kw_only=True)
class Audit:
    """The state of a run.

    Args:
        findings: what was concluded so far, without evidence (reports have had it).
        unpromised: the roles that a host plays and its inventory does not promise.
        unwritten: reports and records that could not be written, as sentences.
        others: hosts that the inventory knows and this run does not ask.
        across: the facts of deployments that this run needs.
        shares: what the hosts of each deployment told of each of them, by (deployment, fact).
        members: the hosts of each deployment, as shares without a value.
        configurations: what the servers of each deployment keep of its agents, once all of them have told.
        took: how long each machine that answered took.
        machine: the one in hand; others are not kept.
        deployment: the one in hand, after all machines.
        partial: why the run did not reach its end; empty when it did.
    """

    settings: Settings
    targets: tuple[Target, ...]
    exceptions: tuple[SiteException, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    others: tuple[Target, ...] = ()
    across: frozenset[type[Across]] = frozenset()
    shares: dict[tuple[str, str], list[Share]] = field(default_factory=dict)
    members: dict[str, list[Share]] = field(default_factory=dict)
    configurations: dict[str, RemoteConfigurations] = field(default_factory=dict)
    took: dict[str, Took] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    unpromised: dict[str, tuple[Role, ...]] = field(default_factory=dict)
    unwritten: list[str] = field(default_factory=list)
    machine: Machine | None = None
    deployment: Target | None = None
    asked_at: float = 0.0
    partial: str = ""
    _arguments: dict[str, object] = field(default_factory=dict)
    _read: Mapping[str, Answer] = field(default_factory=dict)

    # --- before anybody connects ---

    def applies(self, control: Control, target: Target) -> bool:
        """Whether the pair can exist, by what the inventory says."""
        if target.shell is Shell.POWERSHELL and _is_of_unix(control):
            return False
        if target.promises.method == "none" or (target.promises.method == "server" and not control.from_server):
            return False
        if not target.promised:  # nobody promised: what it plays is detected
            return True
        if target.promised == {Role.AGENT} and target.promises.scope == "role" and control.chapter in _NOT_OF_ENDPOINTS:
            return False
        return control.chapter in _MACHINE_CHAPTERS or roles_of(control) <= target.promised

    def deployments(self) -> Iterator[Target]:
        """The deployments of this run, as what verdicts are about."""
        for name in dict.fromkeys(target.promises.deployment for target in self.targets):
            yield Target(name=name, address="", backend="deployment")

    def subjects(self, control: Control) -> Iterator[Target]:
        """What a control is judged on: hosts, or deployments."""
        if control.subject is Subject.HOST:
            yield from (target for target in self.targets if self.applies(control, target))
        else:
            yield from self.deployments()

    def gathering(self, plans: Iterable[Plan]) -> tuple[Gathering, Network]:
        """The machines of these plans, to be asked side by side."""
        network = Network(self.settings.options)
        return Gathering(plans, lambda plan: _asked(plan, network, self.settings), self.settings.concurrency), network

    def knows(self, console: Target, told: Told) -> None:
        """Keep what a machine told, before the run, of the agents that Pandora FMS knows."""
        roles = console.promised or frozenset({Role.CONSOLE})
        share = Share(host=console.name, roles=roles, promises=console.promises, value=told)
        self.shares.setdefault((console.promises.deployment, Estate.fact_name()), []).append(share)

    # --- looking up ---

    def lookup(self, name: str, control: Control | None = None) -> object:
        """What a test asks for by the name of its argument, about the machine in hand.

        Raises NotObserved, NotApplicable as facts and roles do; LookupError when nobody provides the name.
        """
        if name == "level":
            return self.settings.level
        if name == "attestation" and control is not None:
            return self._attested(control)
        if self.deployment is not None:
            return self._of_deployment(name, self.deployment.name, control)
        machine = self.machine
        if machine is None:
            raise LookupError(f"{name}: no machine is being judged")
        if name in ("target", "promises"):
            return machine.target if name == "target" else machine.target.promises
        if name == VERDICTS:
            mine = (found for found in self.findings if found.host == machine.target.name)
            return Verdicts(found for found in mine if not found.control.rollup)
        if name in set(Role):
            return machine.role(Role(name))
        if machine.target.promises.method == "server" and name == PandoraAgent.fact_name():
            return AgentFromServer(self._configurations(machine.target.promises.deployment), machine.target)
        if name in known_across():
            return self._of_deployment(name, machine.target.promises.deployment, control)
        return machine.fact(known_facts()[name])

    def _configurations(self, deployment: str) -> RemoteConfigurations:
        """What the servers of a deployment keep of its agents: read once for all of them."""
        if deployment not in self.configurations:
            shares = self._shares_of(RemoteConfigurations, deployment)
            self.configurations[deployment] = RemoteConfigurations(shares)
        return self.configurations[deployment]

    def _of_deployment(self, name: str, deployment: str, control: Control | None) -> object:
        if name == "promises":
            return Promises.agreed(self._promised_in(deployment), control.promises if control else ())
        kind = known_across()[name]
        return kind(self._shares_of(kind, deployment))

    def _shares_of(self, kind: type[Across], deployment: str) -> list[Share]:
        return [*self.shares.get((deployment, kind.fact_name()), ()), *self._outside(deployment)]

    def _outside(self, deployment: str) -> tuple[Share, ...]:
        """The hosts of a deployment that are not in this run, as shares that tell nothing."""
        mine = (target for target in self.others if target.promises.deployment == deployment)
        return tuple(_silent(target, "is in the inventory and was not asked in this run") for target in mine)

    @property
    def coverage(self) -> Iterator[Coverage]:
        """What was seen of each deployment, where this run asked what belongs to it."""
        if Estate not in self.across and not any(name == Estate.fact_name() for _, name in self.shares):
            return
        told = {share.host: share for shares in self.members.values() for share in shares}
        judged = {found.host for found in self.findings}
        unanswered = {found.host for found in self.findings if found.word is Word.NOT_ASSESSED}
        for name in dict.fromkeys(target.promises.deployment for target in self.targets):
            mine = [target for target in (*self.targets, *self.others) if target.promises.deployment == name]
            hosts = [
                Host(
                    target=each,
                    share=told.get(each.name) or _silent(each, "was not asked"),
                    judged=each.name in judged,
                    unanswered=each.name in unanswered,
                )
                for each in mine
            ]
            shares = self._shares_of(Estate, name)
            if any(each.asks for each in mine) or any(share.may_play(*_COMPONENTS) for share in shares):
                yield Coverage(name, hosts, Estate(shares))

    def _promised_in(self, deployment: str) -> list[Promises]:
        """What its hosts promise, in the order of their names, whichever was ready first."""
        members = self.members.get(deployment, ())
        return [share.promises for share in sorted(members, key=lambda share: share.host)]

    def contribute(self, machine: Machine) -> None:
        """Take from the machine what its deployment needs, before it is forgotten."""
        target = machine.target
        self.asked_at = max(self.asked_at, machine.asked_at)
        if not machine.silence:
            answers = sorted(machine.answers.values(), key=lambda answer: (-answer.seconds, answer.key))[:_SLOWEST]
            self.took[target.name] = Took(machine.seconds, tuple((each.seconds, each.question) for each in answers))
        roles = frozenset(role for role, state in machine.roles.items() if state.state == "present")
        roles |= target.promised or frozenset()
        hidden = frozenset(role for role, state in machine.roles.items() if state.state == "hidden") - roles
        known = Share(host=target.name, roles=roles, hidden=hidden, promises=target.promises, silence=machine.silence)
        self.members.setdefault(target.promises.deployment, []).append(known)
        self.configurations.pop(target.promises.deployment, None)
        for kind in self.across:
            share = _share(kind, machine, known)
            self.shares.setdefault((target.promises.deployment, kind.fact_name()), []).append(share)

    def in_scope(self, control: Control) -> None:
        """Raises NotApplicable for a chapter of the machine on what turns out to be an EndPoint."""
        if self.deployment is not None:
            self._is_an_installation(self.deployment.name)
        machine = self.machine
        if machine is None or machine.silence or control.chapter not in _MACHINE_CHAPTERS:
            return
        plays = {role for role, state in machine.roles.items() if state.state == "present"}
        plays |= machine.target.promised or frozenset()
        if plays == {Role.AGENT} and machine.target.promises.scope == "role":
            raise NotApplicable("an EndPoint is held to the agent controls only (audit_scope: estate widens it)")

    def _is_an_installation(self, deployment: str) -> None:
        """Raises NotApplicable where nothing but EndPoints, or machines without Pandora FMS, was asked."""
        known = [*self.members.get(deployment, ()), *self._outside(deployment)]
        if not any(share.may_play(*_COMPONENTS) for share in known):
            raise NotApplicable("no server, console, database or Tentacle of Pandora FMS is among the hosts")

    # --- concluding ---

    def call(self, control: Control) -> None:
        """Hold what is in hand to a control. Raises what the control raises; ``conclude`` takes it from there."""
        self._arguments, self._read = {}, {}
        self.in_scope(control)
        for name in control.needs:
            self._arguments[name] = self.lookup(name, control)
        answers = self.machine.answers if self.machine else Answers()
        with answers.reading() as self._read:
            control.test(**self._arguments)

    def conclude(self, control: Control, raised: BaseException | None) -> Finding:
        """The finding of the control that was called last, with what it raised."""
        found = finding.conclude(
            control, self._subject, self._arguments, raised, self.exceptions, self._day, self._evidence()
        )
        if found.word is Word.TO_DECIDE:
            found = dataclasses.replace(found, reason=found.reason + self._drafts(found.reason))
        if not control.attestable or found.word not in (Word.NOT_COMPLIANT, Word.TO_DECIDE):
            return found
        held = attestations.current(self.attestations, control.id, self._subject, self._day)
        beside = f"{held}; without it: {found.told}"
        return dataclasses.replace(found, word=Word.ATTESTED, reason=beside, observed="") if held else found

    def _evidence(self) -> tuple[Answer, ...]:
        """The answers that the control in hand read: of the machine, or of the hosts that told its deployment."""
        told = [each for each in self._arguments.values() if isinstance(each, Across | AgentFromServer)]
        return (*self._read.values(), *dict.fromkeys(answer for each in told for answer in each.evidence()))

    def _drafts(self, reason: str) -> str:
        """Where the inventory holds drafts of the promises that a reason names."""
        if self.deployment is not None:
            of = self._promised_in(self.deployment.name)
        else:
            of = [self.machine.target.promises] if self.machine else []
        drafts = {name: where for each in reversed(of) for name, where in each.unapproved}
        named = [drafts[name] for name in dict.fromkeys(re.findall(r"audit_([a-z_]+)", reason)) if name in drafts]
        return f" ({', '.join(named)}: a draft that nobody has approved)" if named else ""

    @property
    def roles(self) -> dict[str, frozenset[Role]]:
        """The roles that each host plays or is promised to play."""
        return {share.host: share.roles for shares in self.members.values() for share in shares}

    @property
    def unapproved(self) -> dict[str, str]:
        """The drafted promises that nobody has approved, by the place of their line."""
        return {where: f"{PREFIX}{name}" for target in self.targets for name, where in target.promises.unapproved}

    @property
    def _subject(self) -> str:
        """The name of the machine or of the deployment in hand."""
        if self.deployment is not None:
            return self.deployment.name
        if self.machine is None:
            raise LookupError("no machine is being judged")
        return self.machine.target.name

    @property
    def _day(self) -> datetime.date:
        """The day on which it was asked."""
        asked_at = self.machine.asked_at if self.machine is not None else self.asked_at
        return datetime.datetime.fromtimestamp(asked_at, datetime.UTC).date()

    def _attested(self, control: Control) -> object:
        """Raises the verdict on what only a person can tell: attested, or to decide."""
        held = attestations.current(self.attestations, control.id, self._subject, self._day)
        if held:
            raise Attested(str(held))
        gone = attestations.lapsed(self.attestations, control.id, self._subject, self._day)
        raise ToDecide(f"the attestation ended: {gone}" if gone else f"nobody has attested it: {control.title}")

    def keep(self, found: Finding) -> None:
        self.findings.append(dataclasses.replace(found, evidence=()))

    @property
    def sorted_findings(self) -> list[Finding]:
        return sorted(self.findings, key=lambda found: found.key)

    def counts(self) -> dict[Word, int]:
        return {word: sum(found.word is word for found in self.counted) for word in Word}

    @property
    def counted(self) -> list[Finding]:
        """The findings that counts and gates look at: all but those that sum up others."""
        return [found for found in self.findings if not found.control.rollup]

    def leftovers(self, today: datetime.date) -> tuple[Leftover, ...]:
        """The site's exceptions to renew or remove."""
        used = {entry for found in self.findings for entry in found.accepted}
        judged = {
            found.key: found.word is Word.COMPLIANT
            for found in self.findings
            if found.word is Word.COMPLIANT or found.word.is_finding
        }
        hosts = [target.name for target in (*self.targets, *self.deployments())]
        return exceptions.leftovers(self.exceptions, used, judged, hosts, today)

    # --- the end ---

    def at_the_gate(self) -> list[Finding]:
        """The findings that break a build: severe enough, and not merely to be considered."""
        return [
            found
            for found in self.counted
            if found.word.is_finding
            and found.control.severity >= self.settings.fail_on
            and found.control.duty is not Duty.CONSIDER
        ]

    def exit_status(self) -> int:
        """0 clean, 1 findings at the gate, 10 too much not assessed, 11 both. Nothing assessed is never 0."""
        counts = self.counts()
        unassessed = counts[Word.NOT_ASSESSED]
        assessed = len(self.counted) - unassessed - counts[Word.NOT_APPLICABLE] - counts[Word.TO_DECIDE]
        silent = unassessed > self.settings.max_unassessed or not assessed
        return (1 if self.at_the_gate() else 0) + (10 if silent else 0)


def ask_roster(console: Target, settings: Settings) -> Told:
    """What a machine tells of the agents that Pandora FMS knows. Raises NotObserved."""
    network = Network(settings.options)
    try:
        machine = _asked(Plan(console, frozenset({PandoraRoster})), network, settings)
    finally:
        network.close()
    machine.reached()
    try:
        return Told.of(PandoraRoster(machine.seen))
    except NotApplicable as absent:
        raise NotObserved(f"{console.name}: {absent}") from absent


def _asked(plan: Plan, network: Network, settings: Settings) -> Machine:
    target = plan.target
    if target.backend == "replay":
        return replayed(plan)
    if target.unasked:
        return unreached(target, target.unasked)
    # Whoever writes into the database may lead the audit anywhere; a host key that was known before is no stranger's.
    stranger = endpoints.UNINVENTORIED in target.groups and settings.options.accept_new_host_keys
    return ask_machine(plan, network, (lambda: None) if stranger else settings.password)


def roles_of(control: Control) -> set[Role]:
    """The roles without which a control has nothing to judge."""
    facts = known_facts()
    of_facts = {facts[name].role for name in control.needs if name in facts}
    return {role for role in of_facts if role} | {Role(name) for name in control.needs if name in set(Role)}


def _is_of_unix(control: Control) -> bool:
    """Whether a control is about a Unix machine as such, whatever part of Pandora FMS runs there."""
    facts = known_facts()
    unix = any(facts[name].on_windows is None for name in control.needs if name in facts)
    return control.chapter in _MACHINE_CHAPTERS or (unix and not roles_of(control))


def _silent(target: Target, silence: str) -> Share:
    """What a host contributes that nobody asked."""
    return Share(host=target.name, roles=target.promised or frozenset(), promises=target.promises, silence=silence)


def _share(kind: type[Across], machine: Machine, known: Share) -> Share:
    """What one machine contributes to a fact of its deployment."""

    def look(fact: type[F], /) -> F:
        return cast(F, machine.fact(fact))

    if known.silence:
        return known
    told: dict[str, Any] = {}
    with machine.answers.reading() as read:
        try:
            told["value"] = kind.share(look)
        except NotObserved as silent:
            told["silence"] = silent.reason
        except NotApplicable as absent:
            told["absent"] = str(absent)
    evidence = (dataclasses.replace(each, question=f"{known.host}: {each.question}") for each in read.values())
    return dataclasses.replace(known, evidence=tuple(evidence), **told)


def unknown_words(control: Control) -> list[str]:
    """The argument names that nobody provides to a control of this subject."""
    if control.subject is Subject.HOST:
        known = {*known_facts(), *known_across(), *_WORDS, *Role}
    else:
        known = {*known_across(), *_DEPLOYMENTS_WORDS}
    return [name for name in control.needs if name not in known]


def plans(wanted: Iterable[tuple[Target, Collection[str]]], with_host: Callable[[Target], bool]) -> Iterator[Plan]:
    """What each target will be asked, from the names that its remaining tests ask for."""
    by_target: dict[str, tuple[Target, set[str]]] = {}
    for target, names in wanted:
        by_target.setdefault(target.name, (target, set()))[1].update(names)
    facts = known_facts()
    for target, names in by_target.values():
        entered = target.promises.method == "ssh"
        kinds = frozenset(facts[name] for name in names if name in facts and entered)
        yield Plan(target, kinds, with_host(target))


def recorder(audit: Audit) -> Recorder | None:
    """What writes the records of a run, if any are wanted. Raises SiteError for a folder that cannot be one."""
    if audit.settings.record is None:
        return None
    try:
        return Recorder(audit.settings.record)
    except OSError as fault:
        raise SiteError(f"--record={audit.settings.record}: {fault.strerror}") from fault
