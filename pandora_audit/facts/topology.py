"""Which component of Pandora FMS stands on which machine."""

from __future__ import annotations

from functools import cached_property

from pandora_audit.across import Across, Look
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import NotObserved, Role
from pandora_audit.verdict import NotApplicable, ToDecide

_APART = (Role.SERVER, Role.CONSOLE, Role.DATABASE)


class Topology(Across):
    """The machines of a deployment by the roles that they play."""

    @classmethod
    def share(cls, look: Look) -> bool:
        """Nothing but the roles, which every share has."""
        return True

    @cached_property
    def shared_machines(self) -> Offences:
        """The machines on which more than one of server, console and database stands."""
        found = []
        for share in self.every(*_APART):
            if hidden := share.hidden & set(_APART):
                raise NotObserved(f"{share.host}: whether it is a {' or '.join(sorted(hidden))} was not seen")
            mine = [role for role in _APART if role in share.roles]
            if len(mine) > 1:
                found.append(Offence(subject=share.host, text=f"{share.host} is {', '.join(mine)} in one"))
        missing = [role for role in _APART if not any(role in share.roles for share in self.shares)]
        if missing and not found:
            raise NotObserved(f"no machine of this run is the deployment's {' or '.join(missing)}")
        return Offences(found, "server, console and database stand on different machines")

    def together(self, topology: str | None) -> Offences:
        """The same, where the site wants them apart. Raises ToDecide or NotApplicable where it does not say so."""
        if self.shared_machines and topology != "separate":
            if topology is None:
                raise ToDecide(f"{self.shared_machines}: are they to stand apart? (audit_topology)")
            raise NotApplicable("the site says that the components stand together")
        return self.shared_machines
