"""The default way into machines, against real sshds on the loopback: host keys, logins, streams and time."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest
import sshd as lab
from sshd import Sshd, keygen, public, sshd

from pandora_audit.question import NotObserved
from pandora_audit.target import Target
from pandora_audit.transport import Connection, Network, Options
from pandora_audit.transport.base import Person
from pandora_audit.transport.keys import PASSPHRASE, Keys
from pandora_audit.transport.openssh import OpenSSHConnection
from pandora_audit.transport.paramiko_ssh import ParamikoConnection
from pandora_audit.transport.ssh_config import Config

QUICK = {"connect_seconds": 10.0, "login_seconds": 20.0}


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """No agent and no passphrase of the person who runs the tests."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv(PASSPHRASE, raising=False)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lab.needed()
    return keygen(tmp_path_factory.mktemp("key") / "id")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd"), key, banner="Authorised only: ñ\n") as running:
        yield running


@pytest.fixture
def known(tmp_path: Path, server: Sshd) -> Path:
    path = tmp_path / "known_hosts"
    path.write_text(server.known)
    return path


def options(**more: object) -> Options:
    """Options that read nothing of the user's own."""
    given: dict[str, object] = {"ssh_config": Path("/dev/null"), "ask": lambda prompt: None, **QUICK, **more}
    return Options(**given)  # type: ignore[arg-type]


def target(port: int, name: str = "127.0.0.1", **more: object) -> Target:
    return Target(name=name, address=name, port=port, **more)  # type: ignore[arg-type]


@contextmanager
def entered(port: int, **more: object) -> Iterator[Connection]:
    network = Network(options(**more))
    connection = network.connect(target(port))
    try:
        yield connection
    finally:
        connection.close()
        network.close()


def refused(port: int, **more: object) -> str:
    """The sentence of a machine that is not entered."""
    with pytest.raises(NotObserved) as caught, entered(port, **more):
        pass
    assert len(caught.value.reason.splitlines()) == 1
    return caught.value.reason


# What the network shows, and the command


def test_a_command_and_what_the_wire_showed(server: Sshd, key: Path, known: Path) -> None:
    with entered(server.port, known_hosts=known, identity_file=key) as machine:
        done = machine.run("printf 'a\\377b'; echo err >&2; exit 7", seconds=10)
        wire = machine.wire
    assert (done.status, done.out, done.err, done.truncated) == (7, b"a\xffb", b"err\n", False)
    assert wire.software.startswith("SSH-2.0-OpenSSH")
    assert wire.banner == "Authorised only: ñ\n"
    assert (wire.port, wire.peer) == (server.port, "127.0.0.1")
    assert wire.host_key == "ssh-ed25519 " + lab.run("ssh-keygen", "-lf", str(server.host_key)).split()[1]


def test_input_is_given_and_ended(server: Sshd, key: Path, known: Path) -> None:
    much = os.urandom(3 << 20)
    with entered(server.port, known_hosts=known, identity_file=key) as machine:
        assert machine.run("cat", seconds=10).out == b""
        assert machine.run("cat", stdin=much, seconds=20).out == much
        assert machine.run("exec true", stdin=much, seconds=20).status == 0


def test_a_signal_is_no_status(server: Sshd, key: Path, known: Path) -> None:
    with entered(server.port, known_hosts=known, identity_file=key) as machine:
        assert machine.run("echo x; kill -9 $$", seconds=10).status is None


def test_five_megabytes_of_errors_do_not_block_the_output(server: Sshd, key: Path, known: Path) -> None:
    with entered(server.port, known_hosts=known, identity_file=key) as machine:
        done = machine.run("head -c 5000000 /dev/zero >&2; echo end", seconds=20)
    assert (len(done.err), done.out, done.truncated) == (5_000_000, b"end\n", False)


