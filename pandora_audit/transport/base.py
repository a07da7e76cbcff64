"""What every way into a machine shares: its options, what it brings back, and how its time is bounded."""

from __future__ import annotations

import getpass
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pandora_audit.question import Wire

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds that a person has for one prompt; sshd's own LoginGraceTime is as long."""


def ask_on_terminal(prompt: str) -> str | None:
    """Ask the person at the controlling terminal, without echo. None for no terminal or no answer."""
    try:
        with Path("/dev/tty").open("rb"):
            pass
        return getpass.getpass(prompt)
    except (OSError, EOFError):
        return None


@dataclass(frozen=True, kw_only=True)
class Options:
    """How machines are entered; the same for every machine of a run.

    Host keys are always verified: ``StrictHostKeyChecking no`` of an ssh configuration is not followed.

    Args:
        known_hosts: replaces the user's known_hosts file; the system-wide ones still count.
        accept_new_host_keys: write down the key of a host seen for the first time. Changed and revoked keys
            are refused all the same.
        ssh_config: replaces the ssh configuration, as ``ssh -F`` does.
        identity_file: a private key that is tried on every machine and jump host.
        connect_seconds: the limit for a TCP connection; a ConnectTimeout in the ssh configuration wins.
        login_seconds: the limit for the version exchange, key exchange and login, without a person's typing.
        machine_seconds: the limit for the whole stay on a machine after the login.
        ask: shows a prompt and returns what the person typed; None when nobody is there. Called once per
            encrypted key of the run and once per one-time code, from one thread at a time.
    """

    known_hosts: Path | None = None
    accept_new_host_keys: bool = False
    ssh_config: Path | None = None
    identity_file: Path | None = None
    connect_seconds: float = 10
    login_seconds: float = 20
    machine_seconds: float = 120
    ask: Callable[[str], str | None] = ask_on_terminal


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a command left behind.

    Args:
        status: its exit status; None when a signal ended it, or when we stopped listening.
        out, err: its streams, at most ``limit`` bytes each.
        truncated: whether a stream was longer than that.
    """

    status: int | None
    out: bytes
    err: bytes
    truncated: bool


class SocketLike(Protocol):
    """The part of a socket that looking at a port needs."""

    def recv(self, count: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> object: ...
    def settimeout(self, seconds: float | None, /) -> None: ...
    def close(self) -> None: ...


class Connection(Protocol):
    """A machine that let us in."""

    @property
    def wire(self) -> Wire: ...

    def run(self, command: str, *, stdin: bytes = b"", limit: int = 8 << 20, seconds: float) -> Output:
        """Run a shell command. Raises NotObserved when it had no end within the time or its end was lost."""

    def dial(self, port: int, seconds: float) -> SocketLike:
        """A TCP connection to the same machine by the same way.

        Raises ConnectionRefusedError, TimeoutError, or NotObserved where there is no such way.
        """

    def close(self) -> None: ...


class Deadline:
    """Seconds after which whatever is being waited for is struck, so that no wait needs a limit of its own.

    Use it as a context manager; ``passed`` says afterwards whether it struck.
    """

    def __init__(self, seconds: float, strike: Callable[[], None]) -> None:
        self.passed = False
        self._until = time.monotonic() + seconds
        self._strike = strike
        self._over = threading.Event()

    @property
    def left(self) -> float:
        return max(0.0, self._until - time.monotonic())

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A person's typing does not count; their patience is limited all the same."""
        began = time.monotonic()
        self._until += PATIENCE
        try:
            yield
        finally:
            self._until += time.monotonic() - began - PATIENCE

    def _watch(self) -> None:
        while not self._over.wait(self.left):
            if not self.left:
                self.passed = True
                self._strike()
                return

    def __enter__(self) -> Deadline:
        threading.Thread(target=self._watch, name="deadline", daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()


def bounded(work: Callable[[], T], seconds: float) -> T:
    """The result of a call that knows no time limit. Raises TimeoutError; its thread is then left behind."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001  (it is raised again, in the thread that waits)
            result.set_exception(error)

    threading.Thread(target=run, name="bounded", daemon=True).start()
    return result.result(seconds)


class Person:
    """The one person at the terminal, asked by many threads: one prompt at a time."""

    def __init__(self, ask: Callable[[str], str | None]) -> None:
        self._ask = ask
        self._lock = threading.Lock()

    def ask(self, prompt: str) -> str | None:
        """What the person types; None when nobody is there. Nothing is kept: it may be good for one login only."""
        with self._lock:
            return self._ask(prompt)


def printable(text: str, limit: int = 255) -> str:
    """Foreign text, made harmless for a terminal and short."""
    return "".join(letter if letter.isprintable() else "?" for letter in text.strip())[:limit]
