"""What Pandora FMS's own database says of its console, its users, its groups and its agents: one for a deployment."""

from __future__ import annotations

import contextlib
import html
import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

from pandora_audit.across import Across, Look
from pandora_audit.database_views import SCHEMA
from pandora_audit.fact import Fact
from pandora_audit.facts.pandora_server import PandoraServer
from pandora_audit.facts.services import Services
from pandora_audit.formats import rsyslog
from pandora_audit.formats.addresses import is_loopback
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.offence import Offence, Offences
from pandora_audit.promises import Promises
from pandora_audit.question import Answer, Ask, Cause, NotObserved, Question, Role, Unreadable
from pandora_audit.questions import CONSOLES, NOBODY_ASKED_THE_DATABASE, RSYSLOG_CONFIG
from pandora_audit.verdict import NotApplicable, ToDecide, UnmetEdition

# Published with the product: the seeded administrator's password as it is stored now and as it was, and its API token.
_PUBLISHED_HASHES = ("$2y$10$Wv/xoxjI2VAkthJhk/PzeeGIhBKYU/K.TMgUdmW7fEP2NQkdWlB9K", "1da7ee7d45b96d0e1f45ee4ee23da560")
_PUBLISHED_TOKEN = "pandora1234"  # noqa: S105  (what everybody knows is no secret)

_TOKENS = (
    *("enable_pass_policy", "enable_pass_policy_admin", "pass_size", "pass_needs_numbers", "pass_needs_symbols"),
    *("pass_expire", "enable_pass_history", "compare_pass", "mins_fail_pass", "number_attempts", "reset_pass_option"),
    *("double_auth_enabled", "2FA_all_users", "https", "auth", "fallback_local_auth", "ldap_start_tls", "ldap_server"),
    *("ad_start_tls", "ad_server", "secondary_ldap_enabled", "ldap_server_secondary", "ldap_start_tls_secondary"),
    *("secondary_active_directory", "ad_server_secondary", "ad_start_tls_secondary"),
    *("audit_log_enabled", "audit_purge", "acl_enterprise", "session_timeout"),
    *("list_ACL_IPs_for_API", "MR", "db_scheme_version", "remote_config"),
)
# What turns on a second directory of each kind.
_SECOND_DIRECTORY = {"ldap": "secondary_ldap_enabled", "ad": "secondary_active_directory"}
# Of these only the length leaves the database, and whether it is one that everybody knows.
_SECRETS = ("api_password", "loginhash_pwd")


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


SECURITY_MODULES: Mapping[str, tuple[str, ...]] = {
    "SELinux status": ("system.mandatory-access-control",),
    "SSH root access status": ("ssh.root-login",),
    "SSH root keys status": ("ssh.root-keys",),
    "Authorized ports status": ("system.listeners-known",),
    "Files check status": ("system.integrity",),
    "Insecure passwords status": ("system.weak-passwords",),
}
"""The modules of the newer security plugin, each with our controls that judge the same. The older writes SEC[…]."""
# As the server stores names.
_STORED = (name.replace(" ", "&#x20;") for name in SECURITY_MODULES)
# 23: a text that comes when there is one.
_WATCHING = (
    "FROM tagente_modulo m LEFT JOIN tagente_estado s ON s.id_agente_modulo = m.id_agente_modulo"
    " WHERE m.disabled = 0 AND m.delete_pending = 0 AND (m.id_tipo_modulo = 23"
    f" OR m.nombre LIKE 'SEC[%' OR m.nombre LIKE 'SEC&#91;%' OR m.nombre IN ({_words((*SECURITY_MODULES, *_STORED))}))"
)

# What the agent of a row of tagente brought itself: nothing that the server fetched (which counts as contact, too) or
# made up for its silence (100). When it came is told in seconds since the epoch: ultimo_contacto is the local time of
# whichever server wrote it, which is not always the database's.
BROUGHT = (
    "FROM tagente_estado s JOIN tagente_modulo m ON m.id_agente_modulo = s.id_agente_modulo"
    " WHERE s.id_agente = tagente.id_agente AND s.utimestamp > 0 AND m.id_modulo = 1 AND m.id_tipo_modulo <> 100"
    " AND m.disabled = 0 AND m.delete_pending = 0"
)
# Whether anything came within two of its intervals; NULL where nothing comes at intervals (21 to 23: as things happen).
_HEARD = (
    "(SELECT MAX(s.utimestamp) > UNIX_TIMESTAMP() - 2 * GREATEST(tagente.intervalo,"
    f" MIN(IF(m.id_tipo_modulo IN (21, 22, 23), NULL, s.current_interval))) {BROUGHT})"
)

Table: TypeAlias = tuple[int, str]
"""The number of columns, and what is selected."""