@pytest.mark.parametrize("stream", ["", " >&2"])
def test_a_flood_is_cut(server: Sshd, key: Path, known: Path, stream: str) -> None:
    with entered(server.port, known_hosts=known, identity_file=key) as machine:
        done = machine.run(f"yes{stream}", limit=100_000, seconds=10)
        assert (len(done.out) + len(done.err), done.truncated, done.status) == (100_000, True, None)
        assert machine.run("echo still here", seconds=10).out == b"still here\n"


def test_the_limit_itself_is_not_too_much(server: Sshd, key: Path, known: Path) -> None:
    with entered(server.port, known_hosts=known, identity_file=key) as machine:
        assert not machine.run("head -c 1000 /dev/zero", limit=1000, seconds=10).truncated


@pytest.mark.parametrize("command", ["echo part; sleep 60", "exec >&- 2>&-; sleep 60"])
def test_no_end_within_the_time(server: Sshd, key: Path, known: Path, command: str) -> None:
    with entered(server.port, known_hosts=known, identity_file=key) as machine:
        began = time.monotonic()
        with pytest.raises(NotObserved, match=r"no end of output within 0\.7 s"):
            machine.run(command, seconds=0.7)
        assert time.monotonic() - began < 1.5


def test_the_whole_stay_is_bounded(server: Sshd, key: Path, known: Path) -> None:
    with (
        entered(server.port, known_hosts=known, identity_file=key, machine_seconds=1.5) as machine,
        pytest.raises(NotObserved, match=r"no end of output within 1.*5 bytes of output"),
    ):
        machine.run("echo part; sleep 60", seconds=60)


def test_a_connection_lost_in_the_middle(server: Sshd, key: Path, known: Path) -> None:
    with entered(server.port, known_hosts=known, identity_file=key) as machine:
        with pytest.raises(NotObserved, match="lost before the end of output"):
            machine.run("echo part; sleep 0.2; kill -9 $PPID", seconds=10)
        with pytest.raises(NotObserved, match="did not run the command"):
            machine.run("true", seconds=10)


def test_looking_at_other_ports_from_outside(server: Sshd, key: Path, known: Path) -> None:
    with entered(server.port, known_hosts=known, identity_file=key) as machine:
        other = machine.dial(server.port, 3)
        assert other.recv(4) == b"SSH-"
        other.close()
        with pytest.raises(ConnectionRefusedError):
            machine.dial(lab.free_port(), 3)


def test_no_delay_and_quick_ack_are_set(server: Sshd, key: Path, known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, int]] = []
    receptions: list[int] = []
    real_set, real_recv = socket.socket.setsockopt, socket.socket.recv

    def spy(self: socket.socket, level: int, name: int, value: int) -> None:
        calls.append((level, name, value))
        real_set(self, level, name, value)

    def recv(self: socket.socket, count: int, *more: int) -> bytes:
        data = real_recv(self, count, *more)
        receptions.append(len(data))
        return data

    monkeypatch.setattr(socket.socket, "setsockopt", spy)
    monkeypatch.setattr(socket.socket, "recv", recv)
    with entered(server.port, known_hosts=known, identity_file=key) as machine:
        assert isinstance(machine, ParamikoConnection)
        stream = machine._transport.sock._stream
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        machine.run("true", seconds=10)
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in calls
    assert len(receptions) > 10
    assert calls.count((socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)) >= len(receptions) - 1


# Host keys


def test_a_stranger_is_sent_nothing(server: Sshd, key: Path, tmp_path: Path) -> None:
    before = server.log.count("Accepted")
    file = tmp_path / "none"
    reason = refused(server.port, known_hosts=file, identity_file=key)
    shown = lab.run("ssh-keygen", "-lf", str(server.host_key)).split()[1]
    assert "is not known" in reason
    assert f"ssh-ed25519 {shown}" in reason
    assert f"ssh-keyscan -t ed25519 -p {server.port} 127.0.0.1 >> {file}" in reason
    assert "console" in reason
    assert server.log.count("Accepted") == before
    assert not file.exists()


