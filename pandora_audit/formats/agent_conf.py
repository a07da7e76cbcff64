"""``pandora_agent.conf`` as the Unix agent reads it. Pure.

The agent reads its file three times, by different rules: for the user and the log file, for its general tokens, and for
what it executes. Included files are read for what it executes only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

DEFAULTS: Mapping[str, str] = {
    "server_ip": "localhost",
    "server_port": "41121",
    "transfer_mode": "tentacle",
    "server_ssl": "0",
    "secondary_mode": "never",
    "secondary_server_ip": "localhost",
    "secondary_transfer_mode": "tentacle",
    "secondary_server_ssl": "0",
    "remote_config": "0",
    "udp_server": "0",
    "proxy_mode": "0",
    "temporal": "/var/spool/pandora",
    "interval": "300",
    "standby": "0",
}
"""What the program takes where its file says nothing."""

# Fetched before the others: the first line counts, and nothing is cut off its end.
_FIRST = ("pandora_user", "logfile")
_EXECUTED = {
    "module_exec": "exec",
    "module_plugin": "plugin",
    "module_regexp": "log",
    "module_proc": "process",
    "module_service": "process",
}


@dataclass(frozen=True)
class Line:
    """One line of a file."""

    text: str
    where: str
    file: str


@dataclass(frozen=True)
class Setting:
    """A token's effective value, and the line that sets it; empty where it is the program's default."""

    value: str
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Module:
    """Something that the agent executes or reads in each cycle.

    Args:
        kind: exec, plugin, log, process or other.
        type: its module_type; of log collection ``log``.
        parameters: the command, the plugin with its arguments, the log's path.
    """

    name: str = ""
    type: str = ""
    kind: str
    parameters: str
    where: str


@dataclass(frozen=True, kw_only=True)
class AgentConf:
    """A file with those that it includes.

    Args:
        settings: the general tokens that are written, by name.
        modules: what is executed; what is disabled is left out.
        collections: the file collections that are fetched from the server.
        commands: the remote commands that are fetched and executed once.
        includes: the patterns of included files, in order.
    """

    settings: Mapping[str, Setting]
    modules: tuple[Module, ...] = ()
    collections: tuple[Setting, ...] = ()
    commands: tuple[Setting, ...] = ()
    includes: tuple[Setting, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """Where included files lie: the folder of a pattern, the file itself where it is none."""
        patterns = (each.value for each in self.includes if each.value.startswith("/"))
        return tuple(sorted({_place(pattern) for pattern in patterns}))

    def __getitem__(self, token: str) -> Setting:
        """The effective value of a token; empty for one that has no default."""
        return self.settings.get(token) or Setting(DEFAULTS.get(token, ""))


def _place(pattern: str) -> str:
    return pattern.rpartition("/")[0] + "/" if set(pattern) & set("*?[{ ") else pattern


def lines(numbered: Iterable[str]) -> list[Line]:
    """The lines of ``grep -nH``: ``path:number:text``. Others are passed over."""
    found = (re.match(r"(/[^:]*):(\d{1,9}):(.*)", each, re.S) for each in numbered)
    return [Line(each[3], f"{each[1]}:{each[2]}", each[1]) for each in found if each]


def read(main: Iterable[Line], included: Iterable[Line] = ()) -> AgentConf:
    """What the agent makes of its file and of those that it includes."""
    main = [each for each in main if _says_something(each.text)]
    included = [each for each in included if _says_something(each.text)]
    settings: dict[str, Setting] = {}
    commands: list[Setting] = []
    includes: list[Setting] = []
    for line in main:
        found = re.match(r"(\s*)(\S+)\s+(.*)", _as_read(line.text), re.S)
        if found is None or re.match(r"module|macro\S", line.text):
            continue
        keyword, value = found[2], found[3].partition("\n")[0]
        if keyword == "cmd_file":
            commands.append(Setting(value, line.where))
        elif keyword == "include" and not found[1]:
            includes.append(Setting(value, line.where))
        elif keyword in _FIRST:
            settings.setdefault(keyword, Setting(value, line.where))
        else:
            settings[keyword] = Setting(value.rstrip(), line.where)
    modules, collections = _executed([*included, *main])
    return AgentConf(
        settings=settings,
        modules=modules,
        collections=collections,
        commands=tuple(commands),
        includes=tuple(includes),
    )


def _says_something(text: str) -> bool:
    return not re.match(r"\s*(#|$)", text)


def _as_read(text: str) -> str:
    """A line ends with its line break, which counts as the blank behind a token without a value."""
    return text.removesuffix("\r") + "\n"


@dataclass
class _Block:
    name: str = ""
    type: str = ""
    kind: str = ""
    parameters: str = ""
    disabled: bool = False
    where: str = ""


@dataclass
class _Reading:
    """Between module_begin and module_end the lines make one module; outside, module_plugin makes one of its own."""

    modules: list[Module] = field(default_factory=list)
    collections: list[Setting] = field(default_factory=list)
    block: _Block = field(default_factory=_Block)
    inside: bool = False

    def line(self, line: Line) -> None:
        words = re.match(r"\s*(\S+)(?:\s+(.*))?", line.text.rstrip("\r"), re.S)
        if words is None:
            return
        keyword, value = words[1], words[2] or ""
        if keyword == "module_begin" and not value.strip():
            self.block, self.inside = _Block(), True
        elif keyword == "module_end" and not value.strip():
            self._end()
        elif keyword == "module_plugin" and value and not self.inside:
            self.modules.append(Module(kind="plugin", parameters=value, where=line.where))
        elif keyword in _EXECUTED and value:
            self.block.kind, self.block.parameters, self.block.where = _EXECUTED[keyword], value, line.where
        elif keyword == "module_name":
            self.block.name = value.strip()
        elif keyword == "module_type":
            self.block.type = value.strip()
        elif keyword == "module_disabled":
            self.block.disabled = re.match(r"\s*\+?0*1(\.0*)?(?![\d.])", value) is not None
        elif keyword == "file_collection" and value and not re.search(r"\.\.|/", value):
            self.collections.append(Setting(value, line.where))
        elif re.fullmatch(r"module_(cpu|mem|free|occupied)\w*", keyword):
            self.block.kind, self.block.parameters, self.block.where = "other", value, line.where

    def _end(self) -> None:
        block, self.inside = self.block, False
        if block.kind and (block.name or block.kind == "plugin") and not block.disabled:
            self.modules.append(
                Module(
                    name=block.name, type=block.type, kind=block.kind, parameters=block.parameters, where=block.where
                )
            )


def _executed(lines: Iterable[Line]) -> tuple[tuple[Module, ...], tuple[Setting, ...]]:
    reading = _Reading()
    file = ""
    for line in lines:
        if line.file != file:  # each file is read by itself: a block does not go on in the next
            file, reading.block, reading.inside = line.file, _Block(), False
        reading.line(line)
    return tuple(reading.modules), tuple(reading.collections)


def client_options(text: str) -> frozenset[str]:
    """The letters of tentacle_client's options in server_opts: ``-c -f ca.pem`` gives c and f."""
    found: set[str] = set()
    words = iter(text.split())
    for word in words:
        letters = re.fullmatch(r"-([cghqvwz]*)([abefkprtxy]?)(.*)", word, re.S)
        if letters is None:
            continue
        found |= set(letters[1] + letters[2])
        if letters[2] and not letters[3]:
            next(words, None)
    return frozenset(found)