# Each is one statement with a last row of its own: its absence tells a failure from an empty table.
_TABLES: Mapping[str, Table] = {
    "config": (3, f"id_config, token, value FROM tconfig WHERE token IN ({_words(_TOKENS)})"),
    "secret": (
        4,
        "id_config, token, CHAR_LENGTH(value), value IN ('1234', 'pandora', 'pandora1234')"
        f" FROM tconfig WHERE token IN ({_words(_SECRETS)})",
    ),
    "user": (
        6,
        "id_user, is_admin, disabled, not_login, local_user, id_user IN (SELECT id_user FROM tuser_double_auth)"
        " FROM tusuario",
    ),
    "session": (2, "id_user, session_time FROM tusuario WHERE session_time <> 0"),
    "password": (3, f"id_user, password IN ({_words(_PUBLISHED_HASHES)}), CHAR_LENGTH(password) = 32 FROM tusuario"),
    "token": (2, f"id_user, api_token = '{_PUBLISHED_TOKEN}' FROM tusuario WHERE api_token <> ''"),
    "right": (
        7,
        "id_usuario, id_grupo, name, agent_edit, agent_disable, pandora_management, user_management"
        " FROM tusuario_perfil JOIN tperfil USING (id_perfil)",
    ),
    "view": (1, "id_profile FROM tprofile_view GROUP BY id_profile"),
    "group": (3, "id_grupo, nombre, password <> '' FROM tgrupo WHERE disabled = 0"),
    "agent": (
        9,
        "id_agente, nombre, alias, modo, id_grupo, agent_version <> '', direccion <> '', comentarios <> '',"
        f" {_HEARD} FROM tagente WHERE disabled = 0",
    ),
    "field": (
        2,
        "id_agent, name FROM tagent_custom_data JOIN tagent_custom_fields USING (id_field)"
        " WHERE TRIM(description) <> ''",
    ),
    "record": (
        3,
        "COUNT(*) > 0, COALESCE(TIMESTAMPDIFF(DAY, FROM_UNIXTIME(MIN(utimestamp)), NOW()), 0), COUNT(*) FROM tsesion",
    ),
    "signature": (1, "COUNT(*) FROM tsesion_extended WHERE hash <> ''"),
    # What the server itself notes goes to no file; what was noted just now may have come after the file was read.
    "newest": (
        1,
        "COALESCE(MAX(fecha), '') FROM tsesion WHERE id_usuario <> 'SYSTEM' AND utimestamp < UNIX_TIMESTAMP() - 600",
    ),
    # What is encrypted is Base64 of whole blocks of 16 bytes.
    "credential": (
        2,
        "COUNT(*), COALESCE(SUM(COALESCE(MOD(LENGTH(FROM_BASE64(password)), 16) = 0, 0)), 0)"
        " FROM tcredential_store WHERE password <> ''",
    ),
    "address": (2, "id_agente, direccion FROM tagente WHERE disabled = 0"),
    # The modules that logs and the security plugins make: never what they hold. A plugin may run once a day.
    "module": (
        5,
        "m.id_agente_modulo, m.id_agente, m.nombre, COALESCE(s.estado, 4) IN (1, 2),"
        " COALESCE(s.utimestamp, 0) > UNIX_TIMESTAMP() - GREATEST(2 * COALESCE(s.current_interval, 0), 172800)"
        f" {_WATCHING}",
    ),
    # Which command each of their alerts executes, and whether it is told for whom.
    "alert": (
        3,
        "t.id_agent_module, c.name,"
        " COALESCE(NULLIF(a.field1, ''), p.field1, '') NOT IN ('', 'yourmail@domain.es')"
        " FROM talert_template_modules t JOIN talert_templates p ON p.id = t.id_alert_template"
        " LEFT JOIN talert_template_module_actions o ON o.id_alert_template_module = t.id"
        " JOIN talert_actions a ON a.id = COALESCE(o.id_alert_action, p.id_alert_action)"
        " JOIN talert_commands c ON c.id = a.id_alert_command"
        f" WHERE t.disabled = 0 AND t.standby = 0 AND t.id_agent_module IN (SELECT m.id_agente_modulo {_WATCHING})",
    ),
    "correlated": (1, "COUNT(*) FROM tevent_alert WHERE disabled = 0"),
    "url": (1, "value FROM tconfig WHERE token = 'public_url'"),
}


def _statements(tables: Mapping[str, Table], promises: Promises) -> str:
    """What is asked: of the views where the site gave the audit an account of its own, else of the tables."""
    lines = ["SET NAMES utf8mb4;"]
    for tag, (columns, text) in tables.items():
        asked = f"seen.* FROM `{tag}` seen" if promises.db_options else text
        lines.append(f"(SELECT '{tag}', {asked}) UNION ALL SELECT '{tag}.'{', NULL' * columns};")
    return "\n".join(lines) + "\n"


def views(schema: str, further: Mapping[str, Table]) -> str:
    """The SQL that makes the views, of these and of further tables, for a database administrator to run."""
    lines = [f"USE `{schema}`;"]
    for tag, (columns, text) in {**_TABLES, **further}.items():
        names = ", ".join(f"c{number}" for number in range(1, columns + 1))
        lines.append(f"CREATE OR REPLACE SQL SECURITY DEFINER VIEW {SCHEMA}.`{tag}` ({names}) AS SELECT {text};")
    return "\n".join(lines) + "\n"


_KEY = "pandora-tables"


def database_question(key: str, tables: Mapping[str, Table], promises: Promises) -> Ask:
    """The statements, each on a line of its own; one that fails does not stop the others.

    They go through the client on the host: with the option file that the site promised, else as root where the account
    may do everything anyway. The statements and the password stay out of argument lists.
    """
    options = f"--defaults-extra-file={shlex.quote(promises.db_options)} " if promises.db_options else ""
    # MariaDB's client from 11.4 on refuses a server without TLS, through the socket too.
    words = "--batch --skip-column-names --force --connect-timeout=5 --loose-disable-ssl-verify-server-cert"
    return Ask(
        key=key,
        sh="c=$(command -v mariadb || command -v mysql) || { echo 'no client of the database is here' >&2; exit 3; }; "
        f'exec "$c" {options}{words} --database={SCHEMA if promises.db_options else promises.db_schema}',
        if_all=not promises.db_options,
        stdin=_statements(tables, promises).encode(),
        seconds=20,
        limit=4 * 1024 * 1024,
        only_if=None if promises.db_options else Role.DATABASE,
    )


