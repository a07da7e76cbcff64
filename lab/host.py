"""A host of the lab: a whole Debian with its own systemd, sshd and address, thrown away after use."""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

from lab import images, leases, machine
from lab.images import Image
from lab.leases import Lease
from lab.process import LabError, run

_booted: set[Host] = set()
_booted_lock = threading.Lock()

# Joins the host's cgroup and becomes nspawn, so that all of the host can be killed through the cgroup.
_INTO_CGROUP = 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"'

_WRITE = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chown "$3" "$1" && chmod "$2" "$1"'

# These are no part of the overlay in every image, but a program may leave files there.
_ELSEWHERE = ("/tmp", "/dev/shm")


class Host:
    """A host that ``boot`` gave. As a context manager it is destroyed at the end.

    Attributes:
        name: its hostname.
        address: its IPv4 address, which only this machine can reach.
        port: where its sshd is expected; set it when a mutation moves sshd.
        root: its root filesystem, seen from outside. To look; to write, use ``write``: an absolute symbolic
            link would lead a write through this path out to the machine that the lab runs on.
        leader: the pid of its PID 1; 0 before it is booted.
        delay_ms: how long a packet is under way, to it and from it; None without a line that delays.
    """

    def __init__(self, lease: Lease, image: Image, name: str) -> None:
        self._lease = lease
        self._image = image
        self._using = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: subprocess.Popen[bytes] | None = None
        self._destroying = threading.Lock()
        self._destroyed = False
        self._before: dict[str, tuple[int, ...]] = {}
        self._owner = os.getpid()
        self.name = name
        self.address = lease.address
        self.port = 22
        self.root = lease.root
        self.leader = 0
        self.delay_ms: int | None = None

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()

    def __repr__(self) -> str:
        return f"<lab host {self.name} at {self.address}>"

    @property
    def key(self) -> Path:
        """The private key that its users accept."""
        return images.key_path()

    @property
    def known_hosts(self) -> str:
        """Lines for a known_hosts file: its address (and ``port``, unless 22) with each of its keys."""
        return self.known_hosts_line(self.port)

    def known_hosts_line(self, port: int = 22) -> str:
        """The same, for sshd on this port: ``[address]:port`` unless it is 22."""
        where = self.address if port == 22 else f"[{self.address}]:{port}"
        keys = self.run("cat /etc/ssh/ssh_host_*_key.pub").stdout.splitlines()
        return "".join(f"{where} {' '.join(key.split()[:2])}\n" for key in keys)

    def spec(self, user: str = "audit", port: int | None = None) -> str:
        """``user@address:port``."""
        return f"{user}@{self.address}:{port or self.port}"

    def run(
        self,
        cmd: str,
        *,
        check: bool = True,
        input: str | None = None,
        timeout: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """Run shell text inside, as root, without ssh; before the boot in a chroot, without network.

        What it starts in the background must not keep its output, or it is waited for.

        Raises:
            LabError: it did not end in time, or ``check`` and it failed.
        """
        return self._run(["sh", "-c", cmd], check=check, input=input, timeout=timeout)

    def _run(
        self, argv: list[str], *, check: bool = True, input: str | None = None, timeout: float = 30
    ) -> subprocess.CompletedProcess[str]:
        enter = images.chroot(self.root)
        if self.leader:
            enter = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C"]
        return run([*enter, *argv], check=check, input=input, timeout=timeout, env=images.ENVIRONMENT)

    def write(self, path: str, text: str, mode: int = 0o644, owner: str = "root:root") -> None:
        """Write a file inside, with the folders above it; a symbolic link is followed as the host sees it."""
        self._run(["sh", "-c", _WRITE, "sh", path, f"{mode:o}", owner], input=text)

    def append(self, path: str, text: str) -> None:
        """Add text to the end of a file inside."""
        self._run(["sh", "-c", 'cat >> "$1"', "sh", path], input=text)

    def remove(self, path: str) -> None:
        """Remove a file, a link or a folder inside; none there is no error."""
        self._run(["rm", "-rf", "--", path])

    @contextlib.contextmanager
    def mutated(self, do: str, *, undo: str) -> Iterator[Host]:
        """Change the running host with shell text and change it back at the end, also when ``do`` failed."""
        try:
            self.run(do)
            yield self
        finally:
            self.run(undo)

    def restart_sshd(self) -> None:
        """Restart sshd and wait until it answers at ``port``."""
        # systemd refuses the sixth start within ten seconds unless its count is reset.
        self.run("systemctl reset-failed ssh.service; systemctl restart ssh.service")
        self.wait_for_ssh()

    def wait_for_ssh(self, port: int | None = None, timeout: float = 30) -> None:
        """Wait until sshd greets at this port (default: ``port``).

        Raises:
            LabError: it does not in time, or the host died.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            # A delayed answer needs a question for the address first.
            if greets(self.address, port or self.port, patience=0.2 + (self.delay_ms or 0) / 250):
                return
            self._check_alive()
            time.sleep(0.02)
        raise LabError(f"sshd of {self} does not answer at port {port or self.port}; {self._console()}")

    def mark(self) -> None:
        """Let ``changed_files`` count from now on, not from the end of the boot."""
        self._before = self._files()

    def changed_files(self) -> set[str]:
        """Absolute paths that were made, changed or removed since the boot was over (or since ``mark``).

        A folder is told only when it is new or gone, not when something in it changed. /run and what the
        kernel shows (/proc, /sys, devices) do not count.
        """
        after = self._files()
        changed = {path for path in self._before.keys() | after.keys() if self._before.get(path) != after.get(path)}
        # A folder of the image appears in the overlay with the first change in it.
        return {path for path in changed if after.get(path) or not self._image.has_folder(path)}

    def _files(self) -> dict[str, tuple[int, ...]]:
        """Every path that the host has beyond its image: mtime, size, ctime; () for a folder."""
        found = _walk(self._lease.folder / "up", "")
        for folder in _ELSEWHERE:
            inside = Path(f"/proc/{self.leader}/root{folder}")
            if inside.is_mount():
                found |= _walk(inside, folder)
        return found

    def _start(self) -> None:
        """Boot: network, nspawn, then wait for sshd and for the end of the boot."""
        self._lease.cgroup.mkdir(parents=True)
        self._line = _connect(self._lease, self.delay_ms)
        with (self._lease.folder / "console.log").open("wb") as console:
            self._process = subprocess.Popen(
                ["sh", "-c", _INTO_CGROUP, "sh", str(self._lease.cgroup), *self._nspawn()],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
                    "SYSTEMD_NSPAWN_TMPFS_TMP": "0",
                },
            )
        self.wait_for_ssh()
        pid = self._process.pid
        self.leader = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        # Whether it ends as "running" is the mutations' affair.
        self.run("systemctl is-system-running --wait", check=False, timeout=60)
        self.mark()

    def _check_services(self, services: Iterable[str]) -> None:
        """Raise LabError, with what systemd says of it, for the first service that does not run."""
        for service in services:
            # After the boot, all have been started, but some take a moment to say so.
            said = self.run(
                f"for i in $(seq 100); do systemctl --quiet is-active {service} && exit 0;"
                f" systemctl --quiet is-failed {service} && break; sleep 0.1; done;"
                f" systemctl status --no-pager --lines=20 {service} 2>&1; exit 1",
                check=False,
            )
            if said.returncode:
                raise LabError(f"{service} does not run on {self}: {said.stdout[-1500:]}")

    def _nspawn(self) -> list[str]:
        label = self._lease.label
        return [
            "systemd-nspawn",
            "--quiet",
            # Both: there may be no system bus here, and the cgroup is the one that it was started in.
            "--register=no",
            "--keep-unit",
            "--boot",
            f"--directory={self.root}",
            f"--machine={label}",
            f"--hostname={self.name}",
            f"--network-namespace-path=/run/netns/{label}",
            # A given namespace drops it, and then ip and nft fail inside.
            "--capability=CAP_NET_ADMIN",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=pipe",
        ]

    def _check_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise LabError(f"{self} is not running; {self._console()}")

    def _console(self) -> str:
        try:
            return "its console: " + (self._lease.folder / "console.log").read_text(errors="replace")[-2000:]
        except FileNotFoundError:
            return "it has no console"

    def destroy(self) -> None:
        """Kill it at once and remove all of it. A second time does nothing."""
        with self._destroying:
            if self._destroyed or self._owner != os.getpid():
                return
            leases.release(self._lease)
            for process in filter(None, (self._process, self._line)):
                process.wait(timeout=10)
            self._using.close()
            self._destroyed = True
            self.leader = 0
            with _booted_lock:
                _booted.discard(self)


Mutation = str | Callable[[Host], object]


def boot(
    image: str = "bookworm",
    mutations: Iterable[Mutation] | str = (),
    *,
    name: str | None = None,
    hardened: bool = False,
    delay_ms: int | None = None,
) -> Host:
    """A new host of an image, whose sshd answers and whose boot is over; without mutations, its services run, too.

    Args:
        image: one of ``recipes.LAYERS``, by which it is built at the first use.
        mutations: applied in order to its root filesystem before the boot: shell text, or takers of the host.
        name: its hostname; by default the image's with a number.
        hardened: with the guide applied, and sshd at port 31122; else as the vendor's installers leave it.
        delay_ms: how long a packet is under way, to it and from it; by default no longer than it must.

    Raises:
        LabError: the lab cannot run here, a mutation failed, or the host does not come up.
        Unavailable: what the image is made of cannot be had here and now.
    """
    if reason := machine.available():
        raise LabError(reason)
    machine.install()
    base = images.image(image, hardened)
    lease = leases.take()
    host = Host(lease, base, name or f"{image}-{lease.slot}")
    host.port = 31122 if hardened else 22
    host.delay_ms = delay_ms
    with _booted_lock:
        _booted.add(host)
    changes = (mutations,) if isinstance(mutations, str) else tuple(mutations)
    try:
        # After the lease: `down` takes the network away only while nobody has one.
        machine.prepare()
        host._using.enter_context(images.in_use(base))
        _lay_out(host, base)
        for mutation in changes:
            if isinstance(mutation, str):
                host.run(mutation)
            else:
                mutation(host)
        host._start()
        if not changes:  # what is left of the services after mutations is the mutations' affair
            host._check_services(base.services)
    except OSError as failure:
        host.destroy()
        raise LabError(f"{image} could not be booted: {failure}") from failure
    except BaseException:
        host.destroy()
        raise
    return host


def _lay_out(host: Host, base: Image) -> None:
    """Give the host its root filesystem, and its own name in it: sudo is slow where the name is unknown."""
    folder = host.root.parent
    (folder / "name").write_text(host.name)
    for part in ("up", "work", "root"):
        (folder / part).mkdir()
    # The upper folder is the host's "/".
    (folder / "up").chmod(0o755)
    options = f"lowerdir={base.lowerdir},upperdir={folder}/up,workdir={folder}/work,volatile"
    run(["mount", "-t", "overlay", "overlay", "-o", options, host.root])
    # The image has none of these, so that no link can lead out, and no mutation has run yet.
    (host.root / "etc/hostname").write_text(f"{host.name}\n")
    (host.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{host.address} {host.name}\n")
    (host.root / "etc/resolv.conf").write_text("# no name servers in the lab\n")
    (host.root / "etc/ssl/certs/host.pem").write_text(images.certificate(host.name, host.address))


def _connect(lease: Lease, delay_ms: int | None) -> subprocess.Popen[bytes] | None:
    """Put the host's network namespace on the bridge. It has no default route: nothing leaves the lab."""
    label = lease.label
    line = None
    run(["ip", "netns", "add", label])
    if delay_ms is None:
        pair = f"link add {label} type veth peer name eth0 address {lease.mac} netns {label}\n"
        run(["ip", "-batch", "-"], input=f"{pair}link set {label} master {machine.BRIDGE} up\n")
    else:
        line = _delay(lease, delay_ms)
    inside = f"link set lo up\naddr add {lease.address}/16 dev eth0\nlink set eth0 up\n"
    run(["ip", "-n", label, "-batch", "-"], input=inside)
    return line


def _delay(lease: Lease, delay_ms: int) -> subprocess.Popen[bytes]:
    """Give the host's namespace an eth0 whose frames reach the bridge, and it, so much later; the line's process."""
    near, far = lease.label, f"{lease.label}d"
    cgroup = lease.cgroup / "line"
    cgroup.mkdir()
    command = [sys.executable, str(Path(__file__).with_name("delay.py")), near, far, str(delay_ms)]
    line = subprocess.Popen(
        ["sh", "-c", _INTO_CGROUP, "sh", str(cgroup), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert line.stdout is not None
    with line.stdout:
        if said := line.stdout.readline().strip():
            line.kill()
            raise LabError(f"The lab has no line that delays: {said.decode(errors='replace')}")
    moved = f"link set {far} address {lease.mac}\nlink set {far} netns {lease.label} name eth0\n"
    run(["ip", "-batch", "-"], input=f"{moved}link set {near} master {machine.BRIDGE} up\n")
    return line


def greets(address: str, port: int, patience: float = 0.2) -> bool:
    """Whether an sshd answers there."""
    try:
        # Short: a first packet that is lost while the network comes up would be sent again after a second.
        with socket.create_connection((address, port), timeout=patience) as connection:
            connection.settimeout(5)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _walk(top: Path, prefix: str) -> dict[str, tuple[int, ...]]:
    """Every path below a folder, no link followed: mtime, size, ctime; () for a folder."""
    found: dict[str, tuple[int, ...]] = {}
    with os.scandir(top) as entries:
        for entry in entries:
            path = f"{prefix}/{entry.name}"
            with contextlib.suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    found[path] = ()
                    found |= _walk(Path(entry.path), path)
                else:
                    state = entry.stat(follow_symlinks=False)
                    found[path] = (state.st_mtime_ns, state.st_size, state.st_ctime_ns)
    return found


def with_root_key(host: Host) -> None:
    """A mutation: root's authorized_keys gets the lab's key, as the stock images do not have it."""
    host.run("mkdir -p -m 700 /root/.ssh")
    host.write("/root/.ssh/authorized_keys", images.key_path().with_suffix(".pub").read_text(), mode=0o600)


@atexit.register
def shutdown() -> None:
    """Destroy every host that this process booted; also done when the process ends."""
    with _booted_lock:
        hosts = list(_booted)
    for host in hosts:
        host.destroy()
