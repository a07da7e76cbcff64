"""The security log: where logins are written, whether this very one was, and who may read it."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Iterator
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.services import Services
from pandora_audit.formats import listing, rsyslog, sshd_config
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.listing import Entry
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Answer, Ask, NotObserved, Question, Unreadable
from pandora_audit.questions import RSYSLOG_CONFIG, SSHD_CONFIG
from pandora_audit.verdict import NotApplicable

JOURNAL = "the journal"
_KEPT = "/var/log/journal"
_USUAL = ("/var/log/auth.log", "/var/log/secure")

# The connection that this is asked through, and since when sshd has it.
_SESSION = Ask(
    key="own-session",
    sh="""\
date +%s
echo "$SSH_CONNECTION"
p=$(ps -o sid= -p $$)
while [ "${p:-0}" -gt 1 ]; do
    set -- $(ps -o ppid=,etimes=,comm= -p $p)
    case $3 in sshd*|dropbear*) echo "$2"; break ;; esac
    p=$1
done""",
)
# No text of a log leaves the host: of each file, only where the last login came from.
_LAST_LOGIN = r"""
/^==> .* <==$/{
    x
    /./p
    s/.*//
    x
    p
    d
}
s/^(.* )?Accepted .* from ([^ ]+) port ([0-9]+).*$/\2 \3/
t login
$!d
x
p
d
:login
h
$p
"""
_TAIL = ("tail", "-v", "-c", "1048576")
_FILES = Ask(key="security-log", argv=(*_TAIL, *_USUAL), root=True, keep=_LAST_LOGIN)
_JOURNAL = Ask(
    key="security-journal",
    argv=(
        *("journalctl", "-q", "--no-pager", "-o", "cat", "-D", _KEPT, "--since=-10min"),
        *("-t", "sshd", "-t", "sshd-session", "-t", "dropbear"),
    ),
    root=True,
    keep=_LAST_LOGIN,
)
# A daemon may not write at once: on a busy machine, not before seconds.
_PAUSE = Ask(
    key="security-session@pause",
    sh=(
        "sleep 1.5; for more in 1 2 3 4 5 6 7; do"
        f" find {' '.join(_USUAL)} -newermt '-4 seconds' 2>/dev/null | grep -q . && break; sleep 0.5; done"
    ),
)
# As long as that, the journal is looked back at.
_MOST_SECONDS = 540
_DAY = 86400

_STORAGE = Ask(
    key="journald-storage",
    sh=(
        "grep -rHnE '^[[:space:]]*Storage[[:space:]]*=' /etc/systemd/journald.conf* /run/systemd/journald.conf*"
        " /usr/local/lib/systemd/journald.conf* /usr/lib/systemd/journald.conf* 2>/dev/null"
    ),
)
_LS = ("ls", "-lab", "--time-style=+%s")
_PLACES = Ask(
    key="security-log-modes",
    argv=(*_LS, "/var/log/"),
    root=True,
    keep=r"/ (\.|(auth\.log|secure)[^ ]*)$/p",
)
_JOURNAL_PLACES = Ask(key="journal-modes", argv=(*_LS, "-R", _KEPT), root=True)
# Where the tool is missing, Python reads the same from the attribute.
_ACLS = Ask(
    key="security-log-acls",
    sh=r"""set +f
set -- /var/log/auth.log* /var/log/secure*
if command -v getfacl >/dev/null; then getfacl -psR /var/log/journal "$@" 2>/dev/null; exit 0; fi
for python in python3 /usr/libexec/platform-python; do command -v $python >/dev/null && break; done
find /var/log/journal "$@" -type d -o -type f 2>/dev/null | $python -c '
import grp, os, pwd, struct, sys
TAGS = {1: "user", 2: "user", 4: "group", 8: "group", 16: "mask", 32: "other"}
def name(tag, number):
    try:
        return pwd.getpwuid(number)[0] if tag == 2 else grp.getgrgid(number)[0] if tag == 8 else ""
    except KeyError:
        return str(number)
