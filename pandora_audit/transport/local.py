"""This machine itself, by its shell; and how any child process is heard within bounds."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from typing import IO

from pandora_audit.question import NotObserved, Wire
from pandora_audit.transport.base import Output, SocketLike

_CHUNK = 1 << 16


def hear(argv: list[str], *, stdin: bytes = b"", limit: int, seconds: float) -> Output:
    """Run a program in a process group of its own, which does not outlive this call.

    Raises NotObserved when its output had no end within ``seconds``.
    """
    until = time.monotonic() + seconds
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    streams = {process.stdout: bytearray(), process.stderr: bytearray()}
    try:
        truncated = _pump(process, streams, stdin, limit, until)
        status = None if truncated else process.wait(max(0.01, until - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        arrived = " and ".join(str(len(data)) for data in streams.values())
        raise NotObserved(
            f"no end of output within {seconds:.3g} s ({arrived} bytes of output and of errors arrived)"
        ) from None
    finally:
        _end(process)
    out, err = (bytes(data[:limit]) for data in streams.values())
    if status is not None and status < 0:
        status = None
    return Output(status=status, out=out, err=err, truncated=truncated)


def _pump(
    process: subprocess.Popen[bytes],
    streams: dict[IO[bytes] | None, bytearray],
    stdin: bytes,
    limit: int,
    until: float,
) -> bool:
    """Feed and drain until both streams end; whether one was too long. Raises TimeoutError."""
    assert process.stdin
    unsent = memoryview(stdin)
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as ready:
        for stream in streams:
            ready.register(stream, selectors.EVENT_READ)  # type: ignore[arg-type]  # they are pipes
        ready.register(process.stdin, selectors.EVENT_WRITE)
        while len(ready.get_map()):
            for key, _ in ready.select(max(0.0, until - time.monotonic())):
                if key.fileobj is process.stdin:
                    unsent = _send(process.stdin, unsent)
                    if not unsent:
                        ready.unregister(process.stdin)
                        with suppress(BrokenPipeError):
                            process.stdin.close()
                    continue
                data = os.read(key.fd, _CHUNK)
                streams[key.fileobj] += data  # type: ignore[index]  # what was registered above
                if not data:
                    ready.unregister(key.fileobj)
            if max(len(data) for data in streams.values()) > limit:
                return True
            if time.monotonic() >= until:
                raise TimeoutError
    return False


def _send(pipe: IO[bytes], unsent: memoryview) -> memoryview:
    """What is left to send; nothing when the program does not want it."""
    try:
        return unsent[os.write(pipe.fileno(), unsent) :] if unsent else unsent
    except BrokenPipeError:
        return memoryview(b"")


def _end(process: subprocess.Popen[bytes]) -> None:
    # The group's number is ours for as long as its leader was not waited for, or has living children.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            with suppress(BrokenPipeError):
                pipe.close()


class LocalConnection:
    """This machine."""

    wire = Wire()

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def run(self, command: str, *, stdin: bytes = b"", limit: int = 8 << 20, seconds: float) -> Output:
        """See Connection.run."""
        seconds = min(seconds, max(0.0, self._until - time.monotonic()))
        return hear(["/bin/sh", "-c", command], stdin=stdin, limit=limit, seconds=seconds)

    def dial(self, port: int, seconds: float) -> SocketLike:
        raise NotObserved("this machine is audited from itself; there is no outside place to look from")

    def close(self) -> None:
        """Nothing is held between commands."""
