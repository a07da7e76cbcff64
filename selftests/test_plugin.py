"""The plugin as pytest's users know it: words, exit statuses, selection, stopping, errors. No machine but replays."""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import running
from judging import controls

CONTROLS = '''
"""A chapter of a site's own."""

from pandora_audit import HIGH, LOW, MEDIUM, Duty, Level, control
from pandora_audit.question import NotObserved
from pandora_audit.verdict import Attested, NotApplicable, ToDecide, UnmetEdition


def said(word):
    return f"""{word} is so.

    Because of a reason.

    Fix: Mend it.

    Impact: None.
    """
'''

ONE = '''

@control("site.{id}", {severity}{more})
def test_{name}({arguments}):
    """{title}.

    Because of a reason.

    Fix: Mend it.

    Impact: None.
    """
    {body}
'''


def chapter(
    folder: Path, *rows: tuple[str, str], severity: str = "MEDIUM", more: str = "", arguments: str = ""
) -> Path:
    """A file of controls, one for each (name, body)."""
    text = CONTROLS + "".join(
        ONE.format(
            id=name.replace("_", "-"),
            name=name,
            severity=severity,
            more=more,
            arguments=arguments,
            title=name.capitalize(),
            body=body,
        )
        for name, body in rows
    )
    path = folder / "test_site.py"
    path.write_text(text)
    return path


@pytest.fixture
def machine(tmp_path: Path) -> str:
    """A recorded machine that answered nothing but its role, as --hosts takes it."""
    folder = tmp_path / "record"
    running.recorded(folder, "box", roles="server absent\nagent present /x")
    return f"--hosts=replay://{folder}"


BODIES = (
    ("compliant", "assert not []"),
    ("not_compliant", "assert not [1]"),
    ("edition", 'raise UnmetEdition("Community has no lockout")'),
    ("absent", 'raise NotApplicable("nothing is there")'),
    ("undecided", 'raise ToDecide("promise it")'),
    ("attested", 'raise Attested("Ana, until 2099")'),
    ("silent", 'raise NotObserved("nobody answered")'),
    ("broken", "assert {}['x']"),
)


def test_eight_words_and_nothing_else(tmp_path: Path, machine: str) -> None:
    path = chapter(tmp_path, *BODIES)
    exceptions = tmp_path / "exceptions.yml"
    exceptions.write_text(
        "- {control: site.accepted, host: '*', until: 2099-01-01, requested_by: A, approved_by: B, reason: r}\n"
    )
    path.write_text(path.read_text() + ONE.format(
        id="accepted", name="accepted", severity="LOW", more="", arguments="", title="Accepted", body="assert not [2]",
    ))  # fmt: skip
    done = running.run(path, machine, f"--exceptions={exceptions}", "-v", f"--junitxml={tmp_path / 'x.xml'}")
    words = {row.control: row.verdict for row in running.terminal(done.out)}
    assert words == {
        "site.compliant": "compliant",
        "site.not-compliant": "not compliant",
        "site.edition": "not compliant: edition",
        "site.absent": "not applicable",
        "site.undecided": "to decide",
        "site.attested": "attested",
        "site.silent": "not assessed",
        "site.broken": "not assessed",
        "site.accepted": "risk accepted",
    }
    assert done.status == 11
    assert running.junit(tmp_path / "x.xml") == running.terminal(done.out)
    suite = ElementTree.parse(tmp_path / "x.xml").getroot()[0]
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["9", "2", "2", "3"]


def test_a_fault_of_ours_is_called_one(tmp_path: Path, machine: str) -> None:
    done = running.run(chapter(tmp_path, ("broken", "assert {}['x']")), machine)
    assert "a fault of the control or of pandora-audit, not of the machine: KeyError: 'x'" in done.out
    assert done.status == 10


