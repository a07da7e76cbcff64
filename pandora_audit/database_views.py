"""What an audit looks at inside a database, as views that hold no secret, and the account that may read them.

The audit's own account reads the views of the schema ``pandora_audit`` and nothing else. Each stands for a SELECT
that only an administrator may run, of which it lets through names, switches and whether a secret is set. Where root
asks through the socket, nothing needs to be installed: the same SELECTs are run as they are.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

SCHEMA = "pandora_audit"


class Dialect(enum.StrEnum):
    MYSQL57 = "mysql-5.7"
    MYSQL = "mysql"
    MARIADB = "mariadb"


# A bit of MariaDB's number, and the column of mysql.user and mysql.db that says the same.
_PRIVILEGES: tuple[tuple[int, str, str], ...] = (
    (0, "SELECT", "Select"),
    (1, "INSERT", "Insert"),
    (2, "UPDATE", "Update"),
    (3, "DELETE", "Delete"),
    (4, "CREATE", "Create"),
    (5, "DROP", "Drop"),
    (6, "RELOAD", "Reload"),
    (7, "SHUTDOWN", "Shutdown"),
    (8, "PROCESS", "Process"),
    (9, "FILE", "File"),
    (10, "GRANT OPTION", "Grant"),
    (11, "REFERENCES", "References"),
    (12, "INDEX", "Index"),
    (13, "ALTER", "Alter"),
    (14, "SHOW DATABASES", "Show_db"),
    (15, "SUPER", "Super"),
    (16, "CREATE TEMPORARY TABLES", "Create_tmp_table"),
    (17, "LOCK TABLES", "Lock_tables"),
    (18, "EXECUTE", "Execute"),
    (19, "REPLICATION SLAVE", "Repl_slave"),
    (20, "REPLICATION CLIENT", "Repl_client"),
    (21, "CREATE VIEW", "Create_view"),
    (22, "SHOW VIEW", "Show_view"),
    (23, "CREATE ROUTINE", "Create_routine"),
    (24, "ALTER ROUTINE", "Alter_routine"),
    (25, "CREATE USER", "Create_user"),
    (26, "EVENT", "Event"),
    (27, "TRIGGER", "Trigger"),
    (28, "CREATE TABLESPACE", "Create_tablespace"),
)
# From here on MariaDB's bits are rights of administrators.
_ADMINISTRATORS = 29
_OF_A_SCHEMA = (0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 16, 17, 18, 21, 22, 23, 24, 26, 27)


# The SQL is to be read before it is run.
_NEXT = "\n        "


def _listed(words: Iterable[str]) -> str:
    return f"CONCAT_WS(','{''.join(f',{_NEXT}{word}' for word in words)})"


def _columns(bits: Iterable[int]) -> str:
    wanted = frozenset(bits)
    return _listed(f"IF({column}_priv = 'Y', '{name}', NULL)" for bit, name, column in _PRIVILEGES if bit in wanted)


_NATIVE = "mysql_native_password"


def _secret(plugin: str, string: str) -> str:
    """How an account shows who it is: ``plugin=none``, ``set``, or ``unusable`` for a hash that no password has."""
    bad = f"{plugin} = '{_NATIVE}' AND {string} NOT REGEXP '^[*][0-9A-F]{{40}}$'"
    state = f"IF(IFNULL({string}, '') = '', 'none', IF({bad}, 'unusable', 'set'))"
    return f"CONCAT({plugin}, '=', {state})"


def _mariadb_secret(place: str) -> str:
    plugin, string = (f"JSON_VALUE(Priv, '$.{place}{name}')" for name in ("plugin", "authentication_string"))
    return _secret(plugin, string)


# MariaDB keeps one way in at the top and further ones, any of which is enough, in a list.
_WAYS = ("", *(f"auth_or[{number}]." for number in range(4)))
_MARIADB_PRIVILEGES = _listed(
    (
        *(f"IF(access & {1 << bit}, '{name}', NULL)" for bit, name, _ in _PRIVILEGES),
        f"IF(access >> {_ADMINISTRATORS}, 'ADMIN', NULL)",
    )
)
_ACCOUNTS_MARIADB = f"""
SELECT User AS user, Host AS host, IFNULL(JSON_VALUE(Priv, '$.account_locked'), 0) AS locked,
    IFNULL(JSON_VALUE(Priv, '$.is_role'), 0) AS role,
    CONCAT_WS(' '{"".join(f",{_NEXT}{_mariadb_secret(way)}" for way in _WAYS)}) AS ways,
    IF(IFNULL(JSON_VALUE(Priv, '$.ssl_type'), 0) > 0, 'TLS', '') AS tls, {_MARIADB_PRIVILEGES} AS privileges
