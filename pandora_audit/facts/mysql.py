"""The database server: where it listens, what it runs with, what its next start will do, who protects its files."""

from __future__ import annotations

import ipaddress
import posixpath
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pandora_audit import database_views
from pandora_audit.database_views import Dialect
from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.db_link import DbLink
from pandora_audit.formats import my_cnf, mysql_batch, ss
from pandora_audit.formats.addresses import is_loopback
from pandora_audit.formats.my_cnf import Option
from pandora_audit.offence import Offence, Offences
from pandora_audit.promises import Promises
from pandora_audit.question import Answer, Ask, Cause, NotObserved, Question, Role, Unreadable
from pandora_audit.questions import (
    HIDDEN_OPTIONS,
    NOBODY_ASKED_THE_DATABASE,
    TCP_LISTENERS,
    TCP_OWNERS,
    sql,
)
from pandora_audit.verdict import NotApplicable, ToDecide

_SERVER = Ask(
    key="mysql-server",
    sh="for p in /usr/sbin/mariadbd /usr/libexec/mariadbd /usr/sbin/mysqld /usr/libexec/mysqld; do "
    "[ -x $p ] && exec $p --no-defaults --version; done; exit 1",
    only_if=Role.DATABASE,
)
# Where process 1 is not shown, nothing else need be. When each was started is told in hundredths of a second.
_PROCESS = Ask(
    key="mysql-process",
    sh="ps -ww -p 1 -C mysqld,mariadbd -o pid=,user=,args=; for p in $(ps -C mysqld,mariadbd -o pid=); do "
    "read -r s </proc/$p/stat && set -- ${s##*) } && echo start=${20}; done; "
    "read -r up _ </proc/uptime; echo up=$up hz=$(getconf CLK_TCK); date +now=%s.%N",
    only_if=Role.DATABASE,
)
_UNITS = Ask(
    key="mysql-units",
    argv=("systemctl", "show", "--property=Id,ActiveState,ExecStart,Environment", "mysqld", "mysql", "mariadb"),
    only_if=Role.DATABASE,
)
# As the login account: what that may not read, neither may others. Comments and passwords stay.
_OPTIONS = Ask(
    key="mysql-options",
    sh=f"find -L {' '.join((*my_cnf.MAINS[:1], *my_cnf.FOLDERS))} -maxdepth 4 -type f -name '*.cnf' "
    "-exec stat -L -c 'stat %a %.3Z %s %n' {} + -exec grep -Hn '' {} + 2>/dev/null; true",
    only_if=Role.DATABASE,
    keep=(
        "s/^([^:]*:[0-9]+:)[[:space:]]*[#;].*/\\1/\n"
        f"s/^([^:]*:[0-9]+:[[:space:]]*({HIDDEN_OPTIONS})[[:space:]]*=).*/\\1…/I\np"
    ),
)
_HOMES = Ask(
    key="mysql-homes",
    argv=(
        *("find", "/root/", "/home/", "-maxdepth", "2", "-type", "f", "-name", ".my.cnf", "-perm", "/077"),
        *("-exec", "grep", "-lE", "-e", "^pass", "{}", "+"),
    ),
    root=True,
    only_if=Role.DATABASE,
)
# Questions of the second trip stand behind the key of one of the first.
_VARIABLES = "mysql-variables"
_VIEWS = "mysql-views"
_DEFAULTS_SHOWN = f"{_SERVER.key}@defaults"
_TLS = f"{_SERVER.key}@tls"
_FILES = f"{_SERVER.key}@files"

_DEFAULTS = {
    "port": "3306",
    "mysqlx_port": "33060",
    "admin_port": "33062",
    "extra_port": "0",
    "datadir": "/var/lib/mysql",
    "ssl_key": "",
}
# Where MySQL keeps what SET PERSIST says, in its own words.
_PERSISTED = "mysqld-auto.cnf"
# The key that MySQL makes for itself.
_OWN_KEY = "server-key.pem"
# What whoever leads a cluster sets by statements: each node starts as one that only reads, and is told when it leads.
_OF_THE_ROLE = frozenset(
    {"read_only", "super_read_only", "wsrep_desync", "wsrep_cluster_address"}
    | {f"rpl_semi_sync_{role}_enabled" for role in ("master", "slave", "source", "replica")}
)
_OLD_TLS = ("TLSv1", "TLSv1.0", "TLSv1.1")
# Interfaces behind which only containers and guests of this machine are.
_INNER = re.compile(r"(docker|veth|br-|virbr|lxc|lxd|cni|podman|vnet|tap)")

