"""The grammars of the server's and of Tentacle's files, of mounts, exports and rules; what stands for a secret."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandora_audit.facts import daemons, pandora_server, tentacle
from pandora_audit.formats import nfs, secret, server_conf, sources, tentacle_conf
from pandora_audit.probes.tentacle import messages
from pandora_audit.question import PERL, Answer, Ask, NotObserved, Unreadable

FILE = server_conf.MAIN
# What lines of both files are made of, also where people make mistakes.
NAMES = ("port", "password", "quiet", "dbssl", "DBHOST", "autocreate", "autocreate_group", "verify_mysql_ssl_cert", "x")
LINES = st.lists(
    st.tuples(
        st.sampled_from(("", "", "", " ", "#", "x=", "1", "é")),
        st.sampled_from(NAMES),
        st.sampled_from((" ", "  ", "\t", "=", "", "\r", "\xa0")),
        st.sampled_from(("0", "1", "yes", "01", "/a/b", "^x", "{y}", "a b", "1 # c", "", "secret:3:own")),
        st.sampled_from(("", "", " ", "\r", " x y")),
    ).map("".join),
    max_size=8,
)


def server(*lines: str) -> server_conf.Configuration:
    return server_conf.parse(FILE, [(f"{FILE}:{number}", line) for number, line in enumerate(lines, 1)])


# --- pandora_server.conf ---


@pytest.mark.parametrize(
    ("line", "token", "value"),
    [
        ("autocreate 0", "autocreate", "0"),
        ("AutoCreate\t0", "autocreate", "0"),
        ("autocreate 0 # off", "autocreate", "0"),
        ("autocreate 0x", "autocreate", "0"),
        ("autocreate false", "autocreate", ""),
        (" autocreate 0", "autocreate", "1"),
        ("\tautocreate 0", "autocreate", "1"),
        ("#autocreate 0", "autocreate", "1"),
        ("autocreate  0", "autocreate", "1"),
        ("autocreate  0 # was 1", "autocreate", "0"),
        ("autocreate=0", "autocreate", "1"),
        ("autocreate = 0", "autocreate", ""),
        ("autocreate", "autocreate", "1"),
        ("\ufeffautocreate 0", "autocreate", "1"),
        ("autocreate 0\r", "autocreate", "0"),
        ("dbssl yes", "dbssl", "0"),
        ("dbssl 10", "dbssl", "1"),
        ("dbssl 2", "dbssl", "0"),
        ("dbhost db01\r", "dbhost", "db01"),
        ("dbhost db01 # ours", "dbhost", "db01 # ours"),
        ('dbhost "db01"', "dbhost", '"db01"'),
        ("dbhost [::1]", "dbhost", "localhost"),
        ("dbhost  db01", "dbhost", "localhost"),
        ("dbhost  db01 is ours", "dbhost", "db01 is ours"),
        ("dbsslcafile\t/etc/ca.pem ", "dbsslcafile", "/etc/ca.pem"),
        ("verify_mysql_ssl_cert 1", "verify_mysql_ssl_cert", "1"),
        ("dbhosts db01", "dbhost", "localhost"),
    ],
)
def test_a_line_of_the_servers_file(line: str, token: str, value: str) -> None:
    assert server(line)[token].text == value


def test_the_last_line_of_a_token_counts_and_says_where_it_stands() -> None:
    value = server("dbssl 0", "# dbssl 0", "DBSSL 1", "dbssl maybe")["dbssl"]
    assert (value.text, value.cause) == ("1", f"{FILE}:3")
    assert server()["autocreate"].cause == f"{FILE}, which does not set autocreate"


@pytest.mark.parametrize(
    ("text", "number"), [("", 0), ("yes", 0), ("01", 1), ("1x", 1), ("*", 0), ("-1", -1), ("9" * 50, 999999999)]
)
def test_perl_counts_what_a_text_begins_with(text: str, number: int) -> None:
    assert server_conf.Value(text, "").number == number


def test_the_incoming_directory_may_be_relative_to_the_file() -> None:
    assert server("incomingdir /srv/in/").incomingdir == "/srv/in"
    assert server("incomingdir ./in").incomingdir == f"{FILE}/in"
    assert server().incomingdir == server_conf.SPOOL


@given(LINES)
@settings(max_examples=60)
def test_what_is_no_line_of_the_server_changes_nothing(lines: list[str]) -> None:
    kept = [line for line in lines if server_conf.counts(line)]
    assert {name: value.text for name, value in server(*lines).written.items()} == {
        name: value.text for name, value in server(*kept).written.items()
    }
    assert set(server(*lines).written) <= set(server_conf.TOKENS)


# --- tentacle_server.conf, and flags ---


@pytest.mark.parametrize(
    ("line", "set_"),
    [
        ("port 41121", {"port": "41121"}),
        ("port\t \t41121", {"port": "41121"}),
        ("port 41121 ", {"port": "41121 "}),
        ("port 41121 # ours", {"port": "41121 # ours"}),
        ("port 41121\r", {"port": "41121\r"}),
        (" port 41121", {}),
        ("#port 41121", {}),
        ("port=41121", {}),
        ("x=port 41121", {"port": "41121"}),
        ("my port 41121", {"my": "port 41121"}),
        ("port ", {}),
        ("port", {}),
        ("Port 41121", {"Port": "41121"}),
        ("über port 1", {}),
        ("xüport 1", {"port": "1"}),
        ("password  two words ", {"password": "two words "}),
    ],
)
def test_a_line_of_tentacles_file(line: str, set_: dict[str, str]) -> None:
    assert {name: value.text for name, value in tentacle_conf.tokens([("x:1", line)]).items()} == set_


@pytest.mark.parametrize(
    ("words", "set_"),
    [
        ("-F /etc/x.conf", {"configuration": "/etc/x.conf"}),
        ("-dqxsecret -p41122", {"daemon": "1", "quiet": "1", "password": "secret", "port": "41122"}),
        ("-x -q", {"password": "-q"}),
        ("-q stop -I", {"quiet": "1"}),
        ("-v -V", {"verbose": "2"}),
        ("-- -I", {}),
        ("-x", {"password": ""}),
        ("-Z -I", {"insecure": "1"}),
    ],
)
def test_flags(words: str, set_: dict[str, str]) -> None:
    assert {name: value.text for name, value in tentacle_conf.flags(words.split(), "here").items()} == set_


def test_a_flag_beats_the_file_and_a_switch_in_the_file_is_on_with_exactly_1() -> None:
    flags = tentacle_conf.flags(["-p", "1", "-I"], "here")
    file = tentacle_conf.tokens([("f:1", "port 2"), ("f:2", "quiet 1 "), ("f:3", "overwrite 1"), ("f:4", "insecure 0")])
    start = tentacle_conf.Settings("process", flags, file)
    assert start.text("port") == "1"
    assert start.text("directory", "none") == "none"
    assert [name for name in ("insecure", "quiet", "overwrite", "daemon") if start.switch(name)] == [
        "insecure",
        "overwrite",
    ]


@given(st.lists(st.text(alphabet="-xIqdFp ab", max_size=5), max_size=6))
@settings(max_examples=60)
def test_any_words_are_flags_or_none(words: list[str]) -> None:
    assert all(isinstance(value.text, str) for value in tentacle_conf.flags(words, "here").values())


# --- what stays on the host ---


def filtered(ask: Ask, text: str) -> str:
    """What a question's filter lets through, on this machine's perl."""
    program = ask.keep.removeprefix(PERL)
    if shutil.which("perl") is None:
        pytest.skip("perl is not installed here")
    done = subprocess.run(
        ["perl", "-n", "-e", program], input=text.encode(), capture_output=True, check=True, timeout=20
    )
    assert done.stderr == b""
    return done.stdout.decode()


SECRET = "hunter2-SeCrEt"


@pytest.mark.parametrize(
    ("ask", "text", "kept"),
    [
        (tentacle._CONF, f"/f:3:password {SECRET}\n", "/f:3:password secret:14:own\n"),
        (tentacle._CONF, f"/f:3:x=password \t{SECRET} \n", "/f:3:password secret:15:own\n"),
        (tentacle._CONF, f"/f:3:x password {SECRET}\n/f:4:password\r{SECRET}\n", "/f:4:password secret:14:own\n"),
        (tentacle._CONF, "/f:3:password \r\n/f:4:password \f\n/f:5:port \r1\n", "/f:5:port 1\n"),
        (tentacle._CONF, "/f:3:password pandora\n", "/f:3:password secret:7:published\n"),
        (tentacle._CONF, "/f:3:ssl_password 1\n", "/f:3:ssl_password 1\n"),
        (tentacle._CONF, f"/f:3:# password {SECRET}\n/f:4: password {SECRET}\n", ""),
        (tentacle._PROCESS, f"word -x\nword {SECRET}\nword -F\n", "word -x\nword secret:14:own\nword -F\n"),
        (tentacle._PROCESS, f"word -dIx{SECRET}\n", "word -dIxsecret:14:own\n"),
        (tentacle._PROCESS, "word -x\n  46 0 0 5 root\nword /x\n", "word -x\n  46 0 0 5 root\nword /x\n"),
        (
            tentacle._UNIT,
            f"ExecStart={{ argv[]=/usr/bin/tentacle_server -F /x -dx{SECRET} -x {SECRET} ; y }}\n",
            "ExecStart={ argv[]=/usr/bin/tentacle_server -F /x -dxsecret:14:own -x secret:14:own ; y }\n",
        ),
        (
            tentacle._INIT,
            f'/i:5:TENTACLE_EXT_OPTS="-x {SECRET} -q"\n',
            '/i:5:TENTACLE_EXT_OPTS="-x secret:14:own -q"\n',
        ),
        (pandora_server._SECRET_LINES, f"/f:3:DBPass {SECRET} \r\n", "/f:3:dbpass secret:14:own\n"),
        (pandora_server._SECRET_LINES, "/f:3:dbpass pandora\n", "/f:3:dbpass secret:7:published\n"),
        (pandora_server._SECRET_LINES, f"/f:3:dbpass  {SECRET}\n/f:4:dbpass ^{SECRET}\n/f:5:#dbpass {SECRET}\n", ""),
        (pandora_server._SECRET_LINES, f"/f:3:dbpass ^{SECRET} of ours\n", "/f:3:dbpass secret:23:own\n"),
        (pandora_server._SECRET_LINES, "/f:3:dbpass é\n", "/f:3:dbpass secret:1:own\n"),
    ],
)
def test_a_secret_does_not_leave(ask: Ask, text: str, kept: str) -> None:
    assert filtered(ask, text) == kept


@given(st.lists(st.text(st.sampled_from("dbpass1 \t\r\f\xa0é.-_^$#/{=(\"'"), max_size=9), max_size=12))
@settings(max_examples=20, deadline=None)
def test_the_filters_and_the_reader_agree_on_which_lines_the_server_takes(lines: list[str]) -> None:
    program = server_conf.COUNTS + r"utf8::decode($_); print counts($_) ? 1 : 0;"
    done = subprocess.run(
        ["perl", "-n", "-e", program],
        input="".join(f"{line}\n" for line in lines).encode(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == "".join(str(int(server_conf.counts(line))) for line in lines)


# What the daemon does with a line of its file, in its own language.
TAKEN = r'chomp; $_ .= "\n"; $c{$1} = $2 if /^[a-zA-Z]/ && /([\w\-\_\.]+)\s+(.*)/ && $2 ne "";'
TAKEN += ' END { print map { "$_\\0$c{$_}\\0" } sort keys %c }'
WILD = st.lists(
    st.one_of(
        st.sampled_from(
            ["password \r", "password\r", "port\f1", "ssl_password \v1", "a: password \rx", "password  \t\r y"]
        ),
        st.text(st.sampled_from("porty \t\r\f\v_.-:1é"), max_size=12).map("password".__add__),
        st.text(st.sampled_from("port= \t\r\f\v_.-:1é"), max_size=12),
    ),
    max_size=8,
)


@given(st.one_of(LINES, WILD))
@settings(max_examples=30, deadline=None)
def test_the_filter_and_the_reader_take_a_file_as_tentacle_does(lines: list[str]) -> None:
    said = filtered(tentacle._CONF, "".join(f"/f:1:{line}\n" for line in lines))
    told = tentacle_conf.tokens(("", line.removeprefix("/f:1:")) for line in said.removesuffix("\n").split("\n"))
    done = subprocess.run(
        ["perl", "-ne", TAKEN], input="".join(f"{line}\n" for line in lines).encode(), capture_output=True, check=True
    )
    words = done.stdout.decode().split("\0")
    taken = {
        token: value for token, value in zip(words[::2], words[1::2], strict=False) if token in tentacle_conf.TOKENS
    }
    if hidden := taken.pop("password", None):
        kept = secret.read(told.pop("password").text)
        assert kept is not None
        assert kept.length == len(hidden.encode())
    assert {token: value.text for token, value in told.items()} == taken


def test_what_stands_for_a_secret_is_read() -> None:
    assert secret.read("secret:7:published") == secret.Secret(7, True)
    assert secret.read("secret:14:own") == secret.Secret(14, False)
    assert secret.read("hunter2") is None


# --- daemons ---


def answered(out: str, status: int = 0) -> Answer:
    return Answer(key="x", question="x", status=status, out=out.encode())


def test_processes_with_strange_words() -> None:
    said = "all\n   46  1002  1002  60 pandora\nword perl\nword -T\nword /usr/bin/tentacle_server\nword \nnow=1000\n"
    (process,) = daemons.read(answered(said))
    assert process.started == 940
    assert daemons.arguments(process.words, "tentacle_server") == [""]
    for words in (["vi", "/etc/tentacle_server"], ["perl", "x.pl", "tentacle_server"], [], ["grep", "tentacle_server"]):
        assert daemons.arguments(words, "tentacle_server") is None
    for nothing in ("now=1000\n", "all\n"):
        with pytest.raises(NotObserved):
            daemons.read(answered(nothing))


# --- mounts, exports ---


def test_of_mounts_at_one_place_the_last_counts_and_blanks_are_escaped() -> None:
    found = nfs.mounts(
        [
            r"36 35 98:0 / /a\040b rw,noatime shared:1 - ext4 /dev/vda rw",
            r"37 35 98:0 / /a\040b rw,nosuid,nodev - nfs4 nas01:/x rw,vers=4.2,sec=krb5p,addr=10.0.0.9",
            r"38 35 0:5 / /c rw - nfs [fd00::9]:/x rw,sec=sys",
            "nonsense",
        ]
    )
    assert found["/a b"].is_nfs
    assert found["/a b"].option("sec") == "krb5p"
    assert {"nosuid", "nodev"} <= found["/a b"].options
    assert (found["/a b"].server, found["/c"].server) == ("nas01", "fd00::9")


@pytest.mark.parametrize(
    ("line", "clients"),
    [
        ("/x 10.0.0.5(rw)", [("10.0.0.5", True, True)]),
        ("/x 10.0.0.5 (rw)", [("10.0.0.5", True, True), ("", True, False)]),
        ("/x", [("*", True, False)]),
        ("/x *.lab(rw,no_root_squash)", [("*.lab", False, False)]),
        ("/x 10.0.0.0/24 10.0.0.9/32 fd00::/64 @nodes host-1", [
            ("10.0.0.0/24", True, False), ("10.0.0.9/32", True, True), ("fd00::/64", True, False),
            ("@nodes", True, True), ("host-1", True, True),
        ]),
        ("/x 10.0.0.0/255.255.255.0(rw)", [("10.0.0.0/255.255.255.0", True, False)]),
        ("/x -no_root_squash a b(root_squash)", [("a", False, True), ("b", True, True)]),
        ("/x a(no_root_squash,all_squash)", [("a", True, True)]),
        ('"/x y" a # b', [("a", True, True)]),
        ("# /x a", []),
        ("", []),
    ],
)  # fmt: skip
def test_exports(line: str, clients: list[tuple[str, bool, bool]]) -> None:
    found = list(nfs.exports([("e:1", line)]))
    assert [(each.client, each.squashes_root, each.names_its_client) for each in found] == clients
    assert {each.path for each in found} <= {"/x", "/x y"}


def test_a_lines_end_with_a_backslash_joins_the_next() -> None:
    (export,) = nfs.exports([("e:1", "/x \\"), ("e:2", "  a(sec=krb5:krb5p)")])
    assert (export.client, export.kerberos, export.cause) == ("a", True, "e:2")
    assert not next(nfs.exports([("", "/x a(sec=krb5:sys)")])).kerberos


# --- nftables ---


def rules(*of_input: object, policy: str = "drop", more: dict[str, list[object]] | None = None) -> str:
    base = {"family": "inet", "table": "t", "name": "in", "type": "filter", "hook": "input", "policy": policy}
    objects: list[object] = [{"metainfo": {}}, {"chain": base}]
    for chain, expressions in {"in": of_input, **(more or {})}.items():
        objects += [{"rule": {"family": "inet", "table": "t", "chain": chain, "expr": each}} for each in expressions]
    return json.dumps({"nftables": objects})


def match(left: object, right: object, op: str = "==") -> dict[str, object]:
    return {"match": {"op": op, "left": left, "right": right}}


PORT = match({"payload": {"protocol": "tcp", "field": "dport"}}, {"set": [22, {"range": [41000, 41200]}]})
OTHER = match({"payload": {"protocol": "tcp", "field": "dport"}}, 22)
FROM = match({"payload": {"protocol": "ip", "field": "saddr"}}, {"prefix": {"addr": "10.0.0.0", "len": 8}})
OLD = match({"ct": {"key": "state"}}, ["established", "related"], "in")
LO = match({"meta": {"key": "iifname"}}, "lo")
ETH = match({"meta": {"key": "iifname"}}, "eth0")
ACCEPT, DROP = {"accept": None}, {"drop": None}


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        (rules(), False),
        (rules(policy="accept"), True),
        (rules([OLD, ACCEPT], [LO, ACCEPT], [OTHER, ACCEPT]), False),
        (rules([PORT, ACCEPT]), True),
        (rules([FROM, PORT, ACCEPT]), False),
        (rules([ACCEPT]), True),
        (rules([PORT, DROP], [PORT, ACCEPT]), False),
        (rules([FROM, DROP], [PORT, {"counter": None}, ACCEPT]), True),
        (rules([{"reject": None}], policy="accept"), False),
        (rules([ETH, {"jump": {"target": "zone"}}], more={"zone": [[PORT, ACCEPT]]}), True),
        (rules([FROM, {"goto": {"target": "zone"}}], more={"zone": [[PORT, ACCEPT]]}), False),
        (rules([{"jump": {"target": "zone"}}], more={"zone": [[{"jump": {"target": "zone"}}]]}), False),
        (
            rules([{"jump": {"target": "zone"}}, ACCEPT], more={"zone": [[{"return": None}], [DROP]]}, policy="accept"),
            True,
        ),
        (json.dumps({"nftables": [{"metainfo": {}}]}), True),
    ],
)
def test_whom_rules_let_in(text: str, is_open: bool) -> None:
    assert sources.open_to_everybody(text, 41121) is is_open


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nftables": [{"rule": 5}]}', "[" * 5000])
def test_rules_that_cannot_be_read_are_no_answer(text: str) -> None:
    with pytest.raises(Unreadable):
        sources.open_to_everybody(text, 1)


# --- the wire ---


def test_the_messages_of_a_handshake_in_clear() -> None:
    hello, certificate, request = b"\x02\x00\x00\x02ab", b"\x0b\x00\x00\x03abc", b"\x0d\x00\x00\x00"
    record = b"".join(b"\x16\x03\x03" + len(part).to_bytes(2, "big") + part for part in (hello, certificate + request))
    assert messages(record + b"\x15\x03\x03\x00\x02\x02\x28") == [2, 11, 13]
    assert messages(b"") == messages(b"RECV ERR") == []


@given(st.binary(max_size=300))
@settings(max_examples=40)
def test_any_bytes_are_messages_or_none(heard: bytes) -> None:
    assert len(messages(heard)) <= 75


@given(st.text(max_size=200))
@settings(max_examples=40)
def test_no_line_takes_long(text: str) -> None:
    server_conf.counts(text)
    tentacle_conf.tokens([("", text)])
    assert not server_conf.counts("a" * 200_000)
    assert tentacle_conf.tokens([("", "a" * 200_000)]) == {}


def test_the_probe_of_the_host_asks_the_same_as_the_auditors() -> None:
    question = tentacle.asked_by_the_host("host", "::1", 41121)
    assert "[::1]:41121" in question.sh
    assert "RECV <pandora-audit*>" in question.sh
    assert not re.search(r"\b(ADDRESS|PORT|REQUEST)\b", question.sh)
