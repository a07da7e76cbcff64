"""``pandora-audit init``: what machines show becomes a draft, and a draft becomes a promise only by approval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import running
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import lab
from lab import deployment
from pandora_audit import cli, inventory, record
from pandora_audit.draft import Draft, kinds
from pandora_audit.gather import Machine, Plan, unreached
from pandora_audit.promises import Promises
from pandora_audit.question import Answer, Answers, Role
from pandora_audit.script import ROLES
from pandora_audit.sitefile import SiteError, dump_yaml
from pandora_audit.target import Target

DEMO = running.ROOT / "demo"
LINE = "{value: %s, seen-on: web01 2026-06-01, approved-by: %s}"


def approved(text: str) -> str:
    return text.replace("approved-by: ''", "approved-by: Ada")


def load(tmp_path: Path, text: str) -> dict[str, Target]:
    path = tmp_path / "site.yml"
    path.write_text(text, encoding="utf-8")
    return {target.name: target for target in inventory.load(path).select(None)}


# --- a drafted line ---


@pytest.mark.parametrize("nobody", ["''", "", "null", "~"])
def test_a_drafted_line_promises_nothing(tmp_path: Path, nobody: str) -> None:
    text = f"all:\n  hosts:\n    web01:\n      audit_ssh_port: {LINE % ('2222', nobody)}\n"
    found = load(tmp_path, text)["web01"].promises
    assert found == Promises()
    assert not found.given("ssh_port")
    assert dict(found.unapproved) == {"ssh_port": f"{tmp_path}/site.yml:4"}
    assert dict(Promises.from_record(found.to_record()).unapproved) == dict(found.unapproved)


def test_an_approved_line_promises_what_it_says(tmp_path: Path) -> None:
    lines = f"audit_ssh_port: {LINE % ('2222', 'Ada')}\n      audit_services: {LINE % ('[]', 'Ada')}"
    found = load(tmp_path, f"all:\n  hosts:\n    web01:\n      {lines}\n")["web01"].promises
    assert (found.ssh_port, found.services, found.unapproved) == (2222, (), ())
    assert found.where("ssh_port") == f"{tmp_path}/site.yml:4"


def test_a_draft_replaces_nothing_that_is_promised(tmp_path: Path) -> None:
    host = f"hosts: {{web01: {{audit_ssh_port: {LINE % ('22', chr(39) * 2)}}}}}"
    found = load(tmp_path, f"all: {{vars: {{audit_ssh_port: 31122}}, {host}}}\n")["web01"].promises
    assert (found.ssh_port, found.unapproved) == (31122, ())


def test_roles_are_detected_until_their_draft_is_approved(tmp_path: Path) -> None:
    text = (
        "server:\n  hosts:\n    a:\n      audit_roles: {value: [server, agent], seen-on: a, approved-by: ''}\n    b:\n"
    )
    targets = load(tmp_path, text)
    assert targets["a"].promised is None
    assert targets["b"].promised == {Role.SERVER}
    assert load(tmp_path, approved(text))["a"].promised == {Role.SERVER, Role.AGENT}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{value: 22, seen-on: a}", "4: this audit_ssh_port lacks approved-by"),
        ("{value: 22, seen-on: a, approved_by: Ada}", "audit_ssh_port has no approved_by; did you mean approved-by"),
        ("{value: twenty, seen-on: a, approved-by: ''}", "audit_ssh_port is 'twenty'; it takes a whole number"),
        ("{value: {}, seen-on: a, approved-by: ''}", "is a mapping"),
        ("{value: 22, seen-on: a, approved-by: [Ada]}", "approved-by is a list"),
        ("{value: 22, seen-on: a, approved-by: ' '}", "approved-by is ' '; it takes the name of a person"),
        ("{value: 22, seen-on: a, approved-by: no}", "approved-by is 'no'; it takes the name of a person"),
        ("{value: 22, seen-on: a, approved-by: False}", "approved-by is 'False'"),
        ("{value: 22, seen-on: a, approved-by: TODO}", "approved-by is 'TODO'"),
        ("{value: 22, seen-on: a, approved-by: '~'}", "approved-by is '~'"),
        ("{value: 22, seen-on: a, approved-by: 0}", "approved-by is '0'"),
        ("{value: 22, seen-on: a, approved-by: [[]]}", "approved-by is a list"),
    ],
)
def test_what_is_no_drafted_line_is_said_with_its_place(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(SiteError, match=why):
        load(tmp_path, f"all:\n  hosts:\n    web01:\n      audit_ssh_port: {line}\n")


# --- drafting ---


def test_the_demonstration_becomes_a_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", f"--hosts=replay://{DEMO}"]) == 1
    told = capsys.readouterr()
    assert "web05: nothing is drafted: no connection" in told.err
    assert "web05" not in told.out
    site = yaml.safe_load(told.out)["all"]
    assert site["children"]["server"]["hosts"] == {"pandora01": None, "pandora02": None}
    assert "console02 2026-" in site["hosts"]["console02"]["audit_named_users"]["seen-on"]
    # What the site had promised already is no draft.
    assert site["hosts"]["console01"]["audit_named_users"] == ["aruiz"]
    assert site["hosts"]["console01"]["audit_ssh_port"] == 31122

    before = {target.name: target for target in record.load(DEMO)}
    targets = load(tmp_path, told.out)
    assert targets.keys() == before.keys() - {"web05"}
    for name, target in targets.items():
        assert target.promises == before[name].promises
        assert target.promised == before[name].promised
    assert load(tmp_path, approved(told.out))["db01"].promises.db_accounts == ("pandora",)


def test_endpoints_that_only_an_audit_would_ask_for_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", "--hosts=pandora://db1"]) == 2
    assert "only the audit asks Pandora FMS" in capsys.readouterr().err


def test_a_file_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "site.yml"
    assert cli.main(["init", f"--hosts=replay://{DEMO}", f"--into={into}"]) == 1
    assert capsys.readouterr().out == ""
    before = into.read_text()
    assert cli.main(["init", f"--hosts=replay://{DEMO}", f"--into={into}"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert into.read_text() == before


def test_nothing_is_written_of_machines_that_do_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "site.yml"
    assert cli.main(["init", f"--hosts=replay://{DEMO / 'web05.jsonl'}", f"--into={into}"]) == 1
    assert "nothing is drafted" in capsys.readouterr().err
    assert not into.exists()


def machine(name: str = "web01", **given: object) -> Machine:
    return replace(unreached(Target(name=name, address="192.0.2.1", **given), ""), asked_at=1780000000.0)  # type: ignore[arg-type]


def answered(**answers: str) -> Machine:
    said = {key: Answer(key=key, question=key, status=0, out=text.encode()) for key, text in answers.items()}
    return replace(machine(), answers=Answers(said))


def test_a_hidden_role_is_named_and_not_guessed() -> None:
    text = "server hidden /etc/pandora\nconsole absent\nagent present /usr/bin/pandora_agent\n"
    draft = Draft([answered(**{ROLES: text})])
    site = yaml.safe_load(draft.text())["all"]
    assert site["hosts"]["web01"]["audit_roles"]["value"] == ["agent"]
    assert "web01: whether it plays server is hidden" in draft.unseen


def test_raw_machines_are_called_by_their_address() -> None:
    targets = [inventory.raw_target("ops@192.0.2.7:31122"), inventory.raw_target("ops@[2001:db8::7]")]
    draft = Draft([Machine(target=target, asked_at=1.0) for target in targets])
    hosts = yaml.safe_load(draft.text())["all"]["hosts"]
    assert hosts["192.0.2.7"]["ansible_port"] == 31122
    assert hosts["2001-db8--7"]["ansible_host"] == "2001:db8::7"


def test_an_inventory_cannot_hold_everything() -> None:
    with pytest.raises(SiteError, match=r"would both be called 192\.0\.2\.7"):
        Draft([Machine(target=inventory.raw_target(f"192.0.2.7:{port}")) for port in (22, 23)])
    with pytest.raises(SiteError, match="not by docker"):
        Draft([Machine(target=inventory.raw_target("docker://web01"))])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=30), max_size=3), st.text(min_size=1, max_size=30))
def test_what_a_machine_says_breaks_no_inventory(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], word: str
) -> None:
    draft = Draft([machine()])
    lines = draft._drafted("web01", {"logs_to": tuple(words), "named_users": (word,), "directory": word}, "web01")
    text = dump_yaml({"all": {"hosts": {"web01": lines}}}, width=float("inf"))
    folder = tmp_path_factory.mktemp("draft")
    found = load(folder, approved(text))["web01"].promises
    for name in ("logs_to", "named_users", "directory"):
        if f"audit_{name}" in lines:
            assert getattr(found, name) in (tuple(words), (word,), word)
        else:
            assert any(f"audit_{name} " in said for said in draft.unseen)
    assert "{{" not in text


GARBAGE = (
    b"",
    b"{{ lookup('pipe', 'id') }}\n",
    b"root:x:0:0::/root:/bin/sh\n&a [*a]: !!python/object:os.system {x: 'y\"}\n\x00\x1b[31m\n",
    b"tables.user\t1\nuser\t{{ 1 }}\t1\t0\t0\t1\t0\nuser.\n" * 3,
    b"0 " * 500 + b"\n",
)


@pytest.mark.parametrize("name", ["console01", "db01", "pandora02", "web01"])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_whatever_a_machine_answers_a_draft_can_be_read(tmp_path: Path, name: str, garbage: bytes) -> None:
    target = next(each for each in record.load(DEMO) if each.name == name)
    answers = record.replayed(Plan(target, kinds())).answers
    said = {key: replace(each, out=each.out if key == ROLES else garbage) for key, each in answers.items()}
    text = Draft([replace(machine(name), answers=Answers(said))]).text()
    assert load(tmp_path, text)[name].promised is None
    assert "{{" not in text


@pytest.mark.parametrize("word", ["{{ lookup('pipe', 'id') }}", "{% raw %}", "a{#b"])
def test_no_template_reaches_ansible(word: str) -> None:
    draft = Draft([machine()])
    assert draft._drafted("web01", {"logs_to": (word,)}, "web01") == {}
    assert draft.unseen == ["web01: audit_logs_to was seen with a template in it, which Ansible would run"]


# --- on real hosts ---

GUESSED = {
    "system.named-users",
    "system.superuser-by-sudo",
    "ssh.user-keys",
    "mysql.bind-address",
    "mysql.account-hosts",
}
GUESSED |= {"console.administrators", "agent.change-rights", "agent.upload-rights"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A deployment with the guide applied, of which nobody has promised anything."""
    lab.required()
    place = tmp_path_factory.mktemp("site")
    hosts = deployment.up(place, deployment.PARTS[:4])
    try:
        (place / "hosts").write_text(",".join(host.spec("audit") for host in hosts[:-1]))
        (place / "key").write_text(str(hosts[0].key))
        yield place
    finally:
        for host in hosts:
            host.destroy()


def test_drafted_to_decide_approved_and_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = [f"--known-hosts={folder / 'known_hosts'}", f"--ssh-identity-file={(folder / 'key').read_text()}"]
    draft, site = folder / "draft.yml", folder / "site.yml"
    hosts = (folder / "hosts").read_text()

    assert cli.main(["init", f"--hosts={hosts}", f"--into={draft}", *how]) == 0, capsys.readouterr().err
    text = draft.read_text()
    assert "lab-pw" not in text
    site.write_text(approved(text))

    def judged(inventory: Path) -> set[running.Row]:
        done = running.run(f"--inventory={inventory}", "--level=strict", "-v", *how)
        assert (f"{text.count(chr(39) * 2)} drafted" in done.out) == (inventory == draft), done.out
        return {row for row in running.terminal(done.out) if row.control in GUESSED}

    before, after = judged(draft), judged(site)
    assert {row.control for row in before} == GUESSED
    assert {row.verdict for row in before} == {"to decide", "not applicable"}
    decided = {(row.control, row.host) for row in before if row.verdict == "to decide"}
    assert all("a draft that nobody has approved" in row.observed for row in before if row.verdict == "to decide")
    assert {row.verdict for row in after if (row.control, row.host) in decided} == {"compliant"}
