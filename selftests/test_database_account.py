"""The database's secrets stay there: what the printed account cannot read, and what no answer brings home."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from judging import ask, controls

import lab
from pandora_audit import commands
from pandora_audit.promises import Promises
from pandora_audit.target import Target
from pandora_audit.transport import Options

# Seeded in the lab's database, in the places where the product keeps secrets.
SECRETS = (
    "lab-Only-Api-9",
    "lab-Only-Group-3",
    "LABLABLABLABLAB2",
    "aaaaaaaaaaaaaaaa",
    "lab-Only-Ldap-1",
    "pandora1234",
    "lab-Only-Store-6",
    "lab-Only-Line-8",
    "lab-Only-Key-4",
    "lab-Only-Node-7",
)
PLANT = """
UPDATE tconfig SET value = 'lab-Only-Ldap-1' WHERE token = 'loginhash_pwd';
UPDATE tusuario SET api_token = 'pandora1234' WHERE id_user = 'aruiz';
INSERT INTO tcredential_store (identifier, password) VALUES ('one more', 'lab-Only-Store-6');
INSERT INTO tdatabase (host, ssh_key) VALUES ('192.0.2.21', 'lab-Only-Key-4');
INSERT INTO tmetaconsole_setup (server_name, server_url, dbpass, api_password) VALUES
    ('Berlin', 'http://192.0.2.30/pandora_console/', 'lab-Only-Node-7', 'lab-Only-Node-7');
"""


@pytest.fixture(scope="module")
def host() -> Iterator[lab.Host]:
    lab.required()
    with lab.boot("database", hardened=True) as booted:
        booted.run("mysql pandora", input=PLANT)
        booted.run("mysql", input=commands.database_account("mariadb", "nosudo", "pandora"))
        booted.write("/home/nosudo/audit.cnf", "[client]\nuser=nosudo\n")
        yield booted


def as_nosudo(host: lab.Host, statement: str) -> subprocess.CompletedProcess[str]:
    return host.run(f'su nosudo -s /bin/sh -c "mysql -N -e \\"{statement}\\""', check=False)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT value FROM pandora.tconfig",
        "SELECT password FROM pandora.tusuario",
        "SELECT secret FROM pandora.tuser_double_auth",
        "SELECT password FROM pandora.tgrupo",
        "SELECT password FROM pandora.tcredential_store",
        "SELECT ssh_key FROM pandora.tdatabase",
        "SELECT dbpass FROM pandora.tmetaconsole_setup",
        "SELECT datos FROM pandora.tagente_estado",
        "SELECT * FROM mysql.global_priv",
        "SHOW CREATE VIEW pandora_audit.config",
        "CREATE TABLE pandora_audit.mine (a INT)",
        "SELECT LOAD_FILE('/etc/passwd') IS NOT NULL OR 1/0",
    ],
)
def test_the_account_reads_the_views_only(host: lab.Host, statement: str) -> None:
    done = as_nosudo(host, statement)
    assert "denied" in done.stderr or done.stdout.strip() == "NULL"


def test_the_account_reads_the_views(host: lab.Host) -> None:
    assert as_nosudo(host, "SELECT COUNT(*) > 5 FROM pandora_audit.config").stdout.strip() == "1"


@pytest.mark.parametrize(("user", "options"), [("audit", None), ("nosudo", "/home/nosudo/audit.cnf")])
def test_no_secret_comes_home(host: lab.Host, tmp_path: Path, user: str, options: str | None) -> None:
    known = tmp_path / "known"
    known.write_text(host.known_hosts_line(host.port))
    promises = Promises.read({"db_options": (options, "test")} if options else {})
    target = Target(name="db", address=host.address, user=user, port=host.port, promises=promises)
    machine = ask(
        target,
        controls("tests_web", "tests_server", "tests_agents").values(),
        Options(known_hosts=known, identity_file=host.key),
    )
    told = b"".join(answer.out + answer.err for answer in machine.answers.values())
    assert b"enable_pass_policy" in told
    assert not [secret for secret in SECRETS if secret.encode() in told]


def test_an_audit_counts_against_nobody(tmp_path: Path) -> None:
    """A server refuses an address after a hundred connections without a login; the look at its TLS is none of them."""
    lab.required()
    with lab.boot("database-mysql9", hardened=True) as host:
        bind = f"[mysqld]\nbind-address = {host.address}\n"
        host.write("/etc/mysql/mysql.conf.d/zzz.cnf", bind)
        host.run(
            "systemctl restart mysql; for i in $(seq 300); do mysqladmin ping >/dev/null 2>&1 && break; sleep 0.1; done"
        )
        known = tmp_path / "known"
        known.write_text(host.known_hosts_line(host.port))
        target = Target(name="db", address=host.address, user="audit", port=host.port)
        machine = ask(target, controls("tests_mysql").values(), Options(known_hosts=known, identity_file=host.key))
        assert b"end " in machine.answers["mysql-server@tls"].out
        counted = "SELECT COUNT(*) FROM performance_schema.host_cache WHERE SUM_CONNECT_ERRORS > 0"
        assert host.run(f'mysql -N -e "{counted}"').stdout.strip() == "0"
