"""The console's files: what the installer left, and who may read its settings and its log."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.facts.web_server import WebServer
from pandora_audit.formats import config_php, php_ini, stat
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.stat import Entry
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, Cause, NotObserved, Role
from pandora_audit.questions import CONSOLE_CONFIG, CONSOLES, PHP_LINES
from pandora_audit.verdict import NotApplicable

_TREE = Ask(
    key="console-files",
    argv=("find", "-H", *CONSOLES, "-maxdepth", "2", "-exec", "stat", "-c", stat.SHAPE, "{}", "+"),
    root=True,
    only_if=Role.CONSOLE,
    limit=512 * 1024,
    keep=r"""
/\/pandora_console$/p
/\/pandora_console\/(install[^\/]*\.php|install\.done|log|log\/[^\/]*|include|include\/config\.php)$/p
/\/attachment\/index\.html$/d
/\/pandora_console\/attachment\/[^\/]*\.(txt|log|html|php|sql)$/p
""",
)
_ABOVE = Ask(
    key="console-folders",
    argv=("stat", "-L", "-c", stat.SHAPE, "/var/www", "/var/www/html", "/srv/www", "/srv/www/htdocs"),
    only_if=Role.CONSOLE,
)
_ROTATION = Ask(
    key="console-rotation",
    sh="set +f; grep -ls pandora_console/log /etc/logrotate.d/* | "
    "xargs grep -HnE '^[^#]*([{}]|create|pandora_console)' /dev/null",
    only_if=Role.CONSOLE,
)
# What index.php itself insists on.
_MODES = (0o600, 0o640, 0o660)
_WEB_USERS = {"www-data", "apache", "nginx", "wwwrun", "www", "root"}
_MOST_KEPT = 3


class ConsoleFiles(Fact):
    """What lies in the console's folder."""

    role = Role.CONSOLE
    questions = (*WebServer.questions, CONSOLE_CONFIG, PHP_LINES, _TREE, _ABOVE, _ROTATION)

    @property
    def is_absent(self) -> bool:
        """Whether there is no console here to look at."""
        return self.answers[_TREE.key].cause is Cause.ROLE

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        """By path. Raises NotObserved where not all of it was shown."""
        answer = self.answers[_TREE.key]
        found = stat.entries(answer.lines)
        nothing_withheld(answer)
        if not found:
            raise NotObserved("no file of the console was shown")
        return found

    def _in_consoles(self, *names: str) -> Iterator[Entry]:
        for console in CONSOLES:
            for name in names:
                if entry := self._entries.get(f"{console}/{name}"):
                    yield entry

    # --- settings ---

    @cached_property
    def configs(self) -> Mapping[str, Mapping[str, config_php.Value]]:
        """What each console's config.php sets, but its secrets. Raises NotObserved."""
        return config_php.of(self.answers[CONSOLE_CONFIG.key])

    @property
    def home_urls(self) -> tuple[str, ...]:
        """The path at which each console believes itself to be; empty for one that does not tell."""
        try:
            told = [config.get("homeurl") for config in self.configs.values()]
        except NotObserved:
            return ()
        return tuple(re.sub(r"^https?://[^/]*", "", each.text) if each and each.text else "" for each in told)

    def all_looked_at(self) -> None:
        """Raises NotObserved where a console lies where only its config.php is looked for."""
        for path in self.configs:
            folder = path.removesuffix("/include/config.php")
            if path != config_php.ALONE and folder not in CONSOLES:
                raise NotObserved(f"a console lies in {folder}, where nothing but its config.php is looked at")

    @property
    def kept(self) -> tuple[str, ...]:
        """A few files below the console that are nobody's to fetch: what users uploaded, logs that were set aside."""
        try:
            paths = sorted(path.partition("/pandora_console/")[2] for path in self._entries)
        except NotObserved:
            return ()
        return tuple(
            path
            for shape in (r"attachment/[A-Za-z0-9_.-]{1,80}", r"log/(audit|console|cron)\.log[.-][A-Za-z0-9_.-]{1,80}")
            for path in [each for each in paths if re.fullmatch(shape, each)][:_MOST_KEPT]
        )

    # --- claims ---

    @cached_property
    def installers(self) -> Offences:
        """The installers that lie in the console's folder."""
        found = [
            Offence(subject=path, text=f"the installer {path} is still there", layer="file", cause=path)
            for path, entry in self._entries.items()
            if re.search(r"/install[^/]*\.php$", path) and entry.kind != "directory"
        ]
        if not found:
            self.all_looked_at()
        return Offences(found, "no installer lies in the console's folder")

    @cached_property
    def exposed_config(self) -> Offences:
        """What lets others than the console read or write its settings."""
        entries = list(self._in_consoles("include/config.php"))
        if not entries:
            raise NotApplicable("the console has no config.php")
        users = self._web_users
        found = []
        for entry in entries:
            said = []
            if entry.mode not in _MODES:
                said.append(f"mode {entry.mode:o}")
            if entry.owner not in users:
                said.append(f"owner {entry.owner}")
            if entry.mode & 0o060 and entry.group not in users:
                said.append(f"group {entry.group}")
            found += [
                Offence(subject=entry.path, text=f"{entry.path} has {each}", layer="file", cause=entry.path)
                for each in said
            ]
        if not found:
            self.all_looked_at()
        shown = ", ".join(f"{entry.mode:o} {entry.owner}:{entry.group}" for entry in entries)
        return Offences(found, f"config.php is {shown}")

    @property
    def _web_users(self) -> frozenset[str]:
        """The users of the web server and of PHP's pools; where they are not shown, those of the distributions."""
        found = frozenset(_WEB_USERS)
        with contextlib.suppress(NotObserved):
            found |= WebServer(self.seen).users
        # A pool that works on demand has no process while nobody asks.
        with contextlib.suppress(NotObserved):
            lines = self.answers[PHP_LINES.key].lines
            found |= {each.value for each in php_ini.settings(lines) if each.name == "user"}
        return found

    @cached_property
    def readable_audit_logs(self) -> Offences:
        """The audit logs that every account of the host reads, now or after the next rotation."""
        logs = [entry for path, entry in self._entries.items() if re.search(r"/log/audit\.log[^/]*$", path)]
        if not logs:
            raise NotApplicable("the console has written no audit log to its folder")
        found = [
            Offence(subject=entry.path, text=f"{entry.path} has mode {entry.mode:o}", layer="file", cause=entry.path)
            for entry in logs
            if entry.others_read and self._reached_by_others(entry.path)
        ]
        if any(self._reached_by_others(entry.path) for entry in logs):
            found += self._rotations()
        if not found:
            self.all_looked_at()
        shown = ", ".join(sorted({f"{entry.mode:o} {entry.owner}:{entry.group}" for entry in logs}))
        return Offences(found, f"audit.log is {shown}")

    def _reached_by_others(self, path: str) -> bool:
        """Whether every folder above a file lets others in. One that nobody shows is taken to."""
        answer = self.answers[_ABOVE.key]
        above = self._entries | stat.entries([] if answer.silence else answer.lines)
        folders = [path[:place] for place, letter in enumerate(path) if letter == "/" and place]
        return all(above[folder].others_enter for folder in folders if folder in above)

    def _rotations(self) -> Iterator[Offence]:
        """The lines by which logrotate makes the next audit.log readable for all."""
        answer = self.answers[_ROTATION.key]
        paths, begun = "", False
        for line in answer.lines:
            row = re.fullmatch(r"(/[^:]*):(\d{1,9}):\s*(.*)", line)
            if row is None:
                continue
            if "}" in row[3]:
                paths, begun = "", False
            elif not begun:
                paths, begun = paths + row[3], "{" in row[3]
            mode = re.search(r"\bcreate\s+0?([0-7]{3})\b", row[3])
            if mode and int(mode[1], 8) & 0o004 and re.search(r"pandora_console/log/(audit|\*)", paths):
                text = f"logrotate makes the next audit.log with mode {mode[1]}"
                yield Offence(subject="logrotate", text=text, layer="next start", cause=f"{row[1]}:{row[2]}")
