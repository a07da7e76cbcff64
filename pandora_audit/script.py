"""Questions become one POSIX shell text; the bytes that come back become answers. Pure: nothing here connects.

The text travels as the exec string of one SSH channel (one round trip less than standard input). Its frames:

    @key begin      a question starts (seconds since boot)
    o…              one line of its standard output; the last is "o." if nothing of it is missing
    e…              one line of its standard error
    !code detail    it was not run, and why
    .key status end it is over

Every line that a program wrote carries a prefix, so nothing a host says can look like a frame; and a marker that
is new in each run stands before the first, so nothing a login shell prints first can look like the beginning.
"""

from __future__ import annotations

import base64
import io
import re
import shlex
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from pandora_audit.question import Answer, Answers, Ask, Cause, NotObserved, Role, places

# Text of one question's standard error that is kept; the last bytes, since the reason stands at the end.
_ERR_BYTES = 2000
# All that one trip may bring home after decompression: a bound on what a hostile host can make us hold.
MOST_BYTES = 16 * 1024 * 1024
_WORD = 800
# sudo compares arguments joined by blanks: an account could hand over the same words otherwise cut, so that one of
# them names a file in the folder that it stands in. In / it has none. (Coreutils before 8.28 cannot do that.)
_IN_ROOT = "/usr/bin/env -C /"
# What ends an output of which nothing is missing.
_WHOLE = b"\n.\n"
# What sudo says of itself where it goes on all the same; of a line that it does not understand, with the line.
_SUDO_CHATTER = re.compile(
    rb"^sudo: (?:unable to resolve host |setrlimit\(|unable to open /[^\n]*: No such file"
    rb"|/[^\n]* is (?:(?:world|group) writable|owned by )).*\n?"
    rb"|^/etc/sudoers[^\n:]*:\d+:\d+: [^\n]*\n[^\n]*\n *\^~*\n?",
    re.M,
)
# Why nothing is asked as root, where no line of sudoers would help.
_FORBIDDEN = "the inventory does not let the audit become root"
_LEFT_BEHIND = "sudo did not end when it was last asked"
_KEY = re.compile(r"[a-z0-9][a-z0-9.@_-]*")

ROLES = "roles"
PRIVILEGE = "privilege"

# Where the vendor's packages, tarballs and Debian's own packages put what makes a machine play a role.
ROLE_FILES: dict[Role, tuple[str, ...]] = {
    # The RPM hides the folder of the first from everybody; the program can be seen.
    Role.SERVER: ("/etc/pandora/pandora_server.conf", "/usr/bin/pandora_server"),
    Role.TENTACLE: ("/etc/tentacle/tentacle_server.conf", "/etc/pandora/tentacle_server.conf"),
    Role.CONSOLE: (
        "/var/www/html/pandora_console/include/config.php",
        "/var/www/pandora_console/include/config.php",
        "/srv/www/htdocs/pandora_console/include/config.php",
    ),
    Role.DATABASE: ("/usr/sbin/mysqld", "/usr/sbin/mariadbd", "/usr/libexec/mysqld", "/usr/libexec/mariadbd"),
    Role.AGENT: ("/etc/pandora/pandora_agent.conf", "/etc/pandorafms/pandora_agent.conf"),
}

# "/" is always there: an answer without it is none.
_LOOKED_AT = ("/", *(file for files in ROLE_FILES.values() for file in files))
LOOK = " ".join(("/usr/bin/timeout -s KILL 10", _IN_ROOT, "/usr/bin/stat -c %n", *_LOOKED_AT))
"""What root is asked of the files that tell a role, where an account may not look for them itself."""

