"""``python -m lab up [IMAGE]``, ``list``, ``down``."""

from __future__ import annotations

import argparse
import signal
import sys

import lab
from lab import leases


def main() -> int:
    """Do what the command line says; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab", description="Hosts of the lab.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="boot a host and keep it until this program is ended")
    up.add_argument("image", nargs="?", default="bookworm")
    commands.add_parser("list", help="the hosts on this machine, and who has them")
    commands.add_parser("down", help="remove what dead runs left; the network, too, when no host is left")
    arguments = parser.parse_args()
    if reason := lab.available():
        print(reason, file=sys.stderr)
        return 2
    if arguments.command == "up":
        _up(arguments.image)
    elif arguments.command == "list":
        _list()
    else:
        _down()
    return 0


def _up(image: str) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with lab.boot(image) as host:
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        print(f"{host.name}: ssh {options} -i {host.key} audit@{host.address}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


def _list() -> None:
    for lease in leases.leases():
        pid = lease.owner.partition(" ")[0]
        state = f"of process {pid}" if lease.alive else "left by a dead run"
        print(f"{lease.address}\t{lease.name}\t{state}")


def _down() -> None:
    for lease in leases.down():
        print(f"removed {lease.address}")


if __name__ == "__main__":
    sys.exit(main())
