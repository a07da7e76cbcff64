"""Inventories and --hosts: Ansible's reading of a file, testinfra's of a host, errors with their line."""

from __future__ import annotations

import fnmatch
import itertools
import os
import string
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandora_audit import inventory, sitefile
from pandora_audit.question import Role
from pandora_audit.sitefile import SiteError

ESTATE = """\
all:
  vars: {ansible_user: audit, audit_ssh_port: 31122}
  children:
    pandora:
      children:
        server: {hosts: {core1: }}
        tentacle: {hosts: {core1: {ansible_host: 192.0.2.1}}}
        database: {hosts: {"db[01:03].x": }}
    agents:
      hosts: {db01.x: , web1: , web2: }
      vars: {ansible_port: 2222}
  hosts: {stray: }
"""

BOMB = "a: &a {x: 1}\n" + "".join(
    f"{outer}: &{outer} [{', '.join(['*' + inner] * 9)}]\n"
    for inner, outer in itertools.pairwise(string.ascii_lowercase[:10])
)


@pytest.fixture(params=["C parser", "pure parser"])
def parser(request, monkeypatch):
    if request.param == "pure parser":
        monkeypatch.setattr(sitefile, "_LOADER", sitefile.yaml.BaseLoader)


@pytest.fixture
def estate(tmp_path):
    return load(tmp_path, ESTATE)


def load(tmp_path, text, name="p.yml"):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return inventory.load(file)


def names(made, hosts):
    return [target.name for target in made.select(hosts)]


def refused(call, *arguments):
    with pytest.raises(SiteError) as caught:
        call(*arguments)
    return str(caught.value)


# -- the file ------------------------------------------------------------------------------------------------


def test_roles_groups_and_variables(estate):
    made = {target.name: target for target in estate.select(None)}
    core, db, stray = made["core1"], made["db01.x"], made["stray"]
    assert core.promised == {Role.SERVER, Role.TENTACLE}
    assert core.groups == {"pandora", "server", "tentacle"}
    assert (core.address, core.user, core.port, core.backend, core.spec) == (
        "192.0.2.1",
        "audit",
        None,
        "paramiko",
        "",
    )
    assert db.promised == {Role.DATABASE, Role.AGENT}
    assert (db.address, db.port, db.promises.ssh_port) == ("db01.x", 2222, 31122)
    assert db.promises.where("ssh_port").endswith("p.yml:2")
    assert stray.promised == frozenset()
    assert len(made) == 7


def test_the_example_is_readable():
    made = inventory.load(Path(__file__).parents[1] / "inventories" / "example.yml")
    jump = made.select("bastions")[0]
    assert (jump.port, jump.promises.jump_host, len(jump.promises.user_keys)) == (22, True, 1)
    assert len(made.select("agents:!web03*")) == 11


def test_precedence(tmp_path):
    made = load(
        tmp_path,
        """
all: {vars: {ansible_user: all}, children: {b: , a: , deep: {children: {deeper: }}}}
a: {vars: {ansible_user: a, ansible_host: a}, hosts: {h: , i: , j: , k: {ansible_user: own}}}
b: {vars: {ansible_user: b}, hosts: {h: , i: }}
deeper: {vars: {ansible_user: child}, hosts: {i: }}
deep: {vars: {ansible_user: parent, ansible_host: parent}}
first: {vars: {ansible_user: first, ansible_group_priority: 9}, hosts: {h: }}
aa: {hosts: {l: }}
""",
    )
    made = {target.name: (target.user, target.address) for target in made.select(None)}
    assert made == {
        "h": ("first", "a"),
        "i": ("child", "parent"),
        "j": ("a", "a"),
        "k": ("own", "a"),
        "l": ("all", "l"),
    }


