"""Option files of MySQL and MariaDB: what a server reads from them at its next start, with file and line."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pandora_audit.question import Unreadable

# Where a server of either product looks, in this order; what is read later wins.
MAINS = ("/etc/my.cnf", "/etc/mysql/my.cnf")
# And what packages have them include.
FOLDERS = (
    *("/etc/my.cnf.d", "/etc/mysql", "/etc/percona-server.conf.d", "/etc/percona-xtradb-cluster.conf.d"),
    "/etc/percona-server.my.cnf",
)
# Both products give up there.
_DEEPEST = 10
_TRUE = ("on", "true", "1", "yes")
_FALSE = ("off", "false", "0", "no")
_UNITS = {unit: 1024**power for power, unit in enumerate(("", "k", "m", "g", "t", "p", "e"))}


@dataclass(frozen=True)
class Option:
    """One option: its name with underscores, its value (None: it stands alone), and ``file:line``."""

    name: str
    value: str | None
    where: str

    @property
    def file(self) -> str:
        return self.where.rpartition(":")[0]

    @property
    def shown(self) -> str:
        return "ON" if self.value is None else self.value


@dataclass
class File:
    """One file as it was seen: its mode, when it last changed (seconds since the epoch), and its lines."""

    path: str
    mode: int
    changed: float
    size: int
    lines: dict[int, str] = field(default_factory=dict)

    @property
    def unread(self) -> bool:
        return self.size > 0 and not self.lines

    @property
    def ignored(self) -> bool:
        """Both products pass over a file that everybody may write."""
        return bool(self.mode & 0o002)


@dataclass(frozen=True)
class Written:
    """The options of some groups in the order in which they count, and the files that were not seen."""

    options: tuple[Option, ...]
    unseen: tuple[str, ...]


_STAT = re.compile(r"stat ([0-7]{1,5}) (\d{1,12}(?:\.\d{1,9})?) (\d{1,15}) (/.*)")
_LINE = re.compile(r"(/[^:]*):(\d{1,7}):(.*)", re.S)


def files(lines: Iterable[str]) -> dict[str, File]:
    """Files from rows of ``stat MODE CHANGED SIZE PATH`` and of ``grep -Hn ''``."""
    found: dict[str, File] = {}
    for line in lines:
        if stat := _STAT.fullmatch(line):
            found[stat[4]] = File(stat[4], int(stat[1], 8), float(stat[2]), int(stat[3]))
        elif (row := _LINE.fullmatch(line)) and row[1] in found:
            found[row[1]].lines[int(row[2])] = row[3]
    return found


def groups(*, mariadb: bool, version: str) -> frozenset[str]:
    """The groups that a server of this release (``10.11``) reads."""
    names = ("mysqld", "mariadb", "mariadbd") if mariadb else ("mysqld",)
    others = {"server", "client-server", "galera"} if mariadb else {"server"}
    return frozenset({*names, *others, *(f"{name}-{version}" for name in names)})


def written(known: Mapping[str, File], wanted: frozenset[str] | None, mains: Iterable[str] = MAINS) -> Written:
    """What the main files and their includes say in the wanted groups (None: in any).

    Raises Unreadable for a line at which a server gives up.
    """
    unseen: list[str] = []
    options = [option for main in mains if main in known for option in _read(known, main, wanted, unseen, 0)]
    return Written(tuple(options), tuple(dict.fromkeys(unseen)))


def _read(
    known: Mapping[str, File], path: str, wanted: frozenset[str] | None, unseen: list[str], depth: int
) -> Iterator[Option]:
    file = known.get(path)
    if file is None or file.unread:
        unseen.append(path)
        return
    if file.ignored:
        return
    if depth > _DEEPEST:
        raise Unreadable(f"{path} is included deeper than a server follows")
    group: str | None = None
    for number, raw in sorted(file.lines.items()):
        text = raw.strip()
        where = f"{path}:{number}"
        if not text or text[0] in "#;":
            continue
        if text.startswith("!"):
            yield from _included(known, text, wanted, unseen, depth)
        elif text.startswith("["):
            name, closed, _ = text[1:].partition("]")
            if not closed:
                raise Unreadable(f"{where}: a group without its bracket, at which the server gives up")
            group = name.rstrip()  # as both products do: a blank before the name is part of it
        elif group is None:
            raise Unreadable(f"{where}: an option before any group, at which the server gives up")
        elif wanted is None or group in wanted:
            yield _option(text, where)


def _included(
    known: Mapping[str, File], text: str, wanted: frozenset[str] | None, unseen: list[str], depth: int
) -> Iterator[Option]:
    found = re.match(r"!(includedir|include)\s+(.+)", text)
    if not found:
        return
    path = posixpath.normpath(found[2].strip())
    if found[1] == "include":
        yield from _read(known, path, wanted, unseen, depth + 1)
        return
    if not f"{path}/".startswith(tuple(f"{folder}/" for folder in FOLDERS)):
        unseen.append(path)
    for each in sorted(known):
        if posixpath.dirname(each) == path and each.endswith(".cnf"):
            yield from _read(known, each, wanted, unseen, depth + 1)


def _option(text: str, where: str) -> Option:
    text = _without_comment(text)
    name, equals, value = text.partition("=")
    return Option(_name(name), _value(value) if equals else None, where)


def _without_comment(text: str) -> str:
    """The text before a ``#`` that stands outside of quotes."""
    quote = ""
    for at, mark in enumerate(text):
        if quote:
            quote = "" if mark == quote and text[at - 1] != "\\" else quote
        elif mark in "\"'":
            quote = mark
        elif mark == "#":
            return text[:at]
    return text


