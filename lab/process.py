"""Running other programs, always within a time limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence


class LabError(RuntimeError):
    """The lab could not do what it was asked; the text says what, with the end of what a program said."""


class Unavailable(LabError):  # noqa: N818  (its name is what a test says of it)
    """Debian's unstable suite does not give, here and now, what the lab was asked for. The text says what."""


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    check: bool = True,
    input: str | None = None,
    timeout: float = 30,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output as text, with bytes that are not UTF-8 as surrogates.

    Raises:
        LabError: it did not end in time (it is killed, with what it started), or ``check`` and it failed.
    """
    # A session of its own makes a group that can be killed whole: nsenter and unshare fork.
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=env,
    ) as process:
        try:
            out, err = process.communicate(None if input is None else input.encode("utf-8", "surrogateescape"), timeout)
        except subprocess.TimeoutExpired as late:
            raise LabError(f"{_shown(argv)} did not end within {timeout:g} s") from late
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    done = subprocess.CompletedProcess(argv, process.returncode, _text(out), _text(err))
    if check and done.returncode:
        raise LabError(f"{_shown(argv)} ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _shown(argv: Sequence[str | os.PathLike[str]]) -> str:
    return " ".join(map(str, argv))[-400:]
