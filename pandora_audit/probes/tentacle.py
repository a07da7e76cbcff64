"""Asking a port that should be Tentacle's what it lets a stranger do. No file is sent, taken or named that could exist.

What comes out are lines of a word and what it says, the same that the host's own question gives (facts/tentacle.py).
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator

from pandora_audit.printable import one_line
from pandora_audit.transport import SocketLike

# An asterisk is in no name that a server would look for: it is refused before the disk is touched.
REQUEST = b"RECV <pandora-audit*>\n"
# A plain server waits for the end of a line, unless it has read more than its block of 1024 bytes. These protocols,
# which nobody speaks, make the first message longer.
_NOBODYS = ["x" * 255] * 4
# So many bytes are read before a handshake fails; a server that goes on all the same reads the next as a request.
_NO_HANDSHAKE = b"audit"
_SILENCE = 1.5
_MOST = 65536


def ask(dial: Callable[[], SocketLike], ca: str) -> str:
    """What the port does with plain text, with TLS, and with a request inside it; whether its certificate is good.

    Args:
        dial: makes a connection; may raise OSError or NotObserved.
        ca: the file of certificates that the server's own must chain to; empty: nobody promised one.
    """
    said = [f"plain {_plain(dial)}", *_tls(dial, _context())]
    if said[0] == "plain closed" and len(said) > 2:
        said[0] = f"plain {_plain(dial, _NO_HANDSHAKE)}"
    if said[0] == "plain closed" and len(said) > 2 and ca:  # one that goes on after errors would keep the connection
        said.append(f"certificate {_trusted(dial, ca)}")
    return "".join(f"{line}\n" for line in said)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # What is weak is not what is asked here.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.set_alpn_protocols(_NOBODYS)
    return context


@contextlib.contextmanager
def _connected(dial: Callable[[], SocketLike]) -> Iterator[SocketLike]:
    channel = dial()
    channel.settimeout(_SILENCE)
    try:
        yield channel
    finally:
        channel.close()


def _leave(channel: SocketLike) -> None:
    """Say goodbye where it is not known what the server waits for.

    One that goes on after errors (``quiet``) would keep the place of a client that left without a word.
    """
    with contextlib.suppress(OSError):
        for farewell in (b"\n", b"QUIT\n", b"QUIT\n"):
            channel.sendall(farewell)
            time.sleep(0.05)


def _plain(dial: Callable[[], SocketLike], before: bytes = b"") -> str:
    """What a request in plain text gets, after other bytes.

    ``answers``: an answer; ``passes``: one, though something else was asked for first; ``closed``; ``silent``.
    """
    with _connected(dial) as channel:
        word, passed = "silent", bool(before)
        # A server that goes on after a failed handshake, or without a password, answers the next request.
        for request in (before, *[REQUEST] * 3) if before else [REQUEST] * 3:
            try:
                channel.sendall(request)
                said = channel.recv(1024)
            except TimeoutError:
                continue
            except OSError:
                said = b""
            if said.startswith(b"RECV "):
                channel.sendall(b"QUIT\n")
                return "passes" if passed else "answers"
            if not said:
                return "closed"
            if said.startswith((b"PASS OK", b"\x15")):
                passed = True
            else:
                word = f"unknown {one_line(said.decode('utf-8', 'replace'), 60)}"
        _leave(channel)
        return word


class _Talk:
    """TLS over whatever carries bytes."""

    def __init__(self, channel: SocketLike, context: ssl.SSLContext) -> None:
        self.channel = channel
        self.heard = b""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out)

    def until(self, do: Callable[[], bytes | int | None]) -> bytes | int | None:
        """The result of an operation of TLS. Raises ssl.SSLError, or OSError when nobody answers."""
        while True:
            try:
                return do()
            except ssl.SSLWantReadError:
                self._send()
                said = self.channel.recv(16384)
                self.heard = (self.heard + said)[:_MOST]
                if said:
                    self._in.write(said)
                else:
                    self._in.write_eof()
            finally:
                self._send()

    def _send(self) -> None:
        if self._out.pending:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.channel.sendall(self._out.read())

    @property
    def client_certificate_wanted(self) -> bool:
        """Whether the server asked for a certificate, as far as that is told in clear (up to TLS 1.2)."""
        return 13 in messages(self.heard)


def messages(heard: bytes) -> list[int]:
    """The types of the handshake messages in the records that a server sent in clear."""
    handshake, at = b"", 0
    while at + 5 <= len(heard) and heard[at] == 22:
        size = int.from_bytes(heard[at + 3 : at + 5], "big")
        handshake += heard[at + 5 : at + 5 + size]
        at += 5 + size
    found, at = [], 0
    while at + 4 <= len(handshake):
        found.append(handshake[at])
        at += 4 + int.from_bytes(handshake[at + 1 : at + 4], "big")
    return found


def _tls(dial: Callable[[], SocketLike], context: ssl.SSLContext) -> list[str]:
    """``tls`` and the protocol, or ``tls`` and why not; ``inside`` and what a request gets."""
    with _connected(dial) as channel:
        talk = _Talk(channel, context)
        try:
            talk.until(talk.tls.do_handshake)
        except (ssl.SSLError, OSError) as error:
            _leave(channel)
            return _failed(talk, error)
        said = [f"tls {talk.tls.version()}"]
        word = _inside(talk)
        with contextlib.suppress(ssl.SSLError, OSError):
            talk.until(lambda: talk.tls.write(b"QUIT\n"))
        if word == "certificate":
            _leave(channel)
        return [*said, f"inside {word}"]


def _failed(talk: _Talk, error: Exception) -> list[str]:
    """What a handshake that failed says of the server."""
    if isinstance(error, TimeoutError):
        return ["tls silent"]
    if not talk.heard:
        return ["tls closed"]
    if talk.heard[:1] not in (b"\x15", b"\x16"):
        return ["tls unknown"]
    reason = getattr(error, "reason", None) or "closed"
    if talk.client_certificate_wanted or "CERTIFICATE_REQUIRED" in reason:
        return ["tls spoken", "inside certificate"]
    return [f"tls refused {reason}"]


def _inside(talk: _Talk) -> str:
    """``answers``, ``passes``, ``closed``: as in plain text; ``certificate``: one is demanded; ``silent``."""
    passed = False
    try:
        for _ in range(2):
            talk.until(lambda: talk.tls.write(REQUEST))
            said = talk.until(lambda: talk.tls.read(1024))
            if isinstance(said, bytes) and said.startswith(b"RECV "):
                return "passes" if passed else "answers"
            if isinstance(said, bytes) and said.startswith(b"PASS OK"):
                passed = True
            elif not said:
                return "closed"
    except ssl.SSLError as error:
        # TLS 1.3 tells it only when the handshake seems to be over.
        refused = (error.reason or "").startswith("TLSV13_ALERT_CERTIFICATE") or "BAD_CERT" in (error.reason or "")
        return "certificate" if refused else "closed"
    except TimeoutError:
        return "silent"
    except OSError:
        return "closed"
    return "passes" if passed else "unknown"


def _trusted(dial: Callable[[], SocketLike], ca: str) -> str:
    """``good``, ``bad`` and why, or ``unknown`` and why nobody can tell."""
    context = _context()
    try:
        context.load_verify_locations(ca)
    except OSError as error:  # ssl.SSLError is one
        return f"unknown {ca} cannot be read: {error.strerror or error}"
    context.verify_mode = ssl.CERT_REQUIRED
    with _connected(dial) as channel:
        talk = _Talk(channel, context)
        try:
            talk.until(talk.tls.do_handshake)
        except ssl.SSLCertVerificationError as error:
            return f"bad {error.verify_message}"
        except (ssl.SSLError, OSError) as error:
            # The server's certificate comes first, and is judged before the client's is asked for.
            return "good" if talk.client_certificate_wanted else f"unknown {getattr(error, 'reason', None) or error}"
        return "good"
