"""The Pandora FMS agent of a Windows machine: the same component, another program, and other ways to ask."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from pandora_audit.fact import Seen
from pandora_audit.facts.agent_plugins import AgentPlugins
from pandora_audit.facts.pandora_agent import PandoraAgent, remote
from pandora_audit.facts.remote_configurations import NamedAgent
from pandora_audit.formats import sddl, windows_agent_conf
from pandora_audit.formats.agent_conf import AgentConf, Line, Setting
from pandora_audit.formats.sddl import Descriptor
from pandora_audit.offence import Offence, Offences
from pandora_audit.powershell import WALK, quoted
from pandora_audit.question import Answer, Ask, NotObserved, Question, Role, Unreadable
from pandora_audit.verdict import NotApplicable

# What these say leaves the host; of whatever else the agent knows, nothing does.
_TOLD = (
    *("agent_name", "remote_config", "udp_server", "proxy_mode", "temporal", "secondary_mode"),
    *(
        f"{server}{each}"
        for server in ("", "secondary_")
        for each in ("server_ip", "server_ssl", "server_opts", "transfer_mode")
    ),
)
# The program takes the word "include" for one wherever it stands: where it leads to a file, what that one fetches. No
# path is followed to another machine, which would be shown the audit's account.
_CONF = Ask(
    key="windows-conf",
    ps=rf"""# what pandora_agent.conf says
$file = "$env:PANDORA_HOME\pandora_agent.conf"
$told = {", ".join(quoted(token) for token in _TOLD)}
$masked = '([\s"]-[cghqvwz]*x\s*)(''[^'']*''|"[^"]*"|[^\s"]+)'
$main = [IO.File]::ReadAllLines($file, [Text.Encoding]::Default)
"$file|0|"
$number = 0
foreach ($line in $main) {{
  $number++
  if (-not $line -or $line[0] -eq '#') {{ continue }}
  $token = ($line.Trim() -split '[\s"]+' -ne '')[0]
  if ($line.Contains('file_collection') -or $line.Contains('cmd_file') -or $told -contains $token) {{
    "$file|$number|$($line -replace $masked, '$1...')"
  }}
  if ($token -eq 'agent_name_cmd') {{ "$file|$number|agent_name_cmd ..." }}
  $at = $line.IndexOf('include')
  if ($at -lt 0 -or $line.Length -le $at + 8) {{ continue }}
  $path = $line.Substring($at + 8).Replace('"', '')
  if ($path -match '^\s*[\\/][\\/?]') {{ "$file|$number|include $path"; continue }}
  if (-not [IO.File]::Exists($path)) {{ continue }}
  $below = 0
  foreach ($other in [IO.File]::ReadAllLines($path, [Text.Encoding]::Default)) {{
    $below++
    if ($other.Contains('file_collection')) {{ "$path|$below|$other" }}
  }}
}}
""",
    only_if=Role.AGENT,
)
# Whose name a process bears only an administrator is told; others are refused, which is no empty answer. The system's
# name is another one in each language, its SID is not.
_PROCESSES = Ask(
    key="windows-processes",
    ps=r"""# Get-Process PandoraAgent
'asked'
$epoch = New-Object DateTime 1970, 1, 1, 0, 0, 0, ([DateTimeKind]::Utc)
Get-Process -Name PandoraAgent -IncludeUserName -ErrorAction SilentlyContinue | ForEach-Object {
  $sid = (New-Object Security.Principal.NTAccount $_.UserName).Translate([Security.Principal.SecurityIdentifier]).Value
  "$([long] ($_.StartTime.ToUniversalTime() - $epoch).TotalSeconds)|$sid|$($_.UserName)"
}
""",
    only_if=Role.AGENT,
)
# An account of the domain may be an administrator through a group of the domain, which this machine cannot resolve.
_SERVICE = Ask(
    key="windows-service",
    ps=r"""# the account of the service PandoraFMSAgent
