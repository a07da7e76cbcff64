"""The processes of a machine: who runs what, as part of which unit, for how long."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pandora_audit.question import Unreadable


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process.

    Args:
        seconds: its age.
        unit: the systemd unit that it is part of; ``-`` for none.
        title: the first word of its arguments, or of what it calls itself instead.
        script: what an interpreter runs, where its arguments begin with a path.
    """

    pid: str
    parent: str
    seconds: int
    unit: str
    title: str
    script: str

    @property
    def in_session(self) -> bool:
        """Whether it belongs to somebody's login."""
        return re.fullmatch(r"session-.*\.scope", self.unit) is not None

    @property
    def place(self) -> str:
        """Its unit by a name that outlives restarts."""
        if self.in_session:
            return "a login session"
        if re.match(r"(docker|libpod|crio|cri-containerd)-[0-9a-f]{12,}", self.unit) or self.unit.startswith(
            "kubepods"
        ):
            return "a container"
        return re.sub(r"^run-[-a-z]*[0-9a-f]+\.(service|scope)$", r"run-*.\1", self.unit)


_ROW = re.compile(r" *(\d{1,10}) +(\d{1,10}) +(\d{1,10}) +(\S+) +(\S+)(?: (/\S*))?")


def processes(lines: Iterable[str]) -> Iterator[Process]:
    """The rows of ``ps`` as the question PROCESSES cuts them. Raises Unreadable."""
    for line in lines:
        row = _ROW.fullmatch(line.rstrip())
        if row is None:
            raise Unreadable(f"`ps` said {line[:100]!r}, which is no process")
        pid, parent, seconds, unit, title, script = row.groups("")
        yield Process(pid=pid, parent=parent, seconds=int(seconds), unit=unit, title=title, script=script)


def executables(text: str) -> dict[str, str]:
    """Of ``find /proc … -printf %p//%l//``: process ids and the programs that they run; kernel threads run none."""
    words = text.split("//")
    found = {}
    for place, program in zip(words[::2], words[1::2], strict=False):
        pid = re.fullmatch(r"/proc/(\d{1,10})/exe", place)
        if pid is None:
            raise Unreadable(f"`find` said {place[:100]!r}, which is no process")
        found[pid[1]] = _installed(program)
    return found


def _installed(program: str) -> str:
    """The path by which a program was started, though it was replaced since."""
    return re.sub(r"(\.dpkg-(new|tmp)|;[0-9a-f]{8})?( \(deleted\))?$", "", program)
