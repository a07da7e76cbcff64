"""OpenSSH's server configuration: what ``sshd -T`` prints, and the Match blocks that it does not.

The grammar is sshd's: keywords in any case, ``key value`` or ``key=value``, quotes, comments; the first value
obtained wins; Include is expanded in place, relative to /etc/ssh, and a Match in an included file ends with it;
what a satisfied Match block sets beats the global section, the first satisfied block beats the later ones.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pandora_audit.question import Unreadable

MAIN = "/etc/ssh/sshd_config"
_DEPTH = 16  # sshd's own limit of nested Includes

Values = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Line:
    """One line of a configuration file: where it stands and what it says."""

    file: str
    number: int
    keyword: str
    words: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"{self.file}:{self.number}"


Criteria = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Block:
    """A Match block. All of its criteria must hold; those of an enclosing block come first."""

    criteria: Criteria
    lines: tuple[Line, ...]
    where: str

    @property
    def label(self) -> str:
        return "Match " + " ".join(f"{name} {value}".strip() for name, value in self.criteria)

    def always_holds(self, user: str) -> bool:
        """Whether it applies to every connection, or, if a user is given, to every connection of that user."""
        return all(
            name == "all" or value == "*" or (name == "user" and user != "" and matches(user, value))
            for name, value in self.criteria
        )

    def says(self, keyword: str) -> Line | None:
        return next((line for line in self.lines if line.keyword == keyword), None)

    def admits_user(self, user: str) -> bool:
        """Whether this block can apply to the user; groups and addresses may always be such that it does."""
        return all(matches(user, value) for name, value in self.criteria if name == "user")


@dataclass(frozen=True)
class Written:
    """The configuration as its files say.

    Args:
        globals: the lines outside of any Match block, in the order in which sshd reads them.
        blocks: the Match blocks, in that order.
        included: the Include patterns that were followed, absolute.
        unseen: those of them that lead to where nobody looked.
    """

    globals: tuple[Line, ...]
    blocks: tuple[Block, ...]
    included: tuple[str, ...]
    unseen: tuple[str, ...]

    def cause(self, keyword: str) -> str:
        """Where the global value of a keyword is decided; empty when it is sshd's own default."""
        return next((line.where for line in self.globals if line.keyword == keyword), "")


def effective(text: str) -> Values:
    """What ``sshd -T`` printed: keyword -> its values, one for each line. Raises Unreadable."""
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        keyword, _, value = line.strip().partition(" ")
        if keyword:
            values.setdefault(keyword.lower(), []).append(value.strip())
    if "port" not in values:
        raise Unreadable("`sshd -T` printed no port: this is not its configuration")
    return {keyword: tuple(found) for keyword, found in values.items()}


def grepped(lines: Iterable[str]) -> Iterator[Line]:
    """The lines of ``grep -Hn``. What has no file and number is grep's own remark, and is passed over."""
    for text in lines:
        place = re.match(r"(/[^:]*):(\d{1,7}):(.*)", text)
        said = place and re.match(r'[\s\ufeff]*"?([A-Za-z]+)"?(?:\s*=\s*|\s+|$)(.*)', place[3])
        if place and said:
            yield Line(place[1], int(place[2]), said[1].lower(), _words(said[2]))


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text, comments=True))
    except ValueError:  # an open quote: sshd refuses the file; we still name the line
        return tuple(text.split())


def written(lines: Iterable[Line], looked_in: Sequence[str], main: str = MAIN) -> Written:
    """The configuration that begins in ``main``. ``looked_in``: the folders and files whose lines are at hand.

    Raises Unreadable when Includes are nested deeper than sshd follows them.
    """
    by_file: dict[str, list[Line]] = {}
    for line in lines:
        by_file.setdefault(line.file, []).append(line)
    reader = _Reader(by_file, looked_in)
    reader.file(main, (), 0)
    return Written(
        globals=tuple(reader.globals),
        blocks=tuple(Block(criteria, tuple(found), where) for criteria, found, where in reader.blocks),
        included=tuple(dict.fromkeys(reader.included)),
        unseen=tuple(dict.fromkeys(reader.unseen)),
    )