@pytest.mark.parametrize("text", ["server: {hosts: h}", "server: {children: g}\ng: {hosts: h}", "console:\n agent: \n"])
def test_a_single_name_may_be_a_text(tmp_path, text):
    if "agent" in text:
        assert "nothing else" in refused(load, tmp_path, text)
    else:
        assert names(load(tmp_path, text), None) == ["h"]


def test_connection_variables(tmp_path):
    made = load(
        tmp_path,
        """
g:
  hosts:
    a: {ansible_connection: ssh, ansible_become: no, ansible_ssh_private_key_file: ~/.ssh/k}
    b: {ansible_connection: ansible.builtin.local, ansible_become: "True", ansible_private_key_file: /k}
    c: {ansible_connection: paramiko_ssh, ansible_port: , ansible_ssh_port: 23}
    d:2022:
    "[2001:db8::1]:2023": {}
    2001:db8::2:
""",
    ).select(None)
    assert [(t.name, t.backend, t.port, t.become) for t in made] == [
        ("a", "ssh", None, False),
        ("b", "local", None, True),
        ("c", "paramiko", 23, True),
        ("d", "paramiko", 2022, True),
        ("2001:db8::1", "paramiko", 2023, True),
        ("2001:db8::2", "paramiko", None, True),
    ]
    assert [made[0].identity_file, made[1].identity_file] == [str(Path("~/.ssh/k").expanduser()), "/k"]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "p.yml:1: the inventory is empty"),
        ("# nothing\n", "p.yml:1: the inventory is empty"),
        ("- a\n", "p.yml:1: the inventory is a list"),
        ("text\n", "p.yml:1: the inventory is the text"),
        ("server:\n  hosts:\n  - a\n", "p.yml:2: hosts of group server is a list; write a mapping: `name:`"),
        ("server:\n  hostz: {a: }\n", "p.yml:2: hostz of group server: a group has"),
        ("server:\n\thosts: a\n", "p.yml:2: not YAML"),
        ("server: {hosts: {a: }}\nserver: {}\n", "p.yml:2: server is here twice (first: "),
        (
            "server:\n  hosts:\n    a:\n      ansible_port: 1\n      ansible_port: 2\n",
            "p.yml:5: ansible_port is",
        ),
        ("a: {hosts: {x: }}\n---\nb: {}\n", "p.yml:2: a second document"),
        ("a: *b\n", "p.yml:1: *b has no anchor"),
        ("a: &a {children: *a}\n", "p.yml:1: *a has no anchor"),
        ("? [a]\n: b\n", "p.yml:1: a key must be a text"),
        ("a: {children: {b: }}\nb: {children: {c: }}\nc: {children: {a: }}\n", "groups contain each other: "),
        ("a: {children: {a: }}\n", "groups contain each other: a < a"),
        (
            "a: {hosts: {x: {audit_ssh_prot: 1}}}\n",
            "p.yml:1: audit_ssh_prot is not a promise; did you mean audit_ssh_p",
        ),
        ("a:\n  vars:\n    audit_ssh_port: nope\n", "p.yml:3: audit_ssh_port is 'nope'"),
        ("a:\n  vars:\n    audit_ssh_port:\n", "p.yml:3: audit_ssh_port says nothing"),
        ("a:\n  vars:\n    audit_directory: '{{ x }}'\n", "p.yml:3: audit_directory is a template"),
        (
            "a:\n  vars:\n    audit_directory: !vault |\n      x\n",
            "p.yml:3: audit_directory has the tag !vault",
        ),
        (
            "a:\n  vars:\n    audit_user_keys: SHA256:x\n",
            "p.yml:3: audit_user_keys is 'SHA256:x'; it takes a list",
        ),
        ("a:\n  vars:\n    audit_user_keys: [{a: b}]\n", "p.yml:3: audit_user_keys is a mapping"),
        ("a: {hosts: {'h[3:1]': }}\n", "p.yml:1: host h[3:1]: [3:1] holds nothing"),
        ("a: {hosts: {'h[1:999999999]': }}\n", "more than 100000 hosts"),
        ("a: {hosts: {h: text}}\n", "p.yml:1: host h is the text"),
        (b"\xff\xfea\x00", "p.yml: not UTF-8 (byte 0)"),
        (b"a: \xe9\n", "p.yml: not UTF-8 (byte 3)"),
        ("a: \x07\n", "p.yml"),
        ("a: " + "[" * 20000, "p.yml"),
        ("- " * 20000 + "x", "p.yml: nested too deeply"),
        (BOMB, "more than a million values"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path, text, says):
    started = time.monotonic()
    assert says in refused(load, tmp_path, text)
    assert time.monotonic() - started < 60  # or it never ends


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("ansible_port: 70000", "p.yml:4: ansible_port is '70000'; it takes a whole number from 1"),
        ("ansible_port: '{{ p }}'", "p.yml:4: ansible_port is a template"),
        ("ansible_host: !vault x", "p.yml:4: ansible_host has the tag !vault"),
        ("ansible_host: -oProxyCommand=x", "p.yml:4: '-oProxyCommand=x' is neither"),
        ("ansible_user: 'a b'", "p.yml:4: 'a b' is neither"),
        ("ansible_become: maybe", "p.yml:4: ansible_become is 'maybe'; it takes yes or no"),
        ("ansible_connection: winrm", "p.yml:4: ansible_connection is 'winrm'"),
        ("ansible_host: [a]", "p.yml:4: ansible_host is a list"),
    ],
)
def test_a_variable_is_refused_only_where_it_is_used(tmp_path, variable, says):
    made = load(tmp_path, f"g:\n  hosts:\n    bad:\n      {variable}\n      other: '{{{{ x }}}}'\n    good: {{}}\n")
    assert names(made, "good") == ["good"]
    assert says in refused(made.select, "bad")


