"""What carries an SSH connection: a TCP socket, a ProxyCommand's pipe, or a channel of a jump host."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Protocol

from pandora_audit.question import NotObserved
from pandora_audit.transport.base import bounded, printable
from pandora_audit.transport.ssh_config import Route

BEFORE_LOGIN = 1 << 18
"""Bytes that a host may send before the login; a real one needs a few thousand."""


class Stream(Protocol):
    """What paramiko needs of a socket."""

    def recv(self, count: int, /) -> bytes: ...
    def send(self, data: bytes, /) -> int: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def close(self) -> None: ...


class Carrier:
    """A stream that neither waits to send nor lets the other side wait, and bounds what strangers may say.

    Args:
        stream: the socket or channel; peer: what it is connected to, for reports.
    """

    def __init__(self, stream: Stream, peer: str) -> None:
        self.peer = peer
        self.allowance: int | None = BEFORE_LOGIN
        self._stream = stream
        self._closed = False  # paramiko's stop_thread looks for it, as in a socket
        self._tcp = stream if isinstance(stream, socket.socket) and stream.family != socket.AF_UNIX else None
        if self._tcp:
            # Without it every request waits 40 ms for the acknowledgement of the one before.
            self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, count: int) -> bytes:
        data = self._stream.recv(count)
        if self._tcp and sys.platform == "linux":
            # The kernel forgets it; sshd holds its answer back until we acknowledge what it said before.
            self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if self.allowance is not None:
            self.allowance -= len(data)
            if self.overrun:
                raise OSError(0, f"more than {BEFORE_LOGIN} bytes before the login")
        return data

    @property
    def overrun(self) -> bool:
        return self.allowance is not None and self.allowance < 0

    def send(self, data: bytes) -> int:
        return self._stream.send(data)

    def settimeout(self, seconds: float | None) -> None:
        self._stream.settimeout(seconds)

    def close(self) -> None:
        self._closed = True
        self._stream.close()


def tcp(route: Route, port: int, seconds: float) -> socket.socket:
    """A TCP connection to a host, trying each of its addresses.

    Raises NotObserved for a name without address, otherwise the OSError of the last address: TimeoutError,
    ConnectionRefusedError, …
    """
    until = time.monotonic() + seconds
    try:
        found = bounded(lambda: socket.getaddrinfo(route.hostname, port, route.family, socket.SOCK_STREAM), seconds)
    except TimeoutError:
        raise NotObserved(f"the name {route.hostname} was not resolved within {seconds:g} s") from None
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is not a host name"
        raise NotObserved(f"the name {route.hostname} cannot be resolved: {why}") from None
    last: OSError = TimeoutError()
    for number, (family, kind, protocol, _name, address) in enumerate(found):
        # A blackholed first address leaves time for the next.
        share = max(0.05, until - time.monotonic()) / (len(found) - number)
        try:
            return _connected(socket.socket(family, kind, protocol), address, route.bind_address, share)
        except OSError as error:
            last = error
    raise last


def _connected(sock: socket.socket, address: object, source: str, seconds: float) -> socket.socket:
    try:
        sock.settimeout(seconds)
        if source:
            sock.bind((source, 0))
        sock.connect(address)  # type: ignore[arg-type]  # as getaddrinfo made it for this family
    except OSError:
        sock.close()
        raise
    return sock


class ProxyCommand(Carrier):
    """The standard streams of a ProxyCommand, run by the shell in a process group of its own."""

    def __init__(self, command: str, peer: str) -> None:
        ours, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the process)
        with theirs:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._said,
                start_new_session=True,
            )
        super().__init__(ours, peer)

    def last_words(self) -> str:
        """The last line of its standard error; the process may be gone already."""
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 1000))
        return printable(self._said.read().decode(errors="replace").strip().rpartition("\n")[2])

    def close(self) -> None:
        if self._closed:
            return
        super().close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
