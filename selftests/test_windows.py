"""Windows machines: how they are declared and asked, and what is read of them.

No PowerShell is at hand. Its part is played by a program of ours that reads the command and the standard input as
PowerShell would, and answers each question from a table, in the frames that the script writes.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import tree_sitter_powershell
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import controls, plan
from sshd import keygen, sshd
from tree_sitter import Language, Parser

from pandora_audit import cli, commands, inventory, powershell, record, script
from pandora_audit.audit import Audit, Settings
from pandora_audit.control import Subject
from pandora_audit.fact import Seen, known_facts
from pandora_audit.facts import windows_agent
from pandora_audit.facts.remote_configurations import NamedAgent
from pandora_audit.facts.windows_agent import WindowsAgent
from pandora_audit.facts.windows_programs import ProgramsOnWindows
from pandora_audit.formats import sddl, windows_agent_conf
from pandora_audit.formats.agent_conf import Line
from pandora_audit.gather import Machine, Plan, ask_machine
from pandora_audit.question import Answer, Answers, Ask, NotObserved, Question, Role, Shell, Unreadable
from pandora_audit.target import Target
from pandora_audit.transport import Network, Options

MARKER = "0123456789abcdef01234567"
WHO = Ask(key="who", ps="# who\nwhoami\n")
UNIX = Ask(key="unix", argv=("ss", "-ltn"))
AGENT_ONLY = Ask(key="of-agents", ps="# of agents\n'x'\n", only_if=Role.AGENT)
SLOW = Ask(key="slow", ps="# slow\nStart-Sleep 99\n", seconds=3, limit=20)

# As PowerShell would read its command line and its input; the answers stand in a file.
POWERSHELL = """#!PYTHON
import base64, json, re, sys
boot = base64.b64decode(sys.argv[-1]).decode("utf-16-le")
assert sys.argv[-2] == "-EncodedCommand" and "$input" in boot and "FromBase64String" in boot
text = base64.b64decode("".join(sys.stdin.read().split())).decode()
table = json.load(open('TABLE'))
def send(line): sys.stdout.buffer.write(line.encode() + b"\\n")
def say(key, said):
    send("@%s 0" % key)
    for line in said.split("\\n"): send("o" + line)
    send(".%s 0 0" % key)
marker = re.search("Send '(\\\\w+ plain)'", text)[1]
print("Microsoft said something first"); sys.stdout.flush()
send(""); send(marker)
if "Say 'privilege'" in text: say("privilege", "WIN01\\\\audit_one root ")
if "Say 'roles'" in text:
    say("roles", "\\n".join(r + (" present C:\\\\pa" if r in table["roles"] else " absent")
        for r in ("server", "tentacle", "console", "database", "agent")))
seen = set(table["roles"]) | set(re.findall(r"^\\$seen\\['(\\w+)'\\] = 'promised'", text, re.M))
for line in re.finditer(
    r"^(?:if \\(\\$seen\\['(\\w+)'\\]\\) \\{ )?(Ask|No) '([^']+)' (?:'(\\w+)'|(\\d+) (\\d+) ')", text, re.M
):
    role, verb, key, why, seconds, limit = line.groups()
    if role and role not in seen: verb, why = "No", "role"
    if verb == "No":
        send("@%s 0" % key); send("!" + why); send(".%s - 0" % key)
        continue
    said, wrong, status = table["answers"].get(key, ["", "", 0])
    send("@%s 1.00" % key)
    if status != 124:
        for each in (said[: int(limit)] + "\\n.").split("\\n"): send("o" + each)
    if wrong: send("e" + wrong)
    send(".%s %d 1.25" % (key, status))
