"""Tentacle's server: what its port does, how it was started, how it will be, what its files say."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts import daemons
from pandora_audit.facts.daemons import Process
from pandora_audit.formats import secret, sources, tentacle_conf
from pandora_audit.formats.addresses import is_loopback
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.tentacle_conf import Settings, Value
from pandora_audit.offence import Offence, Offences
from pandora_audit.printable import one_line
from pandora_audit.question import PERL, Answer, Ask, Cause, NotObserved, Probe, ProbeKind, Question, Role, Unreadable
from pandora_audit.questions import TCP_OWNERS
from pandora_audit.verdict import NotApplicable

PORT = 41121
_PROGRAM = "tentacle_server"
# As its settings and as `ss` write all of the machine's addresses.
_EVERYWHERE = frozenset({"0", "*", "::", "0.0.0.0"})  # noqa: S104

# Of an argument list the password stays; it may be joined to switches, and its value to it.
_FLAGS_HIDE = r"s/(?<![^ ])(-[dhIoqTvVw]*x ?)([^ ;]+)/$1 . hide($2)/ge"
_PROCESS = daemons.ask(
    "tentacle-process",
    "tentacle_serve[r]",
    Role.TENTACLE,
    keep=PERL
    + secret.HIDE
    + r"""if (/^word (.*)/) {
    my $word = $1;
    if ($secret) { $word = hide($word); $secret = 0 }
    elsif ($word =~ /^(-[dhIoqTvVw]*x)(.*)/) { $secret = $2 eq ""; $word = $1 . ($2 eq "" ? "" : hide($2)) }
    print "word $word\n";
} else { $secret = 0; print }
""",
)
# Its own tokens, as Tentacle takes lines apart: one may stand anywhere in a line, and what is a blank to Perl ends it.
# A link is not followed, so that whoever may make one here does not have another file read.
_CONF = Ask(
    key="tentacle-conf",
    argv=("grep", "-ranH", "/etc/tentacle/", "/etc/pandora/", "--include=tentacle_server.conf", "-e", "."),
    root=True,
    only_if=Role.TENTACLE,
    keep=PERL
    + secret.HIDE
    + r"""next unless my ($at, $line) = /^([^:]*:\d+:)([a-zA-Z].*)/s;
next unless my ($token, $value) = $line =~ /([\w.-]+)\s+(.*)/;
next if $value eq "" or $token !~ /^(?:"""
    + "|".join(sorted(tentacle_conf.TOKENS))
    + r""")$/;
