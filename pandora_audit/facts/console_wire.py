"""The console as its visitors see it: from the auditor's place, and from its own host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, urlsplit

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.console_files import ConsoleFiles
from pandora_audit.facts.web_server import NOWHERE, PROCESSES, Socket, Visit, WebServer, exchanges, visits_question
from pandora_audit.formats import http
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Cause, NotObserved, Probe, ProbeKind, Question, Role, Unreadable
from pandora_audit.verdict import NotApplicable, ToDecide

_KEY = f"{PROCESSES.key}@console"
# What people and programs open, below the console: it must not be had without TLS.
_ENTRANCES = ("", "index.php", "mobile/index.php", "include/api.php?info=version", "images/")
# What nobody is to get: logs, settings, the installer, the schema, what users have uploaded, lists of folders.
_PRIVATE = (
    "log/audit.log",
    "log/console.log",
    "log/cron.log",
    "log/.htaccess",
    "log/",
    "include/config.php",
    "include/",
    "images/",
    "attachment/",
    "attachment/.htaccess",
    "attachment/collection/",
    "pandoradb.sql",
    "pandoradb_data.sql",
    "install.php",
    "install_old.php",
    ".git/config",
)
# A certificate is renewed when a third of its time is left; where less is, that did not work.
_EXPIRY_DAYS = 14
_EXPIRY_PART = 4
# Scheme, host and path of where an answer leads.
_ADDRESS = re.compile(r"(?:(https?):)?(?://(\[[^\]/?#]*\]|[^/?#:]*)[^/?#]*)?([^?#]*)", re.I)
# What clouds' own load balancers send to find the same console again: they can be told no flags.
_OF_BALANCERS = re.compile(r"AWSALB(TG)?(CORS)?|AWSELB(CORS)?|ApplicationGatewayAffinity(CORS)?|GCLB|GCILB")
_STAY = 180 * 86400
_DAY = 86400


@dataclass(frozen=True)
class _Look:
    """What one port showed of the console to somebody.

    Args:
        secure: whether by TLS.
        outside: whether from the auditor's place.
        named: whether by the name that people use, as far as one is promised.
        elsewhere: whether the name led to another machine.
        apart: whether it is at an address of the machine that the auditor's place did not look at.
        exchange: the answers; None where the port is closed.
        silence: why there are none.
        cause: and what kind of silence that is.
    """

    secure: bool
    port: int
    outside: bool
    named: bool = True
    elsewhere: bool = False
    apart: bool = False
    exchange: http.Exchange | None = None
    silence: str = ""
    cause: Cause | None = None

    @property
    def responses(self) -> tuple[http.Response, ...]:
        return tuple(each for each in self.exchange.responses if each.status) if self.exchange else ()

    @property
    def label(self) -> str:
        return f"{'https' if self.secure else 'http'} on port {self.port}"

    @property
    def layer(self) -> str:
        return "wire" if self.outside else "wire, from the host itself"


class ConsoleWire(Fact):
    """What the console's web server gives to whoever asks."""

    role = Role.CONSOLE
    questions = (*WebServer.questions, *ConsoleFiles.questions)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        wire = cls(seen)
        if wire.files.is_absent:
            return ()
        return (*wire._probes.values(), wire._tls_probe, visits_question(f"{_KEY}-visits", wire._visits))

    # --- where the console is ---

    @cached_property
    def server(self) -> WebServer:
        return WebServer(self.seen)

    @cached_property
    def files(self) -> ConsoleFiles:
        return ConsoleFiles(self.seen)

    @property
    def _url(self) -> str:
        return self.seen.promises.console_url or ""

    @property
    def _promised_host(self) -> str:
        return urlsplit(self._url).hostname or ""

    @property
    def _secure_port(self) -> int:
        parts = urlsplit(self._url)
        return parts.port or 443 if parts.scheme == "https" else 443

    @cached_property
    def bases(self) -> tuple[str, ...]:
        """The paths of the console, with a slash at both ends: as people open it, and as its machine serves it.

        They differ behind a proxy that has a place of its own for it, and for a metaconsole, which is a part of one.
        """
        path = urlsplit(self._url).path
        if path.endswith(".php"):
            path = path.rpartition("/")[0]
        own = list(filter(None, self.files.home_urls)) or ["/pandora_console"]
        return tuple(dict.fromkeys(_base(each) for each in ([path] if path else []) + own))

    @property
    def _paths(self) -> tuple[str, ...]:
        below = (*_ENTRANCES, *_PRIVATE, NOWHERE[1:], *self.files.kept)
        paths = dict.fromkeys(("/", *(base + each for base in self.bases for each in below)))
        # Twice in a row: the console sends its cookie again to whoever brings it.
        return (*paths, *(f"{base}index.php?twice" for base in self.bases))

    def _index(self, look: _Look) -> str:
        """The console's first page at a place; empty where it is not there."""
        shown = {each.path for each in look.responses if each.status == 200}
        return next((index for base in self.bases if (index := f"{base}index.php") in shown), "")

    @cached_property
    def _ports(self) -> dict[int, bool]:
        """The ports to look at, and whether they speak TLS: the usual ones, the promised, the web server's own."""
        found = {80: False, self._secure_port: True}
        try:
            own = [each.port for each in self.server.web_sockets if not each.is_loopback]
        except NotObserved:
            own = []
        return {**{port: self.server.is_secure(port) for port in own[:6]}, **found}

    @property
    def _probes(self) -> dict[tuple[str, int], Probe]:
        """By name and port: the machine under its own address, and the promised name."""
        found = {}
        own = "" if self._promised_host != self.seen.wire.peer else self._promised_host
        for name in dict.fromkeys((own, self._promised_host)):
            for port, secure in self._ports.items():
                key = f"{_KEY}-{'promised' if name else 'own'}-{port}"
                kind = ProbeKind.HTTPS if secure else ProbeKind.HTTP
                found[name, port] = Probe(key=key, kind=kind, port=port, host=name, paths=self._paths)
        return found

    @property
    def _tls_probe(self) -> Probe:
        ca = self.seen.promises.ca or ""
        key, host = f"{_KEY}-tls", self._promised_host
        return Probe(key=key, kind=ProbeKind.TLS, port=self._secure_port, host=host, ca=ca)

    @cached_property
    def _visited(self) -> tuple[Socket, ...]:
        """The sockets of the web server that the host itself looks at; none where nobody shows them."""
        try:
            reached = [each for each in self.server.web_sockets if not each.is_loopback]
        except NotObserved:
            return ()
        # Of several at a port, the one that nobody looks at from outside.
        return tuple({each.port: each for each in sorted(reached, key=self._is_apart)}.values())[:6]

    @cached_property
    def _visits(self) -> tuple[Visit, ...]:
        """The host's own look at each of them."""
        return tuple(
            Visit(self.server.is_secure(each.port), each.port, each.reached_at, self._promised_host, self._paths)
            for each in self._visited
        )

    def _is_apart(self, socket: Socket) -> bool:
        """Whether a socket is not reached at the address that the auditor's place looks at."""
        at, peer = socket.reached_at, self.seen.wire.peer
        return at != "own" and (at != peer if at != "::1" else ":" not in peer)

    @cached_property
    def _looks(self) -> tuple[_Look, ...]:
        return (*self._from_outside(), *self._from_itself())

    def _from_outside(self) -> Iterator[_Look]:
        for (name, port), probe in self._probes.items():
            answer, secure, named = self.answers[probe.key], probe.kind is ProbeKind.HTTPS, name == self._promised_host
            if answer.silence:
                yield _Look(secure, port, True, named, silence=answer.silence, cause=answer.cause)
            elif answer.status == 1:
                yield _Look(secure, port, True, named)
            else:
                exchange = http.read(answer.text)
                yield _Look(secure, port, True, named, exchange.place not in ("", "the machine"), exchange=exchange)

    def _from_itself(self) -> Iterator[_Look]:
        apart = {each.port for each in self._visited if self._is_apart(each)}
        for visit, exchange in exchanges(self.answers[f"{_KEY}-visits"], self._visits):
            yield _Look(visit.secure, visit.port, False, apart=visit.port in apart, exchange=exchange)

    def _was_seen(self) -> None:
        """Raises NotObserved where others were seen from outside, but not what people open."""
        for look in self._looks:
            unseen = look.outside and look.named and look.secure and look.silence
            if unseen and self._sees_outside and (self._promised_host or self._may_listen(look.port)):
                raise NotObserved(look.silence)

    @property
    def _is_behind_a_proxy(self) -> bool:
        return any(look.elsewhere for look in self._looks)

    def _answering(self, *, secure: bool | None = None) -> list[_Look]:
        """The looks that saw something. Raises NotObserved where nobody saw anything."""
        found = [look for look in self._looks if look.responses]
        if not found:
            silent = next((look.silence for look in self._looks if look.silence), "every port is closed")
            raise NotObserved(f"the console's web server answered nobody: {silent}")
        return [look for look in found if secure in (None, look.secure)]

    def _serving(self) -> list[_Look]:
        """The looks at where the console itself is. Raises NotObserved where its first page was not found."""
        found = [look for look in self._answering() if self._index(look)]
        if not found:
            raise NotObserved(
                f"the console was not found at {self.bases[0]}index.php; promise where it is in audit_console_url"
            )
        return found

    def url(self, host: str) -> str:
        """Where the console is served, by TLS if it is, on a machine that is called so."""
        look = max(self._serving(), key=lambda look: (look.secure, look.port in (80, 443)))
        scheme, usual = ("https", 443) if look.secure else ("http", 80)
        port = "" if look.port == usual else f":{look.port}"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}{port}{self._index(look).removesuffix('index.php')}"

    # --- TLS ---

    @cached_property
    def untrusted(self) -> Offences:
        """Why a browser, or a guest in the middle, finds no TLS to trust at the console's URL."""
        answer = self.answers[self._tls_probe.key]
        where = f"{self._promised_host or 'the machine'}, port {self._secure_port}"
        if self._url.startswith("http://"):
            text = f"people open the console at {self._url}, without TLS"
            return Offences([Offence(subject="tls", text=text, cause="audit_console_url")], "")
        if not answer.silence and answer.status == 1:
            return Offences([Offence(subject="tls", text=f"nothing answers on {where}", layer="wire")], "")
        told = dict(line.partition(" ")[::2] for line in answer.text.split("\n"))
        found = [
            Offence(subject=version, text=f"{version} is spoken", layer="wire")
            for version in ("TLSv1", "TLSv1.1")
            if told.get(version) == "yes"
        ]
        if "untrusted" in told:
            text = f"the certificate is not to be trusted: {told['untrusted']}"
            found.append(Offence(subject="certificate", text=text, layer="wire"))
        elif "refused" in told:
            found.append(Offence(subject="tls", text=f"no TLS 1.2 on {where}: {told['refused']}", layer="wire"))
        else:
            days, whole = self._days_left(told)
            if days < min(_EXPIRY_DAYS, whole / _EXPIRY_PART):
                text = f"the certificate ends in {days} days"
                found.append(Offence(subject="expiry", text=text, layer="wire"))
        if not found:
            unknown = [version for version in ("TLSv1", "TLSv1.1") if told.get(version) != "no"]
            if unknown:
                raise NotObserved(f"whether {unknown[0]} is spoken could not be told: {told.get(unknown[0], '')}")
            if not self._promised_host:
                raise ToDecide("TLS is in order, but for which name? Promise audit_console_url")
        return Offences(found, f"a trusted certificate and TLS 1.2 or later at {where}")

    def _days_left(self, told: dict[str, str]) -> tuple[int, int]:
        """How many days a certificate is good for from now on, and from its first day."""
        times = re.match(r"(\d{1,12}) \S+(?: (\d{1,12}))?", told.get("trusted", ""))
        if times is None:
            raise Unreadable("the look at TLS ended without a word on the certificate")
        ends, begins = int(times[1]), int(times[2] or 0)
        return int((ends - self.seen.asked_at) // _DAY), (ends - begins) // _DAY

    # --- https only ---

    @cached_property
    def plain_pages(self) -> Offences:
        """What is to be had without TLS, from beyond loopback."""
        entrances = tuple(base + each for base in self.bases for each in _ENTRANCES)
        found = dict[str, Offence]()
        # Behind a proxy, an address of its own may be the proxy's way in.
        apart = not self._is_behind_a_proxy
        plain = [
            look
            for look in self._looks
            if not look.secure and (look.outside or not self._sees_outside or (apart and look.apart))
        ]
        for look in plain:
            # What the machine shows to whoever does not give the console's name is no page of the console.
            wanted = ("/", *entrances) if look.named else entrances
            answers = {each.path: each for each in look.responses}
            for each in look.responses:
                if each.path in wanted and self._is_given(each, answers):
                    text = f"{each.path} is answered without TLS on port {look.port} ({each.status})"
                    found.setdefault(each.path, Offence(subject=each.path, text=text, layer=look.layer))
        if not found:
            self._nothing_was_missed(plain, ("/", *entrances))
            self._every_console_was_met()
        return Offences(found.values(), "plain http is closed or leads to https")

    def _is_given(self, response: http.Response, answers: Mapping[str, http.Response], hops: int = 3) -> bool:
        """Whether an answer over plain http gives something, rather than lead to https, if by some steps, or refuse."""
        if response.status in (301, 302, 303, 307, 308):
            target = _ADDRESS.match(response.header("location"))
            scheme, host, path = target.groups("") if target else ("", "", "")
            is_own = host.strip("[]").lower() in ("", self._promised_host, self.seen.wire.peer)
            following = answers.get(path) if hops and is_own and scheme.lower() != "https" else None
            if following is not None and following.status:
                return self._is_given(following, answers, hops - 1)
            return scheme.lower() != "https"
        return response.status not in (400, 403, 404, 405, 410, 421, 426)

    @property
    def _sees_outside(self) -> bool:
        """Whether any port of the machine answered, or was closed, to the auditor's place."""
        return any(look.outside and not look.silence for look in self._looks)

    def _nothing_was_missed(self, plain: list[_Look], wanted: tuple[str, ...]) -> None:
        """Raises NotObserved where a plain port may have something to give that was not seen."""
        if not plain:
            raise NotObserved("no port was looked at, neither from outside nor from the host itself")
        for look in plain:
            unheard = [each for each in look.exchange.responses if not each.status] if look.exchange else []
            # To be hung up on at every page is what some set for whoever does not give a name.
            if unheard and not look.responses and all(each.hung_up for each in unheard):
                continue
            if missed := [each for each in unheard if each.path in wanted]:
                raise NotObserved(f"{missed[0].path} on port {look.port}: {missed[0].silence}")
            # Behind a proxy, that a filter keeps others from the plain port is what is wanted.
            kept = self._is_behind_a_proxy and look.cause is Cause.UNANSWERED
            if look.silence and not kept and self._may_listen(look.port):
                if not self._sees_outside and any(each.port == look.port and each.exchange for each in plain):
                    continue
                raise NotObserved(f"something listens on port {look.port}, but is silent to us: {look.silence}")

    def _may_listen(self, port: int) -> bool:
        try:
            return any(each.port == port and not each.is_loopback for each in self.server.sockets)
        except NotObserved:
            return True

    @cached_property
    def forgetful_pages(self) -> Offences:
        """The https places of the console that do not tell browsers to come back by https only."""
        looks = [look for look in self._answering(secure=True) if look.outside or not self._is_behind_a_proxy]
        looks = [look for look in looks if look.elsewhere] or looks
        indexes = tuple(f"{base}index.php" for base in self.bases)
        pages = [
            (look, each)
            for look in looks
            for each in look.responses
            if each.path in indexes and (look.named or each.status < 400)
        ]
        if not pages:
            self._was_seen()
            raise NotApplicable("the console does not answer by https")
        found = [
            Offence(subject=look.label, text=f"{said} ({look.label})", layer=look.layer)
            for look, each in pages
            if (said := _forgets(each.header("strict-transport-security")))
        ]
        if not found:
            self._was_seen()
        places = ", ".join(sorted({look.label for look, _ in pages}))
        return Offences(_first_of_each(found), f"Strict-Transport-Security by {places}")

    # --- what is not to be had ---

    @cached_property
    def open_paths(self) -> Offences:
        """Private files that are served, and folders that are listed."""
        found, unsure, told = [], [], set[str]()
        for look in self._serving():
            answers = {each.path: each for each in look.responses}
            again = answers.get(f"{self._index(look)}?twice")
            if again is not None and again.status != 200:
                unsure.append(again.path)  # a server that has had enough of us would have served others
            for path in self._paths:
                each = answers.get(path)
                if each is None or not self._is_private(path):
                    continue
                verdict = _served(each, answers.get(self._base_of(path) + NOWHERE[1:]))
                if verdict is None:
                    unsure.append(path)
                elif verdict:
                    found.append(Offence(subject=path, text=f"{path} is {verdict}", layer=look.layer))
            told |= answers.keys()
        unsure += [path for path in self._paths if self._is_private(path) and path not in told]
        if unsure and not found:
            raise NotObserved(f"whether {unsure[0]} is served cannot be told from the answer")
        if not found:
            self._was_seen()
            self._every_console_was_met()
        return Offences(_first_of_each(found), f"none of {len(_PRIVATE)} private paths is served")

    def _base_of(self, path: str) -> str:
        return max((base for base in self.bases if path.startswith(base)), key=len, default="/")

    def _every_console_was_met(self) -> None:
        """Raises NotObserved where the machine has several consoles, and not each was seen."""
        homes = self.files.home_urls
        if len(homes) > 1:
            met = {each.path for look in self._looks for each in look.responses if each.status == 200}
            for home in homes:
                if homes.count(home) > 1 or f"{_base(home)}index.php" not in met:
                    raise NotObserved(
                        f"the machine has {len(homes)} consoles, and which one answers at {home or '/'} was not seen"
                    )

    def _is_private(self, path: str) -> bool:
        below = path.removeprefix(self._base_of(path))
        return below in _PRIVATE or below.startswith(("attachment/", "log/"))

    @cached_property
    def installers(self) -> Offences:
        """The installers that lie in the console's folder, or are run for visitors where nobody shows the folder."""
        try:
            return self.files.installers
        except NotObserved:
            paths = [base + name for base in self.bases for name in ("install.php", "install_old.php")]
            found = [each for each in self.open_paths if each.subject in paths]
            if not found:
                raise
            return Offences(found, "")

    # --- cookies ---

    @cached_property
    def loose_cookies(self) -> Offences:
        """The cookies of the console that lack a flag on the wire."""
        looks = [look for look in self._serving() if look.outside or not self._is_behind_a_proxy]
        looks = [look for look in looks if look.elsewhere] or looks
        found, sent = [], 0
        for look in looks:
            index = self._index(look)
            entrances = (index, index.removesuffix("index.php"))
            pages = [each for each in look.responses if each.path.partition("?")[0] in entrances]
            if not any(each.path == f"{index}?twice" for each in pages):
                if not look.outside and self._sees_outside:  # without curl, the host brings no cookie back
                    continue
                raise NotObserved(f"the console did not answer twice on {look.label}")
            for each in pages:
                for cookie in each.headers_named("set-cookie"):
                    name = cookie.partition("=")[0].strip()[:60]
                    if look.elsewhere and _OF_BALANCERS.fullmatch(name):
                        continue
                    sent += 1
                    flags = {part.strip().lower() for part in cookie.split(";")[1:]}
                    lacking = [flag for flag in ("Secure", "HttpOnly") if flag.lower() not in flags]
                    if lacking and not _is_deletion(cookie):
                        text = f"the cookie {name} is sent without {' and '.join(lacking)} by {look.label}"
                        found.append(Offence(subject=f"{name} by {look.label}", text=text, layer=look.layer))
        if not found:
            self._was_seen()
            self._every_console_was_met()
        if not sent:
            raise NotApplicable("the console sent no cookie")
        return Offences(_first_of_each(found), "every cookie is Secure and HttpOnly")


def _first_of_each(offences: list[Offence]) -> list[Offence]:
    """The first offence of each subject: what was seen from outside stands before what the host saw itself."""
    return list({offence.subject: offence for offence in reversed(offences)}.values())[::-1]


def _base(path: str) -> str:
    bare = quote(path, safe="/~%").strip("/")
    return f"/{bare}/" if bare else "/"


def _forgets(header: str) -> str:
    """What is wrong with a Strict-Transport-Security header; empty where nothing is."""
    if not header:
        return "no Strict-Transport-Security"
    age = re.search(r'max-age\s*=\s*"?(\d{1,12})', header, re.I)
    if age is None or int(age[1]) < _STAY:
        return f"“{header[:80]}” is for less than {_STAY // _DAY} days"
    return ""


def _served(response: http.Response, nowhere: http.Response | None) -> str | None:
    """How a private path is served; empty where it is not, None where the answer does not tell.

    Args:
        nowhere: the answer for a path that does not exist: some servers answer everything with the same page.
    """
    if response.status == 429 or (response.status in (502, 503, 504)):
        return None
    if response.status != 200 and response.status != 206:
        return ""
    if "source" in response.marks:
        return "served as source"
    if response.path.endswith("/"):
        return "listed" if "listing" in response.marks else ""
    # PHP that is run discloses nothing of itself; what must not even be run is named here.
    is_run = response.path.endswith(".php")
    if is_run and (not response.length or not re.search(r"/install\w*\.php$|/attachment/", response.path)):
        return ""
    if nowhere is not None and nowhere.status == 200:
        if nowhere.digest == response.digest:
            return ""
        if nowhere.header("content-type") == response.header("content-type"):
            return None
    return "run" if is_run else "served"


def _is_deletion(cookie: str) -> bool:
    """Whether a Set-Cookie takes a cookie away, and so gives away nothing."""
    return re.search(r";\s*max-age\s*=\s*0\s*(;|$)|;\s*expires\s*=[^;]*\b1970\b", cookie, re.I) is not None
