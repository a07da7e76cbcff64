"""The console's config.php: the assignments to ``$config`` that PHP would make, without running it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.question import PERL, Answer, NotObserved, Unreadable

# In order: what is outside PHP, comments, strings, and single characters. Each alternative is linear.
_TOKEN = re.compile(
    r"""
      (?P<end>\?>)
    | (?P<comment>/\*.*?(?:\*/|\Z)|//[^\n]*?(?=\?>|\n|\Z)|\#(?!\[)[^\n]*?(?=\?>|\n|\Z))
    | (?P<double>"(?:\\.|[^"\\])*")
    | (?P<single>'(?:\\.|[^'\\])*')
    | (?P<heredoc><<<)
    | (?P<variable>\$[A-Za-z_]\w*)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<blank>\s+)
    | (?P<mark>.)
    """,
    re.X | re.S,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "$": "$", '"': '"'}
_INCLUDES = ("include", "include_once", "require", "require_once")
_WORDS = {"true": "1", "false": "", "null": ""}
# What changes the variable that stands before it.
_ASSIGNMENT = re.compile(r"=(?![=>])|(\.|\?\?|[-+*/%|&^]|\*\*|<<|>>)=|\+\+|--")
# In such statements a variable is changed though no sign of it follows.
_CHANGING = {"unset", "list", "as"}
# A string in which nothing is put, and whose escapes are those that are known here.
_PLAIN = re.compile(r"""(?:[^\\${]|\\[ntr\\$"]|\$(?![A-Za-z_{\x80-\U0010ffff])|\{(?!\$))*""")


ALONE = "config.php"
"""The name of a file that is shown without one."""
_NAMED = re.compile(r"^==> (/[^\n]+/include/config\.php) <==\n", re.M)

# On the host: the tokens of each file, without comments and what stands outside PHP; the words and marks as they are.
_KEEP = r"""
BEGIN { undef $/ }
sub lines { join "", $_[0] =~ /\n/g }
sub constant {
    my ($quote, $text) = $_[0] =~ /^(.)(.*).\z/s;
    if ($quote eq "'") { $text =~ s/\\([\\'])/$1/g }
    else {
        (my $rest = $text) =~ s/\\[ntr\\\$"]//g;
        return undef if $quote ne '"' || $rest =~ /\$[A-Za-z_{\x80-\xff]|\{\$|\\[0-7xuvef]/;
        my %of = (n => "\n", t => "\t", r => "\r");
        $text =~ s/\\([ntr\\\$"])/$of{$1} || $1/ge;
    }
    return $text;
}
for (split m{^(?===> /[^\n]+/include/config\.php <==$)}m) {
print "$1\n" if s{\A(==> /[^\n]+ <==)\n}{};
my ($said, $runs) = ("", 0);
while (/\G./gcs and pos() -= 1, 1) {
    if (!$runs) {
        /\G(?:.*?<\?(?:php(?=\s|\z)|=|(?!php))(?{ $runs = 1 })|.*)/gcsi;
        $said .= lines($&) . ($runs ? "<?php " : "");
    } elsif (/\G\?>/gc) {
        $said .= "?>";
        $runs = 0;
    } elsif (m{\G(?:/\*.*?(?:\*/|\z)|(?://|\#(?!\[)).*?(?=\?>|\n|\z))}gcs) {
        $said .= " " . lines($&);
    } elsif (/\G(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`|\d\w*(?:\.\w+)?)/gcs) {
        my $it = $&;
        my $key = $said =~ /\$config\s*\[\s*(["'])(\w+)\1\s*\]\s*=\s*\z/ ? $2 : "";
        my $is_name = $said =~ /\$config\s*\[\s*\z/ && $it =~ /^.\w*.\z/;
        my $is_end = $it =~ /config_process/ && $said =~ /\b(?:include|require)(?:_once)?\b[^;]*\z/i;
        if ($key eq $hidden) {
            my $value = constant($it);
            $said .= (defined $value ? '"' . stand($value) . '"' : "computed") . lines($it);
        } elsif ($is_name || $told{$key}) {
            $said .= $it;
        } else {
            $said .= $is_end ? "'config_process.php'" : $it =~ /^\d/ ? 0 : "''" . lines($it);
        }
    } elsif (/\G(?:<<<|["'`])/gc) {
        $said .= "<<<";
        last;
    } else {
        /\G(?:\$?\w+|.)/gcs;
        $said .= $&;
    }
}
print $said;
print "\n" if $said !~ /\n\z/;
}
"""


def keep(*told: str, hidden: str, stand: str, perl: str) -> str:
    """A filter that runs on the host: of strings and numbers, what these keys are set to leaves it.

    Args:
        hidden: the key of whose value that leaves the host which stands for it.
        stand: the expression that makes it of the value, ``$_[0]``.
        perl: what defines that, and runs first.
    """
    keys = f"my ($hidden, %told) = ('{hidden}', map {{ $_ => 1 }} qw({' '.join(told)}));\n"
    return f"{PERL}{perl}{keys}sub stand {{ {stand} }}" + _KEEP


@dataclass(frozen=True)
class Value:
    """What a key was set to. ``text`` is None for an expression that only running PHP could tell."""

    text: str | None
    line: int

    @property
    def is_on(self) -> bool:
        """What PHP makes of it as a condition. Raises Unreadable for an expression."""
        if self.text is None:
            raise Unreadable(f"line {self.line} of config.php is an expression")
        return self.text not in ("", "0")


def of(answer: Answer) -> Mapping[str, Mapping[str, Value]]:
    """Of each console on a machine, by its config.php, the keys that ``keep`` let through.

    Other programs have files of that name, too: in a folder of another name, a console's is known by what it includes.

    Raises NotObserved where none was shown, or not all of one.
    """
    text = answer.text
    nothing_withheld(answer)
    first, *others = _NAMED.split(text)
    told = {ALONE: first, **dict(zip(others[::2], others[1::2], strict=True))}
    # A link shows a file twice.
    shown = {
        part.strip(): path
        for path, part in reversed(told.items())
        if "$config" in part and (path == ALONE or "/pandora_console/" in path or "config_process.php" in part)
    }
    if not shown:
        raise NotObserved("no config.php of a console was shown: it lies in no usual folder, or nobody may read it")
    paths = [path for path in told if path in shown.values()]
    return {path: read(told[path]) for path in paths}


def read(text: str) -> Mapping[str, Value]:
    """The keys of ``$config`` as they are when the file's own statements up to its last include have run.

    A key that a branch, a function or an unusual statement may change has no text. Raises Unreadable for a heredoc,
    and where any key may be changed.
    """
    found: dict[str, Value] = {}
    for words, line, is_nested in _statements(text):
        kinds = [kind for kind, _ in words]
        if kinds[:1] == ["word"] and words[0][1].lower() in _INCLUDES:
            if any("config_process" in each for _, each in words):
                break
            continue
        if _key(words) and not is_nested and words[4][1] == "=" and words[5][1] not in ("=", "&"):
            found[_key(words)] = Value(_value(words[5:]), line)
            words = words[5:]
        for key in _changed(words, line):
            found[key] = Value(None, line)
    return found


def _changed(words: list[tuple[str, str]], line: int) -> Iterator[str]:
    """The keys that a statement may change. Raises Unreadable where that may be any."""
    texts = [text for _, text in words]
    is_changing = texts[:1] == ["["] or not _CHANGING.isdisjoint(map(str.lower, texts))
    for at, text in enumerate(texts):
        if text == "$GLOBALS":
            raise Unreadable(f"line {line} of config.php may change any setting")
        if text != "$config":
            continue
        key = _key([*words[at:], ("", ""), ("", "")])
        end = at + 4 if key else at + 1
        # What stands in further brackets is part of what is changed.
        ends = range(end, len(texts)) if texts[end : end + 1] == ["["] else (end,)
        is_changed = any(_ASSIGNMENT.match("".join(texts[each : each + 4])) for each in ends)
        if is_changed or is_changing or "".join(texts[max(at - 2, 0) : at]).endswith(("++", "--", "&")):
            if not key:
                raise Unreadable(f"line {line} of config.php may change any setting")
            yield key


def _statements(text: str) -> Iterator[tuple[list[tuple[str, str]], int, bool]]:
    """The tokens of each statement, the line that it begins in, whether in braces. A brace ends a statement too."""
    words: list[tuple[str, str]] = []
    at = _open(text, 0)
    begun = depth = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        assert token is not None  # the last alternative takes anything
        kind, at = str(token.lastgroup), token.end()
        if kind == "heredoc":
            raise Unreadable("config.php holds a heredoc, or a string that does not end")
        if kind == "end" or (kind == "mark" and token[0] in ";{}"):
            if words:
                yield words, text.count("\n", 0, begun) + 1, depth > 0
            words = []
            depth += {"{": 1, "}": -1}.get(token[0], 0)
            if kind == "end":
                at = _open(text, at)
        elif kind not in ("blank", "comment"):
            begun = begun if words else token.start()
            words.append((kind, token[0]))
    if words:
        yield words, text.count("\n", 0, begun) + 1, depth > 0


def _open(text: str, at: int) -> int:
    """Where PHP begins again."""
    tag = re.compile(r"<\?(?:php(?=\s|\Z)|=|(?!php))", re.I).search(text, at)
    return tag.end() if tag else len(text)


def _key(words: list[tuple[str, str]]) -> str:
    """The key of a statement that begins with ``$config['key']``, and goes on; empty for any other."""
    shape = [kind if kind in ("double", "single") else text for kind, text in words[:5]]
    if len(words) > 5 and shape[0] == "$config" and shape[1] == "[" and shape[3] == "]":
        return _string(words[2]) or ""
    return ""


def _value(words: list[tuple[str, str]]) -> str | None:
    """The value of an expression that is one constant."""
    if len(words) != 1:
        return None
    kind, text = words[0]
    if kind in ("double", "single"):
        return _string(words[0])
    if kind == "number":
        return text if text.strip("0.") else "0"
    return _WORDS.get(text.lower()) if kind == "word" else None


def _string(word: tuple[str, str]) -> str | None:
    """A string's value; None where it holds a variable."""
    kind, text = word[0], word[1][1:-1]
    if kind == "single":
        return re.sub(r"\\([\\'])", r"\1", text)
    if kind != "double" or not _PLAIN.fullmatch(text):
        return None
    return re.sub(r'\\([ntr\\$"])', lambda found: _ESCAPES[found[1]], text)
