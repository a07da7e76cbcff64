"""The copy of the security log on another machine: who makes it, and for whom."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.facts.log_watch import LogWatch
from pandora_audit.facts.services import Services
from pandora_audit.formats import addresses, rsyslog, syslog_ng
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved
from pandora_audit.questions import ADDRESSES, RSYSLOG_CONFIG, UPTIME
from pandora_audit.verdict import ToDecide

_SYSLOG_NG = Ask(
    key="syslog-ng-config",
    argv=("grep", "-rHn", "-e", ".", "/etc/syslog-ng/syslog-ng.conf", "/etc/syslog-ng/conf.d"),
    root=True,
    keep=r"""
s/((password|user|headers|token|key[a-z_-]*|template)[[:space:]]*\()[^)]*(\)|$)/\1\3/Ig
p
""",
)
_WRITTEN = Ask(
    key="rsyslog-written",
    sh="find /etc/rsyslog.conf /etc/rsyslog.d -type f -printf '%T@ %p\\n' 2>/dev/null",
)


@dataclass(frozen=True)
class _Shipper:
    """A program that ships logs: its units and processes, and where its configuration lies.

    Args:
        whole: whether it ships the whole journal, or what is audited, without being told which files.
    """

    name: str
    units: tuple[str, ...]
    programs: tuple[str, ...]
    places: tuple[str, ...]
    whole: bool = False


_SHIPPERS = (
    _Shipper(
        "systemd-journal-upload",
        ("systemd-journal-upload",),
        (),
        ("/etc/systemd/journal-upload.conf", "/etc/systemd/journal-upload.conf.d"),
        whole=True,
    ),
    _Shipper(
        "audisp-remote",
        (),
        ("audisp-remote",),
        ("/etc/audit/audisp-remote.conf", "/etc/audisp/audisp-remote.conf"),
        whole=True,
    ),
    _Shipper("filebeat", ("filebeat",), ("filebeat",), ("/etc/filebeat",)),
    _Shipper("fluent-bit", ("fluent-bit", "td-agent-bit"), ("fluent-bit",), ("/etc/fluent-bit", "/etc/td-agent-bit")),
    _Shipper("fluentd", ("td-agent", "fluentd"), (), ("/etc/td-agent", "/etc/fluent")),
    _Shipper("promtail", ("promtail",), ("promtail",), ("/etc/promtail",)),
    _Shipper("alloy", ("alloy",), ("alloy",), ("/etc/alloy",)),
    _Shipper("vector", ("vector",), ("vector",), ("/etc/vector",)),
    _Shipper(
        "the OpenTelemetry collector",
        ("otelcol-contrib", "otelcol"),
        ("otelcol-contrib", "otelcol"),
        ("/etc/otelcol-contrib", "/etc/otelcol"),
    ),
    _Shipper("nxlog", ("nxlog",), ("nxlog",), ("/etc/nxlog", "/etc/nxlog.conf", "/opt/nxlog/etc")),
    _Shipper(
        "the Splunk forwarder",
        ("SplunkForwarder",),
        ("splunkd",),
        ("/opt/splunkforwarder/etc/system/local", "/opt/splunkforwarder/etc/apps"),
    ),
    _Shipper("the Wazuh agent", ("wazuh-agent",), ("wazuh-agentd", "ossec-agentd"), ("/var/ossec/etc/ossec.conf",)),
)
# What these ship is said in a console, not on the host.
_MANAGED = (
    "elastic-agent",
    "graylog-sidecar",
    "azuremonitoragent",
    "amazon-cloudwatch-agent",
    "datadog-agent",
    "google-cloud-ops-agent",
)
_TUNNELS = _Shipper("stunnel", ("stunnel", "stunnel4"), ("stunnel", "stunnel4"), ("/etc/stunnel",))

_WORDS = (
    *("host", "url", "server", "address", "endpoint", "uri", "broker", "cloud.id", "connect"),
    *("/var/log/", "journal", "systemd", "module", "enabled", "auth"),
)
_SHIPPING = Ask(
    key="shipper-config",
    argv=(
        *("grep", "-rHnsiF", *(part for word in _WORDS for part in ("-e", word))),
        *(place for shipper in (*_SHIPPERS, _TUNNELS) for place in shipper.places),
    ),
    root=True,
    keep=r"""
