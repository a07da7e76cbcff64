"""Asking every machine everything it will be asked: one connection, one command, a second for what depends on it.

Machines are asked side by side, at most so many at once, and handed over in the order in which they become ready.
"""

from __future__ import annotations

import errno
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

from pandora_audit import powershell, script
from pandora_audit.fact import Fact, Seen
from pandora_audit.probes import signature, tentacle, web
from pandora_audit.question import (
    Answer,
    Answers,
    Ask,
    Cause,
    NotObserved,
    Probe,
    ProbeKind,
    Question,
    Role,
    Shell,
    Wire,
)
from pandora_audit.target import Target
from pandora_audit.transport import Connection, Network
from pandora_audit.verdict import NotApplicable

_PROBES_AT_ONCE = 16


@dataclass(frozen=True)
class RoleState:
    """Whether a machine plays a role: ``present``, ``absent`` or ``hidden``, and the path that tells it."""

    state: str
    where: str = ""


@dataclass(kw_only=True)
class Machine:
    """A target and all that it answered. Facts are read from it once each.

    Args:
        silence: why the machine could not be asked at all; empty when it was.
        asked_at: seconds since the epoch, by the auditor's clock.
        commands: how many commands were run on it.
        connection: kept open only for tests that ask for ``host``.
    """

    target: Target
    answers: Answers = field(default_factory=Answers)
    wire: Wire = field(default_factory=Wire)
    silence: str = ""
    asked_at: float = 0.0
    seconds: float = 0.0
    commands: int = 0
    connection: Connection | None = field(default=None, repr=False)
    _facts: dict[str, Fact] = field(default_factory=dict, repr=False)

    @property
    def seen(self) -> Seen:
        return Seen(answers=self.answers, wire=self.wire, promises=self.target.promises, asked_at=self.asked_at)

    def fact(self, kind: type[Fact]) -> Fact:
        """A fact about this machine. Raises NotObserved when it was never reached, NotApplicable without its role."""
        self.reached()
        if kind.role is not None:
            self.role(kind.role)
        name = kind.fact_name()
        if name not in self._facts:
            self._facts[name] = kind.form(self.target.shell)(self.seen)
        return self._facts[name]

    def reached(self) -> None:
        if self.silence:
            raise NotObserved(self.silence)

    @cached_property
    def roles(self) -> Mapping[Role, RoleState]:
        """What was detected, role by role; empty when nobody could look."""
        answer = self.answers[script.ROLES]
        rows = [] if answer.silence else [line.split(" ", 2) for line in answer.lines]
        return {
            Role(row[0]): RoleState(row[1], row[2] if len(row) > 2 else "")
            for row in rows
            if len(row) > 1 and row[0] in set(Role)
        }

    def role(self, role: Role) -> RoleState:
        """The role, present. Raises NotApplicable when absent, NotObserved when promised but missing, or hidden."""
        self.reached()
        state = self.roles.get(role, RoleState("unknown"))
        if state.state == "present":
            return state
        promised = self.target.promised is not None and role in self.target.promised
        if promised:
            raise NotObserved(f"the inventory promises the role {role}, and the machine shows nothing of it")
        if state.state == "absent":
            raise NotApplicable(f"the machine does not play the role {role}")
        raise NotObserved(f"whether the machine plays the role {role} is hidden behind {state.where or '?'}")

    @property
    def unpromised(self) -> tuple[Role, ...]:
        """Roles that the machine plays and the inventory does not promise."""
        if self.target.promised is None:
            return ()
        found = (role for role, state in self.roles.items() if state.state == "present")
        return tuple(role for role in found if role not in (self.target.promised or ()))

    @property
    def privilege(self) -> str:
        """The account that asked, and how privileged questions were asked: root, sudo, or nobody with the reason."""
        answer = self.answers[script.PRIVILEGE]
        return answer.lines[0] if not answer.silence and answer.out.strip() else ""


def unreached(target: Target, silence: str) -> Machine:
    return Machine(target=target, silence=silence, asked_at=time.time())


