"""Who may enter: the lists of sshd, PAM and the directory service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from pandora_audit.fact import Fact
from pandora_audit.formats import pam, sshd_config
from pandora_audit.formats.grep import nothing_withheld
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved
from pandora_audit.questions import PAM, SSHD_CONFIG, SSSD

_ACCESS = Ask(
    key="access-conf",
    sh="set +f; grep -H '^[^#]' /etc/security/access.conf /etc/security/access.d/*.conf",
)
_DIRECTORY_MODULES = ("pam_sss.so", "pam_winbind.so", "pam_krb5.so", "pam_ldap.so", "pam_himmelblau.so")


class Access(Fact):
    """Who may enter this machine by SSH."""

    questions = (SSHD_CONFIG, PAM, _ACCESS, SSSD)

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
        account = [module.name for module in self._account_stack if module.can_refuse]
        if "pam_access.so" in account and self._access_list_denies:
            yield "pam_access with a list that denies the others"
        if "pam_sss.so" in account and (provider := self._sssd_provider):
            yield f"SSSD access control by {provider}"

    @cached_property
    def _account_stack(self) -> tuple[pam.Module, ...]:
        answer = self.answers[PAM.key]
        return pam.stack(pam.files(answer.lines), "sshd", "account")

    @property
    def _access_list_denies(self) -> bool:
        """Whether access.conf refuses everybody whom it did not name, from everywhere; the first fitting rule wins."""
        answer = self.answers[_ACCESS.key]
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

    @property
    def _sssd_provider(self) -> str:
        """What decides in SSSD; empty where everybody is permitted, or nobody could look."""
        answer = self.answers[SSSD.key]
        if answer.silence:
            return ""
        found = dict.fromkeys(
            match[1].lower()
            for line in answer.lines
            if (match := re.search(r":\s*access_provider\s*=\s*(\w+)\s*$", line, re.I))
        )
        return "" if "permit" in found else ", ".join(found)

    def _directory_was_seen(self) -> None:
        """Raises NotObserved where the directory might limit access and its rules were withheld."""
        sssd = self.answers[SSSD.key]
        if any(module.name == "pam_sss.so" for module in self._account_stack) and sssd.silence:
            raise NotObserved(f"the directory service may limit who enters: {sssd.silence}")