$value = hide($value) if $token eq "password";
print "$at$token $value\n";
""",
)
_TIMES = Ask(
    key="tentacle-times",
    argv=(
        *("find", "/etc/tentacle/", "/etc/pandora/", "-maxdepth", "1", "-name", "tentacle_server.conf"),
        *("-exec", "stat", "-c", "%.3Y:%.3Z:%F:%n", "{}", "+"),
    ),
    root=True,
    only_if=Role.TENTACLE,
)
_UNIT = Ask(
    key="tentacle-unit",
    argv=(
        *("systemctl", "show", "--property=Id,LoadState,User,SourcePath,ExecStart"),
        "tentacle_serverd.service",
    ),
    only_if=Role.TENTACLE,
    keep=PERL + secret.HIDE + _FLAGS_HIDE + ";\nprint;\n",
)
_INIT = Ask(
    key="tentacle-init",
    argv=("grep", "-anH", "-e", "^TENTACLE_", "/etc/init.d/tentacle_serverd"),
    root=True,
    only_if=Role.TENTACLE,
    keep=PERL + secret.HIDE + r"s/(?<![^ =\x22\x27])(-[dhIoqTvVw]*x ?)([^ \x22\x27]+)/$1 . hide($2)/ge; print;" + "\n",
)
_RULES = Ask(key="firewall", argv=("nft", "-j", "list", "ruleset"), root=True, limit=4 * 1024 * 1024)

_LOOPBACK = """
plain() { perl -e '
    my ($at, $port, $first) = @ARGV;
    my $class = eval { require IO::Socket::IP } ? "IO::Socket::IP" : "IO::Socket::INET";
    require IO::Socket::INET; require IO::Select;
    $SIG{PIPE} = "IGNORE";
    my $s = $class->new(PeerHost => $at, PeerAddr => $at, PeerPort => $port, Timeout => 2)
        or print($!{ECONNREFUSED} ? "refused" : "silent"), exit;
    my ($word, $passed) = ("silent", length $first);
    for my $what (grep { length } $first, ("REQUEST\\n") x 3) {
        syswrite $s, $what;
        next unless IO::Select->new($s)->can_read(0.8);
        my $read = sysread $s, my $said, 1024;
        if (!$read) { print "closed"; exit }
        if ($said =~ /^RECV /) { syswrite $s, "QUIT\\n"; print $passed ? "passes" : "answers"; exit }
        if ($said =~ /^(PASS OK|\\x15)/) { $passed = 1 } else { $word = "unknown" }
    }
    for ("\\n", "QUIT\\n", "QUIT\\n") { syswrite $s, $_; select undef, undef, undef, 0.05 }
    print $word' "$@"; }
said=$(plain ADDRESS PORT ''); [ "$said" != closed ] || said=$(plain ADDRESS PORT audit)
echo "plain $said"
[ "$said" = closed ] || exit 0
command -v openssl >/dev/null 2>&1 || { echo 'tls unknown'; exit 0; }
nobody=$(printf %0255d 0)
said=$({ sleep 0.1; echo 'REQUEST'; sleep 0.8; echo QUIT; } | timeout 5 openssl s_client -connect ADDRESS:PORT \
    -ign_eof -alpn "$nobody,$nobody,$nobody,$nobody" 2>&1)
protocol=$(printf '%s\\n' "$said" | sed -nE 's/^ *New, (TLSv1[.0-9]*).*/\\1/p' | head -n 1)
case $said in
    *'RECV ERR'* | *'RECV SIZE'*) inside=answers ;;
    *'PASS OK'*) inside=passes ;;
    *'alert number 116'* | *'alert number 42'*) inside=certificate ;;
    *'alert number 40'*) case $said in *'Client Certificate Types'*) inside=certificate ;; *) inside=closed ;; esac ;;
    *) inside=closed ;;
esac
case $protocol:$said in
    TLS*) echo "tls $protocol"; echo "inside $inside" ;;
    *'BEGIN CERTIFICATE'*) echo 'tls spoken'; echo "inside $inside" ;;
    *alert*) echo 'tls refused' ;;
    *) echo 'tls closed' ;;