_PRELUDE = (
    """\
unset pw
set -f +axv
LC_ALL=C LANG=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL LANG PATH
umask 077
in_root='IN_ROOT'
$in_root true 2>/dev/null || in_root=
nl='
'
# An unprivileged question: key, seconds, output limit, host-side filter, bytes of our stdin, command.
u() {
  key=$1 sec=$2 lim=$3 keep=$4 feed=$5
  shift 5
  q timeout -s KILL "$sec" "$@"
}
# A privileged question, with the places of its program: at home as root, otherwise only what sudo said it grants.
r() {
  key=$1 sec=$2 lim=$3 keep=$4 feed=$5 at=$6
  shift 6
  for p in $at; do [ -x "$p" ] && break; done
  [ -x "$p" ] || { no "missing $at"; return; }
  set -- /usr/bin/timeout -s KILL "$sec" $in_root "$p" "$@"
  [ "$by" != root ] || { q "$@"; return; }
  may "$@"
  case $how:$pw in
    N:*) q sudo -n "$@" ;;
    P:) no password; return ;;
    P:*) q with_password "$@" ;;
    *) no "denied $why"; return ;;
  esac
  [ "$rc" != - ] || all='' free=$nl paid=$nl why='LEFT_BEHIND'
}
# How sudo lets this account run a command: N (no password), P or not at all.
may() {
  how=$all
  case "$paid" in *"$nl$*$nl"*) how=P ;; esac
  case "$free" in *"$nl$*$nl"*) how=N ;; esac
}
# A question asked only where being root is no further privilege: of root, and of who may run everything.
x() {
  key=$1 sec=$2 lim=$3 keep=$4 feed=$5
  shift 5
  set -- timeout -s KILL "$sec" "$@"
  case $by:$all:$pw in
    root:*) q "$@" ;;
    *:N:*) q sudo -n "$@" ;;
    *:P:?*) q with_password "$@" ;;
    *) no all ;;
  esac
}
# A program never reads beyond its own share of our stdin, nor leaves any of it to the next.
q() {
  read -r t _ </proc/uptime
  printf '@%s %s\\n' "$key" "$t"
  if [ "$feed" = 0 ]; then run "$@" 5</dev/null; else head -c "$feed" | { run "$@" 5<&0; cat >/dev/null; }; fi
}
command -v timeout >/dev/null 2>&1 || q() { no unbounded; }
# The streams are kept apart without a temporary file: output flows home, the errors wait in a variable with the
# status last. The program runs beside us, so that one that nobody can end (sudo may hang) is left behind.
run() {
  err=$({
    { { "$@" 2>&4 4>&- 5<&-; echo "rc $?" >&4; } <&5 3>&- & } | hear | sed 's/^/o/' >&3
  } 4>&1 2>/dev/null | timeout $((sec + 4)) tail -c ERRBYTES)
  read -r t _ </proc/uptime
  rc=${err##*rc }
  case $rc in '' | *[!0-9]*) rc=- ;; *) err=${err%rc *} ;; esac
  echo
  [ -z "$err" ] || printf '%s\\n' "$err" | sed 's/^/e/'
  printf '.%s %s %s\\n' "$key" "$rc" "$t"
}
# What a program says, and a last line if that was all of it. The filter holds one line at a time: not any length.
hear() {
  if [ -z "$keep" ]; then timeout $((sec + 3)) head -c "$lim" && printf '\\n.'; return; fi
  case $keep in '#!perl'*) set -- perl -n -e "$keep" ;; *) set -- sed -nE "$keep" ;; esac
  { ulimit -v 262144; timeout $((sec + 3)) "$@" && printf '\\n.'; } | head -c $((lim + 2))
}
# A question that is not run still takes its share of our stdin.
no() { printf '@%s 0\\n!%s\\n.%s - 0\\n' "$key" "$1" "$key"; [ "$feed" = 0 ] || head -c "$feed" >/dev/null; }
# Without -k, sudo may remember the password, and what it does not read goes to the program.
with_password() { { printf '%s\\n' "$pw"; cat; } | sudo -k -S -p '' "$@"; }
# What sudo grants, asked once: a command a line, without backslashes, in $free (no password) and $paid; whether
# ALL, N (no password) or P, in $all. The last that matches counts, so ALL overrides what stands before it.
sudo_grants() {
  if ! command -v sudo >/dev/null 2>&1; then why='sudo is not installed'; return; fi
  list=$(listed -n </dev/null)
  [ -z "$pw" ] || granted || list=$(printf '%s\\n' "$pw" | listed -S -p '')
  if ! granted; then why=$(printf '%s' "${list:-sudo did not answer}" | tail -n 1 | head -c 300); return; fi
  by=sudo why='sudo does not grant it to this account' untagged=P ifs=$IFS IFS=$nl
  case $list in *!authenticate*) untagged=N ;; esac
  for line in $(printf '%s\\n' "$list" | sed -nE '/^ *\\([^)]*!/d; s/^ *\\((ALL|root)([ ,:][^)]*)?\\) */^/p' |
    sed 's/, /\\
/g; s/\\\\//g'); do
    case $line in ^*) tag=$untagged line=${line#^} ;; esac
    while :; do
      case $line in
        NOPASSWD:*) tag=N ;;
        PASSWD:*) tag=P ;;
        [A-Z]*:\\ *) ;;
        *) break ;;
      esac
      line=${line#*: }
    done
    case $tag$line in
      ?ALL) all=$tag free=$nl paid=$nl ;;
      ?!ALL | ?!/usr/bin/timeout*) all='' free=$nl paid=$nl ;;
      N*) free=$free$line$nl ;;
      P*) paid=$paid$line$nl ;;
    esac
  done
  IFS=$ifs
}
listed() { { sudo -k "$@" -l <&5 2>&1 3>&- 5<&- & } 5<&0 | timeout 20 cat; }
granted() { case $list in *' may run the following commands on '*) ;; *) return 1 ;; esac; }
# What root sees of the files that tell a role; nothing where this account may not ask.
look() {
  set -- LOOK
  may "$@"
  case $how:$pw in
    N:*) sudo -n "$@" ;;
    P:?*) with_password "$@" ;;
  esac </dev/null 2>/dev/null
}
# A role is there, not there, or hidden in a directory that this account may not look into; one of the console's own
# tells as much as what is in it.
role() {
  name=$1 is=absent
  shift
  for f in "$@"; do
    if [ -e "$f" ]; then is=present; roles="$roles$name "; printf '%s present %s\\n' "$name" "$f"; return; fi
    d=${f%/*}
    while [ ! -e "$d" ] && [ -n "$d" ]; do d=${d%/*}; done
    [ -z "$d" ] || [ -x "$d" ] || case $d in
      */pandora_console | */pandora_console/*)
        roles="$roles$name "
        printf '%s present %s\\n' "$name" "$d"
        return
        ;;
      *) is="hidden $d" ;;
    esac
  done
  case $is in hidden*)
    [ -n "$seen" ] || seen=$(look)
    [ -z "$seen" ] || is=absent
    for f in "$@"; do
      case "$nl$seen$nl" in *"$nl$f$nl"*) is="present $f" roles="$roles$name " ;; esac
    done ;;
  esac
  printf '%s %s\\n' "$name" "$is"
}
say() { printf '@%s 0\\n' "$1"; printf '%s\\n' "$2" | sed 's/^/o/'; printf '.%s 0 0\\n' "$1"; }
""".replace("ERRBYTES", str(_ERR_BYTES))
    .replace("IN_ROOT", _IN_ROOT)
    .replace("LEFT_BEHIND", _LEFT_BEHIND)
    .replace("LOOK", LOOK)
)


