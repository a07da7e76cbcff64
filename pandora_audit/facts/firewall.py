"""What a stranger reaches: the ports that answer from the auditor's place, and the machine's own packet filter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.listeners import DOCUMENTED, Allowance, Listener, Listeners
from pandora_audit.formats import netfilter, units
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.netfilter import Packet
from pandora_audit.formats.units import Unit
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Answer, Ask, Cause, NotObserved, Probe, ProbeKind, Question
from pandora_audit.verdict import ToDecide

_NFT = Ask(key="firewall", argv=("nft", "-j", "list", "ruleset"), root=True, limit=4 * 1024 * 1024)
_TABLES = {
    "ip": Ask(key="firewall-ip", argv=("iptables-save",), root=True, limit=2 * 1024 * 1024),
    "ip6": Ask(key="firewall-ip6", argv=("ip6tables-save",), root=True, limit=2 * 1024 * 1024),
}
_LOADERS = (
    *("nftables", "firewalld", "ufw", "iptables", "ip6tables", "netfilter-persistent", "shorewall", "shorewall6"),
    *("ferm", "csf", "firehol", "firewall", "iptables-restore", "ip6tables-restore", "nftables-restore"),
)
# What iptables of today says of the tables of old, which the kernel minds too.
_OLD_TABLES = "-legacy tables present"
_UNITS = units.ask("firewall-units", *(f"{name}.service" for name in _LOADERS))
# Whether what the next start loads denies anything at all.
_NFTABLES = ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf")
_WRITTEN = Ask(
    key="firewall-files",
    argv=("grep", "-rHwi", "-e", "drop", "-e", "reject", "-e", "include", *_NFTABLES, "/etc/nftables"),
    root=True,
)
_UFW = Ask(key="ufw", sh="grep -Hs '^ENABLED=' /etc/ufw/ufw.conf; true")
# Where administrators load rules without a unit of a known name.
_SCRIPTS = Ask(
    key="firewall-scripts",
    sh="set +f; grep -lsE '^[^#]*([^[:alnum:]_-]|^)(nft|ip6?tables(-restore)?)([^[:alnum:]_.-]|$)' /etc/rc.local "
    "/etc/rc.d/rc.local /etc/network/interfaces /etc/network/interfaces.d/* /etc/network/if-*.d/* "
    "/etc/NetworkManager/dispatcher.d/* /etc/systemd/system/*.service; true",
)

_OLD_PORTS = (21, 23, 512, 513)
_ALWAYS = tuple(sorted({*_OLD_PORTS, *(port for _, protocol, port, _ in DOCUMENTED if protocol == "tcp")}))
_MOST_PORTS = 64
_SPELLED = {"ip": "IPv4", "ip6": "IPv6"}


def _old_tables(family: str) -> Ask:
    question = _TABLES[family]
    program = question.argv[0].replace("-save", "-legacy-save")
    return Ask(key=f"{question.key}@old", argv=(f"/usr/sbin/{program}",), root=True, limit=question.limit)


def _renamed(prefix: str, family: str, answer: Answer) -> netfilter.Chains:
    """The chains of one of iptables' programs, so called that those of others are not mistaken for them."""
    chains = netfilter.iptables(family, answer.lines)
    for chain in chains.values():
        chain.rules = [netfilter.Rule(rule.criteria, rule.verdict, f"{prefix} {rule.target}") for rule in chain.rules]
    return {f"{prefix} {name}": chain for name, chain in chains.items()}


# A database counts such a visit against an address that has a name, until somebody logs in from there; after a hundred
# of them it lets nobody in from there (max_connect_errors). Whoever has an account logs in, and the port answers on.
def _probe(port: int) -> Probe:
    return Probe(key=f"{_NFT.key}@{port}", kind=ProbeKind.PORT, port=port, seconds=2)


_PROBES = tuple(map(_probe, _ALWAYS))