class PandoraDatabase(Fact):
    """The tables of Pandora FMS, as far as an audit looks at them."""

    @classmethod
    def first(cls, promises: Promises) -> tuple[Question, ...]:
        return (database_question(_KEY, _TABLES, promises),)

    @cached_property
    def tables(self) -> Tables:
        """The rows of every table. Raises NotApplicable on a machine from which nobody asks the database."""
        return read_tables(self.answers[_KEY], _TABLES)


class DeploymentDatabase(Across):
    """What Pandora FMS's database holds, for whichever host of its deployment: asked from any of them."""

    of = (PandoraDatabase,)

    @classmethod
    def share(cls, look: Look) -> Tables:
        return look(PandoraDatabase).tables

    @cached_property
    def tables(self) -> Tables:
        """The rows of every table. Raises NotObserved where nobody told them, or two told different ones."""
        told = {share.host: share.value for share in self.shares if share.told}
        return _only(told, [f"{share.host}: {share.silence or share.absent}" for share in self.shares])

    @property
    def public_url(self) -> str:
        """Where the console says that it is; empty where it does not."""
        told = sorted({row[0] for row in self.tables["url"]})
        if len(told) > 1:
            raise NotObserved(f"tconfig holds public_url {len(told)} times, with different values")
        return "".join(told)


def _only(told: Mapping[str, Tables], why: list[str]) -> Tables:
    """The database that hosts told. Raises NotObserved for none (with what each said instead), and for several."""
    if len({tuple(each["config"]) for each in told.values()}) > 1:
        raise NotObserved(f"{', '.join(told)} hold different databases of Pandora FMS: which one is in use?")
    if not told:
        raise NotObserved(f"nobody could ask Pandora FMS's database: {'; '.join(why[:5])}")
    return next(iter(told.values()))


def read_tables(answer: Answer, tables: Mapping[str, Table]) -> Tables:
    """The rows of every table. Raises NotApplicable on a machine from which nobody asks the database."""
    if answer.cause in (Cause.ROLE, Cause.SHELL):
        raise NotApplicable("the machine is not the database's, and audit_db_options names no way to it")
    if answer.cause is Cause.PRIVILEGE:
        raise NotObserved(NOBODY_ASKED_THE_DATABASE)
    lines = [tuple(map(_plain, line.split("\t"))) for line in answer.lines]
    errors = answer.err.decode("utf-8", "backslashreplace").strip().splitlines()
    if not any(line[0].endswith(".") for line in lines):
        raise NotObserved(f"the database told nothing: {errors[0][:300] if errors else f'exit {answer.status}'}")
    return Tables(tuple(lines), errors[0][:300] if errors else "", tables)


_ESCAPED = {"\\t": "\t", "\\n": "\n", "\\\\": "\\", "\\0": "\0"}


def _plain(field: str) -> str:
    """A field of the client's batch mode; the console stores texts as HTML."""
    if field == "NULL":
        return ""
    return html.unescape(re.sub(r"\\[tn\\0]", lambda found: _ESCAPED[found[0]], field))


@dataclass(frozen=True)
class Tables:
    """Rows under their table's name, and the first thing that the database complained of."""

    lines: tuple[tuple[str, ...], ...]
    error: str
    asked: Mapping[str, Table]

    def __getitem__(self, tag: str) -> list[tuple[str, ...]]:
        """The rows of a table. Raises NotObserved when the database refused it."""
        columns = self.asked[tag][0]
        if not any(line[0] == f"{tag}." for line in self.lines):
            raise NotObserved(f"the database did not tell {tag}: {self.error or 'the answer was cut'}")
        rows = [line[1:] for line in self.lines if line[0] == tag]
        if any(len(row) != columns for row in rows):
            raise Unreadable(f"the rows of {tag} have not {columns} columns")
        return rows


# What copies a file elsewhere names it, or all logs of its folder: where that is written -> the services that read it.
_SHIPPERS_OF: Mapping[str, tuple[str, ...]] = {
    "/etc/rsyslog.conf": ("rsyslog",),
    "/etc/rsyslog.d": ("rsyslog",),
    "/etc/syslog-ng": ("syslog-ng",),
    "/etc/filebeat": ("filebeat",),
    "/etc/fluent-bit": ("fluent-bit",),
    "/etc/td-agent-bit": ("td-agent-bit",),
    "/etc/td-agent": ("td-agent",),
    "/etc/fluent": ("fluentd",),
    "/etc/vector": ("vector",),
    "/etc/promtail": ("promtail",),
    "/etc/alloy": ("alloy",),
    "/etc/nxlog.conf": ("nxlog",),
    "/opt/nxlog/etc": ("nxlog",),
    "/opt/splunkforwarder/etc": ("SplunkForwarder",),
    "/var/ossec/etc/ossec.conf": ("wazuh-agent",),
    "/opt/aws/amazon-cloudwatch-agent/etc": ("amazon-cloudwatch-agent",),
    "/etc/google-cloud-ops-agent": ("google-cloud-ops-agent",),
    "/etc/datadog-agent": ("datadog-agent",),
    "/etc/pandora/pandora_agent.conf": ("pandora_agent_daemon", "pandorafms-agent"),
    "/etc/pandorafms/pandora_agent.conf": ("pandora_agent_daemon", "pandorafms-agent"),
}
_SHIPPERS = Ask(
    key="console-audit-shippers",
    argv=("grep", "-rsnF", "-e", "pandora_console/log/", *_SHIPPERS_OF),
    root=True,
    only_if=Role.CONSOLE,
    keep=r"""
/^[^:]+:[0-9]+:[[:space:]]*[#;]/d
/pandora_console\/log\/(audit|(a|au|aud|audi)?[*])([*?.]|log)*([^A-Za-z0-9_.*?-]|$)/!d
s/^([^:]+:[0-9]+):.*/\1/p
""",
)


