"""The reading of sshd's files against sshd itself: random trees of files and random visitors, on one real host."""

from __future__ import annotations

import functools
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

import lab
from pandora_audit.fact import Seen
from pandora_audit.facts.sshd import Sshd
from pandora_audit.formats import sshd_config
from pandora_audit.formats.sshd_config import Accounts, Written
from pandora_audit.offence import Offences
from pandora_audit.question import Answer, Answers, Ask, NotObserved, places
from pandora_audit.questions import ANYBODY

SEED = 20240611
TREES = 240
VISITORS = 6

# Where each list of the generated visitors meets every pattern below, and misses it.
USERS = ("root", "audit", "nosudo", "ana", "rost", "visitor")
HOSTS = ("visitor.invalid", "web1.example.com", "DB.example.com")
ADDRESSES = ("203.0.113.9", "10.0.0.1", "10.0.0.77", "10.0.3.3", "10.9.9.9", "192.0.2.7", "2001:db8::5", "2001:db9::5")
LOCAL = ("203.0.113.10", "198.51.100.1")
PORTS = ("1", "2222")
PATTERNS = {
    "User": ("root", "audit", "root,audit", "*,!root", "!root", "r?ot", "a*", "ana", "*", "nosudo,ro*"),
    "Group": ("root", "audit", "sudo,root", "*,!root", "nosudo", "!root", "nobodys-group", "s*"),
    "Host": ("*.example.com", "web*", "WEB1.example.com", "*,!db.example.com", "visitor.invalid"),
    "Address": (
        *("10.0.0.0/24", "10.0.0.0/8", "10.0.0.0/8,!10.0.0.77", "10.0.0.1", "192.0.2.7,10.0.3.3", "10.0.*"),
        *("2001:db8::/32", "*", "*,!10.0.0.0/8", "!10.0.0.1", "0.0.0.0/0", "10.0.?.*"),
    ),
    "LocalAddress": ("198.51.100.1", "198.51.100.0/24", "203.0.113.*"),
    "LocalPort": ("2222", "1"),
}
VALUES = {
    "PermitRootLogin": ("no", "no", "yes", "prohibit-password", "without-password", "forced-commands-only", "NO"),
    "AllowTcpForwarding": ("no", "no", "yes", "local", "remote", "all"),
    "DisableForwarding": ("yes", "no"),
    "PermitTunnel": ("no", "yes", "point-to-point", "ethernet"),
    "Banner": ("/etc/issue.net", "/etc/issue.net", "none"),
    "PermitOpen": ("any", "10.1.2.3:22", "10.1.2.3:22 10.1.2.4:*"),
    "X11Forwarding": ("no", "yes"),
}
WATCHED = ("permitrootlogin", "allowtcpforwarding", "disableforwarding", "permittunnel", "banner")
DEFAULTS = dict(zip(WATCHED, ("without-password", "yes", "no", "no", "none"), strict=True))

FAMILIES: dict[str, tuple[Callable[[Sshd], Offences], Callable[[Mapping[str, str]], bool]]] = {
    "root": (lambda sshd: sshd.root_enters, lambda said: said["permitrootlogin"] != "no"),
    "tcp": (
        lambda sshd: sshd.tcp_forwarding(jump_host=False),
        lambda said: said["allowtcpforwarding"] != "no" and said["disableforwarding"] != "yes",
    ),
    "tunnel": (lambda sshd: sshd.tunnels, lambda said: said["permittunnel"] != "no"),
    "banner": (lambda sshd: sshd.silent_logins, lambda said: said["banner"] == "none"),
}


@dataclass
class Tree:
    """A configuration: its files, its symbolic links, and what the host said of it."""

    files: dict[str, str]
    links: dict[str, str]
    visitors: list[dict[str, str]]
    said: list[dict[str, str] | None] = field(default_factory=list)
    first: dict[str, Answer] = field(default_factory=dict)
    second: dict[str, Answer] = field(default_factory=dict)

    def seen(self, *, second: bool) -> Seen:
        return Seen(answers=Answers({**self.first, **(self.second if second else {})}))

    @functools.cached_property
    def written(self) -> Written:
        return Sshd(self.seen(second=True))._all_written

    @property
    def text(self) -> str:
        """The files, to look at when a test fails."""
        return "\n".join(f"--- {path}\n{text}" for path, text in self.files.items()) + f"\n{self.links}"