class _Reader:
    def __init__(self, by_file: Mapping[str, list[Line]], looked_in: Sequence[str]) -> None:
        self.by_file = by_file
        self.looked_in = looked_in
        self.globals: list[Line] = []
        self.blocks: list[tuple[Criteria, list[Line], str]] = []
        self.included: list[str] = []
        self.unseen: list[str] = []

    def file(self, path: str, outer: Criteria, depth: int) -> None:
        if depth > _DEPTH:
            raise Unreadable(f"{path}: Include is nested deeper than sshd follows it")
        criteria = outer
        into = self._block(outer, path) if outer else self.globals
        for line in self.by_file.get(path, []):
            if line.keyword == "match":
                criteria = (*outer, *_criteria(line.words))
                into = self._block(criteria, line.where)
            elif line.keyword == "include":
                for pattern in line.words:
                    self.include(pattern, criteria, depth)
                if criteria:  # what follows an Include still belongs to the block around it
                    into = self._block(criteria, line.where)
            else:
                into.append(line)

    def include(self, pattern: str, criteria: Criteria, depth: int) -> None:
        absolute = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
        self.included.append(absolute)
        if not any(absolute == seen or absolute.startswith(f"{seen}/") for seen in self.looked_in):
            self.unseen.append(absolute)
        for path in sorted(path for path in self.by_file if same_path(path, absolute)):
            self.file(path, criteria, depth + 1)

    def _block(self, criteria: Criteria, where: str) -> list[Line]:
        found: list[Line] = []
        self.blocks.append((criteria, found, where))
        return found


def same_path(path: str, pattern: str) -> bool:
    """Whether a path is among those that a glob names; a wildcard does not cross a slash."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


_ALONE = {"all", "canonical", "final", "invalid-user"}


def _criteria(words: Sequence[str]) -> Criteria:
    """Match criteria, written ``user ana`` or, in newer releases, ``user=ana``."""
    found: list[tuple[str, str]] = []
    rest = [part for word in words for part in re.split(r"(?<=[A-Za-z])=", word, maxsplit=1)]
    while rest:
        name = rest.pop(0).lower()
        found.append((name, "" if name in _ALONE or not rest else rest.pop(0)))
    return tuple(found)


def matches(text: str, patterns: str) -> bool:
    """sshd's pattern list: comma-separated, ``!`` forbids, and one that only forbids matches nothing."""
    listed = [pattern.strip() for pattern in patterns.split(",")]
    hit = False
    for pattern in listed:
        if _glob(text, pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            hit = True
    return hit


def _glob(text: str, pattern: str) -> bool:
    # sshd knows * and ? but no [classes]
    expression = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(expression, text) is not None


def visitor(block: Block, anybody: Mapping[str, str], members: Mapping[str, str], user: str) -> dict[str, str] | None:
    """A connection that satisfies the block, as words for ``sshd -T -C``; None when we cannot name one.

    Args:
        anybody: the connection that satisfies none, to begin with.
        members: group -> one of its members.
        user: the user whom the question is about, if it is about one.
    """
    found = {**anybody, "user": user or anybody["user"]}
    for name, value in block.criteria:
        if name == "all":
            continue
        sample = _sample(name, value, members)
        where = _TOKENS.get(name)
        if where is None or sample is None:
            return None
        if not (where == "user" and user):
            found[where] = sample
    if user and not block.admits_user(user):
        return None
    # One that holds a comma, a blank or a wildcard cannot travel as an argument of a privileged question.
    return found if all(re.fullmatch(r"[\w.:@%+/-]+", value) for value in found.values()) else None


_TOKENS = {
    "user": "user",
    "group": "user",
    "host": "host",
    "address": "addr",
    "localaddress": "laddr",
    "localport": "lport",
    "rdomain": "rdomain",
}


def _sample(name: str, value: str, members: Mapping[str, str]) -> str | None:
    wanted = next((pattern for pattern in value.split(",") if not pattern.startswith("!")), None)
    if wanted is None:
        return None
    if name in ("address", "localaddress"):
        return _address(wanted)
    if name == "group":
        return next((member for group, member in members.items() if matches(group, value)), None)
    filled = wanted.replace("*", "x").replace("?", "x")
    return filled if name == "localport" or matches(filled, value) else None


def _address(pattern: str) -> str | None:
    try:
        network = ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        filled = pattern.replace("*", "1").replace("?", "1")
        try:
            return str(ipaddress.ip_address(filled))
        except ValueError:
            return None
    return str(network.network_address + (1 if network.num_addresses > 1 else 0))
