"""The lab itself: hosts are real, apart from each other and from this machine, and gone after."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pytest

import lab

REPOSITORY = Path(__file__).parent.parent

# Boots hosts, says where they are, and keeps them until its input ends.
HOLDER = """
import sys, lab
for _ in range(int(sys.argv[1])):
    host = lab.boot()
    print(host.address, host.leader, flush=True)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def _needs_the_lab() -> None:
    lab.required()


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def host(request: pytest.FixtureRequest) -> Iterator[lab.Host]:
    with lab.boot(request.param) as booted:
        yield booted


def ssh(host: lab.Host, command: str, user: str = "audit") -> tuple[int, str]:
    """Log in with the key, run a command; its status and its output."""
    known = host.root.parent / "known_hosts"
    known.write_text(host.known_hosts)
    client = paramiko.SSHClient()
    client.load_host_keys(str(known))
    with client:
        client.connect(
            host.address, host.port, user, key_filename=str(host.key), look_for_keys=False, allow_agent=False
        )
        _, out, _ = client.exec_command(command, timeout=20)
        text = out.read().decode()
        return out.channel.recv_exit_status(), text


def runs(pid: int | str) -> bool:
    """Whether a process runs; what only waits to be reaped is dead (PID 1 may take a second for that)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def hold(count: int) -> tuple[subprocess.Popen[str], list[list[str]]]:
    """Another run of the lab, with so many hosts: the process, and (address, pid of PID 1) of each."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(count)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    return holder, [line.split() for line in iter(holder.stdout.readline, "\n") if line]


def test_where_the_lab_cannot_run_tests_skip_and_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "available", lambda: "No lab here.")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="No lab here"):
        lab.required()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="No lab here"):
        lab.required()


def test_a_host_is_a_running_debian_with_a_login(host: lab.Host) -> None:
    assert host.run("systemctl is-system-running").stdout.strip() == "running"
    assert ssh(host, "sudo -n id -u; hostname") == (0, f"0\n{host.name}\n")


@pytest.mark.parametrize(
    ("user", "status", "output"),
    [
        ("audit", 0, "0\n"),
        ("nosudo", 1, ""),
        ("pwsudo", 1, ""),
        ("least", 1, ""),
        ("fishy", 0, "0\n"),
        ("cshy", 0, "0\n"),
        ("bcshy", 0, "0\n"),
        ("nologin", 1, "This account is currently not available.\n"),
    ],
)
def test_the_users_have_their_shells_and_rights(host: lab.Host, user: str, status: int, output: str) -> None:
    assert ssh(host, "sudo -n id -u", user) == (status, output)


def test_the_noisy_user_is_noisy_and_the_password_of_pwsudo_works(host: lab.Host) -> None:
    status, output = ssh(host, "sudo -n id -u", "noisy")
    assert (status, output.splitlines()[-1], len(output.splitlines())) == (0, "0", 2)
    assert ssh(host, "echo lab-pw-sudo | sudo -S id -u", "pwsudo") == (0, "0\n")


def test_root_has_the_key_only_where_it_was_asked_for(host: lab.Host) -> None:
    with pytest.raises(paramiko.AuthenticationException):
        ssh(host, "id", "root")
    with lab.boot(mutations=[lab.with_root_key]) as other:
        assert ssh(other, "id -u", "root") == (0, "0\n")


def test_mutations_are_there_before_the_boot() -> None:
    def move_sshd(host: lab.Host) -> None:
        host.append("/etc/ssh/sshd_config", "Port 2222\n")
        host.write("/srv/below/file", "text", mode=0o640, owner="audit:sudo")
        host.port = 2222

    with lab.boot(mutations=["echo one > /srv/one", move_sshd, "rm /srv/one"], name="moved") as host:
        assert host.run("stat -c '%a %U:%G' /srv/below/file; cat /srv/below/file; ls /srv").stdout == (
            "640 audit:sudo\ntextbelow\n"
        )
        assert host.spec() == f"audit@{host.address}:2222"
        assert host.known_hosts.startswith(f"[{host.address}]:2222 ")
        assert ssh(host, "hostname") == (0, "moved\n")


def test_a_failing_mutation_leaves_no_host() -> None:
    made: list[lab.Host] = []
    with pytest.raises(lab.LabError, match="no such luck"):
        lab.boot(mutations=[made.append, "echo no such luck >&2; exit 3"])
    assert not made[0].root.exists()


