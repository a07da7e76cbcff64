"""The agents' configurations that lie on the server, and whose they are."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from pandora_audit.across import Across, Look, Share, noting
from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.pandora_agent import PandoraAgent
from pandora_audit.facts.pandora_server import PandoraServer
from pandora_audit.facts.roster import SERVER, Agent, PandoraRoster, keys
from pandora_audit.formats import server_conf
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Answer, Answers, Ask, NotObserved, Question, Role
from pandora_audit.questions import OS_RELEASE
from pandora_audit.target import Target
from pandora_audit.verdict import NotApplicable, ToDecide

_FILES = Ask(
    key="remote-configurations",
    argv=("find", f"{server_conf.SPOOL}/conf", f"{server_conf.SPOOL}/md5", "-maxdepth", "1", "-type", "f"),
    root=True,
    limit=4 * 1024 * 1024,
    only_if=Role.SERVER,
    keep=r"s/^.*\/([0-9a-f]{32})[.](conf|md5)$/\1/p",
)


class ServedConfigurations(Fact):
    """The configurations that the server hands out: files that are called by the MD5 of an agent's name."""

    role = Role.SERVER
    questions = (*PandoraServer.questions, _FILES)

    @cached_property
    def digests(self) -> frozenset[str]:
        spool = PandoraServer(self.seen).configurations[0].incomingdir
        if spool != server_conf.SPOOL:
            raise NotObserved(f"the server keeps the agents' files in {spool}, which was not looked into")
        answer = self.answers[_FILES.key]
        found = frozenset(answer.lines)
        nothing_withheld(answer)
        return found


class NamedAgent(Fact):
    """The name under which an agent reports: that of its file, or the machine's."""

    role = Role.AGENT
    questions: ClassVar[tuple[Question, ...]] = (*PandoraAgent.questions, OS_RELEASE)

    @cached_property
    def digest(self) -> str:
        agent = self._agent
        name = agent.setting("agent_name").value
        if not name and agent.setting("agent_name_cmd").value:
            raise NotObserved("the agent makes up its name by a command (agent_name_cmd)")
        return hashlib.md5((name or self._machine).encode(), usedforsecurity=False).hexdigest()

    @cached_property
    def _agent(self) -> PandoraAgent:
        return PandoraAgent(self.seen)

    @cached_property
    def _machine(self) -> str:
        return self.answers[OS_RELEASE.key].lines[-1]


@dataclass(frozen=True)
class _Told:
    """What one host told: the files that it hands out, and the digest of its own agent's name; each with why not."""

    files: frozenset[str] | None = None
    digest: str = ""
    no_files: str = ""
    no_digest: str = ""
    agents: tuple[Agent, ...] | None = None
    servers: tuple[str, ...] = ()


