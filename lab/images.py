"""Root filesystems in layers: each built once per recipe, kept in the cache, never changed after.

A base comes from mmdebstrap. A layer is the upper folder of an overlay over what lies below it, in which packages were
installed and the layer's ``build.sh`` ran. A personality is one more layer, in which scripts ran and nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NoReturn

from lab.machine import locked
from lab.process import LabError, Unavailable, run
from lab.recipes import LAYERS, UNSTABLE, Layer, chain

_LAB = Path(__file__).parent
_NEEDED = 2 << 30  # bytes free in the cache before a layer is built
_TLS = ("cache:tls/ca.pem", "cache:tls/host.key")
_STALE = 86400  # seconds without use after which another version of a layer is removed

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
"""
_ENTER = 'exec chroot "$root" "$@"\n'

# In a mount namespace of its own: wherever it stops, no mount is left. $1 root, $2 folder of the build, $3 the layers
# below (empty for a base), $4 packages; then the program that builds.
_BUILD = """
umask 022
root=$1 new=$2 below=$3 packages=$4; shift 4
if [ "$below" ]; then
    mount -t overlay overlay -o "lowerdir=$below,upperdir=$new/up,workdir=$new/work" "$root"
fi
set -- "$root" "$@"
@CHROOT@
mkdir "$root/run/lab" "$root/run/lock"
cp -R "$new/reads/." "$root/run/lab"
# A package that is installed here must not start anything.
printf '#!/bin/sh\\nexit 101\\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
if [ "$packages" ]; then
    # Sources and lists are in /run: where packages came from does not stay in the image.
    mkdir -p "$root/run/apt/lists/partial" "$root/run/apt/sources"
    cp "$new/build.sources" "$root/run/apt/sources/build.sources"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    apt() {
        chroot "$root" apt-get -q -y -o Acquire::Check-Valid-Until=false -o Dir::State::lists=/run/apt/lists \
            -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=/run/apt/sources "$@"
    }
    apt update >/dev/null
    apt install --no-install-recommends $packages >/dev/null
    apt clean
    rm "$root/etc/resolv.conf"
fi
if [ -d "$new/files" ]; then
    tar --owner=0 --group=0 --mode=u=rwX,go=rX -C "$new/files" -c . | chroot "$root" tar -x --no-overwrite-dir
fi
rc=0
unshare --net chroot "$root" "$@" || rc=$?
rm "$root/usr/sbin/policy-rc.d"
rm -rf "$root/var/cache/apt/archives"/*.deb "$root/var/cache/apt"/*.bin
exit $rc
""".replace("@CHROOT@", _CHROOT)

# A mount and a process namespace that end with whoever made them, however that ends.
_MORTAL = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]

# What programs inside find: nothing of the environment of the lab's own process.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


@dataclass(frozen=True)
class Image:
    """A root filesystem, as the layers of an overlay; the uppermost is the first. To be read only."""

    layers: tuple[Path, ...]
    services: tuple[str, ...]

    @property
    def lowerdir(self) -> str:
        return ":".join(map(str, self.layers))

    def has_folder(self, path: str) -> bool:
        """Whether the image has this absolute path, as a folder."""
        return any((layer / path[1:]).is_dir() for layer in self.layers)


@dataclass(frozen=True)
class _Step:
    """One layer to have in the cache: everything that decides what is in it."""

    name: str
    layer: Layer
    script: str
    environment: tuple[tuple[str, str], ...] = ()


def chroot(root: Path) -> list[str]:
    """The beginning of an argument list that runs a program in a root filesystem that is not booted."""
    return [*_MORTAL, "--net", "--ipc", "--uts", "sh", "-c", _CHROOT + _ENTER, "sh", str(root)]


def cache() -> Path:
    """Where images and keys are kept: LAB_CACHE, or a place that is not in the repository."""
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


def tls() -> Path:
    """A folder with the lab's authority (ca.pem, ca.key) and the one key of all hosts (host.key, host.csr)."""
    place = cache() / "tls"
    with locked(cache() / "key.lock"):
        if not place.exists():
            new = cache() / "tls.new"
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(mode=0o700)
            new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
            authority = ["openssl", "req", "-x509", *new_key, "-days", "3650", "-subj", "/O=Lab/CN=Lab authority"]
            run([*authority, "-keyout", new / "ca.key", "-out", new / "ca.pem"])
            request = ["openssl", "req", "-new", *new_key, "-subj", "/O=Lab/CN=host"]
            run([*request, "-keyout", new / "host.key", "-out", new / "host.csr"])
            new.rename(place)
    return place


