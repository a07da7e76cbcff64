"""The machine that the lab runs on: whether it can, what it needs installed, its network and its cgroups."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.process import LabError, run

# One place for all runs on this machine, whatever their caches: addresses and names are the machine's, too.
STATE = Path("/var/lib/pandora-audit-lab")
BRIDGE = "palab0"
NETWORK = "10.99.0.0/16"
GATEWAY = "10.99.0.1/16"

_PACKAGES = {
    "openssl": "openssl",
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# Run in namespaces of its own, so that it leaves nothing behind, wherever it stops.
_PROBE = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/lower "$1/up" "$1/work" /mnt/root
mount -t overlay overlay -o "lowerdir=/mnt/lower,upperdir=$1/up,workdir=$1/work,volatile" /mnt/root
command -v ip >/dev/null || exit 0
ip link add probe0 type bridge
ip link add probe1 type veth peer name probe2
"""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file's lock, against other processes and (each call opens it anew) against other threads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@functools.cache
def available() -> str:
    """Why the lab cannot run here, as one sentence; empty where it can."""
    if sys.platform != "linux":
        return f"The lab needs Linux (overlayfs, network namespaces), and this is {sys.platform}."
    if os.geteuid() != 0:
        return "The lab needs root (mounts, network namespaces, systemd-nspawn), and this user is not root."
    missing = _missing()
    if missing and not shutil.which("apt-get"):
        return f"The lab needs {', '.join(missing)}, and there is no apt-get to install them with."
    if cgroups() is None:
        return "The lab needs a writable cgroup2 file system of Linux 5.14 or later, and there is none."
    return _probe() or _taken()


def _missing() -> list[str]:
    """The packages to install, sorted."""
    missing = {package for tool, package in _PACKAGES.items() if not shutil.which(tool)}
    if not _KEYRING.exists():
        missing.add("debian-archive-keyring")
    return sorted(missing)


def _probe() -> str:
    trial = STATE / "probe"
    try:
        with locked(STATE / "probe.lock"):
            shutil.rmtree(trial, ignore_errors=True)
            trial.mkdir()
            tried = run(["unshare", "--mount", "--net", "sh", "-c", _PROBE, "sh", trial], check=False)
            shutil.rmtree(trial)
    except (OSError, LabError) as failure:
        return f"The lab needs to write to {STATE} and to make namespaces, and that failed: {failure}"
    why = " ".join(tried.stderr.split())
    needs = f"overlayfs on {STATE} and network namespaces"
    return f"The lab needs {needs}, and trying them failed: {why}" if tried.returncode else ""


def _taken() -> str:
    """Whether somebody else uses the lab's network."""
    if not shutil.which("ip"):
        return ""
    routes = json.loads(run(["ip", "-j", "route", "show", "root", NETWORK]).stdout or "[]")
    others = [route for route in routes if route.get("type") != "unreachable" and route.get("dev") != BRIDGE]
    return f"The lab needs the network {NETWORK}, and this machine has a route into it." if others else ""


def install() -> None:
    """Install the tools that are missing, with apt-get; nothing where all are there."""
    with locked(STATE / "install.lock"):
        missing = _missing()
        if not missing:
            return
        apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run([*apt, "update"], timeout=300, env=env)
        run([*apt, "install", "--no-install-recommends", *missing], timeout=600, env=env)


@functools.cache
def cgroups() -> Path | None:
    """The lab's own cgroup, below which every host gets one; None where it cannot be had."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            own = Path(where, "palab")
            try:
                own.mkdir(exist_ok=True)
            except OSError:
                return None
            return own if (own / "cgroup.kill").exists() else None
    return None


def prepare() -> None:
    """Lay the lab's network and raise the limits that end the lab at some twenty hosts. Repeatable."""
    with locked(STATE / "network.lock"):
        # First of all: without this route, a packet to a host that is gone takes the default route, and the
        # gateway there may even accept the connection.
        run(["ip", "route", "replace", "unreachable", NETWORK, "metric", "4096"])
        if not Path("/sys/class/net", BRIDGE).exists():
            # A bridge without an address of its own takes its ports', another with every host that comes or
            # goes, and the other hosts then answer to one that is no more.
            run(["ip", "link", "add", BRIDGE, "address", "02:1a:0a:63:00:01", "type", "bridge"])
        run(["ip", "addr", "replace", GATEWAY, "dev", BRIDGE])
        run(["ip", "link", "set", BRIDGE, "up"])
        _at_least("max_user_instances", 8192)
        _at_least("max_user_watches", 1048576)


def dismantle() -> None:
    """Take the lab's bridge and route away. Only when no host is left."""
    with locked(STATE / "network.lock"):
        run(["ip", "link", "del", BRIDGE], check=False)
        run(["ip", "route", "del", "unreachable", NETWORK, "metric", "4096"], check=False)
        if tree := cgroups():
            tree.rmdir()


def _at_least(limit: str, value: int) -> None:
    setting = Path("/proc/sys/fs/inotify", limit)
    if int(setting.read_text()) < value:
        setting.write_text(str(value))
