"""Questions that more than one fact reads."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from pandora_audit.formats import config_php, secret
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
    "loglevel",
    "syslogfacility",
    "authenticationmethods",
    "passwordauthentication",
    "kbdinteractiveauthentication",
    "challengeresponseauthentication",
    "pubkeyauthentication",
    "pubkeyauthoptions",
    "gssapiauthentication",
    "hostbasedauthentication",
    "denyusers",
    "denygroups",
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

OS_RELEASE = Ask(key="os-release", sh="cat /etc/os-release; echo; uname -r; uname -n")

PASSWD = Ask(key="passwd", argv=("getent", "passwd"), keep="s/^([^:]*):[^:]*:/\\1:x:/p")
GROUP = Ask(key="group", argv=("getent", "group"), keep="s/^([^:]*):[^:]*:/\\1:x:/p")

# Without -H, which releases before 4.7 do not know; who holds a socket, only root is shown.
TCP_LISTENERS = Ask(key="listeners", argv=("ss", "-ltn"))
TCP_OWNERS = Ask(key="listeners-owners", argv=("ss", "-ltnp"), root=True)
UDP_LISTENERS = Ask(key="listeners-udp", argv=("ss", "-lun"))
UDP_OWNERS = Ask(key="listeners-udp-owners", argv=("ss", "-lunp"), root=True)
# Where a machine's own names and addresses end, others begin.
ADDRESSES = Ask(key="addresses", sh="uname -n; ip -o address show")

# Arguments may hold passwords. Of them only the program leaves the host, and the script that an interpreter runs.
_ROW = r"^( *[0-9]+ +[0-9]+ +[0-9]+ +[^ ]+) +"
_INTERPRETER = r"([^ ]*\/)?(perl|python|php|ruby|node|java|(ba|da|k|z)?sh)[0-9.]*"
PROCESSES = Ask(
    key="processes",
    argv=("ps", "-eww", "-o", "pid=,ppid=,etimes=,unit:200=,args="),
    limit=1024 * 1024,
    keep=rf"""
s/{_ROW}({_INTERPRETER})( -[^ ]*)* +(\/[A-Za-z0-9_.\/+-]+).*/\1 \2 \7/p
t
s/{_ROW}([^ ]+).*/\1 \2/p
""",
)

PAM = Ask(key="pam", sh="set +f; grep -H -d skip '^[^#]' /etc/pam.d/*")
SSSD = Ask(
    key="sssd-access",
    argv=(
        *("find", "-L", "/etc/sssd", "-maxdepth", "2", "-type", "f"),
        *("-exec", "grep", "-HiwF", "-e", "access_provider", "-e", "id_provider", "-e", "simple_allow_users"),
        *("-e", "simple_allow_groups", "-e", "ad_access_filter", "{}", "+"),
    ),
    root=True,
    # That there is a list or a filter is enough; whom it names stays on the host.
    keep=r"/:[[:space:]]*[#;]/d;s/(simple_allow_[a-z]+|ad_access_filter)([[:space:]]*=).*/\1\2 …/I;p",
)

# Of an account: whether "!" locks it, "empty" or its hash's scheme ("-": what no password fits), the day it expires.
# Not even who may run this as root is shown a hash. sudo allows no blank in it, and no asterisk: character 42.
_AWK = (
    '{s=$2;sub("^!+","",s);k="-";if(s=="")k="empty";'
    'if(index(s,"$")==1)k=substr(s,2,index(substr(s,2),"$")-1);'
    'if(length(s)==13&&index(s,sprintf("%c",42))!=1)k="des";'
    'print(FILENAME":"$1":"(s!=$2)":"k":"$8)}'
)
PASSWORD_STATES = Ask(
    key="password-states", argv=("awk", "-F:", _AWK, "/etc/passwd", "/etc/shadow"), root=True, limit=1024 * 1024
)

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
def _keys_below(key: str, depth: int, *folders: str) -> Ask:
    """The lines of the usual files below these folders that hold a public key, and the links that are not followed."""
    return Ask(
        key=key,
        argv=(
            *("find", *folders, "-maxdepth", str(depth)),
            *_any_of(
                ("-type", "d", "-name", ".ssh", "-exec", "grep", "-rHF", *_ONLY_KEY_FILES, "-e", "AAAA", "{}", "+"),
                *(("-type", "l", "-name", name, "-print") for name in _KEY_FILES),
                ("-type", "l", "-xtype", "d", "-print"),
            ),
        ),
        root=True,
        seconds=20,
        limit=1024 * 1024,
        keep=_KEYS_KEEP,
    )


OF_THE_DIRECTORY = "sss_ssh_authorizedkeys"
"""A program that tells sshd the keys of the directory's accounts, and of no others."""