for path in sys.stdin.read().splitlines():
    try:
        packed = os.getxattr(path, "system.posix_acl_access")
    except OSError:
        continue
    print("# file:", path)
    for tag, bits, number in struct.iter_unpack("<HHI", packed[4:]):
        print(TAGS[tag], name(tag, number), "".join(c if bits & b else "-" for c, b in zip("rwx", (4, 2, 1))), sep=":")
'""",
)
# Who may read it on a host as its distribution leaves it.
_READERS = ("root", "syslog")
_READING_GROUPS = ("root", "adm", "systemd-journal", "syslog", "wheel", "log")


def _again(ask: Ask) -> str:
    return f"{ask.key}@again"


def _elsewhere(ask: Ask) -> str:
    return f"{ask.key}@elsewhere"


class AuthLog(Fact):
    """The log of who entered this machine and who became somebody else."""

    questions = (
        *(*Services.questions, SSHD_CONFIG, RSYSLOG_CONFIG, _SESSION, _STORAGE),
        *(_PLACES, _JOURNAL_PLACES, _ACLS, _FILES, _JOURNAL),
    )

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        """The logs of other names; and those of usual names again, where this login was not the last one in each."""
        fact = cls(seen)
        keep = ""
        if fact._login:
            place = "(:| port )".join(map(re.escape, fact._login))
            keep = f"/^==> .* <==$/p\ns/.*{place}([^0-9].*)?$/ours/p"
        found: list[Question] = []
        if keep and not all(fact._met(log) for log in fact._there):
            found.append(_PAUSE)
            found += (Ask(key=_again(ask), argv=ask.argv, root=True, keep=keep) for ask in (_FILES, _JOURNAL))
        with contextlib.suppress(NotObserved):  # then no other name is known
            others = [path for path in fact._elsewhere if re.fullmatch(r"/[\w./@+-]+", path)]
            if others and keep:
                found.append(Ask(key=_elsewhere(_FILES), argv=(*_TAIL, *others), root=True, keep=keep))
            if others:
                found.append(Ask(key=_elsewhere(_PLACES), argv=(*_LS, "-d", *others), root=True))
        return tuple(found)

    @property
    def _there(self) -> Iterator[str]:
        """The logs of usual names that the first look found."""
        files, journal = self.answers[_FILES.key], self.answers[_JOURNAL.key]
        if not files.silence:
            yield from (log for log in _USUAL if _head(log) in files.lines)
        if not journal.silence and _is_there(journal):
            yield JOURNAL

    @cached_property
    def _services(self) -> Services:
        return Services(self.seen)

    @cached_property
    def _session(self) -> list[str]:
        lines = self.answers[_SESSION.key].lines
        if not lines or not re.fullmatch(r"\d{1,12}", lines[0]):
            raise Unreadable(f"`date +%s` said {''.join(lines[:1])[:50]!r}")
        return lines

    @cached_property
    def _login(self) -> tuple[str, ...]:
        """Address and port that this login came from; empty where there was none, or not a moment ago."""
        lines = [*self._session, "", ""]
        came_from = re.match(r"([0-9A-Fa-f.:%a-z]+) (\d{1,5}) ", lines[1])
        is_new = re.fullmatch(r"\d{1,9}", lines[2]) and int(lines[2]) <= _MOST_SECONDS
        return came_from.groups() if came_from and is_new else ()

    @cached_property
    def _written_to(self) -> dict[str, str]:
        """The files that rsyslog writes a login to -> the lines that say so."""
        message = rsyslog.Message(
            facility=self._sshd("syslogfacility", "auth"),
            severity="info",
            program="sshd",
            text="Accepted publickey for visitor from 203.0.113.9 port 1 ssh2",
        )
        return {
            each.action.target: each.action.where
            for each in self._services.rsyslog.reached(message)
            if each.action.kind == "file" and each.action.target != "/dev/null"
        }

    def _sshd(self, keyword: str, default: str) -> str:
        answer = self.answers[SSHD_CONFIG.key]
        if answer.silence or answer.status != 0:
            return default
        return sshd_config.effective(answer.text).get(keyword, (default,))[0].lower()

    @cached_property
    def _elsewhere(self) -> tuple[str, ...]:
        """The files of other names that a running rsyslog writes logins to."""
        if not self._services.runs("rsyslog"):
            return ()
        return tuple(path for path in self._written_to if path not in _USUAL)[:8]

    def _met(self, log: str) -> bool:
        """Whether the first look has met this login, as the last one in a log."""
        answer = self.answers[(_JOURNAL if log == JOURNAL else _FILES).key]
        return not answer.silence and " ".join(self._login) in _section(answer.lines, log)

    def _holds(self, log: str) -> bool:
        """Whether a log holds this login; of a way in that leaves none, whether it was written within a day."""
        if not self._login:
            entry = self._entry(log)
            if entry is not None and self._days(entry) > 0:
                raise NotObserved(f"this way in leaves no login, and {log} was last written {self._age(entry)}")
            return entry is not None
        if self._met(log):
            return True
        if log == JOURNAL:
            first = self.answers[_JOURNAL.key]
            return _is_there(first) and "ours" in self.answers[_again(_JOURNAL)].succeeded().lines
        if log in _USUAL and _head(log) not in self.answers[_FILES.key].lines:
            return False
        again = self.answers[_again(_FILES) if log in _USUAL else _elsewhere(_FILES)]
        return "ours" in _section(again.lines, log)

    @cached_property
    def active(self) -> tuple[str, ...]:
        """The logs that hold this login. Raises NotObserved where none does and one was withheld."""
        found, withheld = [], ""
        logs = [*_USUAL, JOURNAL]
        try:
            logs += self._elsewhere
        except NotObserved as silent:
            withheld = silent.reason
        for log in logs:
            try:
                if self._holds(log):
                    found.append(log)
            except NotObserved as silent:
                withheld = withheld or silent.reason
        if not found and withheld:
            raise NotObserved(withheld)
        return tuple(found)

    @cached_property
    def silent(self) -> Offences:
        """Why logins are not kept, now or after the next boot."""
        level = self._sshd("loglevel", "info")
        if level in ("silent", "quiet", "fatal", "error"):  # `sshd -T` calls QUIET silent
            name = "QUIET" if level == "silent" else level.upper()
            text = f"sshd tells nobody who entered (LogLevel {name})"
            return Offences([Offence(subject="sshd", text=text, layer="next start")], "")
        if not self.active:
            return Offences((*self._why_no_file(), self._why_no_journal()), "")
        lost = [self._lost(log) for log in self.active]
        what = "this audit's own login is in" if self._login else "this way in leaves no login; written within a day:"
        return Offences(filter(None, lost if all(lost) else ()), f"{what} {', '.join(self.active)}")

    def _why_no_file(self) -> Iterator[Offence]:
        daemon = next((name for name in ("rsyslog", "syslog-ng") if self._services.unit(name)), "")
        if not daemon:
            return
        if not self._services.runs(daemon):
            yield Offence(subject=daemon, text=f"{daemon} does not run", layer="process")
        for path in (*_USUAL, *self._elsewhere):
            entry, where = self._entry(path), self._written_to.get(path, "") if daemon == "rsyslog" else ""
            if entry is not None:
                text = f"{path} does not hold this audit's own login, last written {self._age(entry)}"
                yield Offence(subject=posixpath.basename(path), text=text, layer="process", cause=where)
            elif where:
                text = f"{path} does not exist"
                yield Offence(subject=posixpath.basename(path), text=text, layer="process", cause=where)
        if daemon == "rsyslog" and not self._written_to:
            text = "no rule of rsyslog writes logins to a file"
            yield Offence(subject="rsyslog", text=text, layer="file", cause=rsyslog.MAIN)

    def _why_no_journal(self) -> Offence:
        value, where = self._storage
        if self._entry(JOURNAL) is None or value in ("volatile", "none"):
            text = f"the journal is lost at the next boot: {f'Storage={value}' if where else f'no {_KEPT}'}"
        else:
            text = f"{_KEPT} does not hold this audit's own login"
        return Offence(subject="journal", text=text, layer="process", cause=where)

    def _lost(self, log: str) -> Offence | None:
        """Why a log that is written now will not be after the next boot."""
        if log == JOURNAL:
            value, where = self._storage
            if value not in ("volatile", "none"):
                return None
            return Offence(
                subject="journal", text=f"journald will keep nothing (Storage={value})", layer="next start", cause=where
            )
        rsyslogd, other = self._services.unit("rsyslog"), self._services.unit("syslog-ng")
        daemon = rsyslogd if rsyslogd and rsyslogd.active else other
        if daemon is None:
            return None
        if not daemon.starts:
            return Offence(subject=daemon.name, text=f"{daemon.name} is not started at the boot", layer="next start")
        if daemon is rsyslogd and log not in self._written_to:
            text = f"no rule of rsyslog will write logins to {log}"
            return Offence(subject=posixpath.basename(log), text=text, layer="next start", cause=rsyslog.MAIN)
        return None

    @cached_property
    def _storage(self) -> tuple[str, str]:
        """journald's Storage, and the file and line that set it."""
        answer = self.answers[_STORAGE.key]
        found: dict[str, tuple[str, str]] = {}
        for line in reversed(answer.lines):
            said = re.match(r"(/[^:]*\.conf):(\d{1,6}):\s*Storage\s*=\s*(\w+)", line)
            if said:
                folder, name = posixpath.split(said[1])
                # A drop-in beats the main file; of two of one name, the one in the folder that is named first counts.
                rank = f"1{name}" if folder.endswith(".d") else "0"
                before = found.get(rank)
                if before is None or not _is_same_file(before[1], said[1]):
                    found[rank] = (said[3].lower(), f"{said[1]}:{said[2]}")
        return found[max(found)] if found else ("", "")

    # --- who reads it ---

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        """The files of the security log, the rotated ones too, and /var/log itself."""
        lines = self.answers[_PLACES.key].succeeded().lines
        if self._elsewhere:
            lines = [*lines, *self.answers[_elsewhere(_PLACES)].lines]
        return {entry.path: entry for entry in listing.entries(lines, "/var/log")}

    @cached_property
    def _journal_entries(self) -> dict[str, Entry]:
        answer = self.answers[_JOURNAL_PLACES.key]
        if not answer.silence and not _is_there(answer):
            return {}
        lines = answer.lines
        nothing_withheld(answer)  # but a file that was rotated away meanwhile
        return {entry.path: entry for entry in listing.entries(lines, _KEPT)}

    def _entry(self, log: str) -> Entry | None:
        if log != JOURNAL:
            return self._entries.get(log)
        files = [entry for path, entry in self._journal_entries.items() if path.endswith(".journal")]
        return max(files, key=lambda entry: entry.written, default=None)

    def _days(self, entry: Entry) -> int:
        return max(0, int(self._session[0]) - entry.written) // _DAY

    def _age(self, entry: Entry) -> str:
        days = self._days(entry)
        return f"{days} {'days' if days > 1 else 'day'} ago" if days else "within a day"

    @cached_property
    def exposed(self) -> Offences:
        """Who but root and the group of the logs reads the security log, or may change it."""
        entries = {**self._entries, **self._journal_entries}
        files = [entry for entry in entries.values() if not entry.is_folder]
        if not files:
            raise NotApplicable("no security log is kept on this machine")
        found = [offence for entry in files for offence in self._opened(entry, entries)]
        kinds = {JOURNAL if entry.path in self._journal_entries else entry.path for entry in files}
        return Offences(found, f"root and the group of the logs only read {', '.join(sorted(kinds))}")

    def _opened(self, entry: Entry, entries: dict[str, Entry]) -> Iterator[Offence]:
        folders = [entries[path] for path in _above(entry.path) if path in entries]
        if any("x" not in each.bits(2) and each.group in _READING_GROUPS and not each.has_acl for each in folders):
            return  # nobody else comes as far as the file
        owners = {*_READERS, *self._services.users("rsyslogd"), *self._services.users("syslog-ng")}
        for kind, name, bits in self._admitted(entry):
            if kind == "everybody" and not all("x" in each.bits(2) for each in folders):
                continue
            known = name in (owners if kind == "account" else _READING_GROUPS if kind == "group" else ())
            if known or (kind != "everybody" and self._is_its_own(entry, name)) or not set(bits) & {"r", "w"}:
                continue
            does = " and ".join(word for bit, word in (("r", "reads"), ("w", "writes")) if bit in bits)
            who = name if kind == "everybody" else f"the {kind} {name}"
            yield Offence(subject=name, text=f"{who} {does} {entry.path}", layer="file", cause=entry.path)

    def _admitted(self, entry: Entry) -> Iterator[tuple[str, str, str]]:
        """Whom a file's mode or access list speaks of: account, group or everybody, its name, and what it may do.

        Raises NotObserved where there is an access list that was not shown.
        """
        yield "account", entry.owner, entry.bits(0)
        yield "everybody", "everybody", entry.bits(2)
        if not entry.has_acl:
            yield "group", entry.group, entry.bits(1)
            return
        acl = self._acls.get(entry.path, ())
        if not acl:
            raise NotObserved(f"who may read {entry.path} stands in an access list that nobody could read")
        mask = next((each.bits for each in acl if each.kind == "mask"), "rwx")
        for each in acl:
            if each.kind in ("user", "group") and (each.name or each.kind == "group"):
                bits = "".join(bit if bit in mask else "-" for bit in each.bits)
                yield "account" if each.kind == "user" else "group", each.name or entry.group, bits

    def is_open_to(self, log: str, user: str, groups: frozenset[str]) -> bool:
        """Whether an account may read a log. Raises NotObserved where that is not known."""
        entry = self._entry(log)
        if user == "root" or entry is None or entry.owner == user:
            return True
        names = {"account": {user}, "group": groups, "everybody": {"everybody"}}
        return any("r" in bits and name in names[kind] for kind, name, bits in self._admitted(entry))

    def _is_its_own(self, entry: Entry, name: str) -> bool:
        """Whether an account reads only what it has done itself, or is that of a service that ships or watches the log.

        The group of such a service's own has its name.
        """
        ours = self._services.shippers | self._services.users("pandora_agent")
        return re.search(r"/user-\d+(@[^/]*)?\.journal$", entry.path) is not None or name in ours

    @cached_property
    def _acls(self) -> dict[str, tuple[listing.AclEntry, ...]]:
        return listing.acls(self.answers[_ACLS.key].lines)


def _is_there(answer: Answer) -> bool:
    """Whether there is a kept journal, of which this was asked."""
    return re.search(rf"{_KEPT}'?: No such file".encode(), answer.err) is None


def _head(log: str) -> str:
    """What tail writes before a file."""
    return f"==> {log} <=="


def _section(lines: list[str], log: str) -> list[str]:
    """What was said of one file; all of it, of the journal."""
    if log == JOURNAL:
        return lines
    if _head(log) not in lines:
        return []
    rest = lines[lines.index(_head(log)) + 1 :]
    return rest[: next((at for at, line in enumerate(rest) if line.startswith("==> ")), len(rest))]


def _above(path: str) -> Iterator[str]:
    """The folders above a path."""
    while (path := posixpath.dirname(path)) != "/":
        yield path


def _is_same_file(where: str, path: str) -> bool:
    return where.rpartition(":")[0] == path
