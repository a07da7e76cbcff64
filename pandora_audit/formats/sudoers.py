"""Sudo's rules, as its own parser prints them: ``cvtsudoers -e -f json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pandora_audit.question import Unreadable

ALL = "ALL"


@dataclass(frozen=True)
class Member:
    """One word of a list: what kind of thing it names (username, usergroup, userid, hostname, command, …)."""

    kind: str
    name: str
    negated: bool = False

    @property
    def is_all(self) -> bool:
        return self.name == ALL and self.kind in ("username", "hostname", "command")

    def __str__(self) -> str:
        sign = {"usergroup": "%", "nonunixgroup": "%:", "userid": "#", "usergid": "%#", "netgroup": "+"}
        return f"{'!' if self.negated else ''}{sign.get(self.kind, '')}{self.name}"


Members = tuple[Member, ...]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """One line of Defaults. ``binding`` says for whom or what; empty for everything."""

    binding: Members
    options: Options


@dataclass(frozen=True)
class Grant:
    """What some users may run on some hosts as somebody: one part of a rule that shares its tags."""

    users: Members
    hosts: Members
    runas: Members
    options: Options
    commands: Members


@dataclass(frozen=True)
class Sudoers:
    """The rules, in the order in which sudo reads them."""

    settings: tuple[Setting, ...]
    grants: tuple[Grant, ...]


def read(text: str) -> Sudoers:
    """The rules. Raises Unreadable for anything but what cvtsudoers prints."""
    try:
        said = json.loads(text) if text.strip() else {}
        settings = tuple(Setting(_members(each, "Binding"), _options(each)) for each in said.get("Defaults", ()))
        grants = tuple(
            Grant(
                _members(rule, "User_List"),
                _members(rule, "Host_List"),
                _members(part, "runasusers"),
                _options(part),
                _members(part, "Commands"),
            )
            for rule in said.get("User_Specs", ())
            for part in rule["Cmnd_Specs"]
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unreadable(f"`cvtsudoers` printed what is no list of rules ({type(error).__name__})") from error
    return Sudoers(settings, grants)


def _members(row: dict[str, Any], name: str) -> Members:
    return tuple(_member(each) for each in row.get(name, ()))


def _member(row: dict[str, Any]) -> Member:
    negated = row.get("negated", False) is True
    named = [(key, value) for key, value in row.items() if key != "negated" and not key.startswith("sha")]
    ((kind, name),) = named
    return Member(str(kind), str(name), negated)


def _options(row: dict[str, Any]) -> Options:
    return {name: value for each in row.get("Options", ()) for name, value in each.items()}
