"""The readers of the chapter about software: traps one by one, and whatever a machine may say."""

from __future__ import annotations

import contextlib
import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandora_audit import eol
from pandora_audit.facts.packages import _may_match
from pandora_audit.facts.releases import _numbers
from pandora_audit.facts.restarts import _flavour, _order
from pandora_audit.formats import apt, dnf, dpkg
from pandora_audit.question import Unreadable

TEXT = st.text(alphabet=st.characters(blacklist_characters="\n"), max_size=80)
WORDS = st.lists(
    st.sampled_from(
        [
            *("deb", "[trusted=yes]", "http://a/", "x", "Types: deb", "URIs: http://a/", "Suites: x", "Trusted: yes"),
            *("Enabled: no", "", " ", "#", "/etc/apt/a.sources:1:", "/etc/apt/a.list:2:", "[main]", "gpgcheck=0"),
            *("pkg:", "  Installed: 1", " *** 1 500", "        500 http://a x/main", "/a.repo:1:", "<id>", "date="),
        ]
    ),
    max_size=6,
).map(" ".join)
LINES = st.lists(TEXT | WORDS, max_size=30)
READERS = (
    *(apt.packages, apt.archives, apt.release_files, apt.sources, apt.settings, apt.upgrades),
    *(dpkg.installed, dpkg.unpacked, dpkg.last_upgrade),
    *(dnf.installed, dnf.advisories, dnf.issued, dnf.offered, dnf.repositories, dnf.caches, dnf.last_upgrade),
)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: f"{reader.__module__}.{reader.__name__}")
def test_nothing_that_a_machine_says_breaks_a_reader(reader) -> None:  # type: ignore[no-untyped-def]
    @settings(max_examples=60, deadline=None)
    @given(LINES)
    def reads(lines: list[str]) -> None:
        with contextlib.suppress(Unreadable):
            reader(lines)

    reads()


def in_file(path: str, *lines: str) -> list[str]:
    return [f"{path}:{number}:{line}" for number, line in enumerate(lines, 1)]


@pytest.mark.parametrize(
    ("line", "unsigned"),
    [
        ("deb http://a/ x main", ""),
        ("deb [trusted=yes] http://a/ x main", "trusted=yes"),
        ("deb [ arch=amd64 trusted=yes ] http://a/ x main", "trusted=yes"),
        ("deb [arch=amd64 signed-by=/k.gpg trusted=no] http://a/ x main", ""),
        ("  deb [allow-insecure=yes] http://a/ ./", "allow-insecure=yes"),
        ("deb http://a/ x main # [trusted=yes]", ""),
    ],
)
def test_one_line_sources(line: str, unsigned: str) -> None:
    (source,) = apt.sources(in_file("/etc/apt/sources.list", line))
    assert source.unsigned == unsigned
    assert source.where == "/etc/apt/sources.list:1"


@pytest.mark.parametrize("line", ["", "# deb http://a/ x", "deb-src http://a/ x main", "debt http://a/ x", "deb"])
def test_lines_that_are_no_source(line: str) -> None:
    assert apt.sources(in_file("/etc/apt/sources.list", line)) == ()


def test_deb822_fields_go_on_and_stanzas_end_with_an_empty_line() -> None:
    lines = in_file(
        "/etc/apt/sources.list.d/a.sources",
        *(
            "",
            "Types: deb deb-src",
            "URIs: http://a/",
            " http://b/",
            "Suites: x",
            "# Trusted: yes",
            "Signed-By:",
            " key",
        ),
        *("", "Enabled: no", "Types: deb", "Trusted: yes", "\r", "types: deb", "uris: http://c/", "TRUSTED: Yes"),
    )
    first, second = apt.sources(lines)
    assert (first.uris, first.unsigned, first.where) == (
        ("http://a/", "http://b/"),
        "",
        "/etc/apt/sources.list.d/a.sources:2",
    )
    assert (second.uris, second.unsigned) == (("http://c/",), "trusted=yes")


