"""Running the product as a user does: pytest as a process, and what its reports say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from lxml import html

ROOT = Path(__file__).parent.parent


class Row(NamedTuple):
    """A verdict as any report tells it."""

    control: str
    host: str
    verdict: str
    severity: str
    observed: str


class Run(NamedTuple):
    status: int
    out: str
    err: str


def run(*arguments: str | Path, cwd: Path = ROOT, prefix: Iterable[str] = (), **environment: str) -> Run:
    """``pytest`` with these arguments, from the root of the project."""
    cache = () if "--lf" in arguments or "--ff" in arguments else ("-p", "no:cacheprovider")
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "pytest", *cache, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def recorded(
    folder: Path, name: str, *answers: dict[str, Any], roles: str = "database present /x", **head: Any
) -> None:
    """A record written by hand: of a machine that answered nothing but its role and these answers."""
    folder.mkdir(exist_ok=True)
    first = {
        "schema": 1,
        "host": name,
        "asked_at": 1764000000.0,
        "silence": "",
        "wire": {},
        "promised": None,
        "groups": [],
        "become": True,
        "promises": {},
        **head,
    }
    first_answer = {"key": "roles", "question": "roles", "out": roles}
    rows = [
        {"answer": {"status": 0, "err": "", "silence": "", "seconds": 0.0, **each}} for each in (first_answer, *answers)
    ]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (first, *rows)))


def terminal(out: str) -> set[Row]:
    """The rows of the section "every verdict"."""
    lines = out.partition(" every verdict ")[2].partition("\n")[2].splitlines()
    found = set()
    for line in lines:
        if not line:
            continue
        if line.startswith(("====", "----")):
            break
        control, severity, host, verdict, observed = line.split(" | ", 4)
        found.add(Row(control, host, verdict, severity, observed))
    return found


def junit(path: Path) -> set[Row]:
    found = set()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        said = {each.get("name"): _line(each.get("value") or "") for each in case.iter("property")}
        found.add(Row(said["control"], said["host"], said["verdict"], said["severity"], said["observed"]))
        kinds = {each.tag for each in case} - {"properties", "system-out"}
        assert kinds == _JUNIT[said["verdict"]], said
    return found


_JUNIT = {
    "compliant": set(),
    "attested": set(),
    "not compliant": {"failure"},
    "not compliant: edition": {"failure"},
    "risk accepted": {"skipped"},
    "not applicable": {"skipped"},
    "to decide": {"skipped"},
    "not assessed": {"error"},
}


def record(folder: Path) -> set[Row]:
    from pandora_audit.printable import one_line

    found = set()
    for path in folder.glob("*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            told = json.loads(line).get("finding")
            if told:
                observed = one_line(told["observed"])
                found.add(Row(told["control"], told["host"], told["verdict"], told["severity"], observed))
    return found


def dom(page: Path, profile: Path) -> set[Row]:
    """The rows of the HTML report, as headless Chromium shows them after the page's own scripts have run."""
    done = subprocess.run(
        [
            chromium(),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    tree = html.document_fromstring(done.stdout)
    assert tree.findtext(".//title") == "Compliance audit of Pandora FMS"
    found = set()
    for line in tree.cssselect("#results-table tr.collapsible"):
        cells = {name: line.cssselect(f"td.col-{name}")[0].text_content() for name in _CELLS}
        found.add(Row(*(_line(cells[name]) for name in _CELLS)))
    return found


_CELLS = ("control", "host", "verdict", "severity", "observed")


def _line(text: str) -> str:
    return " ".join(text.split())


def chromium() -> str:
    return tool("chromium")


def tool(program: str, package: str = "") -> str:
    """A program that a test needs. Installed where that is possible; else a visible skip, and in CI a failure."""
    if not shutil.which(program) and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package or program]
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, timeout=600, check=False, capture_output=True)
    found = shutil.which(program)
    if found:
        return found
    if os.environ.get("CI"):
        pytest.fail(f"{program} could not be installed")
    pytest.skip(f"{program} is not on this machine")
