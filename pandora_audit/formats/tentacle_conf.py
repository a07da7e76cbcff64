"""tentacle_server's settings: its configuration file and its flags, read as it reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

MAIN = "/etc/tentacle/tentacle_server.conf"
_TOKEN = re.compile(r"(?<![\w.-])([\w.-]+)\s+(.*)", re.ASCII)
# Each flag with its token. Those of the second group stand alone.
_TAKING = {
    "a": "addresses",
    "b": "proxy_ip",
    "c": "max_connections",
    "e": "ssl_cert",
    "f": "ssl_ca",
    "F": "configuration",
    "g": "proxy_port",
    "i": "filters",
    "k": "ssl_key",
    "l": "log_file",
    "m": "max_size",
    "p": "port",
    "r": "retries",
    "s": "directory",
    "S": "service",
    "t": "timeout",
    "x": "password",
}
_ALONE = {
    "d": "daemon",
    "h": "help",
    "I": "insecure",
    "o": "overwrite",
    "q": "quiet",
    "T": "use_libwrap",
    "v": "verbose",
    "V": "verbose",
    "w": "ssl_password",
}
TOKENS = frozenset({*_TAKING.values(), *_ALONE.values()})


@dataclass(frozen=True)
class Value:
    """What a token is set to, and the file and line, or the flag, that does it."""

    text: str
    cause: str


@dataclass(frozen=True)
class Settings:
    """What one start of the daemon works with: a flag beats the file, and what neither sets has its default.

    Args:
        layer: which start: the one that made the running process, or the next one.
        flags, file: the tokens that each sets.
    """

    layer: str
    flags: Mapping[str, Value] = field(default_factory=dict)
    file: Mapping[str, Value] = field(default_factory=dict)

    def __getitem__(self, token: str) -> Value | None:
        return self.flags.get(token) or self.file.get(token)

    def text(self, token: str, default: str = "") -> str:
        value = self[token]
        return value.text if value else default

    def switch(self, token: str) -> Value | None:
        """What turns a switch on; None where it is off. A file turns it on with exactly 1."""
        found = self[token]
        return found if found and (token in self.flags or found.text == "1") else None


def tokens(lines: Iterable[tuple[str, str]]) -> dict[str, Value]:
    """The tokens that lines set, each line with its cause. The last one counts; an empty value sets nothing.

    A line of one begins with a letter; where in it the token begins does not matter, as long as a blank follows.
    """
    found = {}
    for cause, line in lines:
        token = _TOKEN.search(f"{line}\n") if re.match("[a-zA-Z]", line) else None
        if token and token[2]:
            found[token[1]] = Value(token[2], cause)
    return found


def flags(words: Iterable[str], cause: str) -> dict[str, Value]:
    """The tokens that flags set: they may be joined, and a value may be; the first other word ends them."""
    found = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word in ("-", "--"):
            break
        for flag, value in _letters(word[1:], rest):
            token = _TAKING.get(flag) or _ALONE.get(flag)
            if token:
                found[token] = Value({"v": "1", "V": "2"}.get(flag, value), f"-{flag}, {cause}")
    return found


def _letters(word: str, rest: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Each flag of a word, with its value; a switch has 1."""
    while word:
        flag, word = word[0], word[1:]
        if flag in _TAKING:
            yield flag, word or next(rest, "")
            return
        yield flag, "1"
