"""Which machines to audit: Ansible's inventory and host patterns, or testinfra's host specifications."""

from __future__ import annotations

import fnmatch
import graphlib
import itertools
import json
import os
import re
import shutil
import signal
import string
import subprocess
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pandora_audit import endpoints, promises
from pandora_audit.question import Role, Shell
from pandora_audit.sitefile import Plain, SiteError, Value, did_you_mean, read_bytes, read_yaml
from pandora_audit.target import Target

ROLE_GROUPS: Mapping[str, Role] = {"agents": Role.AGENT, **{role.value: role for role in Role}}
"""The groups that promise a role to their hosts."""

_SCHEMES = (
    *("paramiko", "ssh", "safe-ssh", "local", "replay", "ansible", "chroot", "docker", "kubectl", "lxc"),
    *("openshift", "podman", "salt", "winrm"),
)
_CONNECTIONS = {"": "paramiko", "smart": "paramiko", "paramiko": "paramiko", "paramiko_ssh": "paramiko"}
_CONNECTIONS |= {"ssh": "ssh", "local": "local"}
_OF_WINDOWS = ("powershell", "cmd")
"""The shells of Windows, by Ansible's names; what is asked there is PowerShell, whichever starts it."""
_ANSIBLE_SECONDS = 120
_INSTEAD = "write one static YAML file, without group_vars and host_vars directories beside it"
_MOST_HOSTS_IN_A_RANGE = 100_000

_SECTIONS = ("hosts", "children", "vars")
_SPECIAL = ("all", "ungrouped")

_RAW = re.compile(r".*(://|@).*|[^:\[\]]+:[0-9]+|\[[^\[\]]+\]:[0-9]+")
_ENDPOINT = re.compile(r"(?:([^@/\s]+)@)?(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([^]\[@:/\s*?!&~]+))(?::([0-9]+))?")
_NAME_AND_PORT = re.compile(r"(?:\[(.+)\]|((?:[^:\[\]]|\[[^\]]*\])+)):([0-9]+)")
_TERM = re.compile(r"(?:[^:\[\]]|\[[^\]]*\])+")
_SUBSCRIPT = re.compile(r"(.+)\[(?:(-?[0-9]+)|([0-9]+)[:-]([0-9]*))\]")
_RANGE = re.compile(r"([0-9]*):([0-9]+)(?::([0-9]+))?|([A-Za-z]):([A-Za-z])(?::([0-9]+))?")

Variables = dict[str, Value]


@dataclass
class _Group:
    vars: Variables = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    hosts: dict[str, None] = field(default_factory=dict)
    depth: int = 0