def test_versions_above_the_installed_one_are_newer_whatever_they_look_like() -> None:
    found = apt.packages(
        [
            *("bash:", "  Installed: 9", "  Candidate: 10", "  Version table:", "     10 500 (phased 20%)"),
            *("        500 http://a x-security/main amd64 Packages", "     2:1 -1", "         -1 http://b y/main"),
            *(" *** 9 100", "        100 /var/lib/dpkg/status", "     8 500", "        500 http://a x/main"),
            *("gone:", "  Installed: (none)", "  Candidate: 1", "  Version table:", "     1 500"),
        ]
    )
    assert list(found) == ["bash"]
    assert [each.number for each in found["bash"].newer] == ["10", "2:1"]
    assert found["bash"].sources == ()
    assert found["bash"].has_a_source


@pytest.mark.parametrize(
    ("archive", "secures"),
    [
        (apt.Archive(label="Debian-Security", suite="stable-security"), True),
        (apt.Archive(origin="Ubuntu", label="Ubuntu", suite="noble-security", codename="noble"), True),
        (apt.Archive(origin="UbuntuESMApps", suite="jammy-apps-security"), True),
        (apt.Archive(origin="Ubuntu", label="Ubuntu", suite="noble-updates", codename="noble"), False),
        (apt.Archive(origin="Debian", label="Debian", suite="stable", codename="bookworm"), False),
        (apt.Archive(origin="security", label="security"), False),
    ],
)
def test_which_archives_hold_security_updates(archive: apt.Archive, secures: bool) -> None:
    assert archive.secures is secures


def test_an_upgrade_that_failed_is_none() -> None:
    day = datetime.date(2026, 11, 1)
    lines = ["Start-Date: 2026-11-01  06:00:00", "Full: all", "Error:", "End-Date: 2026-11-01  06:00:09"]
    assert apt.upgrades(lines) == ()
    assert apt.upgrades([line for line in lines if line != "Error:"]) == (apt.Upgrade(day, "all"),)
    assert apt.upgrades(lines[:2]) == ()


def test_an_upgrade_that_was_begun_counts_when_its_version_is_installed() -> None:
    begun = "2026-11-01 06:00:00 upgrade a:amd64 1 2"
    assert dpkg.last_upgrade([begun]) is None
    assert dpkg.last_upgrade([begun, "2026-11-02 06:00:00 status installed a:amd64 1"]) is None
    assert dpkg.last_upgrade([begun, "2026-11-02 06:00:00 status installed a:amd64 2"]) == datetime.date(2026, 11, 2)
    assert dpkg.last_upgrade(["2026-11-02 06:00:00 status installed a:amd64 2"]) is None


@pytest.mark.parametrize(
    ("main", "own", "signed"),
    [
        ([], [], False),
        (["gpgcheck=1"], [], True),
        (["gpgcheck = True"], ["gpgcheck = 0"], False),
        (["gpgcheck=0"], ["gpgcheck=yes"], True),
        (["gpgcheck=0"], ["repo_gpgcheck=1"], True),
        (["gpgcheck=1", "gpgcheck=0"], [], False),
    ],
)
def test_a_repository_says_more_than_main(main: list[str], own: list[str], signed: bool) -> None:
    lines = [
        *in_file("/etc/dnf/dnf.conf", "[main]", *main),
        *in_file("/etc/yum.repos.d/a.repo", "[a]", "baseurl=http://a/", *own),
    ]
    (repository,), _ = dnf.repositories(lines)
    assert repository.signed is signed
    assert repository.enabled


def test_dates_of_advisories_in_either_form() -> None:
    lines = [
        "<id>A-1",
        '<issued date="2026-01-05 00:00:00"',
        "<id>B-1",
        '<issued date="1767571200"',
        '<issued date="x"',
    ]
    assert dnf.issued(lines) == {"A-1": datetime.date(2026, 1, 5), "B-1": datetime.date(2026, 1, 5)}


def test_names_of_packages_hold_dashes() -> None:
    (found,) = dnf.advisories(["i RHSA-2026:1 Low/Sec. a-b-c-1:1.0-2.el9.x86_64 2026-01-05 00:00:00"])
    assert (found.package, found.updated) == ("a-b-c", datetime.date(2026, 1, 5))


