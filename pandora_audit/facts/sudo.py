"""Sudo: who becomes root, whom it asks, what it logs; and whether su is another way."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.accounts import Accounts
from pandora_audit.formats import pam, sudoers
from pandora_audit.formats.sudoers import Grant, Member, Members, Setting, Sudoers
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, Cause, NotObserved, Question, Unreadable
from pandora_audit.questions import PAM
from pandora_audit.verdict import NotApplicable, ToDecide

_FILE = "/etc/sudoers"
_RULES = Ask(key="sudoers", argv=("cvtsudoers", "-e", "-f", "json", _FILE), root=True, limit=4 * 1024 * 1024)
# Its JSON does not tell defaults for a user from those for whoever becomes that user; its other form does.
_TARGETS = Ask(
    key="sudoers-targets", argv=("cvtsudoers", "-e", "-f", "sudoers", _FILE), root=True, keep="/^Defaults>/p"
)
# Where a rule may stand: for the report alone, never for the verdict.
_PLACES = Ask(
    key="sudoers-places",
    argv=(
        *("grep", "-rHnF", "-e", "NOPASSWD", "-e", "authenticate", "-e", "syslog", "-e", "log_allowed"),
        *("-e", "log_denied", "-e", "targetpw", "-e", "rootpw", "-e", "runaspw", "-e", "exempt_group", "-e", "ALL"),
        *(_FILE, "/etc/sudoers.d"),
    ),
    root=True,
    keep="/^[^:]*:[0-9]+:[[:space:]]*#/d\n/timeout -s KILL/d\np",
)
# Groups that distributions have rules for, whether they exist or not; a directory may know them.
_USUAL_GROUPS = Ask(key="sudo-groups", argv=("getent", "group", "admin", "sudo", "wheel"), keep="s/:.*//p")
_TOOLS = Ask(
    key="privilege-tools",
    sh='uname -n; for tool in sudo doas; do p=$(command -v $tool) && echo "$tool=$p"; done; '
    "[ ! -e /etc/doas.conf ] || echo doas.conf; sudo -V 2>/dev/null | head -n 1; "
    "stat -L -c su=%A /usr/bin/su /bin/su 2>/dev/null; true",
)

_SHELLS = re.compile(r"(/\S*/)?(ba|da|k|z|c|tc|fi|a)?sh(\s.*)?")
_SU_TO_ROOT = re.compile(r"(/\S*/)?su(\s+(-|-l|--login|root))*")


# Where shells are, for rules that name a folder or a pattern.
_SOME_SHELLS = tuple(f"{folder}/{name}" for folder in ("/bin", "/usr/bin") for name in ("bash", "sh"))


def is_everything(command: str) -> bool:
    """Whether a command is as good as any: ALL, a shell, su to root, a pattern or a folder that a shell is in."""
    if command == sudoers.ALL or any(each.fullmatch(command) for each in (_SHELLS, _SU_TO_ROOT)):
        return True
    program = command.split(" ", 1)[0]
    pattern = f"{program}*" if program.endswith("/") else program
    # No wildcard of sudo's stands for a slash.
    return any(shell.count("/") == pattern.count("/") and fnmatch.fnmatchcase(shell, pattern) for shell in _SOME_SHELLS)


class Sudo(Fact):
    """Sudo's rules, as its own parser reads them, and the other ways to root that PAM opens."""

    questions = (*Accounts.questions, _RULES, _TARGETS, _PLACES, _TOOLS, _USUAL_GROUPS)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        return Accounts.then(seen)

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(self.seen)

    # --- the rules ---

    @cached_property
    def _tools(self) -> list[str]:
        return self.answers[_TOOLS.key].succeeded().lines

    @property
    def is_installed(self) -> bool:
        return any(line.startswith("sudo=") for line in self._tools)

    @cached_property
    def rules(self) -> Sudoers:
        """The rules of the file. Raises NotObserved where sudo's own parser could not print them."""
        answer = self.answers[_RULES.key]
        if answer.cause is Cause.MISSING and any("sudo-rs" in line for line in self._tools):
            raise NotObserved("sudo is sudo-rs here, which has no parser that prints its rules")
        if answer.status == 1 and not answer.silence and not answer.err:
            raise NotObserved(
                f"sudo's own parser cannot follow {_FILE} and all that it includes; `visudo -c` tells why"
            )
        return sudoers.read(answer.succeeded().text)

    def _all_rules_seen(self) -> None:
        """Raises NotObserved where sudo also takes rules from a directory."""
        if (sources := self.accounts.directories("sudoers")) and not self.seen.promises.directory:
            raise NotObserved(
                f"sudo also takes rules from {', '.join(sources)}, which are not looked into; "
                "a site that answers for them promises audit_directory"
            )

    def applies(self, grant: Grant) -> bool:
        """Whether a rule is for this host. Raises NotObserved where that hangs on addresses or netgroups."""
        return self._is_here(grant.hosts)

    def _is_here(self, hosts: Members) -> bool:
        name = self._tools[0].lower() if self._tools else ""
        here, undecided = False, ""
        for member in hosts:  # the last that matches counts
            if member.kind == "hostname":
                pattern = member.name.lower()
                if member.is_all or fnmatch.fnmatchcase(name, pattern) or name.partition(".")[0] == pattern:
                    here, undecided = not member.negated, ""
            else:
                undecided = str(member)
        if undecided:
            raise NotObserved(f"sudo has rules for {undecided}: whether that is this host was not looked into")
        return here

    def names(self, users: Members) -> tuple[str, ...]:
        """The users of a list: accounts by name; groups expanded, or by their name where the machine knows none."""
        found: dict[str, None] = {}
        for member in users:
            for name in self._expanded(member):
                if member.negated:
                    found.pop(name, None)
                else:
                    found[name] = None
        return tuple(found)

    def _expanded(self, member: Member) -> Iterator[str]:
        accounts = self.accounts
        if member.kind == "userid":
            yield from [each.name for each in accounts.all if str(each.uid) == member.name] or [str(member)]
        elif member.kind in ("usergroup", "usergid"):
            key = int(member.name) if re.fullmatch("[0-9]{1,10}", member.name) else member.name
            known = any(key in (group.name, group.gid) for group in accounts.groups)
            if known or not accounts.directories("passwd") or self._is_nowhere(member.name):
                yield from sorted(accounts.members(key))
            else:
                yield str(member)
        else:
            yield str(Member(member.kind, member.name))

    def _is_nowhere(self, group: str) -> bool:
        """Whether a distribution's rule is for a group that the directory does not know either."""
        answer = self.answers[_USUAL_GROUPS.key]
        # 2: one of them is not found.
        return group in _USUAL_GROUPS.argv[2:] and answer.status in (0, 2) and group not in answer.lines

    def _runs_as_root(self, grant: Grant) -> bool:
        """Whether a rule lets a command run as root; without a list of targets that is what it does."""
        if not grant.runas:
            return True
        root = False
        for member in grant.runas:
            if member.name in (sudoers.ALL, "root", "0"):
                root = not member.negated
            elif member.kind != "username" and not member.negated:
                root = root or "root" in self._expanded(member)
        return root

    @cached_property
    def _everything(self) -> tuple[Grant, ...]:
        """The rules of this host that make somebody root."""
        return tuple(
            grant
            for grant in self.rules.grants
            if self._runs_as_root(grant)
            and any(is_everything(command.name) and not command.negated for command in grant.commands)
            and self.applies(grant)
        )

    def place(self, *words: str) -> str:
        """``file:line`` of the only line that has all of these words; else the file that all rules begin with."""
        answer = self.answers[_PLACES.key]
        lines = [] if answer.silence else answer.lines
        whole = [re.compile(rf"(?<!\w){re.escape(word)}(?!\w)") for word in words]
        found = [line for line in lines if all(each.search(line.split(":", 2)[-1]) for each in whole)]
        place = re.match(r"([^:]+:[0-9]+):", found[0]) if len(found) == 1 else None
        return place[1] if place else _FILE

    # --- who becomes root ---

    def superusers(self, promised: tuple[str, ...] | None) -> Offences:
        """The ways to root that are not sudo's, and whoever becomes root through sudo and is not on the list.

        Raises ToDecide where the site promised no list, and nothing is wrong by itself.
        """
        found = [*self._without_sudo(), *self._by_su()]
        known = set(promised or ())
        people: dict[str, None] = {}
        for grant in self._everything if self.is_installed else ():
            for member in grant.users:
                if member.negated or {str(member), str(member).replace("%:", "%")} & known:
                    continue
                names = [name for name in self.names(grant.users) if name in self._expanded(member)]
                for name in (name for name in names if name != "root" and name not in known):
                    people[name] = None
                    text = "everybody" if member.is_all else name
                    by = f", by {member}" if str(member) != name else ""
                    if member.is_all or name in self._services or promised is not None:
                        text += f" becomes root through sudo{by}"
                        cause = self.place(str(member))
                        found.append(Offence(subject=name, text=text, layer="file", cause=cause))
        if not found:
            self._no_doas()
            self._all_rules_seen()
            if people:
                raise ToDecide(f"{', '.join(people)} become root through sudo: all of them? Promise audit_sudoers")
        return Offences(
            found, f"root's password opens nothing; sudo makes root of {', '.join(sorted(known)) or 'nobody'}"
        )

    @property
    def _services(self) -> frozenset[str]:
        return frozenset(account.name for account in self.accounts.applications)

    def _without_sudo(self) -> Iterator[Offence]:
        if not self.is_installed:
            self._no_doas()
            yield Offence(subject="sudo", text="sudo is not installed", layer="next start")

    def _no_doas(self) -> None:
        if any(line.startswith("doas=") for line in self._tools) and "doas.conf" in self._tools:
            raise NotObserved("doas makes people root here too, and its rules are not looked into")

    def _by_su(self) -> Iterator[Offence]:
        """Why su makes root of people: a password of root's that everybody may try, or no password at all."""
        stack = pam.stack(pam.files(self.answers[PAM.key].succeeded().lines), "su", "auth")
        if pam.lets_anybody_in(stack):
            text = "su lets in without a password"
            yield Offence(subject="su", text=text, layer="next start", cause="/etc/pam.d/su")
        if not any(self.accounts.password(account).is_set for account in self.accounts.all if account.is_root):
            return
        closed = any(re.match(r"su=.{9}-$", line) for line in self._tools)
        if not closed and pam.succeeds(stack, lambda module: module.name != "pam_rootok.so" and not _limits(module)):
            text = "root has a password, and everybody may try it with su"
            yield Offence(subject="root", text=text, layer="next start", cause="/etc/pam.d/su")

    # --- whom it asks ---

    @property
    def unasked(self) -> Offences:
        """Whoever sudo makes root, or lets do what it says, without asking who it is."""
        if not self.is_installed:
            raise NotApplicable("sudo is not installed")
        found = [*self._untagged(), *self._unasked_by_default(), *self._unasked_by_pam(), *self._of_services()]
        if not found:
            self._all_rules_seen()
        shown = sorted(
            self.accounts.programs & {name for grant in self._everything for name in self.names(grant.users)}
        )
        seen = "sudo asks everybody whom it makes root for their own password"
        return Offences(found, seen + (f", but the programs {', '.join(shown)}" if shown else ""))

    def _may_be_unasked(self, name: str) -> bool:
        return name == "root" or name in self.accounts.programs

    def _untagged(self) -> Iterator[Offence]:
        """NOPASSWD for everything, where no later rule for everything asks."""
        for place, grant in enumerate(self._everything):
            if grant.options.get("authenticate") is not False:
                continue
            for member in grant.users:
                names = [name for name in self._expanded(member) if name in self.names(grant.users)]
                later = self._everything[place + 1 :]
                unasked = [name for name in names if not self._may_be_unasked(name) and not self._asks(later, name)]
                if member.negated or (names and not unasked):
                    continue
                who = ", ".join(unasked) or "nobody yet"
                text = f"NOPASSWD: sudo makes root of {member} unasked" + (f" ({who})" if who != str(member) else "")
                yield Offence(subject=str(member), text=text, layer="file", cause=self.place(member.name, "NOPASSWD"))

    def _asks(self, rules: tuple[Grant, ...], name: str) -> bool:
        """Whether one of these rules, which override those before them, asks for all that somebody runs."""
        return any(
            {name, sudoers.ALL} & {*self.names(grant.users)}
            and grant.options.get("authenticate") is not False
            and any(command.is_all and not command.negated for command in grant.commands)
            for grant in rules
        )

    def _unasked_by_default(self) -> Iterator[Offence]:
        wrong: dict[str, Callable[[object], bool]] = {"authenticate": lambda value: value is False}
        for password in ("targetpw", "rootpw", "runaspw"):
            wrong[password] = lambda value: value is True
        wrong["exempt_group"] = lambda value: value is not False
        for option, is_wrong in wrong.items():
            for setting in self._in_force(option):
                value = setting.options[option]
                if not is_wrong(value):
                    continue
                names = self.names(setting.binding) if _is_of_users(setting) else ()
                if names and all(map(self._may_be_unasked, names)):
                    continue
                yield self._set(setting, option, value)
        for line in self.answers[_TARGETS.key].succeeded().lines:
            if line.endswith("\\"):
                raise Unreadable("defaults for whom sudo becomes are longer than a line")
            if re.search(r"[\s,]!authenticate\b", line):
                cause = self.place("!authenticate")
                yield Offence(subject=line.split()[0], text=line[:200], layer="file", cause=cause)

    def _in_force(self, option: str) -> Iterator[Setting]:
        """The settings of an option that no later one of the same binding replaces, on this host."""
        last = {setting.binding: setting for setting in self.rules.settings if option in setting.options}
        for setting in last.values():
            of_hosts = [member for member in setting.binding if member.kind in ("hostname", "networkaddr")]
            if not of_hosts or self._is_here(setting.binding):
                yield setting

    def _set(self, setting: Setting, option: str, value: object) -> Offence:
        whom = ", ".join(map(str, setting.binding))
        text = f"!{option}" if value is False else option if value is True else f"{option}={value}"
        return Offence(
            subject=f"Defaults {text}" + (f" for {whom}" if whom else ""),
            text=f"Defaults {text}" + (f" for {whom}" if whom else ""),
            layer="file",
            cause=self.place(f"!{option}" if value is False else option),
        )

    def _unasked_by_pam(self) -> Iterator[Offence]:
        stack = pam.stack(pam.files(self.answers[PAM.key].succeeded().lines), "sudo", "auth")
        if pam.lets_anybody_in(stack):
            yield Offence(subject="PAM", text="PAM asks for nothing", layer="next start", cause="/etc/pam.d/sudo")

    def _of_services(self) -> Iterator[Offence]:
        """What sudo lets the accounts of applications do as root."""
        for grant in self.rules.grants:
            for name in sorted(self._services.intersection(self.names(grant.users))):
                if self._runs_as_root(grant) and self.applies(grant):
                    command = next((str(each) for each in grant.commands if not each.negated), "")
                    text = f"{name}, an application's account, runs {command[:100]} as root"
                    yield Offence(subject=name, text=text, layer="file", cause=self.place(name))

    # --- what it logs ---

    @property
    def unlogged(self) -> Offences:
        """The settings by which sudo does not log what it does."""
        if not self.is_installed:
            raise NotApplicable("sudo is not installed")
        files = [str(setting.options["logfile"]) for setting in self._in_force("logfile")]
        file = next((name for name in files if name.startswith("/") and name != "/dev/null"), "")
        servers = [setting for setting in self._in_force("log_servers") if setting.options["log_servers"]]
        found = []
        for option, is_wrong in _UNLOGGED.items():
            for setting in self._in_force(option):
                value = setting.options[option]
                elsewhere = option.startswith("syslog") and (file or servers)
                if is_wrong(value) and not elsewhere:
                    found.append(self._set(setting, option, value))
        if not found:
            self._all_rules_seen()
        return Offences(found, f"sudo logs to {file or ('its log servers' if servers else 'syslog')}")


_UNLOGGED: dict[str, Callable[[object], bool]] = {
    "syslog": lambda value: value is False,
    "syslog_goodpri": lambda value: value in ("none", False),
    "log_allowed": lambda value: value is False,
    "log_denied": lambda value: value is False,
}


def _is_of_users(setting: Setting) -> bool:
    kinds = ("username", "userid", "usergroup", "usergid", "netgroup", "nonunixgroup", "nonunixgid")
    return bool(setting.binding) and all(member.kind in kinds for member in setting.binding)


def _limits(module: pam.Module) -> bool:
    """Whether a module lets only some become somebody else."""
    if module.name == "pam_wheel.so":
        return "deny" not in module.arguments
    return module.name == "pam_listfile.so" or (module.name == "pam_succeed_if.so" and "ingroup" in module.arguments)
