"""What is judged once for several hosts, what people answer for, and what sums up: on recorded machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import running

from pandora_audit.across import Across, Share
from pandora_audit.facts.topology import Topology
from pandora_audit.promises import Promises
from pandora_audit.question import NotObserved, Role
from pandora_audit.verdict import NotApplicable, ToDecide

CHAPTER = '''
"""A chapter of a site's own."""

from pandora_audit import MEDIUM, Subject, control
from pandora_audit.across import Across
from pandora_audit.fact import Fact
from pandora_audit.question import Ask


class Motd(Fact):
    """What the machine says."""

    questions = (Ask(key="motd", sh="cat /etc/motd"),)

    @property
    def text(self):
        return self.answers["motd"].succeeded().text


class Chorus(Across):
    """What all machines say."""

    of = (Motd,)

    @classmethod
    def share(cls, look):
        return look(Motd).text

    @property
    def voices(self):
        return {share.value for share in self.every()}


@control("site.one-voice", MEDIUM, subject=Subject.DEPLOYMENT)
def test_all_say_the_same(chorus):
    """All machines say the same.

    Because of a reason.

    Fix: Mend it.

    Impact: None.
    """
    assert len(chorus.voices) == 1


@control("site.agreed", MEDIUM, subject=Subject.DEPLOYMENT)
def test_all_agree(chorus, promises):
    """All machines say what is promised.

    Because of a reason.

    Fix: Mend it.

    Impact: None.
    """
    assert chorus.voices == {promises.directory}


@control("site.asked", MEDIUM, subject=Subject.PERSON)
def test_somebody_knows(attestation):
    """Somebody knows.

    Because of a reason.

    Fix: Mend it.

    Impact: None.
    """
    assert attestation


@control("system.quiet", MEDIUM, attestable=True)
def test_the_machine_is_quiet(motd):
    """The machine is quiet.

    Because of a reason.

    Fix: Mend it.

    Impact: None.
    """
    assert not motd.text


@control("site.whole", MEDIUM, rollup=True)
def test_the_whole(verdicts):
    """The whole host holds.

    Because of a reason.

    Fix: Mend it.

    Impact: None.
    """
    assert not verdicts.unmet("system")