def test_a_byte_order_mark_crlf_anchors_and_merges(tmp_path):
    text = (
        "\ufeffone: {vars: &x {ansible_port: 23, ansible_user: m}}\r\ntwo:\r\n  hosts:\r\n"
        "    a: {<<: *x, ansible_user: own}\r\n    b: {<<: [{ansible_user: n}, *x]}\r\n"
    )
    made = load(tmp_path, text).select("two")
    assert [(t.user, t.port) for t in made] == [("own", 23), ("n", 23)]


def test_files_that_are_none(tmp_path):
    assert "No such file" in refused(inventory.load, tmp_path / "no.yml")
    (tmp_path / "big.yml").write_bytes(b"#" * (10 * 1024 * 1024 + 1))
    assert "larger than 10 MB" in refused(inventory.load, tmp_path / "big.yml")
    if os.getuid():
        (tmp_path / "big.yml").chmod(0)
        assert "Permission denied" in refused(inventory.load, tmp_path / "big.yml")


def test_ten_thousand_hosts(tmp_path):
    hosts = "".join(f"    h{i}.example: {{ansible_host: 10.0.0.1, audit_ssh_port: 22}}\n" for i in range(10_000))
    assert len(load(tmp_path, "agents:\n  hosts:\n" + hosts).select("agents:!h1*")) == 8889


# -- ranges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("h", "h"),
        ("db[01:03].x", "db01.x db02.x db03.x"),
        ("[a:c]", "a b c"),
        ("h[1:2]-[a:b]", "h1-a h1-b h2-a h2-b"),
        ("h[0:10:5]", "h0 h5 h10"),
        ("h[:2]", "h0 h1 h2"),
        ("h[8:10]", "h8 h9 h10"),
        ("h[a:e:2]", "ha hc he"),
        ("h[y:B]", "hy hz hA hB"),
    ],
)
def test_ranges(pattern, expected):
    assert list(inventory.expand(pattern)) == expected.split()


