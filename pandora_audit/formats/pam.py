"""PAM's stacks: one facility of one service, its includes resolved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pandora_audit.formats.grep import binary
from pandora_audit.question import Unreadable


@dataclass(frozen=True)
class Module:
    """One module of a stack: how its result counts, its file name, its arguments.

    Args:
        depth: how many substacks it stands in; what ends a substack does not end the stack.
        may_be_missing: whether PAM passes over it where its file is not installed.
    """

    control: str
    name: str
    arguments: tuple[str, ...]
    depth: int = 0
    may_be_missing: bool = False

    @property
    def can_refuse(self) -> bool:
        """Whether its failure makes the stack fail."""
        if self.control.startswith("["):
            return re.search(r"=(bad|die)\b", self.control) is not None
        return self.control not in ("optional", "sufficient")

    def action(self, *, success: bool) -> str:
        """What PAM does with its result: ok, done, bad, die, ignore, reset, or how many modules it jumps over."""
        if not self.control.startswith("["):
            return _KEYWORDS.get(self.control, ("ok", "bad"))[not success]
        said: dict[str, str] = dict(re.findall(r"(\w+)=(\w+)", self.control))
        name = "success" if success else "auth_err"
        return said.get(name, said.get("default", "bad"))


# On success, and on failure.
_KEYWORDS = {
    "required": ("ok", "bad"),
    "requisite": ("ok", "die"),
    "sufficient": ("done", "ignore"),
    "optional": ("ok", "ignore"),
}
_LINE = re.compile(r"(-?)(auth|account|session|password)\s+(\[[^\]]*\]|\S+)\s+(\S+)\s*(.*)", re.I)


def files(lines: Iterable[str]) -> dict[str, list[str]]:
    """The lines of ``grep -H`` by the base name of their file; a backslash at the end joins the next one."""
    found: dict[str, list[str]] = {}
    for line in lines:
        path, colon, text = line.partition(":")
        if not colon or binary(line):
            continue
        said = found.setdefault(_base(path), [])
        before = said.pop()[:-1] + " " if said and said[-1].endswith("\\") else ""
        said.append(before + text.partition("#")[0].strip())
    return found


def stack(by_file: Mapping[str, list[str]], service: str, facility: str) -> tuple[Module, ...]:
    """The modules that one facility of a service runs. Raises Unreadable for a missing or circular include."""
    return tuple(_modules(by_file, service, facility, 0, 0))


def _modules(
    by_file: Mapping[str, list[str]], service: str, facility: str, includes: int, depth: int
) -> Iterator[Module]:
    if service not in by_file or includes > 16:
        raise Unreadable(f"PAM's {service} could not be followed")
    for text in by_file[service]:
        if text.lower().startswith("@include "):
            yield from _modules(by_file, _base(text.split()[-1]), facility, includes + 1, depth)
            continue
        line = _LINE.match(text)
        if line is None or line[2].lower() != facility:
            continue
        control = line[3].lower()
        if control in ("include", "substack"):
            yield from _modules(by_file, _base(line[4]), facility, includes + 1, depth + (control == "substack"))
        else:
            yield Module(control, _base(line[4]), tuple(line[5].split()), depth, line[1] == "-")


def succeeds(modules: Sequence[Module], succeeding: Callable[[Module], bool]) -> bool:
    """Whether a stack lets in, given which of its modules do: what libpam's dispatcher makes of their results."""
    verdict: bool | None = None
    before: dict[int, bool | None] = {}
    at, depth = 0, 0
    while at < len(modules):
        module = modules[at]
        for entered in range(depth, module.depth):
            before[entered + 1] = verdict
        depth = module.depth
        success = succeeding(module)
        action = module.action(success=success)
        ends = False
        if action in ("ok", "done"):
            verdict = success if verdict is not False else verdict
            ends = action == "done" and verdict is True
        elif action in ("bad", "die"):
            verdict, ends = False, action == "die"
        elif action == "reset":
            verdict = before.get(depth)
        at += 1
        if ends:
            if depth == 0:
                break
            while at < len(modules) and modules[at].depth >= depth:
                at += 1
        for _ in range(int(action) if re.fullmatch(r"[0-9]{1,3}", action) else 0):
            behind = _behind(modules, at, depth)
            if behind == at:  # libpam refuses a jump beyond the end
                return False
            at = behind
    return verdict is True


# Modules that ask nobody for anything: those that decide by name, group and place, and those that set up or count.
CONDITIONS = ("pam_access.so", "pam_listfile.so", "pam_succeed_if.so", "pam_time.so", "pam_wheel.so")
_ASKING_NOTHING = (
    *("pam_env.so", "pam_faildelay.so", "pam_faillock.so", "pam_tally.so", "pam_tally2.so", "pam_nologin.so"),
    *("pam_securetty.so", "pam_group.so", "pam_permit.so", "pam_keyinit.so", "pam_cap.so", "pam_issue.so"),
    *("pam_usertype.so", "pam_localuser.so", "pam_shells.so", "pam_gnome_keyring.so", "pam_selinux.so"),
    *("pam_warn.so", "pam_echo.so"),
)


def lets_anybody_in(modules: Sequence[Module]) -> bool:
    """Whether a stack succeeds for somebody who proves nothing, when all that asks for nothing is in his favour."""
    return succeeds(modules, lambda module: module.name in (*_ASKING_NOTHING, *CONDITIONS))


def _behind(modules: Sequence[Module], at: int, depth: int) -> int:
    """The place behind one module, or behind a whole substack; no jump leaves the substack that it is made in."""
    if at >= len(modules) or modules[at].depth < depth:
        return at
    at += 1
    while at < len(modules) and modules[at].depth > depth:
        at += 1
    return at


def _base(path: str) -> str:
    return path.rpartition("/")[2]
