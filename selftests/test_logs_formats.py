"""The grammars of what keeps, ships and times logs: each trap a case, and what holds for any text."""

from __future__ import annotations

import contextlib
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandora_audit.facts import log_watch
from pandora_audit.formats import listing, rsyslog, syslog_ng, systemctl, time_daemons
from pandora_audit.question import Unreadable
from pandora_audit.questions import RSYSLOG_CONFIG

PAM = rsyslog.Message(
    facility="authpriv", severity="info", program="sshd", text="pam_unix(sshd:session): session opened for user eva"
)


def reached(text: str, message: rsyslog.Message = PAM, **others: str) -> list[tuple[str, str, bool]]:
    by_path = {rsyslog.MAIN: text, **{f"{rsyslog.FOLDER}/{name}.conf": other for name, other in others.items()}}
    return [(each.action.kind, each.action.target, each.certain) for each in rsyslog.read(by_path).reached(message)]


SURE = [("forward", "h", True)]
MAYBE = [("forward", "h", False)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("authpriv.* @h", SURE),
        ("auth,authpriv.*\t@@h:514", SURE),
        ("*.*;authpriv.none @h", []),
        ("*.*;authpriv.none;authpriv.info @h", SURE),
        ("*.warning @h", []),
        ("*.=info @h", SURE),
        ("*.!info @h", []),
        ("*.*;*.!=info @h", []),
        ("*.info;mail.none;authpriv.none;cron.none @h", []),
        ("auth.* @h", []),
        ("security.* @h", []),
        ("AUTHPRIV.INFO @h", SURE),
        ("*.* @(z9)h:514;Template", SURE),
        ("*.* @[h]:514", SURE),
        ("*.* :omrelp:h:2514;Template", SURE),
        ("# *.* @h", []),
        ("*.* \\\n  @h", SURE),
        ("authpriv.* {\n  action(type='omfwd' target='h')\n}", SURE),
        ('*.* action(type="omfwd" # target="x")\n target="h" port="6514")', SURE),
        ('*.* action(type="omfwd" target=["h", "i"])', [("forward", "h,i", True)]),
        ('*.* action(type="omfwd" target="h" config.enabled="off")', []),
        ('action(name="a" type="omfwd" target="h")', SURE),
        ("authpriv.* ~\n*.* @h", []),
        ("authpriv.* stop\n*.* @h", []),
        ("auth.* stop\n*.* @h", SURE),
        ("authpriv.* /var/log/secure\n& @h", [("file", "/var/log/secure", True), ("forward", "h", True)]),
        ("authpriv.* /var/log/secure\n& stop\n*.* @h", [("file", "/var/log/secure", True)]),
        (':programname, isequal, "sshd" stop\n*.* @h', []),
        (':programname, !isequal, "sshd" stop\n*.* @h', SURE),
        (':msg, contains, "[UFW " /var/log/ufw.log\n& stop\n*.* @h', SURE),
        (':syslogtag, isequal, "[CLOUDINIT]" /x\n& stop\n*.* @h', SURE),
        (':msg, contains, "session opened" @h', SURE),
        (':msg, regex, "user" stop\n*.* @h', MAYBE),
        (":hostname, isequal, 'x' @h", []),
        ('if $programname == "sshd" then @h', SURE),
        ("if $programname == 'sudo' then stop\n*.* @h", SURE),
        ("if $programname == ['cron', 'sshd'] then stop\n*.* @h", []),
        ("if $syslogfacility-text == 'authpriv' and $syslogseverity <= 6 then @h", SURE),
        ("if $syslogfacility-text == 'authpriv' and $syslogseverity <= '5' then @h", []),
        ("if $syslogfacility == 10 then @h", SURE),
        ("if not ($syslogfacility-text == 'authpriv') then stop else @h", SURE),
        ("if $hostname == 'x' then @h", MAYBE),
        ("if $hostname == 'x' or $programname == 'sshd' then @h", SURE),
        ("if $hostname == 'x' and $programname == 'cron' then @h", []),
        ("if $hostname == 'x' then stop\n*.* @h", MAYBE),
        ("if $fromhost-ip != '127.0.0.1' then stop\n*.* @h", SURE),
        ("if $inputname == 'imudp' then stop\n*.* @h", SURE),
        ("if prifilt('authpriv.*') then { @h\n }", SURE),
        ("if $msg contains 'opened' then { stop } *.* @h", []),
        ("if $programname == 'sshd' then {\n  /var/log/x\n  @h\n}", [("file", "/var/log/x", True), *SURE]),
        ("if $msg contains_i 'OPENED' then @h", SURE),
        ("if $!x == 'then' then { action(type='omfwd' target='h') }", MAYBE),
        ("if re_match($msg, '(') then stop\n*.* @h", MAYBE),
        ("ruleset(name='r') { *.* @h\n }", []),
        ("ruleset(name='r') { *.* @h\n }\ncall r", SURE),
        ("ruleset(name='r') { stop }\ncall r\n*.* @h", []),
        ("$RuleSet remote\n*.* @h\n$RuleSet RSYSLOG_DefaultRuleset\n", []),
        ("$RuleSet remote\n*.* @h\n$DefaultRuleset remote\n", SURE),
        ("$RuleSet remote\n*.* ~\n$RuleSet RSYSLOG_DefaultRuleset\n*.* @h", SURE),
        ('template(name="t" type="list") { constant(value="} *.* @x") }\n*.* @h', SURE),
        ('template(name="t" type="string" string="%msg% ) @x")\n*.* @h', SURE),
        ('$template t,"*.* @x"\n*.* @h', SURE),
        ("set $!a = 'x; *.* @y';\n*.* @h", SURE),
        ("/* *.* @x\n*/ *.* @h", SURE),
        ("input(type='imtcp' port='514')\nmodule(load='imuxsock')\n*.* @h", SURE),
        ("foreach ($.i in $!list) do { stop }\n*.* @h", MAYBE),
        ("*.* ?Dynamic", [("other", "?Dynamic", True)]),
        ("*.* -/var/log/all;Format", [("file", "/var/log/all", True)]),
        ("$IncludeConfig /etc/rsyslog.d/*.conf\n*.* @h", [("file", "/x", True), ("forward", "h", True)]),
        ("$IncludeConfig /etc/rsyslog.d/\n*.* @h", [("file", "/x", True), ("forward", "h", True)]),
        ('include(file="/etc/rsyslog.d/a.conf" mode="optional")', [("file", "/x", True)]),
    ],
)
def test_where_a_login_goes_in_rsyslog(text: str, found: list[tuple[str, str, bool]]) -> None:
    assert reached(text, a="*.* /x") == found


