"""The SSH chapter on real machines: the table of machines/ssh_server.toml, row by row, and its inversions."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import re
import textwrap
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from judging import SHORT, ask, controls, judge, plan

import lab
from pandora_audit import commands
from pandora_audit.control import Control
from pandora_audit.finding import Finding
from pandora_audit.formats import authorized_keys
from pandora_audit.gather import Machine
from pandora_audit.promises import Promises
from pandora_audit.target import Target
from pandora_audit.transport import Options

TABLE = Path(__file__).parent / "machines" / "ssh_server.toml"
MACHINES: dict[str, dict[str, Any]] = {
    row["machine"]: row for row in tomllib.loads(TABLE.read_text("utf-8"))["machine"]
}
ROWS = [(name, control) for name, row in MACHINES.items() for control in row["expect"]]
CONTROLS = controls("tests_ssh")

# The guide applied, as an administrator would: one drop-in that sorts first, and a notice.
GUIDE = """
cat > /etc/ssh/sshd_config.d/00-guide.conf <<'END'
Port 31122
PermitRootLogin no
AllowTcpForwarding no
PermitTunnel no
Banner /etc/issue.net
AllowGroups audit nosudo pwsudo least fishy cshy bcshy noisy nologin root
END
echo 'Private system. Entries are logged.' > /etc/issue.net
"""
# ssh.service says it is reloaded before sshd has read its files again.
RELOAD = """old=$(stat -c %Y.%i /run/sshd.pid); systemctl reload ssh
for i in $(seq 50); do
    [ "$(stat -c %Y.%i /run/sshd.pid 2>/dev/null)" != "$old" ] && [ -s /run/sshd.pid ] && break
    sleep 0.05
done"""
RESTART = "systemctl restart ssh"


_POOL = ThreadPoolExecutor(4)
_ASKED: dict[str, Future[Machine]] = {}


def answered(name: str) -> Machine:
    """A machine of the table, asked once; its answers stay."""
    if name not in _ASKED:
        _ASKED[name] = _POOL.submit(_ask, name)
    return _ASKED[name].result()


def _ask(name: str) -> Machine:
    """The machine booted, changed, asked and destroyed."""
    row = MACHINES[name]
    changes: list[Any] = [lab.with_root_key] if row.get("root_key") else []
    if row.get("hardened"):
        changes.append(GUIDE)
    changes += [row["boot"]] if "boot" in row else []
    if row.get("hardened") or "port" in row:
        changes.append(functools.partial(_listen, port=row.get("port", 31122) if row.get("hardened") else row["port"]))
    if "then" in row and "ssh.socket" in row["then"] and row.get("port") == 22:
        changes[-1] = functools.partial(_listen, port=31122)
    with lab.boot(row.get("image", "bookworm"), changes) as host:
        if "sudoers" in row:
            text = commands.sudoers([plan(_target(host, row), CONTROLS.values())], row["sudoers"])
            host.write(f"/etc/sudoers.d/{row['sudoers']}", text, mode=0o440)
        if "then" in row:
            host.run(row["then"].replace("RELOAD", RELOAD).replace("RESTART", RESTART))
        host.port = row.get("port", host.port)
        host.wait_for_ssh()
        known = host.root.parent / "known_hosts"
        known.write_text(host.known_hosts_line(host.port) + "\n")
        options = Options(known_hosts=known, identity_file=host.key)
        return ask(_target(host, row), CONTROLS.values(), options, row.get("password"))


def _listen(host: lab.Host, port: int) -> None:
    host.port = port


def _target(host: lab.Host, row: dict[str, Any]) -> Target:
    promises = {name: _promise(value) for name, value in row.get("promises", {}).items()}
    return Target(
        name=host.name,
        address=host.address,
        user=row.get("as", "audit"),
        port=host.port,
        become=row.get("become", True),
        promises=Promises.read({name: (value, "table") for name, value in promises.items()}),
    )


def _promise(value: str | list[str]) -> str | tuple[str, ...]:
    return value if isinstance(value, str) else tuple(_lab_key() if each == "LAB" else each for each in value)


def _lab_key() -> str:
    public = lab.key_path().with_suffix(".pub").read_text()
    return next(authorized_keys.keys([f"x:{public}"])).fingerprint


@functools.cache
def findings(name: str) -> dict[str, Finding]:
    return judge(answered(name), CONTROLS, MACHINES[name].get("level", "guide"))


@pytest.fixture(scope="module", autouse=True)
def _lab(request: pytest.FixtureRequest) -> Iterator[None]:
    """The machines that the selected tests need, several at a time and ahead of the tests."""
    lab.required()
    items = [item for item in request.session.items if item.module is request.module]
    wanted = {item.callspec.params.get("name") for item in items if hasattr(item, "callspec")}
    everything = any("name" not in item.callspec.params for item in items if hasattr(item, "callspec"))
    for name in MACHINES if everything else wanted:
        _ASKED.setdefault(name, _POOL.submit(_ask, name))
    yield
    _POOL.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("name", "control"), ROWS, ids=[f"{control} | {name}" for name, control in ROWS])
def test_the_verdict_on_a_real_machine(name: str, control: str) -> None:
    found = findings(name)[control]
    row = MACHINES[name]
    assert found.word is SHORT[row["expect"][control]], f"{found.told} {found.expected}"
    assert row.get("observed", {}).get(control, "") in found.told
    assert not found.fault, found.reason


def test_every_machine_was_asked_by_at_most_two_commands() -> None:
    assert {answered(name).commands for name in MACHINES if not answered(name).silence} <= {1, 2}


def test_every_control_has_a_machine_that_passes_and_one_that_fails() -> None:
    verdicts = {control: set() for control in CONTROLS}
    for name, control in ROWS:
        verdicts[control].add(MACHINES[name]["expect"][control])
    assert {control for control, seen in verdicts.items() if not {"C", "N"} <= seen} == set()


def inverted(control: Control) -> Control:
    """The same control with its assertion turned around."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(control.test)))
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.decorator_list = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            node.test = ast.UnaryOp(ast.Not(), node.test)
    namespace = dict(control.test.__globals__)
    exec(compile(ast.fix_missing_locations(tree), "inverted", "exec"), namespace)
    return dataclasses.replace(control, test=namespace[function.name])


@pytest.mark.parametrize("control", CONTROLS)
def test_an_inverted_control_turns_rows_red(control: str) -> None:
    upside_down = {control: inverted(CONTROLS[control])}
    wrong = [
        name
        for name, judged in ROWS
        if judged == control
        and judge(answered(name), upside_down, MACHINES[name].get("level", "guide"))[control].word
        is not SHORT[MACHINES[name]["expect"][control]]
    ]
    expected = [name for name, judged in ROWS if judged == control and MACHINES[name]["expect"][control] in "CN"]
    assert wrong == expected


def test_no_row_of_the_table_is_written_twice() -> None:
    text = TABLE.read_text("utf-8")
    names = re.findall(r'^machine = "(.*)"$', text, re.M)
    assert len(names) == len(set(names)) == len(MACHINES)
