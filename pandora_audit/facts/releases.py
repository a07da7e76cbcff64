"""Whether what the machine runs still gets security fixes: its distribution, and the parts under Pandora FMS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pandora_audit import eol
from pandora_audit.fact import Fact
from pandora_audit.facts.packages import DEBIAN, REDHAT, Packages
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import NotObserved
from pandora_audit.script import ROLES
from pandora_audit.verdict import NotApplicable

# What the parts' packages are called in either family, and their product in the table of ends of support.
_PARTS: tuple[tuple[str, str, str], ...] = (
    ("PHP", "php", r"(?:libapache2-mod-)?php\d[\d.]*(?:-php)?(?:-(?:cli|fpm|cgi|common))?|php(?:-(?:cli|fpm|common))?"),
    ("database", "mariadb", r"(?i:mariadb-server)(?:-core)?(?:-[\d.]+)?"),
    ("database", "mysql", r"mysql(?:-community)?-server(?:-core)?(?:-[\d.]+)?"),
    ("database", "percona", r"percona-server-server(?:-[\d.]+)?"),
    ("web server", "apache-http-server", r"apache2(?:-bin)?|httpd(?:-core)?"),
    ("web server", "nginx", r"nginx(?:-core|-full|-light|-extras|-mainline)?"),
    ("Pandora FMS", "pandora-fms", r"pandorafms[-_](?:server|console)(?:[-_]enterprise)?"),
)
_SHOWN = 8


@dataclass(frozen=True)
class Part:
    """An installed part: what it is, the table's product, the package and its version as its authors count."""

    kind: str
    product: str
    package: str
    version: str


class Releases(Fact):
    """The releases that the machine runs, against the dated table of ends of support."""

    questions = Packages.questions

    @cached_property
    def _packages(self) -> Packages:
        return Packages(self.seen)

    @cached_property
    def unsupported_distribution(self) -> Offences:
        """The distribution's release, where it gets no security fixes any more."""
        release = self._distribution
        today = self._packages.today
        # Who needs no extension has no sources to be looked into.
        extension = release.ended(today) and self._extended(release)
        told = release.told(today, extension=extension)
        found = [Offence(subject=f"{release.product} {release.number}", text=told)]
        return Offences(found if release.ended(today, extension=extension) else [], told)

    @property
    def lives_by_extension(self) -> bool:
        """Whether the distribution's own support has ended, and the machine takes part in an extension of it."""
        release = self._distribution
        return release.ended(self._packages.today) and self._extended(release)

    @cached_property
    def _distribution(self) -> eol.Release:
        system = self._packages.system
        name, number = system.get("ID", ""), system.get("VERSION_ID", "")
        if name == "centos" and "Stream" in system.get("NAME", ""):
            name = "centos-stream"
        release = eol.release("distributions", name, number) if number else None
        if release is None:
            shown = system.get("PRETTY_NAME") or "this system"
            raise NotObserved(f"{shown} is not in the table of ends of support")
        return release

    def _extended(self, release: eol.Release) -> bool:
        """Whether the machine takes part in an extension of its support: one of its sources is that."""
        if not release.extended_by:
            return False
        return re.search(release.extended_by, self._packages.places) is not None

    # --- the parts ---

    @cached_property
    def unsupported_parts(self) -> Offences:
        """The parts under Pandora FMS, and itself, that get no security fixes any more.

        What the distribution delivers lives as long as the distribution (system.supported-release judges that). What
        comes from elsewhere is held to the table of its authors.
        """
        parts = list(self._parts())
        if not parts and not self._pandora_here:
            raise NotApplicable("neither PHP, nor a database or web server, nor Pandora FMS is installed")
        found, seen, unknown = [], [], []
        for part in parts:
            named = f"{part.package} {part.version}"
            ours = self._packages.from_distribution(part.package)
            if ours is None:
                unknown.append(f"nobody tells where {named} came from")
                continue
            if ours:
                if self._may_end_before(part.package):
                    unknown.append(f"{named} is of an Application Stream, which may end before the distribution")
                seen.append(f"{named}: the distribution's")
                continue
            release = eol.release("components", part.product, part.version)
            if release is None:
                unknown.append(f"{named} is not in the table of ends of support")
                continue
            told = release.told(self._packages.today)
            seen.append(f"{named}: {told}")
            if release.ended(self._packages.today):
                found.append(Offence(subject=part.package, text=f"{named}: {told}"))
        if not any(part.kind == "Pandora FMS" for part in parts) and self._pandora_here:
            unknown.append("Pandora FMS was not installed as a package, so its release is not known")
        if unknown and not found:
            raise NotObserved("; ".join(unknown))
        return Offences(found, "; ".join([*seen, *self._sourceless()]))

    def _parts(self) -> Iterator[Part]:
        """The installed parts, one package of each version."""
        seen: set[tuple[str, str, bool | None]] = set()
        for name, version in sorted(self._installed.items()):
            for kind, product, pattern in _PARTS:
                # Debian's packages without a number only depend on others, and count their own versions.
                empty = product == "php" and self._packages.family == DEBIAN and not re.search(r"\d", name)
                if re.fullmatch(pattern, name.partition(":")[0]) and not empty:
                    number = _numbers(version)
                    key = (product, number, self._packages.from_distribution(name))
                    if key not in seen:
                        seen.add(key)
                        yield Part(kind, product, name, number)

    @cached_property
    def _installed(self) -> Mapping[str, str]:
        if self._packages.family == REDHAT:
            return {each.name: each.version for each in self._packages.by_rpm}
        return {name: each.version for name, each in self._packages.by_dpkg.items()}

    def _may_end_before(self, name: str) -> bool:
        return self._packages.family == REDHAT and any(
            each.modular for each in self._packages.by_rpm if each.name == name
        )

    @cached_property
    def _pandora_here(self) -> bool:
        return re.search(r"^(server|console) present", self.answers[ROLES].text, re.M) is not None

    def _sourceless(self) -> Iterator[str]:
        names = self._packages.without_source
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            yield f"without a source: {', '.join(names[:_SHOWN])}{more}"


def _numbers(version: str) -> str:
    """The authors' own version in a package's: without epoch and revision."""
    found = re.match(r"(?:\d+:)?(?:v|7\.0NG\.)?(\d+(?:\.\d+)*)", version)
    return found[1] if found else version
