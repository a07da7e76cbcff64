"""The pytest plugin: the only file with hooks. Each hands over at once."""

from __future__ import annotations

import argparse
import datetime
import os
import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from _pytest.junitxml import xml_key
from pytest_html.basereport import BaseReport

from pandora_audit import attestations, commands, endpoints, exceptions, fixtures, inventory, items, loop, record
from pandora_audit import audit as audits
from pandora_audit.audit import Audit, Settings
from pandora_audit.control import LEVELS, Control, Severity, control_of
from pandora_audit.facts.roster import Agent, Told
from pandora_audit.finding import Finding
from pandora_audit.items import AUDIT, FINDING, ControlItem
from pandora_audit.printable import one_line
from pandora_audit.question import NotObserved
from pandora_audit.report import html, terminal
from pandora_audit.sitefile import SiteError, did_you_mean
from pandora_audit.target import Target
from pandora_audit.transport import Options, ask_on_terminal
from pandora_audit.version import VERSION

# --- the command line ---


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pandora-audit", "the compliance audit of Pandora FMS")
    add = group.addoption
    add("--inventory", type=Path, metavar="FILE", help="Ansible inventory; --hosts then names its hosts")
    add("--exceptions", type=Path, metavar="FILE", help="signed exceptions (default: beside the inventory)")
    add("--attestations", type=Path, metavar="FILE", help="what people answer for (default: beside the inventory)")
    add("--level", choices=LEVELS, default="guide", help="how much is judged (default: guide)")
    add(
        "--fail-on",
        choices=[str(severity) for severity in Severity],
        default="low",
        help="the least severe finding that makes the exit status 1 (default: low)",
    )
    add("--max-unassessed", type=int, default=0, metavar="N", help="more make the exit status 10 (default: 0)")
    add("--concurrency", type=_count, default=32, metavar="N", help="machines at once (default: 32)")
    add("--known-hosts", type=Path, metavar="FILE", help="host keys, instead of the user's known_hosts")
    add("--accept-new-host-keys", action="store_true", help="write down the keys of hosts never seen before")
    add("--connect-timeout", type=float, default=10, metavar="S", help="seconds to connect (default: 10)")
    add("--machine-timeout", type=float, default=120, metavar="S", help="seconds on one machine (default: 120)")
    add("--ask-sudo-password", action="store_true", help="ask for sudo's password once, on the terminal")
    add("--record", type=Path, metavar="DIR", help="write what was asked and answered, one file a machine")
    add("--list-controls", action="store_true", help="list the controls and stop")
    add("--explain", metavar="ID", help="tell everything about one control and stop")
    add("--check", action="store_true", help="connect, report access and privilege, judge nothing")
    add("--print-script", action="store_true", help="print what would run on each host and stop")
    add(
        "--sudoers",
        nargs="?",
        const="audit",
        metavar="ACCOUNT",
        help="print the sudoers file for this account (default: audit) and stop",
    )
    add(
        "--database-account",
        nargs=2,
        metavar=("KIND", "ACCOUNT"),
        help=f"print the SQL of the audit's own database account ({', '.join(commands.DIALECTS)}) and stop",
    )


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1024")
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    if not __debug__:
        raise pytest.UsageError("python -O strips assertions, and every control would pass; run without it")
    if config.getoption("tx", None):
        raise pytest.UsageError("-n: hosts are asked side by side by one process, each once; see --concurrency")
    if _only_prints(config.option):
        # What is printed is for a file or another program: without pytest's own words around it.
        config.option.verbose = -2
        config.option.no_header = config.option.no_summary = True
    for severity in Severity:
        config.addinivalue_line("markers", f"{severity}: controls of this severity")
    # Registered last, so that our host stands before testinfra's.
    config.pluginmanager.register(fixtures, "pandora_audit.fixtures")
    try:
        config.stash[AUDIT] = _audit(config)
    except SiteError as error:
        raise pytest.UsageError(str(error)) from error


def _only_prints(option: argparse.Namespace) -> bool:
    printed = (option.list_controls, option.explain, option.print_script, option.sudoers, option.database_account)
    return any(printed) or bool(option.check)


def _audit(config: pytest.Config) -> Audit:
    option = config.option
    chosen = Settings(
        level=option.level,
        fail_on=Severity[option.fail_on.upper()],
        max_unassessed=option.max_unassessed,
        concurrency=option.concurrency,
        record=option.record,
        options=Options(
            known_hosts=option.known_hosts,
            accept_new_host_keys=option.accept_new_host_keys,
            ssh_config=Path(option.ssh_config) if option.ssh_config else None,
            identity_file=Path(option.ssh_identity_file) if option.ssh_identity_file else None,
            connect_seconds=option.connect_timeout,
            machine_seconds=option.machine_timeout,
        ),
        password=_sudo_password(option.ask_sudo_password),
    )
    known = inventory.load(option.inventory)
    rosters: list[tuple[Target, Told]] = []

    def agents(console: Target) -> Iterable[Agent]:
        told = audits.ask_roster(console, chosen)
        rosters.append((console, told))
        return told.agents or ()

    targets = _targets(known, option.hosts, endpoints.nobody if _connects_to_nobody(option) else agents)
    audit = Audit(
        settings=chosen,
        targets=targets,
        exceptions=_beside(config, option.exceptions, exceptions),
        attestations=_beside(config, option.attestations, attestations),
        others=known.others(targets),
    )
    for console, told in rosters:
        audit.knows(console, told)
    return audit


