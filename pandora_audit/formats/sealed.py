"""Secrets of several hosts that are to be equal, compared without leaving them.

Each host makes an HMAC of its own, under a key that lives as long as this program and is written nowhere: not in an
argument, not in a record. What comes home, and stays in a record, tells equal from different within that run.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

# As long as a block of SHA-256, so that HMAC takes it as it is.
_RUN, _KEY = secrets.token_hex(8), secrets.token_bytes(64)

LINE = f"encryption_passphrase {_RUN} {_KEY.hex()}\n".encode()
"""What the program that is filtered reads first, and hands on: the name of the run and its key."""

# Not every perl has Digest::SHA; sha256sum is everywhere. A secret is shorter than what a pipe holds.
SEAL = r"""sub sum {
    pipe my $from, my $to;
    my $child = open my $said, "-|";
    die if !defined $child;
    if (!$child) { close $to; open STDIN, "<&", $from; exec "sha256sum"; exit 1 }
    close $from;
    print $to $_[0];
    close $to;
    return substr join("", <$said>), 0, 64;
}
sub seal {
    my $secret = shift;
    die if !$key;
    my $sum = $secret eq "" ? "empty"
        : sum(($key ^ "\x5c" x 64) . pack "H*", sum(($key ^ "\x36" x 64) . $secret));
    return "sealed:$run:$sum";
}
sub opens { $_[0] =~ /encryption_passphrase (\w{16}) (\w{128})$/ and ($run, $key) = ($1, pack "H*", $2) }
"""
"""Perl for a filter on the host: ``opens`` takes the line of the key, ``seal`` gives what stands for a secret.

Without a key it ends: under one that everybody knows, a secret could be searched for.
"""


@dataclass(frozen=True)
class Sealed:
    """What a host told instead of a secret; equal where the secrets are, in the same run. Empty for an empty one."""

    run: str
    digest: str


def read(text: str) -> Sealed | None:
    """What stands for a secret; None for anything else."""
    found = re.fullmatch(r"sealed:(\w{16}):([0-9a-f]{64}|empty)", text)
    return Sealed(found[1], "" if found[2] == "empty" else found[2]) if found else None
