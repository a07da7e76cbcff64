"""Who may enter: the lists of sshd, PAM and the directory service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from pandora_audit.fact import Fact, Seen
from pandora_audit.formats import pam, sshd_config
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question
from pandora_audit.questions import PAM, SSHD_CONFIG, SSSD
from pandora_audit.verdict import ToDecide

_ACCESS = Ask(
    key="access-conf",
    sh="set +f; grep -H '^[^#]' /etc/security/access.conf /etc/security/access.d/*.conf",
)
_DIRECTORY_MODULES = ("pam_sss.so", "pam_winbind.so", "pam_krb5.so", "pam_ldap.so", "pam_himmelblau.so")


class Access(Fact):
    """Who may enter this machine by SSH."""

    questions = (SSHD_CONFIG, PAM, _ACCESS, SSSD)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        """The access lists of other names that PAM is told to read."""
        try:
            paths = [path for path in cls(seen)._lists_elsewhere if re.fullmatch(r"/[\w./@+-]+", path)]
        except NotObserved:
            return ()
        return tuple(Ask(key=_elsewhere(path), argv=("grep", "-H", "^[^#]", path)) for path in paths)

    def unlimited(self, directory: str | None) -> Offences:
        """Why everybody with an account may enter; nothing where one of the lists says who may.

        Args:
            directory: the identity service whose own access rules the site answers for (HBAC, AD), if any.
        """
        limits = list(self._limits())
        if directory and any(module.name in _DIRECTORY_MODULES for module in self._account_stack):
            limits.append(f"{directory}, as the site promises")
        if limits:
            return Offences([], ", ".join(limits))
        self._directory_was_seen()
        text = "no AllowUsers, AllowGroups, pam_access list or directory access control: every account may enter"
        return Offences([Offence(subject="everybody", text=text, layer="next start")], "")

    def _limits(self) -> Iterator[str]:
        values = sshd_config.effective(self.answers[SSHD_CONFIG.key].succeeded().text)
        for keyword in ("allowusers", "allowgroups"):
            listed = " ".join(values.get(keyword, ())).split()
            if listed and not any(re.fullmatch(r"\*+(@\*+)?", name) for name in listed):
                yield f"{keyword} {' '.join(listed)}"
        if values.get("usepam", ("no",))[0] != "yes":
            return
        for module in self._account_stack:
            if (by := self._listed_by(module)) and self._keeps_out(module):
                yield by
        if any(module.name == "pam_sss.so" and module.can_refuse for module in self._account_stack):
            provider = self._sssd_provider
            if provider and not self._leaves_it_open(provider):
                yield f"SSSD access control by {provider}"

    def _listed_by(self, module: pam.Module) -> str:
        """The list by which a module of PAM lets in, as a phrase; empty where it has none."""
        words = module.arguments
        if module.name == "pam_access.so" and self._access_list_denies(_access_list(module)):
            return "pam_access with a list that denies the others"
        if module.name == "pam_listfile.so" and {"sense=allow", "onerr=succeed"}.intersection(words) == {"sense=allow"}:
            return "pam_listfile with a list of those who may"
        if module.name == "pam_succeed_if.so" and re.search(r"\buser (ingroup|in) \S", " ".join(words)):
            return "pam_succeed_if with a group or names"
        return ""

    def _keeps_out(self, module: pam.Module) -> bool:
        """Whether nobody whom a module refuses gets in by what stands around it."""
        failing = (module.name, "pam_deny.so")
        return module.can_refuse and not pam.succeeds(self._account_stack, lambda each: each.name not in failing)

    @cached_property
    def _account_stack(self) -> tuple[pam.Module, ...]:
        answer = self.answers[PAM.key]
        return pam.stack(pam.files(answer.lines), "sshd", "account")

    @property
    def _lists_elsewhere(self) -> set[str]:
        return {path for module in self._account_stack if (path := _access_list(module))}

    def _access_list_denies(self, path: str) -> bool:
        """Whether access.conf, or the list at a path, refuses everybody whom it did not name, from everywhere.

        The first fitting rule wins.
        """
        answer = self.answers[_elsewhere(path) if path else _ACCESS.key]
        lines = [line.partition(":")[2] for line in answer.lines]
        nothing_withheld(answer)
        for permission, users, origins in (
            [part.strip() for part in line.split(":", 2)] for line in lines if line.count(":") >= 2
        ):
            if users.split()[:1] == ["ALL"] and origins.split()[:1] == ["ALL"]:
                if permission == "-":
                    return True
                if users == origins == "ALL":
                    return False
        return False

    @cached_property
    def _sssd(self) -> dict[str, list[str]]:
        """What SSSD's domains say, by keyword; nothing where nobody could look."""
        answer = self.answers[SSSD.key]
        found: dict[str, list[str]] = {}
        for line in [] if answer.silence else answer.lines:
            if said := re.search(r":\s*(\w+)\s*=\s*(\S.*)$", line):
                found.setdefault(said[1].lower(), []).append(said[2].strip().lower())
        return found

    @property
    def _sssd_provider(self) -> str:
        """What decides in SSSD; empty where everybody of some domain is permitted, or nobody could look."""
        providers = self._sssd.get("access_provider", [])
        # A domain that names none permits everybody.
        open_domains = len(self._sssd.get("id_provider", ())) > len(providers)
        return "" if "permit" in providers or open_domains else ", ".join(dict.fromkeys(providers))

    def _leaves_it_open(self, provider: str) -> str:
        """Why a provider may permit everybody all the same, as a phrase; empty where it has a list."""
        if "simple" in provider and not any(key.startswith("simple_") for key in self._sssd):
            return "simple, without a list"
        if provider == "ad" and "ad_access_filter" not in self._sssd:
            return "ad, without a filter"
        return ""

    def _directory_was_seen(self) -> None:
        """Raises NotObserved where the directory might limit access and its rules were withheld.

        Raises ToDecide where its own policies, which nobody sees from here, might.
        """
        sssd = self.answers[SSSD.key]
        if not any(module.name == "pam_sss.so" for module in self._account_stack):
            return
        if sssd.silence:
            raise NotObserved(f"the directory service may limit who enters: {sssd.silence}")
        if self._sssd_provider == "ad":
            raise ToDecide(
                "Active Directory lets in whom its group policies let in (access_provider ad without ad_access_filter):"
                " promise audit_directory if they limit that"
            )


def _elsewhere(path: str) -> str:
    """The key of the question for an access list of another name."""
    return f"{_ACCESS.key}@{path.encode().hex()}"


def _access_list(module: pam.Module) -> str:
    """The file that pam_access was told to read instead of access.conf; empty where it was not."""
    named = [word.partition("=")[2] for word in module.arguments if word.startswith("accessfile=")]
    return named[-1] if named and module.name == "pam_access.so" else ""