class AuditShipper(Fact):
    """What copies the console's audit log to another machine."""

    role = Role.CONSOLE
    questions = (_SHIPPERS, *Services.questions, RSYSLOG_CONFIG)

    @cached_property
    def found(self) -> tuple[str, ...]:
        """``file:line`` of whatever names the log, runs and takes it elsewhere, comments left out."""
        answer = self.answers[_SHIPPERS.key]
        lines = tuple(line for line in answer.lines if line)
        if not lines:
            nothing_withheld(answer)
        return tuple(line for line in lines if self._copies(_readers(line)))

    def _copies(self, readers: tuple[str, ...]) -> bool:
        running = Services(self.seen)
        return running.runs(*readers) and not (readers == ("rsyslog",) and _keeps_here(running.rsyslog))


def _keeps_here(config: rsyslog.Config) -> bool:
    """Whether rsyslog reads the log, and writes what it reads to files of this machine and nowhere else."""
    reached = config.read_from(lambda file: "pandora_console/log/" in file, "")
    return bool(reached) and not config.unseen and all(each.action.kind == "file" for each in reached)


def _readers(line: str) -> tuple[str, ...]:
    """The services that read a file."""
    return next((names for place, names in _SHIPPERS_OF.items() if re.match(rf"{re.escape(place)}[/:]", line)), ())


_LAST_RECORDS = ("-exec", "tail", "-v", "-n", "20", "{}", "+")
_RECORDS = Ask(
    key="console-audit-records",
    argv=(
        *("find", "-H", *(f"{console}/log" for console in CONSOLES), "-maxdepth", "1"),
        *("-type", "f", "-name", "audit.log", *_LAST_RECORDS),
        *("-o", "-type", "f", "-regex", ".+/audit.log.+", *_LAST_RECORDS),
    ),
    root=True,
    only_if=Role.CONSOLE,
    keep=r"""
s/^==> .*\/(audit\.log[^\/]*) <==$/\1/p
s/^([0-9]{4}(-[0-9]{2}){2} [0-9]{2}(:[0-9]{2}){2}) - .*/\1/p
""",
)


class AuditFile(Fact):
    """The file that the console writes its audit records to."""

    role = Role.CONSOLE
    questions = (_RECORDS,)

    @cached_property
    def newest(self) -> str:
        """When its newest record was written, as the console writes it to the database too; empty for none."""
        answer = self.answers[_RECORDS.key]
        lines = answer.lines
        nothing_withheld(answer)
        times = [line for line in lines if line[:1].isdigit()]
        if not times and set(lines) - {"audit.log"}:
            raise NotObserved("the console's audit.log is empty, and older ones are packed")
        return max(times, default="")


class ConsoleAuditExport(Across):
    """How the audit records of a deployment's consoles leave their machines."""

    of = (AuditShipper,)

    @classmethod
    def share(cls, look: Look) -> tuple[str, ...]:
        return look(AuditShipper).found

    @cached_property
    def missing(self) -> Offences:
        """The consoles whose audit log nothing copies."""
        told = self.every(Role.CONSOLE)
        found = [
            Offence(
                subject=share.host,
                text=f"nothing that runs on {share.host} copies the console's audit.log to another machine",
            )
            for share in told
            if not share.value
        ]
        return Offences(found, "; ".join(f"{share.host}: {', '.join(share.value)}" for share in told))


def is_open(version: str) -> bool:
    """Whether a version of the database's scheme is Pandora Open's, which began to count again."""
    return version.startswith("1.")


_LOADERS = tuple(f"{console}/enterprise/load_enterprise.php" for console in CONSOLES)
_EDITION = Ask(
    key="console-edition",
    argv=("stat", "-L", "-c", "%n", *CONSOLES, *_LOADERS),
    root=True,
    only_if=Role.CONSOLE,
)


