"""The deployment that ships as a recording: what it said when it was asked is what is concluded today."""

from __future__ import annotations

import running

DEMO = running.ROOT / "demo"


def test_the_demonstration_says_what_it_said() -> None:
    done = running.run(f"--hosts=replay://{DEMO}", "--level=strict", "-v", prefix=["unshare", "--net"])
    rows = running.terminal(done.out)
    assert rows == running.record(DEMO)
    assert done.status == 11
    assert {row.verdict for row in rows} == {"compliant", "not compliant", "not applicable", "not assessed"}


def test_hardened_hosts_are_compliant_and_stock_ones_are_not() -> None:
    rows = running.record(DEMO)
    hardened = {"pandora01", "console01", "db01", "web01", "web02"}
    assert {row.verdict for row in rows if row.host in hardened} == {"compliant"}
    for host in {row.host for row in rows} - hardened - {"web05"}:
        assert "not compliant" in {row.verdict for row in rows if row.host == host}, host
    assert {row.verdict for row in rows if row.host == "web05"} == {"not assessed"}