# --- generating ---


def _visitors(chance: random.Random) -> list[dict[str, str]]:
    everywhere = (USERS, HOSTS, ADDRESSES, LOCAL, PORTS)
    return [
        dict(
            zip(
                ANYBODY,
                ("root" if number % 2 else chance.choice(USERS), *map(chance.choice, everywhere[1:])),
                strict=True,
            )
        )
        for number in range(VISITORS)
    ]


class _Writer:
    """Writes one tree, as administrators do on a bad day."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.files: dict[str, str] = {}
        self.links: dict[str, str] = {}

    def tree(self) -> Tree:
        for name in self.chance.sample(("10-a.conf", "20-b.conf", "2-c.conf", ".hidden.conf", "off.bak"), 3):
            self._place(f"/etc/ssh/sshd_config.d/{name}", self._text(depth=1))
        for name in self.chance.sample(("x.conf", "y.conf", ".z.conf"), 2):
            self._place(f"/etc/ssh/extra/{name}", self._text(depth=2))
        if self._often(0.15):
            self._place("/opt/site/s.conf", self._text(depth=2))
        self.files[sshd_config.MAIN] = self._text(depth=0)
        return Tree(self.files, self.links, _visitors(self.chance))

    def _often(self, probability: float) -> bool:
        return self.chance.random() < probability

    def _place(self, path: str, text: str) -> None:
        if self._often(0.15):
            self.links[path] = f"/etc/ssh/kept/{path.rpartition('/')[2].lstrip('.')}"
            path = self.links[path]
        self.files[path] = text

    def _text(self, depth: int) -> str:
        lines = [self._line(depth) for _ in range(self.chance.randint(0, 3))]
        for _ in range(self.chance.randint(0, 3 - depth)):
            lines.append(self._match())
            lines += [self._line(depth) for _ in range(self.chance.randint(0, 3))]
        end = self.chance.choice(("\n", "\n", "\n", "\r\n", " \t\n", "\r\r\n"))
        return "".join(line + end for line in lines)

    def _line(self, depth: int) -> str:
        if depth < 2 and self._often(0.25):
            return self._said("Include", self._pattern(depth))
        if self._often(0.1):
            return self.chance.choice(("# PermitRootLogin yes", "", "\t", "  #Match User root"))
        keyword = self.chance.choice(tuple(VALUES))
        value = self.chance.choice(VALUES[keyword])
        quotable = " " not in value and self._often(0.2)
        return self._said(keyword, f'"{value}"' if quotable else value)

    def _pattern(self, depth: int) -> str:
        further = (
            "extra/*.conf",
            "/etc/ssh/extra/x.conf",
            "extra/[xy].conf extra/none.conf",
            "/etc/ssh//extra/./y.conf",
        )
        above = ("sshd_config.d/*.conf", '"/etc/ssh/sshd_config.d/*.conf"', "sshd_config.d/??-*.conf")
        out = ("/opt/site/*.conf",) if self._often(0.3) else ()
        return self.chance.choice((*further, *out, *(above * (depth == 0))))

    def _said(self, keyword: str, value: str) -> str:
        chance = self.chance
        written = chance.choice((keyword, keyword, keyword.lower(), keyword.upper(), f'"{keyword}"'))
        signs = () if keyword == "Match" or written.startswith('"') else ("=", " = ")
        between = chance.choice((" ", " ", "\t", "  ", *signs))
        indent = chance.choice(("", "", "  ", "\t"))
        return f"{indent}{written}{between}{value}{chance.choice(('', '', '', ' # so be it', ' '))}"

    def _match(self) -> str:
        if self._often(0.12):
            return self._said("Match", self.chance.choice(("all", "ALL")))
        names = self.chance.sample(tuple(PATTERNS), self.chance.choice((1, 1, 1, 2)))
        criteria = (
            self.chance.choice((name, name.lower()))
            + self.chance.choice((" ", " ", "=", "\t"))
            + self.chance.choice(PATTERNS[name])
            for name in names
        )
        return self._said("Match", " ".join(criteria))


# --- asking the host ---

# Lays out each tree in turn and runs what is asked of it.
_RUN = """
import concurrent.futures, json, os, shutil, subprocess, sys

