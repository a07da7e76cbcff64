"""The default way into a machine: paramiko's Transport, with host keys, login and time limits of our own."""

from __future__ import annotations

import errno
import logging
import secrets
import selectors
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import paramiko
from paramiko.message import Message

from pandora_audit.question import NotObserved, Wire
from pandora_audit.transport.base import (
    PATIENCE,
    Deadline,
    Options,
    Output,
    Person,
    SocketLike,
    printable,
)
from pandora_audit.transport.carrier import BEFORE_LOGIN, Carrier, ProxyCommand, tcp
from pandora_audit.transport.keys import Keys
from pandora_audit.transport.known_hosts import KnownHosts, fingerprint
from pandora_audit.transport.ssh_config import Config, Route

_KEY_OF = {"rsa-sha2-512": "ssh-rsa", "rsa-sha2-256": "ssh-rsa"}
_CHUNK = 1 << 16
# The code with which a jump host says that it tried to connect, and could not (RFC 4254, 5.1).
_CONNECT_FAILED = 2
_HERE = ("127.0.0.1", 0)
_LOST = (paramiko.SSHException, EOFError, OSError)

# Its threads report by their exceptions; their tracebacks would land in the middle of a report.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)


class ClientNeededError(Exception):
    """This connection depends on something that only the OpenSSH client can do; its text says on what."""


class _BrokenError(NotObserved):
    """The connection broke before the login, as at a full MaxStartups: another attempt may find room."""


class _Transport(paramiko.Transport):
    """Keeps what paramiko throws away: the reasons that the other side gives."""

    farewell = ""
    offer = b""

    def _parse_disconnect(self, message: Message) -> None:
        message.get_int()
        self.farewell = printable(message.get_text())

    def _parse_kex_init(self, message: Message) -> None:
        self.offer = message.asbytes()
        super()._parse_kex_init(message)  # type: ignore[misc]

    def _parse_channel_open_failure(self, message: Message) -> None:
        _channel, code, why = message.get_int(), message.get_int(), message.get_text()
        message.rewind()
        super()._parse_channel_open_failure(message)  # type: ignore[misc]
        self.saved_exception = paramiko.ChannelException(code, printable(why))

    def get_exception(self) -> Exception | None:
        """What ended the connection. A malformed message ends it with whatever paramiko's parser stumbled over."""
        error = super().get_exception()
        if error is None or isinstance(error, _LOST):
            return error
        return paramiko.SSHException(f"it sent something malformed ({type(error).__name__})")

    @property
    def unfinished(self) -> str:
        if not self.remote_version:
            return "the SSH version line"
        return "the login" if self.initial_kex_done else "the key exchange"

    def offered(self) -> str:
        """The algorithms of the other side: key exchange and host key types, then ciphers and MACs."""
        message = Message(self.offer)
        message.get_bytes(16)
        exchange, keys, ciphers, _, macs = (message.get_list() for _ in range(5))
        return printable("; ".join(",".join(names) for names in (exchange, keys, ciphers, macs)), 600)