@pytest.mark.parametrize(
    "pattern", ["h[1]", "h[1:]", "h[01:3]", "h[2:1]", "h[c:a]", "h[1:3:0]", "h[a:3]", "h[", "h[ab:cd]"]
)
def test_what_is_no_range(pattern):
    with pytest.raises(ValueError, match=r"\["):
        list(inventory.expand(pattern))


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 30), st.integers(1, 7), st.integers(1, 4)), max_size=3))
def test_ranges_against_an_oracle(shapes):
    pattern, parts = "h", []
    for low, more, step, width in shapes:
        first, last = str(low).zfill(width), str(low + more).zfill(width)
        padded = first.startswith("0") and len(first) > 1
        if padded and len(first) != len(last):
            return
        pattern += f"-[{first}:{last}:{step}]"
        parts.append([f"-{n:0{len(first)}d}" if padded else f"-{n}" for n in range(low, low + more + 1, step)])
    assert list(inventory.expand(pattern)) == ["h" + "".join(each) for each in itertools.product(*parts)]


# -- patterns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (None, "stray db01.x web1 web2 core1 db02.x db03.x"),
        ("all", "stray db01.x web1 web2 core1 db02.x db03.x"),
        ("*", "core1 db01.x db02.x db03.x web1 web2 stray"),
        ("core1", "core1"),
        ("agents:!db*", "web1 web2"),
        ("agents,!db*", "web1 web2"),
        ("!db*, agents ,", "web1 web2"),
        ("database:&agents", "db01.x"),
        ("!pandora", "stray web1 web2"),
        ("web2:web1:web2", "web2 web1"),
        ("web?", "web1 web2"),
        ("w[ef]b1", "web1"),
        ("db0[12]*", "db01.x db02.x"),
        ("~(web|st)", "web1 web2 stray"),
        ("agents[0]", "db01.x"),
        ("agents[-1]", "web2"),
        ("agents[1:]", "web1 web2"),
        ("agents[0:1]", "db01.x web1"),
        ("ungrouped", "stray"),
        ("web1,ops@web1,core1:22", "web1 ops@web1 core1:22"),
        ("ops@x,agents:!db*", "ops@x web1 web2"),
        ("web*,local://,[::1]:22", "web1 web2 local [::1]:22"),
    ],
)
def test_patterns(estate, hosts, expected):
    assert names(estate, hosts) == expected.split()


@pytest.mark.parametrize(
    ("hosts", "says"),
    [
        ("", "--hosts= is empty"),
        (" , ", "--hosts= is empty"),
        ("agnets", "'agnets' is no host, group or pattern that matches one in "),
        ("agnets", "did you mean agents?"),
        ("zz*", "'zz*' is no host"),
        ("agents:!zz*", "'zz*' is no host"),
        ("agents:&", "'' is no host"),
        ("agents[7]", "'agents[7]' holds no host"),
        ("agents:!agents", "these patterns together leave no host"),
        ("~(", "not a host pattern"),
        ("web[", "not a host pattern"),
        ("web1::web2", "not a host pattern"),
        ("shh://x", "shh is no connection; did you mean ssh?"),
        ("x@y?,x@y", "not [user@]host[:port]"),
        ("ssh://h?sudo=true,ssh://h", "--hosts names ssh://h twice: ssh://h?sudo=true and ssh://h"),
    ],
)
def test_a_pattern_that_means_nothing_stops_the_run(estate, hosts, says):
    assert says in refused(estate.select, hosts)


def test_an_empty_group_holds_no_host(tmp_path):
    assert "'g' holds no host" in refused(load(tmp_path, "g: \nh: {hosts: {a: }}").select, "g")


def test_a_raw_host_stays_raw(estate):
    raw, own, known = estate.select("paramiko://core1,192.0.2.1:22,core1")
    assert (raw.name, raw.promised, raw.promises.ssh_port) == ("paramiko://core1", None, None)
    assert (own.name, own.promised) == ("192.0.2.1:22", None)
    assert (known.name, known.promised) == ("core1", {Role.SERVER, Role.TENTACLE})