def run(argv):
    done = subprocess.run(argv, capture_output=True, env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C"})
    return [done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")]

pool = concurrent.futures.ThreadPoolExecutor(8)
for row in map(json.loads, sys.stdin):
    for folder in ("/etc/ssh/sshd_config.d", "/etc/ssh/extra", "/etc/ssh/kept", "/opt/site"):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
    for path, text in row["files"].items():
        open(path, "w", newline="").write(text)
    for path, target in row["links"].items():
        os.symlink(target, path)
    print(json.dumps(list(pool.map(run, row["ask"]))))
"""


def _ask(host: lab.Host, trees: Sequence[Tree], asked: Sequence[Sequence[Ask]]) -> Iterator[list[Answer]]:
    rows = [
        {"files": tree.files, "links": tree.links, "ask": [[*places(ask.argv[0])[-1:], *ask.argv[1:]] for ask in asks]}
        for tree, asks in zip(trees, asked, strict=True)
    ]
    told = host.run(f"python3 -c '{_RUN}'", input="\n".join(map(json.dumps, rows)), timeout=240)
    for asks, line in zip(asked, told.stdout.splitlines(), strict=True):
        yield [
            Answer(key=ask.key, question=ask.text, status=status, out=out.encode(), err=err.encode())
            for ask, (status, out, err) in zip(asks, json.loads(line), strict=True)
        ]


def _daemon_said(answer: Answer) -> dict[str, str] | None:
    if answer.status != 0:
        return None
    values = sshd_config.effective(answer.text)
    return {word: values.get(word, ("",))[0].lower() for word in WATCHED}


@pytest.fixture(scope="module")
def trees() -> list[Tree]:
    """The trees, answered: what the daemon does with each visitor, and what an audit would be told, in two trips."""
    lab.required()
    trees = [_Writer(random.Random(SEED + number)).tree() for number in range(TREES)]
    wanted = [each for each in Sshd.questions if isinstance(each, Ask) and each.argv and each.key in _WANTED]
    with lab.boot() as host:
        visits = [
            [replace(_T, key=str(n), argv=("sshd", "-T", "-C", _words(who))) for n, who in enumerate(tree.visitors)]
            for tree in trees
        ]
        for tree, answers in zip(trees, _ask(host, trees, [[*wanted, *each] for each in visits]), strict=True):
            first, said = answers[: len(wanted)], answers[len(wanted) :]
            tree.said = [_daemon_said(answer) for answer in said]
            tree.first = {answer.key: answer for answer in (*first, *_THE_REST)}
        further = [_further(tree) for tree in trees]
        for tree, answers in zip(trees, _ask(host, trees, further), strict=True):
            tree.second = {answer.key: answer for answer in answers}
    return trees


_WANTED = ("sshd-config", "sshd-lines", "sshd-times", "passwd", "group")
_T = Ask(key="t", argv=("sshd", "-T"), root=True)
# A daemon that has just read its files, and a notice.
_THE_REST = (
    Answer(
        key="sshd-process",
        question="ps",
        status=0,
        out=b"1 0 9 /sbin/init\n7 1 0 sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups\nnow=9999999999\n",
    ),
    Answer(key="banner-file", question="head", status=0, out=b"Private system."),
)


def _words(visitor: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in visitor.items())


def _further(tree: Tree) -> list[Ask]:
    try:
        return [each for each in Sshd.then(tree.seen(second=False)) if isinstance(each, Ask)]
    except NotObserved:
        return []


# --- comparing ---


def _accounts(tree: Tree) -> Accounts:
    """Whom the host knows, for whom group membership is a fact; the strangers are in no group."""
    known = Sshd(tree.seen(second=False))._accounts
    groups = {name for _, value in _criteria(tree) for name in value.replace("!", "").split(",")}
    return Accounts({**dict.fromkeys(USERS, frozenset()), **known.groups_of}, known.groups | groups)


def _criteria(tree: Tree) -> set[tuple[str, str]]:
    return {criterion for block in tree.written.blocks for criterion in block.criteria}


class _Model:
    """What the files say to any visitor."""

    def __init__(self, tree: Tree) -> None:
        self.written = tree.written
        self.accounts = _accounts(tree)
        self._known: dict[tuple[tuple[str, str], tuple[str, ...]], bool] = {}

    def says(self, visitor: Mapping[str, str]) -> dict[str, str]:
        blocks = [block for block in self.written.blocks if all(self._holds(each, visitor) for each in block.criteria)]
        return {word: self._value(word, blocks) for word in WATCHED}

    def _holds(self, criterion: tuple[str, str], visitor: Mapping[str, str]) -> bool:
        key = (criterion, tuple(visitor.values()))
        if key not in self._known:
            self._known[key] = bool(sshd_config.holds(criterion, visitor, self.accounts))
        return self._known[key]

    def _value(self, word: str, blocks: Sequence[sshd_config.Block]) -> str:
        line = next((line for part in (*blocks, self.written) if (line := part.says(word))), None)
        value = " ".join(line.words).lower() if line else DEFAULTS[word]
        return {"prohibit-password": "without-password", "all": "yes"}.get(value, value)


def _judge(tree: Tree, family: str, *, second: bool) -> bool | None:
    """Whether the fact finds something wrong; None when it says that it cannot know."""
    try:
        return bool(FAMILIES[family][0](Sshd(tree.seen(second=second))))
    except NotObserved:
        return None


def _concerned(family: str, visitors: Sequence[dict[str, str]]) -> Iterator[tuple[int, dict[str, str]]]:
    return ((n, who) for n, who in enumerate(visitors) if family != "root" or who["user"] == "root")


def test_most_trees_are_accepted_by_sshd_and_tell_visitors_apart(trees: list[Tree]) -> None:
    accepted = [tree for tree in trees if tree.said[0] is not None]
    assert len(accepted) > 0.8 * len(trees)
    assert sum(len({json.dumps(said) for said in tree.said}) > 1 for tree in accepted) > 0.3 * len(trees)


def test_each_visitor_gets_what_the_files_say(trees: list[Tree]) -> None:
    for tree in trees:
        if tree.said[0] is not None and not _is_silent(tree):
            model = _Model(tree)
            for visitor, said in zip(tree.visitors, tree.said, strict=True):
                assert model.says(visitor) == said, f"{visitor}\n{tree.text}"


def _is_silent(tree: Tree) -> bool:
    """Whether an audit would say that it has not seen all of the files."""
    try:
        _ = tree.written
    except NotObserved:
        return True
    return False


@pytest.mark.parametrize("second", [True, False], ids=["asked", "withheld"])
@pytest.mark.parametrize("family", FAMILIES)
def test_whoever_the_daemon_lets_through_is_an_offence(trees: list[Tree], family: str, second: bool) -> None:
    wrong = FAMILIES[family][1]
    for tree in trees:
        got_through = [who for n, who in _concerned(family, tree.visitors) if (said := tree.said[n]) and wrong(said)]
        if got_through:
            assert _judge(tree, family, second=second) is not False, f"{got_through[0]}\n{tree.text}"


def test_a_tree_that_sshd_refuses_is_not_judged(trees: list[Tree]) -> None:
    refused = [tree for tree in trees if tree.said[0] is None]
    assert {_judge(tree, family, second=True) for tree in refused for family in FAMILIES} <= {None}


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_an_offence_where_nobody_gets_through(trees: list[Tree], family: str) -> None:
    wrong = FAMILIES[family][1]
    users = ("root",) if family == "root" else USERS
    everybody = [
        dict(zip(ANYBODY, each, strict=True)) for each in itertools.product(users, HOSTS, ADDRESSES, LOCAL, PORTS)
    ]
    decided = 0
    for tree in trees:
        if tree.said[0] is None or _is_silent(tree):
            continue
        # Whoever is not listed may be in any group, by the word of a directory: then the fact is right to cry.
        if family != "root" and any(name == "group" for name, _ in _criteria(tree)):
            continue
        model = _Model(tree)
        possible = any(wrong(model.says(visitor)) for visitor in everybody)
        assert _judge(tree, family, second=True) is possible, tree.text
        decided += not possible
    assert decided > 5
