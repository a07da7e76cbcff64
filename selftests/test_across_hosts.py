"""What only several hosts show together, on real ones: one passphrase on two of them, two servers behind an address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from judging import ask, controls, judge_among, judge_deployment, plan

import lab
from pandora_audit import record
from pandora_audit.finding import Finding
from pandora_audit.formats import sealed
from pandora_audit.gather import Machine
from pandora_audit.promises import Promises
from pandora_audit.record import Recorder
from pandora_audit.target import Target
from pandora_audit.transport import Options
from pandora_audit.verdict import Word

CONTROLS = controls(
    *("tests_web/test_console.py", "tests_server/test_tentacle.py", "tests_server/test_server.py"),
    "tests_agents/test_local_monitoring.py",
)
STORAGE, AUDIT_LOG = CONTROLS["console.encrypted-storage"], CONTROLS["console.audit-log"]
AVAILABILITY = CONTROLS["tentacle.availability"]
LOCAL_AGENT, API = CONTROLS["monitoring.local-agent"], CONTROLS["server.api-tls"]
# Besides the address that any other `ha` host of the lab may have.
ADDRESS = "10.99.250.7"
_MOVES = f"sed -i -e 's/10.99.250.1/{ADDRESS}/' -e 's/_id 51/_id 77/' /etc/keepalived/keepalived.conf"
_CALLS = "sed -i 's/^server_ip .*/server_ip {}/' /etc/pandora/pandora_agent.conf"


@pytest.fixture(scope="module", autouse=True)
def _lab() -> None:
    lab.required()


def asked(host: lab.Host, tmp_path: Path, **promises: str | tuple[str, ...]) -> Machine:
    known = tmp_path / f"known-{host.name}"
    known.write_text(host.known_hosts_line(host.port))
    made = Promises.read({name: (value, "test") for name, value in promises.items()})
    target = Target(name=host.name, address=host.address, user="audit", port=host.port, promises=made)
    wanted = [STORAGE, AUDIT_LOG, LOCAL_AGENT, API] if not promises else [AVAILABILITY]
    return ask(target, wanted, Options(known_hosts=known, identity_file=host.key))


# --- one passphrase ---


@pytest.fixture(scope="module")
def installation() -> Iterator[list[lab.Host]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(lab.boot(image, name=name, hardened=True))
            for image, name in (("server", "centre"), ("console", "web"), ("database", "data"))
        ]


@pytest.fixture(scope="module")
def installed(installation: list[lab.Host], tmp_path_factory: pytest.TempPathFactory) -> list[Machine]:
    installation[2].run("for i in $(seq 200); do mysqladmin ping >/dev/null 2>&1 && break; sleep 0.05; done")
    return [asked(host, tmp_path_factory.mktemp("known")) for host in installation]


def test_server_and_console_have_the_same_passphrase(installed: list[Machine]) -> None:
    found = judge_deployment(installed, STORAGE)
    assert found.word is Word.COMPLIANT, found.told
    assert judge_deployment(installed, AUDIT_LOG).word is Word.COMPLIANT


def recorded(machines: list[Machine], folder: Path) -> list[Machine]:
    recorder = Recorder(folder)
    for machine in machines:
        recorder.write(machine, [])
    return [record.replayed(plan(target, [STORAGE])) for target in record.load(folder)]


def test_a_replay_compares_without_the_key(installed: list[Machine], tmp_path: Path) -> None:
    again = recorded(installed, tmp_path / "record")
    assert judge_deployment(again, STORAGE).word is Word.COMPLIANT
    kept = "".join(path.read_text("utf-8") for path in (tmp_path / "record").iterdir())
    run, key = sealed.LINE.decode().split()[1:]
    assert f"sealed:{run}:" in kept
    assert key not in kept
    assert "lab-Only-Cipher-4" not in kept


def test_what_different_runs_recorded_is_not_compared(installed: list[Machine], tmp_path: Path) -> None:
    recorded(installed, tmp_path / "record")
    path = tmp_path / "record" / "web.jsonl"
    run = sealed.LINE.decode().split()[1]
    path.write_text(path.read_text("utf-8").replace(f"sealed:{run}", "sealed:0123456789abcdef"))
    again = [record.replayed(plan(target, [STORAGE])) for target in record.load(tmp_path / "record")]
    found = judge_deployment(again, STORAGE)
    assert found.word is Word.NOT_ASSESSED
    assert "different runs" in found.told


def test_another_passphrase_on_the_console(
    installation: list[lab.Host], installed: list[Machine], tmp_path: Path
) -> None:
    config = "/var/www/html/pandora_console/include/config.php"
    with installation[1].mutated(f"sed -i s/Cipher-4/Cipher-5/ {config}", undo=f"sed -i s/Cipher-5/Cipher-4/ {config}"):
        web = asked(installation[1], tmp_path)
    found = judge_deployment([installed[0], web, installed[2]], STORAGE)
    assert found.word is Word.NOT_COMPLIANT
    assert "the passphrase on web is not the one on centre" in found.told


@pytest.mark.parametrize(("without", "says"), [(0, "no server"), (1, "no console"), (2, "nobody could ask")])
def test_a_host_that_was_not_asked_leaves_it_open(installed: list[Machine], without: int, says: str) -> None:
    rest = [machine for number, machine in enumerate(installed) if number != without]
    found = judge_deployment(rest, STORAGE)
    assert found.word is Word.NOT_ASSESSED
    assert says in found.told


# --- what the database knows of the server ---

_KNOWN = "UPDATE tagente SET alias = 'centre' WHERE alias = 'pandora01';"
_API = "/etc/pandora/pandora_server.conf"


def test_the_database_on_another_machine_tells_of_the_servers_agent_and_api(
    installation: list[lab.Host], tmp_path: Path
) -> None:
    server, _, database = installation
    hidden, shown = (
        f"sed -i 's/^{old}console_api_url/{new}console_api_url/' {_API}" for old, new in (("", "#"), ("#", ""))
    )
    url = "INSERT INTO tconfig (token, value) VALUES ('public_url', 'http://web.example.org/pandora_console');"
    with (
        server.mutated(hidden, undo=shown),
        database.mutated(
            f'mysql pandora -e "{_KNOWN} {url} UPDATE tagente_estado SET utimestamp = UNIX_TIMESTAMP()"',
            undo="mysql pandora -e \"UPDATE tagente SET alias = 'pandora01' WHERE alias = 'centre';"
            " DELETE FROM tconfig WHERE token = 'public_url'\"",
        ),
    ):
        centre, data = asked(server, tmp_path), asked(database, tmp_path)
        found = judge_among(centre, [data], LOCAL_AGENT)
        assert (found.word, found.told) == (
            Word.COMPLIANT,
            "an agent runs on the server, and starts with it; the database has heard of it",
        )
        assert any(answer.question.startswith("data: ") for answer in found.evidence)
        api = judge_among(centre, [data], API)
        assert api.word is Word.NOT_COMPLIANT, api.told
        assert "by http at web.example.org" in api.told
        database.run('mysql pandora -e "UPDATE tagente_estado SET utimestamp = utimestamp - 700"')
        assert "heard nothing" in judge_among(centre, [asked(database, tmp_path)], LOCAL_AGENT).told
        database.run("mysql pandora -e \"UPDATE tagente SET alias = 'x' WHERE alias = 'centre'\"")
        unknown = judge_among(centre, [asked(database, tmp_path)], LOCAL_AGENT)
        database.run("mysql pandora -e \"UPDATE tagente SET alias = 'centre' WHERE alias = 'x'\"")
    assert (unknown.word, "knows no agent" in unknown.told) == (Word.NOT_ASSESSED, True)
    for control in (LOCAL_AGENT, API):
        alone = judge_among(centre, [], control)
        assert alone.word is Word.NOT_ASSESSED
        assert "nobody could ask Pandora FMS's database" in alone.told


# --- one server of two ---


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[lab.Host]]:
    """Two servers of Tentacle behind an address that moves, an agent that calls it, and one with two servers."""
    with ExitStack() as stack:
        two = [stack.enter_context(lab.boot("ha", [_MOVES], name=name)) for name in ("one", "two")]
        calls = _CALLS.format(ADDRESS)
        second = f"{_CALLS.format(two[0].address)}; printf 'secondary_mode on_error\\nsecondary_server_ip {{}}\\n'"
        second = f"{second.format(two[1].address)} >> /etc/pandora/pandora_agent.conf"
        agents = [
            stack.enter_context(lab.boot("agent-upstream", [change], name=name))
            for name, change in (("calls", calls), ("second", second))
        ]
        for host in two:
            host.run(
                f"for i in $(seq 300); do timeout 1 perl -MIO::Socket::INET -e '{_OPEN}' && break; sleep 0.1; done"
            )
        yield [*two, *agents]


_OPEN = f'exit !IO::Socket::INET->new(PeerAddr => "{ADDRESS}", PeerPort => 41120, Timeout => 1)'


def judged(hosts: list[lab.Host], tmp_path: Path, *availability: str) -> Finding:
    return judge_deployment([asked(host, tmp_path, availability=availability) for host in hosts], AVAILABILITY)


def test_agents_have_another_way(cluster: list[lab.Host], tmp_path: Path) -> None:
    found = judged(cluster, tmp_path, f"{ADDRESS}:41120")
    assert found.word is Word.COMPLIANT, found.told
    assert "one, two answer, and 2 agents" in found.told


def test_a_secondary_server_needs_no_promise(cluster: list[lab.Host], tmp_path: Path) -> None:
    one, two, _, second = cluster
    machines = [asked(host, tmp_path, deployment="deployment") for host in (one, two, second)]
    found = judge_deployment(machines, AVAILABILITY)
    assert found.word is Word.COMPLIANT, found.told


@pytest.mark.parametrize(
    ("availability", "says"),
    [
        (("10.99.250.9",), "the agent on calls calls 10.99.250.7 alone"),
        (("10.99.250.7:41120", "10.99.250.7:41199"), "nobody answers at 10.99.250.7:41199"),
    ],
)
def test_an_address_that_is_none(
    cluster: list[lab.Host], tmp_path: Path, availability: tuple[str, ...], says: str
) -> None:
    found = judged(cluster, tmp_path, *availability)
    assert found.word is Word.NOT_COMPLIANT
    assert says in found.told


@pytest.mark.parametrize("silent", ["10.99.254.254", "nosuch.invalid"])
def test_an_address_that_its_servers_cannot_reach_may_answer_others(
    cluster: list[lab.Host], tmp_path: Path, silent: str
) -> None:
    found = judged(cluster, tmp_path, f"{ADDRESS}:41120", silent)
    assert found.word is Word.NOT_ASSESSED
    assert f"answers at {silent} was not seen" in found.told


def test_one_servers_own_address_goes_with_it(cluster: list[lab.Host], tmp_path: Path) -> None:
    found = judged(cluster, tmp_path, f"{ADDRESS}:41120", cluster[0].address)
    assert found.word is Word.NOT_COMPLIANT
    assert "goes with it" in found.told


def test_a_server_that_does_not_answer(cluster: list[lab.Host], tmp_path: Path) -> None:
    two = cluster[1]
    two.run("systemctl stop tentacle_serverd")
    found = judged(cluster, tmp_path, f"{ADDRESS}:41120")
    two.run("systemctl start tentacle_serverd")
    assert found.word is Word.NOT_COMPLIANT
    assert "no tentacle_server runs on two" in found.told


def test_an_agent_that_nobody_could_ask_leaves_it_open(cluster: list[lab.Host], tmp_path: Path) -> None:
    machines = [asked(host, tmp_path, availability=(f"{ADDRESS}:41120",)) for host in cluster]
    machines[2].silence = "no route"
    found = judge_deployment(machines, AVAILABILITY)
    assert found.word is Word.NOT_ASSESSED
    assert "calls: no route" in found.told
