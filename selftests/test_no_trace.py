"""An audit leaves a host as it was, but for what login and sudo write of every session."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from judging import ask, controls, plan

import lab
from pandora_audit import commands, script
from pandora_audit.question import Ask
from pandora_audit.target import Target
from pandora_audit.transport import Network, Options

CONTROLS = controls()
ACCOUNTS = {"audit": None, "root": None, "least": None, "nosudo": None, "pwsudo": "lab-pw-sudo"}

# What sshd, PAM, logind and sudo write when anybody logs in, or asks sudo for anything.
OF_THE_SESSION = re.compile(
    r"/var/log/(journal/.*|lastlog|wtmp|btmp|wtmp\.db|faillog|auth\.log|syslog)|/var/lib/lastlog/.*|/var/lib/wtmpdb/.*"
    r"|/var/lib/sudo/(lectured|ts)(/.*)?|/home/pwsudo/\.sudo_as_admin_successful"
    r"|/var/lib/systemd/linger.*|/var/lib/systemd/(timers|random-seed).*"
)


@pytest.fixture(scope="module", params=["bookworm", "trixie", "sid"])
def host(request: pytest.FixtureRequest) -> Iterator[lab.Host]:
    lab.required()
    try:
        made = lab.boot(request.param, [lab.with_root_key])
    except lab.Unavailable as gone:
        pytest.skip(str(gone))
    with made as booted:
        sudoers = commands.sudoers([plan(Target(name="x", address="x"), CONTROLS.values())], "least")
        booted.write("/etc/sudoers.d/least", sudoers, mode=0o440)
        yield booted


def processes(host: lab.Host) -> set[tuple[str, ...]]:
    """Every process but ours and those of systemd for the sessions, by its own name."""
    rows = [line.split(None, 2) for line in host.run("ps -e -ww -o pid=,user=,args=").stdout.splitlines()]
    ours = ("ps -e", "sh -c ps", "[", "/lib/systemd/", "/usr/lib/systemd/", "(sd-pam)")
    return {tuple(row) for row in rows if not row[2].startswith(ours)}


def traces(host: lab.Host) -> set[str]:
    """What changed, but for what any session writes. No question of ours writes, so that none has to say where."""
    return {path for path in host.changed_files() if not OF_THE_SESSION.fullmatch(path)}


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
    assert traces(host) == set()
    end = time.monotonic() + 10
    while (left := processes(host) - before) and time.monotonic() < end:
        time.sleep(0.2)  # sshd itself takes a moment to end the session
    assert left == set()
    owned = host.run(f"find / -xdev -user {account} -newer /root/.ssh/authorized_keys -type f", check=False).stdout
    assert set(owned.split()) - {f"/home/{account}/.sudo_as_admin_successful"} == set() or account == "root"


@pytest.mark.parametrize(
    ("path", "root"),
    [("/tmp/asked", False), ("/home/audit/.asked", False), ("/dev/shm/asked", False), ("/etc/asked", True)],
)
def test_a_question_that_writes_would_be_found(host: lab.Host, path: str, root: bool) -> None:
    known = host.root.parent / "known_hosts"
    known.write_text(host.known_hosts)
    host.mark()
    argv = ("touch", path)
    made = script.compose([Ask(key="writes", argv=argv, root=root)], marker="0" * 24, promised=())
    network = Network(Options(known_hosts=known, identity_file=host.key))
    connection = network.connect(Target(name=host.name, address=host.address, user="audit", port=host.port))
    done = connection.run(made.command, stdin=made.stdin, seconds=20)
    connection.close()
    network.close()
    assert script.parse(done.out, made)["writes"].succeeded().status == 0
    assert traces(host) == {path}
    host.remove(path)
