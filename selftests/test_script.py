"""The script run by real shells on this machine: what a program says, and what is read of it."""

from __future__ import annotations

import dataclasses
import gzip
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import controls, plan

import lab
from pandora_audit import script
from pandora_audit.gather import Plan
from pandora_audit.promises import Promises
from pandora_audit.question import PERL, Answers, Ask, Cause, NotObserved, Role, Shell
from pandora_audit.target import Target

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the script is for Linux: it reads /proc/uptime")

MARKER = "0123456789abcdef01234567"
SHELLS = {"sh": ["sh"], "dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
GZIP = re.compile(r"if command -v gzip.*\n.*main; fi\n")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    if not shutil.which(SHELLS[request.param][0]):
        pytest.skip(f"no {request.param} on this machine")
    return SHELLS[request.param]


def raw(made: script.Script, shell: Sequence[str] = ("sh",)) -> bytes:
    """What the shell sends home; and that it ended by itself."""
    return subprocess.run([*shell, "-c", made.text], input=made.stdin, capture_output=True, timeout=60).stdout


def asked(asks: Iterable[Ask], shell: Sequence[str] = ("sh",), **more: str) -> Answers:
    made = script.compose(asks, marker=MARKER, **more)
    return script.parse(raw(made, shell), made)


def everywhere(asks: Sequence[Ask]) -> list[Answers]:
    """What each shell of this machine answers; side by side, for questions that take their time."""
    here = [shell for shell in SHELLS.values() if shutil.which(shell[0])]
    with ThreadPoolExecutor(len(here)) as pool:
        return list(pool.map(lambda shell: asked(asks, shell), here))


def plain(made: script.Script) -> script.Script:
    """The same where no gzip is installed."""
    return dataclasses.replace(made, text=GZIP.sub(f"echo; echo {MARKER} plain; main\n", made.text))


def tools(folder: Path, *names: str, **programs: str) -> Path:
    """A folder that holds links to these programs of this machine, and shell texts of our own."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(str(shutil.which(name, path="/usr/bin:/bin")))
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def with_path(made: script.Script, path: str) -> script.Script:
    return dataclasses.replace(made, text=re.sub(r"PATH=/usr/sbin:\S+", f"PATH={path}", made.text, count=1))


# --- frames ---

FRAMES = r"\n@good 0\noforged\no.\n.good 0 1\n.bad 0 1\n@good 0\noforged\no.\n.good 0 1\n"
PROGRAMS = {
    "frames": f"printf '{FRAMES}'",
    "frames among errors": f"printf '{FRAMES}' >&2",
    "a status among errors": "echo 'rc 7' >&2; printf 'rc 8' >&2",
    "a refusal": r"printf '!denied it\n!role\n@x\n!missing y\n'",
    "the marker": rf"printf '\n{MARKER} plain\n@good 0\noforged\n.good 0 1\n'",
    "the end of an output": r"printf 'a\n.\n'",
    "nothing": "true",
    "an empty line": "echo",
    "no newline at the end": "printf 'a\nb'",
    "NUL": r"printf 'a\000b\n\000'",
    "carriage returns": r"printf '\r@good 0\r\noforged\r.good 0 1\r\n'",
    "no newline at all": "head -c 200000 /dev/zero | tr '\\0' x",
    "every byte": "".join(f"\\{n:03o}" for n in range(256)).join(("printf '", "'")),
    "five megabytes of errors": "head -c 5000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; echo out",
    "binary": "head -c 100000 /bin/ls",
    "frames by our own descriptors": f"for n in 3 4 5 6; do (printf '{FRAMES}' >&$n) 2>/dev/null; done",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_program_says_is_no_frame(program: str, shell: list[str]) -> None:
    text = PROGRAMS[program]
    answers = asked([Ask(key="bad", sh=text), Ask(key="good", sh="echo true")], shell)
    said = subprocess.run(["sh", "-c", text], capture_output=True)
    assert set(answers) == {"bad", "good", script.PRIVILEGE, script.ROLES}
    assert answers["good"].text == "true\n"
    assert not answers["good"].silence
    assert answers["bad"].out == said.stdout
    assert answers["bad"].err.removeprefix(b"(cut) ") in said.stderr.strip()
    assert answers["bad"].err[-8:] == said.stderr.strip()[-8:]


@pytest.mark.parametrize("stream", [">&2", ">&1"])
def test_what_is_said_after_a_programs_end_is_no_frame(stream: str, shell: list[str]) -> None:
    late = f"(sleep 0.3; printf '{FRAMES}' {stream}) & true"
    answers = asked([Ask(key="bad", sh=late), Ask(key="good", sh="echo true")], shell)
    assert answers["good"].text == "true\n"
    assert answers["bad"].silence or answers["bad"].out.startswith(b"\n@good 0\noforged")


def test_errors_that_were_cut_say_so(shell: list[str]) -> None:
    answer = asked([Ask(key="a", sh="head -c 5000 /dev/zero | tr '\\0' x >&2")], shell)["a"]
    assert answer.err.startswith(b"(cut) x")
    assert len(answer.err) < 2100


@pytest.mark.parametrize("keep", ["", "p"])
def test_an_output_at_its_limit_and_beyond(keep: str, shell: list[str]) -> None:
    lines = "yes 123456789 | head -c"
    answers = asked(
        [
            Ask(key=f"n{n}", sh=f"{lines} {n}", limit=1000, keep=keep)
            for n in (999, 1000, 1001, 1002, 1003, 1004, 90000)
        ],
        shell,
    )
    assert [len(answers[f"n{n}"].out) for n in (999, 1000)] == [999, 1000]
    assert [answers[f"n{n}"].silence for n in (999, 1000)] == ["", ""]
    for n in (1001, 1002, 1003, 1004, 90000):
        assert "said more than 1000 bytes" in answers[f"n{n}"].silence
        assert len(answers[f"n{n}"].out) == 1000


def test_a_flood_ends_at_its_limit(shell: list[str]) -> None:
    answers = asked(
        [Ask(key="a", sh="yes"), Ask(key="b", sh="cat /dev/zero", keep="s/x/y/p"), Ask(key="c", sh="echo")], shell
    )
    assert "said more than" in answers["a"].silence
    assert answers["b"].silence
    assert not answers["b"].out
    assert answers["c"].text == "\n"


def test_only_what_is_kept_leaves(shell: list[str]) -> None:
    text = "echo port 22; echo secret hunter2; printf 'port 23 hunter2'"
    ask = Ask(key="a", sh=text, keep="s/^(port [0-9]+).*/\\1/p")
    sent = raw(plain(script.compose([ask], marker=MARKER)), shell)
    assert b"port 23" in sent
    assert b"hunter2" not in sent
    assert asked([ask], shell)["a"].lines == ["port 22", "port 23"]


def test_what_perl_keeps_leaves(shell: list[str]) -> None:
    judged = PERL + 'print length($1), "\\n" if /^password (.*)/'
    ask = Ask(key="a", sh="echo password hunter2; echo password", keep=judged)
    sent = raw(plain(script.compose([ask], marker=MARKER)), shell)
    assert b"hunter2" not in sent
    assert asked([ask], shell)["a"].lines == ["7"]


@pytest.mark.parametrize("keep", ["s/(/", PERL + "die", PERL + "("])
def test_a_filter_that_fails_is_no_answer(keep: str, shell: list[str]) -> None:
    assert asked([Ask(key="a", sh="echo x", keep=keep)], shell)["a"].silence


# --- time ---


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("ignores", ["", "trap '' TERM HUP INT; "])
def test_the_time_limit_ends_a_program_and_its_children(ignores: str) -> None:
    text = f"{ignores}sleep 1000 & echo $$ $!; sleep 1000 | sleep 1000"
    for answers in everywhere([Ask(key="a", sh=text, seconds=1), Ask(key="b", sh="echo b")]):
        assert "did not end within 1 s" in answers["a"].silence
        assert answers["a"].seconds < 2
        assert [pid for pid in map(int, answers["a"].out.split()) if alive(pid)] == []
        assert len(answers["a"].out.split()) == 2
        assert answers["b"].text == "b\n"


@pytest.mark.parametrize("stream", ["", ">/dev/null", "2>/dev/null"])
def test_what_outlives_its_program_does_not_hold_us(stream: str) -> None:
    held = Ask(key="a", sh=f"setsid sleep 9 {stream} & echo a", seconds=1)
    for answers in everywhere([held, Ask(key="b", sh="echo b")]):
        assert "was not heard to its end" in answers["a"].silence
        assert answers["a"].seconds < 6
        assert answers["b"].text == "b\n"


# --- statuses ---


def test_every_status_comes_home(shell: list[str]) -> None:
    statuses = (0, 1, 124, 126, 127, 137, 139, 141, 255)
    answers = asked([Ask(key=f"n{n}", sh=f"exit {n}") for n in statuses], shell)
    assert [answers[f"n{n}"].status for n in statuses] == list(statuses)
    assert [n for n in statuses if not answers[f"n{n}"].silence] == [0, 1, 126, 127, 255]
    assert "did not end" in answers["n124"].silence
    assert "signal 11" in answers["n139"].silence


def test_a_program_that_is_not_there_or_not_a_program(tmp_path: Path, shell: list[str]) -> None:
    (tmp_path / "text").write_text("")
    argvs = {"none": ("no-such-program", "x"), "text": (str(tmp_path / "text"),)}
    answers = asked([Ask(key=key, argv=argv) for key, argv in argvs.items()], shell)
    for key, argv in argvs.items():
        assert f"`{argv[0]}` could not be run" in answers[key].silence
        assert answers[key].cause is Cause.FAILED


# --- standard input ---


def test_a_program_without_input_reads_its_end(shell: list[str]) -> None:
    answers = asked([Ask(key="a", sh="cat; echo end"), Ask(key="b", sh="cat", stdin=b"b")], shell)
    assert answers["a"].text == "end\n"
    assert answers["b"].text == "b"


def test_every_question_reads_its_own_input_only(shell: list[str]) -> None:
    asks = [
        Ask(key="one", sh="cat", stdin=b"one\n\0\xff"),
        Ask(key="role", sh="cat", stdin=b"two", only_if=Role.CONSOLE),
        Ask(key="greedy", sh="cat >/dev/null; cat", stdin=b"three"),
        Ask(key="deaf", sh="exec true", stdin=b"x" * 300_000),
        Ask(key="missing", argv=("no-such-program",), stdin=b"y" * 300_000),
        Ask(key="hangs", sh="sleep 100", seconds=1, stdin=b"z" * 300_000),
        Ask(key="floods", sh="yes", stdin=b"w" * 300_000),
        Ask(key="not-there", argv=("no-such-program",), root=True, stdin=b"four"),
        Ask(key="last", sh="cat", stdin=b"last"),
        Ask(key="none", sh="cat"),
    ]
    answers = asked(asks, shell)
    assert answers["one"].out == b"one\n\0\xff"
    assert answers["greedy"].text == ""
    assert answers["role"].silence == "not asked: the machine does not play the role console"
    assert answers["role"].cause is Cause.ROLE
    assert answers["not-there"].cause in (Cause.MISSING, Cause.PRIVILEGE)
    assert {answers[key].cause for key in ("one", "hangs", "floods")} == {None}
    assert answers["last"].text == "last"
    assert answers["none"].text == ""


def test_a_promised_role_is_asked_where_nothing_shows(shell: list[str]) -> None:
    made = script.compose([Ask(key="a", sh="echo a", only_if=Role.CONSOLE)], marker=MARKER, promised=[Role.CONSOLE])
    assert script.parse(raw(made, shell), made)["a"].text == "a\n"


# --- poor hosts ---

NEEDED = ("sh", "id", "sed", "head", "tail", "cat", "sleep", "tr")


def test_a_host_without_gzip(tmp_path: Path, shell: list[str]) -> None:
    made = script.compose([Ask(key="a", sh="echo a")], marker=MARKER)
    poor = with_path(made, str(tools(tmp_path / "bin", *NEEDED, "timeout")))
    sent = raw(poor, [str(shutil.which(shell[0])), *shell[1:]])
    assert f"{MARKER} plain\n".encode() in sent
    assert script.parse(sent, poor)["a"].text == "a\n"


def test_a_host_without_timeout_is_asked_nothing(tmp_path: Path) -> None:
    asks = [Ask(key="a", sh="echo a", stdin=b"a"), Ask(key="b", argv=("cat", "/dev/null"), root=True)]
    poor = with_path(script.compose(asks, marker=MARKER), str(tools(tmp_path / "bin", *NEEDED)))
    answers = script.parse(raw(poor), poor)
    assert "the machine has no `timeout`" in answers["a"].silence
    assert answers["b"].silence
    assert answers[script.ROLES].out


def test_the_callers_environment_does_not_reach_the_script(shell: list[str]) -> None:
    asks = [Ask(key="a", sh='echo "$PATH $LC_ALL"; env; umask')]
    made = script.compose(asks, marker=MARKER, password="hunter2")
    hostile = {"pw": "x", "PATH": "/usr/bin:/bin", "LC_ALL": "fr_FR.UTF-8", "SHELLOPTS": "allexport:xtrace", "IFS": "x"}
    done = subprocess.run([*shell, "-c", made.text], input=made.stdin, capture_output=True, env=hostile)
    answer = script.parse(done.stdout, made)["a"]
    assert answer.lines[0] == "/usr/sbin:/usr/bin:/sbin:/bin C"
    assert answer.lines[-1] == "0077"
    assert b"hunter2" not in answer.out + answer.err + done.stderr


# --- sudo's list, by a sudo of our own ---

CAT = ("cat", "/dev/null")
EXACT = "/usr/bin/timeout -s KILL 1 /usr/bin/env -C / /usr/bin/cat /dev/null"
HEAD = "User u may run the following commands on h:\n"
FREE, PAID, NEVER = "free", "paid", "never"
LISTS = {
    "everything": ("    (ALL : ALL) NOPASSWD: ALL\n", FREE),
    "everything, with a password": ("    (ALL : ALL) ALL\n", PAID),
    "exactly it": (f"    (root) NOPASSWD: {EXACT}\n", FREE),
    "exactly it, with a password": (f"    (root) {EXACT}\n", PAID),
    "among others": (f"    (root) NOPASSWD: /usr/bin/id, {EXACT}, /bin/sh -c x\\, y\n", FREE),
    "a tag ends at the next": (f"    (root) NOPASSWD: /usr/bin/id, PASSWD: {EXACT}\n", PAID),
    "other tags": (f"    (ALL) NOEXEC: SETENV: NOPASSWD: {EXACT}\n", FREE),
    "with backslashes": (f"    (root) NOPASSWD: {EXACT.replace('/', chr(92) + '/')}\n", FREE),
    "the last counts: exact": (f"    (ALL) ALL\n    (root) NOPASSWD: {EXACT}\n", FREE),
    "the last counts: everything": (f"    (root) NOPASSWD: {EXACT}\n    (ALL) ALL\n", PAID),
    "everything but everything": ("    (ALL) NOPASSWD: ALL, !ALL\n", NEVER),
    "everything but ours": ("    (ALL) NOPASSWD: ALL, !/usr/bin/timeout\n", NEVER),
    "no authentication": ("Matching Defaults entries:\n    !authenticate\n\n" + HEAD + "    (ALL) ALL\n", FREE),
    "as somebody else": ("    (postgres) NOPASSWD: ALL\n    (rootless) NOPASSWD: ALL\n", NEVER),
    "as anybody but root": ("    (ALL, !root) NOPASSWD: ALL\n", NEVER),
    "with more arguments": (f"    (root) NOPASSWD: {EXACT} x\n    (root) NOPASSWD: x {EXACT}\n", NEVER),
    "a pattern": ("    (root) NOPASSWD: /usr/bin/timeout *\n    (root) NOPASSWD: *\n", NEVER),
    "nothing": ("", NEVER),
}


def by_sudo(tmp_path: Path, says: str, password: str | None = None, **more: str) -> tuple[Answers, list[str]]:
    """The answers where sudo says this list, and how sudo was called."""
    (tmp_path / "list").write_text(says)
    log = tmp_path / "log"
    fake = f'echo "$*" >> {log}; case "$*" in *-l*) {more.get("listing", f"cat {tmp_path}/list")} ;; *) '
    fake += 'case "$*" in *-S*) read -r pw ;; esac; while [ "$1" != /usr/bin/timeout ]; do shift; done; '
    fake += f'{more.get("running", ":")}; "$@" ;; esac'
    folder = tools(tmp_path / "bin", id="echo 1000", sudo=fake)
    asks = [Ask(key="a", argv=CAT, root=True, seconds=1), Ask(key="b", argv=CAT, root=True, seconds=1)]
    made = with_path(script.compose(asks, marker=MARKER, password=password), f"{folder}:/usr/bin:/bin")
    return script.parse(raw(made), made), log.read_text().splitlines()


@pytest.mark.parametrize("case", LISTS)
@pytest.mark.parametrize("password", [None, "N:secret"])
def test_only_what_sudo_lists_is_asked(case: str, password: str | None, tmp_path: Path) -> None:
    said, expected = LISTS[case]
    answers, calls = by_sudo(tmp_path, (HEAD if HEAD not in said else "") + said, password)
    runs = [call for call in calls if not call.endswith("-l")]
    if expected is FREE:
        assert runs == [f"-n {EXACT}"] * 2
    elif expected is PAID and password:
        assert runs == [f"-k -S -p  {EXACT}"] * 2
    else:
        assert runs == []
    assert bool(runs) is not bool(answers["a"].silence)
    assert calls[: len(calls) - len(runs)] == ["-k -n -l"]


def test_a_password_is_offered_once_and_a_refusal_stands(tmp_path: Path) -> None:
    answers, calls = by_sudo(tmp_path, "sudo: no\nsudo: a password is required", "wrong")
    assert calls == ["-k -n -l", "-k -S -p  -l"]
    silence = "only root may run `cat /dev/null`: sudo: a password is required; --sudoers prints the line for it"
    assert (answers["a"].silence, answers["a"].cause) == (silence, Cause.PRIVILEGE)


@pytest.mark.parametrize("says", [f"{HEAD}    (root) NOPASSWD: {EXACT}\n", f"{HEAD}    (ALL) ALL\n", "sudo: no\n"])
def test_what_could_become_root_is_asked_only_of_who_is_root_anyway(says: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(says)
    folder = tools(
        tmp_path / "bin", id="echo 1000", sudo=f'case "$*" in *-l*) cat {tmp_path}/list ;; *) exit 9 ;; esac'
    )
    made = script.compose([Ask(key="a", argv=CAT, if_all=True)], marker=MARKER)
    answers = script.parse(raw(with_path(made, f"{folder}:/usr/bin:/bin")), made)
    assert answers["a"].silence == "`cat /dev/null` is asked only of an account that may do everything as root"
    assert answers["a"].cause is Cause.PRIVILEGE


def test_a_sudo_that_hangs_is_left_behind(tmp_path: Path) -> None:
    answers, calls = by_sudo(tmp_path, f"{HEAD}(ALL) NOPASSWD: ALL", running="sleep 8")
    assert len(calls) == 2
    assert "was not heard to its end" in answers["a"].silence
    assert "sudo did not end" in answers["b"].silence


@pytest.mark.parametrize(
    "said",
    [
        "sudo: unable to resolve host h: Name or service not known",
        "sudo: unable to open /etc/sudoers.d/site/them: No such file or directory",
        "sudo: /etc/sudoers.d/them is owned by uid 1000, should be 0",
        "sudo: /etc/sudoers.d/them is world writable",
        "/etc/sudoers.d/them:1:9: syntax error\\nfoo bar baz\\n        ^~~",
    ],
)
def test_what_sudo_says_of_itself_is_not_the_programs(tmp_path: Path, said: str) -> None:
    running = f"printf '{said}\\n' >&2; set -- /bin/sh -c 'echo x >&2; exit 1'"
    answers, _ = by_sudo(tmp_path, f"{HEAD}(ALL) NOPASSWD: ALL", running=running)
    assert (answers["a"].silence, answers["a"].status, answers["a"].err) == ("", 1, b"x")


# --- what is read of bytes ---

ASKS = (Ask(key="a", sh="a"), Ask(key="b", argv=("b",), limit=4), Ask(key="c", argv=("c",), root=True))
MADE = script.compose(ASKS, marker=MARKER)


def packed(body: bytes) -> bytes:
    return b"\n" + MARKER.encode() + b" gzip\n" + gzip.compress(body)


def unpacked(body: bytes) -> bytes:
    return b"\n" + MARKER.encode() + b" plain\n" + body


@pytest.fixture(scope="module")
def real() -> tuple[script.Script, bytes]:
    """A script of many outcomes, and what this machine sent for it."""
    asks = [
        Ask(key="words", sh=f"printf '{FRAMES}'; echo e >&2"),
        Ask(key="none", sh="true"),
        Ask(key="fails", sh="exit 3"),
        Ask(key="role", sh="true", only_if=Role.DATABASE),
        Ask(key="missing", argv=("no-such-program",)),
        Ask(key="much", sh="yes", limit=100),
        Ask(key="bytes", sh="head -c 3000 /bin/ls"),
    ]
    made = plain(script.compose(asks, marker=MARKER))
    return made, raw(made)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), zipped=st.booleans())
def test_a_cut_takes_answers_away_and_makes_none(
    real: tuple[script.Script, bytes], data: st.DataObject, zipped: bool
) -> None:
    made, sent = real
    body = sent.partition(b"plain\n")[2]
    sent = packed(body) if zipped else sent
    whole = script.parse(sent, made)
    at = data.draw(st.integers(0, len(sent)))
    try:
        rest = script.parse(sent[:at], made)
    except NotObserved:
        assert at < len(MARKER) + 3
        return
    for key in (ask.key for ask in made.asks):
        assert rest[key] == whole[key] or (rest[key].silence and not rest[key].out and rest[key].status is None)
        end = re.search(rb"^\.%s .*\n" % key.encode(), sent, re.M)
        if not zipped and end and end.end() <= at:
            assert rest[key] == whole[key]


LINES = st.lists(
    st.one_of(
        st.sampled_from([b"@a 1", b"@b 1", b"@c 1", b"o", b"o.", b".a 0 1", b".b 0 1", b".c 1 2", b"!", b"!denied x"]),
        st.sampled_from(
            [b".a - 1", b".a 1" + b"0" * 5000 + b" 1", b"@roles 0", b".roles 0 0", b"@privilege 0", b"esudo: x"]
        ),
        st.binary(max_size=20),
        st.binary(max_size=20).map(lambda end: b"o" + end),
        st.binary(max_size=20).map(lambda end: b"." + end),
    )
).map(b"\n".join)


def read(sent: bytes, said: bytes = b"") -> None:
    """Every answer is there, is bounded and can be read; or nobody answered at all."""
    try:
        answers = script.parse(sent, MADE, said)
    except NotObserved:
        return
    assert {ask.key for ask in ASKS} <= set(answers) <= {*"abc", script.PRIVILEGE, script.ROLES}
    for answer in answers.values():
        assert answer.silence or answer.status is not None
        assert len(answer.out) <= (4 if answer.key == "b" else len(sent) * 1100)
        if answer.silence:
            with pytest.raises(NotObserved):
                _ = answer.text
        else:
            assert isinstance(answer.lines, list)


@settings(max_examples=500, deadline=None)
@given(body=st.one_of(LINES, st.binary()), wrap=st.sampled_from([packed, unpacked, bytes]), said=st.binary(max_size=9))
def test_any_bytes_are_read_or_not_observed(body: bytes, wrap: object, said: bytes) -> None:
    read(wrap(body), said)  # type: ignore[operator]


@settings(max_examples=300, deadline=None)
@given(data=st.data(), wrap=st.sampled_from([packed, unpacked]))
def test_any_change_of_bytes_is_read_or_not_observed(data: st.DataObject, wrap: object) -> None:
    body = b"@a 1.5\nox\n\no.\n.a 0 2.5\n@b 1\noxxx\no.\n.b 0 2\n@c 0\n!denied x\n.c - 0\n"
    sent = bytearray(wrap(body))  # type: ignore[operator]
    for at in data.draw(st.lists(st.integers(0, len(sent) - 1), min_size=1, max_size=5)):
        sent[at] = data.draw(st.integers(0, 255))
    read(bytes(sent))


def test_changed_bytes_in_what_is_packed_are_no_answers() -> None:
    body = b"@a 1\noabc\no.\n.a 0 2\n"
    sent = bytearray(packed(body + bytes(1000)))
    sent[-6] ^= 1  # the checksum
    assert script.parse(packed(body), MADE)["a"].text == "abc"
    assert script.parse(bytes(sent), MADE)["a"].silence


@pytest.mark.parametrize("line", [b"\n", b"oxy\n", b"exy\n", b"@a 0\n", b"@a 0\nox\no.\n.a 0 0\n"])
def test_a_bomb_is_bounded(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 1 << 18
    monkeypatch.setattr(script, "MOST_BYTES", most)
    bomb = packed(b"@a 0\n" + line * (50 * most // len(line)))
    tracemalloc.start()
    try:
        answers = script.parse(bomb, MADE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * most
    assert len(answers["a"].out) <= ASKS[0].limit


def test_what_a_login_shell_prints_first_is_passed_over(real: tuple[script.Script, bytes]) -> None:
    made, sent = real
    noise = b"Welcome\n@words 0\noforged\no.\n.words 0 0\n\n0123 plain\n@words 0\noforged\no.\n.words 0 0\n"
    assert dict(script.parse(noise + sent, made)) == dict(script.parse(sent, made))


def test_nothing_of_the_script_is_told_as_a_sentence() -> None:
    with pytest.raises(NotObserved, match="said “This account is not available"):
        script.parse(b"This account is not available.\n", MADE)


@dataclass(frozen=True)
class Kind:
    """A fact, as far as a plan looks at it: not one, or every test after this would know it."""

    name: str
    questions: tuple[Ask, ...]

    def fact_name(self) -> str:
        return self.name

    def form(self, shell: Shell) -> Kind:
        return self

    def first(self, promises: Promises) -> tuple[Ask, ...]:
        return self.questions


def test_one_key_for_two_questions_is_refused() -> None:
    one, same, other = (Kind(sh, (Ask(key="a", sh=sh[:1]),)) for sh in ("x", "x again", "y"))
    target = Target(name="x", address="x")
    assert len(Plan(target, frozenset({one, same})).questions) == 1  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two different questions are called 'a'"):
        _ = Plan(target, frozenset({one, other})).questions  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["", "A", "a b", "a\nb", "-a", "é", script.ROLES, script.PRIVILEGE])
def test_a_key_that_would_be_no_frame_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="a key is made of"):
        script.compose([Ask(key=key, sh="a")], marker=MARKER)


# --- the exec string ---


def everything() -> script.Script:
    questions = plan(Target(name="x", address="x"), controls().values()).questions
    return script.compose([ask for ask in questions if isinstance(ask, Ask)], marker=MARKER)


def test_the_command_is_one_short_line_without_marks_that_shells_dispute() -> None:
    command = everything().command
    assert len(command) < 100_000
    assert re.fullmatch(r"exec /bin/sh -c '[^'!\\\n]*' sh [A-Za-z0-9+/= ]+", command)
    assert max(map(len, command.split())) < 1000


@pytest.fixture(scope="module")
def host() -> Iterable[lab.Host]:
    lab.required()
    with lab.boot("bookworm") as booted:
        yield booted


@pytest.mark.parametrize("login", ["sh", "bash", "fish", "tcsh", "bsd-csh", "csh"])
def test_every_login_shell_runs_it(login: str, host: lab.Host) -> None:
    made = script.compose([Ask(key="a", sh="echo \"it's \\$HOME\" '!$x' '~'")], marker=MARKER)
    made = plain(made)
    said = host.run(f'exec {login} -c "$(cat)"', input=made.command).stdout
    assert script.parse(said.encode(), made)["a"].text == "it's $HOME !$x ~\n"
