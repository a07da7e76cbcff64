"""What Pandora FMS's database tells of agents: read warily, made hosts, held against the inventory."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import running
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import estate
from pandora_audit import endpoints, inventory, record
from pandora_audit.across import Share
from pandora_audit.coverage import Coverage, Host
from pandora_audit.fact import Seen
from pandora_audit.facts.remote_configurations import AgentFromServer, RemoteConfigurations
from pandora_audit.facts.remote_configurations import _Told as Kept
from pandora_audit.facts.roster import MOST_AGENTS, Agent, Component, Estate, PandoraRoster, Told, place
from pandora_audit.gather import unreached
from pandora_audit.promises import Promises
from pandora_audit.question import Answer, Answers, NotObserved, Role
from pandora_audit.record import Recorder
from pandora_audit.sitefile import SiteError
from pandora_audit.target import Target

END = "roster_agent.\troster\nroster_server.\tx\nroster_setting.\tx\nroster_node.\tx\nroster_metanode.\tx\n"


def row(own_name: str, alias: str = "", address: str = "192.0.2.7", **more: str) -> str:
    told = {"system": "1", "group": "Servers", "days": "0", "disabled": "0", "endpoint": "1", "satellite": "0", **more}
    return "\t".join(("roster_agent", own_name, alias, address, *told.values()))


def roster(*rows: str, end: str = END, err: str = "") -> PandoraRoster:
    out = "".join(f"{each}\n" for each in rows) + end
    answer = Answer(key="pandora-roster", question="q", status=0, out=out.encode(), err=err.encode())
    return PandoraRoster(Seen(answers=Answers({"pandora-roster": answer})))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 2001:DB8::0:1 ", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("Web.Example.ORG.", "web.example.org"),
        ("web_1", "web_1"),
        *((text, "") for text in ("", "0.0.0.0", "127.0.0.1", "127.9.9.9", "::1", "::", "::ffff:127.0.0.1")),
        *((text, "") for text in ("224.0.0.1", "255.255.255.255", "169.254.169.254", "fe80::1", "fe80::1%eth0")),
        *((text, "") for text in ("localhost", "LOCALHOST.", "a.localhost", "2130706433", "0x7f.1", "127.1", "a.1")),
        *(
            (text, "")
            for text in (
                "ip6-localhost",
                "ip6-loopback",
                "localhost6",
                "localhost4",
                "-oProxyCommand=id",
                "$(id)",
                "a b",
                "a;b",
                "a/b",
                "a:22",
                "u@a",
                "a\nb",
                "a..b",
            )
        ),
        *((text, "") for text in ("%h", "a" * 64, ".".join(["a" * 60] * 5), "*", "[::1]", "web,db", "ünï")),
    ],
)
def test_a_place_is_an_address_or_a_name_and_nothing_else(text: str, expected: str) -> None:
    assert place(text) == expected


@settings(max_examples=200)
@given(st.text(max_size=80))
def test_no_text_becomes_a_dangerous_place(text: str) -> None:
    found = place(text)
    assert found == "" or (re.fullmatch(r"[0-9a-z_][0-9a-z._:-]*", found) and place(found) == found)


ROW = st.builds(row, *[st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), max_size=30)] * 3)


@settings(max_examples=50)
@given(st.lists(ROW, max_size=8))
def test_every_agent_has_a_harmless_name_of_its_own(rows: list[str]) -> None:
    agents = roster(*rows).agents
    assert len(agents) == len(rows)
    assert len({agent.name.casefold() for agent in agents}) == len(rows)
    assert all(re.fullmatch(r"[\w.-]{1,200}", agent.name) for agent in agents)


def test_an_agent_as_the_console_stores_it() -> None:
    told = roster(row("4e81c5", "Web&#x20;01 &lt;b&gt;", "192.0.2.7", group="Data&#x20;bases", days="3"))
    assert str(told.agents[0]) == "Web-01-b (192.0.2.7, Linux, Data bases, last contact 3 days ago)"
    assert told.agents[0].digest == hashlib.md5(b"4e81c5", usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (roster(row("a"), end=""), "the database told nothing"),
        (roster(row("a"), end="roster_server.\tx\n", err="ERROR 1142 denied"), "did not tell roster_agent: ERROR 1142"),
        (roster("roster_agent\ta\tb"), "have not 9 columns"),
        (roster(row("a", disabled="maybe")), "something else than yes or no"),
        (roster(*[row(f"a{number}") for number in range(MOST_AGENTS + 1)]), "more than 10000 agents"),
    ],
)
def test_what_was_not_told_is_no_roster(told: PandoraRoster, says: str) -> None:
    with pytest.raises(NotObserved, match=says):
        _ = told.agents


def test_components_are_told_once_each() -> None:
    servers = [f"roster_server\t{name}\t{ip}\t{kind}\t0" for name, ip, kind in (
        ("core1", "192.0.2.10", "0"), ("core1", "192.0.2.10", "1"), ("core2", "192.0.2.11", "0"), ("sat", "x y", "13"),
    )]  # fmt: skip
    tokens = {
        "history_db_enabled": "1",
        "history_db_host": "192.0.2.20",
        "node_metaconsole": "1",
        "metaconsole_base_url": "https:&#x2F;&#x2F;meta.example.org:8443/pandora_console/",
    }
    nodes = ("roster_node\t192.0.2.21", "roster_metanode\tBerlin\thttp://192.0.2.30/pandora_console/")
    told = roster(*servers, *nodes, *(f"roster_setting\t{token}\t{value}" for token, value in tokens.items()))
    assert list(map(str, told.components)) == [
        "server core1 (192.0.2.10)",
        "server core2 (192.0.2.11)",
        "satellite server sat",
        "history database 192.0.2.20",
        "node of the database 192.0.2.21",
        "metaconsole meta.example.org",
        "node of the metaconsole Berlin (192.0.2.30)",
    ]
    assert roster("roster_setting\thistory_db_enabled\t0").components == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ""),
        (
            {"db_scheme_version": "7.0NG", "current_package": "776", "MR": "69"},
            "Pandora FMS 7.0NG.776 (database level 69), no Enterprise part",
        ),
        ({"db_scheme_version": "1.0", "MR": "73"}, "Pandora Open 1.0 (database level 73), no Enterprise part"),
        ({"db_scheme_version": "7.0NG"}, "Pandora FMS 7.0NG.? (database level unknown), no Enterprise part"),
    ],
)
def test_release_and_edition_are_told(settings: dict[str, str], said: str) -> None:
    known = roster(*(f"roster_setting\t{token}\t{value}" for token, value in settings.items()))
    shares = [
        Share(host="db1", value=Told.of(known)),
        Share(host="console1", value=Told(no_agents="not the database's", enterprise=False if settings else None)),
        Share(host="console2", silence="no route"),
    ]
    assert Estate(shares).installed == said


# --- hosts ---

SITE = """\
all:
  vars: {audit_deployment: plant}
  children:
    database: {hosts: {db1: {ansible_host: 192.0.2.20}}}
    agents:
      hosts:
        web1: {ansible_host: 192.0.2.31, audit_patch_days: 9}
        web2: {}
