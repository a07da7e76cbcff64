"""How Pandora FMS reaches its database, as the files of server and console on this machine say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.formats import addresses
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, Cause, NotObserved, Role
from pandora_audit.questions import ADDRESSES
from pandora_audit.verdict import NotApplicable

# What the code falls back to, the vendor's deployment scripts set, and the console's interface starts with.
_PUBLISHED = ("pandora", "Pandor4!", "Pandor4_", "1234")
_SHORTEST = 8
# From here on two kinds of characters are enough: a long random number is no simple password.
_LONG = 20

# What is said of a password instead of it: first its length, then what is in it.
_TRAITS = rf"""
h
s/./x/g
s/^/dbpass length /p
g
s/^({"|".join(_PUBLISHED)})$/dbpass published/p
g
s/.*[a-z].*/dbpass lower/p
g
s/.*[A-Z].*/dbpass upper/p
g
s/.*[0-9].*/dbpass digit/p
g
s/.*[^A-Za-z0-9].*/dbpass symbol/p
"""
# The server's own grammar: a letter in the first column, and somewhere a word, one blank, and a character that its
# expression knows; it passes over any other line. The last one counts.
_SERVER_KEEP = rf"""
s/[[:space:]]+$//
/^[A-Za-z]/!d
/[[:alnum:]_][[:space:]][[:alnum:]_./?&=)(!*@#%$~"'-]/!d
/^(dbuser|dbname|dbhost|dbport|dbsslcafile)[[:space:]]/I{{
p
d
}}
/^dbpass[[:space:]]/I!d
s/^dbpass[[:space:]]+//I
{_TRAITS}"""
_KEY = r"""^[[:space:]]*\$config[[:space:]]*\[[[:space:]]*["']KEY["'][[:space:]]*\][[:space:]]*=[[:space:]]*"""
_PHP = _KEY.replace("KEY", "(dbuser|dbname|dbhost|dbport|dbsslcafile)")
_PHP_PASSWORD = _KEY.replace("KEY", "dbpass")
_CONSOLE_KEEP = rf"""
s/\r$//
s/\/\*.*\*\///
/^[[:space:]]*\/\*/,/\*\//d
/^[[:space:]]*(\/\/|#|\*)/d
t first
:first
s/{_PHP}"([^"\\]*)"[[:space:]]*;.*/\1 \2/p
s/{_PHP}'([^'\\]*)'[[:space:]]*;.*/\1 \2/p
t
/dbpass/!d
s/{_PHP_PASSWORD}"(([^"\\]|\\.)*)"[[:space:]]*;.*/\1/
t traits
s/{_PHP_PASSWORD}'(([^'\\]|\\.)*)'[[:space:]]*;.*/\1/
t traits
s/.*/dbpass computed/p
d
:traits
s/\\(["'\\$])/\1/g
{_TRAITS}"""


# Only root and the program itself may read these files. To judge a password takes its line, and sudoers can name no
# filter that is safe and right: whoever is granted this can read the password, on the host, which it does not leave.
# Their owners are not root: a link in their place is not followed.
def _show(*paths: str) -> tuple[str, ...]:
    return ("find", *paths, "-maxdepth", "0", "-type", "f", "-exec", "cat", "{}", "+")


_SERVER_FILES = ("/etc/pandora/pandora_server.conf",)
_CONSOLE_FILES = tuple(
    f"{folder}/pandora_console/include/config.php" for folder in ("/var/www/html", "/var/www", "/srv/www/htdocs")
)
SERVER_CONF = Ask(
    key="pandora-server-database",
    argv=_show(*_SERVER_FILES),
    root=True,
    only_if=Role.SERVER,
    keep=_SERVER_KEEP,
)
CONSOLE_CONF = Ask(
    key="pandora-console-database",
    argv=_show(*_CONSOLE_FILES),
    root=True,
    only_if=Role.CONSOLE,
    keep=_CONSOLE_KEEP,
)


@dataclass(frozen=True)
class Link:
    """One file's way to the database: its settings, and what is known of the password."""

    file: str
    settings: Mapping[str, str]
    traits: frozenset[str]
    length: int

    @property
    def host(self) -> str:
        return self.settings.get("dbhost", "localhost").lower()


class DbLink(Fact):
    """The database accounts, names and passwords that server and console of this machine use."""

    questions = (SERVER_CONF, CONSOLE_CONF, ADDRESSES)

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """What the files of the roles that this machine plays say. Raises NotObserved where one was not read."""
        return tuple(self._links())

    def _links(self) -> Iterator[Link]:
        defaults = {"dbuser": "pandora", "dbname": "pandora", "dbhost": "localhost"}
        for ask, files, given in ((SERVER_CONF, _SERVER_FILES, defaults), (CONSOLE_CONF, _CONSOLE_FILES, {})):
            answer = self.answers[ask.key]
            if answer.cause is Cause.ROLE:
                continue
            lines = answer.lines
            for complaint in answer.err.decode("utf-8", "backslashreplace").splitlines():
                if "No such file" not in complaint:
                    raise NotObserved(f"`{ask.short}` did not see everything: {complaint[:200]}")
            name = files[0].rpartition("/")[2]
            if not lines:
                raise NotObserved(f"{name} was not read, or says nothing of a database; a link is not followed")
            yield _link(name, lines, given)

    @cached_property
    def _addresses(self) -> addresses.Addresses:
        return addresses.read(self.answers[ADDRESSES.key])

    @property
    def own_networks(self) -> tuple[tuple[str, addresses.Interface], ...]:
        """The machine's addresses with their networks, by interface."""
        return self._addresses.interfaces

    @cached_property
    def local(self) -> tuple[Link, ...]:
        """The links that lead to a database on this machine."""
        return tuple(link for link in self.links if self._is_here(link.host))

    def _is_here(self, host: str) -> bool:
        host = host.strip("[]")
        if not host or host.startswith("/") or addresses.is_loopback(host):
            return True
        # A name with a domain is taken for this machine's where the name before it is.
        return self._addresses.mean(host) or self._addresses.mean(host.partition(".")[0])

    @cached_property
    def weak_passwords(self) -> Offences:
        """The files whose database password is published, short or simple."""
        if not self.links:
            raise NotApplicable("no file of Pandora FMS on this machine holds a database password")
        found = []
        for link in self.links:
            if "computed" in link.traits:
                raise NotObserved(f"{link.file} computes the database password, and was not run")
            if link.length < 0 and link.file == "config.php":
                raise NotObserved(f"{link.file} was read, and sets no database password in a way that is understood")
            if wrong := _weakness(link):
                found.append(
                    Offence(subject=link.file, text=f"the database password {wrong}", layer="file", cause=link.file)
                )
        lengths = ", ".join(f"{link.length} characters in {link.file}" for link in self.links)
        return Offences(found, lengths)


def _weakness(link: Link) -> str:
    if link.length < 0:
        return "is not set, so that the one in the product's code holds"
    if "published" in link.traits:
        return "is one that the vendor publishes"
    if link.length < _SHORTEST:
        return f"has {link.length} characters"
    kinds = link.traits & {"lower", "upper", "digit", "symbol"}
    if len(kinds) < (2 if link.length >= _LONG else 4):
        return f"has {link.length} characters, all of them {' or '.join(sorted(kinds))}"
    return ""


def _link(file: str, lines: list[str], defaults: Mapping[str, str]) -> Link:
    settings, traits, length = dict(defaults), set[str](), -1
    for line in filter(str.strip, lines):
        name, *rest = line.split(None, 1)
        name, value = name.lower(), "".join(rest).strip()
        if name != "dbpass":
            settings[name] = value
        elif value.startswith("length"):
            length, traits = value.count("x"), set()
        else:
            traits.add(value)
    return Link(file, settings, frozenset(traits), length)
