"""Requests and their answers, as a probe or a host writes them down.

at the machine          where it was asked; else the address to which the promised name leads
> /path                 a request
< HTTP/1.1 200          the head of its answer, cookies' values left out
< Server: Apache
= 1234 0123abcd listing the length and digest of its body; whether it lists a folder, whether it shows PHP
- text                  of an error, the body's beginning
! reason                instead: there was no answer
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Response:
    """The answer to one request. Without a status, there was none, and ``silence`` says why.

    Args:
        hung_up: whether that is because the server took the request, and closed the connection without a word.
    """

    path: str
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    length: int = 0
    digest: str = ""
    marks: tuple[str, ...] = ()
    error: str = ""
    silence: str = ""
    hung_up: bool = False

    def header(self, name: str) -> str:
        """A header's value, several joined; empty where it was not sent."""
        return ", ".join(self.headers_named(name))

    def headers_named(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.headers if key.lower() == name.lower())


@dataclass(frozen=True)
class Exchange:
    """The answers of one place, and where that was."""

    place: str
    responses: tuple[Response, ...]


def read(text: str) -> Exchange:
    """What was written down. Lines that are none of the format's are passed over."""
    place, found = "", list[Response]()
    for line in text.split("\n"):
        mark, _, rest = line.partition(" ")
        if mark == "at":
            place = rest
        elif mark == ">":
            found.append(Response(rest))
        elif found:
            _take(found[-1], mark, rest)
    for each in found:
        if not each.status:
            each.silence = each.silence or "there was no answer"
    return Exchange(place, tuple(found))


def _take(response: Response, mark: str, rest: str) -> None:
    if mark == "<":
        if status := re.match(r"HTTP/\d(?:\.\d)? (\d{3})\b", rest):
            response.status = int(status[1])
        elif ":" in rest:
            name, _, value = rest.partition(":")
            response.headers.append((name.strip(), value.strip()))
    elif mark == "=":
        words = rest.split()
        if len(words) > 1 and re.fullmatch(r"\d{1,9}", words[0]):
            response.length, response.digest, response.marks = int(words[0]), words[1], tuple(words[2:])
    elif mark == "-":
        response.error += rest + "\n"
    elif mark == "!":
        response.silence, response.hung_up = rest, rest.startswith("RemoteDisconnected:")
