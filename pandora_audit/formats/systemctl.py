"""What ``systemctl show`` says of units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# Those that are started at the boot by themselves or by what needs them, and those that a SysV script stands for.
_STARTED = ("enabled", "static", "alias", "indirect", "generated")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit, by the name that systemd gives it.

    Args:
        starts: whether the next boot starts it.
        since: when its main process began, in seconds of the machine's monotonic clock.
    """

    name: str
    active: bool
    starts: bool
    user: str
    since: float


def units(text: str) -> Mapping[str, Unit]:
    """The units that are there and not masked, each once; an alias is told by the unit that it stands for."""
    found = {}
    for block in text.split("\n\n"):
        says = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name = says.get("Id", "").removesuffix(".service")
        if not name or says.get("LoadState") != "loaded":
            continue
        began = says.get("ExecMainStartTimestampMonotonic", "")
        found[name] = Unit(
            name=name,
            active=says.get("ActiveState") in ("active", "reloading"),
            starts=says.get("UnitFileState") in _STARTED,
            user=says.get("User", ""),
            since=int(began) / 1e6 if re.fullmatch(r"\d{1,18}", began) else 0.0,
        )
    return found
