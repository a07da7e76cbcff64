"""Where the files of agents lie, and whom a machine lets mount what it exports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.pandora_server import PandoraServer
from pandora_audit.facts.tentacle import TentacleServer
from pandora_audit.formats import addresses, nfs, server_conf
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.nfs import Export, Mount
from pandora_audit.formats.tentacle_conf import Settings
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question, Role
from pandora_audit.questions import ADDRESSES
from pandora_audit.verdict import NotApplicable

_SHARED = ("conf", "md5", "collections", "commands")


def _folders_question(key: str, spool: str, names: Iterable[str]) -> Ask:
    # A dot behind the folder has what is mounted at need mounted, and a link followed.
    folders = (spool.rpartition("/")[0] or "/", spool, *(f"{spool}/{name}" for name in names))
    return Ask(key=key, argv=("stat", "-L", "-c", "%a:%m:%n", *(f"{each}/." for each in folders)), root=True)


_FOLDERS = _folders_question("storage-folders", server_conf.SPOOL, _SHARED)
# After the folders, for what is mounted at need.
_MOUNTS = Ask(key="storage-mounts", sh="cat /proc/self/mountinfo", limit=4 * 1024 * 1024)
# One file is enough; that of the watchdog is no agent's.
_CONFIGURED = Ask(
    key="storage-files",
    argv=(
        *("find", *(f"{server_conf.SPOOL}/{name}" for name in _SHARED), "-maxdepth", "1", "-type", "f"),
        *("-not", "-name", "pandora_ha_hosts.conf", "-print", "-quit"),
    ),
    root=True,
)


class _Storage(Fact):
    """The folder of a daemon on its storage."""

    _names: tuple[str, ...] = ()

    @cached_property
    def _spool(self) -> str:
        raise NotImplementedError

    def _key(self, question: Ask) -> str:
        return question.key if self._spool == server_conf.SPOOL else f"{question.key}@{self._spool.encode().hex()}"

    def _elsewhere(self) -> tuple[Question, ...]:
        """The questions of the second trip, for a folder that is not the usual one."""
        if self._spool == server_conf.SPOOL or not re.fullmatch(r"/[\w./-]+", self._spool):
            return ()
        files = tuple(word.replace(server_conf.SPOOL, self._spool) for word in _CONFIGURED.argv)
        return (
            _folders_question(self._key(_FOLDERS), self._spool, _SHARED),
            Ask(key=self._key(_MOUNTS), sh=_MOUNTS.sh, limit=_MOUNTS.limit),
            Ask(key=self._key(_CONFIGURED), argv=files, root=True),
        )

    @cached_property
    def _folders(self) -> dict[str, tuple[int, Mount]]:
        """The mode and the mount of each folder that there is, by its name below the spool."""
        answer = self.answers[self._key(_FOLDERS)]
        mounts = nfs.mounts(self.answers[self._key(_MOUNTS)].succeeded().lines)
        found = {}
        for line in answer.lines:
            row = re.fullmatch(r"([0-7]{1,5}):(/.*):(/.*)/\.", line)
            if row is None:
                continue
            if row[2] not in mounts:
                raise NotObserved(f"what is mounted at {row[2]} was not told")
            found[row[3]] = (int(row[1], 8), mounts[row[2]])
        nothing_withheld(answer)
        if self._spool not in found:
            raise NotObserved(f"{self._spool} is not there")
        return found

    @property
    def exports(self) -> tuple[str, ...]:
        """The exports of other machines that the folders lie on."""
        mounts = {mount.source: mount for _, mount in self._folders.values() if mount.is_nfs}
        return tuple(sorted(source for source, mount in mounts.items() if not self._is_here(mount.server)))

    def unsecured(self, promised: str | None, *, kerberos: bool) -> Offences:
        """What is wrong with the storage: not another machine's, or mounted so that it could do harm.

        Args:
            promised: the export that the site promised, SERVER:/PATH.
            kerberos: whether users have to prove who they are.
        """
        names = [name for name in self._names if f"{self._spool}/{name}" in self._folders]
        below = {name: self._folders[f"{self._spool}/{name}"] for name in names} or {"": self._folders[self._spool]}
        by_mount: dict[Mount, list[str]] = {}
        for name, (_, mount) in below.items():
            by_mount.setdefault(mount, []).append(name or self._spool)
        found = [
            Offence(subject=" ".join(named), text=f"{', '.join(named)}: {text}", layer="process", cause=mount.point)
            for mount, named in by_mount.items()
            for text in self._wrong(mount, promised, kerberos)
        ]
        found += self._open_to_others(below)
        sources = ", ".join(f"{mount.source} ({mount.kind})" for mount in by_mount)
        return Offences(found, f"{self._spool} lies on {sources}")

    def _wrong(self, mount: Mount, promised: str | None, kerberos: bool) -> Iterator[str]:
        if not mount.is_nfs:
            yield f"on {mount.source} ({mount.kind}), not on NFS; attest it if that is secured in another way"
            return
        if self._is_here(mount.option("addr")) or self._is_here(mount.server):
            yield f"{mount.source} is exported by this machine itself"
        if promised and mount.source != promised and not mount.source.startswith(f"{promised.rstrip('/')}/"):
            yield f"{mount.source} is not the promised {promised}"
        for option in ("nosuid", "nodev"):
            if option not in mount.options:
                yield f"{mount.source} is mounted without {option}"
        if kerberos and not mount.option("sec").startswith("krb5"):
            yield f"{mount.source} is mounted with sec={mount.option('sec') or 'sys'}: nobody proves who they are"

    def _is_here(self, host: str) -> bool:
        return addresses.read(self.answers[ADDRESSES.key]).mean(host)

    def _open_to_others(self, below: dict[str, tuple[int, Mount]]) -> Iterator[Offence]:
        """The folders that others may enter: the files in them are anybody's, by mode."""
        above = (
            self._folders.get(self._spool.rpartition("/")[0] or "/", (0o777, None))[0] & self._folders[self._spool][0]
        )
        for name, (mode, _) in below.items():
            if above & mode & 0o001:
                folder = f"{self._spool}/{name}".rstrip("/")
                yield Offence(subject=name or "spool", text=f"others may enter {folder}", layer="file", cause=folder)


