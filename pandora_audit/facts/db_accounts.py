"""The accounts of the database: who may enter, from where, shown by what, and with which rights."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.db_link import DbLink
from pandora_audit.facts.mysql import Mysql, networks
from pandora_audit.offence import Offence, Offences
from pandora_audit.promises import Promises
from pandora_audit.question import NotObserved, Question, Role
from pandora_audit.verdict import NotApplicable, ToDecide

# Ways in that check a password kept in the database. Every other asks the operating system or a directory.
_PASSWORDS = (
    *("mysql_native_password", "mysql_old_password", "sha256_password", "caching_sha2_password"),
    *("ed25519", "parsec", ""),
)
# Of those, what the guide asks for; and what stands for it in MariaDB, which had no such plugin before 12.1: a salted
# or keyed proof, where mysql_native_password keeps a bare SHA-1.
_STRONG_MYSQL = ("caching_sha2_password",)
_STRONG_MARIADB = ("ed25519", "parsec", "caching_sha2_password")
_ADMINISTRATORS = frozenset({"SUPER", "GRANT OPTION", "CREATE USER"})
_LOCAL = ("localhost", "127.0.0.1", "::1")
_SHORTEST = 8
# From here on length alone is enough, as NIST SP 800-63B-4 says.
_LONG = 15
# Patterns with more wildcards than this are taken to fit everything.
_MOST_WILDCARDS = 4


@dataclass(frozen=True)
class _Account:
    """A row of the accounts: each way in with its state (none, set, unusable), and rights on everything."""

    user: str
    host: str
    locked: bool
    role: bool
    ways: tuple[tuple[str, str], ...]
    tls: bool
    privileges: frozenset[str]

    @property
    def name(self) -> str:
        return f"{self.user or 'anonymous'}@{self.host}"

    @property
    def enters(self) -> bool:
        return not self.locked and not self.role

    @property
    def is_local(self) -> bool:
        return _is_local(self.host)

    @property
    def passwords(self) -> list[tuple[str, str]]:
        """Its ways in by a password that somebody may have, or by none."""
        return [way for way in self.ways or (("", "none"),) if way[0] in _PASSWORDS and way[1] != "unusable"]


@dataclass(frozen=True)
class _Grant:
    """A right on something: kind (schema, table, routine, proxy, role, global), and who holds it."""

    kind: str
    user: str
    host: str
    place: str
    object: str
    privileges: frozenset[str]

    @property
    def shown(self) -> str:
        return ".".join(filter(None, (self.place, self.object))) or "everything"


class DbAccounts(Fact):
    """Accounts, rights and sessions, as the database keeps them."""

    role = Role.DATABASE

    @classmethod
    def first(cls, promises: Promises) -> tuple[Question, ...]:
        return Mysql.first(promises)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        return Mysql.then(seen)

    @cached_property
    def _mysql(self) -> Mysql:
        return Mysql(self.seen)

    @cached_property
    def _link(self) -> DbLink:
        return DbLink(self.seen)

    @cached_property
    def _accounts(self) -> tuple[_Account, ...]:
        rows = self._mysql.view("accounts", 7)
        accounts = tuple(
            _Account(
                user=user,
                host=host,
                locked=locked == "1",
                role=role == "1",
                ways=tuple((plugin, state) for plugin, _, state in (way.partition("=") for way in ways.split())),
                tls=bool(tls),
                privileges=frozenset(filter(None, privileges.split(","))),
            )
            for user, host, locked, role, ways, tls, privileges in rows
        )
        if not any(account.privileges & _ADMINISTRATORS for account in accounts):
            raise NotObserved("the database listed no administrative account: these are not all of its accounts")
        return accounts

    @cached_property
    def _grants(self) -> tuple[_Grant, ...]:
        return tuple(
            _Grant(kind, user, host, place, thing, frozenset(filter(None, privileges.split(","))))
            for kind, user, host, place, thing, privileges in self._mysql.view("grants", 6)
        )

    @cached_property
    def _schemas(self) -> frozenset[str]:
        return frozenset(name for (name,) in self._mysql.view("databases", 1))

    # --- the accounts of Pandora FMS ---

    @cached_property
    def _own_schemas(self) -> frozenset[str]:
        """The schemas that hold Pandora's tables, and those that its files name."""
        schemas = {name for (name,) in self._mysql.view("schemas", 1)}
        return frozenset(schemas | {link.setting("dbname") for link in self._link.local} - {""})

    def _of_pandora(self, promised: Iterable[str]) -> list[_Account]:
        """Its accounts that can be entered: named by its files or the site, or allowed to write into its schemas.

        Raises ToDecide where none is known.
        """
        named = {link.setting("dbuser") for link in self._link.local} - {""} | set(promised)
        if missing := sorted(named - {account.user for account in self._accounts}):
            raise NotObserved(
                f"the database has no account {missing[0]}, which Pandora's files or audit_db_accounts name"
            )
        writers = {
            (grant.user, grant.host)
            for grant in self._grants
            if grant.kind == "schema"
            and {"INSERT", "DELETE"} <= grant.privileges
            and any(_fits(grant.place, schema) for schema in self._own_schemas)
        }
        found = [
            account
            for account in self._accounts
            if account.enters and account.user and (account.user in named or (account.user, account.host) in writers)
        ]
        if not found:
            raise ToDecide("no account writes into a schema with Pandora's tables; name it: audit_db_accounts")
        return found

    @property
    def users(self) -> tuple[str, ...]:
        """The names of Pandora's accounts, by the database's own word."""
        return tuple(sorted({account.user for account in self._of_pandora(())}))

    @property
    def clients(self) -> tuple[str, ...]:
        """Whence Pandora's accounts are connected or admitted; what admits everybody names nobody."""
        if not self._mysql.is_reached:
            return ()
        accounts = self._of_pandora(())
        users = {account.user for account in accounts}
        found = {host for user, host, kind in self._mysql.view("sessions", 3) if user in users and kind == "TCP/IP"}
        found |= {str(_network(account.host) or account.host) for account in accounts if account.host.strip("%_.:")}
        found = {host for host in found if not (_is_local(host) or set(host) & set("%_"))}
        if not found:
            raise NotObserved("the database listens for others, and no client of it was seen")
        return tuple(sorted(host.removesuffix("/32").removesuffix("/128") for host in found))

    def excess(self, promised: Iterable[str]) -> Offences:
        """The rights of Pandora's accounts beyond their own schemas."""
        accounts = self._of_pandora(promised)
        found = [offence for account in accounts for offence in self._excess(account)]
        own = ", ".join(sorted(self._own_schemas)) or "none"
        return Offences(found, f"{_names(accounts)}: rights on {own} only")

    def _excess(self, account: _Account) -> Iterator[Offence]:
        holders = self._holders(account)
        everything = set[str]()
        for holder in self._accounts:
            if (holder.user, holder.host) in holders:
                everything |= holder.privileges
        for grant in (grant for grant in self._grants if (grant.user, grant.host) in holders):
            if grant.kind == "global":
                everything |= grant.privileges
            elif grant.kind == "proxy":
                text = f"{account.name} may act as {grant.place or 'anybody'}"
                yield Offence(subject=account.name, text=text, layer="process")
            elif grant.kind != "role" and grant.privileges:
                yield from self._beyond(account, grant)
        if everything:
            text = f"{account.name} holds {', '.join(sorted(everything))} on everything"
            yield Offence(subject=account.name, text=text, layer="process")

    def _beyond(self, account: _Account, grant: _Grant) -> Iterator[Offence]:
        fits = (
            [name for name in self._schemas | {grant.place} if _fits(grant.place, name)]
            if grant.kind == "schema"
            else [grant.place]
        )
        literal = re.sub(r"\\([_%])", r"\1", grant.place)
        strange = sorted(set(fits) - self._own_schemas - ({grant.place, literal} if len(fits) > 1 else set()))
        if strange:
            text = f"{account.name} holds rights on {grant.shown}" + (
                f", which is also {', '.join(strange[:3])}" if strange != [grant.place] else ""
            )
            yield Offence(subject=account.name, text=text, layer="process")
        elif grant.privileges & {"GRANT OPTION", "Grant"}:
            text = f"{account.name} may grant others its rights on {grant.shown}"
            yield Offence(subject=account.name, text=text, layer="process")

    def _holders(self, account: _Account) -> frozenset[tuple[str, str]]:
        """The account and the roles that it was granted, directly or through another, and MariaDB's PUBLIC."""
        found = {(account.user, account.host), ("PUBLIC", "")}
        while True:
            roles = {
                (grant.place, grant.object)
                for grant in self._grants
                if grant.kind == "role" and (grant.user, grant.host) in found
            }
            if roles <= found:
                return frozenset(found)
            found |= roles

    def from_anywhere(self, promised: Iterable[str], clients: tuple[str, ...] | None) -> Offences:
        """Pandora's accounts that enter from hosts that nobody named. Raises ToDecide where only the site knows."""
        accounts = self._of_pandora(promised)
        found = [
            Offence(subject=account.name, text=f"{account.name} enters from everywhere", layer="process")
            for account in accounts
            if not account.host.strip("%_.:") and not account.is_local
        ]
        remote = [account for account in accounts if not account.is_local and account.host.strip("%_.:")]
        if clients is None:
            patterns = [account for account in remote if not _is_one_host(account.host)]
            if patterns and not found:
                raise ToDecide(f"{_names(patterns)}: are these its clients' networks? Promise audit_db_clients")
        else:
            found += [
                Offence(
                    subject=account.name,
                    text=f"{account.name} enters from where no client is promised",
                    layer="process",
                )
                for account in remote
                if not _is_promised(account, clients)
            ]
        return Offences(found, f"{_names(accounts)}")

    def plain_links(self, promised: Iterable[str]) -> Offences:
        """Pandora's accounts that may enter from elsewhere without TLS, and sessions that do."""
        self._mysql.nobody_elsewhere()
        remote = [account for account in self._of_pandora(promised) if not account.is_local]
        if not remote:
            raise NotApplicable("Pandora's accounts enter from this machine only")
        found = [
            Offence(subject=account.name, text=f"{account.name} may enter without TLS", layer=layer, cause=cause)
            for account in remote
            if not account.tls
            for layer, cause in self._mysql.without_tls()
        ]
        users = {account.user for account in remote}
        sessions = [
            Offence(subject=user, text=f"{user} is connected from {host} without TLS", layer="process")
            for user, host, kind in self._mysql.view("sessions", 3)
            if user in users and kind == "TCP/IP" and not _is_local(host)
        ]
        return Offences([*sessions, *found], f"TLS is required of {_names(remote)}")

    def weak_plugins(self, promised: Iterable[str]) -> Offences:
        """Pandora's accounts whose password is checked by a weak plugin, or not at all."""
        mariadb = self._mysql.is_mariadb
        strong = _STRONG_MARIADB if mariadb else _STRONG_MYSQL
        why = ", a bare SHA-1; MariaDB has ed25519 and unix_socket for it" if mariadb else ""
        accounts = self._of_pandora(promised)
        found = [
            Offence(
                subject=account.name,
                text=f"{account.name} enters without a password"
                if state == "none"
                else f"{account.name} uses {plugin or 'no plugin'}{why}",
                layer="process",
            )
            for account in accounts
            for plugin, state in account.passwords
            if state == "none" or plugin not in strong
        ]
        used = sorted({f"{account.name}: {' or '.join(way[0] for way in account.ways)}" for account in accounts})
        return Offences(found, ", ".join(used))

    # --- the usual secure installation ---

    def _administers(self, account: _Account) -> bool:
        """Whether an account may make itself anybody: by itself, through a role, or by writing into the accounts."""
        holders = self._holders(account)
        everything = {
            right for each in self._accounts if (each.user, each.host) in holders for right in each.privileges
        }
        writes = any(
            grant.kind == "schema" and {"INSERT", "UPDATE"} & grant.privileges and _fits(grant.place, "mysql")
            for grant in self._grants
            if (grant.user, grant.host) in holders
        )
        return bool(everything & _ADMINISTRATORS) or writes

    @cached_property
    def open_administrators(self) -> Offences:
        """Administrative accounts that anybody enters."""
        found = []
        if self._mysql.variables.get("skip_grant_tables", "OFF") == "ON":
            found.append(Offence(subject="skip_grant_tables", text="accounts are not asked at all", layer="process"))
        administrators = [account for account in self._accounts if account.enters and self._administers(account)]
        found += [
            Offence(
                subject=account.name, text=f"{account.name} administers and enters without a password", layer="process"
            )
            for account in administrators
            if any(state == "none" for _, state in account.passwords)
        ]
        return Offences(
            found, ", ".join(f"{each.name}: {' or '.join(way[0] for way in each.ways)}" for each in administrators)
        )

    @cached_property
    def simple_passwords(self) -> Offences:
        """Why the server lets somebody choose a simple password."""
        holders = [account for account in self._accounts if account.enters and account.passwords]
        if not holders:
            raise NotApplicable("no account that can be entered holds a password")
        variables = self._mysql.variables
        check = _mariadb_check(variables) if self._mysql.is_mariadb else _mysql_check(variables)
        return Offences(check, f"new passwords are checked; {len(holders)} accounts hold one")

    @cached_property
    def anonymous(self) -> Offences:
        found = [
            Offence(subject=account.name, text=f"whoever gives no name enters from {account.host}", layer="process")
            for account in self._accounts
            if account.enters and not account.user
        ]
        return Offences(found, f"each of {len(self._accounts)} accounts has a name")

    @cached_property
    def remote_roots(self) -> Offences:
        roots = [account for account in self._accounts if account.user == "root" and account.enters]
        found = [
            Offence(subject=account.name, text=f"root enters from {account.host}", layer="process")
            for account in roots
            if not account.is_local
        ]
        return Offences(found, f"{_names(roots) or 'no root'}")

    @cached_property
    def test_schemas(self) -> Offences:
        """The schema for everybody, and rights for everybody."""
        found = [
            Offence(subject="test", text="the schema test exists, which is everybody's", layer="process")
            for name in self._schemas
            if name == "test"
        ]
        found += [
            Offence(
                subject=f"rights on {grant.place}", text=f"everybody holds rights on {grant.place}", layer="process"
            )
            for grant in self._grants
            if grant.kind == "schema"
            and grant.privileges
            and (not grant.user or (grant.user, grant.host) == ("PUBLIC", ""))
        ]
        return Offences(found, f"{len(self._schemas)} schemas, none of them test")


