"""Services of another age that send passwords in clear: FTP, telnet, the r-commands, TFTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.facts.listeners import Allowance, Listener, Listeners
from pandora_audit.formats import inetd, units
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.units import Unit
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved

_SUPERSERVERS = "xinetd|inetd|openbsd-inetd|inetutils-inetd|busybox"
_OTHERS = "ssh|sshd|dropbear|rsyslogd|rsyslog|syslog-ng|syslogd"


@dataclass(frozen=True)
class _Legacy:
    """A service: its ports, its programs, its units, and what inetd calls it."""

    name: str
    protocol: str
    ports: tuple[int, ...]
    programs: str
    units: tuple[str, ...]
    entries: tuple[str, ...]


_LEGACY = (
    _Legacy(
        "FTP",
        "tcp",
        (21,),
        r"vsftpd|proftpd|pure-ftpd[-\w]*|(in\.)?ftpd|ftp",
        ("vsftpd.service", "vsftpd.socket", "proftpd.service", "proftpd.socket", "pure-ftpd.service", "ftpd.service"),
        ("ftp", "vsftpd"),
    ),
    _Legacy(
        "telnet",
        "tcp",
        (23,),
        r"(in\.)?telnetd|utelnetd|telnet",
        ("telnet.socket", "telnetd.service", "telnet.service"),
        ("telnet",),
    ),
    _Legacy("rsh", "tcp", (514,), r"(in\.)?rshd|rsh", ("rsh.socket",), ("shell", "rsh")),
    _Legacy("rlogin", "tcp", (513,), r"(in\.)?rlogind|rlogin", ("rlogin.socket",), ("login", "rlogin")),
    _Legacy("rexec", "tcp", (512,), r"(in\.)?rexecd|rexec", ("rexec.socket",), ("exec", "rexec")),
    _Legacy(
        "TFTP",
        "udp",
        (69,),
        r"(in\.)?tftpd|atftpd|tftp",
        ("tftp.socket", "tftp.service", "tftpd-hpa.service", "atftpd.service", "atftpd.socket"),
        ("tftp",),
    ),
)
_SUPERSERVER_UNITS = ("inetd.service", "openbsd-inetd.service", "inetutils-inetd.service", "xinetd.service")
_UNITS = units.ask(
    "legacy-units",
    *(name for legacy in _LEGACY for name in legacy.units),
    *_SUPERSERVER_UNITS,
)
_INETD = Ask(
    key="inetd",
    sh="set +f; grep -H '^[^#]' /etc/inetd.conf /etc/inetd.d/* /etc/xinetd.conf /etc/xinetd.d/*",
)


class LegacyServices(Fact):
    """FTP, telnet, rsh, rlogin, rexec and TFTP: what answers now, and what the next start brings."""

    questions = (*Listeners.questions, _UNITS, _INETD)

    @cached_property
    def _listeners(self) -> Listeners:
        return Listeners(self.seen)

    def offered(self, services: tuple[str, ...] | None) -> Offences:
        """Those that listen or will, but for the promised ones."""
        promised = [Allowance.of(text) for text in services or ()]

        def allowed(legacy: _Legacy) -> bool:
            return any(each.is_for(legacy.protocol, port) for each in promised for port in legacy.ports)

        found = [*self._running(promised), *self._next_start(promised)]
        offences = [
            Offence(subject=legacy.name, text=text, layer=layer, cause=cause)
            for legacy, text, layer, cause in found
            if layer == "process" or not allowed(legacy)
        ]
        if not offences:
            self._owners_were_shown()
        return Offences(offences, "no FTP, telnet, rsh, rlogin, rexec or TFTP that is not promised")

    def _running(self, promised: list[Allowance]) -> Iterator[tuple[_Legacy, str, str, str]]:
        for socket in self._listeners.sockets:
            listener = self._listeners.listener(socket)
            for legacy in _LEGACY:
                if self._is(listener, legacy) and not any(each.covers(listener) for each in promised):
                    yield legacy, f"{legacy.name} listens on {listener.name}: {listener.holder}", "process", ""

    def _is(self, listener: Listener, legacy: _Legacy) -> bool:
        """By its program; on its port, whatever holds it, unless that is known for something else."""
        if listener.protocol != legacy.protocol or not listener.known:
            return False
        if listener.belongs_to(legacy.programs):
            return True
        if listener.port not in legacy.ports or listener.belongs_to(_OTHERS):
            return False
        return legacy.name != "rsh" or listener.belongs_to(_SUPERSERVERS)  # syslog has the same port

    def _next_start(self, promised: list[Allowance]) -> Iterator[tuple[_Legacy, str, str, str]]:
        known = {unit.name: unit for unit in units.units(self.answers[_UNITS.key].succeeded().text)}
        for legacy in _LEGACY:
            for name in legacy.units:
                if name in known and known[name].starts:
                    yield legacy, f"{legacy.name} is enabled: {name}", "next start", ""
        yield from self._of_superservers(known)

    def _of_superservers(self, known: dict[str, Unit]) -> Iterator[tuple[_Legacy, str, str, str]]:
        answer = self.answers[_INETD.key]
        live = {name for name in _SUPERSERVER_UNITS if name in known and (known[name].starts or known[name].runs)}
        for kind, entries in (("xinetd", inetd.xinetd), ("inetd", inetd.inetd)):
            if not any((name == "xinetd.service") is (kind == "xinetd") for name in live):
                continue
            nothing_withheld(answer)
            for entry in entries(answer.lines):
                for legacy in _LEGACY:
                    if entry.name in legacy.entries or re.fullmatch(legacy.programs, entry.program):
                        yield legacy, f"{kind} starts {legacy.name}", "next start", entry.file

    def _owners_were_shown(self) -> None:
        """Raises NotObserved where something on one of their ports did not tell whose it is."""
        if not self._listeners.hidden:
            return
        ports = {(legacy.protocol, port): legacy.name for legacy in _LEGACY for port in legacy.ports}
        for socket in self._listeners.sockets:
            if name := ports.get((socket.protocol, socket.port)):
                raise NotObserved(f"something listens on the port of {name}, and {self._listeners.hidden}")
            if socket.port not in self._listeners.ssh_ports:
                raise NotObserved(f"whose port {socket.port} is was not shown: {self._listeners.hidden}")
