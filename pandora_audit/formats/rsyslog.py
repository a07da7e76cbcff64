"""rsyslog's configuration, and where a message goes in it.

Both syntaxes, which one file may mix: selectors and property filters with legacy actions, ``$`` directives, and
RainerScript. What a filter looks at may be unknown here (a variable, a regular expression): a message then may go both
ways, and what it reaches is not certain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pandora_audit.formats.grep import binary
from pandora_audit.question import Unreadable

MAIN = "/etc/rsyslog.conf"
FOLDER = "/etc/rsyslog.d"
_DEPTH = 16
_DEFAULT = "RSYSLOG_DefaultRuleset"

_SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_OTHER_NAMES = {"panic": "emerg", "error": "err", "warn": "warning", "security": "auth"}
_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "console", "solaris-cron", *(f"local{number}" for number in range(8))),
)


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message that this machine writes."""

    facility: str
    severity: str
    program: str
    text: str


@dataclass(frozen=True)
class Action:
    """What is done with a message: ``file``, ``forward``, ``discard``, ``call``, or ``other``."""

    kind: str
    target: str
    where: str


Truth = bool | None
Test = Callable[[Message], Truth]


@dataclass(frozen=True)
class Rule:
    """A filter, what is done where it holds, and what where it does not."""

    test: Test
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...] = ()


Node = Action | Rule


@dataclass(frozen=True)
class Reached:
    """An action that a message reaches, and whether it certainly does."""

    action: Action
    certain: bool


@dataclass
class Config:
    """A configuration, its includes resolved.

    Args:
        rulesets: what is done, in order, by the ruleset's name.
        inputs: the parameters of each input.
        unseen: files that it includes and that were not read.
    """

    rulesets: dict[str, list[Node]] = field(default_factory=lambda: {_DEFAULT: []})
    inputs: list[Mapping[str, str]] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    default: str = _DEFAULT

    def reached(self, message: Message, ruleset: str = "") -> tuple[Reached, ...]:
        """What a message reaches, in order."""
        found: list[Reached] = []
        self._walk(self.rulesets.get(ruleset or self.default, []), message, found, certain=True, depth=0)
        return tuple(found)

    def read_from(self, log: Callable[[str], bool], text: str) -> list[Reached]:
        """What a line of the files reaches that imfile reads and that are, by their names, this log."""
        found: list[Reached] = []
        for each in self.inputs:
            if each.get("type") == "imfile" and log(each.get("file", "")):
                facility = each.get("facility", "local0").lower()
                line = Message(facility=facility, severity="notice", program=each.get("tag", ""), text=text)
                found += self.reached(line, each.get("ruleset", ""))
        return found

    def _walk(
        self, nodes: Iterable[Node], message: Message, found: list[Reached], *, certain: bool, depth: int
    ) -> Truth:
        """Whether the message goes on behind these nodes: None where that is not known."""
        if depth > _DEPTH:
            raise Unreadable("rsyslog's rulesets call each other in a circle")
        goes_on: Truth = True
        for node in nodes:
            surely = certain and goes_on is True
            if isinstance(node, Rule):
                holds = node.test(message)
                branches = [node.then] * (holds is not False) + [node.otherwise] * (holds is not True)
                ends = {
                    self._walk(each, message, found, certain=surely and holds is not None, depth=depth + 1)
                    for each in branches
                }
                end = ends.pop() if len(ends) == 1 else None
            elif node.kind == "call":
                end = self._walk(self.rulesets.get(node.target, ()), message, found, certain=surely, depth=depth + 1)
            elif node.kind == "discard":
                end = False
            else:
                found.append(Reached(node, surely))
                end = True
            if end is False:
                return False
            goes_on = None if end is None else goes_on
        return goes_on


