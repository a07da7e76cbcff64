"""The services that keep, watch and ship logs, and those that keep the time."""

from __future__ import annotations

import re
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.formats import rsyslog, systemctl
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.systemctl import Unit
from pandora_audit.question import Unreadable
from pandora_audit.questions import LOG_PROCESSES, RSYSLOG_CONFIG, SERVICES, SHIPPING


class Services(Fact):
    """What systemd says of these services, and which of their programs run."""

    questions = (SERVICES, LOG_PROCESSES)

    @cached_property
    def _units(self) -> dict[str, Unit]:
        return dict(systemctl.units(self.answers[SERVICES.key].succeeded().text))

    @cached_property
    def processes(self) -> tuple[tuple[str, str, str], ...]:
        """User, program and command line (of some) of what runs."""
        rows = (line.split(None, 2) for line in self.answers[LOG_PROCESSES.key].succeeded().lines)
        return tuple((row[0], row[1], row[2] if len(row) > 2 else "") for row in rows if len(row) > 1)

    def unit(self, *names: str) -> Unit | None:
        """The first of these units that is installed."""
        return next((self._units[name] for name in names if name in self._units), None)

    def runs(self, *names: str) -> bool:
        """Whether one of these units is active."""
        return any(unit.active for name in names if (unit := self._units.get(name)))

    def users(self, program: str) -> frozenset[str]:
        """The accounts under which a program runs."""
        return frozenset(user for user, name, _ in self.processes if name == program[:15])

    @cached_property
    def shippers(self) -> frozenset[str]:
        """The accounts of the services that copy logs to other machines."""
        return frozenset(self._units[name].user for name in SHIPPING if name in self._units)

    @cached_property
    def rsyslog(self) -> rsyslog.Config:
        """rsyslog's configuration, as its next start reads it."""
        for _, program, line in self.processes:
            if program == "rsyslogd" and (other := re.search(r" -f ?(\S+)", line)) and other[1] != rsyslog.MAIN:
                raise Unreadable(f"rsyslogd reads {other[1]}, which is not looked into")
        answer = self.answers[RSYSLOG_CONFIG.key]
        lines = answer.lines
        nothing_withheld(answer)
        return rsyslog.read(rsyslog.files(lines))
