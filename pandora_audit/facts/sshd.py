"""The SSH server: what listens, what the daemon would do at its next start, whether it runs with what is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.formats import glob, sshd_config
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.sshd_config import Accounts, Block, Circumstance, Line, Values
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Answer, Ask, Cause, NotObserved, Probe, ProbeKind, Question, Unreadable
from pandora_audit.questions import (
    ANYBODY,
    GROUP,
    PASSWD,
    SSHD_CONFIG,
    SSHD_WATCHED,
    TCP_LISTENERS,
    TCP_OWNERS,
    sshd_says,
)
from pandora_audit.verdict import NotApplicable

# RHEL 9 and later include the system's crypto policy from here.
_CRYPTO_POLICY = "/etc/crypto-policies/back-ends/opensshserver.config"
_LOOKED_IN = ("/etc/ssh", _CRYPTO_POLICY)
_HOST_KEYS = ("rsa", "ecdsa", "ed25519", "dsa")
# People write into comments what nobody else is to read.
_NO_COMMENTS = "/^[^:]*:[0-9]+:[[:space:]]*#/d\ns/[[:space:]]#.*//\np"


def _lines_question(key: str, *paths: str) -> Ask:
    # Fixed words, so that sudoers can name them without a wildcard; whole words, and not in the files of host keys,
    # so that no line of one can be among them. -L, for sshd follows symbolic links too.
    words = tuple(part for word in SSHD_WATCHED for part in ("-e", word))
    keys = tuple(part for kind in _HOST_KEYS for part in ("-not", "-name", f"ssh_host_{kind}_key"))
    grep = ("-exec", "grep", "-HniwF", *words, "{}", "+")
    return Ask(
        key=key,
        argv=("find", "-L", *paths, "-maxdepth", "3", "-type", "f", *keys, *grep),
        root=True,
        keep=_NO_COMMENTS,
    )


def _times_question(key: str, *paths: str) -> Ask:
    # A symbolic link and what it leads to: either may have changed.
    stats = (("-exec", "stat", *follow, "-c", "%.3Y:%.3Z:%F:%n", "{}", "+") for follow in ((), ("-L",)))
    return Ask(key=key, argv=("find", *paths, "-maxdepth", "3", *(word for stat in stats for word in stat)), root=True)


_LINES = _lines_question("sshd-lines", *_LOOKED_IN)
_TIMES = _times_question("sshd-times", *_LOOKED_IN)
_UNITS = Ask(
    key="sshd-units",
    argv=(
        *("systemctl", "show", "--property=Id,ActiveState,Listen,Accept"),
        *("ssh.socket", "sshd.socket"),
    ),
)
_PROCESS = Ask(
    key="sshd-process",
    # Where process 1 is not shown, nothing else need be: that is how it is known whether ps tells.
    sh="ps -ww -p 1 -C sshd,dropbear -o pid=,ppid=,etimes=,args=; date +now=%s; "
    "for f in /run/sshd.pid /var/run/sshd.pid; do "
    '[ -r $f ] && read -r p <$f && stat -c "pidfile=$p:%.3Y" $f && break; done; true',
)
_BANNER = Ask(key="banner-file", sh="head -c 8192 /etc/issue.net")
# As long as other ports are given: a filter keeps silent.
_PORT_22 = Probe(key="port-22", kind=ProbeKind.BANNER, port=22, seconds=2)

# Contexts beyond this many are not asked one by one; the written configuration is judged for them.
_MOST_CONTEXTS = 24


@dataclass(frozen=True)
class _Context:
    """A circumstance in which the daemon decides, and what it decides then."""

    circumstance: Circumstance
    values: Values

    def said(self, keyword: str) -> str:
        """A value as it is written. Raises NotObserved when nobody told it."""
        values = self.values.get(keyword, ("",))
        if not values:
            raise NotObserved(f"sshd did not tell {keyword} for who is in none of its Match blocks")
        return values[0]

    def value(self, keyword: str) -> str:
        return self.said(keyword).lower()


@dataclass(frozen=True)
class _Process:
    """A process of an SSH server: its ids, its age, and what ps shows of its arguments or the title that it chose."""

    pid: str
    parent: str
    seconds: float
    command: str

    @property
    def is_openssh(self) -> bool:
        return re.match(r"(?:\S*/)?sshd\b", self.command) is not None

    @property
    def accepts(self) -> bool:
        """Whether it may accept connections; the others serve one."""
        return self.is_openssh and (not self.command.startswith("sshd: ") or "[listener]" in self.command)

    @property
    def arguments(self) -> str:
        return re.sub(r"^sshd: |\s*\[listener\].*", "", self.command)


@dataclass(frozen=True)
class _Daemon:
    """A daemon that accepts connections: its configuration file, and the keywords that its arguments override."""

    process: _Process
    file: str
    overrides: frozenset[str]

    @property
    def arguments(self) -> str:
        return self.process.arguments


def _options(arguments: str) -> tuple[str, frozenset[str]] | None:
    """The configuration file and the overridden keywords of a daemon's arguments; None if it serves one connection."""
    file, overrides = sshd_config.MAIN, set()
    words = iter(arguments.split()[1:])
    for word in words:
        letters = re.match(r"-([^CEbcfghkopu]*)([CEbcfghkopu]?)(.*)", word)
        if letters is None:
            continue
        if set("iR") & set(letters[1]):
            return None
        value = letters[3] or (next(words, "") if letters[2] else "")
        if letters[2] == "f":
            file = value
        elif letters[2] == "p":
            overrides.add("port")
        elif letters[2] == "o":
            overrides.add(re.split(r"[=\s]", value)[0].lower())
    return file, frozenset(overrides)


