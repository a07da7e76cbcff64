"""A draft of a site: what its machines show of what only their site can promise, for a person to approve or to strike.

Each line says where and when it was seen, and promises nothing while its ``approved-by`` is empty.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pandora_audit import promises
from pandora_audit.across import Across, Share
from pandora_audit.audit import Audit, Settings
from pandora_audit.fact import Fact
from pandora_audit.facts.accounts import Accounts
from pandora_audit.facts.audit_account import AuditAccount
from pandora_audit.facts.authorized_keys import AuthorizedKeys
from pandora_audit.facts.console_wire import ConsoleWire
from pandora_audit.facts.db_accounts import DbAccounts
from pandora_audit.facts.forwarding import Forwarding
from pandora_audit.facts.listeners import Listeners
from pandora_audit.facts.pandora_agent import PandoraAgent
from pandora_audit.facts.pandora_console import PandoraConsole
from pandora_audit.facts.sshd import Sshd
from pandora_audit.facts.storage import ServerStorage, TentacleStorage
from pandora_audit.facts.sudo import Sudo
from pandora_audit.facts.topology import Topology
from pandora_audit.gather import Machine
from pandora_audit.inventory import ROLE_GROUPS
from pandora_audit.printable import printable
from pandora_audit.question import NotObserved, Role
from pandora_audit.sitefile import Plain, SiteError, dump_yaml
from pandora_audit.verdict import NotApplicable, ToDecide

_HEAD = """\
# A draft that machines have told. Each line {value, seen-on, approved-by} promises nothing before somebody has written
# a name into its approved-by; what it decides is "to decide" until then. Correct its value, or delete the whole line.
"""
# What Ansible would run, wherever it stands in an inventory.
_TEMPLATE = re.compile(r"\{[{%#]")
_CONNECTIONS = ("paramiko", "ssh", "local", "replay")
# The last name of each role: an inventory says agents.
_GROUPS = {role: group for group, role in sorted(ROLE_GROUPS.items())}


@dataclass(frozen=True)
class _Sight:
    """Where a promise can be seen: the fact, and how its value is read there; None where nothing is to be promised."""

    promise: str
    fact: type[Fact]
    look: Callable[[Any], Plain | None]

    def on(self, machine: Machine) -> Plain | None:
        return self.look(machine.fact(self.fact))


def _ssh_port(sshd: Sshd) -> str | None:
    if len(sshd.ports) > 1:
        raise NotObserved(f"SSH answers on several ports: {', '.join(map(str, sorted(sshd.ports)))}")
    return str(*sshd.ports) or None


def _people(accounts: Accounts) -> Plain:
    own = AuditAccount(accounts.seen).name
    return tuple(account.name for account in accounts.people if account.name != own)


def _sudoers(sudo: Sudo) -> Plain:
    # Ways to root that no list can name are told with another layer.
    return tuple(sorted({each.subject for each in sudo.superusers(()) if each.layer == "file"}))


def _directory(accounts: Accounts) -> str | None:
    return next((each.replace("sss", "sssd") for each in accounts.directories("passwd")), None)


def _export(storage: ServerStorage | TentacleStorage) -> str | None:
    return storage.exports[0] if len(storage.exports) == 1 else None


_SIGHTS = (
    _Sight("ssh_port", Sshd, _ssh_port),
    _Sight("account", AuditAccount, lambda account: account.name if account.name != "root" else None),
    _Sight("named_users", Accounts, _people),
    _Sight("directory", Accounts, _directory),
    _Sight("user_keys", AuthorizedKeys, lambda keys: tuple(sorted(keys.strangers(()).subjects))),
    _Sight("sudoers", Sudo, _sudoers),
    _Sight("services", Listeners, lambda listeners: listeners.undecided),
    _Sight("logs_to", Forwarding, lambda forwarding: forwarding.destinations or None),
    _Sight("db_clients", DbAccounts, lambda accounts: accounts.clients),
    _Sight("db_accounts", DbAccounts, lambda accounts: accounts.users),
    _Sight("console_url", ConsoleWire, lambda wire: wire.url(wire.seen.wire.peer or "localhost")),
    _Sight("storage", TentacleStorage, _export),
    _Sight("storage", ServerStorage, _export),
    # That an agent needs the superuser cannot be seen, only that one does without.
    _Sight("unprivileged", PandoraAgent, lambda agent: None if agent.privileged else "yes"),
)


def _everywhere(console: PandoraConsole) -> Plain | None:
    admins = {user.name for user in console.users if user.is_admin}
    return tuple(sorted(console.administrators((), ()).subjects - admins)) or None


_OF_DATABASE: Mapping[str, Callable[[PandoraConsole], Plain | None]] = {
    "console_administrators": lambda console: tuple(sorted(user.name for user in console.users if user.is_admin)),
    "all_groups_users": _everywhere,
    "policy_editors": lambda console: tuple(sorted(console.changers(()).subjects)),
    "uploaders": lambda console: tuple(sorted(console.uploaders(()).subjects)),
}
"""What the console's database tells, on whichever machine it was asked."""