sys.stdout.buffer.flush()
"""


def played(folder: Path, *roles: str, **answers: tuple[str, str, int]) -> Path:
    """A program that plays PowerShell, with these answers by key: output, error, status."""
    folder.mkdir(exist_ok=True)
    table = folder / "answers.json"
    told = {key.replace("_", "-"): list(each) for key, each in answers.items()}
    table.write_text(json.dumps({"roles": roles, "answers": told}))
    program = folder / "powershell.exe"
    program.write_text(POWERSHELL.replace("PYTHON", sys.executable).replace("TABLE", str(table)))
    program.chmod(0o755)
    return program


# --- the command ---


def test_the_command_is_short_and_one_word_for_every_shell() -> None:
    made = powershell.compose(plan_of("tests_agents").asks, marker=MARKER)
    assert len(made.command) < 1000  # some servers cut longer ones at about 2500
    assert not set(made.command) & set("\"'$&|<>^%();`\\*?[]{}!#\n")
    assert max(map(len, made.stdin.splitlines())) <= 800
    assert base64.b64decode(made.stdin).decode() == made.text


@given(st.text())
def test_a_literal_is_one_literal(text: str) -> None:
    """Nothing that a host says ends it: within it every quote, typographic ones too, is doubled."""
    literal = powershell.quoted(text)
    inside = literal[1:-1]
    for quote in "'\u2018\u2019\u201a\u201b":
        inside = inside.replace(quote * 2, "")
    assert literal[0] == literal[-1] == "'"
    assert not set(inside) & set("'\u2018\u2019\u201a\u201b")


@pytest.mark.parametrize("key", ["privilege", "roles", "A", "a b", "a'b", ""])
def test_a_key_that_cannot_be_framed_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        powershell.compose([Ask(key=key, ps="# x\n1\n")], marker=MARKER)


@pytest.mark.parametrize("more", [{"sh": "true"}, {"root": True}, {"keep": "p"}, {"stdin": b"x"}, {"if_all": True}])
def test_a_question_in_powershell_is_that_alone(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="question x"):
        Ask(key="x", ps="# x\n1\n", **more)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="names it"):
        Ask(key="x", ps="1")


TREES = Parser(Language(tree_sitter_powershell.language()))


def parses(text: str) -> bool:
    return not TREES.parse(text.encode()).root_node.has_error


def test_all_that_is_sent_is_powershell() -> None:
    """By a grammar of PowerShell: no PowerShell is at hand."""
    forms = [kind.on_windows for kind in known_facts().values() if kind.on_windows]
    asks = [each for kind in forms for each in kind.questions if isinstance(each, Ask)]
    assert len(asks) >= 7
    asks += [each for each in further("D:\\data") if isinstance(each, Ask)]
    made = powershell.compose(asks, marker=MARKER, promised=list(Role))
    boot = base64.b64decode(made.command.split()[-1]).decode("utf-16-le")
    assert all(map(parses, (boot, made.text, *(each.ps for each in asks))))
    assert not parses("if ($a { 1 }")


# --- a whole trip, over a real sshd ---


@dataclasses.dataclass(frozen=True)
class Asked:
    asks: tuple[Ask, ...]


def plan_of(*places: str) -> Asked:
    target = Target(name="win01", address="", shell=Shell.POWERSHELL)
    made = plan(target, controls(*places).values())
    return Asked(tuple(question for question in made.questions if isinstance(question, Ask)))


def framed(tmp_path: Path, *asks: Ask, promised: tuple[Role, ...] = (), **answers: tuple[str, str, int]) -> Answers:
    made = powershell.compose(asks, marker=MARKER, promised=promised)
    program = played(tmp_path / "played", **answers)
    done = subprocess.run(
        [program, *made.command.split()[1:]], input=made.stdin, capture_output=True, timeout=30, check=True
    )
    return script.parse(done.stdout, made)


def test_answers_come_home_whole(tmp_path: Path) -> None:
    odd = "win01\\audit\n@who 0\n.who 0 0\n!role\n\x1b[31mü\u2028x\n"
    found = framed(tmp_path, WHO, who=(odd, "", 0))
    assert found["who"].text == odd
    assert found["who"].seconds == 0.25


def test_an_empty_answer_is_an_answer(tmp_path: Path) -> None:
    assert framed(tmp_path, WHO, who=("", "", 0))["who"].succeeded().lines == []


@pytest.mark.parametrize(
    ("ask", "answer", "told"),
    [
        (WHO, ("", "Access is denied.", 1), "`who` exited 1: Access is denied."),
        (SLOW, ("", "", 124), "did not end within 3 s"),
        (SLOW, ("x" * 21, "", 0), "said more than 20 bytes"),
        (AGENT_ONLY, ("x\n", "", 0), "does not play the role agent"),
        (UNIX, ("x\n", "", 0), "the machine runs Windows, and `ss -ltn` is for Unix"),
    ],
)
def test_what_is_no_answer(tmp_path: Path, ask: Ask, answer: tuple[str, str, int], told: str) -> None:
    found = framed(tmp_path, ask, **{ask.key.replace("-", "_"): answer})[ask.key]
    with pytest.raises(NotObserved) as silent:
        found.succeeded()
    assert told in silent.value.reason


def test_a_promised_role_is_asked_for(tmp_path: Path) -> None:
    found = framed(tmp_path, AGENT_ONLY, promised=(Role.AGENT,), of_agents=("x\n", "", 0))
    assert found["of-agents"].text == "x\n"


def test_what_ends_early_is_silence(tmp_path: Path) -> None:
    made = powershell.compose([WHO, SLOW], marker=MARKER)
    found = script.parse(f"\n{MARKER} plain\n@who 0\nox\no\n".encode(), made)
    assert all(each.silence for each in found.values())
    with pytest.raises(NotObserved, match="did not run the audit's script"):
        script.parse(b"", made, b"'powershell.exe' is not recognized")


SHIPPED = r"C:\Program Files\pandora_agent\pandora_agent.conf"
CONF = f"{SHIPPED}|0|\n{SHIPPED}|1|server_ip 10.0.0.5\n{SHIPPED}|2|server_ssl 1\n{SHIPPED}|3|temporal D:\\data\n"


@pytest.mark.parametrize("backend", ["paramiko", "ssh"])
def test_a_windows_machine_is_asked_over_ssh(tmp_path: Path, backend: str) -> None:
    program = played(tmp_path / "bin", "agent", windows_conf=(CONF, "", 0))
    key = keygen(tmp_path / "key")
    windows = ("VersionAddendum OpenSSH_for_Windows_9.5", f"SetEnv PATH={program.parent}:/usr/bin:/bin")
    with sshd(tmp_path / "sshd", key, extra=windows) as server:
        (tmp_path / "known_hosts").write_text(server.known)
        (tmp_path / "ssh_config").write_text("")
        options = Options(
            known_hosts=tmp_path / "known_hosts",
            ssh_config=tmp_path / "ssh_config",
            identity_file=key,
            ask=lambda _: None,
        )
        target = Target(name="win01", address="127.0.0.1", port=server.port, backend=backend, shell=Shell.POWERSHELL)
        found = asked(target, options)
        assert found.silence == ""
        agent = found.fact(known_facts()["pandora_agent"])
        assert isinstance(agent, WindowsAgent)
        assert agent.setting("server_ssl").value == "1"
        # A second trip for the folder that the configuration names, which is not the usual one.
        assert found.commands == server.commands == 2
        assert "windows-access@temporal" in found.answers
        assert found.privilege.startswith("WIN01\\audit_one root")
        assert [role for role, state in found.roles.items() if state.state == "present"] == [Role.AGENT]
        # The same machine, not declared, is not asked at all.
        undeclared = asked(dataclasses.replace(target, shell=Shell.POSIX), options)
        assert "ansible_shell_type: powershell" in undeclared.silence
        assert undeclared.commands == 0
        assert server.commands == 2


def asked(target: Target, options: Options) -> Machine:
    network = Network(options)
    try:
        return ask_machine(plan(target, controls("tests_agents/test_agents.py").values()), network, lambda: None)
    finally:
        network.close()


# --- what is declared ---

SITE = """\
agents:
  hosts:
    win01: {ansible_shell_type: powershell}
    win02: {ansible_shell_type: cmd, audit_scope: estate}
    unix01: {ansible_shell_type: sh}
    unix02:
