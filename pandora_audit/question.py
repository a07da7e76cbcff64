"""What is asked of a machine, and what came back: plain data, no connection, no judgement."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


class NotObserved(Exception):  # noqa: N818  (it is a verdict's reason before it is an error)
    """Nobody answered: the claim can be neither confirmed nor denied. Its text is a sentence for the report."""

    @property
    def reason(self) -> str:
        return str(self)


class Unreadable(NotObserved):
    """Somebody answered, in words that the reader does not understand."""


class Role(enum.StrEnum):
    """A part of a Pandora FMS installation that a machine can play."""

    SERVER = "server"
    TENTACLE = "tentacle"
    CONSOLE = "console"
    DATABASE = "database"
    AGENT = "agent"


class Shell(enum.StrEnum):
    """The language in which a machine is asked."""

    POSIX = "posix"
    POWERSHELL = "powershell"


# Some live in sbin on one family and in bin on another, or have had two names; sudoers must name the file that is run.
_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "ip6tables-save": ("/usr/sbin/ip6tables-save",),
    "iptables-save": ("/usr/sbin/iptables-save",),
    "nft": ("/usr/sbin/nft",),
    "mysql": ("/usr/bin/mariadb", "/usr/bin/mysql"),
    "ss": ("/usr/bin/ss", "/usr/sbin/ss"),
    "sshd": ("/usr/sbin/sshd",),
}


PERL = "#!perl\n"
"""What a host-side filter begins with that sed cannot express: a digest, ``crypt``, several lines at once."""


def places(program: str) -> tuple[str, ...]:
    """The absolute paths at which a program is looked for, in order."""
    if program.startswith("/"):
        return (program,)
    return _ELSEWHERE.get(program, (f"/usr/bin/{program}",))


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A question that the machine answers by running a program.

    Args:
        key: names the question within its machine; two facts may share a question, never a key.
        argv: the program and its arguments. Privileged questions are run exactly so, below ``sudo``.
        sh: instead of argv, a POSIX shell text; never privileged.
        ps: instead of both, a PowerShell text: the question is asked of Windows machines, and of no other. What
            leaves the host is what it writes; it filters by itself. Its first line is a comment that names it.
        root: whether only root gets the whole answer.
        if_all: asked as root, and only of an account that may do everything anyway. No sudoers file names it: what it
            runs could be turned into a root shell.
        seconds: the time limit on the host.
        limit: how many bytes of standard output leave the host.
        stdin: what the program reads; the only way for a secret or a word list to reach a host.
        only_if: asked only where this role was detected or promised.
        keep: a ``sed -nE`` program run on the host by the account that logs in; only what it prints leaves the host.
            With the first line ``#!perl`` it is a program for ``perl -n`` instead.
    """

    key: str
    argv: tuple[str, ...] = ()
    sh: str = ""
    ps: str = ""
    root: bool = False
    if_all: bool = False
    seconds: int = 10
    limit: int = 256 * 1024
    stdin: bytes = field(default=b"", repr=False)
    only_if: Role | None = None
    keep: str = ""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.argv, self.sh, self.ps))) != 1:
            raise ValueError(f"question {self.key}: either argv or sh or ps")
        if self.root and not self.argv:
            raise ValueError(f"question {self.key}: a privileged question is an argv, not a shell text")
        if self.ps and not re.match("# .+\n", self.ps):
            raise ValueError(f"question {self.key}: a PowerShell text begins with a comment that names it")
        if self.ps and (self.keep or self.stdin or self.if_all):
            raise ValueError(f"question {self.key}: PowerShell is asked without filter, input or other account")
        if self.root and any(not word or set(word) & set(" \t\n\\*?[]") for word in self.argv):
            raise ValueError(f"question {self.key}: sudo joins arguments and expands patterns; no blanks or wildcards")

    @property
    def shell(self) -> Shell:
        """The language that it is asked in."""
        return Shell.POWERSHELL if self.ps else Shell.POSIX

    @property
    def needs_perl(self) -> bool:
        return self.keep.startswith(PERL)

    @property
    def text(self) -> str:
        """The question as evidence shows it."""
        return self.sh or self.ps or " ".join(self.argv)

    @property
    def short(self) -> str:
        """The question as a sentence names it."""
        text = named(self.text)
        return text if len(text) <= 60 else f"{text[:59]}…"


def named(question: str) -> str:
    """How a sentence calls a question: a PowerShell text by the comment that it begins with."""
    return question.partition("\n")[0].removeprefix("# ") if question.startswith("# ") else question


