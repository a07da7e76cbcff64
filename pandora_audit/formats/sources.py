"""Whether nftables lets every address reach a port, from ``nft -j list ruleset``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pandora_audit.question import Unreadable

Rules = Mapping[tuple[str, str, str], Sequence[Sequence[Mapping[str, Any]]]]
_DEEPEST = 16


def open_to_everybody(text: str, port: int) -> bool:
    """Whether a new TCP connection from any address gets through every chain of what comes in. Raises Unreadable."""
    try:
        objects = json.loads(text)["nftables"]
        rules: dict[tuple[str, str, str], list[Sequence[Mapping[str, Any]]]] = {}
        bases = {}
        for each in objects:
            if chain := each.get("chain"):
                name = (chain["family"], chain["table"], chain["name"])
                rules.setdefault(name, [])
                if chain.get("hook") == "input" and chain.get("type") == "filter":
                    bases[name] = chain.get("policy", "accept")
            elif rule := each.get("rule"):
                rules.setdefault((rule["family"], rule["table"], rule["chain"]), []).append(rule["expr"])
        return all((_verdict(rules, name, port, 0) or policy) == "accept" for name, policy in bases.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"`nft` did not show rules that can be read ({type(error).__name__})") from error


def _verdict(rules: Rules, chain: tuple[str, str, str], port: int, depth: int) -> str:
    """What a chain does with a connection that no rule about addresses singles out; empty: it comes to no end."""
    for expressions in rules.get(chain, ()) if depth < _DEEPEST else ():
        if not all(_fits(match, port) for match in _matches(expressions)):
            continue
        for expression in expressions:
            if "accept" in expression:
                return "accept"
            if "drop" in expression or "reject" in expression:
                return "drop"
            if target := expression.get("jump") or expression.get("goto"):
                found = _verdict(rules, (*chain[:2], target["target"]), port, depth + 1)
                if found or "goto" in expression:
                    return found
            if "return" in expression:
                return ""
    return ""


def _matches(expressions: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return (expression["match"] for expression in expressions if "match" in expression)


def _fits(match: Mapping[str, Any], port: int) -> bool:
    """Whether a condition can hold for a new connection from an address that nobody named."""
    left, right = match["left"], match["right"]
    equal: bool = match.get("op", "==") in ("==", "in")
    payload, meta = left.get("payload", {}), left.get("meta", {}).get("key", "")
    if payload.get("field") == "saddr":
        return not equal
    if payload.get("field") == "dport":
        return payload.get("protocol") in ("tcp", "th") and _holds(right, port) == equal
    if payload.get("field") in ("protocol", "nexthdr") or meta == "l4proto":
        return any(_holds(right, name) for name in ("tcp", 6)) == equal
    if payload.get("protocol") in ("udp", "icmp", "icmpv6"):
        return False
    if left.get("ct", {}).get("key") == "state":
        return _holds(right, "new") == equal
    if meta in ("iif", "iifname"):
        return bool((right == "lo") != equal)
    return True


def _holds(right: object, value: object) -> bool:
    """Whether a value is in what a condition compares with: one, a list, a set, a range."""
    if isinstance(right, list):
        return any(_holds(each, value) for each in right)
    if isinstance(right, dict):
        low, high = right.get("range", (None, None))
        if isinstance(low, int) and isinstance(high, int) and isinstance(value, int):
            return low <= value <= high
        return _holds(right.get("set", []), value)
    return right == value
