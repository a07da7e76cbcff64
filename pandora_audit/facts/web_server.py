"""The web server of the console: what runs, what it would do at its next start, whether both are the same."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.formats import apache, glob, http, nginx
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Answer, Ask, NotObserved, Question, Role, Unreadable
from pandora_audit.questions import TCP_LISTENERS, TCP_OWNERS

_PROGRAMS = "apache2|httpd|nginx|php-fpm[0-9.]*"
# nginx tells nobody when it last read its files; its workers are as old as that.
PROCESSES = Ask(
    key="web-processes",
    sh="date +now=%s.%N; read -r up _ </proc/uptime; echo up=$up; "
    "ps -e -ww -o pid=,ppid=,user:32=,comm=,args=; set +f; "
    'for s in /proc/[0-9]*/stat; do { IFS= read -r l <"$s"; } 2>/dev/null || continue; '
    'case $l in *" ("nginx")"*|*" ("apache2")"*|*" ("httpd")"*|*" ("php-fpm*")"*) echo "stat $l" ;; esac; done; true',
    only_if=Role.CONSOLE,
    keep=rf"""
/^(now|up)=/p
/^ *1 /s/^( *1 +[0-9]+ +[^ ]+ +[^ ]+).*/\1 init/p
/^ *[0-9]+ +[0-9]+ +[^ ]+ +({_PROGRAMS}) /p
s/^stat ([0-9]+) \([^)]*\) ([^ ]+ ){{19}}([0-9]+) .*/stat \1 \3/p
""",
)
_APACHE = ("/etc/apache2", "/etc/httpd/conf", "/etc/httpd/conf.d", "/etc/httpd/conf.modules.d")
_NGINX = ("/etc/nginx",)
_APACHE_LINES = Ask(
    key="apache-lines",
    argv=(
        *("find", "-L", *_APACHE, "-maxdepth", "3", "-type", "f", "-exec", "grep", "-HniF"),
        *(word for each in ("<", *apache.WATCHED.split("|")) for word in ("-e", each)),
        *("{}", "+"),
    ),
    root=True,
    limit=1024 * 1024,
    only_if=Role.CONSOLE,
    # Of a Define only its name; of sections those that may hold what is watched.
    keep=rf"""
s/^([^:]*:[0-9]+:)[[:space:]]*(un)?define[[:space:]]+([^[:space:]]+).*/\1\2Define \3/Ip
t
/^[^:]*:[0-9]+:[[:space:]]*(<\/?[A-Za-z]+|({apache.WATCHED})[[:space:]])/Ip
""",
)
_NGINX_LINES = Ask(
    key="nginx-lines",
    argv=(
        *("find", "-L", *_NGINX, "-maxdepth", "4", "-type", "f", "-exec", "grep", "-HnF", "-e", "{", "-e", "}"),
        *(word for each in (*nginx.WORDS, "PHP_VALUE", "PHP_ADMIN_VALUE") for word in ("-e", each)),
        *("{}", "+"),
    ),
    root=True,
    limit=1024 * 1024,
    only_if=Role.CONSOLE,
    # Of other directives nothing, of blocks their names.
    keep=rf"""
