"""OpenSSH's server configuration: what ``sshd -T`` prints, and the Match blocks that it does not.

The grammar is sshd's: keywords in any case, ``key value`` or ``key=value``, quotes, comments; the first value
obtained wins; Include is expanded in place, relative to /etc/ssh, and a Match in an included file ends with it;
what a satisfied Match block sets beats the global section, the first satisfied block beats the later ones.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import math
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pandora_audit.formats.glob import same_path
from pandora_audit.formats.grep import binary
from pandora_audit.question import Unreadable

MAIN = "/etc/ssh/sshd_config"
_DEPTH = 16  # sshd's own limit of nested Includes
_MOST_CONNECTIONS = 20_000  # kinds of connections that Match blocks may tell apart before we give up

Values = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Line:
    """One line of a configuration file: where it stands and what it says; no keyword: the file is not text."""

    file: str
    number: int
    keyword: str
    words: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"{self.file}:{self.number}"


Criterion = tuple[str, str]


@dataclass(frozen=True)
class Block:
    """A Match block. All of its criteria must hold; those of an enclosing block come first."""

    criteria: tuple[Criterion, ...]
    lines: tuple[Line, ...]
    where: str

    @property
    def label(self) -> str:
        return "Match " + " ".join(f"{name} {value}".strip() for name, value in self.criteria)

    def says(self, keyword: str) -> Line | None:
        return next((line for line in self.lines if line.keyword == keyword), None)


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

    @property
    def lines(self) -> tuple[Line, ...]:
        """All of them, in Match blocks or not."""
        return (*self.globals, *(line for block in self.blocks for line in block.lines))

    def says(self, keyword: str) -> Line | None:
        """The line that decides the global value of a keyword; None when it is sshd's own default."""
        return next((line for line in self.globals if line.keyword == keyword), None)


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


# An equals sign may part a keyword from its arguments, unless the keyword stands in quotes.
_SAID = re.compile(r'[ \t\r]*(?:"([A-Za-z]+)"[ \t\r]*|([A-Za-z]+)(?:[ \t\r]*=[ \t\r]*|[ \t\r]+|$))(.*)')


def grepped(lines: Iterable[str]) -> Iterator[Line]:
    """The lines of ``grep -Hn``. Comments, and what has no file and number, are passed over."""
    for text in lines:
        place = re.match(r"(/[^:]*):(\d{1,7}):(.*)", text)
        said = place and _SAID.match(place[3])
        if place and said:
            yield Line(place[1], int(place[2]), (said[1] or said[2]).lower(), _words(said[3].rstrip(" \t\r\f")))
        elif path := binary(text):
            yield Line(path, 0, "", ())


# A word ends at a blank outside of quotes; a comment begins where a word could.
_WORD = re.compile(r"""[ \t]*(?!\#)((?:\\['"\\ ]|"(?:\\['"\\]|[^"])*"|'(?:\\['"\\]|[^'])*'|[^ \t"'])+)""")
_PIECE = re.compile(r"""\\(['"\\ ])|"((?:\\['"\\]|[^"])*)"|'((?:\\['"\\]|[^'])*)'|(.)""")


def _words(text: str) -> tuple[str, ...]:
    """The arguments of a keyword. sshd refuses the file for an open quote; we end there."""
    found, at = [], 0
    while word := _WORD.match(text, at):
        at = word.end()
        pieces = (
            escaped or re.sub(r"""\\(['"\\])""", r"\1", double or single) or other
            for escaped, double, single, other in _PIECE.findall(word[1])
        )
        found.append("".join(pieces))
    return tuple(found)