# What stands between a database and its clients, and speaks its protocol.
_PROXIES = frozenset({"proxysql", "maxscale", "mysqlrouter", "mysqlrouter_main"})

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True, order=True)
class _Listener:
    address: str
    port: int

    @property
    def is_wild(self) -> bool:
        return self.address in ("*", "0.0.0.0", "::")  # noqa: S104  (what others listen on)

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.address)

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def _address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def networks(clients: Iterable[str]) -> tuple[tuple[_Network, ...], tuple[str, ...]]:
    """The promised clients: addresses and networks, and names."""
    found: list[_Network] = []
    names: list[str] = []
    for client in clients:
        try:
            found.append(ipaddress.ip_network(client, strict=False))
        except ValueError:
            names.append(client.lower())
    return tuple(found), tuple(names)


class Mysql(Fact):
    """MySQL, Percona Server or MariaDB."""

    questions = (
        _SERVER,
        _PROCESS,
        _UNITS,
        _OPTIONS,
        _HOMES,
        TCP_LISTENERS,
        TCP_OWNERS,
        *DbLink.questions,
    )
    role = Role.DATABASE

    @classmethod
    def first(cls, promises: Promises) -> tuple[Question, ...]:
        if promises.db_options is None:
            return cls.questions
        return (
            *cls.questions,
            sql(_VARIABLES, database_views.VARIABLES, promises.db_options),
            sql(_VIEWS, database_views.everything(None), promises.db_options),
        )

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        fact = Mysql(seen)
        if seen.answers[_SERVER.key].silence:
            return ()
        return (*fact._as_root(), *fact._hidden_options(), *fact._handshakes(), *fact._files_to_ask())

    # --- asking the server ---

    def _as_root(self) -> Iterator[Ask]:
        """The questions to the database, by root's socket, where no account was promised; each dialect has its own."""
        if self.seen.promises.db_options is None:
            yield sql(f"{_SERVER.key}@{_VARIABLES}", database_views.VARIABLES, None)
            yield sql(f"{_SERVER.key}@{_VIEWS}", database_views.everything(self._dialect), None)

    def _told(self, key: str) -> Answer:
        """What the database answered. Raises NotObserved where nobody may ask it."""
        answer = self.answers[f"{_SERVER.key}@{key}" if self.seen.promises.db_options is None else key]
        if answer.cause is Cause.PRIVILEGE:
            raise NotObserved(NOBODY_ASKED_THE_DATABASE)
        return answer

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """The server's variables as they are in effect."""
        rows = mysql_batch.rows(self._told(_VARIABLES).succeeded().lines)
        if not rows or rows[-1] != ("end",):
            raise Unreadable("the database did not tell its variables to their end")
        return {row[0].lower(): row[1] for row in rows if len(row) == 2}

    def view(self, name: str, columns: int) -> list[tuple[str, ...]]:
        """The rows of one view. Raises NotObserved when it was not read to its end."""
        answer = self._told(_VIEWS)
        rows = mysql_batch.rows(answer.lines)
        if ("end", name) not in rows:
            raise NotObserved(f"the database did not tell its {name}: {_complaint(answer)}")
        found = [row[1:] for row in rows if row[0] == name]
        if any(len(row) != columns for row in found):
            raise Unreadable(f"the database told its {name} in rows of another shape")
        return found

    # --- which server ---

    @cached_property
    def _program(self) -> str:
        return self.answers[_SERVER.key].succeeded().text

    @property
    def is_mariadb(self) -> bool:
        try:
            return "mariadb" in self.variables["version"].lower()
        except (NotObserved, KeyError):
            return "mariadb" in self._program.lower()

    @cached_property
    def release(self) -> tuple[int, int]:
        """Major and minor number of the program that is installed."""
        found = re.search(r"\bVer (\d{1,3})\.(\d{1,3})", self._program)
        if found is None:
            raise Unreadable(f"the server's program calls itself {self._program[:80]!r}")
        return int(found[1]), int(found[2])

    @property
    def _dialect(self) -> Dialect:
        if "mariadb" in self._program.lower():
            return Dialect.MARIADB
        return Dialect.MYSQL if self.release >= (8, 0) else Dialect.MYSQL57

    # --- the next start ---

    @cached_property
    def _known(self) -> dict[str, my_cnf.File]:
        return my_cnf.files(self.answers[_OPTIONS.key].succeeded().lines)

    @property
    def _groups(self) -> frozenset[str]:
        release = ".".join(map(str, self.release))
        return my_cnf.groups(mariadb="mariadb" in self._program.lower(), version=release)

    def _hidden_options(self) -> Iterator[Ask]:
        """What option files say that only root and the server may read, where root may do anything."""
        try:
            hidden = my_cnf.written(self._known, self._groups).unseen
        except NotObserved:
            return
        if hidden:
            yield Ask(key=_DEFAULTS_SHOWN, argv=("my_print_defaults", *sorted(self._groups)), if_all=True)

    @cached_property
    def _written(self) -> tuple[Option, ...]:
        """The options of files and command line in the order in which they count.

        Raises NotObserved where some are hidden.
        """
        written = my_cnf.written(self._known, self._groups)
        options = written.options
        if written.unseen:
            shown = self.answers[_DEFAULTS_SHOWN]
            if shown.silence:
                raise NotObserved(f"the server also reads {written.unseen[0]}, which was not seen")
            options = my_cnf.arguments(shown.succeeded().lines, "option files, by my_print_defaults")
        arguments = self._arguments
        elsewhere = [option for option in arguments if option.name in ("defaults_file", "defaults_extra_file")]
        if elsewhere:
            raise NotObserved(
                f"the server is started with {elsewhere[0].name} {elsewhere[0].value}, which was not seen"
            )
        return (*options, *arguments)

    @cached_property
    def _arguments(self) -> tuple[Option, ...]:
        """The options of the unit that starts the server; of the process where systemd does not say."""
        answer = self.answers[_UNITS.key]
        units = re.split(r"\n\s*\n", "" if answer.silence else answer.text)
        for unit in sorted(units, key=lambda text: "ActiveState=active" not in text):
            if found := re.search(r"^ExecStart=.*?argv\[\]=(.*?) ; ", unit, re.M):
                name = re.search(r"^Id=(\S+)", unit, re.M)
                environment = (
                    "".join(re.findall(r"^Environment=(.*)", unit, re.M)).replace('"', " ").replace("=--", " --")
                )
                words = f"{found[1]} {environment}".split()
                return my_cnf.arguments(words, name[1] if name else "the unit")
        return my_cnf.arguments((word for process in self._processes for word in process[2].split()), "its arguments")

    @cached_property
    def _persisted(self) -> tuple[Option, ...]:
        """What statements have persisted; it counts more than any file."""
        try:
            rows = self.view("persisted", 2)
        except NotObserved:
            if self._dialect is Dialect.MYSQL:
                raise
            return ()
        return tuple(Option(name.lower(), value, _PERSISTED) for name, value in rows)

    @cached_property
    def _next_start(self) -> tuple[Option, ...]:
        return (*self._written, *self._persisted)

    def _will(self, *names: str) -> Option | None:
        """The option that decides at the next start; None where none of these is set."""
        return self._decisive(self._next_start, names)

    def _decisive(self, options: Iterable[Option], names: Collection[str]) -> Option | None:
        try:
            running: Collection[str] = self.variables
        except NotObserved:
            running = ()
        found = [option for each in options if (option := my_cnf.resolved(each, running, names)).name in names]
        return found[-1] if found else None

    # --- listening ---

    @cached_property
    def _processes(self) -> list[tuple[str, ...]]:
        lines = self.answers[_PROCESS.key].lines
        rows = [tuple(words) for line in lines if len(words := line.split(None, 2)) == 3]
        if not any(row[0] == "1" for row in rows):
            raise NotObserved("`ps` showed no processes of others")
        return [row for row in rows if re.match(r"\S*(mysqld|mariadbd)\b", row[2])]

    @property
    def _is_running(self) -> bool:
        """Whether a server answered, or is seen. Raises NotObserved where neither can be known."""
        try:
            return bool(self.variables)
        except NotObserved:
            return bool(self._processes)

    @cached_property
    def _owned(self) -> frozenset[_Listener] | None:
        """The sockets of the server's own processes; None where owners were not shown."""
        owners = self.answers[TCP_OWNERS.key]
        if owners.silence or owners.status != 0:
            return None
        return frozenset(_listeners(line for line in owners.lines if re.search(r'"(mysqld|mariadbd)",', line)))

    def _setting(self, name: str) -> str:
        """A value as it runs; where the server did not tell, as it is written, or the product's own."""
        try:
            return self.variables[name]
        except (NotObserved, KeyError):
            option = self._decisive(self._written, (name,))
            return option.value if option and option.value else _DEFAULTS[name]

    def _port(self, name: str) -> int:
        value = self._setting(name)
        if not re.fullmatch(r"\d{1,5}", value):
            raise Unreadable(f"{name} is {value[:40]!r}")
        return int(value)

    def _listening(self, *ports: int) -> list[_Listener]:
        known = self._owned
        if known is None:
            known = frozenset(_listeners(self.answers[TCP_LISTENERS.key].succeeded().lines))
        return sorted(each for each in known if each.port in ports)

    @cached_property
    def _second_ports(self) -> tuple[int, ...]:
        return () if self.is_mariadb else (self._port("mysqlx_port"), self._port("admin_port"))

    @cached_property
    def _clients_listeners(self) -> list[_Listener]:
        """Where clients reach it now."""
        if self._owned is not None:
            return sorted(each for each in self._owned if each.port not in self._second_ports)
        return self._listening(self._port("port"))

    @cached_property
    def _next_listeners(self) -> tuple[list[_Listener], str]:
        """Where clients will reach it after its next start, and what decides that."""
        off = self._will("skip_networking")
        if off is not None and my_cnf.truth(off.value):
            return [], off.where
        bind = self._will("bind_address")
        return _bound(bind, self._port("port")), bind.where if bind else ""

    @property
    def _clients_ports(self) -> tuple[int, ...]:
        """Where clients log in; at the others that it holds open it speaks to the nodes of its cluster."""
        return self._port("port"), self._port("extra_port")

    @cached_property
    def _nodes(self) -> tuple[str, ...]:
        """The other nodes of its cluster, by its own word."""
        try:
            running = self.variables
        except NotObserved:
            return ()
        galera = running.get("wsrep_cluster_address", "").removeprefix("gcomm://").partition("?")[0]
        members = f"{galera},{running.get('group_replication_group_seeds', '')}".split(",")
        return tuple(
            re.sub(r"(\]|^[^:]*):\d{1,5}$", r"\1", each.strip()).strip("[]") for each in members if each.strip()
        )

    def exposed(self, clients: tuple[str, ...] | None) -> Offences:
        """Where it listens and nobody promised a client. Raises ToDecide where only the site knows its clients."""
        by_nodes = [each for each in self._clients_listeners if self._nodes and each.port not in self._clients_ports]
        by_clients = [each for each in self._clients_listeners if each not in by_nodes]
        offences = self._strays(by_clients, "process", "", clients)
        offences += self._strays(by_nodes, "process", "", (*(clients or ()), *self._nodes))
        try:
            listeners, cause = self._next_listeners
            offences += self._strays(listeners, "next start", cause, clients)
        except NotObserved:
            if not offences:
                raise
        self._decide(offences, clients)
        if not offences and self._nodes and self._owned is None:
            raise NotObserved("a node of a cluster has further ports, and which are the server's was not shown")
        if not (offences or self._clients_listeners or self._is_running):
            raise NotObserved("no server is seen to run here: the database that is in use may be in a container")
        return Offences(offences, f"listens on {', '.join(map(str, self._clients_listeners)) or 'its socket only'}")

    def second_doors(self, clients: tuple[str, ...] | None) -> Offences:
        """The same for the X protocol and the port for administrators."""
        if self.is_mariadb:
            raise NotApplicable("MariaDB has neither the X protocol nor a port for administrators")
        running = self._listening(*self._second_ports)
        offences = self._strays(running, "process", "", clients)
        try:
            for listeners, cause in self._next_second_doors():
                offences += self._strays(listeners, "next start", cause, clients)
        except NotObserved:
            if not offences:
                raise
        self._decide(offences, clients)
        return Offences(offences, f"listens on {', '.join(map(str, running))}" if running else "neither listens")

    def _next_second_doors(self) -> Iterator[tuple[list[_Listener], str]]:
        plugin = self._will("mysqlx")
        ships_it = self.release >= (8, 0)
        if ships_it if plugin is None else my_cnf.truth(plugin.value) is not False:
            bind = self._will("mysqlx_bind_address")
            yield _bound(bind, self._port("mysqlx_port")), bind.where if bind else ""
        admin = self._will("admin_address")
        if admin is not None and admin.value:
            yield _bound(admin, self._port("admin_port")), admin.where

    def _strays(
        self, listeners: Iterable[_Listener], layer: str, cause: str, clients: tuple[str, ...] | None
    ) -> list[Offence]:
        beyond = [each for each in listeners if not each.is_loopback]
        does = "is told to listen" if cause else "listens"
        return [
            Offence(subject=str(each), text=f"{does} on {each}{what}", layer=layer, cause=cause)
            for each in beyond
            if (what := self._unpromised(each, clients)) is not None
        ]

    def _unpromised(self, listener: _Listener, clients: tuple[str, ...] | None) -> str | None:
        """What is wrong with a listener; None where the promised clients come in by it."""
        if not clients:
            return ""
        promised, names = networks(clients)
        here = [interface.network for _, interface in self._link.own_networks]
        routed = any(not any(_meet(client, network) for network in here) for client in promised)

        def brings_one(interface: _Interface) -> bool:
            if names or any(_meet(client, interface.network) for client in promised):
                return True
            # From behind a router they may come to any address, but to a public one only if they are public.
            return routed and (not interface.ip.is_global or any(client.is_global for client in promised))

        strange = [interface.ip for interface in self._reached_by(listener) if not brings_one(interface)]
        return f", to whose address {strange[0]} no promised client comes" if strange else None

    def _reached_by(self, listener: _Listener) -> list[_Interface]:
        """The machine's own addresses at which a listener is reached from outside."""
        own = [
            interface
            for name, interface in self._link.own_networks
            if not (_INNER.match(name) or interface.ip.is_loopback or interface.ip.is_link_local)
        ]
        if listener.is_wild:
            return [each for each in own if each.version == 4 or listener.address != "0.0.0.0"]  # noqa: S104
        address = _address(listener.address)
        if address is None:
            raise NotObserved(f"it listens on {listener.address}, a name that was not resolved")
        return [each for each in own if each.ip == address] or [ipaddress.ip_interface(str(address))]

    @cached_property
    def _link(self) -> DbLink:
        return DbLink(self.seen)

    def _decide(self, offences: list[Offence], clients: tuple[str, ...] | None) -> None:
        """Raises ToDecide where it listens for others, nobody said for whom, and no client is known to be local."""
        if offences and clients is None and not self._clients_are_local:
            raise ToDecide(f"{offences[0]}: for whom? Promise audit_db_clients ([] if only for this machine)")

    @property
    def _clients_are_local(self) -> bool:
        """Whether server and console of Pandora FMS on this machine use this database."""
        try:
            return len(self._link.local) > 1
        except NotObserved:
            return False

    @property
    def is_reached(self) -> bool:
        """Whether anybody but this machine's own programs reaches it, now or after its next start."""
        running = any(not each.is_loopback for each in self._clients_listeners)
        return running or any(not each.is_loopback for each in self._next_listeners[0])

    def nobody_elsewhere(self) -> None:
        """Raises NotApplicable where nobody elsewhere reaches it, NotObserved where a proxy beside it brings some."""
        if self.is_reached:
            return
        for each in ss.sockets("tcp", self.answers[TCP_OWNERS.key].lines if self._owned is not None else ()):
            proxies = {owner.name for owner in each.owners} & (_PROXIES | ({"haproxy"} if each.port == 3306 else set()))
            if proxies and not each.is_local:
                raise NotObserved(
                    f"it listens on loopback only, but {min(proxies)} on this machine takes clients from elsewhere at "
                    f"port {each.port}, and their TLS was not seen"
                )
        raise NotApplicable("it is reached through its socket or loopback only")

    # --- runs with what is written ---

    @cached_property
    def unread_changes(self) -> Offences:
        """Variables that run with another value than the next start will give them."""
        running = self.variables
        decisive: dict[str, Option] = {}
        for option in self._next_start:
            option = my_cnf.resolved(option, running)
            if option.name in running and option.name not in _OF_THE_ROLE:
                decisive[option.name] = option
        origins = {name.lower(): file for name, file in self.view("origins", 2)}
        found = [
            Offence(
                subject=name,
                text=f"{name} is {running[name]!r}, and {option.shown!r} is written"
                + (" (a statement changed it)" if origins.get(name) == "" else ""),
                layer="process",
                cause=option.where,
            )
            for name, option in sorted(decisive.items())
            if self._differs(option, running, origins)
        ]
        found += [
            Offence(
                subject=name,
                text=f"{name} is {running[name]!r} from a file that no longer says so",
                layer="process",
                cause=file,
            )
            for name, file in sorted(origins.items())
            if file and name in running and name not in decisive and self._is_newer(file)
        ]
        return Offences(found, f"the {len(decisive)} variables that files set have the values that they give them")

    def _differs(self, option: Option, running: Mapping[str, str], origins: Mapping[str, str]) -> bool:
        value = running[option.name]
        if my_cnf.same(option.value, value, running.get("datadir", "")) is not False:
            return False
        if origins.get(option.name) == "" or option.where == _PERSISTED or self._is_newer(option.file):
            return True
        # A server that read the file since it changed has rounded or renamed the value itself. Where it cannot tell
        # whether a statement changed it (5.7), or the option is a unit's, numbers are left open.
        return not (origins and option.file) and my_cnf.number(value) is None

    def _is_newer(self, path: str) -> bool:
        """Whether a file has changed, or gone, since the server was started."""
        file = self._known.get(path)
        if not path.startswith("/"):
            return False
        return file is None or file.changed > self._started

    @cached_property
    def _started(self) -> float:
        told = self.answers[_PROCESS.key].text
        clock = re.search(r"^up=(\d{1,10}\.\d{1,3}) hz=(\d{2,4})\nnow=(\d{1,12}\.\d{1,9})$", told, re.M)
        ticks = [int(each) for each in re.findall(r"^start=(\d{1,15})$", told, re.M)]
        if clock is None or not ticks:
            raise NotObserved("when the server was started is not shown: `ps` shows no process of it")
        return float(clock[3]) - float(clock[1]) + min(ticks) / int(clock[2])

    # --- TLS ---

    def _handshakes(self) -> Iterator[Ask]:
        """One TLS handshake with the server for each CA that it is to chain to."""
        try:
            if not self.is_reached:
                return
            beyond = [each for each in self._clients_listeners if not each.is_loopback]
            authorities = self._authorities
        except NotObserved:
            return
        if beyond:
            words = " ".join(map(shlex.quote, authorities or ("/dev/null",)))
            try:
                ports = self._clients_ports
            except NotObserved:  # it stands in a file that only the server may read
                ports = (int(_DEFAULTS["port"]),)
            where = _to_connect(min(beyond, key=lambda each: each.port not in ports))
            loopback = "[::1]:0" if where.startswith("[") else "127.0.0.1:0"
            yield Ask(
                key=_TLS,
                sh=_HANDSHAKE.replace("FROM", loopback)
                .replace("WHERE", shlex.quote(where))
                .replace("AUTHORITIES", words),
                stdin=self._promised_authority,
                seconds=10,
            )

    @cached_property
    def _authorities(self) -> tuple[str, ...]:
        """Files on the host, and our own through standard input, with the CA that clients trust."""
        named = {link.settings.get("dbsslcafile", "") for link in self._link.local}
        files = sorted(path for path in named if path.startswith("/"))
        return (*files, "/dev/stdin") if self.seen.promises.ca else tuple(files)

    @property
    def _promised_authority(self) -> bytes:
        if self.seen.promises.ca is None:
            return b""
        try:
            return Path(self.seen.promises.ca).read_bytes()
        except OSError as error:
            raise NotObserved(f"audit_ca: {self.seen.promises.ca}: {error.strerror}") from error

    @cached_property
    def plain_or_weak(self) -> Offences:
        """What is wrong with the TLS that it offers to clients on other machines."""
        self.nobody_elsewhere()
        offences = [*self._wire_offences(), *self._version_offences()]
        if not offences and not self._authorities:
            raise ToDecide(
                "TLS is offered; by which authority? Promise audit_ca, or name dbsslcafile in Pandora's files"
            )
        return Offences(offences, f"offers {self._versions} with a certificate of the named authority")

    def _wire_offences(self) -> Iterator[Offence]:
        if all(each.is_loopback for each in self._clients_listeners):
            raise NotObserved("others will reach it only after its next start: its certificate was not seen")
        text = self.answers[_TLS].text
        if "does not support SSL" in text:
            yield Offence(subject="tls", text="offers no TLS", layer="wire")
            return
        if re.search("nknown option|must be one of|not found", text):
            raise NotObserved("this host's openssl does not know MySQL's handshake (1.1.1 does)")
        # A code without a certificate is that of a handshake that never was.
        shown = re.findall(r"^ca (.*)\ncode (\d+) \((.*)\)\nend (.*)$", text, re.M)
        if unreadable := re.search(r"^ca (.*)\ncode unreadable$", text, re.M):
            raise NotObserved(f"{unreadable[1]}, which holds the CA, is not readable for this account")
        if len(shown) != len(self._authorities or ("",)):
            raise NotObserved(f"the TLS handshake brought no certificate: {' '.join(text.split())[:200]}")
        for authority, code, words, end in shown:
            if code == "10":
                yield Offence(subject="certificate", text=f"the certificate has expired: {end}", layer="wire")
            elif code != "0" and self._authorities:
                where = self.seen.promises.ca if authority == "/dev/stdin" else authority
                text = f"the certificate does not chain to {where}: {words}"
                yield Offence(subject="certificate", text=text, layer="wire")

    @property
    def _versions(self) -> str:
        return self.variables.get("current_tls_version") or self.variables.get("tls_version", "")

    def _version_offences(self) -> Iterator[Offence]:
        running = self.variables
        if running.get("have_ssl", "YES").upper() in ("DISABLED", "NO"):
            yield Offence(subject="tls", text=f"have_ssl is {running['have_ssl']}", layer="process")
        else:
            yield from _old_versions(self._versions, "process", "")
        versions = self._will("tls_version")
        if versions is not None:
            yield from _old_versions(versions.value or "", "next start", versions.where)
        off = self._will("ssl")
        if off is not None and my_cnf.truth(off.value) is False:
            yield Offence(subject="tls", text="TLS is switched off", layer="next start", cause=off.where)

    def without_tls(self) -> Iterator[tuple[str, str]]:
        """Where the server does not insist on TLS by itself: the layer, and what decides there."""
        if self.variables.get("require_secure_transport", "OFF") != "ON":
            yield "process", ""
        option = self._will("require_secure_transport")
        if option is None or my_cnf.truth(option.value) is not True:
            yield "next start", option.where if option else ""

    # --- switches and files ---

    @cached_property
    def reads_client_files(self) -> Offences:
        """Why LOAD DATA LOCAL works."""
        found = []
        if self.variables.get("local_infile", "OFF") == "ON":
            found.append(Offence(subject="local_infile", text="local_infile is ON", layer="process"))
        option = self._will("local_infile")
        by_default = self.is_mariadb or self.release < (8, 0)
        if by_default if option is None else my_cnf.truth(option.value) is not False:
            cause = option.where if option else "the product's own default"
            found.append(
                Offence(subject="local_infile", text="local_infile will be ON", layer="next start", cause=cause)
            )
        return Offences(found, "local_infile is OFF")

    def _files_to_ask(self) -> Iterator[Ask]:
        try:
            paths = {*self._private_paths, f"{self._private_paths[0]}/{_OWN_KEY}"}
        except NotObserved:
            return
        words = " ".join(sorted(path for path in paths if re.fullmatch(r"/[\w./@+-]+", path)))
        yield Ask(key=_FILES, sh=f"stat -L -c '%a %U %n' {words} 2>&1; true")

    @property
    def _private_paths(self) -> list[str]:
        """The data directory and the TLS key."""
        datadir, key = posixpath.normpath(self._setting("datadir")), self._setting("ssl_key")
        return [datadir, posixpath.join(datadir, key)] if key else [datadir]

    @cached_property
    def open_files(self) -> Offences:
        """The database's own files, and option files with passwords, that others may read."""
        found = list(self._open_server_files())
        found += [
            Offence(
                subject=file.path, text="holds a password, and everybody may read it", layer="file", cause=file.path
            )
            for file in self._known.values()
            if file.mode & 0o004 and self._holds_password(file)
        ]
        homes = self.answers[_HOMES.key]
        names = [line for line in homes.lines if line.startswith("/")]
        complaints = [
            line for line in homes.err.decode("utf-8", "backslashreplace").splitlines() if "No such" not in line
        ]
        if complaints:
            raise NotObserved(f"`{_HOMES.short}` did not see everything: {complaints[0][:200]}")
        found += [
            Offence(
                subject=path, text="holds a password, and more than its owner may read it", layer="file", cause=path
            )
            for path in names
        ]
        if not found:
            # Only the server itself knows for certain where its files are.
            self._told(_VARIABLES).succeeded()
        return Offences(found, f"{', '.join(self._private_paths)} and option files with passwords are private")

    def _open_server_files(self) -> Iterator[Offence]:
        if _FILES not in self.answers:
            raise NotObserved("no option file told where the database's files are when they could be asked for")
        told = self.answers[_FILES].text
        for path in self._private_paths:
            row = re.search(rf"^([0-7]{{1,5}}) (\S+) {re.escape(path)}$", told, re.M)
            if row is None:
                if re.search(rf"{re.escape(path)}'?: Permission denied", told):
                    continue  # not even its mode is shown to others
                raise NotObserved(f"`stat` did not tell who may read {path}")
            if int(row[1], 8) & 0o006:
                text = f"mode {row[1]}: everybody may {'write to' if int(row[1], 8) & 2 else 'read'} it"
                yield Offence(subject=path, text=text, layer="file", cause=path)
            if row[2] not in {"root", "mysql", *(process[1] for process in self._processes)}:
                yield Offence(subject=path, text=f"belongs to {row[2]}", layer="file", cause=path)

    @staticmethod
    def _holds_password(file: my_cnf.File) -> bool:
        return any(re.match(r"\s*password[123]?\s*=", line) for line in file.lines.values())


