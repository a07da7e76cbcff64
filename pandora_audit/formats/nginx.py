"""nginx's configuration: directives and blocks, its includes resolved."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pandora_audit.formats import glob
from pandora_audit.formats.grep import numbered
from pandora_audit.question import Unreadable

WORDS = ("include", "listen", "server_name", "server_tokens", "fastcgi_pass", "server")
"""The directives that are read."""
_TOKEN = re.compile(
    r'#.*|"((?:\\.|[^"\\])*)"|\'((?:\\.|[^\'\\])*)\'|([{};])|((?:\\.|\$\{[^}]*\}|[^\s{};"\'\\])+)', re.S
)
_MOST_DEPTH = 32


@dataclass
class Node:
    """A directive, or a block with what stands in it."""

    words: tuple[str, ...]
    file: str = ""
    number: int = 0
    inside: list[Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.number}"

    def own(self, name: str) -> list[Node]:
        return [node for node in self.inside if node.name == name]

    def all(self, name: str) -> Iterator[Node]:
        """Every directive of this name, here and below."""
        for node in self.inside:
            if node.name == name:
                yield node
            yield from node.all(name)


@dataclass
class Configuration:
    """The whole tree, the files that were read, and the includes that lead to where nobody looked."""

    tree: Node
    files: list[str] = field(default_factory=list)
    patterns: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    @property
    def servers(self) -> list[Node]:
        return [server for http in self.tree.own("http") for server in http.own("server")]

    @property
    def hosts(self) -> list[tuple[frozenset[int], tuple[str, ...], bool]]:
        """Of each server its ports, its names, and whether it speaks TLS."""
        found = []
        for server in self.servers:
            for secure in (False, True):
                listens = [each for each in server.own("listen") if ("ssl" in each.words) is secure]
                ports = frozenset(_port(each.words[1]) for each in listens if len(each.words) > 1)
                names = tuple(name for each in server.own("server_name") for name in each.words[1:])
                if ports:
                    found.append((ports, names, secure))
        return found

    def deciding(self, name: str) -> Iterator[tuple[Node, Node | None]]:
        """Every server, and every block below one that says it anew, with the directive that decides there."""
        for http in self.tree.own("http"):
            above = http.own(name)[-1] if http.own(name) else None
            for server in http.own("server"):
                yield from _deciding(server, name, above, anew=True)


def _deciding(block: Node, name: str, above: Node | None, *, anew: bool) -> Iterator[tuple[Node, Node | None]]:
    said = block.own(name)
    decides = said[-1] if said else above
    if said or anew:
        yield block, decides
    for node in block.inside:
        yield from _deciding(node, name, decides, anew=False)


def _port(address: str) -> int:
    """The port of a listen's first word; without one, it is 80."""
    found = re.search(r"(?:^|:)(\d{1,5})$", address)
    return int(found[1]) if found else 80


def read(lines: Iterable[str], main: str, looked_in: tuple[str, ...]) -> Configuration:
    """The configuration that begins in the file ``main``, from the lines of ``grep -Hn``."""
    files: dict[str, list[tuple[int, str]]] = {}
    for path, number, text in numbered(lines):
        files.setdefault(path, []).append((number, text))
    if main not in files:
        raise Unreadable(f"{main} says nothing that nginx would read")
    reader = _Reader(files, looked_in, posixpath.dirname(main))
    reader.file(main, reader.configuration.tree, 0)
    return reader.configuration


class _Reader:
    def __init__(self, files: Mapping[str, list[tuple[int, str]]], looked_in: tuple[str, ...], prefix: str) -> None:
        self.configuration = Configuration(Node(()))
        self._files, self._looked_in, self._prefix = files, looked_in, prefix

    def file(self, path: str, into: Node, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise Unreadable(f"{path} is included too deep")
        self.configuration.files.append(path)
        around, words, begun = [into], list[str](), 0
        for number, word, special in _tokens(self._files[path]):
            if not special:
                begun = begun if words else number
                words.append(word)
                continue
            if word == "}":
                if len(around) == 1 or words:
                    raise Unreadable(f"{path}:{number}: a block ends that did not begin")
                around.pop()
                continue
            node = Node(tuple(words), path, begun or number)
            if set(words[1:]) & set(WORDS):  # a line of it was not among those that were read
                raise Unreadable(f"{node.where}: a directive of several lines")
            around[-1].inside.append(node)
            words = []
            if word == "{":
                around.append(node)
            elif node.name == "include" and len(node.words) == 2:
                self._include(node.words[1], around[-1], depth)
        if len(around) > 1 or words:
            raise Unreadable(f"{path}: it ends in the middle of a block or a directive")

    def _include(self, pattern: str, into: Node, depth: int) -> None:
        whole = posixpath.normpath(posixpath.join(self._prefix, pattern))
        self.configuration.patterns.append(whole)
        if not whole.startswith(tuple(f"{folder}/" for folder in self._looked_in)):
            self.configuration.unseen.append(pattern)
            return
        for path in sorted(path for path in self._files if glob.same_path(path, whole)):
            self.file(path, into, depth + 1)


def _tokens(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str, bool]]:
    """Line, text, and whether it is one of ``{ } ;``."""
    for number, text in lines:
        for token in _TOKEN.finditer(text):
            if token[0].startswith("#"):
                break
            if token[3]:
                yield number, token[3], True
            else:
                yield number, token[1] or token[2] or token[4] or "", False
