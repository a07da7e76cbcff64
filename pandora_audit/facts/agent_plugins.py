"""What an agent executes besides its own program: plugins, and what collections brought."""

from __future__ import annotations

from functools import cached_property

from pandora_audit.baseline import Section
from pandora_audit.fact import Fact
from pandora_audit.facts.integrity import differences, digests
from pandora_audit.facts.pandora_agent import FOLDERS
from pandora_audit.offence import Offences
from pandora_audit.question import Ask, Role
from pandora_audit.verdict import NotApplicable

# The server's own plugins are executed by a root daemon, too.
_DIGESTS = Ask(
    key="plugins",
    argv=(
        *("find", "-L", *FOLDERS, "/usr/share/pandora_server/util/plugin", "-maxdepth", "4", "-type", "f"),
        *("-exec", "sha256sum", "{}", "+"),
    ),
    root=True,
    seconds=20,
    limit=1024 * 1024,
    only_if=Role.AGENT,
)


class AgentPlugins(Fact):
    """The plugins of the agent, by digest."""

    role = Role.AGENT
    questions = (_DIGESTS,)
    section = "plugins"

    def proposal(self) -> Section:
        return {name: (text,) for name, text in self._now.items()}

    @cached_property
    def _now(self) -> dict[str, str]:
        return digests(self.answers[_DIGESTS.key])

    @cached_property
    def unapproved(self) -> Offences:
        """What differs from the accepted baseline. Raises ToDecide where none is in force."""
        if not self._now:
            raise NotApplicable("the agent has no plugin, and no collection brought one")
        return differences(self._now, self.seen.accepted(self.section), "plugins")
