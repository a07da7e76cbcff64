"""Any other backend of testinfra (containers, chroots, …), as a carrier of commands only."""

from __future__ import annotations

import time

import testinfra

from pandora_audit.question import NotObserved, Wire
from pandora_audit.transport.base import Output, SocketLike, bounded, printable

# What testinfra's backends raise for a specification, a tool or an answer that they cannot use.
_TROUBLE = (OSError, RuntimeError, ValueError, LookupError, AttributeError, ImportError, AssertionError)


class ForeignConnection:
    """A host of testinfra. It may show the exit status of the tool in between instead of the command's own.

    Its output is bounded only after it arrived, and a command that has no end is left behind, not ended:
    testinfra hands out neither its streams nor its processes.
    """

    wire = Wire()

    def __init__(self, spec: str, seconds: float) -> None:
        self._spec = spec
        self._until = time.monotonic() + seconds
        try:
            self._host = testinfra.get_host(spec)
        except _TROUBLE as error:
            raise NotObserved(f"testinfra has no way to {spec}: {printable(str(error))}") from None

    def run(self, command: str, *, stdin: bytes = b"", limit: int = 8 << 20, seconds: float) -> Output:
        """See Connection.run."""
        if stdin:
            raise NotObserved(f"a command at {self._spec} cannot be given input")
        seconds = min(seconds, max(0.0, self._until - time.monotonic()))
        try:
            done = bounded(lambda: self._host.run(command), seconds)
            out, err = done.stdout_bytes, done.stderr_bytes
        except TimeoutError:
            raise NotObserved(f"no end of output within {seconds:.3g} s") from None
        except _TROUBLE as error:
            raise NotObserved(f"{self._spec} did not run the command: {printable(str(error))}") from None
        return Output(
            status=done.rc if done.rc >= 0 else None,
            out=out[:limit],
            err=err[:limit],
            truncated=max(len(out), len(err)) > limit,
        )

    def dial(self, port: int, seconds: float) -> SocketLike:
        raise NotObserved(f"{self._spec} has no outside place to look from")

    def close(self) -> None:
        """testinfra keeps its hosts."""
