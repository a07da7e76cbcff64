"""Whether programs for Windows are what their vendor signed: installed ones, and the installers that a site names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.formats import osslsigncode
from pandora_audit.formats.osslsigncode import State
from pandora_audit.offence import Offence, Offences
from pandora_audit.powershell import WALK
from pandora_audit.promises import Promises
from pandora_audit.question import Ask, NotObserved, Probe, ProbeKind, Question, Role, Unreadable
from pandora_audit.verdict import NotApplicable, ToDecide

_SIGNATURES = Ask(
    key="windows-signatures",
    ps="# Get-AuthenticodeSignature of the agent's programs\n"
    + WALK
    + r"""
Walk $env:PANDORA_HOME | ForEach-Object {
  if (Link $_) { "Link|||$($_.FullName)"; return }
  if ('.exe', '.dll', '.msi' -notcontains $_.Extension) { return }
  $signature = Get-AuthenticodeSignature -LiteralPath $_.FullName
  $signer = "$($signature.SignerCertificate.Subject)" -replace '[|\r\n]', ' '
  $release = "$($_.VersionInfo.ProductVersion)" -replace '[|\r\n]', ' '
  "$($signature.Status)|$release|$signer|$($_.FullName)"
}
""",
    seconds=30,
    only_if=Role.AGENT,
)
_SIGNED_SINCE = 761
# What PowerShell says of a signature, beside Valid and NotSigned.
_BROKEN = {
    "HashMismatch": State.TAMPERED.value,
    "NotTrusted": "is signed by somebody whom this machine distrusts",
    "UnknownError": "has a signature that this machine does not take for valid: expired, or by an unknown authority",
    "Incompatible": "has a signature that this machine cannot verify",
}
# Signatures for which nobody here can answer.
_UNKNOWN = (State.UNKNOWN_AUTHORITY, State.STAMP_UNKNOWN)


def _probe(path: str, ca: str | None) -> Probe:
    return Probe(key=f"installer@{path}", kind=ProbeKind.SIGNATURE, paths=(path,), ca=ca or "", seconds=30)


@dataclass(frozen=True)
class _Program:
    """A program on a Windows machine: what that machine says of its signature."""

    state: str
    release: str
    signer: str
    path: str


class WindowsPrograms(Fact):
    """Programs for Windows, and their signatures."""

    role = Role.AGENT

    @classmethod
    def first(cls, promises: Promises) -> tuple[Question, ...]:
        return (*cls.questions, *(_probe(path, promises.signing_ca) for path in promises.installers))

    def wrongly_signed(self, installers: tuple[str, ...], ca: str | None) -> Offences:
        """What is not validly signed. NotApplicable for a machine that has nothing to do with Windows."""
        if not installers:
            raise NotApplicable("the machine does not run Windows, and hands out no installer (audit_installers)")
        return Offences(self._with_installers((), installers, ca), f"{', '.join(installers)}: validly signed")

    def _with_installers(
        self, found: Iterable[Offence], installers: tuple[str, ...], ca: str | None
    ) -> tuple[Offence, ...]:
        """These offences and the installers that are not validly signed. Raises NotObserved where none is known."""
        offences, unknown = [*found], []
        for path in installers:
            try:
                read = osslsigncode.read(self.answers[_probe(path, ca).key].text)
            except NotObserved as silent:
                unknown.append(f"{path}: {silent.reason}")
                continue
            told = f"{path} {read.state}" + (f" ({read.signer})" if read.signer else "")
            if read.state in _UNKNOWN and ca is None:
                unknown.append(f"{told}: name the authorities' certificates (audit_signing_ca)")
            elif read.state is not State.VALID:
                offences.append(Offence(subject=path, text=told, layer="file", cause=path))
        if unknown and not offences:
            raise NotObserved("; ".join(unknown))
        return tuple(offences)


class ProgramsOnWindows(WindowsPrograms, windows=True):
    """The programs of a Windows agent, and the installers that it came from."""

    questions = (_SIGNATURES,)

    @cached_property
    def _programs(self) -> tuple[_Program, ...]:
        rows = [line.split("|") for line in self.answers[_SIGNATURES.key].succeeded().lines if line]
        if any(len(row) != 4 for row in rows):
            raise Unreadable("the signatures of the agent's programs are told in rows that are none")
        found = tuple(_Program(*row) for row in rows)
        if links := [each.path for each in found if each.state == "Link"]:
            raise NotObserved(f"{links[0]} is a link, and what it leads to was not looked at")
        if not found:
            raise NotObserved("no program of the agent was told")
        return found

    def wrongly_signed(self, installers: tuple[str, ...], ca: str | None) -> Offences:
        found = [*self._with_installers(self._broken(), installers, ca)]
        main = next((each for each in self._programs if each.path.lower().endswith("\\pandoraagent.exe")), None)
        if main is None:
            raise NotObserved("PandoraAgent.exe was not told")
        if main.state == "NotSigned":
            found += self._unsigned(main, known=bool(found or installers))
        return Offences(found, f"{main.path}: {main.state}, {main.signer or 'no signer'}")

    def _broken(self) -> Iterator[Offence]:
        """Programs whose signature does not hold. Tools without any, which the agent brings along, are none of them."""
        for each in self._programs:
            if each.state in ("Valid", "NotSigned"):
                continue
            if each.state not in _BROKEN:
                raise Unreadable(f"the signature of {each.path} is said to be {each.state[:40]!r}")
            text = f"{each.path} {_BROKEN[each.state]}" + (f" ({each.signer})" if each.signer else "")
            yield Offence(subject=each.path, text=text, layer="file", cause=each.path)

    def _unsigned(self, main: _Program, *, known: bool) -> list[Offence]:
        """What an agent's program without a signature means: the vendor promises one for its installers only."""
        release = re.search(r"7\.0NG\.(\d{3})", main.release)
        if release and int(release[1]) < _SIGNED_SINCE:
            text = f"{main.path} is of release {release[1]}, whose installers were not signed"
            return [Offence(subject=main.path, text=text, layer="file", cause=main.path)]
        if not known:
            raise ToDecide(f"{main.path} is not signed itself: name the installer that it came from (audit_installers)")
        return []
