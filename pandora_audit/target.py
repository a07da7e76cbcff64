"""A machine to audit: where it is, how it is entered, what its site promised of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from pandora_audit.promises import Promises
from pandora_audit.question import Role, Shell

_DECIDED = {
    "server": "is seen from the server only, by decision of the site (audit_method: server)",
    "none": "is not looked at, by decision of the site (audit_method: none)",
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """One machine of the run.

    Args:
        name: how reports call it; unique in a run.
        backend: "paramiko" (default), "ssh" (the OpenSSH client), "local", "replay", or any of testinfra's.
        address: what the backend connects to: a host name, an address, a container, a record's path.
        user, port, identity_file: None leaves them to the ssh configuration.
        shell: the language in which it is asked: PowerShell for what the inventory declares to be Windows.
        become: whether privileged questions may go through sudo.
        promised: the roles an inventory promises; None for a host that no inventory knows (detect them).
        promises: the site's ``audit_*`` variables, by their names without the prefix.
        groups: the inventory groups that hold it.
        spec: the testinfra host specification, where one was given.
        silence: why nobody can ask it; empty for most.
        asks: of what stands for EndPoints that are not yet known: the machine that is asked for them.
    """

    name: str
    address: str
    backend: str = "paramiko"
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    shell: Shell = Shell.POSIX
    become: bool = True
    promised: frozenset[Role] | None = None
    promises: Promises = field(default_factory=Promises)
    groups: frozenset[str] = frozenset()
    spec: str = ""
    silence: str = ""
    asks: Target | None = None

    @property
    def unasked(self) -> str:
        """Why this machine is not entered; empty when it is."""
        return self.silence or _DECIDED.get(self.promises.method, "")

    def with_baseline(self, inventory: Path | None) -> Target:
        """This target with what its baseline says, if it has one. Raises SiteError when that cannot be read."""
        baseline = self.promises.baseline
        if baseline is None or inventory is None:
            return self
        folder = inventory if inventory.is_dir() else inventory.parent
        return replace(self, promises=replace(self.promises, baseline=baseline.read(folder, self.name)))
