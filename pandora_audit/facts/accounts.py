"""The accounts of a machine: who logs in as a person, what a program runs as, and who is the superuser."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.account_keys import AccountKeys
from pandora_audit.facts.sshd import Sshd
from pandora_audit.formats import authorized_keys, pam, passwd
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.passwd import Account, Group, Password
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question, Unreadable
from pandora_audit.questions import GROUP, PAM, PASSWD, PASSWORD_STATES, SSSD
from pandora_audit.verdict import NotApplicable, ToDecide

# Which login shells are there, or hidden in a folder that this account may not look into; and what they are behind
# their links.
_SHELLS = Ask(
    key="login-shells",
    sh="getent passwd | cut -d: -f7 | sort -u | head -n 200 | while IFS= read -r s; do "
    "s=${s:-/bin/sh} d=$s; case $s in /*) ;; *) continue ;; esac; "
    'while [ ! -e "$d" ] && [ -n "$d" ]; do d=${d%/*}; done; '
    '[ "$d" != "$s" ] && [ -x "${d:-/}" ] || printf "%s:%s\\n" "$s" "$(readlink -f "$s")"; done',
)
_UID_MIN = Ask(
    key="uid-min", sh="grep -hsE '^[[:space:]]*UID_MIN[[:space:]]' /etc/login.defs /usr/etc/login.defs; true"
)
ACCOUNT_SOURCES = Ask(
    key="account-sources",
    sh="grep -hsE '^[[:space:]]*(passwd|sudoers):' /etc/nsswitch.conf; for unit in sssd winbind nslcd; do "
    'echo "$unit=$(systemctl is-active $unit 2>/dev/null)"; done',
)
# The sources that are a directory's, and the service that asks it.
_DIRECTORIES = {"sss": "sssd", "winbind": "winbind", "ldap": "nslcd", "nis": "", "nisplus": ""}

# Login shells that give no session, and what stands for them where one program plays many.
_NO_SESSION = ("nologin", "false", "true", "sync", "halt", "shutdown", "git-shell", "rssh", "scponly")
_MANY_IN_ONE = ("coreutils", "busybox", "systemctl")

_NOBODY = (65534, 4294967294)
# Names that tell a function, and not who used it: those of cloud images, of tools, and of the vendor's examples.
_GENERIC = re.compile(
    r"(sys|net|sql|web|db)?adm(in(istrat(or|ador))?)?s?|user|usuario|tests?|tester|guest|invitado|monitor(ing)?|pandora(fms)?"
    r"|artica|operator|operador|support|soporte|backup|deploy(er)?|ansible|jenkins|vagrant|ubuntu|debian|centos|rocky"
    r"|almalinux|fedora|opensuse|cloud-user|ec2-user|azureuser|opc|oracle|demo|default|temp|shared|common|toor",
)
# Accounts that the parts of a Pandora FMS installation run as, by the names of both families.
_APPLICATIONS = ("pandora", "apache", "www-data", "nginx", "mysql", "mariadb", "snmptt")
# Whoever is in one of these is root by another name: it owns the disks, the passwords, or starts what root owns.
_PRIVILEGED = ("root", "disk", "shadow", "kmem", "mem", "docker", "lxd", "lxc", "incus-admin", "libvirt")


class Accounts(Fact):
    """The accounts that the machine lists, their groups, shells and passwords' states."""

    questions = (*AccountKeys.questions, GROUP, _SHELLS, _UID_MIN, ACCOUNT_SOURCES, PASSWORD_STATES, PAM, SSSD)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        return AccountKeys.then(seen)

    # --- who there is ---

    @cached_property
    def all(self) -> tuple[Account, ...]:
        found = passwd.accounts(self.answers[PASSWD.key].succeeded().lines)
        if not any(account.is_root for account in found):
            raise Unreadable("`getent passwd` listed no root: these are not the users of a machine")
        return found

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        return passwd.groups(self.answers[GROUP.key].succeeded().lines)

    def named(self, name: str) -> Account | None:
        return next((account for account in self.all if account.name == name), None)

    def members(self, group: str | int) -> frozenset[str]:
        """Those in a group, by its name or number, as their first group or another."""
        those = [each for each in self.groups if group in (each.name, each.gid)]
        gids = {each.gid for each in those}
        first = {account.name for account in self.all if account.gid in gids}
        return frozenset(first.union(*(each.members for each in those)))

    @cached_property
    def programs(self) -> frozenset[str]:
        """The accounts of programs that log in, as the site declares them; this audit's own among them."""
        own = self.seen.promises.account
        return frozenset(self.seen.promises.automation_accounts) | ({own} if own else set())

    @cached_property
    def applications(self) -> tuple[Account, ...]:
        """The accounts that applications run as: those of Pandora FMS's parts, and those that the site promises."""
        names = {*_APPLICATIONS, *self.seen.promises.service_accounts} - self.programs
        return tuple(account for account in self.all if account.name in names and not account.is_root)

    @cached_property
    def _first_uid(self) -> int:
        found = re.findall(r"UID_MIN\s+([0-9]{1,9})\b", self.answers[_UID_MIN.key].succeeded().text)
        return int(found[-1]) if found else 1000

    @cached_property
    def _shells(self) -> dict[str, str]:
        lines = self.answers[_SHELLS.key].succeeded().lines
        found = dict(line.split(":", 1) for line in lines if line.startswith("/") and ":" in line)
        if not found:
            raise Unreadable("no login shell of any account was found on the machine")
        return found

    def has_session(self, account: Account) -> bool:
        """Whether its login shell gives whoever enters a session."""
        written = account.shell or "/bin/sh"
        if written not in self._shells:
            return False  # sshd and login refuse it
        behind = self._shells[written].rpartition("/")[2]
        refuses = written.rpartition("/")[2] in _NO_SESSION and behind in (*_NO_SESSION, *_MANY_IN_ONE)
        return not refuses

    @cached_property
    def _sessions(self) -> tuple[Account, ...]:
        """The accounts, but root's and applications', whose shell gives a session."""
        applications = {account.name for account in self.applications}
        others = (account for account in self.all if not account.is_root and account.name not in applications)
        return tuple(account for account in others if self.has_session(account))

    @cached_property
    def interactive(self) -> tuple[Account, ...]:
        """The accounts that people log in as: with a session, and of a person's number or with a way in."""
        return tuple(account for account in self._sessions if self._is_persons(account) or self.ways_in(account))

    def _is_persons(self, account: Account) -> bool:
        return account.uid >= self._first_uid and account.uid not in _NOBODY

    @cached_property
    def people(self) -> tuple[Account, ...]:
        """Those of them that the site does not declare to be a program's."""
        return tuple(account for account in self.interactive if account.name not in self.programs)

    def directories(self, database: str) -> tuple[str, ...]:
        """The directory services that a database of nsswitch also asks, and that run."""
        text = self.answers[ACCOUNT_SOURCES.key].succeeded().text
        line = re.search(rf"^\s*{database}:(.*)", text, re.M)
        states = dict(re.findall(r"^(\w+)=(\S*)$", text, re.M))
        found = []
        for source in re.findall(r"\w+", line[1] if line else ""):
            unit = _DIRECTORIES.get(source)
            if unit is None or (source != "ldap" and unit and states.get(unit) in ("inactive", "failed", "unknown")):
                continue
            if source == "sss" and self._sssd_knows_files_only:
                continue
            found.append(source)
        return tuple(found)

    @property
    def _sssd_knows_files_only(self) -> bool:
        answer = self.answers[SSSD.key]
        if answer.silence:
            return False
        providers = re.findall(r":\s*id_provider\s*=\s*(\w+)\s*$", answer.text, re.M)
        return bool(providers) and set(providers) <= {"files"}

    # --- passwords and ways in ---

    @cached_property
    def _passwords(self) -> dict[str, Password]:
        told = passwd.passwords(self.answers[PASSWORD_STATES.key].succeeded().lines)
        # A field of passwd that refers to shadow is no password; any other counts in its stead.
        refers = {name for (file, name), each in told.items() if file == "passwd" and each.kind == "-"}
        return {
            name: each
            for (file, name), each in told.items()
            if file == "passwd" or name in refers or ("passwd", name) not in told
        }

    def password(self, account: Account) -> Password:
        """The state of its password on this machine; one that a directory knows has none here."""
        return self._passwords.get(account.name, Password("-", False, None))

    def is_expired(self, account: Account) -> bool:
        """Whether the account's own end, not its password's, is over."""
        end = self.password(account).expires
        return end is not None and end * 86400 <= self.seen.asked_at

    @cached_property
    def keys(self) -> AccountKeys:
        return AccountKeys(self.seen)

    def ways_in(self, account: Account) -> tuple[str, ...]:
        """What opens an account: a password, keys. Raises NotObserved where that could not be seen."""
        if self.is_expired(account):
            return ()
        found = []
        password = self.password(account)
        if password.is_set or (password.is_empty and self.empty_passwords_are_taken):
            found.append("a password")
        keys = self.keys_of(account)
        found += [f"a key ({key.fingerprint})" for key in keys]
        if not found:
            self._no_other_keys(account)
        return tuple(found)

    def keys_of(self, account: Account) -> tuple[authorized_keys.AuthorizedKey, ...]:
        try:
            return self.keys.of(account)
        except NotApplicable:  # no SSH server
            return ()

    def _no_other_keys(self, account: Account) -> None:
        try:
            self.keys.no_others(account)
        except NotApplicable:
            return

    # --- claims ---

    def unnamed(self, named: tuple[str, ...] | None, directory: str | None) -> Offences:
        """The interactive accounts that are no person's. Raises ToDecide where the site did not say whose they are.

        Args:
            named: the accounts that the site promises to be a person's each.
            directory: the identity service whose own accounts the site answers for.
        """
        unseen = None
        try:
            people = self.people
        except NotObserved as silent:  # of the accounts that packages made; people's are known all the same
            unseen = silent
            people = tuple(each for each in self._sessions if self._is_persons(each) and each.name not in self.programs)
        found = [
            Offence(
                subject=account.name,
                text=f"{account.name} is a generic name: nobody can tell who used it"
                if _GENERIC.fullmatch(account.name.lower())
                else f"{account.name} is nobody's whom the site names",
                layer="file",
                cause="/etc/passwd",
            )
            for account in people
            if _GENERIC.fullmatch(account.name.lower()) or (named is not None and account.name not in named)
        ]
        names = ", ".join(account.name for account in people)
        if not found:
            if unseen:
                raise unseen
            if named is None and names:
                raise ToDecide(f"{names}: does each belong to one person? Promise audit_named_users")
            if (sources := self.directories("passwd")) and not directory:
                raise ToDecide(
                    f"{', '.join(sources)} knows accounts that the machine does not list: are they people's? "
                    "Promise audit_directory"
                )
        seen = f"people: {names or 'none'}" + ("" if found else self._declared)
        return Offences(found, seen + (f"; those of {directory}, as the site promises" if directory else ""))

    @property
    def _declared(self) -> str:
        programs = sorted(account.name for account in self.interactive if account.name in self.programs)
        return f"; programs: {', '.join(programs)}" if programs else ""

    @property
    def overprivileged(self) -> Offences:
        """Memberships that make a person's account root by another name than sudo, and other names of root."""
        services = {account.name for account in self.all if not self._is_persons(account)}
        services |= {account.name for account in self.applications}
        programs = []
        found = [
            Offence(subject=account.name, text=f"{account.name} has uid 0", layer="file", cause="/etc/passwd")
            for account in self.all
            if account.is_root and account.name != "root"
        ]
        for group in _PRIVILEGED:
            those = self.members(0 if group == "root" else group)
            for name in sorted(those - services):
                text = f"{name} is in the group {group}"
                if name in self.programs:
                    programs.append(text)
                elif self.named(name) or self.directories("passwd"):
                    found.append(Offence(subject=f"{name} in {group}", text=text, layer="file", cause="/etc/group"))
        also = f"; of programs, {', '.join(programs)}" if programs else ""
        return Offences(found, f"no person is in a privileged group{also}")

    @property
    def superusers(self) -> Offences:
        """The accounts that are root without being called so, and those that share a number."""
        by_uid: dict[int, list[str]] = defaultdict(list)
        for account in self.all:
            if account.name not in by_uid[account.uid]:
                by_uid[account.uid].append(account.name)
        found = [
            Offence(subject=name, text=f"{name} has uid 0 too", layer="file", cause="/etc/passwd")
            for name in by_uid[0]
            if name != "root"
        ]
        found += [
            Offence(
                subject=", ".join(names),
                text=f"{', '.join(names)} are one account to the kernel: uid {uid}",
                layer="file",
                cause="/etc/passwd",
            )
            for uid, names in sorted(by_uid.items())
            if uid and len(names) > 1
        ]
        return Offences(found, f"{len(self.all)} accounts, each with a number of its own; uid 0 is root's alone")

    @cached_property
    def empty_passwords_are_taken(self) -> bool:
        """Whether some service of PAM takes an empty password."""
        answer = self.answers[PAM.key].succeeded()
        nothing_withheld(answer)
        files = pam.files(answer.lines)
        if not files:
            raise Unreadable("PAM has no services")
        return any(
            re.search(r"\bpam_unix2?\.so\b.*\bnullok(_secure)?\b", line) for lines in files.values() for line in lines
        )

    @property
    def open_doors(self) -> Offences:
        """The accounts whose empty password opens them."""
        empty = [account for account in self.all if self.password(account).is_empty]
        found = [
            Offence(
                subject=account.name,
                text=f"{account.name} has an empty password, and PAM takes it (nullok)",
                layer="file",
                cause="/etc/shadow",
            )
            for account in empty
            if not self.is_expired(account) and self.empty_passwords_are_taken
        ]
        idle = ", ".join(account.name for account in empty)
        return Offences(found, f"the empty password of {idle} opens nothing" if idle else "no password is empty")

    @property
    def reachable_services(self) -> Offences:
        """The application accounts that somebody may enter as.

        A shell is as good as none where no password and no key opens the account, and sshd refuses it.
        """
        found: list[Offence] = []
        closed: list[str] = []
        for account in self.applications:
            if not self.has_session(account):
                found += self._tunnels(account)
                closed.append(account.name)
                continue
            ways = self.ways_in(account)
            refused = "" if ways else self._refused_by_sshd(account)
            if refused:
                closed.append(f"{account.name} (no password, no key, {refused})")
                continue
            by = " and ".join(ways) or "no password and no key now, and nothing that keeps sshd from taking one"
            text = f"{account.name} has the shell {account.shell or '/bin/sh'}, with {by}"
            found.append(Offence(subject=account.name, text=text, layer="file", cause="/etc/passwd"))
        return Offences(
            found, f"nobody enters as {', '.join(sorted(closed))}" if closed else "no application's account"
        )

    def _tunnels(self, account: Account) -> Iterator[Offence]:
        """A key opens no session where there is no shell, but sshd forwards for its owner."""
        for key in self.keys_of(account):
            sshd = Sshd(self.seen)
            forwarding = sshd.values("allowtcpforwarding", account.name)
            disabled = sshd.values("disableforwarding", account.name)
            if set(forwarding) != {"no"} and set(disabled) != {"yes"}:
                text = f"{key.fingerprint} opens {account.name}, which has no shell, for forwarding"
                yield Offence(subject=account.name, text=text, layer="file", cause=key.file)

    def _refused_by_sshd(self, account: Account) -> str:
        """Which list of sshd keeps an account out in every circumstance; empty where none does."""
        try:
            return _refusing_list(Sshd(self.seen), account.name, self._groups_of(account))
        except NotApplicable:
            return "no SSH server"

    def _groups_of(self, account: Account) -> frozenset[str]:
        return frozenset(
            group.name for group in self.groups if group.gid == account.gid or account.name in group.members
        )


def _refusing_list(sshd: Sshd, name: str, groups: frozenset[str]) -> str:
    """The keyword that refuses an account, whatever Match block holds; empty where none surely does."""
    ours = {
        "denyusers": frozenset({name}),
        "denygroups": groups,
        "allowusers": frozenset({name}),
        "allowgroups": groups,
    }
    for keyword, those in ours.items():
        lists = [frozenset(value.split()) for value in sshd.lists(keyword, name)]
        denied = keyword.startswith("deny")
        if all(_refuses(each, those, denied=denied) for each in lists):
            return keyword
    return ""


def _refuses(listed: frozenset[str], those: frozenset[str], *, denied: bool) -> bool:
    """Whether one value of a list refuses; patterns and hosts prove nothing."""
    if denied:
        return bool(those & listed)
    names = {word.partition("@")[0] for word in listed}
    return bool(listed) and not those & names and not any(set(word) & set("*?!") for word in listed)
