"""Ports are tried from outside all at once, and while the machine answers."""

from __future__ import annotations

import threading

from pandora_audit.fact import FACTS, Fact
from pandora_audit.gather import Plan, ask_machine
from pandora_audit.question import NotObserved, Probe, ProbeKind, Wire
from pandora_audit.target import Target
from pandora_audit.transport.base import Output

PORTS = range(1, 9)


class _Connection:
    """A machine whose ports and script all wait for each other."""

    wire = Wire()

    def __init__(self) -> None:
        self.together = threading.Barrier(len(PORTS) + 1, timeout=10)

    def run(self, command: str, **_limits: object) -> Output:
        self.together.wait()
        raise NotObserved("the script is of no interest")

    def dial(self, port: int, seconds: float) -> object:
        self.together.wait()
        raise ConnectionRefusedError

    def close(self) -> None:
        """Nothing is held."""


class _Network:
    def __init__(self) -> None:
        self.connection = _Connection()

    def connect(self, target: Target) -> _Connection:
        return self.connection


def test_no_port_waits_for_another() -> None:
    probes = tuple(Probe(key=f"probe-{port}", kind=ProbeKind.PORT, port=port) for port in PORTS)

    class Knocked(Fact):
        questions = probes

    del FACTS[Knocked.fact_name()]
    network = _Network()
    plan = Plan(Target(name="x", address="x"), frozenset({Knocked}))
    machine = ask_machine(plan, network, lambda: None)  # type: ignore[arg-type]
    assert machine.silence == "the script is of no interest"
    assert not network.connection.together.broken
