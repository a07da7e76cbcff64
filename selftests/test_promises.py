"""The promises: one declaration each, values by declared type, records that come back the same."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandora_audit import promises
from pandora_audit.promises import KINDS, Promises
from pandora_audit.sitefile import SiteError

KEY = "SHA256:" + "A" * 43


def read(name, value):
    return promises.read(name, value, "p.yml:3")


def test_nothing_is_promised_by_default():
    nothing = Promises()
    assert {getattr(nothing, name) for name in KINDS if isinstance(getattr(nothing, name), bool)} == {False}
    assert (nothing.ssh_port, nothing.user_keys, nothing.scope) == (None, None, "role")
    assert not any(nothing.given(name) or nothing.where(name) for name in KINDS)
    assert nothing.to_record() == {}
    assert hash(nothing) == hash(Promises())
    with pytest.raises(dataclasses.FrozenInstanceError):
        nothing.ssh_port = 22  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("ssh_port", "31122", 31122),
        ("jump_host", "no", False),
        ("jump_host", "On", True),
        ("directory", "no", "no"),
        ("user_keys", (), ()),
        ("user_keys", (KEY,), (KEY,)),
        ("scope", "estate", "estate"),
    ],
)
def test_values_are_read_by_their_type(name, written, value):
    made = Promises.read({name: (written, "p.yml:3")})
    assert getattr(made, name) == value
    assert made.given(name)
    assert made.where(name) == "p.yml:3"


@pytest.mark.parametrize(
    ("name", "written", "says"),
    [
        ("ssh_port", "0", "a whole number from 1 to 65535"),
        ("ssh_port", "65536", "a whole number"),
        ("ssh_port", "0x16", "a whole number"),
        ("ssh_port", "٢٢", "a whole number"),
        ("ssh_port", "22 ", "a whole number"),
        ("ssh_port", ("22",), "a whole number"),
        ("jump_host", "maybe", "yes or no"),
        ("jump_host", "", "yes or no"),
        ("user_keys", KEY, f"write [{KEY}]"),
        ("user_keys", ("SHA256:short",), "fingerprint"),
        ("directory", " ", "text"),
        ("scope", "estates", "role or estate"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(name, written, says):
    with pytest.raises(SiteError) as caught:
        read(name, written)
    assert str(caught.value).startswith(f"p.yml:3: audit_{name} is ")
    assert says in str(caught.value)


def test_an_unknown_name_is_refused_with_the_closest():
    with pytest.raises(SiteError, match=r"^p.yml:3: audit_ssh_prot is not a promise; did you mean audit_ssh_port\?$"):
        read("ssh_prot", "22")
    with pytest.raises(SiteError, match=r"audit_zzz is not a promise$"):
        read("zzz", "22")
    with pytest.raises(SiteError, match=r"audit_where_given is not"):
        read("where_given", "22")


def test_the_other_kinds():
    assert promises.PATH.read("/etc/ssh") == "/etc/ssh"
    assert promises.listed(promises.ROLE).read(("agent",)) == ("agent",)
    assert promises.listed(promises.USER).read(("ops", "DOM\\ann", "host$")) == ("ops", "DOM\\ann", "host$")
    for kind, bad in [
        (promises.PATH, "etc"),
        (promises.USER, "-x"),
        (promises.USER, "a b"),
        (promises.TEXT, ("a",)),
    ]:
        with pytest.raises(ValueError, match=r"."):
            kind.read(bad)


def test_every_field_is_declared_with_a_kind_that_yields_its_type():
    samples = ["1", "yes", (KEY,), "/a", "a", "https://a/", "a:/b", ("tcp/1",), ("a",), ("/a",), ("server",)]
    hints = get_type_hints(Promises)
    for name, field in KINDS.items():
        words = re.findall(r"'(\w+)'", str(hints[name]))
        read_as = [value for written in (*words, *samples) if (value := _read(name, written)) is not None]
        assert read_as, name
        assert {type(value).__name__ in str(hints[name]) or value in words for value in read_as} == {True}, name
        assert field.metadata["meaning"]


def _read(name, written):
    try:
        return read(name, written)
    except SiteError:
        return None


given_promises = st.builds(
    Promises,
    ssh_port=st.none() | st.integers(1, 65535),
    jump_host=st.booleans(),
    user_keys=st.none() | st.lists(st.just(KEY)).map(tuple),
    directory=st.none() | st.sampled_from(["sssd", "no", "1"]),
    scope=st.sampled_from(["role", "estate"]),
    where_given=st.sampled_from([(), (("ssh_port", "p.yml:3"),)]),
)


@given(given_promises)
def test_a_record_comes_back_the_same(made):
    if made.ssh_port is None:
        made = dataclasses.replace(made, where_given=())
    back = Promises.from_record(json.loads(json.dumps(made.to_record())))
    assert back == made
    assert [(back.given(name), back.where(name)) for name in KINDS] == [
        (made.given(name), made.where(name)) for name in KINDS
    ]


@pytest.mark.parametrize(
    "record",
    [
        {"ssh_port": 22},
        {"ssh_port": {"value": 0, "where": ""}},
        {"new": {"value": 1, "where": ""}},
        {"scope": {}},
    ],
)
def test_a_record_that_is_none_is_refused(record):
    with pytest.raises(SiteError):
        Promises.from_record(record)


def test_the_table_in_the_readme_is_current():
    readme = Path(__file__).parents[1] / "inventories" / "README.md"
    assert promises.table() in readme.read_text("utf-8")
