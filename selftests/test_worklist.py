"""What is to be changed, and in which order."""

from __future__ import annotations

from judging import controls

from pandora_audit.finding import Finding
from pandora_audit.offence import Offence, Offences
from pandora_audit.report import worklist
from pandora_audit.verdict import Word

KNOWN = controls("tests_ssh")


def finding(control: str, host: str, *causes: str, word: Word = Word.NOT_COMPLIANT) -> Finding:
    return Finding(control=KNOWN[control], host=host, word=word, causes=frozenset(causes))


def test_findings_of_one_line_are_one_job_and_the_gravest_comes_first() -> None:
    made = worklist.changes(
        [
            finding("ssh.port", "a"),
            finding("ssh.port", "b"),
            finding("ssh.tunnel", "a", "/etc/x:3"),
            finding("ssh.root-login", "a", "/etc/x:3"),
            finding("ssh.banner", "a", "/etc/x:3", "/etc/y:1"),
            finding("ssh.banner", "b", word=Word.COMPLIANT),
            finding("ssh.root-keys", "c", word=Word.ACCEPTED),
        ]
    )
    assert [(each.place, each.controls, each.hosts) for each in made] == [
        ("/etc/x:3", ("ssh.root-login", "ssh.tunnel"), ("a",)),
        ("ssh.port", ("ssh.port",), ("a", "b")),
        ("ssh.banner", ("ssh.banner",), ("a",)),
    ]
    assert worklist.headline(made) == "3 changes close 5 findings"
    assert worklist.headline(made[:1]) == "1 change closes 2 findings"
    assert str(made[0]) == "high  /etc/x:3: ssh.root-login, ssh.tunnel  (a)"


def test_many_hosts_are_counted() -> None:
    made = worklist.changes(finding("ssh.port", f"h{n}") for n in range(9))
    assert str(made[0]).endswith("(h0, h1, h2, h3 and 5 more)")


def test_a_cause_counts_where_every_offence_has_one() -> None:
    known = Offence(subject="a", text="a", cause="/etc/x:1")
    assert Offences([known], "").causes == {"/etc/x:1"}
    assert Offences([known, Offence(subject="b", text="b")], "").causes == frozenset()
