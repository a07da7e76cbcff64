"""Who has which host: names and addresses that no two runs on a machine share, and what dead runs left."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import machine
from lab.machine import STATE, locked
from lab.process import LabError, run

HOSTS = STATE / "hosts"
_LOCK = STATE / "leases.lock"
_FIRST = ipaddress.IPv4Address("10.99.1.0")
_SLOTS = range(1, 4000)


@dataclass(frozen=True)
class Lease:
    """One slot of the machine. Everything that a host occupies outside of its folder is named after the slot,
    so that it can be found and removed when the run that made it is dead."""

    slot: int

    @property
    def folder(self) -> Path:
        return HOSTS / str(self.slot)

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def label(self) -> str:
        """The name of its veth, its network namespace and its nspawn machine; fits in 15 characters."""
        return f"palab{self.slot}"

    @property
    def address(self) -> str:
        return str(_FIRST + self.slot)

    @property
    def mac(self) -> str:
        # Derived from the address: a reused address with another MAC is unreachable for some 8 s.
        return "02:1a:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(self.address).packed)

    @property
    def cgroup(self) -> Path:
        tree = machine.cgroups()
        assert tree is not None, machine.available()
        return tree / str(self.slot)

    @property
    def owner(self) -> str:
        """The process that took it, as _identity() gives it; empty when it was killed before it said so."""
        try:
            return (self.folder / "owner").read_text()
        except FileNotFoundError:
            return ""

    @property
    def alive(self) -> bool:
        """Whether the process that took it still runs."""
        pid = self.owner.partition(" ")[0]
        return bool(pid) and _identity(int(pid)) == self.owner

    @property
    def name(self) -> str:
        """The host's name; empty before it has one."""
        try:
            return (self.folder / "name").read_text()
        except FileNotFoundError:
            return ""


def _identity(pid: int) -> str:
    """A process, told from a later one of the same number: pid, start time, boot. Empty if none runs."""
    try:
        # The program's name, in parentheses, may hold blanks and parentheses.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    if state in "ZX":
        return ""
    return f"{pid} {fields[18]} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"


def leases() -> list[Lease]:
    """All that are taken, by the living and by the dead."""
    if not HOSTS.exists():
        return []
    return [Lease(slot) for slot in sorted(int(folder.name) for folder in HOSTS.iterdir())]


def take() -> Lease:
    """Take a free slot, after the leftovers of dead runs are wiped.

    Raises:
        LabError: all are taken.
    """
    with locked(_LOCK):
        _wipe()
        HOSTS.mkdir(parents=True, exist_ok=True)
        for lease in map(Lease, _SLOTS):
            with contextlib.suppress(FileExistsError):
                lease.folder.mkdir()
                (lease.folder / "owner").write_text(_identity(os.getpid()))
                return lease
    raise LabError(f"all {len(_SLOTS)} slots of the lab are taken")


def down() -> list[Lease]:
    """Remove what dead runs left, and the lab's network where no host remains; which slots that were."""
    with locked(_LOCK):
        dead = _wipe()
        if not leases():
            machine.dismantle()
    return dead


def _wipe() -> list[Lease]:
    """Remove what dead runs left. Under the lock: nobody is then between taking a slot and signing it."""
    dead = [lease for lease in leases() if not lease.alive]
    for lease in dead:
        _tear_down(lease)
        _clear(lease)
    return dead


def release(lease: Lease) -> None:
    """End what runs in the slot, remove all of it, give the slot back."""
    _tear_down(lease)
    with locked(_LOCK):
        _clear(lease)


def _tear_down(lease: Lease) -> None:
    """Kill the host and take its network and its mount away; what is already gone is no error."""
    _kill(lease.cgroup)
    if Path("/sys/class/net", lease.label).exists():
        # Before its namespace: that goes in the background, and the name of the veth would stay taken.
        run(["ip", "link", "del", lease.label], check=False)
    if Path("/run/netns", lease.label).exists():
        run(["ip", "netns", "del", lease.label])
    if lease.root.is_mount():
        _forget_nspawn(lease)
        if run(["umount", lease.root], check=False).returncode:
            run(["umount", "--lazy", lease.root])
    _remove_cgroup(lease.cgroup)


def _clear(lease: Lease) -> None:
    if lease.root.is_mount():
        raise LabError(f"{lease.root} is still mounted")
    shutil.rmtree(lease.folder)


def _kill(cgroup: Path) -> None:
    """Kill every process of a cgroup that the lab made, and wait until they are gone.

    Raises:
        LabError: some are still there after 10 s.
    """
    try:
        (cgroup / "cgroup.kill").write_text("1")
    except FileNotFoundError:
        return
    for _ in _until(10):
        if "populated 0" in (cgroup / "cgroup.events").read_text():
            return
    raise LabError(f"processes in {cgroup} outlive their kill")


def _remove_cgroup(cgroup: Path) -> None:
    for folder, _, _ in os.walk(cgroup, topdown=False):
        for _ in _until(5):
            try:
                Path(folder).rmdir()
            except FileNotFoundError:
                break
            except OSError:
                continue  # busy for some milliseconds after its last process
            break


def _forget_nspawn(lease: Lease) -> None:
    """Remove what a killed nspawn leaves: the lock of its root folder and two mount points."""
    nspawn = Path("/run/systemd/nspawn")
    root = lease.root.stat()
    (nspawn / "locks" / f"inode-{root.st_dev}:{root.st_ino}").unlink(missing_ok=True)
    for kind in ("propagate", "unix-export"):
        folder = nspawn / kind / lease.label
        if folder.is_mount():
            run(["umount", "--lazy", folder])
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()


def _until(seconds: float) -> Iterator[None]:
    """Again and again, 5 ms apart, until the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.005)
