"""The OpenSSH client as the way into a machine, for what only it knows; one master connection per machine."""

from __future__ import annotations

import math
import re
import shlex
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pandora_audit.question import NotObserved, Wire
from pandora_audit.transport.base import Options, Output, SocketLike, printable
from pandora_audit.transport.carrier import tcp
from pandora_audit.transport.local import hear
from pandora_audit.transport.ssh_config import Config, Route, client

_SAFE = (
    "BatchMode=yes",
    "UpdateHostKeys=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ControlPersist=no",
)

# What the client's log says, and what we make of it.
_SENTENCES = (
    (r"REVOKED HOST KEY|revoked by file", "the host key of {host} ({key}) is marked as revoked; no command was sent"),
    (
        r"(?s)HOST IDENTIFICATION HAS CHANGED.*?Offending \S+ key in (\S+)",
        "the host key of {host} has CHANGED: it shows {key}, while {0} holds another. Somebody may be in "
        "between: verify it out of band before you replace the line; no command was sent",
    ),
    (
        r"host key is known for|Host key verification failed|[Cc]ertificate",
        "the host key of {host} is not known: it shows {key}. Compare this with the fingerprint on the "
        "machine's own console, then add it to known_hosts; no command was sent",
    ),
    (r"Permission denied \((.*?)\)", "{host} refused the login as {user}; it still wants: {0}"),
    (r"Could not resolve hostname (.*)", "the name cannot be resolved: {0}"),
    (r"onnect(?:ion)? to .*? port \d+: (Connection \w+.*)", "no connection to {host}: {0}"),
)


