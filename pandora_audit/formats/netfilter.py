"""The kernel's packet filter: whether it lets in what no rule speaks of. From ``nft -j`` or ``iptables-save``.

A packet stands for everything that nobody thought of: new, TCP, to a port of no service, from a stranger. Rules that
speak of it, by interface, protocol or state, count; a rule with any narrower criterion is about something else.
"""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pandora_audit.question import Unreadable

# Assigned to nobody, and in no range but those that mean every port.
_PORT = 4
_EVERYBODY = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True)
class Packet:
    """The unexpected packet: ``ip`` or ``ip6``, and where it comes in."""

    family: str
    interface: str


@dataclass(frozen=True)
class Criterion:
    """What a rule asks of a packet: that a property of it be among these, or (``unless``) not."""

    kind: str
    values: tuple[str, ...] = ()
    unless: bool = False

    def fits(self, packet: Packet) -> bool:
        if self.kind == "other":
            return False
        return self._holds(packet) is not self.unless

    def _holds(self, packet: Packet) -> bool:
        if self.kind == "interface":
            return any(fnmatch.fnmatchcase(packet.interface, value) for value in self.values)
        if self.kind == "family":
            return packet.family in self.values
        if self.kind == "source":
            return any(value in _EVERYBODY for value in self.values)
        if self.kind == "port":
            return any(_is_in(_PORT, value) for value in self.values)
        known = {"state": "new", "protocol": "tcp", "destination": "local"}
        return known[self.kind] in self.values


@dataclass(frozen=True)
class Rule:
    """Criteria, and what happens to a packet that fits all: accept, drop, return, jump or goto; or nothing."""

    criteria: tuple[Criterion, ...]
    verdict: str
    target: str = ""


@dataclass
class Chain:
    """A chain; one with families is where packets to this machine begin.

    Args:
        policy: what happens to a packet that no rule of a base chain decided about.
        of_iptables: whether its table has rules of iptables that nft cannot tell in its own words.
    """

    policy: str = "accept"
    families: tuple[str, ...] = ()
    rules: list[Rule] = field(default_factory=list)
    of_iptables: bool = False


Chains = dict[str, Chain]


def drops(chains: Mapping[str, Chain], packet: Packet) -> bool:
    """Whether some base chain drops the packet: one that does is enough, whatever the others accept."""
    known: dict[str, str] = {}
    base = [name for name, chain in chains.items() if packet.family in chain.families]
    return any((_outcome(chains, name, packet, known) or chains[name].policy) == "drop" for name in base)


def _outcome(chains: Mapping[str, Chain], name: str, packet: Packet, known: dict[str, str]) -> str:
    """accept, drop, or nothing where the packet comes out at the end. A chain in a circle decides nothing."""
    if name in known or name not in chains or len(known) > 2000:
        return known.get(name, "")
    known[name] = ""
    for rule in chains[name].rules:
        if not all(criterion.fits(packet) for criterion in rule.criteria):
            continue
        if rule.verdict in ("accept", "drop"):
            known[name] = rule.verdict
        elif rule.verdict in ("jump", "goto"):
            known[name] = _outcome(chains, rule.target, packet, known)
        if known[name] or rule.verdict in ("return", "goto"):
            break
    return known[name]


def _is_in(port: int, value: str) -> bool:
    low, _, high = value.partition("-")
    if not re.fullmatch(r"\d{1,5}", low) or not re.fullmatch(r"(\d{1,5})?", high):
        return False
    return int(low) <= port <= int(high or low)


# --- nft -j list ruleset ---

_FAMILIES = {"ip": ("ip",), "ip6": ("ip6",), "inet": ("ip", "ip6")}
_HOOKS = ("input", "prerouting")
_VERDICTS = {"accept": "accept", "drop": "drop", "reject": "drop", "return": "return", "jump": "jump", "goto": "goto"}
_META = {
    "iifname": "interface",
    "iif": "interface",
    "l4proto": "protocol",
    "nfproto": "family",
    "protocol": "family",
}
_PAYLOAD = {
    ("tcp", "dport"): "port",
    ("th", "dport"): "port",
    ("ip", "saddr"): "source",
    ("ip6", "saddr"): "source",
    ("ip", "protocol"): "protocol",
    ("ip6", "nexthdr"): "protocol",
}
_SPELLED = {"ipv4": "ip", "ipv6": "ip6", "6": "tcp"}


def nft(text: str) -> Chains:
    """The chains of ``nft -j list ruleset``. Raises Unreadable."""
    try:
        listed = [(kind, body) for each in json.loads(text)["nftables"] for kind, body in each.items()]
        foreign = {
            _name(body, "")
            for kind, body in listed
            if kind == "rule" and any("xt" in statement for statement in body.get("expr", ()))
        }
        chains = {
            _name(body, body["name"]): Chain(
                policy=body.get("policy", "accept"),
                families=_FAMILIES.get(body["family"], ())
                if body.get("type") == "filter" and body.get("hook") in _HOOKS
                else (),
                of_iptables=_name(body, "") in foreign,
            )
            for kind, body in listed
            if kind == "chain"
        }
        sets = {_name(body, body["name"]): body.get("elem", []) for kind, body in listed if kind == "set"}
        for kind, body in listed:
            if kind == "rule":
                chains[_name(body, body["chain"])].rules += _nft_rules(body, sets)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"`nft -j list ruleset` said something else than a ruleset: {error!r}"[:300]) from error
    return chains


