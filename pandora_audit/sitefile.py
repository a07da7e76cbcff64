"""YAML that a site wrote, read so that every value keeps its text and line, and every error names them."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import yaml

_MOST_BYTES = 10 * 1024 * 1024
_MOST_VALUES = 1_000_000
_NULL = ("", "~", "null", "Null", "NULL")
# What somebody writes who means that nobody has approved, or that it is approved, and names nobody.
_NO_NAMES = ("no", "yes", "false", "true", "off", "on", "none", "null", "nobody", "todo", "tbd", "n/a", "pending")
# The C parser is ten times faster. Only its events are used: its composer overflows the stack when nested.
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

Plain: TypeAlias = str | tuple[str, ...]
"""A value before its type is known: the text as it was written, or a list of texts."""


class SiteError(Exception):
    """What a site wrote cannot be used. Its text is for the user, with file and line where known."""


@dataclass(frozen=True)
class Value:
    """A YAML value: text as written, None for YAML's null, a list or a mapping.

    Args:
        where: ``file:line`` of the value; of its key when it is the value of a mapping.
        tag: an explicit tag such as ``!vault``.
        size: how many values there are in it when its aliases are followed.
    """

    data: str | list[Value] | dict[str, Value] | None
    where: str
    tag: str = ""
    size: int = 1

    def mapping(self, what: str) -> dict[str, Value]:
        """Its pairs; none for null. Raises SiteError, calling the value ``what``, when it is no mapping."""
        if self.data is None:
            return {}
        if isinstance(self.data, dict):
            return self.data
        if isinstance(self.data, list):
            raise SiteError(f"{self.where}: {what} is a list; write a mapping: `name:` instead of `- name`")
        raise SiteError(f"{self.where}: {what} is the text {self.data!r}; it must be a mapping")

    def plain(self, what: str) -> Plain:
        """Its text or texts. Raises SiteError for null, a mapping, a template or something encrypted."""
        if self.tag.startswith("!"):
            raise SiteError(f"{self.where}: {what} has the tag {self.tag}, which this audit cannot open")
        if isinstance(self.data, list):
            return tuple(each.text(what) for each in self.data)
        if not isinstance(self.data, str):
            said = "says nothing" if self.data is None else "is a mapping"
            raise SiteError(f"{self.where}: {what} {said}; give it a value or remove the line")
        if "{{" in self.data or "{%" in self.data:
            raise SiteError(f"{self.where}: {what} is a template, which only a play can fill: {self.data!r}")
        return self.data

    def text(self, what: str) -> str:
        """Its text. Raises SiteError for everything else."""
        if isinstance(self.data, list):
            raise SiteError(f"{self.where}: {what} is a list; it must be one text")
        return str(self.plain(what))

    def person(self, what: str) -> str:
        """The name of a person; empty for null or an empty text. Raises SiteError for what is no name."""
        text = "" if self.data is None else self.text(what)
        name = " ".join(text.split())
        if text and (not re.search(r"[^\W\d_]", name) or name.casefold() in _NO_NAMES):
            raise SiteError(f"{self.where}: {what} is {text!r}; it takes the name of a person")
        return name

    def day(self, what: str) -> date:
        """Its day. Raises SiteError for everything else."""
        text = self.text(what)
        try:
            # fromisoformat alone would also take 20260131 and week dates.
            return date.fromisoformat(text if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else "")
        except ValueError as error:
            raise SiteError(f"{self.where}: {what} is {text!r}; it takes a day, YYYY-MM-DD") from error


def entry(value: Value, what: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Value]:
    """The pairs of one entry of a list, none of them empty. Raises SiteError for a missing or an unknown key."""
    pairs = value.mapping(what)
    for key, each in pairs.items():
        if key not in required + optional:
            raise SiteError(f"{each.where}: {what} has no {key}{did_you_mean(key, required + optional)}")
        if not each.text(key).strip():
            raise SiteError(f"{each.where}: {key} is empty")
    if missing := [key for key in required if key not in pairs]:
        raise SiteError(f"{value.where}: this {what.split()[-1]} lacks {', '.join(missing)}")
    return pairs


def known_control(value: Value, known: Iterable[str]) -> str:
    """The id of a control that exists. Raises SiteError for another."""
    name = value.text("control").strip()
    if name not in known:
        raise SiteError(f"{value.where}: there is no control {name}{did_you_mean(name, known)}")
    return name


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """``; did you mean …?`` with the closest known word behind the prefix; empty when none is close."""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def read_bytes(path: Path) -> bytes:
    """The file's content. Raises SiteError when it cannot be read or is larger than 10 MB."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SiteError(f"{path}: {error.strerror}") from error
    if len(raw) > _MOST_BYTES:
        raise SiteError(f"{path}: larger than 10 MB, which no inventory is")
    return raw