s/'[^']*'/''/g
s/"[^"]*"/""/g
s/[$][{{][A-Za-z0-9_]*[}}]//g
s/#.*//
s/^([^:]*:[0-9]+:)/\1\x02/
s/\<({"|".join(nginx.WORDS)}|fastcgi_param[[:space:]]+PHP_[A-Z_]+)[[:space:]][^;{{}}]*;/\x01&/g
:others
s/([\x02;{{}}])[^\x01\x02;{{}}]+;/\1;/
t others
s/([\x02;{{}}])[[:space:]]*([a-z_]+)[^\x01\x02;{{}}]*[{{]/\1\2 {{/g
/[{{}}\x01]/!d
s/[\x01\x02]//g
p
""",
)
_TIMES = Ask(
    key="web-times",
    argv=(
        *("find", "-L", *_APACHE, *_NGINX, "/etc/php", "/etc/php.ini", "/etc/php.d", "/etc/php-fpm.conf"),
        *("/etc/php-fpm.d", "/etc/opt/remi", "-maxdepth", "4"),
        *("-exec", "stat", "-c", "%.3Y:%.3Z:%F:%n", "{}", "+"),
        *("-exec", "stat", "-L", "-c", "%.3Y:%.3Z:%F:%n", "{}", "+"),
    ),
    root=True,
    limit=1024 * 1024,
    only_if=Role.CONSOLE,
    # PHP's modules and the command line's settings are many, and nobody's here.
    keep=r"/\/(mods-available|conf-available|sites-available|modules-available|cli)(\/|$)/d; /^[0-9.]+:[0-9.]+:/p",
)
_PID_FILES = Ask(
    key="web-pid-files",
    argv=(
        *("find", "/run/apache2", "/run/httpd", "/run/php", "/run/php-fpm", "/run/apache2.pid", "/run/httpd.pid"),
        *(f"/var/opt/remi/php{version}/run/php-fpm" for version in ("74", "80", "81", "82", "83", "84", "85")),
        *("-maxdepth", "1", "-type", "f", "-exec", "stat", "-c", "%.3Y:%n", "{}", "+"),
    ),
    root=True,
    only_if=Role.CONSOLE,
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_MOST_VISITS = 24
# What hides nginx's version; what it sells takes a text, and an empty one hides its name, too.
_QUIET = (("off",), ("",))
# What a version looks like.
_NUMBERED = re.compile(r"[\d/(]")
# A page that no server has: what it says instead is an error page.
NOWHERE = "/pandora-audit-asks-for-nothing.txt"

# One request after the other, from the host itself, in the words of formats.http: by curl, else by openssl and bash,
# which bring no cookies back. Of a body, a sum of its lines stands for the digest.
_VISIT = r"""
own=${SSH_CONNECTION#* * }
own=${own%% *}
mark=pandora-audit-$$
by_curl() {
  case $at in *:*) to="[$at]" ;; *) to=$at ;; esac
  shown=${name:-$to} count=$#
  for path in "$@"; do set -- "$@" "$scheme://$shown:$port$path"; done
  shift "$count"
  curl -q -g -s -k -i -b '' --noproxy '*' --max-time 4 --resolve "$shown:$port:$to" -A pandora-audit -w "\n$mark\n" "$@"
}
by_hand() {
  for path in "$@"; do
    case $path in
      *'?twice') ;;
      *)
        printf 'GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: pandora-audit\r\n\r\n' "$path" "${name:-$at}" |
          if [ "$scheme" = http ]; then
            timeout 4 bash -c 'exec 5<>"/dev/tcp/$1/$2" && cat >&5 && cat <&5' bash "$at" "$port"
          else
            timeout 4 openssl s_client -quiet -ign_eof -connect "$at:$port" ${name:+-servername "$name"}
          fi
        ;;
    esac
    printf '\n%s\n' "$mark"
  done
}
visit() {
  scheme=$1 port=$2 at=$3 name=$4
  shift 4
  [ "$at" != own ] || at=${own:-127.0.0.1}
  echo "at $scheme $port $name"
  if command -v curl >/dev/null 2>&1; then by_curl "$@"; else by_hand "$@"; fi 2>/dev/null | tr -d '\000\r' |
    awk -v mark="$mark" -v asked="$*" '
      function begin() { code = length_ = sum = shown = 0; marks = ""; head = 1; if (n < count) print "> " path[++n] }
      BEGIN { count = split(asked, path, " "); begin() }
      $0 == mark { print code ? "= " length_ - 1 " " sum marks : "! no answer"; begin(); next }
      head && /^HTTP\/[0-9.]+ [0-9]/ { split($0, word, " "); code = word[2] }
      head && tolower($0) ~ /^set-cookie:/ { sub(/=[^;]*/, "=…") }
      head && !code { next }
      head && $0 == "" { head = 0; next }
      head { print "< " substr($0, 1, 1000); next }
      { length_ += length($0) + 1; sum = (sum * 33 + length($0) * 7 + NF) % 1000003 }
      /<[Tt][Ii][Tt][Ll][Ee]>Index of/ { marks = marks " listing" }
      /<\?php/ { marks = marks " source" }
      code >= 400 && shown < 2000 { print "- " substr($0, 1, 1000); shown += length($0) + 1 }'
}
"""


@dataclass(frozen=True)
class Visit:
    """What is asked of one port under one name."""

    secure: bool
    port: int
    at: str
    name: str
    paths: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"port {self.port}" + (f" as {self.name}" if self.name else "")

    @property
    def command(self) -> str:
        scheme = "https" if self.secure else "http"
        return shlex.join(["visit", scheme, str(self.port), self.at, self.name, *self.paths])


def visits_question(key: str, visits: Iterable[Visit]) -> Ask:
    """Asks a host to visit itself."""
    return Ask(key=key, sh=_VISIT + "\n".join(visit.command for visit in visits), seconds=25, limit=1024 * 1024)


def exchanges(answer: Answer, visits: Iterable[Visit]) -> Iterator[tuple[Visit, http.Exchange]]:
    """What a host found out by visiting itself; nothing where it could not."""
    if answer.silence:
        return
    parts = re.split(r"^(?=at )", answer.text, flags=re.M)[1:]
    told = {part.partition("\n")[0]: http.read(part) for part in parts}
    for visit in visits:
        head = f"at {'https' if visit.secure else 'http'} {visit.port} {visit.name}"
        if head in told:
            yield visit, told[head]


@dataclass(frozen=True)
class Process:
    """A process of the web server or of PHP. ``began`` is in the host's seconds since the epoch."""

    pid: str
    parent: str
    user: str
    program: str
    command: str
    began: float

    @property
    def leads(self) -> bool:
        return self.parent in ("0", "1")


@dataclass(frozen=True)
class Socket:
    """A listening TCP socket: its address as ``ss`` shows it, and the program that holds it, if it was shown."""

    address: str
    port: int
    owner: str

    @property
    def is_loopback(self) -> bool:
        return re.match(r"\[?(127\.|::1\b|::ffff:127\.)", self.address) is not None

    @property
    def reached_at(self) -> str:
        """The address at which the host itself reaches it; ``own``: the one that it is entered by."""
        bare = re.sub(r"%.*", "", self.address).strip("[]")
        if bare in ("*", "0.0.0.0"):  # noqa: S104  (what ss shows, not what we listen on)
            return "own"
        return "::1" if bare == "::" else bare


class WebServer(Fact):
    """Apache or nginx."""

    role = Role.CONSOLE
    questions = (TCP_LISTENERS, TCP_OWNERS, PROCESSES, _APACHE_LINES, _NGINX_LINES, _TIMES, _PID_FILES)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        server = cls(seen)
        if seen.answers[PROCESSES.key].silence:
            return ()
        return (visits_question(f"{PROCESSES.key}@visits", server._visits),)

    # --- what runs ---

    @cached_property
    def processes(self) -> tuple[Process, ...]:
        """Raises NotObserved where processes are not shown."""
        text, booted = self.answers[PROCESSES.key].text, self.now - self._clock("up")
        if not re.search(r"^ *1 ", text, re.M):
            raise NotObserved("`ps` did not show the processes of this machine")
        ticks = {pid: int(count) for pid, count in re.findall(r"^stat (\d+) (\d{1,15})$", text, re.M)}
        rows = re.findall(rf"^ *(\d+) +(\d+) +(\S+) +({_PROGRAMS}) +(.*)$", text, re.M)
        return tuple(
            Process(pid, parent, user, program, command, booted + ticks[pid] / 100)
            for pid, parent, user, program, command in rows
            if pid in ticks
        )

    @property
    def now(self) -> float:
        """The host's time, in seconds since the epoch."""
        return self._clock("now")

    def _clock(self, name: str) -> float:
        found = re.search(rf"^{name}=(\d{{1,12}}\.\d{{1,9}})$", self.answers[PROCESSES.key].text, re.M)
        if found is None:
            raise Unreadable("the host did not tell its time")
        return float(found[1])

    @cached_property
    def masters(self) -> tuple[Process, ...]:
        """The first process of Apache, of nginx, or of both: one often stands before the other.

        Raises NotObserved where none is seen, or several of one kind are.
        """
        found = [each for each in self.processes if each.leads and not each.program.startswith("php")]
        if not found:
            raise NotObserved("neither Apache nor nginx is seen to run")
        if len({each.program == "nginx" for each in found}) < len(found):
            shown = ", ".join(sorted({each.program for each in found}))
            raise NotObserved(f"several web servers run: {shown}")
        return tuple(found)

    @property
    def nginx_master(self) -> Process | None:
        return next((each for each in self.masters if each.program == "nginx"), None)

    @property
    def apache_master(self) -> Process | None:
        return next((each for each in self.masters if each.program != "nginx"), None)

    @property
    def users(self) -> frozenset[str]:
        """Who runs the console's pages: the users of the workers of the web server and of PHP."""
        return frozenset(each.user for each in self.processes if not each.leads) - {"root"}

    @cached_property
    def sockets(self) -> tuple[Socket, ...]:
        """Where this machine listens. Raises NotObserved or Unreadable."""
        owners = self.answers[TCP_OWNERS.key]
        shown = owners if not owners.silence and owners.status == 0 else self.answers[TCP_LISTENERS.key].succeeded()
        found = []
        for line in shown.lines:
            words = line.split()
            if words[:1] == ["State"]:
                continue
            address, _, port = (words[3] if len(words) > 3 else "").rpartition(":")
            if not re.fullmatch(r"\d{1,5}", port):
                raise Unreadable(f"`ss` said {line[:100]!r}, which is no socket")
            owner = re.search(r'users:\(\("([^"]*)"', line)
            found.append(Socket(address, int(port), owner[1] if owner else ""))
        return tuple(found)

    @cached_property
    def web_sockets(self) -> tuple[Socket, ...]:
        """The sockets of the web server; where owners are not shown, those at ports that it is configured for."""
        owned = tuple(each for each in self.sockets if re.fullmatch(r"apache2|httpd|nginx", each.owner))
        if owned:
            return owned
        return tuple(each for each in self.sockets if not each.owner and each.port in {80, 443, *self._hosts_ports})

    def is_secure(self, port: int) -> bool:
        """Whether TLS is spoken at a port: by its number, or by what is written."""
        return port in (443, 8443) or any(secure and port in ports for ports, _, secure in self._hosts)

    # --- what is written ---

    @cached_property
    def apache_configuration(self) -> apache.Configuration | None:
        """Apache's configuration, as its next start reads it; None where it does not run. Raises NotObserved."""
        if self.apache_master is None:
            return None
        answer = self.answers[_APACHE_LINES.key]
        lines = answer.lines
        nothing_withheld(answer)
        words, is_debian = self.apache_master.command.split(), self.apache_master.program == "apache2"
        root = _option(words, "-d") or ("/etc/apache2" if is_debian else "/etc/httpd")
        usual = "apache2.conf" if is_debian else "conf/httpd.conf"
        main = posixpath.normpath(posixpath.join(root, _option(words, "-f") or usual))
        defined = [
            word[2:] or following for word, following in zip(words, [*words[1:], ""], strict=True) if word[:2] == "-D"
        ]
        return apache.read(lines, main, root, _APACHE, defined)

    @cached_property
    def nginx_configuration(self) -> nginx.Configuration | None:
        """nginx's, likewise."""
        if self.nginx_master is None:
            return None
        answer = self.answers[_NGINX_LINES.key]
        lines = answer.lines
        nothing_withheld(answer)
        main = _option(self.nginx_master.command.split(), "-c") or "/etc/nginx/nginx.conf"
        return nginx.read(lines, main, _NGINX)

    @cached_property
    def handed_to(self) -> frozenset[str]:
        """The sockets of FPM that pages are handed to, as a pool's ``listen`` writes them."""
        found = set[str]()
        if self.nginx_configuration:
            tree = self.nginx_configuration.tree
            words = [each.words[-1] for each in tree.all("fastcgi_pass")]
            words += [each.words[1] for group in tree.all("upstream") for each in group.own("server") if each.words[1:]]
            found |= {word.removeprefix("unix:") for word in words}
        if self.apache_configuration:
            handlers = " ".join(word for each in self.apache_configuration.all("sethandler") for word in each.arguments)
            ways = re.findall(r"proxy:(?:unix:([^|\s]+)|fcgi://([^/\s]+))", handlers)
            found |= {unix or tcp for unix, tcp in ways}
        return frozenset(found)

    @property
    def hands_settings(self) -> str:
        """Where nginx gives PHP settings of its own; empty where it does not."""
        written = self.nginx_configuration
        return ", ".join(each.where for each in written.tree.all("fastcgi_param")) if written else ""

    @property
    def _configurations(self) -> Iterator[tuple[Process, apache.Configuration | nginx.Configuration]]:
        """What is written for each server that runs. Raises NotObserved."""
        if self.apache_master and self.apache_configuration:
            yield self.apache_master, self.apache_configuration
        if self.nginx_master and self.nginx_configuration:
            yield self.nginx_master, self.nginx_configuration

    @cached_property
    def _hosts(self) -> list[tuple[frozenset[int], tuple[str, ...], bool]]:
        """Of each virtual host its ports, its names, and whether it speaks TLS; as far as that can be read."""
        try:
            return [host for _, configuration in self._configurations for host in configuration.hosts]
        except NotObserved:
            return []

    @property
    def _hosts_ports(self) -> set[int]:
        return {port for ports, _, _ in self._hosts for port in ports}

    # --- its version ---

    @cached_property
    def _visits(self) -> tuple[Visit, ...]:
        """Every port of the web server, without a name and by each name of its virtual hosts."""
        try:
            sockets = sorted({each.port: each for each in self.web_sockets}.values(), key=lambda each: each.port)
        except NotObserved:
            return ()
        found = []
        for socket in sockets:
            names = [name for ports, names, _ in self._hosts if socket.port in ports for name in names]
            for name in ["", *dict.fromkeys(name for name in names if _NAME.fullmatch(name))]:
                visit = Visit(self.is_secure(socket.port), socket.port, socket.reached_at, name, ("/", NOWHERE))
                found.append(visit)
        return tuple(found[:_MOST_VISITS])

    @cached_property
    def told_versions(self) -> Offences:
        """Where the server tells its version: in answers, on error pages, by what is written."""
        met = [(visit, exchange.responses) for visit, exchange in self._met]
        found = [
            Offence(subject=visit.label, text=f"{said} on {visit.label}", layer="wire")
            for visit, responses in met
            for each in responses
            if (said := version_told(each))
        ]
        try:
            for _, configuration in self._configurations:
                found += _written_tokens(configuration)
        except NotObserved:
            if not found:
                raise
        answered = [visit for visit, responses in met if any(each.status for each in responses)]
        if not found:
            _ = self.answers[f"{PROCESSES.key}@visits"].text
            # Who gives no name is hung up on by some; then the port is heard by a name.
            heard = {visit.port for visit in answered}
            silent = [
                visit.label
                for visit in self._visits
                if visit not in answered and (visit.name or visit.port not in heard)
            ]
            if silent or not answered:
                where = silent[0] if silent else "any port"
                raise NotObserved(f"the web server did not answer its own host on {where}")
        return Offences(found, f"no version on {', '.join(visit.label for visit in answered)}, none by what is written")

    @property
    def _met(self) -> Iterator[tuple[Visit, http.Exchange]]:
        return exchanges(self.answers[f"{PROCESSES.key}@visits"], self._visits)

    # --- running against written ---

    def read_at(self, program: str) -> float:
        """When the leading process of a program last read its files, in the host's seconds. Raises NotObserved."""
        leading = [each for each in self.processes if each.leads and each.program == program]
        if program == "nginx":
            pids = {each.pid for each in leading}
            workers = [each for each in self.processes if each.parent in pids and "shutting down" not in each.command]
            if not workers:
                raise NotObserved("no worker of nginx is seen, so it is not known when it last read its files")
            began = min(each.began for each in workers)
            if began > self.now:
                raise Unreadable("the host's processes began in the future: its uptime is another machine's")
            return began
        # Apache and PHP-FPM write their pid anew whenever they read their files.
        rows = self.answers[_PID_FILES.key].lines
        files = re.findall(
            r"^(\d{1,12}\.\d{3}):(?:/var/opt/remi/php\d+)?/run/(?:.*/)?([\w.-]+)\.pid$", "\n".join(rows), re.M
        )
        times = [float(time) for time, name in files if _same_program(name, program)]
        if len(times) == 1:
            return times[0]
        raise NotObserved(f"the pid file of {program} is not seen, so it is not known when it last read its files")

    def stale(self, program: str, *, read: Iterable[str], patterns: Iterable[str]) -> Offences:
        """The files that changed after a program last read them.

        Raises NotObserved for one that may have: replaced by an older one, or removed.

        Args:
            read: files that it reads; patterns: what its includes name.
        """
        at = self.read_at(program)
        answer = self.answers[_TIMES.key]
        wanted, named = set(read), tuple(patterns)
        folders = {posixpath.dirname(each) for each in named if re.search(r"[*?\[]", each)}
        undated, young, doubtful = set(wanted), list[Offence](), list[str]()
        for line in answer.lines:
            entry = re.fullmatch(r"(\d{1,12}\.\d{3}):(\d{1,12}\.\d{3}):([\w ]+):(/.*)", line)
            if entry is None:
                continue
            if entry[3] == "directory":
                is_read = entry[4] in folders
            else:
                is_read = entry[4] in wanted or any(glob.same_path(entry[4], each) for each in named)
            if not is_read:
                continue
            undated.discard(entry[4])
            if float(entry[1]) > at and entry[3] != "directory":
                text = f"{entry[4]} was written after {program} last read it"
                young.append(Offence(subject=entry[4], text=text, layer="process", cause=entry[4]))
            elif max(float(entry[1]), float(entry[2])) > at:
                doubtful.append(entry[4])
        if not young:
            nothing_withheld(answer)
            if undated:
                raise NotObserved(f"the dates of {min(undated)} were not told")
            if doubtful:
                raise NotObserved(
                    f"{doubtful[0]} was replaced, or its mode or entries changed, after {program} last read it, "
                    "which its dates cannot tell apart; reload it to be sure"
                )
        return Offences(young, f"the files of {program} are older than its last start or reload")

    @cached_property
    def unread_changes(self) -> Offences:
        """The configuration files of the web server that it has not read since they changed."""
        found, seen = list[Offence](), []
        for process, configuration in self._configurations:
            stale = self.stale(process.program, read=configuration.files, patterns=configuration.patterns)
            if not stale:
                _all_seen(configuration)
            found += stale
            seen.append(stale.seen)
        return Offences(found, "; ".join(seen))


def _written_tokens(configuration: apache.Configuration | nginx.Configuration) -> list[Offence]:
    """Where what is written would tell the version. Raises NotObserved where not all of it was looked into."""
    if isinstance(configuration, nginx.Configuration):
        found = [
            Offence(
                subject=f"server_tokens in {block.name or 'http'}",
                text=f"server_tokens {' '.join(said.words[1:]) if said else 'on (by default)'}",
                layer="next start",
                cause=said.where if said else block.where,
            )
            for block, said in configuration.deciding("server_tokens")
            if said is None or said.words[1:] not in _QUIET
        ]
    else:
        said = configuration.last("servertokens")
        value = said.arguments[0] if said and said.arguments else "Full (by default)"
        cause = said.where if said else configuration.files[0]
        text = f"ServerTokens {value}"
        # ModSecurity puts a text of the site's own in its place, for which the whole must be there.
        instead = configuration.last("secserversignature")
        if instead is not None and instead.arguments:
            value, cause = f"Full, and SecServerSignature {instead.arguments[0]}", instead.where
            text, hides = f"ServerTokens {value}", not _NUMBERED.search(instead.arguments[0])
        else:
            hides = value.lower() in ("prod", "productonly")
        found = [] if hides else [Offence(subject="ServerTokens", text=text, layer="next start", cause=cause)]
    if not found:
        _all_seen(configuration)
    return found


def _all_seen(configuration: apache.Configuration | nginx.Configuration) -> None:
    if configuration.unseen:
        raise NotObserved(f"the web server also reads {configuration.unseen[0]}, which was not looked into")


def version_told(response: http.Response) -> str:
    """What an answer tells of the server's version, as a phrase; empty where it tells none."""
    server = response.header("server")
    if _NUMBERED.search(server):
        return f"“Server: {server[:80]}”"
    signed = re.search(r"\b(?:Apache|nginx|openresty|Tengine)/\d[\w.-]*(?: \([\w ]+\))?", response.error, re.I)
    return f"an error page signed “{signed[0]}”" if signed else ""


def _option(words: list[str], option: str) -> str:
    """The value of an option of a command line."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == option:
            return following
    return ""


def _same_program(pid_file: str, program: str) -> bool:
    """``php8.2-fpm.pid`` is of php-fpm8.2, as ``php-fpm.pid`` is of php-fpm."""
    if pid_file == program:
        return True
    version = program.removeprefix("php-fpm")
    return program.startswith("php-fpm") and pid_file == f"php{version}-fpm"
