"""The roles of the lab: services, files, database, console and packages are what the vendor's and the guide's are."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import re
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import machines
import pytest
from judging import ask, controls, judge, plan
from machines import TABLES
from running import run, terminal

import lab
from lab import deployment, images, recipes
from pandora_audit import commands
from pandora_audit.finding import Finding
from pandora_audit.promises import Promises
from pandora_audit.target import Target
from pandora_audit.transport import Options
from pandora_audit.verdict import Word

ROLES = [name for name, layer in recipes.LAYERS.items() if layer.services and not name.startswith("common")]
CONTROLS = controls()
SSH = controls("tests_ssh")
# EndPoints, too, are held to all of the guide.
ESTATE = {"scope": ("estate", "test")}
# An audit logs in and uses sudo, visits the console, and asks Tentacle, the database and dnf: these tell of it. What
# systemd keeps of a login is no file of its own choosing, nor what a database does with its tables when it is asked.
LOGS = re.compile(
    r"/var/log/(journal/.*|(auth|syslog|messages|user|cron|sudo|daemon)(\.log)?|secure|lastlog|wtmp|wtmp\.?db|btmp)"
    r"|/var/lib/(wtmpdb|lastlog)/.*|/var/log/((apache2|nginx|httpd)/[a-z_.]+|mysql/error\.log|pandora/tentacle\.log)"
    r"|/var/log/(dnf(\.librepo|\.rpm)?|hawkey)\.log|/var/lib/rpm/rpmdb\.sqlite-(shm|wal)"
    r"|/var/www/html/pandora_console/log/cron\.log"  # the console's own job, at some minutes
    r"|/var/lib/mysql/(#.*|.*\.(ibd|MA[DI])|(undo|ib)[a-z_0-9]*)"
)
# What sudo, sshd, Tentacle and databases say of whom they turn away. That no certificate came is no login.
REFUSED = re.compile(
    r"not allowed|NOT in sudoers|password is required|incorrect password|authentication failure|Failed \w+ for"
    r"|Invalid user|Access denied|(?i:tentacle.*(password|authenticat))"
)
# Who audits stands in what these say.
OF_THE_ACCOUNT = {"system.audit-account"}
DATABASES = {"database": "mariadb", "database-trixie": "mariadb", "database-mysql9": "mysql"}
# Agents report when their time has come, and MySQL tidies up; halted, they are there and write nothing.
RESTLESS = {"agent": ["pandorafms-agent"], "agent6": ["pandorafms-agent"]}
# Side by side: each waits for its services, and to be quiet, more than it computes.
_POOL = ThreadPoolExecutor(4)
_HOSTS: dict[tuple[str, bool], Future[lab.Host]] = {}
_AUDITS: dict[tuple[str, bool], Future[Audited]] = {}


@dataclass(frozen=True)
class Audited:
    """What audits of a host, one after the other, found and left.

    Attributes:
        failed: the units that had failed before.
        by_all: the findings of an account that may do everything.
        by_least: of one that may do what --sudoers and --database-account print.
        by_nobody: of one without privilege; of stock hosts only, which have what it could overlook.
        changed: the files that changed meanwhile.
        refused: what the host's logs say of whom it turned away.
    """

    failed: str
    by_all: dict[str, Finding]
    by_least: dict[str, Finding]
    by_nobody: dict[str, Finding]
    changed: set[str]
    refused: list[str]


def begin(name: str, hardened: bool) -> Future[lab.Host]:
    if (name, hardened) not in _HOSTS:
        _HOSTS[name, hardened] = _POOL.submit(lab.boot, name, hardened=hardened)
    return _HOSTS[name, hardened]


def begin_audit(name: str, hardened: bool) -> Future[Audited]:
    if (name, hardened) not in _AUDITS:
        _AUDITS[name, hardened] = _POOL.submit(audited, name, hardened)
    return _AUDITS[name, hardened]


def booted(name: str, hardened: bool = False) -> lab.Host:
    """A host of the role, booted once; skip, with the reason, where what it is made of cannot be had."""
    lab.required()
    try:
        return begin(name, hardened).result()
    except lab.Unavailable as gone:
        pytest.skip(str(gone))


@pytest.fixture(scope="module", autouse=True)
def _ahead(request: pytest.FixtureRequest) -> Iterator[None]:
    """Boot and audit what the selected tests need, ahead of them; no host and no thread stays."""
    items = [item for item in request.session.items if item.module is request.module and hasattr(item, "callspec")]
    told = [item.callspec.params for item in items if item.originalname in AUDITED]
    audits = [(params["name"], params.get("hardened", False)) for params in told]
    if audits and not lab.available():
        for name, hardened in audits:
            begin(name, hardened)
        for name, hardened in audits:
            begin_audit(name, hardened)
    yield
    _POOL.shutdown(cancel_futures=True)
    with ThreadPoolExecutor(4) as pool:
        for booting in _HOSTS.values():
            if not booting.cancelled() and not booting.exception():
                pool.submit(booting.result().destroy)


def settle(host: lab.Host) -> None:
    """Wait for what a service still does by itself after its start: a first report, a check of tables."""
    for _ in range(20):
        host.mark()
        time.sleep(1)
        if not changed(host):
            return


def changed(host: lab.Host) -> set[str]:
    return {path for path in host.changed_files() if not LOGS.fullmatch(path)}


def audited(name: str, hardened: bool) -> Audited:
    host = begin(name, hardened).result()
    failed = host.run("systemctl --failed --no-legend --plain").stdout
    target = Target(name=host.name, address=host.address, port=host.port, user="audit", promises=Promises.read(ESTATE))
    least = introduced(host, target, DATABASES.get(name))
    for service in RESTLESS.get(name, ()):
        host.run(f"systemctl kill --signal=STOP {service}")
    settle(host)
    refused(host)
    nobody = dataclasses.replace(target, user="nosudo")
    by_all, by_least = (findings(host, each) for each in (target, least))
    said = refused(host)
    by_nobody = {} if hardened else findings(host, nobody)
    # Whether it may use sudo, it has to ask.
    said += [line for line in refused(host) if "COMMAND=list" not in line]
    traces = changed(host)
    for service in RESTLESS.get(name, ()):
        host.run(f"systemctl kill --signal=CONT {service}")
    return Audited(failed, by_all, by_least, by_nobody, traces, said)


def introduced(host: lab.Host, target: Target, kind: str | None) -> Target:
    """The host's new account that may do what is printed and nothing else, there and in its database of this kind."""
    host.run("useradd -m -s /bin/bash least && cp -a ~nosudo/.ssh ~least && chown -R least:least ~least/.ssh")
    promises = ESTATE
    if kind is not None:
        machines.database_account(host, kind, "least")
        promises = {**ESTATE, "db_options": (machines.OPTIONS, "test")}
    least = dataclasses.replace(target, user="least", promises=Promises.read(promises))
    printed = commands.sudoers([plan(least, CONTROLS.values())], "least")
    host.write("/etc/sudoers.d/least", printed, mode=0o440)
    return least