esac
""".replace("REQUEST", "RECV <pandora-audit*>")


@dataclass(frozen=True)
class Wire:
    """What a port said to a stranger (probes/tentacle.py says in which words), and from where it was asked."""

    port: int
    words: Mapping[str, str]
    place: str

    @property
    def plain(self) -> str:
        return self.words.get("plain", "silent")

    @property
    def tls(self) -> str:
        return self.words.get("tls", "silent")

    @property
    def inside(self) -> str:
        return self.words.get("inside", "")

    @property
    def speaks_tls(self) -> bool:
        return self.tls == "spoken" or self.tls.startswith("TLS")

    @property
    def turns_away(self) -> bool:
        """Whether it hung up on everything: a password without TLS is asked for, or libwrap wants others."""
        return self.plain == self.tls == "closed"

    @property
    def told(self) -> bool:
        """Whether it is known what the port does: silence may be anything."""
        if self.plain in ("answers", "passes"):
            return True
        return self.plain == "closed" and self.tls not in ("silent", "unknown")

    def __str__(self) -> str:
        said = "; ".join(f"{name}: {word}" for name, word in self.words.items())
        return f"port {self.port}, {self.place}: {said}"


def heard(answer: Answer, port: int, place: str) -> Wire:
    """What a port said, by an answer of the probe or of the host itself."""
    words = (line.partition(" ") for line in answer.lines)
    return Wire(port, {name: one_line(word, 200) for name, _, word in words}, place)


class TentacleServer(Fact):
    """The daemon that agents bring their data to, and fetch their configuration from."""

    questions = (_PROCESS, _CONF, _TIMES, _UNIT, _INIT, TCP_OWNERS, _RULES)
    role = Role.TENTACLE

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        tentacle = cls(seen)
        return (*tentacle._files_to_ask, *tentacle._wires_to_ask)

    # --- how it was started, how it will be ---

    @cached_property
    def _processes(self) -> tuple[Process, ...]:
        """The running daemons. Raises NotObserved where processes are not shown."""
        found = daemons.read(self.answers[_PROCESS.key])
        return tuple(each for each in found if daemons.arguments(each.words, _PROGRAM) is not None)

    @property
    def runs(self) -> bool:
        return bool(self._processes)

    @cached_property
    def _unit(self) -> dict[str, str]:
        """The properties of its unit; none where there is no such unit, or no systemd."""
        return daemons.units(self.answers[_UNIT.key]).get("tentacle_serverd.service", {})

    @cached_property
    def _next_arguments(self) -> tuple[list[str], str] | None:
        """The arguments of the next start, and where they stand; None where nothing that is known starts it."""
        if self._unit and not self._unit.get("SourcePath"):
            arguments = daemons.started_with(self._unit, _PROGRAM)
            return (arguments, "tentacle_serverd.service") if arguments is not None else None
        answer = self.answers[_INIT.key]
        if "No such file" in answer.err.decode("utf-8", "backslashreplace"):
            return None
        said = dict(re.findall(r"^[^:]*:\d+:(TENTACLE_\w+)=[\"']?(.*?)[\"']?\s*$", answer.succeeded().text, re.M))
        file = said.get("TENTACLE_CONFIG_FILE", tentacle_conf.MAIN)
        return ["-F", file, *said.get("TENTACLE_EXT_OPTS", "").split()], "/etc/init.d/tentacle_serverd"

    @cached_property
    def _flags(self) -> tuple[tuple[str, dict[str, Value]], ...]:
        """The flags of each start with its layer."""
        found = [
            ("process", tentacle_conf.flags(daemons.arguments(each.words, _PROGRAM) or [], "the running daemon"))
            for each in self._processes
        ]
        if self._next_arguments:
            arguments, where = self._next_arguments
            found.append(("next start", tentacle_conf.flags(arguments, where)))
        return tuple(found) or (("next start", tentacle_conf.flags(["-F", tentacle_conf.MAIN], "its documentation")),)

    @cached_property
    def _files_to_ask(self) -> tuple[Ask, ...]:
        """Configuration files elsewhere than the installers put them."""
        paths = {flags["configuration"].text for _, flags in self._flags if "configuration" in flags}
        elsewhere = [path for path in sorted(paths - set(_USUAL)) if re.fullmatch(r"/[\w./-]+", path)]
        return tuple(
            question
            for path in elsewhere
            for question in (
                Ask(key=_at(_CONF, path), argv=("grep", "-anH", "-e", ".", path), root=True, keep=_CONF.keep),
                Ask(key=_at(_TIMES, path), argv=("stat", "-c", "%.3Y:%.3Z:%F:%n", path), root=True),
            )
        )

    @cached_property
    def starts(self) -> tuple[Settings, ...]:
        """What each running daemon was started with, and the next will be. Raises NotObserved for a file unread."""
        return tuple(Settings(layer, flags, self._file(flags.get("configuration"))) for layer, flags in self._flags)

    def _file(self, named: Value | None) -> dict[str, Value]:
        if named is None:
            return {}
        answer = self.answers[_CONF.key if named.text in _USUAL else _at(_CONF, named.text)]
        prefix = re.compile(rf"({re.escape(named.text)}:\d{{1,6}}):(.*)")
        lines = [found.groups() for line in answer.lines if (found := prefix.match(line))]
        nothing_withheld(answer)
        if not lines:
            raise NotObserved(f"{named.text} was not read: it is a link, empty, or not there")
        return tentacle_conf.tokens((str(cause), str(line)) for cause, line in lines)

    @cached_property
    def _stale(self) -> tuple[Offence, ...]:
        """The configuration files younger than the daemon that read them.

        Raises NotObserved for a file whose content may be: replaced later, by one with an older date.
        """
        young, doubtful = [], []
        for process, (_, flags) in zip(self._processes, self._flags, strict=False):
            if "configuration" not in flags:
                continue
            file = flags["configuration"].text
            changed, touched = self._dates(file)
            if changed > process.started + 1:
                text = f"{file} was written after the running daemon read it"
                young.append(Offence(subject=file, text=text, layer="process", cause=file))
            elif touched > process.started + 1:
                doubtful.append(file)
        if doubtful and not young:
            raise NotObserved(
                f"{doubtful[0]} was replaced, or its mode changed, after the daemon read it, "
                "which its dates cannot tell apart; restart tentacle_serverd to be sure"
            )
        return tuple(young)

    def _dates(self, file: str) -> tuple[float, float]:
        answer = self.answers[_TIMES.key if file in _USUAL else _at(_TIMES, file)]
        for line in answer.lines:
            entry = re.fullmatch(r"(\d{1,12}\.\d+):(\d{1,12}\.\d+):[\w ]+:(/.*)", line)
            if entry and entry[3] == file:
                return float(entry[1]), float(entry[2])
        raise NotObserved(f"the dates of {file} were not told")

    @property
    def unread_changes(self) -> Offences:
        """The files that changed after the daemon read them. NotApplicable when none runs."""
        if not self._processes:
            raise NotApplicable("no tentacle_server runs")
        return Offences(self._stale, "every configuration file is older than the daemon that read it")

    def _at_each_start(self, wrong: Callable[[Settings], Iterable[Offence]], right: str) -> Offences:
        """What is wrong with any start. Raises NotObserved where a running daemon may have read something else."""
        found: dict[tuple[str, str, str], Offence] = {}
        for offence in (offence for start in self.starts for offence in wrong(start)):
            found.setdefault((offence.subject, offence.text, offence.cause), offence)
        if not found and (stale := self._stale):
            raise NotObserved(f"what is written would comply, but {stale[0].text}")
        return Offences(found.values(), right)

    def _switched_on(self, token: str, subject: str, text: str) -> Offences:
        def wrong(start: Settings) -> Iterator[Offence]:
            if value := start.switch(token):
                yield Offence(subject=subject, text=text, layer=start.layer, cause=value.cause)

        return self._at_each_start(wrong, f"{token} is off")

    # --- the wire ---

    @property
    def _wires_to_ask(self) -> Iterator[Question]:
        try:
            sockets = sorted(self._sockets.items())
        except NotObserved:  # said again when it is read
            return
        for port, address in sockets:
            yield _wire_question(port, self.seen.promises.ca or "")
            yield asked_by_the_host(_loopback_key(port), address, port)

    @cached_property
    def _sockets(self) -> dict[int, str]:
        """The ports beyond loopback by which Tentacle is reached, each with an address for the host itself."""
        answer = self.answers[TCP_OWNERS.key].succeeded()
        pids = {process.pid for process in self._processes}
        if not pids:
            raise NotObserved("no tentacle_server runs: nothing answers")
        own: dict[int, list[str]] = {}
        others: dict[int, list[str]] = {}
        for line in answer.lines:
            row = re.match(r"LISTEN\s+\d+\s+\d+\s+(\S+):(\d{1,5})\s+\S+\s*(.*)", line)
            if row is None:
                continue
            mine = any(pid in pids for pid in re.findall(r"pid=(\d+)", row[3]))
            (own if mine else others).setdefault(int(row[2]), []).append(row[1].strip("[]"))
        if not own:
            raise NotObserved("`ss` does not tell which port is Tentacle's")
        found = {port: _address(each) for port, each in own.items() if not all(map(is_loopback, each))}
        # Behind a proxy: whoever answers at Tentacle's own port, or the usual one, does so for Tentacle.
        if not found:
            ports = [port for port in (*own, PORT) if not all(map(is_loopback, others.get(port, ["127.0.0.1"])))]
            found = {port: _address(others[port]) for port in ports}
        if not found:
            raise NotObserved(
                "Tentacle listens on loopback only, and not known is by which port agents reach it: "
                f"nothing listens on {PORT} for them"
            )
        return found

    @cached_property
    def wires(self) -> tuple[Wire, ...]:
        """What each port says: to the auditor, or to the host itself where the auditor is kept out."""
        return tuple(self._wire(port) for port in sorted(self._sockets))

    def _wire(self, port: int) -> Wire:
        reasons = []
        for key, place in ((_wire_key(port), "from the auditor's place"), (_loopback_key(port), "from the host")):
            answer = self.answers[key]
            if answer.silence or answer.status != 0:
                reasons.append(answer.silence or f"port {port} is closed to the auditor")
                continue
            wire = heard(answer, port, place)
            # Whoever is turned away may be so for where he comes from. The host itself is not, unless libwrap says so.
            if wire.told and not (wire.turns_away and (key == _wire_key(port) or self._by_libwrap)):
                return wire
            reasons.append(str(wire))
        raise NotObserved(f"what port {port} does is not known: {'; '.join(reasons)}")

    @property
    def _by_libwrap(self) -> bool:
        return any(start.switch("use_libwrap") for start in self.starts)

    @property
    def _wires_say(self) -> str:
        return "; ".join(map(str, self.wires))

    def without_tls(self, ca: str | None) -> Offences:
        """The ports that do not speak TLS, or with a certificate that does not chain to the promised CA."""
        found = [offence for wire in self.wires for offence in _no_tls(wire)]
        doubts = []
        for wire in self.wires:
            good, _, why = wire.words.get("certificate", "unknown not asked for").partition(" ")
            if good == "bad":
                text = f"the certificate at port {wire.port} does not chain to the promised CA: {why}"
                found.append(Offence(subject=f"certificate {wire.port}", text=text, layer="wire"))
            elif good != "good" and ca:
                doubts.append(f"the certificate at port {wire.port} was not verified: {why} ({wire.place})")
        found += [offence for start in self._next_beyond_loopback for offence in _no_certificate(start)]
        if not found and doubts:
            raise NotObserved(doubts[0])
        return Offences(found, self._wires_say)

    @property
    def _next_beyond_loopback(self) -> tuple[Settings, ...]:
        """The next start, if agents are to reach it without a proxy between."""
        return tuple(
            start
            for start in self.starts
            if start.layer == "next start"
            and not all(map(is_loopback, start.text("addresses", "0").replace(" ", "").split(",")))
        )

    @property
    def clients_without_certificate(self) -> Offences:
        """The ports that serve a client without a certificate."""
        found = []
        for wire in self.wires:
            if wire.plain != "closed" or wire.inside != "certificate":
                text = f"port {wire.port} asks nobody for a certificate" if wire.speaks_tls else "there is no TLS"
                if wire.plain == "passes":
                    text = f"port {wire.port} goes on without TLS when the handshake fails (quiet)"
                found.append(Offence(subject=f"port {wire.port}", text=text, layer="wire"))
        for start in self._next_beyond_loopback:
            if not (start["ssl_cert"] and start["ssl_ca"]):
                text = "ssl_ca does not count without ssl_cert" if start["ssl_ca"] else "no ssl_ca is set"
                cause = start["ssl_ca"].cause if start["ssl_ca"] else _whole(start)
                found.append(Offence(subject="ssl_ca", text=text, layer=start.layer, cause=cause))
        return Offences(found, self._wires_say)

    @property
    def _certificates_demanded(self) -> bool:
        """Whether the wire lets nobody in without a certificate. Raises NotObserved."""
        return all(wire.plain == "closed" and wire.inside == "certificate" for wire in self.wires)

    @property
    def no_password(self) -> Offences:
        """The starts that set none, or one that everybody knows, and do not demand certificates either."""

        def wrong(start: Settings) -> Iterator[Offence]:
            value = start["password"]
            told = secret.read(value.text) if value else None
            if value is None:
                if not (start["ssl_cert"] and start["ssl_ca"]):
                    yield Offence(subject="none", text="no password is set", layer=start.layer, cause=_whole(start))
            elif told is None:
                raise Unreadable("the password's length was not told")
            elif told.published:
                yield Offence(
                    subject="published", text="the password is a published one", layer=start.layer, cause=value.cause
                )

        found = [offence for start in self.starts for offence in wrong(start)]
        if found and "published" not in {each.subject for each in found} and self._proxied_certificates:
            return Offences([], f"clients need a certificate: {self._wires_say}")
        return self._at_each_start(wrong, "a password is set, or clients need a certificate")

    @property
    def _proxied_certificates(self) -> bool:
        """Whether somebody else demands the certificates, for a Tentacle that only a proxy reaches."""
        return not self._next_beyond_loopback and self._certificates_demanded

    @property
    def unenforced_password(self) -> Offences:
        """The ports that go on without the password that is set. NotApplicable where none is."""
        found = []
        for wire in self.wires:
            if "passes" in (wire.plain, wire.inside):
                text = f"port {wire.port} goes on after a wrong password or handshake"
                found.append(Offence(subject=f"port {wire.port}", text=text, layer="wire"))
            elif "answers" in (wire.plain, wire.inside) and self._password_set:
                text = f"port {wire.port} answers a stranger, who gave no password"
                found.append(Offence(subject=f"port {wire.port}", text=text, layer="wire"))
        for start in self.starts:
            if (start["password"] or start["ssl_ca"]) and (quiet := start.switch("quiet")):
                text = "quiet lets whoever fails go on"
                found.append(Offence(subject="quiet", text=text, layer=start.layer, cause=quiet.cause))
        if not found and not self._certificates_demanded and not self._password_set:
            raise NotApplicable("no password is set, and no certificate is demanded: there is nothing to enforce")
        return Offences(found, self._wires_say)

    @property
    def _password_set(self) -> bool:
        return any(start["password"] for start in self.starts)

    # --- the daemon's own hardening ---

    @property
    def insecure(self) -> Offences:
        """What lets clients list and move files."""
        return self._switched_on("insecure", "insecure", "clients may list and move files")

    @property
    def overwrites(self) -> Offences:
        """What lets clients replace files."""
        return self._switched_on("overwrite", "overwrite", "clients may replace files")

    @property
    def privileged(self) -> Offences:
        """The daemons that run as root. Raises NotObserved when none runs."""
        if not self._processes:
            raise NotObserved("no tentacle_server runs: whose rights it would have is not known")
        found = [
            Offence(subject=each.user, text="tentacle_server runs with root's rights", layer="process")
            for each in self._processes
            if "0" in each.users
        ]
        if self._unit and not self._unit.get("SourcePath") and self._unit.get("User", "") in ("", "root", "0"):
            text = "the unit starts it as root"
            found.append(Offence(subject="unit", text=text, layer="next start", cause="tentacle_serverd.service"))
        return Offences(found, f"it runs as {', '.join(sorted({each.user for each in self._processes}))}")

    @property
    def unlogged(self) -> Offences:
        """The starts that log nowhere, or not who connects."""

        def wrong(start: Settings) -> Iterator[Offence]:
            log = start["log_file"]
            verbose = start["verbose"]
            if log and log.text.startswith("/dev/") and not log.text.startswith("/dev/std"):
                yield Offence(subject="log_file", text=f"it logs to {log.text}", layer=start.layer, cause=log.cause)
            elif log is None and start.switch("daemon"):
                text = "it logs nowhere: no log_file is set"
                yield Offence(subject="log_file", text=text, layer=start.layer, cause=_whole(start))
            if verbose is None or verbose.text not in ("1", "2"):
                cause = verbose.cause if verbose else _whole(start)
                yield Offence(subject="verbose", text="it logs errors only", layer=start.layer, cause=cause)

        return self._at_each_start(wrong, "connections are logged")

    @property
    def keys(self) -> tuple[str, ...]:
        """The files of private keys that starts name."""
        named = (start["ssl_key"] or start["ssl_cert"] for start in self.starts if start["ssl_cert"])
        return tuple(dict.fromkeys(value.text for value in named if value))

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of all starts; 0 and 0.0.0.0 are all of the machine's."""
        return tuple(
            dict.fromkeys(
                address.strip(" ") for start in self.starts for address in start.text("addresses", "0").split(",")
            )
        )

    def open_to_everybody(self, firewall: str) -> Offences:
        """What lets every address connect: no address of its own, no libwrap, no rule of a firewall."""
        if firewall == "network":
            return Offences([], "the network before this machine filters, as promised")
        if all(start.switch("use_libwrap") for start in self.starts):
            return Offences([], "libwrap decides who connects")
        if all(map(is_loopback, self.addresses)):
            return Offences([], f"it listens on {', '.join(self.addresses)}")
        if not set(self.addresses) & _EVERYWHERE:
            return Offences([], f"it listens on {', '.join(self.addresses)} only")
        for port in sorted(self._sockets):
            if not self._filtered(port):
                text = f"port {port} is open on every address to everybody"
                return Offences([Offence(subject=f"port {port}", text=text, layer="process")], "")
        return Offences([], "a firewall limits who reaches the port")

    def _filtered(self, port: int) -> bool:
        """Whether a firewall stands before the port. Raises NotObserved where its rules were not told."""
        asked = self.answers[_wire_key(port)]
        if asked.status == 1 or asked.cause is Cause.UNANSWERED:
            return True
        return not sources.open_to_everybody(self.answers[_RULES.key].succeeded().text, port)