"""


@pytest.fixture
def targets(tmp_path: Path) -> dict[str, Target]:
    (tmp_path / "site.yml").write_text(SITE)
    return {target.name: target for target in inventory.load(tmp_path / "site.yml").select(None)}


def test_ansibles_variable_declares_windows(targets: dict[str, Target]) -> None:
    shells = {name: target.shell for name, target in targets.items()}
    assert shells == {
        "win01": Shell.POWERSHELL,
        "win02": Shell.POWERSHELL,
        "unix01": Shell.POSIX,
        "unix02": Shell.POSIX,
    }


@pytest.mark.parametrize("name", ["win01", "win02"])
def test_a_windows_machine_is_held_to_its_agent_only(targets: dict[str, Target], name: str) -> None:
    """Whatever its scope: what the chapters of the machine claim is about Unix."""
    audit = Audit(settings=Settings(), targets=tuple(targets.values()))
    hosts = [each for each in controls().values() if each.subject is Subject.HOST]
    held = {each.id for each in hosts if audit.applies(each, targets[name])}
    assert "agent.windows-signed" in held
    assert {each.partition(".")[0] for each in held} == {"agent"}


def test_no_sudoers_line_is_for_windows(targets: dict[str, Target]) -> None:
    wanted = controls("tests_agents/test_agents.py").values()
    unix = commands.sudoers([plan(targets["unix02"], wanted)], "audit")
    both = commands.sudoers([plan(target, wanted) for target in targets.values()], "audit")
    assert unix == both


def test_the_script_is_shown_in_its_language(targets: dict[str, Target]) -> None:
    shown = commands.print_script(plan(targets["win01"], controls("tests_agents/test_agents.py").values()))
    assert "Get-AuthenticodeSignature" in shown
    assert "sudo" not in shown


def test_a_record_remembers_the_language(tmp_path: Path, targets: dict[str, Target]) -> None:
    made = Machine(target=targets["win01"], asked_at=1710000000)
    record.Recorder(tmp_path / "records").write(made, ())
    assert [each.shell for each in record.load(tmp_path / "records")] == [Shell.POWERSHELL]


def test_a_windows_baseline_holds_its_plugins_only(targets: dict[str, Target]) -> None:
    kinds = frozenset(kind for kind in known_facts().values() if kind.section)
    digest = f"{'0' * 64} C:\\Program Files\\pandora_agent\\util\\df.vbs\n"
    made = Machine(target=targets["win01"], asked_at=1710000000)
    program = {"windows-plugins": digest.encode()}
    rows = {key: Answer(key=key, question=key, status=0, out=out) for key, out in program.items()}
    rows[script.ROLES] = Answer(key=script.ROLES, question="", status=0, out=b"agent present C:\\pa\n")
    made.answers = Answers(rows)
    text = cli.proposal(made, kinds, "ana")
    assert "plugins:" in text
    assert "df.vbs" in text
    assert "listeners:" not in text


# --- access lists ---

ROOT = "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)(A;OICIIO;SDGXGWGR;;;AU)(A;;LC;;;AU)"
ACCESS = {
    # text, mask, who else
    "the system and its administrators": ("O:SYG:SYD:P(A;;FA;;;SY)(A;;FA;;;BA)", sddl.READ, ()),
    "administrators by number": ("O:S-1-5-21-1-2-3-500D:(A;;FA;;;S-1-5-21-1-2-3-512)(A;;FA;;;LA)", sddl.ALTER, ()),
    "users read": ("O:BAD:(A;;0x1200a9;;;BU)", sddl.READ, ("Users",)),
    "users read, and do not alter": ("O:BAD:(A;;0x1200a9;;;BU)", sddl.ALTER, ()),
    "letters": ("O:BAD:(A;;CCLCSWRPWPDTLOCRRC;;;WD)", sddl.READ, ("Everyone",)),
    "generic rights in a number": ("O:BAD:(A;;0x40000000;;;AU)", sddl.ALTER, ("Authenticated Users",)),
    "who deletes": ("O:BAD:(A;;SD;;;IU)", sddl.ALTER, ("whoever is logged in",)),
    "only for what lies below": ("O:BAD:(A;OICIIO;FA;;;BU)", sddl.READ, ()),
    "the creator's entry": ("O:BAD:(A;;FA;;;CO)(A;;FA;;;OW)", sddl.ALTER, ()),
    "containers of applications": ("O:BAD:(A;;FR;;;AC)(A;;FR;;;S-1-15-2-2)", sddl.READ, ()),
    "an owner may change the list": ("O:S-1-5-21-1-2-3-1001D:P(A;;FR;;;BA)", sddl.ALTER, ("S-1-5-21-1-2-3-1001",)),
    "an owner who is to read": ("O:S-1-5-21-1-2-3-1001D:P(A;;FR;;;BA)", sddl.READ, ()),
    "denied before": ("O:BAD:(D;;FA;;;BU)(A;;FR;;;BU)", sddl.READ, ()),
    "denied to everybody": ("O:BAD:(D;;FR;;;WD)(A;;FR;;;BU)", sddl.READ, ()),
    "denied too late": ("O:BAD:(A;;FR;;;BU)(D;;FR;;;BU)", sddl.READ, ("Users",)),
    "denied in part": ("O:BAD:(D;;FW;;;BU)(A;;FA;;;BU)", sddl.READ, ("Users",)),
    "no list": ("O:BAG:BA", sddl.READ, ("Everyone",)),
    "a list that is none": ("O:BAD:NO_ACCESS_CONTROL", sddl.ALTER, ("Everyone",)),
    "an empty list": ("O:BAD:P", sddl.READ | sddl.ALTER, ()),
    "folders may be added at the top": (ROOT, sddl.REPLACE, ()),
    "with labels behind": ("O:BAD:(A;;FA;;;BA)S:AI(ML;;NW;;;ME)", sddl.READ, ()),
}


@pytest.mark.parametrize("name", ACCESS)
def test_who_else_may(name: str) -> None:
    text, mask, others = ACCESS[name]
    assert sddl.read(text).others(mask) == others


@pytest.mark.parametrize(
    "text",
    [
        "",
        "D:(A;;FA;;;BA)",
        "O:BAD:(A;;FA;;;BA",
        "O:BAD:(A;;QQ;;;BU)",
        "O:BAD:(A;;FA;;;users)",
        "O:BAD:(OA;;FA;;;BU)",
        "O:BAD:(A;;FA;BU)",
        'O:BAD:(XA;;FX;;;BU;(@User.Title=="PM"))',
    ],
)
def test_a_list_that_is_not_understood_is_no_answer(text: str) -> None:
    with pytest.raises(Unreadable):
        sddl.read(text)


@given(st.text(alphabet="OGDS:()AIPW;BUFASY0x12-_", max_size=300))
@settings(max_examples=200)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Unreadable):
        sddl.read(text).others(sddl.READ)


def test_a_hostile_list_takes_no_time() -> None:
    with pytest.raises(Unreadable):
        sddl.read("O:BAD:" + "(A;;FA;;;BU)" * 400 + "(" * 100_000)


# --- the configuration ---

TRAPS = {
    # lines, token, value
    "a token and its value": (["server_ip 10.0.0.5"], "server_ip", "10.0.0.5"),
    "the last word": (["remote_config 0 1"], "remote_config", "1"),
    "a comment behind": (["remote_config 1 # as ever"], "remote_config", "ever"),
    "quotes": (['server_opts "-e c.pem -f ca.pem"'], "server_opts", "-e c.pem -f ca.pem"),
    "words without quotes": (["server_opts -e c.pem -f ca.pem"], "server_opts", "ca.pem"),
    "behind the last quote": (['temporal "C:\\a b" x'], "temporal", "x"),
    "capitals": (["Remote_Config 1"], "remote_config", "1"),
    "the first line counts": (["remote_config 0", "remote_config 1"], "remote_config", "0"),
    "and if it says nothing": (["transfer_mode", "transfer_mode ftp"], "transfer_mode", "tentacle"),
    "blanks before": (["   remote_config\t 1 \r"], "remote_config", "1"),
    "a comment": (["#remote_config 1"], "remote_config", "0"),
    "a comment after a blank is none, and no token": ([" #remote_config 1"], "remote_config", "0"),
    "a line of a module": (["module_x remote_config 1", "remote_config module_1"], "remote_config", "0"),
}


def conf(*texts: str) -> list[Line]:
    return [Line(text, f"C:\\pa\\pandora_agent.conf:{number}", "") for number, text in enumerate(texts, 1)]


@pytest.mark.parametrize("name", TRAPS)
def test_a_token_as_the_agent_reads_it(name: str) -> None:
    lines, token, value = TRAPS[name]
    assert windows_agent_conf.read(conf(*lines))[token].value == value


def test_collections_and_commands() -> None:
    read = windows_agent_conf.read(
        conf(
            "file_collection tools ",
            " # file_collection more",
            "#file_collection no",
            "file_collection ../x",
            "cmd_file a",
        )
    )
    assert [each.value for each in read.collections] == ["tools", "more"]
    assert [each.value for each in read.commands] == ["a"]


@given(st.lists(st.text(max_size=60), max_size=8))
def test_any_configuration_is_read(texts: list[str]) -> None:
    windows_agent_conf.read(conf(*texts))


def further(temporal: str) -> Sequence[Question]:
    """What is asked in the second trip where data waits in this folder."""
    out = f'{SHIPPED}|0|\n{SHIPPED}|3|temporal "{temporal}"\n'.encode()
    answers = Answers({"windows-conf": Answer(key="windows-conf", question="", status=0, out=out)})
    return WindowsAgent.then(Seen(answers=answers))


def test_a_hostile_folder_for_data_is_one_literal() -> None:
    value = "D:\\it's', $(x) \u2019; y #\r'z"
    (asked,) = further(value)
    assert powershell.quoted(value) in asked.text
    assert parses(asked.text)


@pytest.mark.parametrize(
    "value",
    [
        "\\\\files\\share",
        "//files/share",
        "\\??\\UNC\\files\\share",
        "FileSystem::\\\\files\\share",
        "Microsoft.PowerShell.Core\\FileSystem::\\\\files\\share",
        "HKLM:\\SOFTWARE",
        "temp",
        "c:\\program files\\PANDORA_agent\\temp\\",
    ],
)
def test_no_folder_on_another_machine_is_looked_at(value: str) -> None:
    assert further(value) == ()


def test_a_folder_that_leads_elsewhere_once_it_is_expanded_is_not_looked_at() -> None:
    (asked,) = further("%SHARE%\\x")
    before, _, after = asked.text.partition("throw")
    assert "-notmatch '^[A-Za-z]:[\\\\/]'" in before
    assert "Get-Acl" not in before.partition("ExpandEnvironmentVariables")[2]
    assert "Row (Get-Item" in after


@pytest.mark.parametrize(
    "path", ["\\\\files\\x.conf", "//files/x.conf", " \\\\files\\x.conf", "\\??\\UNC\\files\\x.conf", "\t/?/x"]
)
def test_an_include_on_another_machine_is_named(path: str) -> None:
    """It is not followed: Windows takes blanks before it away, and reads \\??\\ as it does \\\\?\\."""
    (pattern,) = re.findall(r"if \(\$path -match '([^']+)'\) \{ \"\$file\|\$number\|include", windows_agent._CONF.ps)
    assert re.match(pattern, path)
    (found,) = windows_agent_conf.read(conf(f"include {path}")).includes
    assert found.value == path


# --- what is told in another form than it is asked for ---

HOME = SHIPPED.rpartition("\\")[0]
RULED = "O:BAD:(A;;FA;;;SY)(A;;FA;;;BA)"


def agent_with(code: str) -> WindowsAgent:
    access = "".join(f"{kind}|1|{RULED}|{path}\n" for kind, path in (("file", SHIPPED), ("folder", HOME)))
    rows = {
        "windows-conf": f"{SHIPPED}|0|\n",
        "windows-service": "account LocalSystem\n",
        "windows-access": access,
        "windows-code": f"file|1|{RULED}|{HOME}\\PandoraAgent.exe\n{code}\n",
    }
    told = {key: Answer(key=key, question=key, status=0, out=out.encode()) for key, out in rows.items()}
    return WindowsAgent(Seen(answers=Answers(told)))


def test_a_file_from_before_1970_is_seen() -> None:
    text = f"file|-11644473600|O:BAD:(A;;FA;;;BU)|{HOME}\\util\\df.vbs"
    assert "df.vbs may be altered by Users" in str(agent_with(text).alterable_code)
    assert not agent_with(text.replace("BU", "BA")).alterable_code


@pytest.mark.parametrize("row", ["file|x|O:BA|C:\\x", "C:\\x", "file|1|O:BAD:(A;;FA;;;BU)|"])
def test_a_row_that_is_none_is_no_answer(row: str) -> None:
    with pytest.raises(Unreadable):
        _ = agent_with(row).alterable_code


def test_what_a_link_leads_to_was_not_looked_at() -> None:
    link = f"link|1||{HOME}\\collections"
    with pytest.raises(NotObserved, match="collections is a link"):
        _ = agent_with(link).alterable_code
    other = f"file|1|O:BAD:(A;;FA;;;BU)|{HOME}\\util\\df.vbs"
    assert agent_with(f"{link}\n{other}").alterable_code


def test_a_program_that_breaks_its_row_is_not_passed_over() -> None:
    out = b"Valid|1|x|C:\\pa\\PandoraAgent.exe\nHashMismatch|1\n.2|x|C:\\pa\\util\\a.exe\n"
    told = Answers({"windows-signatures": Answer(key="windows-signatures", question="", status=0, out=out)})
    with pytest.raises(Unreadable):
        ProgramsOnWindows(Seen(answers=told)).wrongly_signed((), None)


@pytest.mark.parametrize(
    ("line", "name"),
    [("agent_name win-one", "win-one"), ("server_ip 10.0.0.5", "WIN01"), ("agent_name_cmd ...", "")],
)
def test_the_name_that_a_windows_agent_reports_under(line: str, name: str) -> None:
    out = f"{SHIPPED}|0|\n{SHIPPED}|3|{line}\n".encode()
    told = {"windows-conf": out, "windows-name": b"WIN01\n"}
    answers = Answers({key: Answer(key=key, question="", status=0, out=each) for key, each in told.items()})
    named = NamedAgent.form(Shell.POWERSHELL)(Seen(answers=answers))
    if name:
        assert named.digest == hashlib.md5(name.encode()).hexdigest()
    else:
        with pytest.raises(NotObserved, match="agent_name_cmd"):
            _ = named.digest


def test_a_plan_is_of_the_machines_form(targets: dict[str, Target]) -> None:
    kinds = frozenset({known_facts()["pandora_agent"]})
    assert Plan(targets["win01"], kinds).kinds == (WindowsAgent,)
    assert Plan(targets["unix02"], kinds).kinds == tuple(kinds)
