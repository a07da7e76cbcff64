"""What the demonstration's administrators do: everywhere, they let the audit in as it asks to be let in; on the secured
hosts, they arrange, promise and attest what is the site's.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import images
from lab.host import Host
from lab.machine import GATEWAY, NETWORK
from lab.process import run

_ROOT = Path(__file__).parent.parent
_SCRIPTS = Path(__file__).parent / "roles" / "site"
_AUDITOR = GATEWAY.partition("/")[0]
_AT_ONCE = 4
# With what the audit asks the database, on the database's machine and on the server's.
OPTIONS = "/home/audit/pandora-audit.cnf"
_FROM_AFAR = """host=db01
password=lab-Only-Audit-2
ssl-ca=/usr/local/share/ca-certificates/lab.crt
ssl-verify-server-cert
"""
_ATTESTED = (
    (
        "console.audit-announced",
        "secured",
        "Everybody reads in the terms of use, before the first login, that the console records what they do.",
    ),
    (
        "tentacle.external-storage",
        "pandora01",
        "The machine's disk is an encrypted volume of the storage array, which only this machine may attach.",
    ),
)
_ACCEPTED = """\
- control: mysql.auth-plugin
  host: db01
  subject: pandora@{console}
  until: {until}
  requested_by: Ana Ruiz
  approved_by: Luka Novak
  reason: PHP's own driver does not know ed25519; the console enters from its own address only, through TLS.
"""
_BASELINES = "baselines"


def settle(folder: Path, hosts: list[Host], secured: Iterable[str]) -> None:
    """Do all of it on the hosts of the inventory in the folder; write what people sign beside it.

    Raises:
        LabError: a script fails, or a machine does not tell its baseline.
    """
    names = set(secured)
    sudoers = _pytest("--sudoers=audit", "--level=strict")
    database = _pytest("--database-account", "mariadb", "audit")
    key = folder / "aruiz"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "aruiz", "-f", key])
    server, console = (next(host.address for host in hosts if host.name == name) for name in ("pandora01", "console01"))

    def settled(host: Host) -> None:
        host.run(f"AUDITOR={_AUDITOR}\n{_script('account.sh')}")
        host.write("/etc/sudoers.d/audit", sudoers, mode=0o440)
        if host.name.startswith("db"):
            host.run("mysql", input=database)
            _options(host, "")
        if host.name in names:
            host.run(_script("archives.sh"))
            _secure(host, server, console)
            host.run(f"KEY='{key.with_suffix('.pub').read_text().strip()}'\n{_script('people.sh')}")
            host.restart_sshd()
        host.mark()

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(settled, hosts))
    with (folder / "inventory.yml").open("a") as inventory:
        inventory.write(
            _promises(_names(hosts, names), _names(hosts, {host.name for host in hosts} - names), key, console)
        )
    today = datetime.datetime.now(datetime.UTC).date()
    until = today + datetime.timedelta(365)
    (folder / "inventory.attestations.yml").write_text(_attestations(today, until))
    (folder / "inventory.exceptions.yml").write_text(_ACCEPTED.format(console=console, until=until))
    _accept(folder)


def _names(hosts: Iterable[Host], wanted: Container[str]) -> str:
    """Those of the hosts, as a group of the inventory writes them."""
    return ", ".join(f"{host.name}: " for host in hosts if host.name in wanted)


def _secure(host: Host, server: str, console: str) -> None:
    """What hangs on the role."""
    if host.name == "pandora01":
        _options(host, _FROM_AFAR)
    elif host.name == "console01":
        host.run(_script("console.sh"))
    elif host.name == "db01":
        statements = _script("database.sql").replace("SERVER", server).replace("CONSOLE", console)
        host.run("mysql pandora", input=statements)


def _options(host: Host, more: str) -> None:
    host.write(OPTIONS, f"[client]\nuser=audit\n{more}", mode=0o600, owner="audit")


def _script(name: str) -> str:
    return (_SCRIPTS / name).read_text("utf-8")


def _pytest(*options: str) -> str:
    """What the audit itself prints for administrators."""
    command = [sys.executable, "-m", "pytest", "-c", str(_ROOT / "pytest.ini"), f"--rootdir={_ROOT}", *options]
    return run([*command, *sorted(map(str, _ROOT.glob("tests_*")))], timeout=60).stdout


def _promises(secured: str, others: str, key: Path, console: str) -> str:
    """The end of the inventory: what this site decided for its secured hosts, and how the databases are asked."""
    fingerprints = [run(["ssh-keygen", "-lf", each]).stdout.split()[1] for each in (images.key_path(), key)]
    return f"""\
    secured:
      vars:
        audit_account: audit
        audit_named_users: [aruiz]
        audit_sudoers: [audit, "%sudo"]
        audit_user_keys: [{", ".join(fingerprints)}]
        audit_console_url: https://{console}/pandora_console/
        audit_ca: {images.tls() / "ca.pem"}
        audit_db_clients: [{NETWORK}]
        audit_console_administrators: [aruiz]
        audit_policy_editors: [aruiz]
        audit_uploaders: [aruiz]
        audit_agent_fields: [description, address, group]
        audit_agentless: []
        audit_availability: []
        audit_unprivileged: no
        audit_baseline: {_BASELINES}
      hosts: {{{secured}}}
    asked:
      vars: {{audit_db_options: {OPTIONS}}}
      hosts: {{pandora01: , db01: , db02: }}
    installed:
      vars: {{audit_account: audit}}
      hosts: {{{others}}}
"""


def _attestations(today: datetime.date, until: datetime.date) -> str:
    return "".join(
        f"- control: {control}\n  host: {host}\n  by: Ana Ruiz\n  on: {today}\n"
        f"  until: {until}\n  statement: {statement}\n  evidence: SEC-{number}\n"
        for number, (control, host, statement) in enumerate(_ATTESTED, 11)
    )


def _accept(folder: Path) -> None:
    """Approve the secured hosts as they are now: nobody but their administrators was there."""
    propose = [sys.executable, "-m", "pandora_audit.cli", "baseline", "propose", "--owner=Ana Ruiz", "--hosts=secured"]
    where = [f"--inventory={folder / 'inventory.yml'}", f"--known-hosts={folder / 'known_hosts'}"]
    run([*propose, *where, f"--into={folder / _BASELINES}"], timeout=120, env={**os.environ, "PYTHONPATH": str(_ROOT)})
    for baseline in (folder / _BASELINES).glob("*.yml"):
        baseline.write_text(baseline.read_text().replace("approved-by: ''", "approved-by: Luka Novak"))
