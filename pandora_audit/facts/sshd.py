"""The SSH server: what listens, what the daemon would do at its next start, whether it runs with what is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.formats import sshd_config
from pandora_audit.formats.sshd_config import Block, Values
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Answer, Ask, NotObserved, Probe, ProbeKind, Question, Unreadable
from pandora_audit.questions import ANYBODY, GROUP, PASSWD, SSHD_CONFIG, SSHD_WATCHED, sshd_says
from pandora_audit.verdict import NotApplicable

# RHEL 9 and later include the system's crypto policy from here.
_CRYPTO_POLICY = "/etc/crypto-policies/back-ends/opensshserver.config"
_LOOKED_IN = ("/etc/ssh", _CRYPTO_POLICY)


def _lines_question(key: str, *paths: str) -> Ask:
    # Fixed words, so that sudoers can name them without a wildcard; whole words, in configuration files only,
    # so that no line of a host key can be among them.
    words = tuple(part for word in SSHD_WATCHED for part in ("-e", word))
    keys = tuple(f"--exclude=ssh_host_{kind}_key" for kind in ("rsa", "ecdsa", "ed25519", "dsa"))
    return Ask(key=key, argv=("grep", "-rHniwF", *words, *keys, *paths), root=True)


def _times_question(key: str, *paths: str) -> Ask:
    stat = ("stat", "-c", "%.3Y:%.3Z:%F:%n", "{}", "+")
    return Ask(key=key, argv=("find", *paths, "-maxdepth", "2", "-exec", *stat), root=True)


_LINES = _lines_question("sshd-lines", *_LOOKED_IN)
_TIMES = _times_question("sshd-times", *_LOOKED_IN)
_SOCKETS = Ask(key="listeners", argv=("ss", "-Hltn"))
_OWNERS = Ask(key="listeners-owners", argv=("ss", "-Hltnp"), root=True)
_UNITS = Ask(
    key="sshd-units",
    argv=(
        *("systemctl", "show", "--property=Id,ActiveState,Listen,Accept"),
        *("ssh.socket", "sshd.socket"),
    ),
)
_PROCESS = Ask(
    key="sshd-process",
    sh="ps -C sshd -ww -o pid=,ppid=,etimes=,args=; date +now=%s; "
    "for f in /run/sshd.pid /var/run/sshd.pid; do "
    '[ -r $f ] && read -r p <$f && stat -c "pidfile=$p:%.3Y" $f && break; done; true',
)
_BANNER = Ask(key="banner-file", sh="head -c 8192 /etc/issue.net")
_PORT_22 = Probe(key="port-22", kind=ProbeKind.BANNER, port=22)

# Contexts beyond this many are not asked one by one; the written configuration is judged for them.
_MOST_CONTEXTS = 24


@dataclass(frozen=True)
class _Context:
    """A circumstance in which the daemon decides, and what it decides then."""

    label: str
    values: Values
    cause: Callable[[str], str]
    block: Block | None = None

    def value(self, keyword: str) -> str:
        return self.values.get(keyword, ("",))[0].lower()


class Sshd(Fact):
    """OpenSSH's daemon."""

    questions = (
        SSHD_CONFIG,
        _LINES,
        _TIMES,
        _SOCKETS,
        _OWNERS,
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
        listening = _beyond_loopback(self.answers[_SOCKETS.key].succeeded().lines)
        found = {port for port in listening if port in self._owned or port in self._socket_ports}
        if self.seen.wire.port is not None and self.seen.wire.software.startswith("SSH-"):
            found |= {self.seen.wire.port} & listening
        return frozenset(found)

    @cached_property
    def _owned(self) -> frozenset[int]:
        """Listening ports that belong to a process named sshd; empty where owners were not shown."""
        owners = self.answers[_OWNERS.key]
        return (
            frozenset()
            if owners.silence
            else _beyond_loopback(line for line in owners.succeeded().lines if '(("sshd"' in line)
        )

    @cached_property
    def _socket_ports(self) -> frozenset[int]:
        """The ports of an active ssh.socket: systemd listens, the daemon answers."""
        text = self.answers[_UNITS.key].text
        active = [unit for unit in re.split(r"\n\s*\n", text) if "ActiveState=active" in unit]
        return frozenset(int(port) for unit in active for port in re.findall(r"Listen=.*?(\d{1,5}) \(Stream\)", unit))

    def stray_ports(self, promised: int | None, *, exact: bool) -> Offences:
        """Where the server answers and should not: on 22; if exact, anywhere but on the promised port."""

        def strays(ports: frozenset[int]) -> list[int]:
            return sorted(ports - {promised} if exact else ports & {22})

        offences = [_port_offence(port, "process", "") for port in strays(self.ports)]
        if self._whose_is_22():
            offences.append(_port_offence(22, "wire", ""))
        elif 22 not in self.ports:
            self._refuse_to_guess_22()
        written = self.answers[SSHD_CONFIG.key]
        if not written.silence and written.status == 0 and not self._socket_ports:
            values = sshd_config.effective(written.text)
            next_start = frozenset(int(port) for port in values["port"] if port.isdigit()) & frozenset(
                _listen_ports(values)
            )
            offences += [_port_offence(port, "next start", self._cause("port")) for port in strays(next_start)]
        if exact and not offences and promised not in self.ports:
            offences.append(Offence(subject="22", text=f"nothing answers on the promised port {promised}"))
        return Offences(_one_a_subject(offences), f"answers on {_list(self.ports)}")

    def _whose_is_22(self) -> bool:
        """Whether an SSH server answered on 22 when it was asked from the auditor's place."""
        probe = self.answers[_PORT_22.key]
        return not probe.silence and probe.out.startswith(b"SSH-")

    def _refuse_to_guess_22(self) -> None:
        if 22 not in _beyond_loopback(self.answers[_SOCKETS.key].lines):
            return
        owners, probe = self.answers[_OWNERS.key], self.answers[_PORT_22.key]
        if owners.silence and (probe.silence or not probe.out):
            raise NotObserved(
                f"something listens on port 22 and did not say what it is; its owner is hidden: {owners.silence}"
            )

    # --- what the daemon decides, and in which circumstances ---

    @property
    def _configured(self) -> Answer:
        """The daemon's own configuration. Raises NotApplicable where no SSH server is installed or runs."""
        answer = self.answers[SSHD_CONFIG.key]
        if "is not installed" in answer.silence and not self._runs:
            raise NotApplicable("no SSH server is installed, and none runs")
        return answer

    def _cause(self, keyword: str) -> str:
        lines = self.answers[_LINES.key]
        return "" if lines.silence else self._written.cause(keyword)

    @cached_property
    def _written(self) -> sshd_config.Written:
        lines = self.answers[_LINES.key].lines
        if len(self._looked_in) > len(_LOOKED_IN):
            lines += self.answers[f"{_LINES.key}@elsewhere"].lines
        return sshd_config.written(sshd_config.grepped(lines), self._looked_in)

    @cached_property
    def _first_written(self) -> sshd_config.Written:
        """What the first trip showed of the files."""
        return sshd_config.written(sshd_config.grepped(self.answers[_LINES.key].lines), _LOOKED_IN)

    @cached_property
    def _looked_in(self) -> tuple[str, ...]:
        """The files and folders whose lines are at hand: those of the second trip too, if it was made."""
        further = self.answers[f"{_LINES.key}@elsewhere"]
        return _LOOKED_IN if further.silence else (*_LOOKED_IN, *_folders(self._first_written.unseen))

    def _all_written(self) -> sshd_config.Written:
        """What the files say, if all of them were seen. Raises NotObserved naming one that was not."""
        if self._written.unseen:
            raise NotObserved(f"sshd also reads {self._written.unseen[0]}, which was not looked into")
        return self._written

    @cached_property
    def _members(self) -> Mapping[str, str]:
        """Group -> one of its members, as far as the machine lists them."""
        groups, users = self.answers[GROUP.key], self.answers[PASSWD.key]
        if groups.silence or users.silence:
            return {}
        found: dict[str, str] = {}
        by_gid: dict[str, str] = {}
        for user in (line.split(":") for line in users.lines):
            if len(user) > 3:
                by_gid.setdefault(user[3], user[0])
        for group in (line.split(":") for line in groups.lines):
            if len(group) > 3:
                member = group[3].split(",")[0] or by_gid.get(group[2], "")
                found |= {group[0]: member} if member else {}
        return found

    def _contexts_to_ask(self) -> dict[tuple[int, str], Ask]:
        """The questions about Match blocks by (block, user); block -1 is the user whom none singles out."""
        blocks = [] if self.answers[_LINES.key].silence else self._written.blocks
        found: dict[tuple[int, str], Ask] = {}
        for user in ("root", "") if blocks else ():
            neutral = Block((), (), "")
            for number, block in [(-1, neutral), *enumerate(blocks)]:
                connection = sshd_config.visitor(block, ANYBODY, self._members, user)
                wanted = block.lines if number >= 0 else user
                if connection and wanted and len(found) < _MOST_CONTEXTS:
                    place = number if number >= 0 else "else"
                    found[number, user] = sshd_says(f"{SSHD_CONFIG.key}@{user or 'any'}-{place}", connection)
        return found

    def _includes_to_ask(self) -> tuple[Question, ...]:
        if self.answers[_LINES.key].silence:
            return ()
        unseen = [path for path in _folders(self._first_written.unseen) if re.fullmatch(r"[\w./@+-]+", path)]
        if not unseen:
            return ()
        return (
            _lines_question(f"{_LINES.key}@elsewhere", *unseen),
            _times_question(f"{_TIMES.key}@elsewhere", *unseen),
        )

    def _contexts(self, user: str = "") -> Iterator[_Context]:
        """Every circumstance that the files distinguish, the general one first."""
        self._is_the_running_daemons_file()
        base = sshd_config.effective(self._configured.succeeded().text)
        blocks = self._all_written().blocks
        asked = self._contexts_to_ask()

        def told(number: int) -> Values | None:
            question = asked.get((number, user))
            answer = self.answers[question.key] if question else None
            if answer is None or answer.silence or answer.status != 0:
                return None
            return sshd_config.effective(answer.text)

        general = told(-1) or _overlaid(base, [block for block in blocks if block.always_holds(user)])
        yield _Context("", general, self._cause)
        for number, block in enumerate(blocks):
            if user and not block.admits_user(user):
                continue
            before = [
                earlier
                for earlier in blocks[:number]
                if earlier.always_holds(user) or set(earlier.criteria) <= set(block.criteria)
            ]
            values = told(number) or _overlaid(base, [*before, block])
            yield _Context(block.label, values, _block_cause(block), block)

    def _next_start(self, keyword: str, wrong: Callable[[_Context], str], user: str = "") -> Offences:
        """The circumstances in which ``wrong`` finds something to say of what is written."""
        found, seen = [], []
        for context in self._contexts(user):
            if context.block is not None and not any(context.block.says(word) for word in _TOGETHER[keyword]):
                continue
            text = wrong(context)
            place = f" for {context.label}" if context.label else ""
            seen.append(f"{keyword} {context.value(keyword)}{place}")
            if text:
                offence = Offence(
                    subject=context.label or keyword,
                    text=f"{text}{place}",
                    layer="next start",
                    cause=context.cause(keyword),
                )
                found.append(offence)
        return Offences(found, ", ".join(seen))

    def _offences(self, keyword: str, wrong: Callable[[_Context], str], user: str = "") -> Offences:
        """The same, for what no running daemon tells otherwise.

        Raises NotObserved when nothing is wrong in what is written, but the daemon runs with something older.
        """
        written = self._next_start(keyword, wrong, user)
        if not written and (stale := self._stale):
            raise NotObserved(f"what is written would comply, but the daemon runs with something older: {stale[0]}")
        return written

    @cached_property
    def root_enters(self) -> Offences:
        """The circumstances in which root may log in."""
        return self._offences("permitrootlogin", _root_login, "root")

    def tcp_forwarding(self, *, jump_host: bool) -> Offences:
        """The circumstances in which TCP is forwarded; a jump host may, to the places that PermitOpen lists."""

        def wrong(context: _Context) -> str:
            allowed = context.value("allowtcpforwarding")
            if allowed == "no" or context.value("disableforwarding") == "yes":
                return ""
            opens = context.value("permitopen")
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
            path = self._banner_path(context)
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

    @staticmethod
    def _banner_path(context: _Context) -> str:
        return context.values.get("banner", ("",))[0]

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
            blocks = self._written.blocks
            paths |= {line.words[0] for block in blocks if (line := block.says("banner")) and line.words}
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
            path = self._banner_path(next(self._contexts()))
            text = "" if path in ("", "none") else self._banner_text(path)
        if not text.strip():
            raise NotApplicable("no banner is sent, so it tells nothing")
        return text

    # --- running against written ---

    def _is_the_running_daemons_file(self) -> None:
        """Raises NotObserved when the daemon was started with another file or with overriding options."""
        for word in self._started_with:
            if re.match(r"-[fpo]", word) and not re.match(r"-o\s*(Ciphers|MACs|GSSAPI|Kex|HostKey|PubkeyAc|CAS)", word):
                raise NotObserved(
                    f"the daemon was started with `{' '.join(self._started_with)}`: "
                    "its own files are not those that were looked into"
                )

    @cached_property
    def _listener(self) -> re.Match[str] | None:
        """The daemon that accepts connections: pid, age in seconds and arguments; None when no process shows."""
        rows = [
            row
            for line in self.answers[_PROCESS.key].text.splitlines()
            if (row := re.match(r"\s*(\d+)\s+(\d+)\s+(\d+)\s+(.*)", line))
            and (not row[4].startswith("sshd: ") or "[listener]" in row[4])
            and "[accepted]" not in row[4]
        ]
        pidfile = self._pidfile
        ours = [row for row in rows if pidfile and row[1] == pidfile[0]]
        return next(iter(ours or [row for row in rows if row[2] == "1"]), None)

    @cached_property
    def _started_with(self) -> tuple[str, ...]:
        if self._listener is None:
            return ()
        words = re.sub(r"^sshd: |\s*\[listener\].*", "", self._listener[4]).split()
        return tuple(re.sub(r"\s+", "", word) for word in re.split(r"\s(?=-)", " ".join(words))[1:])

    @cached_property
    def _pidfile(self) -> tuple[str, float] | None:
        """The pid in sshd's own pid file and when it was written: the moment of the last start or reload."""
        found = re.search(r"^pidfile=(\d+):(\d+\.\d+)$", self.answers[_PROCESS.key].text, re.M)
        return (found[1], float(found[2])) if found else None

    @cached_property
    def _read_at(self) -> float:
        """When the daemon last read its files, in the host's seconds since the epoch. Infinite: at each connection."""
        listener, pidfile = self._listener, self._pidfile
        if listener is None:
            if self._accepts_each or not self._runs:
                return float("inf")
            raise NotObserved("no sshd process that accepts connections is visible, so its age is not known")
        if pidfile and pidfile[0] == listener[1]:
            return pidfile[1]
        now = re.search(r"^now=(\d+)$", self.answers[_PROCESS.key].text, re.M)
        if now is None:
            raise Unreadable("the host did not tell its time")
        return float(now[1]) - float(listener[3])

    @property
    def _runs(self) -> bool:
        """Whether an SSH server runs at all; one that let us in, listens, or is seen among the processes does."""
        return bool(self.seen.wire.software or self._owned or self._socket_ports) or any(
            re.match(r"\s*\d+\s+\d+\s+\d+\s", line) for line in self.answers[_PROCESS.key].text.splitlines()
        )

    @property
    def _accepts_each(self) -> bool:
        units = re.split(r"\n\s*\n", self.answers[_UNITS.key].text)
        return any("ActiveState=active" in unit and "Accept=yes" in unit for unit in units)

    @cached_property
    def _stale(self) -> tuple[str, ...]:
        """The files whose content is younger than the daemon's last reading of them, as phrases.

        Raises NotObserved for a file whose content may be: replaced later, by one with an older date.
        """
        lines = self.answers[_TIMES.key].lines
        read_at = self._read_at
        written = self._all_written()
        if len(self._looked_in) > len(_LOOKED_IN):
            lines += self.answers[f"{_TIMES.key}@elsewhere"].lines
        young, doubtful = [], []
        for line in lines:
            entry = re.match(r"(\d+\.\d+):(\d+\.\d+):([\w ]+):(/.*)", line)
            if not entry or not _is_read(entry[4], entry[3], written.included):
                continue
            changed, touched = float(entry[1]), float(entry[2])
            if changed > read_at and entry[3] != "directory":
                young.append(f"{entry[4]} was written {_ago(changed - read_at)} after sshd last read it")
            elif max(changed, touched) > read_at:
                doubtful.append(entry[4])
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


def _overlaid(base: Values, blocks: list[Block]) -> Values:
    """The values with those of satisfied blocks on top: the first block that sets a keyword decides it."""
    values = dict(base)
    for block in reversed(blocks):
        for line in reversed(block.lines):
            values[line.keyword] = (" ".join(line.words),)
    return values


def _block_cause(block: Block) -> Callable[[str], str]:
    def cause(keyword: str) -> str:
        line = next((line for word in _TOGETHER[keyword] if (line := block.says(word))), None)
        return line.where if line else block.where

    return cause


def _banner_question(path: str) -> Ask:
    if path == "/etc/issue.net":
        return _BANNER
    name = re.sub(r"[^a-z0-9._-]", "_", path.lower())
    return Ask(key=f"{_BANNER.key}@{name}", sh=f"head -c 8192 {path}")


def _beyond_loopback(lines: Iterable[str]) -> frozenset[int]:
    """The local ports of ``ss -Hltn`` rows that listen on more than loopback. Raises Unreadable."""
    found = set()
    for line in lines:
        words = line.split()
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
        host, _, port = address.rpartition(":")
        if port.isdigit() and not re.match(r"\[?(127\.|::1\b)", host):
            yield int(port)
    if "listenaddress" not in values:
        yield from (int(port) for port in values["port"] if port.isdigit())


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
    return path == sshd_config.MAIN or any(sshd_config.same_path(path, pattern) for pattern in included)


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
