"""OpenSSH's authorized_keys: options, key type, key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_TYPE = re.compile(r"(?:^|\s)((?:sk-)?(?:ssh|ecdsa)-[\w@.-]+)\s+([A-Za-z0-9+/=]+)(?:\s|$)")
# A forced command is no restriction when it is a shell, or runs what the caller wrote.
_CALLERS_CHOICE = re.compile(r"SSH_ORIGINAL_COMMAND|^\s*(?:/\S*/)?(?:ba|da|k|z|c|tc|fi)?sh\s*(?:-[il]+\s*)*$")


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
    """The keys in lines of ``grep -H``. Comments and what sshd would not read as a key are passed over."""
    for line in lines:
        file, colon, text = line.partition(":")
        text = text.strip()
        if not colon or text.startswith("#"):
            continue
        options, rest = _split_options(text)
        found = _TYPE.match(rest)
        if found and (fingerprint := _fingerprint(found[2])):
            yield AuthorizedKey(
                file=file,
                type=found[1],
                fingerprint=fingerprint,
                command=options.get("command"),
                authority="cert-authority" in options,
                sources=options.get("from", ""),
            )


def _split_options(text: str) -> tuple[dict[str, str], str]:
    """The options before the key type, and what follows them. sshd splits at the first blank outside quotes."""
    if _TYPE.match(text):
        return {}, text
    head = re.match(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+', text)
    if head is None:
        return {}, text
    options: dict[str, str] = {}
    for name, quoted in re.findall(r'([\w-]+)(?:="((?:[^"\\]|\\.)*)")?', head[0]):
        options.setdefault(name.lower(), quoted.replace('\\"', '"'))
    return options, text[head.end() :].strip()


def _fingerprint(blob: str) -> str:
    try:
        digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    except binascii.Error:
        return ""
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