@dataclass
class _Jump:
    """One jump host of the run: connected to by the first that needs it; the others wait for the outcome."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    transport: _Transport | None = None
    failure: NotObserved | ClientNeededError | None = None


class Paramiko:
    """All paramiko connections of a run: the keys, known hosts and jump hosts that they share."""

    def __init__(self, options: Options, config: Config) -> None:
        self._options = options
        self._config = config
        self._person = Person(options.ask)
        self._keys = Keys(self._person)
        self._known = KnownHosts()
        self._jumps: dict[tuple[str, ...], _Jump] = {}
        self._jumps_lock = threading.Lock()

    def connect(self, route: Route) -> ParamikoConnection:
        """Enter a machine. Raises NotObserved, or ClientNeededError before any login."""
        transport, wire = self._enter(route)
        return ParamikoConnection(
            transport, wire, route, self._options.machine_seconds, lambda port, s: self._dial(route, port, s)
        )

    def close(self) -> None:
        for jump in self._jumps.values():
            if jump.transport:
                jump.transport.close()

    def _enter(self, route: Route) -> tuple[_Transport, Wire]:
        """With a second attempt after a connection that broke before the login."""
        began = time.monotonic()
        if route.client_only:
            raise ClientNeededError(f"{route.client_only} is configured for {route.host}")
        try:
            return self._enter_once(route, self._options.login_seconds)
        except _BrokenError as broken:
            left = self._options.login_seconds - (time.monotonic() - began)
            # Machines that were turned away together do not come back together.
            pause = 0.3 + secrets.randbelow(700) / 1000
            if left < 2 * pause:
                raise
            time.sleep(pause)
            try:
                return self._enter_once(route, left - pause)
            except _BrokenError as again:
                raise NotObserved(f"{again} (twice)") from broken

    def _enter_once(self, route: Route, seconds: float) -> tuple[_Transport, Wire]:
        files = (*route.user_known_hosts, *route.global_known_hosts)
        known = self._known.about(files, route.names)
        if known.certified:
            raise ClientNeededError(f"a @cert-authority may vouch for {route.host}")
        carrier = self._carrier(route)
        transport = _Transport(carrier)  # type: ignore[arg-type]  # it is socket enough
        transport.banner_timeout = transport.handshake_timeout = seconds + PATIENCE  # the deadline is earlier
        options = transport.get_security_options()
        options.key_types = _preferred(known.kinds, options.key_types)
        with Deadline(seconds, transport.close) as deadline:
            try:
                _handshake(transport, carrier, route)
                key = transport.get_remote_server_key()
                if not known.knows(key, route.shown):
                    self._first_seen(route, key)
                login = _Login(transport, route, self._person, deadline)
                login.enter(self._keys)
            except (NotObserved, *_LOST) as error:
                transport.close()
                carrier.close()
                if deadline.passed:
                    what = transport.unfinished
                    raise NotObserved(f"{route.shown} did not finish {what} within {seconds:.3g} s") from None
                if isinstance(error, NotObserved):
                    raise
                raise NotObserved(f"{route.shown} was lost during the login: {_why(error)}") from None
            finally:
                transport.packetizer.complete_handshake()  # else its timer thread stays for minutes
        carrier.allowance = None
        return transport, Wire(
            host_key=f"{key.get_name()} {fingerprint(key.asbytes())}",
            software=printable(transport.remote_version),
            banner=login.banner,
            port=route.port,
            peer=carrier.peer,
        )

    def _first_seen(self, route: Route, key: paramiko.PKey) -> None:
        """Raises NotObserved unless new keys are welcome."""
        file = route.user_known_hosts[0] if route.user_known_hosts else None
        if self._options.accept_new_host_keys and file:
            self._known.append(file, route.names[0], key)
            return
        kind = key.get_name().removeprefix("ssh-").partition("-")[0]
        port = f" -p {route.port}" if route.port != 22 else ""
        scan = f"ssh-keyscan -t {kind}{port} {route.hostname} >> {file or 'known_hosts'}"
        if route.jump or route.proxy_command or route.alias:
            scan = f"ssh{port} {route.host}"
        raise NotObserved(
            f"the host key of {route.shown} is not known: it shows {key.get_name()} "
            f"{fingerprint(key.asbytes())}. Compare this with the fingerprint on the machine's own console "
            f"(ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub), then run: {scan}; no command was sent"
        )

    def _carrier(self, route: Route) -> Carrier:
        if route.proxy_command:
            return ProxyCommand(route.proxy_command, route.hostname)
        behind = f" from the jump host {route.jump[-1]}" if route.jump else ""
        try:
            if route.jump:
                return Carrier(self._through(route, route.port, route.connect_seconds), route.hostname)
            stream = tcp(route, route.port, route.connect_seconds)
            return Carrier(stream, stream.getpeername()[0])
        except TimeoutError:
            raise NotObserved(f"{route.shown} did not answer{behind} within {route.connect_seconds:g} s") from None
        except ConnectionResetError:
            raise _BrokenError(f"{route.shown} reset the connection") from None
        except OSError as error:
            raise NotObserved(f"no connection to {route.shown}{behind}: {error.strerror}") from None

    def _through(self, route: Route, port: int, seconds: float) -> paramiko.Channel:
        """A channel to the host from its jump host. Raises NotObserved for it, OSError for the host."""
        jump = self._jump(route.jump)
        try:
            return jump.open_channel("direct-tcpip", (route.hostname, port), _HERE, timeout=seconds)
        except paramiko.ChannelException as error:
            if "refused" in error.text.lower():
                raise ConnectionRefusedError(error.code, error.text) from None
            if error.code == _CONNECT_FAILED:
                raise OSError(errno.EHOSTUNREACH, error.text) from None
            # It did not try: that says nothing of the host.
            where = f"{route.hostname} port {port}"
            raise NotObserved(f"the jump host {route.jump[-1]} does not lead to {where}: {error.text}") from None
        except _LOST as error:
            if jump.is_active():
                raise TimeoutError from None
            raise NotObserved(f"the jump host {route.jump[-1]} was lost: {_why(error)}") from None

    def _jump(self, chain: tuple[str, ...]) -> _Transport:
        with self._jumps_lock:
            jump = self._jumps.setdefault(chain, _Jump())
        with jump.lock:
            if jump.failure:
                raise jump.failure
            if not jump.transport or not jump.transport.is_active():
                try:
                    jump.transport, _ = self._enter(self._config.hop(chain))
                except NotObserved as failure:
                    jump.failure = NotObserved(f"the jump host {chain[-1]} lets nobody through: {failure}")
                    raise jump.failure from None
                except ClientNeededError as failure:
                    jump.failure = failure
                    raise
            return jump.transport

    def _dial(self, route: Route, port: int, seconds: float) -> SocketLike:
        if route.jump:
            return self._through(route, port, seconds)
        if route.proxy_command:
            raise NotObserved(f"{route.host} is reached by a ProxyCommand, which shows one port only")
        return tcp(route, port, seconds)


def _preferred(known: Sequence[str], all_kinds: Sequence[str]) -> tuple[str, ...]:
    """Host key algorithms, those of known keys first: a host known by its RSA key shows that one."""
    return tuple(sorted(all_kinds, key=lambda kind: _KEY_OF.get(kind, kind) not in known))


def _why(error: BaseException) -> str:
    """An error's reason in words; paramiko's EOFError has none."""
    text = getattr(error, "strerror", None) or str(error)
    return printable(text) or "the other side closed it"


def _handshake(transport: _Transport, carrier: Carrier, route: Route) -> None:
    """Version and key exchange. Raises _BrokenError when interrupted, NotObserved when impossible."""
    try:
        transport.start_client()
    except paramiko.ssh_exception.IncompatiblePeer as error:
        offered = f"; it offers {transport.offered()}" if transport.offer else ""
        raise NotObserved(
            f"{route.shown} and paramiko share no algorithm: {error}{offered}. "
            "The OpenSSH client may know more: use the ssh:// backend"
        ) from None
    except _LOST as error:
        if carrier.overrun:
            raise NotObserved(f"{route.shown} sent more than {BEFORE_LOGIN} bytes before the login") from None
        words = carrier.last_words() if isinstance(carrier, ProxyCommand) else ""
        why = words or transport.farewell or _why(error)
        raise _BrokenError(f"the connection to {route.shown} broke before the login: {why}") from None


class _Login:
    """Being let in: what was tried, what the server still wants, what it said meanwhile."""

    def __init__(self, transport: _Transport, route: Route, person: Person, deadline: Deadline) -> None:
        self.banner = ""
        self._transport = transport
        self._route = route
        self._person = person
        self._deadline = deadline
        self._wanted: list[str] = []
        self._tried: list[str] = []
        self._troubles: list[str] = []
        self._unanswered = False

    def enter(self, keys: Keys) -> None:
        """Log in by key, and by keyboard where that is wanted. Raises NotObserved when refused."""
        if self._by_key(keys):
            return
        if not self._wanted and self._attempt(lambda: self._transport.auth_none(self._route.user)):
            return
        if "keyboard-interactive" in self._wanted and self._route.interactive and self._by_keyboard():
            return
        raise NotObserved(self._refusal())

    def _by_key(self, keys: Keys) -> bool:
        for candidate in keys.candidates(self._route, self._troubles, self._deadline.paused):
            self._tried.append(candidate.label)
            if self._attempt(partial(self._transport.auth_publickey, self._route.user, candidate.key)):
                return True
            if self._wanted and "publickey" not in self._wanted:
                break
        return False

    def _by_keyboard(self) -> bool:
        def answer(_title: str, _instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
            return [self._typed(prompt) for prompt, _echo in prompts]

        return self._attempt(lambda: self._transport.auth_interactive(self._route.user, answer))

    def _typed(self, prompt: str) -> str:
        with self._deadline.paused():
            typed = self._person.ask(f"{self._route.user}@{self._route.host}: {printable(prompt)} ")
        self._unanswered |= typed is None
        return typed or ""

    def _attempt(self, call: Callable[[], list[str]]) -> bool:
        """Whether this let us in; otherwise ``_wanted`` holds what the server wants, if it said so."""
        self._transport.auth_timeout = self._deadline.left + PATIENCE  # the deadline is earlier
        try:
            self._wanted = call()
        except paramiko.BadAuthenticationType as error:
            self._wanted = error.allowed_types
        except paramiko.AuthenticationException as error:
            if not self._transport.is_active():
                raise NotObserved(self._ended(error)) from None
        finally:
            said = self._transport.get_banner() or b""  # by each attempt's own handler, once
            self.banner = self.banner or said.decode(errors="backslashreplace")
        return self._transport.is_authenticated()

    def _ended(self, error: Exception) -> str:
        why = self._transport.farewell or _why(error)
        return f"{self._route.shown} ended the login as {self._route.user}: {why}{self._efforts()}"

    def _refusal(self) -> str:
        wanted = printable(", ".join(self._wanted)) or "nothing that it names"
        text = f"{self._route.shown} refused the login as {self._route.user}; it still wants: {wanted}"
        text += self._efforts()
        if self._unanswered:
            text += "; it asked for a code, and nobody is there to type it"
        for way in set(self._route.other_logins) & set(self._wanted):
            text += f"; {way} is configured, which needs the ssh:// backend"
        return text

    def _efforts(self) -> str:
        tried = "; tried " + (", ".join(self._tried) or "no key")
        return "; ".join([tried, *dict.fromkeys(self._troubles)])


class ParamikoConnection:
    """A machine that let us in. A command that outlives its time ends the connection."""

    def __init__(
        self,
        transport: _Transport,
        wire: Wire,
        route: Route,
        seconds: float,
        dial: Callable[[int, float], SocketLike],
    ) -> None:
        self.wire = wire
        self.dial = dial
        self._transport = transport
        self._shown = route.shown
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    def close(self) -> None:
        self._transport.close()

    def run(self, command: str, *, stdin: bytes = b"", limit: int = 8 << 20, seconds: float) -> Output:
        """See Connection.run. The command travels as the exec string: a round trip less than as input."""
        left = self._until - time.monotonic()
        if left < seconds:
            seconds = max(0.0, left)
        heard = _Heard(limit)
        with Deadline(seconds, self._transport.close) as deadline:
            try:
                channel = self._transport.open_session(timeout=seconds)
                try:
                    channel.exec_command(command)
                    _feed(channel, stdin)
                    heard.listen(channel, deadline)
                finally:
                    channel.close()
            except _LOST as error:
                if not deadline.passed:
                    why = self._reason(error)
                    raise NotObserved(f"{self._shown} did not run the command: {why}") from None
        if deadline.passed:
            raise NotObserved(f"no end of output within {seconds:.3g} s{heard.so_far}")
        if heard.status is None and not heard.truncated and not self._transport.is_active():
            raise NotObserved(f"{self._shown} was lost before the end of output{heard.so_far}")
        return Output(
            status=heard.status,
            out=bytes(heard.out[:limit]),
            err=bytes(heard.err[:limit]),
            truncated=heard.truncated,
        )

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, paramiko.ChannelException):
            return error.text
        return self._transport.farewell or _why(error)


def _feed(channel: paramiko.Channel, stdin: bytes) -> None:
    """Send input and its end; a program that talks before it listens must not stop us from hearing it."""

    def send() -> None:
        with suppress(*_LOST):
            channel.sendall(stdin)
            channel.shutdown_write()

    if stdin:
        threading.Thread(target=send, name="stdin", daemon=True).start()
    else:
        channel.shutdown_write()


class _Heard:
    """Both streams of a command, read as they come and at most ``limit`` bytes of each."""

    def __init__(self, limit: int) -> None:
        self.out = bytearray()
        self.err = bytearray()
        self.status: int | None = None
        self.truncated = False
        self._limit = limit

    @property
    def so_far(self) -> str:
        return f" ({len(self.out)} bytes of output and {len(self.err)} of errors arrived)"

    def listen(self, channel: paramiko.Channel, deadline: Deadline) -> None:
        """Until both streams and the exit status are there, or too much is, or the deadline struck."""
        with selectors.DefaultSelector() as ready:
            ready.register(channel, selectors.EVENT_READ)
            while not self.truncated:
                ready.select(deadline.left)
                # Asked before reading: what arrives between the two is read in the next round.
                over = channel.eof_received or channel.closed
                if not self._read(channel) and (over or deadline.passed):
                    break
        if not self.truncated:
            status = channel.recv_exit_status()
            self.status = status if status >= 0 else None

    def _read(self, channel: paramiko.Channel) -> int:
        before = len(self.out) + len(self.err)
        if channel.recv_ready():
            self.out += channel.recv(_CHUNK)
        if channel.recv_stderr_ready():
            self.err += channel.recv_stderr(_CHUNK)
        self.truncated = max(len(self.out), len(self.err)) > self._limit
        return len(self.out) + len(self.err) - before
