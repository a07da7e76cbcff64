"""A machine's own name and addresses, as ``uname -n; ip -o address show`` tells them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from pandora_audit.question import Answer, NotObserved, Unreadable

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_ROW = re.compile(r"\d+: +(\S+?)(?:@\S+)? +inet6? +([0-9A-Fa-f:.]+/\d{1,3})(?: |$)")


def is_loopback(host: str) -> bool:
    """Whether a name or an address means the machine that uses it, whichever that is."""
    if host in ("localhost", "localhost.localdomain"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@dataclass(frozen=True)
class Addresses:
    """What one machine is called and reached by.

    Args:
        name: its own name; empty where it did not tell.
        interfaces: its addresses with their networks, each with the interface's name.
    """

    name: str
    interfaces: tuple[tuple[str, Interface], ...]

    def mean(self, host: str) -> bool:
        """Whether a name or an address is this machine's."""
        host = host.lower().removeprefix("::ffff:")
        if is_loopback(host):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return bool(host) and host in (self.name.lower(), self.name.lower().partition(".")[0])
        return any(address == interface.ip for _, interface in self.interfaces)


def read(answer: Answer) -> Addresses:
    """Raises NotObserved where nobody told them."""
    name, *rows = answer.succeeded().lines or [""]
    found = (_ROW.match(row) for row in rows)
    try:
        interfaces = tuple((each[1], ipaddress.ip_interface(each[2])) for each in found if each)
    except ValueError as error:
        raise Unreadable(f"`ip address` said {error}") from error
    if not interfaces:
        raise NotObserved("`ip address` listed no address of this machine")
    return Addresses(name, interfaces)