# One handshake an authority; the system's own authorities do not count. It comes from loopback, wherever the server
# listens: of any other address a server counts connections without a login, and refuses it after a hundred of them
# (max_connect_errors). What is left is one line in the log of a MariaDB, and one in Aborted_connects.
_HANDSHAKE = r"""
SSL_CERT_DIR=/nonexistent SSL_CERT_FILE=/nonexistent; export SSL_CERT_DIR SSL_CERT_FILE
handshake() { timeout 4 openssl s_client -starttls mysql -bind FROM -connect WHERE "$@" 2>&1; }
for ca in AUTHORITIES; do
    echo "ca $ca"
    [ -r "$ca" ] || { echo "code unreadable"; continue; }
    case $ca in
        /dev/null) said=$(handshake </dev/null) ;;
        /dev/stdin) said=$(handshake -CAfile "$ca") ;;
        *) said=$(handshake -CAfile "$ca" </dev/null) ;;
    esac
    printf '%s\n' "$said" | sed -nE 's/^ *Verify return code: (.*)/code \1/p' | head -n 1
    printf '%s\n' "$said" | grep -E -m 1 'does not support SSL|nknown option|must be one of|not found'
    printf '%s\n' "$said" | openssl x509 -noout -enddate 2>/dev/null | sed -n 's/notAfter=/end /p'
done
"""