def findings(host: lab.Host, target: Target) -> dict[str, Finding]:
    """What an audit by this account finds, at the level of everything."""
    known = host.root.parent / f"known-{target.user}"
    known.write_text(host.known_hosts)
    machine = ask(target, CONTROLS.values(), Options(known_hosts=known, identity_file=host.key))
    assert not machine.silence
    return judge(machine, CONTROLS, "strict")


def refused(host: lab.Host) -> list[str]:
    """What the logs have said since the last call of who was turned away."""
    host.run("journalctl --sync")
    journal = host.run("journalctl -o cat --cursor-file=/run/cursor", check=False).stdout
    files = host.run("cd /var/log; cat mysql/*.log pandora/tentacle.log 2>/dev/null", check=False).stdout
    return [line for line in (journal + files).splitlines() if REFUSED.search(line) and "COMMAND=/" not in line]


@pytest.mark.parametrize("hardened", [False, True], ids=["stock", "hardened"])
@pytest.mark.parametrize("name", ROLES)
def test_an_audit_changes_nothing_on_a_host_whose_services_run(name: str, hardened: bool) -> None:
    booted(name, hardened)
    seen = begin_audit(name, hardened).result()
    assert seen.failed == ""
    assert not {control for control, finding in seen.by_all.items() if finding.fault}
    assert seen.changed == set()
    assert seen.refused == []


@pytest.mark.parametrize("hardened", [False, True], ids=["stock", "hardened"])
@pytest.mark.parametrize("name", ROLES)
def test_an_audit_a_little_later_by_what_is_printed_tells_the_same(name: str, hardened: bool) -> None:
    """Neither the time nor the privilege beyond the printed lines changes a verdict, or a word of it."""
    booted(name, hardened)
    seen = begin_audit(name, hardened).result()
    first, second = (
        {
            control: (found.word, found.expected, "" if control in OF_THE_ACCOUNT else found.told)
            for control, found in findings.items()
        }
        for findings in (seen.by_all, seen.by_least)
    )
    assert first == second