def _name(body: Mapping[str, Any], name: str) -> str:
    return f"{body['family']} {body['table']} {name}"


def _nft_rules(body: Mapping[str, Any], sets: Mapping[str, list[Any]]) -> Iterator[Rule]:
    """The rule; for a verdict map, one rule for each of its entries."""
    criteria: list[Criterion] = []
    for statement in body.get("expr", ()):
        (kind, what), *_ = statement.items()
        if kind == "match":
            criteria.append(_criterion(what["left"], what["op"], _named(body, what["right"], sets)))
        elif kind == "limit":
            criteria += [Criterion("other")] if what.get("inv") else []
        elif kind == "vmap":
            for key, verdict in what["data"]["set"] if isinstance(what["data"], dict) else ():
                entry = _criterion(what["key"], "==", key)
                yield _ending(body, (*criteria, entry), *next(iter(verdict.items())))
        elif kind in _VERDICTS:
            yield _ending(body, tuple(criteria), kind, what)


def _ending(body: Mapping[str, Any], criteria: tuple[Criterion, ...], verdict: str, what: Any) -> Rule:
    target = _name(body, what["target"]) if verdict in ("jump", "goto") else ""
    return Rule(criteria, _VERDICTS.get(verdict, ""), target)


def _named(body: Mapping[str, Any], right: Any, sets: Mapping[str, list[Any]]) -> Any:
    """What a rule compares with; the elements of a set that it calls by name."""
    if isinstance(right, str) and right.startswith("@"):
        return {"set": sets.get(_name(body, right[1:]), [])}
    return right


def _criterion(left: Mapping[str, Any], op: str, right: Any) -> Criterion:
    values = tuple(_values(right))
    (kind, what), *_ = left.items()
    known = ""
    if kind == "meta":
        known = _META.get(what["key"], "")
    elif kind == "ct" and what["key"] == "state":
        known = "state"
    elif kind == "payload" and "field" in what:
        known = _PAYLOAD.get((what["protocol"], what["field"]), "")
    elif kind == "fib" and what.get("result") == "type":
        known = "destination" if "daddr" in what.get("flags", ()) else ""
    if not known or op not in ("==", "in", "!="):
        return Criterion("other")
    return Criterion(known, values, op == "!=")


def _values(right: Any) -> Iterator[str]:
    if isinstance(right, list):
        for each in right:
            yield from _values(each)
    elif isinstance(right, dict) and "set" in right:
        yield from _values(right["set"])
    elif isinstance(right, dict) and "elem" in right:
        yield from _values(right["elem"]["val"])
    elif isinstance(right, dict) and "range" in right:
        yield "-".join(map(str, right["range"]))
    elif isinstance(right, dict) and "prefix" in right:
        yield f"{right['prefix']['addr']}/{right['prefix']['len']}"
    else:
        yield _SPELLED.get(str(right), str(right))


# --- iptables-save, ip6tables-save ---

_OPTIONS = {
    "-i": "interface",
    "-p": "protocol",
    "-s": "source",
    "--dport": "port",
    "--dports": "port",
    "--ctstate": "state",
    "--state": "state",
    "--dst-type": "destination",
}
# What says nothing of the packet: modules that are loaded, and how its target works.
_SILENT = ("-m", "--comment", "--limit", "--limit-burst", "--reject-with", "-c")
_ENDS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return"}


def iptables(family: str, lines: Iterable[str]) -> Chains:
    """The table ``filter`` of ``iptables-save`` (family ``ip``) or ``ip6tables-save``. Raises Unreadable."""
    chains: Chains = {}
    table = ""
    for line in lines:
        if line.startswith("*"):
            table = line[1:].strip()
        if table != "filter":
            continue
        if line.startswith(":"):
            name, policy, *_ = [*line[1:].split(), ""]
            families = (family,) if name == "INPUT" else ()
            chains[name] = Chain("drop" if policy == "DROP" else "accept", families)
        elif line.startswith("-A "):
            name, rule = _iptables_rule(line)
            if name not in chains:
                raise Unreadable(f"`iptables-save` has a rule for the chain {name[:50]!r}, which it does not have")
            chains[name].rules.append(rule)
    return chains


def _iptables_rule(line: str) -> tuple[str, Rule]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise Unreadable(f"`iptables-save` said {line[:100]!r}: {error}") from error
    criteria: list[Criterion] = []
    verdict = target = option = ""
    unless = False
    for word, value in zip(words[2:], [*words[3:], ""], strict=True):
        if word == "!":
            unless = True
            continue
        if not re.match(r"--?[a-z]", word):
            continue
        option = word
        if option in ("-j", "-g"):
            verdict = _ENDS.get(value, "jump" if option == "-j" else "goto")
            target = value
        elif option in _OPTIONS:
            spelled = value.lower().replace(":", "-") if _OPTIONS[option] != "source" else value
            values = spelled.replace("+", "*") if option == "-i" else spelled
            criteria.append(Criterion(_OPTIONS[option], tuple(values.split(",")), unless))
        elif option not in _SILENT and not verdict:
            criteria.append(Criterion("other"))
        unless = False
    return words[1], Rule(tuple(criteria), verdict, target)