def _to_connect(listener: _Listener) -> str:
    return f"127.0.0.1:{listener.port}" if listener.is_wild else str(listener)


def _old_versions(text: str, layer: str, cause: str) -> Iterator[Offence]:
    versions = [version.strip() for version in text.split(",") if version.strip()]
    if not versions:
        yield Offence(subject="tls", text="no TLS version is allowed", layer=layer, cause=cause)
    for version in versions:
        if version in _OLD_TLS:
            yield Offence(subject=version, text=f"{version} is allowed", layer=layer, cause=cause)


def _meet(one: _Network, other: _Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _bound(option: Option | None, port: int) -> list[_Listener]:
    """The listeners of a list of addresses; none, or an empty one, means all."""
    text = (option.value if option is not None else "") or "*"
    words = [word.strip().partition("/")[0] for word in text.split(",")]
    return [_Listener(word, port) for word in words if word]


def _listeners(lines: Iterable[str]) -> Iterator[_Listener]:
    for line in lines:
        words = line.split()
        if words[:1] == ["State"]:
            continue
        found = re.fullmatch(r"\[?([^\]]*)\]?(?:%\w+)?:(\d{1,5})", words[3]) if len(words) > 4 else None
        if found is None:
            raise Unreadable(f"`ss` said {line[:100]!r}, which is no socket")
        yield _Listener(found[1].partition("%")[0], int(found[2]))


def _complaint(answer: Answer) -> str:
    said = answer.err.decode("utf-8", "backslashreplace").strip().splitlines()
    errors = [line for line in said if line.startswith("ERROR")] or said or ["it said nothing more"]
    return errors[0][:300]
