"""A throwaway sshd on the loopback, with keys and configuration of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")


def needed() -> None:
    """Skip visibly on a laptop without sshd; on CI its absence is a failure."""
    if SSHD and shutil.which("ssh-keygen"):
        return
    if os.environ.get("CI"):
        pytest.fail("sshd and ssh-keygen are needed on CI")
    pytest.skip("no sshd on this machine")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "", *more: str) -> Path:
    """A new private key at ``path``, its public part beside it."""
    needed()
    run("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path), *more)
    return path


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout


def public(path: Path) -> str:
    """Type and base64 text of a key's public part."""
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


@dataclass
class Sshd:
    """One server. ``log`` holds what it did, at DEBUG1; ``pid`` is its listener."""

    port: int
    directory: Path
    host_key: Path
    pid: int

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    @property
    def connections(self) -> int:
        return len(re.findall(r"^Connection from 127", self.log, re.MULTILINE))

    @property
    def commands(self) -> int:
        return len(re.findall(r"^Starting session: ", self.log, re.MULTILINE))

    @property
    def name(self) -> str:
        """As known_hosts names it."""
        return f"[127.0.0.1]:{self.port}"

    @property
    def known(self) -> str:
        return f"{self.name} {public(self.host_key)}\n"


@contextmanager
def sshd(
    directory: Path,
    *authorized: Path,
    banner: str = "",
    host_kinds: Sequence[str] = ("ed25519",),
    host_key: Path | None = None,
    extra: Sequence[str] = (),
) -> Iterator[Sshd]:
    """A running server that lets the current user in with any of the ``authorized`` private keys.

    Args:
        directory: an empty or new directory of its own; a server started there again has the same keys.
        banner: text to send before the login. extra: further lines of sshd_config, which come first and win.
    """
    needed()
    directory.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    keys = [host_key] if host_key else [_host_key(directory, kind) for kind in host_kinds]
    (directory / "authorized_keys").write_text("".join(public(key) + "\n" for key in authorized))
    (directory / "banner").write_text(banner)
    port = free_port()
    (directory / "config").write_text("\n".join([*extra, *_settings(directory, port, keys, bool(banner))]) + "\n")
    (directory / "log").write_text("")
    process = subprocess.Popen(
        [str(SSHD), "-D", "-f", str(directory / "config"), "-E", str(directory / "log")],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(port, process, directory / "log")
        yield Sshd(port, directory, keys[0], process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _host_key(directory: Path, kind: str) -> Path:
    path = directory / f"host_{kind}"
    return path if path.exists() else keygen(path, kind, "", *(["-b", "2048"] if kind == "rsa" else []))


def _settings(directory: Path, port: int, keys: Sequence[Path], banner: bool) -> list[str]:
    return [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        *(f"HostKey {key}" for key in keys),
        f"AuthorizedKeysFile {directory / 'authorized_keys'}",
        f"PidFile {directory / 'pid'}",
        f"Banner {directory / 'banner' if banner else 'none'}",
        "PermitRootLogin yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "StrictModes no",
        "MaxStartups 100",
        "LogLevel VERBOSE",
        "AllowTcpForwarding yes",
        "PrintMotd no",
        "PrintLastLog no",
    ]


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        if "Server listening" in log.read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"sshd did not listen on {port}: {log.read_text()}")


@contextmanager
def listener(talk: Callable[[socket.socket], None]) -> Iterator[Listener]:
    """A TCP server on the loopback that hands each connection to ``talk``, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        state = Listener(int(server.getsockname()[1]))

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                talk(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    state.connections += 1
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield state
        server.shutdown(socket.SHUT_RDWR)


@dataclass
class Listener:
    port: int
    connections: int = 0


@contextmanager
def relay(port: int, resets: int = 0) -> Iterator[Listener]:
    """A TCP relay to a loopback port that counts connections and resets the first ``resets`` of them."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def talk(near: socket.socket) -> None:
        if state.connections <= resets:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        with socket.create_connection(("127.0.0.1", port)) as far:
            threading.Thread(target=pump, args=(near, far), daemon=True).start()
            pump(far, near)

    with listener(talk) as state:
        yield state


@contextmanager
def nothing() -> Iterator[None]:
    """A clock that needs no stopping."""
    yield
