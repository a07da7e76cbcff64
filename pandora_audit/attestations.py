"""What a person has answered for, where no command can see it: signed, dated, with its evidence."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pandora_audit import sitefile
from pandora_audit.exceptions import glob
from pandora_audit.sitefile import SiteError, Value, read_yaml

_KEYS = ("control", "host", "by", "on", "until", "statement", "evidence")


@dataclass(frozen=True, kw_only=True)
class Attestation:
    """One entry of an attestations file.

    Args:
        control: the control's id.
        host: the name of a host or of a deployment, or a glob.
        by: who answers for it.
        on, until: the first and the last day on which it holds.
        statement: what is so, in that person's words.
        evidence: where it can be checked: a document, a ticket, a picture.
        where: ``file:line`` of the entry.
    """

    control: str
    host: str
    by: str
    on: date
    until: date
    statement: str
    evidence: str
    where: str = ""

    def __str__(self) -> str:
        return f"“{self.statement}” ({self.by}, {self.on}, until {self.until}; evidence: {self.evidence})"

    def concerns(self, control: str, host: str) -> bool:
        return self.control == control and glob(self.host, host)

    def in_force(self, today: date) -> bool:
        """Whether it holds; its first and its last day count."""
        return self.on <= today <= self.until


def beside(inventory: Path) -> Path:
    """Where the attestations of an inventory are: ``production.yml`` → ``production.attestations.yml``."""
    return inventory.with_suffix(".attestations.yml")


def load(path: Path, known_controls: Collection[str]) -> tuple[Attestation, ...]:
    """The entries of an attestations file; none when it is empty. Raises SiteError with file and line."""
    value = read_yaml(path)
    if value.data is not None and not isinstance(value.data, list):
        raise SiteError(f"{value.where}: attestations are a list; begin each entry with a dash")
    return tuple(_entry(each, known_controls) for each in value.data or ())


def _entry(value: Value, known_controls: Collection[str]) -> Attestation:
    pairs = sitefile.entry(value, "an attestation", _KEYS)
    sitefile.known_control(pairs["control"], known_controls)
    on, until = (pairs[key].day(key) for key in ("on", "until"))
    if until < on:
        raise SiteError(f"{pairs['until'].where}: this attestation ends before it begins")
    words = {key: each.text(key).strip() for key, each in pairs.items() if key not in ("on", "until")}
    return Attestation(on=on, until=until, where=value.where, **words)


def current(entries: Iterable[Attestation], control: str, host: str, today: date) -> Attestation | None:
    """The attestation of a claim that holds the longest; None where there is none in force."""
    mine = [entry for entry in entries if entry.concerns(control, host) and entry.in_force(today)]
    return max(mine, key=lambda entry: entry.until, default=None)


def lapsed(entries: Iterable[Attestation], control: str, host: str, today: date) -> Attestation | None:
    """The attestation that held last and no longer does; None where there never was one."""
    mine = [entry for entry in entries if entry.concerns(control, host) and entry.until < today]
    return max(mine, key=lambda entry: entry.until, default=None)
