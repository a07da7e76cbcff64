"""Fixtures for a site's own tests: the same words that controls use as arguments. They only look up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import testinfra.host

from pandora_audit.audit import Audit
from pandora_audit.backend import AuditBackend
from pandora_audit.fact import known_facts
from pandora_audit.gather import Machine
from pandora_audit.items import AUDIT
from pandora_audit.question import Role
from pandora_audit.target import Target
from pandora_audit.verdict import NotApplicable, ToDecide


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """The machine under test, in no particular role: its name, address, groups and promises."""
    found: Target = request.param
    return found


def _looked_up(request: pytest.FixtureRequest, name: str) -> object:
    audit: Audit = request.config.stash[AUDIT]
    try:
        return audit.lookup(name)
    except (NotApplicable, ToDecide) as verdict:
        pytest.skip(str(verdict))


def _fixture(name: str, doc: str) -> Callable[..., Any]:
    def look_up(request: pytest.FixtureRequest, target: Target) -> object:
        return _looked_up(request, name)

    look_up.__doc__ = doc
    return pytest.fixture(name=name)(look_up)


for _role in Role:
    globals()[_role.value] = _fixture(
        _role.value, f"The machine as {_role}: where the role was detected. Skips where it is absent."
    )
for _name, _kind in known_facts().items():
    globals()[_name] = _fixture(_name, _kind.__doc__ or "")
for _name, _doc in (
    ("promises", "What the site promised of this machine."),
    ("level", "The chosen level: guide, hardened or strict."),
):
    globals()[_name] = _fixture(_name, _doc)


@pytest.fixture
def host(request: pytest.FixtureRequest, target: Target) -> testinfra.host.Host:
    """testinfra's host on the audit's open connection; what it runs is evidence of the test."""
    machine: Machine | None = request.config.stash[AUDIT].machine
    if machine is None or machine.connection is None:
        raise LookupError(f"{target.name}: no connection is open")
    machine.reached()
    return testinfra.host.Host(AuditBackend(machine.connection, request.node))