def value(data):
    return sitefile.Value(data, "p.yml:1")


hosts = ["a1", "a2", "b1", "b2", "c1"]
groups = {"as": {"a1", "a2"}, "bs": {"b1", "b2"}, "ones": {"a1", "b1", "c1"}}
OF_GROUPS = {
    name: value({"hosts": value({host: value(None) for host in sorted(members)})})
    for name, members in {**groups, "rest": set(hosts)}.items()
}


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "", "&", "!"]), st.sampled_from([*hosts, *groups, "a?", "?1", "*"])),
        min_size=1,
    )
)
def test_patterns_against_an_oracle(terms):
    made = inventory.Inventory(Path("p.yml"), OF_GROUPS)
    means = [(sign, groups.get(word) or {h for h in hosts if fnmatch.fnmatch(h, word)}) for sign, word in terms]
    unions = [meaning for sign, meaning in means if not sign] or [set(hosts)]
    expected = set().union(*unions)
    for sign, meaning in means:
        expected = expected & meaning if sign == "&" else expected - meaning if sign == "!" else expected
    for separator in ":,":
        text = separator.join(sign + word for sign, word in terms)
        if expected:
            chosen = names(made, text)
            assert set(chosen) == expected
            assert len(chosen) == len(expected)
        else:
            assert "leave no host" in refused(made.select, text)


# -- raw hosts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "name", "backend", "user", "address", "port"),
    [
        ("h", "h", "paramiko", None, "h", None),
        ("ops@10.0.0.5:31122", "ops@10.0.0.5:31122", "paramiko", "ops", "10.0.0.5", 31122),
        ("paramiko://ops@h", "ops@h", "paramiko", "ops", "h", None),
        ("ssh://ops@[fe80::1%eth0]:22", "ssh://ops@[fe80::1%eth0]:22", "ssh", "ops", "fe80::1%eth0", 22),
        ("[2001:db8::1]", "[2001:db8::1]", "paramiko", None, "2001:db8::1", None),
        ("ssh://h?sudo=true&timeout=3", "ssh://h", "ssh", None, "h", None),
        ("ssh://DOM%5Cann@h", "ssh://DOM%5Cann@h", "ssh", "DOM\\ann", "h", None),
        ("local://", "local", "local", None, "localhost", None),
        (
            "replay://records/a@b:c/db1",
            "replay://records/a@b:c/db1",
            "replay",
            None,
            "records/a@b:c/db1",
            None,
        ),
        ("docker://me@box", "docker://me@box", "docker", None, "me@box", None),
    ],
)
def test_raw_hosts(spec, name, backend, user, address, port):
    (made,) = inventory.load(None).select(spec)
    assert (made.name, made.backend, made.user, made.address, made.port) == (
        name,
        backend,
        user,
        address,
        port,
    )
    assert made.spec == spec
    assert made.promised is None


def test_the_identity_of_a_raw_host():
    assert inventory.raw_target("ssh://h?ssh_identity_file=/k").identity_file == "/k"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("h:0", "port is '0'; it takes a whole number from 1 to 65535"),
        ("h:65536", "port is '65536'"),
        ("h:ssh", "not [user@]host[:port]"),
        ("2001:db8::1", "an IPv6 address takes brackets"),
        ("agents:!db*", "groups and patterns need --inventory"),
        ("db*", "groups and patterns need --inventory"),
        ("-oProxyCommand=x", "neither a host nor a user"),
        ("%2DoProxyCommand=x@h", "neither a host nor a user"),
        ("@h", "not [user@]host[:port]"),
        ("ssh://", "not [user@]host[:port]"),
        ("docker://", "it names no machine"),
        ("://h", "is no connection"),
        ("", "--hosts= is empty"),
    ],
)
def test_what_is_no_raw_host(spec, says):
    assert says in refused(inventory.load(None).select, spec)