def kinds() -> frozenset[type[Fact]]:
    """The facts that a draft is read from."""
    return frozenset({sight.fact for sight in _SIGHTS} | set(PandoraConsole.of))


@dataclass
class Draft:
    """The draft of these machines.

    Args:
        unseen: what could not be drafted, as sentences: a machine that did not answer, a promise that was not seen.
    """

    machines: Sequence[Machine]
    unseen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        reached = [machine for machine in self.machines if not machine.silence]
        self.unseen += [
            f"{each.target.name}: nothing is drafted: {each.silence}" for each in self.machines if each.silence
        ]
        self._hosts = _named(reached)

    def text(self) -> str:
        """The inventory. Empty when no machine has answered."""
        if not self._hosts:
            return ""
        groups: dict[str, dict[str, None]] = {}
        hosts: dict[str, dict[str, object]] = {}
        for name, machine in self._hosts.items():
            roles = self._roles(name, machine)
            lines: dict[str, Plain] = {}
            if machine.target.promised is None:
                lines["roles"] = tuple(map(str, roles))
            lines |= self._seen(name, machine)
            for role in roles:
                groups.setdefault(_GROUPS[role], {})[name] = None
            hosts[name] = _access(machine) | self._lines(name, machine, lines, f"{name} {machine.seen.day}")
        site: dict[str, object] = {"hosts": hosts}
        if groups:
            site["children"] = {group: {"hosts": names} for group, names in groups.items()}
        return _HEAD + dump_yaml({"all": self._shared(hosts) | site}, width=float("inf"))

    def _roles(self, name: str, machine: Machine) -> list[Role]:
        """The promised ones; else those that it plays."""
        promised = machine.target.promised
        if promised is not None:
            return [role for role in Role if role in promised]
        if hidden := [role for role, state in machine.roles.items() if state.state == "hidden"]:
            self.unseen.append(f"{name}: whether it plays {', '.join(hidden)} is hidden")
        return [role for role in Role if _is_present(machine, role)]

    def _seen(self, name: str, machine: Machine) -> Iterator[tuple[str, Plain]]:
        """What one machine shows, promise by promise."""
        for sight in _SIGHTS:
            yield from self._look(name, sight.promise, functools.partial(sight.on, machine))
        shares = _shares(PandoraConsole, [machine])
        if any(share.told and share.value.tables for share in shares) or _is_present(machine, Role.DATABASE):
            console = PandoraConsole(shares)
            for promise, look in _OF_DATABASE.items():
                yield from self._look(name, promise, functools.partial(look, console))

    def _look(self, name: str, promise: str, look: Callable[[], Plain | None]) -> Iterator[tuple[str, Plain]]:
        try:
            value = look()
        except (NotObserved, ToDecide) as silent:
            self.unseen.append(f"{name}: {promises.PREFIX}{promise} was not seen: {silent}")
        except NotApplicable:
            return
        else:
            if value is not None:
                yield promise, value

    def _lines(self, name: str, machine: Machine, seen: Mapping[str, Plain], on: str) -> dict[str, object]:
        """What the site has promised already, as it is, and drafts of the rest."""
        record = machine.target.promises.to_record().items()
        given = {key: each["value"] for key, each in record if isinstance(each, dict) and "value" in each}
        drafts = self._drafted(name, {key: value for key, value in seen.items() if key not in given}, on)
        return {f"{promises.PREFIX}{key}": value for key, value in given.items()} | drafts

    def _drafted(self, name: str, lines: Mapping[str, Plain], on: str) -> dict[str, object]:
        """The lines, but those that an inventory cannot hold: a machine's word may be anything."""
        found: dict[str, object] = {}
        for promise, value in lines.items():
            key = f"{promises.PREFIX}{promise}"
            words = (value,) if isinstance(value, str) else value
            try:
                promises.read(promise, value, name)
            except SiteError as refused:
                self.unseen.append(str(refused))
                continue
            if any(_TEMPLATE.search(word) for word in words):
                self.unseen.append(f"{name}: {key} was seen with a template in it, which Ansible would run")
                continue
            if any(printable(word) != word or "\n" in word for word in words):
                self.unseen.append(f"{name}: {key} was seen with characters in it that nobody could check")
                continue
            found[key] = promises.drafted(value, on)
        return found

    def _shared(self, hosts: dict[str, dict[str, object]]) -> dict[str, object]:
        """What the machines of a deployment promise together: for all, or for each where there are several."""
        of_all: dict[str, object] = {}
        deployments: dict[str, list[str]] = {}
        for name, machine in self._hosts.items():
            deployments.setdefault(machine.target.promises.deployment, []).append(name)
        for deployment, names in deployments.items():
            machines = [self._hosts[name] for name in names]
            lines = dict(self._look(deployment, "topology", functools.partial(_topology, machines)))
            if not any(machine.target.promises.given("deployment") for machine in machines):
                lines["deployment"] = deployment
            places = [of_all] if len(deployments) == 1 else [hosts[name] for name in names]
            days = sorted({str(machine.seen.day) for machine in machines})
            drafts = self._drafted(deployment, lines, f"{len(names)} machines {' to '.join({days[0]: 0, days[-1]: 0})}")
            for place in places:
                place |= {key: line for key, line in drafts.items() if key not in place}
        return {"vars": of_all} if of_all else {}


