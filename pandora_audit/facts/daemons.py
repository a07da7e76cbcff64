"""Daemons that are scripts: their processes, by the words of their command lines, and the units that start them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pandora_audit.question import Answer, Ask, Cause, NotObserved, Role, Unreadable


@dataclass(frozen=True)
class Process:
    """A process: its users (real, effective; then the real one's name), its start by the host's clock, its words."""

    pid: str
    users: tuple[str, str]
    user: str
    started: float
    words: list[str]


def ask(key: str, pattern: str, role: Role, keep: str = "") -> Ask:
    """The processes in whose words a pattern stands; it is written so that it does not find itself."""
    # Where process 1 is not shown, nothing else need be.
    text = f"""set +f
[ -r /proc/1/cmdline ] && echo all
for f in $(grep -lsaE '{pattern}' /proc/[0-9]*/cmdline); do
    p=${{f#/proc/}} p=${{p%/cmdline}}
    ps -ww -p "$p" -o pid=,ruid=,euid=,etimes=,ruser= || continue
    tr '\\n\\0' ' \\n' <"$f" | sed 's/^/word /'
done
date +now=%s"""
    return Ask(key=key, sh=text, only_if=role, keep=keep)


def read(answer: Answer) -> tuple[Process, ...]:
    """The processes. Raises NotObserved where those of others are not shown."""
    lines = answer.lines
    if "all" not in lines:
        raise NotObserved("the processes of others are hidden from this account")
    now = next((line[4:] for line in lines if re.fullmatch(r"now=\d{1,12}", line)), "")
    if not now:
        raise Unreadable("the host does not tell its time")
    found: list[Process] = []
    for line in lines:
        row = re.fullmatch(r"\s*(\d{1,10})\s+(\d{1,10})\s+(\d{1,10})\s+(\d{1,12})\s+(\S+)\s*", line)
        if row:
            found.append(Process(row[1], (row[2], row[3]), row[5], int(now) - int(row[4]), []))
        elif line.startswith("word ") and found:
            found[-1].words.append(line[5:])
    return tuple(found)


def arguments(words: list[str], program: str) -> list[str] | None:
    """The arguments of a command line that runs a script, by itself or by its interpreter; None for others."""
    for at, word in enumerate(words[:3]):
        if word.rpartition("/")[2] == program:
            return words[at + 1 :]
        if at == 0 and not re.search(r"(^|/)(perl|python)[\d.]*$", word):
            return None
        if at and not word.startswith("-"):
            return None
    return None


def units(answer: Answer) -> dict[str, dict[str, str]]:
    """The loaded units of ``systemctl show``, by their ids; none where there is no systemd. Raises NotObserved."""
    if answer.cause is Cause.FAILED:
        return {}
    blocks = (dict(re.findall(r"^(\w+)=(.*)$", block, re.M)) for block in re.split(r"\n\s*\n", answer.text))
    return {block["Id"]: block for block in blocks if block.get("LoadState") == "loaded" and "Id" in block}


def started_with(unit: dict[str, str], program: str) -> list[str] | None:
    """The arguments with which a unit runs a script; None where it runs something else, or an init script."""
    words = re.search(r"argv\[\]=(.*?) ;", unit.get("ExecStart", ""))
    return arguments(words[1].split(" "), program) if words and not unit.get("SourcePath") else None
