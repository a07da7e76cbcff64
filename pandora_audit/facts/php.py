"""PHP as it serves the console: as a module of Apache, or as FPM."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from pandora_audit.fact import Fact
from pandora_audit.facts.console_files import ConsoleFiles
from pandora_audit.facts.web_server import WebServer
from pandora_audit.formats import apache, glob, php_ini
from pandora_audit.formats.grep import nothing_withheld, numbered
from pandora_audit.formats.php_ini import Setting
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Role
from pandora_audit.questions import CONSOLE_CONFIG, CONSOLES, PHP_LINES

# What PHP goes by where nothing is written.
_DEFAULTS = {
    "session.cookie_httponly": "0",
    "session.cookie_secure": "0",
    "expose_php": "1",
    "display_errors": "1",
    "allow_url_include": "0",
}
# What .user.ini, .htaccess and php_value may not change.
_OF_THE_SYSTEM = ("expose_php", "allow_url_include")
_WORDS = tuple(word for name in _DEFAULTS for word in ("-e", name))
_LOCAL = Ask(
    key="php-local",
    argv=(
        *("find", "-H", *CONSOLES, "-maxdepth", "2", "-type", "f"),
        *("-name", ".user.ini", "-exec", "grep", "-HnF", *_WORDS, "{}", "+"),
        *("-o", "-name", ".htaccess", "-exec", "grep", "-HnF", *_WORDS, "{}", "+"),
    ),
    root=True,
    only_if=Role.CONSOLE,
)
_APACHE_WORDS = ("php_value", "php_flag", "php_admin_value", "php_admin_flag")


@dataclass(frozen=True)
class _Serving:
    """One PHP that serves pages: its program, its php.ini, the folder scanned after it, of FPM its pools' files."""

    program: str
    ini: str
    scanned: str
    pools: str = ""

    def reads(self, path: str) -> bool:
        patterns = (self.ini, f"{self.scanned}/*.ini", self.pools)
        return any(glob.same_path(path, pattern) for pattern in patterns if pattern)


