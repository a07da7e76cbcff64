"""The account that this audit itself enters by: declared, and held to no more than it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from pandora_audit import script
from pandora_audit.fact import Fact, Seen, known_facts
from pandora_audit.facts.accounts import Accounts
from pandora_audit.facts.second_factor import SecondFactor
from pandora_audit.facts.sudo import Sudo
from pandora_audit.formats.passwd import Account
from pandora_audit.offence import Offence, Offences
from pandora_audit.question import Ask, NotObserved, Question
from pandora_audit.verdict import ToDecide


class AuditAccount(Fact):
    """The account by which the audit entered."""

    questions = (*SecondFactor.questions, *Sudo.questions)

    @classmethod
    def then(cls, seen: Seen) -> tuple[Question, ...]:
        return Accounts.then(seen)

    @cached_property
    def _sudo(self) -> Sudo:
        return Sudo(self.seen)

    @cached_property
    def name(self) -> str:
        """The account that asked, by the machine's own word."""
        said = self.answers[script.PRIVILEGE].text.split()
        if not said:
            raise NotObserved("the machine did not say which account asks")
        return said[0]

    @property
    def excess(self) -> Offences:
        """What opens or empowers the audit's account beyond its keys with from= and the printed sudoers lines.

        Raises ToDecide where nothing is wrong, and the site has not declared the account.
        """
        promised = self.seen.promises.account
        if self.name == "root":
            return Offences([Offence(subject="root", text="the audit enters as root", layer="process")], "")
        found = []
        if promised and promised != self.name:
            text = f"the audit enters as {self.name}; the site declares {promised}"
            found.append(Offence(subject=self.name, text=text, layer="process"))
        account = self._sudo.accounts.named(self.name)
        if account is None:
            raise NotObserved(f"{self.name} is not among the accounts that the machine lists")
        found += [*self._ways_in(account), *self._powers()]
        if not found and self.name not in self._sudo.accounts.programs:
            raise ToDecide(f"the audit enters as {self.name}: is that its account? Promise audit_account")
        return Offences(found, f"{self.name} enters by keys with from= and may ask what --sudoers prints")

    def _ways_in(self, account: Account) -> Iterator[Offence]:
        yield from SecondFactor(self.seen).openers(account)
        if not self._sudo.accounts.keys.of(account):
            yield Offence(
                subject=self.name, text=f"no key opens {self.name}: it enters by something else", layer="file"
            )

    @cached_property
    def printed(self) -> frozenset[str]:
        """The commands of the sudoers file that the whole catalogue prints for this host."""
        asks = {
            question
            for kind in known_facts().values()
            for question in kind.first(self.seen.promises)
            if isinstance(question, Ask)
        }
        lines = script.sudoers(asks, self.name).splitlines()
        rules = (line.partition(" NOPASSWD: ")[2] for line in lines)
        return frozenset(re.sub(r"\\(.)", r"\1", rule) for rule in rules if rule)

    def _powers(self) -> Iterator[Offence]:
        """What sudo lets the account do that no printed line does."""
        sudo = self._sudo
        if not sudo.is_installed:
            return
        for grant in sudo.rules.grants:
            if self.name not in sudo.names(grant.users) and "ALL" not in sudo.names(grant.users):
                continue
            commands = [command.name for command in grant.commands if not command.negated]
            others = [command for command in commands if command not in self.printed]
            targets = [str(member) for member in grant.runas if member.name not in ("root", "0")]
            excess = ""
            if others:
                excess = f"may run {others[0][:120]}" + (f" and {len(others) - 1} more" if others[1:] else "")
            elif targets:
                excess = f"may run commands as {', '.join(targets)}"
            elif grant.options.get("setenv") is True:
                excess = "may set the environment of what it runs (SETENV)"
            if excess and sudo.applies(grant):
                cause = sudo.place(self.name)
                yield Offence(subject=self.name, text=f"{self.name} {excess}", layer="file", cause=cause)