@dataclass
class _Master:
    """A client that holds the connection, in a directory of its own: its log and its control socket."""

    process: subprocess.Popen[bytes]
    directory: Path

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    @property
    def ready(self) -> bool:
        return (self.directory / "s").exists()

    def ended(self, seconds: float) -> bool:
        """Whether it ends by itself within this time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """The client tidies its socket away when asked to end."""
        self.process.terminate()
        if not self.ended(3):
            self.process.kill()
            self.process.wait()


class OpenSSH:
    """All connections of a run that go by the OpenSSH client."""

    def __init__(self, options: Options, config: Config) -> None:
        self._options = options
        self._config = config
        self._lock = threading.Lock()
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def connect(self, route: Route) -> OpenSSHConnection:
        """Enter a machine. Raises NotObserved."""
        if not client():
            raise NotObserved("this way in needs an OpenSSH client on the auditor's machine, and there is none")
        argv = [*self._argv(route), *self._proxy(route)]
        master = self._master(argv, route.host)
        seconds = route.connect_seconds + self._options.login_seconds
        until = time.monotonic() + seconds
        try:
            while not master.ready:
                if master.process.poll() is not None:
                    raise NotObserved(_sentence(master.log, route))
                if time.monotonic() > until:
                    raise NotObserved(f"{route.shown} had no end of the login within {seconds:g} s")
                time.sleep(0.01)
        except NotObserved:
            master.end()
            raise
        return OpenSSHConnection(argv, master, route, self._options.machine_seconds)

    def close(self) -> None:
        with self._lock:
            if self._directory:
                self._directory.cleanup()
            self._directory = None

    def _argv(self, route: Route) -> list[str]:
        """The client with our strictness first: for the client, the first value of an option is the one."""
        strict = "accept-new" if self._options.accept_new_host_keys else "yes"
        settings = [*_SAFE, f"StrictHostKeyChecking={strict}"]
        settings.append(f"ConnectTimeout={math.ceil(route.connect_seconds)}")
        if self._options.known_hosts:
            path = str(self._options.known_hosts).replace("%", "%%")
            settings.append(f'UserKnownHostsFile="{path}"')
        return ["ssh", "-T", *(word for setting in settings for word in ("-o", setting)), *route.argv]

    def _proxy(self, route: Route) -> list[str]:
        """Jump hosts entered as strictly; the client's own ProxyJump would forget our options on the way."""
        if not route.jump:
            return []
        last = self._config.hop(route.jump)
        through = [*self._argv(last), *self._proxy(last), "-W", f"[{route.hostname}]:{route.port}"]
        return ["-o", "ProxyCommand=" + shlex.join([*through, "--", last.host]).replace("%", "%%")]

    def _master(self, argv: list[str], host: str) -> _Master:
        with self._lock:
            if not self._directory:
                self._directory = tempfile.TemporaryDirectory(prefix="pa-")  # 0700, and short for a socket
            own = Path(tempfile.mkdtemp(dir=self._directory.name))
        (own / "log").touch()
        with (own / "stderr").open("wb") as said:
            process = subprocess.Popen(
                [
                    *argv,
                    "-N",
                    "-M",
                    "-S",
                    str(own / "s"),
                    "-E",
                    str(own / "log"),
                    "-o",
                    "LogLevel=DEBUG1",
                    "--",
                    host,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
        return _Master(process, own)


class OpenSSHConnection:
    """A machine that let the OpenSSH client in."""

    def __init__(self, argv: list[str], master: _Master, route: Route, seconds: float) -> None:
        self._argv = [*argv, "-S", str(master.directory / "s"), "-E", str(master.directory / "errors")]
        self._master = master
        self._route = route
        self._until = time.monotonic() + seconds
        self.wire = _wire(master, route)

    def run(self, command: str, *, stdin: bytes = b"", limit: int = 8 << 20, seconds: float) -> Output:
        """See Connection.run."""
        if self._master.process.poll() is not None:
            raise NotObserved(f"{self._route.shown} was lost: the OpenSSH client has ended")
        errors = self._master.directory / "errors"
        errors.write_text("")
        seconds = min(seconds, max(0.0, self._until - time.monotonic()))
        argv = [*self._argv, "-o", "LogLevel=ERROR", "--", self._route.host, command]
        output = hear(argv, stdin=stdin, limit=limit, seconds=seconds)
        if output.status == 255 and (self._master.ended(0.3) or errors.read_text()):
            why = printable(errors.read_text().strip().rpartition("\n")[2]) or "the client gives no reason"
            raise NotObserved(f"{self._route.shown} was lost before the end of output: {why}")
        return output

    def dial(self, port: int, seconds: float) -> SocketLike:
        """See Connection.dial."""
        if self._route.jump or self._route.proxy_command:
            raise NotObserved("the ssh backend cannot look from the jump host")
        return tcp(self._route, port, seconds)

    def close(self) -> None:
        self._master.end()


def _wire(master: _Master, route: Route) -> Wire:
    log = master.log
    software = re.search(r"remote software version (.*)", log)
    peer = re.search(r"Authenticated to \S+ \(\[(.+?)\]:\d+\)", log)
    # The log goes elsewhere, so that the client's standard error is the banner; proxies write there too.
    banner = (master.directory / "stderr").read_text(errors="backslashreplace")
    return Wire(
        host_key=_host_key(log),
        software=printable(f"SSH-2.0-{software.group(1)}") if software else "",
        banner=None if route.jump or route.proxy_command else banner,
        port=route.port,
        peer=peer.group(1) if peer else route.hostname,
    )


def _host_key(log: str) -> str:
    found = re.search(r"Server host (?:key|certificate): (\S+ SHA256:[^\s,]+)", log)
    return found.group(1) if found else ""


def _sentence(log: str, route: Route) -> str:
    """Why the client gave up, in a sentence."""
    said = "\n".join(line for line in log.splitlines() if not line.startswith("debug"))
    for pattern, sentence in _SENTENCES:
        if found := re.search(pattern, said):
            groups = [printable(group) for group in found.groups()]
            return sentence.format(*groups, host=route.shown, user=route.user, key=_host_key(log) or "none")
    last = printable(said.strip().rpartition("\n")[2])
    return f"the OpenSSH client did not enter {route.shown}: {last or 'it gives no reason'}"