class ConsoleEdition(Fact):
    """Whether the Enterprise part of the console is installed."""

    role = Role.CONSOLE
    questions = (_EDITION,)

    @cached_property
    def is_enterprise(self) -> bool:
        there = self.answers[_EDITION.key].lines
        nothing_withheld(self.answers[_EDITION.key])
        if not set(there) & set(CONSOLES):
            raise NotObserved(f"the console lies in none of {', '.join(CONSOLES)}")
        return bool(set(there) & set(_LOADERS))


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one host told of the console.

    Args:
        tables: of the database; None where ``no_tables`` says why not.
        enterprise: whether its console is the Enterprise edition; None where ``no_edition`` says why not.
        creates_agents: whether its server creates agents by their data; None where nobody told.
        audited: when the newest record of its audit.log was written; None where ``not_audited`` says why not.
    """

    tables: Tables | None = None
    enterprise: bool | None = None
    creates_agents: bool | None = None
    audited: str | None = None
    no_tables: str = ""
    no_edition: str = ""
    not_audited: str = ""


@dataclass(frozen=True)
class User:
    """A console user who may log in."""

    name: str
    is_admin: bool
    is_local: bool
    enrolled: bool


class PandoraConsole(Across):
    """The console of a deployment, by what its database holds."""

    of: ClassVar[tuple[type[Fact], ...]] = (PandoraDatabase, ConsoleEdition, PandoraServer, AuditFile)

    @classmethod
    def share(cls, look: Look) -> Told:
        told = cls.heard(look)
        if (told.tables, told.enterprise, told.creates_agents, told.audited) == (None,) * 4:
            raise NotApplicable(f"{told.no_tables}; {told.no_edition}")
        return told

    @classmethod
    def heard(cls, look: Look) -> Told:
        """What one host told, which may be nothing."""
        found: dict[str, Any] = {}
        try:
            found["tables"] = look(PandoraDatabase).tables
        except (NotObserved, NotApplicable) as silent:
            found["no_tables"] = str(silent)
        try:
            found["enterprise"] = look(ConsoleEdition).is_enterprise
        except (NotObserved, NotApplicable) as silent:
            found["no_edition"] = str(silent)
        try:
            found["audited"] = look(AuditFile).newest
        except (NotObserved, NotApplicable) as silent:
            found["not_audited"] = str(silent)
        # Told by nobody, or no server: never taken for a refusal.
        with contextlib.suppress(NotObserved, NotApplicable):
            found["creates_agents"] = bool(look(PandoraServer).creates_agents)
        return Told(**found)

    # --- who told ---

    @cached_property
    def _told(self) -> tuple[Told, ...]:
        return tuple(share.value for share in self.shares if share.told)

    @cached_property
    def _tables(self) -> Tables:
        told: dict[str, Tables] = {
            share.host: share.value.tables for share in self.shares if share.told and share.value.tables
        }
        why = [f"{share.host}: {share.silence or share.absent or share.value.no_tables}" for share in self.shares]
        return _only(told, why)

    @cached_property
    def is_enterprise(self) -> bool:
        """Whether the console is the Enterprise edition. Raises NotObserved when no console showed it."""
        told = self._editions
        if not told:
            why = "; ".join(f"{share.host}: {share.silence or share.absent}" for share in self.shares if not share.told)
            raise NotObserved(f"no console showed whether its Enterprise part is installed{f': {why}' if why else ''}")
        return all(told)

    @cached_property
    def _editions(self) -> list[bool]:
        return [told.enterprise for told in self._told if told.enterprise is not None]

    def _by_edition(self, offences: Offences, means: str) -> Offences:
        """Offences of a setting that only the Enterprise edition heeds. Raises UnmetEdition where it is not there."""
        if offences and not self._editions:
            return offences
        if not self.is_enterprise:
            raise UnmetEdition(f"{means} exists in the Enterprise edition only; the settings say: {offences}")
        return offences

    # --- settings ---

    @cached_property
    def _config(self) -> dict[str, list[str]]:
        """Values by token, as they are stored: the console takes the last of doubles."""
        found: dict[str, list[str]] = {}
        for _, token, value in sorted(self._tables["config"], key=lambda row: int(row[0]) if row[0].isdigit() else 0):
            found.setdefault(token, []).append(value)
        return found

    def setting(self, token: str, default: str = "") -> str:
        """The value that the console goes by. Raises NotObserved when the table holds two that differ."""
        values = self._config.get(token, [default])
        if len(set(values)) > 1:
            raise NotObserved(
                f"tconfig holds {token} {len(values)} times, with different values: {', '.join(values)[:100]}"
            )
        return values[-1]

    def _is_on(self, token: str) -> bool:
        return self.setting(token).strip().lower() not in ("", "0", "false", "null")

    def _number(self, token: str, default: int) -> int:
        text = self.setting(token, str(default)).strip() or "0"
        if not re.fullmatch(r"-?\d{1,9}", text):
            raise Unreadable(f"tconfig.{token} is {text[:50]!r}, which is no number")
        return int(text)

    def _off(self, token: str, text: str = "") -> Offences:
        """The offence of a switch that is not on."""
        on = self._is_on(token)
        said = (
            f"tconfig.{token} is {self.setting(token) or 'empty'}"
            if token in self._config
            else f"tconfig.{token} is absent"
        )
        offences = [] if on else [Offence(subject=token, text=f"{text or 'it is off'}: {said}")]
        return Offences(offences, said)

    @cached_property
    def plain_http(self) -> Offences:
        return self._off("https", "the console does not insist on https")

    # --- passwords ---

    @cached_property
    def users(self) -> tuple[User, ...]:
        """The enabled users who log in, the API's own left out."""
        return tuple(
            User(name, is_admin == "1", local == "1", enrolled == "1")
            for name, is_admin, disabled, not_login, local, enrolled in self._tables["user"]
            if disabled == "0" and not_login == "0"
        )

    @cached_property
    def _local(self) -> tuple[User, ...]:
        """The users who log in with a password of the console's own. Raises NotApplicable when there is none."""
        method = self.setting("auth", "mysql") or "mysql"
        local = method == "mysql" or self._is_on("fallback_local_auth")
        found = tuple(user for user in self.users if local or user.is_local or user.is_admin)
        if not found:
            raise NotApplicable(f"every console user authenticates by {method}: the policy is that directory's")
        return found

    def _policy(self, *wrong: tuple[str, str], means: str) -> Offences:
        """What is wrong with the policy: (token, phrase); a phrase that is empty is no offence."""
        _ = self._local
        off = self._off("enable_pass_policy", "the password policy is off")
        found = [*off, *(Offence(subject=token, text=text) for token, text in wrong if text)]
        return self._by_edition(Offences(found, f"the policy is on for {len(self._local)} local accounts"), means)

    @cached_property
    def password_policy(self) -> Offences:
        return self._policy(means="a password policy")

    def password_length(self, least: int) -> Offences:
        size = self._number("pass_size", 0)
        wrong = f"pass_size is {size}, less than {least}" if size < least else ""
        return self._policy(("pass_size", wrong), means="a least length")

    def password_complexity(self, asked: bool | None) -> Offences:
        _ = self._local
        if not asked:
            raise NotApplicable("neither the site nor a framework asks for complexity (audit_password_complexity)")
        missing = [token for token in ("pass_needs_numbers", "pass_needs_symbols") if not self._is_on(token)]
        return self._policy(*((token, f"{token} is off") for token in missing), means="complexity")

    def password_history(self, depth: int) -> Offences:
        kept = self._number("compare_pass", 0) if self._is_on("enable_pass_history") else 0
        wrong = f"{kept} former passwords are compared, less than {depth}" if kept < depth else ""
        return self._policy(("compare_pass", wrong), means="a history of passwords")

    def password_expiry(self, days: int | None) -> Offences:
        _ = self._local
        if days is None:
            raise NotApplicable("neither the site nor a framework asks passwords to end (audit_password_expiry)")
        expires = self._number("pass_expire", 0)
        wrong = f"pass_expire is {expires} days" if not 0 < expires <= days else ""
        return self._policy(("pass_expire", wrong), means="an end of passwords")

    def password_lockout(self, attempts: int, minutes: int) -> Offences:
        tries, locked = self._number("number_attempts", 0), self._number("mins_fail_pass", 0)
        return self._policy(
            ("number_attempts", f"number_attempts is {tries}" if not 0 < tries <= attempts else ""),
            ("mins_fail_pass", f"mins_fail_pass is {locked} minutes" if locked < minutes else ""),
            means="locking after failed logins",
        )

    @cached_property
    def policy_skips_administrators(self) -> Offences:
        if not any(user.is_admin for user in self._local):
            raise NotApplicable("no administrator logs in with a password of the console's own")
        wrong = "" if self._is_on("enable_pass_policy_admin") else "the policy does not bind administrators"
        return self._policy(("enable_pass_policy_admin", wrong), means="a password policy")

    @cached_property
    def default_credentials(self) -> Offences:
        """The enabled users with a password or an API token that is published."""
        enabled = {row[0]: row[3] for row in self._tables["user"] if row[2] == "0"}
        known = [
            name for name, published, _ in self._tables["password"] if published == "1" and enabled.get(name) == "0"
        ]
        tokens = [name for name, published in self._tables["token"] if published == "1" and name in enabled]
        found = [
            Offence(subject=name, text=f"{name} has the password that the product is shipped with") for name in known
        ]
        found += [
            Offence(subject=f"{name} (API)", text=f"{name} has the API token that is published") for name in tokens
        ]
        return Offences(found, f"none of {len(enabled)} enabled users has a published password or token")

    # --- the second factor ---

    @cached_property
    def second_factor_off(self) -> Offences:
        return self._off("double_auth_enabled", "no second factor is asked for")

    def unenrolled(self, break_glass: Collection[str]) -> Offences:
        """The users who log in without a second factor; emergency accounts are shown, not counted."""
        if not self.users:
            raise NotApplicable("no console user may log in")
        off = list(self.second_factor_off)
        alone = [user.name for user in self.users if not user.enrolled and user.name not in break_glass]
        found = [Offence(subject=name, text=f"{name} has enrolled no second factor") for name in sorted(alone)]
        kept = sorted(user.name for user in self.users if not user.enrolled and user.name in break_glass)
        seen = f"{len(self.users) - len(kept)} users enrolled" + (
            f"; for emergencies: {', '.join(kept)}" if kept else ""
        )
        return Offences([*off, *found], seen)

    @cached_property
    def login_hash(self) -> Offences:
        """The login by hash, which asks for neither password nor second factor: off when its secret is empty."""
        if is_open(self.setting("db_scheme_version")):
            raise NotApplicable("this release has no login by hash")
        secret = self._secret("loginhash_pwd")
        if secret is None:
            text = "loginhash_pwd is absent, so the console makes up one that can be guessed"
            return Offences([Offence(subject="loginhash_pwd", text=text)], "")
        length, published = secret
        weak = (
            f"its secret has {length} characters"
            if length < 16
            else "its secret is a published one"
            if published
            else ""
        )
        found = (
            [Offence(subject="loginhash_pwd", text=f"the login by hash is on, and {weak}")] if length and weak else []
        )
        return Offences(found, "the login by hash is off" if not length else f"its secret has {length} characters")

    def _secret(self, token: str) -> tuple[int, bool] | None:
        """Length of a secret, and whether it is a published one; None where it is not stored."""
        rows = [row for row in self._tables["secret"] if row[1] == token]
        if len(rows) > 1:
            raise NotObserved(f"tconfig holds {token} {len(rows)} times")
        return (int(rows[0][2] or "0"), rows[0][3] == "1") if rows else None

    # --- directories ---

    @cached_property
    def directory_in_the_clear(self) -> Offences:
        """A directory that is asked without TLS. Raises NotApplicable where none is."""
        method = self.setting("auth", "mysql") or "mysql"
        if method not in _SECOND_DIRECTORY:
            raise NotApplicable(f"users authenticate by {method}, not by LDAP or Active Directory")
        found = []
        # The second one is asked whenever the first does not let somebody in.
        for which in ("", "_secondary") if self._is_on(_SECOND_DIRECTORY[method]) else ("",):
            server, switch = self.setting(f"{method}_server{which}"), f"{method}_start_tls{which}"
            if not (server and all(map(_is_safe, server.split()))) and not self._is_on(switch):
                text = f"{switch} is off, and {server or 'the server'} is no ldaps:// address"
                found.append(Offence(subject=f"{method}{which}", text=text))
        return Offences(found, f"logins by {method} travel by TLS")

    # --- the audit log ---

    @cached_property
    def audit_log_off(self) -> Offences:
        off = self._off("audit_log_enabled", "the audit log is not written to its file")
        written = self._tables["record"][0][0] == "1"
        none = [] if written else [Offence(subject="tsesion", text="the database holds no record of any action")]
        found = [*off, *none] or self._not_in_the_file
        return Offences(found, "the audit log is on, and its file holds the newest record of the database")

    @property
    def _not_in_the_file(self) -> list[Offence]:
        """The offence of a file that lacks the newest record. Raises NotObserved where a console did not show its own.

        Each console writes its own records to its own file.
        """
        newest = self._tables["newest"][0][0]
        files = {share.host: share.value for share in self.shares if share.told and share.value.audited is not None}
        last = max((told.audited for told in files.values()), default="")
        if files and last >= newest:
            return []
        for share in self.shares:
            if share.host not in files and share.may_play(Role.CONSOLE):
                raise NotObserved(f"{share.host}: {share.silence or share.absent or share.value.not_audited}")
        if not files:
            raise NotObserved("no console of the deployment was asked for its audit.log")
        ends = f"ends on {last[:10]}" if last else "holds no record"
        text = f"audit.log {ends}, and the database has newer ones (of {newest[:10]})"
        return [Offence(subject="audit.log", text=text, layer="file")]

    def audit_kept(self, days: int) -> Offences:
        # Where it is not set, the nightly maintenance takes this.
        purge = self._number("audit_purge", 7)
        found = (
            [Offence(subject="audit_purge", text=f"records are deleted after {purge} days")] if 0 < purge < days else []
        )
        return Offences(found, "records are never deleted" if purge <= 0 else f"records are kept for {purge} days")

    @cached_property
    def audit_unsigned(self) -> Offences:
        signed = int(self._tables["signature"][0][0])
        found = [] if signed else [Offence(subject="tsesion_extended", text="no record carries a signature")]
        return self._by_edition(Offences(found, "records carry signatures"), "signing records")

    # --- rights ---

    @cached_property
    def acl_off(self) -> Offences:
        off = self._off("acl_enterprise", "the extended ACL is off")
        unused = (
            [] if self._tables["view"] else [Offence(subject="tprofile_view", text="no profile is restricted by it")]
        )
        return self._by_edition(Offences([*off, *unused], f"{len(self._tables['view'])} profiles are restricted"), "it")

    def administrators(self, promised: Collection[str] | None, all_groups: Collection[str]) -> Offences:
        """Administrators, and who sees all groups, besides those that the site promised."""
        names = {user.name for user in self.users}
        admins = {user.name for user in self.users if user.is_admin}
        everywhere = {row[0] for row in self._tables["right"] if row[1] == "0"} & names - admins
        allowed = {*(promised or ()), *all_groups}
        found = [
            Offence(subject=name, text=f"{name} is an administrator") for name in sorted(admins - {*(promised or ())})
        ]
        found += [Offence(subject=name, text=f"{name} sees all groups") for name in sorted(everywhere - allowed)]
        return _promised(
            Offences(found, f"administrators: {', '.join(sorted(admins))}"), promised, "console_administrators"
        )

    def changers(self, promised: Collection[str] | None) -> Offences:
        """Who may change agents and policies, besides those that the site promised."""
        return self._holders((3, 4, 5), promised, "may change agents or policies", "policy_editors")

    def uploaders(self, promised: Collection[str] | None) -> Offences:
        """Who may upload what agents or servers execute, besides those that the site promised."""
        return self._holders((3, 5), promised, "may upload executables", "uploaders")

    def _holders(self, rights: tuple[int, ...], promised: Collection[str] | None, may: str, promise: str) -> Offences:
        names = {user.name for user in self.users}
        by_profile = {row[0]: row[2] for row in self._tables["right"] if any(row[right] == "1" for right in rights)}
        holders = {name: f"by the profile {by_profile[name]}" for name in sorted(by_profile.keys() & names)}
        holders |= {user.name: "as an administrator" for user in self.users if user.is_admin}
        found = [
            Offence(subject=name, text=f"{name} {may}, {how}")
            for name, how in sorted(holders.items())
            if name not in (promised or ())
        ]
        return _promised(Offences(found, f"{', '.join(sorted(holders)) or 'nobody'} {may}"), promised, promise)

    # --- sessions and the API ---

    def long_sessions(self, minutes: int) -> Offences:
        """The idle times that are longer: of the console, and of users who have one of their own."""
        general = self._number("session_timeout", 90) or 90
        text = "sessions never end" if general < 0 else f"idle sessions end after {general} minutes"
        found = [] if 0 < general <= minutes else [Offence(subject="session_timeout", text=text)]
        names = {user.name for user in self.users}
        for name, own in self._tables["session"]:
            if name in names and not (re.fullmatch(r"\d{1,9}", own) and int(own) <= minutes):
                found.append(Offence(subject=name, text=f"{name} has an idle time of {own} minutes"))
        return Offences(found, text)

    @cached_property
    def open_api(self) -> Offences:
        """What lets anybody use the API: every address, no password, a published one."""
        found = []
        addresses = [each.strip() for each in re.split(r"[;\n]", self.setting("list_ACL_IPs_for_API"))]
        found += [
            Offence(subject=each, text=f"the API answers every address ({each})")
            for each in addresses
            if sum(_admits(each, stranger) for stranger in _STRANGERS) > 1
        ]
        length, published = self._secret("api_password") or (0, False)
        if not length or published:
            text = "the API has no password" if not length else "the API's password is a published one"
            found.append(Offence(subject="api_password", text=text))
        return Offences(found, f"the API answers {', '.join(filter(None, addresses)) or 'nobody'}, with a password")

    # --- groups and agents ---

    @cached_property
    def open_groups(self) -> Offences:
        """The groups that new agents may land in without a password; none where no server creates agents."""
        if self._refuses_unknown_agents:
            return Offences([], "no server creates agents by their data: autocreate is 0")
        groups = self._tables["group"]
        open_ = sorted(name for _, name, protected in groups if protected != "1")
        found = [Offence(subject=name, text=f"the group {name} has no password") for name in open_]
        return self._by_edition(Offences(found, f"all {len(groups)} groups have a password"), "a group's password")

    @cached_property
    def _refuses_unknown_agents(self) -> bool:
        """Whether every server was seen to refuse agents that it does not know."""
        servers = [share for share in self.shares if share.may_play(Role.SERVER)]
        return bool(servers) and all(share.told and share.value.creates_agents is False for share in servers)

    @property
    def _agents(self) -> dict[str, list[tuple[str, ...]]]:
        """The rows of the agents in use by their alias, which several may have."""
        found: dict[str, list[tuple[str, ...]]] = {}
        for row in self._tables["agent"]:
            found.setdefault(row[2], []).append(row)
        return found

    def learning(self, sensitive: Collection[str] | None) -> Offences:
        """The sensitive agents that data may change."""
        agents = self._agents
        learns = {alias for alias, rows in agents.items() if any(row[3] != "0" for row in rows)}
        if sensitive is None:
            if not learns:
                return Offences([], f"none of {len(agents)} agents learns")
            raise ToDecide(
                f"{len(learns)} of {len(agents)} agents learn: which are sensitive? (audit_sensitive_agents)"
            )
        _known(sensitive, agents, "audit_sensitive_agents")
        found = [Offence(subject=alias, text=f"data may change {alias}") for alias in sorted(learns & set(sensitive))]
        return Offences(found, f"data changes none of {len(sensitive)} sensitive agents")

    def with_agent(self, agentless: Collection[str] | None) -> Offences:
        """The most sensitive devices on which an agent runs."""
        if agentless is None:
            raise ToDecide("which devices are so sensitive that no agent may run there? (audit_agentless)")
        if not agentless:
            raise NotApplicable("the site says that no device is that sensitive")
        agents = self._agents
        _known(agentless, agents, "audit_agentless")
        run = {alias for alias, rows in agents.items() if any(row[5] == "1" for row in rows)}
        found = [Offence(subject=each, text=f"an agent runs on {each}") for each in sorted(run & set(agentless))]
        return Offences(found, f"{len(agentless)} devices are watched without agent")

    def undescribed(self, hosts: Collection[str], fields: Collection[str] | None) -> Offences:
        """The fields of the servers' own agents that nobody filled in."""
        if fields is None:
            raise ToDecide("which fields of the server's agent are filled in? (audit_agent_fields)")
        agents = [row for row in self._tables["agent"] if row[2] in hosts or row[1] in hosts]
        if not agents:
            raise NotObserved(f"the database knows no agent called {' or '.join(sorted(hosts))}")
        custom = {(agent, name) for agent, name in self._tables["field"]}
        found = []
        for row in sorted(agents, key=lambda row: row[2]):
            alias = row[2]
            own = {"address": row[6] == "1", "description": row[7] == "1", "group": row[4] != "0"}
            missing = [each for each in fields if not own.get(each, (row[0], each) in custom)]
            found += [Offence(subject=f"{alias}: {each}", text=f"{alias}: {each} is empty") for each in missing]
        return Offences(found, f"{', '.join(sorted({row[2] for row in agents}))}: {', '.join(fields)} are filled in")

    @cached_property
    def servers(self) -> tuple[str, ...]:
        """The names of the deployment's Pandora FMS servers. Raises NotApplicable where none is."""
        found = tuple(share.host for share in self.shares if Role.SERVER in share.roles)
        if not found:
            raise NotApplicable("no Pandora FMS server is among the hosts")
        return found