class Firewall(Fact):
    """What lets packets in, and what they find."""

    questions = (*Listeners.questions, _NFT, *_TABLES.values(), _UNITS, _WRITTEN, _UFW, _SCRIPTS, *_PROBES)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        firewall = cls(seen)
        old = (_old_tables(family) for family in _TABLES if firewall._has_old_tables(family))
        return (*(_probe(port) for port in firewall._further), *old)

    @cached_property
    def _listeners(self) -> Listeners:
        return Listeners(self.seen)

    @property
    def _further(self) -> list[int]:
        """The ports beyond those that are always tried: what listens, and where this audit entered."""
        listening = {each.port for each in self._listeners.beyond if each.protocol == "tcp"}
        return sorted({*listening, *self._listeners.ssh_ports}.difference(_ALWAYS))[: _MOST_PORTS - len(_ALWAYS)]

    # --- from outside ---

    @property
    def _tried(self) -> dict[int, Answer]:
        keys = {port: f"{_NFT.key}@{port}" for port in (*_ALWAYS, *self._further)}
        return {port: self.answers[key] for port, key in keys.items()}

    def _answering(self, services: tuple[str, ...] | None) -> Iterator[Listener]:
        """The ports that answer and that nobody documents or promises. Raises NotObserved without a place to look."""
        tried = self._tried
        if not any(answer.status is not None for answer in tried.values()):
            raise NotObserved(f"no port was tried from outside: {next(iter(tried.values())).silence}")
        inside = {each.port: each for each in self._listeners.beyond if each.protocol == "tcp"}
        promised = [Allowance.of(text) for text in services or ()]
        for port, answer in sorted(tried.items()):
            if answer.status != 0 or port in self._listeners.ssh_ports or self._listeners.is_documented("tcp", port):
                continue
            listener = inside.get(port, Listener("tcp", port, frozenset(), frozenset(), known=False))
            accepted = listener.name in (self._listeners.accepted or {})
            if not accepted and not any(each.is_for("tcp", port) for each in promised):
                yield listener

    # --- the machine's own filter ---

    @cached_property
    def _chains(self) -> netfilter.Chains:
        """Every chain of the kernel, by whichever program tells of it. Raises NotObserved where none does."""
        nft = self.answers[_NFT.key]
        told: netfilter.Chains = {}
        wanting = set(_TABLES)
        if not nft.silence and nft.status == 0:
            told = netfilter.nft(nft.text)
            wanting = {name.partition(" ")[0] for name, chain in told.items() if chain.of_iptables}
        chains = {name: chain for name, chain in told.items() if not chain.of_iptables}
        for family, question in _TABLES.items():
            answer = self.answers[question.key]
            if not answer.silence and answer.status == 0:
                chains |= _renamed(f"{family}tables", family, answer)
            elif family in wanting:
                raise NotObserved(nft.silence or answer.silence or f"`{answer.question}` exited {answer.status}")
            old = self.answers[_old_tables(family).key]
            if not old.silence and old.status == 0:
                chains |= _renamed(f"{family}tables of old", family, old)
        return chains

    def _has_old_tables(self, family: str) -> bool:
        answer = self.answers[_TABLES[family].key]
        return not answer.silence and _OLD_TABLES in f"{answer.text}{answer.err!r}"

    def _open_families(self) -> list[str]:
        """The families of which packets that no rule speaks of come in."""
        families = ["ip", *(["ip6"] if self._listeners.has_ipv6 else [])]
        return [
            family
            for family in families
            if not all(netfilter.drops(self._chains, Packet(family, each)) for each in self._listeners.interfaces)
        ]

    @cached_property
    def _loaders(self) -> dict[str, Unit]:
        found = units.units(self.answers[_UNITS.key].succeeded().text)
        return {unit.name.removesuffix(".service"): unit for unit in found}

    @property
    def _is_absent(self) -> bool:
        """Whether there is no program of a filter here at all."""
        answers = [self.answers[question.key] for question in (_NFT, *_TABLES.values())]
        return all(answer.cause is Cause.MISSING for answer in answers) and not any(
            unit.starts or unit.runs for unit in self._loaders.values()
        )

    def _next_start(self) -> Iterator[Offence]:
        """Why the filter that runs now would not come back."""
        starting = [name for name, unit in self._loaders.items() if unit.starts]
        ufw = self.answers[_UFW.key].succeeded().text
        if "ufw" in starting and not re.search(r"=[\"']?yes", ufw, re.I):
            starting.remove("ufw")
        starting += self.answers[_SCRIPTS.key].succeeded().lines
        if not starting:
            text = "nothing loads the filter at the next start: no unit of nftables, firewalld, ufw or iptables is on"
            yield Offence(subject="next start", text=text, layer="next start")
        elif starting == ["nftables"]:
            answer = self.answers[_WRITTEN.key]
            lines = [line.partition(":")[2].partition("#")[0] for line in answer.lines]
            nothing_withheld(answer)
            missing = answer.err.decode("utf-8", "backslashreplace")
            if not any(re.search(r"\b(drop|reject|include)\b", line) for line in lines):
                yield Offence(
                    subject="next start",
                    text="the rules that the next start loads deny nothing",
                    layer="next start",
                    cause=next((path for path in _NFTABLES if path not in missing), ""),
                )

    def _filter(self) -> list[Offence]:
        if self._is_absent:
            text = "no packet filter is installed"
            return [Offence(subject="filter", text=text, layer="next start")]
        families = self._open_families()
        for family in filter(self._has_old_tables, families):
            self.answers[_old_tables(family).key].succeeded()
        found = [
            Offence(
                subject=_SPELLED[family],
                text=f"the host's filter lets in {_SPELLED[family]} packets that no rule speaks of",
                layer="process",
            )
            for family in families
        ]
        return found or list(self._next_start())

    def gaps(self, services: tuple[str, ...] | None, firewall: str) -> Offences:
        """Ports that answer and should not, and a host's filter that does not deny by default.

        Raises ToDecide where the site says that the network filters: a person has to answer for that.
        """
        untold: list[Exception] = []
        found: list[Offence] = []
        try:
            found += self._listeners.judged(list(self._answering(services)), services, "wire")
        except (NotObserved, ToDecide) as fault:
            untold.append(fault)
        if firewall == "network" and not found and not untold:
            raise ToDecide("the network before this machine filters, as audit_firewall says: an attestation is needed")
        try:
            found += [] if firewall == "network" else self._filter()
        except NotObserved as fault:
            untold.append(fault)
        untried = [
            answer for answer in self._tried.values() if answer.status is None and answer.cause is not Cause.UNANSWERED
        ]
        if untried:
            untold.append(NotObserved(f"not every port was tried from outside: {untried[0].silence}"))
        if untold and not found:
            raise untold[-1]
        answering = ", ".join(str(port) for port, answer in self._tried.items() if answer.status == 0)
        return Offences(found, f"denied by default; from the auditor's place answer {answering or 'none'}")
