"""What ss, ps, nft, iptables-save, inetd and xinetd print, and the traps in it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandora_audit.facts.listeners import Allowance, Listener
from pandora_audit.formats import inetd, netfilter, ps, ss, units
from pandora_audit.formats.netfilter import Packet
from pandora_audit.question import NotObserved, Unreadable
from pandora_audit.questions import PROCESSES

quick = settings(max_examples=60, deadline=None)


# --- ss ---


@pytest.mark.parametrize(
    ("place", "address", "interface", "port", "local"),
    [
        ("0.0.0.0:22", "0.0.0.0", "", 22, False),
        ("*:80", "*", "", 80, False),
        ("[::]:22", "::", "", 22, False),
        (":::22", "::", "", 22, False),
        ("127.0.0.1:25", "127.0.0.1", "", 25, True),
        ("127.0.0.53%lo:53", "127.0.0.53", "lo", 53, True),
        ("[::1]:323", "::1", "", 323, True),
        ("::1:323", "::1", "", 323, True),
        ("[::ffff:127.0.0.1]:9000", "::ffff:127.0.0.1", "", 9000, True),
        ("[::ffff:192.0.2.1]:9000", "::ffff:192.0.2.1", "", 9000, False),
        ("[::1:2]:80", "::1:2", "", 80, False),
        ("0.0.0.0%virbr0:67", "0.0.0.0", "virbr0", 67, False),
        ("[fe80::1]%eth0:546", "fe80::1", "eth0", 546, False),
        ("[fe80::1%eth0]:546", "fe80::1", "eth0", 546, False),
        ("128.0.0.1:80", "128.0.0.1", "", 80, False),
    ],
)
def test_where_a_socket_is_bound(place: str, address: str, interface: str, port: int, local: bool) -> None:
    (found,) = ss.sockets("tcp", ["State Recv-Q Send-Q Local", f"LISTEN 0 128 {place} 0.0.0.0:*"])
    assert (found.address, found.interface, found.port, found.is_local) == (address, interface, port, local)


@pytest.mark.parametrize("line", ["", "LISTEN", "LISTEN 0 128 nowhere *:*", "LISTEN 0 128 *:http *:*", "x " * 9])
def test_what_is_no_socket_is_unreadable(line: str) -> None:
    with pytest.raises(Unreadable):
        list(ss.sockets("tcp", [line]))


def test_owners_are_read_in_full_or_not_at_all() -> None:
    head = "LISTEN 0 128 *:22 *:* "
    (two,) = ss.sockets("tcp", [head + 'users:(("a b",pid=2,fd=3),("c",pid=1,fd=4))'])
    assert [(owner.name, owner.pid) for owner in two.owners] == [("a b", "2"), ("c", "1")]
    for odd in ('users:(("x",pid=1,fd=3)",pid=6,fd=3))', 'users:(("x",pid=1,fd=3)', "users:()", 'users:(("x",1,3))'):
        with pytest.raises(Unreadable):
            list(ss.sockets("tcp", [head + odd]))


@quick
@given(st.text(max_size=80))
def test_any_line_is_a_socket_or_unreadable(line: str) -> None:
    with contextlib.suppress(Unreadable):
        assert all(0 <= socket.port <= 99999 for socket in ss.sockets("udp", [line]))


# --- ps and find ---


def kept(*rows: str) -> list[str]:
    """What of these rows of ps leaves a host."""
    text = "".join(f"{row}\n" for row in rows)
    done = subprocess.run(
        ["sed", "-nE", PROCESSES.keep], input=text, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        ("/usr/sbin/mysqld --password=secret", "/usr/sbin/mysqld"),
        ("mysql -psecret /x", "mysql"),
        ("/usr/bin/perl /usr/bin/tentacle_server -x secret", "/usr/bin/perl /usr/bin/tentacle_server"),
        ("python3 -u -W ignore /opt/x.py secret", "python3"),
        ("python3.11 -u /opt/x.py --password secret", "python3.11 /opt/x.py"),
        ("/bin/sh -c mysql -psecret /x", "/bin/sh"),
        ("perl -e secret", "perl"),
        ("java -Dsecret=1 -jar /opt/a.jar", "java /opt/a.jar"),
        ("bash /opt/run.sh?token=secret", "bash /opt/run.sh"),
        ("sshd: secret", "sshd:"),
        ("[kworker/0:1]", "[kworker/0:1]"),
    ],
)
def test_no_argument_leaves_the_host_but_a_script(arguments: str, left: str) -> None:
    assert kept(f"  12     1  100 x.service      {arguments}") == [f"  12     1  100 x.service {left}"]


def test_processes() -> None:
    rows = ["  1     0 10 - /sbin/init", " 20  1 9 session-c1.scope perl /opt/x.pl"]
    first, second = ps.processes(rows)
    assert (first.pid, first.unit, first.script, first.in_session) == ("1", "-", "", False)
    assert (second.script, second.in_session, second.place) == ("/opt/x.pl", True, "a login session")
    with pytest.raises(Unreadable):
        list(ps.processes(["init"]))


@pytest.mark.parametrize(
    ("unit", "place"),
    [
        ("docker-0123456789abcdef.scope", "a container"),
        ("libpod-0123456789abcdef.scope", "a container"),
        ("kubepods-besteffort.slice", "a container"),
        ("run-u12.service", "run-*.service"),
        ("run-r0123456789abcdef.scope", "run-*.scope"),
        ("docker.service", "docker.service"),
        ("postgresql@15-main.service", "postgresql@15-main.service"),
    ],
)
def test_a_place_outlives_restarts(unit: str, place: str) -> None:
    (process,) = ps.processes([f"1 0 1 {unit} x"])
    assert process.place == place


def test_programs_by_process() -> None:
    text = "/proc/1/exe///usr/lib/systemd/systemd///proc/2/exe/////proc/3/exe///usr/bin/a b\n (deleted)//"
    assert ps.executables(text) == {"1": "/usr/lib/systemd/systemd", "2": "", "3": "/usr/bin/a b\n"}
    replaced = "/proc/1/exe///usr/bin/x.dpkg-new (deleted)///proc/2/exe///usr/bin/y;5f3a9c01 (deleted)//"
    assert ps.executables(replaced) == {"1": "/usr/bin/x", "2": "/usr/bin/y"}
    with pytest.raises(Unreadable):
        ps.executables("somebody//else//")


# --- promises ---


def listener(protocol: str, port: int, *units: str, known: bool = True) -> Listener:
    return Listener(protocol, port, frozenset({"program"}), frozenset(units), known)


@pytest.mark.parametrize(
    ("promise", "there", "covers"),
    [
        ("tcp/80", listener("tcp", 80), True),
        ("tcp/80", listener("udp", 80), False),
        ("tcp/80-90", listener("tcp", 90), True),
        ("tcp/80-90", listener("tcp", 91), False),
        ("tcp/80 a.service", listener("tcp", 80, "a.service"), True),
        ("tcp/80 a", listener("tcp", 80, "a.service"), True),
        ("tcp/80 a.socket", listener("tcp", 80, "a.socket", "a.service"), True),
        ("tcp/80 a", listener("tcp", 80, "ab.service"), False),
        ("tcp/80", listener("tcp", 80, known=False), True),
    ],
)
def test_what_a_promise_covers(promise: str, there: Listener, covers: bool) -> None:
    assert Allowance.of(promise).covers(there) is covers


def test_a_promised_unit_has_to_be_seen() -> None:
    with pytest.raises(NotObserved):
        Allowance.of("tcp/80 a").covers(listener("tcp", 80, known=False))


@pytest.mark.parametrize(
    ("unit", "pattern", "belongs"),
    [
        ("mysql.service", "mysqld|mysql", True),
        ("mysqld@main.service", "mysqld|mysql", True),
        ("mysqlish.service", "mysqld|mysql", False),
        ("php8.2-fpm.service", r"php[\d.]+-fpm", True),
        ("pandora_websocket_engine.service", "pandora_websocket", True),
    ],
)
def test_whom_a_listener_belongs_to(unit: str, pattern: str, belongs: bool) -> None:
    assert listener("tcp", 1, unit).belongs_to(pattern) is belongs


# --- units ---


def test_units_that_start() -> None:
    text = (
        "Id=a.service\nLoadState=loaded\nUnitFileState=enabled\n\n"
        "Id=b.service\nLoadState=loaded\nUnitFileState=generated\nWantedBy=multi-user.target\n\n"
        "Id=c.service\nLoadState=masked\nUnitFileState=masked\nWantedBy=multi-user.target\n\n"
        "Id=d.service\nLoadState=not-found\nWantedBy=\n\n"
        "Id=e.service\nLoadState=loaded\nUnitFileState=disabled\nActiveState=active\n"
    )
    assert [(unit.name, unit.starts, unit.runs) for unit in units.units(text)] == [
        ("a.service", True, False),
        ("b.service", True, False),
        ("c.service", False, False),
        ("d.service", False, False),
        ("e.service", False, True),
    ]
    with pytest.raises(Unreadable):
        list(units.units("Failed to connect to bus"))


# --- inetd ---


def test_inetd_and_what_stands_behind_tcpd() -> None:
    lines = [
        "/etc/inetd.conf:ftp stream tcp nowait root /usr/sbin/tcpd /usr/sbin/in.ftpd",
        "/etc/inetd.conf:  #telnet stream tcp nowait root /usr/sbin/in.telnetd",
        "/etc/inetd.conf:127.0.0.1:tftp dgram udp wait nobody /usr/sbin/in.tftpd /srv",
        "/etc/xinetd.conf:service x",
        "grep: /etc/inetd.d/*: No such file or directory",
    ]
    assert [(each.name, each.program) for each in inetd.inetd(lines)] == [("ftp", "in.ftpd"), ("tftp", "in.tftpd")]


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("service telnet\n{\n}", ["telnet"]),
        ("service telnet\n{\ndisable = no\n}", ["telnet"]),
        ("service telnet\n{\ndisable\t=\tyes\n}", []),
        ("defaults\n{\ndisabled = telnet\n}\nservice telnet\n{\n}", []),
        ("defaults\n{\nenabled = ftp\n}\nservice telnet\n{\n}\nservice ftp\n{\n}", ["ftp"]),
        ("service exec\n{\nid = rexec-s\n}\ndefaults\n{\ndisabled += rexec-s\n}", []),
        ("service telnet\n{\nserver = /usr/sbin/in.telnetd\n", []),
        ("}\nserver = x\n", []),
    ],
)
def test_what_xinetd_starts(text: str, on: list[str]) -> None:
    lines = [f"/etc/xinetd.d/x:{line}" for line in text.split("\n") if line]
    assert [each.name for each in inetd.xinetd(lines)] == on


# --- the filter ---

PACKETS = (Packet("ip", "eth0"), Packet("ip6", "eth0"))


def ruleset(policy: str, *rules: list[Any], family: str = "inet", **others: Any) -> str:
    place = {"family": family, "table": "t"}
    base = {"type": "filter", "hook": "input", "prio": 0, "policy": policy, **others}
    chains: list[dict[str, Any]] = [{"chain": {**place, "name": "in", **base}}, {"chain": {**place, "name": "other"}}]
    named = [{"rule": {**place, "chain": "in", "expr": expr}} for expr in rules]
    return json.dumps({"nftables": [*chains, *named]})


def match(left: dict[str, Any], right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


ACCEPT: dict[str, Any] = {"accept": None}
DROP: dict[str, Any] = {"drop": None}
PORT = {"payload": {"protocol": "tcp", "field": "dport"}}
SOURCE = {"payload": {"protocol": "ip", "field": "saddr"}}
NAME = {"meta": {"key": "iifname"}}
STATE = {"ct": {"key": "state"}}


@pytest.mark.parametrize(
    ("text", "denies"),
    [
        (ruleset("drop"), True),
        (ruleset("accept"), False),
        (ruleset("accept", [DROP]), True),
        (ruleset("accept", [{"counter": {"packets": 1}}, {"reject": {"type": "tcp reset"}}]), True),
        (ruleset("drop", [ACCEPT]), False),
        (ruleset("drop", [match(PORT, 22), ACCEPT]), True),
        (ruleset("drop", [match(PORT, {"set": [22, {"range": [80, 443]}]}), ACCEPT]), True),
        (ruleset("drop", [match(PORT, {"range": [0, 65535]}), ACCEPT]), False),
        (ruleset("drop", [match(PORT, 22, "!="), ACCEPT]), False),
        (ruleset("accept", [match(PORT, 22, "!="), DROP]), True),
        (ruleset("drop", [match(NAME, "lo"), ACCEPT]), True),
        (ruleset("drop", [match(NAME, "eth*"), ACCEPT]), False),
        (ruleset("drop", [match(NAME, "lo", "!="), ACCEPT]), False),
        (ruleset("drop", [match(STATE, ["established", "related"], "in"), ACCEPT]), True),
        (ruleset("drop", [match(STATE, ["new", "untracked"], "in"), ACCEPT]), False),
        (ruleset("drop", [match({"meta": {"key": "l4proto"}}, {"set": ["tcp", "udp"]}), ACCEPT]), False),
        (ruleset("drop", [match({"meta": {"key": "l4proto"}}, "icmp"), ACCEPT]), True),
        (ruleset("drop", [match(SOURCE, {"prefix": {"addr": "10.0.0.0", "len": 8}}), ACCEPT]), True),
        (ruleset("drop", [match({"meta": {"key": "mark"}}, 1), ACCEPT]), True),
        (ruleset("accept", [match({"meta": {"key": "mark"}}, 1), DROP]), False),
        (ruleset("drop", [{"limit": {"rate": 5, "per": "second"}}, ACCEPT]), False),
        (ruleset("accept", [{"limit": {"rate": 5, "per": "second", "inv": True}}, DROP]), False),
        (ruleset("drop", [{"vmap": {"key": NAME, "data": {"set": [["eth0", ACCEPT], ["lo", DROP]]}}}]), False),
        (ruleset("drop", [{"vmap": {"key": STATE, "data": {"set": [["established", ACCEPT]]}}}]), True),
        (ruleset("accept", [{"jump": {"target": "other"}}, DROP]), True),
        (ruleset("accept", [{"goto": {"target": "other"}}], [DROP]), False),
        (ruleset("accept", [{"return": None}], [DROP]), False),
        (ruleset("accept", [{"jump": {"target": "in"}}]), False),
        (ruleset("drop", hook="forward"), False),
        (ruleset("drop", type="nat"), False),
        (ruleset("drop", hook="prerouting"), True),
        (ruleset("drop", family="bridge"), False),
        (json.dumps({"nftables": []}), False),
    ],
)
def test_whether_nft_denies_what_no_rule_speaks_of(text: str, denies: bool) -> None:
    chains = netfilter.nft(text)
    assert [netfilter.drops(chains, packet) for packet in PACKETS] == [denies, denies]


def test_a_family_that_nobody_thought_of() -> None:
    chains = netfilter.nft(ruleset("drop", family="ip"))
    assert [netfilter.drops(chains, packet) for packet in PACKETS] == [True, False]
    nfproto = [match({"meta": {"key": "nfproto"}}, "ipv6"), ACCEPT]
    chains = netfilter.nft(ruleset("drop", nfproto))
    assert [netfilter.drops(chains, packet) for packet in PACKETS] == [True, False]


def test_a_set_by_its_name() -> None:
    text = json.loads(ruleset("drop", [match(PORT, "@allowed"), ACCEPT]))
    text["nftables"].append({"set": {"family": "inet", "table": "t", "name": "allowed", "elem": [{"range": [1, 9]}]}})
    assert not netfilter.drops(netfilter.nft(json.dumps(text)), PACKETS[0])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nftables": [{"rule": {}}]}', '{"nftables": 5}', "[" * 5000])
def test_what_is_no_ruleset_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        netfilter.nft(text)


def test_chains_that_multiply_end() -> None:
    place = {"family": "inet", "table": "t"}
    rows: list[dict[str, Any]] = [
        {"chain": {**place, "name": "0", "type": "filter", "hook": "input", "policy": "accept"}}
    ]
    rows += [{"chain": {**place, "name": str(number)}} for number in range(1, 200)]
    jumps = [
        {"rule": {**place, "chain": str(n), "expr": [{"jump": {"target": str(n + 1)}}]}}
        for n in range(199)
        for _ in "ab"
    ]
    assert not netfilter.drops(netfilter.nft(json.dumps({"nftables": [*rows, *jumps]})), PACKETS[0])


@pytest.mark.parametrize(
    ("policy", "rules", "denies"),
    [
        ("DROP", "", True),
        ("ACCEPT", "", False),
        ("ACCEPT", "-A INPUT -j REJECT --reject-with icmp-host-prohibited", True),
        ("ACCEPT", "-A INPUT -p udp -j DROP", False),
        ("DROP", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", True),
        ("DROP", "-A INPUT -p tcp -m multiport --dports 22,1:1024 -j ACCEPT", False),
        ("DROP", "-A INPUT -p tcp -m multiport ! --dports 22 -j ACCEPT", False),
        ("DROP", "-A INPUT -i eth+ -j ACCEPT", False),
        ("DROP", "-A INPUT ! -i eth0 -j ACCEPT", True),
        ("DROP", "-A INPUT -s 0.0.0.0/0 -j ACCEPT", False),
        ("DROP", "-A INPUT -s 10.0.0.0/8 -j ACCEPT", True),
        ("ACCEPT", "-A INPUT ! -s 10.0.0.0/8 -j DROP", True),
        ("DROP", "-A INPUT -m conntrack --ctstate NEW -j ACCEPT", False),
        ("DROP", "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT", True),
        ("DROP", '-A INPUT -m comment --comment "all of it" -j ACCEPT', False),
        ("DROP", "-A INPUT -m recent --rcheck --name x -j ACCEPT", True),
        ("ACCEPT", "-A INPUT -j other\n-A other -m addrtype --dst-type LOCAL -j RETURN\n-A other -j DROP", False),
        ("ACCEPT", "-A INPUT -g other\n-A INPUT -j DROP", False),
        ("ACCEPT", '-A INPUT -m limit --limit 3/min -j LOG --log-prefix "-j DROP "', False),
    ],
)
def test_whether_iptables_denies_what_no_rule_speaks_of(policy: str, rules: str, denies: bool) -> None:
    text = f"*nat\n:INPUT DROP [0:0]\nCOMMIT\n*filter\n:INPUT {policy} [0:0]\n:other - [0:0]\n{rules}\nCOMMIT"
    chains = netfilter.iptables("ip", text.splitlines())
    assert [netfilter.drops(chains, packet) for packet in PACKETS] == [denies, False]


@pytest.mark.parametrize("line", ["-A nowhere -j ACCEPT", '-A INPUT --comment "open'])
def test_what_is_no_rule_is_unreadable(line: str) -> None:
    with pytest.raises(Unreadable):
        netfilter.iptables("ip", ["*filter", ":INPUT ACCEPT [0:0]", line])
