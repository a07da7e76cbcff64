"""The printed sudoers file on real hosts: what it allows, what it does not, and what a privileged answer may hold."""

from __future__ import annotations

import re
import shlex
import subprocess
from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import running
from judging import ask, controls, judge, plan

import lab
from pandora_audit import commands, script
from pandora_audit.gather import Machine
from pandora_audit.question import Ask
from pandora_audit.record import Recorder
from pandora_audit.target import Target
from pandora_audit.transport import Options

CONTROLS = controls("tests_ssh")
ANYWHERE = Target(name="x", address="x")
ASKS = [each for each in plan(ANYWHERE, CONTROLS.values()).questions if isinstance(each, Ask) and each.root]
PRINTED = commands.sudoers([plan(ANYWHERE, CONTROLS.values())], "least")
GRANTED = [command.split(" ") for each in ASKS for command in script.sudo_commands(each)]
GRANTED.append(script.LOOK.split(" "))
FIND = next(argv for argv in GRANTED if {"/home", "/home/"} & set(argv))
SSHD = next(argv for argv in GRANTED if "-T" in argv)


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def host(request: pytest.FixtureRequest) -> Iterator[lab.Host]:
    lab.required()
    with lab.boot(request.param) as booted:
        booted.write("/etc/sudoers.d/least", PRINTED, mode=0o440)
        yield booted


