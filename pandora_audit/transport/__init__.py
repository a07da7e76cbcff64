"""The way into machines and back: carries a script, and knows nothing of what it asks.

Host keys are verified on every way that has them, whatever StrictHostKeyChecking the ssh configuration says.
"""

from __future__ import annotations

from pandora_audit.target import Target
from pandora_audit.transport.base import Connection, Options, Output, SocketLike, ask_on_terminal
from pandora_audit.transport.foreign import ForeignConnection
from pandora_audit.transport.local import LocalConnection
from pandora_audit.transport.openssh import OpenSSH
from pandora_audit.transport.paramiko_ssh import ClientNeededError, Paramiko
from pandora_audit.transport.ssh_config import Config

__all__ = ["Connection", "Network", "Options", "Output", "SocketLike", "ask_on_terminal"]


class Network:
    """All connections of a run, and what they share: keys, known hosts, jump hosts, the ssh configuration.

    Its methods may be called from many threads.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._config = Config(options)
        self._paramiko = Paramiko(options, self._config)
        self._openssh = OpenSSH(options, self._config)

    def connect(self, target: Target) -> Connection:
        """Enter a machine. Raises NotObserved with a sentence that says why not."""
        if target.backend == "local":
            return LocalConnection(self._options.machine_seconds)
        if target.backend not in ("paramiko", "ssh"):
            return ForeignConnection(target.spec, self._options.machine_seconds)
        route = self._config.way(target.address, target.user, target.port, target.identity_file)
        if target.backend == "paramiko":
            try:
                return self._paramiko.connect(route)
            except ClientNeededError:
                pass  # the same machine by the same way, with the same strictness
        return self._openssh.connect(route)

    def close(self) -> None:
        """End what connections shared. Those connections themselves are closed by who opened them."""
        self._paramiko.close()
        self._openssh.close()
