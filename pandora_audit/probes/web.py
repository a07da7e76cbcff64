"""Looking at a web server from the auditor's place: its pages, and its TLS as a browser sees it."""

from __future__ import annotations

import hashlib
import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

from pandora_audit.question import NotObserved, Probe, ProbeKind
from pandora_audit.transport import Connection
from pandora_audit.transport.base import SocketLike, bounded

T = TypeVar("T")

_MOST_BODY = 64 * 1024
_MOST_HEADER = 1000
_AT_ONCE = 16 * 1024
_SHOWN_OF_ERRORS = 2000
_OLD = {"TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1}
# What OpenSSL says where it is our own side that does not speak a protocol.
_OUR_LACK = ("NO_PROTOCOLS_AVAILABLE", "NO_CIPHERS_AVAILABLE", "INTERNAL_ERROR", "BAD_LENGTH")


def look(probe: Probe, connection: Connection) -> bytes:
    """What the port shows. Raises OSError (ConnectionRefusedError for a closed port) or NotObserved."""
    place = _Place(probe, connection)
    lines = [f"at {place.elsewhere or 'the machine'}"]
    try:
        lines += _handshakes(probe, place) if probe.kind is ProbeKind.TLS else _exchanges(probe, place)
    except ConnectionRefusedError:
        if place.is_unknown:
            raise NotObserved(f"the name {probe.host} cannot be resolved, and the machine itself refuses") from None
        raise
    return "\n".join(lines).encode("utf-8", "backslashreplace")


class _Place:
    """What a probe is about: the machine, or the place to which the promised name leads.

    Attributes:
        peer: the machine's address; empty where it has none.
        elsewhere: the address of that other place; empty where it is the machine that is asked.
        is_unknown: whether nobody knows the name, so that the machine is asked for want of another.
    """

    def __init__(self, probe: Probe, connection: Connection) -> None:
        self._probe = probe
        self._connection = connection
        self._until = time.monotonic() + 4 * probe.seconds
        self.peer = connection.wire.peer
        self.elsewhere, self.is_unknown = "", False
        if probe.host and self.peer and probe.host != self.peer:
            found = _addresses(probe.host, probe.seconds)
            self.is_unknown = not found
            if found and not {self.peer, *_addresses(self.peer, probe.seconds)}.intersection(found):
                self.elsewhere = found[0]

    def dial(self) -> SocketLike:
        if self.elsewhere:
            channel: SocketLike = socket.create_connection((self.elsewhere, self._probe.port), self._probe.seconds)
        else:
            channel = self._connection.dial(self._probe.port, self._probe.seconds)
        return _Bounded(channel, self._until, self._probe.seconds)

    def secured(self, context: ssl.SSLContext) -> _Tls:
        """A connection through TLS. Raises OSError, of which ssl.SSLError is one."""
        channel = self.dial()
        try:
            return _Tls(channel, context, self._probe.host)
        except BaseException:
            channel.close()
            raise


class _Bounded:
    """A channel that waits neither long for a byte nor, byte by byte, for ever."""

    def __init__(self, channel: SocketLike, until: float, seconds: float) -> None:
        self._channel, self._until, self._seconds = channel, until, seconds
        self.sendall, self.close, self.settimeout = channel.sendall, channel.close, channel.settimeout
        channel.settimeout(seconds)

    def recv(self, count: int) -> bytes:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("it takes too long")
        self._channel.settimeout(min(left, self._seconds))
        return self._channel.recv(count)


def _addresses(name: str, seconds: float) -> list[str]:
    try:
        found = bounded(lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM), seconds)
    except (OSError, UnicodeError):
        return []
    return [str(row[4][0]) for row in found]


# --- TLS ---


