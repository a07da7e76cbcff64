"""What no reader expects of files and programs: not assessed, with a sentence and in time; nothing else changes.

What wrote to a file has made a running daemon's answer doubtful; that is told truly, and listed as such.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from judging import ask, controls, judge

import lab
from pandora_audit.finding import Finding
from pandora_audit.promises import Promises
from pandora_audit.target import Target
from pandora_audit.transport import Options
from pandora_audit.verdict import Word

CONTROLS = controls()
# By far more than any of these takes, and less than what hangs takes without a limit.
SECONDS = 100
GONE = "perl ss curl openssl nft cvtsudoers chronyc awk mawk ps getent stat"
BYTES = r"printf '\357\273\277# M\344dchen\000\r\n'"
CONSOLE = "/var/www/html/pandora_console"


@dataclass(frozen=True)
class Case:
    """What is done to a host, and undone; whose verdicts may then be missing, and whose must.

    Attributes:
        silences: the controls that may be not assessed; one of them is.
        turns: the controls that say truly that something is otherwise than before.
    """

    image: str
    change: str
    silences: str
    undo: str = "true"
    turns: str = "none"


CASES = {
    "a million accounts": Case(
        "bookworm",
        'cp -p /etc/passwd /root/kept; awk \'BEGIN { for (i = 100000; i < 1100000; i++) print "u" i ":x:" i'
        ' ":100::/nonexistent:/usr/sbin/nologin" }\' >> /etc/passwd',
        r"ssh\.(root|user)-keys|system\.(named|unprivileged)-users|system\.[a-z]*-?(superuser|passwords|factor|accounts?)"
        r"|system\.(superuser-by-sudo|sudo-authenticates|integrity|no-empty-passwords)",
        undo="mv /root/kept /etc/passwd",
    ),
    "a foreign locale": Case(
        "bookworm",
        "printf 'LANG=de_DE.UTF-8\nLC_ALL=fr_FR.UTF-8\nLANGUAGE=de:fr\n' | tee -a /etc/environment"
        " >> /etc/default/locale; echo 'export LC_ALL=tr_TR.UTF-8 LANGUAGE=tr' >> /home/audit/.profile",
        "none",
        undo="sed -i /_/d /etc/environment /etc/default/locale",
    ),
    "no tools": Case(
        "bookworm",
        f"mkdir /root/gone; for t in {GONE}; do for d in /usr/bin /usr/sbin; do mv $d/$t /root/gone/ 2>/dev/null; done;"
        " done; true",
        r"ssh\..*|system\..*",
        undo="mv /root/gone/* /usr/bin/",
    ),
    "bytes that are no text": Case(
        "bookworm",
        f"{BYTES} > /etc/ssh/sshd_config.d/b.conf; {BYTES} >> /etc/issue.net; {BYTES} > /etc/sudoers.d/bytes;"
        r" printf 'Caf\351:x:4711:4711:\344\000:/home/x:/bin/sh\r\n' >> /etc/passwd",
        r"ssh\..*|system\.(.*-?accounts?|.*sudo.*|integrity|named-users|second-factor)",
        undo="rm /etc/ssh/sshd_config.d/b.conf /etc/sudoers.d/bytes; sed -i /4711/d /etc/passwd",
        turns=r"ssh\.running-config",
    ),
    "includes that are not there": Case(
        "bookworm",
        "echo 'Include nowhere.conf /etc/nowhere/*.conf' >> /etc/ssh/sshd_config; systemctl restart ssh;"
        " echo '@include /etc/nowhere' > /etc/sudoers.d/nowhere; echo '@include nowhere' >> /etc/pam.d/login",
        r"system\.(second-factor|superuser-by-sudo|sudo-(authenticates|logged)|audit-account)",
        undo="rm /etc/sudoers.d/nowhere; sed -i /nowhere/d /etc/ssh/sshd_config /etc/pam.d/login;"
        " systemctl restart ssh",
    ),
    "includes that only root reads": Case(
        "bookworm",
        "mkdir -m 700 /etc/ssh/ours; echo 'PermitTunnel no' > /etc/ssh/ours/a.conf;"
        " echo 'Include ours/*.conf' >> /etc/ssh/sshd_config; systemctl restart ssh; chmod 600 /etc/pam.d/common-auth",
        r"ssh\.access-limited|system\.(second-factor|superuser-by-sudo|sudo-authenticates|no-empty-passwords)",
        undo="chmod 644 /etc/pam.d/common-auth; sed -i /ours/d /etc/ssh/sshd_config; systemctl restart ssh",
    ),
    "links that lead to themselves": Case(
        "bookworm",
        "for f in /etc/ssh/sshd_config.d/l.conf /etc/apt/sources.list.d/l.list /etc/sudoers.d/loop /etc/issue.net"
        " /home/nosudo/.ssh/authorized_keys2; do rm -f $f; ln -s $f $f; done",
        r"ssh\..*|system\.(.*-?accounts?|integrity|second-factor)",
        turns=r"ssh\.running-config",
    ),
    "includes that are not there, a server": Case(
        "server",
        "cd /etc/rsyslog.d; echo '$IncludeConfig /etc/nowhere.conf' > 00-nowhere.conf;"
        """ echo 'include(file="/etc/nowhere.conf")' >> 00-nowhere.conf;"""
        " printf 'include /etc/nowhere/*.conf\nconfdir /etc/nowhere\n' >> /etc/chrony/chrony.conf;"
        " echo 'include /etc/pandora/nowhere.conf' >> /etc/pandora/pandora_agent.conf",
        r"agent\.running-config",
        undo="rm /etc/rsyslog.d/00-nowhere.conf;"
        " sed -i /nowhere/d /etc/chrony/chrony.conf /etc/pandora/pandora_agent.conf",
    ),
    "bytes and loops, a server": Case(
        "server",
        "for f in /etc/pandora/conf.d/l.conf /etc/pandora/plugins/l /etc/rsyslog.d/l.conf /etc/chrony/conf.d/l.conf; do"
        " mkdir -p ${f%/*}; ln -s $f $f; done;"
        " cd /etc/pandora; echo 'include /etc/pandora/pandora_agent.conf' >> pandora_agent.conf;"
        " echo '$IncludeConfig /etc/rsyslog.conf' >> /etc/rsyslog.d/50-default.conf;"
        f" {BYTES} | tee -a pandora_server.conf pandora_agent.conf /etc/tentacle/tentacle_server.conf"
        " >> /etc/chrony/chrony.conf",
        r"agent\.(plugins-audited|code-permissions|running-config)|tentacle\..*|system\.(integrity|auth-log.*|time-service)",
        turns=r"(server|tentacle)\.running-config",
    ),
    "an include that is not there, a console": Case(
        "console",
        "echo 'Include /etc/nowhere.conf' > /etc/apache2/conf-enabled/nowhere.conf",
        "none",
        undo="rm /etc/apache2/conf-enabled/nowhere.conf",
        turns=r"web\.running-config",
    ),
    "bytes and loops, a console": Case(
        "console",
        "cd /etc/apache2; for f in conf-enabled/l.conf sites-enabled/l.conf /etc/php/8.2/apache2/conf.d/l.ini; do"
        " ln -s l.${f##*.} $f; done; echo 'Include /etc/apache2/apache2.conf' > /etc/apache2/conf-enabled/loop.conf;"
        f" ln -s . {CONSOLE}/again; {BYTES} >> /etc/apache2/apache2.conf; {BYTES} >> /etc/php/8.2/apache2/php.ini;"
        f" {BYTES} >> {CONSOLE}/include/config.php",
        r"php\..*|web\..*|console\..*",
    ),
    "an include that is not there, a database": Case(
        "database",
        "printf '!include /etc/nowhere.cnf\n!includedir /etc/nowhere/\n' >> /etc/mysql/my.cnf",
        r"mysql\..*|console\..*|server\..*|agent\.(change|upload)-rights",
        undo="sed -i /nowhere/d /etc/mysql/my.cnf",
    ),
    "includes that only root reads, a database": Case(
        "database",
        "mkdir -m 700 /etc/ours; printf '[mysqld]\nlocal_infile=1\n' > /etc/ours/a.cnf;"
        " echo '!includedir /etc/ours/' >> /etc/mysql/my.cnf",
        r"mysql\.files-private",
        undo="sed -i /ours/d /etc/mysql/my.cnf",
    ),
    "a database that hangs": Case(
        "database",
        "systemctl kill -s STOP mariadb",
        r"mysql\..*|console\..*|server\..*|agent\.(change|upload)-rights",
        undo="systemctl kill -s CONT mariadb",
    ),
}
# By case: what was found before and after, and how long that took.
Seen = dict[str, tuple[dict[str, Finding], dict[str, Finding], float]]


@pytest.fixture(scope="module")
def seen(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Seen]]]:
    """The selected cases, one after the other on a host of each image."""
    lab.required()
    items = [item for item in request.session.items if item.module is request.module and hasattr(item, "callspec")]
    names = [item.callspec.params["name"] for item in items]
    images = dict.fromkeys(CASES[name].image for name in names)
    with ThreadPoolExecutor(3) as pool:
        yield {
            image: pool.submit(tried, image, [name for name in names if CASES[name].image == image]) for image in images
        }


def tried(image: str, names: list[str]) -> Seen:
    with lab.boot(image) as host:
        known = host.root.parent / "known_hosts"
        known.write_text(host.known_hosts)
        before = findings(host)
        found: Seen = {}
        for name in names:
            case = CASES[name]
            host.run(case.change, timeout=60)
            began = time.monotonic()
            after = findings(host)
            found[name] = before, after, time.monotonic() - began
            host.run(case.undo)
    return found


def findings(host: lab.Host) -> dict[str, Finding]:
    promises = Promises.read({"scope": ("estate", "test")})
    target = Target(name=host.name, address=host.address, user="audit", port=host.port, promises=promises)
    options = Options(known_hosts=host.root.parent / "known_hosts", identity_file=host.key)
    machine = ask(target, CONTROLS.values(), options)
    assert not machine.silence
    return judge(machine, CONTROLS, "strict")


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_read_is_not_assessed_and_changes_nothing_else(seen: dict[str, Future[Seen]], name: str) -> None:
    case = CASES[name]
    before, after, seconds = seen[case.image].result()[name]
    changed = {control for control in CONTROLS if after[control].word is not before[control].word}
    silent = {control for control in changed if after[control].word is Word.NOT_ASSESSED}
    assert not [found.reason for found in after.values() if found.fault]
    assert not {c: after[c].reason for c in silent if not re.fullmatch(case.silences, c) or not after[c].reason}
    assert not {c: after[c].told for c in changed - silent if not re.fullmatch(case.turns, c)}
    assert bool(silent) is (case.silences != "none")
    assert seconds < SECONDS
