"""``pandora_agent.conf`` as the Windows agent reads it: another program, and another grammar. Pure.

A token's first line counts. Its value is the last word of the line, or what stands between the last two quotes: of
``server_opts -c -f ca.pem`` the agent takes ``ca.pem``, of ``server_opts "-c -f ca.pem"`` all. A line is a comment when
its first character is #; a file collection, wherever on a line the word stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pandora_audit.formats.agent_conf import AgentConf, Line, Setting


def lines(rows: Iterable[str]) -> list[Line]:
    """The lines of ``path|number|text``. Others are passed over."""
    found = (re.match(r"([^|]+)\|(\d{1,9})\|(.*)", each, re.S) for each in rows)
    return [Line(each[3], f"{each[1]}:{each[2]}", each[1]) for each in found if each]


def read(main: Iterable[Line], included: Iterable[Line] = ()) -> AgentConf:
    """What the agent makes of its file, and of the collections in those that it includes.

    Its includes are those that lead to another machine; the host has followed the others.
    """
    settings: dict[str, Setting] = {}
    collections: list[Setting] = []
    commands: list[Setting] = []
    includes: list[Setting] = []
    for line in main:
        if line.text[:1] in ("#", ""):
            continue
        if "file_collection" in line.text:
            collections += _collection(line)
        elif found := re.search(r"cmd_file\s+(.*)", line.text):
            commands.append(Setting(found[1].strip(), line.where))
        elif found := re.fullmatch(r"include (\s*[\\/][\\/?].*)", line.text):
            includes.append(Setting(found[1], line.where))
        elif "module_" not in line.text:
            token, value = _pair(line.text)
            settings.setdefault(token, Setting(value, line.where))
    for line in included:
        if line.text[:1] not in ("#", ""):
            collections += _collection(line)
    # An empty value is what a token has that is not written.
    said = {token: setting for token, setting in settings.items() if setting.value}
    return AgentConf(settings=said, collections=tuple(collections), commands=tuple(commands), includes=tuple(includes))


def _collection(line: Line) -> list[Setting]:
    _, found, name = line.text.partition("file_collection")
    return [Setting(name.strip(), line.where)] if found and name.strip() and ".." not in name else []


def _pair(text: str) -> tuple[str, str]:
    trimmed = text.strip(" \t\r\n")
    words = [word for word in (trimmed.split('"') if '"' in trimmed else re.split("[ \t]+", trimmed)) if word]
    if not words:
        return "", ""
    return words[0].strip().lower(), words[-1].strip() if len(words) > 1 else ""