@pytest.mark.parametrize("row", ["RHSA-2026:1 Low/Sec. a-1.0-2.el9.x86_64", "A-1 security a-1-2.x86_64 5. Jan 2026"])
def test_an_advisory_in_another_form_is_not_passed_over(row: str) -> None:
    with pytest.raises(Unreadable):
        dnf.advisories([row])


def test_long_rows_of_updates_go_on_in_the_next_line() -> None:
    lines = [
        "",
        "a.noarch  1-2.el9  base",
        "b-with-a-long-name.x86_64",
        "      1:3-4.el9      appstream",
        "Obsoleting Packages",
    ]
    assert dnf.offered([*lines, "c.noarch 5-6 base"]) == (
        dnf.Offered("a", "1-2.el9", "base"),
        dnf.Offered("b-with-a-long-name", "1:3-4.el9", "appstream"),
    )


def test_kernels_are_in_the_order_of_their_numbers() -> None:
    names = ["5.14.0-70.el9.x86_64", "5.14.0-427.13.1.el9_4.x86_64", "5.14.0-427.9.1.el9_4.x86_64", "6.1.0-9-amd64"]
    assert sorted(names, key=_order) == [names[0], names[2], names[1], names[3]]
    assert (
        _flavour("/boot/vmlinuz-6.8.0-101-generic") == _flavour("6.8.0-90-generic") != _flavour("6.8.0-90-lowlatency")
    )
    assert _flavour("6.1.0-30-cloud-amd64") != _flavour("6.1.0-31-amd64") == _flavour("6.10.6-0.bpo.2-amd64")
    assert _flavour("5.15.0-307.el9uek.x86_64") != _flavour("5.14.0-570.el9_6.x86_64")
    assert _flavour("5.14.0-70.el9.x86_64") == _flavour("/boot/vmlinuz-5.14.0-427.13.1.el9_4.x86_64")


@pytest.mark.parametrize(
    ("pattern", "name", "may"),
    [
        ("bash$", "bash", True),
        ("linux-", "linux-image-amd64", True),
        ("^lib.*", "libc6", True),
        (".*", "bash", True),
        ("(a+)+$", "bash", True),
        ("vim", "bash", False),
        ("libc6(-dev)?$", "libc6-dev", True),
        ("libcx?6", "libc6", True),
        ("vim|bash", "bash", True),
    ],
)
def test_black_lists_keep_out_what_they_may_mean(pattern: str, name: str, may: bool) -> None:
    assert _may_match(pattern, name) is may


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("1:10.11.14-0+deb12u2", "10.11.14"),
        ("8.1.33-1+0~20250715.66+debian12~1", "8.1.33"),
        ("2.4.57", "2.4.57"),
        ("7.0NG.776", "776"),
        ("x", "x"),
    ],
)
def test_versions_as_their_authors_count(version: str, numbers: str) -> None:
    assert _numbers(version) == numbers


def test_the_table_tells_where_each_row_comes_from() -> None:
    rows = [
        eol.release(kind, product, row["release"])
        for kind, products in eol._table().items()
        for product, table in products.items()
        for row in table["releases"]
    ]
    assert len(rows) > 100
    for row in rows:
        assert row is not None
        assert row.source
        assert row.as_of <= datetime.date.today()
        assert row.extended is None or row.until is None or row.extended >= row.until


@pytest.mark.parametrize(
    ("product", "version", "release"),
    [
        ("rhel", "9.4", "9"),
        ("debian", "12", "12"),
        ("ubuntu", "24.04", "24.04"),
        ("debian", "1", None),
        ("x", "1", None),
    ],
)
def test_the_longest_release_that_a_version_begins_with(product: str, version: str, release: str | None) -> None:
    found = eol.release("distributions", product, version)
    assert (found.number if found else None) == release


def test_an_old_table_says_so() -> None:
    release = eol.release("components", "php", "8.4.1")
    assert release is not None
    soon = release.as_of + datetime.timedelta(days=180)
    assert "days old" not in release.told(soon)
    assert "days old" in release.told(soon + datetime.timedelta(days=1))