def test_the_line_that_the_sentence_names_helps(server: Sshd, key: Path, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    command = refused(server.port, known_hosts=file, identity_file=key).split("run: ")[1].split(";")[0]
    subprocess.run(command, shell=True, check=True, stderr=subprocess.DEVNULL)
    with entered(server.port, known_hosts=file, identity_file=key):
        pass


def test_a_changed_key(server: Sshd, key: Path, tmp_path: Path) -> None:
    other = keygen(tmp_path / "other")
    file = tmp_path / "known_hosts"
    file.write_text(f"# comment\n\n{server.name} {public(other)}\n")
    commands = server.commands
    for accept in (False, True):
        reason = refused(server.port, known_hosts=file, identity_file=key, accept_new_host_keys=accept)
        assert "CHANGED" in reason
        assert "out of band" in reason
        assert f"{file}:3" in reason
        for path in (other, server.host_key):
            assert lab.run("ssh-keygen", "-lf", str(path)).split()[1] in reason
    assert server.commands == commands


def test_a_revoked_key_counts_more_than_a_known_one(server: Sshd, key: Path, known: Path) -> None:
    known.write_text(server.known + f"@revoked * {public(server.host_key)}\n")
    for accept in (False, True):
        reason = refused(server.port, known_hosts=known, identity_file=key, accept_new_host_keys=accept)
        assert f"@revoked in {known}:2" in reason


def test_hashed_names(server: Sshd, key: Path, known: Path) -> None:
    lab.run("ssh-keygen", "-H", "-f", str(known))
    assert "127.0.0.1" not in known.read_text()
    with entered(server.port, known_hosts=known, identity_file=key):
        pass


@pytest.mark.parametrize(
    ("patterns", "trusted"),
    [
        ("*", True),
        ("[127.0.0.?]:*", True),
        ("other,[127.*]:*", True),
        ("*,![127.0.0.1]:*", True),  # by the name without port, as for ssh(1)
        ("*,!127.0.0.1,![127.0.0.1]:*", False),
        ("[127.0.0.1]:1", False),
        ("127.0.0.1", True),  # ssh(1) trusts the key of the same name's port 22
        ("[1]27.0.0.1", False),
    ],
)
@pytest.mark.parametrize("backend", ["paramiko", "ssh"])
def test_patterns(server: Sshd, key: Path, tmp_path: Path, patterns: str, trusted: bool, backend: str) -> None:
    """Both backends agree, so that ours reads the file as the OpenSSH client does."""
    file = tmp_path / "known_hosts"
    file.write_text(f"{patterns} {public(server.host_key)}\n")
    network = Network(options(known_hosts=file, identity_file=key))
    if trusted:
        network.connect(target(server.port, backend=backend)).close()
    else:
        with pytest.raises(NotObserved, match="is not known"):
            network.connect(target(server.port, backend=backend))
    network.close()


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_the_known_kind_of_key_is_asked_for(tmp_path: Path, key: Path, kind: str) -> None:
    file = tmp_path / "known_hosts"
    with sshd(tmp_path / "sshd", key, host_kinds=("ed25519", "ecdsa", "rsa")) as server:
        file.write_text(f"{server.name} {public(server.directory / f'host_{kind}')}\n")
        with entered(server.port, known_hosts=file, identity_file=key) as machine:
            assert kind in machine.wire.host_key


def test_a_new_key_is_written_down_when_wanted(server: Sshd, key: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "known_hosts"
    with entered(server.port, known_hosts=file, identity_file=key, accept_new_host_keys=True):
        pass
    assert file.read_text() == server.known
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    file.write_text("# no newline")
    with entered(server.port, known_hosts=file, identity_file=key, accept_new_host_keys=True):
        pass
    assert file.read_text() == "# no newline\n" + server.known
    with entered(server.port, known_hosts=file, identity_file=key):
        pass


def test_an_unreadable_known_hosts_file(server: Sshd, key: Path, tmp_path: Path) -> None:
    assert f"{tmp_path} cannot be read" in refused(server.port, known_hosts=tmp_path, identity_file=key)


def test_a_certified_host_is_left_to_the_client(tmp_path: Path, key: Path) -> None:
    authority, stranger = keygen(tmp_path / "ca"), keygen(tmp_path / "other_ca")
    host = keygen(tmp_path / "host")
    lab.run("ssh-keygen", "-q", "-s", str(authority), "-I", "x", "-h", "-n", "127.0.0.1", f"{host}.pub")
    file = tmp_path / "known_hosts"
    extra = [f"HostCertificate {host}-cert.pub"]
    with sshd(tmp_path / "sshd", key, host_key=host, extra=extra, banner="certified\n") as server:
        file.write_text(f"@cert-authority *,[127.*]:* {public(authority)}\n")
        with entered(server.port, known_hosts=file, identity_file=key) as machine:
            assert isinstance(machine, OpenSSHConnection)
            assert machine.run("echo in", seconds=10).out == b"in\n"
            assert machine.wire.banner == "certified\n"
        commands = server.commands
        file.write_text(f"@cert-authority *,[127.*]:* {public(stranger)}\n")
        reason = refused(server.port, known_hosts=file, identity_file=key)
        assert "is not known" in reason
        assert server.commands == commands


# Logins


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("form", ["RFC4716", "PEM"])
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
def test_kinds_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, form: str, passphrase: str) -> None:
    more = ["-m", form, *(["-b", "2048"] if kind == "rsa" else [])]
    mine = keygen(tmp_path / "mine", kind, passphrase, *more)
    route = Config(options(identity_file=mine)).route("h")
    keys, troubles = Keys(Person(lambda prompt: None)), []  # type: ignore[var-annotated]
    monkeypatch.setenv(PASSPHRASE, passphrase)
    found = list(keys.candidates(route, troubles, lab.nothing))
    assert [candidate.key.get_base64() for candidate in found] == [public(mine).split()[1]]
    assert not troubles
    again = list(keys.candidates(route, troubles, lab.nothing))
    assert again[0].key is found[0].key


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_other_kinds_of_keys_log_in(tmp_path: Path, kind: str) -> None:
    mine = keygen(tmp_path / "mine", kind)
    with sshd(tmp_path / "sshd", mine) as server:
        (tmp_path / "known").write_text(server.known)
        with entered(server.port, known_hosts=tmp_path / "known", identity_file=mine):
            pass


def test_a_passphrase_is_asked_for_once(tmp_path: Path) -> None:
    mine = keygen(tmp_path / "mine", "ed25519", "open sesame")
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return "open sesame"

    with sshd(tmp_path / "sshd", mine) as server:
        (tmp_path / "known").write_text(server.known)
        network = Network(options(known_hosts=tmp_path / "known", identity_file=mine, ask=ask))
        parallel(4, lambda _: network.connect(target(server.port)).close())
    assert prompts == [f"Passphrase for {mine}: "]


def test_the_wrong_passphrase(server: Sshd, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = keygen(tmp_path / "mine", "ed25519", "open sesame")
    reason = refused(server.port, known_hosts=known, identity_file=mine, ask=lambda prompt: "swordfish")
    assert f"{mine} stays closed: the passphrase does not open it" in reason
    reason = refused(server.port, known_hosts=known, identity_file=mine)
    assert f"{mine} is encrypted, {PASSPHRASE} is not set and nobody is there to ask" in reason
    monkeypatch.setenv(PASSPHRASE, "swordfish")
    reason = refused(server.port, known_hosts=known, identity_file=mine)
    assert f"{PASSPHRASE} does not open it" in reason
    assert "swordfish" not in reason


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("hello\n", "is not a private key"),
        ("", "is not a private key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "is not a private key"),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "stays closed"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "has an unknown form"),
    ],
)
def test_not_a_key(server: Sshd, known: Path, tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "file"
    file.write_text(content)
    reason = refused(server.port, known_hosts=known, identity_file=file)
    assert sentence in reason
    assert "tried no key" in reason
    assert "publickey" in reason


def test_a_key_that_may_not_be_read(key: Path) -> None:
    route = Config(options(identity_file=key)).route("h")
    troubles: list[str] = []
    mode = key.stat().st_mode
    key.chmod(0)
    was = os.geteuid()
    try:
        if was == 0:
            os.seteuid(65534)
        assert not list(Keys(Person(lambda prompt: None)).candidates(route, troubles, lab.nothing))
    finally:
        os.seteuid(was)
        key.chmod(mode)
    assert troubles == [f"the private key {key} cannot be read: Permission denied"]


def test_a_named_key_that_does_not_exist(server: Sshd, known: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused(server.port, known_hosts=known, identity_file=tmp_path / "none")


def test_a_refused_login_says_what_was_tried(server: Sshd, known: Path, tmp_path: Path) -> None:
    wrong = keygen(tmp_path / "wrong")
    with lab.relay(server.port) as middle:
        known.write_text(f"* {public(server.host_key)}\n")
        reason = refused(middle.port, known_hosts=known, identity_file=wrong)
        assert middle.connections == 1, "a refused login is not tried again"
    assert "refused the login as root; it still wants: publickey" in reason
    assert str(wrong) in reason
    assert lab.run("ssh-keygen", "-lf", str(wrong)).split()[1] in reason


def test_too_many_failures(tmp_path: Path, key: Path) -> None:
    wrong = [keygen(tmp_path / f"wrong{number}") for number in range(3)]
    config = tmp_path / "config"
    config.write_text("".join(f"IdentityFile {path}\n" for path in wrong))
    with sshd(tmp_path / "sshd", key, extra=["MaxAuthTries 2"]) as server:
        (tmp_path / "known").write_text(server.known)
        reason = refused(server.port, known_hosts=tmp_path / "known", ssh_config=config)
    assert "Too many authentication failures" in reason
    assert str(wrong[0]) in reason


@contextmanager
def agent(directory: Path, *keys: Path) -> Iterator[Path]:
    path = directory / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            time.sleep(0.01)
        for one in keys:
            subprocess.run(["ssh-add", "-q", str(one)], env={**os.environ, "SSH_AUTH_SOCK": str(path)}, check=True)
        yield path
    finally:
        process.terminate()
        process.wait()


def test_keys_of_an_agent(
    tmp_path: Path, server: Sshd, known: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, wrong = tmp_path / "config", keygen(tmp_path / "wrong")
    with agent(tmp_path, wrong, key) as path:
        config.write_text(f"IdentityFile {tmp_path}/none\nIdentityAgent {path}\n")
        with entered(server.port, known_hosts=known, ssh_config=config) as machine:
            assert machine.run("echo in", seconds=10).out == b"in\n"
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        config.write_text(f"IdentityFile {tmp_path}/none\n")
        with entered(server.port, known_hosts=known, ssh_config=config):
            pass
        config.write_text(f"IdentityFile {tmp_path}/none\nIdentityAgent none\n")
        assert "tried no key" in refused(server.port, known_hosts=known, ssh_config=config)
        config.write_text(f"IdentityFile {wrong}.pub\nIdentitiesOnly yes\n")
        reason = refused(server.port, known_hosts=known, ssh_config=config)
        assert reason.count("SHA256:") == 1
        config.write_text(f"IdentityFile {key}.pub\nIdentitiesOnly yes\n")
        with entered(server.port, known_hosts=known, ssh_config=config):
            pass


def test_an_encrypted_key_that_the_agent_holds_needs_no_passphrase(tmp_path: Path) -> None:
    mine = keygen(tmp_path / "mine")
    config = tmp_path / "config"
    with sshd(tmp_path / "sshd", mine) as server, agent(tmp_path, mine) as path:
        (tmp_path / "known").write_text(server.known)
        lab.run("ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(mine))
        config.write_text(f"IdentityFile {mine}\nIdentityAgent {path}\nIdentitiesOnly yes\n")
        with entered(server.port, known_hosts=tmp_path / "known", ssh_config=config, ask=pytest.fail):
            pass


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
@pytest.mark.parametrize("place", ["beside", "CertificateFile", "agent"])
def test_a_user_certificate(tmp_path: Path, kind: str, place: str) -> None:
    authority, mine = keygen(tmp_path / "ca"), keygen(tmp_path / "mine", kind)
    lab.run("ssh-keygen", "-q", "-s", str(authority), "-I", "x", "-n", "root", f"{mine}.pub")
    config = tmp_path / "config"
    config.write_text(f"IdentityFile {mine}\n")
    with sshd(tmp_path / "sshd", extra=[f"TrustedUserCAKeys {authority}.pub"]) as server:
        (tmp_path / "known").write_text(server.known)
        with agent(tmp_path, *([mine] if place == "agent" else [])) as path:
            if place == "CertificateFile":
                Path(f"{mine}-cert.pub").rename(tmp_path / "elsewhere")
                config.write_text(f"IdentityFile {mine}\nCertificateFile {tmp_path}/elsewhere\n")
            if place == "agent":
                config.write_text(f"IdentityFile {tmp_path}/none\nIdentityAgent {path}\n")
            with entered(server.port, known_hosts=tmp_path / "known", ssh_config=config) as machine:
                assert isinstance(machine, ParamikoConnection)


# A server of paramiko's, for what needs PAM with sshd


class Doorkeeper(paramiko.ServerInterface):
    """Wants a key and then a code."""

    def __init__(self, partial: bool) -> None:
        self._first = paramiko.AUTH_PARTIALLY_SUCCESSFUL if partial else paramiko.AUTH_FAILED
        self._partial = partial
        self._allowed = "publickey,keyboard-interactive"

    def get_allowed_auths(self, username: str) -> str:
        return self._allowed

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if self._partial:
            self._allowed = "keyboard-interactive"
        return self._first

    def check_auth_interactive(self, username: str, submethods: str) -> paramiko.server.InteractiveQuery:
        return paramiko.server.InteractiveQuery("", "", ("Code\x1b[31m:", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return paramiko.AUTH_SUCCESSFUL if responses == ["123456"] else paramiko.AUTH_FAILED


@contextmanager
def doorkeeper(tmp_path: Path, partial: bool = True) -> Iterator[lab.Listener]:
    host = paramiko.Ed25519Key.from_private_key_file(str(keygen(tmp_path / "door")))
    (tmp_path / "known").write_text(f"* {host.get_name()} {host.get_base64()}\n")

    def talk(stream: socket.socket) -> None:
        transport = paramiko.Transport(stream)
        transport.add_server_key(host)
        transport.start_server(server=Doorkeeper(partial))
        transport.join(20)

    with lab.listener(talk) as state:
        yield state


@pytest.mark.parametrize("partial", [True, False])
def test_a_one_time_code_is_asked_for_each_time(tmp_path: Path, key: Path, partial: bool) -> None:
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return "123456"

    with doorkeeper(tmp_path, partial) as door:
        network = Network(options(known_hosts=tmp_path / "known", identity_file=key, ask=ask))
        for _ in range(2):
            network.connect(target(door.port)).close()
    assert prompts == ["root@127.0.0.1: Code?[31m: "] * 2


def test_a_code_that_nobody_types(tmp_path: Path, key: Path) -> None:
    with doorkeeper(tmp_path) as door:
        reason = refused(door.port, known_hosts=tmp_path / "known", identity_file=key)
    assert "nobody is there to type it" in reason
    assert "it still wants: keyboard-interactive" in reason


def test_typing_slowly_is_not_the_machines_fault(tmp_path: Path, key: Path) -> None:
    def ask(prompt: str) -> str:
        time.sleep(1.5)
        return "123456"

    with (
        doorkeeper(tmp_path) as door,
        entered(door.port, known_hosts=tmp_path / "known", identity_file=key, ask=ask, login_seconds=1.0),
    ):
        pass


def parallel(count: int, work: Callable[[int], object]) -> list[object]:
    """The results or the errors of the same work in many threads at once."""
    results: list[object] = [None] * count

    def one(number: int) -> None:
        try:
            results[number] = work(number)
        except NotObserved as error:
            results[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
