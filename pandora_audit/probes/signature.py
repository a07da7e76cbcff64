"""Verifying the signature of an installer for Windows that lies on the auditor's machine, by osslsigncode."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

from pandora_audit.question import NotObserved

_MOST_BYTES = 64 * 1024


def look(path: str, ca: str, seconds: float) -> bytes:
    """What osslsigncode says of the file. Raises NotObserved where there is no such file, or no such program."""
    program = shutil.which("osslsigncode")
    if program is None:
        raise NotObserved("osslsigncode is not installed on the auditor's machine: it verifies signatures of Windows")
    try:
        state = Path(path).stat()
    except OSError as error:
        raise NotObserved(f"{path}, on the auditor's machine: {error.strerror}") from error
    return _verified(program, path, ca, seconds, (state.st_mtime_ns, state.st_size, state.st_ino))


@functools.lru_cache(maxsize=64)
def _verified(program: str, path: str, ca: str, seconds: float, _state: tuple[int, ...]) -> bytes:
    """The same file is named by many hosts, and verified once."""
    authorities = ("-CAfile", ca, "-TSA-CAfile", ca) if ca else ()
    # Releases from 2.6 on would ask the network for revocations; before, they know no such option.
    for quiet in (("-ignore-crl",), ()):
        try:
            done = subprocess.run(
                [program, "verify", *quiet, *authorities, "-in", path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotObserved(f"osslsigncode did not verify {path}: {error}") from error
        if b"Unknown option: -ignore-crl" not in done.stdout:
            break
    return done.stdout[:_MOST_BYTES]
