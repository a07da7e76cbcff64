"""Questions of Windows machines: the frames of script.py, written by PowerShell 3 or later. Pure, as it is.

The command is short, since cmd.exe and sshd cut long ones, and is one word that every shell reads alike; the text
travels on standard input. Each question runs in a PowerShell of its own within the same process, so that one that does
not end is left behind; nothing is written, but for what PowerShell itself keeps in the account's profile.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from pandora_audit.question import Ask, Role, Shell
from pandora_audit.script import PRIVILEGE, ROLES, Script, checked

_LINE = 800
_QUOTES = "'\u2018\u2019\u201a\u201b"
_BOOT = """\
$ProgressPreference = 'SilentlyContinue'
& ([ScriptBlock]::Create([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String(-join @($input)))))
"""

_PRELUDE = """\
$env:PSModuleAnalysisCachePath = 'nul'
$clock = [Diagnostics.Stopwatch]::StartNew()
$wire = [Console]::OpenStandardOutput()
function Send([string] $text) {
  $bytes = [Text.Encoding]::UTF8.GetBytes("$text`n")
  $wire.Write($bytes, 0, $bytes.Length)
}
# The lines of a text, each behind its mark.
function Tell([string] $mark, [string] $text) { foreach ($line in $text.Split("`n")) { Send "$mark$line" } }
function Now { $clock.Elapsed.TotalSeconds.ToString('0.00', [Globalization.CultureInfo]::InvariantCulture) }
function Say([string] $key, [string] $text) { Send "@$key 0"; Tell 'o' $text; Send ".$key 0 0" }
function No([string] $key, [string] $why) { Send "@$key 0"; Send "!$why"; Send ".$key - 0" }
# A question: key, seconds, output limit, text. What it says is whole, or it is not heard.
function Ask([string] $key, [int] $seconds, [int] $limit, [string] $text) {
  Send "@$key $(Now)"
  $shell = [PowerShell]::Create()
  [void] $shell.AddScript($text)
  $status = 0; $said = ''; $wrong = ''
  $running = $shell.BeginInvoke()
  if ($running.AsyncWaitHandle.WaitOne(1000 * $seconds)) {
    try { $said = @($shell.EndInvoke($running) | ForEach-Object { "$_`n" }) -join '' }
    catch { $status = 1; $wrong = "$($_.Exception.GetBaseException().Message)" }
    if ($shell.Streams.Error.Count) { $status = 1; $wrong = "$($shell.Streams.Error[0])" }
    if ($said.Length -gt $limit) { $said = $said.Substring(0, $limit) }
    Tell 'o' "$said`n."
  } else {
    $status = 124
    [void] $shell.BeginStop($null, $null)
  }
  if ($wrong) { Tell 'e' $wrong.Substring(0, [Math]::Min(1000, $wrong.Length)) }
  Send ".$key $status $(Now)"
}
$seen = @{}
# The agent is where its service says, or in its usual place; of the rest of Pandora FMS the services tell. Their
# arguments may hold passwords.
$services = 'HKLM:\\SYSTEM\\CurrentControlSet\\Services'
$images = @{}
Get-ChildItem $services -ErrorAction SilentlyContinue | ForEach-Object {
  $image = "$($_.GetValue('ImagePath'))"
  $images[$_.PSChildName] = $image -replace '^"([^"]*)".*$', '$1' -replace '(?i)^([^"]*?\\.exe).*$', '$1'
}
$agent = $images['PandoraFMSAgent']
if ($agent) { $env:PANDORA_HOME = Split-Path $agent } else { $env:PANDORA_HOME = "$env:ProgramFiles\\pandora_agent" }
if ($agent -or (Test-Path -LiteralPath $env:PANDORA_HOME)) { $seen['agent'] = $env:PANDORA_HOME }
$programs = @{ server = 'pandora_server'; tentacle = 'tentacle_server'; database = 'mysqld|mariadbd' }
foreach ($role in $programs.Keys) {
  foreach ($image in $images.Values) { if ($image -match "\\\\($($programs[$role]))\\.exe") { $seen[$role] = $image } }
}
foreach ($folder in "$env:SystemDrive\\inetpub\\wwwroot", "$env:SystemDrive\\xampp\\htdocs") {
  $file = "$folder\\pandora_console\\include\\config.php"
  if (Test-Path -LiteralPath $file) { $seen['console'] = $file }
}
"""

_ROLES = f"""\
$told = foreach ($role in {", ".join(f"'{role}'" for role in Role)}) {{
  if ($seen[$role]) {{ "$role present $($seen[$role])" }} else {{ "$role absent" }}
}}
Say '{ROLES}' ($told -join "`n")
"""

# A name may hold blanks, and the first word is the account.
_PRIVILEGE = f"""\
$me = [Security.Principal.WindowsIdentity]::GetCurrent()
$by = 'nobody'; $why = 'this account is no administrator'
$principal = New-Object Security.Principal.WindowsPrincipal $me
if ($principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {{ $by = 'root'; $why = '' }}
Say '{PRIVILEGE}' "$($me.Name -replace ' ', '_') $by $why"
"""


@dataclass(frozen=True, kw_only=True)
class PowerShellScript(Script):
    """One trip to a Windows machine."""

    @property
    def command(self) -> str:
        boot = base64.b64encode(_BOOT.encode("utf-16-le")).decode()
        return f"powershell.exe -NoLogo -NoProfile -NonInteractive -OutputFormat Text -EncodedCommand {boot}"


def compose(
    asks: Iterable[Ask],
    *,
    marker: str,
    promised: Iterable[Role] = (),
    first: bool = True,
) -> Script:
    """The script that asks these questions. Raises ValueError for a key that cannot be framed."""
    asks = checked(asks)
    words = [_PRELUDE, f"Send ''; Send {quoted(f'{marker} plain')}"]
    if first:
        words += [_PRIVILEGE, _ROLES]
    words += [f"$seen['{role}'] = 'promised'" for role in promised]
    words += [_line(ask) for ask in asks]
    words += ["$wire.Flush()", "[Environment]::Exit(0)"]
    text = "\n".join(words) + "\n"
    packed = base64.b64encode(text.encode()).decode()
    lines = "".join(f"{packed[at : at + _LINE]}\n" for at in range(0, len(packed), _LINE))
    return PowerShellScript(text=text, marker=marker, asks=asks, stdin=lines.encode())


# Get-ChildItem -Recurse goes through links in some versions, to wherever they lead: another machine would be shown the
# audit's account. Before version 5 an item does not tell what kind of link it is.
WALK = r"""
function Link($item) {
  if ($PSVersionTable.PSVersion.Major -lt 5) { return $item.Attributes -band [IO.FileAttributes]::ReparsePoint }
  $item.LinkType -match '^(Junction|SymbolicLink)$'
}
function Walk($folder) {
  foreach ($item in Get-ChildItem -LiteralPath $folder -Force) {
    $item
    if ($item.PSIsContainer -and -not (Link $item)) { Walk $item.FullName }
  }
}
"""
"""For questions that look into folders: what is below one, links among it, and whether an item is one."""


def quoted(text: str) -> str:
    """A literal of PowerShell, for which typographic quotes are quotes too."""
    return "'" + "".join(letter * 2 if letter in _QUOTES else letter for letter in text) + "'"


def _line(ask: Ask) -> str:
    if ask.shell is Shell.POSIX:
        return f"No '{ask.key}' 'shell'"
    line = f"Ask '{ask.key}' {ask.seconds} {ask.limit + 1} {quoted(ask.ps)}"
    if ask.only_if is None:
        return line
    return f"if ($seen['{ask.only_if}']) {{ {line} }} else {{ No '{ask.key}' 'role' }}"
