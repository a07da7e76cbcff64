"""Baselines: the file, where it is looked for, when it counts; and proposed, approved, kept, broken on a real host."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import ask, controls, judge

import lab
from pandora_audit import baseline, cli
from pandora_audit.baseline import Baseline
from pandora_audit.promises import Promises
from pandora_audit.sitefile import SiteError
from pandora_audit.target import Target
from pandora_audit.transport import Options
from pandora_audit.verdict import ToDecide, Word

DAY = date(2026, 6, 1)
HEAD = "owner: Olga\napproved-by: Ada\nreview-until: 2026-06-01\n"
WHOLE = HEAD + "processes:\n  /usr/sbin/x: x.service\n  /usr/sbin/y: [y.service, z.service]\n"


def target(path: str) -> Target:
    return Target(name="web01", address="x", promises=Promises.read({"baseline": (path, "inventory.yml:3")}))


def test_a_file_beside_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "web01.yml").write_text(WHOLE)
    found = target("web01.yml").with_baseline(tmp_path / "inventory.yml").promises.baseline
    assert found is not None
    assert found.section("processes", DAY) == {
        "/usr/sbin/x": ("x.service",),
        "/usr/sbin/y": ("y.service", "z.service"),
    }


def test_a_folder_with_a_file_of_each_host(tmp_path: Path) -> None:
    (tmp_path / "accepted").mkdir()
    (tmp_path / "accepted" / "web01.yml").write_text(WHOLE)
    found = target("accepted").with_baseline(tmp_path / "inventory.yml").promises.baseline
    assert found is not None
    assert found.section("processes", DAY)


def test_a_folder_without_a_file_of_the_host_leaves_it_to_decide(tmp_path: Path) -> None:
    (tmp_path / "accepted").mkdir()
    found = target("accepted").with_baseline(tmp_path / "inventory.yml").promises.baseline
    assert found is not None
    with pytest.raises(ToDecide, match="pandora-audit baseline propose"):
        found.section("processes", DAY)


def test_it_survives_a_record(tmp_path: Path) -> None:
    (tmp_path / "web01.yml").write_text(WHOLE)
    promises = target("web01.yml").with_baseline(tmp_path / "inventory.yml").promises
    again = Promises.from_record(promises.to_record())
    assert again.baseline is not None
    assert promises.baseline is not None
    assert again.baseline.section("processes", DAY) == promises.baseline.section("processes", DAY)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("owner: Olga\n", "lacks approved-by, review-until"),
        (HEAD + "proceses: {}\n", "web01.yml:4: a baseline has no proceses; did you mean processes"),
        (HEAD.replace("Ada", "olga"), "web01.yml:2: the owner of a baseline does not approve it"),
        (HEAD.replace("2026-06-01", "soon"), "web01.yml:3: review-until is 'soon'"),
        (HEAD + "processes:\n  /usr/sbin/x:\n", "web01.yml:5: /usr/sbin/x says nothing"),
        (HEAD + "processes: [a]\n", "processes is a list"),
        ("owner: a: b", "not YAML"),
    ],
)
def test_what_is_no_baseline_is_said_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "web01.yml").write_text(text)
    with pytest.raises(SiteError, match=why):
        target("web01.yml").with_baseline(tmp_path / "inventory.yml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"web01\.yml: No such file"):
        target("web01.yml").with_baseline(tmp_path / "inventory.yml")


@pytest.mark.parametrize(
    ("text", "day", "why"),
    [
        (WHOLE, date(2026, 6, 2), "was to be reviewed until 2026-06-01"),
        (WHOLE.replace("Ada", "''"), DAY, "nobody has approved"),
        (WHOLE.replace("Ada", ""), DAY, "nobody has approved"),
        (HEAD, DAY, "no section processes"),
    ],
)
def test_when_it_does_not_count(text: str, day: date, why: str) -> None:
    with pytest.raises(ToDecide, match=why):
        Baseline("b.yml", text).section("processes", day)


_WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda text: "{{" not in text and "{%" not in text
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(_WORDS, st.lists(_WORDS, min_size=1, max_size=3, unique=True), max_size=4))
def test_what_is_proposed_can_be_read(section: dict[str, list[str]]) -> None:
    proposed = {name: tuple(texts) for name, texts in section.items()}
    text = baseline.written("Olga", DAY, {"processes": proposed})
    approved = text.replace("approved-by: ''", "approved-by: Ada")
    assert Baseline("b.yml", approved).section("processes", DAY) == proposed
    assert baseline.written("Olga", DAY, {"processes": dict(reversed(proposed.items()))}) == text


# --- on a real host ---

CONTROLS = controls("tests_system/test_services.py", "tests_system/test_integrity.py")
KEPT = {name: CONTROLS[name] for name in ("system.integrity", "system.processes-known")}


@pytest.fixture(scope="module")
def host() -> Iterator[lab.Host]:
    lab.required()
    with lab.boot("console") as booted:
        yield booted


def test_proposed_approved_kept_and_broken(host: lab.Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(host.known_hosts)
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(f"all: {{hosts: {{web01: {{ansible_host: {host.address}, ansible_user: audit}}}}}}\n")
    how = ["--known-hosts", str(known), "--ssh-identity-file", str(host.key)]
    propose = ["baseline", "propose", "--hosts=web01", f"--inventory={inventory}", "--owner=Olga", *how]

    assert cli.main(propose) == 0
    printed = capsys.readouterr().out
    assert cli.main([*propose, "--into", str(tmp_path / "accepted")]) == 0
    assert (tmp_path / "accepted" / "web01.yml").read_text() == printed
    assert "lab-pw" not in printed
    assert "$y$" not in printed

    def words() -> dict[str, Word]:
        there = Target(
            name="web01",
            address=host.address,
            user="audit",
            port=host.port,
            promises=Promises.read({"baseline": ("accepted", "here")}),
        ).with_baseline(inventory)
        machine = ask(there, KEPT.values(), Options(known_hosts=known, identity_file=host.key))
        return {name: found.word for name, found in judge(machine, KEPT, "strict").items()}

    assert set(words().values()) == {Word.TO_DECIDE}
    approved = printed.replace("approved-by: ''", "approved-by: Ada")
    (tmp_path / "accepted" / "web01.yml").write_text(approved)
    assert set(words().values()) == {Word.COMPLIANT}
    with host.mutated("echo '192.0.2.66 db01' >> /etc/hosts", undo="sed -i /192.0.2.66/d /etc/hosts"):
        assert words() == {"system.integrity": Word.NOT_COMPLIANT, "system.processes-known": Word.COMPLIANT}
    assert set(words().values()) == {Word.COMPLIANT}


def test_a_machine_that_cannot_tell_proposes_nothing(
    host: lab.Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(host.known_hosts)
    spec = f"--hosts={host.spec('nosudo')}"
    assert cli.main(["baseline", "propose", spec, f"--known-hosts={known}", f"--ssh-identity-file={host.key}"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "only root may run" in told.err


def test_used_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["baseline", "propose", "--hosts=a@b:c"]) == 2
    assert "pandora-audit: --hosts=a@b:c" in capsys.readouterr().err
