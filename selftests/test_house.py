"""The house: who may import whom, where hooks live, and that what is written about the project is true."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
import running
from judging import controls

from pandora_audit import cli, norms
from pandora_audit.fact import known_facts
from pandora_audit.gather import Machine, Plan, further
from pandora_audit.promises import KINDS, Promises
from pandora_audit.target import Target

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pandora_audit"

# From the ground up: a module imports from the rooms above its own line only.
ROOMS = (
    ("version", "sitefile", "printable", "question", "verdict", "offence", "norms", "database_views", "eol"),
    ("baseline",),
    ("promises", "formats"),
    ("questions",),
    ("exceptions", "target", "fact", "control", "script"),
    ("attestations", "across", "powershell"),
    ("facts", "transport"),
    ("endpoints",),
    ("inventory", "coverage"),
    ("probes",),
    ("gather", "finding"),
    ("record", "backend", "verdicts"),
    ("audit", "commands"),
    ("items",),
    ("report", "loop", "fixtures", "draft"),
    ("plugin", "cli"),
)
ROOM_OF = {name: number for number, room in enumerate(ROOMS) for name in room}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The dotted names that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return found


def rooms_used(path: Path) -> set[str]:
    names = (name.split(".") for name in imported(path) if name.startswith("pandora_audit."))
    return {parts[1] for parts in names if parts[1] in ROOM_OF}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    mine = room(path)
    assert all(ROOM_OF[other] < ROOM_OF[mine] for other in rooms_used(path) - {mine})


def test_facts_read_other_facts_in_one_direction() -> None:
    reads = {
        path.stem: {name.split(".")[2] for name in imported(path) if name.startswith("pandora_audit.facts.")}
        for path in (PACKAGE / "facts").glob("*.py")
    }
    while leaves := [name for name, others in reads.items() if not others & set(reads)]:
        for name in leaves:
            del reads[name]
    assert reads == {}


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("paramiko", {"transport"}),
        ("yaml", {"sitefile"}),
        ("testinfra", {"backend", "fixtures", "transport"}),
        ("pytest", {"backend", "fixtures", "items", "loop", "plugin"}),
        ("ssl", {"probes"}),
        ("subprocess", {"transport", "inventory", "commands", "probes"}),
    ],
)
def test_a_library_is_used_where_its_idea_lives(library: str, rooms: set[str]) -> None:
    users = {room(path) for path in MODULES if any(name.split(".")[0] == library for name in imported(path))}
    assert users <= rooms


def test_only_the_plugin_has_hooks() -> None:
    for path in MODULES:
        if room(path) != "plugin":
            assert not re.search(r"^\s*def pytest_", path.read_text("utf-8"), re.M), path.name


def test_chapters_only_judge() -> None:
    for path in ROOT.glob("tests_*/test_*.py"):
        assert {name.partition(".")[0] for name in imported(path)} == {"pandora_audit"}, path.name


def test_no_sentence_is_parsed() -> None:
    """Why nobody answered is told to people by ``silence``, and to facts by ``cause``."""
    parses = re.compile(r" in [\w.\[\]]*silence\b|silence\.\w+\(|\bre\.\w+\([^\n]*silence\)")
    assert not [path for path in MODULES if parses.search(path.read_text("utf-8"))]


def test_a_control_is_one_assertion() -> None:
    for control in controls().values():
        tree = ast.parse(Path(control.test.__code__.co_filename).read_text("utf-8"))
        function = next(
            node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == control.test.__name__
        )
        assert [type(node) for node in function.body] == [ast.Expr, ast.Assert], control.id


def test_every_promise_that_a_control_reads_is_declared_and_the_other_way_round() -> None:
    read = {name for control in controls().values() for name in control.promises}
    assert read <= set(KINDS)
    assert "scope" in set(KINDS) - read


@pytest.mark.parametrize("given", [{}, {"db_options": ("/a", "x"), "console_url": ("https://a/", "x")}])
def test_no_two_questions_of_all_facts_share_a_key(given: dict[str, tuple[str, str]]) -> None:
    target = Target(name="x", address="x", promises=Promises.read(given))
    plan = Plan(target, frozenset(known_facts().values()))
    assert plan.questions
    assert further(plan.kinds, Machine(target=target)), "the second trip of a machine that answered nothing"


def test_norms_name_controls_that_exist() -> None:
    assert norms.named() <= set(controls())


def test_no_norm_asks_for_another_port() -> None:
    assert norms.phrase("ssh.port") == ""
    assert "PCI DSS 4.0.1 2.2.1" in norms.phrase("ssh.port", direct=False)


def test_titles_and_reasons_are_sentences() -> None:
    for control in controls().values():
        assert control.title[0].isupper() or control.title.startswith("sshd"), control.id
        assert not re.match(r"(Ensure|Check|Verify)\b", control.title), control.id
        assert len(control.title) <= 80, control.id
        assert control.why.endswith("."), control.id


def test_what_the_readme_promises_exists(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    with pytest.raises(SystemExit):
        cli.main(["init", "--help"])
    known = running.run("--help").out + capsys.readouterr().out
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)):
        assert option in known, f"README.md names {option}"
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / link).exists(), f"README.md links to {link}"
    for target in set(re.findall(r"`make ([a-z]+)", text)):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.M), target


def test_nothing_in_the_tree_names_this_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout.split("\0")
    words = re.compile(r"/wo" + r"rk/|files\.pythonho" + r"sted|deb\.deb" + r"ian\.org")
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix not in (".png", ".lock") and path.is_file():
            assert not words.search(path.read_text("utf-8", "replace")), name
