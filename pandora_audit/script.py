"""Questions become one POSIX shell text; the bytes that come back become answers. Pure: nothing here connects.

The text travels as the exec string of one SSH channel (one round trip less than standard input). Its frames:

    @key begin      a question starts (seconds since boot)
    o…              one line of its standard output
    e…              one line of its standard error
    !code detail    it was not run, and why
    .key status end it is over

Every line that a program wrote carries a prefix, so nothing a host says can look like a frame; and a marker that
is new in each run stands before the first, so nothing a login shell prints first can look like the beginning.
"""

from __future__ import annotations

import base64
import re
import shlex
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pandora_audit.question import Answer, Answers, Ask, NotObserved, Role, places

# Text of one question's standard error that is kept; the last bytes, since the reason stands at the end.
_ERR_BYTES = 2000
# All that one trip may bring home after decompression: a bound on what a hostile host can make us hold.
MOST_BYTES = 16 * 1024 * 1024
_WORD = 800
_KEY = re.compile(r"[a-z0-9][a-z0-9.@_-]*")

ROLES = "roles"
PRIVILEGE = "privilege"

# Where the vendor's packages, tarballs and Debian's own packages put what makes a machine play a role.
ROLE_FILES: dict[Role, tuple[str, ...]] = {
    Role.SERVER: ("/etc/pandora/pandora_server.conf",),
    Role.TENTACLE: ("/etc/tentacle/tentacle_server.conf", "/etc/pandora/tentacle_server.conf"),
    Role.CONSOLE: (
        "/var/www/html/pandora_console/include/config.php",
        "/var/www/pandora_console/include/config.php",
        "/srv/www/htdocs/pandora_console/include/config.php",
    ),
    Role.DATABASE: ("/usr/sbin/mysqld", "/usr/sbin/mariadbd", "/usr/libexec/mysqld", "/usr/libexec/mariadbd"),
    Role.AGENT: ("/etc/pandora/pandora_agent.conf", "/etc/pandorafms/pandora_agent.conf"),
}

_PRELUDE = """\
LC_ALL=C LANG=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL LANG PATH
umask 077
set -f
nl='
'
# One question: key, seconds, output limit, host-side filter, bytes of our stdin, command. The streams are
# kept apart without a temporary file: output flows home, the errors wait in a variable with the status last.
q() {
  key=$1 sec=$2 lim=$3 keep=$4 feed=$5
  shift 5
  read -r t _ </proc/uptime
  printf '@%s %s\\n' "$key" "$t"
  err=$({
    { feed "$feed" | { "$@" 2>&4; echo "rc $?" >&4; } | keep "$keep" | head -c "$lim" | sed 's/^/o/' >&3; } 4>&1
  } 2>/dev/null | tail -c ERRBYTES)
  read -r t _ </proc/uptime
  rc=${err##*rc }
  printf '\\n'
  printf '%s\\n' "${err%rc *}" | sed 's/^/e/'
  printf '.%s %s %s\\n' "$key" "$rc" "$t"
}
feed() { [ "$1" = 0 ] || head -c "$1"; }
keep() { if [ -n "$1" ]; then sed -nE "$1"; else cat; fi; }
# A question that is not run still takes its share of our standard input.
no() { printf '@%s 0\\n!%s\\n.%s - 0\\n' "$1" "$3" "$1"; feed "$2" >/dev/null; }
u() {
  key=$1 sec=$2 lim=$3 keep=$4 feed=$5
  shift 5
  q "$key" "$sec" "$lim" "$keep" "$feed" timeout -k 1 "$sec" "$@" 3>&3
}
# A privileged question: at home as root, otherwise only if sudo has said that it is granted.
r() {
  key=$1 sec=$2 lim=$3 keep=$4 feed=$5 at=$6
  shift 6
  for p in $at; do [ -x "$p" ] && break; done
  if [ ! -x "$p" ]; then no "$key" "$feed" "missing $at"; return; fi
  set -- /usr/bin/timeout -k 1 "$sec" "$p" "$@"
  if [ "$by" = root ]; then q "$key" "$sec" "$lim" "$keep" "$feed" "$@"; return; fi
  flat=$(printf '%s' "$*" | tr -d '\\\\')
  case "$free" in *"${nl}ALL$nl"* | *"$nl$flat$nl"*) q "$key" "$sec" "$lim" "$keep" "$feed" sudo -n "$@"; return ;; esac
  case "$paid" in *"${nl}ALL$nl"* | *"$nl$flat$nl"*)
    if [ -z "$pw" ]; then no "$key" "$feed" password; return; fi
    q "$key" "$sec" "$lim" "$keep" "$feed" with_password "$@"
    return ;;
  esac
  no "$key" "$feed" "denied $why"
}
with_password() { { printf '%s\\n' "$pw"; cat; } | sudo -S -p '' "$@"; }
# What sudo grants, asked once: one line a command in $free (no password) and $paid, backslashes removed.
sudo_grants() {
  free=$nl paid=$nl
  if ! command -v sudo >/dev/null 2>&1; then by=nobody why='sudo is not installed'; return; fi
  list=$(sudo -n -l 2>&1) && by=sudo || by=nobody
  if [ "$by" = nobody ] && [ -n "$pw" ]; then
    list=$(printf '%s\\n' "$pw" | sudo -S -p '' -l 2>&1) && by=sudo
  fi
  if [ "$by" = nobody ]; then why=$(printf '%s' "$list" | tail -n 1 | head -c 300); return; fi
  why='sudo does not grant it to this account'
  tag=P ifs=$IFS IFS=$nl
  for line in $(printf '%s\\n' "$list" | sed -n -e 's/^ *(ALL[^)]*) */^/p' -e 's/^ *(root[^)]*) */^/p' | sed 's/, /\\
/g'); do
    case $line in ^*) tag=P line=${line#^} ;; esac
    while :; do
      case $line in
        NOPASSWD:*) tag=N line=${line#NOPASSWD: } ;;
        PASSWD:*) tag=P line=${line#PASSWD: } ;;
        [A-Z]*:\\ *) line=${line#*: } ;;
        *) break ;;
      esac
    done
    line=$(printf '%s' "$line" | tr -d '\\\\')
    if [ "$tag" = N ]; then free=$free$line$nl; else paid=$paid$line$nl; fi
  done
  IFS=$ifs
}
# A role is there, not there, or hidden in a directory that this account may not look into.
role() {
  name=$1 is=absent
  shift
  for f in "$@"; do
    if [ -e "$f" ]; then is=present; roles="$roles$name "; printf '%s present %s\\n' "$name" "$f"; return; fi
    d=${f%/*}
    while [ ! -e "$d" ] && [ -n "$d" ]; do d=${d%/*}; done
    [ -z "$d" ] || [ -x "$d" ] || is="hidden $d"
  done
  printf '%s %s\\n' "$name" "$is"
}
say() { printf '@%s 0\\n' "$1"; printf '%s\\n' "$2" | sed 's/^/o/'; printf '.%s 0 0\\n' "$1"; }
""".replace("ERRBYTES", str(_ERR_BYTES))


