"""How Pandora FMS reaches its database, as the files of server and console on this machine say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.formats import addresses, config_php, secret, server_conf
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.secret import Secret
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import PERL, Ask, Cause, NotObserved, Role, Unreadable
from pandora_audit.questions import ADDRESSES, CONSOLE_CONFIG
from pandora_audit.verdict import NotApplicable

_SHORTEST = 8
# From so many characters on, so many kinds are enough: what a generator makes of letters and digits, or a long random
# number, is no simple password.
_KINDS = ((20, 2), (16, 3), (0, 4))

# Only root and the program itself may read the file. To judge a password takes its line, and sudoers can name no filter
# that is safe and right: whoever is granted this can read the password, on the host, which it does not leave. Its owner
# is not root: a link in its place is not followed.
SERVER_CONF = Ask(
    key="pandora-server-database",
    argv=("find", server_conf.MAIN, "-maxdepth", "0", "-type", "f", "-exec", "cat", "{}", "+"),
    root=True,
    only_if=Role.SERVER,
    keep=PERL
    + secret.TRAITS
    + server_conf.COUNTS
    + r"""s/\s+\z//;
my $line = $_;
utf8::decode($line);
next unless counts($line);
print "$_\n" if /^(?:dbuser|dbname|dbhost|dbport|dbsslcafile)\s/i;
print "dbpass " . traits("$1") . "\n" if $line =~ /^dbpass\s+(.*)/i;
""",
)


@dataclass(frozen=True)
class Link:
    """One file's way to the database: what it sets as a constant, and what else only its program could tell."""

    file: str
    settings: Mapping[str, str]
    computed: frozenset[str] = frozenset()

    def setting(self, name: str) -> str:
        """What it sets; empty where it does not. Raises NotObserved for an expression."""
        if name in self.computed:
            raise NotObserved(f"{self.file} computes {name}, and was not run")
        return self.settings.get(name, "")

    @property
    def password(self) -> Secret | None:
        """What is told of the password; None where none is set. Raises NotObserved for an expression."""
        told = self.setting("dbpass")
        found = secret.read(told)
        if told and not found:
            raise Unreadable(f"the host did not tell what stands for the database password in {self.file}")
        return found

    @property
    def host(self) -> str:
        return self.setting("dbhost").lower() or "localhost"


class DbLink(Fact):
    """The database accounts, names and passwords that server and console of this machine use."""

    questions = (SERVER_CONF, CONSOLE_CONFIG, ADDRESSES)

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """What the files of the roles that this machine plays say. Raises NotObserved where one was not read."""
        return tuple(self._links())

    def _links(self) -> Iterator[Link]:
        server, console = self.answers[SERVER_CONF.key], self.answers[CONSOLE_CONFIG.key]
        if server.cause is not Cause.ROLE:
            words = [line.split(None, 1) for line in server.lines if line]
            nothing_withheld(server)
            if not words:
                raise NotObserved(
                    "pandora_server.conf was not read, or says nothing of a database; no link is followed"
                )
            written = {name.lower(): "".join(value).strip() for name, *value in words}
            yield Link(
                "pandora_server.conf", {"dbuser": "pandora", "dbname": "pandora", "dbhost": "localhost", **written}
            )
        if console.cause is not Cause.ROLE:
            for path, config in config_php.of(console).items():
                if not any(name.startswith("db") for name in config):
                    raise NotObserved(f"{path} says nothing of a database")
                known = {name: value.text for name, value in config.items() if value.text is not None}
                yield Link(path, known, frozenset(config.keys() - known.keys()))

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
        found, lengths = [], []
        for link in self.links:
            password = link.password
            if password is None and link.file.endswith("config.php"):
                raise NotObserved(f"{link.file} was read, and sets no database password")
            if password:
                lengths.append(f"{password.length} characters in {link.file}")
            if wrong := _weakness(password):
                found.append(
                    Offence(subject=link.file, text=f"the database password {wrong}", layer="file", cause=link.file)
                )
        return Offences(found, ", ".join(lengths))


def _weakness(password: Secret | None) -> str:
    if password is None:
        return "is not set, so that the one in the product's code holds"
    if password.published:
        return "is one that the vendor publishes"
    if password.length < _SHORTEST:
        return f"has {password.length} characters"
    if len(password.kinds) < next(kinds for length, kinds in _KINDS if password.length >= length):
        return f"has {password.length} characters, all of them {' or '.join(sorted(password.kinds))}"
    return ""