def _connects_to_nobody(option: argparse.Namespace) -> bool:
    only_tells = (option.collectonly, option.help, option.markers, option.showfixtures, option.show_fixtures_per_test)
    return any(only_tells) or (_only_prints(option) and not option.check)


def _beside(config: pytest.Config, named: Path | None, kind: Any) -> Any:
    """The site's entries of one kind: of the file that was named, or of the one beside the inventory."""
    path = named or (config.option.inventory and kind.beside(config.option.inventory))
    if path is None or not (named or path.exists()):
        return ()
    return kind.load(path, _known_ids(config))


def _targets(known: inventory.Inventory, hosts: str | None, ask: endpoints.Asks) -> tuple[Target, ...]:
    found: list[Target] = []
    for target in known.select(hosts, ask):
        if target.backend == "replay":
            found += record.load(Path(target.address))
        else:
            found.append(target.with_baseline(known.path))
    names: dict[str, Target] = {}
    for target in found:
        if (first := names.setdefault(target.name, target)) is not target:
            raise SiteError(f"--hosts names {target.name} twice: {first.address} and {target.address}")
    for target in found:
        if target.promises.deployment in names:
            where = target.promises.where("deployment")
            raise SiteError(
                f"{where or target.name}: a host and its deployment are both called {target.promises.deployment}"
            )
    return tuple(found)


def _sudo_password(ask: bool) -> Callable[[], str | None]:
    """sudo's password: from the environment, or asked once, when the first machine needs it."""
    lock, known = threading.Lock(), [os.environ.get("PANDORA_AUDIT_SUDO_PASSWORD")]

    def password() -> str | None:
        with lock:
            if known[0] is None and ask:
                known[0] = ask_on_terminal("sudo password: ") or ""
            return known[0]

    return password


# --- collecting ---


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[ControlItem] | None:
    control = control_of(obj)
    if control is None or not name.startswith("test"):
        return None
    unknown = audits.unknown_words(control)
    if unknown:
        place = f"{collector.path}:{control.test.__code__.co_firstlineno}"
        raise collector.CollectError(f"{place}: {control.id}: nobody provides {', '.join(unknown)}")
    return list(items.make(collector, name, control, collector.config.stash[AUDIT]))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" in metafunc.fixturenames:
        targets = metafunc.config.stash[AUDIT].targets
        metafunc.parametrize("target", targets, ids=[target.name for target in targets], indirect=True, scope="session")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _refuse_doubles(items)
    if config.option.list_controls or config.option.explain:
        return
    level = config.stash[AUDIT].settings.level
    below = [item for item in items if isinstance(item, ControlItem) and not item.control.level.within(level)]
    if below:
        config.hook.pytest_deselected(items=below)
        items[:] = [item for item in items if item not in set(below)]


def _controls(collected: Iterable[pytest.Item]) -> dict[str, Control]:
    return {item.control.id: item.control for item in collected if isinstance(item, ControlItem)}


def _refuse_doubles(collected: list[pytest.Item]) -> None:
    known = _controls(collected)
    for item in collected:
        if isinstance(item, ControlItem) and known[item.control.id].test is not item.control.test:
            raise pytest.UsageError(f"{item.nodeid}: another control has the id {item.control.id}")


def _known_ids(config: pytest.Config) -> set[str]:
    """The ids of all controls at hand, selected or not: an exception for one of them is no mistake."""
    places = [config.rootpath / path for path in config.getini("testpaths")]
    places += [config.invocation_params.dir / arg.partition("::")[0] for arg in config.args]
    files = {file for place in places for file in (place.rglob("test_*.py") if place.is_dir() else [place])}
    return {
        found
        for file in files
        if file.is_file()
        for found in re.findall(r'@control\(\s*"([^"]+)"', file.read_text("utf-8"))
    }


# --- running ---


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    option = session.config.option
    if option.collectonly or (session.testsfailed and not option.continue_on_collection_errors):
        return None
    if _only_prints(option):
        session.config.get_terminal_writer().write(_printed(session).rstrip("\n") + "\n")
        return True
    if not any(loop.target_of(item) for item in session.items):
        return None
    try:
        loop.run(session, session.config.stash[AUDIT])
    except SiteError as error:
        raise pytest.UsageError(str(error)) from error
    return True


