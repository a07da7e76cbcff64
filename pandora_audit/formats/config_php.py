"""The console's config.php: the assignments to ``$config`` that PHP would make, without running it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pandora_audit.question import Unreadable

# In order: what is outside PHP, comments, strings, and single characters. Each alternative is linear.
_TOKEN = re.compile(
    r"""
      (?P<end>\?>)
    | (?P<comment>/\*.*?(?:\*/|\Z)|//[^\n]*?(?=\?>|\n|\Z)|\#(?!\[)[^\n]*?(?=\?>|\n|\Z))
    | (?P<double>"(?:\\.|[^"\\])*")
    | (?P<single>'(?:\\.|[^'\\])*')
    | (?P<heredoc><<<)
    | (?P<variable>\$[A-Za-z_]\w*)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<blank>\s+)
    | (?P<mark>.)
    """,
    re.X | re.S,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "$": "$", '"': '"'}
_INCLUDES = ("include", "include_once", "require", "require_once")
_WORDS = {"true": "1", "false": "", "null": ""}


@dataclass(frozen=True)
class Value:
    """What a key was set to. ``text`` is None for an expression that only running PHP could tell."""

    text: str | None
    line: int

    @property
    def is_on(self) -> bool:
        """What PHP makes of it as a condition. Raises Unreadable for an expression."""
        if self.text is None:
            raise Unreadable(f"line {self.line} of config.php is an expression")
        return self.text not in ("", "0")


def read(text: str) -> Mapping[str, Value]:
    """The keys of ``$config`` as they are when the file's own statements up to its last include have run.

    Raises Unreadable for a heredoc. Assignments in branches count as if they were made.
    """
    found: dict[str, Value] = {}
    for words, line in _statements(text):
        kinds = [kind for kind, _ in words]
        if kinds[:1] == ["word"] and words[0][1].lower() in _INCLUDES:
            if any("config_process" in each for _, each in words):
                break
            continue
        key, operator = _key(words), [text for _, text in words[4:7]]
        if key and operator[:1] == ["="] and operator[1:2] != ["="]:
            found[key] = Value(_value(words[5:]), line)
        elif key and operator[0] in (".", "?", "+") and "=" in operator[1:]:  # it becomes what it was, and more
            found[key] = Value(None, line)
    return found


def _statements(text: str) -> list[tuple[list[tuple[str, str]], int]]:
    """The tokens of each statement, and the line that it begins in. A brace ends a statement too."""
    found: list[tuple[list[tuple[str, str]], int]] = []
    words: list[tuple[str, str]] = []
    at = _open(text, 0)
    begun = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        assert token is not None  # the last alternative takes anything
        kind, at = str(token.lastgroup), token.end()
        if kind == "heredoc":
            raise Unreadable("config.php holds a heredoc")
        if kind == "end" or (kind == "mark" and token[0] in ";{}"):
            if words:
                found.append((words, text.count("\n", 0, begun) + 1))
            words = []
            if kind == "end":
                at = _open(text, at)
        elif kind not in ("blank", "comment"):
            begun = begun if words else token.start()
            words.append((kind, token[0]))
    if words:
        found.append((words, text.count("\n", 0, begun) + 1))
    return found


def _open(text: str, at: int) -> int:
    """Where PHP begins again."""
    tag = re.compile(r"<\?(?:php\b|=)?", re.I).search(text, at)
    return tag.end() if tag else len(text)


def _key(words: list[tuple[str, str]]) -> str:
    """The key of a statement that begins with ``$config['key']``, and goes on; empty for any other."""
    shape = [kind if kind in ("double", "single") else text for kind, text in words[:5]]
    if len(words) > 5 and shape[0] == "$config" and shape[1] == "[" and shape[3] == "]":
        return _string(words[2]) or ""
    return ""


def _value(words: list[tuple[str, str]]) -> str | None:
    """The value of an expression that is one constant."""
    if len(words) != 1:
        return None
    kind, text = words[0]
    if kind in ("double", "single"):
        return _string(words[0])
    if kind == "number":
        return text
    return _WORDS.get(text.lower()) if kind == "word" else None


def _string(word: tuple[str, str]) -> str | None:
    """A string's value; None where it holds a variable."""
    kind, text = word[0], word[1][1:-1]
    if kind == "single":
        return re.sub(r"\\([\\'])", r"\1", text)
    if kind != "double" or re.search(r"(?<!\\)\$[A-Za-z_{]|\{\$", text):
        return None
    return re.sub(r'\\([ntr\\$"])', lambda found: _ESCAPES[found[1]], text)
