"""Which updates wait, since when, and when anything was last updated.

apt's lists tell what is new, not since when. So of each update two bounds are known, and the verdict is given only
where they decide. It is *at least* as old as an archive that has it, by the date of its Release file: Debian's stable
archive changes with its point releases only, so what is in one is known to be that old. It is *at most* as old as the
day on which its package was unpacked, or a later run that would have taken it: an upgrade takes what there is, except
what is held, pinned or kept back. Where the limit lies between the two, nobody can tell from the machine. Advisories of
Red Hat's family carry their dates.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.facts.packages import APT_KEEPS_NOTHING, DEBIAN, REDHAT, Outdated, Packages
from pandora_audit.facts.releases import Releases
from pandora_audit.formats import apt, dnf, dpkg
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Unreadable
from pandora_audit.verdict import NotApplicable

_FRESH_DAYS = 7
"""Debian's security archive is not to be believed after a week, by its own Release file. dnf asks more often."""

_APT_LISTS = Ask(
    key="apt-lists",
    sh="set +f; cd /var/lib/apt/lists && grep -HE '^(Origin|Label|Suite|Codename|Date): ' *Release",
)
_APT_UPGRADE = Ask(
    key="apt-upgrade",
    argv=("apt-get", "-s", *APT_KEEPS_NOTHING, "-o", "Debug::NoLocking=1", "upgrade"),
    seconds=20,
    keep=r"s/^Inst ([^ ]+) .*/\1/p",
)
_UNPACKED = Ask(
    key="dpkg-unpacked", sh="set +f; stat -c '%Y %n' /var/lib/dpkg/info/*.list", limit=2 * 1024 * 1024, seconds=15
)
# Of a command's line only its kind leaves the host.
_APT_HISTORY = Ask(
    key="apt-history",
    sh="set +f; zcat -f /var/log/apt/history.log*",
    limit=2 * 1024 * 1024,
    seconds=15,
    keep=r"""
/^(Start-Date|End-Date|Error):/{s/^(Error):.*/\1:/;p;d}
s/^Commandline:.*unattended-upgrade.*/Full: automatic/p
t
s/^Commandline:.*( (dist|full|safe)-upgrade| --with-new-pkgs|[ \/]apt (.* )?upgrade)( .*)?$/Full: all/p
t
s/^Commandline:.*[ \/]apt-get (.* )?upgrade( .*)?$/Full: nothing new/p
""",
)
# Ubuntu's apt writes it after a refresh in which no list failed.
_APT_REFRESHED = Ask(key="apt-refreshed", sh="stat -c %Y /var/lib/apt/periodic/update-success-stamp")
_APT_STAMP = Ask(key="apt-stamp", sh="stat -c %Y /var/lib/apt/periodic/upgrade-stamp")
_DPKG_LOG = Ask(
    key="dpkg-log",
    sh="set +f; cd /var/log && zcat -f dpkg.log* | grep -E ' (upgrade|status installed) ' | sort -s -k 1,2 |"
    " tail -n 4000; [ -r dpkg.log ]",
    limit=1024 * 1024,
    seconds=15,
)
# -C fetches nothing. dnf writes each of its runs into its logs, and opens rpm's database, as `rpm` does; no more.
_ADVISORIES = Ask(
    key="dnf-advisories",
    argv=("dnf", "-C", "-v", "--disableexcludes=all", "updateinfo", "list", "--security"),
    root=True,
    seconds=30,
    limit=1024 * 1024,
)
_OFFERED = Ask(
    key="dnf-updates",
    argv=("dnf", "-C", "-q", "--disableexcludes=all", "check-update"),
    root=True,
    seconds=30,
    limit=1024 * 1024,
)
_DNF_CACHES = Ask(key="dnf-caches", sh="set +f; stat -c '%Y %n' /var/cache/dnf/*/repodata/repomd.xml")
_ISSUED = Ask(
    key="dnf-issued",
    sh="set +f; cd /var/cache/dnf && for f in */repodata/*updateinfo.xml*; do case $f in"
    " *.gz) gzip -dc $f ;; *.xz) xz -dc $f ;; *.zst) zstd -dcq $f ;; *.bz2) bzip2 -dc $f ;; *.xml) cat $f ;; esac;"
    " done | grep -oE '<(id>|issued +date=\"?)[^<>]*'",
    limit=4 * 1024 * 1024,
    seconds=20,
)
_RPM_LOG = Ask(
    key="dnf-rpm-log",
    sh="set +f; cd /var/log && zcat -f dnf.rpm.log* | grep ' Upgraded: ' | sort | tail -n 50; [ -r dnf.rpm.log ]",
)
# Written at the first boot: a machine is not as old as the image that it came from.
_FIRST_BOOT = Ask(key="first-boot", sh="stat -c %Y /etc/machine-id")
# debsecan fetches its data; what it last reported is here, where somebody lets it.
_DEBSECAN = Ask(
    key="debsecan",
    sh="cd /var/lib/debsecan && stat -c %Y history && cat history",
    limit=2 * 1024 * 1024,
)

