"""The second factor: whether each way that a person logs in by asks for more than one thing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.facts.accounts import Accounts
from pandora_audit.facts.sshd import Sshd
from pandora_audit.formats import pam, units
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.formats.pam import Module
from pandora_audit.formats.passwd import Account
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question
from pandora_audit.questions import PAM
from pandora_audit.verdict import NotApplicable

_INSTALLED = Ask(
    key="pam-modules",
    sh="set +f; ls -1 /lib/security /lib64/security /usr/lib/security /usr/lib64/security /lib/*/security "
    "/usr/lib/*/security 2>/dev/null | grep '[.]so$' | sort -u",
)
# Without a key of the machine's own, sshd refuses every ticket; Red Hat's switches Kerberos on all the same.
_KEYTAB = Ask(
    key="keytab",
    sh="[ -d /etc ] && echo looked; [ ! -e /etc/krb5.keytab ] || echo there;"
    " grep -hsE '^[[:space:]]*default_keytab_name' /etc/krb5.conf /etc/krb5.conf.d/*; true",
)
# Modules that ask for a token, and the words with which they let in who has none.
_TOKENS = (
    *("pam_google_authenticator.so", "pam_oath.so", "pam_duo.so", "pam_u2f.so", "pam_yubico.so", "pam_2fa.so"),
    *("pam_privacyidea.so", "pam_linotp.so", "pam_multiotp.so", "pam_okta_auth.so", "pam_rsa.so", "pam_securid.so"),
)
_LENIENT = ("nullok", "nouserok")
# They ask a server, which may ask for a token; nobody sees that from here.
_SERVERS = ("pam_radius_auth.so", "pam_radius.so", "pam_sss.so", "pam_python.so", "pam_exec.so", "pam_winbind.so")
# What else people log in by than SSH, and the units that offer it; PAM's file is there before anybody starts them.
_LOGINS: dict[str, tuple[str, ...]] = {
    "login": (),
    "cockpit": ("cockpit.socket", "cockpit.service"),
    "gdm-password": ("gdm.service", "gdm3.service"),
    "lightdm": ("lightdm.service",),
    "sddm": ("sddm.service",),
    "xrdp-sesman": ("xrdp-sesman.service",),
}
_UNITS = units.ask("login-units", *(unit for those in _LOGINS.values() for unit in those))
_PASSWORDS = ("password", "keyboard-interactive")
# What a way in of sshd's is called, and the keywords (by release) that allow it.
_METHODS = {
    "publickey": ("pubkeyauthentication",),
    "password": ("passwordauthentication",),
    "keyboard-interactive": ("kbdinteractiveauthentication", "challengeresponseauthentication"),
    "gssapi-with-mic": ("gssapiauthentication",),
    "hostbased": ("hostbasedauthentication",),
}
_MOST_CONDITIONS = 8


class SecondFactor(Fact):
    """The ways that people and programs log in by, and what each asks for."""

    questions = (*Accounts.questions, _INSTALLED, _UNITS, _KEYTAB)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        return Accounts.then(seen)

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(self.seen)

    @cached_property
    def _sshd(self) -> Sshd:
        return Sshd(self.seen)

    @property
    def ways_around(self) -> Offences:
        """The ways in that ask people for one thing alone, and programs' accounts that are open from everywhere.

        Raises NotApplicable where nobody logs in.
        """
        people = self.accounts.people
        programs = [account for account in self.accounts.interactive if account.name in self.accounts.programs]
        directory = self.accounts.directories("passwd")
        if not people and not programs and not directory:
            raise NotApplicable("no account is a person's or a program's that logs in")
        found: list[Offence] = []
        unseen: list[NotObserved] = []
        for check in (
            *((self._by_ssh, account) for account in people),
            *((self._by_password, service) for service in _LOGINS if people or directory),
            *((self._of_program, account) for account in programs),
        ):
            look, what = check
            try:
                found += look(what)  # type: ignore[operator]
            except NotObserved as silent:
                unseen.append(silent)
        if unseen and not found:
            raise unseen[0]
        if directory and not found:
            raise NotObserved(f"{', '.join(directory)} knows people whose ways in were not looked into")
        names = ", ".join(account.name for account in people) or "nobody"
        also = (
            f"; the programs {', '.join(each.name for each in programs)} enter by keys with from=" if programs else ""
        )
        return Offences(found, f"{names}: each way in asks for two things{also}")

    # --- people ---

    def _by_ssh(self, account: Account) -> Iterator[Offence]:
        try:
            alternatives = self._alternatives(account.name)
        except NotApplicable:  # no SSH server
            return
        for methods in alternatives:
            text = self._one_thing(methods, account)
            if text:
                by = ",".join(methods)
                yield Offence(subject=f"ssh {by}", text=f"SSH by {by}: {text}", layer="next start", cause="sshd")

    def _alternatives(self, name: str) -> list[tuple[str, ...]]:
        """The lists of methods each of which is enough for sshd, in some circumstance."""
        enabled = [method for method, keywords in _METHODS.items() if self._may(name, *keywords)]
        if "gssapi-with-mic" in enabled and self.answers[_KEYTAB.key].out.strip() == b"looked":
            enabled.remove("gssapi-with-mic")
        found: dict[tuple[str, ...], None] = {}
        for value in self._sshd.values("authenticationmethods", name) or ("any",):
            for alternative in value.split():
                methods = tuple(method.partition(":")[0] for method in alternative.split(","))
                if methods == ("any",):
                    found |= dict.fromkeys((method,) for method in enabled)
                elif set(methods) <= set(enabled):
                    found[methods] = None
        return list(found)

    def _may(self, name: str, *keywords: str) -> bool:
        said = [value for keyword in keywords for value in self._sshd.values(keyword, name)]
        if not said:
            raise NotObserved(f"sshd did not tell {keywords[0]}")
        return "yes" in said

    def _one_thing(self, methods: Sequence[str], account: Account) -> str:
        """Why a list of methods asks for one thing only; empty where it asks for two."""
        kinds = {"password" if method in _PASSWORDS else method for method in methods}
        if len(kinds) > 1 or methods.count("publickey") > 1:
            return ""
        if kinds == {"password"}:
            if "yes" not in self._sshd.values("usepam", account.name):
                return "a password alone, without PAM"
            return self._one_thing_in("sshd")
        if kinds == {"publickey"} and self._keys_want_a_pin(account):
            return ""
        return "a key alone" if kinds == {"publickey"} else "one proof alone"

    def _keys_want_a_pin(self, account: Account) -> bool:
        options = self._sshd.values("pubkeyauthoptions", account.name)
        if not options or not all("verify-required" in value for value in options):
            return False
        keys = self.accounts.keys.of(account)
        self.accounts.keys.no_others(account)
        return all(key.type.startswith("sk-") for key in keys)

    def _by_password(self, service: str) -> Iterator[Offence]:
        """A login that takes a password of somebody's, and no token."""
        if service not in self._services or self._is_off(service):
            return
        with_password = [each.name for each in self.accounts.people if self.accounts.password(each).is_set]
        if (with_password or self.accounts.directories("passwd")) and (text := self._one_thing_in(service)):
            whom = f" ({', '.join(with_password)})" if with_password else ""
            cause = f"/etc/pam.d/{service}"
            yield Offence(subject=service, text=f"{service}{whom}: {text}", layer="next start", cause=cause)

    def _is_off(self, service: str) -> bool:
        """Whether the units that offer a login are there, and none of them runs or starts."""
        answer = self.answers[_UNITS.key]
        told = {} if answer.silence else {unit.name: unit for unit in units.units(answer.text)}
        there = [told[name] for name in _LOGINS[service] if name in told and told[name].is_known]
        return bool(there) and not any(unit.runs or unit.starts for unit in there)

    # --- PAM ---

    @cached_property
    def _services(self) -> dict[str, list[str]]:
        answer = self.answers[PAM.key].succeeded()
        nothing_withheld(answer)
        return pam.files(answer.lines)

    @cached_property
    def _installed(self) -> frozenset[str]:
        found = frozenset(self.answers[_INSTALLED.key].succeeded().lines)
        if "pam_unix.so" not in found:
            raise NotObserved("PAM's modules are in none of their usual folders")
        return found

    def _one_thing_in(self, service: str) -> str:
        """Why a service's stack asks for one thing only; empty where it asks for a token and for a password.

        Raises NotObserved where that hangs on whom a condition is true for, or on a server.
        """
        modules = tuple(
            module
            for module in pam.stack(self._services, service, "auth")
            if not (module.may_be_missing and module.name not in self._installed)
        )
        tokens = [module for module in modules if module.name in _TOKENS]
        servers = [module.name for module in modules if module.name in _SERVERS]
        if not tokens:
            if servers:
                raise NotObserved(
                    f"{service} asks through {', '.join(servers)}, which may ask for a token: nobody sees"
                )
            return "PAM asks for a password alone"
        for module in tokens:
            if lenient := [word for word in module.arguments if word in _LENIENT]:
                return f"{module.name} lets in whoever has no token ({lenient[0]})"
        around = self._ways_past(modules, _TOKENS)
        if all(around):
            return f"who fails {tokens[0].name} gets in all the same"
        alone = self._ways_past(modules, ("pam_unix.so", *_SERVERS))
        if all(alone):
            return f"{tokens[0].name} is enough without a password"
        if any(around) or any(alone):
            raise NotObserved(f"whom the conditions in PAM's {service} let in with one thing was not looked into")
        return ""

    @staticmethod
    def _ways_past(modules: Sequence[Module], failing: Sequence[str]) -> list[bool]:
        """Whether the stack succeeds although these modules fail, for each way in which its conditions may turn out."""
        conditions = [module for module in modules if module.name in pam.CONDITIONS][:_MOST_CONDITIONS]
        found = []
        for outcome in itertools.product((True, False), repeat=len(conditions)):
            met = {id(module): success for module, success in zip(conditions, outcome, strict=True)}
            refusing = {*failing, "pam_deny.so", "pam_rootok.so"}

            def succeeding(module: Module, met: dict[int, bool] = met, refusing: set[str] = refusing) -> bool:
                return met.get(id(module), module.name not in refusing)

            found.append(pam.succeeds(modules, succeeding))
        return found

    # --- programs ---

    def _of_program(self, account: Account) -> Iterator[Offence]:
        """What opens a program's account to more than its own machine."""
        try:
            alternatives = self._alternatives(account.name)
        except NotApplicable:  # no SSH server
            return
        by_password = any(set(methods) <= set(_PASSWORDS) for methods in alternatives)
        if by_password and self.accounts.password(account).is_set:
            text = f"{account.name}, a program's account, is opened by a password"
            yield Offence(subject=account.name, text=text, layer="file", cause="/etc/shadow")
        for key in self.accounts.keys.of(account):
            if not re.search(r"\S", key.sources) or re.search(r"(^|,)\s*(\*|0\.0\.0\.0/0|::/0)\s*(,|$)", key.sources):
                text = f"{key.fingerprint} opens {account.name}, a program's account, from everywhere (no from=)"
                yield Offence(subject=account.name, text=text, layer="file", cause=key.file)
        self.accounts.keys.no_others(account)

    def openers(self, account: Account) -> list[Offence]:
        """The same of one account, for whoever judges it by itself."""
        return list(self._of_program(account))