def read_text(path: Path) -> str:
    """The file's text. Raises SiteError when it cannot be read or is none."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SiteError(f"{path}: not UTF-8 (byte {error.start})") from error


def read_yaml(path: Path) -> Value:
    """The file's one YAML document; null for an empty file. Raises SiteError with file and line."""
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, path: str) -> Value:
    """The one YAML document of a text; ``path`` is where errors say it stands."""
    try:
        return _Composer(path, text).document()
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SiteError(f"{path}{line}: not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise SiteError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise SiteError(f"{path}: nested too deeply") from error


class OneLine(dict[str, object]):
    """A mapping that ``dump_yaml`` writes in one line, which can be deleted as one."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Whoever edits one line does not mean another."""
        return True


_Dumper.add_representer(
    OneLine, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=True)
)


def dump_yaml(data: object, width: float = 200) -> str:
    """Plain data as YAML, in the order in which it comes; whatever could be read as something else, in quotes."""
    return str(
        yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width, default_flow_style=False)
    )


class _Composer:
    """Builds values from the parser's events; PyYAML's own composer follows cycles."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._events: Iterator[Any] = yaml.parse(io.StringIO(text), Loader=_LOADER)
        self._anchors: dict[str, Value] = {}

    def document(self) -> Value:
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return Value(None, f"{self._path}:1")
        value = self._value(next(self._events))
        next(self._events)
        if not isinstance(event := next(self._events), yaml.StreamEndEvent):
            raise SiteError(f"{self._at(event)}: a second document begins; one file is one document")
        return value

    def _at(self, event: Any) -> str:
        return f"{self._path}:{event.start_mark.line + 1}"

    def _value(self, event: Any) -> Value:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise SiteError(f"{self._at(event)}: *{event.anchor} has no anchor above it, or is inside it")
            return self._anchors[event.anchor]
        value = self._new(event)
        if value.size > _MOST_VALUES:
            raise SiteError(f"{value.where}: more than a million values")
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _new(self, event: Any) -> Value:
        where, tag = self._at(event), event.tag or ""
        if isinstance(event, yaml.ScalarEvent):
            null = event.style in (None, "") and event.value in _NULL and not tag
            return Value(None if null else event.value, where, tag)
        if isinstance(event, yaml.SequenceStartEvent):
            items = [self._value(item) for item in self._until(yaml.SequenceEndEvent)]
            return Value(items, where, tag, 1 + sum(item.size for item in items))
        pairs = self._pairs()
        return Value(pairs, where, tag, 1 + sum(value.size for value in pairs.values()))

    def _until(self, end: type) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _pairs(self) -> dict[str, Value]:
        pairs: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        for event in self._until(yaml.MappingEndEvent):
            key, value = self._value(event), self._value(next(self._events))
            if not isinstance(key.data, str):
                raise SiteError(f"{key.where}: a key must be a text")
            if key.data in pairs:
                raise SiteError(f"{key.where}: {key.data} is here twice (first: {pairs[key.data].where})")
            if key.data == "<<":
                merged = _merge(value) | merged
            else:
                pairs[key.data] = replace(value, where=key.where)
        return merged | pairs


def _merge(value: Value) -> dict[str, Value]:
    """What ``<<:`` brings: the first of several mappings wins, as YAML has it."""
    sources = value.data if isinstance(value.data, list) else [value]
    brought: dict[str, Value] = {}
    for source in sources:
        brought = source.mapping("what << merges") | brought
    return brought
