"""Private keys: read once per run from files and the agent, with the certificates that go with them."""

from __future__ import annotations

import base64
import copy
import io
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.agent import AgentKey, AgentSSH
from paramiko.message import Message

from pandora_audit.question import NotObserved
from pandora_audit.transport.base import Person
from pandora_audit.transport.known_hosts import fingerprint
from pandora_audit.transport.ssh_config import Route

PASSPHRASE = "PANDORA_AUDIT_KEY_PASSPHRASE"  # noqa: S105  (the variable's name)
AGENT_SECONDS = 30.0
"""An agent may ask its user to confirm."""

_MAGIC = b"openssh-key-v1\0"
_CERT = "-cert-v01@openssh.com"
_BY_TYPE: dict[str, type[paramiko.RSAKey | paramiko.Ed25519Key | paramiko.ECDSAKey]] = {
    "ssh-rsa": paramiko.RSAKey,
    "ssh-ed25519": paramiko.Ed25519Key,
    **{f"ecdsa-sha2-nistp{bits}": paramiko.ECDSAKey for bits in (256, 384, 521)},
}
# What paramiko's readers raise, each for some kind of damage in a file.
_CORRUPT = (
    paramiko.SSHException,
    UnsupportedAlgorithm,
    ArithmeticError,
    AssertionError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
)
_BY_HEADER: dict[str, type[paramiko.PKey]] = {"RSA": paramiko.RSAKey, "EC": paramiko.ECDSAKey}


@dataclass(frozen=True)
class Candidate:
    """A key to log in with, and how to name it to the person."""

    key: paramiko.PKey
    label: str


@dataclass(frozen=True)
class _File:
    """A private key file before anybody asked for its passphrase.

    Args:
        kind: the class to read it with; public: its public part, where the file shows it without passphrase.
    """

    text: str
    kind: type[paramiko.PKey]
    public: bytes | None
    encrypted: bool


def _inspect(path: Path) -> _File:
    """Raises FileNotFoundError, or NotObserved when it holds no key that we can use."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotObserved(f"the private key {path} cannot be read: {error.strerror}") from None
    head, _, rest = text.strip().partition("\n")
    if head == "-----BEGIN OPENSSH PRIVATE KEY-----":
        return _inspect_openssh(path, text, rest)
    kind = _BY_HEADER.get(head.removeprefix("-----BEGIN ").removesuffix(" PRIVATE KEY-----"))
    if kind:
        return _File(text, kind, None, "ENCRYPTED" in rest)
    if head.endswith("PRIVATE KEY-----"):
        raise NotObserved(f"the private key {path} has an unknown form; `ssh-keygen -p -f {path}` renews it")
    raise NotObserved(f"{path} is not a private key")


def _inspect_openssh(path: Path, text: str, rest: str) -> _File:
    try:
        message = Message(base64.b64decode(rest.partition("-----END")[0]).removeprefix(_MAGIC))
        cipher, _kdf, _options = message.get_text(), message.get_binary(), message.get_binary()
        message.get_int()
        public = message.get_binary()
        name = Message(public).get_text()
    except ValueError:
        raise NotObserved(f"{path} is not a private key") from None
    if not name:
        raise NotObserved(f"{path} is not a private key")
    if name not in _BY_TYPE:
        raise NotObserved(f"the private key {path} needs an agent or the ssh:// backend: it is {name}")
    return _File(text, _BY_TYPE[name], public, cipher != "none")


class Agent(AgentSSH):
    """One connection to an ssh-agent, shared by the threads of a run."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._one_at_a_time = threading.RLock()
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(AGENT_SECONDS)
        try:
            stream.connect(path)
            self._connect(stream)  # type: ignore[attr-defined]  # the stubs leave it out
            for key in self.get_keys():
                # paramiko sends an RSA certificate's name with its bare key, which no server takes.
                key.public_blob = getattr(key.inner_key, "public_blob", None)  # type: ignore[attr-defined]
        except (OSError, paramiko.SSHException):
            stream.close()

    def _send_message(self, message: object) -> tuple[int, Message]:
        with self._one_at_a_time:
            answer: tuple[int, Message] = super()._send_message(message)  # type: ignore[misc]
        return answer


