"""Ways to machines: ssh configurations, jump hosts, proxies, bad networks; and the other backends."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sshd as lab
from sshd import Sshd, keygen, public, sshd
from test_transport import entered, options, parallel, refused, target

from pandora_audit.gather import _probe
from pandora_audit.question import NotObserved, Probe, ProbeKind
from pandora_audit.target import Target
from pandora_audit.transport import Connection, Network, carrier, ssh_config
from pandora_audit.transport.keys import PASSPHRASE


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No agent of the person who runs the tests; and no thread that stays, or keeps the program from ending."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv(PASSPHRASE, raising=False)
    yield
    time.sleep(0.01)
    for thread in threading.enumerate():
        assert thread.daemon or thread is threading.main_thread()
        assert not isinstance(thread, threading.Timer)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lab.needed()
    return keygen(tmp_path_factory.mktemp("key") / "id")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Iterator[list[Sshd]]:
    """Three machines: two to jump from and one to enter."""
    base = tmp_path_factory.mktemp("sshds")
    with sshd(base / "a", key) as a, sshd(base / "b", key) as b, sshd(base / "c", key) as c:
        yield [a, b, c]


@pytest.fixture
def config(tmp_path: Path, servers: list[Sshd], key: Path) -> Path:
    """An ssh configuration that knows the three machines by their names a, b and c."""
    (tmp_path / "known_hosts").write_text("".join(server.known for server in servers))
    lines = [f"IdentityFile {key}", f"UserKnownHostsFile {tmp_path}/known_hosts", "User root"]
    for name, server in zip("abc", servers, strict=True):
        lines += [f"Host {name}", "  HostName 127.0.0.1", f"  Port {server.port}"]
    path = tmp_path / "config"
    path.write_text("\n".join([*lines, "Host *", ""]))
    return path


@contextmanager
def by_config(config: Path, name: str, backend: str = "paramiko", **more: object) -> Iterator[Connection]:
    network = Network(options(ssh_config=config, **more))
    try:
        connection = network.connect(Target(name=name, address=name, backend=backend))
        yield connection
        connection.close()
    finally:
        network.close()


def refused_by_config(config: Path, name: str, backend: str = "paramiko", **more: object) -> str:
    with pytest.raises(NotObserved) as caught, by_config(config, name, backend, **more):
        pass
    return caught.value.reason


def tag(connection: Connection) -> bytes:
    return connection.run("echo in", seconds=10).out


# ssh configurations


def test_names_ports_keys_and_files_of_the_configuration(config: Path, servers: list[Sshd]) -> None:
    with by_config(config, "c") as machine:
        assert tag(machine) == b"in\n"
        assert machine.wire.port == servers[2].port


def test_match_include_and_tokens(config: Path, tmp_path: Path, key: Path, servers: list[Sshd]) -> None:
    (tmp_path / "127.0.0.1.key").symlink_to(key)
    (tmp_path / "more").write_text(
        f"Match originalhost included\n  HostName 127.0.0.1\n  Port {servers[2].port}\n"
        f"  IdentityFile {tmp_path}/%h.key\n  IdentityFile {tmp_path}/%h.missing\n"
    )
    other = tmp_path / "other"
    other.write_text(f"Include {tmp_path}/more\nUserKnownHostsFile {tmp_path}/known_hosts\nUser root\n")
    with by_config(other, "included") as machine:
        assert tag(machine) == b"in\n"


def test_what_the_target_says_wins(config: Path, tmp_path: Path, servers: list[Sshd], key: Path) -> None:
    network = Network(options(ssh_config=config))
    machine = Target(name="a", address="a", port=servers[2].port, user="nobody-here", identity_file=str(key))
    with pytest.raises(NotObserved, match="refused the login as nobody-here"):
        network.connect(machine)


def test_a_key_is_read_once_for_all_machines(config: Path, monkeypatch: pytest.MonkeyPatch, key: Path) -> None:
    reads: list[Path] = []
    real = Path.read_text

    def spy(self: Path, *args: object, **more: object) -> str:
        reads.append(self)
        return real(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", spy)
    network = Network(options(ssh_config=config))
    for name in "abc":
        network.connect(Target(name=name, address=name)).close()
    network.close()
    assert reads.count(key) == 1


def test_a_key_known_by_an_alias(config: Path, tmp_path: Path, servers: list[Sshd]) -> None:
    aliased = tmp_path / "aliased"
    aliased.write_text(f"HostKeyAlias gateway\n{config.read_text()}")
    reason = refused_by_config(aliased, "c")
    assert "is not known" in reason
    assert "run: ssh" in reason
    (tmp_path / "known_hosts").write_text(f"gateway {public(servers[2].host_key)}\n")
    with by_config(aliased, "c"):
        pass


def test_no_strictness_is_lost_by_configuration(config: Path, tmp_path: Path, servers: list[Sshd]) -> None:
    (tmp_path / "known_hosts").write_text("")
    lax = tmp_path / "lax"
    lax.write_text(f"StrictHostKeyChecking no\n{config.read_text()}")
    before = [server.commands for server in servers]
    for backend in ("paramiko", "ssh"):
        assert "is not known" in refused_by_config(lax, "c", backend)
    lax.write_text(f"StrictHostKeyChecking no\nHost c\n ProxyJump a\nHost *\n{config.read_text()}")
    (tmp_path / "known_hosts").write_text(servers[2].known)
    for backend in ("paramiko", "ssh"):
        assert "lets nobody through" in refused_by_config(lax, "c") or backend == "ssh"
        with pytest.raises(NotObserved), by_config(lax, "c", backend):
            pass
    assert [server.commands for server in servers] == before


def test_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("Nonsense yes\n")
    assert "cannot be followed" in refused_by_config(broken, "x")


def test_what_only_the_client_knows_is_left_to_it(config: Path, tmp_path: Path, servers: list[Sshd]) -> None:
    revoked = tmp_path / "revoked"
    revoked.write_text(public(servers[2].host_key) + "\n")
    config.write_text(f"RevokedHostKeys {revoked}\n{config.read_text()}")
    assert "revoked" in refused_by_config(config, "c").lower()
    with by_config(config, "b") as machine:
        assert tag(machine) == b"in\n"


def test_without_a_client(
    server_key: None, servers: list[Sshd], key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_config, "client", lambda: None)
    monkeypatch.setattr(ssh_config, "_SYSTEM_CONFIG", tmp_path / "none")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(servers[2].known)
    shutil.copy(key, tmp_path / ".ssh" / "id_ed25519")
    with entered(servers[2].port, ssh_config=None) as machine:
        assert tag(machine) == b"in\n"
    (tmp_path / ".ssh" / "config").write_text("")
    reason = refused(servers[2].port, ssh_config=None)
    assert reason == f"an OpenSSH client is needed to read {tmp_path}/.ssh/config"


@pytest.fixture
def server_key() -> None:
    """Nothing of the agent's in a run without client."""


