"""The programs that run for long: services, and whatever else stays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property

from pandora_audit.baseline import Section
from pandora_audit.fact import Fact
from pandora_audit.formats import ps
from pandora_audit.formats.ps import Process
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved
from pandora_audit.questions import PROCESSES

_EXECUTABLES = Ask(
    key="executables",
    argv=("find", "/proc", "-mindepth", "2", "-maxdepth", "2", "-name", "exe", "-printf", "%p//%l//"),
    root=True,
    limit=1024 * 1024,
)
# Jobs that run once, while they do.
_STARTING = Ask(
    key="units-starting",
    argv=("systemctl", "list-units", "--type=service", "--state=activating", "--plain", "--no-legend", "--no-pager"),
)

# What a service starts beside its own program is a job of its, until it has stayed for so long; what people and
# schedulers start, until it has stayed for a day.
_JOB = 600
_DAY = 86400

_LOGINS = ("sshd", "sshd-session", "sshd-auth", "login", "agetty", "sudo", "su", "dropbear")
_SCHEDULERS = ("cron", "crond", "atd", "anacron")
_SHELLS = ("bash", "dash", "sh", "ksh", "zsh", "fish", "tcsh", "csh", "bsd-csh", "tmux", "screen")
_OF_SESSIONS = ("systemd", "(sd-pam)", "dbus-daemon", "dbus-broker", "ssh-agent", "gpg-agent")


class Processes(Fact):
    """What runs, by program and unit."""

    questions = (PROCESSES, _EXECUTABLES, _STARTING)
    section = "processes"

    @cached_property
    def by_pid(self) -> Mapping[str, Process]:
        """Every process that was shown. Raises NotObserved where processes are hidden."""
        found = {each.pid: each for each in ps.processes(self.answers[PROCESSES.key].succeeded().lines)}
        if "1" not in found:
            raise NotObserved("`ps` did not show the processes of this machine")
        return found

    @cached_property
    def _programs(self) -> Mapping[str, str]:
        programs = ps.executables(self.answers[_EXECUTABLES.key].text)
        for pid, process in self.by_pid.items():
            # Of a kernel thread and of what has ended there is only a name, in brackets.
            if programs.get(pid) == "" and not process.title.startswith("["):
                raise NotObserved(f"the program of process `{process.title[:50]}` was not shown")
        if not programs.get("1"):
            raise NotObserved("the programs of others' processes were not shown")
        return programs

    def proposal(self) -> Section:
        return {name: tuple(sorted(places)) for name, places in self._long_running.items()}

    @cached_property
    def _long_running(self) -> dict[str, set[str]]:
        """The programs that stay, and of each the units that it is part of."""
        found: dict[str, set[str]] = {}
        for process in self._lasting():
            name = f"{self._programs[process.pid]} {process.script}".strip()
            found.setdefault(name, set()).add(process.place)
        return found

    def _lasting(self) -> Iterator[Process]:
        for process in self.by_pid.values():
            # Without a program it is a kernel thread; or it began, or ended, between two questions.
            if self._programs.get(process.pid) and process.seconds >= self._patience(process):
                yield process

    def _patience(self, process: Process) -> float:
        """The age from which on a process is one that stays."""
        if self._is_part_of_a_login(process):
            return math.inf
        if self._serves_people(process) or process.unit in self._starting:
            return _DAY
        return 0 if self._is_of_its_unit(process) else _JOB

    @cached_property
    def _starting(self) -> frozenset[str]:
        """The units of jobs that run right now."""
        lines = self.answers[_STARTING.key].succeeded().lines
        return frozenset(word for line in lines for word in line.split()[:1])

    @cached_property
    def _eldest(self) -> dict[str, Process]:
        """Of each unit the process that was there first."""
        found: dict[str, Process] = {}
        for process in sorted(self.by_pid.values(), key=lambda each: (-each.seconds, int(each.pid))):
            found.setdefault(process.unit, process)
        return found

    def _is_of_its_unit(self, process: Process) -> bool:
        """Whether it runs its unit's own program, and no job of it."""
        mine, first = ((self._programs.get(each.pid), each.script) for each in (process, self._eldest[process.unit]))
        return process.parent == "1" if process.unit == "-" else mine == first

    def _serves_people(self, process: Process) -> bool:
        """Whether somebody's login, or a scheduler, is behind it: by its unit, or by who started it."""
        if process.in_session or process.unit.startswith(("user@", "ssh@", "sshd@")):
            return True
        if self._name(process) in ("agetty", "login"):
            return True
        parent, seen = self.by_pid.get(process.parent), set[str]()
        while parent is not None and parent.pid not in seen:
            if self._name(parent) in (*_LOGINS, *_SCHEDULERS):
                return True
            seen.add(parent.pid)
            parent = self.by_pid.get(parent.parent)
        return False

    def _is_part_of_a_login(self, process: Process) -> bool:
        if process.script or not self._serves_people(process):
            return False
        return self._name(process) in (*_LOGINS, *_SHELLS, *_OF_SESSIONS)

    def _name(self, process: Process) -> str:
        return self._programs.get(process.pid, "").rpartition("/")[2]

    @property
    def strangers(self) -> Offences:
        """The programs that stay and that the site's baseline does not hold. Raises ToDecide without a baseline."""
        running = self._long_running
        accepted = self.seen.accepted(self.section)
        found = [
            Offence(subject=name, text=f"{name} runs in {place}, outside the baseline", layer="process")
            for name, places in sorted(running.items())
            for place in sorted(places.difference(accepted.get(name, ())))
        ]
        return Offences(found, f"{len(running)} programs, all of them in the baseline")
