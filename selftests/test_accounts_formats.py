"""The readers of accounts, sudo's rules and PAM's stacks, held against libpam and the tools themselves."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandora_audit.facts import passwords, sudo
from pandora_audit.formats import pam, passwd, sudoers
from pandora_audit.formats.pam import Module
from pandora_audit.formats.sudoers import Member
from pandora_audit.promises import Promises
from pandora_audit.question import Unreadable
from pandora_audit.questions import PASSWORD_STATES

# --- PAM, against libpam ---

_KEYWORDS = st.sampled_from(["required", "requisite", "sufficient", "optional"])
_ACTIONS = st.sampled_from(["ok", "done", "bad", "die", "ignore", "1", "2"])
_CONTROLS = _KEYWORDS | st.builds("[success={} default={}]".format, _ACTIONS, _ACTIONS)
_LINES = st.lists(st.tuples(_CONTROLS, st.booleans()), min_size=1, max_size=5)
_INCLUDES = st.sampled_from(["include", "substack"])


class _Conversation(ctypes.Structure):
    _fields_ = (("function", ctypes.c_void_p), ("data", ctypes.c_void_p))


def _libpam() -> ctypes.CDLL:
    found = ctypes.util.find_library("pam")
    library = ctypes.CDLL(found) if found else None
    if library is None or not hasattr(library, "pam_start_confdir"):
        pytest.skip("no libpam with pam_start_confdir on this machine")
    return library


def _authenticates(library: ctypes.CDLL, folder: Path) -> bool:
    handle = ctypes.c_void_p()
    conversation = _Conversation()
    begun = library.pam_start_confdir(
        b"service", b"nobody", ctypes.byref(conversation), os.fsencode(folder), ctypes.byref(handle)
    )
    assert begun == 0
    try:
        result = library.pam_authenticate(handle, 0)
        assert result in (0, 6, 7), f"libpam could not tell ({result})"
        return bool(result == 0)
    finally:
        library.pam_end(handle, 0)


def _written(lines: list[tuple[str, bool]]) -> list[str]:
    results = {True: "success", False: "auth_err"}
    return [f"auth {control} pam_debug.so auth={results[success]}" for control, success in lines]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(before=_LINES, how=_INCLUDES, inside=_LINES, after=_LINES)
def test_a_stack_ends_as_libpam_ends_it(
    before: list[tuple[str, bool]], how: str, inside: list[tuple[str, bool]], after: list[tuple[str, bool]]
) -> None:
    library = _libpam()
    with tempfile.TemporaryDirectory() as folder:
        # A name without a path would be looked for in /etc/pam.d.
        include = f"auth {how} {folder}/other-file"
        files = {"service": [*_written(before), include, *_written(after)], "other-file": _written(inside)}
        for name, lines in files.items():
            Path(folder, name).write_text("\n".join(lines) + "\n")
        real = _authenticates(library, Path(folder))
    ours = pam.stack(
        pam.files(f"/etc/pam.d/{name}:{line}" for name, lines in files.items() for line in lines), "service", "auth"
    )
    assert pam.succeeds(ours, lambda module: "auth=success" in module.arguments) is real


DEBIAN = [
    "auth [success=1 default=ignore] pam_unix.so nullok",
    "auth requisite pam_deny.so",
    "auth required pam_permit.so",
]
REDHAT = [
    "auth required pam_env.so",
    "auth required pam_faildelay.so delay=2000000",
    "auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular",
    "auth [default=1 ignore=ignore success=ok] pam_localuser.so",
    "auth sufficient pam_unix.so nullok",
    "auth [default=1 ignore=ignore success=ok] pam_usertype.so isregular",
    "auth sufficient pam_sss.so forward_pass",
    "auth required pam_deny.so",
]


def stack(*lines: str) -> tuple[Module, ...]:
    return pam.stack(pam.files(f"/etc/pam.d/x:{line}" for line in lines), "x", "auth")


@pytest.mark.parametrize(
    ("lines", "open"),
    [
        (DEBIAN, False),
        (REDHAT, False),
        (["auth sufficient pam_rootok.so", *REDHAT], False),
        (["auth sufficient pam_wheel.so trust use_uid", *DEBIAN], True),
        (["auth required pam_wheel.so use_uid", *DEBIAN], False),
        (["#auth sufficient pam_permit.so", *DEBIAN], False),
        (["auth sufficient pam_permit.so", *REDHAT], True),
        (["auth required pam_permit.so"], True),
        (["auth optional pam_unix.so", "auth required pam_permit.so"], True),
        (["auth sufficient pam_succeed_if.so user ingroup ops", *DEBIAN], True),
        (["auth required pam_something_new.so"], False),
        ([], False),
    ],
)
def test_a_stack_that_asks_for_nothing(lines: list[str], open: bool) -> None:
    found = stack(*lines) if lines else ()
    assert pam.lets_anybody_in(found) is open


def test_a_dash_is_kept() -> None:
    assert [module.may_be_missing for module in stack("-auth required pam_a.so", "auth required pam_b.so")] == [
        True,
        False,
    ]


# --- passwd ---


def test_accounts_are_read_once_and_odd_lines_passed_over() -> None:
    root = "root:x:0:0:root:/root:/bin/bash"
    lines = [
        root,
        root,
        "+::::::",
        "x:x:-1:0::/:/bin/sh",
        "y:x:99999999999:0::/:",
        "z:x:\u0665:0::/:",
        "",
        "no:shell:1:1",
        "é:x:5:5:::",
    ]
    assert [(each.name, each.uid, each.shell) for each in passwd.accounts(lines)] == [
        ("root", 0, "/bin/bash"),
        ("é", 5, ""),
    ]
    assert [each.members for each in passwd.groups(["a:x:5:b,c,", "b:x:6:", "bad"])] == [("b", "c"), ()]


def test_the_file_of_keys_that_a_pattern_names() -> None:
    account = passwd.Account("olga", 1000, 1000, "/home/olga", "/bin/sh")
    assert account.file("/etc/keys/%u.%U/%%h") == "/etc/keys/olga.1000/%h"
    assert account.file("%h/../x") == "/home/x"
    assert account.file(".ssh/authorized_keys") == "/home/olga/.ssh/authorized_keys"


# --- what the host tells of passwords ---

FIELDS = {
    "": "0:empty",
    "!": "1:empty",
    "!!": "1:empty",
    "*": "0:-",
    "!*": "1:-",
    "x": "0:-",
    "NP": "0:-",
    "$6$salt$hash": "0:6",
    "!$6$salt$hash": "1:6",
    "$y$j9T$salt$hash": "0:y",
    "$2b$10$hash": "0:2b",
    "abcdefghijklm": "0:des",
    "*bcdefghijklm": "0:-",
    "$": "0:",
}


def test_a_password_field_is_told_without_its_hash(tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.write_text("".join(f"u{n}:{field}:20000:0:99999:7::21000:\n" for n, field in enumerate(FIELDS)))
    argv = [*PASSWORD_STATES.argv[:-2], str(shadow)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=240).stdout.splitlines()
    assert said == [f"{shadow}:u{n}:{told}:21000" for n, told in enumerate(FIELDS.values())]


def _tried(tmp_path: Path, shadow: str, stdin: bytes) -> list[str]:
    (tmp_path / "shadow").write_text(shadow)
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    program = passwords._PERL.replace("/etc/", f"{tmp_path}/")
    done = subprocess.run(["perl", "-le", program], input=stdin, capture_output=True, check=True, timeout=240)
    return done.stdout.decode().splitlines()


def test_the_host_tells_names_and_never_a_word_or_a_hash(tmp_path: Path) -> None:
    shadow = "olga:abT7BE6fVZNq2:1::::::\nivan:abT7BE6fVZNq2x:1::::::\neve:$8$a$b:1::::::\nroot:!abT7BE6fVZNq:1:::::\n"
    # Perl's own crypt makes the hash, so that the scheme is one of this machine's.
    word = subprocess.run(
        ["perl", "-e", 'print crypt("artica","ab")'], capture_output=True, text=True, check=True
    ).stdout
    shadow = shadow.replace("abT7BE6fVZNq2:", f"{word}:", 1)
    stdin = passwords._question(Promises()).stdin
    assert _tried(tmp_path, shadow, stdin) == ["weak:olga", "other:eve", "words:10"]
    assert _tried(tmp_path, shadow, b"0\nartica\n") == ["untried:olga", "other:eve", "words:1"]


def test_a_list_of_words_is_read_where_it_can_be(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_bytes(b"one\r\ntwo\n\none\r\n\xff\n")
    assert passwords._question(Promises(crack=str(words))).stdin.endswith(b"12345678\none\ntwo\n\xff\n")
    assert passwords._question(Promises(crack=str(tmp_path / "none"))).stdin == passwords._question(Promises()).stdin


# --- sudo's rules ---


def test_rules_are_read_as_cvtsudoers_prints_them() -> None:
    text = json.dumps(
        {
            "Defaults": [
                {"Options": [{"env_reset": True}]},
                {
                    "Binding": [{"username": "bob"}, {"username": "carl", "negated": True}],
                    "Options": [{"syslog": False}],
                },
            ],
            "User_Specs": [
                {
                    "User_List": [{"usergroup": "wheel"}, {"usergid": 27}, {"netgroup": "ops"}],
                    "Host_List": [{"hostname": "ALL"}],
                    "Cmnd_Specs": [
                        {
                            "runasusers": [{"username": "root"}],
                            "Options": [{"authenticate": False}, {"setenv": True}],
                            "Commands": [{"command": "ALL"}, {"command": "/bin/su", "negated": True}],
                        },
                        {"Commands": [{"command": "/bin/ls", "sha224": "abc"}]},
                    ],
                }
            ],
        }
    )
    found = sudoers.read(text)
    assert found.settings[1].binding == (Member("username", "bob"), Member("username", "carl", negated=True))
    assert [str(each) for each in found.grants[0].users] == ["%wheel", "%#27", "+ops"]
    assert found.grants[0].options == {"authenticate": False, "setenv": True}
    assert [str(each) for each in found.grants[0].commands] == ["ALL", "!/bin/su"]
    assert found.grants[1].runas == ()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '"x"',
        "[" * 100000,
        '{"User_Specs": [{}]}',
        '{"Defaults": [1]}',
        '{"User_Specs": [{"Cmnd_Specs": [{"Commands": [{}]}]}]}',
    ],
)
def test_anything_else_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        sudoers.read(text)


@given(st.text(max_size=200))
@settings(max_examples=50)
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    with contextlib.suppress(Unreadable):
        sudoers.read(text)


@pytest.mark.parametrize(
    ("command", "everything"),
    [
        ("ALL", True),
        ("/bin/bash", True),
        ("/usr/bin/zsh -l", True),
        ("/usr/bin/su -", True),
        ("/usr/bin/su - root", True),
        ("/bin/su", True),
        ("/usr/bin/su - postgres", False),
        ("/usr/bin/ssh host", False),
        ("/usr/bin/systemctl restart httpd", False),
        ("/usr/bin/fish-counter", False),
        ("sudoedit /etc/hosts", False),
        ("/usr/bin/", True),
        ("/bin/*", True),
        ("/usr/bin/b[a]sh -c date", True),
        ("/usr/sbin/", False),
        ("/usr/*", False),
        ("/usr/bin/systemctl * httpd", False),
    ],
)
def test_a_command_that_is_as_good_as_any(command: str, everything: bool) -> None:
    assert sudo.is_everything(command) is everything
