"""The first page of the HTML report: what an administrator does next, with counts and links that are true."""

from __future__ import annotations

import datetime
import subprocess
from collections import Counter

import pytest
import running
from judging import controls
from lxml import html as lxml_html

from pandora_audit import eol
from pandora_audit.audit import Audit, Settings, Took
from pandora_audit.finding import Finding
from pandora_audit.report import html, terminal
from pandora_audit.target import Target
from pandora_audit.verdict import Word

KNOWN = controls()
TODAY = datetime.date(2026, 11, 24)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> lxml_html.HtmlElement:
    """The report of the demonstration, as a browser has it after the page's own scripts have run."""
    folder = tmp_path_factory.mktemp("page")
    report = folder / "audit.html"
    done = running.run(
        f"--hosts=replay://{running.ROOT / 'demo'}", "--level=strict", f"--html={report}", "--self-contained-html"
    )
    assert done.status == 11, done.out
    shown = subprocess.run(
        [
            *(running.chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom", report.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return lxml_html.document_fromstring(shown.stdout)


def test_the_counts_are_those_of_the_rows(page: lxml_html.HtmlElement) -> None:
    rows = Counter(cell.text_content() for cell in page.cssselect("#results-table td.col-verdict"))
    rollups = page.cssselect('tr:has(td[id^="console.host-hardened@"]) td.col-verdict')
    assert rollups
    rows.subtract(cell.text_content() for cell in rollups)
    tiles = {tile.cssselect("span")[0].text: int(tile.cssselect("b")[0].text) for tile in page.cssselect(".tiles a")}
    assert list(tiles) == ["to fix today", "as the installer left it", "to decide", "met", "not assessed"]
    assert (tiles["to decide"], tiles["met"]) == (rows["to decide"], rows["compliant"])
    assert tiles["not assessed"] == rows["not assessed"]
    assert tiles["to fix today"] == len(page.cssselect("#to-fix > ol > li"))
    assert tiles["as the installer left it"] == len(page.cssselect("#as-installed > ol > li"))
    numbers = sorted(int(each.get("value")) for each in page.cssselect("ol.jobs > li"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_what_the_installer_left_says_what_is_installed(page: lxml_html.HtmlElement) -> None:
    assert "Pandora FMS 7.0NG.776 (database level 69)" in page.cssselect("#as-installed > p")[0].text_content()


def test_every_link_leads_to_one_place(page: lxml_html.HtmlElement) -> None:
    places = Counter(each.get("id") for each in page.cssselect("[id]"))
    links = [each.get("href")[1:] for each in page.cssselect('a[href^="#"]')]
    assert len(links) > 200
    assert {places[link] for link in links} == {1}


def test_what_the_questions_took_is_told(page: lxml_html.HtmlElement) -> None:
    told = page.cssselect("#met details")[0].text_content()
    assert "What the questions took" in told
    assert "db01" in told
    assert "web05" not in told


def audit(*findings: Finding) -> Audit:
    hosts = sorted({found.host for found in findings})
    made = Audit(settings=Settings(), targets=tuple(Target(name=host, address=host) for host in hosts))
    made.findings += findings
    return made


def text(made: Audit) -> str:
    return "".join(html.summary(made, TODAY))


def test_what_a_host_is_called_stays_text() -> None:
    mark = """<b onclick="x">'&</b>"""
    words = (Word.NOT_COMPLIANT, Word.TO_DECIDE, Word.NOT_ASSESSED)
    made = audit(*(Finding(control=KNOWN["ssh.port"], host=mark, word=word, reason=mark) for word in words))
    made.took[mark] = Took(1.0, ((1.0, mark),))
    assert "<b onclick" not in text(made)
    cells = ["<td></td>", "x"]
    html.row(made.findings[0], cells)
    anchor = lxml_html.fragment_fromstring(f"<table><tr>{cells[1]}</tr></table>").cssselect("td")[0].get("id")
    assert f'href="#{anchor}"' in text(made)


def test_many_hosts_are_folded() -> None:
    made = audit(*(Finding(control=KNOWN["ssh.port"], host=f"h{n:03}", word=Word.TO_DECIDE) for n in range(400)))
    made.took |= {f"h{n:03}": Took(float(n), ()) for n in range(400)}
    told = text(made)
    assert "and 388 more" in told
    assert "the slowest 25 of 400 hosts" in told


def test_a_page_without_findings_has_no_dead_links() -> None:
    tree = lxml_html.fragment_fromstring(
        text(audit(Finding(control=KNOWN["ssh.port"], host="a", word=Word.COMPLIANT))), create_parent=True
    )
    assert [each.get("href") for each in tree.cssselect(".tiles a[href]")] == ["#to-fix", "#met"]
    assert "Nothing critical or high was found." in tree.text_content()


def test_what_was_not_assessed_is_told_beside_nothing_to_fix() -> None:
    told = text(audit(Finding(control=KNOWN["ssh.port"], host="a", word=Word.NOT_ASSESSED, reason="no route")))
    assert "Nothing critical or high was found; 1 not assessed." in told


def test_an_old_table_of_releases_is_said() -> None:
    made = audit(Finding(control=KNOWN["ssh.port"], host="a", word=Word.COMPLIANT))
    dated = {each.as_of for each in [eol.release("distributions", "debian", "12")] if each}
    later = max(dated) + datetime.timedelta(days=181)
    assert "Debian (with LTS)" in eol.stale(later)
    assert any("the end-of-life table here" in note for note in terminal.notes(made, later))
    assert not eol.stale(datetime.date(2026, 4, 25))


def test_the_style_is_part_of_the_page() -> None:
    assert "prefers-color-scheme: dark" in text(audit())
