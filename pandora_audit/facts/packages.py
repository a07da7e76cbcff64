"""What is installed, from where, and which sources there are: dpkg and apt, rpm and dnf."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.formats import apt, dnf, dpkg
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Unreadable
from pandora_audit.questions import OS_RELEASE

_MOST = 4 * 1024 * 1024

# --- Debian's family ---
DPKG = Ask(
    key="dpkg-packages",
    argv=("dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${binary:Package}\t${Version}\t${source:Package}\n"),
    limit=_MOST,
)
# A password in a source's address stays on the host.
_BARE_ADDRESS = r"s#(://)[^/@ ]*@#\1#g"
# Of root, apt keeps what it has read: it would write to /var/cache/apt.
APT_KEEPS_NOTHING = ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")
APT_PACKAGES = Ask(
    key="apt-packages",
    sh="command -v apt-cache >/dev/null || exit 3; dpkg-query -W -f '${db:Status-Abbrev}${binary:Package}\\n' |"
    f" sed -n 's/^[hiu]i  *//p' | xargs -r apt-cache {' '.join(APT_KEEPS_NOTHING)} policy",
    limit=_MOST,
    seconds=20,
    keep=f"{_BARE_ADDRESS};p",
)
APT_ARCHIVES = Ask(key="apt-archives", argv=("apt-cache", *APT_KEEPS_NOTHING, "policy"), keep=f"{_BARE_ADDRESS};p")
APT_SOURCES = Ask(
    key="apt-sources",
    sh="grep -nHr --include=*.list --include=*.sources -e '' /etc/apt/sources.list.d;"
    " [ ! -e /etc/apt/sources.list ] || grep -nHe '' /etc/apt/sources.list",
    keep=f"/^[^:]*:[0-9]+:[[:space:]]*#./d;{_BARE_ADDRESS};p",
)
APT_CONFIG = Ask(
    key="apt-config",
    argv=("apt-config", "dump"),
    keep="/^(APT::Get::AllowUnauthenticated|Acquire::Allow[A-Za-z]*Repositories|"
    "Unattended-Upgrade::(Allowed-Origins|Origins-Pattern|Package-Blacklist|Package-Whitelist))(::)? /p",
)

# --- Red Hat's family ---
RPM = Ask(
    key="rpm-packages",
    argv=("rpm", "-qa", "--qf", "%{NAME}\t%{VERSION}\t%{RELEASE}\t%{INSTALLTIME}\t%{VENDOR}\n"),
    limit=_MOST,
)
DNF_REPOSITORIES = Ask(
    key="dnf-repositories",
    sh="set +f; grep -nHE '^(\\[|(enabled|gpgcheck|repo_gpgcheck|baseurl|mirrorlist|metalink|exclude|excludepkgs)"
    "[[:space:]]*=)' /etc/yum.conf /etc/dnf/dnf.conf /etc/yum.repos.d/*.repo;"
    " grep -nHE '^[^#!]' /etc/dnf/plugins/versionlock.list /etc/yum/pluginconf.d/versionlock.list",
    keep=f"{_BARE_ADDRESS};p",
)

_RELEASE_PACKAGES = (
    *("redhat-release", "redhat-release-server", "centos-release", "centos-stream-release", "rocky-release"),
    *("almalinux-release", "oraclelinux-release", "system-release"),
)

_UNSAFE = (
    *("APT::Get::AllowUnauthenticated", "Acquire::AllowInsecureRepositories"),
    "Acquire::AllowDowngradeToInsecureRepositories",
)

DEBIAN, REDHAT = "debian", "redhat"


class Outdated(NotObserved):
    """The machine answered, and what it knows of updates is old or nothing."""


class Packages(Fact):
    """The packages of a machine, and the sources that they come from."""

    questions = (
        *(OS_RELEASE, DPKG, APT_PACKAGES, APT_ARCHIVES, APT_SOURCES, APT_CONFIG),
        *(RPM, DNF_REPOSITORIES),
    )

    # --- the system ---

    @cached_property
    def system(self) -> Mapping[str, str]:
        """/etc/os-release."""
        return dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', self.answers[OS_RELEASE.key].text, re.M))

    @cached_property
    def family(self) -> str:
        """Whose package tools the machine has. Raises NotObserved for others than those that are understood."""
        words = {self.system.get("ID", ""), *self.system.get("ID_LIKE", "").split()}
        if words & {"debian", "ubuntu"}:
            return DEBIAN
        if words & {"rhel", "fedora", "centos", "amzn", "ol"}:
            return REDHAT
        raise NotObserved(f"packages of {self.system.get('PRETTY_NAME') or 'this system'} are not understood")

    @cached_property
    def today(self) -> datetime.date:
        return datetime.datetime.fromtimestamp(self.seen.asked_at, datetime.UTC).date()

    # --- Debian's family ---

    @cached_property
    def by_dpkg(self) -> dict[str, dpkg.Package]:
        found = dpkg.installed(self.answers[DPKG.key].succeeded().lines)
        if not found:
            raise Unreadable("dpkg-query names no installed package")
        return found

    @cached_property
    def by_apt(self) -> dict[str, apt.Package]:
        """The installed packages with all of their versions. Raises NotObserved where one of them is missing."""
        told = apt.packages(self.answers[APT_PACKAGES.key].succeeded().lines)
        # dpkg writes the architecture where several may be installed together; apt only where it is a foreign one.
        found = {name: told.get(name) or told.get(name.partition(":")[0]) for name in self.by_dpkg}
        missing = sorted(name for name, package in found.items() if package is None)
        if missing:
            raise Unreadable(f"apt-cache tells nothing of {', '.join(missing[:3])}")
        return {name: package for name, package in found.items() if package}

    @cached_property
    def archives(self) -> dict[str, apt.Archive]:
        """The archives by source line. Raises NotObserved where apt has no list of any."""
        found = apt.archives(self.answers[APT_ARCHIVES.key].succeeded().lines)
        if not found:
            raise Outdated("apt has no package lists: nobody has refreshed them")
        return found

    @cached_property
    def _own(self) -> frozenset[str]:
        """The source lines of the distribution: its own archives, and those that its base comes from (a mirror)."""
        base = self.by_apt.get("base-files")
        origins = {self.archives[line].origin for line in (base.sources if base else ()) if line in self.archives}
        origins |= set(apt.OFFICIAL)
        return frozenset(line for line, archive in self.archives.items() if archive.origin in origins)

    def from_distribution(self, name: str) -> bool | None:
        """Whether a package's installed version is the distribution's.

        A version that no archive has any more came from where its others come from; None where those disagree.
        """
        if self.family == REDHAT:
            return self.rpm_vendor == next((each.vendor for each in self.by_rpm if each.name == name), "")
        package = self.by_apt[name]
        if package.sources:
            return any(line in self._own for line in package.sources)
        others = {line in self._own for each in package.versions for line in each.sources}
        return None if len(others) > 1 else others == {True}

    @cached_property
    def without_source(self) -> tuple[str, ...]:
        """Packages of which no archive has any version."""
        if self.family == REDHAT:
            return tuple(sorted({each.name for each in self.by_rpm if each.vendor in ("", "(none)")}))
        _ = self.archives
        return tuple(sorted(name for name, each in self.by_apt.items() if not each.has_a_source))

    @cached_property
    def held(self) -> tuple[str, ...]:
        """The packages that somebody keeps at their version."""
        if self.family == REDHAT:
            _, main = self._repositories
            excluded = (main.get(key, "") for key in ("exclude", "excludepkgs"))
            locked = dnf.locked(self.answers[DNF_REPOSITORIES.key].lines)
            return (*filter(None, excluded), *locked)
        return tuple(sorted(name for name, each in self.by_dpkg.items() if each.held))

    # --- Red Hat's family ---

    @cached_property
    def by_rpm(self) -> tuple[dnf.Package, ...]:
        found = dnf.installed(self.answers[RPM.key].succeeded().lines)
        if not found:
            raise Unreadable("rpm names no installed package")
        return found

    @cached_property
    def rpm_vendor(self) -> str:
        """The vendor of the distribution: of the package that names its release."""
        for each in self.by_rpm:
            if each.name in _RELEASE_PACKAGES:
                return each.vendor
        raise NotObserved("no package of the distribution's release is installed, so nobody tells whose the others are")

    @cached_property
    def _repositories(self) -> tuple[tuple[dnf.Repository, ...], Mapping[str, str]]:
        answer = self.answers[DNF_REPOSITORIES.key]
        found = dnf.repositories(answer.lines)
        nothing_withheld(answer)
        return found

    @cached_property
    def repositories(self) -> tuple[dnf.Repository, ...]:
        """The enabled repositories."""
        return tuple(each for each in self._repositories[0] if each.enabled)

    # --- sources ---

    @cached_property
    def places(self) -> str:
        """The addresses of all sources, a line each."""
        if self.family == REDHAT:
            return "\n".join(f"{each.name} {each.place}" for each in self.repositories)
        return "\n".join(f"{uri} {' '.join(each.suites)}" for each in self._apt_sources for uri in each.uris)

    @cached_property
    def _apt_sources(self) -> tuple[apt.Source, ...]:
        answer = self.answers[APT_SOURCES.key]
        found = apt.sources(answer.lines)
        nothing_withheld(answer)
        return found

    @cached_property
    def unsafe_sources(self) -> Offences:
        """Why packages come from nowhere, or from somebody whose signature nobody checks."""
        found = list(self._unsigned())
        sources = self._apt_sources if self.family == DEBIAN else self.repositories
        if not sources:
            text = "no package source is enabled: nothing can be updated"
            found.append(Offence(subject="no source", text=text, layer="file"))
        return Offences(found, f"{len(sources)} package sources, all of them with their signatures checked")

    def _unsigned(self) -> Iterator[Offence]:
        if self.family == REDHAT:
            for each in self.repositories:
                if not each.signed:
                    text = f"the repository {each.name} has neither gpgcheck nor repo_gpgcheck"
                    yield Offence(subject=each.name, text=text, layer="file", cause=each.cause)
            return
        for name, values in self._apt_config.items():
            if name in _UNSAFE and apt.is_true(values[-1]):
                yield Offence(subject=name, text=f'{name} "{values[-1]}"', layer="next start")
        for source in self._apt_sources:
            if source.unsigned:
                place = f"{' '.join(source.uris)} {' '.join(source.suites)}"[:200]
                text = f"{source.unsigned} for {place}"
                yield Offence(subject=place, text=text, layer="file", cause=source.where)
        yield from self._no_security_archive()

    def _no_security_archive(self) -> Iterator[Offence]:
        """Debian's stable and Ubuntu's releases get security updates from archives of their own.

        Asked of the lists, by their labels: a mirror that merges the archives has a label of its own.
        """
        known = apt.archives(self.answers[APT_ARCHIVES.key].succeeded().lines).values()
        stable = [each for each in known if each.origin in ("Debian", "Ubuntu") and "VERSION_ID" in self.system]
        secured = any(each.secures or (each.origin == "Ubuntu" and each.suite.endswith("-updates")) for each in known)
        if stable and not secured:
            text = f"{stable[0].name} is a source, and its archive of security updates is none"
            yield Offence(subject="security archive", text=text, layer="file")

    @cached_property
    def _apt_config(self) -> dict[str, tuple[str, ...]]:
        return apt.settings(self.answers[APT_CONFIG.key].succeeded().lines)

    def automatic(self, package: str) -> bool:
        """Whether unattended-upgrades would take this package's security updates."""
        settings = self._apt_config
        origins = [
            *settings.get("Unattended-Upgrade::Allowed-Origins", ()),
            *settings.get("Unattended-Upgrade::Origins-Pattern", ()),
        ]
        listed = [*settings.get("Unattended-Upgrade::Package-Blacklist", ())]
        if any(settings.get("Unattended-Upgrade::Package-Whitelist", ())):
            return False
        # A black list holds patterns, which begin where the name does.
        return any("security" in each.lower() for each in origins) and not any(
            _may_match(pattern, package) for pattern in listed if pattern
        )


def _may_match(pattern: str, name: str) -> bool:
    """Whether a pattern of the machine's may match a package's name; it is not run, for it may be meant to hang."""
    literal = re.match(r"(?:[a-z0-9-](?![?*{]))*", pattern.removeprefix("^"))
    return "|" in pattern or literal is None or name.startswith(literal[0])
