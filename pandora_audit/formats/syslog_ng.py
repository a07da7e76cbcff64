"""syslog-ng's configuration, as far as it tells which messages are sent to other machines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pandora_audit.question import Unreadable

_DRIVER = re.compile(
    r"""(?:"(?:[^"\\]|\\.)*"|'[^']*')|"""  # a text is none
    r"\b(?:network|syslog|syslog-ng|tcp6?|udp6?|http|elasticsearch-http|kafka-c?|loki|opentelemetry|splunk-hec[\w-]*)"
    r"\s*\(\s*(?:(?:ip|url|server|bootstrap-servers)\s*\(\s*)?\"?(?:https?://)?(\[[^\]]*\]|[\w.-]+)[^\"\s)]*\"?"
)
_REFERENCE = re.compile(r"\b(filter|destination)\s*\(\s*([\w.-]+)\s*\)")
_FACILITY = re.compile(r"(\bnot\s+)?\bfacility\s*\(([^)]*)\)")
_IGNORED = re.compile(r"""#[^\n]*|/\*.*?\*/|@[^\n]*|"(?:[^"\\]|\\.)*"|'[^']*'""", re.S)


@dataclass(frozen=True)
class Sending:
    """A path to another machine: which one, and whether the security log takes it (None: not known)."""

    target: str
    taken: bool | None


def sendings(text: str) -> Iterator[Sending]:
    """The paths that lead to other machines. Raises Unreadable for braces that do not close."""
    plain = _IGNORED.sub(lambda found: found[0] if found[0][0] in "\"'" else " ", text)
    blocks = list(_blocks(plain))
    named = {(kind, name): body for kind, name, body in blocks if name}
    for kind, _, body in blocks:
        if kind != "log":
            continue
        words = _REFERENCE.findall(body)
        bodies = [body, *(named.get(("destination", name), "") for word, name in words if word == "destination")]
        targets = [
            target.strip("[]") for each in bodies for target in _DRIVER.findall(_without_sources(each)) if target
        ]
        filters = [named.get(("filter", name), "") for word, name in words if word == "filter"]
        for target in targets:
            yield Sending(target, _taken(filters))


def _taken(filters: list[str]) -> bool | None:
    """Whether messages of authpriv pass all of these filters."""
    verdicts: list[bool | None] = []
    for text in filters:
        about = [(not negated, "authpriv" in names) for negated, names in _FACILITY.findall(text)]
        if not about:
            verdicts.append(None)
        elif "(" in _FACILITY.sub("", text):  # it looks at something else too
            verdicts.append(None if any(wanted is named for wanted, named in about) else False)
        else:
            verdicts.append(any(wanted is named for wanted, named in about))
    return False if False in verdicts else None if None in verdicts else True


def _without_sources(body: str) -> str:
    return re.sub(r"\bsource\s*\{[^{}]*\}", "", body)


def _blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Kind, name and body of each block."""
    head = re.compile(r"\b(source|destination|filter|log|rewrite|template|parser|options|block)\b([^{};]*)\{")
    at = 0
    while found := head.search(text, at):
        end = _closing(text, found.end())
        yield found[1], found[2].strip(), text[found.end() : end]
        at = end + 1


def _closing(text: str, at: int) -> int:
    depth = 1
    for mark in re.compile(r"""[{}]|"(?:[^"\\]|\\.)*"|'[^']*'""", re.S).finditer(text, at):
        depth += {"{": 1, "}": -1}.get(mark[0], 0)
        if depth == 0:
            return mark.start()
    raise Unreadable("syslog-ng's configuration has a block that does not end")