@pytest.mark.parametrize(
    ("bodies", "options", "status"),
    [
        (["assert True"], [], 0),
        (["assert False"], [], 1),
        (["raise NotObserved('x')"], [], 10),
        (["assert True", "raise NotObserved('x')"], [], 10),
        (["assert True", "raise NotObserved('x')"], ["--max-unassessed=1"], 0),
        (["raise NotObserved('x')"], ["--max-unassessed=9"], 10),
        (["raise NotApplicable('x')"], [], 10),
        (["raise ToDecide('x')", "assert True"], [], 0),
        (["assert False", "raise NotObserved('x')"], [], 11),
        (["assert False"], ["--fail-on=high"], 0),
        (["assert False"], ["--fail-on=medium"], 1),
        (["assert False"], ["-k", "nothing"], 5),
        (["assert False"], ["--no-such-option"], 4),
    ],
)
def test_exit_status(tmp_path: Path, machine: str, bodies: list[str], options: list[str], status: int) -> None:
    path = chapter(tmp_path, *((f"c{number}", body) for number, body in enumerate(bodies)))
    assert running.run(path, machine, *options).status == status


def test_what_is_only_to_be_considered_breaks_no_build(tmp_path: Path, machine: str) -> None:
    path = chapter(tmp_path, ("considered", "assert False"), ("met", "assert True"), more=", duty=Duty.CONSIDER")
    assert running.run(path, machine).status == 0


def test_level_chooses(tmp_path: Path, machine: str) -> None:
    path = chapter(tmp_path, ("strict", "assert True"), more=", level=Level.STRICT")
    assert running.run(path, machine).status == 5
    assert running.run(path, machine, "--level=strict").status == 0


def test_selection_by_id_chapter_severity_and_host(tmp_path: Path, machine: str) -> None:
    path = chapter(tmp_path, ("one", "assert True"), ("two", "assert True"))
    for chosen in (["-k", "site.one"], ["-k", "site.one and box"], [f"{path}::test_one"]):
        arguments = chosen if "::" in chosen[0] else [path, *chosen]
        rows = running.terminal(running.run(*arguments, machine, "-v").out)
        assert {row.control for row in rows} == {"site.one"}
    assert running.run(path, machine, "-m", "high").status == 5
    assert running.run(path, machine, "-m", "medium").status == 0


def _chapter(name: str) -> tuple[int, int]:
    """The order of the chapters, and of the controls in one."""
    file = Path(controls()[name].test.__code__.co_filename)
    order = ["tests_ssh", "tests_system", "tests_mysql", "tests_web", "tests_server", "tests_agents"]
    return order.index(file.parent.name), list(controls()).index(name)


def test_collect_only_and_lists_connect_to_nobody(tmp_path: Path) -> None:
    nobody = "--hosts=ops@192.0.2.1"
    for option in ("--collect-only", "--list-controls", "--explain=ssh.root-login", "--print-script", "--sudoers"):
        done = running.run(option, nobody, prefix=["unshare", "--net"])
        assert done.status == 0, done.out + done.err
    assert "Fix" not in done.out
    assert "PermitRootLogin no" in running.run("--explain=ssh.root-login").out
    assert "did you mean ssh.root-login" in running.run("--explain=ssh.rot-login").err
    listed = running.run("--list-controls").out
    assert [line.split()[0] for line in listed.strip().splitlines()] == sorted(controls(), key=_chapter)


def test_what_is_printed_is_a_file_as_it_is() -> None:
    visudo = running.tool("visudo", "sudo")
    text = running.run("--sudoers=audit", "--level=strict").out
    subprocess.run([visudo, "-cf", "-"], input=text, text=True, check=True, timeout=30, capture_output=True)
    script = running.run("--print-script").out
    subprocess.run(["sh", "-n"], input=script, text=True, check=True, timeout=30)


def test_stopping_early_keeps_and_marks_what_is_known(tmp_path: Path, machine: str) -> None:
    path = chapter(tmp_path, ("a", "assert True"), ("b", "assert False"), ("c", "assert False"))
    done = running.run(path, machine, "-x", "-v", f"--record={tmp_path / 'out'}")
    assert {row.control for row in running.terminal(done.out)} == {"site.a", "site.b"}
    assert "PARTIAL" in done.out
    assert done.status == 1
    assert '"partial": "the run was stopped"' in (tmp_path / "out" / "box.jsonl").read_text()
    assert running.run(path, machine, "--maxfail=1").status == 1