$service = Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Services\PandoraFMSAgent'
$name = "$($service.ObjectName)"
"account $name"
if ($name -and $name -ne 'LocalSystem') {
  $account = New-Object Security.Principal.NTAccount ($name -replace '^\.\\', "$env:COMPUTERNAME\")
  "sid $($account.Translate([Security.Principal.SecurityIdentifier]).Value)"
  "machine $((Get-LocalUser | Select-Object -First 1).SID.AccountDomainSid.Value)"
  Get-LocalGroupMember -SID S-1-5-32-544 | ForEach-Object { "administrator $($_.SID.Value)" }
}
""",
    only_if=Role.AGENT,
)
_ROW = (
    WALK
    + r"""
$epoch = New-Object DateTime 1970, 1, 1, 0, 0, 0, ([DateTimeKind]::Utc)
function Row($item) {
  if (Link $item) { "link|0||$($item.FullName)"; return }
  $kind = if ($item.PSIsContainer) { 'folder' } else { 'file' }
  $at = [long] ($item.LastWriteTimeUtc - $epoch).TotalSeconds
  "$kind|$at|$((Get-Acl -LiteralPath $item.FullName).Sddl)|$($item.FullName)"
}
"""
)
# No other path is looked at: its provider, or its server, may be anything.
_TEMPORAL = r"if ($path -notmatch '^[A-Za-z]:[\\/]') { throw 'it is on no drive of the machine' }" + (
    f"{_ROW}Row (Get-Item -LiteralPath $path -Force)\n"
)
_ACCESS = Ask(
    key="windows-access",
    ps="# Get-Acl of pandora_agent.conf\n"
    + _ROW
    + r"""
$agent = $env:PANDORA_HOME
foreach ($path in "$agent\pandora_agent.conf", "$agent\temp") {
  if (Test-Path -LiteralPath $path) { Row (Get-Item -LiteralPath $path -Force) }
}
while ($agent) {
  Row (Get-Item -LiteralPath $agent -Force)
  $agent = Split-Path $agent
}
""",
    only_if=Role.AGENT,
)
_CODE = Ask(
    key="windows-code",
    ps="# Get-Acl of the agent's folder\n"
    + _ROW
    + r"""
$temporal = "$env:PANDORA_HOME\temp"
foreach ($item in Walk $env:PANDORA_HOME) {
  if ($item.Extension -eq '.log' -or $item.Extension -eq '.txt') { continue }
  if ($item.FullName.StartsWith($temporal, [StringComparison]::OrdinalIgnoreCase)) { continue }
  Row $item
}
""",
    seconds=30,
    limit=2 * 1024 * 1024,
    only_if=Role.AGENT,
)
_NAME = Ask(key="windows-name", ps="# the machine's name\n$env:COMPUTERNAME\n", only_if=Role.AGENT)
_SYSTEM = "S-1-5-18"
# As a service's account is written, in every language; under another name it has the SID.
_LOCAL_SYSTEM = "localsystem"
# The agent writes the name that it made up for itself into its file, in its first moments.
_FIRST_MOMENTS = 60


@dataclass(frozen=True)
class _Item:
    """A file or folder, its access list, and when it was written (seconds since the epoch); or a link to one."""

    kind: str
    written: int
    access: Descriptor
    path: str


# What a link's own list says of what it leads to.
_NOTHING = Descriptor("S-1-5-18", ())


def _items(answer: Answer) -> dict[str, _Item]:
    """The items that a question told, by path in small letters. Raises NotObserved when it did not tell all."""
    found: dict[str, _Item] = {}
    for line in answer.succeeded().lines:
        row = re.fullmatch(r"(file|folder|link)\|(-?\d{1,12})\|(.*)\|([^|]+)", line, re.S)
        if row:
            access = _NOTHING if row[1] == "link" else sddl.read(row[3])
            found[row[4].lower()] = _Item(row[1], int(row[2]), access, row[4])
        elif line:
            raise Unreadable(f"{line[:100]!r} tells of no file")
    return found


class WindowsAgent(PandoraAgent, windows=True):
    """The agent of Pandora FMS on Windows."""

    questions = (_CONF, _PROCESSES, _SERVICE, _ACCESS, _CODE)
    tls_words = ("1",)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        agent = cls(seen)
        if agent._temporal_is_usual:
            return ()
        path = agent.setting("temporal").value
        if not _may_be_here(path):
            return ()
        text = f"$path = [Environment]::ExpandEnvironmentVariables({quoted(path)})\n{_TEMPORAL}"
        return (Ask(key=f"{_ACCESS.key}@temporal", ps=f"# Get-Acl of the folder that data waits in\n{text}"),)

    # --- what is written ---

    @cached_property
    def _read(self) -> list[Line]:
        found = windows_agent_conf.lines(self.answers[_CONF.key].succeeded().lines)
        if not found:
            raise Unreadable("the agent's configuration says nothing, or could not be read")
        return found

    @cached_property
    def file(self) -> str:
        return self._read[0].file

    @cached_property
    def conf(self) -> AgentConf:
        file = self.file
        main = [line for line in self._read if line.file == file]
        return windows_agent_conf.read(main, [line for line in self._read if line.file != file])

    def setting(self, token: str) -> Setting:
        return self.conf[token]

    @cached_property
    def remote_execution(self) -> Offences:
        """The other ways by which somebody else makes the agent execute or relay something."""
        found = [remote("file_collection", each) for each in self.conf.collections]
        found += [remote("cmd_file", each) for each in self.conf.commands]
        found += [remote("include", each) for each in self.conf.includes]
        if self.setting("udp_server").value == "1":
            found.append(remote("udp_server", self.setting("udp_server")))
        # Any value turns the proxy on, 0 as well.
        proxy = self.conf.settings.get("proxy_mode")
        if proxy and self.setting("server_ip").value != "localhost":
            found.append(remote("proxy_mode", proxy))
        return Offences(found, "no collection, no remote command, no UDP server, no proxy")

    # --- what runs ---

    @cached_property
    def _started(self) -> dict[int, tuple[str, str]]:
        """When agents started (seconds since the epoch), and as whom: SID and name."""
        rows = (
            re.fullmatch(r"(\d{1,12})\|(.*?)\|(.*)", line) for line in self.answers[_PROCESSES.key].succeeded().lines
        )
        return {int(row[1]): (row[2], row[3]) for row in rows if row}

    @cached_property
    def runs(self) -> bool:
        return bool(self._started)

    @cached_property
    def unread_changes(self) -> Offences:
        if not self._started:
            raise NotApplicable("no agent runs")
        file = self._item(self.file)
        return self._unread(file.path, late=file.written > min(self._started) + _FIRST_MOMENTS)

    @cached_property
    def _service(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in self.answers[_SERVICE.key].succeeded().lines:
            word, _, rest = line.partition(" ")
            found.setdefault(word, []).append(rest)
        return found

    @cached_property
    def privileged(self) -> Offences:
        """The superuser as whom the agent runs, or will after its next start."""
        found = [
            Offence(subject=user, text=f"the agent runs as {user}", layer="process")
            for sid, user in self._started.values()
            if sid == _SYSTEM
        ]
        account = self._service.get("account", [""])[0]
        if not account:
            raise NotObserved("no service of Windows tells as whom the agent starts")
        if self._is_privileged(account):
            found.append(Offence(subject=account, text=f"the agent's service starts as {account}", layer="next start"))
        return Offences(found, f"the agent's service starts as {account}, which is no administrator")

    def _is_privileged(self, account: str) -> bool:
        """Whether an account is the system, or one of the machine's administrators, as far as it can be told."""
        if account.lower() == _LOCAL_SYSTEM or self._sid == _SYSTEM:
            return True
        told, administrators = self._service, self._service.get("administrator", [])
        sid = self._sid
        machine = told.get("machine", [""])[0]
        # Everybody, or every user of some kind, is an administrator here.
        if sid in administrators or any(re.fullmatch(r"S-1-(1-0|5-\d{1,2})", each) for each in administrators):
            return True
        if not administrators or not machine:
            raise NotObserved("the machine did not tell its administrators")
        domain = sid.rpartition("-")[0]
        if sid.startswith("S-1-5-21-") and domain != machine:
            for each in administrators:
                if each.startswith("S-1-5-21-") and not each.startswith(f"{machine}-"):
                    raise NotObserved(f"{account} may be an administrator through {each}, which the domain knows")
        return False

    @cached_property
    def _sid(self) -> str:
        found = self._service.get("sid", [""])[0]
        if not re.fullmatch(r"S-1-\d[\d-]{1,180}", found):
            raise NotObserved("the machine did not tell which account the agent's service has")
        return found

    # --- files ---

    @cached_property
    def _access(self) -> dict[str, _Item]:
        return _items(self.answers[_ACCESS.key])

    def _item(self, path: str) -> _Item:
        found = self._access.get(path.lower())
        if found is None:
            raise NotObserved(f"the access list of {path} was not told")
        if found.kind == "link":
            raise NotObserved(_unseen(found.path))
        return found

    @property
    def _home(self) -> str:
        return self.file.rpartition("\\")[0]

    @cached_property
    def _itself(self) -> tuple[str, ...]:
        """The account that the agent runs as, where it is not the system: it may alter what is its own."""
        account = self._service.get("account", [""])[0]
        return () if account.lower() == _LOCAL_SYSTEM else (self._sid,)

    @cached_property
    def readable_configuration(self) -> Offences:
        file = self._item(self.file)
        readers, writers = file.access.others(sddl.READ, self._itself), file.access.others(sddl.ALTER, self._itself)
        texts = []
        if readers:
            texts.append(f"{file.path} may be read by {', '.join(readers)}")
        if writers:
            texts.append(f"{file.path} may be altered by {', '.join(writers)}")
        texts += self._replaceable(self._item(self._home))
        return Offences(
            [Offence(subject=file.path, text=text, layer="file") for text in texts],
            f"{file.path} is open to the system and its administrators only",
        )

    def _replaceable(self, folder: _Item) -> list[str]:
        others = folder.access.others(sddl.REPLACE, self._itself)
        return [f"what is in {folder.path} may be replaced by {', '.join(others)}"] if others else []

    @cached_property
    def alterable_code(self) -> Offences:
        """What the agent executes and others than administrators, or its own account, may alter or replace."""
        entries = _items(self.answers[_CODE.key])
        home = self._home.lower()
        if f"{home}\\pandoraagent.exe" not in entries:
            raise NotObserved(f"PandoraAgent.exe is not in {self._home}: the agent's program lies elsewhere")
        entries[home] = self._item(home)
        wrong = dict(self._alterable(entries.values()))
        for path, each in self._access.items():
            if home.startswith(f"{path.rstrip(chr(92))}\\") and (texts := self._replaceable(each)):
                wrong[each.path] = texts[0]
        wrong.pop(self.file, None)
        tops = {
            path: text
            for path, text in wrong.items()
            if not any(path.lower().startswith(f"{other.lower()}\\") for other in wrong)
        }
        found = [Offence(subject=path, text=text, layer="file") for path, text in sorted(tops.items())]
        above = (each for path, each in self._access.items() if home.startswith(f"{path.rstrip(chr(92))}\\"))
        for each in (*entries.values(), *above):
            if each.kind == "link" and not found:
                raise NotObserved(_unseen(each.path))
        return Offences(found, "only administrators may alter the agent's programs, plugins and collections")

    def _alterable(self, items: Iterable[_Item]) -> Iterable[tuple[str, str]]:
        for each in items:
            mask = sddl.ALTER | (sddl.REPLACE if each.kind == "folder" else 0)
            if others := each.access.others(mask, self._itself):
                yield each.path, f"{each.path} may be altered by {', '.join(others)}"

    @cached_property
    def _temporal_is_usual(self) -> bool:
        """Whether data waits where the first trip has looked."""
        usual = (f"{self._home}\\temp".lower(), "%programfiles%\\pandora_agent\\temp")
        return self.setting("temporal").value.rstrip("\\").lower() in usual

    @cached_property
    def open_temporal(self) -> Offences:
        setting = self.setting("temporal")
        if self._temporal_is_usual:
            folder = self._item(f"{self._home}\\temp")
        elif not _may_be_here(setting.value):
            raise NotObserved(f"temporal is {setting.value}, which is on no drive of the machine")
        else:
            told = list(_items(self.answers[f"{_ACCESS.key}@temporal"]).values())
            if len(told) != 1:
                raise NotObserved(f"the access list of {setting.value} was not told")
            folder = told[0]
            if folder.kind == "link":
                raise NotObserved(_unseen(folder.path))
        others = folder.access.others(sddl.READ | sddl.ALTER | sddl.REPLACE, self._itself)
        text = f"{folder.path} is open to {', '.join(others)}"
        found = [Offence(subject=folder.path, text=text, layer="file", cause=setting.where)] if others else []
        return Offences(found, f"{folder.path} is closed to others")


class NamedWindowsAgent(NamedAgent, windows=True):
    """The name under which a Windows agent reports."""

    questions = (*WindowsAgent.questions, _NAME)

    @cached_property
    def _agent(self) -> WindowsAgent:
        return WindowsAgent(self.seen)

    @cached_property
    def _machine(self) -> str:
        return self.answers[_NAME.key].succeeded().text.strip()


def _may_be_here(path: str) -> bool:
    """Whether a path is on a drive of the machine, or may be once its variables are known."""
    return re.match(r"[A-Za-z]:[\\/]|%", path) is not None


def _unseen(link: str) -> str:
    return f"{link} is a link, and what it leads to was not looked at"


_DIGESTS = Ask(
    key="windows-plugins",
    ps="# digests of the agent's plugins\n"
    + WALK
    + r"""
$sha = [Security.Cryptography.SHA256]::Create()
foreach ($folder in 'util', 'plugins', 'collections', 'commands') {
  $path = "$env:PANDORA_HOME\$folder"
  if (-not (Test-Path -LiteralPath $path)) { continue }
  $top = Get-Item -LiteralPath $path -Force
  if (Link $top) { "link $path"; continue }
  foreach ($item in Walk $path) {
    if (Link $item) { "link $($item.FullName)"; continue }
    if ($item.PSIsContainer -or $item.Extension -eq '.txt') { continue }
    $file = [IO.File]::Open($item.FullName, 'Open', 'Read', 'ReadWrite')
    "$([BitConverter]::ToString($sha.ComputeHash($file)).Replace('-', '').ToLower()) $($item.FullName)"
    $file.Dispose()
  }
}
""",
    seconds=30,
    limit=1024 * 1024,
    only_if=Role.AGENT,
)


class WindowsPlugins(AgentPlugins, windows=True):
    """The plugins of a Windows agent, by digest."""

    questions = (_DIGESTS,)

    @cached_property
    def _now(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in self.answers[_DIGESTS.key].succeeded().lines:
            if line.startswith("link "):
                raise NotObserved(_unseen(line.removeprefix("link ")))
            row = re.fullmatch(r"([0-9a-f]{64}) (.*)", line, re.S)
            if row is None:
                raise Unreadable(f"{line[:100]!r} is no digest")
            found[row[2]] = f"sha256:{row[1]}"
        return found
