"""The agents' configurations that lie on the server, and whose they are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from pandora_audit.across import Across, Look
from pandora_audit.fact import Fact
from pandora_audit.facts.pandora_agent import PandoraAgent
from pandora_audit.facts.pandora_server import PandoraServer
from pandora_audit.formats import server_conf
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question, Role
from pandora_audit.questions import OS_RELEASE
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

    files: frozenset[str] | None
    digest: str
    no_files: str = ""
    no_digest: str = ""


class RemoteConfigurations(Across):
    """Which agents of a deployment could be configured from its server."""

    of = (ServedConfigurations, NamedAgent)

    @classmethod
    def share(cls, look: Look) -> _Told:
        files, no_files, digest, no_digest = None, "", "", ""
        try:
            files = look(ServedConfigurations).digests
        except NotObserved as silent:
            no_files = silent.reason
        except NotApplicable:
            pass
        try:
            digest = look(NamedAgent).digest
        except NotObserved as silent:
            no_digest = silent.reason
        except NotApplicable:
            pass
        return _Told(files, digest, no_files, no_digest)

    @cached_property
    def of_sensitive_endpoints(self) -> Offences:
        """The sensitive EndPoints whose configuration lies on a server."""
        served: dict[str, str] = {}
        for share in self.every(Role.SERVER):
            if share.value.files is None:
                raise NotObserved(f"{share.host}: {share.value.no_files or 'it shows no server'}")
            served |= dict.fromkeys(share.value.files, share.host)
        sensitive = [share for share in self.shares if share.promises.sensitive]
        if not served:
            return Offences([], "no configuration of an agent lies on the server")
        if not sensitive:
            raise ToDecide(
                f"{len(served)} configurations lie on the server: which EndPoints are sensitive? (audit_sensitive)"
            )
        silent = [share for share in sensitive if not share.told or not share.value.digest]
        found = [
            Offence(subject=share.host, text=f"the configuration of {share.host} lies on {served[share.value.digest]}")
            for share in sensitive
            if share not in silent and share.value.digest in served
        ]
        if silent and not found:
            why = silent[0].silence or silent[0].absent or silent[0].value.no_digest or "it shows no agent"
            raise NotObserved(f"{silent[0].host}: {why}")
        return Offences(found, f"none of {len(sensitive)} sensitive EndPoints has a configuration on the server")
