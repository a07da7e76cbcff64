"""The agents and servers that Pandora FMS knows, by its own database: what an audit could cover."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from pandora_audit.across import Across, Look
from pandora_audit.fact import Fact
from pandora_audit.facts.pandora_console import (
    BROUGHT,
    ConsoleEdition,
    Table,
    Tables,
    database_question,
    is_open,
    read_tables,
)
from pandora_audit.printable import one_line
from pandora_audit.promises import Promises
from pandora_audit.question import Ask, NotObserved, Question, Role, Unreadable
from pandora_audit.verdict import NotApplicable

MOST_AGENTS = 10_000  # one more is asked for

_RELEASE = ("db_scheme_version", "current_package", "MR")
_SETTINGS = ("history_db_enabled", "history_db_host", "node_metaconsole", "metaconsole_base_url", *_RELEASE)
# Ages in whole days: two runs within the hour tell the same. Of what brings nothing itself, the last contact, which
# may be a day off where server and database are in different time zones.
ROSTER: Mapping[str, Table] = {
    "roster_agent": (
        9,
        "LEFT(nombre, 600), LEFT(alias, 200), direccion, id_os,"  # noqa: S608  (of constants, as all here)
        " (SELECT LEFT(tgrupo.nombre, 100) FROM tgrupo WHERE tgrupo.id_grupo = tagente.id_grupo),"
        f" COALESCE((SELECT (UNIX_TIMESTAMP() - MAX(s.utimestamp)) DIV 86400 {BROUGHT}),"
        " TIMESTAMPDIFF(DAY, ultimo_contacto, NOW())), COALESCE(disabled, 0) <> 0, COALESCE(agent_version, '') <> '',"
        " COALESCE(satellite_server, 0) <> 0 FROM tagente ORDER BY id_agente LIMIT 10001",
    ),
    "roster_server": (
        4,
        "name, ip_address, server_type, TIMESTAMPDIFF(DAY, keepalive, NOW()) FROM tserver"
        " ORDER BY name, server_type LIMIT 1000",
    ),
    "roster_node": (1, "LEFT(host, 255) FROM tdatabase ORDER BY id LIMIT 100"),
    "roster_metanode": (
        2,
        "LEFT(server_name, 200), LEFT(server_url, 200) FROM tmetaconsole_setup WHERE disabled = 0"
        " ORDER BY id LIMIT 1000",
    ),
    "roster_setting": (2, f"token, LEFT(value, 200) FROM tconfig WHERE token IN {_SETTINGS}"),
}
_KEY = "pandora-roster"

# As the product numbers them; a site may add others.
_SYSTEMS = {"1": "Linux", "2": "Solaris", "3": "AIX", "4": "BSD", "5": "HP-UX", "8": "MacOS", "9": "Windows"}
_SATELLITE = "13"
SERVER = "server"

_RUNTIMES = r"^(containerd-shim|conmon|docker-proxy)"
_CONTAINERS = {
    role: Ask(key=f"containers-{role}", sh=f"ps -e -o comm= | grep -E '{_RUNTIMES}' | sort -u", only_if=role)
    for role in (Role.SERVER, Role.CONSOLE)
}

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_LAST = r"[A-Za-z](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LAST}")


# What systems call the machine that asks, in their own hosts files.
_OWN_NAMES = ("localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "loopback")


def place(text: str) -> str:
    """An address or a name that a machine can be entered by, in one form; empty for any other text.

    What means the auditor's own machine, several machines or none is no place, and nothing is that a shell, or
    a program that gets it as an argument, would read as something else.
    """
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        name = text.strip().lower().removesuffix(".")
        own = name in _OWN_NAMES or name.endswith((".localhost", ".localdomain", ".localdomain4", ".localdomain6"))
        return name if _HOST.fullmatch(name) and not own else ""
    address = getattr(address, "ipv4_mapped", None) or address
    nowhere = address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local
    scoped = bool(getattr(address, "scope_id", None))
    return "" if nowhere or scoped or str(address) == "255.255.255.255" else str(address)


def keys(*names: str) -> frozenset[str]:
    """Names and addresses in one form: two machines that have one in common are one."""
    return frozenset(place(name) or name.casefold() for name in names if name)


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One agent of Pandora FMS.

    Args:
        name: what people call it (its alias), harmless: letters, digits, dot, dash and underscore.
        own_name: that by which it reports, as it is.
        address: where it can be entered; empty where the database knows no such place.
        days: since it reported; None where that is no number.
        is_endpoint: software on a machine reports; else the server watches a device from outside.
        by_satellite: it is not this server that it reports to.
    """

    name: str
    own_name: str
    address: str
    system: str = ""
    group: str = ""
    days: int | None = None
    disabled: bool = False
    is_endpoint: bool = True
    by_satellite: bool = False

    @property
    def digest(self) -> str:
        """What its files on the server are called by."""
        return hashlib.md5(self.own_name.encode(), usedforsecurity=False).hexdigest()

    def free_name(self, taken: Container[str]) -> str:
        """Its name, or one made of it, that is not taken (in small letters)."""
        name = self.name or "agent"
        while name.casefold() in taken:
            name = f"{name}-{self.digest[:8]}"
        return name

    @property
    def keys(self) -> frozenset[str]:
        """What a host that is its machine is called, or reached by."""
        return keys(self.name, self.own_name, self.address)

    def __str__(self) -> str:
        days = "" if self.days is None else f"last contact {self.days} days ago" if self.days else "reports"
        known = ", ".join(each for each in (self.address, self.system, self.group, days) if each)
        return f"{self.name} ({known})" if known else self.name