@dataclass(frozen=True, kw_only=True)
class Script:
    """One trip, ready to travel.

    Args:
        text: the shell text, as ``--print-script`` shows it.
        marker: what stands before the first frame; never the same twice.
        stdin: the sudo password's line and what questions read, in the order in which they are asked.
        first: whether its questions were known before the machine had answered anything.
        seconds: the longest that the host may take, by the questions' own limits.
    """

    text: str
    marker: str
    asks: tuple[Ask, ...]
    stdin: bytes = field(default=b"", repr=False)
    first: bool = True

    @property
    def seconds(self) -> float:
        return 50.0 + sum(ask.seconds + 5 for ask in self.asks)

    @property
    def command(self) -> str:
        """The exec string: one line without a mark that sh, bash, csh and fish read differently."""
        packed = base64.b64encode(self.text.encode()).decode()
        # BSD's csh has a limit for one word.
        words = " ".join(packed[at : at + _WORD] for at in range(0, len(packed), _WORD))
        unpack = 'PATH=/usr/bin:/bin; eval "$(echo "$@" | tr -d " " | base64 -d)"'
        return f"exec /bin/sh -c '{unpack}' sh {words}"


def compose(
    asks: Iterable[Ask],
    *,
    marker: str,
    become: bool = True,
    password: str | None = None,
    promised: Iterable[Role] = (),
    first: bool = True,
) -> Script:
    """The script that asks these questions. Raises ValueError for a key that cannot be framed."""
    asks = checked(asks)
    privileged = any(ask.root or ask.if_all for ask in asks)
    words = [_PRELUDE, "main() {", "exec 3>&1", "by=nobody all= free=$nl paid=$nl why= pw= seen= roles=' '"]
    if password is not None:
        words.append("IFS= read -r pw")
    words.append('if [ "$(id -u)" = 0 ]; then by=root')
    if privileged and become:
        words.append("else sudo_grants")
    words += ["fi"]
    if not become:
        words.append(f"why='{_FORBIDDEN}'")
    detect = [f"role {role} {' '.join(files)}" for role, files in ROLE_FILES.items()]
    promise = [f'roles="${{roles}}{role} "' for role in promised]
    words += ["{", *detect, *promise, "} >/dev/null"]
    if first:
        words += [f'say {PRIVILEGE} "$(id -un) $by $why${{nl}}ALL $all$free$paid"']
        words += [f'say {ROLES} "$({"; ".join(detect)})"']
    words += [_line(ask) for ask in asks]
    words += [
        "}",
        f"if command -v gzip >/dev/null 2>&1; then echo; echo {marker} gzip; main | gzip -1",
        f"else echo; echo {marker} plain; main; fi",
    ]
    stdin = b"" if password is None else password.encode() + b"\n"
    stdin += b"".join(ask.stdin for ask in asks)
    return Script(text="\n".join(words) + "\n", marker=marker, asks=asks, stdin=stdin, first=first)


