"""Mandatory access control: what the kernel enforces whoever the program runs as."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.formats import systemctl
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, Unreadable
from pandora_audit.questions import CONTAINER, states_of
from pandora_audit.verdict import NotApplicable

_SELINUX = Ask(
    key="selinux",
    sh=r"""
if [ -e /sys/fs/selinux/enforce ]; then echo "enforce $(cat /sys/fs/selinux/enforce)"; fi
if [ -e /etc/selinux/config ]; then grep -Hn '^SELINUX=' /etc/selinux/config || exit 1; fi
grep -oE '\<(selinux|enforcing|apparmor|security|lsm)=[^ ]*' /proc/cmdline
true""",
)
_APPARMOR = Ask(
    key="apparmor",
    sh="""\
if [ -d /sys/kernel/security/apparmor ]; then echo active
elif [ -r /sys/kernel/security ]; then echo none; fi""",
)
# Of a profile only how it is applied.
_PROFILES = Ask(
    key="apparmor-profiles",
    argv=("cat", "/sys/kernel/security/apparmor/profiles"),
    root=True,
    keep=r"s/.* \(([a-z]+)\)$/\1/p",
)
_SERVICE = states_of("apparmor-service", "apparmor")


class Confinement(Fact):
    """SELinux or AppArmor, now and after the next boot."""

    questions = (CONTAINER, _SELINUX, _APPARMOR, _PROFILES, _SERVICE)

    @cached_property
    def missing(self) -> Offences:
        """Why no program is confined. Raises NotApplicable in a container, whose kernel is another machine's."""
        container = self.answers[CONTAINER.key].text.strip()
        if container not in ("none", ""):
            raise NotApplicable(f"a container ({container}): the machine that runs it confines its programs")
        if self._enforce is not None:
            return Offences(self._selinux_lacks(), "SELinux enforces its policy, and will after the next boot")
        state = self.answers[_APPARMOR.key].text.strip()
        if state not in ("active", "none"):
            raise Unreadable("/sys/kernel/security does not tell whether AppArmor is there")
        if state == "none":
            return Offences([Offence(subject="kernel", text=self._why_none, layer="process")], "")
        return Offences(self._apparmor_lacks(), "AppArmor confines programs, and will after the next boot")

    @cached_property
    def _enforce(self) -> bool | None:
        """Whether a running SELinux enforces; None where it does not run."""
        said = re.match(r"enforce (.*)", self.answers[_SELINUX.key].succeeded().text)
        if said is None:
            return None
        if said[1] not in ("0", "1"):
            raise Unreadable(f"/sys/fs/selinux/enforce says {said[1][:30]!r}")
        return said[1] == "1"

    @property
    def _configured(self) -> re.Match[str] | None:
        """SELINUX= of its file; the last line counts."""
        lines = self.answers[_SELINUX.key].lines
        found = (re.fullmatch(r"(/etc/selinux/config:\d{1,6}):SELINUX=\s*(\w+)\s*", line) for line in lines)
        return next((each for each in reversed(list(found)) if each), None)

    def _selinux_lacks(self) -> Iterator[Offence]:
        if not self._enforce:
            yield Offence(subject="SELinux", text="SELinux only warns (permissive)", layer="process")
        said = self._configured
        if said and said[2].lower() != "enforcing":
            text = f"SELinux will be {said[2].lower()}"
            yield Offence(subject="SELinux", text=text, layer="next start", cause=said[1])
        elif "enforcing=0" in self.answers[_SELINUX.key].lines:
            text = "SELinux will be permissive: the kernel is started with enforcing=0"
            yield Offence(subject="SELinux", text=text, layer="next start")

    @property
    def _why_none(self) -> str:
        off = [line for line in self.answers[_SELINUX.key].lines if re.fullmatch(r"(selinux|apparmor)=0", line)]
        if off:
            return f"neither SELinux nor AppArmor runs: the kernel was started with {' '.join(off)}"
        if self._configured and self._configured[2].lower() == "disabled":
            return f"SELinux is disabled by {self._configured[1]}"
        return "neither SELinux nor AppArmor runs"

    def _apparmor_lacks(self) -> Iterator[Offence]:
        modes = Counter(self.answers[_PROFILES.key].succeeded().lines)
        if not modes["enforce"] + modes["kill"]:
            text = f"AppArmor runs, and none of its {sum(modes.values())} profiles is enforced"
            yield Offence(subject="AppArmor", text=text, layer="process")
        unit = systemctl.units(self.answers[_SERVICE.key].succeeded().text).get("apparmor")
        if unit is None or not unit.starts:
            text = "no service loads AppArmor's profiles at the boot"
            yield Offence(subject="AppArmor", text=text, layer="next start")