# Jump hosts and proxies


def jumping(config: Path, way: str) -> Path:
    config.write_text(f"Host c\n  {way}\nHost *\n{config.read_text()}")
    return config


def test_a_chain_of_jump_hosts_is_entered_once(config: Path, servers: list[Sshd]) -> None:
    before = [server.connections for server in servers]
    network = Network(options(ssh_config=jumping(config, "ProxyJump a,b")))

    def enter(number: int) -> bytes:
        connection = network.connect(Target(name=str(number), address="c"))
        said = tag(connection)
        connection.close()
        return said

    assert parallel(8, enter) == [b"in\n"] * 8
    after = [server.connections for server in servers]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 8]
    network.close()


def test_ports_seen_from_the_jump_host(config: Path, servers: list[Sshd]) -> None:
    with by_config(jumping(config, f"ProxyJump root@127.0.0.1:{servers[0].port}"), "c") as machine:
        stream = machine.dial(servers[1].port, 3)
        assert stream.recv(4) == b"SSH-"
        stream.close()
        with pytest.raises(ConnectionRefusedError):
            machine.dial(lab.free_port(), 3)
        assert machine.wire.peer == "127.0.0.1"


def test_a_jump_host_that_does_not_lead_somewhere_says_nothing_of_it(
    config: Path, servers: list[Sshd], tmp_path: Path, key: Path
) -> None:
    """A port that nobody tried is neither closed nor filtered."""
    only = [f"PermitOpen 127.0.0.1:{servers[2].port}"]
    with sshd(tmp_path / "gate", key, extra=only) as gate:
        with (tmp_path / "known_hosts").open("a") as known:
            known.write(gate.known)
        with by_config(jumping(config, f"ProxyJump root@127.0.0.1:{gate.port}"), "c") as machine:
            with pytest.raises(NotObserved, match="does not lead to"):
                machine.dial(servers[1].port, 3)
            looked = _probe(Probe(key="p", kind=ProbeKind.PORT, port=servers[1].port), machine)
            assert (looked.status, looked.cause) == (None, None)
            assert "does not lead to" in looked.silence