def test_last_failed(tmp_path: Path, machine: str) -> None:
    path = chapter(tmp_path, ("a", "assert True"), ("b", "assert False"))
    cache = ("--ff", "-o", f"cache_dir={tmp_path / 'cache'}")
    assert running.run(path, machine, *cache).status == 1
    done = running.run(path, machine, *cache, "--lf", "-v")
    assert {row.control for row in running.terminal(done.out)} == {"site.b"}


def test_the_debugger_stops_at_a_finding(tmp_path: Path, machine: str) -> None:
    path = chapter(tmp_path, ("b", "assert not [1]"))
    done = running.run(path, machine, "--pdb", "-s")
    assert "entering PDB" in done.out
    assert "assert not [1]" in done.out


PROSE = "T.\n\n    W.\n\n    Fix: F.\n\n    Impact: I.\n    "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('@control("site.x", LOW)\ndef test_x():\n    """T.\n\n    W.\n\n    Fix: F.\n    """', "lacks impact"),
        ('@control("site.x", LOW)\ndef test_x():\n    pass', "lacks title, why, fix, impact"),
        (f'@control("Site X", LOW)\ndef test_x():\n    """{PROSE}"""', "is no id"),
        (f'@control("site.x", LOW)\ndef test_x(nosuch):\n    """{PROSE}"""', "nobody provides nosuch"),
    ],
)
def test_a_control_that_is_not_written_as_controls_are(tmp_path: Path, machine: str, text: str, message: str) -> None:
    path = tmp_path / "test_site.py"
    path.write_text(f"from pandora_audit import LOW, control\n\n{text}\n")
    done = running.run(path, machine)
    assert done.status == 2
    assert message in done.out
    assert "test_site.py:" in done.out


def test_two_controls_of_one_id_are_refused(tmp_path: Path, machine: str) -> None:
    path = chapter(tmp_path, ("a", "assert True"))
    path.write_text(
        path.read_text()
        + path.read_text().partition("\n\n@control")[2].join(["\n@control", ""]).replace("test_a", "test_b")
    )
    done = running.run(path, machine)
    assert done.status == 4
    assert "another control has the id site.a" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hosts=nosuchhost://"], "nosuchhost"),
        (["--hosts="], "--hosts"),
        (["--inventory=/nonexistent.yml"], "/nonexistent.yml"),
        (["--hosts=replay:///nonexistent"], "no record"),
        (["--exceptions=/nonexistent.yml"], "/nonexistent.yml"),
        (["-n2"], "--concurrency"),
        (["--concurrency=0"], "'0' is no number from 1 to 1024"),
        (["--concurrency=²"], "'²' is no number from 1 to 1024"),
        (["--record=/dev/null/x", "--hosts=127.0.0.1:9"], "--record=/dev/null/x: Not a directory"),
    ],
)
def test_bad_arguments_are_one_sentence(options: list[str], message: str) -> None:
    done = running.run(*options)
    assert done.status == 4, done.out + done.err
    assert message in done.err
    assert "Traceback" not in done.err
    assert "INTERNALERROR" not in done.out


def test_python_without_assertions_is_refused() -> None:
    done = running.run("--list-controls", PYTHONOPTIMIZE="1")
    assert done.status == 4
    assert "every control would pass" in done.err


def test_a_sites_own_test_asks_for_the_same_words(tmp_path: Path, machine: str) -> None:
    path = tmp_path / "test_own.py"
    path.write_text(
        "def test_agent(agent, target, promises):\n    assert target.name == 'box'\n"
        "def test_server(server):\n    raise RuntimeError\n"
        "def test_sshd(sshd):\n    assert sshd.root_enters\n"
        "def test_plain():\n    pass\n"
    )
    done = running.run(path, machine, "-rs")
    assert "does not play the role server" in done.out
    assert "not assessed: " in done.out
    assert "2 passed, 1 skipped, 1 error" in done.out


def test_a_full_disk_for_the_report_is_said(tmp_path: Path, machine: str) -> None:
    path = chapter(tmp_path, ("a", "assert True"))
    done = running.run(path, machine, "--junitxml=/dev/full", "-v")
    assert "a report could not be written: [Errno 28] No space left on device" in done.out
    assert len(running.terminal(done.out)) == 1
    assert done.status == 3
