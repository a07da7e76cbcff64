"""testinfra's host on a connection of ours: verified, bounded, its commands recorded."""

from __future__ import annotations

import re
from typing import Any

import pytest
from testinfra.backend.base import BaseBackend, CommandResult

from pandora_audit.printable import printable
from pandora_audit.question import NotObserved
from pandora_audit.transport import Connection

_SECONDS = 60
_MOST_BYTES = 4 * 1024 * 1024


class AuditBackend(BaseBackend):  # type: ignore[misc]  # testinfra ships no types
    """Runs commands for a site's own tests. Raises NotObserved where testinfra would see an absent thing."""

    NAME = "pandora-audit"
    HAS_RUN_SALT = False
    HAS_RUN_ANSIBLE = False

    def __init__(self, connection: Connection, item: pytest.Item, **kwargs: Any) -> None:
        super().__init__("pandora-audit", **kwargs)
        self._connection = connection
        self._item = item

    def get_sudo_command(self, command: str, sudo_user: str | None) -> str:
        # -n: a prompt nobody will answer is a refusal at once, and a refusal is no answer
        plain: str = super().get_sudo_command(command, sudo_user)
        return plain.replace("sudo ", "sudo -n ", 1)

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        text = self.get_command(command, *args)
        output = self._connection.run(text, limit=_MOST_BYTES, seconds=_SECONDS)
        said = output.err.decode("utf-8", "backslashreplace")
        self._item.add_report_section("call", "evidence", printable(f"$ {text}\n{said[:500]}", 4000))
        if "sudo -n " in text and re.search(r"^sudo: |^Sorry, ", said, re.M):
            raise NotObserved(f"sudo refused: {printable(said.strip(), 300)}")
        if output.status is None:
            raise NotObserved(f"`{text[:200]}` did not tell how it ended")
        return self.result(output.status, text.encode(), output.out, output.err)