def test_a_password_is_refused_and_not_repeated():
    for spec in ("ops:s3cret@h", "ssh://ops:s3cret@h", "shh://ops:s3cret@h"):
        message = refused(inventory.load(None).select, spec)
        assert "password" in message
        assert "s3cret" not in message


def test_without_hosts_and_inventory_it_is_this_machine():
    (made,) = inventory.load(None).select(None)
    assert (made.name, made.backend, made.promised) == ("local", "local", None)
    assert names(inventory.load(None), "h,h, h") == ["h"]


# -- through ansible-inventory -------------------------------------------------------------------------------

LISTING = """{"_meta": {"hostvars": {"db1": {"ansible_port": 22, "audit_jump_host": false,
 "audit_user_keys": [],
 "ansible_become": true, "x": null, "odd": {"a": ["{{ b }}", 1.5]}}}},
 "all": {"children": ["ungrouped", "database"]}, "database": {"hosts": ["db1", "db2"]}}"""


def fake_ansible(tmp_path, monkeypatch, script):
    program = tmp_path / "bin" / "ansible-inventory"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def odd_inventories(tmp_path):
    (tmp_path / "hosts.ini").write_text("[database]\ndb1\n")
    (tmp_path / "dir").mkdir()
    (tmp_path / "run.yml").write_text("#!/bin/sh\n")
    (tmp_path / "run.yml").chmod(0o755)
    (tmp_path / "cloud.yml").write_text("plugin: aws_ec2\n")
    (tmp_path / "beside" / "group_vars").mkdir(parents=True)
    (tmp_path / "beside" / "p.yml").write_text("g: {hosts: {a: }}\n")
    return [tmp_path / name for name in ("hosts.ini", "dir", "run.yml", "cloud.yml", "beside/p.yml")]


def test_everything_else_goes_through_ansible(tmp_path, monkeypatch):
    fake_ansible(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/args\ncat <<"X"\n{LISTING}\nX\n')
    for path in odd_inventories(tmp_path):
        one, two = inventory.load(path).select("database")
        assert (tmp_path / "args").read_text().strip() == f"-i {path} --list"
        assert (one.name, one.port, one.become, one.promised) == ("db1", 22, True, {Role.DATABASE})
        assert (one.promises.jump_host, one.promises.user_keys, one.promises.given("jump_host")) == (
            False,
            (),
            True,
        )
        assert one.promises.where("user_keys") == f"{path} (ansible-inventory)"
        assert two.port is None


def test_without_ansible_it_is_asked_for_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for path in odd_inventories(tmp_path):
        message = refused(inventory.load, path)
        assert message.startswith(f"{path}: ansible-inventory must read this, and is not installed")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (
            "echo '[WARNING]: x' >&2; echo 'ERROR! no vault secrets' >&2; exit 4",
            "failed: ERROR! no vault secrets",
        ),
        ("exit 1", "failed: without a word"),
        ("echo hello", "printed something else than an inventory"),
        ("echo '[]'", "printed something else than an inventory"),
        ("echo '{}'", "printed something else than an inventory"),
        (
            'echo \'{"_meta": {"hostvars": {"a": {"audit_ssh_prot": 1}}}, "g": {"hosts": ["a"]}}\'',
            "audit_ssh_prot is not",
        ),
        ("sleep 60 & sleep 60", "did not end within"),
    ],
)
def test_what_ansible_says_wrong(tmp_path, monkeypatch, script, says):
    monkeypatch.setattr(inventory, "_ANSIBLE_SECONDS", 1)
    fake_ansible(tmp_path, monkeypatch, script)
    (tmp_path / "hosts.ini").write_text("")
    started = time.monotonic()
    message = refused(inventory.load, tmp_path / "hosts.ini")
    assert says in message
    assert message.startswith(f"{tmp_path / 'hosts.ini'}")
    assert time.monotonic() - started < 60
