"""The command ``pandora-audit``: what is done beside a run of pytest."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pandora_audit import baseline, draft, inventory, record
from pandora_audit.audit import Audit, Settings
from pandora_audit.fact import Fact, known_facts
from pandora_audit.gather import Machine, Plan
from pandora_audit.printable import one_line
from pandora_audit.question import NotObserved, Shell
from pandora_audit.sitefile import SiteError
from pandora_audit.target import Target
from pandora_audit.transport import Options, ask_on_terminal
from pandora_audit.verdict import NotApplicable


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. The exit status: 0 done, 1 a machine could not tell, 2 used wrongly."""
    parser = argparse.ArgumentParser(
        prog="pandora-audit",
        description="What is done beside the audit itself, which pytest runs: pytest --hosts=ops@10.0.0.5",
        epilog="Exit status: 0 done; 1 a machine could not tell something, which is named; 2 used wrongly.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_init(commands.add_parser("init", help="draft a site: an inventory of what these machines show"))
    _add_baseline(commands.add_parser("baseline", help="what a site accepts of a machine as it is"))
    chosen = parser.parse_args(argv)
    run: Callable[[argparse.Namespace], int] = chosen.run
    try:
        return run(chosen)
    except (SiteError, OSError) as error:
        print(f"pandora-audit: {error}", file=sys.stderr)
        return 2


def _add_hosts(parser: argparse.ArgumentParser) -> None:
    """The options that say which machines, and how they are entered; as pytest has them."""
    add = parser.add_argument
    add("--hosts", help="a host, group or pattern of the inventory, or [user@]host[:port]")
    add("--inventory", type=Path, metavar="FILE", help="Ansible inventory")
    add("--known-hosts", type=Path, metavar="FILE", help="host keys, instead of the user's known_hosts")
    add("--ssh-config", type=Path, metavar="FILE", help="SSH configuration, instead of the user's")
    add("--ssh-identity-file", type=Path, metavar="FILE", help="the private key to enter by")
    add("--ask-sudo-password", action="store_true", help="ask for sudo's password once, on the terminal")


def _asked(chosen: argparse.Namespace, plan: Callable[[Target], Plan]) -> list[Machine]:
    """The chosen machines and their answers, in the order of their names."""
    targets: list[Target] = []
    for target in inventory.load(chosen.inventory).select(chosen.hosts):
        if target.asks:
            raise SiteError(f"{target.name}: only the audit asks Pandora FMS which EndPoints there are; name machines")
        targets += record.load(Path(target.address)) if target.backend == "replay" else [target]
    password = os.environ.get("PANDORA_AUDIT_SUDO_PASSWORD")
    if password is None and chosen.ask_sudo_password:
        password = ask_on_terminal("sudo password: ") or ""
    options = Options(
        known_hosts=chosen.known_hosts, ssh_config=chosen.ssh_config, identity_file=chosen.ssh_identity_file
    )
    audit = Audit(settings=Settings(options=options, password=lambda: password), targets=tuple(targets))
    gathering, network = audit.gathering(map(plan, targets))
    gathering.start()
    try:
        return sorted(gathering.machines(), key=lambda machine: machine.target.name)
    finally:
        gathering.stop()
        network.close()


# --- init ---


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Read the machines and draft their inventory: roles, and what of a site's promises can be seen. "
        "Each line says where and when, and promises nothing before somebody has written a name into it."
    )
    parser.epilog = "Example: pandora-audit init --hosts=ops@10.0.0.5:31122,ops@10.0.0.6 --into=production.yml"
    _add_hosts(parser)
    parser.add_argument("--into", type=Path, metavar="FILE", help="write a new FILE instead of printing it")
    parser.set_defaults(run=_init)


def _init(chosen: argparse.Namespace) -> int:
    if chosen.into and chosen.into.exists():
        raise SiteError(f"{chosen.into} is there already: a draft replaces no inventory")
    proposed = draft.Draft(_asked(chosen, lambda target: Plan(target, draft.kinds())))
    text = proposed.text()
    for sentence in proposed.unseen:
        print(f"pandora-audit: {one_line(sentence)}", file=sys.stderr)
    if text and chosen.into:
        chosen.into.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 1 if proposed.unseen else 0


# --- baseline ---


def _add_baseline(parser: argparse.ArgumentParser) -> None:
    propose = parser.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "propose", help="print a machine as it is now, for somebody to approve"
    )
    _add_hosts(propose)
    propose.add_argument("--owner", default=getpass.getuser(), help="who answers for it (default: you)")
    propose.add_argument("--into", type=Path, metavar="DIR", help="write DIR/HOST.yml instead of printing one host")
    propose.set_defaults(run=_propose)


def _propose(chosen: argparse.Namespace) -> int:
    kinds = frozenset(kind for kind in known_facts().values() if kind.section)
    machines = _asked(chosen, lambda target: Plan(target, kinds))
    if len(machines) > 1 and chosen.into is None:
        raise SiteError("a baseline is of one machine: name one host, or a folder with --into")
    status = 0
    for machine in machines:
        try:
            text = proposal(machine, kinds, chosen.owner)
        except NotObserved as silent:
            print(f"pandora-audit: {machine.target.name}: no baseline: {silent}", file=sys.stderr)
            status = 1
            continue
        if chosen.into is None:
            print(text, end="")
        else:
            chosen.into.mkdir(parents=True, exist_ok=True)
            (chosen.into / f"{machine.target.name}.yml").write_text(text, encoding="utf-8")
    return status


def proposal(machine: Machine, kinds: Iterable[type[Fact]], owner: str) -> str:
    """The baseline that accepts a machine as it is, by these facts. Raises NotObserved when it did not tell all."""
    sections = {}
    for kind in kinds:
        if machine.target.shell is Shell.POWERSHELL and kind.on_windows is None:
            continue  # of this component nothing is asked there
        with contextlib.suppress(NotApplicable):  # the machine does not play the role that the section is about
            sections[kind.section] = machine.fact(kind).proposal()
    return baseline.written(owner, machine.seen.day, sections)


if __name__ == "__main__":
    sys.exit(main())