/^[^:]*:[0-9]+:[[:space:]]*(#|;|\/\/|<!--)/d
/pass|token|secret|api.?key|authorization|bearer|headers/Id
s/(:\/\/)[^\/@" ]*@/\1/g
p
""",
)
_CONFIGURATIONS = (".conf", ".cfg", ".yml", ".yaml", ".toml", ".alloy", ".river", ".json")
_TARGET = re.compile(
    r"""\b(?:hosts?|urls?|server|remote_server|address|endpoints?|uri|brokers?|bootstrap_servers|cloud\.id|connect)\b["']?"""
    r"""\s*[:=>\s]\s*\[?\s*["']?(?:[a-z][a-z0-9+]*://)?(\[[0-9a-f:]+\]|[A-Za-z0-9][\w.-]*)""",
    re.I,
)
_PATH = re.compile(r"""/var/log/[^\s"',\]<>{}]*""")
_JOURNALS = re.compile(r"\bjournald?\b|\bsystemd\b|\bjournal:", re.I)
_LOGS = ("/var/log/auth.log", "/var/log/secure")
_PROBES = tuple(
    rsyslog.Message(facility="authpriv", severity="info", program=program, text=text)
    for program, text in (
        ("sshd", "pam_unix(sshd:session): session opened for user visitor(uid=1000) by (uid=0)"),
        ("sudo", "visitor : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/true"),
    )
)


@dataclass(frozen=True)
class _Way:
    """One way out of the machine.

    Args:
        sure: whether the security log certainly takes it.
        running, starts: whether the program runs, and whether the next boot starts it.
        unread: the file that says so, where it was written after the program was started.
    """

    program: str
    target: str
    where: str = ""
    sure: bool = True
    running: bool = True
    starts: bool = True
    unread: str = ""


class Forwarding(Fact):
    """The ways on which the security log leaves this machine."""

    questions = (
        *(*Services.questions, *LogWatch.questions, RSYSLOG_CONFIG, _WRITTEN, _SYSLOG_NG, _SHIPPING),
        *(ADDRESSES, UPTIME),
    )

    then = LogWatch.then

    @cached_property
    def _services(self) -> Services:
        return Services(self.seen)

    def kept_here(self, logs_to: tuple[str, ...]) -> Offences:
        """Why the security log is on this machine only.

        Args:
            logs_to: the machines that the site means; none: any other machine.
        """
        found, withheld = self._found
        ways = [way for way in found if way.target]
        out = [way for way in ways if not self._is_own(way.target)]
        offences = {way: list(self._wrong(way, logs_to)) for way in out}
        good = [way for way in out if not offences[way] and way.sure]
        relays = [way for way in ways if self._is_own(way.target) and way.sure and not list(self._wrong(way, ()))]
        if relays and not good:
            passed_on = [way for way in self._shipping(fed=True) if not self._is_own(way.target)]
            good = [way for way in passed_on if not list(self._wrong(way, logs_to))]
        if good:
            return Offences([], ", ".join(dict.fromkeys(f"{way.program} copies it to {way.target}" for way in good)))
        if withheld:
            raise NotObserved(withheld)
        if unsure := next((way for way in out if not way.sure and not offences[way]), None):
            raise NotObserved(
                f"whether {unsure.program} sends it to {unsure.target} depends on what {unsure.where} asks"
            )
        if managed := next((name for name in _MANAGED if self._services.runs(name)), ""):
            return _by_promise(managed, logs_to)
        wrong = [offence for way in out if way.sure for offence in offences[way]]
        wrong += [
            Offence(subject=way.program, text=f"{way.program} sends it to this machine itself", cause=way.where)
            for way in relays
        ]
        nothing = Offence(subject="security log", text="nothing copies it to another machine", layer="process")
        return Offences(wrong or [nothing], "")

    @property
    def destinations(self) -> tuple[str, ...]:
        """The other machines to which the security log certainly goes. Raises NotObserved where not all was seen."""
        ways, withheld = self._found
        if withheld:
            raise NotObserved(withheld)
        sure = (way for way in ways if way.target and way.sure and not list(self._wrong(way, ())))
        return tuple(sorted({way.target for way in sure if not self._is_own(way.target)}))

    def _wrong(self, way: _Way, logs_to: tuple[str, ...]) -> Iterator[Offence]:
        def offence(text: str, layer: str) -> Offence:
            return Offence(subject=way.program, text=text, layer=layer, cause=way.where)

        if not way.running:
            yield offence(f"{way.program}, which would copy it to {way.target}, does not run", "process")
        if not way.starts:
            yield offence(f"{way.program}, which copies it to {way.target}, is not started at the boot", "next start")
        if way.unread:
            yield offence(f"{way.program} was started before {way.unread} was written", "process")
        if logs_to and way.target.lower() not in {name.lower() for name in logs_to}:
            yield offence(f"{way.program} copies it to {way.target}, which the site does not name", "next start")

    @cached_property
    def _found(self) -> tuple[list[_Way], str]:
        """Every way that a program of this machine offers the security log, and why one could not be looked for."""
        ways: list[_Way] = []
        withheld = ""
        parts = (self._of_rsyslog, self._of_syslog_ng, functools.partial(self._shipping, fed=False), self._of_pandora)
        for part in parts:
            try:
                ways += part()
            except NotObserved as silent:
                withheld = withheld or silent.reason
        return ways, withheld

    def _of_rsyslog(self) -> Iterator[_Way]:
        unit = self._services.unit("rsyslog")
        if unit is None:
            return
        config = self._services.rsyslog
        by_probe = [{each.action: each.certain for each in _forwards(config, message)} for message in _PROBES]
        for action in by_probe[0]:
            if all(action in reached for reached in by_probe):
                for target in _machines(action.target):
                    yield _Way(
                        program="rsyslog",
                        target=target,
                        where=action.where,
                        sure=all(reached[action] for reached in by_probe) and not config.unseen,
                        running=unit.active,
                        starts=unit.starts,
                        unread=self._unread(action.where.rpartition(":")[0], unit.since),
                    )

    def _unread(self, path: str, since: float) -> str:
        """The file, if it was written after rsyslog was started."""
        now = re.match(r"(\d{1,12})\n(\d{1,12})", self.answers[UPTIME.key].succeeded().text)
        rows = [line.split(" ", 1) for line in self.answers[_WRITTEN.key].lines]
        written = next((re.match(r"\d{1,12}", row[0]) for row in rows if row[1:] == [path]), None)
        if now is None or written is None or not since:
            return ""
        began = int(now[1]) - int(now[2]) + since
        return path if int(written[0]) > began + 1 else ""

    def _of_syslog_ng(self) -> Iterator[_Way]:
        unit = self._services.unit("syslog-ng")
        if unit is None:
            return
        texts = rsyslog.files(self.answers[_SYSLOG_NG.key].lines)
        for each in syslog_ng.sendings("\n".join(texts.values())):
            if each.taken is not False:
                yield _Way(
                    program="syslog-ng",
                    target=each.target,
                    where="/etc/syslog-ng/syslog-ng.conf",
                    sure=each.taken is True,
                    running=unit.active,
                    starts=unit.starts,
                )

    def _shipping(self, *, fed: bool) -> Iterator[_Way]:
        running = {program for _, program, _ in self._services.processes}
        lines = self.answers[_SHIPPING.key].lines
        for shipper in (*_SHIPPERS, *((_TUNNELS,) if fed else ())):
            unit = self._services.unit(*shipper.units)
            runs = self._services.runs(*shipper.units) or any(name[:15] in running for name in shipper.programs)
            if unit is None and not runs:
                continue
            said = [each for line in lines if (each := _configuration(line, shipper.places))]
            if fed or shipper.whole or _names_the_log(said):
                for where, text in said:
                    if found := _TARGET.search(text):
                        yield _Way(
                            program=shipper.name,
                            target=found[1].strip("[]"),
                            where=where,
                            running=runs,
                            starts=unit is None or unit.starts,
                        )

    def _of_pandora(self) -> Iterator[_Way]:
        watch = LogWatch(self.seen)
        for where in watch.collected:
            unit = self._services.unit("pandora_agent_daemon", "pandorafms-agent")
            yield _Way(
                program="the Pandora FMS agent",
                target=watch.server,
                where=where,
                running=watch.agent_runs,
                starts=unit is None or unit.starts,
            )

    def _is_own(self, target: str) -> bool:
        return target in ("0.0.0.0", "::") or addresses.read(self.answers[ADDRESSES.key]).mean(target)  # noqa: S104


def _forwards(config: rsyslog.Config, message: rsyslog.Message) -> Iterator[rsyslog.Reached]:
    """The actions that send a message, or the file that it was written to, to a machine."""
    copied = config.read_from(lambda file: any(fnmatch.fnmatch(log, file) for log in _LOGS), message.text)
    reached = [*config.reached(message), *copied]
    return (each for each in reached if each.action.kind == "forward")


def _machines(target: str) -> Iterator[str]:
    """The machines of a pool or a list of brokers, without scheme and port."""
    for each in target.split(","):
        host = re.sub(r"^\s*[a-z]+://", "", each).strip()
        bracketed = re.match(r"\[([^\]]*)\]", host)
        # An address with more than one colon is of IPv6, and has no port.
        yield bracketed[1] if bracketed else host.partition(":")[0] if host.count(":") == 1 else host


def _configuration(line: str, places: tuple[str, ...]) -> tuple[str, str] | None:
    """Where a line of a program's configuration stands, and what it says."""
    found = re.match(r"(/[^:]*):(\d{1,7}):(.*)", line)
    if found is None or not found[1].endswith(_CONFIGURATIONS):
        return None
    inside = any(found[1] == place or found[1].startswith(f"{place}/") for place in places)
    return (f"{found[1]}:{found[2]}", found[3]) if inside else None


def _names_the_log(said: Iterable[tuple[str, str]]) -> bool:
    """Whether a configuration reads the security log or the journal."""
    lines = list(said)
    for at, (_, text) in enumerate(lines):
        if any(fnmatch.fnmatch(log, path) for path in _PATH.findall(text) for log in _LOGS) or _JOURNALS.search(text):
            return True
        if re.search(r"\bmodule:\s*system\b", text):  # filebeat's, whose parts are switched on one by one
            rest = [other.strip() for _, other in lines[at + 1 :]]
            after = rest[rest.index("auth:") + 1 :][:1] if "auth:" in rest else []
            return after != ["enabled: false"]
    return False


def _by_promise(managed: str, logs_to: tuple[str, ...]) -> Offences:
    """What holds where a console says what a program ships."""
    if not logs_to:
        raise ToDecide(f"{managed} runs, and its console says what it copies: promise audit_logs_to if it is this log")
    return Offences([], f"{managed} copies it to {', '.join(logs_to)}, as the site promises")