AUTHORIZED_KEYS = _keys_below("authorized-keys", 4, "/root/", "/home/")
# Where packages put the homes of the accounts that they create.
SERVICE_HOMES = ("/var/lib/", "/var/www/", "/var/cache/", "/usr/share/", "/srv/", "/opt/", "/nonexistent/")
SERVICE_KEYS = _keys_below("service-keys", 3, *SERVICE_HOMES)

SHIPPING = (
    *("systemd-journal-upload", "filebeat", "fluent-bit", "td-agent-bit", "td-agent", "fluentd", "promtail"),
    *(
        "alloy",
        "vector",
        "otelcol-contrib",
        "otelcol",
        "nxlog",
        "graylog-sidecar",
        "SplunkForwarder",
        "wazuh-agent",
        "elastic-agent",
        "azuremonitoragent",
    ),
    *("amazon-cloudwatch-agent", "datadog-agent", "google-cloud-ops-agent"),
)
"""The services that copy logs to other machines, and do nothing else."""
# Those that keep, watch and ship logs, and those that keep the time.
_SERVICES = (
    *("rsyslog", "syslog-ng", "auditd", "stunnel", "stunnel4", "pandora_agent_daemon", "pandorafms-agent"),
    *SHIPPING,
    *("chronyd", "chrony", "ntpd", "ntp", "ntpsec", "systemd-timesyncd", "openntpd", "phc2sys", "vmtoolsd"),
    *("open-vm-tools", "cron", "crond"),
)


def states_of(key: str, *services: str) -> Ask:
    """What systemd says of services."""
    wanted = "Id,LoadState,ActiveState,UnitFileState,User,ExecMainStartTimestampMonotonic"
    return Ask(key=key, argv=("systemctl", "show", "-p", wanted, *(f"{name}.service" for name in services)))


SERVICES = states_of("services", *_SERVICES)

# Of the programs that run in the same parts, with the options of those whose options count.
LOG_PROCESSES = Ask(
    key="log-and-time-processes",
    argv=("ps", "-eo", "user:32=,comm=,args="),
    keep=r"""
/^[^ ]+ +(rsyslogd|syslog-ng|chronyd) /p
s/^([^ ]+ +(pandora_agent|audisp-remote|filebeat|fluent-bit|promtail|alloy|vector|nxlog|splunkd|wazuh-agentd)) .*/\1/p
s/^([^ ]+ +(ossec-agentd|otelcol|otelcol-contrib|stunnel4?)) .*/\1/p
""",
)

# What a parameter may hold that is nobody's business stays on the host, and so do templates.
RSYSLOG_CONFIG = Ask(
    key="rsyslog-config",
    argv=("grep", "-rHn", "-e", ".", "/etc/rsyslog.conf", "/etc/rsyslog.d"),
    root=True,
    keep=r"""
/^[^:]*:[0-9]+:[[:space:]]*#/d
s/^([^:]*:[0-9]+:[[:space:]]*[$]template[[:space:]]+[^,]*).*/\1/I
s/^([^:]*:[0-9]+:[[:space:]]*[$][a-z]*(password|pwd|token)[a-z]*).*/\1/I
s/([a-z.]*(pwd|pass|token|secret|key|string|uid|user|header|value)[a-z.]*[[:space:]]*=[[:space:]]*)"(\\.|[^"\\])*("|$)/\1"…"/Ig
s/([a-z.]*(pwd|pass|token|secret|header)[a-z.]*[[:space:]]*=[[:space:]]*)\[[^]]*\]/\1"…"/Ig
s/(set[[:space:]]+[^=]*=).*/\1 "…";/I
s/(:om(my|pg)sql:[^,]*|[[:space:]]>[^,]*),.*/\1/
s/(:\/\/)[^\/@" ]*@/\1/g
p
""",
)

# The machine's clock, and how long it has been up.
UPTIME = Ask(key="uptime", sh="date +%s; cat /proc/uptime")