# Addresses that have nothing in common, and that nobody's list can mean.
_STRANGERS = ("192.0.2.47", "198.51.100.83", "203.0.113.156")


def _is_safe(server: str) -> bool:
    """Whether what is said to a directory stays on the machine, or travels by TLS."""
    host = re.sub(r"^ldap://|:\d{1,5}/?$|/$", "", server.lower())
    return host.startswith(("ldaps://", "ldapi://")) or is_loopback(host.strip("[]"))


def _admits(entry: str, address: str) -> bool:
    """Whether an entry of the API's list admits an address: the console looks for it anywhere in the address."""
    if entry.startswith("*") and len(entry) > 1:  # the network of a name, which only the console resolves
        return False
    pattern = re.escape(entry).replace(r"\*", ".*") if "*" in entry else re.escape(entry)
    return bool(entry) and re.search(pattern, address) is not None


def _promised(offences: Offences, promised: Collection[str] | None, promise: str) -> Offences:
    if promised is None and offences:
        raise ToDecide(f"{offences}: who may? (audit_{promise})")
    return offences


def _known(names: Collection[str], agents: Mapping[str, object], promise: str) -> None:
    """Raises NotObserved for a promised agent that the database does not know."""
    if unknown := sorted(set(names) - agents.keys()):
        raise NotObserved(f"the database knows no agent called {', '.join(unknown)} ({promise})")
