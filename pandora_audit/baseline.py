"""What a site accepts of one machine as it is: a file of its own, with an owner, an approval and a last day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

from pandora_audit.sitefile import SiteError, Value, did_you_mean, dump_yaml, parse_yaml, read_text
from pandora_audit.verdict import ToDecide

Section = Mapping[str, tuple[str, ...]]
"""Names, and what is accepted of each."""

SECTIONS = ("listeners", "processes", "integrity", "plugins")
_HEAD = ("owner", "approved-by", "review-until")
_REVIEW = timedelta(days=365)


@dataclass(frozen=True)
class Baseline:
    """A baseline as it was promised: a path, and what its file says once it was read.

    Args:
        path: beside the inventory; of a folder, each host has its own file in it.
        text: the whole file; None before it was read, or where the folder has none for the host.
    """

    path: str
    text: str | None = None

    def __post_init__(self) -> None:
        _ = self._content

    def __str__(self) -> str:
        return self.path if self.text is None else self.text

    def read(self, folder: Path, host: str) -> Baseline:
        """This baseline with what its file says. Raises SiteError when that cannot be read."""
        path = folder / self.path
        if path.is_dir():
            path /= f"{host}.yml"
            if not path.exists():
                return self
        return replace(self, path=str(path), text=read_text(path))

    def section(self, name: str, day: date) -> Section:
        """What is accepted of one kind of thing. Raises ToDecide where nobody has accepted anything for that day."""
        if self._content is None:
            raise ToDecide(f"{self.path} holds no baseline of this machine: see `pandora-audit baseline propose`")
        approved_by, until, sections = self._content
        if not approved_by:
            raise ToDecide(f"nobody has approved the baseline {self.path} yet: its approved-by is empty")
        if day > until:
            raise ToDecide(f"the baseline {self.path} was to be reviewed until {until}")
        if name not in sections:
            raise ToDecide(f"the baseline {self.path} has no section {name}")
        return sections[name]

    @cached_property
    def _content(self) -> tuple[str, date, Mapping[str, Section]] | None:
        """Who approved it, until when, and its sections. Raises SiteError with file and line."""
        if self.text is None:
            return None
        value = parse_yaml(self.text, self.path)
        pairs = value.mapping("a baseline")
        for key, each in pairs.items():
            if key not in (*_HEAD, *SECTIONS):
                raise SiteError(f"{each.where}: a baseline has no {key}{did_you_mean(key, (*_HEAD, *SECTIONS))}")
        if missing := [key for key in _HEAD if key not in pairs]:
            raise SiteError(f"{value.where}: this baseline lacks {', '.join(missing)}")
        owner, approved_by = (pairs[key].person(key) for key in _HEAD[:2])
        if owner and owner.casefold() == approved_by.casefold():
            raise SiteError(f"{pairs['approved-by'].where}: the owner of a baseline does not approve it (four eyes)")
        sections = {
            key: {name: _texts(name, each) for name, each in pairs[key].mapping(key).items()}
            for key in SECTIONS
            if key in pairs
        }
        return approved_by, pairs["review-until"].day("review-until"), sections


def _texts(name: str, value: Value) -> tuple[str, ...]:
    plain = value.plain(name)
    return (plain,) if isinstance(plain, str) else plain


def written(owner: str, day: date, sections: Mapping[str, Section]) -> str:
    """The file that proposes these sections; it counts once somebody else than its owner has approved it."""
    body = {
        key: {name: texts[0] if len(texts) == 1 else list(texts) for name, texts in sorted(section.items())}
        for key, section in sorted(sections.items())
    }
    head = {"owner": owner, "approved-by": "", "review-until": str(day + _REVIEW)}
    return dump_yaml(head | body)