class Inventory:
    """The groups and hosts of one inventory file; without a file, nothing but raw host specifications.

    Args:
        path: where it was read from.
        content: its groups, in the shape of Ansible's static YAML.
    """

    def __init__(self, path: Path | None = None, content: Variables | None = None) -> None:
        self.path = path
        self._groups = {"all": _Group(children={"ungrouped": None}), "ungrouped": _Group()}
        self._hosts: dict[str, Variables] = {}
        for name, body in (content or {}).items():
            self._read_group(name, body)
        self._reconcile()
        self._members = {name: self._below(name) for name in self._groups}

    def select(self, hosts: str | None, ask: endpoints.Asks = endpoints.nobody) -> tuple[Target, ...]:
        """The machines that ``--hosts`` names, each once, in that order; None selects all of the inventory.

        Raises SiteError for a name that nothing bears, a pattern that leaves nothing, and for whatever the
        inventory says of a selected host that cannot be used.

        Args:
            ask: tells which agents Pandora FMS knows, where ``pandora://`` asks for them.
        """
        if hosts is None and self.path is None:
            return (raw_target("local://"),)
        asked = "all" if hosts is None else hosts
        items = [item.strip() for item in asked.split(",")]
        terms = [term for item in items if item for term in self._terms(item)]
        if not terms:
            raise SiteError("--hosts= is empty; leave it out, or name a host, a group or a pattern")
        terms = list(self._with_endpoints(terms, ask))
        chosen = self._choose(terms)
        if not chosen:
            raise SiteError(f"--hosts={hosts}: these patterns together leave no host")
        return tuple(self._unique(chosen))

    def others(self, targets: Iterable[Target]) -> tuple[Target, ...]:
        """The hosts that are known here and not among the targets."""
        asked = {target.name for target in targets}
        return tuple(self._target(name) for name in self._hosts if name not in asked)

    # -- reading ----------------------------------------------------------------------------------------

    def _read_group(self, name: str, body: Value) -> None:
        group = self._groups.setdefault(name, _Group())
        for section, value in body.mapping(f"group {name}").items():
            what = f"{section} of group {name}"
            if section not in _SECTIONS:
                raise SiteError(f"{value.where}: {what}: a group has hosts, children and vars, nothing else")
            alone = section != "vars" and isinstance(value.data, str)
            entries = {str(value.data): Value(None, value.where)} if alone else value.mapping(what)
            if section == "vars":
                group.vars |= _checked(entries)
            elif section == "children":
                group.children |= dict.fromkeys(entries)
                for child, below in entries.items():
                    self._read_group(child, below)
            else:
                for pattern, variables in entries.items():
                    self._read_hosts(group, pattern, variables)

    def _read_hosts(self, group: _Group, pattern: str, variables: Value) -> None:
        given = _checked(variables.mapping(f"host {pattern}"))
        port: Variables = {}
        if found := _NAME_AND_PORT.fullmatch(pattern):
            pattern = found[1] or found[2]
            port = {"ansible_port": Value(found[3], variables.where)}
        for name in _expanded(pattern, variables.where):
            # As in Ansible, the port of `name:port` counts only where the host is named first.
            self._hosts.setdefault(name, dict(port)).update(given)
            group.hosts[name] = None

    def _reconcile(self) -> None:
        """As Ansible does after reading: all groups below `all`, stray hosts into `ungrouped`, depths."""
        below = {child for group in self._groups.values() for child in group.children}
        everything = self._groups["all"].children
        everything |= dict.fromkeys(name for name in self._groups if name != "all" and name not in below)
        ordinary = [group for name, group in self._groups.items() if name not in _SPECIAL]
        grouped = {host for group in ordinary for host in group.hosts}
        self._groups["ungrouped"].hosts = {host: None for host in self._hosts if host not in grouped}
        sorter = graphlib.TopologicalSorter({name: group.children for name, group in self._groups.items()})
        try:
            children_first = list(sorter.static_order())
        except graphlib.CycleError as error:
            raise SiteError(f"{self.path}: groups contain each other: {' < '.join(error.args[1])}") from error
        for group in (self._groups[name] for name in reversed(children_first)):
            for child in (self._groups[name] for name in group.children):
                child.depth = max(child.depth, group.depth + 1)

    def _below(self, name: str) -> dict[str, None]:
        """The hosts of a group and its descendants, level by level as Ansible orders them."""
        found = level = {name: None}
        while level := {child: None for each in level for child in self._groups[each].children}:
            found = found | level
        return {host: None for each in found for host in self._groups[each].hosts}

    # -- choosing ---------------------------------------------------------------------------------------

    def _terms(self, item: str) -> list[str | Target]:
        """One item between commas: a raw host, or its patterns between colons."""
        if item.startswith(endpoints.SCHEME):
            return [self._console(item)]
        if self.path is None or _RAW.fullmatch(item):
            target = raw_target(item)
            # A raw host is never taken for the inventory's host of the same name.
            return [raw_target(item, target.spec) if target.name in self._hosts else target]
        terms = [item] if item in self._hosts else _TERM.findall(item)
        if ":".join(terms) != item:
            raise SiteError(f"--hosts={item}: not a host pattern")
        return [term.strip() for term in terms if term.strip()]

    def _console(self, item: str) -> Target:
        """The machine that is asked which EndPoints there are, as what stands for them until it has told."""
        name = item.removeprefix(endpoints.SCHEME)
        if not name:
            raise SiteError(f"--hosts={item}: it names no machine that could ask Pandora FMS's database")
        console = self._target(name) if name in self._hosts else raw_target(name)
        return endpoints.unknown(item, console)

    def _with_endpoints(self, terms: list[str | Target], ask: endpoints.Asks) -> Iterator[str | Target]:
        """The terms, with the EndPoints that Pandora FMS knows in the place of what stands for them."""
        places = [term for term in terms if isinstance(term, Target) and term.asks]
        others = [term for term in terms if isinstance(term, Target) and not term.asks]
        known = [self._target(name) for name in self._hosts] if places else []
        for term in terms:
            if isinstance(term, str) or not term.asks:
                yield term
            else:
                found = list(endpoints.expand(term, ask, known, others))
                others += found
                yield from (host.name if host.name in self._hosts else host for host in found)

    def _choose(self, terms: list[str | Target]) -> list[str | Target]:
        """As in Ansible: unions first, then intersections and exclusions, wherever they were written."""
        signed = [term for term in terms if isinstance(term, str) and term[0] in "&!"]
        unions = [term for term in terms if term not in signed] or ["all"]
        chosen: list[str | Target] = []
        for term in unions:
            plain = isinstance(term, Target) or term in self._hosts
            chosen += [term] if plain else self._matches(str(term))
        for term in signed:
            matches = set(self._matches(term[1:].strip()))
            keep = term[0] == "&"
            chosen = [each for each in chosen if isinstance(each, Target) or (each in matches) == keep]
        return chosen

    def _matches(self, pattern: str) -> list[str]:
        """The hosts of one unsigned pattern, by Ansible's rules. Raises SiteError when there are none."""
        part = None if pattern.startswith("~") else _SUBSCRIPT.fullmatch(pattern)
        expression = part[1] if part else pattern
        try:
            regex = re.compile(expression[1:] if pattern.startswith("~") else fnmatch.translate(expression))
        except re.error as error:
            raise SiteError(f"--hosts={pattern}: not a host pattern ({error})") from error
        # Documented, though Ansible's code has `a*` match `all` and so every host.
        groups = [name for name in self._groups if name == expression or (name not in _SPECIAL and regex.match(name))]
        found = list(dict.fromkeys(host for name in groups for host in self._members[name]))
        if not groups or pattern.startswith("~") or set(expression) & set(".?*["):
            found = list(dict.fromkeys([*found, *filter(regex.match, self._hosts)]))
        found = _part(found, part) if part else found
        if not found:
            near = did_you_mean(expression, [*self._groups, *self._hosts])
            said = "holds no host" if groups else "is no host, group or pattern that matches one"
            raise SiteError(f"--hosts={pattern}: {pattern!r} {said} in {self.path}{'' if groups else near}")
        return found

    def _unique(self, chosen: Iterable[str | Target]) -> Iterator[Target]:
        seen: dict[str, Target] = {}
        for each in chosen:
            target = each if isinstance(each, Target) else self._target(each)
            known = seen.setdefault(target.name, target)
            if known is target:
                yield target
            elif known != target:
                raise SiteError(f"--hosts names {target.name} twice: {known.spec} and {target.spec}")

    # -- targets ----------------------------------------------------------------------------------------

    def _target(self, name: str) -> Target:
        groups = sorted((each for each in self._groups if name in self._members[each]), key=self._rank)
        variables = self._effective(name, groups)
        given, drafts = self._promises(name, groups)
        made = promises.Promises.read(given, drafts)
        promised = _promised(made, groups)
        if made.method == "server" and promised != frozenset({Role.AGENT}):
            raise SiteError(
                f"{made.where('method')}: audit_method: server is for EndPoints, and {name} is no mere agent"
            )
        key_file, _ = _said(variables, "ansible_private_key_file", "ansible_ssh_private_key_file")
        return Target(
            name=name,
            backend=_backend(variables),
            address=_word(variables, "ansible_host", "ansible_ssh_host") or _safe(name, str(self.path)),
            user=_word(variables, "ansible_user", "ansible_ssh_user") or None,
            port=_converted(promises.PORT, variables, "ansible_port", "ansible_ssh_port"),
            identity_file=str(Path(key_file).expanduser()) if key_file else None,
            shell=Shell.POWERSHELL if _word(variables, "ansible_shell_type") in _OF_WINDOWS else Shell.POSIX,
            become=_converted(promises.YES_NO, variables, "ansible_become") is not False,
            promised=promised,
            promises=made,
            groups=frozenset(groups).difference(_SPECIAL),
        )

    def _effective(self, name: str, groups: list[str]) -> Variables:
        """The host's variables by Ansible's precedence; ``groups`` from the weakest to the strongest."""
        return {key: value for layer in self._layers(name, groups) for key, value in layer.items()}

    def _layers(self, name: str, groups: list[str]) -> Iterator[Variables]:
        yield from (self._groups[group].vars for group in groups)
        yield self._hosts[name]

    def _promises(self, name: str, groups: list[str]) -> tuple[dict[str, tuple[Plain, str]], dict[str, str]]:
        """What is promised of the host, and the drafts that nobody has approved where nothing else is promised."""
        given: dict[str, tuple[Plain, str]] = {}
        drafts: dict[str, str] = {}
        for layer in self._layers(name, groups):
            for key, value in layer.items():
                if not key.startswith(promises.PREFIX):
                    continue
                promise = key.removeprefix(promises.PREFIX)
                if promises.is_draft(value):
                    drafts[promise] = value.where
                else:
                    given[promise] = promises.written(key, value), value.where
        return given, {promise: where for promise, where in drafts.items() if promise not in given}

    def _rank(self, name: str) -> tuple[int, int, str]:
        group = self._groups[name]
        priority = _converted(promises.number(0, 10**6), group.vars, "ansible_group_priority")
        return group.depth, 1 if priority is None else priority, name


