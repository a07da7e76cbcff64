"""Option files, the client's tables and Pandora's own files, against their traps; and the printed database account."""

from __future__ import annotations

import re
import subprocess

import pytest
import running
from hypothesis import given, settings
from hypothesis import strategies as st

import lab
from pandora_audit import commands, database_views
from pandora_audit.database_views import Dialect
from pandora_audit.facts import db_accounts, db_link, mysql
from pandora_audit.formats import config_php, my_cnf, mysql_batch
from pandora_audit.question import PERL, Unreadable
from pandora_audit.questions import CONSOLE_CONFIG

MARIADB = my_cnf.groups(mariadb=True, version="10.11")
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=40)


def seen(**texts: str) -> dict[str, my_cnf.File]:
    """Files below /etc/mysql by name; my_cnf is the first to be read."""
    lines = []
    for name, text in texts.items():
        path = f"/etc/mysql/{name.replace('_cnf', '.cnf').replace('__', '/')}"
        lines.append(f"stat 644 1.5 {len(text)} {path}")
        lines += [f"{path}:{number}:{line}" for number, line in enumerate(text.split("\n"), 1)]
    return my_cnf.files(lines)


def options(text: str, **others: str) -> list[tuple[str, str | None]]:
    written = my_cnf.written(seen(my_cnf=text, **others), MARIADB)
    return [(option.name, option.value) for option in written.options]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("bind-address=127.0.0.1", "bind_address", "127.0.0.1"),
        ("  BIND_Address =  a b  ", "bind_address", "a b"),
        ("skip-networking", "skip_networking", None),
        ("loose-ssl-ca = '/a b#c.pem' # as agreed", "ssl_ca", "/a b#c.pem"),
        ('sql_mode=""', "sql_mode", ""),
        ("port=3307#3306", "port", "3307"),
        (r"x = a\sb\\c", "x", "a b\\c"),
        ("--user=mysql", "user", "mysql"),
        ("init-connect='SET NAMES ''x'''", "init_connect", "SET NAMES ''x''"),
    ],
)
def test_a_line_is_read_as_the_server_reads_it(line: str, name: str, value: str | None) -> None:
    assert options(f"[mysqld]\n{line}") == [(name, value)]


def test_groups_comments_and_releases() -> None:
    text = "# no=1\n[client]\na=1\n[mysqld-5.7]\nb=1\n[mariadb-10.11]\nc=1\n; d=1\n"
    text += "[server ]\ne=1\n[ server]\ng=1\n[mysqld]x\nf=1"
    assert options(text) == [("c", "1"), ("e", "1"), ("f", "1")]


def test_includes_are_read_in_their_place() -> None:
    text = "[mysqld]\na=1\n!includedir /etc/mysql/conf.d/\na=4"
    found = options(text, conf_d="", **{"conf.d__2_cnf": "[mysqld]\na=3", "conf.d__10_cnf": "[mysqld]\na=2"})
    assert found == [("a", "1"), ("a", "2"), ("a", "3"), ("a", "4")]


def test_an_include_that_was_not_seen_is_told() -> None:
    assert my_cnf.written(seen(my_cnf="!include /srv/x.cnf"), MARIADB).unseen == ("/srv/x.cnf",)
    assert my_cnf.written(seen(my_cnf="!includedir /srv/my.d"), MARIADB).unseen == ("/srv/my.d",)


@pytest.mark.parametrize("text", ["a=1", "[mysqld\na=1", "!include /etc/mysql/my.cnf"])
def test_what_a_server_gives_up_at_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        options(text)


@given(st.lists(WORDS, max_size=8))
@settings(max_examples=60)
def test_any_text_is_read_or_unreadable(lines: list[str]) -> None:
    try:
        my_cnf.written(
            my_cnf.files(["stat 644 1 9 /etc/my.cnf", *(f"/etc/my.cnf:{n}:{x}" for n, x in enumerate(lines))]), None
        )
    except Unreadable:
        return
    my_cnf.files(lines)


@pytest.mark.parametrize(
    ("given_", "running", "expected"),
    [
        ("1", "ON", True),
        ("off", "OFF", True),
        (None, "OFF", False),
        ("/var/log/bin", "ON", True),
        ("64M", "67108864", True),
        ("2", "2.000000", True),
        ("64M", "67108865", False),
        ("2", "ALWAYS", None),
        ("/tmp/", "/tmp", True),
        ("slow.log", "/var/lib/mysql/slow.log", True),
        ("TLSv1.3,TLSv1.2", "TLSv1.2, TLSv1.3", True),
        ("utf8_general_ci", "utf8mb3_general_ci", True),
        ("", "", True),
        ("127.0.0.1", "*", False),
    ],
)
def test_a_running_value_is_compared_as_the_server_shows_it(
    given_: str | None, running: str, expected: bool | None
) -> None:
    assert my_cnf.same(given_, running) is expected


