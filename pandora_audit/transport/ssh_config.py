"""The way to a machine, as the user's ssh configuration describes it and ``ssh -G`` resolves it."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pandora_audit.question import NotObserved
from pandora_audit.transport.base import Options, printable

CLIENT_SECONDS = 10.0
"""``Match exec`` and canonical host names make the client wait for others."""

_SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
_DEFAULT_KEYS = tuple(f"~/.ssh/id_{kind}" for kind in ("ed25519", "ecdsa", "rsa"))
_NO = ("", "no", "none", "false")

# Keywords that decide who is trusted, or how to log in, in ways that only the OpenSSH client knows.
_CLIENT_ONLY = ("revokedhostkeys", "pkcs11provider", "knownhostscommand")
# Ways to log in that a user may count on, by the server's name for them; told when they would have helped.
_OTHER_LOGINS = {"gssapi-with-mic": "gssapiauthentication", "hostbased": "hostbasedauthentication"}
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


@dataclass(frozen=True, kw_only=True)
class Route:
    """How one host is reached and who we are there.

    Args:
        host: the name that was asked for; hostname: what it resolves to in the configuration.
        identities: private key files in order, as absolute paths; some may not exist.
        agent: the agent's socket; None for no agent.
        jump: the chain of jump hosts, first to last, each as ``[user@]host[:port]``.
        alias: the name to look up in known_hosts instead of the host's.
        argv: the arguments for the OpenSSH client that describe the same way.
        client_only: a configured keyword for which the connection must be left to the OpenSSH client.
        other_logins: configured ways to log in that only the client knows, by the server's names.
    """

    host: str
    hostname: str
    port: int
    user: str
    identities: tuple[Path, ...]
    certificates: tuple[Path, ...] = ()
    identities_only: bool = False
    agent: str | None = None
    jump: tuple[str, ...] = ()
    proxy_command: str = ""
    alias: str = ""
    user_known_hosts: tuple[Path, ...] = ()
    global_known_hosts: tuple[Path, ...] = ()
    connect_seconds: float = 10
    family: int = socket.AF_UNSPEC
    bind_address: str = ""
    interactive: bool = True
    argv: tuple[str, ...] = ()
    client_only: str = ""
    other_logins: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which known_hosts may hold its key; the first is the one to write."""
        if self.alias:
            return (self.alias,)
        plain = self.hostname.lower()
        return (plain,) if self.port == 22 else (f"[{plain}]:{self.port}", plain)

    @property
    def shown(self) -> str:
        return self.host if self.port == 22 else f"{self.host} port {self.port}"


def client() -> str | None:
    """The path of the OpenSSH client, where there is one."""
    return shutil.which("ssh")


def _hop(text: str) -> tuple[str, str | None, int | None]:
    """Host, user and port of one jump host. Raises NotObserved when it is written in no known way."""
    found = re.fullmatch(r"(?:ssh://)?(?:(.+)@)?(?:\[([^]]+)\]|([^:]+))(?::(\d+))?/?", text)
    if not found:
        raise NotObserved(f"the jump host {text!r} is not written as [user@]host[:port]")
    user, bracketed, plain, port = found.groups()
    return bracketed or plain, user, int(port) if port else None