def _names(accounts: Iterable[_Account]) -> str:
    return ", ".join(sorted(account.name for account in accounts))


def _is_local(host: str) -> bool:
    return host.lower() in _LOCAL or host.startswith("127.")


def _network(host: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network of an account's host: an address, one with a mask, or one whose last parts are wildcards."""
    text = re.sub(r"(\.%)+$", ".%", host)
    if found := re.fullmatch(r"((?:\d{1,3}\.){1,3})%", text):
        parts = found[1].strip(".").split(".")
        text = ".".join([*parts, *["0"] * (4 - len(parts))]) + f"/{8 * len(parts)}"
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _is_one_host(host: str) -> bool:
    network = _network(host)
    return network.num_addresses == 1 if network is not None else not set(host) & set("%_/")


def _is_promised(account: _Account, clients: tuple[str, ...]) -> bool:
    """Whether all hosts that an account enters from are promised. Raises ToDecide for a name among addresses."""
    known, names = networks(clients)
    network = _network(account.host)
    if network is None:
        if account.host.lower() in names:
            return True
        if names or not clients or set(account.host) & set("%_"):
            return False
        raise ToDecide(f"{account.name}: is that one of audit_db_clients? They are addresses: add the name")
    return any(network.version == each.version and network.subnet_of(each) for each in known)  # type: ignore[arg-type]


def _fits(pattern: str, schema: str) -> bool:
    """Whether a schema is one that a grant's pattern means."""
    if pattern.count("%") > _MOST_WILDCARDS:
        return True
    parts = re.findall(r"\\[_%\\]|.", pattern, re.S)
    expression = "".join({"_": ".", "%": ".*"}.get(part, re.escape(part[-1])) for part in parts)
    return re.fullmatch(expression, schema, re.S) is not None


def _mysql_check(variables: Mapping[str, str]) -> Iterator[Offence]:
    for dot in (".", "_"):
        policy = variables.get(f"validate_password{dot}policy")
        if policy is None:
            continue
        name = f"validate_password{dot}"
        if policy.upper() in ("LOW", "0") and _number(variables, f"{name}length") < _LONG:
            text = "validate_password looks at the length only (policy LOW)"
            yield Offence(subject="validate_password", text=text, layer="process")
        else:
            kinds = ("number_count", "mixed_case_count", "special_char_count")
            yield from _too_simple(variables, name, "length", kinds)
        return
    yield Offence(subject="validate_password", text="validate_password is not loaded", layer="process")


def _mariadb_check(variables: Mapping[str, str]) -> Iterator[Offence]:
    if "cracklib_password_check_dictionary" in variables:
        return
    if "simple_password_check_minimal_length" not in variables:
        text = "neither simple_password_check nor cracklib_password_check is loaded"
        yield Offence(subject="simple_password_check", text=text, layer="process")
        return
    kinds = ("digits", "letters_same_case", "other_characters")
    yield from _too_simple(variables, "simple_password_check_", "minimal_length", kinds)


def _too_simple(variables: Mapping[str, str], name: str, length: str, kinds: Iterable[str]) -> Iterator[Offence]:
    """The passwords that a check lets through: short ones, and those of one kind that are not long."""
    subject, least = name.rstrip("._"), _number(variables, f"{name}{length}")
    if least < _SHORTEST:
        yield Offence(subject=subject, text=f"{subject} accepts {least} characters", layer="process")
    for kind in kinds if least < _LONG else ():
        if variables.get(f"{name}{kind}") == "0":
            yield Offence(subject=subject, text=f"{subject} asks for no {kind.replace('_', ' ')}", layer="process")


def _number(variables: Mapping[str, str], name: str) -> int:
    value = variables.get(name, "")
    return int(value) if re.fullmatch(r"\d{1,9}", value) else 0