def load(path: Path | None) -> Inventory:
    """The inventory in a file or directory; None: only raw hosts. Raises SiteError when it cannot be read.

    Static YAML is read here. Whatever else Ansible reads, and YAML with group_vars or host_vars beside it, is
    asked of ``ansible-inventory``.
    """
    if path is None:
        return Inventory()
    try:
        path.stat()
    except OSError as error:
        raise SiteError(f"{path}: {error.strerror}") from error
    if not _is_static(path):
        return Inventory(path, _through_ansible(path))
    value = read_yaml(path)
    content = value.mapping("the inventory")
    if not content:
        raise SiteError(f"{value.where}: the inventory is empty")
    if "plugin" in content:
        return Inventory(path, _through_ansible(path))
    return Inventory(path, content)


def raw_target(spec: str, name: str = "") -> Target:
    """The machine of a testinfra host specification; ``name`` overrides how it is called.

    Raises SiteError when it is none, or when it holds a password, which a report would then show.
    """
    before, mark, after = spec.partition("://")
    scheme, rest = (before, after) if mark else ("paramiko", spec)
    place, _, query = rest.partition("?") if mark else (rest, "", "")
    if scheme != "replay" and ":" in place.rpartition("@")[0]:
        raise SiteError("--hosts: a password before the @ would end in reports and process lists; use keys")
    if scheme not in _SCHEMES:
        raise SiteError(f"--hosts={spec}: {scheme} is no connection{did_you_mean(scheme, (*_SCHEMES, 'pandora'))}")
    over_ssh = scheme in ("paramiko", "ssh", "safe-ssh")
    user, address, port = _endpoint(spec, place) if over_ssh else (None, place, None)
    if not address and scheme != "local":
        raise SiteError(f"--hosts={spec}: it names no machine")
    identity = urllib.parse.parse_qs(query).get("ssh_identity_file")
    called = {"paramiko": place, "local": "local"}.get(scheme, f"{scheme}://{place}")
    return Target(
        name=name or called,
        backend=scheme,
        address=address or "localhost",
        user=user,
        port=port,
        identity_file=str(Path(identity[0]).expanduser()) if identity else None,
        spec=spec,
    )