def written(lines: Iterable[Line], looked_in: Sequence[str], main: str = MAIN) -> Written:
    """The configuration that begins in ``main``. ``looked_in``: the folders and files whose lines are at hand.

    Raises Unreadable when Includes are nested deeper than sshd follows them, or a file is not text.
    """
    by_file: dict[str, list[Line]] = {}
    for line in lines:
        by_file.setdefault(line.file, []).append(line)
    reader = _Reader(by_file, looked_in)
    reader.file(main, (), 0)
    return Written(
        globals=tuple(reader.globals),
        blocks=tuple(Block(criteria, tuple(found), where) for criteria, found, where in reader.blocks if found),
        included=tuple(dict.fromkeys(reader.included)),
        unseen=tuple(dict.fromkeys(reader.unseen)),
    )


class _Reader:
    def __init__(self, by_file: Mapping[str, list[Line]], looked_in: Sequence[str]) -> None:
        self.by_file = by_file
        self.looked_in = looked_in
        self.globals: list[Line] = []
        self.blocks: list[tuple[tuple[Criterion, ...], list[Line], str]] = []
        self.included: list[str] = []
        self.unseen: list[str] = []

    def file(self, path: str, outer: tuple[Criterion, ...], depth: int) -> None:
        if depth > _DEPTH:
            raise Unreadable(f"{path}: Include is nested deeper than sshd follows it")
        criteria = outer
        into = self._block(outer, path) if outer else self.globals
        for line in self.by_file.get(path, []):
            if not line.keyword:
                raise Unreadable(f"{path} is not a text")
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

    def include(self, pattern: str, criteria: tuple[Criterion, ...], depth: int) -> None:
        absolute = posixpath.normpath(posixpath.join(posixpath.dirname(MAIN), pattern))
        self.included.append(absolute)
        if not any(absolute == seen or absolute.startswith(f"{seen}/") for seen in self.looked_in):
            self.unseen.append(absolute)
        for path in sorted(path for path in self.by_file if same_path(path, absolute)):
            self.file(path, criteria, depth + 1)

    def _block(self, criteria: tuple[Criterion, ...], where: str) -> list[Line]:
        found: list[Line] = []
        self.blocks.append((criteria, found, where))
        return found


_ALONE = {"all", "canonical", "final", "invalid-user"}


def _criteria(words: Sequence[str]) -> tuple[Criterion, ...]:
    """Match criteria, written ``user ana`` or ``user=ana``; older releases allow blanks around the sign."""
    found: list[Criterion] = []
    rest = [part for word in words for part in re.split(r"(?<=[A-Za-z])=|^=", word, maxsplit=1) if part]
    while rest:
        name = rest.pop(0).lower()
        found.append((name, "" if name in _ALONE or not rest else rest.pop(0)))
    return tuple(found)


def matches(text: str, patterns: str) -> bool:
    """sshd's pattern list: comma-separated, ``!`` forbids, and one that only forbids matches nothing."""
    return _listed(patterns, lambda pattern: _glob(text, pattern))


