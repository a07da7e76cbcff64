"""Whom agents call, and which of them are left alone when one server of Tentacle is away."""

from __future__ import annotations

import pytest

from pandora_audit.across import Share
from pandora_audit.fact import Seen
from pandora_audit.facts.tentacle_availability import AgentsServers, TentacleAvailability, _Told
from pandora_audit.question import Answer, Answers, NotObserved, Role, Shell
from pandora_audit.verdict import NotApplicable, ToDecide

CONF = r"C:\Program Files\pandora_agent\pandora_agent.conf"


def called(shell: Shell, *lines: str) -> tuple[str, ...]:
    numbered = [f"{CONF}|{number}|{line}" for number, line in enumerate(("", *lines))]
    if shell is Shell.POSIX:
        numbered = [f"/etc/pandora/pandora_agent.conf:{number}:{line}" for number, line in enumerate(lines, 1)]
    key = "windows-conf" if shell is Shell.POWERSHELL else "agent-conf"
    out = {key: "".join(f"{each}\n" for each in numbered), "agent-processes": "1764000000\n    1\n"}
    told = {key: Answer(key=key, question=key, status=0, out=text.encode()) for key, text in out.items()}
    found = AgentsServers.form(shell)(Seen(answers=Answers(told)))
    assert isinstance(found, AgentsServers)
    return found.called


@pytest.mark.parametrize("shell", Shell)
def test_an_agent_calls_its_servers_and_its_own_machine(shell: Shell) -> None:
    second = ("secondary_mode on_error", "secondary_server_ip 10.0.0.2")
    assert called(shell, "server_ip 10.0.0.1") == ("10.0.0.1",)
    assert called(shell, "server_ip localhost", *second) == ("localhost", "10.0.0.2")
    assert called(shell, "server_ip 10.0.0.1", *second) == ("10.0.0.1", "10.0.0.2")
    with pytest.raises(NotApplicable):
        called(shell, "server_ip localhost")


def node(name: str, own: str, *servers: str) -> Share:
    told = _Told(answers=True, own=own, reached={"10.0.0.9": True}, called=servers)
    return Share(host=name, roles=frozenset({Role.TENTACLE, Role.AGENT}), value=told)


def test_the_agent_of_a_server_that_calls_it_goes_with_it() -> None:
    two = [node("one", "10.0.0.1", "10.0.0.1"), node("two", "10.0.0.2", "localhost", "10.0.0.1")]
    assert not TentacleAvailability(two).missing(("10.0.0.9",))
    other = node("three", "10.0.0.3", "10.0.0.1")
    assert "three calls 10.0.0.1 alone" in str(TentacleAvailability([*two, other]).missing(("10.0.0.9",)))


def test_where_nobody_told_anything_there_is_nothing_to_decide() -> None:
    silent = Share(host="one", roles=frozenset({Role.TENTACLE}), silence="no route")
    with pytest.raises(NotObserved, match="one: no route"):
        TentacleAvailability([silent]).missing(None)
    with pytest.raises(ToDecide):
        TentacleAvailability([silent, node("two", "10.0.0.2", "10.0.0.2")]).missing(None)


def test_a_host_that_may_be_no_tentacle_is_not_the_only_one() -> None:
    hidden = Share(host="one", hidden=frozenset({Role.TENTACLE}), silence="its roles are hidden")
    with pytest.raises(NotObserved, match="hidden"):
        TentacleAvailability([hidden]).missing(("10.0.0.9",))