@dataclass(frozen=True, kw_only=True)
class Script:
    """One trip, ready to travel.

    Args:
        text: the shell text, as ``--print-script`` shows it.
        marker: what stands before the first frame; never the same twice.
        stdin: the sudo password's line and what questions read, in the order in which they are asked.
        seconds: the longest that the host may take, by the questions' own limits.
    """

    text: str
    marker: str
    asks: tuple[Ask, ...]
    stdin: bytes = field(default=b"", repr=False)

    @property
    def seconds(self) -> float:
        return 15.0 + sum(ask.seconds + 2 for ask in self.asks)

    @property
    def command(self) -> str:
        """The exec string: one line without a mark that sh, bash, csh and fish read differently."""
        packed = base64.b64encode(self.text.encode()).decode()
        # BSD's csh has a limit for one word.
        words = " ".join(packed[at : at + _WORD] for at in range(0, len(packed), _WORD))
        return f'exec /bin/sh -c \'eval "$(echo "$@" | tr -d " " | base64 -d)"\' sh {words}'


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
    asks = tuple(asks)
    for ask in asks:
        if not _KEY.fullmatch(ask.key):
            raise ValueError(f"question {ask.key!r}: a key is made of a-z 0-9 . @ _ -")
    privileged = any(ask.root for ask in asks)
    words = [_PRELUDE, "main() {", "exec 3>&1", "by=nobody free= paid= why= pw= roles=' '"]
    if password is not None:
        words.append("IFS= read -r pw")
    words.append('if [ "$(id -u)" = 0 ]; then by=root')
    if privileged and become:
        words.append("else sudo_grants")
    words += ["fi"]
    if not become:
        words.append("why='the inventory does not let the audit become root'")
    detect = [f"role {role} {' '.join(files)}" for role, files in ROLE_FILES.items()]
    promise = [f'roles="$roles{role} "' for role in promised]
    words += ["{", *detect, *promise, "} >/dev/null"]
    if first:
        words += [f'say {PRIVILEGE} "$(id -un) $by $why$nl$free$nl$paid"']
        words += [f'say {ROLES} "$({"; ".join(detect)})"']
    words += [_line(ask) for ask in asks]
    words += [
        "}",
        f"if command -v gzip >/dev/null 2>&1; then echo; echo {marker} gzip; main | gzip -1",
        f"else echo; echo {marker} plain; main; fi",
    ]
    stdin = b"" if password is None else password.encode() + b"\n"
    stdin += b"".join(ask.stdin for ask in asks)
    return Script(text="\n".join(words) + "\n", marker=marker, asks=asks, stdin=stdin)