class Sshd(Fact):
    """OpenSSH's daemon."""

    questions = (
        SSHD_CONFIG,
        _LINES,
        _TIMES,
        TCP_LISTENERS,
        TCP_OWNERS,
        _UNITS,
        _PROCESS,
        _BANNER,
        _PORT_22,
        PASSWD,
        GROUP,
    )

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        sshd = cls(seen)
        return (*sshd._contexts_to_ask().values(), *sshd._banner_to_ask(), *sshd._includes_to_ask())

    # --- ports ---

    @cached_property
    def ports(self) -> frozenset[int]:
        """The ports beyond loopback on which the SSH server answers now."""
        found = (self._owned | self._socket_ports) & self._listening
        if self.seen.wire.port is not None and self.seen.wire.software.startswith("SSH-"):
            found |= {self.seen.wire.port} & self._listening
        return found

    @cached_property
    def _listening(self) -> frozenset[int]:
        return _beyond_loopback(self.answers[TCP_LISTENERS.key].succeeded().lines)

    @cached_property
    def _owners(self) -> tuple[str, ...]:
        """The listening sockets with their owners; none where owners were not shown."""
        owners = self.answers[TCP_OWNERS.key]
        return () if owners.silence or owners.status != 0 else tuple(owners.lines)

    @cached_property
    def _owned(self) -> frozenset[int]:
        """Listening ports that belong to an SSH server."""
        return _beyond_loopback(line for line in self._owners if re.search(r'"(sshd|dropbear)",', line))

    @cached_property
    def _socket_ports(self) -> frozenset[int]:
        """The ports of an active ssh.socket: systemd listens, the daemon answers."""
        answer = self.answers[_UNITS.key]
        units = re.split(r"\n\s*\n", "" if answer.silence else answer.text)
        active = [unit for unit in units if "ActiveState=active" in unit]
        return frozenset(int(port) for unit in active for port in re.findall(r"Listen=.*?(\d{1,5}) \(Stream\)", unit))

    @cached_property
    def _anybodys(self) -> frozenset[int]:
        """Listening ports of which nobody told whose they are: without an owner, or held for some service."""
        shown = [line for line in self._owners if re.search(r'users:\(\("(?!(systemd|init|x?inetd)",)', line)]
        return self._listening - self.ports - _beyond_loopback(shown)

    def stray_ports(self, promised: int | None, *, exact: bool) -> Offences:
        """Where the server answers and should not: on 22; if exact, anywhere but on the promised port."""

        def strays(ports: frozenset[int]) -> list[int]:
            return sorted(ports - {promised} if exact else ports & {22})

        offences = [_port_offence(port, "process", "") for port in strays(self.ports)]
        if self._is_ssh_on_22:
            offences.append(_port_offence(22, "wire", ""))
        written = self.answers[SSHD_CONFIG.key]
        if not written.silence and written.status == 0 and not self._socket_ports and not self._reads_otherwise("port"):
            next_start = frozenset(_listen_ports(sshd_config.effective(written.text)))
            offences += [_port_offence(port, "next start", self._cause("port")) for port in strays(next_start)]
        if not offences:
            self._refuse_to_guess(self._anybodys if exact else self._anybodys & {22})
        if exact and not offences and promised not in self.ports:
            offences.append(Offence(subject="22", text=f"nothing answers on the promised port {promised}"))
        return Offences(_one_a_subject(offences), f"answers on {_list(self.ports)}")

    @property
    def _is_ssh_on_22(self) -> bool:
        """Whether an SSH server answered on 22 when it was asked from the auditor's place."""
        probe = self.answers[_PORT_22.key]
        return not probe.silence and probe.out.startswith(b"SSH-")

    def _refuse_to_guess(self, ports: frozenset[int]) -> None:
        probe = self.answers[_PORT_22.key]
        if probe.out and not probe.silence:  # it said what it is, and that is no SSH server
            ports -= {22}
        if ports:
            hidden = self.answers[TCP_OWNERS.key].silence
            raise NotObserved(
                f"something listens on {_list(ports)} and did not say what it is; its owner is "
                + (f"hidden: {hidden}" if hidden else "not shown")
            )

    # --- what the daemon decides, and in which circumstances ---

    @property
    def _configured(self) -> Answer:
        """The daemon's own configuration. Raises NotApplicable where no SSH server is installed or runs."""
        answer = self.answers[SSHD_CONFIG.key]
        if answer.cause is Cause.MISSING:
            if not self._runs:
                raise NotApplicable("no SSH server is installed, and none runs")
            raise NotObserved(f"an SSH server runs, but not that of OpenSSH: {answer.silence}")
        return answer

    def _cause(self, keyword: str) -> str:
        try:
            line = self._written.says(keyword)
        except NotObserved:
            return ""
        return line.where if line else ""

    @cached_property
    def _written(self) -> sshd_config.Written:
        lines = self.answers[_LINES.key].lines
        if len(self._looked_in) > len(_LOOKED_IN):
            lines += self.answers[f"{_LINES.key}@elsewhere"].lines
        return sshd_config.written(sshd_config.grepped(lines), self._looked_in)

    @cached_property
    def _elsewhere(self) -> tuple[str, ...]:
        """Where else Includes lead, by what the first trip showed of the files; as far as it can be asked."""
        first = sshd_config.written(sshd_config.grepped(self.answers[_LINES.key].lines), _LOOKED_IN)
        return tuple(path for path in _folders(first.unseen) if re.fullmatch(r"[\w./@+-]+", path))

    @cached_property
    def _looked_in(self) -> tuple[str, ...]:
        """The files and folders whose lines are at hand: those of the second trip too, if it was made."""
        further = self.answers[f"{_LINES.key}@elsewhere"]
        return _LOOKED_IN if further.silence else (*_LOOKED_IN, *self._elsewhere)

    @cached_property
    def _all_written(self) -> sshd_config.Written:
        """What the files say, if all of them were seen. Raises NotObserved naming one that was not."""
        written = self._written
        if written.unseen:
            raise NotObserved(f"sshd also reads {written.unseen[0]}, which was not looked into")
        seen = self.answers[_LINES.key]
        nothing_withheld(seen)
        if len(self._looked_in) > len(_LOOKED_IN):
            nothing_withheld(self.answers[f"{_LINES.key}@elsewhere"])
        if not any(line.startswith(f"{sshd_config.MAIN}:") for line in seen.lines):
            raise NotObserved(f"{sshd_config.MAIN} says nothing: sshd may read its configuration from another place")
        return written

    @cached_property
    def _accounts(self) -> Accounts:
        """Who is in which group; nobody in any where the machine did not list them."""
        users, groups = self.answers[PASSWD.key], self.answers[GROUP.key]
        if any(answer.silence or answer.status != 0 for answer in (users, groups)):
            return Accounts()
        rows = [row for line in groups.lines if len(row := line.split(":")) > 3]
        found = {row[0]: {group[0] for group in rows if group[2] == row[3]} for row in self._users}
        for group in rows:
            for member in group[3].split(","):
                found.setdefault(member, set()).add(group[0])
        return Accounts(
            {user: frozenset(those) for user, those in found.items() if user}, frozenset(row[0] for row in rows)
        )

    @cached_property
    def _users(self) -> list[list[str]]:
        answer = self.answers[PASSWD.key]
        return [] if answer.silence else [row for line in answer.lines if len(row := line.split(":")) > 3]

    @cached_property
    def _roots(self) -> tuple[str, ...]:
        """Root, by each of its names."""
        return tuple(dict.fromkeys(["root", *(row[0] for row in self._users if row[2] == "0")]))

    @cached_property
    def _circumstances(self) -> Mapping[str, tuple[Circumstance, ...]]:
        """The circumstances that decide anything differently, for everybody ("") and for root."""
        found: dict[str, tuple[Circumstance, ...]] = {}
        for who, users in (("", ()), ("root", self._roots)):
            told_apart: dict[tuple[Block | None, ...], Circumstance] = {}
            for each in sshd_config.circumstances(self._written.blocks, ANYBODY, self._accounts, users):
                deciders = tuple(each.decider(word) for words in _TOGETHER.values() for word in words)
                if deciders not in told_apart or (each.connection and not told_apart[deciders].connection):
                    told_apart[deciders] = each
            found[who] = tuple(told_apart.values())
        return found

    def _contexts_to_ask(self) -> dict[tuple[str, int], Ask]:
        """The questions about circumstances, by whom they are about and their place."""
        if self.answers[_LINES.key].silence or not self._written.blocks:
            return {}
        found = {
            (who, place): sshd_says(f"{SSHD_CONFIG.key}@{who or 'any'}-{place}", circumstance.connection)
            for who in ("root", "")
            for place, circumstance in enumerate(self._circumstances[who])
            if circumstance.connection and circumstance.connection != ANYBODY
        }
        return dict(list(found.items())[:_MOST_CONTEXTS])

    def _includes_to_ask(self) -> tuple[Question, ...]:
        if self.answers[_LINES.key].silence or not self._elsewhere:
            return ()
        return (
            _lines_question(f"{_LINES.key}@elsewhere", *self._elsewhere),
            _times_question(f"{_TIMES.key}@elsewhere", *self._elsewhere),
        )

    def _contexts(self, who: str = "") -> Iterator[_Context]:
        """Every circumstance that the files distinguish, the general one first."""
        base = sshd_config.effective(self._configured.succeeded().text)
        written = self._all_written
        asked = self._contexts_to_ask()
        for place, circumstance in enumerate(self._circumstances[who]):
            question = asked.get((who, place))
            answer = self.answers[question.key] if question else None
            if question and answer and answer.question == question.text and not answer.silence and answer.status == 0:
                yield _Context(circumstance, sshd_config.effective(answer.text))
            else:
                yield _Context(circumstance, self._overlaid(base, written, circumstance))

    def _overlaid(self, base: Values, written: sshd_config.Written, circumstance: Circumstance) -> Values:
        """What the files say for a circumstance that sshd was not asked about, from what it said of anybody."""
        values = dict(base)
        anybody = self._circumstances[""][0]
        for keyword in {word for words in _TOGETHER.values() for word in words}:
            block = circumstance.decider(keyword)
            if block != anybody.decider(keyword):
                line = (block or written).says(keyword)
                values[keyword] = (" ".join(line.words),) if line else ()
        return values

    def _next_start(self, keyword: str, wrong: Callable[[_Context], str], who: str = "") -> Offences:
        """The circumstances in which ``wrong`` finds something to say of what is written."""
        if otherwise := self._reads_otherwise(*_TOGETHER[keyword]):
            raise NotObserved(f"{otherwise}: its configuration is not the one that was looked into")
        found: list[Offence] = []
        seen: dict[str, None] = {}
        untold: list[NotObserved] = []
        for context in self._contexts(who):
            block, line = self._decider(context.circumstance, keyword)
            place = f" for {block.label}" if block else ""
            try:
                text = wrong(context)
                seen[f"{keyword} {context.value(keyword)}{place}"] = None
            except NotObserved as silent:
                untold.append(silent)
                continue
            if text:
                found.append(
                    Offence(
                        subject=block.label if block else keyword,
                        text=f"{text}{place}",
                        layer="next start",
                        cause=line.where if line else "",
                    )
                )
        if untold and not found:
            raise untold[0]
        return Offences(found, ", ".join(seen))

    def _decider(self, circumstance: Circumstance, keyword: str) -> tuple[Block | None, Line | None]:
        """The block, if one decides, and the line, if one is written, that decide a keyword and its companions."""
        for word in _TOGETHER[keyword]:
            if block := circumstance.decider(word):
                return block, block.says(word)
        return None, self._written.says(keyword)

    def values(self, keyword: str, user: str) -> tuple[str, ...]:
        """Every value that a keyword may have for a user, in some circumstance; one that sshd does not tell has none.

        Raises NotObserved where a file that may say so was not seen.
        """
        base = sshd_config.effective(self._configured.succeeded().text).get(keyword, ())
        blocks = self._all_written.blocks
        others = [
            line
            for block in blocks
            if all(
                sshd_config.holds(each, {**ANYBODY, "user": user}, self._accounts) is not False
                for each in block.criteria
                if each[0] in ("user", "group")
            )
            and (line := block.says(keyword))
        ]
        if blocks and (line := self._written.says(keyword)):
            others.append(line)
        return tuple(dict.fromkeys([*base, *(" ".join(line.words) for line in others)]))

    def lists(self, keyword: str, user: str) -> tuple[str, ...]:
        """The same of a keyword that sshd prints a line for each word of; one that is not set is an empty list."""
        base = sshd_config.effective(self._configured.succeeded().text).get(keyword, ())
        written = self.values(keyword, user)[len(dict.fromkeys(base)) :]
        return (" ".join(base), *(text for text in written if set(text.split()) != set(base)))

    def _offences(self, keyword: str, wrong: Callable[[_Context], str], who: str = "") -> Offences:
        """The same, for what no running daemon tells otherwise.

        Raises NotObserved when nothing is wrong in what is written, but a daemon runs with something older or else.
        """
        written = self._next_start(keyword, wrong, who)
        if not written:
            self._is_every_daemons_file(*_TOGETHER[keyword])
            if stale := self._stale:
                raise NotObserved(f"what is written would comply, but the daemon runs with something older: {stale[0]}")
        return written

    @cached_property
    def root_enters(self) -> Offences:
        """The circumstances in which root may log in."""
        found = self._offences("permitrootlogin", _root_login, "root")
        if not found and self._written.blocks:  # a block may be meant for one of root's names, and not for another
            self.answers[PASSWD.key].succeeded()
        return found

    def tcp_forwarding(self, *, jump_host: bool) -> Offences:
        """The circumstances in which TCP is forwarded; a jump host may, to the places that PermitOpen lists."""

        def wrong(context: _Context) -> str:
            allowed = context.value("allowtcpforwarding")
            if allowed == "no" or context.value("disableforwarding") == "yes":
                return ""
            opens = context.value("permitopen")
            if allowed == "local" and opens == "none":
                return ""
            if jump_host and allowed in ("yes", "all", "local") and opens not in ("", "any"):
                return "" if allowed == "local" else "remote forwarding is open: AllowTcpForwarding local suffices"
            return f"AllowTcpForwarding {allowed}"

        return self._offences("allowtcpforwarding", wrong)

    @cached_property
    def tunnels(self) -> Offences:
        """The circumstances in which a tunnel device may be opened."""

        def wrong(context: _Context) -> str:
            # DisableForwarding does not forbid tunnels up to OpenSSH 10.0, whatever its manual says.
            permitted = context.value("permittunnel")
            return f"PermitTunnel {permitted}" if permitted != "no" else ""

        return self._offences("permittunnel", wrong)

    # --- the banner ---

    @cached_property
    def silent_logins(self) -> Offences:
        """The circumstances in which no banner is sent before the login."""
        on_wire = self.seen.wire.banner
        if on_wire == "":
            text = "no banner was sent before the login"
            return Offences([Offence(subject="banner", text=text, layer="wire", cause=self._cause("banner"))], "")

        def wrong(context: _Context) -> str:
            path = context.said("banner")
            if path in ("", "none"):
                return "Banner none"
            return "" if self._banner_text(path).strip() else f"Banner {path} is empty or does not exist"

        if on_wire is None:
            return self._offences("banner", wrong)
        written = self.answers[SSHD_CONFIG.key]
        heard = f"a banner of {len(on_wire)} characters was sent before the login (wire)"
        if written.silence or written.status != 0:
            return Offences([], heard)
        return Offences(self._next_start("banner", wrong), heard)

    def _banner_text(self, path: str) -> str:
        """What a banner file holds; empty when there is none. Raises NotObserved when it may not be read."""
        answer = self.answers[_banner_question(path).key]
        if answer.silence and self.seen.wire.banner:
            return self.seen.wire.banner
        text = answer.text
        said = answer.err.decode("utf-8", "backslashreplace")
        if answer.status != 0 and "No such file" not in said:
            raise NotObserved(f"{path} could not be read: {said[:200]}")
        return text

    def _banner_to_ask(self) -> tuple[Question, ...]:
        answer = self.answers[SSHD_CONFIG.key]
        if answer.silence or answer.status != 0:
            return ()
        paths = {*sshd_config.effective(answer.text).get("banner", ())}
        if not self.answers[_LINES.key].silence:
            paths |= {line.words[0] for line in self._written.lines if line.keyword == "banner" and line.words}
        return tuple(
            _banner_question(path)
            for path in sorted(paths - {"none", "/etc/issue.net"})
            if re.fullmatch(r"/[\w./@+-]{1,200}", path)
        )

    @cached_property
    def banner(self) -> str:
        """The text that everybody sees before the login. Raises NotApplicable when none is sent."""
        text = self.seen.wire.banner
        if text is None:
            path = next(self._contexts()).said("banner")
            text = "" if path in ("", "none") else self._banner_text(path)
        if not text.strip():
            raise NotApplicable("no banner is sent, so it tells nothing")
        return text

    # --- running against written ---

    def _reads_otherwise(self, *keywords: str) -> str:
        """Why what was looked into is not what the daemon goes by; empty when it is, or nobody shows the daemon."""
        try:
            daemons = self._daemons[:1]
        except NotObserved:
            return ""
        return _reading_otherwise(daemons, keywords)

    def _is_every_daemons_file(self, *keywords: str) -> None:
        """Raises NotObserved when a daemon goes by something else than what was looked into, or none is shown."""
        others = (f"`{each.command}` runs too" for each in self._processes if not each.is_openssh)
        if otherwise := _reading_otherwise(self._daemons, keywords) or next(others, ""):
            raise NotObserved(f"{otherwise}: its configuration is not the one that was looked into")

    @cached_property
    def _processes(self) -> tuple[_Process, ...]:
        """The processes of SSH servers. Raises NotObserved where processes are not shown."""
        rows = [
            _Process(row[1], row[2], float(row[3]), row[4])
            for line in self.answers[_PROCESS.key].lines
            if (row := re.match(r"\s*(\d+)\s+(\d+)\s+(\d+)\s+(.*)", line))
        ]
        if not any(row.pid == "1" for row in rows):
            raise NotObserved("`ps` did not show the processes of this machine")
        return tuple(row for row in rows if re.match(r"(?:\S*/)?(?:sshd|dropbear)(?:[ :]|$)", row.command))

    @cached_property
    def _daemons(self) -> tuple[_Daemon, ...]:
        """The daemons that accept connections, the one of the pid file first. Those of containers are not ours."""
        shown = [
            _Daemon(row, *options)
            for row in self._processes
            if row.accepts and (options := _options(row.arguments)) is not None
        ]
        written = self._pidfile[0] if self._pidfile else ""
        ours = [each for each in shown if each.process.pid == written or each.process.parent in ("0", "1")]
        if not ours and len(shown) == 1 and not self._accepts_each:
            ours = shown  # under a supervisor of its own
        return tuple(sorted(ours, key=lambda each: each.process.pid != written))

    @cached_property
    def _pidfile(self) -> tuple[str, float] | None:
        """The pid in sshd's own pid file and when it was written: the moment of the last start or reload."""
        found = re.search(r"^pidfile=(\d+):(\d+\.\d+)$", self.answers[_PROCESS.key].text, re.M)
        return (found[1], float(found[2])) if found else None

    @cached_property
    def _read_at(self) -> float:
        """When the first of the daemons read its files, in the host's seconds. Infinite: at each connection."""
        if not self._daemons:
            if self._accepts_each or not self._runs:
                return float("inf")
            raise NotObserved("no sshd process that accepts connections is visible, so its age is not known")
        return min(self._age_of(daemon) for daemon in self._daemons)

    def _age_of(self, daemon: _Daemon) -> float:
        if self._pidfile and self._pidfile[0] == daemon.process.pid:
            return self._pidfile[1]
        now = re.search(r"^now=(\d+)$", self.answers[_PROCESS.key].text, re.M)
        if now is None:
            raise Unreadable("the host did not tell its time")
        return float(now[1]) - daemon.process.seconds

    @property
    def _runs(self) -> bool:
        """Whether an SSH server runs at all; one that let us in, listens, or is seen among the processes does."""
        return bool(
            self.seen.wire.software or self._owned or self._socket_ports or self._is_ssh_on_22 or self._processes
        )

    @property
    def _accepts_each(self) -> bool:
        answer = self.answers[_UNITS.key]
        units = re.split(r"\n\s*\n", "" if answer.silence else answer.text)
        return any("ActiveState=active" in unit and "Accept=yes" in unit for unit in units)

    @cached_property
    def _stale(self) -> tuple[str, ...]:
        """The files whose content is younger than the daemon's last reading of them, as phrases.

        Raises NotObserved for a file whose content may be: replaced later, by one with an older date.
        """
        answers = [self.answers[_TIMES.key]]
        read_at = self._read_at
        written = self._all_written
        if len(self._looked_in) > len(_LOOKED_IN):
            answers.append(self.answers[f"{_TIMES.key}@elsewhere"])
        young, doubtful = [], []
        undated = {sshd_config.MAIN, *(line.file for line in written.lines)}
        for line in (line for answer in answers for line in answer.lines):
            entry = re.match(r"(\d+\.\d+):(\d+\.\d+):([\w ]+):(/.*)", line)
            if not entry or not _is_read(entry[4], entry[3], written.included):
                continue
            undated.discard(entry[4])
            changed, touched = float(entry[1]), float(entry[2])
            if changed > read_at and entry[3] != "directory":
                young.append(f"{entry[4]} was written {_ago(changed - read_at)} after sshd last read it")
            elif max(changed, touched) > read_at:
                doubtful.append(entry[4])
        if not young:
            for answer in answers:
                nothing_withheld(answer)
        if undated and not young:
            raise NotObserved(f"the dates of {min(undated)} were not told")
        if doubtful and not young:
            raise NotObserved(
                f"{doubtful[0]} was replaced, or its mode or entries changed, after sshd last read it, "
                "which its dates cannot tell apart; reload sshd to be sure"
            )
        return tuple(young)

    @cached_property
    def unread_changes(self) -> Offences:
        """The configuration files that changed after the daemon last read them. NotApplicable when none runs."""
        if not self._runs:
            raise NotApplicable("no SSH server runs")
        self._is_every_daemons_file()
        found = [
            Offence(subject=text.split(" ", 1)[0], text=text, layer="process", cause=text.split(" ", 1)[0])
            for text in self._stale
        ]
        return Offences(found, "every configuration file is older than the daemon's last start or reload")


