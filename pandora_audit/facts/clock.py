"""The clock: whether it is right, and which service keeps it so."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.services import Services
from pandora_audit.formats import time_daemons
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.time_daemons import Source, Sync
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question, Unreadable
from pandora_audit.questions import CONTAINER, UPTIME
from pandora_audit.verdict import NotApplicable

# Anybody may ask these two, unless chronyd listens to root's socket only (cmdport 0).
_TRACKING = Ask(key="chrony-tracking", argv=("chronyc", "-c", "-n", "tracking"))
_SOURCES = Ask(key="chrony-sources", argv=("chronyc", "-c", "-n", "sources"))
_ROOT_TRACKING = Ask(key="chrony-tracking-as-root", argv=_TRACKING.argv, root=True)
_ROOT_SOURCES = Ask(key="chrony-sources-as-root", argv=_SOURCES.argv, root=True)
_VARIABLES = Ask(key="ntp-variables", argv=("ntpq", "-c", "rv"))
_PEERS = Ask(key="ntp-peers", argv=("ntpq", "-pn"))
_TIMESYNC = Ask(key="timesync-status", argv=("timedatectl", "timesync-status", "--no-pager"))
_OPENNTPD = Ask(key="openntpd-status", argv=("/usr/sbin/ntpctl", "-s", "all"), root=True)
# Asked where nothing else tells: it wakes a service of systemd's.
_KERNEL = Ask(
    key=f"{UPTIME.key}@kernel",
    sh="""\
timedatectl show -p NTPSynchronized 2>/dev/null ||
    timedatectl | sed -n 's/.*synchronized: */NTPSynchronized=/p'""",
)
_VMWARE = Ask(key="vmware-timesync", argv=("vmware-toolbox-cmd", "timesync", "status"))
_SOURCE_WORDS = "server|pool|peer|refclock|sourcedir|confdir|include|servers|sensor|sensors"
_CONFIGURED = Ask(
    key="time-sources",
    argv=(
        *("grep", "-rHsnwE", _SOURCE_WORDS),
        *("/etc/chrony.conf", "/etc/chrony", "/etc/chrony.d", "/etc/ntp.conf", "/etc/ntpsec", "/etc/openntpd"),
    ),
    root=True,
    keep=(
        r"s/^([^:]*:[0-9]+:)[[:space:]]*"
        r"(server|pool|peer|refclock|sourcedir +\/run|servers|sensors?)[[:space:]\/].*/\1/p;"
        r"s/^([^:]*:[0-9]+:)[[:space:]]*(sourcedir|confdir|include)[[:space:]]+(\/[^[:space:]]*).*/\1\2 \3/p"
    ),
)
_FURTHER = f"{_CONFIGURED.key}@included"

# The guide's own recipe: a script of cron's that runs ntpdate.
_RECIPE = Ask(
    key="ntpdate-by-cron",
    sh="""\
set +f
for place in /etc/cron.daily /etc/cron.hourly; do
    for script in $(grep -ls '^[^#]*ntpdate' $place/*); do
        runs=no
        [ -x "$script" ] && case ${script##*/} in *[!a-zA-Z0-9_-]*) ;; *) runs=yes ;; esac
        # Debian's run-parts leaves a script without its first line to the kernel, which refuses it.
        [ -d /etc/dpkg ] && ! head -n 1 "$script" | grep -q '^#!' && runs=no
        echo "$script $runs"
    done
done
for table in /etc/crontab /etc/cron.d/*; do
    grep -qs '^[^#]*ntpdate' "$table" && echo "$table yes"
done
for program in /usr/sbin/ntpdate /usr/sbin/ntpdate-debian /usr/bin/ntpdate; do
    [ -x $program ] && echo "program $program"
done
date +%Y-%m-%d""",
)
_RECIPE_RAN = Ask(
    key="ntpdate-ran",
    argv=("tail", "-q", "-c", "4194304", "/var/log/cron", "/var/log/messages", "/var/log/syslog"),
    root=True,
    keep=(
        r"s/^([A-Z][a-z]{2} +[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}).*"
        r"(ntpdate.*: (adjust|step) time server|run-parts.*: finished .*ntp).*/\1/p"
    ),
)

