"""What is to be changed, in which order, and what of it the vendor's installer left."""

from __future__ import annotations

import datetime
import graphlib

import pytest
import running
from judging import controls

from pandora_audit.finding import Finding
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Role
from pandora_audit.report import installer, worklist
from pandora_audit.verdict import Word

KNOWN = controls()


def finding(control: str, host: str, *causes: str, word: Word = Word.NOT_COMPLIANT) -> Finding:
    return Finding(control=KNOWN[control], host=host, word=word, causes=frozenset(causes))


def met(control: str, *offences: str, host: str = "a") -> Finding:
    return Finding(control=KNOWN[control], host=host, word=Word.NOT_COMPLIANT, offences=offences)


def test_findings_of_one_line_are_one_job_and_the_gravest_comes_first() -> None:
    made = worklist.changes(
        [
            finding("ssh.port", "a"),
            finding("ssh.port", "b", "/etc/z:1"),
            finding("ssh.tunnel", "a", "/etc/x:3"),
            finding("ssh.root-login", "a", "/etc/x:3"),
            finding("ssh.banner", "a", "/etc/x:3", "/etc/y:1"),
            finding("ssh.banner", "b", word=Word.COMPLIANT),
            finding("ssh.root-keys", "c", word=Word.ACCEPTED),
        ]
    )
    assert [(each.place, each.controls, each.hosts) for each in made] == [
        ("/etc/x:3", ("ssh.root-login", "ssh.tunnel"), ("a",)),
        ("", ("ssh.port",), ("a", "b")),
        ("", ("ssh.banner",), ("a",)),
    ]
    assert worklist.headline(made) == "3 changes close 5 findings"
    assert worklist.headline(made[:1]) == "1 change closes 2 findings"
    assert str(made[0]) == "1. high  /etc/x:3: ssh.root-login, ssh.tunnel  (a)"
    assert str(made[2]) == "3. low  A banner is sent before the login: ssh.banner  (a)"


def test_what_is_to_be_considered_or_bought_is_not_for_today() -> None:
    severe = [finding("ssh.root-login", "a"), finding("system.second-factor", "a")]
    severe.append(finding("console.extended-acl", "a", word=Word.EDITION))
    urgent = [each.controls for each in worklist.changes(severe) if each.is_urgent]
    assert urgent == [("ssh.root-login",)]


def test_many_hosts_are_counted() -> None:
    made = worklist.changes(finding("ssh.port", f"h{n}") for n in range(9))
    assert str(made[0]).endswith("(h0, h1, h2, h3 and 5 more)")


def test_a_cause_counts_where_every_offence_has_one() -> None:
    known = Offence(subject="a", text="a", cause="/etc/x:1")
    assert Offences([known], "").causes == {"/etc/x:1"}
    assert Offences([known, Offence(subject="b", text="b")], "").causes == frozenset()


def test_what_the_edition_lacks_is_one_job() -> None:
    lacking = ("console.password-policy", "console.extended-acl")
    made = worklist.changes(finding(control, "d", word=Word.EDITION) for control in lacking)
    assert [each.controls for each in made] == [tuple(sorted(lacking))]


# --- what comes first ---


def test_the_order_names_controls_and_has_no_circle() -> None:
    order = worklist.order()
    assert {*order, *(first for each in order.values() for first in each)} <= KNOWN.keys()
    list(graphlib.TopologicalSorter(order).static_order())
    assert list(order) == sorted(order)


def test_nothing_is_to_be_done_before_its_time() -> None:
    wanted = ["mysql.tls-required", "console.db-tls", "mysql.tls", "system.clock", "system.time-service", "ssh.banner"]
    made = worklist.changes(finding(control, "a") for control in wanted)
    at = {each.controls[0]: each for each in made}
    for later, first in [("mysql.tls-required", "mysql.tls"), ("system.clock", "system.time-service")]:
        assert at[first].number < at[later].number
        assert at[first].number in at[later].after
    assert at["mysql.tls-required"].after == (at["mysql.tls"].number, at["console.db-tls"].number)
    assert at["ssh.banner"].after == ()
    assert f"after {at['system.time-service'].number})" in str(at["system.clock"])