class Config:
    """The ssh configuration of a run. Asks the client once per distinct host, user, port and key."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._routes: dict[tuple[str, str | None, int | None, str | None], Route] = {}

    def route(self, host: str, user: str | None = None, port: int | None = None, key: str | None = None) -> Route:
        """The way to a host. Raises NotObserved when the configuration cannot be read or not be followed."""
        asked = (host, user, port, key)
        if asked not in self._routes:
            argv = self._argv(user, port, self._named_keys(key))
            said = _ask_client(host, argv) if client() else self._without_client(*asked)
            self._routes[asked] = replace(_read(host, said, self._options), argv=argv)
        return self._routes[asked]

    def way(self, host: str, user: str | None = None, port: int | None = None, key: str | None = None) -> Route:
        """The way to a host whose jump hosts are known to lead there.

        Raises NotObserved also for a circle of jump hosts, in which two threads would wait for each other.
        """
        route = step = self.route(host, user, port, key)
        passed: list[tuple[str, ...]] = []
        while step.jump:
            if step.jump in passed:
                raise NotObserved(f"the jump hosts of {host} lead in a circle: {' '.join(step.jump)}")
            passed.append(step.jump)
            step = self.hop(step.jump)
        return route

    def hop(self, chain: tuple[str, ...]) -> Route:
        """The way to the last host of a chain of jump hosts, by those before it where there are any."""
        route = self.route(*_hop(chain[-1]))
        return replace(route, jump=chain[:-1], proxy_command="") if chain[:-1] else route

    def _named_keys(self, key: str | None) -> list[str]:
        named = [key] if key else []
        named += [str(self._options.identity_file)] if self._options.identity_file else []
        for name in named:
            if not Path(name).expanduser().exists():
                raise NotObserved(f"the private key {name} does not exist")
        return [str(Path(name).expanduser().absolute()) for name in named]

    def _argv(self, user: str | None, port: int | None, keys: list[str]) -> tuple[str, ...]:
        argv = ["-F", str(self._options.ssh_config)] if self._options.ssh_config else []
        argv += ["-p", str(port)] if port else []
        argv += ["-l", user] if user else []
        for name in keys:  # as an option, because the client replaces a missing -i by its defaults
            argv += ["-o", 'IdentityFile="{}"'.format(name.replace("%", "%%"))]
        return tuple(argv)

    def _without_client(
        self, host: str, user: str | None, port: int | None, key: str | None
    ) -> Mapping[str, list[str]]:
        for file in (self._options.ssh_config, Path("~/.ssh/config").expanduser(), _SYSTEM_CONFIG):
            if file and file.exists():
                raise NotObserved(f"an OpenSSH client is needed to read {file}")
        return {
            "hostname": [host],
            "port": [str(port or 22)],
            "user": [user or getpass.getuser()],
            "identityfile": self._named_keys(key) or list(_DEFAULT_KEYS),
            "userknownhostsfile": ["~/.ssh/known_hosts"],
            "globalknownhostsfile": ["/etc/ssh/ssh_known_hosts"],
        }


def _ask_client(host: str, argv: tuple[str, ...]) -> Mapping[str, list[str]]:
    try:
        done = subprocess.run(
            ["ssh", "-G", *argv, "--", host],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=CLIENT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NotObserved(f"`ssh -G {host}` had no answer within {CLIENT_SECONDS:g} s") from None
    if done.returncode:
        why = printable(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
        raise NotObserved(f"the ssh configuration cannot be followed for {host}: {why}")
    return _keywords(done.stdout.decode(errors="surrogateescape"))


def _keywords(text: str) -> Mapping[str, list[str]]:
    """Keyword to values, in the order of the lines of ``ssh -G``."""
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        said.setdefault(keyword.lower(), []).append(value)
    return said


def _expand(text: str, tokens: Mapping[str, str]) -> str:
    """Percent tokens and ``${NAME}``, as the client expands them. Raises NotObserved for an unknown one."""

    def one(found: re.Match[str]) -> str:
        token, variable = found.groups()
        value = os.environ.get(variable) if variable else tokens.get(token)
        if value is None:
            raise NotObserved(f"the ssh configuration says {text!r}, and {found.group()} has no value here")
        return value

    return re.sub(r"%(.)|\$\{(\w+)\}", one, text)


def _read(host: str, said: Mapping[str, list[str]], options: Options) -> Route:
    def one(keyword: str) -> str:
        value = said.get(keyword, [""])[0]
        return "" if value.lower() in _NO else value

    hostname, port, user = said["hostname"][0], int(said["port"][0]), said["user"][0]
    alias = one("hostkeyalias")
    tokens = {"h": hostname, "n": host, "p": str(port), "r": user, "k": alias or host, "%": "%"}
    tokens |= {"d": str(Path("~").expanduser()), "u": getpass.getuser(), "i": str(os.getuid())}
    tokens |= {"l": socket.gethostname(), "L": socket.gethostname().partition(".")[0], "j": one("proxyjump")}

    def paths(values: list[str]) -> tuple[Path, ...]:
        return tuple(Path(_expand(text, tokens)).expanduser() for text in values if text.lower() not in _NO)

    proxy = one("proxycommand")
    seconds = one("connecttimeout")
    known = said.get("userknownhostsfile", [""])[0].split()
    return Route(
        host=host,
        hostname=hostname,
        port=port,
        user=user,
        identities=paths(said.get("identityfile", [])),
        certificates=paths(said.get("certificatefile", [])),
        identities_only=bool(one("identitiesonly")),
        agent=_agent(said.get("identityagent", ["SSH_AUTH_SOCK"])[0], tokens),
        jump=tuple(one("proxyjump").replace(" ", "").split(",")) if one("proxyjump") else (),
        proxy_command=_expand(proxy, tokens) if proxy else "",
        alias=alias,
        user_known_hosts=(options.known_hosts.expanduser(),) if options.known_hosts else paths(known),
        global_known_hosts=paths(said.get("globalknownhostsfile", [""])[0].split()),
        connect_seconds=float(seconds) if seconds.isdigit() else options.connect_seconds,
        family=_FAMILIES.get(one("addressfamily"), socket.AF_UNSPEC),
        bind_address=one("bindaddress"),
        interactive="no" not in said.get("kbdinteractiveauthentication", []) and not one("batchmode"),
        client_only=next((keyword for keyword in _CLIENT_ONLY if one(keyword)), ""),
        other_logins=tuple(name for name, keyword in _OTHER_LOGINS.items() if one(keyword)),
    )


def _agent(said: str, tokens: Mapping[str, str]) -> str | None:
    """The agent's socket: a path, a variable's name, or the one that SSH_AUTH_SOCK names."""
    if said.lower() == "none":
        return None
    if said.startswith("$") and not said.startswith("${"):
        return os.environ.get(said[1:])
    if said == "SSH_AUTH_SOCK":
        return os.environ.get(said)
    return str(Path(_expand(said, tokens)).expanduser())
