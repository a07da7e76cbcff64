"""systemd's units, as ``systemctl show`` tells of several."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pandora_audit.question import Ask, Unreadable


@dataclass(frozen=True)
class Unit:
    """A unit that was asked for, installed or not."""

    name: str
    properties: dict[str, str]

    @property
    def is_known(self) -> bool:
        return self.properties.get("LoadState") not in ("not-found", None)

    @property
    def is_installed(self) -> bool:
        return self.properties.get("LoadState") not in ("not-found", "masked")

    @property
    def runs(self) -> bool:
        return self.properties.get("ActiveState") in ("active", "activating", "reloading")

    @property
    def starts(self) -> bool:
        """Whether the next boot starts it; of what an init script made a unit, who wants it tells."""
        enabled = self.properties.get("UnitFileState") in ("enabled", "enabled-runtime")
        return self.is_installed and (enabled or bool(self.properties.get("WantedBy")))


def ask(key: str, *names: str) -> Ask:
    """The question of which ``units`` reads the answer."""
    return Ask(key=key, argv=("systemctl", "show", "-p", "Id,LoadState,ActiveState,UnitFileState,WantedBy", *names))


def units(text: str) -> Iterator[Unit]:
    """The units of an answer. Raises Unreadable."""
    for block in re.split(r"\n\s*\n", text.strip()):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" not in properties:
            raise Unreadable(f"`systemctl show` said {block[:100]!r}, which is no unit")
        yield Unit(properties["Id"], properties)
