"""What listens beyond loopback, whose it is, and whether anybody expects it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.baseline import Section
from pandora_audit.fact import Fact
from pandora_audit.facts.processes import Processes
from pandora_audit.formats import addresses, ss
from pandora_audit.formats.ss import Socket
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Answer, Ask, NotObserved, Role
from pandora_audit.questions import ADDRESSES, PROCESSES, TCP_LISTENERS, TCP_OWNERS, UDP_LISTENERS, UDP_OWNERS
from pandora_audit.script import ROLES
from pandora_audit.verdict import ToDecide

_SOCKET_UNITS = Ask(
    key="socket-units",
    argv=("systemctl", "list-sockets", "--show-types", "--no-legend", "--no-pager"),
)
_PORT_RANGE = Ask(key="port-range", argv=("cat", "/proc/sys/net/ipv4/ip_local_port_range"))

_WEB = "apache2|httpd|nginx|caddy|lighttpd|php"
_DATABASE = "mysqld|mariadbd|mysql|mariadb"
# What may stand before a component: balancers, and the engines of containers.
_FRONTS = "haproxy|nginx|apache2|httpd|envoy|traefik|docker|dockerd|containerd|podman|conmon|rootlessport"

# Where Pandora FMS documents that a role listens: protocol, port, and whose program or unit that is.
DOCUMENTED: tuple[tuple[Role, str, int, str], ...] = (
    (Role.TENTACLE, "tcp", 41121, "tentacle"),
    (Role.AGENT, "udp", 41122, "pandora"),
    (Role.CONSOLE, "tcp", 80, _WEB),
    (Role.CONSOLE, "tcp", 443, _WEB),
    (Role.CONSOLE, "tcp", 8080, "pandora_websocket|php"),
    (Role.CONSOLE, "tcp", 8081, "gotty"),
    (Role.CONSOLE, "tcp", 8082, "gotty"),
    (Role.DATABASE, "tcp", 3306, _DATABASE),
    (Role.DATABASE, "tcp", 33060, _DATABASE),
    (Role.SERVER, "udp", 162, "snmptrapd"),
)
_SSH = ("ssh", "sshd", "dropbear")

# What nobody opens to a network by design.
_WRONG_BY_ITSELF = {
    ("tcp", 21): "FTP",
    ("tcp", 23): "telnet",
    ("tcp", 512): "rexec",
    ("tcp", 513): "rlogin",
    ("udp", 69): "TFTP",
    ("tcp", 2375): "Docker without TLS",
    ("tcp", 6379): "Redis",
    ("tcp", 11211): "memcached",
    ("udp", 11211): "memcached",
    **{("tcp", port): "X11" for port in range(6000, 6010)},
}

# What serves its own machine: its name, its program, and the port where the program also has others.
_LOCAL_ONLY: tuple[tuple[str, str, int | None], ...] = (
    ("MySQL's X protocol", "mysqld|mysql", 33060),
    ("MySQL's administrative port", "mysqld|mysql", 33062),
    ("PHP-FPM", r"php-fpm[\d.]*|php[\d.]+-fpm", None),
    ("memcached", "memcached", None),
    ("Redis", "redis-server|redis|valkey-server|valkey|keydb-server", None),
    ("the terminal in the browser", "gotty", None),
    ("the websocket engine", "pandora_websocket_engine", None),
    ("printing", "cupsd|cups", None),
    ("mail", "master|postfix|exim4|exim|sendmail", 25),
    ("chrony's control port", "chronyd|chrony", 323),
)

# Who asks others through UDP from a port of chance, and hears the answers there.
_CLIENTS = (
    *("chronyd", "ntpdate", "rsyslogd", "syslog-ng", "systemd-resolve", "systemd-timesyn", "systemd-network"),
    *("NetworkManager", "dhclient", "dhcpcd", "named", "unbound", "dnsmasq", "snmpd", "snmptrapd", "avahi-daemon"),
    *("snmpget", "snmpwalk", "snmpbulkwalk", "dig", "host", "nslookup", "nmap", "fping"),
)
# Clients that answers reach at a port of their own.
_DHCP_PORTS = (68, 546)
_DHCP_CLIENTS = ("dhclient", "dhcpcd", "NetworkManager", "systemd-network")
# Bridges to the machine's own guests and containers.
_GUESTS = r"(docker|virbr|lxcbr|lxdbr|incusbr|podman|cni|flannel|cali|br-[0-9a-f]{12})"


@dataclass(frozen=True)
class Listener:
    """A port that is open beyond loopback, and who holds it: names of programs and of units.

    Args:
        known: whether it was shown who does; the kernel itself is nobody.
    """

    protocol: str
    port: int
    programs: frozenset[str]
    units: frozenset[str]
    known: bool

    @property
    def name(self) -> str:
        return f"{self.protocol}/{self.port}"

    @property
    def holder(self) -> str:
        """Who holds it, as a phrase."""
        if not self.known:
            return "whose it is was not shown"
        who = ", ".join(sorted(self.programs)) or "the kernel"
        return who + (f" of {', '.join(sorted(self.units))}" if self.units else "")

    def belongs_to(self, pattern: str) -> bool:
        """Whether a program or a unit is called so, or begins so."""
        names = (*self.programs, *(re.sub(r"\.(service|socket|scope)$", "", unit) for unit in self.units))
        return any(re.match(rf"({pattern})($|[-_@.:\d])", name) for name in names)


@dataclass(frozen=True)
class Allowance:
    """A promise of audit_services: a protocol, a range of ports, and the unit that it must be, if any."""

    protocol: str
    first: int
    last: int
    unit: str

    @classmethod
    def of(cls, text: str) -> Allowance:
        ports, _, unit = text.partition(" ")
        protocol, _, numbers = ports.partition("/")
        first, _, last = numbers.partition("-")
        return cls(protocol, int(first), int(last or first), unit)

    def is_for(self, protocol: str, port: int) -> bool:
        return self.protocol == protocol and self.first <= port <= self.last

    def covers(self, listener: Listener) -> bool:
        """Whether it allows this port to whoever holds it. Raises NotObserved where the unit was not shown."""
        if not self.is_for(listener.protocol, listener.port):
            return False
        if self.unit and not listener.known:
            raise NotObserved(f"{listener.name} is promised to {self.unit}, and whose it is was not shown")
        return not self.unit or self.unit in listener.units or f"{self.unit}.service" in listener.units


class Listeners(Fact):
    """The ports at which this machine answers others."""

    questions = (
        TCP_LISTENERS,
        TCP_OWNERS,
        UDP_LISTENERS,
        UDP_OWNERS,
        PROCESSES,
        ADDRESSES,
        _SOCKET_UNITS,
        _PORT_RANGE,
    )
    section = "listeners"

    # --- what listens ---

    @cached_property
    def sockets(self) -> tuple[Socket, ...]:
        """Everything that listens, with its owners where root was asked. Raises NotObserved, Unreadable."""
        return tuple(
            socket
            for protocol, shown, plain in (("tcp", TCP_OWNERS, TCP_LISTENERS), ("udp", UDP_OWNERS, UDP_LISTENERS))
            for socket in ss.sockets(protocol, self._told(shown, plain).succeeded().lines)
        )

    def _told(self, shown: Ask, plain: Ask) -> Answer:
        owners = self.answers[shown.key]
        return self.answers[plain.key] if owners.silence or owners.status != 0 else owners

    @property
    def hidden(self) -> str:
        """Why it was not shown who holds which socket; empty where it was."""
        for shown in (TCP_OWNERS, UDP_OWNERS):
            answer = self.answers[shown.key]
            if answer.silence or answer.status != 0:
                return answer.silence or f"`{answer.question}` exited {answer.status}"
        return ""

    @cached_property
    def _processes(self) -> Processes:
        return Processes(self.seen)

    def listener(self, *sockets: Socket) -> Listener:
        """Who holds these sockets of one port."""
        owners = {owner for socket in sockets for owner in socket.owners}
        units = {
            self._processes.by_pid[owner.pid].place
            for owner in owners
            if owner.pid in self._processes.by_pid and owner.pid != "1"
        }
        if any(owner.pid == "1" for owner in owners):
            units |= self._socket_units(sockets[0])
        known = bool(owners) or not self.hidden
        programs = frozenset(owner.name for owner in owners)
        return Listener(sockets[0].protocol, sockets[0].port, programs, frozenset(units - {"-"}), known)

    def _socket_units(self, socket: Socket) -> set[str]:
        """The units for which systemd itself listens there: the socket, and the service that it starts."""
        kind = "Stream" if socket.protocol == "tcp" else "Datagram"
        rows = (line.split() for line in self.answers[_SOCKET_UNITS.key].succeeded().lines)
        return {
            unit
            for row in rows
            if len(row) > 2 and row[1] == kind and row[0].rpartition(":")[2] == str(socket.port)
            for unit in row[2:]
        }

    @cached_property
    def beyond(self) -> tuple[Listener, ...]:
        """The ports that are open beyond loopback, but for those of clients and of the machine's own guests."""
        ports: dict[tuple[str, int], list[Socket]] = {}
        for socket in self.sockets:
            if not (socket.is_local or self._is_for_guests(socket) or self._is_client(socket)):
                ports.setdefault((socket.protocol, socket.port), []).append(socket)
        return tuple(self.listener(*sockets) for _, sockets in sorted(ports.items()))

    def _is_for_guests(self, socket: Socket) -> bool:
        return re.match(_GUESTS, socket.interface or self._interfaces.get(socket.address, "")) is not None

    @cached_property
    def _interfaces(self) -> dict[str, str]:
        """Addresses of this machine and their interfaces; empty where nobody told."""
        try:
            told = addresses.read(self.answers[ADDRESSES.key])
        except NotObserved:
            return {}
        return {str(interface.ip): name for name, interface in told.interfaces}

    @property
    def interfaces(self) -> tuple[str, ...]:
        """By which strangers come: the one that this audit came by, or else all but those to the machine's own."""
        mine = self._interfaces.get(self.seen.wire.peer)
        others = {each for each in self._interfaces.values() if each != "lo" and not re.match(_GUESTS, each)}
        return (mine,) if mine else tuple(sorted(others)) or ("*",)

    @property
    def has_ipv6(self) -> bool:
        """Whether it can be reached by IPv6; it can where nobody told its addresses."""
        return not self._interfaces or any(":" in address and address != "::1" for address in self._interfaces)

    def _is_client(self, socket: Socket) -> bool:
        """Whether it only hears what it asked for."""
        if socket.protocol != "udp":
            return False
        names = {owner.name for owner in socket.owners}
        if socket.port in _DHCP_PORTS:
            return names <= set(_DHCP_CLIENTS) and bool(names or self.hidden)
        if names == {"ntpd"}:  # it asks from the port that it would answer at
            return socket.port == 123
        low, high = self._ports_of_chance
        return low <= socket.port <= high and bool(names) and names <= set(_CLIENTS)

    @cached_property
    def _ports_of_chance(self) -> tuple[int, int]:
        answer = self.answers[_PORT_RANGE.key]
        found = None if answer.silence else re.match(r"(\d{1,5})\s+(\d{1,5})", answer.text)
        return (int(found[1]), int(found[2])) if found else (32768, 60999)

    # --- who expects it ---

    @cached_property
    def _roles(self) -> frozenset[Role]:
        """The roles that the machine plays, or may play: what is hidden may be there."""
        rows = (line.split(" ", 2) for line in self.answers[ROLES].lines)
        return frozenset(Role(row[0]) for row in rows if row[0] in set(Role) and row[1:2] != ["absent"])

    def is_documented(self, protocol: str, port: int) -> bool:
        """Whether Pandora FMS documents the port for a role of this machine."""
        return any((protocol, port) == each[1:3] and each[0] in self._roles for each in DOCUMENTED)

    @property
    def ssh_ports(self) -> frozenset[int]:
        """The ports of the SSH server, which has controls of its own."""
        found = {each.port for each in self.beyond if each.protocol == "tcp" and each.belongs_to("|".join(_SSH))}
        wire = self.seen.wire
        return frozenset(found | ({wire.port} if wire.port and wire.software.startswith("SSH-") else set()))

    def _is_expected(self, listener: Listener) -> bool:
        """Whether it belongs to a role, or to SSH. Raises NotObserved where that depends on who holds it."""
        if listener.protocol == "tcp" and listener.port in self.ssh_ports:
            return True
        mine = [
            each for each in DOCUMENTED if each[0] in self._roles and each[1:3] == (listener.protocol, listener.port)
        ]
        if mine and not listener.known:
            raise NotObserved(f"{listener.name} is expected of the role {mine[0][0]}, and {self.hidden}")
        return any(listener.belongs_to(f"{each[3]}|{_FRONTS}") for each in mine)

    @cached_property
    def accepted(self) -> Section | None:
        """What the baseline accepts; None where none is in force."""
        try:
            return self.seen.accepted(self.section)
        except ToDecide:
            return None

    def _is_allowed(self, listener: Listener, services: tuple[str, ...]) -> bool:
        if any(Allowance.of(text).covers(listener) for text in services):
            return True
        units = (self.accepted or {}).get(listener.name, ())
        return bool(units) and listener.known and set(units) >= (listener.units or listener.programs or {"the kernel"})

    def proposal(self) -> Section:
        if self.hidden:
            raise NotObserved(self.hidden)
        return {
            each.name: tuple(sorted(each.units or each.programs or {"the kernel"}))
            for each in self.beyond
            if not self._is_expected(each)
        }

    def unexpected(self, services: tuple[str, ...] | None) -> Iterator[tuple[Listener, NotObserved | None]]:
        """The ports that nobody expects, and those of which that cannot be told, with the reason."""
        for listener in self.beyond:
            try:
                if not (self._is_expected(listener) or self._is_allowed(listener, services or ())):
                    yield listener, None
            except NotObserved as untold:
                yield listener, untold

    @property
    def undecided(self) -> tuple[str, ...]:
        """The ports that only the site can tell to be right, each with its unit, as audit_services names them."""
        wrong = self.not_only_local(()).subjects
        found = []
        for listener, untold in self.unexpected(()):
            if untold:
                raise untold
            if listener.name not in wrong and not self.why_wrong(listener):
                unit = " ".join(listener.units) if len(listener.units) == 1 else ""
                found.append(f"{listener.name} {unit}" if unit and " " not in unit else listener.name)
        return tuple(sorted(found))

    def why_wrong(self, listener: Listener) -> str:
        """Why a port is wrong whatever the site says of the others; empty where only the site can tell."""
        if self.is_documented(listener.protocol, listener.port):
            return "and not by its role's own program"
        if "a login session" in listener.units:
            return "by a program that somebody started by hand"
        what = _WRONG_BY_ITSELF.get((listener.protocol, listener.port))
        return f"the port of {what}" if what else ""

    def judged(self, strange: list[Listener], services: tuple[str, ...] | None, layer: str) -> list[Offence]:
        """Offences of ports that nobody expects. Raises ToDecide where only the site can tell, and has not."""
        wrong = {each: self.why_wrong(each) for each in strange}
        undecided = services is None and self.accepted is None
        if undecided and strange and not any(wrong.values()):
            names = ", ".join(f"{each.name} ({each.holder})" for each in strange)
            raise ToDecide(f"open beyond loopback, and not known to be meant: {names}. Promise audit_services")
        return [
            Offence(
                subject=each.name,
                text=f"{each.name} is open: {each.holder}" + (f", {why}" if why else ""),
                layer=layer,
            )
            for each, why in wrong.items()
            if why or not undecided
        ]

    def strangers(self, services: tuple[str, ...] | None) -> Offences:
        """The ports open beyond loopback that neither a role nor the site expects.

        Raises ToDecide where the site promised no list and nothing is wrong by itself.
        """
        unexpected = list(self.unexpected(services))
        found = self.judged([each for each, untold in unexpected if untold is None], services, "process")
        for _, untold in unexpected:
            if untold and not found:
                raise untold
        return Offences(found, f"open beyond loopback: {', '.join(each.name for each in self.beyond) or 'nothing'}")

    def not_only_local(self, services: tuple[str, ...] | None) -> Offences:
        """The services that serve their own machine and listen to others all the same."""
        found = [
            Offence(
                subject=listener.name,
                text=f"{name} listens beyond loopback on {listener.name}: {listener.holder}",
                layer="process",
            )
            for listener in self.beyond
            for name, pattern, port in _LOCAL_ONLY
            if port in (None, listener.port)
            and listener.belongs_to(pattern)
            and not self._is_allowed(listener, services or ())
        ]
        unknown = [each.name for each in self.beyond if not each.known]
        if unknown and not found:
            raise NotObserved(f"whose {', '.join(unknown)} is was not shown: {self.hidden}")
        return Offences(found, "no service that serves this machine only listens beyond loopback")
