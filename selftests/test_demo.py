"""The deployment that ships as a recording: what it said when it was asked is what is concluded today."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import running

import lab

DEMO = running.ROOT / "demo"
# What installers leave: by host, the controls that it does not meet, each with why.
STOCK = tomllib.loads((running.ROOT / "selftests/data/stock.toml").read_text("utf-8"))
EVERYWHERE = STOCK.pop("everywhere")
HARDENED = {"pandora01", "console01", "db01", "web01", "web02", "secured"}
UNREACHABLE = "web05"
# What people answer for, there.
SIGNED = {
    # Nobody sees what users were told.
    ("secured", "console.audit-announced"),
    # The lab has no storage but its own.
    ("pandora01", "tentacle.external-storage"),
    # PHP's own driver does not know MariaDB's ed25519: one account proves its password in the old way.
    ("db01", "mysql.auth-plugin"),
}
# What nobody can tell of the hardened half.
UNSEEN = {
    # The vendor's installer is a tarball: no package says which release of Pandora FMS it brought.
    ("pandora01", "system.supported-components"),
    ("console01", "system.supported-components"),
    # Sums up the other.
    ("console01", "console.host-hardened"),
}


def rows(*verdicts: str) -> set[tuple[str, str]]:
    """Host and control of each finding whose verdict begins with one of these."""
    return {(row.host, row.control) for row in running.record(DEMO) if row.verdict.startswith(verdicts)}


def test_the_demonstration_says_what_it_said() -> None:
    signed = (f"--attestations={DEMO / 'attestations.yml'}", f"--exceptions={DEMO / 'exceptions.yml'}")
    done = running.run(f"--hosts=replay://{DEMO}", *signed, "--level=strict", "-v", prefix=["unshare", "--net"])
    rows = running.terminal(done.out)
    assert rows == running.record(DEMO)
    assert done.status == 11
    assert {row.verdict for row in rows} == {
        *("compliant", "not compliant", "not compliant: edition", "not applicable"),
        *("to decide", "not assessed", "attested", "risk accepted"),
    }


def test_the_hardened_half_meets_everything() -> None:
    assert {each for each in rows("not compliant", "to decide") if each[0] in HARDENED} == set()
    assert {each for each in rows("not assessed") if each[0] in HARDENED} == UNSEEN
    assert rows("attested", "risk accepted") == SIGNED


@pytest.mark.parametrize("host", STOCK)
def test_a_stock_host_does_not_meet_what_its_installer_leaves(host: str) -> None:
    expected = {*STOCK[host], *(EVERYWHERE if host != "installed" else ())}
    assert {control for name, control in rows("not compliant") if name == host} == expected


def test_every_host_has_its_expectation() -> None:
    assert {row.host for row in running.record(DEMO)} == {*STOCK, *HARDENED, UNREACHABLE}
    assert {row.verdict for row in running.record(DEMO) if row.host == UNREACHABLE} == {"not assessed"}


def test_booted_today_the_demonstration_says_the_same(tmp_path: Path) -> None:
    lab.required()
    folder = tmp_path / "today"
    command = [sys.executable, "-m", "lab", "record", str(folder)]
    done = subprocess.run(command, cwd=running.ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 11, done.stdout[-2000:] + done.stderr
    today, then = ({(row.host, row.control, row.verdict) for row in running.record(each)} for each in (folder, DEMO))
    assert today == then
