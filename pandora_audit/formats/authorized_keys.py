"""OpenSSH's authorized_keys: options, key type, key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pandora_audit.formats.grep import binary
from pandora_audit.question import Unreadable

_KEY = re.compile(r"((?:sk-)?(?:ssh|ecdsa|rsa)-[\w@.-]+)[ \t]+([A-Za-z0-9+/=]+)(?:\s|$)")
_OPTION = re.compile(r'([\w-]+)(?:="((?:\\"|[^"])*)")?')
# A forced command is no restriction when it is a shell, serves every file, or runs what the caller wrote.
_CALLERS_CHOICE = re.compile(
    r"SSH_ORIGINAL_COMMAND|\$\{?SHELL|\b(?:internal-sftp|sftp-server)\b"
    r"|^\s*(?:exec\s+)?(?:(?:/\S*/)?env\s+)?(?:/\S*/)?(?:ba|da|k|z|c|tc|fi)?sh(?:\s+-[\w-]+)*\s*$"
)


@dataclass(frozen=True, kw_only=True)
class AuthorizedKey:
    """One key that opens an account.

    Args:
        fingerprint: ``SHA256:…``, as ssh-keygen -l prints it.
        command: the forced command; None when the caller may ask for what he likes.
        authority: whether every certificate of this key's owner opens the account.
        sources: the from= list; empty for anywhere.
    """

    file: str
    type: str
    fingerprint: str
    command: str | None
    authority: bool
    sources: str

    @property
    def is_free(self) -> bool:
        """Whether it yields a shell or a command of the caller's choice."""
        return self.command is None or _CALLERS_CHOICE.search(self.command) is not None


def keys(lines: Iterable[str]) -> Iterator[AuthorizedKey]:
    """The keys in lines of ``grep -H``. Comments and what sshd would not read as a key are passed over.

    Raises Unreadable for a file whose lines grep holds back.
    """
    for line in lines:
        if path := binary(line):
            raise Unreadable(f"{path} is not a text")
        file, colon, text = line.partition(":")
        text = text.strip()
        if not colon or text.startswith("#"):
            continue
        options, found = _options_and_key(text)
        if found and (fingerprint := _fingerprint(found[1], found[2])):
            yield AuthorizedKey(
                file=file,
                type=found[1],
                fingerprint=fingerprint,
                command=options.get("command"),
                authority="cert-authority" in options,
                sources=options.get("from", ""),
            )


def _options_and_key(text: str) -> tuple[dict[str, str], re.Match[str] | None]:
    """The options before a key, and the key. sshd splits at the first blank that is not in quotes."""
    if found := _KEY.match(text):
        return {}, found
    at, quoted = 0, False
    while at < len(text) and (quoted or text[at] not in " \t"):
        if text.startswith('\\"', at):
            at += 1
        elif text[at] == '"':
            quoted = not quoted
        at += 1
    options: dict[str, str] = {}
    for name, value in _OPTION.findall(text[:at]):
        options.setdefault(name.lower(), value.replace('\\"', '"'))
    return options, _KEY.match(text[at:].lstrip())


def _fingerprint(kind: str, encoded: str) -> str:
    """The fingerprint of a public key; empty when it is none, as of a certificate, which opens nothing by itself."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return ""
    named = "ssh-rsa" if kind.startswith("rsa-sha2-") else kind
    if "-cert-" in kind or _parts(blob)[:1] != [named.encode()]:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _parts(blob: bytes) -> list[bytes]:
    """The strings that a key is made of, each behind its length; none where they do not fill it."""
    found = []
    while blob:
        end = 4 + int.from_bytes(blob[:4], "big")
        if end > len(blob):
            return []
        found.append(blob[4:end])
        blob = blob[end:]
    return found
