"""known_hosts files: which host keys are trusted, by the rules of sshd(8)."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import hmac
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko

from pandora_audit.question import NotObserved

_REVOKED, _AUTHORITY = "@revoked", "@cert-authority"


@dataclass(frozen=True)
class Line:
    """One entry.

    Args:
        marker: "", "@revoked" or "@cert-authority".
        patterns: host names, comma-separated, or one hashed name.
        kind: the key's type; key: its public part as in the file, decoded.
        where: ``file:line``.
    """

    marker: str
    patterns: str
    kind: str
    key: bytes
    where: str

    def names(self, host: str) -> bool:
        """Whether it is about this host, which is lower case and may be ``[host]:port``."""
        if self.patterns.startswith("|1|"):
            return _hashed(self.patterns, host)
        found = False
        for pattern in self.patterns.lower().split(","):
            if _matches(host, pattern.removeprefix("!")):
                if pattern.startswith("!"):
                    return False
                found = True
        return found


def _hashed(text: str, host: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in text.split("|")[2:4])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, host.encode(), "sha1"), digest)


def _matches(host: str, pattern: str) -> bool:
    # Brackets mean themselves here, `[host]:port`, and not a choice of letters.
    return fnmatch.fnmatchcase(host, pattern.replace("[", "[[]"))


def _lines(path: Path) -> Iterator[Line]:
    try:
        text = path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return
    except OSError as error:
        raise NotObserved(f"the known_hosts file {path} cannot be read: {error.strerror}") from None
    for number, raw in enumerate(text.splitlines(), 1):
        fields = raw.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        try:
            yield Line(marker, fields[0], fields[1], base64.b64decode(fields[2]), f"{path}:{number}")
        except ValueError:
            continue


def fingerprint(key: bytes) -> str:
    """As ssh-keygen -l shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


class _File:
    """The entries of one file; those for plain names are found without looking at every line."""

    def __init__(self, path: Path) -> None:
        self._plain: dict[str, list[Line]] = {}
        self._others: list[Line] = []
        for line in _lines(path):
            if set(line.patterns) & set("*?!|"):
                self._others.append(line)
                continue
            for name in line.patterns.lower().split(","):
                self._plain.setdefault(name, []).append(line)

    def about(self, name: str) -> list[Line]:
        return self._plain.get(name, []) + [line for line in self._others if line.names(name)]


@dataclass(frozen=True)
class Knowledge:
    """What the files say about one host.

    Args:
        own: the entries for its name and port.
        lent: the entries for its name without the port, which OpenSSH accepts for any port of it.
    """

    own: tuple[Line, ...]
    lent: tuple[Line, ...]

    @property
    def certified(self) -> bool:
        """Whether an authority may vouch for it; its certificates are read by the OpenSSH client only."""
        return any(line.marker == _AUTHORITY for line in self.own + self.lent)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The key types that are known, to be preferred in the negotiation."""
        return tuple(dict.fromkeys(line.kind for line in self.own + self.lent if not line.marker))

    def knows(self, key: paramiko.PKey, host: str) -> bool:
        """Whether this key is trusted; False for a new one. NotObserved for a revoked or changed one."""
        kind, shown = key.get_name(), fingerprint(key.asbytes())
        same = [line for line in self.own + self.lent if line.key == key.asbytes()]
        for line in same:
            if line.marker == _REVOKED:
                raise NotObserved(
                    f"the host key of {host} ({kind} {shown}) is marked @revoked in {line.where}; no command was sent"
                )
        if any(not line.marker for line in same):
            return True
        for line in self.own:
            if line.kind == kind and not line.marker:
                raise NotObserved(
                    f"the host key of {host} has CHANGED: it shows {kind} {shown}, while {line.where} holds "
                    f"{fingerprint(line.key)}. Somebody may be in between: verify it out of band before you "
                    "replace the line; no command was sent"
                )
        return False


class KnownHosts:
    """The known_hosts files of a run, each read once; asked and extended from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[Path, _File] = {}

    def about(self, files: tuple[Path, ...], names: tuple[str, ...]) -> Knowledge:
        """The entries for a host's names. Raises NotObserved for an unreadable file."""
        with self._lock:
            for path in files:
                if path not in self._files:
                    self._files[path] = _File(path)
            own, *lent = (tuple(line for path in files for line in self._files[path].about(name)) for name in names)
        return Knowledge(own, lent[0] if lent else ())

    def append(self, path: Path, name: str, key: paramiko.PKey) -> None:
        """Write down the key of a new host for this run and later ones. Raises NotObserved when it cannot."""
        with self._lock:
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
                with os.fdopen(handle, "r+b") as file:
                    file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
                    glue = b"" if file.read(1) in (b"", b"\n") else b"\n"
                    file.write(glue + f"{name} {key.get_name()} {key.get_base64()}\n".encode())
            except OSError as error:
                raise NotObserved(f"the new host key cannot be written to {path}: {error.strerror}") from None
            self._files.pop(path, None)