def test_a_jump_host_that_fails_fails_for_all(config: Path, servers: list[Sshd], tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text(servers[2].known)
    before = servers[0].connections
    network = Network(options(ssh_config=jumping(config, "ProxyJump a")))
    reasons = parallel(8, lambda number: network.connect(Target(name=str(number), address="c")))
    for reason in reasons:
        assert "the jump host a lets nobody through: the host key of a port" in str(reason)
    assert servers[0].connections == before + 1


def test_a_target_that_the_jump_host_cannot_reach(config: Path) -> None:
    path = jumping(config, f"Port {lab.free_port()}\n  ProxyJump a")
    assert "from the jump host a: Connection refused" in refused_by_config(path, "c")


@pytest.mark.parametrize("way", ["ProxyJump c", "ProxyJump nowhere.invalid", "ProxyJump a:b:c"])
def test_jump_hosts_that_lead_nowhere(config: Path, way: str) -> None:
    reason = refused_by_config(jumping(config, way), "c")
    assert re.search("in a circle|cannot be resolved|cannot be followed", reason), reason


def test_no_jump_host(config: Path) -> None:
    with by_config(jumping(config, "ProxyJump none"), "c") as machine:
        assert tag(machine) == b"in\n"


def test_a_proxy_command(config: Path, tmp_path: Path) -> None:
    script = tmp_path / "proxy"
    script.write_text("#!/bin/sh\necho $$ > " + str(tmp_path / "pid") + '\nexec nc "$1" "$2"\n')
    script.chmod(0o755)
    if not shutil.which("nc"):
        script.write_text(script.read_text().replace("nc ", f"{shutil.which('python3')} {tmp_path}/nc.py "))
        (tmp_path / "nc.py").write_text(NC)
    with by_config(jumping(config, f"ProxyCommand {script} %h %p"), "c") as machine:
        assert tag(machine) == b"in\n"
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, 0)
        with pytest.raises(NotObserved, match="ProxyCommand"):
            machine.dial(1, 1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


NC = """
import socket, sys, threading
far = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while data := sys.stdin.buffer.raw.read(65536):
        far.sendall(data)
threading.Thread(target=up, daemon=True).start()
while data := far.recv(65536):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
"""


def test_a_proxy_command_that_fails(config: Path) -> None:
    reason = refused_by_config(jumping(config, "ProxyCommand echo no way >&2; exit 1"), "c")
    assert "no way" in reason
    began = time.monotonic()
    path = jumping(config, "ProxyCommand sleep 100")
    assert "within 1 s" in refused_by_config(path, "c", login_seconds=1.0)
    assert time.monotonic() - began < 4


# Bad networks


def silent(stream: socket.socket) -> None:
    while stream.recv(1000):
        pass


def dripping(stream: socket.socket) -> None:
    while True:
        stream.sendall(b"please wait\r\n")
        time.sleep(0.05)


def endless_line(stream: socket.socket) -> None:
    while True:
        stream.sendall(b"x" * 65536)


def version_then_silence(stream: socket.socket) -> None:
    stream.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
    silent(stream)


def flooding_exchange(stream: socket.socket) -> None:
    stream.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
    payload = b"\x02" + struct.pack(">I", 30000) + b"x" * 30000
    while True:
        stream.sendall(packet(payload))


@pytest.mark.parametrize(
    ("talk", "sentence"),
    [
        (silent, "did not finish the SSH version line within 1 s"),
        (dripping, "did not finish the SSH version line within 1 s"),
        (endless_line, "sent more than 262144 bytes before the login"),
        (version_then_silence, "did not finish the key exchange within 1 s"),
        (flooding_exchange, "sent more than 262144 bytes before the login"),
    ],
)
def test_hosts_that_waste_time(talk: object, sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with lab.listener(talk) as host:  # type: ignore[arg-type]
        reason = refused(host.port, login_seconds=1.0 if "within 1 s" in sentence else 10.0)
        assert host.connections == 1
    assert sentence in reason, reason
    assert time.monotonic() - began < 3
    assert capfd.readouterr() == ("", "")


def packet(payload: bytes) -> bytes:
    padding = 8 - (len(payload) + 5) % 8 + 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + b"\0" * padding


@pytest.mark.parametrize(
    "garbage",
    [
        random.Random(1).randbytes(4096),
        packet(b""),
        packet(b"\x14" + b"\xff" * 40),
        packet(b"\x14" + b"c" * 16 + struct.pack(">I", 4) + b"\xff\xfe,\xfd"),
        packet(b"\x14" + b"c" * 16 + struct.pack(">I", 1 << 31)),
        packet(b"\x01\0\0\0\x02" + struct.pack(">I", 2) + b"\xff\xfe"),
        packet(b"\xff" * 10),
        struct.pack(">IB", 0xFFFFFFF0, 4) + b"x" * 100,
        packet(b"\x63\0\0\0\0"),
    ],
    ids=lambda garbage: f"{len(garbage)}-{garbage[5:8].hex()}",
)
def test_malformed_messages(garbage: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    def talk(stream: socket.socket) -> None:
        stream.sendall(b"SSH-2.0-\xffx\x1b[31m\r\n" if garbage[:1] == b"\xff" else b"SSH-2.0-x\r\n")
        stream.sendall(garbage)
        silent(stream)

    with lab.listener(talk) as host:
        reason = refused(host.port, login_seconds=1.0)
    assert "broke before the login" in reason or "within 1 s" in reason or "share no algorithm" in reason, reason
    assert reason.isprintable()
    assert capfd.readouterr() == ("", "")


def test_a_host_that_hangs_up(capfd: pytest.CaptureFixture[str]) -> None:
    def hang_up(stream: socket.socket) -> None:
        stream.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
        stream.recv(10)

    with lab.listener(hang_up) as host:
        assert "broke before the login" in refused(host.port)
        assert host.connections == 2
    with lab.listener(lambda stream: stream.sendall(b"Not allowed at this time\r\n")) as host:
        assert "(twice)" in refused(host.port)
    with lab.listener(lambda stream: stream.sendall(b"SSH-1.5-old\r\n")) as host:
        assert "Incompatible version (1.5 instead of 2.0)" in refused(host.port)
        assert host.connections == 1
    assert capfd.readouterr() == ("", "")


def test_a_broken_connection_is_tried_again_once(servers: list[Sshd], key: Path, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"* {public(servers[2].host_key)}\n")
    with lab.relay(servers[2].port, resets=1) as middle:
        with entered(middle.port, known_hosts=known, identity_file=key) as machine:
            assert tag(machine) == b"in\n"
        assert middle.connections == 2
    with lab.relay(servers[2].port, resets=9) as middle:
        assert "twice" in refused(middle.port, known_hosts=known, identity_file=key)
        assert middle.connections == 2
    known.write_text(f"* {public(servers[1].host_key)}\n")
    with lab.relay(servers[2].port) as middle:
        assert "CHANGED" in refused(middle.port, known_hosts=known, identity_file=key)
        assert middle.connections == 1


def test_no_host_there(tmp_path: Path) -> None:
    assert "Connection refused" in refused(lab.free_port())
    network = Network(options(connect_seconds=2.0))
    for name in ("nonexistent.invalid", "a" * 70 + ".invalid"):
        with pytest.raises(NotObserved, match=rf"the name {name} cannot be resolved|within 2 s"):
            network.connect(target(22, name))


def test_a_resolver_without_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: time.sleep(5))
    began = time.monotonic()
    with pytest.raises(NotObserved, match=r"was not resolved within 0.3 s"):
        carrier.tcp(ssh_config.Config(options()).route("h"), 22, 0.3)
    assert time.monotonic() - began < 1


def test_a_host_that_speaks_old_algorithms_only(tmp_path: Path, key: Path) -> None:
    with sshd(tmp_path / "sshd", key, extra=["KexAlgorithms diffie-hellman-group14-sha1"]) as server:
        (tmp_path / "known").write_text(server.known)
        reason = refused(server.port, known_hosts=tmp_path / "known", identity_file=key)
    assert "no acceptable kex algorithm" in reason
    assert "it offers diffie-hellman-group14-sha1" in reason
    assert "ssh:// backend" in reason


# The OpenSSH client


def test_the_client_enters_once_and_runs_twice(config: Path, servers: list[Sshd]) -> None:
    before = servers[2].connections
    with by_config(config, "c", "ssh") as machine:
        done = machine.run("printf '\\377'; echo err >&2; exit 7", seconds=10)
        assert (done.status, done.out, done.err) == (7, b"\xff", b"err\n")
        assert machine.run("cat", stdin=b"given", seconds=10).out == b"given"
        assert machine.run("exit 255", seconds=10).status == 255
        assert machine.wire.host_key.startswith("ssh-ed25519 SHA256:")
        assert machine.wire.software.startswith("SSH-2.0-OpenSSH")
        assert (machine.wire.banner, machine.wire.peer) == ("", "127.0.0.1")
        assert machine.dial(servers[2].port, 3).recv(4) == b"SSH-"
    assert servers[2].connections == before + 2  # one of them is the look at the port


def test_the_client_is_bounded(config: Path) -> None:
    with by_config(config, "c", "ssh") as machine:
        assert len(machine.run("head -c 5000000 /dev/zero >&2; echo end", seconds=20).err) == 5_000_000
        assert machine.run("yes", limit=1000, seconds=10).truncated
        with pytest.raises(NotObserved, match=r"no end of output within 0\.7 s"):
            machine.run("sleep 60", seconds=0.7)
        with pytest.raises(NotObserved, match="lost before the end"):
            machine.run("echo part; kill -9 $PPID", seconds=10)


def test_the_client_by_jump_hosts(config: Path, servers: list[Sshd]) -> None:
    before = [server.connections for server in servers]
    with by_config(jumping(config, "ProxyJump a,b"), "c", "ssh") as machine:
        assert tag(machine) == b"in\n"
        assert machine.wire.banner is None
        with pytest.raises(NotObserved, match="cannot look from the jump host"):
            machine.dial(22, 1)
    after = [server.connections for server in servers]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]


def test_what_the_client_says_becomes_a_sentence(config: Path, tmp_path: Path, servers: list[Sshd]) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"{servers[2].name} {public(servers[1].host_key)}\n")
    assert "CHANGED: it shows ssh-ed25519 SHA256:" in refused_by_config(config, "c", "ssh")
    known.write_text(f"{servers[2].known}@revoked * {public(servers[2].host_key)}\n")
    assert "revoked" in refused_by_config(config, "c", "ssh")
    known.write_text("")
    assert "is not known" in refused_by_config(config, "c", "ssh")
    with by_config(config, "c", "ssh", accept_new_host_keys=True):
        pass
    assert public(servers[2].host_key) in known.read_text()
    config.write_text(f"User nobody-here\n{config.read_text()}")
    reason = refused_by_config(config, "c", "ssh")
    assert "refused the login as nobody-here; it still wants: publickey" in reason
    assert "cannot be resolved" in refused_by_config(config, "nonexistent.invalid", "ssh")
    path = jumping(config, f"Port {lab.free_port()}")
    assert "Connection refused" in refused_by_config(path, "c", "ssh")


