"""Whether agents still reach Tentacle when one of its servers is away."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from pandora_audit.across import Across, Look, Share, noting
from pandora_audit.fact import Fact
from pandora_audit.facts import tentacle
from pandora_audit.facts.pandora_agent import PandoraAgent
from pandora_audit.facts.tentacle import TentacleServer, Wire
from pandora_audit.facts.windows_agent import WindowsAgent
from pandora_audit.offence import Offence, Offences
from pandora_audit.promises import Promises
from pandora_audit.question import NotObserved, Question, Role
from pandora_audit.verdict import NotApplicable, ToDecide


def _split(endpoint: str) -> tuple[str, int]:
    """Host and port of a promised address."""
    host, colon, port = endpoint.rpartition(":")
    if not colon or not port.isdigit():
        host, port = endpoint, str(tentacle.PORT)
    return host.strip("[]"), int(port)


def _key(endpoint: str) -> str:
    return f"tentacle-endpoint-{endpoint.encode().hex()}"


class TentacleNode(Fact):
    """One of the servers of Tentacle: whether it answers, and whether it finds the promised addresses answering."""

    role = Role.TENTACLE
    questions = TentacleServer.questions
    then = TentacleServer.then

    @classmethod
    def first(cls, promises: Promises) -> tuple[Question, ...]:
        asked = (tentacle.asked_by_the_host(_key(each), *_split(each)) for each in promises.availability or ())
        return (*cls.questions, *asked)

    @cached_property
    def answers_agents(self) -> bool:
        """Whether it answers. Raises NotObserved where something holds its port and says nothing."""
        server = TentacleServer(self.seen)
        return server.runs and bool(server.wires)

    @cached_property
    def reached(self) -> dict[str, bool | None]:
        """By promised address: whether Tentacle answers there; None where that was not seen from here."""
        return {each: self._reaches(each) for each in self.seen.promises.availability or ()}

    def _reaches(self, endpoint: str) -> bool | None:
        answer = self.answers[_key(endpoint)]
        if answer.silence or not answer.lines:
            return None
        wire = tentacle.heard(answer, _split(endpoint)[1], "from the host")
        if wire.plain == "refused":
            return False
        return True if _is_tentacle(wire) else None


def _is_tentacle(wire: Wire) -> bool:
    """A balancer without a server behind closes every connection, and so may a server that wants a password."""
    return wire.plain in ("answers", "passes") or wire.speaks_tls


class AgentsServers(Fact):
    """Whom the agent of a machine sends to."""

    role = Role.AGENT
    agent: ClassVar[type[PandoraAgent]] = PandoraAgent
    questions = agent.questions
    then = agent.then

    @cached_property
    def called(self) -> tuple[str, ...]:
        """The servers, each once. Raises NotApplicable where nothing leaves the machine."""
        return tuple(dict.fromkeys(each.value.lower() for each in self.agent(self.seen).servers))


class WindowsAgentsServers(AgentsServers, windows=True):
    """The same on Windows."""

    agent = WindowsAgent
    questions = agent.questions
    then = agent.then


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What one host told.

    Args:
        answers: whether its Tentacle answers; None without one, or where ``silent`` says why that was not seen.
        own: the address by which it was asked.
        reached: which promised addresses it found answering.
        called: the servers that its agent sends to; none without an agent that sends elsewhere.
    """

    answers: bool | None = None
    own: str = ""
    reached: dict[str, bool | None] = field(default_factory=dict)
    called: tuple[str, ...] = ()
    silent: str = ""


class TentacleAvailability(Across):
    """The servers of Tentacle of a deployment, and what its agents call."""

    of = (TentacleNode, AgentsServers)

    @classmethod
    def share(cls, look: Look) -> _Told:
        found: dict[str, Any] = {}
        with noting(found, "silent"):
            node = look(TentacleNode)
            found |= {"own": node.seen.wire.peer, "reached": node.reached}
            found["answers"] = node.answers_agents
        with noting(found, "silent"):
            found["called"] = look(AgentsServers).called
        return _Told(**found)

    @cached_property
    def _nodes(self) -> list[Share]:
        """The hosts that run Tentacle, or that may, for all that was seen."""
        return [share for share in self.shares if share.may_play(Role.TENTACLE)]

    @cached_property
    def _agents(self) -> list[Share]:
        return [share for share in self.shares if share.told and share.value.called]

    def missing(self, promised: Collection[str] | None) -> Offences:
        """What stops agents when one server of Tentacle is away.

        Raises NotApplicable where one server is enough, ToDecide where nobody said whether it is.
        """
        if not self._nodes:
            raise NotApplicable("no host of the deployment runs Tentacle")
        if promised is not None and not promised:
            raise NotApplicable("the site says that one server of Tentacle is enough")
        has_second = any(len(share.value.called) > 1 for share in self._agents)
        if promised is None and not any(share.told for share in self._nodes):
            self._all_told(())
        if promised is None and not (has_second and len(self._nodes) > 1):
            called = sorted({name for share in self._agents for name in share.value.called})
            raise ToDecide(
                f"agents call {', '.join(called[:5]) or 'Tentacle'}: is that a virtual address, or is one enough?"
                " (audit_availability)"
            )
        found = [*self._dead, *self._alone(promised or ()), *self._unreached(promised or ())]
        if not found:
            self._all_told(promised or ())
        nodes = ", ".join(share.host for share in self._nodes)
        ways = ", ".join(promised or ()) or "a secondary server"
        return Offences(found, f"{nodes} answer, and {len(self._agents)} agents have {ways}")

    @property
    def _dead(self) -> Iterator[Offence]:
        """The servers that do not answer; the only one."""
        for share in self._nodes:
            if share.told and share.value.answers is False:
                yield Offence(subject=share.host, text=f"no tentacle_server runs on {share.host}", layer="process")
        if len(self._nodes) == 1 and Role.TENTACLE in self._nodes[0].roles:
            host = self._nodes[0].host
            yield Offence(subject=host, text=f"{host} is the only server of Tentacle")

    def _alone(self, promised: Collection[str]) -> Iterator[Offence]:
        """The agents that call one server only."""
        safe = {_split(each)[0].lower() for each in promised}
        for share in self._agents:
            called = share.value.called
            # A server's own agent goes with it.
            if len(called) == 1 and called[0] not in {*safe, share.value.own}:
                yield Offence(
                    subject=share.host, text=f"the agent on {share.host} calls {called[0]} alone", layer="file"
                )

    def _unreached(self, promised: Collection[str]) -> Iterator[Offence]:
        """The promised addresses that nobody answers at, and those that go with their machine."""
        told = [share for share in self._nodes if share.told]
        for each in promised:
            if any(share.value.own == _split(each)[0] for share in told):
                yield Offence(subject=each, text=f"{each} is one server's own address, and goes with it")
            elif told and all(share.value.reached.get(each) is False for share in told):
                yield Offence(subject=each, text=f"nobody answers at {each}", layer="wire")

    def _all_told(self, promised: Collection[str]) -> None:
        """Raises NotObserved where something was not seen that could be an offence."""
        for share in self.shares:
            if share.may_play(Role.TENTACLE, Role.AGENT) and (why := share.silence or share.value.silent):
                raise NotObserved(f"{share.host}: {why}")
        for each in promised:
            if not any(share.told and share.value.reached.get(each) for share in self._nodes):
                raise NotObserved(f"whether Tentacle answers at {each} was not seen from any of its servers")