def files(lines: Iterable[str]) -> dict[str, str]:
    """The text of each file in the lines of ``grep -Hn``; lines that grep left out are empty."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if path := binary(line):
            raise Unreadable(f"{path} is not text")
        split = re.match(r"(/[^:]*):(\d{1,7}):", line)
        if split is None:
            continue
        text = found.setdefault(split[1], [])
        text += [""] * (int(split[2]) - 1 - len(text))
        text.append(line[split.end() :])
    return {path: "\n".join(text) + "\n" for path, text in found.items()}


def read(by_path: Mapping[str, str], main: str = MAIN) -> Config:
    """The configuration that begins in this file. Raises Unreadable where it cannot be followed."""
    if main not in by_path:
        raise Unreadable(f"{main} was not there to be read")
    config = Config()
    _Reader(by_path, config).file(main, 0)
    return config


_SPACE = re.compile(r"(?:\s+|#[^\n]*|/\*.*?\*/)*", re.S)
_OBJECT = re.compile(
    r"(action|module|input|global|template|ruleset|include|main_queue|parser|lookup_table|timezone|dyn_stats"
    r"|perctile_stats|ratelimit)\s*\(",
    re.I,
)
_PARAMETER = re.compile(
    r"""\s*(?:\#[^\n]*+\s*+)*+([\w.$-]+)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*'|`[^`]*`|\[[^\]]*\]|[^\s")]+)""", re.S
)
_PROPERTY = re.compile(r':\s*([\w$!.-]+)\s*,\s*(!?)(\w+)\s*,?\s*"((?:[^"\\]|\\.)*)"')
_SELECTOR = re.compile(r"[\w*][\w*,.;=!|-]*")
_REST = re.compile(r"(?:\\\n|[^\n])*")
_ALONE = re.compile(r"[@/?|~^-]|:om\w+:")
_BLANKS = re.compile(r"(?:[ \t]|\\\n)*")
_CONDITION = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\#[^\n]*+|(?!\bthen\b)[^"'#])*+\bthen\b""", re.S)
_TEMPLATE = re.compile(r"""\{(?:"(?:[^"\\]|\\.)*"|'[^']*'|\#[^\n]*+|[^}"'#])*+\}""", re.S)
_TO_BRACE = re.compile(r"[^{]*")
_ELSE = re.compile(r"else\b")
_NAME = re.compile(r"[\w.-]+")
_WORD = re.compile(r"\w+")
_TO_SEMICOLON = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^;"'])*;?""")
_SETTING = ("set", "unset", "reset", "reload_lookup_table", "call_indirect")


def _unknown(message: Message) -> Truth:
    return None