def test_jobs_that_wait_for_each_other_are_all_there() -> None:
    one = [finding("web.https-only", "a", "/x:1"), finding("ssh.port", "a", "/x:1")]
    other = [finding("web.tls", "a", "/y:1"), finding("ssh.running-config", "a", "/y:1")]
    made = worklist.changes([*one, *other])
    assert sorted(each.place for each in made) == ["/x:1", "/y:1"]
    assert {each.number for each in made} == {1, 2}


# --- as the installer left it ---


def test_the_table_names_controls_and_roles_and_is_dated() -> None:
    for entry in installer.entries():
        assert entry.closes.keys() <= KNOWN.keys(), entry.change
        assert entry.roles <= set(Role), entry.change
        assert entry.change, entry.left
    changes = [entry.change for entry in installer.entries()]
    assert len(set(changes)) == len(changes)
    assert datetime.date(2026, 1, 1) < installer.as_of()


def test_what_is_exactly_as_it_was_left_is_one_change() -> None:
    made = worklist.changes(
        [
            met("mysql.account-hosts", "pandora@% enters from everywhere", host="db"),
            met("mysql.auth-plugin", "pandora@% uses mysql_native_password", host="db"),
            met("server.default-secrets", "dbpass is a published default", host="srv"),
            met("tentacle.password", "no password is set", host="srv"),
        ]
    )
    assert [(each.hosts, len(each.findings)) for each in worklist.left(made)] == [(("db", "srv"), 3), (("srv",), 1)]
    assert not worklist.own(made)


@pytest.mark.parametrize(
    "found",
    [
        met("mysql.account-hosts", "pandora@10.% enters from everywhere"),
        met("mysql.account-hosts", "backup@% enters from everywhere"),
        met("mysql.auth-plugin", "ops@% uses mysql_native_password"),
        met("mysql.tls-required", "ops@% may enter without TLS"),
        met(
            "mysql.account-hosts",
            "pandora@% enters from everywhere",
            "ops@10.0.0.1 enters from where no client is promised",
        ),
        met("server.default-secrets", "dbpass is a published default", "encryption_passphrase is a published default"),
        met("console.audit-retention", "records are deleted after 7 days"),
        met("mysql.bind-address", "listens on 0.0.0.0:3306", "is told to listen on 0.0.0.0:3306"),
        met("tentacle.password", "the password is a published one"),
        met("ssh.root-login", "PermitRootLogin yes"),
        met("tentacle.password"),
    ],
)
def test_what_differs_is_somebody_s_own(found: Finding) -> None:
    assert not worklist.left(worklist.changes([found], {"a": frozenset(Role)}))


def test_what_an_installer_does_to_its_own_hosts_is_not_laid_at_its_door_elsewhere() -> None:
    found = met("system.firewall", "the host's filter lets in IPv4 packets that no rule speaks of")
    assert worklist.left(worklist.changes([found], {"a": {Role.SERVER, Role.AGENT}}))
    assert not worklist.left(worklist.changes([found], {"a": {Role.AGENT}}))
    assert not worklist.left(worklist.changes([found]))


def test_the_words_of_the_table_are_those_of_real_machines() -> None:
    """Each control of the table was met as an installer leaves it in the demonstration, but for these."""
    told = [row.observed for row in running.record(running.ROOT / "demo") if row.verdict == "not compliant"]
    words = " ; ".join(told)
    unmet = {
        (entry.change, control)
        for entry in installer.entries()
        for control, pattern in entry.closes.items()
        if not pattern.search(words)
    }
    assert {control for _, control in unmet} <= {
        "mysql.bind-address",
        "mysql.x-protocol",
        "mysql.password-complexity",
        "agent.tls",
        "agent.tls-verified",
        "system.mandatory-access-control",
    }
