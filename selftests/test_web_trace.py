"""An audit of a console writes on its host what every visitor and every login writes, and nothing else."""

from __future__ import annotations

import re

import pytest
from judging import ask, controls, judge
from test_no_trace import OF_THE_SESSION

import lab
from pandora_audit.target import Target
from pandora_audit.transport import Options

CONTROLS = controls("tests_web/test_web_server.py", "tests_web/test_php.py", "tests_web/test_console_host.py")
OF_A_VISITOR = re.compile(r"/var/log/(apache2|nginx)/[a-z_]+\.log|/var/log/sudo\.log")


@pytest.mark.parametrize("image", ["console", "console-nginx"])
def test_an_audit_of_a_console_leaves_no_trace_and_is_told_the_same_twice(image: str) -> None:
    lab.required()
    with lab.boot(image, hardened=True) as host:
        known = host.root.parent / "known_hosts"
        known.write_text(host.known_hosts)
        target = Target(name=host.name, address=host.address, user="audit", port=host.port)
        options = Options(known_hosts=known, identity_file=host.key)
        host.mark()
        first, second = (ask(target, CONTROLS.values(), options) for _ in range(2))
        changed = host.changed_files()
    assert not any(path for path in changed if not OF_THE_SESSION.fullmatch(path) and not OF_A_VISITOR.fullmatch(path))
    told = [
        {name: (found.word, found.told) for name, found in judge(each, CONTROLS).items()} for each in (first, second)
    ]
    assert told[0] == told[1]
