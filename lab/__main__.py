"""``python -m lab up [IMAGE]``, ``audit``, ``record FOLDER``, ``list``, ``ssh NAME``, ``down``."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lab
from lab import deployment, leases, site

_ROOT = Path(__file__).parent.parent
_OPTIONS = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")


def main() -> int:
    """Do what the command line says; the exit status."""
    arguments = _parser().parse_args()
    if reason := lab.available():
        print(reason, "On a Linux machine or VM, as root: make lab", file=sys.stderr)
        return 2
    try:
        return int(arguments.do(arguments) or 0)
    except lab.LabError as failure:
        print(failure, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description="Hosts of the lab.")
    commands = parser.add_subparsers(required=True)
    up = commands.add_parser("up", help="boot the deployment, or one host, and keep it until this program is ended")
    up.add_argument("image", nargs="?", help="one image instead of the deployment")
    up.add_argument("--hardened", action="store_true", help="that image with the guide applied")
    up.add_argument("--folder", type=Path, default=Path("reports/lab"), help="for inventory.yml and known_hosts")
    up.set_defaults(do=_up)
    audit = commands.add_parser("audit", help="boot the deployment and audit it into reports/lab.html")
    audit.set_defaults(do=_audit)
    record = commands.add_parser("record", help="boot the deployment and record the answers of an audit")
    record.add_argument("folder", type=Path)
    record.set_defaults(do=_record)
    commands.add_parser("list", help="the hosts on this machine, and who has them").set_defaults(do=_list)
    login = commands.add_parser("ssh", help="log in at a host")
    login.add_argument("name")
    login.set_defaults(do=_ssh)
    down = commands.add_parser("down", help="remove what dead runs left; the network, too, when no host is left")
    down.set_defaults(do=_down)
    return parser


def _up(arguments: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.image:
            hosts = [lab.boot(arguments.image, hardened=arguments.hardened)]
        else:
            hosts = _deploy(arguments.folder)
            print(f"pytest --inventory {arguments.folder}/inventory.yml --known-hosts {arguments.folder}/known_hosts")
        for host in hosts:
            print(
                f"{host.name}: ssh {' '.join(_OPTIONS)} -i {host.key} -p {host.port} audit@{host.address}", flush=True
            )
        signal.pause()
    except KeyboardInterrupt:
        return


def _audit(_: argparse.Namespace) -> int:
    folder = _ROOT / "reports" / "lab"
    _deploy(folder)
    print((folder / "inventory.yml").read_text(), flush=True)
    status = _pytest(folder, f"--html={folder}.html", "--self-contained-html")
    print(f"report: {folder}.html")
    return status


def _record(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        _deploy(Path(folder))
        status = _pytest(Path(folder), f"--record={arguments.folder.resolve()}")
        # What people sign is no answer of a machine: it is judged with the record, not kept in it.
        for signed in ("attestations.yml", "exceptions.yml"):
            shutil.copy(Path(folder) / f"inventory.{signed}", arguments.folder / signed)
        return status


def _deploy(folder: Path) -> list[lab.Host]:
    print(f"booting {len(deployment.PARTS)} hosts; the first time, their images are built", flush=True)
    began = time.monotonic()
    hosts = deployment.up(folder)
    site.settle(folder, hosts[:-1], [part.name for part in deployment.PARTS if part.hardened])
    print(f"booted in {time.monotonic() - began:.1f} s, inventory: {folder / 'inventory.yml'}", flush=True)
    return hosts


def _pytest(folder: Path, *options: str) -> int:
    """Audit the deployment; what pytest says of it."""
    # From within the folder: the path of an inventory is part of a recording.
    command = [sys.executable, "-m", "pytest", "-c", str(_ROOT / "pytest.ini"), f"--rootdir={_ROOT}"]
    command += ["--inventory=inventory.yml", "--known-hosts=known_hosts", "--level=strict", *options]
    chapters = sorted(map(str, _ROOT.glob("tests_*")))
    return subprocess.run([*command, *chapters], cwd=folder, check=False).returncode


def _list(_: argparse.Namespace) -> None:
    for lease in leases.leases():
        pid = lease.owner.partition(" ")[0]
        state = f"of process {pid}" if lease.alive else "left by a dead run"
        print(f"{lease.address}\t{lease.name}\t{state}")


def _ssh(arguments: argparse.Namespace) -> int:
    for lease in leases.leases():
        if lease.name == arguments.name and lease.alive:
            port = next((port for port in (31122, 22) if lab.greets(lease.address, port)), 22)
            command = ["ssh", *_OPTIONS, "-i", str(lab.key_path()), "-p", str(port), f"audit@{lease.address}"]
            os.execvp("ssh", command)
    print(f"no host is called {arguments.name}; `python -m lab list` tells which there are", file=sys.stderr)
    return 2


def _down(_: argparse.Namespace) -> None:
    for lease in leases.down():
        print(f"removed {lease.address}")


if __name__ == "__main__":
    sys.exit(main())