class _Tls:
    """TLS over whatever carries bytes: a socket, or a channel through a jump host."""

    def __init__(self, channel: SocketLike, context: ssl.SSLContext, name: str) -> None:
        self._channel = channel
        self._from, self._to = ssl.MemoryBIO(), ssl.MemoryBIO()
        # A name is needed where it is verified; elsewhere an address is none that a server could be asked for.
        shown = name if context.check_hostname or (name and not _is_address(name)) else None
        self.session = context.wrap_bio(self._from, self._to, server_hostname=shown)
        self._until_done(self.session.do_handshake)

    def _until_done(self, step: Callable[[], T]) -> T:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                received = self._channel.recv(_AT_ONCE)
                if received:
                    self._from.write(received)
                else:
                    self._from.write_eof()
            except ssl.SSLError:
                self._flush()
                raise
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if waiting := self._to.read():
            self._channel.sendall(waiting)

    def recv(self, count: int) -> bytes:
        try:
            return self._until_done(lambda: self.session.read(count))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def sendall(self, data: bytes) -> None:
        self._until_done(lambda: self.session.write(data))

    def settimeout(self, seconds: float | None) -> None:
        self._channel.settimeout(seconds)

    def close(self) -> None:
        self._channel.close()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _unverified(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A context that accepts every certificate, and of protocols anything, or only one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():  # that they are old is what is looked for
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version or ssl.TLSVersion.MINIMUM_SUPPORTED
        if version:
            context.maximum_version = version
    return context


def _handshakes(probe: Probe, place: _Place) -> Iterator[str]:
    """One line for the certificate, one for each protocol."""
    yield _certificate(probe, place)
    for name, version in _OLD.items():
        yield f"{name} {_speaks(place, version)}"


def _certificate(probe: Probe, place: _Place) -> str:
    """How a handshake of today ends: ``refused`` and why; or ``trusted``, the certificate's end, version, begin."""
    try:
        context = ssl.create_default_context(cafile=probe.ca or None)
    except OSError as error:
        raise NotObserved(f"the promised CA {probe.ca} cannot be read: {error.strerror or error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = bool(probe.host)
    try:
        channel = place.secured(context)
    except ssl.SSLCertVerificationError as error:
        return f"untrusted {error.verify_message}"
    except (ssl.SSLError, ConnectionResetError) as error:
        return f"refused {error}"
    try:
        certificate = channel.session.getpeercert() or {}
        begins, ends = (ssl.cert_time_to_seconds(str(certificate[each])) for each in ("notBefore", "notAfter"))
        return f"trusted {ends} {channel.session.version()} {begins}"
    finally:
        channel.close()


def _speaks(place: _Place, version: ssl.TLSVersion) -> str:
    """Whether a port speaks an old protocol: yes, no, or why that cannot be told from here."""
    try:
        place.secured(_unverified(version)).close()
    except ssl.SSLError as error:
        return f"unknown {error.reason}" if any(word in str(error) for word in _OUR_LACK) else "no"
    except (ConnectionResetError, BrokenPipeError):
        return "no"
    except OSError as error:
        return f"unknown {error}"
    return "yes"


# --- HTTP ---


class _Stream:
    """What http.client needs of a socket: as a real one, it is open as long as a file of it is."""

    def __init__(self, channel: SocketLike) -> None:
        self.channel = channel
        self.sendall = channel.sendall
        self._users = 1

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._users += 1
        return io.BufferedReader(_Raw(self))

    def close(self) -> None:
        self._users -= 1
        if self._users == 0:
            self.channel.close()


class _Raw(io.RawIOBase):
    """The bytes of a stream as a file."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.channel.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


class _Http(http.client.HTTPConnection):
    """A connection of the standard library over a channel of ours."""

    def __init__(self, name: str, probe: Probe, place: _Place) -> None:
        super().__init__(name, probe.port)
        self._place = place
        self._secure = probe.kind is ProbeKind.HTTPS
        self.default_port = 443 if self._secure else 80

    def connect(self) -> None:
        self.sock = _Stream(self._place.secured(_unverified()) if self._secure else self._place.dial())


def _exchanges(probe: Probe, place: _Place) -> Iterator[str]:
    """The requests and their answers, as ``formats.http`` reads them. Raises OSError if not even one was answered."""
    client = _Http(probe.host or place.peer or "localhost", probe, place)
    cookies: dict[str, str] = {}
    client.connect()
    try:
        for path in probe.paths:
            yield f"> {path}"
            try:
                yield from _exchange(client, path, cookies)
            except (OSError, http.client.HTTPException) as error:
                client.close()
                yield f"! {type(error).__name__}: {error}"
    finally:
        client.close()


def _exchange(client: _Http, path: str, cookies: dict[str, str]) -> Iterator[str]:
    sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
    client.request("GET", path, headers={"User-Agent": "pandora-audit", **sent})
    response = client.getresponse()
    yield f"< HTTP/1.1 {response.status}"
    for name, value in response.getheaders():
        if name.lower() == "set-cookie":
            cookie, _, flags = value.partition(";")
            key, _, secret = cookie.partition("=")
            cookies[key.strip()] = secret.strip()
            value = f"{key}=…;{flags}" if flags else f"{key}=…"
        yield f"< {name[:100]}: {' '.join(value[:_MOST_HEADER].split())}"
    body = response.read(_MOST_BODY)
    if not response.isclosed():  # longer than we want to hear
        response.close()
        client.close()
    listing = " listing" if re.search(rb"<title>\s*index of", body, re.I) else ""
    source = " source" if b"<?php" in body else ""
    yield f"= {len(body)} {hashlib.sha256(body).hexdigest()[:16]}{listing}{source}"
    if response.status >= 400:
        shown = body[:_SHOWN_OF_ERRORS].decode("utf-8", "backslashreplace")
        yield from (f"- {line}" for line in shown.split("\n"))
