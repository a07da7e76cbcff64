"""A line that delays, between two TAPs: what netem does where the kernel has it. A program: NEAR FAR MILLISECONDS."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_FRAME = 65536


def _tap(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return device


def _carry(ends: tuple[int, int], seconds: float) -> None:
    """Each frame that enters at one end leaves at the other when its time has come."""
    waiting: dict[int, deque[tuple[float, bytes]]] = {end: deque() for end in ends}
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    poll = select.epoll()
    for end in ends:
        poll.register(end, select.EPOLLIN)
    while True:
        due = min((queue[0][0] for queue in waiting.values() if queue), default=None)
        for end, _ in poll.poll(None if due is None else max(0.0, due - time.monotonic())):
            try:
                waiting[other[end]].append((time.monotonic() + seconds, os.read(end, _FRAME)))
            except OSError:  # the interface is not up yet, or is gone
                continue
        now = time.monotonic()
        for end, queue in waiting.items():
            while queue and queue[0][0] <= now:
                try:
                    os.write(end, queue.popleft()[1])
                except OSError:  # as above: the frame is lost, as on any line
                    continue


if __name__ == "__main__":
    # On a busy machine, too, a frame leaves when its time has come.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    taps = (_tap(sys.argv[1]), _tap(sys.argv[2]))
    print(flush=True)
    _carry(taps, int(sys.argv[3]) / 1000)
