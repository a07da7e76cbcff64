"""What a site promises of its hosts: ``audit_*`` variables, declared once with type, default and meaning."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from pandora_audit.baseline import Baseline
from pandora_audit.sitefile import OneLine, Plain, SiteError, Value, did_you_mean
from pandora_audit.verdict import ToDecide

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

T = TypeVar("T")

PREFIX = "audit_"


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A type of promise: how the table calls it, and how it is read (a ValueError says what it is not)."""

    name: str
    read: Callable[[Plain], T]


def number(low: int, high: int) -> Kind[int]:
    """A whole number, both ends included."""

    def read(value: Plain) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) and low <= int(value) <= high:
            return int(value)
        raise ValueError(f"a whole number from {low} to {high}")

    return Kind(f"{low} to {high}", read)


def matching(name: str, pattern: str) -> Kind[str]:
    """A text of one shape; ``name`` says which."""

    def read(value: Plain) -> str:
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return value
        raise ValueError(name)

    return Kind(name, read)


def choice(*words: str) -> Kind[str]:
    """One of a few words."""
    return matching(" or ".join(words), "|".join(map(re.escape, words)))


def listed(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """A YAML list of a kind. One text is refused: half of the time its author meant several."""

    def read(value: Plain) -> tuple[T, ...]:
        if isinstance(value, str):
            raise ValueError(f"a list: write [{value}] if it is the only one")
        return tuple(kind.read(each) for each in value)

    return Kind(f"list of {kind.name}", read)


def _yes_or_no(value: Plain) -> bool:
    word = value.lower() if isinstance(value, str) else ""
    if word in ("yes", "true", "on"):
        return True
    if word in ("no", "false", "off"):
        return False
    raise ValueError("yes or no")


def _baseline(value: Plain) -> Baseline:
    """A path, to be read beside the inventory; or, in a record, the lines of the file themselves."""
    if isinstance(value, str) and value.strip():
        return Baseline("baseline", value) if "\n" in value else Baseline(value)
    raise ValueError("a path")


PORT = number(1, 65535)
YES_NO = Kind("yes or no", _yes_or_no)
TEXT = matching("text", r"(?s).*\S.*")
NAME = matching("letters, digits, dot, dash and underscore", r"[A-Za-z0-9][A-Za-z0-9._-]*")
PATH = matching("absolute path", r"/[^\0\n]*")
USER = matching("user name", r"[A-Za-z0-9_.][A-Za-z0-9_.@\\-]*\$?")
SUDOER = matching("user, or %group", r"%?[A-Za-z0-9_.][A-Za-z0-9_.@\\ -]*\$?")
SERVICE = matching(
    "tcp/PORT, udp/PORT or tcp/FIRST-LAST, and a unit if it must be that one",
    r"(tcp|udp)/[0-9]{1,5}(-[0-9]{1,5})?( [A-Za-z0-9:_.@\\-]+)?",
)
BASELINE = Kind("file, or folder of HOST.yml", _baseline)
_URL_PORT = "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
URL = matching("https://… URL", rf"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]){_URL_PORT}(/[^\s]*)?")
ENDPOINT = matching("ADDRESS or ADDRESS:PORT", rf"([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]){_URL_PORT}")
ROLE = choice("server", "tentacle", "console", "database", "agent")
EXPORT = matching("SERVER:/PATH", r"[^\s/]+:/[^\s]*")
FINGERPRINT = matching("SHA256:… fingerprint", r"SHA256:[A-Za-z0-9+/]{43}")


DRAFTED = ("value", "seen-on", "approved-by")
"""A promise that a machine has drafted: what it says, where and when that was seen, and who has approved it."""


def drafted(value: Plain, seen_on: str) -> OneLine:
    """The line of an inventory that proposes a promise. It promises nothing before somebody has approved it."""
    plain = value if isinstance(value, str) else list(value)
    return OneLine(zip(DRAFTED, (plain, seen_on, ""), strict=True))


def is_draft(value: Value) -> bool:
    """Whether a line was drafted and nobody has approved it yet."""
    return isinstance(value.data, dict) and not value.data["approved-by"].person("approved-by")


def written(key: str, value: Value) -> Plain:
    """What a line says, drafted or not. Raises SiteError for anything else than a text, a list or a drafted line."""
    if not isinstance(value.data, dict):
        return value.plain(key)
    pairs = value.data
    if unknown := [each for each in pairs if each not in DRAFTED]:
        raise SiteError(f"{value.where}: {key} has no {unknown[0]}{did_you_mean(unknown[0], DRAFTED)}")
    if missing := [each for each in DRAFTED if each not in pairs]:
        raise SiteError(f"{value.where}: this {key} lacks {', '.join(missing)}")
    pairs["approved-by"].person("approved-by")
    return pairs["value"].plain(key)


def _says(kind: Kind[Any], meaning: str) -> dict[str, object]:
    return {"kind": kind, "meaning": meaning}


@dataclass(frozen=True, kw_only=True)
class Promises:
    """The promises made of one host. ``Promises()`` promises nothing: every field has its default.

    Each field below ``where_given`` is a promise; an inventory writes it with the prefix ``audit_``.
    """

    where_given: tuple[tuple[str, str], ...] = field(default=(), repr=False, compare=False)
    unapproved: tuple[tuple[str, str], ...] = field(default=(), repr=False, compare=False)
    """The drafted promises that count for nothing yet, and where they stand."""
    ssh_port: int | None = field(
        default=None,
        metadata=_says(PORT, "sshd listens on this port and on no other (the guide's example: 31122)"),
    )
    jump_host: bool = field(
        default=False, metadata=_says(YES_NO, "this host forwards TCP connections for others by design")
    )
    user_keys: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(listed(FINGERPRINT), "the keys that may log in (`ssh-keygen -lf`); `[]`: none"),
    )
    directory: str | None = field(
        default=None,
        metadata=_says(TEXT, "the identity service that limits who may log in and become root (sssd, ad, ipa, …)"),
    )
    named_users: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(listed(USER), "the interactive accounts, each of them one person's; `[]`: nobody logs in"),
    )
    automation_accounts: tuple[str, ...] = field(
        default=(),
        metadata=_says(listed(USER), "accounts of programs that log in: backups, orchestration, this audit"),
    )
    service_accounts: tuple[str, ...] = field(
        default=(),
        metadata=_says(listed(USER), "accounts of applications besides those of Pandora FMS; nobody logs in as one"),
    )
    sudoers: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(listed(SUDOER), "who may become root through sudo: users, and %groups"),
    )
    account: str | None = field(
        default=None,
        metadata=_says(USER, "this audit's own account (by default the one that it enters by)"),
    )
    crack: str | None = field(
        default=None,
        metadata=_says(PATH, "a word list on the auditor's machine; passwords in it are weak too"),
    )
    patch_days: int = field(
        default=30,
        metadata=_says(number(0, 365), "days that a security update may wait"),
    )
    restart_days: int = field(
        default=7,
        metadata=_says(number(0, 365), "days that patched software may go on running unpatched"),
    )
    patching: int = field(
        default=35,
        metadata=_says(number(1, 365), "days within which packages are upgraded, whoever drives it"),
    )
    logs_to: tuple[str, ...] = field(
        default=(),
        metadata=_says(listed(TEXT), "the machines that logs are copied to"),
    )
    services: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(listed(SERVICE), "ports open by design besides those that Pandora FMS documents; `[]`: none"),
    )
    firewall: Literal["host", "network"] = field(
        default="host",
        metadata=_says(
            choice("host", "network"), "`network`: the network before this machine filters, as an attestation says"
        ),
    )
    clock_offset: int = field(
        default=1000,
        metadata=_says(number(1, 60000), "milliseconds that the clock may be off"),
    )
    baseline: Baseline | None = field(
        default=None,
        metadata=_says(BASELINE, "the accepted baseline of this host, beside the inventory"),
    )
    db_clients: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(
            listed(TEXT), "addresses, networks or names that the database serves; `[]`: only its own machine"
        ),
    )
    db_accounts: tuple[str, ...] = field(
        default=(),
        metadata=_says(listed(USER), "database accounts of Pandora FMS besides those that its files name"),
    )
    db_options: str | None = field(
        default=None,
        metadata=_says(PATH, "the option file, on the host, with which the audit's own account asks the database"),
    )
    ca: str | None = field(
        default=None,
        metadata=_says(
            PATH, "the CA certificates, on the auditor's machine, that the deployment's own certificates chain to"
        ),
    )
    console_url: str | None = field(
        default=None,
        metadata=_says(URL, "where people open the console; the audit looks there, wherever it leads"),
    )
    sensitive: bool | None = field(
        default=None,
        metadata=_says(YES_NO, "`yes`: whoever takes over the centre must not reach this EndPoint through it"),
    )
    unprivileged: bool | None = field(
        default=None,
        metadata=_says(YES_NO, "`yes`: this host's agent runs without superuser; `no`: it needs the superuser"),
    )
    installers: tuple[str, ...] = field(
        default=(),
        metadata=_says(
            listed(PATH),
            "installers for Windows, on the auditor's machine, that this host was installed with or hands out",
        ),
    )
    signing_ca: str | None = field(
        default=None,
        metadata=_says(PATH, "the CA certificates, on the auditor's machine, that signatures of installers chain to"),
    )
    db_schema: str = field(
        default="pandora",
        metadata=_says(NAME, "the schema of Pandora FMS in the database"),
    )
    console_administrators: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(listed(USER), "the console's administrators"),
    )
    all_groups_users: tuple[str, ...] = field(
        default=(),
        metadata=_says(listed(USER), "console users, besides administrators, who see all groups"),
    )
    policy_editors: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(listed(USER), "console users who may change agents and policies; administrators included"),
    )
    uploaders: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(
            listed(USER), "console users who may upload what agents or servers execute; administrators included"
        ),
    )
    break_glass: tuple[str, ...] = field(
        default=(),
        metadata=_says(listed(USER), "console accounts for emergencies, without a second factor"),
    )
    password_length: int = field(
        default=12,
        metadata=_says(number(1, 128), "characters that a console password has at least"),
    )
    password_attempts: int = field(
        default=5,
        metadata=_says(number(1, 100), "failed logins after which the console locks an account"),
    )
    password_lock: int = field(
        default=5,
        metadata=_says(number(1, 100000), "minutes that it stays locked"),
    )
    password_history: int = field(
        default=1,
        metadata=_says(number(1, 100), "former passwords that a new one may not repeat"),
    )
    password_complexity: bool | None = field(
        default=None,
        metadata=_says(YES_NO, "`yes`: a console password needs digits and symbols"),
    )
    password_expiry: int | None = field(
        default=None,
        metadata=_says(number(1, 3650), "days after which a console password ends"),
    )
    session_timeout: int = field(
        default=90,
        metadata=_says(number(1, 100000), "minutes after which an idle console session ends"),
    )
    retention_days: int = field(
        default=365,
        metadata=_says(number(1, 100000), "days that the console's audit records are kept"),
    )
    agent_fields: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(
            listed(TEXT),
            "fields of agents that are filled in: description, address, group, or custom ones by name",
        ),
    )
    agentless: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(
            listed(TEXT), "agents (by alias) of the most sensitive devices, which are watched without agent"
        ),
    )
    sensitive_agents: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(
            listed(TEXT),
            "agents (by alias) that data must not change: `audit_sensitive` for those that are no hosts here",
        ),
    )
    topology: Literal["separate", "together"] | None = field(
        default=None,
        metadata=_says(
            choice("separate", "together"), "whether server, console and database stand on different machines"
        ),
    )
    deployment: str = field(
        default="deployment",
        metadata=_says(NAME, "the installation of Pandora FMS that this host is part of"),
    )
    availability: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(
            listed(ENDPOINT),
            "the addresses, as agents write them, that reach Tentacle whichever of its servers is away: virtual ones,"
            " a balancer's; `[]`: one server is enough",
        ),
    )
    roles: tuple[str, ...] | None = field(
        default=None,
        metadata=_says(listed(ROLE), "the roles of this host, where its groups do not say them; `[]`: none"),
    )
    storage: str | None = field(
        default=None,
        metadata=_says(EXPORT, "the NFS export that holds what agents send and fetch"),
    )
    scope: Literal["role", "estate"] = field(
        default="role",
        metadata=_says(
            choice("role", "estate"),
            "`role`: an EndPoint (an agent and nothing else) is held to the agent controls; `estate`: to all",
        ),
    )
    method: Literal["ssh", "server", "none"] = field(
        default="ssh",
        metadata=_says(
            choice("ssh", "server", "none"),
            "`ssh`: the machine is entered; `server`: an EndPoint is seen from the server only; `none`: not looked at",
        ),
    )

    def given(self, name: str) -> bool:
        """Whether the site made this promise; False when the value is only the default."""
        return name in dict(self.where_given) or getattr(self, name) != KINDS[name].default

    def where(self, name: str) -> str:
        """``file:line`` of the promise; empty when nobody wrote it."""
        return dict(self.where_given).get(name, "")

    def to_record(self) -> dict[str, Json]:
        """The given promises as JSON: ``{name: {"value": …, "where": "file:line"}}``."""
        names = (name for name in KINDS if self.given(name))
        given: dict[str, Json] = {
            name: {"value": _to_json(getattr(self, name)), "where": self.where(name)} for name in names
        }
        return given | {name: {"unapproved": where} for name, where in self.unapproved}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Promises:
        """What ``to_record`` wrote. Raises SiteError when the record holds anything else."""
        try:
            given = {name: each for name, each in record.items() if "unapproved" not in each}
            return cls.read(
                {name: (_from_json(each["value"]), str(each["where"])) for name, each in given.items()},
                {name: str(each["unapproved"]) for name, each in record.items() if name not in given},
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise SiteError(f"record: these are not promises ({error})") from error

    @classmethod
    def agreed(cls, all_of_them: Iterable[Promises], names: Iterable[str]) -> Promises:
        """What the hosts of a deployment promise together. Raises ToDecide where two of them disagree on a name."""
        given: dict[str, Any] = {}
        where: dict[str, str] = {}
        for each in all_of_them:
            for name in (name for name in names if each.given(name)):
                value = getattr(each, name)
                if given.setdefault(name, value) != value:
                    places = f"{where[name] or 'one host'} and {each.where(name) or 'another'}"
                    raise ToDecide(f"{PREFIX}{name} is one value for a deployment, and differs between {places}")
                where.setdefault(name, each.where(name))
        return cls(where_given=tuple(where.items()), **given)

    @classmethod
    def read(cls, written: Mapping[str, tuple[Plain, str]], unapproved: Mapping[str, str] | None = None) -> Promises:
        """Promises from names (without prefix) to (value, where). Raises SiteError on the first bad one."""
        values: dict[str, Any] = {name: read(name, value, where) for name, (value, where) in written.items()}
        where_given = tuple((name, where) for name, (_, where) in written.items())
        return cls(where_given=where_given, unapproved=tuple((unapproved or {}).items()), **values)


KINDS = {each.name: each for each in dataclasses.fields(Promises) if each.metadata}
"""The declared promises by name, in the order of the table."""


def read(name: str, value: Plain, where: str) -> object:
    """The value of the promise ``name``. Raises SiteError when there is no such promise or no such value."""
    if name not in KINDS:
        raise SiteError(f"{where}: {PREFIX}{name} is not a promise{did_you_mean(name, KINDS, PREFIX)}")
    kind: Kind[object] = KINDS[name].metadata["kind"]
    try:
        return kind.read(value)
    except ValueError as error:
        shown = value if isinstance(value, str) else f"[{', '.join(value)}]"
        raise SiteError(f"{where}: {PREFIX}{name} is {shown!r}; it takes {error}") from error


def _to_json(value: object) -> Json:
    if isinstance(value, tuple):
        return [_to_json(each) for each in value]
    return value if isinstance(value, bool | int | str) else str(value)


def _from_json(value: object) -> Plain:
    if isinstance(value, list):
        return tuple(str(each) for each in value)
    return str(value)


def table() -> str:
    """The promises as a Markdown table, for inventories/README.md."""
    rows = ["| Variable | Value | Default | Meaning |", "|---|---|---|---|"]
    for name, each in KINDS.items():
        kind, meaning = each.metadata["kind"], each.metadata["meaning"]
        rows.append(f"| `{PREFIX}{name}` | {kind.name} | {_shown(each.default)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _shown(default: object) -> str:
    words = {None: "nobody promised", True: "yes", False: "no"}
    return words[default] if default is None or isinstance(default, bool) else f"`{default}`"