@pytest.mark.parametrize(
    "text",
    [
        "if $programname == 'x' { stop }",
        "authpriv.* { stop",
        "action(type='omfwd' target=",
        "$IncludeConfig /etc/rsyslog.conf",
        "ruleset(name='r') { call r }\ncall r",
        "template(name='t' type='list') { constant(",
    ],
)
def test_what_rsyslog_itself_would_refuse_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        reached(text)


def test_a_file_that_was_not_read_is_remembered() -> None:
    config = rsyslog.read({rsyslog.MAIN: "$IncludeConfig /opt/logs/*.conf\n$IncludeConfig /etc/rsyslog.d/*.conf\n"})
    assert config.unseen == ["/opt/logs/*.conf"]


def test_lines_keep_their_numbers() -> None:
    by_path = rsyslog.files(["/etc/rsyslog.conf:3:*.* /x", "/etc/rsyslog.conf:7:*.* @h", "noise"])
    found = rsyslog.read(by_path).reached(PAM)
    assert [each.action.where for each in found] == ["/etc/rsyslog.conf:3", "/etc/rsyslog.conf:7"]


WORDS = st.sampled_from(
    (
        *"{}()[]\"'\\#;&@\n ",
        *("*.*", "authpriv.*", "@h", "/*", "*/", "if ", " then ", "else ", "stop", "$x ", ":msg, contains, "),
        *("action(", "ruleset(", "template(", "name=", "not ", "and "),
    )
)


@settings(max_examples=150, deadline=2000)
@given(st.lists(WORDS, max_size=60))
def test_any_text_is_read_or_refused(words: list[str]) -> None:
    with contextlib.suppress(Unreadable):
        reached("".join(words))


@pytest.mark.parametrize("text", ['if "' + "# a\n" * 3000, "action(" + "# a " * 5000, "{" * 400, "not " * 400 + "x"])
def test_no_text_takes_long(text: str) -> None:
    for whole in (text, f"if {text} then @h"):
        with contextlib.suppress(Unreadable):
            reached(whole)


@pytest.mark.parametrize(
    "line",
    [
        'action(type="omelasticsearch" server="es" uid="eva" pwd="SECRET")',
        "action(type='omhttp' server='h' httpheaders=[\"Authorization: SECRET\"])",
        '$template Loggly,"<%pri%> [SECRET@41058] %msg%"',
        'template(name="t" type="string" string="[SECRET@41058] %msg%")',
        "*.* :ommysql:db,Syslog,eva,SECRET",
        "*.* >db,Syslog,eva,SECRET",
        "$ActionLibdbiPassword SECRET",
        'set $!token = "SECRET";',
        'action(type="omhttp" restpath="x" server="https://eva:SECRET@h/")',
        "# pwd=SECRET",
    ],
)
def test_secrets_of_rsyslog_stay_on_the_host(line: str) -> None:
    said = kept(RSYSLOG_CONFIG.keep, f"/etc/rsyslog.d/a.conf:1:{line}\n/etc/rsyslog.conf:2:*.* @h\n")
    assert "SECRET" not in said
    assert "/etc/rsyslog.conf:2:*.* @h" in said


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        (
            "module_plugin grep_log_module /var/log/secure Secure .*",
            "module_plugin grep_log_module /var/log/secure Secure .*",
        ),
        ("module_plugin /opt/p/grep_log /var/log/secure S x", "module_plugin grep_log /var/log/secure S x"),
        ("module_exec mysql -pSECRET < /var/log/auth.log", "module_exec mysql /var/log/auth.log"),
        ("module_exec sudo journalctl -t sshd | grep SECRET", "module_exec journalctl"),
        ("module_exec journalctl -q", "module_exec journalctl"),
        ("module_exec mysql -pSECRET", ""),
        ("module_name Logins", "module_name Logins"),
        ("  module_regexp /var/log/auth.log", "  module_regexp /var/log/auth.log"),
        ("#module_regexp /var/log/auth.log", ""),
        ("server_pwd SECRET", ""),
    ],
)
def test_of_an_agents_commands_only_the_log_leaves_the_host(line: str, stays: str) -> None:
    prefix = "/etc/pandora/pandora_agent.conf:7:"
    assert kept(log_watch._KEEP, f"{prefix}{line}\n") == (f"{prefix}{stays}\n" if stays else "")