"""


def agent(name: str, address: str = "", **more: Any) -> Agent:
    return Agent(name=name, own_name=more.pop("own_name", name), address=address, **more)


def selected(tmp_path: Path, hosts: str, *agents: Agent, text: str = SITE) -> dict[str, Target]:
    file = tmp_path / "site.yml"
    file.write_text(text)
    return {target.name: target for target in inventory.load(file).select(hosts, lambda console: agents)}


def test_agents_become_hosts_and_those_of_the_inventory_are_not_doubled(tmp_path: Path) -> None:
    told = (
        agent("WEB1", "192.0.2.99"),
        agent("other", "192.0.2.31"),
        agent("web2.x", own_name="web2"),
        agent("new", "192.0.2.40"),
        agent("again", "192.0.2.40"),
        agent("switch", "192.0.2.50", is_endpoint=False),
        agent("old", "192.0.2.51", disabled=True),
    )
    found = selected(tmp_path, "all,pandora://db1", *told)
    assert list(found) == ["db1", "web1", "web2", "new"]
    assert found["web1"].promises.patch_days == 9
    assert found["new"].promised == {Role.AGENT}
    assert found["new"].promises.deployment == "plant"
    assert (found["new"].address, found["new"].user, found["new"].port) == ("192.0.2.40", None, None)
    assert list(selected(tmp_path, "pandora://db1", *told)) == ["web1", "web2", "new"]
    assert list(selected(tmp_path, "pandora://db1,!web2", *told)) == ["web1", "new"]


@pytest.mark.parametrize("name", ["plant", "192.0.2.77", "PLANT", "plant.deployment"])
def test_no_agent_takes_the_name_of_something_else(tmp_path: Path, name: str) -> None:
    told = (agent(name, "192.0.2.40"), agent(f"{name}-{agent(name).digest[:8]}", "192.0.2.41"))
    found = selected(tmp_path, "db1,192.0.2.77:22,pandora://db1", *told)
    assert {"db1", "192.0.2.77:22"} < set(found)
    assert len({key.casefold() for key in found}) == 4
    assert not {"plant", "plant.deployment"} & {key.casefold() for key in found}


def test_another_deployment_has_private_addresses_of_its_own(tmp_path: Path) -> None:
    mill = SITE + "    mill: {hosts: {db2: {audit_deployment: mill, ansible_host: 192.0.2.20}}}\n"
    found = selected(tmp_path, "pandora://db2", agent("pump", "192.0.2.31"), agent("web2"), text=mill)
    assert {name: target.promises.deployment for name, target in found.items()} == {
        "pump": "mill",
        f"web2-{agent('web2').digest[:8]}": "mill",
    }
    assert list(selected(tmp_path, "pandora://192.0.2.60", agent("pump", "192.0.2.31"), text=mill)) == ["web1"]


def test_an_agent_without_an_address_is_not_forgotten(tmp_path: Path) -> None:
    found = selected(tmp_path, "pandora://db1", agent("one"), agent("two"))
    assert [bool(target.unasked) for target in found.values()] == [True, True]


def test_no_agents_and_no_answer_are_not_assessed(tmp_path: Path) -> None:
    for told in ((), (agent("old", "192.0.2.51", disabled=True),)):
        found = selected(tmp_path, "pandora://db1", *told)
        assert list(found) == ["pandora://db1"]
        assert "knows no EndPoint" in found["pandora://db1"].unasked
    silent = inventory.load(tmp_path / "site.yml").select("web1,pandora://db1")
    assert [target.name for target in silent] == ["web1", "pandora://db1"]
    assert "connects to nobody" in silent[1].unasked


def test_two_consoles_may_know_the_same_agent(tmp_path: Path) -> None:
    assert len(selected(tmp_path, "pandora://db1,pandora://192.0.2.60", agent("new", "192.0.2.40"))) == 2


@pytest.mark.parametrize(
    ("hosts", "says"),
    [
        ("pandora://", "names no machine"),
        ("pandora://nosuch://x", "no connection"),
        ("pandra://x", "pandora"),
    ],
)
def test_a_console_that_nothing_can_be(tmp_path: Path, hosts: str, says: str) -> None:
    with pytest.raises(SiteError, match=says):
        selected(tmp_path, hosts)


def test_only_an_endpoint_is_seen_from_the_server(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"site.yml:4.*server is for EndPoints"):
        selected(tmp_path, "all", text=SITE.replace("192.0.2.20}", "192.0.2.20, audit_method: server}"))


# --- seen from the server ---

WEB = agent("web", "192.0.2.31", days=0)


def from_server(
    *agents: Agent,
    files: Iterable[str] | None = (),
    also: Iterable[Share] = (),
    roles: Iterable[Role] = (Role.SERVER,),
    servers: Iterable[str] = ("CORE1",),
) -> AgentFromServer:
    """The agent of the host ``web``, by what a server told that the database calls CORE1."""
    kept = Kept(
        None if files is None else frozenset(files),
        "",
        "the folder is closed",
        agents=agents or None,
        servers=tuple(servers),
    )
    shares = [Share(host="core1", roles=frozenset(roles), value=kept), *also]
    return AgentFromServer(RemoteConfigurations(shares), Target(name="web", address="192.0.2.31"))


def test_its_file_on_the_server_decides() -> None:
    offences = from_server(WEB, files=[WEB.digest]).remote_configuration
    assert str(offences).startswith("seen from the server: its configuration lies on core1")
    clean = from_server(WEB, files=[agent("other").digest]).remote_configuration
    assert not clean
    assert str(clean).startswith("seen from the server")


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (from_server(), "did not tell which agents"),
        (from_server(agent("other")), "knows no agent that is web"),
        (from_server(WEB, agent("x", "192.0.2.31")), "2 agents that could be web"),
        (from_server(WEB, files=None), "the folder is closed"),
        (from_server(WEB, roles=[Role.DATABASE]), "no host of the deployment is a server"),
        (from_server(agent("web", days=2)), "does not report at present"),
        (from_server(agent("web")), "does not report at present"),
        (from_server(agent("web", days=0, by_satellite=True)), "satellite server"),
        (from_server(WEB, servers=["core1", "core2"]), "may lie on core2"),
        (from_server(agent("web", own_name="weñ", days=0)), "how its name was encoded"),
        (from_server(WEB, also=[Share(host="t", roles=frozenset({Role.TENTACLE}), value=Kept(None, ""))]), "lie on t"),
        (from_server(WEB, also=[Share(host="s", roles=frozenset({Role.SERVER}), silence="no route")]), "s: no route"),
    ],
)
def test_what_the_server_did_not_show_is_not_assessed(seen: AgentFromServer, says: str) -> None:
    with pytest.raises(NotObserved, match=says):
        _ = seen.remote_configuration


def test_thousands_that_are_seen_from_the_server_are_looked_up_at_once() -> None:
    agents = tuple(agent(f"web{number}", f"10.1.{number // 250}.{number % 250 + 1}", days=0) for number in range(5000))
    kept = Kept(frozenset(), "", agents=agents, servers=("srv",))
    configurations = RemoteConfigurations([Share(host="srv", roles=frozenset({Role.SERVER}), value=kept)])
    began = time.process_time()
    for each in agents:
        assert not AgentFromServer(configurations, Target(name=each.name, address=each.address)).remote_configuration
    assert time.process_time() - began < 5


def test_a_sensitive_endpoint_that_is_not_entered_has_its_files_known_by_the_database() -> None:
    promises = Promises.read({"sensitive": ("yes", "i"), "method": ("server", "i")})
    web = Share(host="web", roles=frozenset({Role.AGENT}), promises=promises, silence="is seen from the server")
    for files, found in (([WEB.digest], True), (["0" * 32], False)):
        server = Share(host="core1", roles=frozenset({Role.SERVER}), value=Kept(frozenset(files), "", agents=(WEB,)))
        assert bool(RemoteConfigurations([server, web]).of_sensitive_endpoints) is found


# --- coverage ---


def host(
    name: str, address: str = "", *, roles: Iterable[Role] = (Role.AGENT,), silence: str = "", **more: Any
) -> Host:
    promises = Promises.read({"method": (more.pop("method", "ssh"), "i")})
    groups = frozenset(more.pop("groups", ()))
    target = Target(name=name, address=address or name, promises=promises, groups=groups)
    return Host(target, Share(host=name, roles=frozenset(roles), silence=silence), judged=not silence, **more)


def told(*agents: Agent, **more: Any) -> Estate:
    return Estate([Share(host="db1", roles=frozenset({Role.DATABASE}), value=Told(agents, **more))])


def test_coverage_counts_and_names_the_differences() -> None:
    hosts = [
        host("web1", "192.0.2.31"),
        host("web2", unanswered=True),
        host("web3", silence="no route"),
        host("web4", silence="decided", method="none"),
        host("web5", silence="decided", method="server"),
        host("new", "192.0.2.40", silence="no route", groups=[endpoints.UNINVENTORIED]),
        host("db1", "192.0.2.20", roles=[Role.DATABASE]),
    ]
    agents = [agent(f"web{number}") for number in (1, 2, 3, 4)]
    agents += [agent("evil", "192.0.2.31"), agent("new", "192.0.2.40", system="Linux", days=0)]
    agents += [agent("switch", is_endpoint=False), agent("old", disabled=True)]
    components = (Component("server", "db1"), Component("satellite server", "sat", "192.0.2.9"))
    lines = list(Coverage("plant", hosts, told(*agents, components=components, containers=("conmon",))))
    assert lines == [
        ("installed", "nobody told the release"),
        ("known to Pandora FMS", "6 EndPoints (beside 1 watched without agent, 1 disabled)"),
        ("in the inventory", "5 EndPoints"),
        ("reached", "2 EndPoints"),
        ("fully assessed", "1 EndPoint"),
        ("known to Pandora FMS, not in the inventory", "1: new (192.0.2.40, Linux, reports)"),
        ("in the inventory, not known to Pandora FMS", "1: web5"),
        ("one host, several agents", "1: web1 is web1, evil (192.0.2.31)"),
        ("seen from the server only (audit_method: server)", "1: web5"),
        ("not looked at (audit_method: none)", "1: web4"),
        ("not reached, or not asked in this run", "2: new; web3"),
        ("not fully assessed", "1: web2"),
        ("detected, and no host of this audit", "satellite server sat (192.0.2.9)"),
        ("detected, and no host of this audit", "containers on db1 (conmon)"),
    ]


def test_a_roster_that_nobody_told_is_said_and_no_difference_is_made_up() -> None:
    silent = Estate([Share(host="db1", roles=frozenset({Role.DATABASE}), silence="no route")])
    lines = dict(Coverage("plant", [host("web1")], silent))
    assert lines["known to Pandora FMS"] == "not told: db1: no route"
    assert not [title for title in lines if "not known" in title or "not in the" in title]


def test_long_lists_are_cut_and_counted() -> None:
    lines = dict(Coverage("plant", [], told(*[agent(f"a{number:03}") for number in range(50)])))
    said = lines["known to Pandora FMS, not in the inventory"]
    assert said.startswith("50: a000")
    assert said.endswith("; and 30 more")


# --- whole runs ---

CHAPTER = "tests_agents"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A console whose database knows two agents of the inventory and one that is not there."""
    (question,) = PandoraRoster.first(Promises())
    out = row("web1") + "\n" + row("web2", "", "") + "\n" + row("kiosk1", "Kiosk &#x1b;[31m", "127.0.0.1") + "\n" + END
    running.recorded(tmp_path / "record", "db1", {"key": "pandora-roster", "question": question.text, "out": out})
    (tmp_path / "site.yml").write_text(
        "all: {children: {agents: {hosts: {web1: {audit_method: none}, web2: {audit_method: none},"
        " web3: {audit_method: none}}}}}\n"
    )
    return tmp_path


