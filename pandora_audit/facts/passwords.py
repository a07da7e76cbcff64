"""Passwords that anybody guesses first. The host itself tries them, and tells names only."""

from __future__ import annotations

import functools
import re
from functools import cached_property
from pathlib import Path

from pandora_audit.fact import Fact
from pandora_audit.offence import Offence, Offences
from pandora_audit.promises import Promises
from pandora_audit.question import Ask, NotObserved, Question, Unreadable

# What documentation and images publish: the vendor's console and installer, appliances, cloud images; and what every
# list begins with. Each word costs a second for every twenty accounts with today's hashes.
_PUBLISHED = ("pandora", "Pandor4!", "artica", "admin", "root", "toor", "password", "changeme", "123456", "12345678")
_SECONDS = 50
_MOST_BYTES = 4 * 1024 * 1024

# Reads how many seconds it has and the words, tries each account's own name and all words on its hash, and prints no
# word and no hash. Root runs exactly this: what it prints is less than who may read shadow knows. sudo allows no
# blanks, brackets, backslashes and asterisks in it.
_PERL = (
    "$|=1;$t=<STDIN>;$end=time()+$t;while(<STDIN>){chomp;push(@w,$_)}"
    'for$f("/etc/passwd","/etc/shadow"){open(F,"<",$f)||exit(2);while(<F>){chomp;($n,$h)=split(/:/,$_,3);'
    'if(index($h,chr(36))==0||(length($h)==13&&index($h,"!")<0&&index($h,chr(42))<0)){'
    '$c=crypt("x",$h);if(length($c)!=length($h)||substr($c,0,2)ne(substr($h,0,2))){print("other:$n")}'
    'else{$r="strong";for$p($n,lc($n),ucfirst($n),@w){if(time()>=$end){$r="untried";last}'
    'if(crypt($p,$h)eq($h)){$r="weak";last}}print("$r:$n")}}}}print("words:".scalar(@w))'
)


@functools.cache
def _listed(path: str) -> bytes:
    """The words of the site's list; none where it cannot be read, which the count of words then tells."""
    try:
        words = Path(path).read_bytes()[:_MOST_BYTES].split(b"\n")
    except OSError:
        return b""
    return b"".join(word.rstrip(b"\r") + b"\n" for word in dict.fromkeys(words) if word.strip())


def _question(promises: Promises) -> Ask:
    published = "".join(f"{word}\n" for word in (_SECONDS, *_PUBLISHED)).encode()
    return Ask(
        key="weak-passwords",
        argv=("perl", "-le", _PERL),
        root=True,
        seconds=_SECONDS + 10,
        stdin=published + (_listed(promises.crack) if promises.crack else b""),
    )


class Passwords(Fact):
    """The passwords of this machine's own accounts."""

    questions = (_question(Promises()),)

    @classmethod
    def first(cls, promises: Promises) -> tuple[Question, ...]:
        return (_question(promises),)

    @cached_property
    def _told(self) -> dict[str, list[str]]:
        """What became of the accounts with a password: weak, strong, untried, other (no scheme of this machine)."""
        found: dict[str, list[str]] = {}
        for line in self.answers[self.questions[0].key].succeeded().lines:
            row = re.fullmatch(r"(weak|strong|untried|other|words):(.*)", line)
            if row is None:
                raise Unreadable(f"`perl` said {line[:100]!r} of a password")
            found.setdefault(row[1], []).append(row[2])
        if not re.fullmatch("[0-9]{1,9}", found.get("words", [""])[0]):
            raise Unreadable("`perl` did not say how many words it was given")
        return found

    def guessed(self, crack: str | None) -> Offences:
        """The accounts whose password is their name, a published default, or in the site's list.

        Raises NotObserved where one was not tried, and none was guessed.
        """
        words = int(self._told["words"][0])
        found = [
            Offence(
                subject=name,
                text=f"{name} has its own name, a published default or a listed word as password",
                layer="file",
                cause="/etc/shadow",
            )
            for name in self._told.get("weak", ())
        ]
        if not found:
            if crack and words <= len(_PUBLISHED):
                raise NotObserved(f"no word of {crack} was tried: it cannot be read, or is empty")
            if untried := self._told.get("untried"):
                raise NotObserved(f"{len(untried)} passwords were not tried with {words} words in {_SECONDS} s")
            if other := self._told.get("other"):
                raise NotObserved(f"this machine cannot compute the password hash of {', '.join(other)}")
        strong = len(self._told.get("strong", ()))
        return Offences(found, f"{strong} passwords, none of them their account's name or one of {words} words")
