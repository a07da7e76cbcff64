"""Every control on real machines: the tables of machines/, row by row, and the controls' inversions."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import linecache
import re
import textwrap
from collections.abc import Iterator

import machines
import pytest
from judging import SHORT, judge
from machines import TABLES, Table

import lab
from pandora_audit.control import Control

ROWS = [(table, name, control) for table, each in TABLES.items() for name, control in each.rows]
CONTROLS = [(table, control) for table, each in TABLES.items() for control in each.controls]


@pytest.fixture(scope="module", autouse=True)
def _lab(request: pytest.FixtureRequest) -> Iterator[None]:
    """The machines that the selected tests need, several at a time and ahead of the tests."""
    lab.required()
    items = [item for item in request.session.items if item.module is request.module and hasattr(item, "callspec")]
    wanted = [item.callspec.params for item in items]
    for params in wanted:
        if "name" in params:
            TABLES[params["table"]].begin(params["name"])
    for table in {params["table"] for params in wanted if "table" in params and "name" not in params}:
        for name in TABLES[table].machines:
            TABLES[table].begin(name)
    yield
    machines.end()


@pytest.mark.parametrize(("table", "name", "control"), ROWS, ids=[f"{row[2]} | {row[1]}" for row in ROWS])
def test_the_verdict_on_a_real_machine(table: str, name: str, control: str) -> None:
    found = TABLES[table].findings(name)[control]
    row = TABLES[table].machines[name]
    assert found.word is SHORT[row["expect"][control]], f"{found.told} {found.expected}"
    assert row.get("observed", {}).get(control, "") in found.told
    assert not found.fault, found.reason


@pytest.mark.parametrize(("table", "control"), CONTROLS, ids=[control for _, control in CONTROLS])
def test_an_inverted_control_turns_rows_red(table: str, control: str) -> None:
    each = TABLES[table]
    upside_down = {**each.controls, control: inverted(each.controls[control])}
    judged = [name for name, other in each.rows if other == control]
    wrong = [
        name
        for name in judged
        if judge(each.answered(name), upside_down, each.machines[name].get("level", "guide"))[control].word
        is not SHORT[each.machines[name]["expect"][control]]
    ]
    assert wrong == [name for name in judged if each.machines[name]["expect"][control] in "CN"]


@pytest.mark.parametrize("control", sorted({control for _, control in CONTROLS}))
def test_every_control_has_a_machine_that_passes_and_one_that_fails(control: str) -> None:
    tables = [TABLES[table] for table, other in CONTROLS if other == control]
    seen = {each.machines[name]["expect"][control] for each in tables for name, other in each.rows if other == control}
    excuses = {"C": "passes", "N": "fails"}
    excused = {verdict for each in tables for verdict, why in excuses.items() if each.head.get(why, {}).get(control)}
    assert {"C", "N"} - seen == excused


@pytest.mark.parametrize("table", TABLES)
def test_every_machine_was_asked_by_at_most_two_commands(table: str) -> None:
    futures = TABLES[table].asked.values()
    asked = [future.result() for future in futures if not isinstance(future.exception(), lab.Unavailable)]
    assert {machine.commands for machine in asked if not machine.silence} <= {1, 2}


@pytest.mark.parametrize("table", TABLES)
def test_no_row_of_a_table_is_written_twice(table: str) -> None:
    each: Table = TABLES[table]
    names = re.findall(r'^machine = "(.*)"$', each.path.read_text("utf-8"), re.M)
    assert len(names) == len(set(names)) == len(each.head["machine"])


def inverted(control: Control) -> Control:
    """The same control with its assertion turned around."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(control.test)))
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.decorator_list = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            node.test = ast.UnaryOp(ast.Not(), node.test)
    source, name, namespace = ast.unparse(tree), f"<inverted {control.id}>", dict(control.test.__globals__)
    # A finding tells an assertion by its source.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), namespace)
    return dataclasses.replace(control, test=namespace[function.name])