def test_a_run_names_the_unknown_agent_in_every_report(site: Path) -> None:
    page, xml = site / "r.html", site / "r.xml"
    options = (
        f"--inventory={site / 'site.yml'}",
        "-v",
        f"--html={page}",
        f"--junitxml={xml}",
        f"--record={site / 'r'}",
    )
    done = running.run(CHAPTER, f"--hosts=all,pandora://replay://{site / 'record/db1.jsonl'}", *options)
    rows = running.terminal(done.out)
    assert {found.host for found in rows} == {"Kiosk-31m", "deployment"}
    assert {found.verdict for found in rows if found.host == "Kiosk-31m"} == {"not assessed"}
    assert done.status == 10
    assert running.junit(xml) == rows
    for told_ in (done.out, page.read_text(), xml.read_text()):
        assert "Kiosk-31m (Linux, Servers, reports)" in told_
        assert "1: web3" in told_
        assert "3: web1; web2; web3" in told_
    again = running.run(CHAPTER, f"--hosts=replay://{site / 'r'}", "-v")
    assert running.terminal(again.out) == rows


def test_what_connects_to_nobody_does_not_ask_the_console(site: Path) -> None:
    """The record would have told, at once."""
    hosts = f"--hosts=pandora://replay://{site / 'record/db1.jsonl'}"
    for option in ("--collect-only", "--print-script", "--list-controls", "--sudoers"):
        done = running.run(CHAPTER, hosts, option)
        assert done.status == 0, done.out + done.err
        assert "Kiosk" not in done.out
    assert "connects to nobody" in running.run(CHAPTER, hosts, "--collect-only").out
    printed = running.run(CHAPTER, hosts, "--print-script").out
    assert "which EndPoints there are" in printed
    assert "pandora_agent" in printed