def certificate(name: str, address: str) -> str:
    """A certificate of the lab's authority for a host: its name and its address, for the key of all hosts."""
    names = f"subjectAltName=DNS:{name},DNS:{name}.lab,IP:{address}\nextendedKeyUsage=serverAuth,clientAuth\n"
    folder = tls()
    authority = ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"), "-days", "397"]
    request = ["openssl", "x509", "-req", "-in", str(folder / "host.csr"), *authority]
    return run([*request, "-extfile", "/dev/stdin"], input=names).stdout


def image(name: str, hardened: bool = False) -> Image:
    """An image by the name of its topmost layer; built, as far as the cache does not have it.

    Raises:
        LabError: no such image, or it could not be built.
        Unavailable: what it is made of cannot be had here and now.
    """
    if name not in LAYERS:
        raise LabError(f"no image {name!r}; there are {', '.join(LAYERS)}")
    places: list[Path] = []
    for step in _steps(name, hardened):
        places.insert(0, _built(step, places))
    services = dict.fromkeys(service for _, layer in chain(name) for service in layer.services)
    return Image(tuple(places), tuple(services))


def _steps(name: str, hardened: bool) -> Iterator[_Step]:
    layers = chain(name)
    suite = layers[0][1].suite
    public = key_path().with_suffix(".pub").read_text().strip()
    tls()
    inside = (("LAB_SUITE", suite), ("LAB_KEY", public))
    for title, layer in layers:
        if script := _script(title, layer, "build"):
            reads = (*_TLS, *layer.reads) if layer.suite else layer.reads
            yield _Step(title, replace(layer, reads=reads), script, inside)
    yield from _personality(name, layers, suite, hardened)


def _personality(name: str, layers: list[tuple[str, Layer]], suite: str, hardened: bool) -> Iterator[_Step]:
    kind = "hardened" if hardened else "stock"
    script = "\n".join(_script(title, layer, kind) for title, layer in layers).strip()
    if script:
        ports = ", ".join(sorted({str(port) for _, layer in layers for port in (31122, *layer.ports)}))
        environment = (("LAB_SUITE", suite), ("LAB_PORTS", ports))
        shared = tuple(read for _, layer in layers for read in layer.reads)
        layer = Layer(under=name, folder="-", reads=shared)
        yield _Step(f"{name}.{kind}", layer, f"set -eu\n{script}", environment)


def _script(title: str, layer: Layer, which: str) -> str:
    try:
        return (_LAB / "roles" / (layer.folder or title) / f"{which}.sh").read_text("utf-8")
    except FileNotFoundError:
        return ""


def _built(step: _Step, below: list[Path]) -> Path:
    """The folder of a layer in the cache, built when it is not there."""
    digest = hashlib.sha256()
    digest.update(repr((asdict(step.layer), step.script, step.environment, [place.name for place in below])).encode())
    for name, source in _sources_of(step):
        digest.update(f"{name}\0{os.access(source, os.X_OK)}\0".encode() + source.read_bytes())
    place = cache() / "images" / f"{step.name}-{digest.hexdigest()[:12]}"
    if not place.exists():
        with locked(cache() / f"{step.name}.lock"):
            if not place.exists():
                _room(cache())
                _build(step, below, place)
                _prune(place)
    return place


def _sources_of(step: _Step) -> Iterator[tuple[str, Path]]:
    """Every file that goes into a layer: its name in the folder of the build, and where it lies."""
    roots = [("files", _LAB / "roles" / (step.layer.folder or step.name) / "files")]
    for read in step.layer.reads:
        kind, _, rest = read.partition(":")
        source = cache() / rest if kind == "cache" else _LAB / read
        roots.append((f"reads/{source.name}", source))
    for name, source in roots:
        if source.is_file():
            yield name, source
        for path in sorted(source.rglob("*")):
            if path.is_file():
                yield f"{name}/{path.relative_to(source)}", path


def _build(step: _Step, below: list[Path], place: Path) -> None:
    """Build beside the place and rename: what has the final name is complete."""
    new = place.with_name(f".new-{step.name}")
    try:
        # The lock is held: what lies there was left by a run that died.
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for part in ("up", "work", "root", "reads"):
            (new / part).mkdir(mode=0o755)
        _fill(step, below, new)
    except (LabError, OSError) as failure:
        # Room for the next attempt, if it was that.
        shutil.rmtree(new, ignore_errors=True)
        _explain(failure, step)
    finished = new / "up" if below else new / "root"
    finished.chmod(0o755)
    finished.rename(place)
    shutil.rmtree(new)


