"""Exceptions: written by two people, with an end, and never more than what they name."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandora_audit import exceptions
from pandora_audit.exceptions import Leftover, SiteException, accept, leftovers
from pandora_audit.sitefile import SiteError

TODAY = date(2026, 3, 1)
KNOWN = {"ssh.root", "ssh.keys"}
GOOD = """\
- control: ssh.root
  host: db*
  until: 2026-03-01
  requested_by: Ana
  approved_by: Liam
  reason: no
"""


def entry(**words):
    base = {
        "control": "ssh.root",
        "host": "*",
        "until": TODAY,
        "requested_by": "a",
        "approved_by": "b",
        "reason": "r",
    }
    return SiteException(**{**base, **words})


def load(tmp_path, text):
    file = tmp_path / "x.exceptions.yml"
    file.write_text(text)
    return exceptions.load(file, KNOWN)


def test_an_entry_is_read_as_written(tmp_path):
    (one,) = load(tmp_path, GOOD)
    assert (one.control, one.host, one.until, one.reason, one.subject) == ("ssh.root", "db*", TODAY, "no", "")
    assert one.where == f"{tmp_path}/x.exceptions.yml:1"


@pytest.mark.parametrize("text", ["", "# none\n", "[]\n", "---\n"])
def test_no_entries_are_no_error(tmp_path, text):
    assert load(tmp_path, text) == ()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("ssh.root", "ssh.rot", "yml:1: there is no control ssh.rot; did you mean ssh.root?"),
        ("2026-03-01", "2026-02-30", "yml:3: until is '2026-02-30'; it takes a day"),
        ("2026-03-01", "20260301", "yml:3: until is"),
        ("2026-03-01", "2026-W09-7", "yml:3: until is"),
        ("Liam", " ANA ", "yml:5: who requests"),
        ("Liam", "", "yml:5: approved_by says nothing"),
        ("Liam", '" "', "yml:5: approved_by is empty"),
        ("Liam", "[Liam]", "yml:5: approved_by is a list"),
        ("reason: no", "reson: no", "yml:6: an exception has no reson; did you mean reason?"),
        ("  reason: no\n", "", "yml:1: this exception lacks reason"),
        ("  reason: no", "  host: b", "yml:6: host is here twice"),
        ("- control: ssh.root\n", "- ssh.root\n- a: b\n", "yml:1: an exception is the text"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(tmp_path, old, new, says):
    with pytest.raises(SiteError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert says in str(caught.value)


def test_a_mapping_is_refused(tmp_path):
    with pytest.raises(SiteError, match="yml:1: exceptions are a list"):
        load(tmp_path, "control: x\n")


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(SiteError, match=r"none\.yml: No such file"):
        exceptions.load(tmp_path / "none.yml", KNOWN)


def test_the_file_beside_an_inventory():
    assert exceptions.beside(Path("i/production.yml")) == Path("i/production.exceptions.yml")


def test_the_example_is_readable():
    example = Path(__file__).parents[1] / "inventories" / "example.exceptions.yml"
    assert len(exceptions.load(example, {"ssh.root-login", "ssh.user-keys"})) == 2


def test_the_last_day_counts():
    assert accept([entry()], "ssh.root", "h", {"x"}, TODAY).accepted
    assert not accept([entry()], "ssh.root", "h", {"x"}, TODAY + timedelta(days=1)).accepted


@pytest.mark.parametrize(
    ("entries", "offenders", "accepted", "uncovered"),
    [
        ([entry()], set(), True, set()),
        ([entry()], {"a", "b"}, True, set()),
        ([entry(subject="a")], {"a"}, True, set()),
        ([entry(subject="a")], {"a", "b"}, False, {"b"}),
        ([entry(subject="a"), entry(subject="b*")], {"a", "bc"}, True, set()),
        ([entry(subject="*")], set(), False, set()),
        ([entry(subject="/[x]")], {"/[x]"}, True, set()),
        ([entry(control="ssh.keys")], {"a"}, False, {"a"}),
        ([entry(host="other")], {"a"}, False, {"a"}),
        ([entry(host="[::1]:22")], {"a"}, False, {"a"}),
        ([], set(), False, set()),
    ],
)
def test_accepted_only_when_every_offender_is_covered(entries, offenders, accepted, uncovered):
    coverage = accept(entries, "ssh.root", "h", offenders, TODAY)
    assert (coverage.accepted, coverage.uncovered) == (accepted, uncovered)


names = st.sampled_from(["a", "b", "c", "ab"])


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "b", "a*", "?"]), st.booleans())),
    st.frozensets(names),
)
def test_acceptance_against_an_oracle(shapes, offenders):
    entries = [entry(subject=s, until=TODAY if live else TODAY - timedelta(days=1)) for s, live in shapes]
    meaning = {"": {"a", "b", "c", "ab"}, "a": {"a"}, "b": {"b"}, "a*": {"a", "ab"}, "?": {"a", "b", "c"}}
    covered = set().union(*(meaning[s] for s, live in shapes if live)) if shapes else set()
    whole = ("", True) in shapes
    coverage = accept(entries, "ssh.root", "h", offenders, TODAY)
    assert coverage.uncovered == offenders - covered
    assert coverage.accepted == (whole or (bool(offenders) and offenders <= covered))


def test_what_is_left_over():
    used, expired, gone = entry(ticket="1"), entry(until=date(2025, 1, 1)), entry(host="x*")
    fixed, blind, vague = (
        entry(host="h1", ticket="2"),
        entry(control="ssh.keys"),
        entry(host="h2", subject="z"),
    )
    judged = {("ssh.root", "h1"): True, ("ssh.root", "h2"): False, ("ssh.keys", "h1"): True}
    found = leftovers([used, expired, gone, fixed, blind, vague], [used], judged, ["h1", "h2"], TODAY)
    assert found == (
        Leftover(expired, "expired on 2025-01-01"),
        Leftover(gone, "covers nothing: no audited host is called x*"),
        Leftover(fixed, "is no longer needed: ssh.root is compliant on h1"),
        Leftover(vague, "covers nothing: ssh.root names no z"),
    )
