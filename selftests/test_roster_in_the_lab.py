"""``pandora://`` on booted hosts: the demonstration's database, its planted agent, and an agent that nobody listed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import running

import lab
from lab import deployment
from pandora_audit import commands

CHAPTER = "tests_agents/test_agents.py"
PLANTED = next(iter(deployment.UNKNOWN))
# A device that is watched from outside, a hostile row, and parts of the installation that no inventory lists.
MORE = """
INSERT INTO tagente (nombre, alias, direccion, id_os, agent_version, ultimo_contacto) VALUES
    ('sw', 'switch', '10.99.255.252', 11, '', NOW()),
    ('h1', 'a&#x0a;b;$(id)', '-oProxyCommand=id', 1, '7.0NG.776', NOW()),
    ('w9', 'web09', '{web}', 1, '7.0NG.776', NOW()),
    ('far', 'far', '10.99.255.249', 1, '7.0NG.776', NOW()),
    ('away', 'away', '10.99.255.248', 1, '7.0NG.776', NOW());
UPDATE tserver SET name = 'pandora01';
INSERT INTO tserver VALUES ('satellite01', '10.99.255.251', 1, NOW(), 13, '7.0NG.776', 0);
INSERT INTO tconfig (token, value) VALUES ('history_db_enabled', '1'), ('history_db_host', '10.99.255.250');
"""

# Two EndPoints that the site does not enter; the configuration of one of them lies on the server.
KEPT = f"/var/spool/pandora/data_in/conf/{hashlib.md5(b'far', usedforsecurity=False).hexdigest()}.conf"
DISTANT = """\
      vars: {audit_method: server, audit_sensitive: "yes", audit_deployment: secured}
      hosts: {far: , away: {ansible_host: 10.99.255.248}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The database of the demonstration, asked as root and by the audit's own account; an EndPoint beside it."""
    lab.required()
    folder = tmp_path_factory.mktemp("site")
    part = next(part for part in deployment.PARTS if part.name == "db01")
    database, clock = deployment.up(folder, [dataclasses.replace(part, groups=("database",))])
    with (
        database,
        clock,
        lab.boot("agent-upstream", name="web09") as web,
        lab.boot("server", name="pandora01") as server,
    ):
        server.run(f"install -D -o pandora /dev/null {KEPT}; ls -l {KEPT}")
        database.run("mysql pandora", input=MORE.format(web=web.address))
        database.run("mysql", input=commands.database_account("mariadb", "nosudo", "pandora"))
        database.write("/home/nosudo/audit.cnf", "[client]\nuser=nosudo\n")
        text = (
            (folder / "inventory.yml")
            .read_text()
            .replace("        web05:\n", "        web05:\n        far:\n        away:\n")
        )
        place = f"{{ansible_host: {database.address}, ansible_port: {database.port}, ansible_user: nosudo"
        text += f"    consoles:\n      hosts:\n        reader: {place}, audit_db_options: /home/nosudo/audit.cnf}}\n"
        text += f"        blind: {place}}}\n"
        text += f"    server: {{hosts: {{pandora01: {{ansible_host: {server.address}, audit_deployment: secured}}}}}}\n"
        text += f"    tentacle: {{hosts: {{pandora01: }}}}\n    distant:\n{DISTANT}"
        (folder / "inventory.yml").write_text(text)
        with (folder / "known_hosts").open("a") as file:
            file.write(web.known_hosts + server.known_hosts)
        login = f"  HostName {web.address}\n  User audit\n  IdentityFile {web.key}\n"
        (folder / "ssh_config").write_text(f"Host {web.address} other\n{login}")
        yield folder


def audit(site: Path, hosts: str, *more: str) -> tuple[running.Run, set[running.Row]]:
    done = running.run(
        CHAPTER,
        *(f"--inventory={site / 'inventory.yml'}", f"--known-hosts={site / 'known_hosts'}", f"--hosts={hosts}"),
        *(f"--ssh-config={site / 'ssh_config'}", "--connect-timeout=3", "-v", *more),
    )
    return done, running.terminal(done.out)


@pytest.mark.parametrize("console", ["db01", "reader"])
def test_the_planted_agent_is_found_and_named(site: Path, console: str) -> None:
    done, rows = audit(site, f"db01,pandora://{console}")
    verdicts: dict[str, set[str]] = {}
    for row in rows:
        verdicts.setdefault(row.host, set()).add(row.verdict)
    assert verdicts[PLANTED] == {"not assessed"}
    assert "compliant" in verdicts["web09"]
    # The last two are of the image, at addresses that nobody has.
    assert set(verdicts) == {PLANTED, "web09", "a-b-id", "web01", "web02", "far", "away"}
    assert {row.observed for row in rows if row.host == "a-b-id"} == {
        "Pandora FMS's database has no address by which it could be entered"
    }
    (unlisted,) = [
        line for line in done.out.splitlines() if line.startswith("known to Pandora FMS, not in the inventory")
    ]
    assert f"{PLANTED} ({deployment.UNKNOWN[PLANTED]}, Linux, Servers, reports)" in unlisted
    assert "beside 1 watched without agent" in done.out
    assert "satellite server satellite01 (10.99.255.251)" in done.out
    assert "history database 10.99.255.250" in done.out
    assert done.status == 10


def test_an_endpoint_that_is_not_entered_is_seen_from_the_server(site: Path) -> None:
    _, rows = audit(site, "db01,pandora01,far,away", "tests_server/test_agents_on_the_server.py")
    found = {(row.control, row.host): row for row in rows}
    assert {host: control for control, host in found if host in ("far", "away")} == dict.fromkeys(
        ("far", "away"), "agent.remote-config-off"
    )
    far, away = found["agent.remote-config-off", "far"], found["agent.remote-config-off", "away"]
    assert (far.verdict, away.verdict) == ("not compliant", "compliant")
    assert "seen from the server: its configuration lies on pandora01" in far.observed
    assert "seen from the server: it reports" in away.observed
    sensitive = found["server.sensitive-remote-files", "secured"]
    assert (sensitive.verdict, sensitive.observed) == ("not compliant", "the configuration of far lies on pandora01")
    # Without the server among the hosts, nothing of them is known.
    _, rows = audit(site, "db01,far,away")
    assert {row.verdict for row in rows if row.host in ("far", "away")} == {"not assessed"}


@pytest.mark.parametrize(
    ("console", "why"),
    [
        ("blind", "nobody asked the database"),
        ("other", "audit_db_options names no way to it"),
        ("web05", "10.99.255.254"),
        ("nobody@127.0.0.1:9", "no connection"),
    ],
)
def test_who_cannot_tell_is_named_and_the_others_are_audited(site: Path, console: str, why: str) -> None:
    done, rows = audit(site, f"db01,pandora://{console}", "tests_mysql")
    mine = {row.observed for row in rows if row.host == f"pandora://{console}"}
    assert all(said.startswith("which EndPoints there are is not known: ") for said in mine)
    assert why in next(iter(mine))
    assert "compliant" in {row.verdict for row in rows if row.host == "db01"}
    assert done.status == 11
