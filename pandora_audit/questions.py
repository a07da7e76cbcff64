"""Questions that more than one fact reads."""

from __future__ import annotations

from collections.abc import Mapping

from pandora_audit.question import Ask

SSHD_WATCHED = (
    "match",
    "include",
    "permitrootlogin",
    "allowtcpforwarding",
    "disableforwarding",
    "permittunnel",
    "permitopen",
    "banner",
    "port",
    "listenaddress",
    "allowusers",
    "allowgroups",
    "authorizedkeysfile",
    "authorizedkeyscommand",
    "pidfile",
    "usepam",
)
_SSHD_KEEP = f"s/^({'|'.join(SSHD_WATCHED)}) .*/&/p"


# A connection that no Match block singles out: reserved addresses, a name and a port that nobody uses. sshd must
# be told every part of it, or it refuses to answer where a Match block looks at the part that is missing.
ANYBODY = {
    "user": "visitor",
    "host": "visitor.invalid",
    "addr": "203.0.113.9",
    "laddr": "203.0.113.10",
    "lport": "1",
}


def sshd_says(key: str, connection: Mapping[str, str]) -> Ask:
    """The daemon's effective configuration for a connection."""
    words = ",".join(f"{name}={value}" for name, value in connection.items())
    return Ask(key=key, argv=("sshd", "-T", "-C", words), root=True, keep=_SSHD_KEEP)


SSHD_CONFIG = sshd_says("sshd-config", ANYBODY)

PASSWD = Ask(key="passwd", argv=("getent", "passwd"), keep="s/^([^:]*):[^:]*:/\\1:x:/p")
GROUP = Ask(key="group", argv=("getent", "group"), keep="s/^([^:]*):[^:]*:/\\1:x:/p")

# An archive of keys is not a secret, but what environment="…" sets may be one.
_KEYS_KEEP = 's/environment="[^"]*"/environment="…"/g;p'
_KEY_LINES = ("grep", "-HF", "-e", "ssh-", "-e", "ecdsa-")


def keys_in_files(key: str, *paths: str) -> Ask:
    """The lines of these files that hold a public key."""
    return Ask(key=key, argv=(*_KEY_LINES, *paths), root=True, keep=_KEYS_KEEP)


AUTHORIZED_KEYS = Ask(
    key="authorized-keys",
    argv=(
        *("find", "/root", "/home", "-maxdepth", "4"),
        *("-name", "authorized_keys", "-exec", *_KEY_LINES, "{}", "+"),
        *("-o", "-name", "authorized_keys2", "-exec", *_KEY_LINES, "{}", "+"),
    ),
    root=True,
    seconds=20,
    keep=_KEYS_KEEP,
)
