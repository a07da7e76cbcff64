"""The tables of machines/: real machines, what each control must say of them, and the answers that they gave.

A table begins with what holds for all of it:

  tests      the files of controls that its machines are asked about; others may not stand in its rows
  guide      shell text that ``hardened`` stands for, instead of the image's hardened personality
  wait       shell text run as root after the boot, before ``then``: what must have come up
  texts      names in capitals, which ``then`` and ``boot`` may write for longer shell texts
  passes     ids that no machine of the lab can make compliant, each with the reason
  fails      ids that no machine of the lab can make not compliant, each with the reason

Then its machines:

  machine    what it is like
  image      an image of the lab (bookworm), or several: a machine of each
  boot       shell text run inside the image before it boots
  then       shell text run as root on the booted machine
  as         the account that audits (audit: sudo without password; nosudo; pwsudo; root; …)
  password   sudo's password, where the account has to give one
  become     false: the inventory does not let the audit become root
  sudoers    the account that gets the printed sudoers lines
  database   the kind of database in which the account that audits gets one of its own, by the printed SQL, and an
             option file for the promise db_options: OPTIONS
  port       where sshd listens (22, or 31122 where hardened), and where it did before `then`
  boots_at
  hardened   whether the guide is applied
  root_key   whether root's authorized_keys holds the lab's key
  roles      the roles that the inventory promises
  promises   as in an inventory; LAB stands for the lab key's fingerprint, ADDRESS for the host's, ROOT for our folder,
             CA for the file of the lab's authority
  level      guide, hardened or strict
  accepted   whether the site has accepted, as its baseline, what the machine was before ``then``
  expect     control = verdict; C compliant, N not compliant, ed: its edition, E not assessed, n/a, ? to decide
  observed   a control's observation or reason must contain this text
"""

from __future__ import annotations

import functools
import tomllib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from judging import ROOT, ask, controls, judge, plan

import lab
from lab import images
from pandora_audit import cli, commands
from pandora_audit.control import Control
from pandora_audit.finding import Finding
from pandora_audit.formats import authorized_keys
from pandora_audit.gather import Machine
from pandora_audit.promises import Promises
from pandora_audit.question import Role
from pandora_audit.target import Target
from pandora_audit.transport import Options

FOLDER = Path(__file__).parent / "machines"
# Four side by side: each waits for its services more than it computes.
_POOL = ThreadPoolExecutor(4)


