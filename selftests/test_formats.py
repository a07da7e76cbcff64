"""The readers of sshd_config, authorized_keys and PAM: what their own programs accept, and what they make of it."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandora_audit.formats import authorized_keys, glob, grep, pam, sshd_config, stat
from pandora_audit.formats.authorized_keys import AuthorizedKey
from pandora_audit.formats.sshd_config import Accounts, Block, Written
from pandora_audit.question import Answer, NotObserved, Unreadable
from pandora_audit.questions import ANYBODY

MAIN = sshd_config.MAIN


# --- sshd_config ---


def written(*files: str, looked_in: tuple[str, ...] = ("/etc/ssh",), **named: str) -> Written:
    """The first text as the main file, others as drop-ins 1.conf, 2.conf, …"""
    paths = [MAIN, *(f"/etc/ssh/sshd_config.d/{number}.conf" for number in range(1, len(files)))]
    texts = {**dict(zip(paths, files, strict=True)), **{f"/etc/ssh/{name}": text for name, text in named.items()}}
    lines = [f"{path}:{n}:{line}" for path, text in texts.items() for n, line in enumerate(text.split("\n"), 1)]
    return sshd_config.written(sshd_config.grepped(lines), looked_in)


@pytest.mark.parametrize(
    ("line", "keyword", "words"),
    [
        ("PermitRootLogin no", "permitrootlogin", ("no",)),
        ("PERMITROOTLOGIN=no", "permitrootlogin", ("no",)),
        ("permitrootlogin = no", "permitrootlogin", ("no",)),
        ("permitrootlogin\t=no", "permitrootlogin", ("no",)),
        ("  \tPermitRootLogin\tno\t ", "permitrootlogin", ("no",)),
        ("PermitRootLogin no\r", "permitrootlogin", ("no",)),
        ("PermitRootLogin no\r\r", "permitrootlogin", ("no",)),
        ("PermitRootLogin no \f", "permitrootlogin", ("no",)),
        ('"PermitRootLogin" no', "permitrootlogin", ("no",)),
        ('"Include" = x.conf', "include", ("=", "x.conf")),
        ('Banner "/etc/my notice" # so', "banner", ("/etc/my notice",)),
        ("Banner '/etc/my notice'", "banner", ("/etc/my notice",)),
        (r"Banner /etc/my\ notice", "banner", ("/etc/my notice",)),
        (r'Banner "/etc/\"x\""', "banner", ('/etc/"x"',)),
        (r"Banner /etc/\x", "banner", (r"/etc/\x",)),
        ("Banner /etc/issue#net", "banner", ("/etc/issue#net",)),
        ("Banner /etc/issue #net", "banner", ("/etc/issue",)),
        ('Banner ""', "banner", ("",)),
        ("PermitOpen a:1 b:2", "permitopen", ("a:1", "b:2")),
        ("Banner /etc/notice-\\xe9", "banner", ("/etc/notice-\\xe9",)),
        ("Banner", "banner", ()),
    ],
)
def test_a_line_is_split_as_sshd_splits_it(line: str, keyword: str, words: tuple[str, ...]) -> None:
    (found,) = sshd_config.grepped([f"{MAIN}:7:{line}"])
    assert (found.keyword, found.words, found.where) == (keyword, words, f"{MAIN}:7")


@pytest.mark.parametrize(
    "line",
    [
        "#Port 22",
        "  # Port 22",
        "",
        "\ufeffPort 22",
        "grep: /etc/ssh/x: No such file or directory",
        "/etc/ssh/x:a:Port 2",
    ],
)
def test_what_is_no_line_of_sshds_is_passed_over(line: str) -> None:
    assert list(sshd_config.grepped([line if line.startswith(("/", "grep")) else f"{MAIN}:1:{line}"])) == []


def test_an_open_quote_ends_the_words() -> None:
    (found,) = sshd_config.grepped([f'{MAIN}:1:Banner /a "b c'])
    assert found.words == ("/a",)


@pytest.mark.parametrize(
    "said", ["Binary file {} matches", "grep: {}: binary file matches", "/usr/bin/grep: {}: binary file matches"]
)
def test_a_file_with_nul_cannot_be_read(said: str) -> None:
    lines = [f"{MAIN}:1:Include x.conf", said.format("/etc/ssh/x.conf")]
    with pytest.raises(Unreadable, match=r"/etc/ssh/x\.conf"):
        sshd_config.written(sshd_config.grepped(lines), ("/etc/ssh",))
    lines = [f"{MAIN}:1:Port 2", said.format("/etc/ssh/.sshd_config.swp")]
    assert sshd_config.written(sshd_config.grepped(lines), ("/etc/ssh",)).says("port")


def test_the_first_value_wins_in_the_order_in_which_files_are_included() -> None:
    found = written("Include sshd_config.d/*.conf\nPort 3", "Port 1", "Port 2")
    assert [line.words for line in found.globals if line.keyword == "port"] == [("1",), ("2",), ("3",)]
    assert found.says("port") == found.globals[0]


def test_a_match_ends_with_its_file_and_an_include_does_not_end_a_match() -> None:
    found = written(
        "Include sshd_config.d/1.conf\nPort 2\nMatch User a\nInclude sshd_config.d/2.conf\nBanner b",
        "Match all\nBanner a",
        "PermitTunnel no\nMatch User b\nBanner c",
    )
    assert [line.keyword for line in found.globals] == ["port"]
    assert [(block.label, block.lines[0].words) for block in found.blocks] == [
        ("Match all", ("a",)),
        ("Match user a", ("no",)),
        ("Match user a user b", ("c",)),
        ("Match user a", ("b",)),
    ]


@pytest.mark.parametrize(
    ("pattern", "absolute", "seen"),
    [
        ("x.conf", "/etc/ssh/x.conf", True),
        ("/etc/ssh//a/./x.conf", "/etc/ssh/a/x.conf", True),
        ("../x.conf", "/etc/x.conf", False),
        ("/opt/*.conf", "/opt/*.conf", False),
        ('"/opt/my site/x"', "/opt/my site/x", False),
        ("/etc/sshd/x", "/etc/sshd/x", False),
    ],
)
def test_where_an_include_leads(pattern: str, absolute: str, seen: bool) -> None:
    found = written(f"Include {pattern}")
    assert found.included == (absolute,)
    assert found.unseen == (() if seen else (absolute,))


def test_a_circle_of_includes_cannot_be_read() -> None:
    with pytest.raises(Unreadable, match="deeper"):
        written("Include sshd_config")


def test_includes_are_followed_as_deep_as_sshd_follows_them() -> None:
    chain = {f"c{number}": f"Include c{number + 1}" for number in range(1, 16)}
    assert written("Include c1", **chain, c16="Port 2").says("port")
    with pytest.raises(Unreadable):
        written("Include c1", **chain, c16="Include c17", c17="Port 2")


@pytest.mark.parametrize(
    ("path", "pattern", "same"),
    [
        ("/a/b.conf", "/a/*.conf", True),
        ("/a/.b.conf", "/a/*.conf", False),
        ("/a/.b.conf", "/a/.*", True),
        ("/a/b/c.conf", "/a/*.conf", False),
        ("/a/b.conf", "/a/[a-c].conf", True),
        ("/a/b.conf", "/a/?.CONF", False),
    ],
)
def test_a_glob_is_that_of_the_c_library(path: str, pattern: str, same: bool) -> None:
    assert glob.same_path(path, pattern) is same


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("Match User a Address 10.0.0.0/8", "Match user a address 10.0.0.0/8"),
        ("MATCH user=a", "Match user a"),
        ("Match User = a", "Match user a"),
        ("Match User =a", "Match user a"),
        ("Match all # everybody", "Match all"),
        ("Match invalid-user User a", "Match invalid-user user a"),
        ("Match User", "Match user"),
        ("Match", "Match"),
    ],
)
def test_criteria_of_a_match(line: str, label: str) -> None:
    (block,) = written(f"{line}\nBanner x").blocks
    assert block.label == label.ljust(len("Match "))


@pytest.mark.parametrize(
    ("text", "patterns", "hit"),
    [
        ("root", "root", True),
        ("root", "r?ot,x", True),
        ("root", "*,!root", False),
        ("root", "!root,*", False),
        ("ana", "!root", False),
        ("Root", "root", False),
        ("a.b", "a?b", True),
        ("[a]", "[a]", True),
        ("a", "[a]", False),
        ("", "", True),
        ("a\nb", "a*", True),
    ],
)
def test_pattern_lists(text: str, patterns: str, hit: bool) -> None:
    assert sshd_config.matches(text, patterns) is hit


def _block(text: str) -> Block:
    return written(f"Match {text}\nBanner x").blocks[0]


@pytest.mark.parametrize(
    ("criteria", "visitor"),
    [
        ("User deploy", {"user": "deploy"}),
        ("Group wheel", {"user": "ana"}),
        ("Address 10.1.2.0/24 LocalPort 2222", {"addr": "10.1.2.0", "lport": "2222"}),
        ("Address 10.1.*", {"addr": "10.1.0.0"}),
        ("Address 2001:db8::/32", {"addr": "2001:db8::"}),
        ("Host *.example.com", {"host": "visitor.example.com"}),
        ("User visitor LocalPort 1 Address 203.0.113.9", {}),
        ("all", {}),
    ],
)
def test_a_visitor_of_a_block_can_be_named(criteria: str, visitor: dict[str, str]) -> None:
    accounts = Accounts({"ana": frozenset({"wheel"}), "root": frozenset()}, frozenset({"wheel"}))
    found = sshd_config.circumstances([_block(criteria)], ANYBODY, accounts)
    (named,) = [each.connection for each in found if each.blocks]
    assert named == {**ANYBODY, **visitor}


@pytest.mark.parametrize("criteria", ["Group ldap-admins", "invalid-user", "User ana,b\\ c,!ana", "RDomain blue"])
def test_a_block_whose_visitors_cannot_be_named_may_have_some(criteria: str) -> None:
    found = sshd_config.circumstances([_block(criteria)], ANYBODY, Accounts())
    assert [each.connection for each in found if each.blocks] == [None]


@pytest.mark.parametrize(
    "criteria", ["User !root", "User deploy,!root", "Address 10.0.0.0/24,!10.0.0.0/16", "User root Group wheel"]
)
def test_a_block_that_root_never_satisfies(criteria: str) -> None:
    accounts = Accounts({"root": frozenset({"root"})}, frozenset({"root", "wheel"}))
    found = sshd_config.circumstances([_block(criteria)], ANYBODY, accounts, ["root"])
    assert [each.blocks for each in found] == [()]


def test_more_kinds_of_connections_than_can_be_looked_at() -> None:
    blocks = [_block(f"Address 10.{n}.0.0/16 LocalAddress 10.{n}.0.1 User u{n}") for n in range(40)]
    with pytest.raises(Unreadable, match="more kinds"):
        sshd_config.circumstances(blocks, ANYBODY, Accounts())


def test_what_sshd_did_not_print_is_no_configuration() -> None:
    assert sshd_config.effective("port 22\nPort 23\nbanner none\n")["port"] == ("22", "23")
    with pytest.raises(Unreadable):
        sshd_config.effective("")


_CONFIG = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["Match", "Include", "Port", '"Banner"', "PermitRootLogin"]),
            st.sampled_from([" ", "=", "\t", '"', " = "]),
            st.text("ab.*?![]/\\\"'#=,: \t\r", max_size=30),
        ),
        st.sampled_from(["Match all", "Match User a,!b Address 10.*", "Include *", "Match Address ::1/129,1.2.3.4/x"]),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(_CONFIG, _CONFIG)
def test_no_text_breaks_the_reading_of_sshds_files(main: list[str], other: list[str]) -> None:
    try:
        found = written("\n".join(main), "\n".join(other), x="\n".join(other))
        circumstances = sshd_config.circumstances(found.blocks, ANYBODY, Accounts())
    except Unreadable:
        return
    assert circumstances[0].connection == ANYBODY or circumstances[0].connection is None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text())
def test_no_text_breaks_the_reading_of_what_sshd_prints(text: str) -> None:
    try:
        sshd_config.effective(text)
    except Unreadable:
        return


# --- authorized_keys ---


def _string(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _public(kind: str, *parts: bytes) -> str:
    return f"{kind} {base64.b64encode(_string(kind.encode(), *parts)).decode()}"


ED = _public("ssh-ed25519", bytes(range(32)))
SK = _public("sk-ssh-ed25519@openssh.com", bytes(range(32)), b"ssh:")
POINT = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
EC = _public("ecdsa-sha2-nistp256", b"nistp256", POINT)
SK_EC = _public("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", POINT, b"ssh:")
MODULUS = b"\x00" + bytes([0xC3]) * 256
RSA = _public("ssh-rsa", b"\x01\x00\x01", MODULUS)


def read(text: str) -> list[AuthorizedKey]:
    return list(authorized_keys.keys(f"/k:{line}" for line in text.split("\n")))


LINES = {
    "a plain key": f"{ED} ana@host",
    "without a comment": RSA,
    "a security key": f"{SK} token",
    "an elliptic curve": f"{EC} x",
    "a security key on a curve": f"{SK_EC} x",
    "indented, parted by tabs": f"\t  {ED.replace(' ', chr(9))}\tx",
    "lines of Windows": f"{ED}\r\n{EC} x\r",
    "comments and blanks": f"# {ED}\n\n   # x\n{EC}",
    "flags": f"restrict,pty,no-port-forwarding {ED}",
    "a forced command": f'command="/usr/bin/uptime" {ED}',
    "blanks and commas in quotes": f'from="10.0.0.0/8,!10.0.0.1",command="a b, c" {ED}',
    "escaped quotes": f'command="echo \\"a b\\" # c" {ED}',
    "a backslash before an escaped quote": f'command="a\\\\" b" {ED}',
    "a key within quotes": f'command="{ED}" {EC}',
    "a quote that stays open": f'command="x {ED}',
    "quotes within a word": f'environment="A=b"x="y z" {ED}',
    "the modern name of a signature": RSA.replace("ssh-rsa", "rsa-sha2-512", 1),
    "broken base64": f"ssh-ed25519 AAAA{ED[40:]}",
    "cut off": ED[:-12],
    "another type than the key's": ED.replace("ssh-ed25519", "ssh-rsa", 1),
    "no key at all": "ssh-ed25519",
    "protocol 1": "2048 65537 2713492385 old@host",
    "words": "this is not a key",
    "a line of ten thousand letters": f'command="{"x" * 10_000}" {ED} {"y" * 3000}',
    "Latin-1 in a comment": f"{ED} Jos\\xe9",
}


@pytest.mark.parametrize("name", LINES)
def test_the_keys_are_those_that_ssh_keygen_finds(name: str, tmp_path: Path) -> None:
    found = []
    for line in LINES[name].split("\n"):
        # One line at a time: ssh-keygen stops at the first that it cannot read.
        (tmp_path / "k").write_text(line + "\n", newline="")
        told = subprocess.run(["ssh-keygen", "-lf", tmp_path / "k"], capture_output=True, text=True, check=False)
        found += re.findall(r"^\d+ (SHA256:\S+)", told.stdout, re.M)
    assert [key.fingerprint for key in read(LINES[name])] == found


@pytest.mark.parametrize(
    ("options", "command", "is_free"),
    [
        ("", None, True),
        ("restrict", None, True),
        ('environment="A=b c"', None, True),
        ('command="/usr/bin/uptime"', "/usr/bin/uptime", False),
        ('COMMAND="echo \\"x\\""', 'echo "x"', False),
        ('command=""', "", False),
        ('command="/bin/bash"', "/bin/bash", True),
        ('command="exec bash --login"', "exec bash --login", True),
        ('command="/usr/bin/env zsh -l"', "/usr/bin/env zsh -l", True),
        ('command="sh -c uptime"', "sh -c uptime", False),
        ('command="/opt/flash"', "/opt/flash", False),
        ('command="$SHELL"', "$SHELL", True),
        ('command="internal-sftp"', "internal-sftp", True),
        ('command="eval $SSH_ORIGINAL_COMMAND"', "eval $SSH_ORIGINAL_COMMAND", True),
        ('environment="command=\\"x\\""', None, True),
    ],
)
def test_whether_a_key_is_free(options: str, command: str | None, is_free: bool) -> None:
    (key,) = read(f"{options} {ED}".strip())
    assert (key.command, key.is_free) == (command, is_free)


def test_options_of_a_key() -> None:
    (key,) = read(f'cert-authority,principals="root",from="10.0.0.0/8" {ED}')
    assert key.authority
    assert key.sources == "10.0.0.0/8"


def test_a_certificate_opens_nothing_by_itself() -> None:
    kind = "ssh-ed25519-cert-v01@openssh.com"
    blob = _string(kind.encode(), b"nonce", bytes(32)) + bytes(12) + _string(b"id", b"", b"")
    assert read(f"{kind} {base64.b64encode(blob).decode()}") == []


@pytest.mark.parametrize("said", ["Binary file /k matches", "grep: /k: binary file matches"])
def test_a_file_of_keys_with_nul_cannot_be_read(said: str) -> None:
    with pytest.raises(Unreadable, match="/k"):
        list(authorized_keys.keys([said]))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.text(), st.text('"\\, =abc \t'), st.sampled_from([ED, RSA, EC])), max_size=4))
def test_no_text_breaks_the_reading_of_keys(parts: list[str]) -> None:
    for key in authorized_keys.keys([f"/k:{' '.join(parts)}"]):
        assert key.fingerprint.startswith("SHA256:")


# --- PAM ---


def account(text: str, **others: str) -> list[tuple[str, str]]:
    """The account modules of sshd: how they count, and their names."""
    files = {"sshd": text, **{name.replace("_", "-"): other for name, other in others.items()}}
    lines = (f"/etc/pam.d/{name}:{line}" for name, other in files.items() for line in other.split("\n"))
    return [(module.control, module.name) for module in pam.stack(pam.files(lines), "sshd", "account")]


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("account required pam_unix.so", [("required", "pam_unix.so")]),
        ("-account\trequired\tpam_unix.so", [("required", "pam_unix.so")]),
        ("ACCOUNT Required pam_unix.so", [("required", "pam_unix.so")]),
        ("auth required pam_unix.so\naccount required pam_a.so # pam_b.so", [("required", "pam_a.so")]),
        ("account [success=1 default=ignore] pam_a.so", [("[success=1 default=ignore]", "pam_a.so")]),
        ("account required /lib/security/pam_a.so x=y", [("required", "pam_a.so")]),
        ("account required \\\n  pam_a.so", [("required", "pam_a.so")]),
        ("account include common", [("required", "pam_c.so")]),
        ("account substack common", [("required", "pam_c.so")]),
        ("@include common", [("required", "pam_c.so")]),
        ("account include /etc/pam.d/common", [("required", "pam_c.so")]),
        ("# account required pam_a.so", []),
        ("account required", []),
        ("", []),
    ],
)
def test_a_stack_of_pam(text: str, modules: list[tuple[str, str]]) -> None:
    assert account(text, common="account required pam_c.so\nauth required pam_d.so") == modules


@pytest.mark.parametrize("text", ["account include nowhere", "@include nowhere", "account include sshd"])
def test_a_stack_that_cannot_be_followed(text: str) -> None:
    with pytest.raises(Unreadable):
        account(text)


@pytest.mark.parametrize(
    ("control", "can_refuse"),
    [
        ("required", True),
        ("requisite", True),
        ("sufficient", False),
        ("optional", False),
        ("[success=1 default=ignore]", False),
        ("[default=bad success=ok user_unknown=ignore]", True),
        ("[success=ok default=die]", True),
    ],
)
def test_whether_a_module_can_refuse(control: str, can_refuse: bool) -> None:
    assert pam.Module(control, "pam_access.so", ()).can_refuse is can_refuse


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.text(), st.text("account include sh[]=\\# @-.", max_size=40)), max_size=8))
def test_no_text_breaks_the_reading_of_pam(lines: Iterable[str]) -> None:
    try:
        account("\n".join(lines))
    except Unreadable:
        return


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("640:root:apache:regular file:/a:b", stat.Entry(0o640, "root", "apache", 0, "regular file", "/a:b")),
        ("1777:root:root:directory:/tmp", stat.Entry(0o1777, "root", "root", 0, "directory", "/tmp")),
        (
            "755:UNKNOWN:UNKNOWN:1700000000:directory:/a",
            stat.Entry(0o755, "UNKNOWN", "UNKNOWN", 1700000000, "directory", "/a"),
        ),
        ("644:root:root:regular empty file:a", None),
        ("stat: cannot statx '/a': No such file or directory", None),
    ],
)
def test_what_stat_says_of_a_file(line: str, entry: stat.Entry | None) -> None:
    assert list(stat.entries([line]).values()) == ([entry] if entry else [])


# --- grep ---


@pytest.mark.parametrize(
    ("said", "withheld"),
    [
        ("", ""),
        ("grep: /a: No such file or directory\n/usr/bin/find: '/b': Too many levels of symbolic links", ""),
        ("grep: /a: Permission denied", "`grep` did not see everything: grep: /a: Permission denied"),
        ("/usr/bin/grep: /etc/rsyslog.conf: binary file matches", "/etc/rsyslog.conf is not text"),
    ],
)
def test_what_grep_withheld(said: str, withheld: str) -> None:
    answer = Answer(key="a", question="grep", status=0, err=said.encode())
    if not withheld:
        grep.nothing_withheld(answer)
        return
    with pytest.raises(NotObserved) as told:
        grep.nothing_withheld(answer)
    assert told.value.reason == withheld
