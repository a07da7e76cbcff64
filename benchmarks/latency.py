"""Runs the benchmarks of a slow network on hosts of the lab: ``python -m benchmarks.latency``."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lab
from benchmarks.run import HEAD, HOST, agree, forms, in_turn, row

_AT_ONCE = 4


def one_host(rtt: int, target: str, pairs: int, image: str) -> None:
    """P3: one host, so many milliseconds away, there and back."""
    with lab.boot(image, HOST, delay_ms=rtt // 2) as host, tempfile.TemporaryDirectory() as folder:
        stock, ours = forms([host], Path(folder))
        agree(stock, ours)
        print(row(f"P3 RTT {rtt} ms: stock / ours", in_turn(pairs, stock.run, ours.run), "s", target), flush=True)


def many_hosts(count: int, pairs: int, image: str) -> None:
    """P8: how much of the distance shows when so many hosts are 100 ms away; the near ones have a line as well."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(_AT_ONCE) as pool:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runs = []
        for delay_ms in (50, 0):
            hosts = list(pool.map(lambda _, delay_ms=delay_ms: lab.boot(image, HOST, delay_ms=delay_ms), range(count)))
            for host in hosts:
                stack.enter_context(host)
            (folder / str(delay_ms)).mkdir()
            runs.append(forms(hosts, folder / str(delay_ms))[1].run)
        print(row(f"P8 {count} hosts: RTT 100 / RTT 0", in_turn(pairs, *runs), "s", "target <= 1.6, stretch 1.3"))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="pairs of whole processes (default: 5)")
    parser.add_argument("--hosts", type=int, default=50, help="hosts at each distance (default: 50)")
    parser.add_argument("--image", default="bookworm", help="image of the lab (default: bookworm)")
    chosen = parser.parse_args(arguments)
    print(HEAD)
    one_host(20, "target >= 17, stretch 22", chosen.pairs, chosen.image)
    one_host(100, "target >= 22, stretch 30", chosen.pairs, chosen.image)
    many_hosts(chosen.hosts, chosen.pairs, chosen.image)


if __name__ == "__main__":
    main()
