"""Questions that more than one fact reads."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from pandora_audit.question import Ask, Role

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

LISTENERS = Ask(key="listeners", argv=("ss", "-ltn"))
LISTENERS_OWNERS = Ask(key="listeners-owners", argv=("ss", "-ltnp"), root=True)

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

# A server that hangs is left after so many seconds.
_SQL = ("--batch", "--skip-column-names", "--connect-timeout=5")
# What the client shows of these variables and options is a password.
HIDDEN_OPTIONS = (
    r"(loose[-_])?((init|report|master)[-_])?password[123]?|wsrep[-_]sst[-_]auth|[a-z_.-]*(secret|pwd)[a-z_.-]*"
)
_SQL_KEEP = f"s/^({HIDDEN_OPTIONS})\\t.*/\\1\\t…/I\np"


def sql(key: str, text: str, options: str | None) -> tuple[Ask, ...]:
    """A question to the database by the audit's own account there; none where the site promised no option file.

    The client runs on the host as the account that logs in, and reads name, password or socket from the file: no
    secret is in an argument, and SQL cannot become more than that account may do. A root question it is not, in any
    dress: a client that root runs on SQL of the caller's choice is root on the database, and through it on the host.

    Args:
        options: the promise ``db_options``.
    """
    if options is None:
        return ()
    client = "c=$(command -v mariadb || command -v mysql) || { echo 'no client is installed' >&2; exit 1; }; "
    words = " ".join(map(shlex.quote, (f"--defaults-file={options}", *_SQL)))
    return (
        Ask(key=key, sh=f'{client}"$c" {words}', stdin=text.encode(), seconds=8, only_if=Role.DATABASE, keep=_SQL_KEEP),
    )


def sql_as_root(key: str, text: str) -> Ask:
    """The same question by root through the socket, for an account that may do everything as root anyway.

    Ask it in the second trip only, and only of such an account: the sudoers file that is printed holds the questions
    of the first trip, and must not hold this one.
    """
    # MariaDB's client from 11.4 on refuses a server without TLS, through the socket too; MySQL's knows no such option.
    argv = ("mysql", *_SQL, "--loose-disable-ssl-verify-server-cert")
    return Ask(key=key, argv=argv, root=True, stdin=text.encode(), seconds=8, keep=_SQL_KEEP)