def as_least(host: lab.Host, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program that the account runs, with an environment of its own making."""
    known = {"HOME": "/home/least", "USER": "least", "PATH": "/usr/bin:/bin"} | environment
    words = ["setpriv", "--reuid=least", "--regid=least", "--init-groups", "env", "-i"]
    return host.run(shlex.join([*words, *(f"{key}={value}" for key, value in known.items()), *argv]), check=False)


# Each command's status, output and errors, a line each; they read nothing.
EACH = """
cd "$1"; at=$(mktemp -d)
each() {
    "$@" < /dev/null > $at/out 2> $at/err
    echo "$? $(base64 -w0 $at/out) $(base64 -w0 $at/err)"
}
"""


class Said(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def as_least_each(host: lab.Host, argvs: Iterable[Sequence[str]], folder: str = "/") -> list[Said]:
    """What sudo says of these commands of the account, all of them by one shell."""
    lines = [f"each sudo -n {shlex.join(argv)}" for argv in argvs]
    words = ["setpriv", "--reuid=least", "--regid=least", "--init-groups", "env", "-i", "HOME=/home/least"]
    words += ["USER=least", "PATH=/usr/bin:/bin", "sh", "-s", folder]
    said = host.run(shlex.join(words), input="\n".join([EACH, *lines, "rm -r $at", ""]), timeout=120).stdout
    rows = [line.split(" ") for line in said.splitlines()]
    assert len(rows) == len(lines)
    return [Said(int(rc), *(b64decode(text).decode(errors="replace") for text in texts)) for rc, *texts in rows]


def answered(host: lab.Host, user: str, password: str | None = None) -> Machine:
    """The host asked everything of the SSH chapter by one of its accounts."""
    known = host.root.parent / f"known-{user}"
    known.write_text(host.known_hosts)
    target = Target(name=host.name, address=host.address, user=user, port=host.port)
    return ask(target, CONTROLS.values(), Options(known_hosts=known, identity_file=host.key), password)


# --- what it allows ---


def test_visudo_accepts_it(host: lab.Host) -> None:
    assert "parsed OK" in host.run("visudo -cs -f -", input=PRINTED).stdout
    host.run("visudo -c")


def test_the_account_may_run_exactly_what_is_printed(host: lab.Host) -> None:
    listed = as_least(host, "sudo", "-n", "-l").stdout.replace("\\", "")
    assert re.findall(r"NOPASSWD: (.*)", listed) == sorted({" ".join(argv) for argv in GRANTED})
    said = as_least_each(host, [["-l", *argv] for argv in GRANTED])
    assert [argv for argv, done in zip(GRANTED, said, strict=True) if done.returncode] == []


def escapes() -> Iterator[tuple[str, list[str]]]:
    for argv in GRANTED:
        yield "an argument more", [*argv, "/etc/shadow"]
        yield "an empty argument more", [*argv, ""]
        yield "an argument less", argv[:-1]
        yield "without its limit", argv[4:]
        yield "as somebody else", ["-u", "nosudo", *argv]
        yield "as a group", ["-g", "shadow", *argv]
        yield "in another folder", ["-D", "/root", *argv]
        yield "with another root", ["-R", "/home/least", *argv]
        yield "all in one word", [" ".join(argv)]
        yield "a shell around it", ["-s", *argv]
        yield "a login shell around it", ["-i", *argv]
        yield "with the environment", ["-E", *argv]
        yield "with a library", ["LD_PRELOAD=/home/least/x.so", *argv]
        yield "with a PATH", ["PATH=/home/least/bin", *argv]
    yield "another order", [*FIND[:8], FIND[9], FIND[8], *FIND[10:]]
    yield "another folder", [*FIND[:8], "/etc", *FIND[9:]]
    yield "a pattern for a folder", [*FIND[:8], "/ro*", *FIND[9:]]
    yield "a way to the same folder", [*FIND[:8], "/root/../root", *FIND[9:]]
    yield "a line break", [*FIND[:8], "/root\n", *FIND[9:]]
    yield "a backslash", [*FIND[:8], "\\/root", *FIND[9:]]
    yield "find runs a shell", [*FIND[:-1], ";", "-exec", "sh", "-c", "id", ";"]
    yield "find runs only a shell", [*FIND[:10], "-exec", "sh", "-c", "id", ";"]
    yield "find removes", [*FIND[:12], "-delete"]
    yield "grep reads another file", [*FIND[:-2], "/etc/shadow", "+"]
    yield "grep takes words from a file", [*FIND[:-2], "-f", "/etc/shadow", *FIND[-2:]]
    yield "sshd reads another file", [*SSHD[:8], "-f", "/etc/shadow", *SSHD[8:]]
    yield "sshd for another user", [*SSHD[:-1], re.sub(r"user=\w+", "user=root", SSHD[-1])]
    yield "sshd with a comma more", [*SSHD[:-1], SSHD[-1] + ",user=root"]
    yield "sshd with an option", [*SSHD, "-o", "Banner=/etc/shadow"]
    yield "another limit", [*SSHD[:3], "99", *SSHD[4:]]
    yield "another signal", [*SSHD[:2], "TERM", *SSHD[3:]]
    yield "timeout of a shell", ["/usr/bin/timeout", "-s", "KILL", "10", "/bin/sh"]
    yield "a shell", ["-s"]
    yield "a login shell", ["-i"]
    yield "an editor", ["-e", "/etc/shadow"]
    yield "anything", ["/usr/bin/id"]


@pytest.mark.parametrize("name", sorted({name for name, _ in escapes()}))
def test_nothing_else_is_allowed(host: lab.Host, name: str) -> None:
    argvs = [argv for each, argv in escapes() if each == name]
    for argv, done in zip(argvs, as_least_each(host, argvs), strict=True):
        assert done.returncode != 0, argv
        assert done.stdout == "", argv
        assert re.search(r"password is required|not allowed|may not|not permitted|usage:", done.stderr), done.stderr


def joined() -> Iterator[list[str]]:
    """The same commands for sudo, which compares words joined by blanks; other arguments for the program."""
    for argv in GRANTED:
        for at in range(1, len(argv) - 1):
            yield [*argv[:at], " ".join(argv[at : at + 2]), *argv[at + 2 :]]
            yield [*argv[:at], " ".join(argv[at:])]


def test_words_joined_otherwise_show_nothing(host: lab.Host) -> None:
    words = sorted({word for argv in GRANTED for word in argv[8:] if word[0] not in "-/{+"})
    host.run(
        "mkdir -p /srv/play/private; chmod 700 /srv/play/private; cat > /srv/play/private/s", input=" ".join(words)
    )
    host.run("cd /srv/play; " + "; ".join(f"ln -s private/s {shlex.quote(word)}" for word in words))
    argvs = list(joined())
    said = as_least_each(host, argvs, "/srv/play")
    shown = [argv for argv, done in zip(argvs, said, strict=True) if re.search(f"{words[0]}|private", done.stdout)]
    assert shown == []


def test_sudoedit_edits_nothing(host: lab.Host) -> None:
    assert as_least(host, "sudoedit", "-n", "/etc/shadow", EDITOR="/bin/cat").returncode != 0


@pytest.mark.parametrize("secure_path", [True, False])
def test_the_accounts_environment_does_not_reach_what_runs_as_root(host: lab.Host, secure_path: bool) -> None:
    host.run("cp -p /etc/sudoers /root/sudoers.kept")
    if not secure_path:
        host.run("sed -i /secure_path/d /etc/sudoers && visudo -c")
    host.run(
        "mkdir -p /home/least/bin; for name in grep stat find timeout; do "
        "printf '#!/bin/sh\\nid >> /root/owned\\n' > /home/least/bin/$name; done; chmod -R 755 /home/least/bin"
    )
    mine = {
        "PATH": "/home/least/bin:/usr/bin:/bin",
        "LD_PRELOAD": "/home/least/x.so",
        "GREP_OPTIONS": "-f/etc/shadow",
        "GREP_COLORS": "mt=1",
        "POSIXLY_CORRECT": "1",
        "SUDO_ASKPASS": "/home/least/bin/grep",
        "BASH_FUNC_grep%%": "() { id; }",
    }
    for argv in GRANTED:
        done = as_least(host, "sudo", "-n", *argv, **mine)
        assert "password is required" not in done.stderr
        assert done.stderr == as_least(host, "sudo", "-n", *argv).stderr
    host.run("mv /root/sudoers.kept /etc/sudoers; test ! -e /root/owned")


# --- what its answers hold ---

SECRET = "hunter2"
LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILEs8V7VjhZFVnbKroKMAT/e42RFs9kxYsx2lsmWflVC"
PLANTED = {
    "a password's hash": "usermod -p '$6$SECRET' nosudo",
    "root's private key": "mkdir -p /root/.ssh; printf -- '-----BEGIN PRIVATE KEY-----\\nSECRET\\n' > /root/.ssh/id",
    "root's PuTTY key": "mkdir -p /root/.ssh; echo 'PuTTY-User-Key-File-3: ssh-rsa SECRET' > /root/.ssh/id.ppk",
    "a host key": "cp /etc/ssh/ssh_host_rsa_key /root/kept; echo SECRET port >> /etc/ssh/ssh_host_rsa_key",
    "a variable of a key": f"echo 'environment=\"TOKEN=SECRET\" {LINE}' >> /home/nosudo/.ssh/authorized_keys",
    "a comment of sshd": "echo '# PASSWORD SECRET' >> /etc/ssh/sshd_config",
    "a password of SSSD": "mkdir -p /etc/sssd; printf 'id_provider = ldap\\nldap_default_authtok = SECRET\\n' "
    "> /etc/sssd/sssd.conf",
    "the journal": "logger SECRET",
    "root's history": "echo 'sshpass -p SECRET ssh-copy-id host' > /root/.bash_history",
    "a variable in capitals": f"echo 'Environment=\"TOKEN=SECRET\" {LINE}' >> /home/nosudo/.ssh/authorized_keys",
    "a variable with quotes": f'echo \'environment="A=\\"SECRET" {LINE}\' >> /home/nosudo/.ssh/authorized_keys',
    "a forced command": f"echo 'command=\"mysql -pSECRET\" {LINE}' >> /home/nosudo/.ssh/authorized_keys",
    "a comment of sshd on a port": "echo '# Port 22, password SECRET' >> /etc/ssh/sshd_config",
}


def secret(name: str) -> str:
    return f"{SECRET}{sorted(PLANTED).index(name):02}"


@pytest.fixture(scope="module")
def came_home(host: lab.Host, tmp_path_factory: pytest.TempPathFactory) -> str:
    """All that two accounts were told on a host full of secrets, and what was recorded of it."""
    for name, shell in PLANTED.items():
        host.run(shell.replace("SECRET", secret(name)))
    machines = [answered(host, user) for user in ("audit", "least")]
    host.run("cp /root/kept /etc/ssh/ssh_host_rsa_key")
    answers = [answer for machine in machines for answer in machine.answers.values()]
    assert not any(machine.silence for machine in machines)
    assert not any(
        machine.answers[each.key].silence for machine in machines for each in ASKS if each.key != "sssd-access"
    )
    records = tmp_path_factory.mktemp("records")
    for number, machine in enumerate(machines):
        Recorder(records / str(number)).write(machine, judge(machine, CONTROLS, "strict").values())
    heard = [(answer.out + b"\n" + answer.err).decode(errors="replace") + answer.silence for answer in answers]
    return "\n".join([*heard, *(path.read_text("utf-8") for path in records.rglob("*.jsonl"))])


@pytest.mark.parametrize("name", PLANTED)
def test_no_secret_comes_home(came_home: str, name: str) -> None:
    assert secret(name) not in came_home


LINKED = {
    "/root/.bash_history": "echo 'sshpass -p SECRET ssh-copy-id host' > /root/.bash_history",
    "/root/.ssh/id.ppk": "mkdir -p /root/.ssh; echo 'PuTTY-User-Key-File-3: ssh-rsa SECRET' > /root/.ssh/id.ppk",
    "/etc/shadow": "usermod -p '$6$ssh-SECRET' nosudo",
}


@pytest.mark.parametrize("kind", ["ln -s", "ln", "ln -s folder"])
@pytest.mark.parametrize("file", LINKED)
def test_a_link_of_the_account_shows_nothing_of_others(host: lab.Host, kind: str, file: str) -> None:
    host.run(LINKED[file].replace("SECRET", "hunter2xx"))
    made = {
        "ln -s": f"mkdir -p ~/.ssh; ln -s {file} ~/.ssh/authorized_keys2",
        "ln": f"mkdir -p ~/.ssh; ln {file} ~/.ssh/authorized_keys2",
        "ln -s folder": f"mkdir ~/a; ln -s {file.rpartition('/')[0]} ~/a/.ssh; ln -s {file.rpartition('/')[0]} ~/b",
    }[kind]
    as_least(host, "sh", "-c", made)
    try:
        said = "".join(done.stdout for done in as_least_each(host, GRANTED))
    finally:
        host.run("rm -rf /home/least/.ssh/authorized_keys2 /home/least/a /home/least/b")
    assert "/home/least/.ssh/authorized_keys:" in said.replace("\0", ":")
    assert "hunter2xx" not in said


FLIP = """
cd /home/least
for i in $(seq 400); do mkdir -p d$i/.ssh; : > d$i/.ssh/authorized_keys; done
(
    until [ -e stop ]; do
        for i in $(seq 400); do ln -sf /root/secret d$i/.ssh/authorized_keys; done
        for i in $(seq 400); do rm -f d$i/.ssh/authorized_keys; : > d$i/.ssh/authorized_keys; done
    done
) > /dev/null 2>&1 &
"""


def test_a_file_that_becomes_a_link_in_time_shows_nothing_of_others(host: lab.Host) -> None:
    host.run("echo 'ssh-AAAA ecdsa- AAAA hunter2yy' > /root/secret; chmod 600 /root/secret")
    as_least(host, "sh", "-c", FLIP)
    try:
        said = "".join(done.stdout for done in as_least_each(host, [FIND] * 60))
    finally:
        host.run("touch /home/least/stop; sleep 1; rm -rf /home/least/d* /home/least/stop /root/secret")
    assert "/home/audit/.ssh/authorized_keys" in said
    assert "hunter2yy" not in said


# --- for places of the machine's own ---

ELSEWHERE = """
mkdir -m 700 -p /srv/keys; echo 'AuthorizedKeysFile .ssh/authorized_keys /srv/keys/%u' > /etc/ssh/sshd_config.d/00.conf
ssh-keygen -q -t ed25519 -N '' -f /root/new; mv /root/new.pub /srv/keys/root; rm /root/new; systemctl reload ssh
"""
ONCE_MORE = "rm -r /srv/keys /etc/ssh/sshd_config.d/00.conf; systemctl reload ssh"


def test_a_record_prints_the_lines_for_places_that_the_machine_names(host: lab.Host, tmp_path: Path) -> None:
    known_hosts, record = tmp_path / "known_hosts", tmp_path / "record"
    known_hosts.write_text(host.known_hosts)
    options = (f"--known-hosts={known_hosts}", f"--ssh-identity-file={host.key}", f"--record={record}")
    asked = ("tests_ssh", f"--hosts=least@{host.address}:{host.port}", "--level=hardened", *options)
    with host.mutated(ELSEWHERE, undo=ONCE_MORE):
        before = running.run(*asked)
        assert "; --sudoers prints the line for it, from a record of this machine" in before.out
        printed = running.run("tests_ssh", "--level=strict", "--sudoers=least", f"--hosts=replay://{record}")
        assert "look at each before you install it" in printed.out
        with host.mutated("cp -p /etc/sudoers.d/least /root/printed", undo="mv /root/printed /etc/sudoers.d/least"):
            host.write("/etc/sudoers.d/least", printed.out, mode=0o440)
            after = running.run(*asked)
    assert "only root may run" not in after.out
    assert "/srv/keys/root" in after.out


# --- what its use leaves in the log ---


def said_by_sudo(host: lab.Host) -> list[str]:
    """What sudo has written to the journal since the last call."""
    host.run("journalctl --sync")
    done = host.run("journalctl -t sudo -o cat --cursor-file=/root/cursor", check=False)
    return done.stdout.splitlines()


ACCOUNTS = {"audit": None, "least": None, "nosudo": None, "pwsudo": None, "pwsudo with a password": "lab-pw-sudo"}


@pytest.mark.parametrize("account", ACCOUNTS)
def test_sudo_is_asked_once_and_never_for_what_it_denies(host: lab.Host, account: str) -> None:
    said_by_sudo(host)
    machine = answered(host, account.split()[0], ACCOUNTS[account])
    assert not machine.silence
    log = said_by_sudo(host)
    runs = [line for line in log if "COMMAND=/" in line]
    asked = [answer for key, answer in machine.answers.items() if not answer.silence and _is_root(key)]
    assert len(runs) == len(asked) == (len(ASKS) if account in ("audit", "least") or "with" in account else 0)
    refused = [line for line in log if re.search("password is required|incorrect pass|not allowed|NOT in sudo", line)]
    assert not set(runs) & set(refused)
    assert len(refused) <= (0 if account in ("audit", "least") else machine.commands)
    assert all("COMMAND=list" in line for line in refused)


def _is_root(key: str) -> bool:
    return key in {each.key for each in ASKS} or key.startswith(("sshd-config@", "sshd-lines@", "sshd-times@"))


def test_a_wrong_password_is_tried_once(host: lab.Host) -> None:
    said_by_sudo(host)
    machine = answered(host, "pwsudo", "not-the-password")
    log = said_by_sudo(host)
    assert len([line for line in log if "authentication failure" in line]) == 1
    assert not [line for line in log if "COMMAND=/" in line]
    assert all("incorrect password" in machine.answers[each.key].silence for each in ASKS)


def test_the_password_is_nowhere(host: lab.Host) -> None:
    host.run(
        "rm -f /root/stop /root/sampled; setsid sh -c 'until [ -e /root/stop ]; do ps axwwe; cat /proc/[0-9]*/environ; "
        "done > /root/sampled 2>/dev/null' > /dev/null 2>&1 < /dev/null &"
    )
    machine = answered(host, "pwsudo", "lab-pw-sudo")
    host.run("touch /root/stop")
    assert not machine.answers[ASKS[0].key].silence
    sampled = host.run("tr '\\0' '\\n' < /root/sampled").stdout
    assert "sudo -k -S" in sampled
    assert "lab-pw-sudo" not in sampled
    assert "lab-pw-sudo" not in host.run("journalctl -o export").stdout
    assert (
        host.run("grep -rIl lab-pw-sudo /var /run /tmp /home /root", check=False).stdout.replace("/root/sampled\n", "")
        == ""
    )
    everything = "".join(repr((answer.out, answer.err, answer.silence)) for answer in machine.answers.values())
    assert "lab-pw-sudo" not in everything