@pytest.mark.parametrize("name", ROLES)
def test_nothing_passes_by_ignorance(name: str) -> None:
    booted(name)
    seen = begin_audit(name, hardened=False).result()
    greener = {
        control: found.told
        for control, found in seen.by_nobody.items()
        if found.word is Word.COMPLIANT and seen.by_all[control].word is not Word.COMPLIANT
    }
    assert greener == {}
    reasons = [found.reason for found in seen.by_nobody.values()]
    assert not [reason for reason in reasons if "is asked only of" in reason or "Access denied" in reason]
    unseen = [reason for reason in reasons if reason.startswith("only root may run")]
    assert unseen
    assert all("; --sudoers prints the line for it" in reason for reason in unseen)


AUDITED = {
    test_an_audit_changes_nothing_on_a_host_whose_services_run.__name__,
    test_an_audit_a_little_later_by_what_is_printed_tells_the_same.__name__,
    test_nothing_passes_by_ignorance.__name__,
}


def test_the_ssh_chapter_is_proven_both_ways_on_every_image() -> None:
    table = TABLES["ssh_images"]
    bases = [name for name, layer in recipes.LAYERS.items() if layer.suite]
    seen = {(table.machines[name]["image"], each, table.machines[name]["expect"][each]) for name, each in table.rows}
    assert {(image, each, verdict) for image in (*bases, *ROLES) for each in SSH for verdict in "CN"} <= seen


# role, hardened, path, mode owner:group
FILES = [
    ("server", False, "/etc/pandora/pandora_server.conf", "660 root:root"),
    ("server", True, "/etc/pandora/pandora_server.conf", "600 root:root"),
    ("server", False, "/etc/pandora/pandora_agent.conf", "600 root:root"),
    ("server", False, "/var/spool/pandora/data_in", "2770 pandora:www-data"),
    ("server", False, "/var/spool/pandora/data_in/conf", "2770 pandora:www-data"),
    ("server", False, "/etc/cron.hourly/pandora_db", "750 root:root"),
    ("tentacle", False, "/etc/tentacle/tentacle_server.conf", "774 root:root"),
    ("tentacle", True, "/etc/tentacle/tentacle_server.conf", "640 root:pandora"),
    ("tentacle", True, "/etc/tentacle/tentacle.key", "400 pandora:pandora"),
    ("console", False, "/var/www/html/pandora_console/include/config.php", "600 www-data:www-data"),
    ("console", True, "/var/www/html/pandora_console/include/config.php", "600 www-data:www-data"),
    ("console-nginx", False, "/var/www/html/pandora_console/include/config.php", "600 www-data:www-data"),
    ("agent-upstream", False, "/usr/share/pandora_agent/plugins", "700 root:root"),
    ("agent-upstream", False, "/var/log/pandora", "711 root:root"),
    ("agent", False, "/etc/pandorafms/pandora_agent.conf", "644 root:root"),
    ("rhel", False, "/usr/share/pandora_agent", "755 pandora:root"),
    ("rhel", False, "/usr/share/pandora_agent/pandora_agent.conf", "755 pandora:root"),
    ("rhel", False, "/var/log/secure", "640 root:adm"),
]


@pytest.mark.parametrize(("name", "hardened", "path", "expected"), FILES)
def test_files_have_the_owners_and_modes_of_the_installers(name: str, hardened: bool, path: str, expected: str) -> None:
    assert booted(name, hardened).run(f"stat -c '%a %U:%G' {path}").stdout.strip() == expected


@pytest.mark.parametrize(
    ("name", "hardened", "process"),
    [
        ("server", False, "root /usr/bin/perl /usr/bin/pandora_server /etc/pandora/pandora_server.conf -D"),
        ("server", False, "root /usr/bin/perl /usr/bin/pandora_ha /etc/pandora/pandora_server.conf -D"),
        ("server", False, "root /usr/bin/perl /usr/bin/pandora_agent /etc/pandora"),
        ("tentacle", True, "/usr/bin/tentacle_server -F /etc/tentacle/tentacle_server.conf"),
        ("agent", False, "pandora_agent"),
        ("agent6", False, "pandora_agent"),
        ("rhel", False, "httpd -d /etc/httpd"),
    ],
)
def test_processes_look_like_the_vendors(name: str, hardened: bool, process: str) -> None:
    assert process in booted(name, hardened).run("ps -eo ruser:16,args | tr -s ' '").stdout


