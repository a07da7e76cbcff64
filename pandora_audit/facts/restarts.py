"""What was patched on disk and runs unpatched: the kernel, and programs that hold replaced files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question, Unreadable

# Code that a process has mapped and that is no longer in its place. It says nothing of data, which programs delete
# on purpose; grep ends with 1 whenever a process went away meanwhile.
_MAPS = Ask(
    key="replaced-files",
    argv=("find", "/proc/", "-maxdepth", "2", "-name", "maps", "-exec", "grep", "-HF", "-e", "deleted", "{}", "+"),
    root=True,
    limit=1024 * 1024,
    keep=r"s#^/proc/([0-9]+)/maps:[^ ]+ r.x. [^/]*(/(usr|lib|lib64|bin|sbin|opt)/.*) \(deleted\)$#\1 \2#p",
)
_PROCESSES = Ask(key="process-names", sh="ps -eo pid=,comm=")
# A kernel's file is as old as its package; it has lain here since its inode changed.
_KERNEL = Ask(
    key="kernels",
    sh="date +%s; uname -r; v=$(systemd-detect-virt --container); echo ${v:-?}; set +f;"
    " stat -c '%Z %n' /boot/vmlinuz-* 2>/dev/null; stat -L -c '%Y %n' /run/reboot-required 2>/dev/null;"
    " sed 's/^/needs /' /run/reboot-required.pkgs 2>/dev/null;"
    " sed 's/^/live /' /sys/kernel/livepatch/*/enabled 2>/dev/null; true",
)
_PLACES = "replaced-files@places"
_MOST_PLACES = 200
_SHOWN = 3


class Restarts(Fact):
    """What waits for a restart, and since when."""

    questions = (_MAPS, _PROCESSES, _KERNEL)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        paths = cls(seen)._paths
        if not paths:
            return ()
        folders = {path.rpartition("/")[0] for path in paths}
        return (Ask(key=_PLACES, argv=("stat", "-c", "%Z %Y %F:%n", "--", *paths, *sorted(folders))),)

    def pending(self, days: int) -> Offences:
        """What has run unpatched for longer."""
        found = [*self._kernel(days), *self._programs(days)]
        # What others' kernels are is not this machine's to say.
        kernel = "the kernel is its host's" if self._contained else f"kernel {self._kernel_lines[1]}"
        return Offences(found, f"{kernel}; {self._count} programs hold replaced files, for {days} days at most")

    # --- the kernel ---

    @cached_property
    def _kernel_lines(self) -> list[str]:
        lines = self.answers[_KERNEL.key].succeeded().lines
        if len(lines) < 3 or lines[2] == "?" or not re.fullmatch(r"\d{1,12}", lines[0]):
            raise Unreadable("the machine's kernels were not understood")
        return lines

    @property
    def _now(self) -> int:
        return int(self._kernel_lines[0])

    @property
    def _contained(self) -> bool:
        return self._kernel_lines[2] != "none"

    @cached_property
    def _times(self) -> Mapping[str, int]:
        """Of the kernels and of the note that a restart is required: since when each is there."""
        rows = (re.fullmatch(r"(\d{1,12}) (/\S+)", line) for line in self._kernel_lines)
        return {row[2]: int(row[1]) for row in rows if row}

    def _kernel(self, days: int) -> Iterator[Offence]:
        times = self._times
        live = "live 1" in self._kernel_lines
        running = self._kernel_lines[1]
        if not self._contained and not live:
            prefix = "/boot/vmlinuz-"
            newer = {
                path.removeprefix(prefix): at
                for path, at in times.items()
                if path.startswith(prefix) and _order(path.removeprefix(prefix)) > _order(running)
                if _flavour(path) == _flavour(running)
            }
            for name, at in sorted(newer.items(), key=lambda item: _order(item[0]))[-1:]:
                # It has been possible to run a newer one since the first of them came.
                first = min(at, *newer.values())
                if self._late(first, days):
                    text = f"kernel {running} runs, and {name} has been installed for {self._days(first)} days"
                    yield Offence(subject="kernel", text=text, layer="process")
        note = next((at for path, at in times.items() if path.endswith("/reboot-required")), None)
        needs = [line.removeprefix("needs ") for line in self._kernel_lines if line.startswith("needs ")]
        only_kernel = bool(needs) and all(name.startswith("linux-") for name in needs)
        if note is not None and self._late(note, days) and not (only_kernel and (live or self._contained)):
            named = f" ({', '.join(dict.fromkeys(needs[:_SHOWN]))})" if needs else ""
            text = f"the system has asked to be restarted for {self._days(note)} days{named}"
            yield Offence(subject="restart", text=text, layer="process", cause="/run/reboot-required")

    def _late(self, moment: int, days: int) -> bool:
        return self._now - moment > days * 86400

    def _days(self, moment: int) -> int:
        return max(0, (self._now - moment) // 86400)

    # --- programs ---

    @cached_property
    def _held(self) -> tuple[tuple[str, str], ...]:
        """Each process with each replaced file that it has mapped: its number and the path."""
        rows = (re.fullmatch(r"(\d{1,10}) (/.+)", line) for line in self.answers[_MAPS.key].lines)
        # rpm renames a file before it removes it.
        return tuple(dict.fromkeys((row[1], re.sub(r";[0-9a-f]{8}$", "", row[2])) for row in rows if row))

    @cached_property
    def _paths(self) -> list[str]:
        paths = sorted({path for _, path in self._held})
        return paths[:_MOST_PLACES]

    @cached_property
    def _count(self) -> int:
        return len({self._names.get(pid, pid) for pid, _ in self._held})

    @cached_property
    def _names(self) -> dict[str, str]:
        rows = (line.split(None, 1) for line in self.answers[_PROCESSES.key].succeeded().lines)
        return {row[0]: row[1] for row in rows if len(row) == 2}

    def _programs(self, days: int) -> Iterator[Offence]:
        """The programs that hold files as they were before they were replaced, by name."""
        if len({path for _, path in self._held}) > _MOST_PLACES:
            raise NotObserved(f"processes hold more than {_MOST_PLACES} replaced files")
        late: dict[str, dict[str, int]] = {}
        for pid, path in self._held:
            since = self._replaced[path]
            if self._late(since, days):
                late.setdefault(self._names.get(pid, "a process that ended"), {})[path] = since
        for name, files in sorted(late.items()):
            shown = sorted(files)[:_SHOWN]
            more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
            text = (
                f"{name} runs with {', '.join(shown)}{more} as before its replacement"
                f" {self._days(min(files.values()))} days ago"
            )
            yield Offence(subject=name, text=text, layer="process")

    @cached_property
    def _replaced(self) -> Mapping[str, int]:
        """When each file was replaced: when its successor came; of one that is gone, when its folder changed last."""
        if not self._held:
            return {}
        found: dict[str, int] = {}
        folders: dict[str, int] = {}
        for line in self.answers[_PLACES].lines:
            if row := re.fullmatch(r"(\d{1,12}) (\d{1,12}) ([^:]*):(/.*)", line):
                found[row[4]] = int(row[1])
                folders[row[4]] = int(row[2])
        told = {path: found.get(path) or folders.get(path.rpartition("/")[0]) for path in self._paths}
        unknown = [path for path, at in told.items() if at is None]
        if unknown:
            raise NotObserved(f"nobody tells when {unknown[0][:200]} was replaced")
        return {path: at for path, at in told.items() if at is not None}


def _order(version: str) -> list[tuple[int, int, str]]:
    """A key that puts kernels in the order of their versions: numbers by value, before words."""
    return [(0, int(part[:12]), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|[a-z]+", version)]


# What a version says of the release that it was built for, and not of the kind of kernel.
_OF_RELEASES = ("el", "fc", "amzn", "deb", "bpo", "rc")


def _flavour(version: str) -> list[str]:
    """What kind of kernel it is: amd64, generic, cloud, rt, uek… without its numbers."""
    words = re.findall(r"[a-z]+", version.rpartition("/")[2].removeprefix("vmlinuz-"))
    return [word for word in words if word not in _OF_RELEASES]