class TentacleStorage(_Storage):
    """The folder into which Tentacle puts what agents send."""

    questions = (*TentacleServer.questions, _FOLDERS, _MOUNTS, ADDRESSES)
    role = Role.TENTACLE

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        return cls(seen)._elsewhere()

    @cached_property
    def _spool(self) -> str:
        return self._starts[-1].text("directory", server_conf.SPOOL).rstrip("/") or "/"

    @cached_property
    def _starts(self) -> tuple[Settings, ...]:
        return TentacleServer(self.seen).starts

    def unsecured(self, promised: str | None, *, kerberos: bool) -> Offences:
        """See _Storage. NotApplicable where Tentacle stores nothing."""
        if all(start["proxy_ip"] for start in self._starts):
            raise NotApplicable("Tentacle passes everything on to another one, and keeps nothing")
        return super().unsecured(promised, kerberos=kerberos)


class ServerStorage(_Storage):
    """The folders in which the configurations of agents lie, with all that agents fetch."""

    questions = (*PandoraServer.questions, _FOLDERS, _MOUNTS, _CONFIGURED, ADDRESSES)
    role = Role.SERVER
    _names = _SHARED

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        return cls(seen)._elsewhere()

    @cached_property
    def _spool(self) -> str:
        return PandoraServer(self.seen).configurations[0].incomingdir

    def unsecured(self, promised: str | None, *, kerberos: bool) -> Offences:
        """See _Storage. NotApplicable where no agent is remotely configured."""
        answer = self.answers[self._key(_CONFIGURED)]
        if not answer.text.strip():
            nothing_withheld(answer)
            raise NotApplicable(f"no agent is remotely configured: {', '.join(_SHARED)} in {self._spool} hold no file")
        return super().unsecured(promised, kerberos=kerberos)


class ConsoleStorage(_Storage):
    """The console's share of the folders in which the configurations of agents lie."""

    questions = (_FOLDERS, _MOUNTS, _CONFIGURED, ADDRESSES)
    role = Role.CONSOLE
    _names = _SHARED
    _spool = server_conf.SPOOL

    def unsecured(self, promised: str | None, *, kerberos: bool) -> Offences:
        """See _Storage. NotApplicable where the console has no such folder, or nothing lies in it."""
        answer = self.answers[_CONFIGURED.key]
        if not answer.text.strip():
            nothing_withheld(answer)
            raise NotApplicable(f"no agent's configuration lies on the console: {self._spool} is not there, or empty")
        return super().unsecured(promised, kerberos=kerberos)


_TABLE = Ask(key="exports-table", sh="[ ! -e /var/lib/nfs/etab ] || grep -nH . /var/lib/nfs/etab")
_EXPORTS = Ask(
    key="exports",
    sh="set +f; for f in /etc/exports /etc/exports.d/*.exports; do [ ! -e $f ] || grep -nH '' $f || exit; done",
)


class Exports(Fact):
    """What this machine exports by NFS."""

    questions = (_TABLE, _EXPORTS)

    def open(self, promised: str | None) -> Offences:
        """The exports of Pandora's folders that admit others than named clients, or root as root.

        Args:
            promised: the export that the site promised, SERVER:/PATH; without it, those that are Pandora's by name.
        """
        exports = [*self._read(_TABLE, "process"), *self._read(_EXPORTS, "next start")]
        if not exports:
            raise NotApplicable("this machine exports nothing by NFS")
        path = promised.rpartition(":")[2].rstrip("/") if promised else ""
        ours = [(layer, each) for layer, each in exports if _concerns(each.path.rstrip("/"), path)]
        if not ours:
            raise NotApplicable(
                f"what this machine exports is not Pandora's: {', '.join(sorted({e.path for _, e in exports}))}"
            )
        found = [
            Offence(subject=f"{each.path} {each.client or '*'}", text=text, layer=layer, cause=each.cause)
            for layer, each in ours
            for text in _too_open(each)
        ]
        clients = ", ".join(dict.fromkeys(f"{each.path} to {each.client}" for _, each in ours))
        return Offences(found, f"exported with root squashed: {clients}")

    def _read(self, question: Ask, layer: str) -> list[tuple[str, Export]]:
        answer = self.answers[question.key]
        rows = (re.match(r"([^:]+:\d{1,6}):(.*)", line) for line in answer.lines)
        found = [(layer, each) for each in nfs.exports((row[1], row[2]) for row in rows if row)]
        nothing_withheld(answer)
        return found


def _concerns(path: str, promised: str) -> bool:
    """Whether an export holds the promised folder, lies in it, or is Pandora's by its name."""
    if promised:
        return f"{promised}/".startswith(f"{path}/") or path.startswith(f"{promised}/")
    return "pandora" in path.lower()


def _too_open(export: Export) -> Iterator[str]:
    if not export.names_its_client and not export.kerberos:
        yield f"{export.path} is exported to {export.client or 'everybody'}, which names no machine"
    if not export.squashes_root:
        yield f"{export.path} is exported to {export.client or 'everybody'} with root as root"