class RemoteConfigurations(Across):
    """Which agents of a deployment could be configured from its server."""

    of = (ServedConfigurations, NamedAgent, PandoraRoster)

    @classmethod
    def share(cls, look: Look) -> _Told:
        found: dict[str, Any] = {}
        with noting(found, "no_files"):
            found["files"] = look(ServedConfigurations).digests
        with noting(found, "no_digest"):
            found["digest"] = look(NamedAgent).digest
        with contextlib.suppress(NotObserved, NotApplicable):
            roster = look(PandoraRoster)
            servers = tuple(each.name for each in roster.components if each.kind == SERVER)
            found |= {"servers": servers, "agents": roster.agents}
        return _Told(**found)

    @cached_property
    def served(self) -> dict[str, str]:
        """The servers on which the configuration of an agent lies, by the digest of its name. Raises NotObserved."""
        served: dict[str, str] = {}
        for share in self.every(Role.SERVER):
            if share.value.files is None:
                raise NotObserved(f"{share.host}: {share.value.no_files or 'it shows no server'}")
            served |= dict.fromkeys(share.value.files, share.host)
        return served

    def _digest(self, share: Share) -> str:
        """What the files of a host's agent are called by: by the agent itself, or by the database."""
        if share.promises.method == "server":
            return self.agent(share.host, "").digest
        if not share.told or not share.value.digest:
            raise NotObserved(share.silence or share.absent or share.value.no_digest or "it shows no agent")
        return str(share.value.digest)

    @cached_property
    def elsewhere(self) -> list[str]:
        """Where else the configuration of an agent may lie: other Tentacles, servers that are no host here."""
        seen = {share.host.casefold() for share in self.shares if Role.SERVER in share.roles}
        named = {name for share in self.shares if share.told for name in share.value.servers}
        tentacles = {share.host for share in self.shares if Role.TENTACLE in share.roles}
        return sorted(name for name in named | tentacles if name.casefold() not in seen)

    @cached_property
    def _agents(self) -> dict[str, list[Agent]]:
        """What the database told of agents, by all that each is called and reached by."""
        found: dict[str, list[Agent]] = {}
        for agent in (each for share in self.shares if share.told for each in share.value.agents or ()):
            for key in agent.keys:
                found.setdefault(key, []).append(agent)
        return found

    def agent(self, name: str, address: str) -> Agent:
        """What Pandora FMS's database calls the agent of a host. Raises NotObserved."""
        if not self._agents:
            raise NotObserved("Pandora FMS's database did not tell which agents there are")
        mine = {each.own_name: each for key in keys(name, address) for each in self._agents.get(key, ())}
        if len(mine) != 1:
            said = f"{len(mine)} agents that could be" if mine else "no agent that is"
            raise NotObserved(f"Pandora FMS's database knows {said} {name}")
        return next(iter(mine.values()))

    @cached_property
    def of_sensitive_endpoints(self) -> Offences:
        """The sensitive EndPoints whose configuration lies on a server."""
        served = self.served
        sensitive = [share for share in self.shares if share.promises.sensitive]
        if not served:
            return Offences([], "no configuration of an agent lies on the server")
        if not sensitive:
            raise ToDecide(
                f"{len(served)} configurations lie on the server: which EndPoints are sensitive? (audit_sensitive)"
            )
        found, unknown = [], []
        for share in sensitive:
            try:
                digest = self._digest(share)
            except NotObserved as silent:
                unknown.append(f"{share.host}: {silent.reason}")
                continue
            if digest in served:
                text = f"the configuration of {share.host} lies on {served[digest]}"
                found.append(Offence(subject=share.host, text=text))
        if unknown and not found:
            raise NotObserved(unknown[0])
        return Offences(found, f"none of {len(sensitive)} sensitive EndPoints has a configuration on the server")


# An agent that takes its configuration from the server leaves it there when it first reports.
_REPORTS_WITHIN_DAYS = 1


class AgentFromServer(PandoraAgent, registered=False):
    """The agent of an EndPoint that is not entered, as far as its server and the database tell of it."""

    def __init__(self, configurations: RemoteConfigurations, target: Target) -> None:
        super().__init__(Seen(answers=Answers(), promises=target.promises))
        self._configurations = configurations
        self._target = target

    def evidence(self) -> tuple[Answer, ...]:
        return self._configurations.evidence()

    @cached_property
    def remote_configuration(self) -> Offences:
        """Whether its configuration lies on a server; where none does although it reports there, it takes none."""
        agent = self._configurations.agent(self._target.name, self._target.address)
        try:
            served = self._configurations.served
        except NotApplicable as absent:
            raise NotObserved(f"nobody saw what the server keeps: {absent}") from absent
        if agent.digest in served:
            text = f"seen from the server: its configuration lies on {served[agent.digest]}"
            return Offences([Offence(subject="remote_config", text=text, layer="file")], "")
        if elsewhere := self._configurations.elsewhere:
            raise NotObserved(f"its configuration may lie on {', '.join(elsewhere)}, which nobody looked at for it")
        if not agent.own_name.isascii():
            raise NotObserved("what its files on the server are called depends on how its name was encoded")
        if agent.by_satellite:
            raise NotObserved("it reports to a satellite server, where its configuration would lie")
        if agent.disabled or agent.days is None or agent.days > _REPORTS_WITHIN_DAYS:
            raise NotObserved("no configuration of it lies on a server, but it does not report at present")
        return Offences([], "seen from the server: it reports, and no configuration of it lies there")