class Keys:
    """The keys of a run. Each file is read once: an RSA key costs 100 ms, an encrypted one a question."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._lock = threading.Lock()
        self._files: dict[Path, _File | NotObserved | None] = {}
        self._loaded: dict[Path, paramiko.PKey | NotObserved] = {}
        self._agents: dict[str, Agent] = {}

    def candidates(
        self, route: Route, troubles: list[str], paused: Callable[[], AbstractContextManager[None]]
    ) -> Iterator[Candidate]:
        """The keys for a route in the order of ssh(1), a passphrase being asked for only when its turn comes.

        What cannot be used is added to ``troubles`` as a sentence. ``paused`` stops the caller's clock while
        a person types.
        """
        files = {path: file for path in route.identities if (file := self._file(path, troubles))}
        publics = {file.public: path for path, file in files.items()}
        publics |= {public: path for path in route.identities if (public := _public_beside(path))}
        agent = self._agent(route.agent) if route.agent else ()
        held = [key for key in agent if _bare(key) in publics]
        others = [] if route.identities_only else [key for key in agent if _bare(key) not in publics]
        for key in held + others:
            yield from _certified(key, route.certificates, f"agent key {key.comment}")
        have = {_bare(key) for key in held}
        for path, file in sorted(files.items(), key=lambda pair: pair[1].encrypted):
            if file.public in have:
                continue
            with paused():
                loaded = self._load(path, file)
            if isinstance(loaded, NotObserved):
                troubles.append(str(loaded))
            else:
                beside = path.with_name(path.name + "-cert.pub")
                yield from _certified(loaded, (*route.certificates, beside), str(path))

    def _file(self, path: Path, troubles: list[str]) -> _File | None:
        with self._lock:
            if path not in self._files:
                try:
                    self._files[path] = _inspect(path)
                except FileNotFoundError:
                    self._files[path] = None
                except NotObserved as trouble:
                    self._files[path] = trouble
            found = self._files[path]
        if isinstance(found, NotObserved):
            troubles.append(str(found))
            return None
        return found

    def _agent(self, path: str) -> tuple[AgentKey, ...]:
        with self._lock:
            if path not in self._agents:
                self._agents[path] = Agent(path)
            return self._agents[path].get_keys()

    def _load(self, path: Path, file: _File) -> paramiko.PKey | NotObserved:
        with self._lock:
            if path not in self._loaded:
                try:
                    self._loaded[path] = self._opened(path, file)
                except NotObserved as trouble:
                    self._loaded[path] = trouble
            return self._loaded[path]

    def _opened(self, path: Path, file: _File) -> paramiko.PKey:
        if not file.encrypted:
            return _parse(path, file, None)
        given = os.environ.get(PASSPHRASE)
        if given is not None:
            try:
                return _parse(path, file, given)
            except NotObserved:
                pass  # it may be another key's; the person knows this one's
        typed = self._person.ask(f"Passphrase for {path}: ")
        if typed is None:
            why = f"{PASSPHRASE} does not open it" if given is not None else f"{PASSPHRASE} is not set"
            raise NotObserved(f"the private key {path} is encrypted, {why} and nobody is there to ask")
        return _parse(path, file, typed)


def _parse(path: Path, file: _File, passphrase: str | None) -> paramiko.PKey:
    try:
        return file.kind.from_private_key(io.StringIO(file.text), passphrase)
    except _CORRUPT:
        why = "the passphrase does not open it" if passphrase is not None else "it is damaged"
        raise NotObserved(f"the private key {path} stays closed: {why}") from None


def _bare(key: AgentKey) -> bytes:
    """The public part of an agent's key, without the certificate that it may be wrapped in."""
    try:
        return _BY_TYPE[key.get_name().removesuffix(_CERT)](data=key.blob).asbytes()
    except (KeyError, paramiko.SSHException):
        return key.blob


def _public_beside(path: Path) -> bytes | None:
    """The public part that lies next to a private key, as for a key that only an agent holds."""
    for beside in (path.with_name(path.name + ".pub"), path):
        try:
            return base64.b64decode(beside.read_text().split()[1], validate=True)
        except (OSError, ValueError, IndexError):
            continue
    return None


def _certified(key: paramiko.PKey, certificates: tuple[Path, ...], label: str) -> Iterator[Candidate]:
    """A key with each certificate that was made for it, and then the bare key."""
    shown = f"{label} ({key.get_name()} {fingerprint(key.asbytes())})"
    for path in certificates:
        try:
            kind, blob = path.read_text().split()[:2]
            certificate = _BY_TYPE[kind.removesuffix(_CERT)](data=base64.b64decode(blob))
        except (OSError, ValueError, KeyError, paramiko.SSHException):
            continue
        if certificate.asbytes() == key.asbytes() and kind.endswith(_CERT):
            bearer = AgentKey(key.agent, key.blob) if isinstance(key, AgentKey) else copy.copy(key)
            bearer.public_blob = certificate.public_blob
            yield Candidate(bearer, f"{shown} with {path}")
    yield Candidate(key, shown)
