"""What ``osslsigncode verify`` says of a file. Pure."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from pandora_audit.question import Unreadable


class State(enum.StrEnum):
    VALID = "is validly signed"
    UNSIGNED = "is not signed"
    TAMPERED = "was changed after it was signed"
    EXPIRED = "is signed with a certificate that has expired, and nothing shows that it was signed before"
    STAMP_UNKNOWN = "is signed with a certificate that has expired, and nobody here vouches for who dated it"
    SELF_SIGNED = "is signed by somebody who vouches for himself"
    UNKNOWN_AUTHORITY = "is signed by somebody for whom no authority here vouches"
    OTHERWISE = "has a signature that is not valid"


@dataclass(frozen=True)
class Signature:
    """How far a signature holds, and whose it is; what was wrong in osslsigncode's words."""

    state: State
    signer: str = ""
    wrong: str = ""


_CHAIN = re.compile(r"PKCS7 routines:[^:\n]*:certificate verify error:[^\n]*Verify error: ?([^\n]*)")


def read(text: str) -> Signature:
    """Raises Unreadable where the file could not be looked at, or what is said is not known."""
    lines = [line.strip() for line in text.strip().splitlines()]
    said = re.search(r"Signer's certificate:\s[^\0]{0,200}?Subject: ([^\n]{1,500})", text)
    signer = _name(said[1]) if said else ""
    if lines[-1:] == ["Succeeded"] and "Signature verification: ok" in lines:
        return Signature(State.VALID, signer)
    if lines[-1:] != ["Failed"]:
        raise Unreadable(f"osslsigncode said {' '.join(lines[-1:])[:100]!r}")
    if "No signature found" in lines:
        return Signature(State.UNSIGNED)
    if re.search(r"^Calculated message digest *:.*MISMATCH", text, re.M):
        return Signature(State.TAMPERED, signer)
    chain = _CHAIN.search(text)
    if chain is None and not signer:
        raise Unreadable(f"osslsigncode could not read it: {lines[0][:100] if lines else 'nothing'}")
    wrong = chain[1].strip() if chain else ""
    return Signature(_state(wrong, stamped="Timestamp Server Signature verification: failed" in lines), signer, wrong)


def _state(wrong: str, *, stamped: bool) -> State:
    if wrong == "certificate has expired":
        return State.STAMP_UNKNOWN if stamped else State.EXPIRED
    if wrong == "self-signed certificate" or wrong == "self signed certificate":
        return State.SELF_SIGNED
    if "local issuer certificate" in wrong or "certificate in certificate chain" in wrong:
        return State.UNKNOWN_AUTHORITY
    return State.OTHERWISE


def _name(subject: str) -> str:
    """The common name in OpenSSL's one line, or the whole line."""
    found = re.search(r"/CN=([^/]{1,200})", subject)
    return found[1] if found else subject