def test_mutated_is_undone(host: lab.Host) -> None:
    with host.mutated("echo x > /etc/mutated", undo="rm /etc/mutated"):
        assert ssh(host, "cat /etc/mutated") == (0, "x\n")
    assert host.run("test -e /etc/mutated", check=False).returncode == 1
    # A mutation that stops halfway is undone as well.
    with (
        pytest.raises(lab.LabError),
        host.mutated("echo x > /etc/mutated; exit 1", undo="rm /etc/mutated"),
    ):
        pytest.fail("the block of a failed mutation must not run")
    assert host.run("test -e /etc/mutated", check=False).returncode == 1


def test_sshd_may_be_restarted_often(host: lab.Host) -> None:
    for _ in range(7):
        host.restart_sshd()
    assert ssh(host, "true") == (0, "")


def test_changed_files_tells_what_was_made_changed_and_removed(host: lab.Host) -> None:
    host.run("echo x > /srv/kept; echo x > /srv/gone")
    host.mark()
    host.run("mkdir /srv/new; touch /tmp/a /dev/shm/b /srv/kept; rm /srv/gone /etc/issue; chmod 600 /etc/motd")
    host.run("echo x > /etc/ssh/brief; rm /etc/ssh/brief")
    changed = {path for path in host.changed_files() if not path.startswith("/var/log/journal/")}
    expected = {"/srv/new", "/tmp/a", "/dev/shm/b", "/srv/kept", "/srv/gone", "/etc/issue", "/etc/motd"}
    assert changed == expected


def test_a_quiet_host_changes_nothing() -> None:
    with lab.boot() as host:
        time.sleep(1)
        assert {path for path in host.changed_files() if not path.startswith("/var/log/journal/")} == set()


def test_absolute_links_lead_nowhere_outside(host: lab.Host, tmp_path: Path) -> None:
    outside = tmp_path / "outside"

    def escape(host: lab.Host) -> None:
        host.run(f"ln -s {outside} /etc/escape; mkdir -p {tmp_path}")
        host.write("/etc/escape", "inside")
        host.append("/etc/escape", "!")
        assert host.run(f"cat {outside}").stdout == "inside!"
        assert not outside.exists()
        outside.write_text("mine")
        host.run(f"rm {outside}; ln -sfn {tmp_path} /etc/folder")
        host.remove("/etc/folder/outside")
        assert outside.read_text() == "mine"
        outside.unlink()

    escape(host)
    lab.boot(mutations=[escape]).destroy()


def test_nothing_leads_out_of_the_lab(host: lab.Host) -> None:
    assert "unreachable" in host.run("ip route get 192.0.2.1", check=False).stderr.lower()


def test_what_does_not_end_is_ended(host: lab.Host) -> None:
    with pytest.raises(lab.LabError, match="did not end within"):
        host.run("sleep 4242", timeout=0.3)
    assert host.run("ps -eo args").stdout.count("sleep 4242") == 0


def test_many_hosts_at_once_reach_each_other_and_are_gone_after() -> None:
    with ThreadPoolExecutor(4) as pool:
        hosts = list(pool.map(lambda _: lab.boot(), range(6)))
    first, *others = hosts
    for other in others:
        first.run(f"timeout 5 python3 -c 'import socket; socket.create_connection((\"{other.address}\", 22))'")
    leaders = [host.leader for host in hosts]
    for host in hosts:
        host.destroy()
        host.destroy()
    assert not any(host.root.exists() for host in hosts)
    assert not any(map(runs, leaders))


def test_two_runs_do_not_collide() -> None:
    both = [hold(2), hold(2)]
    assert len({address for _, hosts in both for address, _ in hosts}) == 4
    for holder, hosts in both:
        holder.communicate("", timeout=240)
        assert not any(runs(leader) for _, leader in hosts)


def test_the_next_boot_wipes_what_a_killed_run_left() -> None:
    holder, [(_, leader)] = hold(1)
    assert runs(leader)
    holder.kill()
    while runs(holder.pid):
        time.sleep(0.01)
    # Not reaped yet: a dead process that its parent did not look at is dead all the same.
    with lab.boot():
        assert not runs(leader)
    holder.communicate(timeout=240)


def test_a_line_that_delays_is_the_hosts_own_and_goes_with_it(host: lab.Host) -> None:
    with lab.boot(delay_ms=30) as far:
        assert ssh(far, "hostname") == (0, f"{far.name}\n")
        took = {each: min(connecting(each) for _ in range(5)) for each in (host, far)}
        line = int((far._lease.cgroup / "line" / "cgroup.procs").read_text())
    assert took[host] < 0.03
    assert 0.06 <= took[far] < 0.2
    assert not runs(line)


def connecting(host: lab.Host) -> float:
    """How long a connection takes: one way there and one back."""
    began = time.monotonic()
    socket.create_connection((host.address, host.port), timeout=5).close()
    return time.monotonic() - began
