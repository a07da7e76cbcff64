"""Apache's configuration: its files in the order in which it reads them, false conditions left out."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pandora_audit.formats import glob
from pandora_audit.formats.grep import numbered
from pandora_audit.question import Unreadable

WATCHED = (
    "serverroot|loadmodule|define|undefine|include|includeoptional|listen|servername|serveralias|servertokens"
    "|serversignature|secserversignature|sslengine|php_value|php_flag|php_admin_value|php_admin_flag|sethandler|addhandler"
)
# Compiled in, where a distribution does it; they are in no LoadModule.
_STATIC = {"core", "so", "http", "log_config", "logio", "version", "unixd", "watchdog"}
_SECTION = re.compile(r"<(/?)([A-Za-z]+)\s*([^>]*)>?")
_MOST_DEPTH = 32


@dataclass(frozen=True)
class Directive:
    """One directive that takes effect: name in small letters, arguments, the sections around it, where it stands."""

    name: str
    arguments: tuple[str, ...]
    scope: tuple[str, ...]
    file: str
    number: int

    @property
    def where(self) -> str:
        return f"{self.file}:{self.number}"

    @property
    def host(self) -> str:
        """The virtual host it belongs to; empty for the server as a whole."""
        return next((section for section in self.scope if section.startswith("virtualhost")), "")


@dataclass
class Configuration:
    """What is read: directives in order, the files that were, and Include patterns that lead to where nobody looked."""

    directives: list[Directive] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    patterns: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def all(self, *names: str) -> Iterator[Directive]:
        return (each for each in self.directives if each.name in names)

    def last(self, name: str) -> Directive | None:
        """The one that decides, of a directive that belongs to the server as a whole."""
        found = [each for each in self.all(name) if not each.host]
        return found[-1] if found else None

    def names(self, host: str) -> frozenset[str]:
        """The names of a virtual host, in small letters."""
        inside = (each for each in self.all("servername", "serveralias") if each.host == host)
        return frozenset(re.sub(r"^https?://|:\d+$", "", name.lower()) for each in inside for name in each.arguments)

    @property
    def hosts(self) -> list[tuple[frozenset[int], tuple[str, ...], bool]]:
        """Of each virtual host its ports, its names, and whether it speaks TLS."""
        sections = dict.fromkeys(each.scope[: _host_at(each) + 1] for each in self.directives if each.host)
        found = []
        for section in sections:
            inside = [each for each in self.directives if each.scope[: len(section)] == section]
            names = tuple(n for each in inside if each.name in ("servername", "serveralias") for n in each.arguments)
            tls = any(each.name == "sslengine" and each.arguments[0].lower() == "on" for each in inside)
            ports = frozenset(int(port) for port in re.findall(r":(\d{1,5})(?:\s|#|$)", section[-1]))
            found.append((ports, names, tls))
        return found


def _host_at(directive: Directive) -> int:
    return next(place for place, section in enumerate(directive.scope) if section.startswith("virtualhost"))


def read(
    lines: Iterable[str], main: str, root: str, looked_in: tuple[str, ...], defined: Iterable[str] = ()
) -> Configuration:
    """The configuration that begins in the file ``main``, from the lines of ``grep -Hn``.

    Args:
        root: the compiled-in ServerRoot.
        looked_in: the folders of which every file was read.
        defined: the words of -D.
    """
    files: dict[str, list[tuple[int, str]]] = {}
    for path, number, text in numbered(lines):
        files.setdefault(path, []).append((number, text))
    reader = _Reader(files, root, looked_in, set(defined))
    if main not in files:
        raise Unreadable(f"{main} says nothing that Apache would read")
    reader.file(main, ())
    return reader.configuration


class _Reader:
    def __init__(
        self, files: Mapping[str, list[tuple[int, str]]], root: str, looked_in: tuple[str, ...], defined: set[str]
    ) -> None:
        self.configuration = Configuration()
        self._files, self._root, self._looked_in, self._defined = files, root, looked_in, defined
        self._modules = set(_STATIC)
        self._depth = 0
        self._sections = 0

    def file(self, path: str, scope: tuple[str, ...]) -> None:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise Unreadable(f"{path} is included too deep")
        self.configuration.files.append(path)
        conditions: list[bool] = []
        own: list[str] = []
        for number, text in self._files.get(path, ()):
            text = text.strip()
            if section := _SECTION.match(text):
                self._section(section, conditions, own)
            elif all(conditions) and text and not text.startswith("#"):
                self._directive(text, (*scope, *own), path, number)
        self._depth -= 1

    def _section(self, section: re.Match[str], conditions: list[bool], own: list[str]) -> None:
        """``conditions`` and ``own`` grow together: a condition has an empty name in ``own``, left out of scopes."""
        name = section[2].lower()
        conditional = name in ("ifmodule", "ifdefine", "ifversion", "iffile")
        if section[1]:
            (conditions if conditional else own)[-1:] = []
        elif conditional:
            conditions.append(self._holds(name, section[3].strip().strip('"')))
        else:
            self._sections += 1
            own.append(f"{name} {section[3].strip()} #{self._sections}")

    def _holds(self, kind: str, what: str) -> bool:
        negated, what = what.startswith("!"), what.lstrip("! ")
        if kind == "ifmodule":
            held = re.sub(r"^mod_|\.c$|_module$", "", what) in self._modules
        elif kind == "ifdefine":
            held = what in self._defined
        else:  # a version or a file: nobody knows, and what stands there may count
            return True
        return held != negated

    def _directive(self, text: str, scope: tuple[str, ...], path: str, number: int) -> None:
        name, *arguments = _words(text)
        directive = Directive(name.lower(), tuple(arguments), scope, path, number)
        self.configuration.directives.append(directive)
        if directive.name == "loadmodule" and arguments:
            module = arguments[0].removesuffix("_module")
            self._modules |= {module, module.removeprefix("mpm_")}  # prefork.c is where mpm_prefork_module comes from
        elif directive.name == "define" and arguments:
            self._defined.add(arguments[0])
        elif directive.name == "undefine" and arguments:
            self._defined.discard(arguments[0])
        elif directive.name == "serverroot" and arguments:
            self._root = arguments[0]
        elif directive.name in ("include", "includeoptional") and arguments:
            self._include(arguments[0], scope)

    def _include(self, pattern: str, scope: tuple[str, ...]) -> None:
        whole = posixpath.normpath(posixpath.join(self._root, pattern))
        self.configuration.patterns.append(whole)
        if "${" in whole or not whole.startswith(tuple(f"{folder}/" for folder in self._looked_in)):
            self.configuration.unseen.append(pattern)
            return
        for path in sorted(self._files):
            if glob.same_path(path, whole) or path.startswith(f"{whole}/"):
                self.file(path, scope)


def _words(text: str) -> list[str]:
    """Blank-separated words; quotes hold blanks."""
    found = re.findall(r'"((?:\\.|[^"\\])*)"|\'((?:\\.|[^\'\\])*)\'|(\S+)', text)
    return [double or single or bare for double, single, bare in found] or [text]
