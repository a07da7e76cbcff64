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
    "trustedusercakeys",
    "pidfile",
    "usepam",
)
# From 10.6 on, sshd prints keywords as its manual writes them.
_SSHD_KEEP = f"s/^({'|'.join(SSHD_WATCHED)}) .*/&/Ip"


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

# Of a line of keys only this leaves the host: its options without what environment="…" sets and without a forced
# command's text (but for the word that it leaves the choice to the caller), its type and its key.
_KEYS_KEEP = r"""
/^\/[^:]*$/p
/^[^:]*:[[:space:]]*#/d
s/(command=)"(\\"|[^"])*(SSH_ORIGINAL_COMMAND|[$][{]?SHELL|internal-sftp|sftp-server)(\\"|[^"])*"/\1"$SHELL"/I
t environment
s/(command=)"[[:space:]]*(exec[[:space:]]+)?(([^[:space:]"]*\/)?env[[:space:]]+)?SHELLS*[[:space:]]*"/\1"$SHELL"/I
t environment
s/(command=)"(\\"|[^"])*"/\1"…"/I
:environment
s/environment="(\\"|[^"])*"/environment="…"/Ig
s/(AAAA[A-Za-z0-9+\/=]+).*/\1/p
""".replace("SHELLS", r'([^[:space:]"]*\/)?(ba|da|k|z|c|tc|fi)?sh([[:space:]]+-[[:alnum:]_-]+)')
_KEY_LINES = ("grep", "-HF", "-e", "AAAA")
_KEY_FILES = ("authorized_keys", "authorized_keys2")
_ONLY_KEY_FILES = tuple(f"--include={name}" for name in _KEY_FILES)


def _any_of(*alternatives: tuple[str, ...]) -> tuple[str, ...]:
    """The alternatives of ``find``."""
    return tuple(word for each in alternatives for word in ("-o", *each))[1:]


def keys_in_files(key: str, *paths: str) -> Ask:
    """The lines of these files that hold a public key."""
    return Ask(key=key, argv=(*_KEY_LINES, *paths), root=True, keep=_KEYS_KEEP)


# A link is named, not followed: whoever made it chose where it leads. grep -r follows none that it finds, not even
# one that was a file a moment ago, and passes over pipes.
AUTHORIZED_KEYS = Ask(
    key="authorized-keys",
    argv=(
        *("find", "/root/", "/home/", "-maxdepth", "4"),
        *_any_of(
            ("-type", "d", "-name", ".ssh", "-exec", "grep", "-rHF", *_ONLY_KEY_FILES, "-e", "AAAA", "{}", "+"),
            *(("-type", "l", "-name", name, "-print") for name in _KEY_FILES),
            ("-type", "l", "-xtype", "d", "-print"),
        ),
    ),
    root=True,
    seconds=20,
    keep=_KEYS_KEEP,
)