def _listed(patterns: str, hits: Callable[[str], bool]) -> bool:
    found = False
    for pattern in patterns.split(","):
        if hits(pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _glob(text: str, pattern: str) -> bool:
    # sshd knows * and ? but no [classes]
    expression = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(expression, text, re.S) is not None


# --- which connections there can be ---


@dataclass(frozen=True)
class Accounts:
    """Who is in which group, as far as the machine lists them: the groups of each user, and all groups."""

    groups_of: Mapping[str, frozenset[str]] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Circumstance:
    """One way in which connections can satisfy Match blocks.

    Args:
        blocks: those that are satisfied, in sshd's order.
        connection: such a connection, as words for ``sshd -T -C``; None when we cannot name one, so that this
            only may be.
    """

    blocks: tuple[Block, ...]
    connection: Mapping[str, str] | None

    def decider(self, keyword: str) -> Block | None:
        """The block that decides a keyword; None for the global section."""
        return next((block for block in self.blocks if block.says(keyword)), None)


# The part of a connection that each criterion looks at; of any other criterion nobody knows when it holds.
_PARTS = {
    "all": "",
    "user": "user",
    "group": "user",
    "host": "host",
    "address": "addr",
    "localaddress": "laddr",
    "localport": "lport",
}


def holds(criterion: Criterion, connection: Mapping[str, str], accounts: Accounts) -> bool | None:
    """Whether a connection satisfies a criterion; None when nobody can know."""
    name, value = criterion
    if name == "all":
        return True
    if name == "group":
        return _in_group(connection["user"], value, accounts)
    if name not in _PARTS:
        return None
    said = connection[_PARTS[name]]
    if name in ("address", "localaddress"):
        return _listed(value, lambda pattern: _in_network(said, pattern))
    return matches(said.lower(), value.lower()) if name == "host" else matches(said, value)


def _in_group(user: str, patterns: str, accounts: Accounts) -> bool | None:
    names = {pattern.removeprefix("!") for pattern in patterns.split(",")}
    unlisted = {name for name in names if not set("*?") & set(name)} - accounts.groups
    if user not in accounts.groups_of or unlisted:
        return None
    return _listed(patterns, lambda pattern: any(_glob(group, pattern) for group in accounts.groups_of[user]))


def _in_network(address: str, pattern: str) -> bool:
    network = _network(pattern)
    return ipaddress.ip_address(address) in network if network else _glob(address, pattern)


def _network(pattern: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network that a pattern names, also as ``10.1.*``; None when it is another text with wildcards."""
    if re.fullmatch(r"(\d{1,3}\.){1,3}\*", pattern):
        given = pattern.count(".")
        pattern = f"{pattern[:-2]}{'.0' * (4 - given)}/{8 * given}"
    try:
        return ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return None


def circumstances(
    blocks: Sequence[Block], anybody: Mapping[str, str], accounts: Accounts, users: Sequence[str] = ()
) -> tuple[Circumstance, ...]:
    """Every way in which connections can satisfy these blocks, each once; that of ``anybody`` comes first.

    Args:
        anybody: a connection that no block singles out, to begin with.
        users: those whom the question is about; nobody: everybody.

    Raises Unreadable when there are too many.
    """
    by_part: dict[str, list[Criterion]] = {"user": []}
    for criterion in dict.fromkeys(each for block in blocks for each in block.criteria):
        by_part.setdefault(_part(criterion), []).append(criterion)
    cells = {part: _cells(part, wanted, anybody, accounts, users) for part, wanted in by_part.items()}
    if math.prod(map(len, cells.values())) > _MOST_CONNECTIONS:
        raise Unreadable("the Match blocks tell more kinds of connections apart than can be looked at")
    found: dict[tuple[int, ...], Mapping[str, str] | None] = {}
    for combination in itertools.product(*cells.values()):
        true = {criterion for cell in combination for criterion in cell.true}
        satisfied = tuple(number for number, block in enumerate(blocks) if true.issuperset(block.criteria))
        if found.get(satisfied) is None:
            named = [cell.words for cell in combination if cell.words is not None]
            found[satisfied] = _joined([anybody, *named]) if len(named) == len(cells) else None
    reached = {number for satisfied in found for number in satisfied}
    for number, block in enumerate(blocks):
        if number not in reached and _may_be(block, cells, users):
            criteria = {*block.criteria, ("all", "")}
            found[*(each for each in range(number) if criteria.issuperset(blocks[each].criteria)), number] = None
    return tuple(Circumstance(tuple(blocks[each] for each in key), words) for key, words in found.items())


def _part(criterion: Criterion) -> str:
    """The part of a connection that it looks at; one of its own where nobody knows when it holds."""
    return _PARTS.get(criterion[0], " ".join(criterion))


def _joined(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {name: value for words in parts for name, value in words.items()}


@dataclass(frozen=True)
class _Cell:
    """Values of one part of a connection that no criterion tells apart.

    Args:
        true: the criteria that they meet.
        words: one of them; None when we cannot name it.
    """

    true: frozenset[Criterion]
    words: Mapping[str, str] | None


def _cells(
    part: str, wanted: Sequence[Criterion], anybody: Mapping[str, str], accounts: Accounts, users: Sequence[str]
) -> list[_Cell]:
    found: dict[frozenset[Criterion], _Cell] = {}
    for value in _values(part, wanted, anybody, accounts, users):
        words = {part: value} if part in anybody else {}
        truths = {criterion: holds(criterion, words, accounts) for criterion in wanted}
        certain = {criterion for criterion, truth in truths.items() if truth}
        unknown = [criterion for criterion, truth in truths.items() if truth is None]
        # More than three at a time show nothing new: each that holds can only hide others.
        for guessed in (guess for count in range(4) for guess in itertools.combinations(unknown, count)):
            true = frozenset(certain.union(guessed))
            # Whom the question is about is in his groups, whichever they are: the daemon knows.
            named = (not guessed or (part == "user" and bool(users))) and _can_travel(words)
            if true not in found or (named and found[true].words is None):
                found[true] = _Cell(true, words if named else None)
    return list(found.values())


# Further values that no pattern is likely to single out, for where one singles anybody's out.
_STRANGERS = {
    "user": ("somebody",),
    "host": ("somebody.invalid",),
    "addr": ("198.18.0.9", "2001:db8::9"),
    "laddr": ("198.18.0.10", "2001:db8::10"),
    "lport": ("2",),
}


def _can_travel(words: Mapping[str, str]) -> bool:
    """Whether these can be an argument of a privileged question; a comma, a blank or a wildcard cannot."""
    return all(re.fullmatch(r"[\w.:@%+/-]+", value) for value in words.values())


def _values(
    part: str, wanted: Sequence[Criterion], anybody: Mapping[str, str], accounts: Accounts, users: Sequence[str]
) -> Iterator[str]:
    """Values of a part of a connection, such that each cell holds one of them."""
    if part == "user" and users:
        yield from users
        return
    yield anybody.get(part, "")
    if part == "user":
        yield from accounts.groups_of
    lists = [value for name, value in wanted if _PARTS.get(name) == part and name not in ("all", "group")]
    for pattern in (each.removeprefix("!") for listed in lists for each in listed.split(",")):
        yield from _addresses(pattern) if part in ("addr", "laddr") else _texts(pattern)
    yield from _STRANGERS.get(part, ())


def _texts(pattern: str) -> Iterator[str]:
    """Texts that a pattern matches, most of all such that others do not match too."""
    for filling in ("visitor", "x", ""):
        yield pattern.replace("*", filling).replace("?", (filling or "z")[0])


def _addresses(pattern: str) -> Iterator[str]:
    """Addresses that a pattern matches, and the first beyond a network: there other networks may go on."""
    if network := _network(pattern):
        yield str(network[0])
        with contextlib.suppress(ValueError):
            yield str(network[-1] + 1)
        return
    for filling in ("7", "211", "7.7", "211.7", "7.7.7", "211.7.7", "7.7.7.7", ":7", "::7"):
        with contextlib.suppress(ValueError):
            yield str(ipaddress.ip_address(pattern.replace("*", filling).replace("?", "7")))


def _may_be(block: Block, cells: Mapping[str, Sequence[_Cell]], users: Sequence[str]) -> bool:
    """Whether a block that none of our connections satisfies may have others: where we filled wildcards badly."""
    for part, known in cells.items():
        wanted = [criterion for criterion in block.criteria if _part(criterion) == part]
        missed = not any(cell.true.issuperset(wanted) for cell in known)
        if missed and ((part == "user" and users) or _are_exact([value for _, value in wanted])):
            return False
    return True


def _are_exact(lists: Sequence[str]) -> bool:
    """Whether our values are all that can meet these lists: one names its members, or all are networks."""
    return any(not set("*?/") & set(listed) for listed in lists) or all(
        _network(pattern.removeprefix("!")) for listed in lists for pattern in listed.split(",")
    )