_DAEMONS = {
    "chronyd": ("chronyd", "chrony"),
    "ntpd": ("ntpd", "ntp", "ntpsec"),
    "systemd-timesyncd": ("systemd-timesyncd",),
    "openntpd": ("openntpd",),
    "phc2sys": ("phc2sys",),
}
_CONFIGS = {"chronyd": ("/etc/chrony",), "ntpd": ("/etc/ntp.conf", "/etc/ntpsec"), "openntpd": ("/etc/openntpd",)}
# A difference from the auditor's clock that no connection explains, in seconds.
_PLAUSIBLE = 300
_MOST_SECONDS = 900
_DAY = 86400
_RAN_DAYS = 2


@dataclass(frozen=True)
class _Kept:
    """What keeps the clock, how it stands, and its sources (None: it does not tell)."""

    name: str
    sync: Sync
    sources: tuple[Source, ...] | None


class Clock(Fact):
    """The clock of this machine."""

    questions = (
        *(*Services.questions, UPTIME, CONTAINER, _TRACKING, _SOURCES, _ROOT_TRACKING, _ROOT_SOURCES),
        *(_VARIABLES, _PEERS, _TIMESYNC, _OPENNTPD, _VMWARE, _CONFIGURED, _RECIPE, _RECIPE_RAN),
    )

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        clock = cls(seen)
        tells = clock._container or clock._vmware or set(clock._running) - {"phc2sys"}
        return (*(() if tells else (_KERNEL,)), *clock._further())

    def _further(self) -> Iterator[Question]:
        """The question for the sources in files that chronyd's include."""
        answer = self.answers[_CONFIGURED.key]
        included = re.findall(
            r"^/[^:]*:\d+:\w+ (/[\w./@+-]+)(/[^/]*[*?\[].*)?$", "" if answer.silence else answer.text, re.M
        )
        if paths := sorted({path for path, _ in included if not path.startswith(_CONFIGS["chronyd"])}):
            argv = ("grep", "-rHsnwE", _SOURCE_WORDS, *paths)
            yield Ask(key=_FURTHER, argv=argv, root=True, keep=_CONFIGURED.keep)

    @cached_property
    def _services(self) -> Services:
        return Services(self.seen)

    @cached_property
    def _now(self) -> int:
        words = self.answers[UPTIME.key].succeeded().text.split()
        if not words or not re.fullmatch(r"\d{1,12}", words[0]):
            raise Unreadable(f"`date +%s` said {''.join(words[:1])[:50]!r}")
        return int(words[0])

    @cached_property
    def _container(self) -> str:
        """The kind of container that this machine is; empty when it has a kernel of its own."""
        said = self.answers[CONTAINER.key].text.strip()
        return "" if said in ("none", "") else said

    # --- who keeps it ---

    @cached_property
    def _running(self) -> tuple[str, ...]:
        """The daemons that keep the clock. What only measures it does not."""
        return tuple(name for name in self._measuring if not self._measures_only(name))

    @cached_property
    def _measuring(self) -> tuple[str, ...]:
        return tuple(name for name, units in _DAEMONS.items() if self._services.runs(*units))

    def _measures_only(self, name: str) -> bool:
        """Whether a chronyd was told not to touch the clock; in a container it could not."""
        lines = [line for _, program, line in self._services.processes if program == name == "chronyd"]
        return not self._container and any(re.search(r"\s-\w*x\b", line) for line in lines)

    @cached_property
    def _vmware(self) -> bool:
        """Whether VMware's tools keep the clock."""
        return self._services.runs("vmtoolsd", "open-vm-tools") and self.answers[_VMWARE.key].text.strip() == "Enabled"

    @cached_property
    def _kept(self) -> tuple[_Kept, ...]:
        """What each running daemon says."""
        return tuple(_Kept(name, *self._says(name)) for name in self._running)

    def _says(self, name: str) -> tuple[Sync, tuple[Source, ...] | None]:
        if name == "chronyd":
            tracking, sources = self._either(_TRACKING, _ROOT_TRACKING), self._either(_SOURCES, _ROOT_SOURCES)
            return time_daemons.chrony(tracking, sources)
        if name == "ntpd":
            variables = self.answers[_VARIABLES.key].succeeded().text
            return time_daemons.ntpq_variables(variables), time_daemons.ntpq_peers(self.answers[_PEERS.key].lines)
        if name == "systemd-timesyncd":
            return time_daemons.timesyncd(self.answers[_TIMESYNC.key].succeeded().text)
        if name == "openntpd":
            return time_daemons.openntpd(self.answers[_OPENNTPD.key].succeeded().text)
        return Sync(synchronised=self._kernel_says_yes), None

    def _either(self, anybody: Ask, root: Ask) -> str:
        """What chronyd told this account, or else root."""
        answer = self.answers[anybody.key]
        if answer.silence or answer.status != 0:
            answer = self.answers[root.key].succeeded()
        return answer.text

    @cached_property
    def _kernel_says_yes(self) -> bool:
        said = self.answers[_KERNEL.key].text.strip()
        if said not in ("NTPSynchronized=yes", "NTPSynchronized=no"):
            raise Unreadable(f"`timedatectl` said {said[:60]!r}")
        return said.endswith("yes")

    # --- whether it is right ---

    def wrong(self, most: int) -> Offences:
        """Why the clock is not right, or not known to stay so.

        Args:
            most: how far it may be off, in milliseconds.
        """
        if self._container and not self._kept:
            raise NotApplicable(f"a container ({self._container}): the machine that runs it keeps its clock")
        found = list(self._wrong(most))
        if not found:
            self._plausible()
        return Offences(found, self._told)

    def _wrong(self, most: int) -> Iterator[Offence]:
        for kept in self._kept:
            if kept.sync.own:
                text = f"{kept.name} follows this machine's own clock"
                yield Offence(subject=kept.name, text=text, layer="process")
            elif not kept.sync.synchronised:
                yield Offence(subject=kept.name, text=f"{kept.name} is not synchronised", layer="process")
            elif kept.sync.heard and (days := (self._now - kept.sync.heard) // _DAY) > 0:
                text = f"{kept.name} has heard no source for {days} {'days' if days > 1 else 'day'}"
                yield Offence(subject=kept.name, text=text, layer="process")
            elif kept.sync.offset is not None and kept.sync.offset > most:
                text = f"the clock is off by more than {most} ms"
                yield Offence(subject="offset", text=text, layer="process")
        if not self._kept and not self._vmware and not self._kernel_says_yes:
            yield Offence(subject="clock", text="nothing synchronises the clock", layer="process")

    @property
    def _told(self) -> str:
        if not self._kept:
            return "VMware's tools synchronise it" if self._vmware else "the kernel says that it is synchronised"
        offsets = [kept.sync.offset for kept in self._kept if kept.sync.offset is not None]
        within = f", within {_rounded(max(offsets))} ms" if offsets else ""
        return f"synchronised by {' and '.join(kept.name for kept in self._kept)}{within}"

    def _plausible(self) -> None:
        """Raises NotObserved where the auditor's clock, which may itself be wrong, shows another time altogether."""
        ahead = self._now - self.seen.asked_at
        if not -_PLAUSIBLE <= ahead <= _PLAUSIBLE + _MOST_SECONDS:
            hours = abs(ahead) / 3600
            raise NotObserved(
                f"{self._told}, and yet it is {hours:.1f} hours {'ahead of' if ahead > 0 else 'behind'} the auditor's"
                " clock: one of both is wrong"
            )

    # --- whether it is kept ---

    def unkept(self, level: str) -> Offences:
        """Why no service will go on keeping the clock.

        Args:
            level: at "guide", the guide's own ntpdate by cron is enough, if it really ran.
        """
        if not self._measuring and not self._vmware:
            if level == "guide" and self._recipe_ran:
                return Offences([], "ntpdate is run by cron, and has set the clock in the last days")
            return Offences(self._nothing_runs(), "")
        if self._vmware and not self._measuring:
            return Offences([], "VMware's tools")
        found = [*self._only_measured, *self._fights, *self._not_at_boot]
        return Offences(
            found or self._without_sources,
            f"{' and '.join(self._measuring)}, with sources that answer, now and after a boot",
        )

    def _nothing_runs(self) -> Iterator[Offence]:
        installed = [name for name, units in _DAEMONS.items() if self._services.unit(*units)]
        if self._container and not installed:
            raise NotApplicable(f"a container ({self._container}): the machine that runs it keeps its clock")
        for name in installed:
            yield Offence(subject=name, text=f"{name} does not run", layer="process")
        if not installed:
            yield Offence(subject="time service", text="no time service is installed", layer="process")
        if scripts := self._recipe:
            text = f"{scripts[0]} runs ntpdate, and nothing shows that it did in the last {_RAN_DAYS} days"
            yield Offence(subject="ntpdate", text=text, layer="file", cause=scripts[0])

    @property
    def _only_measured(self) -> Iterator[Offence]:
        for name in self._measuring:
            if self._measures_only(name):
                yield Offence(subject=name, text=f"{name} runs with -x: it never sets the clock", layer="process")

    @property
    def _fights(self) -> Iterator[Offence]:
        if len(self._running) > 1 and "phc2sys" not in self._running:
            text = f"{' and '.join(self._running)} both set the clock"
            yield Offence(subject=" and ".join(self._running), text=text, layer="process")

    @property
    def _not_at_boot(self) -> Iterator[Offence]:
        """The running daemons, if none of them is started by the next boot."""
        units = [self._services.unit(*_DAEMONS[name]) for name in self._measuring]
        if not any(unit is None or unit.starts for unit in units):
            for name in self._measuring:
                yield Offence(subject=name, text=f"{name} is not started at the boot", layer="next start")

    @property
    def _without_sources(self) -> Iterator[Offence]:
        for kept in self._kept:
            if kept.sources is not None and not any(source.answers for source in kept.sources):
                yield Offence(subject=kept.name, text=f"no source of {kept.name} answers", layer="process")
            if kept.name in _CONFIGS and not self._is_configured(kept.name):
                text = f"no file gives {kept.name} a source after its next start"
                yield Offence(subject=kept.name, text=text, layer="next start", cause=_CONFIGS[kept.name][0])

    def _is_configured(self, name: str) -> bool:
        """Whether a source stands in a daemon's files, or in a folder that DHCP fills."""
        lines = self.answers[_CONFIGURED.key].lines
        if any(line.startswith(_CONFIGS[name]) and line.endswith(":") for line in lines):
            return True
        nothing_withheld(self.answers[_CONFIGURED.key])
        included = name == "chronyd" and any(True for _ in self._further())
        return included and any(line.endswith(":") for line in self.answers[_FURTHER].lines)

    # --- the guide's recipe ---

    @cached_property
    def _recipe(self) -> tuple[str, ...]:
        """The scripts of cron that run ntpdate."""
        return tuple(line.split()[0] for line in self.answers[_RECIPE.key].lines if line.startswith("/etc/cron"))

    @cached_property
    def _recipe_ran(self) -> bool:
        """Whether one of them can run, and a log says that it did in the last days."""
        lines = self.answers[_RECIPE.key].lines
        able = any(line.startswith("/etc/cron") and line.endswith(" yes") for line in lines)
        there = any(line.startswith("program ") for line in lines)
        if not able or not there or not self._services.runs("cron", "crond"):
            return False
        today = _date(lines[-1], None)
        if today is None:
            raise Unreadable(f"`date` said {lines[-1][:30]!r}")
        days = [day for line in self.answers[_RECIPE_RAN.key].lines if (day := _date(line, today))]
        return any(0 <= (today - day).days <= _RAN_DAYS for day in days)


def _date(text: str, today: datetime.date | None) -> datetime.date | None:
    """A day as logs write it. Where they leave out the year, it is the last one in which the day was."""
    with contextlib.suppress(ValueError):
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return datetime.date.fromisoformat(text)
        if today is not None:
            day = datetime.datetime.strptime(f"{today.year} {text}", "%Y %b %d").date()
            return day if day <= today else day.replace(year=today.year - 1)
    return None


def _rounded(milliseconds: float) -> int:
    """A bound that does not change with every measurement: 10, 100, 1000…"""
    bound = 10
    while milliseconds > bound:
        bound *= 10
    return bound