@dataclass(frozen=True)
class Component:
    """A part of the installation that the database names: what it is, its name, where it is."""

    kind: str
    name: str
    address: str = ""

    @property
    def keys(self) -> frozenset[str]:
        """What a host that is it is called, or reached by."""
        return keys(self.name, self.address)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" ({self.address})" if self.address not in ("", self.name) else "")


class PandoraRoster(Fact):
    """The agents, the servers and the further databases and consoles that Pandora FMS's database names."""

    @classmethod
    def first(cls, promises: Promises) -> tuple[Question, ...]:
        return (database_question(_KEY, ROSTER, promises),)

    @cached_property
    def _tables(self) -> Tables:
        return read_tables(self.answers[_KEY], ROSTER)

    @cached_property
    def agents(self) -> tuple[Agent, ...]:
        """Every agent, each under a name of its own. Raises NotObserved where there are more than anybody reads."""
        rows = self._tables["roster_agent"]
        if len(rows) > MOST_AGENTS:
            raise NotObserved(f"the database knows more than {MOST_AGENTS} agents")
        found: dict[str, Agent] = {}
        for row in rows:
            agent = _agent(row)
            name = agent.free_name(found)
            found[name.casefold()] = replace(agent, name=name)
        return tuple(found.values())

    @cached_property
    def _settings(self) -> dict[str, str]:
        return {row[0]: row[1] for row in self._tables["roster_setting"]}

    @cached_property
    def release(self) -> str:
        """What is installed, as ``Pandora FMS 7.0NG.776 (database level 69)``; empty where nothing says it."""
        version, package, level = (one_line(self._settings.get(token, ""), 20) for token in _RELEASE)
        if not version:
            return ""
        name = f"Pandora Open {version}" if is_open(version) else f"Pandora FMS {version}.{package or '?'}"
        return f"{name} (database level {level or 'unknown'})"

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """Servers, satellites, nodes and history of the database, metaconsole and its nodes."""
        kinds: dict[tuple[str, str], Component] = {}
        for name, address, server_type, _ in self._tables["roster_server"]:
            kind = "satellite server" if server_type == _SATELLITE else SERVER
            called = one_line(name, 100)
            kinds.setdefault((kind, called), Component(kind, called, place(address)))
        settings, found = self._settings, list(kinds.values())
        if settings.get("history_db_enabled") == "1":
            found.append(_elsewhere("history database", settings.get("history_db_host", "")))
        found += [_elsewhere("node of the database", host) for (host,) in self._tables["roster_node"]]
        if settings.get("node_metaconsole") == "1":
            found.append(_elsewhere("metaconsole", _host_of(settings.get("metaconsole_base_url", ""))))
        for name, url in self._tables["roster_metanode"]:
            found.append(Component("node of the metaconsole", one_line(name, 100), place(_host_of(url))))
        return tuple(found)