class _Reader:
    """Reads files into a configuration, in the order in which rsyslog does."""

    def __init__(self, by_path: Mapping[str, str], config: Config) -> None:
        self.by_path = by_path
        self.config = config
        self.ruleset = _DEFAULT
        self.test: Test = _unknown

    def file(self, path: str, depth: int) -> None:
        if depth > _DEPTH:
            raise Unreadable(f"{path} includes itself")
        self.path, self.text, self.at, self.depth = path, self.by_path[path], 0, depth
        while True:
            nodes = self._statement()
            if nodes is None:
                break
            self.config.rulesets.setdefault(self.ruleset, []).extend(nodes)
            self._space()
            if self.at < len(self.text) and self.text[self.at] == "}":
                self.at += 1

    def _space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    @property
    def _where(self) -> str:
        return f"{self.path}:{self.text.count(chr(10), 0, self.at) + 1}"

    def _statement(self) -> list[Node] | None:
        """What the next statement does; None at the end of the file or of the block."""
        self._space()
        if self.at >= len(self.text) or self.text[self.at] == "}":
            return None
        if self.text[self.at] == "$":
            return self._directive()
        if self.text[self.at] == "&":
            self.at += 1
            return [Rule(self.test, tuple(self._actions()))]
        if found := self._take(_OBJECT):
            return self._object(found[1].lower())
        if self.text[self.at] == ":" and (found := self._take(_PROPERTY)):
            self.test = _property(*found.groups())
            return [Rule(self.test, tuple(self._actions()))]
        word = _WORD.match(self.text, self.at)
        name = word[0].lower() if word else ""
        if name == "if":
            return [self._if()]
        if name in ("stop", "call", "continue", "foreach", *_SETTING):
            return self._word(name)
        if self.text[self.at] == "{":
            return self._block()
        if _ALONE.match(self.text, self.at):  # an action without a filter of its own
            return self._actions()
        if found := self._take(_SELECTOR):
            self.test = _selector(found[0])
            return [Rule(self.test, tuple(self._actions()))]
        self._take(_REST)
        return []

    def _block(self) -> list[Node]:
        self.at += 1
        found: list[Node] = []
        while (nodes := self._statement()) is not None:
            found += nodes
        if self.at >= len(self.text):
            raise Unreadable(f"{self.path}: a block is not closed")
        self.at += 1
        return found

    def _body(self) -> list[Node]:
        """A block, or the one statement that stands for it."""
        self._space()
        return self._block() if self.text[self.at : self.at + 1] == "{" else (self._actions() or [])

    def _actions(self) -> list[Node]:
        """What stands behind a filter."""
        self._take(_BLANKS)
        rest = self.text[self.at : self.at + 40]
        if rest.lstrip().startswith("{"):
            self._space()
            return self._block()
        if _OBJECT.match(rest) or re.match(r"(if|stop|call|set|unset|continue|foreach)\b", rest):
            return self._statement() or []
        where = self._where
        found = self._take(_REST)
        text = re.sub(r"\\\n\s*", "", found[0]).strip() if found else ""
        return [_legacy(text, where)]

    def _if(self) -> Rule:
        start = self.at + 2
        found = _CONDITION.match(self.text, start)
        if found is None:
            raise Unreadable(f"{self._where}: an if without then")
        test = _expression(self.text[start : found.end() - 4])
        self.at = found.end()
        then = self._body()
        before = self.at
        self._space()
        otherwise: list[Node] = []
        if self._take(_ELSE):
            self._space()
            otherwise = self._body()
        else:
            self.at = before
        return Rule(test, tuple(then), tuple(otherwise))

    def _word(self, name: str) -> list[Node]:
        where = self._where
        self._take(_WORD)
        if name == "stop":
            return [Action("discard", "", where)]
        if name == "call":
            self._space()
            target = self._take(_NAME)
            return [Action("call", target[0] if target else "", where)]
        if name == "foreach":
            self._take(_TO_BRACE)
            return [Rule(_unknown, tuple(self._body()))]
        if name in _SETTING:
            self._take(_TO_SEMICOLON)
        return []

    def _object(self, kind: str) -> list[Node]:
        where = self._where
        values: dict[str, str] = {}
        while found := self._take(_PARAMETER):
            quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', found[2])
            values[found[1].lower()] = ",".join(quoted) if quoted else found[2].strip("'`")
        self._space()
        if self.text[self.at : self.at + 1] != ")":
            raise Unreadable(f"{where}: {kind}(…) could not be read")
        self.at += 1
        enabled = values.get("config.enabled", "on").lower() not in ("off", "no", "0")
        nodes: list[Node] = []
        if kind in ("ruleset", "template"):
            self._space()
            if self.text[self.at : self.at + 1] == "{":
                nodes = self._block() if kind == "ruleset" else self._skipped_block()
        if not enabled:
            return []
        if kind == "ruleset":
            self.config.rulesets.setdefault(values.get("name", ""), []).extend(nodes)
        elif kind == "input":
            self.config.inputs.append(values)
        elif kind == "include":
            self._include(values.get("file", ""))
        elif kind == "action":
            return [_modern(values, where)]
        return []

    def _skipped_block(self) -> list[Node]:
        found = self._take(_TEMPLATE)
        if found is None:
            raise Unreadable(f"{self._where}: a template is not closed")
        return []

    def _directive(self) -> list[Node]:
        found = self._take(_REST)
        name, _, rest = (found[0] if found else "").partition(" ")
        if "\t" in name:
            name, _, rest = name.partition("\t")
        value = rest.partition("#")[0].strip()
        if name.lower() == "$includeconfig":
            self._include(value)
        elif name.lower() == "$ruleset":
            self.ruleset = value or _DEFAULT
        elif name.lower() == "$defaultruleset":
            self.config.default = value or _DEFAULT
        return []

    def _include(self, pattern: str) -> None:
        whole = f"{pattern}*" if pattern.endswith("/") else pattern
        shape = re.compile("".join("[^/]*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", whole)))
        paths = [path for path in sorted(self.by_path) if shape.fullmatch(path) and "/." not in path]
        if not paths and not pattern.startswith(f"{FOLDER}/"):
            self.config.unseen.append(pattern)
        here = (self.path, self.text, self.at, self.depth)
        for path in paths:
            self.file(path, here[3] + 1)
        self.path, self.text, self.at, self.depth = here