@pytest.mark.parametrize("name", DATABASES)
def test_the_database_has_the_seed_and_the_accounts(name: str) -> None:
    query = "SELECT value FROM tconfig WHERE token = '{}'"
    for hardened, size, host in [(False, "4", "%"), (True, "12", "10.99.%")]:
        machine = booted(name, hardened)
        assert machine.run(f'mysql -N pandora -e "{query.format("pass_size")}"').stdout == f"{size}\n"
        accounts = machine.run("mysql -N mysql -e \"SELECT Host, ssl_type FROM user WHERE User = 'pandora'\"").stdout
        assert accounts.rstrip("\n").split("\t") == [host, "ANY" if hardened else ""]


@pytest.mark.parametrize("name", DATABASES)
def test_the_hardened_database_answers_through_tls_only(name: str) -> None:
    host = booted(name, hardened=True)
    plain = "--ssl-mode=DISABLED" if "mysql9" in name else "--skip-ssl"
    mysql = f"mysql -h {host.address} -u pandora -plab-Only-Pandora-7 -N"
    status = host.run(
        f"{mysql} --ssl-ca=/usr/local/share/ca-certificates/lab.crt -e \"SHOW STATUS LIKE 'Ssl_version'\""
    )
    assert "TLSv1.3" in status.stdout
    refused = host.run(f"{mysql} {plain} -e 'SELECT 1'", check=False)
    assert refused.returncode
    assert "ERROR" in refused.stderr


def test_the_stock_database_answers_without_tls() -> None:
    host = booted("database")
    command = f"mysql -h {host.address} -u pandora -p'Pandor4!' --skip-ssl -N -e 'SELECT CURRENT_USER()'"
    assert host.run(command).stdout == "pandora@%\n"


