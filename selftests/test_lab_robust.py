"""The lab where things go wrong: killed runs, two runs at once, a full disk, packages or rights that are missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import lab
from lab import images, recipes
from lab.process import run

REPOSITORY = Path(__file__).parent.parent
# Builds a personality, with some more to do, from what is in the repository: a second.
BUILD = """
import dataclasses, sys
from lab import images
personality = images._personality
def longer(*of):
    for step in personality(*of):
        yield dataclasses.replace(step, script=f"{step.script}\\n{sys.argv[1]}")
images._personality = longer
images._NEEDED = 0  # there was room enough when it began
print(images.image("bookworm", hardened=True).layers[0])
"""


@pytest.fixture(autouse=True)
def _needs_the_lab() -> None:
    lab.required()


def furnish(place: Path) -> None:
    """Make a cache that has the keys and the base of the machine's own, and no layer on it."""
    base = images.image("bookworm").layers[-1]
    names = ("key", "key.pub", "tls")
    (place / "images").mkdir()
    run(["cp", "-a", *(images.cache() / name for name in names), place])
    (place / "images" / base.name).symlink_to(base)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    furnish(tmp_path)
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    return tmp_path


def builder(more: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, more]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def layers(cache: Path) -> list[str]:
    return [path.name for path in (cache / "images").iterdir() if path.is_dir() and not path.is_symlink()]


def test_two_runs_that_need_the_same_layer_build_it_once(cache: Path) -> None:
    both = [builder(), builder()]
    said = {process.communicate(timeout=240) for process in both}
    assert [process.returncode for process in both] == [0, 0], said
    assert len(said) == 1
    assert len(layers(cache)) == 1


def test_a_build_that_was_killed_leaves_nothing_to_trip_over(cache: Path) -> None:
    started = cache / "images" / ".new-bookworm.hardened" / "up" / "started"
    process = builder("touch /started; sleep 4243")
    try:
        wait(started.exists)
    finally:
        process.kill()
        process.communicate(timeout=240)
    # What it had started ends with it; not a second later, when the next run builds there.
    wait(lambda: "sleep 4243" not in run(["ps", "-eo", "args"]).stdout)
    done = builder()
    assert done.communicate(timeout=240)[1] == ""
    assert [name.rpartition("-")[0] for name in layers(cache)] == ["bookworm.hardened"]


@pytest.mark.parametrize("left", [0, 100_000])
def test_a_full_disk_is_one_sentence(left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", tmp_path / "disk"])
    try:
        furnish(tmp_path / "disk")
        monkeypatch.setenv("LAB_CACHE", str(tmp_path / "disk"))
        free = shutil.disk_usage(tmp_path / "disk").free
        (tmp_path / "disk" / "much").write_bytes(bytes(free - left))
        _, said = builder("head -c 200000 /dev/zero > /more").communicate(timeout=240)
        sentence = f"The disk of {tmp_path / 'disk'} is full; the image bookworm.hardened was not built."
        assert said.splitlines()[-1] == f"lab.process.LabError: {sentence}"
        # With room again, nothing of that is in the way.
        (tmp_path / "disk" / "much").unlink()
        assert builder().communicate(timeout=240)[1] == ""
    finally:
        run(["umount", "--lazy", tmp_path / "disk"])


@pytest.mark.parametrize(("suite", "kind"), [("bookworm", lab.LabError), (recipes.UNSTABLE, lab.Unavailable)])
def test_a_package_that_is_gone_is_one_sentence(
    suite: str, kind: type[lab.LabError], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive without packages, in the image itself; only what is not in a release may be unavailable."""
    archive = cache / "archive" / "dists" / suite
    (archive / "main" / "binary-amd64").mkdir(parents=True)
    (archive / "main" / "binary-amd64" / "Packages").touch()
    (archive / "Release").write_text(f"Suite: {suite}\nComponents: main\nArchitectures: amd64\n")
    sources = cache / "lab.sources"
    sources.write_text(f"Types: deb\nURIs: file:/run/lab/archive\nSuites: {suite}\nComponents: main\nTrusted: yes\n")
    monkeypatch.setenv("LAB_SOURCES", str(sources))
    layer = recipes.Layer("bookworm", packages="no-such-package", folder="common", reads=(str(cache / "archive"),))
    step = images._Step("poor", layer, "true", (("LAB_SUITE", suite),))
    with pytest.raises(lab.LabError) as told:
        images._built(step, list(images.image("bookworm").layers))
    assert type(told.value) is kind
    assert str(told.value) == (
        f"Debian's {suite} does not give what the image poor needs: E: Unable to locate package no-such-package"
    )


NEEDS = "The lab needs overlayfs on /var/lib/pandora-audit-lab and network namespaces, and trying them failed:"


@pytest.mark.parametrize(
    ("less", "user", "sentence"),
    [
        ("--bounding-set=+all", 65534, "The lab needs root (mounts, network namespaces, systemd-nspawn), and"),
        ("--bounding-set=-sys_admin", 0, NEEDS),
        ("--bounding-set=-net_admin", 0, NEEDS),
    ],
)
def test_where_rights_are_missing_the_program_says_which(less: str, user: int, sentence: str) -> None:
    source = f"import os, sys; from lab.__main__ import main; os.setuid({user}); sys.argv = ['lab', 'list']; main()"
    command = ["setpriv", "--inh-caps=-all", less, sys.executable, "-c", source]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240)
    assert done.stdout == ""
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def wait(for_what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not for_what():
        assert time.monotonic() < end
        time.sleep(0.02)