@given(st.lists(WORDS, min_size=1, max_size=5))
@settings(max_examples=60)
def test_the_clients_rows_come_back_as_they_were(row: list[str]) -> None:
    marks = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\0": "\\0"}
    line = "\t".join("".join(marks.get(mark, mark) for mark in word) for word in row)
    assert mysql_batch.rows([line]) == [tuple(row)]


@pytest.mark.parametrize(
    ("pattern", "schema", "expected"),
    [
        ("pandora", "pandora", True),
        ("pandora_db", "pandoraXdb", True),
        (r"pandora\_db", "pandoraXdb", False),
        (r"pandora\_%", "pandora_history", True),
        ("%", "mysql", True),
        ("pandora", "pandora2", False),
        ("%a%a%a%a%a%", "bbb", True),
        ("a.c", "abc", False),
    ],
)
def test_a_grants_pattern(pattern: str, schema: str, expected: bool) -> None:
    assert db_accounts._fits(pattern, schema) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.99.%", "10.99.0.0/16"),
        ("10.%.%.%", "10.0.0.0/8"),
        ("10.99.0.0/255.255.0.0", "10.99.0.0/16"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("fd00::1", "fd00::1/128"),
        ("console.lab", "None"),
        ("%", "None"),
    ],
)
def test_an_accounts_network(host: str, expected: str) -> None:
    assert str(db_accounts._network(host)) == expected


# --- what the host-side filters let through ---


def filtered(keep: str, text: str) -> list[str]:
    command = ["perl", "-n", "-e", keep] if keep.startswith(PERL) else ["sed", "-nE", keep]
    done = subprocess.run(
        command, input=text.encode(), capture_output=True, check=True, timeout=240, env={"LC_ALL": "C"}
    )
    return done.stdout.decode().splitlines()


SERVER = [
    ("dbpass Hunter-2-Hunter", ["secret:15:own:digit:lower:symbol:upper"]),
    ("dbpass Pandor4!  ", ["secret:8:published:digit:lower:symbol:upper"]),
    ("dbpass pandora\ndbpass x1", ["secret:7:published:lower", "secret:2:own:digit:lower"]),
    ("DBPass 1234", ["secret:4:published:digit"]),
    (" dbpass hunter2", []),
    ("dbpass  hunter2", []),
    ("dbpass=hunter2", []),
    ("#dbpass hunter2", []),
    ("dbpass ^hunter2", []),
    ("encryption_passphrase hunter2", []),
]


@pytest.mark.parametrize(("text", "expected"), SERVER)
def test_the_servers_password_stays(text: str, expected: list[str]) -> None:
    said = filtered(db_link.SERVER_CONF.keep, f"dbuser pandora\n{text}\n")
    assert said == ["dbuser pandora", *(f"dbpass {each}" for each in expected)]


CONSOLE = [
    ('$config["dbpass"]="Hunter-2";   // DB password', "secret:8:own:digit:lower:symbol:upper"),
    ("  $config [ 'dbpass' ] = 'pandora' ;", "secret:7:published:lower"),
    ('$config["dbname"]="pandora"; $config["dbpass"]="pandora";', "secret:7:published:lower"),
    (r"$config['dbpass'] = 'it\'s';", "secret:4:own:lower:symbol"),
    (r'$config["dbpass"] = "\\\$a";', "secret:3:own:lower:symbol"),
    ('// $config["dbpass"]="hunter2";', ""),
    ('/* $config["dbpass"]="hunter2"; */', ""),
    ('/*\n$config["dbpass"]="hunter2";\n*/', ""),
    ('$config["dbpass"] = getenv("hunter2");', None),
    ('$config["dbpass"] = "$hunter2";', None),
    ('$config["dbpass"]="a";\r', "secret:1:own:lower"),
    ('$config["encryption_passphrase"]="hunter2";', ""),
]


@pytest.mark.parametrize(("text", "expected"), CONSOLE)
def test_the_consoles_password_stays(text: str, expected: str | None) -> None:
    said = "\n".join(filtered(CONSOLE_CONFIG.keep, f"<?php\n$config['dbuser']='pandora';\n{text}\n"))
    found = config_php.read(said)
    assert found["dbuser"].text == "pandora"
    assert (found["dbpass"].text if "dbpass" in found else "") == expected
    assert "unter" not in said


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/etc/my.cnf:3:password = hunter2", "/etc/my.cnf:3:password =…"),
        ("/etc/my.cnf:3: loose-report-password=hunter2", "/etc/my.cnf:3: loose-report-password=…"),
        ("/etc/my.cnf:3:wsrep_sst_auth=root:hunter2", "/etc/my.cnf:3:wsrep_sst_auth=…"),
        ("/etc/my.cnf:3:# password hunter2", "/etc/my.cnf:3:"),
        ("/etc/my.cnf:3:validate_password.length=8", "/etc/my.cnf:3:validate_password.length=8"),
        ("/etc/my.cnf:3:port=3306", "/etc/my.cnf:3:port=3306"),
    ],
)
def test_passwords_and_comments_of_option_files_stay(line: str, expected: str) -> None:
    assert filtered(mysql._OPTIONS.keep, line + "\n") == [expected]