@dataclass(frozen=True)
class Plan:
    """What a target will be asked: the facts that remain after selection, and whether ``host`` is among them."""

    target: Target
    facts: frozenset[type[Fact]]
    wants_host: bool = False

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions of the first trip, each once, in a stable order. Raises ValueError for two under one key."""
        return _each_once(question for kind in self.kinds for question in kind.first(self.target.promises))

    @property
    def kinds(self) -> tuple[type[Fact], ...]:
        """The facts in a stable order, each in the form that it has on the target."""
        return tuple(kind.form(self.target.shell) for kind in sorted(self.facts, key=lambda kind: kind.fact_name()))


def ask_machine(plan: Plan, network: Network, password: Callable[[], str | None]) -> Machine:
    """The machine and its answers. A machine that cannot be entered is returned with its silence, never raised."""
    began, asked_at = time.monotonic(), time.time()
    try:
        connection = network.connect(plan.target)
    except NotObserved as silent:
        return unreached(plan.target, silent.reason)
    machine = Machine(target=plan.target, wire=connection.wire, asked_at=asked_at, connection=connection)
    try:
        _speaks(plan.target.shell, connection.wire)
        _ask(machine, plan.questions, connection, password, first=True)
        beyond = further(plan.kinds, machine)
        if beyond:
            _ask(machine, beyond, connection, password, first=False)
    except NotObserved as silent:
        machine.silence = silent.reason
    finally:
        if not plan.wants_host:
            connection.close()
            machine.connection = None
    machine.seconds = time.monotonic() - began
    return machine


def _speaks(shell: Shell, wire: Wire) -> None:
    """Raises NotObserved for a Windows machine that was not declared: a POSIX shell there is another system."""
    if shell is Shell.POSIX and "OpenSSH_for_Windows" in wire.software:
        raise NotObserved(
            f"this is a Windows machine ({wire.software}) and not declared as one:"
            " its inventory says `ansible_shell_type: powershell` (or cmd)"
        )


def further(facts: Iterable[type[Fact]], machine: Machine) -> tuple[Question, ...]:
    """The questions of the second trip. A fact that cannot tell its own says so again when it is read."""
    found: list[Question] = []
    for kind in facts:
        try:
            found += kind.then(machine.seen)
        except NotObserved:
            continue
    return _each_once(found)


def _each_once(questions: Iterable[Question]) -> tuple[Question, ...]:
    """Each question once. Raises ValueError for two under one key."""
    found: dict[str, Question] = {}
    for question in questions:
        if found.setdefault(question.key, question) != question:
            raise ValueError(f"two different questions are called {question.key!r}")
    return tuple(found.values())


def _ask(
    machine: Machine,
    questions: tuple[Question, ...],
    connection: Connection,
    password: Callable[[], str | None],
    *,
    first: bool,
) -> None:
    asks = tuple(question for question in questions if isinstance(question, Ask))
    probes = [question for question in questions if isinstance(question, Probe)]
    # A port that a filter hides takes all of its seconds: all are tried at once, and while the machine answers.
    with ThreadPoolExecutor(_PROBES_AT_ONCE, thread_name_prefix="probe") as pool:
        dialled = [pool.submit(_probe, probe, connection) for probe in probes]
        found = _trip(machine, asks, connection, password, first=first) if asks or first else Answers()
        seen = {probe.key: each.result() for probe, each in zip(probes, dialled, strict=True)}
    machine.answers = Answers({**machine.answers, **found, **seen})


def _trip(
    machine: Machine,
    asks: tuple[Ask, ...],
    connection: Connection,
    password: Callable[[], str | None],
    *,
    first: bool,
) -> Answers:
    """The answers to one script."""
    marker, promised = secrets.token_hex(12), machine.target.promised or ()
    if machine.target.shell is Shell.POWERSHELL:
        trip = powershell.compose(asks, marker=marker, promised=promised, first=first)
    else:
        become = machine.target.become
        secret = password() if become else None
        trip = script.compose(asks, marker=marker, become=become, password=secret, promised=promised, first=first)
    machine.commands += 1
    output = connection.run(trip.command, stdin=trip.stdin, limit=script.MOST_BYTES, seconds=trip.seconds)
    return script.parse(output.out, trip, output.err)


def _probe(probe: Probe, connection: Connection) -> Answer:
    began = time.monotonic()

    def answer(status: int | None = None, out: bytes = b"", silence: str = "", cause: Cause | None = None) -> Answer:
        return Answer(
            key=probe.key,
            question=probe.text,
            status=status,
            out=out,
            silence=silence,
            cause=cause,
            seconds=round(time.monotonic() - began, 2),
        )

    try:
        if probe.kind in (ProbeKind.HTTP, ProbeKind.HTTPS, ProbeKind.TLS):
            return answer(0, web.look(probe, connection))
        if probe.kind is ProbeKind.SIGNATURE:
            return answer(0, signature.look(probe.paths[0], probe.ca, probe.seconds))
        if probe.kind is ProbeKind.TENTACLE:
            return answer(0, tentacle.ask(lambda: connection.dial(probe.port, probe.seconds), probe.ca).encode())
        channel = connection.dial(probe.port, probe.seconds)
    except ConnectionRefusedError:
        return answer(1)
    except NotObserved as silent:
        return answer(silence=silent.reason)
    except OSError as error:
        nobody = isinstance(error, TimeoutError) or error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH)
        return answer(silence=f"port {probe.port} did not answer: {error}", cause=Cause.UNANSWERED if nobody else None)
    try:
        channel.settimeout(probe.seconds)
        said = channel.recv(255) if probe.kind is ProbeKind.BANNER else b""
    except OSError:  # it accepted and said nothing: that is an answer, an empty one
        said = b""
    finally:
        channel.close()
    return answer(0, said)


class Gathering:
    """Machines asked side by side, ahead of the judging, and handed over when they are ready.

    Args:
        ask: asks one target; run in a thread.
        concurrency: how many machines are asked, or wait with their answers to be judged, at once.
    """

    def __init__(self, plans: Iterable[Plan], ask: Callable[[Plan], Machine], concurrency: int) -> None:
        self._plans = list(plans)
        self._ask = ask
        self._waiting: queue.SimpleQueue[Plan] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[tuple[Target, Future[Machine]]] = queue.SimpleQueue()
        self._room = threading.Semaphore(concurrency)
        self._stopped = threading.Event()
        self._threads = min(concurrency, len(self._plans))

    def start(self) -> None:
        for plan in self._plans:
            self._waiting.put(plan)
        for _ in range(self._threads):
            # Daemon threads: a machine that hangs until its deadline must not hold back Ctrl-C.
            threading.Thread(target=self._work, name="gather", daemon=True).start()

    def _work(self) -> None:
        while not self._stopped.is_set():
            self._room.acquire()
            try:
                plan = self._waiting.get_nowait()
            except queue.Empty:
                self._room.release()
                return
            done: Future[Machine] = Future()
            try:
                done.set_result(self._ask(plan))
            except BaseException as fault:  # noqa: BLE001  (told as this machine's silence, below)
                done.set_exception(fault)
            self._ready.put((plan.target, done))

    def machines(self) -> Iterator[Machine]:
        """Each machine once, the first ready first. A fault of ours leaves that one machine not assessed."""
        for _ in self._plans:
            target, done = self._next()
            fault = done.exception()
            if fault is None:
                yield done.result()
            else:
                yield unreached(target, f"asking it failed by a fault of pandora-audit: {fault!r}")
            self._room.release()

    def _next(self) -> tuple[Target, Future[Machine]]:
        while True:
            try:
                # A timeout, so that Ctrl-C is heard while every machine is slow.
                return self._ready.get(timeout=0.5)
            except queue.Empty:
                continue

    def stop(self) -> None:
        self._stopped.set()
