"""One audit of real hosts, told five times: terminal, JUnit, HTML in a browser, record, replay. All say the same."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import running
from running import Row, Run

import lab
from pandora_audit import record
from pandora_audit.question import Answer, Cause

BANNER = """
printf 'Banner /etc/issue.net\\nPermitRootLogin no\\n' > /etc/ssh/sshd_config.d/00-site.conf
printf '<script>document.title="owned"</script><b>Debian</b> \\033[31m %s\\n' '"]]>&amp;' > /etc/issue.net
"""

EXCEPTIONS = """
- control: ssh.port
  host: stock
  subject: "22"
  until: 2099-12-31
  requested_by: Ana
  approved_by: Luis
  reason: <i>the partners' firewall</i> changes in spring
"""


class Told:
    """An audit and where its reports are."""

    def __init__(self, folder: Path, done: Run) -> None:
        self.folder = folder
        self.done = done

    @property
    def terminal(self) -> set[Row]:
        return running.terminal(self.done.out)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A stock host with an exception, one that answers markup, the same without sudo, and one that is not there."""
    lab.required()
    folder = tmp_path_factory.mktemp("told")
    with lab.boot("bookworm") as stock, lab.boot("trixie", [BANNER]) as hostile:
        known = folder / "known_hosts"
        known.write_text(f"{stock.known_hosts_line()}\n{hostile.known_hosts_line()}\n")
        inventory = folder / "site.yml"
        inventory.write_text(
            f"""
all:
  vars:
    ansible_ssh_private_key_file: {lab.key_path()}
    ansible_user: audit
  hosts:
    stock: {{ansible_host: {stock.address}, audit_jump_host: "no"}}
    hostile: {{ansible_host: {hostile.address}}}
    blind: {{ansible_host: {hostile.address}, ansible_user: nosudo}}
    absent: {{ansible_host: {hostile.address}, ansible_port: 9}}
"""
        )
        (folder / "site.exceptions.yml").write_text(EXCEPTIONS)
        done = running.run(
            f"--inventory={inventory}",
            f"--known-hosts={known}",
            "--level=hardened",
            "-v",
            f"--html={folder / 'audit.html'}",
            "--self-contained-html",
            f"--junitxml={folder / 'audit.xml'}",
            f"--record={folder / 'record'}",
        )
    yield Told(folder, done)
    shutil.rmtree(folder)


def test_the_run_ends_as_it_should(told: Told) -> None:
    assert told.done.status == 11, told.done.out + told.done.err
    words = {row.verdict for row in told.terminal}
    assert words == {
        "compliant",
        "not compliant",
        "not assessed",
        "not applicable",
        "to decide",
        "risk accepted",
    }
    assert len(told.terminal) > 40


def test_every_report_says_the_same(told: Told) -> None:
    terminal = told.terminal
    assert running.junit(told.folder / "audit.xml") == terminal
    assert running.record(told.folder / "record") == terminal
    assert running.dom(told.folder / "audit.html", told.folder / "profile") == terminal


def test_what_a_host_says_stays_text(told: Told) -> None:
    owned = [row for row in told.terminal if row.control == "ssh.banner-content" and row.host == "hostile"]
    assert owned[0].verdict == "not compliant"
    assert "\033" not in told.done.out
    page = (told.folder / "audit.html").read_text("utf-8")
    assert "<script>document.title" not in page
    assert "<i>the partners" not in page


def test_an_exception_is_named_with_who_and_until_when(told: Told) -> None:
    assert "until 2099-12-31 by Luis" in told.done.out


def test_a_record_is_private_and_complete(told: Told) -> None:
    folder = told.folder / "record"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.name for path in folder.iterdir()) == [
        "absent.jsonl",
        "blind.jsonl",
        "deployment.deployment.jsonl",
        "hostile.jsonl",
        "stock.jsonl",
    ]
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    head = json.loads((folder / "stock.jsonl").read_text("utf-8").splitlines()[0])
    assert head["wire"]["host_key"].startswith("ssh-")
    assert head["promises"]["jump_host"]["value"] is False
    assert head["commands"] in (1, 2)
    assert set(head["controls"]) == {row.control for row in told.terminal if row.host == "stock"}


def test_replay_says_the_same_without_a_network_and_a_year_later(told: Told) -> None:
    done = running.run(
        f"--hosts=replay://{told.folder / 'record'}",
        f"--exceptions={told.folder / 'site.exceptions.yml'}",
        "--level=hardened",
        "-v",
        prefix=["unshare", "--net", running.tool("faketime"), "-f", "+1y"],
    )
    assert done.status == 11, done.out + done.err
    assert running.terminal(done.out) == told.terminal


def test_a_question_that_the_record_lacks_is_not_assessed(told: Told, tmp_path: Path) -> None:
    text = (told.folder / "record" / "stock.jsonl").read_text("utf-8")
    kept = [line for line in text.splitlines() if '"key": "sshd-config"' not in line]
    (tmp_path / "stock.jsonl").write_text("\n".join(kept) + "\n")
    done = running.run(f"--hosts=replay://{tmp_path}", "-v")
    rows = {row.control: row for row in running.terminal(done.out)}
    assert rows["ssh.root-login"].verdict == "not assessed"
    assert "the record lacks" in rows["ssh.root-login"].observed
    assert rows["ssh.running-config"].verdict == "compliant"


@pytest.mark.parametrize("cause", [None, *Cause])
def test_a_record_keeps_why_nobody_answered(cause: Cause | None) -> None:
    answer = Answer(key="k", question="q", silence="nobody answered", cause=cause)
    assert record._to_answer(json.loads(json.dumps(record._from_answer(answer)))) == answer


def test_a_record_that_knows_no_causes_is_read() -> None:
    row = {"key": "k", "question": "q", "status": None, "out": "", "err": "", "silence": "s", "seconds": 0.0}
    assert record._to_answer({**row, "unanswered": True}).cause is Cause.UNANSWERED
    assert record._to_answer({**row, "unanswered": False}).cause is record._to_answer(row).cause is None