def _endpoint(spec: str, place: str) -> tuple[str | None, str, int | None]:
    found = _ENDPOINT.fullmatch(place)
    if not found:
        hint = "an IPv6 address takes brackets; groups and patterns need --inventory"
        raise SiteError(f"--hosts={spec}: not [user@]host[:port] or SCHEME://…; {hint}")
    user, v6, host, port = found.groups()
    where = f"--hosts={spec}"
    number = _converted(promises.PORT, {"port": Value(port, where)}, "port")
    address = v6 or _safe(urllib.parse.unquote(host), where)
    return user and _safe(urllib.parse.unquote(user), where), address, number


def _checked(variables: Variables) -> Variables:
    """The same variables, once every promise among them is known and well written."""
    for key, value in variables.items():
        if key.startswith(promises.PREFIX):
            promises.read(key.removeprefix(promises.PREFIX), promises.written(key, value), value.where)
    return variables


def _promised(made: promises.Promises, groups: Iterable[str]) -> frozenset[Role] | None:
    """The roles that are promised; None, to be detected, while a draft of them waits to be approved."""
    if made.roles is not None:
        return frozenset(map(Role, made.roles))
    if "roles" in dict(made.unapproved):
        return None
    return frozenset(ROLE_GROUPS[each] for each in groups if each in ROLE_GROUPS)


