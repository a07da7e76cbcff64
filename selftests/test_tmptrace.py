"""An audit leaves a host as it was, but for what login and sudo write of every session."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from judging import ask, controls, plan

import lab
from pandora_audit import commands
from pandora_audit.target import Target
from pandora_audit.transport import Options

CONTROLS = controls("tests_ssh", "tests_system")
ACCOUNTS = {"audit": None, "root": None, "least": None, "nosudo": None, "pwsudo": "lab-pw-sudo"}

# What sshd, PAM, logind and sudo write when anybody logs in, or asks sudo for anything.
OF_THE_SESSION = re.compile(
    r"/var/log/(journal/.*|lastlog|wtmp|btmp|wtmp\.db|faillog|auth\.log|syslog)|/var/lib/lastlog/.*|/var/lib/wtmpdb/.*"
    r"|/var/lib/sudo/(lectured|ts)(/.*)?|/home/pwsudo/\.sudo_as_admin_successful"
    r"|/var/lib/systemd/linger.*|/var/lib/systemd/(timers|random-seed).*"
)


@pytest.fixture(scope="module", params=["trixie"])
def host(request: pytest.FixtureRequest) -> Iterator[lab.Host]:
    lab.required()
    with lab.boot(request.param, [lab.with_root_key]) as booted:
        sudoers = commands.sudoers([plan(Target(name="x", address="x"), CONTROLS.values())], "least")
        booted.write("/etc/sudoers.d/least", sudoers, mode=0o440)
        yield booted


def processes(host: lab.Host) -> set[tuple[str, ...]]:
    """Every process but ours and those of systemd for the sessions, by its own name."""
    rows = [line.split(None, 2) for line in host.run("ps -e -ww -o pid=,user=,args=").stdout.splitlines()]
    ours = ("ps -e", "sh -c ps", "[", "/lib/systemd/", "/usr/lib/systemd/", "(sd-pam)")
    return {tuple(row) for row in rows if not row[2].startswith(ours)}


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_audit_leaves_no_trace(host: lab.Host, account: str) -> None:
    known = host.root.parent / "known_hosts"
    known.write_text(host.known_hosts)
    before = processes(host)
    host.mark()
    target = Target(name=host.name, address=host.address, user=account, port=host.port)
    machine = ask(target, CONTROLS.values(), Options(known_hosts=known, identity_file=host.key), ACCOUNTS[account])
    assert not machine.silence
    assert any(not answer.silence for answer in machine.answers.values())
    assert {path for path in host.changed_files() if not OF_THE_SESSION.fullmatch(path)} == set()
    end = time.monotonic() + 10
    while (left := processes(host) - before) and time.monotonic() < end:
        time.sleep(0.2)  # sshd itself takes a moment to end the session
    assert left == set()
    owned = host.run(f"find / -xdev -user {account} -newer /root/.ssh/authorized_keys -type f", check=False).stdout
    assert set(owned.split()) - {f"/home/{account}/.sudo_as_admin_successful"} == set() or account == "root"