def _fill(step: _Step, below: list[Path], new: Path) -> None:
    """Everything that a build does, in the folder that was made for it."""
    for name, source in _sources_of(step):
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, new / name)
    suite = dict(step.environment)["LAB_SUITE"]
    (new / "build.sources").write_text(sources(suite))
    if not below:
        _debootstrap(step.layer, new)
    packages = step.layer.packages if below else ""
    arguments = [str(new / "root"), str(new), ":".join(map(str, below)), packages]
    run(
        [*_MORTAL, "--ipc", "--uts", "sh", "-e", "-c", _BUILD, "sh", *arguments, "sh", "-c", step.script],
        timeout=900,
        env={**ENVIRONMENT, **dict(step.environment)},
    )


def _debootstrap(layer: Layer, new: Path) -> None:
    source = new / "build.sources"
    command = [*_MORTAL, "--mount-proc", "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]
    # The index of sid, and of an archive that was frozen, is out of date by its own words.
    command += ['--aptopt=Acquire::Check-Valid-Until "false"', f"--include={','.join(layer.packages.split())}"]
    run([*command, layer.suite, str(new / "root"), str(source)], timeout=900)


def _room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _NEEDED:
        raise LabError(
            f"The lab builds its images in {cache()}, where only {free >> 20} MiB of {_NEEDED >> 20} are free;"
            " make room, or set LAB_CACHE."
        )


def _explain(failure: LabError | OSError, step: _Step) -> NoReturn:
    """Raise what a failed build means, in one sentence."""
    said = str(failure)
    if os.strerror(errno.ENOSPC) in said:
        raise LabError(f"The disk of {cache()} is full; the image {step.name} was not built.") from failure
    # Release files, packages and names that are gone; a script of the lab that fails says none of this.
    gone = re.search(r"^E: (?!Sub-process).*", said, re.MULTILINE)
    if gone:
        suite = dict(step.environment)["LAB_SUITE"]
        kind = Unavailable if suite == UNSTABLE else LabError
        raise kind(f"Debian's {suite} does not give what the image {step.name} needs: {gone[0]}") from failure
    end = said.rpartition(" ended with ")[2][-1500:]
    raise LabError(f"The image {step.name} could not be built: {end}") from failure


def sources(suite: str) -> str:
    """This machine's own Debian sources (or the deb822 file that LAB_SOURCES names), for the suite."""
    source = Path(os.environ.get("LAB_SOURCES", "/etc/apt/sources.list.d/debian.sources"))
    text = source.read_text() if source.exists() else ""
    named = re.search(r"^Suites:\s*([a-z]+)", text, re.MULTILINE)
    if named is None:
        raise LabError(f"{source} names no Debian suite to build images from; name such a file in LAB_SOURCES.")
    here = named[1]
    stanzas = re.split(r"\n\s*\n", text.strip())
    if suite == UNSTABLE:  # it has neither updates nor security
        first = next(stanza for stanza in stanzas if re.search(rf"^Suites:.*\b{here}(?!-)\b", stanza, re.MULTILINE))
        return re.sub(r"^Suites:.*", f"Suites: {suite}", first, flags=re.MULTILINE) + "\n"
    return "\n\n".join(re.sub(rf"\b{here}\b", suite, stanza) for stanza in stanzas) + "\n"


@contextmanager
def in_use(used: Image) -> Iterator[None]:
    """Keep the layers from being pruned meanwhile, also by other runs; a dead process keeps nothing."""
    files = []
    try:
        for place in used.layers:
            file = _use(place).open("a")
            files.append(file)
            fcntl.flock(file, fcntl.LOCK_SH)
            os.utime(file.fileno(), (time.time(), time.time()))
        yield
    finally:
        for file in files:
            file.close()


def _use(place: Path) -> Path:
    return place.with_name(f"{place.name}.use")


def _prune(current: Path) -> None:
    """Remove the versions of a layer that no host has and nobody used for a day."""
    name = current.name.rpartition("-")[0]
    for place in current.parent.glob(f"{name}-*"):
        if place == current or not re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{12}}", place.name):
            continue
        with _use(place).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if max(_use(place).stat().st_mtime, place.stat().st_mtime) < time.time() - _STALE:
                dead = place.with_name(f".dead-{place.name}")
                place.rename(dead)
                shutil.rmtree(dead)
                _use(place).unlink()
