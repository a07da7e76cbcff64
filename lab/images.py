"""Root filesystems: built once per recipe with mmdebstrap, kept in the cache, never changed after."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.machine import locked
from lab.process import LabError, run

_PACKAGES = (
    "systemd systemd-sysv libpam-systemd dbus openssh-server sudo python3-minimal iproute2 procps"
    " ca-certificates openssl passwd login curl less netbase iputils-ping fish tcsh csh gzip libpam-modules"
)

# Units that a container cannot run, and timers that would do work of their own in the middle of a test.
_MASKED = (
    "getty@.service console-getty.service serial-getty@.service container-getty@.service"
    " systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer"
    " e2scrub_all.timer e2scrub_reap.service systemd-networkd.service systemd-networkd.socket"
    " systemd-resolved.service dev-hugepages.mount sys-fs-fuse-connections.mount sys-kernel-debug.mount"
    " sys-kernel-tracing.mount modprobe@.service"
)

# name: login shell. Those with a right of their own get it below.
_USERS = {
    "audit": "/bin/bash",
    "nosudo": "/bin/bash",
    "pwsudo": "/bin/bash",
    "least": "/bin/bash",
    "fishy": "/usr/bin/fish",
    "cshy": "/bin/tcsh",
    "bcshy": "/bin/bsd-csh",
    "noisy": "/bin/bash",
    "nologin": "/usr/sbin/nologin",
}
_SUDOERS = ("audit", "fishy", "cshy", "bcshy", "noisy")

_PREPARE = r"""
set -eu
ssh-keygen -A
for unit in @MASKED@; do ln -sf /dev/null "/etc/systemd/system/$unit"; done
ln -sf /usr/lib/systemd/system/multi-user.target /etc/systemd/system/default.target
rm -f /etc/resolv.conf /etc/hostname /etc/hosts
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id

person() {
    useradd -m -s "$2" "$1"
    mkdir -m 700 "/home/$1/.ssh"
    printf '%s\n' '@KEY@' > "/home/$1/.ssh/authorized_keys"
    chmod 600 "/home/$1/.ssh/authorized_keys"
    chown -R "$1:$1" "/home/$1/.ssh"
}
@USERS@
for user in @SUDOERS@; do
    printf '%s ALL=(ALL:ALL) NOPASSWD: ALL\n' "$user" > "/etc/sudoers.d/$user"
    chmod 440 "/etc/sudoers.d/$user"
done
usermod -aG sudo pwsudo
printf 'pwsudo:lab-pw-sudo\n' | chpasswd
{
    printf '%s\n' 'echo "Welcome to $(hostname), have a nice day"' 'echo "bashrc: warning: noise" >&2'
    cat /home/noisy/.bashrc
} > /tmp/bashrc
cat /tmp/bashrc > /home/noisy/.bashrc
rm /tmp/bashrc
echo LANG=C.UTF-8 > /etc/default/locale
touch /etc/.updated /var/.updated
"""

# What a booted host has of its own: devices, /proc and /run; no network, and nothing that outlives it.
_CHROOT = """
set -e
root=$1; shift
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
exec chroot "$root" "$@"
"""

# What programs inside find: nothing of the environment of the lab's own process.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


@dataclass(frozen=True)
class Recipe:
    """All that decides what is in an image."""

    suite: str
    packages: str = _PACKAGES
    prepare: str = _PREPARE
    masked: str = _MASKED


RECIPES = {"bookworm": Recipe("bookworm"), "trixie": Recipe("trixie")}


def chroot(root: Path) -> list[str]:
    """The beginning of an argument list that runs a program in a root filesystem that is not booted."""
    unshare = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
    return [*unshare, "sh", "-c", _CHROOT, "sh", str(root)]


def cache() -> Path:
    """Where images and the key are kept: LAB_CACHE, or a place that is not in the repository."""
    return Path(os.environ.get("LAB_CACHE", "/var/cache/pandora-audit-lab")).resolve()


def key_path() -> Path:
    """The private key (ed25519, no passphrase, mode 0600) with which every user of the images can log in."""
    key = cache() / "key"
    with locked(cache() / "key.lock"):
        if not key.exists():
            new = cache() / "key.new"
            new.unlink(missing_ok=True)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pandora-audit-lab", "-f", new])
            (cache() / "key.new.pub").rename(cache() / "key.pub")
            new.rename(key)  # last: who sees it finds the public half, too
    return key


def image(name: str) -> Path:
    """The root filesystem of an image, built when the cache does not have it. To be read only.

    Raises:
        LabError: no such image, or it could not be built.
    """
    if name not in RECIPES:
        raise LabError(f"no image {name!r}; there are {', '.join(RECIPES)}")
    public = key_path().with_suffix(".pub").read_text().strip()
    recipe = RECIPES[name]
    digest = hashlib.sha256(json.dumps([asdict(recipe), _USERS, _SUDOERS, public]).encode()).hexdigest()
    place = cache() / "images" / f"{name}-{digest[:12]}"
    if not place.exists():
        with locked(cache() / f"{name}.lock"):
            if not place.exists():
                _build(recipe, public, place)
    return place


def _build(recipe: Recipe, public: str, place: Path) -> None:
    """Build beside the place and rename: what has the final name is complete."""
    new = place.with_name(f".new-{recipe.suite}")
    # The lock is held: what lies there was left by a run that died.
    shutil.rmtree(new, ignore_errors=True)
    (new / "root").mkdir(parents=True)
    new.chmod(0o755)
    source = new / "debian.sources"
    source.write_text(_sources(recipe.suite))
    packages = ",".join(recipe.packages.split())
    run(
        ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={packages}", recipe.suite]
        + [str(new / "root")]
        + ([str(source)] if source.stat().st_size else []),
        timeout=900,
    )
    users = "\n".join(f"person {user} {shell}" for user, shell in _USERS.items())
    script = recipe.prepare.replace("@MASKED@", recipe.masked).replace("@KEY@", public)
    script = script.replace("@USERS@", users).replace("@SUDOERS@", " ".join(_SUDOERS))
    run([*chroot(new / "root"), "sh", "-c", script], timeout=120, env=ENVIRONMENT)
    (new / "root").rename(place)
    shutil.rmtree(new)


def _sources(suite: str) -> str:
    """This machine's own Debian source, for the suite; empty (mmdebstrap's own choice) where it has none."""
    system = dict(re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE))
    here = system.get("VERSION_CODENAME", "")
    for source in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        text = source.read_text() if system.get("ID") == "debian" and source.exists() else ""
        if here and re.search(rf"\b{here}\b", text):
            return re.sub(rf"\b{here}\b", suite, text)
    return ""