def checked(asks: Iterable[Ask]) -> tuple[Ask, ...]:
    """These questions. Raises ValueError for a key that cannot be framed."""
    asks = tuple(asks)
    for ask in asks:
        if not _KEY.fullmatch(ask.key) or ask.key in (PRIVILEGE, ROLES):
            raise ValueError(f"question {ask.key!r}: a key is made of a-z 0-9 . @ _ -, and not one of the script's own")
    return asks


def _line(ask: Ask) -> str:
    head = [ask.key, str(ask.seconds), str(ask.limit + 1), ask.keep, str(len(ask.stdin))]
    if ask.root:
        words = ["r", *head, " ".join(places(ask.argv[0])), *ask.argv[1:]]
    else:
        words = ["x" if ask.if_all else "u", *head, *(ask.argv or ("/bin/sh", "-c", ask.sh))]
    line = " ".join(shlex.quote(word) for word in words)
    if ask.only_if is None:
        return line
    skip = f"key={ask.key} feed={len(ask.stdin)}; no role"
    return f'case "$roles" in *" {ask.only_if} "*) {line} ;; *) {skip} ;; esac'


def sudo_commands(ask: Ask) -> tuple[str, ...]:
    """The commands, as sudo sees them, that a privileged question may run."""
    return tuple(
        " ".join(("/usr/bin/timeout", "-s", "KILL", str(ask.seconds), _IN_ROOT, path, *ask.argv[1:]))
        for path in places(ask.argv[0])
    )


def sudoers(asks: Iterable[Ask], account: str) -> str:
    """A sudoers file with which the account may run exactly these privileged questions and nothing else."""
    # find runs others by name: where no secure_path is set, that would be a name in the account's own PATH.
    defaults = f'Defaults:{account} env_reset, secure_path="/usr/sbin:/usr/bin:/sbin:/bin"\n'
    return defaults + _granted({LOOK, *_privileged(asks)}, account)


def further_sudoers(further: Iterable[Ask], asks: Iterable[Ask], account: str) -> str:
    """The lines that further privileged questions need beside those of the first; empty where there are none."""
    return _granted(_privileged(further) - _privileged(asks), account)


def _privileged(asks: Iterable[Ask]) -> set[str]:
    return {command for ask in asks if ask.root for command in sudo_commands(ask)}


def _granted(commands: Iterable[str], account: str) -> str:
    escaped = (re.sub(r"([\\,:=#])", r"\\\1", command) for command in sorted(commands))
    return "".join(f"{account} ALL=(root) NOPASSWD: {command}\n" for command in escaped)


def parse(raw: bytes, script: Script, said: bytes = b"") -> Answers:
    """The answers in what a host sent. Every question of the script gets one; what is missing is silence.

    Raises NotObserved when the script did not even begin; ``said`` is what came on standard error instead.
    """
    if f"\n{script.marker} ".encode() not in raw:
        words = " ".join((raw[-300:] + b" " + said[-300:]).decode("utf-8", "backslashreplace").split())
        raise NotObserved("the login shell did not run the audit's script" + (f" and said “{words}”" if words else ""))
    frames = _frames(_unpack(raw, script.marker))
    asks = {ask.key: ask for ask in script.asks}
    found: dict[str, Answer] = {}
    for frame in frames:
        if frame.key in asks and frame.key not in found:
            found[frame.key] = _answer(asks[frame.key], frame, first=script.first)
        elif frame.key in (PRIVILEGE, ROLES):
            found[frame.key] = Answer(key=frame.key, question=frame.key, status=0, out=frame.out)
    for key, ask in asks.items():
        if key not in found:
            silence = f"the connection ended before `{ask.short}` had answered"
            found[key] = Answer(key=key, question=ask.text, silence=silence)
    return Answers(found)


@dataclass
class _Frame:
    key: str
    begin: float
    out: bytes = b""
    err: bytes = b""
    refused: str = ""
    status: int | None = None
    end: float = 0.0

    @property
    def whole(self) -> bool:
        return self.out.endswith(_WHOLE)