'''


def deployment(tmp_path: Path, **hosts: dict[str, Any]) -> str:
    """Recorded machines, as --hosts takes them: by name what they say, play, promise, and why they are silent."""
    folder = tmp_path / "record"
    folder.mkdir(exist_ok=True)
    for name, host in hosts.items():
        promises = {key: {"value": value, "where": f"i.yml:{name}"} for key, value in host.get("promises", {}).items()}
        head = {
            "schema": 1,
            "host": name,
            "asked_at": 1764000000.0,
            "silence": host.get("silence", ""),
            "wire": {},
            "promised": None,
            "groups": [],
            "become": True,
            "promises": promises,
        }
        said = {"roles": f"{host.get('role', 'server')} present /x", "motd": host.get("says", "")}
        texts = {"roles": "roles", "motd": "cat /etc/motd"}
        answers = [
            {"key": key, "question": texts[key], "status": 0, "out": out, "err": "", "silence": "", "seconds": 0.0}
            for key, out in said.items()
            if out is not None
        ]
        rows = [head, *({"answer": answer} for answer in answers)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "test_site.py").write_text(CHAPTER)
    return f"--hosts=replay://{folder}"


def rows(tmp_path: Path, hosts: str, *more: str) -> dict[tuple[str, str], running.Row]:
    done = running.run(tmp_path / "test_site.py", hosts, "-v", *more)
    return {(row.control, row.host): row for row in running.terminal(done.out)}


def test_one_verdict_for_a_deployment(tmp_path: Path) -> None:
    found = rows(tmp_path, deployment(tmp_path, one={"says": "a"}, two={"says": "a"}))
    assert [host for control, host in found if control == "site.one-voice"] == ["deployment"]
    assert found["site.one-voice", "deployment"].verdict == "compliant"
    (tmp_path / "record/two.jsonl").unlink()
    found = rows(tmp_path, deployment(tmp_path, two={"says": "b"}))
    assert found["site.one-voice", "deployment"].verdict == "not compliant"


def test_two_deployments_are_two(tmp_path: Path) -> None:
    other = {"deployment": "other"}
    hosts = deployment(tmp_path, one={"says": "a"}, two={"says": "b", "promises": other})
    found = rows(tmp_path, hosts)
    assert {host for control, host in found if control == "site.one-voice"} == {"deployment", "other"}
    assert found["site.one-voice", "other"].verdict == "compliant"


@pytest.mark.parametrize("silent", [{"silence": "no route to two"}, {"says": None}])
def test_a_host_that_is_silent_is_named(tmp_path: Path, silent: dict[str, Any]) -> None:
    found = rows(tmp_path, deployment(tmp_path, one={"says": "a"}, two=silent))
    assert found["site.one-voice", "deployment"].verdict == "not assessed"
    assert "two: " in found["site.one-voice", "deployment"].observed


def test_a_host_that_is_not_in_the_run_is_named(tmp_path: Path) -> None:
    inventory = tmp_path / "i.yml"
    inventory.write_text("all: {children: {database: {hosts: {db1: }}, agents: {hosts: {ep: {audit_deployment: x}}}}}")
    found = rows(tmp_path, deployment(tmp_path, one={"says": "a"}), f"--inventory={inventory}")
    assert "db1: is in the inventory and was not asked" in found["site.one-voice", "deployment"].observed
    assert "ep" not in found["site.one-voice", "deployment"].observed


def test_endpoints_alone_are_no_deployment(tmp_path: Path) -> None:
    found = rows(tmp_path, deployment(tmp_path, one={"says": "a", "role": "agent"}))
    assert found["site.one-voice", "deployment"].verdict == "not applicable"


def test_a_deployment_has_one_promise(tmp_path: Path) -> None:
    ours = {"directory": "ipa"}
    found = rows(tmp_path, deployment(tmp_path, one={"says": "ipa", "promises": ours}, two={"says": "ipa"}))
    assert found["site.agreed", "deployment"].verdict == "compliant"
    found = rows(tmp_path, deployment(tmp_path, two={"says": "ipa", "promises": {"directory": "ad"}}))
    assert found["site.agreed", "deployment"].verdict == "to decide"
    assert "i.yml:one and i.yml:two" in found["site.agreed", "deployment"].observed


def test_every_report_and_a_replay_tell_the_same(tmp_path: Path) -> None:
    hosts = deployment(tmp_path, one={"says": "a"}, two={"says": "b"})
    xml, again = tmp_path / "x.xml", tmp_path / "again"
    page = tmp_path / "x.html"
    first = rows(tmp_path, hosts, f"--junitxml={xml}", f"--record={again}", f"--html={page}")
    assert running.junit(xml) == set(first.values())
    assert running.record(again) == set(first.values())
    assert rows(tmp_path, f"--hosts=replay://{again}") == first
    assert "one: cat /etc/motd" in page.read_text()


def test_a_deployment_cannot_bear_the_name_of_a_host(tmp_path: Path) -> None:
    done = running.run(tmp_path / "test_site.py", deployment(tmp_path, deployment={"says": "a"}))
    assert done.status == 4
    assert "both called deployment" in done.err


def attested(tmp_path: Path, on: str, until: str, control: str = "site.asked", host: str = "*") -> str:
    path = tmp_path / "attestations.yml"
    path.write_text(
        f"- {{control: {control}, host: '{host}', by: Ana, on: {on}, until: {until}, statement: so, evidence: D1}}\n"
    )
    return f"--attestations={path}"


@pytest.mark.parametrize(
    ("on", "until", "verdict"),
    [
        ("2025-11-24", "2025-11-24", "attested"),
        ("2025-11-25", "2026-01-01", "to decide"),
        ("2025-01-01", "2025-11-23", "to decide"),
    ],
)
def test_what_only_a_person_can_tell(tmp_path: Path, on: str, until: str, verdict: str) -> None:
    """The machines were asked on 2025-11-24."""
    hosts = deployment(tmp_path, one={"says": "a"})
    assert rows(tmp_path, hosts)["site.asked", "deployment"].verdict == "to decide"
    found = rows(tmp_path, hosts, attested(tmp_path, on, until))["site.asked", "deployment"]
    assert found.verdict == verdict
    assert ("Ana" in found.observed) is (until != "2026-01-01")


def test_an_attestation_stands_for_what_no_command_saw(tmp_path: Path) -> None:
    hosts = deployment(tmp_path, one={"says": "a"}, two={"says": None})
    found = rows(tmp_path, hosts, attested(tmp_path, "2025-01-01", "2026-01-01", "system.quiet"))
    assert found["system.quiet", "one"].verdict == "attested"
    assert "without it: " in found["system.quiet", "one"].observed
    assert found["system.quiet", "two"].verdict == "not assessed"


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{control: site.asked, host: x, by: A}", "lacks on, until"),
        ("{control: site.other}", "lacks"),
        ("{control: site.x, host: a, by: A, on: 2025-01-01, until: 2025-01-02, statement: s, evidence: e}", "there is"),
        ("{control: site.asked, host: a, by: A, on: 2025-1-1, until: 2026-01-01, statement: s, evidence: e}", "a day"),
        ("{control: site.asked, host: a, by: A, on: 2026-01-01, until: 2025-01-01, statement: s, evidence: e}", "ends"),
        ("{control: site.asked, hots: a}", "did you mean host"),
    ],
)
def test_a_bad_attestation_is_refused(tmp_path: Path, entry: str, says: str) -> None:
    path = tmp_path / "attestations.yml"
    path.write_text(f"- {entry}\n")
    done = running.run(tmp_path / "test_site.py", deployment(tmp_path, one={}), f"--attestations={path}")
    assert done.status == 4
    assert says in done.err
    assert "attestations.yml:1" in done.err


def test_a_sum_is_shown_and_counts_nowhere(tmp_path: Path) -> None:
    hosts = deployment(tmp_path, one={"says": "a"}, two={"says": ""}, three={"says": None})
    found = rows(tmp_path, hosts, "-k", "quiet or whole")
    verdicts = {host: row.verdict for (control, host), row in found.items() if control == "site.whole"}
    assert verdicts == {"one": "not compliant", "two": "compliant", "three": "not assessed"}
    assert "system.quiet" in found["site.whole", "one"].observed
    done = running.run(tmp_path / "test_site.py", hosts, "-k", "quiet or whole")
    assert "3 verdicts on 3 hosts" in done.out
    path = tmp_path / "exceptions.yml"
    path.write_text(
        "- {control: system.quiet, host: one, until: 2099-01-01, requested_by: A, approved_by: B, reason: r}\n"
    )
    found = rows(tmp_path, hosts, f"--exceptions={path}")
    assert found["site.whole", "one"].verdict == "compliant"
    assert rows(tmp_path, hosts, "-k", "whole")["site.whole", "one"].verdict == "not applicable"


class Nothing(Across):
    """A fact for the methods that every fact of a deployment has."""


TOLD = Share(host="a", roles=frozenset({Role.SERVER}), value=1)
ABSENT = Share(host="b", roles=frozenset({Role.AGENT}), absent="has none")
SILENT = Share(host="c", roles=frozenset({Role.AGENT}), silence="no route")
UNKNOWN = Share(host="d", silence="no route")


@pytest.mark.parametrize(
    ("shares", "roles", "raised", "says"),
    [
        ([ABSENT], (), NotApplicable, "has none"),
        ([SILENT, TOLD], (), NotObserved, "c: no route"),
        ([UNKNOWN, TOLD], (Role.SERVER,), NotObserved, "d: no route"),
        ([TOLD], (Role.CONSOLE,), NotApplicable, "no host of the deployment is a console"),
        ([TOLD, *(Share(host=f"x{n}", silence="s") for n in range(9))], (), NotObserved, "and 4 more hosts"),
    ],
)
def test_every_host_tells_or_is_named(shares: list[Share], roles: tuple[Role, ...], raised: Any, says: str) -> None:
    with pytest.raises(raised, match=says):
        Nothing(shares).every(*roles)


def test_hosts_that_cannot_matter_may_be_silent() -> None:
    assert Nothing([SILENT, TOLD, ABSENT]).every(Role.SERVER) == (TOLD,)
    hides = Share(host="e", roles=frozenset({Role.AGENT}), hidden=frozenset({Role.CONSOLE}), silence="no entry")
    assert Nothing([hides, TOLD]).every(Role.SERVER) == (TOLD,)
    with pytest.raises(NotObserved, match="e: no entry"):
        Nothing([hides, TOLD]).every(Role.CONSOLE)


APART = [Share(host=role, roles=frozenset({role}), value=True) for role in (Role.SERVER, Role.CONSOLE, Role.DATABASE)]


def test_components_stand_apart_where_each_was_seen() -> None:
    assert not Topology(APART).together("separate")
    for missing in APART:
        with pytest.raises(NotObserved, match=missing.host):
            _ = Topology([each for each in APART if each is not missing]).shared_machines


def test_promises_agree_or_are_to_decide() -> None:
    one = Promises.read({"directory": ("ipa", "i.yml:1"), "jump_host": ("yes", "i.yml:2")})
    two = Promises.read({"directory": ("ad", "i.yml:9")})
    assert Promises.agreed([one, two], ["jump_host"]).jump_host
    with pytest.raises(ToDecide, match=r"i\.yml:1 and i\.yml:9"):
        Promises.agreed([one, two], ["directory"])