def _part(hosts: list[str], subscript: re.Match[str]) -> list[str]:
    """``group[0]``, ``group[-1]``, ``group[1:3]`` (both included), ``group[1:]``."""
    one, first, last = subscript[2], subscript[3], subscript[4]
    if one is None:
        return hosts[int(first) : int(last) + 1 if last else None]
    return [hosts[int(one)]] if -len(hosts) <= int(one) < len(hosts) else []


def _expanded(pattern: str, where: str) -> list[str]:
    """The host names of a pattern with ranges such as ``db[01:03]-[a:c]``."""
    try:
        names = list(itertools.islice(expand(pattern), _MOST_HOSTS_IN_A_RANGE + 1))
    except ValueError as error:
        raise SiteError(f"{where}: host {pattern}: {error}") from error
    if len(names) > _MOST_HOSTS_IN_A_RANGE:
        raise SiteError(f"{where}: host {pattern}: more than {_MOST_HOSTS_IN_A_RANGE} hosts")
    return names


def expand(pattern: str) -> Iterator[str]:
    """The names of a pattern, the leftmost range turning slowest. Raises ValueError for a bad range."""
    head, opened, rest = pattern.partition("[")
    if not opened:
        yield pattern
        return
    inside, _, tail = rest.partition("]")
    for word in _steps(inside):
        yield from (head + word + end for end in expand(tail))


def _steps(inside: str) -> Iterable[str]:
    found = _RANGE.fullmatch(inside)
    if not found:
        raise ValueError(f"[{inside}] is no range; write [first:last] or [first:last:step]")
    low, high, by, first, last, letters_by = found.groups()
    step = int(by or letters_by or 1)
    if first:
        letters = string.ascii_letters
        steps: Iterable[str] = letters[letters.index(first) : letters.index(last) + 1][:: step or 1]
    else:
        low = low or "0"
        width = len(low) if low[0] == "0" else 0
        if width > 1 and len(high) != width:
            raise ValueError(f"[{inside}]: after leading zeros, both numbers have the same width")
        steps = (str(number).zfill(width) for number in range(int(low), int(high) + 1, step or 1))
    if not step or (int(low) > int(high) if low else not steps):
        raise ValueError(f"[{inside}] holds nothing")
    return steps