def _unpack(raw: bytes, marker: str) -> bytes:
    _, _, rest = raw.partition(f"\n{marker} ".encode())
    how, _, body = rest.partition(b"\n")
    if how != b"gzip":
        return body[:MOST_BYTES]
    inflate = zlib.decompressobj(wbits=31)
    try:
        return inflate.decompress(body, MOST_BYTES)
    except zlib.error:
        return b""


def _frames(body: bytes) -> Iterator[_Frame]:
    """Whole frames only: one whose end did not arrive is no answer."""
    frame: _Frame | None = None
    out, err = bytearray(), bytearray()
    for line in io.BytesIO(body):
        mark, rest = line[:1], line[1:]
        if mark == b"@":
            key, _, begin = _word(rest).partition(" ")
            frame, out, err = _Frame(key, _number(begin)), bytearray(), bytearray()
        elif frame is None:
            continue
        elif mark == b"o":
            out += rest
        elif mark == b"e":
            err += rest
        elif mark == b"!":
            frame.refused = rest.decode("utf-8", "backslashreplace").strip()
        elif mark == b"." and line.endswith(b"\n"):
            key, _, tail = _word(rest).partition(" ")
            status, _, end = tail.partition(" ")
            frame.status = int(status) if re.fullmatch(r"\d{1,3}", status) else None
            frame.end = _number(end)
            frame.out, frame.err = bytes(out), bytes(err)
            if key == frame.key:
                yield frame
            frame = None


def _word(line: bytes) -> str:
    return line.decode("ascii", "replace").rstrip("\n")


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text) else 0.0


def _answer(ask: Ask, frame: _Frame, *, first: bool) -> Answer:
    err = _SUDO_CHATTER.sub(b"", frame.err) if ask.root else frame.err
    if len(frame.err) > _ERR_BYTES - 8:  # the rest was "rc" and the status
        err = b"(cut) " + err
    frame = replace(frame, err=err.strip())
    silence, cause = _silence(ask, frame, first=first)
    return Answer(
        key=ask.key,
        question=ask.text,
        status=frame.status,
        out=frame.out.removesuffix(_WHOLE)[: ask.limit],
        err=frame.err,
        silence=silence,
        cause=cause,
        seconds=max(0.0, round(frame.end - frame.begin, 2)),
    )


def _silence(ask: Ask, frame: _Frame, *, first: bool) -> tuple[str, Cause | None]:
    """Why this is no answer, as a sentence and as what a fact may read in it; empty when it is one."""
    code, _, detail = frame.refused.partition(" ")
    status, said = frame.status, frame.err.decode("utf-8", "backslashreplace")
    if code == "missing":
        return f"`{ask.argv[0]}` is not installed ({detail})", Cause.MISSING
    if code == "role":
        return f"not asked: the machine does not play the role {ask.only_if}", Cause.ROLE
    if code == "shell":
        return f"not asked: the machine runs Windows, and `{ask.short}` is for Unix", Cause.SHELL
    if code == "unbounded":
        return f"`{ask.short}` was not asked: the machine has no `timeout`, which would end it", None
    if code == "all":
        return f"`{ask.short}` is asked only of an account that may do everything as root", Cause.PRIVILEGE
    if code == "password":
        return f"only root may run `{ask.short}`, and sudo asks for a password that was not given", Cause.PRIVILEGE
    if code:
        lets = "; --sudoers prints the line for it" + ("" if first else ", from a record of this machine")
        lets = "" if detail in (_FORBIDDEN, _LEFT_BEHIND) else lets
        return f"only root may run `{ask.short}`: {detail or 'this account is not root'}{lets}", Cause.PRIVILEGE
    if len(frame.out.removesuffix(_WHOLE)) > ask.limit:
        return f"`{ask.short}` said more than {ask.limit} bytes", None
    if ask.root and status != 0 and re.match(r"sudo: |Sorry, ", said):
        return f"sudo refused `{ask.short}`: {said.splitlines()[0][:300]}", Cause.PRIVILEGE
    if status in (124, 137):
        return f"`{ask.short}` did not end within {ask.seconds} s", None
    if status in (126, 127) and ask.argv:
        why = said.splitlines()[-1][:300] if said else f"exit {status}"
        return f"`{ask.argv[0]}` could not be run: {why}", Cause.FAILED
    if status is not None and 128 < status < 193:
        return f"`{ask.short}` was ended by signal {status - 128}", None
    if status is None or not frame.whole:
        return f"`{ask.short}` was not heard to its end" + (" (its filter is for perl)" if ask.needs_perl else ""), None
    return "", None