def test_a_console_that_does_not_answer_is_a_host_that_is_not_assessed(site: Path) -> None:
    (site / "site.yml").write_text("all: {children: {agents: {hosts: {web1: {audit_method: none}}}}}\n")
    done = running.run(CHAPTER, f"--inventory={site / 'site.yml'}", "--hosts=all,pandora://127.0.0.1:9", "-v")
    silent = [found for found in running.terminal(done.out) if found.host == "pandora://127.0.0.1:9"]
    assert done.status == 10
    assert silent
    assert all("which EndPoints there are is not known: no connection" in found.observed for found in silent)


@pytest.mark.parametrize("folder", ["record", "nosuch"])
def test_a_console_that_is_no_record_of_one_machine_is_said(site: Path, folder: str) -> None:
    done = running.run(CHAPTER, f"--hosts=pandora://replay://{site / folder}", "-v")
    assert done.status == 10, done.out + done.err
    assert f"{site / folder} is not the record of one machine" in done.out


def test_two_records_of_one_name_are_refused(site: Path) -> None:
    running.recorded(site / "other", "db1")
    done = running.run(CHAPTER, f"--hosts=replay://{site / 'record'},replay://{site / 'other'}")
    assert done.status == 4
    assert re.search(r"names db1 twice: \S+/record/db1.jsonl and \S+/other/db1.jsonl", done.err)


