"""The system that a machine runs, in its own words."""

from __future__ import annotations

import re
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.offence import Offence, Offences
from pandora_audit.questions import OS_RELEASE

_SYSTEMS = (
    r"debian|ubuntu|red ?hat|rhel|centos|rocky( linux)?|alma ?linux|oracle linux|fedora|suse|amazon linux"
    r"|gnu/linux|linux|freebsd|unix"
)
# What machines are called by what they are for is in every notice.
_COMMON = r"system|server|host|machine|computer|network|device|console|database|monitor(ing)?|private|production|access"
_ADDRESS = r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])|(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{0,4}(?![\w:])"


class Platform(Fact):
    """The distribution and the kernel."""

    questions = (OS_RELEASE,)

    @cached_property
    def _release(self) -> dict[str, str]:
        text = self.answers[OS_RELEASE.key].text
        return dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', text, re.M))

    @property
    def name(self) -> str:
        """The distribution's own full name."""
        return self._release.get("PRETTY_NAME", "")

    def told_by(self, text: str) -> Offences:
        """What a text that strangers read tells about this machine: its system, its release, an address."""
        own = self.answers[OS_RELEASE.key].text.strip().splitlines()[-2:]
        patterns = {
            "system": rf"\b({_SYSTEMS})\b",
            "release": "|".join(re.escape(word) for word in own[:1] if len(word) > 3),
            "name": "|".join(rf"\b{re.escape(word)}\b" for word in own[1:] if _is_a_name(word)),
            "address": _ADDRESS,
        }
        found = [
            Offence(subject=what, text=f"the banner tells the {what}: “{hit[0][:80]}”", layer="wire")
            for what, pattern in patterns.items()
            if pattern and (hit := re.search(pattern, text, re.I))
        ]
        return Offences(found, f"a text of {len(text)} characters that tells nothing of the machine")


def _is_a_name(word: str) -> bool:
    """Whether a machine's name says which machine it is, wherever it is read."""
    return len(word) > 3 and re.fullmatch(_COMMON, word, re.I) is None