def _line(ask: Ask) -> str:
    head = [ask.key, str(ask.seconds), str(ask.limit + 1), ask.keep, str(len(ask.stdin))]
    if ask.root:
        words = ["r", *head, " ".join(places(ask.argv[0])), *ask.argv[1:]]
    else:
        words = ["u", *head, *(ask.argv or ("/bin/sh", "-c", ask.sh))]
    line = " ".join(shlex.quote(word) for word in words)
    if ask.only_if is None:
        return line
    skip = f"no {ask.key} {len(ask.stdin)} role"
    return f'case "$roles" in *" {ask.only_if} "*) {line} ;; *) {skip} ;; esac'


def sudo_commands(ask: Ask) -> tuple[str, ...]:
    """The commands, as sudo sees them, that a privileged question may run."""
    return tuple(
        " ".join(("/usr/bin/timeout", "-k", "1", str(ask.seconds), path, *ask.argv[1:])) for path in places(ask.argv[0])
    )


def sudoers(asks: Iterable[Ask], account: str) -> str:
    """A sudoers file with which the account may run exactly these privileged questions and nothing else."""
    commands = sorted({command for ask in asks if ask.root for command in sudo_commands(ask)})
    escaped = (re.sub(r"([\\,:=])", r"\\\1", command) for command in commands)
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
            found[frame.key] = _answer(asks[frame.key], frame)
        elif frame.key in (PRIVILEGE, ROLES):
            found[frame.key] = Answer(key=frame.key, question=frame.key, status=0, out=frame.out)
    for key, ask in asks.items():
        if key not in found:
            silence = f"the connection ended before `{ask.text}` had answered"
            found[key] = Answer(key=key, question=ask.text, silence=silence)
    return Answers(found)


@dataclass
class _Frame:
    key: str
    begin: float
    out: bytes = b""
    err: bytes = b""
    refused: str = ""
    status: str = ""
    end: float = 0.0


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
    out: list[bytes] = []
    err: list[bytes] = []
    for line in body.split(b"\n"):
        mark, rest = line[:1], line[1:]
        if mark == b"@":
            key, _, begin = rest.decode("ascii", "replace").partition(" ")
            frame, out, err = _Frame(key, _number(begin)), [], []
        elif frame is None:
            continue
        elif mark == b"o":
            out.append(rest)
        elif mark == b"e":
            err.append(rest)
        elif mark == b"!":
            frame.refused = rest.decode("utf-8", "backslashreplace")
        elif mark == b".":
            key, _, tail = rest.decode("ascii", "replace").partition(" ")
            frame.status, _, end = tail.partition(" ")
            frame.end = _number(end)
            frame.out, frame.err = b"\n".join(out), b"\n".join(err)
            if key == frame.key:
                yield frame
            frame = None


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text) else 0.0


def _answer(ask: Ask, frame: _Frame) -> Answer:
    status = int(frame.status) if re.fullmatch(r"\d{1,3}", frame.status) else None
    return Answer(
        key=ask.key,
        question=ask.text,
        status=status,
        out=frame.out[: ask.limit],
        err=frame.err.strip()[:_ERR_BYTES],
        silence=_silence(ask, frame, status),
        seconds=max(0.0, round(frame.end - frame.begin, 2)),
    )


def _silence(ask: Ask, frame: _Frame, status: int | None) -> str:
    code, _, detail = frame.refused.partition(" ")
    said = frame.err.decode("utf-8", "backslashreplace").strip()
    if code == "missing":
        return f"`{ask.argv[0]}` is not installed ({detail})"
    if code == "role":
        return f"not asked: the machine does not play the role {ask.only_if}"
    if code == "password":
        return f"only root may run `{ask.text}`, and sudo asks for a password that was not given"
    if code:
        return f"only root may run `{ask.text}`: {detail or 'this account is not root'}"
    if status is None:
        return f"`{ask.text}` did not tell how it ended"
    if ask.root and status != 0 and re.match(r"sudo: |Sorry, ", said):
        return f"sudo refused `{ask.text}`: {said.splitlines()[0][:300]}"
    if status in (124, 137):
        return f"`{ask.text}` did not end within {ask.seconds} s"
    if status in (126, 127) and ask.argv:
        return f"`{ask.argv[0]}` could not be run: {said.splitlines()[-1][:300] if said else f'exit {status}'}"
    if len(frame.out) > ask.limit:
        return f"`{ask.text}` said more than {ask.limit} bytes"
    return ""
