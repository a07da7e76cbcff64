"""The deployment that ships as a recording: what it said when it was asked is what is concluded today."""

from __future__ import annotations

import running

DEMO = running.ROOT / "demo"
HARDENED = {"pandora01", "console01", "db01", "web01", "web02", "secured"}
# What the hardened hosts of the lab do not have, each for a reason of the lab's: no directory of NFS, no second factor,
# no shipper, no agent on every host, Debian's old agent, an account of the audit with all rights, a CA of its own that
# nobody promised, MariaDB's own way to store passwords.
UNMET = {
    *("agent.temporal-private", "agent.tls-verified", "console.audit-exported", "console.audit-signed"),
    *("console.host-hardened", "mysql.auth-plugin", "system.audit-account", "system.auth-log-monitored"),
    *("system.package-inventory", "system.process-inventory", "system.second-factor", "system.sudo-authenticates"),
    *("tentacle.external-storage", "web.tls"),
}
# They have no package lists, Pandora FMS is no package there, and its server cannot ask the database of another host.
UNSEEN = {
    *("mysql.updated", "system.critical-components", "system.security-updates", "system.supported-components"),
    *("monitoring.local-agent", "monitoring.security-plugin", "monitoring.security-plugin-clean"),
}


def test_the_demonstration_says_what_it_said() -> None:
    done = running.run(f"--hosts=replay://{DEMO}", "--level=strict", "-v", prefix=["unshare", "--net"])
    rows = running.terminal(done.out)
    assert rows == running.record(DEMO)
    assert done.status == 11
    words = {"compliant", "not compliant", "not compliant: edition", "not applicable", "to decide", "not assessed"}
    assert {row.verdict for row in rows} == words


def test_hardened_hosts_lack_what_is_known_and_stock_ones_more() -> None:
    rows = running.record(DEMO)
    mine = [row for row in rows if row.host in HARDENED]
    assert {row.control for row in mine if row.verdict.startswith("not compliant")} == UNMET
    assert {row.control for row in mine if row.verdict == "not assessed"} == UNSEEN
    for host in {row.host for row in rows} - HARDENED - {"web05"}:
        assert "not compliant" in {row.verdict for row in rows if row.host == host}, host
    assert {row.verdict for row in rows if row.host == "web05"} == {"not assessed"}
