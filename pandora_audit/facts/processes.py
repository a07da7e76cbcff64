"""The programs that run for long: services, and whatever else stays."""

from __future__ import annotations

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
        starting = {word for line in self.answers[_STARTING.key].succeeded().lines for word in line.split()[:1]}
        eldest = self._eldest()
        for process in self.by_pid.values():
            if not self._programs.get(process.pid):  # a kernel thread; or it began, or ended, between two questions
                continue
            if self._serves_people(process):
                if process.seconds >= _DAY and not self._is_part_of_a_login(process):
                    yield process
            elif process.unit in starting:
                if process.seconds >= _DAY:
                    yield process
            elif self._is_job(process, eldest[process.unit]):
                if process.seconds >= _JOB:
                    yield process
            elif process.unit != "-" or process.seconds >= _JOB or process.parent == "1":
                yield process

    def _eldest(self) -> dict[str, Process]:
        """Of each unit the process that was there first."""
        found: dict[str, Process] = {}
        for process in sorted(self.by_pid.values(), key=lambda each: (-each.seconds, int(each.pid))):
            found.setdefault(process.unit, process)
        return found

    def _is_job(self, process: Process, eldest: Process) -> bool:
        """Whether it runs something else than its unit's own program."""
        mine, first = (f"{self._programs.get(each.pid)} {each.script}" for each in (process, eldest))
        return process.unit != "-" and mine != first

    def _serves_people(self, process: Process) -> bool:
        """Whether somebody's login, or a scheduler, is behind it: by its unit, or by who started it."""
        if process.in_session or process.unit.startswith("user@"):
            return True
        seen = {process.pid}
        if self._name(process) in _LOGINS and process.pid != self._eldest_pid(process):
            return True
        parent = self.by_pid.get(process.parent)
        while parent is not None and parent.pid not in seen:
            if self._name(parent) in (*_LOGINS, *_SCHEDULERS) and parent.pid != "1":
                return True
            seen.add(parent.pid)
            parent = self.by_pid.get(parent.parent)
        return self._name(process) == "agetty"

    def _eldest_pid(self, process: Process) -> str:
        return self._eldest()[process.unit].pid

    def _is_part_of_a_login(self, process: Process) -> bool:
        return not process.script and self._name(process) in (*_LOGINS, *_SHELLS, *_OF_SESSIONS)

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
