"""PHP's settings: php.ini and what is scanned after it, the pools of FPM, .user.ini; and what a value means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pandora_audit.formats.grep import numbered


@dataclass(frozen=True)
class Setting:
    """One setting where it is written. ``section`` is the [section] that it stands in, in small letters."""

    name: str
    value: str
    section: str
    file: str
    number: int
    fixed: bool = False

    @property
    def where(self) -> str:
        return f"{self.file}:{self.number}"

    @property
    def is_on(self) -> bool:
        return truth(self.value)


_LINE = re.compile(r"\s*([A-Za-z_][\w.]*)(?:\[([\w.]+)\])?\s*=\s*(.*)", re.S)
_SECTION = re.compile(r"\s*\[([^\]]*)\]")
_ON = ("1", "on", "true", "yes")
_OFF = ("", "0", "off", "false", "no", "none", "null")


def truth(value: str) -> bool:
    """What PHP makes of a value where it wants yes or no: words, else a number at the beginning."""
    word = value.strip().lower()
    if word in _ON or word in _OFF:
        return word in _ON
    number = re.match(r"[+-]?\d{1,9}", word)
    return bool(number and int(number[0]))


def value(text: str) -> str:
    """The value of what stands after the equals sign, without quotes and comment."""
    text = text.strip()
    if quoted := re.match(r'"([^"]*)"|\'([^\']*)\'', text):
        return quoted[1] if quoted[1] is not None else quoted[2]
    return re.split(r"\s*;", text, maxsplit=1)[0].strip()


def settings(lines: Iterable[str]) -> Iterator[Setting]:
    """The settings in lines of ``grep -Hn``; those of a pool (``php_admin_value[name] = …``) by their own names."""
    section, file = "", ""
    for path, number, text in numbered(lines):
        if path != file:
            section, file = "", path
        if found := _SECTION.match(text):
            section = found[1].strip().lower()
        elif line := _LINE.match(text):
            written = value(line[3])
            if not line[2]:
                yield Setting(line[1], written, section, path, number)
            elif line[1] in ("php_value", "php_flag", "php_admin_value", "php_admin_flag"):
                yield Setting(line[2], written, section, path, number, "admin" in line[1])