# The keywords that decide together: a block that sets any of them makes a circumstance of its own.
_TOGETHER = {
    "permitrootlogin": ("permitrootlogin",),
    "allowtcpforwarding": ("allowtcpforwarding", "disableforwarding", "permitopen"),
    "permittunnel": ("permittunnel",),
    "banner": ("banner",),
}


def _root_login(context: _Context) -> str:
    allowed = context.value("permitrootlogin")
    # sshd -T says without-password for what is written prohibit-password since OpenSSH 7.0
    shown = "prohibit-password" if allowed == "without-password" else allowed
    return "" if allowed == "no" else f"PermitRootLogin {shown}"


def _reading_otherwise(daemons: Iterable[_Daemon], keywords: Iterable[str]) -> str:
    """The first daemon with a file of its own, or with options that override the keywords, as a phrase."""
    for daemon in daemons:
        if daemon.file != sshd_config.MAIN or daemon.overrides.intersection(keywords):
            return f"a daemon was started with `{daemon.arguments}`"
    return ""


def _banner_question(path: str) -> Ask:
    if path == "/etc/issue.net":
        return _BANNER
    return Ask(key=f"{_BANNER.key}@{path.encode().hex()}", sh=f"head -c 8192 {path}")


def _beyond_loopback(lines: Iterable[str]) -> frozenset[int]:
    """The local ports of ``ss -ltn`` rows that listen on more than loopback. Raises Unreadable."""
    found = set()
    for line in lines:
        words = line.split()
        if words[:1] == ["State"]:  # its titles, which releases before 4.7 do not know how to omit
            continue
        if len(words) < 4 or ":" not in words[3]:
            raise Unreadable(f"`ss` said {line[:100]!r}, which is no socket")
        address, _, port = words[3].rpartition(":")
        if not port.isdigit():
            raise Unreadable(f"`ss` said {line[:100]!r}, whose port is no number")
        if not re.match(r"\[?(127\.|::1\b|::ffff:127\.)", address):
            found.add(int(port))
    return frozenset(found)