# A container's kernel is another machine's, and so are its clock and its access control.
CONTAINER = Ask(key="container", sh="systemd-detect-virt --container || true")
CONSOLES = ("/var/www/html/pandora_console", "/var/www/pandora_console", "/srv/www/htdocs/pandora_console")
"""Where packages and scripts put the console; what is looked for in its folder is looked for in these."""

PHP_SETTINGS = ("session.cookie_httponly", "session.cookie_secure", "expose_php", "display_errors", "allow_url_include")
PHP_LINES = Ask(
    key="php-lines",
    argv=(
        *("find", "-L", "/etc/php", "/etc/php.ini", "/etc/php.d", "/etc/php-fpm.d", "/etc/opt/remi"),
        *("-maxdepth", "5", "-type", "f", "-exec", "grep", "-HnF"),
        *(word for name in PHP_SETTINGS for word in ("-e", name)),
        *("-e", "listen", "-e", "user", "-e", "PATH=", "-e", "HOST=", "-e", "include", "{}", "+"),
    ),
    root=True,
    only_if=Role.CONSOLE,
    limit=512 * 1024,
    keep=rf"""
/\/(cli|mods-available)\//d
s/^([^:]*:[0-9]+:[[:space:]]*(php_(admin_)?(value|flag)\[)?({"|".join(PHP_SETTINGS)})\]?[[:space:]]*=[^;]*).*/\1/p
/^[^:]*:[0-9]+:[[:space:]]*((listen|include|user)[[:space:]]*=|\[(PATH|HOST)=)/p
""",
)


def config_files(*first: str) -> tuple[str, ...]:
    """Prints each config.php of a console under its own name, wherever web servers have their pages.

    Args:
        first: what is printed before.
    """
    return (
        *("find", *(f"{console}/" for console in CONSOLES), "/var/www/", "/srv/www/", "/opt/", "-maxdepth", "6"),
        *("-xtype", "f", "-regex", ".+/include/config.php", "-exec", "tail", "-v", "-n", "+1", *first, "{}", "+"),
    )


CONSOLE_CONFIG = Ask(
    key="console-config",
    argv=config_files(),
    root=True,
    only_if=Role.CONSOLE,
    keep=config_php.keep(
        *("dbtype", "dbhost", "dbport", "dbname", "dbuser", "dbssl", "dbsslcafile", "sslverifyservercert"),
        *("homedir", "homeurl", "homeurl_static", "remote_config", "develop_bypass"),
        hidden="dbpass",
        stand="traits($_[0])",
        perl=secret.TRAITS,
    ),
)
NOBODY_ASKED_THE_DATABASE = (
    "nobody asked the database: make the audit's own account there (--database-account) and promise audit_db_options, "
    "or let the audit become root"
)
# A server that hangs is left after so many seconds.
_SQL = ("--batch", "--skip-column-names", "--connect-timeout=5")
# MariaDB's client from 11.4 on refuses a server without TLS, through the socket too; MySQL's knows no such option.
_WITHOUT_TLS = "--loose-disable-ssl-verify-server-cert"
# What the client shows of these variables and options is a password.
HIDDEN_OPTIONS = (
    r"(loose[-_])?((init|report|master)[-_])?password[123]?|wsrep[-_]sst[-_]auth|[a-z_.-]*(secret|pwd)[a-z_.-]*"
)
_SQL_KEEP = f"s/^({HIDDEN_OPTIONS})\\t.*/\\1\\t…/I\np"


def sql(key: str, text: str, options: str | None) -> Ask:
    """A question to the database: by the audit's own account there, else as root of who may do everything anyway.

    The client runs on the host, and SQL cannot become more than its account may do: that of the option file, which
    holds name, password or socket, so that no secret is in an argument. A question of the sudoers file it is not, in
    any dress: a client that root runs on SQL of the caller's choice is root on the database, and so on the host.

    Args:
        options: the promise ``db_options``.
    """
    client = "c=$(command -v mariadb || command -v mysql) || { echo 'no client is installed' >&2; exit 1; }; "
    words = (*_SQL, _WITHOUT_TLS) if options is None else (f"--defaults-file={options}", *_SQL)
    return Ask(
        key=key,
        sh=f'{client}"$c" {" ".join(map(shlex.quote, words))}',
        if_all=options is None,
        stdin=text.encode(),
        seconds=8,
        only_if=Role.DATABASE,
        keep=_SQL_KEEP,
    )
