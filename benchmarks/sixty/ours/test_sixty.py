"""The sixty as controls of this audit: pure functions of facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.sixty import checks
from benchmarks.sixty.ours import facts  # noqa: F401  (importing it declares the facts)
from pandora_audit import LOW, control

_PROSE = """{0} is as the benchmark wants it.

    Stock testinfra judges the same, question by question.

    Fix: None.

    Impact: None.
    """


def _file(check: checks.File) -> Callable[..., None]:
    def test(bench_files):
        assert bench_files.states.get(check.path) == [f"{check.mode:o}", check.user, check.group]

    return test


def _sshd(check: checks.Setting) -> Callable[..., None]:
    def test(bench_sshd):
        assert bench_sshd.settings[check.key] == check.value

    return test


def _sysctl(check: checks.Setting) -> Callable[..., None]:
    def test(bench_sysctl):
        assert bench_sysctl.values[check.key] == check.value

    return test


def _service(check: checks.Service) -> Callable[..., None]:
    def test(bench_units):
        assert bench_units.running(check.unit)
        assert bench_units.enabled(check.unit)

    return test


def _socket(check: checks.Socket) -> Callable[..., None]:
    def test(bench_sockets):
        assert bench_sockets.listening(check.spec) is check.listening

    return test


def _package(check: checks.Package) -> Callable[..., None]:
    def test(bench_packages):
        assert (check.package in bench_packages.installed) is check.installed

    return test


def _user(check: checks.User) -> Callable[..., None]:
    def test(bench_users):
        assert bench_users.users.get(check.user) == (check.uid, check.shell)

    return test


def _command(check: checks.Command) -> Callable[..., None]:
    def test(bench_commands):
        assert bench_commands.said[check.command].startswith(check.begins)

    return test


def _controls(make: Callable[[Any], Callable[..., None]], group: tuple[Any, ...]) -> None:
    for check in group:
        test = make(check)
        test.__doc__ = _PROSE.format(check.name)
        test.__name__ = f"test_{check.name.replace('-', '_')}"
        globals()[test.__name__] = control(f"bench.{check.name}", LOW)(test)


_controls(_file, checks.FILES)
_controls(_sshd, checks.SSHD)
_controls(_sysctl, checks.SYSCTL)
_controls(_service, checks.SERVICES)
_controls(_socket, checks.SOCKETS)
_controls(_package, checks.PACKAGES)
_controls(_user, checks.USERS)
_controls(_command, checks.COMMANDS)