_SENDERS = {
    "omfwd": "target",
    "omrelp": "target",
    "omelasticsearch": "server",
    "omkafka": "broker",
    "omhttp": "server",
    "omgssapi": "target",
}


def _modern(values: Mapping[str, str], where: str) -> Action:
    kind = values.get("type", "").lower()
    if kind in _SENDERS:
        return Action("forward", values.get(_SENDERS[kind], ""), where)
    if kind == "omfile":
        return Action("file", values.get("file", ""), where)
    return Action("discard" if kind == "omdiscard" else "other", kind, where)


def _legacy(text: str, where: str) -> Action:
    target = text.partition(";")[0].strip()
    if text in ("~", "stop"):
        return Action("discard", "", where)
    if found := re.match(r"@@?(?:\([^)]*\))?(\[[^\]]*\]|[^\s:;]+)", text):
        return Action("forward", found[1].strip("[]"), where)
    if found := re.match(r":(?:omrelp|omgssapi):(\[[^\]]*\]|[^\s:;]+)", text):
        return Action("forward", found[1].strip("[]"), where)
    if re.match(r"-?/", target):
        return Action("file", target.removeprefix("-").split()[0], where)
    return Action("other", target, where)


def _selector(text: str) -> Test:
    """A selector like ``*.info;authpriv.none``."""

    def test(message: Message) -> Truth:
        severities: set[str] = set()
        for part in text.split(";"):
            facilities, dot, priority = part.rpartition(".")
            names = [_OTHER_NAMES.get(name, name) for name in facilities.lower().split(",")]
            if not dot or not ({"*", message.facility} & set(names)):
                continue
            severities = _selected(priority.lower(), severities)
        return message.severity in severities

    return test


def _selected(priority: str, before: set[str]) -> set[str]:
    """The severities that are selected once this priority was added to those before."""
    if priority == "none":
        return set()
    without, only = priority.startswith("!"), priority.lstrip("!").startswith("=")
    name = priority.lstrip("!=")
    name = _OTHER_NAMES.get(name, name)
    if name == "*":
        named = set(_SEVERITIES)
    elif name in _SEVERITIES:
        named = {name} if only else set(_SEVERITIES[: _SEVERITIES.index(name) + 1])
    else:
        return before
    return before - named if without else before | named


_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "==": lambda value, word: value == word,
    "contains": lambda value, word: word in value,
    "startswith": lambda value, word: value.startswith(word),
    "endswith": lambda value, word: value.endswith(word),
}
_AS_EXPRESSION = {"isequal": "==", "contains": "contains", "startswith": "startswith", "endswith": "endswith"}


def _value(name: str, message: Message) -> str | None:
    """A property of a message; None where it is not known."""
    number = str(_FACILITIES.index(message.facility)) if message.facility in _FACILITIES else None
    return {
        "programname": message.program,
        "app-name": message.program,
        "syslogfacility-text": message.facility,
        "syslogfacility": number,
        "syslogseverity-text": message.severity,
        "syslogpriority-text": message.severity,
        "syslogseverity": str(_SEVERITIES.index(message.severity)),
        "syslogpriority": str(_SEVERITIES.index(message.severity)),
        "fromhost-ip": "127.0.0.1",
        # The number in it is not known; nobody compares with that.
        "syslogtag": f"{message.program}[1]:",
        # What follows the colon of the tag begins with a blank.
        "msg": f" {message.text}",
    }.get(name.lower())