def _listen_ports(values: Values) -> Iterator[int]:
    """The ports beyond loopback on which the daemon would listen; each address is printed with its port."""
    for address in values.get("listenaddress", ()):
        host, _, port = address.partition(" ")[0].rpartition(":")
        if port.isdecimal() and not re.match(r"\[?(127\.|::1\b)", host):
            yield int(port)
    if "listenaddress" not in values:
        yield from (int(port) for port in values["port"] if port.isdecimal())


def _port_offence(port: int, layer: str, cause: str) -> Offence:
    return Offence(subject=str(port), text=f"sshd answers on port {port}", layer=layer, cause=cause)


def _one_a_subject(offences: list[Offence]) -> list[Offence]:
    """The first offence of each subject: what runs stands before what is written."""
    return list({offence.subject: offence for offence in reversed(offences)}.values())[::-1]


def _list(ports: frozenset[int]) -> str:
    return ", ".join(f"port {port}" for port in sorted(ports)) or "no port beyond loopback"


def _folders(patterns: tuple[str, ...]) -> list[str]:
    """Where to look for what Include patterns name: the file, or the folder in which a wildcard is."""
    return sorted({re.split(r"/[^/]*[*?\[]", pattern)[0] or "/" for pattern in patterns} - {"/"})


def _is_read(path: str, kind: str, included: tuple[str, ...]) -> bool:
    """Whether sshd reads this file, or looks into this folder for files to read."""
    if kind == "directory":
        return any(pattern.rpartition("/")[0] == path for pattern in included if re.search(r"[*?\[]", pattern))
    return path == sshd_config.MAIN or any(glob.same_path(path, pattern) for pattern in included)


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
