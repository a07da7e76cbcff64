"""The agent's configuration by the agent's own rules: each trap, and what never happens."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandora_audit.facts import pandora_agent
from pandora_audit.formats import agent_conf
from pandora_audit.formats.agent_conf import Line

FILE = "/etc/pandora/pandora_agent.conf"


def numbered(text: str, file: str = FILE) -> list[Line]:
    return agent_conf.lines(f"{file}:{number}:{line}" for number, line in enumerate(text.split("\n"), 1))


def read(text: str, included: str = "") -> agent_conf.AgentConf:
    return agent_conf.read(numbered(text), numbered(included, "/etc/pandora/more.conf"))


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("", "remote_config", "0"),
        ("remote_config 1", "remote_config", "1"),
        ("  remote_config\t 1  ", "remote_config", "1"),
        ("remote_config 1\r", "remote_config", "1"),
        ("# remote_config 1", "remote_config", "0"),
        ("  # remote_config 1", "remote_config", "0"),
        ("remote_config 1 # not off", "remote_config", "1 # not off"),
        ("remote_config=1", "remote_config", "0"),
        ("Remote_Config 1", "remote_config", "0"),
        ("remote_config", "remote_config", ""),
        ("remote_config 1\nremote_config 0", "remote_config", "0"),
        ("remote_config 0\nremote_config 1", "remote_config", "1"),
        ("pandora_user first\npandora_user second", "pandora_user", "first"),
        ("pandora_user pandora ", "pandora_user", "pandora "),
        ("logfile /a\nlogfile /b", "logfile", "/a"),
        ("module_x 1\nserver_ssl yes", "server_ssl", "yes"),
        ("server_opts -x '…' -c", "server_opts", "-x '…' -c"),
        ("macro_x remote_config 1", "remote_config", "0"),
        ("nothing 1", "unheard_of", ""),
    ],
)
def test_a_general_token(text: str, name: str, value: str) -> None:
    assert read(text)[name].value == value


def test_an_included_file_sets_no_general_token() -> None:
    conf = read(
        "include /etc/pandora/more.conf\nremote_config 0", "remote_config 1\nmodule_plugin x\nfile_collection fc"
    )
    assert conf["remote_config"].value == "0"
    assert [each.parameters for each in conf.modules] == ["x"]
    assert [each.where for each in conf.collections] == ["/etc/pandora/more.conf:2"] or conf.collections
    assert [each.value for each in conf.includes] == ["/etc/pandora/more.conf"]
    assert not read("  include /etc/pandora/more.conf").includes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("module_plugin a b", [("plugin", "a b", "")]),
        ("  module_plugin a", [("plugin", "a", "")]),
        ("#module_plugin a", []),
        ("module_plugin", []),
        ("module_begin\nmodule_plugin a\nmodule_end", [("plugin", "a", "")]),
        ("module_begin\nmodule_plugin a\nmodule_disabled 1\nmodule_end", []),
        ("module_begin\nmodule_plugin a\nmodule_disabled 0\nmodule_end", [("plugin", "a", "")]),
        ("module_begin\nmodule_plugin a\nmodule_disabled 10\nmodule_end", [("plugin", "a", "")]),
        ("module_begin\nmodule_plugin a", []),
        ("module_begin\nmodule_name X\nmodule_regexp /var/log/secure\nmodule_end", [("log", "/var/log/secure", "X")]),
        ("module_begin\nmodule_regexp /var/log/secure\nmodule_end", []),
        ("module_begin\nmodule_name X\nmodule_end", []),
        (
            "module_begin\nmodule_name X\nmodule_exec …\nmodule_end\nmodule_plugin b",
            [("exec", "…", "X"), ("plugin", "b", "")],
        ),
        ("module_begin x\nmodule_plugin a", [("plugin", "a", "")]),
    ],
)
def test_what_is_executed(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert [(each.kind, each.parameters, each.name) for each in read(text).modules] == expected


def test_a_block_ends_with_its_file() -> None:
    assert [each.parameters for each in read("module_plugin b", "module_begin\nmodule_name X").modules] == ["b"]


@pytest.mark.parametrize(("name", "kept"), [("fc_1", True), ("../fc", False), ("a/b", False), ("", False)])
def test_a_collection_stays_in_its_folder(name: str, kept: bool) -> None:
    assert bool(read(f"file_collection {name}").collections) is kept


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("", ""),
        ("-c", "c"),
        ("-e cert -k key -f ca", "ekf"),
        ("-fca -e cert", "fe"),
        ("-x '…' -c", "xc"),
        ("-x -c", "x"),
        ("-vc -t 5", "vct"),
        ("c", ""),
    ],
)
def test_the_clients_options(text: str, letters: str) -> None:
    assert agent_conf.client_options(text) == frozenset(letters)


@given(st.text(alphabet="abem_ 01\t#\r\n", max_size=80))
def test_no_text_is_too_odd(text: str) -> None:
    conf = read(text)
    assert all(each.where.startswith(FILE) for each in conf.settings.values())


@given(st.lists(st.sampled_from(["remote_config 1", "remote_config 0", "# x", "module_plugin p", ""]), max_size=8))
def test_the_last_line_of_a_token_counts(lines: list[str]) -> None:
    written = [line for line in lines if line.startswith("remote")]
    value = read("\n".join(lines))["remote_config"].value
    assert value == (written[-1].split()[1] if written else "0")


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("server_pwd hunter2", ""),
        ("group_password hunter2", ""),
        ("server_opts -x hunter2 -c", "server_opts -x … -c"),
        ("server_opts -cx 'hunter2 too' -t 5", "server_opts -cx … -t 5"),
        ("server_opts -xhunter2", "server_opts -x…"),
        ("server_opts '-x hunter2'", "server_opts '-x…"),
        ('server_opts "-cx" "hunter2" -t 5', 'server_opts "-cx…'),
        ('server_opts -x" hunter2" -t 5', "server_opts -x… …"),
        ("server_opts -e /etc/x.pem -f /etc/my-next.pem", "server_opts -e /etc/x.pem -f /etc/my-next.pem"),
        ("agent_name_cmd curl -u a:hunter2", "agent_name_cmd …"),
        ("agent_name box", "agent_name box"),
        ("module_exec mysql -phunter2", "module_exec …"),
        ("module_plugin perl /a/b.pl --password hunter2", "module_plugin perl /a/b.pl"),
        ("module_plugin /opt/sql_inventory --password hunter2", "module_plugin /opt/sql_inventory"),
        (
            "module_plugin grep_log_module /var/log/secure Secure .*",
            "module_plugin grep_log_module /var/log/secure Secure .*",
        ),
        ("custom_field1_value hunter2", ""),
        ("macro_pass hunter2", ""),
        ("rmm_extra_opts hunter2", ""),
        ("# server_pwd hunter2", ""),
        ("unheard_of hunter2", ""),
    ],
)
def test_what_leaves_the_host(line: str, kept: str) -> None:
    said = subprocess.run(
        ["sed", "-nE", pandora_agent._KEEP],
        input=f"{FILE}:1:{line}\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    ).stdout
    assert said == (f"{FILE}:1:{kept}\n" if kept else "")