def test_a_long_name_is_recorded_and_found_again(tmp_path: Path) -> None:
    """A hundred letters of an alias are more than a file's name may have, once they are written in ASCII."""
    names = ["ü" * 99 + end for end in "ab"]
    folder = tmp_path / "records"
    for name in names:
        Recorder(folder).write(unreached(Target(name=name, address="192.0.2.7"), "no connection"), ())
    assert sorted(target.name for target in record.load(folder)) == names


def test_four_hundred_endpoints_are_told_beside_three_hosts(tmp_path: Path) -> None:
    """As many rows as the hosts have alone, and those of the agents; what is alike is told once."""
    names = set(estate.records(tmp_path / "few", 1)) | set(estate.records(tmp_path / "many", 400))
    page, xml = tmp_path / "r.html", tmp_path / "r.xml"
    few = running.run(f"--hosts=replay://{tmp_path / 'few'}", f"--junitxml={tmp_path / 'few.xml'}")
    many = running.run(
        f"--hosts=replay://{tmp_path / 'many'}", f"--junitxml={xml}", f"--html={page}", "--self-contained-html"
    )
    assert few.status == many.status == 11
    rows, alone = running.junit(xml), running.junit(tmp_path / "few.xml")
    assert {each for each in rows if each.host in estate.INFRASTRUCTURE} == {
        each for each in alone if each.host in estate.INFRASTRUCTURE
    }
    agents = [each for each in rows if each.host in names]
    assert len(agents) == 400 * len([each for each in alone if each.host in names])
    assert {each.control.partition(".")[0] for each in agents} == {"agent"}
    assert {each._replace(host="") for each in agents} == {
        each._replace(host="") for each in alone if each.host in names
    }
    assert "401 EndPoints" in many.out
    assert len(many.out.splitlines()) < len(few.out.splitlines()) + 40
    shown = page.read_text("utf-8")
    assert all(name in shown for name in names)
