"""Real Debian hosts to audit, on one Linux machine with root: cloned, booted and thrown away in a second.

    with lab.boot("bookworm", ["echo 'Port 2222' >> /etc/ssh/sshd_config"]) as host: ...

Each host is a root filesystem from mmdebstrap under an overlay, booted by systemd-nspawn in a network
namespace on a bridge of the lab's own network, from which nothing leads out.
"""

from __future__ import annotations

import os

from lab.host import Host, Mutation, boot, greets, shutdown, with_root_key
from lab.images import key_path
from lab.machine import available, install
from lab.process import LabError, Unavailable

__all__ = [
    "Host",
    "LabError",
    "Mutation",
    "Unavailable",
    "available",
    "boot",
    "greets",
    "install",
    "key_path",
    "required",
    "shutdown",
    "with_root_key",
]


def required() -> None:
    """For tests and fixtures: skip, visibly, where the lab cannot run; fail there if CI is set."""
    import pytest  # the lab itself works without it

    if reason := available():
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