def _host_of(url: str) -> str:
    """The host of an address that somebody typed; whatever it is, never more than that."""
    return re.split(r"[/:?#]", re.sub(r"^https?://", "", url))[0]


def _elsewhere(kind: str, host: str) -> Component:
    return Component(kind, one_line(host, 100) or "of unknown address", place(host))


def _agent(row: tuple[str, ...]) -> Agent:
    own_name, alias, address, system, group, days, disabled, is_endpoint, by_satellite = row
    if any(flag not in ("0", "1") for flag in (disabled, is_endpoint, by_satellite)):
        raise Unreadable("the database told of an agent something else than yes or no")
    return Agent(
        name=re.sub(r"[^\w.-]+", "-", alias or own_name)[:100].strip("-."),
        own_name=own_name,
        address=place(address),
        system=_SYSTEMS.get(system, ""),
        group=one_line(group, 60),
        days=int(days) if re.fullmatch(r"\d{1,6}", days) else None,
        disabled=disabled == "1",
        is_endpoint=is_endpoint == "1",
        by_satellite=by_satellite == "1",
    )


class Containers(Fact):
    """Whether containers run beside what Pandora FMS has on the machine."""

    questions = tuple(_CONTAINERS.values())

    @cached_property
    def runtimes(self) -> tuple[str, ...]:
        """The programs that hold containers there. Raises NotApplicable where neither server nor console is."""
        told = [answer for ask in _CONTAINERS.values() if not (answer := self.answers[ask.key]).silence]
        if not told:
            raise NotApplicable("neither server nor console of Pandora FMS is here")
        return tuple(sorted({line.strip() for answer in told for line in answer.lines if line.strip()}))


@dataclass(frozen=True)
class Told:
    """What one host told of the whole: agents and components (or why not), release and edition, its containers."""

    agents: tuple[Agent, ...] | None = None
    components: tuple[Component, ...] = ()
    release: str = ""
    enterprise: bool | None = None
    containers: tuple[str, ...] = ()
    no_agents: str = ""

    @classmethod
    def of(cls, roster: PandoraRoster) -> Told:
        return cls(roster.agents, roster.components, roster.release)


class Estate(Across):
    """What belongs to an installation of Pandora FMS, by what its database and its machines tell."""

    of = (PandoraRoster, ConsoleEdition, Containers)

    @classmethod
    def share(cls, look: Look) -> Told:
        try:
            told = Told.of(look(PandoraRoster))
        except (NotObserved, NotApplicable) as silent:
            told = Told(no_agents=str(silent))
        with contextlib.suppress(NotApplicable):
            told = replace(told, containers=look(Containers).runtimes)
        with contextlib.suppress(NotObserved, NotApplicable):
            told = replace(told, enterprise=look(ConsoleEdition).is_enterprise)
        return told

    @property
    def installed(self) -> str:
        """The release and the edition, as far as they were told; empty where nobody told anything of them."""
        told = [share.value for share in self.shares if share.told]
        releases = sorted({each.release for each in told if each.release})
        editions = {each.enterprise for each in told if each.enterprise is not None}
        names = [name for name, has in (("Enterprise edition", True), ("no Enterprise part", False)) if has in editions]
        return ", ".join([*releases, *names])

    @cached_property
    def agents(self) -> tuple[Agent, ...]:
        """Every agent once. Raises NotObserved, with the reasons, where no host told them."""
        told = [share.value.agents for share in self.shares if share.told and share.value.agents is not None]
        if not told:
            near = [share for share in self.shares if share.may_play(Role.DATABASE, Role.CONSOLE)]
            asked = (near or [*self.shares])[:5]
            why = [f"{each.host}: {each.silence or each.absent or each.value.no_agents}" for each in asked]
            raise NotObserved("; ".join(why) or "no host of the deployment was asked")
        return tuple({(agent.own_name, agent.name): agent for agents in told for agent in agents}.values())

    @cached_property
    def components(self) -> tuple[Component, ...]:
        told = (each for share in self.shares if share.told for each in share.value.components)
        found = list(dict.fromkeys(told))
        for share in self.shares:
            if share.told and share.value.containers:
                found.append(Component("containers", f"on {share.host} ({', '.join(share.value.containers)})"))
        return tuple(found)