_USUAL = (tentacle_conf.MAIN, "/etc/pandora/tentacle_server.conf")


class TentacleKeys(Fact):
    """The private keys of Tentacle's server, and who may read them."""

    questions = TentacleServer.questions
    role = Role.TENTACLE

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        return tuple(map(_key_question, TentacleServer(seen).keys))

    @property
    def readable(self) -> Offences:
        """The keys that others may read or replace. NotApplicable where Tentacle has none."""
        server = TentacleServer(self.seen)
        if not server.keys:
            raise NotApplicable("Tentacle uses no private key: no ssl_cert is set")
        found = [offence for path in server.keys for offence in self._wrong(path)]
        return Offences(found, f"{', '.join(server.keys)}: nobody but its owner and group may read it")

    def _wrong(self, path: str) -> Iterator[Offence]:
        answer = self.answers[_key_question(path).key]
        rows = [line.split(":", 3) for line in answer.lines]
        if "Permission denied" in answer.err.decode("utf-8", "backslashreplace"):
            return  # a folder above it keeps others out, as it kept out this account, which asked without privilege
        if len(rows) != 1 or len(rows[0]) != 4 or not re.fullmatch("[0-7]{1,5}", rows[0][0]):
            raise NotObserved(f"who may read {path} was not told")
        mode, _, group, _ = rows[0]
        if int(mode, 8) & 0o006:
            yield Offence(subject=path, text=f"others may read {path} (mode {mode})", layer="file", cause=path)
        elif int(mode, 8) & 0o020 and group != "root":
            yield Offence(subject=path, text=f"{group} may replace {path} (mode {mode})", layer="file", cause=path)