def test_a_silent_host_and_the_client(tmp_path: Path) -> None:
    with lab.listener(silent) as host:
        network = Network(options(login_seconds=0.5, connect_seconds=0.5))
        with pytest.raises(NotObserved, match=r"within 1 s|timed out"):
            network.connect(target(host.port, backend="ssh"))
        network.close()


def test_the_client_leaves_nothing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="t") as short:  # pytest's own folders have names too long for a socket
        monkeypatch.setattr("tempfile.tempdir", short)
        with by_config(config, "c", "ssh") as machine:
            (own,) = Path(short).iterdir()
            assert own.stat().st_mode & 0o777 == 0o700
            assert tag(machine) == b"in\n"
        assert not list(Path(short).iterdir())


# This machine, and testinfra's others


def here(**more: object) -> Connection:
    return Network(options(**more)).connect(Target(name="here", address="", backend="local"))


def test_this_machine() -> None:
    machine = here()
    done = machine.run("printf 'a\\377'; echo err >&2; exit 7", seconds=5)
    assert (done.status, done.out, done.err, done.truncated) == (7, b"a\xff", b"err\n", False)
    much = os.urandom(3 << 20)
    assert machine.run("cat", stdin=much, seconds=10).out == much
    assert machine.run("true", stdin=much, seconds=10).status == 0
    assert machine.run("kill -9 $$", seconds=5).status is None
    assert len(machine.run("head -c 5000000 /dev/zero >&2", seconds=10).err) == 5_000_000
    assert machine.run("yes", limit=1000, seconds=10).out == b"y\n" * 500
    with pytest.raises(NotObserved, match="no outside place"):
        machine.dial(22, 1)