@dataclass
class Table:
    """One file of machines, and what they answered when they were asked, once."""

    path: Path
    asked: dict[str, Future[Machine]] = field(default_factory=dict)

    @functools.cached_property
    def head(self) -> dict[str, Any]:
        return tomllib.loads(self.path.read_text("utf-8"))

    @functools.cached_property
    def machines(self) -> dict[str, dict[str, Any]]:
        rows = [each for row in self.head["machine"] for each in _each_image(row)]
        return {row["machine"]: row for row in rows}

    @functools.cached_property
    def controls(self) -> dict[str, Control]:
        return controls(*self.head["tests"])

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Machine and control, for each verdict that is expected."""
        return [(name, control) for name, row in self.machines.items() for control in row["expect"]]

    def answered(self, name: str) -> Machine:
        """A machine of the table, asked once; its answers stay. Skips where its image cannot be had."""
        try:
            return self.begin(name).result()
        except lab.Unavailable as gone:
            pytest.skip(str(gone))

    def begin(self, name: str) -> Future[Machine]:
        if name not in self.asked:
            self.asked[name] = _POOL.submit(self._ask, name)
        return self.asked[name]

    def findings(self, name: str) -> dict[str, Finding]:
        wanted = {control: self.controls[control] for control in self.machines[name]["expect"]}
        return judge(self.answered(name), wanted, self.machines[name].get("level", "guide"))

    def _ask(self, name: str) -> Machine:
        """The machine booted, changed, asked and destroyed."""
        row = self.machines[name]
        guide = self.head.get("guide")
        changes: list[Any] = [lab.with_root_key] if row.get("root_key") else []
        if guide and row.get("hardened"):
            changes.append(guide)
        changes += [self._whole(row["boot"])] if "boot" in row else []
        personality = bool(row.get("hardened")) and not guide
        port = row.get("port", 31122 if row.get("hardened") else 22)
        changes.append(functools.partial(_listen, port=row.get("boots_at", port)))
        with lab.boot(row.get("image", "bookworm"), changes, hardened=personality) as host:
            if "sudoers" in row:
                text = commands.sudoers([plan(_target(host, row), self.controls.values())], row["sudoers"])
                host.write(f"/etc/sudoers.d/{row['sudoers']}", text, mode=0o440)
            if "wait" in self.head:
                host.run(self._whole(self.head["wait"]), timeout=60)
            baseline = self._accepted(host) if row.get("accepted") else None
            if "then" in row:
                host.run(self._whole(row["then"]), timeout=60)
            if "database" in row:
                database_account(host, row["database"], row.get("as", "audit"))
            host.port = port
            return self._answers(host, _target(host, row, baseline), row.get("password"))

    def _answers(self, host: lab.Host, target: Target, password: str | None = None) -> Machine:
        host.wait_for_ssh()
        known = host.root.parent / "known_hosts"
        known.write_text(host.known_hosts_line(host.port) + "\n")
        options = Options(known_hosts=known, identity_file=host.key)
        return ask(target, self.controls.values(), options, password)

    def _accepted(self, host: lab.Host) -> str:
        """The baseline that the host proposes of itself, once somebody has approved it."""
        target = _target(host, {})
        kinds = [kind for kind in plan(target, self.controls.values()).facts if kind.section]
        text = cli.proposal(self._answers(host, target), kinds, "Olga Owner")
        return text.replace("approved-by: ''", "approved-by: Ada Approver")

    def _whole(self, text: str) -> str:
        for name, stands_for in self.head.get("texts", {}).items():
            text = text.replace(name, stands_for)
        return text


def _each_image(row: dict[str, Any]) -> list[dict[str, Any]]:
    images = row.get("image")
    if not isinstance(images, list):
        return [row]
    return [{**row, "image": image, "machine": f"{row['machine']}, {image}"} for image in images]


# Where the account that audits finds its way into the database.
OPTIONS = "/etc/pandora-audit.cnf"


def database_account(host: lab.Host, kind: str, account: str) -> None:
    # Where the server has no schema of Pandora FMS, its views cannot be made, and the others can.
    client = "$(command -v mariadb || command -v mysql) --force"
    host.run(client, input=commands.database_account(kind, account, "pandora"), timeout=60, check=False)
    host.write(OPTIONS, f"[client]\nuser={account}\n", mode=0o600, owner=account)


def _listen(host: lab.Host, port: int) -> None:
    host.port = port


def _target(host: lab.Host, row: dict[str, Any], baseline: str | None = None) -> Target:
    promises = {name: _promise(value, host) for name, value in row.get("promises", {}).items()}
    if baseline is not None:
        promises["baseline"] = baseline
    return Target(
        name=host.name,
        address=host.address,
        user=row.get("as", "audit"),
        port=host.port,
        become=row.get("become", True),
        promised=frozenset(map(Role, row["roles"])) if "roles" in row else None,
        promises=Promises.read({name: (value, "table") for name, value in promises.items()}),
    )


def _promise(value: str | list[str], host: lab.Host) -> str | tuple[str, ...]:
    if not isinstance(value, str):
        return tuple(str(_promise(each, host)) for each in value)
    if value == "OPTIONS":
        return OPTIONS
    if value == "CA":
        return str(images.tls() / "ca.pem")
    return _lab_key() if value == "LAB" else value.replace("ADDRESS", host.address).replace("ROOT", str(ROOT))


def _lab_key() -> str:
    public = lab.key_path().with_suffix(".pub").read_text()
    return next(authorized_keys.keys([f"x:{public}"])).fingerprint


def end() -> None:
    """Ask nobody any more: no thread stays."""
    _POOL.shutdown(cancel_futures=True)


TABLES = {path.stem: Table(path) for path in sorted(FOLDER.glob("*.toml"))}