def get(host: lab.Host, path: str, *, tls: bool, cookie: str = "") -> http.client.HTTPResponse:
    """The console's answer; through TLS only with a certificate of the lab's authority for its address."""
    connection: http.client.HTTPConnection
    if tls:
        context = ssl.create_default_context(cafile=str(images.tls() / "ca.pem"))
        connection = http.client.HTTPSConnection(host.address, timeout=10, context=context)
    else:
        connection = http.client.HTTPConnection(host.address, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        answer.read()
        answer.close()
    return answer


@pytest.mark.parametrize("name", ["console", "console-nginx"])
def test_the_console_sends_its_cookie_twice(name: str) -> None:
    flags = []
    for hardened in (False, True):
        host = booted(name, hardened)
        first = get(host, "/pandora_console/index.php", tls=hardened).headers.get_all("Set-Cookie", [])
        again = get(
            host, "/pandora_console/index.php", tls=hardened, cookie=first[0].partition(";")[0]
        ).headers.get_all("Set-Cookie", [])
        flags.append(["secure" in cookie.lower() and "httponly" in cookie.lower() for cookie in (*first, *again)])
    # nginx has nothing that mends the console's own cookie.
    assert flags == [[False, False], [True, name == "console"]]


def test_the_hardened_console_hides_its_version_and_leads_to_tls() -> None:
    host = booted("console", hardened=True)
    moved = get(host, "/pandora_console/", tls=False)
    assert (moved.status, moved.headers["Location"][:8]) == (301, "https://")
    page = get(host, "/pandora_console/index.php", tls=True)
    assert (page.headers["Server"], page.headers["X-Powered-By"]) == ("Apache", None)
    assert get(host, "/pandora_console/log/audit.log", tls=True).status == 403


@pytest.mark.parametrize(
    ("command", "status", "answer"),
    [
        (". /etc/os-release; echo $ID $VERSION_ID; cat /etc/redhat-release", 0, "rhel 9.4\nRed Hat Enterprise Linux"),
        ("rpm -q openssl", 0, "openssl-3.0.7-24.el9.x86_64"),
        ("rpm -qf /etc/redhat-release", 0, "redhat-release-9.4"),
        ("rpm -qi httpd", 0, "Vendor      : Lab"),
        ("rpm -qc httpd", 0, "/etc/httpd/conf.d/lab.conf"),
        ("rpm -q --changelog sudo", 0, "Built for the lab"),
        ("dnf -q check-update", 100, "openssl.x86_64"),
        ("dnf -q updateinfo list --security", 0, "RHSA-2026:1001 Important/Sec. openssl-3.0.7-27.el9_4.x86_64"),
        ("dnf -q repolist", 0, "updates"),
        ("yum -q check-update --security", 100, "openssl"),
        ("command -v dpkg apt apt-get", 127, ""),
        ("systemctl is-active sshd httpd", 0, "active\nactive"),
    ],
)
def test_the_rhel_like_host_answers_as_one(command: str, status: int, answer: str) -> None:
    said = booted("rhel").run(command, check=False)
    assert (said.returncode, answer in said.stdout) == (status, True), said.stdout + said.stderr


def test_the_hardened_host_is_behind_its_firewall_at_another_port() -> None:
    stock, hardened = booted("console"), booted("console", hardened=True)
    assert (stock.port, hardened.port) == (22, 31122)
    assert not lab.greets(hardened.address, 22)
    assert "dport { 80, 443, 31122 }" in hardened.run("nft list ruleset").stdout
    assert stock.run("nft list ruleset").stdout == ""


def test_the_address_of_a_dead_host_moves_to_the_other() -> None:
    lab.required()
    with (
        lab.boot("ha", [lambda host: share(host, host.address)]) as one,
        lab.boot("ha", [lambda host: share(host, one.address)]) as other,
    ):
        first = holder([one, other])
        socket.create_connection((moving(one.address), 41120), timeout=5).close()
        first.destroy()
        assert holder([one if first is other else other])
        socket.create_connection((moving(one.address), 41120), timeout=5).close()


def moving(address: str) -> str:
    return address.replace("10.99.1.", "10.99.251.")


def share(host: lab.Host, address: str) -> None:
    """Let hosts share an address that moves, in a group apart from those of other hosts of the lab."""
    group = address.rpartition(".")[2]
    edit = f"s/virtual_router_id .*/virtual_router_id {group}/; s/10.99.250.1/{moving(address)}/"
    host.run(f"sed -i '{edit}' /etc/keepalived/keepalived.conf")


def holder(hosts: list[lab.Host]) -> lab.Host:
    """The one of these hosts that has the address that moves, once exactly one has it."""
    for _ in range(200):
        having = [host for host in hosts if "10.99.251." in host.run("ip -brief address show eth0").stdout]
        if len(having) == 1:
            return having[0]
        time.sleep(0.1)
    raise AssertionError(f"{len(having)} hosts have the address")


def test_too_small_a_disk_and_a_suite_that_is_gone_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    lab.required()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        monkeypatch.setenv("LAB_CACHE", folder)
        monkeypatch.setitem(recipes.LAYERS, "gone", recipes.Layer(suite="nosuch", packages="dash", folder="base"))
        with pytest.raises(lab.LabError, match="nosuch does not give"):
            images.image("gone")
        monkeypatch.setattr(images, "_NEEDED", 1 << 60)
        with pytest.raises(lab.LabError, match="make room, or set LAB_CACHE"):
            images.image("bookworm")
        assert list(Path(folder, "images").iterdir()) == []


def test_old_versions_go_unless_a_host_has_them(tmp_path: Path) -> None:
    current, used, recent, old = (tmp_path / f"x-{digit * 12}" for digit in "0123")
    for place in (current, used, recent, old):
        place.mkdir()
        (tmp_path / f"{place.name}.use").touch()
    for place in (used, old):
        os.utime(place, (0, 0))
        os.utime(tmp_path / f"{place.name}.use", (0, 0))
    with images.in_use(images.Image((used,), ())):
        os.utime(tmp_path / f"{used.name}.use", (0, 0))
        images._prune(current)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {current.name, used.name, recent.name}


def test_a_deployment_is_audited_with_the_inventory_that_it_writes(tmp_path: Path) -> None:
    lab.required()
    parts = [part for part in deployment.PARTS if part.name in ("web01", "web03", "rhel01")]
    hosts = deployment.up(tmp_path, parts)
    try:
        assert "web03" in hosts[0].run("getent hosts web03").stdout
        assert f",{hosts[-1].address},9," in hosts[0].run("chronyc -n -c tracking").stdout
        done = run(
            f"--inventory={tmp_path / 'inventory.yml'}",
            f"--known-hosts={tmp_path / 'known_hosts'}",
            "tests_ssh",
            "-v",
            "-v",
        )
    finally:
        for host in hosts:
            host.destroy()
    assert done.status == 11, done.out + done.err  # the stock ones fail, and one cannot be reached
    failed = {row.host for row in terminal(done.out) if row.verdict == "not compliant"}
    assert failed == {"web03", "rhel01"}
    assert deployment.UNREACHABLE in done.out