# --- the printed account ---


def test_the_command_line_prints_it() -> None:
    assert running.run("--database-account", "mysql", "audit").out.startswith(
        "-- The account of pandora-audit on mysql"
    )
    assert running.run("--database-account", "oracle", "audit").status == 4


@pytest.mark.parametrize("dialect", Dialect)
def test_the_printed_account_names_itself(dialect: Dialect) -> None:
    text = commands.database_account(dialect, "audit", "pandora")
    assert "'audit'@'localhost'" in text
    assert set(re.findall(rf"VIEW {database_views.SCHEMA}\.(\w+)", text)) == set(database_views.VIEWS[dialect])
    for name in ("au'dit", "", "a" * 33):
        with pytest.raises(ValueError, match="name"):
            commands.database_account(dialect, name, "pandora")


# What the account may not learn: who tries as it, and is refused or shown nothing.
SECRETS = (
    "SELECT authentication_string FROM mysql.user",
    "SELECT * FROM mysql.user",
    "SELECT password FROM pandora.tgrupo",
    "SELECT password FROM pandora.tusuario",
    "SELECT value FROM pandora.tconfig",
    "SELECT secret FROM pandora.tuser_double_auth",
    "SELECT LOAD_FILE('/etc/passwd') IS NOT NULL FROM pandora.tconfig",
    "SHOW CREATE VIEW pandora_audit.accounts",
    "CREATE TABLE pandora_audit.x (a INT)",
    "DROP VIEW pandora_audit.grants",
    "SET GLOBAL general_log = ON",
)


@pytest.mark.parametrize(
    ("image", "dialect", "more"),
    [
        ("database", Dialect.MARIADB, ("SELECT Priv FROM mysql.global_priv",)),
        ("database-trixie", Dialect.MARIADB, ("SELECT Priv FROM mysql.global_priv",)),
        ("database-mysql9", Dialect.MYSQL, ("SELECT User_attributes FROM mysql.user",)),
    ],
)
def test_the_printed_account_reads_its_views_and_no_secret(image: str, dialect: Dialect, more: tuple[str, ...]) -> None:
    lab.required()
    with lab.boot(image) as host:
        host.run(
            "for i in $(seq 300); do (mysqladmin ping || mariadb-admin ping) >/dev/null 2>&1 && break; sleep .1; done"
        )
        client = host.run("command -v mariadb || command -v mysql").stdout.strip()
        host.run(client, input=commands.database_account(dialect, "nosudo", "pandora"))
        host.run(client, input=commands.database_account(dialect, "nosudo", "pandora"))
        # The server's TLS is its own affair here; see --database-account of MariaDB.
        extra = "disable-ssl-verify-server-cert\n" if dialect is Dialect.MARIADB else ""
        host.write("/etc/audit.cnf", f"[client]\nuser=nosudo\n{extra}", mode=0o600, owner="nosudo")
        ask = f"setpriv --reuid=nosudo --regid=nosudo --init-groups {client} --defaults-file=/etc/audit.cnf --batch"
        said = host.run(ask, input=database_views.everything(None)).stdout
        hashes = host.run(f"{client} --batch -e 'SELECT authentication_string FROM mysql.user'").stdout.splitlines()[1:]
        assert len(hashes) > 2
        assert not [each for each in hashes if len(each) > 8 and each in said]
        for statement in (*SECRETS, *more):
            done = host.run(ask, input=f"{statement};", check=False)
            assert done.returncode != 0, statement
            assert re.search(r"denied|doesn't exist|You are not owner", done.stderr), done.stderr


TRAPS = """
[client]
user=x
[mysqld]
bind-address = 127.0.0.1 # as agreed
  loose-ssl_ca='/a b#c.pem'
sql-mode=""
skip-networking
init_connect="SET NAMES 'x'"
path = a\\\\sb\\\\\\\\c
[mysqld-5.7]
port=1
[mariadb-10.11]
port = 3307
!includedir /etc/mysql/traps.d/
[ server ]
not-of-this=1
"""


def test_the_same_is_read_as_by_the_products_own_program() -> None:
    lab.required()
    with lab.boot("database") as host:
        host.write("/etc/mysql/mariadb.cnf", TRAPS)
        for name in ("2.cnf", "10.cnf", "no.conf"):
            host.write(f"/etc/mysql/traps.d/{name}", f"[mariadb]\nport={name}\n")
        mine = my_cnf.written(my_cnf.files(host.run(mysql._OPTIONS.sh).stdout.splitlines()), MARIADB)
        said = host.run(f"my_print_defaults {' '.join(sorted(MARIADB))}").stdout.splitlines()
    theirs = [(option.name, option.value) for option in my_cnf.arguments(said, "")]
    assert [(option.name, option.value) for option in mine.options] == theirs
    assert ("port", "2.cnf") in theirs