def _name(word: str) -> str:
    name = word.strip().lstrip("-").replace("-", "_").lower()
    return name.removeprefix("loose_")


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "s": " ", "\\": "\\"}


def _value(text: str) -> str:
    value = text.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return re.sub(r"\\([ntrbs\\])", lambda mark: _ESCAPES[mark[1]], value)


def arguments(words: Iterable[str], where: str) -> tuple[Option, ...]:
    """The options of a command line, in which quotes and ``#`` are part of a value."""
    split = (word.partition("=") for word in words if word.startswith("--") and len(word) > 2)
    return tuple(Option(_name(name), value if equals else None, where) for name, equals, value in split)


# Options whose names are the beginnings of one variable's.
_PLUGINS = ("mysql_native_password", "sha256_password", "caching_sha2_password", "cracklib_password_check")


def resolved(option: Option, variables: Collection[str], others: Collection[str] = ()) -> Option:
    """The option under the name of the variable that it sets, as far as there is one.

    ``skip-x``, ``disable-x`` and ``enable-x`` set x; a unique beginning of a variable's name stands for it.

    Args:
        variables: those of the running server.
        others: names of options that it may lack, such as those of a plugin that is not loaded.
    """
    known = {*variables, *others}
    if option.name in known:
        return option
    for prefix, value in (("skip_", "OFF"), ("disable_", "OFF"), ("enable_", "ON")):
        rest = option.name.removeprefix(prefix)
        if rest != option.name and rest in known:
            return Option(rest, value, option.where)
    # Not of one word: user is an option, and no beginning of userstat. Nor is the switch of a plugin the beginning of
    # what the plugin is told.
    is_plugin = option.name in _PLUGINS or (option.value or "").upper() in ("FORCE", "FORCE_PLUS_PERMANENT")
    longer = [name for name in variables if "_" in option.name and not is_plugin and name.startswith(option.name)]
    return Option(longer[0], option.value, option.where) if len(longer) == 1 else option


def truth(value: str | None) -> bool | None:
    """A switch's value; None where it is none."""
    word = "on" if value is None else value.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def number(value: str | None) -> float | None:
    """A number, with its unit if it has one; None where it is none."""
    found = re.fullmatch(r"(-?\d{1,20})(\.\d{1,9})?([kmgtpe]?)", (value or "").strip().lower())
    return float(f"{found[1]}{found[2] or ''}") * _UNITS[found[3]] if found else None


def same(given: str | None, running: str, datadir: str = "/var/lib/mysql") -> bool | None:
    """Whether a running value is what was written; None where the two cannot be compared as text.

    A server shows a switch that was given a file name (``log-bin=name``) as ON, and an enumeration by its word.
    """
    switch = truth(running)
    if running.upper() in ("ON", "OFF") and switch is not None:
        wish = truth(given)
        return switch if wish is None else wish is switch
    if given is None:
        return None
    wrote, runs = number(given), number(running)
    if wrote is not None and runs is not None:
        return wrote == runs
    if (wrote is None) is not (runs is None):
        return None
    if "/" in given or "/" in running:
        return _path(given, datadir) == _path(running, datadir)
    return _words(given) == _words(running)


def _path(value: str, datadir: str) -> str:
    return posixpath.normpath(posixpath.join(datadir, value)) if value else ""


def _words(value: str) -> frozenset[str]:
    # utf8 is what the three-byte encoding was called before.
    words = (re.sub(r"^utf8(?=_|$)", "utf8mb3", word.strip()) for word in value.lower().split(","))
    return frozenset(filter(None, words))