def _printed(session: pytest.Session) -> str:
    """What the options that judge nothing print."""
    option, audit = session.config.option, session.config.stash[AUDIT]
    controls = _controls(session.items)
    if option.list_controls:
        return "\n".join(commands.listed(controls.values()))
    if option.explain:
        if option.explain not in controls:
            raise pytest.UsageError(f"there is no control {option.explain}{did_you_mean(option.explain, controls)}")
        return "\n".join(commands.explained(controls[option.explain]))
    if option.database_account:
        kind, account = option.database_account
        try:
            return commands.database_account(kind, account, audit.targets[0].promises.db_schema)
        except ValueError as error:
            raise pytest.UsageError(f"--database-account: {error}") from error
    plans = loop.plans(session.items, audit)
    if option.print_script:
        return "\n".join(f"# {plan.target.name}\n{commands.print_script(plan)}" for plan in plans)
    if option.sudoers:
        return commands.sudoers(plans, option.sudoers)
    return "\n".join(loop.check(plans, audit))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """In a site's own test too, an observation that nobody made is an error, not a failure."""
    report = yield
    if call.when == "call" and call.excinfo and call.excinfo.errisinstance(NotObserved):
        report.when = "setup"
        report.longrepr = f"not assessed: {call.excinfo.value}"
    return report


# --- telling ---


def pytest_report_header(config: pytest.Config) -> list[str]:
    audit = config.stash[AUDIT]
    names = ", ".join(target.name for target in audit.targets[:8])
    more = f" and {len(audit.targets) - 8} more" if len(audit.targets) > 8 else ""
    said = [f"pandora-audit: level {audit.settings.level}; hosts {names}{more}"]
    return [
        *said,
        *(f"pandora-audit: {target.name}: {one_line(target.silence)}" for target in audit.targets if target.asks),
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    found: Finding | None = getattr(report, FINDING, None)
    if found is None:
        return None
    return found.word.value, terminal.LETTERS[found.word], found.word.value


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    audit = config.stash[AUDIT]
    if not audit.findings:
        return
    for title, lines in terminal.summary(audit, _today(), verbose=config.option.verbose > 0):
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


@pytest.hookimpl(optionalhook=True)
def pytest_metadata(metadata: dict[str, str], config: pytest.Config) -> None:
    """What an auditor asks about the run, instead of what pytest knows about itself."""
    metadata.clear()
    option = config.option
    metadata |= {
        "Tool": f"pandora-audit {VERSION}",
        "Begun": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Level": option.level,
        "Inventory": str(option.inventory or "none"),
        "Hosts": option.hosts or ("all of the inventory" if option.inventory else "this machine"),
    }


@pytest.hookimpl(optionalhook=True)
def pytest_html_report_title(report: Any) -> None:
    report.title = "Compliance audit of Pandora FMS"
    html.label(report.outcomes)


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_table_header(cells: list[str]) -> None:
    html.header(cells)


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_table_row(report: pytest.TestReport, cells: list[str]) -> None:
    found: Finding | None = getattr(report, FINDING, None)
    if found is not None:
        html.row(found, cells)
    else:
        html.foreign_row(report.nodeid, cells)


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_summary(prefix: list[str], session: pytest.Session) -> None:
    prefix.extend(html.summary(session.config.stash[AUDIT], _today()))


# --- the end ---


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    audit = session.config.stash[AUDIT]
    order = {
        item.nodeid: (item.control.id, item.target.name) for item in session.items if isinstance(item, ControlItem)
    }
    _sort_reports(session.config, order)
    if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and audit.findings:
        foreign = session.testsfailed - sum(found.word.outcome in ("failed", "error") for found in audit.findings)
        session.exitstatus = audit.exit_status() | (1 if foreign > 0 else 0)


@pytest.hookimpl(wrapper=True, trylast=True, specname="pytest_sessionfinish")
def pytest_reports_are_written(session: pytest.Session) -> Generator[None, None, None]:
    """A report that cannot be written (a full disk) is said, and does not take the terminal's summary with it."""
    audit = session.config.stash[AUDIT]
    try:
        yield
    except OSError as fault:
        audit.unwritten.append(f"a report could not be written: {fault}")
    if audit.unwritten:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def _sort_reports(config: pytest.Config, order: dict[str, tuple[str, str]]) -> None:
    """Reports are sorted by control and host, whichever machine was ready first.

    Neither JUnit's nor pytest-html's writer offers an order, so their own lists are sorted before they write.
    """
    xml = config.stash.get(xml_key, None)
    if xml is not None:
        for coverage in config.stash[AUDIT].coverage:
            for title, text in coverage:
                xml.add_global_property(f"coverage of {coverage.deployment}: {title}", text)
        xml.node_reporters_ordered.sort(key=lambda reporter: _place(reporter.to_xml()))
    for page in _pages(config):
        tests = page.data["tests"]
        for nodeid in sorted(tests, key=lambda nodeid: order.get(nodeid, ("~", nodeid))):
            tests[nodeid] = tests.pop(nodeid)


def _place(testcase: ElementTree.Element) -> tuple[str, str]:
    said = {each.get("name"): each.get("value", "") for each in testcase.iter("property")}
    return said.get("control", "~"), said.get("host", testcase.get("name", ""))


def _pages(config: pytest.Config) -> Iterator[Any]:
    """What pytest-html is going to render, if it was asked for."""
    for plugin in config.pluginmanager.get_plugins():
        if isinstance(plugin, BaseReport):
            yield plugin._report