def _at(question: Ask, path: str) -> str:
    return f"{question.key}@{path.encode().hex()}"


def _wire_key(port: int) -> str:
    return f"{_PROCESS.key}@wire-{port}"


def _loopback_key(port: int) -> str:
    return f"{_PROCESS.key}@host-{port}"


def _wire_question(port: int, ca: str) -> Probe:
    return Probe(key=_wire_key(port), kind=ProbeKind.TENTACLE, port=port, seconds=3, ca=ca)


def asked_by_the_host(key: str, address: str, port: int) -> Ask:
    """What a port does to a stranger, asked by the host itself; ``plain refused`` where nobody is there.

    What does not answer at all may be kept from this host only: a balancer seldom lets its servers come back to it.

    Args:
        address: an address, or a name, in which nothing means anything to a shell.
    """
    text = _LOOPBACK.replace("ADDRESS:PORT", f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    return Ask(key=key, sh=text.replace("ADDRESS", address).replace("PORT", str(port)), seconds=15)


def _key_question(path: str) -> Ask:
    return Ask(key=_at(_TIMES, path), sh=f"stat -L -c %a:%U:%G:%n -- {shlex.quote(path)}")


def _address(addresses: list[str]) -> str:
    """An address of the host that reaches a socket which listens on these. Raises Unreadable for none."""
    for address in addresses:
        if address in _EVERYWHERE:
            return "::1" if address == "::" else "127.0.0.1"
    for address in addresses:
        if re.fullmatch(r"[0-9a-f.:]+", address):
            return address
    raise Unreadable(f"`ss` shows the address {addresses[0][:60]!r}")


def _whole(start: Settings) -> str:
    """The file that does not set something."""
    return start.flags["configuration"].text if "configuration" in start.flags else ""


def _no_tls(wire: Wire) -> Iterator[Offence]:
    subject = f"port {wire.port}"
    if wire.plain == "answers":
        yield Offence(subject=subject, text=f"port {wire.port} answers in plain text", layer="wire")
    elif wire.plain == "passes":
        yield Offence(subject=subject, text=f"port {wire.port} goes on in plain text (quiet)", layer="wire")
    elif not wire.speaks_tls:
        why = "speaks no TLS" if wire.tls == "closed" else f"does not speak TLS 1.2 ({wire.tls})"
        yield Offence(subject=subject, text=f"port {wire.port} {why}", layer="wire")


def _no_certificate(start: Settings) -> Iterator[Offence]:
    if start["ssl_cert"] is None:
        without = "ssl_ca turns nothing on without ssl_cert" if start["ssl_ca"] else "no ssl_cert is set"
        yield Offence(subject="ssl_cert", text=without, layer=start.layer, cause=_whole(start))
