"""pandora_server.conf, read as the server reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MAIN = "/etc/pandora/pandora_server.conf"
SPOOL = "/var/spool/pandora/data_in"

# Somewhere in the line: a word, exactly one blank, and a character that a value may begin with. Else it is dropped.
_LINE = r"""[\w.-]+\s[\w./?&=)(!*@#%\$~"'-]"""
_COUNTS = re.compile(rf"(?<![\w.-]){_LINE}")
COUNTS = f"sub counts {{ $_[0] =~ /^[a-zA-Z]/ && $_[0] =~ m{{{_LINE}}} }}\n"
"""``counts`` in Perl, for a filter on the host: of a line that is decoded."""
# Tokens of which a number is taken and the rest of the line ignored; the blanks before it may be several. Others take
# the rest of the line. A flag that is neither 0 nor 1 is as if it were not there.
_NUMBERS = {
    "dbssl": "[01]",
    "autocreate_group_force": "[01]",
    "autocreate": "[0-9*]*",
    "autocreate_group": "[0-9*]*",
}
DEFAULTS = {
    "incomingdir": SPOOL,
    "dbhost": "localhost",
    "dbport": "3306",
    "dbssl": "0",
    "verify_mysql_ssl_cert": "0",
    "autocreate": "1",
    "autocreate_group": "-1",
    "autocreate_group_force": "1",
    "ha_hosts_file": f"{SPOOL}/conf/pandora_ha_hosts.conf",
}
TEXTS = (
    *("incomingdir", "dbhost", "dbport", "dbsslcafile", "dbsslcapath", "verify_mysql_ssl_cert"),
    *("autocreate_group_name", "ha_hosts_file", "console_api_url"),
)
TOKENS = (*_NUMBERS, *TEXTS)


@dataclass(frozen=True)
class Value:
    """What a token is set to, and the file and line that do it; for a default, the file that does not."""

    text: str
    cause: str

    @property
    def number(self) -> int:
        """As Perl counts a text: the digits that it begins with, else 0."""
        digits = re.match(r"\s*[+-]?\d{1,9}", self.text, re.ASCII)
        return int(digits[0]) if digits else 0


@dataclass(frozen=True)
class Configuration:
    """One server's configuration.

    Args:
        file: where it is written.
        written: the tokens that it sets; the last line of one counts.
    """

    file: str
    written: dict[str, Value]

    def __getitem__(self, token: str) -> Value:
        """The value that counts: what is written, else the default."""
        return self.written.get(token) or Value(DEFAULTS.get(token, ""), f"{self.file}, which does not set {token}")

    @property
    def incomingdir(self) -> str:
        folder = self["incomingdir"].text
        return f"{self.file}{folder[1:]}" if folder.startswith(".") else folder.rstrip("/") or "/"


def counts(line: str) -> bool:
    """Whether the server takes a line for one of its tokens."""
    return re.match("[a-zA-Z]", line) is not None and _COUNTS.search(f"{line}\n") is not None


def parse(file: str, lines: Iterable[tuple[str, str]]) -> Configuration:
    """The configuration that lines make, each line with its cause. What no reader of this needs is left out."""
    written: dict[str, Value] = {}
    for cause, line in lines:
        if not counts(line):
            continue
        name = re.match(r"[A-Za-z_]+(?=\s)", line)
        token = name[0].lower() if name else ""
        if name is None or token not in TOKENS:
            continue
        value = re.match(rf"\s+({_NUMBERS[token]})" if token in _NUMBERS else r"\s(.*)", line[name.end() :])
        if value:
            written[token] = Value(value[1].strip(), cause)
    return Configuration(file, written)
