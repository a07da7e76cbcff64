"""What the daemons that keep the time say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pandora_audit.question import Unreadable


@dataclass(frozen=True, kw_only=True)
class Sync:
    """How a daemon stands to the true time.

    Args:
        synchronised: whether it follows a source.
        offset: how far the clock is off by the daemon's own account, in milliseconds; None where it does not say.
        heard: when it last heard its source, in seconds since the epoch; None where it does not say.
        own: whether what it follows is this machine's own clock.
    """

    synchronised: bool
    offset: float | None = None
    heard: int | None = None
    own: bool = False


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source of time, and whether it has answered lately."""

    name: str
    answers: bool


_NUMBER = r"[-+]?\d{1,12}(?:\.\d{1,12})?(?:e[-+]?\d{1,2})?"


def _number(text: str) -> float:
    if not re.fullmatch(_NUMBER, text):
        raise Unreadable(f"{text[:30]!r} is no number")
    return float(text)


def chrony(tracking: str, sources: str) -> tuple[Sync, tuple[Source, ...]]:
    """What chronyd says, in ``chronyc -c``.

    tracking: id, name, stratum, time of the last measurement, correction that is left, …, leap status;
    sources: mode, state, name, stratum, poll, reach (octal), age, offset as measured and adjusted since, …
    A chronyd that may not touch the clock has no correction left, whatever it measures.
    """
    fields = tracking.strip().split(",")
    if len(fields) < 14:
        raise Unreadable(f"`chronyc tracking` said {tracking[:60]!r}")
    rows = [row for line in sources.splitlines() if len(row := line.split(",")) > 7]
    offsets = [_number(row[7]) for row in rows if row[1] == "*"]
    sync = Sync(
        synchronised=fields[-1].lower() in ("normal", "insert second", "delete second") and fields[0] != "00000000",
        offset=max(abs(offset) for offset in (_number(fields[4]), *offsets)) * 1000,
        heard=int(_number(fields[3])) if fields[3] else None,
        own=fields[0].upper() == "7F7F0101",
    )
    return sync, tuple(Source(name=row[2], answers=row[5].strip("0") != "") for row in rows)


def ntpq_variables(text: str) -> Sync:
    """``ntpq -c rv``: leap=00, stratum=3, offset=0.1 and the like, in any order; leap 11 says "not synchronised"."""
    found = dict(re.findall(r"\b(leap|stratum|offset|refid)=([^,\s]+)", text))
    if "leap" not in found and "stratum" not in found:
        raise Unreadable(f"`ntpq` said {text[:60]!r}")
    return Sync(
        synchronised=found.get("leap", "11") not in ("11", "3") and found.get("stratum") not in ("0", "16"),
        offset=abs(_number(found["offset"])) if "offset" in found else None,
        own=bool(re.match(r"LOCAL|\.?LOCL|127\.127\.1\.", found.get("refid", ""))),
    )


def ntpq_peers(lines: Iterable[str]) -> tuple[Source, ...]:
    """``ntpq -pn``: a mark, remote, refid, stratum, type, when, poll, reach (octal), … A local clock is no source."""
    found = []
    for line in lines:
        row = line[1:].split()
        if len(row) < 9 or not re.fullmatch(r"[0-7]{1,3}", row[6]) or row[0].startswith("127.127.1."):
            continue
        if row[1] != ".POOL.":
            found.append(Source(name=row[0], answers=row[6].strip("0") != ""))
    return tuple(found)


_UNITS = {"us": 0.001, "µs": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}


def timesyncd(text: str) -> tuple[Sync, tuple[Source, ...]]:
    """``timedatectl timesync-status``: the server that was spoken to last, and the offset that it told."""
    says = dict(re.findall(r"^\s*([A-Z][\w ]*): (.*)$", text, re.M))
    if "Server" not in says and "Packet count" not in says:
        raise Unreadable(f"`timedatectl timesync-status` said {text[:60]!r}")
    name = says.get("Server", "").partition(" ")[0]
    heard = says.get("Packet count", "0").strip() not in ("", "0") and says.get("Leap", "normal") == "normal"
    sources = (Source(name=name, answers=heard),) if name not in ("", "n/a") else ()
    offset = says.get("Offset")
    return Sync(synchronised=heard, offset=None if offset is None else _span(offset)), sources


def _span(text: str) -> float:
    """A span of time as systemd writes it (``-1min 2.5s``), in milliseconds, without its sign."""
    parts = re.findall(r"(\d{1,9}(?:\.\d{1,9})?)(us|µs|ms|min|s|h)\b", text)
    if not parts and text.strip() not in ("0", "+0", "-0"):
        raise Unreadable(f"`timedatectl` told the offset {text[:30]!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def openntpd(text: str) -> tuple[Sync, tuple[Source, ...]]:
    """``ntpctl -s all``: ``2/4 peers valid, clock synced, stratum 3``, and a block for each peer."""
    head = re.search(r"(\d{1,4})/(\d{1,4}) (?:peers|sensors) valid", text)
    if head is None:
        raise Unreadable(f"`ntpctl` said {text[:60]!r}")
    chosen = re.search(r"^\s*\*.*?(-?\d{1,9}\.\d{1,9})ms", text, re.M)
    sync = Sync(
        synchronised="clock synced" in text and "unsynced" not in text,
        offset=abs(float(chosen[1])) if chosen else None,
    )
    valid = re.findall(r"(\d{1,4})/(\d{1,4}) (?:peers|sensors) valid", text)
    sources = [
        Source(name=f"peer {number + 1}", answers=number < int(good))
        for good, of in valid
        for number in range(min(int(of), 100))
    ]
    return sync, tuple(sources)