def test_this_machine_ends_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    with pytest.raises(NotObserved, match=r"no end of output within 0\.5 s"):
        here().run(f"sleep 60 & echo $! $$ > {pids}; wait", seconds=0.5)
    assert time.monotonic() - began < 2
    time.sleep(0.5)
    for pid in pids.read_text().split():
        assert not Path("/proc", pid).exists() or "Z" in Path("/proc", pid, "stat").read_text()


def test_a_container_by_testinfra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\n[ "$1 $2" = "exec web" ] || exit 125\nshift 2\nexec "$@"\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    network = Network(options())
    machine = network.connect(Target(name="web", address="web", backend="docker", spec="docker://web"))
    done = machine.run("printf '\\377%%s'; echo err >&2; exit 7", seconds=5)
    assert (done.status, done.out, done.err) == (7, b"\xff%s", b"err\n")
    assert machine.run("yes | head -c 100", limit=10, seconds=5).truncated
    assert machine.wire.banner is None
    with pytest.raises(NotObserved, match="cannot be given input"):
        machine.run("cat", stdin=b"x", seconds=5)
    with pytest.raises(NotObserved, match=r"no end of output within 0\.3 s"):
        machine.run("sleep 3", seconds=0.3)
    with pytest.raises(NotObserved, match="no outside place"):
        machine.dial(22, 1)
    with pytest.raises(NotObserved, match="testinfra has no way to nonsense://x"):
        network.connect(Target(name="x", address="x", backend="nonsense", spec="nonsense://x"))