def _compared(name: str, operator: str, words: Iterable[str], message: Message) -> Truth:
    """Whether a property compares with one of these words."""
    value = _value(name, message)
    if name.lower() == "inputname":
        # The messages of this machine come from these two; which of them is not known.
        return None if {"imuxsock", "imjournal"} & set(words) else False
    if value is None:
        return None
    if operator.endswith("_i"):
        value, words = value.lower(), [word.lower() for word in words]
    compare = _COMPARISONS.get(operator.removesuffix("_i"))
    if compare is not None:
        return any(compare(value, word) for word in words)
    word = next(iter(words), "")
    if not (re.fullmatch(r"\d{1,3}", value) and re.fullmatch(r"\d{1,3}", word)):
        return None
    left, right = int(value), int(word)
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}.get(operator)


def _not(truth: Truth) -> Truth:
    return None if truth is None else not truth


def _property(name: str, negated: str, operator: str, word: str) -> Test:
    known = _AS_EXPRESSION.get(operator.lower(), "")

    def test(message: Message) -> Truth:
        truth = _compared(name.lstrip("$"), known, [word], message) if known else None
        return _not(truth) if negated else truth

    return test


_TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*\n\s*)*(?:(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<op>==|!=|<>|<=|>=|<|>|[()\[\],&+*/%-])"""
    r"""|(?P<word>[$\w!.][\w!.-]*))""",
    re.S,
)


def _expression(text: str) -> Test:
    """The condition of an ``if``."""
    tokens = []
    at = 0
    while found := _TOKEN.match(text, at):
        at = found.end()
        tokens.append(found["text"] or found["op"] or found["word"])
    if text[at:].strip():
        return _unknown
    return lambda message: _Condition(tokens, message).whole()


class _Condition:
    """The value of a condition for one message."""

    def __init__(self, tokens: list[str], message: Message) -> None:
        self.tokens = tokens
        self.message = message
        self.at = 0
        self.depth = 0

    def whole(self) -> Truth:
        found = self._or()
        return found if self.at == len(self.tokens) else None

    @property
    def _next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _takes(self, word: str) -> bool:
        if self._next.lower() != word:
            return False
        self.at += 1
        return True

    def _or(self) -> Truth:
        found = self._and()
        while self._takes("or"):
            other = self._and()
            found = True if found is True or other is True else None if None in (found, other) else False
        return found

    def _and(self) -> Truth:
        found = self._single()
        while self._takes("and"):
            other = self._single()
            found = False if found is False or other is False else None if None in (found, other) else True
        return found

    def _single(self) -> Truth:
        if self._takes("not"):
            return _not(self._single())
        self.depth += 1
        if self.depth < 200 and self._takes("("):
            found = self._or()
            self._takes(")")
            return found
        name = self._next
        self.at += 1
        if self._takes("("):
            return self._function(name)
        operator = self._next.lower()
        self.at += 1
        if operator in ("!=", "<>"):
            return _not(self._comparison(name, "=="))
        return self._comparison(name, operator)

    def _function(self, name: str) -> Truth:
        argument = self._next
        nested = 1
        while nested and self.at < len(self.tokens):
            nested += {"(": 1, ")": -1}.get(self._next, 0)
            self.at += 1
        return _selector(argument[1:-1])(self.message) if name.lower() == "prifilt" else None

    def _comparison(self, name: str, operator: str) -> Truth:
        words = self._words()
        if not name.startswith("$") or any(word.startswith("$") for word in words):
            return None
        return _compared(name[1:], operator, [word.strip("\"'") for word in words], self.message)

    def _words(self) -> list[str]:
        if not self._takes("["):
            self.at += 1
            return self.tokens[self.at - 1 : self.at]
        found = []
        while self._next not in ("]", ""):
            if self._next != ",":
                found.append(self._next)
            self.at += 1
        self._takes("]")
        return found