_CRITICAL = re.compile(
    r"(mysql|mariadb|percona|libmysqlclient|apache2|httpd|nginx|php|openssh|openssl|libssl|pandorafms)", re.I
)
_DATABASE = re.compile(r"(mysql|mariadb|percona)", re.I)
_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Update:
    """An update that waits, and how old it is: ``at_least`` and ``at_most``, in days.

    Args:
        source: the package that it is built from, by which components are told apart.
        secures: whether it comes as a security update, or from where nobody tells such from others.
        why_not: why an upgrade would not take it; empty where it would.
    """

    package: str
    source: str
    version: str
    secures: bool
    where: str
    at_least: int
    at_most: int
    why_not: str = ""

    @property
    def critical(self) -> bool:
        return _CRITICAL.match(self.source) is not None

    def __str__(self) -> str:
        days = f"{self.at_least}"
        if self.at_least < self.at_most:
            days += " or more" if self.at_most == _NEVER else f" to {self.at_most}"
        held = f", {self.why_not}" if self.why_not else ""
        return f"{self.package} {self.version} ({self.where}, {days} days{held})"


class Updates(Fact):
    """The updates of a machine: those that wait, and the last that were made."""

    questions = (
        *Packages.questions,
        *(
            _APT_LISTS,
            _APT_UPGRADE,
            _UNPACKED,
            _APT_HISTORY,
            _APT_STAMP,
            _APT_REFRESHED,
            _DPKG_LOG,
            _DEBSECAN,
            _FIRST_BOOT,
        ),
        *(_ADVISORIES, _OFFERED, _DNF_CACHES, _ISSUED, _RPM_LOG),
    )

    @cached_property
    def _packages(self) -> Packages:
        return Packages(self.seen)

    # --- the claims ---

    def overdue(self, days: int) -> Offences:
        """Security updates that have waited for longer, but for those of critical components, which have their own."""
        others = [each for each in self.waiting if each.secures and not each.critical]
        apart = sum(each.secures and each.critical for each in self.waiting)
        seen = f"{_count(others)}, {self._as_of}"
        if apart:
            seen += f"; those of critical components ({apart}) are judged by system.critical-components"
        return _overdue(others, days, seen)

    def overdue_critical(self, days: int) -> Offences:
        """Security updates of the database, the web server, PHP, OpenSSH, OpenSSL, Pandora FMS, waiting for longer."""
        wanted = [each for each in self.waiting if each.secures and each.critical]
        held = f"; held: {', '.join(self._packages.held[:_SHOWN])}" if self._packages.held else ""
        return _overdue(wanted, days, f"{_count(wanted)}, {self._as_of}{held}")

    def overdue_database(self, days: int) -> Offences:
        """The same for the database alone. Raises NotObserved where it belongs to no package."""
        names = self._sources.items()
        if not any(_DATABASE.match(source) and "server" in name for name, source in names):
            raise NotObserved("the database server belongs to no package, so nothing tells of its updates")
        wanted = [each for each in self.waiting if each.secures and _DATABASE.match(each.source)]
        return _overdue(wanted, days, f"{_count(wanted)}, {self._as_of}")

    @cached_property
    def vulnerable(self) -> Offences:
        """Installed packages that the distribution's own data, as far as it lies here, calls vulnerable."""
        if self._packages.family == REDHAT:
            _ = self._as_of
            found = [
                Offence(subject=each.package, text=f"{each.package}: {each.id} ({each.severity})")
                for each in self._advisories
            ]
            return Offences(found, f"no advisory is open, {self._as_of}")
        return self._debsecan

    def stale_patching(self, days: int) -> Offences:
        """That nothing was upgraded for longer, where there was something to upgrade."""
        if (self._packages.today - self._since).days <= days:
            return Offences([], f"the machine has been there since {self._since}")
        last = self._last_upgrade
        if last is not None and (self._packages.today - last).days <= days:
            return Offences([], f"packages were last upgraded on {last}")
        told = f"packages were last upgraded on {last}" if last else "no upgrade is in the logs"
        try:
            idle = not self._anything_waits
        except Outdated as unknown:
            idle, told = False, f"{told}; {unknown.reason}"
        if idle:
            return Offences([], f"{told}, and nothing waits, {self._as_of}")
        return Offences([Offence(subject="upgrades", text=told, layer="file")], "")

    # --- what waits ---

    @cached_property
    def waiting(self) -> tuple[Update, ...]:
        """The updates that wait. Raises NotObserved when what the machine knows of them is old."""
        _ = self._as_of
        return tuple(self._dnf_waiting() if self._packages.family == REDHAT else self._apt_waiting())

    @cached_property
    def _anything_waits(self) -> bool:
        _ = self._as_of
        if self._packages.family == REDHAT:
            return bool(self._offered)
        return any(each.candidate != each.installed for each in self._packages.by_apt.values())

    @cached_property
    def _as_of(self) -> str:
        """When the machine learned what there is, as a phrase. Raises NotObserved when that is long ago."""
        days = self._dnf_age if self._packages.family == REDHAT else self._apt_age
        if days > _FRESH_DAYS:
            raise Outdated(f"what the machine knows of updates is {days} days old, and tells nothing of later ones")
        return f"by metadata of {_days(days)}"

    @cached_property
    def _sources(self) -> Mapping[str, str]:
        """The package that each installed package was built from; of Red Hat's family its own name tells as much."""
        if self._packages.family == REDHAT:
            return {each.name: each.name for each in self._packages.by_rpm}
        return {name: each.source for name, each in self._packages.by_dpkg.items()}

    # --- Debian's family ---

    @cached_property
    def _apt_age(self) -> int:
        """How old the oldest list of security updates is, by the day on which it was signed.

        Archives of extensions are signed when something new comes into them, and those of a release whose own support
        has ended never again: then it counts when apt last refreshed all lists.
        """
        archives = [each for each in self._packages.archives.values() if each.secures]
        if not archives:
            raise Outdated("no package list is of an archive of security updates, so nobody tells which they are")
        dated = [each for each in archives if each.origin not in apt.EXTENSIONS]
        if len(dated) < len(archives) and (not dated or Releases(self.seen).lives_by_extension):
            refreshed = self.answers[_APT_REFRESHED.key].text.strip()
            if not re.fullmatch(r"\d{1,12}", refreshed):
                raise Outdated("nobody tells when apt last refreshed the lists of the extended support")
            return self._days_since(int(refreshed))
        return max(self._age(each) for each in dated)

    def _age(self, archive: apt.Archive) -> int:
        """How many days ago an archive was as its list shows it."""
        mine = [each.date for each in self._release_files if each.is_of(archive) and each.date]
        if not mine:
            raise NotObserved(f"the list of {archive.name} does not say of when it is")
        return self._days_since(min(mine).timestamp())

    @cached_property
    def _release_files(self) -> tuple[apt.Archive, ...]:
        return apt.release_files(self.answers[_APT_LISTS.key].succeeded().lines)

    def _days_since(self, moment: float) -> int:
        return max(0, int((self.seen.asked_at - moment) // 86400))

    def _apt_waiting(self) -> Iterator[Update]:
        for name, package in sorted(self._packages.by_apt.items()):
            wanted = [each for each in package.newer if self._secures(name, package, each)]
            if wanted:
                yield self._apt_update(name, package, wanted)

    def _archives(self, version: apt.Version) -> list[apt.Archive]:
        return [self._packages.archives[line] for line in version.sources if line in self._packages.archives]

    def _secures(self, name: str, package: apt.Package, version: apt.Version) -> bool:
        """Whether a version comes as a security update.

        Authors' own archives do not tell such from others; of critical components the version of theirs that apt would
        take counts as one.
        """
        archives = self._archives(version)
        if any(each.secures for each in archives):
            return True
        theirs = archives and all(each.origin not in apt.OFFICIAL for each in archives)
        if not theirs or version.number != package.candidate:
            return False
        critical = _CRITICAL.match(self._packages.by_dpkg[name].source) is not None
        return critical and not self._packages.from_distribution(name)

    def _apt_update(self, name: str, package: apt.Package, wanted: list[apt.Version]) -> Update:
        """The update of a package; of several versions that wait, the newest is named and the oldest archive counts."""
        at_most = self._days_since(self._unpacked(name))
        why_not = self._why_not(name, package)
        if why_not in ("", _KEPT_BACK):
            at_most = min(at_most, self._since_full_upgrade(name, taken=not why_not))
        at_least = max(self._age(archive) for version in wanted for archive in self._archives(version))
        archives = [archive.name for archive in self._archives(wanted[0])]
        return Update(
            package=name,
            source=self._packages.by_dpkg[name].source,
            version=wanted[0].number,
            secures=True,
            where=", ".join(dict.fromkeys(archives)),
            at_least=at_least,
            at_most=max(at_least, at_most),
            why_not=why_not,
        )

    def _unpacked(self, name: str) -> int:
        """When a package was unpacked."""
        times = self._unpack_times
        found = times.get(name) or times.get(name.partition(":")[0])
        if found is None:
            raise NotObserved(f"nobody tells when {name} was unpacked")
        return found

    @cached_property
    def _unpack_times(self) -> dict[str, int]:
        return dpkg.unpacked(self.answers[_UNPACKED.key].succeeded().lines)

    def _why_not(self, name: str, package: apt.Package) -> str:
        """Why an upgrade would leave a package as it is; empty where it would not."""
        if self._packages.by_dpkg[name].held:
            return "held"
        if package.candidate == package.installed:
            return "pinned"
        return "" if name.partition(":")[0] in self._taken else _KEPT_BACK

    @cached_property
    def _taken(self) -> frozenset[str]:
        """The packages that ``apt-get upgrade`` would upgrade now."""
        return frozenset(line.partition(":")[0] for line in self.answers[_APT_UPGRADE.key].succeeded().lines)

    def _since_full_upgrade(self, name: str, *, taken: bool) -> int:
        """Days since the last run that would have taken a package. Who was not seen to run did not.

        Args:
            taken: whether ``apt-get upgrade`` takes it; what needs a new package beside it only the others take.
        """
        wanted = {
            "all",
            *(["nothing new"] if taken else []),
            *(["automatic"] if self._packages.automatic(name) else []),
        }
        history = self.answers[_APT_HISTORY.key]
        runs = [] if history.silence else [each for each in apt.upgrades(history.lines) if each.how in wanted]
        days = [(self._packages.today - each.day).days for each in runs]
        stamp = self.answers[_APT_STAMP.key]
        if "automatic" in wanted and not stamp.silence and re.fullmatch(r"\d{1,12}", stamp.text.strip()):
            days.append(self._days_since(int(stamp.text)))
        return max(0, min(days, default=_NEVER))

    @cached_property
    def _debsecan(self) -> Offences:
        """What debsecan last reported."""
        answer = self.answers[_DEBSECAN.key]
        lines = answer.lines
        if answer.status != 0:
            raise NotApplicable("no data about vulnerable versions lies on this machine (debsecan has left none)")
        if not lines or not re.fullmatch(r"\d{1,12}", lines[0]):
            raise Unreadable("debsecan's history was not understood")
        days = self._days_since(int(lines[0]))
        if days > _FRESH_DAYS:
            raise NotObserved(f"debsecan's last report is {days} days old")
        rows = [line.split(",") for line in lines[1:] if line.count(",") == 2]
        by_package: dict[str, list[str]] = {}
        for bug, package, fixed in rows:
            if fixed == "F" and package in self._packages.by_dpkg:
                by_package.setdefault(package, []).append(bug)
        found = [
            Offence(subject=name, text=f"{name}: {', '.join(bugs[:3])}" + (" and more" if len(bugs) > 3 else ""))
            for name, bugs in sorted(by_package.items())
        ]
        return Offences(
            found, f"debsecan's report of {_days(days)} names no installed version that a newer one corrects"
        )

    # --- Red Hat's family ---

    @cached_property
    def _advisories(self) -> tuple[dnf.Advisory, ...]:
        return dnf.advisories(self.answers[_ADVISORIES.key].succeeded().lines)

    @cached_property
    def _offered(self) -> tuple[dnf.Offered, ...]:
        answer = self.answers[_OFFERED.key]
        if answer.status not in (0, 100):
            answer.succeeded()
        return dnf.offered(answer.lines)

    @cached_property
    def _dnf_age(self) -> int:
        """How many days ago the metadata of the repository that waits longest was checked."""
        checked = dnf.caches(self.answers[_DNF_CACHES.key].lines)
        names = [each.name for each in self._packages.repositories]
        if not names:
            raise Outdated("no repository is enabled, so nobody tells of updates")
        missing = [name for name in names if name not in checked]
        if missing:
            raise Outdated(f"the metadata of {', '.join(missing[:3])} was never fetched")
        return max(self._days_since(checked[name]) for name in names)

    def _dnf_waiting(self) -> Iterator[Update]:
        unpacked = {each.name: self._days_since(each.installed_at) for each in self._packages.by_rpm}
        versions = {each.package: each for each in self._offered}
        told = set()
        for each in self._advisories:
            days, certain = self._issued(each)
            told.add(each.package)
            yield Update(
                package=each.package,
                source=each.package,
                version=versions[each.package].version if each.package in versions else "",
                secures=True,
                where=f"{each.id} {each.severity}",
                at_least=days,
                at_most=days if certain else _NEVER,
            )
        # Authors' own repositories have no advisories: of critical components what they publish counts as security.
        for name, offered in versions.items():
            if name not in told and not self._packages.from_distribution(name) and _CRITICAL.match(name):
                yield Update(
                    package=name,
                    source=name,
                    version=offered.version,
                    secures=True,
                    where=offered.repository,
                    at_least=0,
                    at_most=unpacked.get(name, 0),
                )

    def _issued(self, advisory: dnf.Advisory) -> tuple[int, bool]:
        """Days since an advisory was issued; where only its last revision is known, that many at least."""
        known = self._issue_days.get(advisory.id)
        day = min(known or advisory.updated, advisory.updated)
        return max(0, (self._packages.today - day).days), known is not None

    @cached_property
    def _issue_days(self) -> dict[str, datetime.date]:
        answer = self.answers[_ISSUED.key]
        return {} if answer.silence else dnf.issued(answer.lines)

    # --- what was done ---

    @cached_property
    def _last_upgrade(self) -> datetime.date | None:
        """The last day of a completed upgrade; None where the logs tell of none."""
        if self._packages.family == DEBIAN:
            return dpkg.last_upgrade(self.answers[_DPKG_LOG.key].succeeded().lines)
        return dnf.last_upgrade(self.answers[_RPM_LOG.key].succeeded().lines)

    @cached_property
    def _since(self) -> datetime.date:
        """The day of the machine's first boot."""
        text = self.answers[_FIRST_BOOT.key].succeeded().text.strip()
        if not re.fullmatch(r"\d{1,10}", text):
            raise Unreadable("the date of /etc/machine-id was not understood")
        return datetime.datetime.fromtimestamp(int(text), datetime.UTC).date()


_NEVER = 100_000
_KEPT_BACK = "kept back"


def _overdue(updates: list[Update], days: int, seen: str) -> Offences:
    """Those that have waited for longer. Raises NotObserved where none surely has and one might have."""
    late: Callable[[Update], bool] = lambda each: each.at_least > days  # noqa: E731
    found = [
        Offence(subject=each.package, text=f"{each.package}: {each.version} waits ({each.where}; {_waits(each)})")
        for each in updates
        if late(each)
    ]
    unsure = [each for each in updates if not late(each) and each.at_most > days]
    if unsure and not found:
        named = ", ".join(map(str, unsure[:_SHOWN]))
        raise NotObserved(f"the machine cannot tell whether these have waited for longer than {days} days: {named}")
    return Offences(found, seen)


def _waits(update: Update) -> str:
    days = f"{update.at_least} days" if update.at_least == update.at_most else f"at least {update.at_least} days"
    return f"{days}, {update.why_not}" if update.why_not else days


def _count(updates: list[Update]) -> str:
    if not updates:
        return "no security update waits"
    return f"waiting security updates: {', '.join(map(str, updates[:_SHOWN]))}"


def _days(days: int) -> str:
    return {0: "today", 1: "yesterday"}.get(days, f"{days} days ago")