class ProbeKind(enum.StrEnum):
    BANNER = "banner"
    """The first line that the port says by itself."""
    PORT = "port"
    """Whether the port accepts a connection."""
    HTTP = "http"
    """The answers to GET requests, one after the other; cookies are sent back."""
    HTTPS = "https"
    """The same through TLS, whatever the certificate."""
    TLS = "tls"
    """Which protocols the port speaks, and whether its certificate is to be trusted."""
    TENTACLE = "tentacle"
    """What Tentacle lets a stranger do there (probes/tentacle.py)."""
    SIGNATURE = "signature"
    """Whose signature a file bears that the site names, on the auditor's machine; the machine itself is not asked."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A question that is answered at the auditor's place: over the network, or from a file there.

    Status 0: the port answered (``out`` holds what it said); 1: it refused. Anything else is silence.

    Args:
        host: the name that is asked for. Where it leads elsewhere than to the machine, that place is asked, and
            ``out`` says so: only for names that the site has promised.
        paths: what HTTP requests ask for; or the file that is looked at.
        ca: the file of certificates that TLS, or a signature, must chain to; empty: those that the auditor's machine
            trusts.
    """

    key: str
    kind: ProbeKind
    port: int = 0
    seconds: int = 5
    host: str = ""
    paths: tuple[str, ...] = ()
    ca: str = ""

    @property
    def text(self) -> str:
        asked = "".join(f" {word}" for word in (self.host, *self.paths, self.ca) if word)
        of = f"port {self.port}" if self.port else "the file"
        return f"{self.kind} of {of}{asked}, from the auditor's place"


Question = Ask | Probe


class Cause(enum.StrEnum):
    """Why a question has no answer, as far as that is an observation in itself."""

    MISSING = "missing"
    """The program of a privileged question is not installed."""
    FAILED = "failed"
    """The program could not be run; it may be missing."""
    ROLE = "role"
    """The machine does not play the role that the question is for."""
    SHELL = "shell"
    """The question is for another system."""
    PRIVILEGE = "privilege"
    """Only root, or who may do everything as root, may ask it."""
    UNANSWERED = "unanswered"
    """Of a probe: the way was open, and the port stayed silent. Where something listens, a filter does."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one question brought home.

    Args:
        status: the program's exit status; None when it did not run or did not end.
        out, err: its streams, cut at the question's limits.
        silence: why there is no answer, as a sentence; empty when there is one.
        cause: the kind of silence, where somebody reads it; the sentence is for people only.
        seconds: how long the host took.
    """

    key: str
    question: str
    status: int | None = None
    out: bytes = b""
    err: bytes = b""
    silence: str = ""
    cause: Cause | None = None
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """Standard output, decoded. Raises NotObserved when the question was not answered."""
        if self.silence:
            raise NotObserved(self.silence)
        return self.out.decode("utf-8", "backslashreplace")

    @property
    def lines(self) -> list[str]:
        """The lines of standard output. Only a newline ends one: what else may break a line is part of it."""
        return self.text.removesuffix("\n").split("\n") if self.text else []

    def succeeded(self) -> Answer:
        """This answer, if the program said that it succeeded. Raises NotObserved otherwise."""
        _ = self.text
        if self.status != 0:
            said = self.err.decode("utf-8", "backslashreplace").strip().splitlines()
            raise NotObserved(f"`{named(self.question)}` exited {self.status}" + (f": {said[0][:300]}" if said else ""))
        return self


@dataclass(frozen=True, kw_only=True)
class Wire:
    """What the network showed while the machine was entered.

    Args:
        host_key: type and SHA256 fingerprint of the key that was verified.
        software: the identification string of the server.
        banner: the text sent before the login; empty when none was sent, None when this way in cannot see it.
        port: the port that was entered by; None for a way in that has none.
        peer: the address that was connected to.
    """

    host_key: str = ""
    software: str = ""
    banner: str | None = None
    port: int | None = None
    peer: str = ""


class Answers(Mapping[str, Answer]):
    """The answers of one machine by key. A question that nobody asked is silence too, never a KeyError."""

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self._answers = dict(answers or {})
        self._readers: list[dict[str, Answer]] = []

    @contextmanager
    def reading(self) -> Iterator[dict[str, Answer]]:
        """What is read meanwhile, by key, in the order in which it was read first."""
        read: dict[str, Answer] = {}
        self._readers.append(read)
        try:
            yield read
        finally:
            self._readers.pop()

    def was_read(self, read: Mapping[str, Answer]) -> None:
        """Note that these are read again, by what remembers what it made of them."""
        for reader in self._readers:
            reader.update(read)

    def __getitem__(self, key: str) -> Answer:
        known = self._answers.get(key)
        if known and self._readers:
            self.was_read({key: known})
        return known or Answer(key=key, question=key, silence=f"the question {key!r} was not asked")

    def __contains__(self, key: object) -> bool:
        return key in self._answers

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)