FROM (SELECT User, Host, Priv, CAST(IFNULL(JSON_VALUE(Priv, '$.access'), 0) AS UNSIGNED) AS access
    FROM mysql.global_priv) AS them"""  # noqa: S608  (of constants, as all here)
_ACCOUNTS_MYSQL = f"""
SELECT User AS user, Host AS host, account_locked = 'Y' AS locked, 0 AS role,
    {_secret("plugin", "authentication_string")} AS ways, IF(ssl_type = '', '', 'TLS') AS tls,
    {_columns(bit for bit, _, _ in _PRIVILEGES)} AS privileges
FROM mysql.user"""  # noqa: S608

_SCHEMA_GRANTS = f"""
SELECT 'schema' AS kind, User AS user, Host AS host, Db AS place, '' AS object, {_columns(_OF_A_SCHEMA)} AS privileges
FROM mysql.db"""  # noqa: S608
_GRANTS = (
    _SCHEMA_GRANTS,
    "SELECT 'table', User, Host, Db, Table_name, CONCAT_WS(',', NULLIF(Table_priv, ''), NULLIF(Column_priv, '')) "
    "FROM mysql.tables_priv",
    "SELECT 'routine', User, Host, Db, Routine_name, Proc_priv FROM mysql.procs_priv",
    "SELECT 'proxy', User, Host, Proxied_user, Proxied_host, 'PROXY' FROM mysql.proxies_priv",
)
_GRANTS_MYSQL8 = (
    "SELECT 'global', USER, HOST, '', '', PRIV FROM mysql.global_grants",
    "SELECT 'role', TO_USER, TO_HOST, FROM_USER, FROM_HOST, '' FROM mysql.role_edges",
)
_GRANTS_MARIADB = ("SELECT 'role', User, Host, Role, '', '' FROM mysql.roles_mapping",)


def _union(selects: Iterable[str]) -> str:
    return "\nUNION ALL ".join(selects)


_SESSIONS = """
SELECT DISTINCT PROCESSLIST_USER AS user, IFNULL(PROCESSLIST_HOST, '') AS host, CONNECTION_TYPE AS type
FROM performance_schema.threads
WHERE PROCESSLIST_USER IS NOT NULL AND CONNECTION_TYPE IS NOT NULL"""
# Which schemas hold Pandora's tables: InnoDB's statistics name the tables of all, and nothing of what is in them.
_OWN_SCHEMAS = """
SELECT database_name AS name FROM mysql.innodb_table_stats WHERE table_name IN ('tagente', 'tconfig')
GROUP BY database_name HAVING COUNT(DISTINCT table_name) = 2"""
_NOTHING = "\nSELECT '' AS name, '' AS {} FROM DUAL WHERE FALSE"
# Where a value came from, if the server can tell: a statement, or a file.
_ORIGINS_MYSQL8 = """
SELECT VARIABLE_NAME AS name, IF(VARIABLE_SOURCE = 'DYNAMIC', '', VARIABLE_PATH) AS file
FROM performance_schema.variables_info
WHERE VARIABLE_SOURCE = 'DYNAMIC' OR VARIABLE_SOURCE <> 'PERSISTED' AND VARIABLE_PATH <> ''"""
_ORIGINS_MARIADB = """
SELECT LOWER(VARIABLE_NAME) AS name, IFNULL(GLOBAL_VALUE_PATH, '') AS file FROM information_schema.SYSTEM_VARIABLES
WHERE GLOBAL_VALUE_ORIGIN = 'SQL' OR GLOBAL_VALUE_PATH <> ''"""
_PERSISTED = """
SELECT VARIABLE_NAME AS name, VARIABLE_VALUE AS value FROM performance_schema.persisted_variables
WHERE VARIABLE_NAME NOT REGEXP 'password$|secret|pwd'"""

VIEWS: Mapping[Dialect, Mapping[str, str]] = {
    Dialect.MYSQL57: {
        "accounts": _ACCOUNTS_MYSQL,
        "grants": _union(_GRANTS),
        "schemas": _OWN_SCHEMAS,
        "sessions": _SESSIONS,
        "origins": _NOTHING.format("file"),
        "persisted": _NOTHING.format("value"),
    },
    Dialect.MYSQL: {
        "accounts": _ACCOUNTS_MYSQL,
        "grants": _union((*_GRANTS, *_GRANTS_MYSQL8)),
        "schemas": _OWN_SCHEMAS,
        "sessions": _SESSIONS,
        "origins": _ORIGINS_MYSQL8,
        "persisted": _PERSISTED,
    },
    Dialect.MARIADB: {
        "accounts": _ACCOUNTS_MARIADB,
        "grants": _union((*_GRANTS, *_GRANTS_MARIADB)),
        "schemas": _OWN_SCHEMAS,
        "sessions": _SESSIONS,
        "origins": _ORIGINS_MARIADB,
        "persisted": _NOTHING.format("value"),
    },
}

VARIABLES = "SHOW GLOBAL VARIABLES; SHOW GLOBAL STATUS WHERE Variable_name IN ('Current_tls_version'); SELECT 'end';\n"


def everything(dialect: Dialect | None) -> str:
    """SQL that reads all of it, each row after the name of its view, each view ending with a row of its own.

    Args:
        dialect: of the server, to run the SELECTs themselves; None: to read the views.
    """

    def source(name: str) -> str:
        return f"{SCHEMA}.{name}" if dialect is None else f"({VIEWS[dialect][name]})"

    selects = [(name, f"it.* FROM {source(name)} AS it") for name in VIEWS[Dialect.MYSQL]]
    selects.append(("databases", "SCHEMA_NAME FROM information_schema.SCHEMATA"))
    return "".join(f"SELECT '{name}', {rest};\nSELECT 'end', '{name}';\n" for name, rest in selects)


_PEER = {
    Dialect.MARIADB: "IDENTIFIED VIA unix_socket",
    Dialect.MYSQL: "IDENTIFIED WITH auth_socket",
    Dialect.MYSQL57: "IDENTIFIED WITH auth_socket",
}


def account(dialect: Dialect, name: str) -> str:
    """The SQL, for root to run once, that makes the views and an account that may read them and nothing else."""
    views = "".join(
        f"CREATE OR REPLACE SQL SECURITY DEFINER VIEW {SCHEMA}.{view} AS{text};\n"
        for view, text in VIEWS[dialect].items()
    )
    client = (
        "-- Where the server has no TLS, a third: disable-ssl-verify-server-cert.\n"
        if dialect is Dialect.MARIADB
        else ""
    )
    plugin = (
        ""
        if dialect is Dialect.MARIADB
        else "-- If it is missing: INSTALL PLUGIN auth_socket SONAME 'auth_socket.so';\n"
    )
    return (
        f"-- The account of pandora-audit on {dialect}. Run it as root; run it again after an upgrade of the server.\n"
        "-- Whoever logs in to the host under this name is let in by the socket: no password exists. The option file\n"
        "-- that audit_db_options names then holds two lines: [client] and user=" + name + ".\n"
        f"{client}CREATE DATABASE IF NOT EXISTS {SCHEMA};\n{views}{plugin}"
        f"CREATE USER IF NOT EXISTS '{name}'@'localhost' {_PEER[dialect]};\n"
        "-- Names of schemas, but none of what is in them.\n"
        f"GRANT SHOW DATABASES ON *.* TO '{name}'@'localhost';\n"
        f"GRANT SELECT ON {SCHEMA}.* TO '{name}'@'localhost';\n"
    )
