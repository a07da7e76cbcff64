"""What comes home instead of a secret: how long it is, whether everybody knows it, and perhaps what is in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What the vendor's packages, installers and documentation set or suggest.
PUBLISHED = (
    *("pandora", "Pandora", "PANDORA", "Pandor4!", "Pandor4_", "pandorafms", "PandoraFMS", "1234", "12345", "123456"),
    *("admin", "changeme", "passphrase", "mypassword", "password", "Password", "PASSWORD", "tentacle", "73N74c13.RMM"),
)

HIDE = (
    'sub hide { my $s = shift; "secret:" . length($s) . ":" . '
    "((grep { $_ eq $s } qw(" + " ".join(PUBLISHED) + ')) ? "published" : "own") }\n'
)
"""Perl for a filter on the host: what stands for a secret."""
TRAITS = (
    HIDE
    + r"""sub traits {
    my $s = shift;
    my %kinds = (lower => qr/[a-z]/, upper => qr/[A-Z]/, digit => qr/[0-9]/, symbol => qr/[^A-Za-z0-9]/);
    return join ":", hide($s), grep { $s =~ $kinds{$_} } sort keys %kinds;
}
"""
)
"""The same with the kinds of characters in it."""


@dataclass(frozen=True)
class Secret:
    """A secret that stayed on its host."""

    length: int
    published: bool
    kinds: frozenset[str] = frozenset()


def read(text: str) -> Secret | None:
    """What the host told instead of a secret; None for anything else."""
    found = re.fullmatch(r"secret:(\d{1,9}):(published|own)((?::[a-z]+)*)", text)
    return Secret(int(found[1]), found[2] == "published", frozenset(found[3].split(":")[1:])) if found else None