class Php(Fact):
    """The PHP that serves the console."""

    role = Role.CONSOLE
    questions = (*WebServer.questions, CONSOLE_CONFIG, PHP_LINES, _LOCAL)

    @cached_property
    def _server(self) -> WebServer:
        return WebServer(self.seen)

    @cached_property
    def _serving(self) -> tuple[_Serving, ...]:
        """The PHPs that may serve the console. Raises NotObserved where none is seen."""
        fpm = [each for each in self._server.processes if each.leads and each.program.startswith("php-fpm")]
        module = self._module
        if module and not (fpm and self._server.handed_to):
            return (module,)
        if not fpm:
            raise NotObserved("no PHP is seen to serve the console: neither a module of Apache nor FPM")
        found = []
        for each in fpm:
            config = re.search(r"\((/[^)]*)\)", each.command)
            if config is None:
                raise NotObserved(f"`{each.command}` does not tell its configuration")
            found.append(_of_fpm(each.program, config[1]))
        used = [each for each in found if self._pools(each, handed=True)] or found
        # Of two servers, one may hand pages to FPM and the other run them itself.
        return (module, *used) if module and self._server.nginx_master else tuple(used)

    @property
    def _module(self) -> _Serving | None:
        """PHP as a module of Apache; None where there is none."""
        apache, written = self._server.apache_master, self._server.apache_configuration
        modules = [
            each.arguments[-1]
            for each in (written.all("loadmodule") if written else ())
            if re.match(r"php\d?_module$", each.arguments[0])
        ]
        return _of_module(apache.program, modules[-1]) if apache and modules else None

    @cached_property
    def _settings(self) -> tuple[Setting, ...]:
        answer = self.answers[PHP_LINES.key]
        lines = answer.lines
        nothing_withheld(answer)
        return tuple(php_ini.settings(lines))

    def _decided(self, serving: _Serving, name: str) -> Iterator[tuple[str, str, str]]:
        """Value, cause and place (a pool, or empty) of a setting, for each pool of a PHP that serves pages."""
        said = [each for each in self._settings if each.name == name and serving.reads(each.file)]
        special = [each for each in said if re.match(r"(path|host)=", each.section)]
        if special:
            raise NotObserved(f"{special[0].where} holds for some paths or hosts only, which are not told apart")
        base = [each for each in said if not glob.same_path(each.file, serving.pools)]
        base.sort(key=lambda each: (each.file != serving.ini, each.file))
        above = base[-1] if base else None
        for pool in self._pools(serving, handed=True) or self._pools(serving, handed=False) or [""]:
            own = [each for each in said if each.file == pool]
            local = [] if name in _OF_THE_SYSTEM else self._local(name, by_apache=not serving.pools)
            order = [above, *(each for each in own if not each.fixed), *local, *(each for each in own if each.fixed)]
            if not serving.pools:
                order = self._by_apache(name, [above, *local])
            last = [each for each in order if each][-1:]
            yield (last[0].value, last[0].where, pool) if last else (_DEFAULTS[name], serving.ini, pool)

    def _pools(self, serving: _Serving, *, handed: bool) -> list[str]:
        """The files of the pools: those that the web server is seen to hand pages to, or all of them."""
        return sorted(
            {
                each.file
                for each in self._settings
                if each.name == "listen"
                and glob.same_path(each.file, serving.pools)
                and (not handed or each.value in self._server.handed_to)
            }
        )

    def _local(self, name: str, *, by_apache: bool) -> list[Setting]:
        """What files in the console's own folders say. Raises NotObserved where they were not shown."""
        answer = self.answers[_LOCAL.key]
        lines = answer.lines
        nothing_withheld(answer)
        if by_apache:
            return [
                Setting(found[2], php_ini.value(found[3]), "", path, number)
                for path, number, text in numbered(lines)
                if path.endswith("/.htaccess")
                and (found := re.match(r"\s*php_(value|flag)\s+(\S+)\s+(.*)", text, re.I))
                and found[2] == name
            ]
        return [each for each in php_ini.settings(lines) if each.name == name and each.file.endswith("/.user.ini")]

    def _by_apache(self, name: str, others: list[Setting | None]) -> list[Setting | None]:
        """What is written in php.ini and in folders, with what Apache's own files say in its place."""
        written = self._server.apache_configuration
        said = [
            Setting(name, each.arguments[1], "", each.file, each.number, fixed="admin" in each.name)
            for each in (written.all(*_APACHE_WORDS) if written else ())
            if each.arguments[:1] == (name,) and len(each.arguments) > 1 and self._is_of_the_console(each)
        ]
        return [
            *others[:1],
            *(each for each in said if not each.fixed),
            *others[1:],
            *(each for each in said if each.fixed),
        ]

    def _is_of_the_console(self, directive: apache.Directive) -> bool:
        """Whether a directive may be the console's: not of another site, where its own is known by its name."""
        written, name = self._server.apache_configuration, urlsplit(self.seen.promises.console_url or "").hostname
        if written is None or not name or not directive.host:
            return True
        own = {each.host for each in written.directives if each.host and name in written.names(each.host)}
        return directive.host in own or not own

    def wrong(self, *, on: tuple[str, ...] = (), off: tuple[str, ...] = ()) -> Offences:
        """The settings that are not on, or not off, in the PHP that serves the console.

        Raises NotObserved when nothing is wrong in what is written, but PHP runs with something older.
        """
        found, seen = [], dict[str, None]()
        for serving in self._serving:
            for name in (*on, *off):
                for value, cause, pool in self._decided(serving, name):
                    shown = value or "empty"
                    seen[f"{name} {shown}"] = None
                    is_on = php_ini.truth(value) or value.lower() in ("stdout", "stderr")
                    if is_on is not (name in on):
                        text = f"{name} is {shown}" + (f" in {pool}" if pool else "")
                        found.append(Offence(subject=name, text=text, layer="next start", cause=cause))
        if not found:
            ConsoleFiles(self.seen).all_looked_at()
        if not found and (stale := self._unread):
            raise NotObserved(f"what is written would comply, but PHP runs with something older: {stale}")
        if not found and (handed := self._server.hands_settings):
            raise NotObserved(f"nginx hands PHP settings of its own, which are not looked into: {handed}")
        return Offences(found, ", ".join(seen))

    @cached_property
    def unread_changes(self) -> Offences:
        """The files that changed after the web server, or PHP, last read them."""
        found, seen, silent = list[Offence](), list[str](), list[NotObserved]()
        for of_php in (False, True):
            try:
                stale = self._unread if of_php else self._server.unread_changes
                found += stale
                seen.append(stale.seen)
            except NotObserved as silence:
                silent.append(silence)
        if silent and not found:
            raise silent[0]
        return Offences(found, "; ".join(dict.fromkeys(seen)))

    @cached_property
    def _unread(self) -> Offences:
        """The files of PHP that changed after it last read them."""
        found, seen = list[Offence](), []
        for serving in self._serving:
            files = {serving.ini, *(each.file for each in self._settings if serving.reads(each.file))}
            patterns = [pattern for pattern in (f"{serving.scanned}/*.ini", serving.pools) if pattern]
            stale = self._server.stale(serving.program, read=files, patterns=patterns)
            found += stale
            seen.append(stale.seen)
        return Offences(found, ", ".join(dict.fromkeys(seen)))


def _of_module(program: str, library: str) -> _Serving:
    """PHP as a module: Debian has a folder for each version, others one for all."""
    version = re.search(r"libphp(\d+\.\d+)\.so", library)
    if version:
        folder = f"/etc/php/{version[1]}/apache2"
        return _Serving(program, f"{folder}/php.ini", f"{folder}/conf.d")
    return _Serving(program, "/etc/php.ini", "/etc/php.d")


def _of_fpm(program: str, config: str) -> _Serving:
    """FPM by its configuration file: Debian's, Red Hat's, or one of Remi's."""
    folder = posixpath.dirname(config)
    if folder.endswith("/fpm"):
        return _Serving(program, f"{folder}/php.ini", f"{folder}/conf.d", f"{folder}/pool.d/*.conf")
    return _Serving(program, f"{folder}/php.ini", f"{folder}/php.d", f"{folder}/php-fpm.d/*.conf")