def _said(variables: Variables, *names: str) -> tuple[str, str]:
    """The text and place of the last of these variables that says something; empty when none does."""
    for name in reversed(names):
        if name in variables and variables[name].data is not None:
            return variables[name].text(name), variables[name].where
    return "", ""


def _word(variables: Variables, *names: str) -> str:
    return _safe(*_said(variables, *names))


def _safe(word: str, where: str) -> str:
    """The word, unless a program that gets it as an argument would read an option or several words."""
    if word.startswith("-") or re.search(r"[\s\0]", word):
        raise SiteError(f"{where}: {word!r} is neither a host nor a user")
    return word


def _converted(kind: promises.Kind[promises.T], variables: Variables, *names: str) -> promises.T | None:
    text, where = _said(variables, *names)
    try:
        return kind.read(text) if text else None
    except ValueError as error:
        raise SiteError(f"{where}: {names[0]} is {text!r}; it takes {error}") from error


def _backend(variables: Variables) -> str:
    text, where = _said(variables, "ansible_connection")
    connection = text.removeprefix("ansible.builtin.")
    if connection not in _CONNECTIONS:
        raise SiteError(f"{where}: ansible_connection is {text!r}; this audit knows ssh, paramiko and local")
    return _CONNECTIONS[connection]


def _is_static(path: Path) -> bool:
    """Whether the path is one static file, with no variables beside it."""
    if path.is_dir() or path.suffix not in (".yml", ".yaml", ".json"):
        return False
    if any((path.parent / folder).is_dir() for folder in ("group_vars", "host_vars")):
        return False
    return not (os.access(path, os.X_OK) and read_bytes(path).startswith(b"#!"))


def _through_ansible(path: Path) -> Variables:
    """What ``ansible-inventory --list`` makes of the path, in the shape of static YAML."""
    if not (program := shutil.which("ansible-inventory")):
        raise SiteError(f"{path}: ansible-inventory must read this, and is not installed; or {_INSTEAD}")
    try:
        listing = json.loads(_output([program, "-i", str(path.absolute()), "--list"], path))
        return _as_static(listing, f"{path} (ansible-inventory)")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise SiteError(f"{path}: ansible-inventory printed something else than an inventory") from error


def _output(argv: list[str], path: Path) -> bytes:
    env = os.environ | {"ANSIBLE_INVENTORY_UNPARSED_FAILED": "true", "ANSIBLE_NOCOLOR": "true"}
    # Its own session: an inventory script that hangs would outlive ansible-inventory and hold the pipes.
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=_ANSIBLE_SECONDS)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise SiteError(f"{path}: ansible-inventory did not end within {_ANSIBLE_SECONDS} s") from error
    if process.returncode:
        said = err.decode("utf-8", "replace").strip().splitlines() or ["without a word"]
        raise SiteError(f"{path}: ansible-inventory failed: {said[-1][:300]}")
    return out


def _as_static(listing: Any, where: str) -> Variables:
    """``{group: {hosts: [name], children: [name]}, _meta: {hostvars: {name: …}}}`` as static groups."""
    hostvars = listing.pop("_meta")["hostvars"]
    groups = {
        name: {
            "hosts": {host: hostvars.get(host) for host in body.get("hosts", ())},
            "children": dict.fromkeys(body.get("children", ())),
        }
        for name, body in listing.items()
    }
    return _from_json(groups, where).mapping("the listing")


def _from_json(data: object, where: str) -> Value:
    if isinstance(data, Mapping):
        return Value({str(key): _from_json(value, where) for key, value in data.items()}, where)
    if isinstance(data, list):
        return Value([_from_json(each, where) for each in data], where)
    return Value(None if data is None else str(data), where)
