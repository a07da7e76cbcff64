"""The facts that the sixty need: one question by class of thing."""

from __future__ import annotations

from functools import cached_property

from benchmarks.sixty import checks
from pandora_audit.fact import Fact
from pandora_audit.question import Ask
from pandora_audit.questions import PASSWD

_STAT = Ask(key="bench-stat", argv=("stat", "-c", "%n %a %U %G", *(check.path for check in checks.FILES)))
_SSHD = Ask(
    key="bench-sshd",
    argv=("sshd", "-T"),
    root=True,
    keep=f"/^({'|'.join(check.key for check in checks.SSHD)}) /p",
)
# Not by the shell's `read`: dash reads byte by byte, and the kernel shows a parameter to the first read only.
_SYSCTL = Ask(
    key="bench-sysctl",
    argv=("grep", "-H", "", *(f"/proc/sys/{check.key.replace('.', '/')}" for check in checks.SYSCTL)),
)
_UNITS = Ask(
    key="bench-units",
    argv=("systemctl", "show", "-p", "Id,ActiveState,UnitFileState", *(check.unit for check in checks.SERVICES)),
)
_SOCKETS = Ask(key="bench-sockets", argv=("ss", "-Hnlt"))
_PACKAGES = Ask(
    key="bench-packages",
    argv=("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *(check.package for check in checks.PACKAGES)),
)
_COMMANDS = Ask(key="bench-commands", sh="\n".join(check.command for check in checks.COMMANDS if not check.root))
_PRIVILEGED = tuple(
    Ask(key=f"bench-{check.name}", argv=tuple(check.command.split()), root=True)
    for check in checks.COMMANDS
    if check.root
)


class BenchFiles(Fact):
    """Modes and owners."""

    questions = (_STAT,)

    @cached_property
    def states(self) -> dict[str, list[str]]:
        return {row[0]: row[1:] for row in map(str.split, self.answers[_STAT.key].lines)}


class BenchSshd(Fact):
    """sshd's effective configuration."""

    questions = (_SSHD,)

    @cached_property
    def settings(self) -> dict[str, str]:
        return dict(line.split(" ", 1) for line in self.answers[_SSHD.key].succeeded().lines)


class BenchSysctl(Fact):
    """Kernel parameters."""

    questions = (_SYSCTL,)

    @cached_property
    def values(self) -> dict[str, str]:
        rows = (line.removeprefix("/proc/sys/").split(":", 1) for line in self.answers[_SYSCTL.key].lines)
        return {path.replace("/", "."): value for path, value in rows}


class BenchUnits(Fact):
    """Services that run now, and that will run after the next boot."""

    questions = (_UNITS,)

    @cached_property
    def states(self) -> dict[str, tuple[str, str]]:
        blocks = self.answers[_UNITS.key].succeeded().text.split("\n\n")
        units = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks if block.strip()]
        return {
            unit["Id"].removesuffix(".service"): (unit["ActiveState"], unit.get("UnitFileState", "")) for unit in units
        }

    def running(self, unit: str) -> bool:
        return self.states[unit][0] == "active"

    def enabled(self, unit: str) -> bool:
        return self.states[unit][1] in ("enabled", "static", "alias", "indirect", "generated")


class BenchSockets(Fact):
    """Where somebody listens."""

    questions = (_SOCKETS,)

    @cached_property
    def addresses(self) -> frozenset[str]:
        return frozenset(line.split()[3] for line in self.answers[_SOCKETS.key].succeeded().lines)

    def listening(self, spec: str) -> bool:
        address = spec.removeprefix("tcp://")
        wanted = {address} if ":" in address else {f"0.0.0.0:{address}", f"[::]:{address}"}
        return wanted <= self.addresses


class BenchPackages(Fact):
    """Installed packages."""

    questions = (_PACKAGES,)

    @cached_property
    def installed(self) -> frozenset[str]:
        rows = map(str.split, self.answers[_PACKAGES.key].lines)
        return frozenset(row[0] for row in rows if row[1] == "installed")


class BenchUsers(Fact):
    """Accounts, as the name service tells them."""

    questions = (PASSWD,)

    @cached_property
    def users(self) -> dict[str, tuple[int, str]]:
        rows = (line.split(":") for line in self.answers[PASSWD.key].succeeded().lines)
        return {row[0]: (int(row[2]), row[6]) for row in rows}


class BenchCommands(Fact):
    """What some commands say."""

    questions = (_COMMANDS, *_PRIVILEGED)

    @cached_property
    def said(self) -> dict[str, str]:
        free = [check.command for check in checks.COMMANDS if not check.root]
        said = dict(zip(free, self.answers[_COMMANDS.key].succeeded().lines, strict=True))
        return said | {ask.text: self.answers[ask.key].succeeded().text for ask in _PRIVILEGED}


FACTS = frozenset(
    {BenchFiles, BenchSshd, BenchSysctl, BenchUnits, BenchSockets, BenchPackages, BenchUsers, BenchCommands}
)
