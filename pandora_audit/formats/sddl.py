"""Windows' security descriptors as text (SDDL): who owns a file, and who may do what with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pandora_audit.question import Unreadable

READ = 0x1
"""To read a file, or to list a folder."""
ALTER = 0x2 | 0x4 | 0x10000 | 0x40000 | 0x80000
"""To write, to append, to delete, to take over; of a folder: to put something into it."""
REPLACE = 0x40 | 0x10000 | 0x40000 | 0x80000
"""To remove what is in a folder, or the folder, so that something else can stand there."""

# File rights by bit, as the letters call them.
_RIGHTS = dict(zip(["CC", "DC", "LC", "SW", "RP", "WP", "DT", "LO", "CR"], (1 << bit for bit in range(9)), strict=True))
_RIGHTS |= {"SD": 0x10000, "RC": 0x20000, "WD": 0x40000, "WO": 0x80000}
_RIGHTS |= {"FA": 0x1F01FF, "FR": 0x120089, "FW": 0x120116, "FX": 0x1200A0}
_RIGHTS |= {f"G{letter}": _RIGHTS[f"F{letter}"] for letter in "ARWX"}
_GENERIC = {0x10000000: "GA", 0x80000000: "GR", 0x40000000: "GW", 0x20000000: "GX"}

_ALIASES = {"WD": "S-1-1-0", "CO": "S-1-3-0", "CG": "S-1-3-1", "OW": "S-1-3-4", "NU": "S-1-5-2", "IU": "S-1-5-4"}
_ALIASES |= {"SU": "S-1-5-6", "AN": "S-1-5-7", "AU": "S-1-5-11", "SY": "S-1-5-18", "LS": "S-1-5-19", "NS": "S-1-5-20"}
_ALIASES |= {"BA": "S-1-5-32-544", "BU": "S-1-5-32-545", "BG": "S-1-5-32-546", "PU": "S-1-5-32-547"}
_ALIASES |= {"SO": "S-1-5-32-549", "BO": "S-1-5-32-551", "RD": "S-1-5-32-555", "AC": "S-1-15-2-1"}
_NAMES = {
    "S-1-1-0": "Everyone",
    "S-1-5-2": "whoever comes through the network",
    "S-1-5-4": "whoever is logged in",
    "S-1-5-7": "Anonymous",
    "S-1-5-11": "Authenticated Users",
    "S-1-5-19": "Local Service",
    "S-1-5-20": "Network Service",
    "S-1-5-32-545": "Users",
    "S-1-5-32-546": "Guests",
    "S-1-5-32-547": "Power Users",
}
_INSTALLER = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
# Those who rule the machine: the system, its administrators and its installer, by alias or by number.
_RULERS = re.compile(rf"S-1-5-18|S-1-5-32-544|{_INSTALLER}|LA|DA|EA|S-1-5-21(-\d+){{3}}-(500|512|519)", re.ASCII)
# Of an owner only the owner, and of an app container only what its user may do as well, has anything.
_NOBODY = re.compile(r"S-1-3-[014]|S-1-15-.*")
_SID = r"S-1-\d[\d-]{0,180}|[A-Z]{2}"


@dataclass(frozen=True)
class _Entry:
    """What is allowed or denied to whom; what only concerns things below is left out."""

    allows: bool
    mask: int
    sid: str


@dataclass(frozen=True)
class Descriptor:
    """Who owns a thing, and its access list in order; None where it has none, which keeps nobody out."""

    owner: str
    entries: tuple[_Entry, ...] | None

    def others(self, mask: int, known: Collection[str] = ()) -> tuple[str, ...]:
        """Who else than the machine's rulers, and those known by SID, may do something of the mask; by name."""
        found = {sid: self._allowed(sid) & mask for sid in self._sids}
        if mask & 0x40000:  # an owner may always change the list
            found[self.owner] = mask
        return tuple(
            sorted(
                _NAMES.get(sid, sid)
                for sid, allowed in found.items()
                if allowed and not (_RULERS.fullmatch(sid) or _NOBODY.fullmatch(sid) or sid in known)
            )
        )

    @property
    def _sids(self) -> tuple[str, ...]:
        if self.entries is None:
            return ("S-1-1-0",)
        return tuple(dict.fromkeys(each.sid for each in self.entries if each.allows))

    def _allowed(self, sid: str) -> int:
        """What an account may do that is this one; the first entry that names a right decides it."""
        if self.entries is None:
            return _RIGHTS["FA"]
        allowed = denied = 0
        for each in self.entries:
            if not each.allows and each.sid in (sid, "S-1-1-0"):
                denied |= each.mask & ~allowed
            elif each.allows and each.sid == sid:
                allowed |= each.mask & ~denied
        return allowed


def read(text: str) -> Descriptor:
    """Raises Unreadable for what is no descriptor, or has entries with conditions."""
    owner = re.match(rf"O:({_SID})(?=G:|D:|S:|$)", text)
    if owner is None:
        raise Unreadable(f"{text[:60]!r} is no security descriptor")
    rest = re.sub(rf"^(G:({_SID})(?=D:|S:|$))?", "", text[owner.end() :])
    found = re.match(r"(?:D:([A-Z_]{0,40})((?:\([^()]{0,300}\)){0,500}))?(?:S:.*)?$", rest, re.S)
    if found is None:
        raise Unreadable(f"the access list {rest[:60]!r} has entries with conditions, or others that are not known")
    has_none = found[1] is None or "NO_ACCESS_CONTROL" in found[1]
    return Descriptor(_sid(owner[1]), None if has_none else tuple(_entries(found[2])))


def _entries(text: str) -> Iterator[_Entry]:
    for inside in re.findall(r"\(([^()]*)\)", text):
        kind, flags, rights, *_, sid = fields = inside.split(";")
        if len(fields) != 6 or kind not in ("A", "D") or not re.fullmatch(_SID, sid):
            raise Unreadable(f"the entry ({inside[:80]}) of an access list is not known")
        if "IO" not in re.findall("..", flags):
            yield _Entry(kind == "A", _mask(rights), _sid(sid))


def _mask(rights: str) -> int:
    if re.fullmatch(r"0x[0-9a-fA-F]{1,8}", rights):
        number = int(rights, 16)
        for bit, name in _GENERIC.items():
            number |= _RIGHTS[name] if number & bit else 0
        return number
    mask = 0
    for name in re.findall("..?", rights):
        if name not in _RIGHTS:
            raise Unreadable(f"the right {name!r} of an access list is not known")
        mask |= _RIGHTS[name]
    return mask


def _sid(text: str) -> str:
    return _ALIASES.get(text, text)
