"""The sixty as testinfra's documentation writes such tests: each asks the host what it needs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from benchmarks.sixty import checks


def _each(group: tuple[Any, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("check", group, ids=[check.name for check in group])


@_each(checks.FILES)
def test_file(host, check):
    file = host.file(check.path)
    assert file.exists
    assert file.mode == check.mode
    assert file.user == check.user
    assert file.group == check.group


@_each(checks.SSHD)
def test_sshd(host, check):
    with host.sudo():
        lines = host.check_output("/usr/sbin/sshd -T").splitlines()
    assert f"{check.key} {check.value}" in lines


@_each(checks.SYSCTL)
def test_sysctl(host, check):
    assert host.sysctl(check.key) == int(check.value)


@_each(checks.SERVICES)
def test_service(host, check):
    service = host.service(check.unit)
    assert service.is_running
    assert service.is_enabled


@_each(checks.SOCKETS)
def test_socket(host, check):
    assert host.socket(check.spec).is_listening is check.listening


@_each(checks.PACKAGES)
def test_package(host, check):
    assert host.package(check.package).is_installed is check.installed


@_each(checks.USERS)
def test_user(host, check):
    user = host.user(check.user)
    assert user.exists
    assert user.uid == check.uid
    assert user.shell == check.shell


@_each(checks.COMMANDS)
def test_command(host, check):
    with host.sudo() if check.root else nullcontext():
        assert host.check_output(check.command).startswith(check.begins)