def kept(program: str, text: str) -> str:
    return subprocess.run(["sed", "-nE", program], input=text, capture_output=True, text=True, check=True).stdout


NG = """
destination d { %s };
filter auth { facility(auth, authpriv); };
filter others { not facility(auth, authpriv); };
filter warnings { level(warning..emerg); };
log { source(s); %s destination(d); };
"""


@pytest.mark.parametrize(
    ("destination", "filters", "found"),
    [
        ('network("h" port(6514));', "", [("h", True)]),
        ('syslog("h");', "filter(auth);", [("h", True)]),
        ('udp("h");', "filter(others);", [("h", False)]),
        ('tcp("h");', "filter(auth); filter(warnings);", [("h", None)]),
        ('file("/var/log/network(x)");', "", []),
        ('# network("x");\n http(url("https://h/x"));', "", [("h", True)]),
    ],
)
def test_where_syslog_ng_sends(destination: str, filters: str, found: list[tuple[str, bool | None]]) -> None:
    assert [(each.target, each.taken) for each in syslog_ng.sendings(NG % (destination, filters))] == found


def test_a_block_of_syslog_ng_that_does_not_end_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        list(syslog_ng.sendings("log { source(s);"))


@pytest.mark.parametrize(
    ("offset", "milliseconds"),
    [("-512us", 0.512), ("+2min 3.5s", 123500), ("0", 0), ("+1.203ms", 1.203), ("-1h 1s", 3601000)],
)
def test_offsets_as_systemd_writes_them(offset: str, milliseconds: float) -> None:
    sync, _ = time_daemons.timesyncd(f"       Server: h (h)\n       Offset: {offset}\n Packet count: 3\n")
    assert sync.offset == pytest.approx(milliseconds)


@pytest.mark.parametrize("read", [lambda text: time_daemons.chrony(text, text), time_daemons.ntpq_variables])
@pytest.mark.parametrize("text", ["", "506 Cannot talk to daemon", "a,b,c", "ntpq: read: Connection refused"])
def test_no_answer_of_a_time_daemon_is_unreadable(read, text: str) -> None:
    with pytest.raises(Unreadable):
        read(text)


@settings(max_examples=60)
@given(st.text(alphabet="0123456789.,-=:*# \nabcleapstratumoffset", max_size=200))
def test_any_answer_of_a_time_daemon_is_read_or_refused(text: str) -> None:
    readers = (time_daemons.timesyncd, time_daemons.openntpd, time_daemons.ntpq_variables)
    for read in (*readers, lambda text: time_daemons.chrony(text, text)):
        with contextlib.suppress(Unreadable):
            read(text)
    time_daemons.ntpq_peers(text.splitlines())


def test_a_chronyd_that_never_sets_the_clock_still_measures() -> None:
    tracking = "7F000001,h,9,1795514997.4,0.000000000,-4.999,4.999,0,0.2,1000000,0.00001,0.9,0.0,Normal"
    sync, sources = time_daemons.chrony(tracking, "^,*,h,8,0,7,0,-4.999998093,-4.999998093,0.000004008")
    assert sync.offset == pytest.approx(4999.998093)
    assert [source.answers for source in sources] == [True]


def test_a_unit_that_is_masked_or_missing_is_not_there() -> None:
    text = "Id=a.service\nLoadState=masked\n\nId=b.service\nLoadState=not-found\n\nId=c.service\nLoadState=loaded\n"
    assert list(systemctl.units(text)) == ["c"]


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ("-rw-r-----+ 1 root adm 8388608 1710000000 auth.log", ""),
        ("-rw-r--r--. 1 root root 12 1710000000 auth.log", "r"),
        ("drwxrwxrwt 1 root root 12 1710000000 auth.log", "rwx"),
        ("drwxrwxrwT 1 root root 12 1710000000 auth.log", "rw"),
    ],
)
def test_modes(line: str, others: str) -> None:
    (entry,) = listing.entries([line], "/var/log")
    assert entry.path == "/var/log/auth.log"
    assert entry.bits(2).replace("-", "") == others