def _topology(machines: Iterable[Machine]) -> str:
    shares = _shares(Topology, machines)
    roles = frozenset[Role]().union(*(share.roles for share in shares))
    if missing := {Role.SERVER, Role.CONSOLE, Role.DATABASE} - roles:
        raise NotApplicable(f"no {' or '.join(sorted(missing))} is among the machines")
    return "together" if Topology(shares).shared_machines else "separate"


def _is_present(machine: Machine, role: Role) -> bool:
    return role in machine.roles and machine.roles[role].state == "present"


def _shares(kind: type[Across], machines: Iterable[Machine]) -> list[Share]:
    """What the machines contribute to a fact of a deployment, taken to be one."""
    audit = Audit(settings=Settings(), targets=(), across=frozenset({kind}))
    for machine in machines:
        audit.contribute(machine)
    return [share for shares in audit.shares.values() for share in shares]


def _named(machines: Iterable[Machine]) -> dict[str, Machine]:
    """The machines under names that an inventory can hold, each its own. Raises SiteError for two of one name."""
    found: dict[str, Machine] = {}
    for machine in machines:
        target = machine.target
        if target.backend not in _CONNECTIONS:
            raise SiteError(f"{target.name}: an inventory enters by ssh, paramiko or local, not by {target.backend}")
        name = re.sub(r"[^\w.-]", "-", target.address if target.spec else target.name, flags=re.ASCII)
        if name in found:
            raise SiteError(f"{found[name].target.name} and {target.name} would both be called {name}")
        found[name] = machine
    return found


def _access(machine: Machine) -> dict[str, object]:
    """How the machine was entered, as Ansible says it."""
    target = machine.target
    address = machine.wire.peer if target.backend == "replay" else target.address
    said = {
        "ansible_host": address,
        "ansible_port": target.port,
        "ansible_user": target.user,
        "ansible_ssh_private_key_file": target.identity_file,
        "ansible_connection": target.backend if target.backend in ("ssh", "local") else None,
    }
    return {key: value for key, value in said.items() if value}
