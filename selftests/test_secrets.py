"""No secret of any role comes home: every chapter asked of every role, and what is planted there looked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from judging import ask, controls

import lab
from pandora_audit.target import Target
from pandora_audit.transport import Options

# Every password of the lab's own begins so; the vendor's published default; hashes of the accounts' passwords.
PLANTED = (b"lab-Only-", b"Pandor4!", b"$y$", b"$6$", b"lab-pw-sudo", b"PRIVATE KEY")
PLANT = """
echo 'ops:lab-Only-Ops-1' | { useradd -m ops; chpasswd; }
mkdir -p /etc/pandora /root/.ssh
printf 'server_pwd lab-Only-Plant-1\\nmodule_plugin x -p lab-Only-Plant-2\\n' >> /etc/pandora/pandora_agent.conf
printf '[client]\\npassword=lab-Only-Plant-3\\n' > /root/.my.cnf
openssl genrsa 1024 > /root/.ssh/id_rsa 2>/dev/null
(exec -a 'tool --password=lab-Only-Plant-4' sleep 600) > /dev/null 2>&1 &
"""


@pytest.mark.parametrize("hardened", [False, True], ids=["stock", "hardened"])
@pytest.mark.parametrize(
    "image", ["server", "console", "console-nginx", "database", "database-mysql9", "agent-upstream"]
)
def test_what_is_secret_stays(image: str, hardened: bool, tmp_path: Path) -> None:
    lab.required()
    try:
        host = lab.boot(image, hardened=hardened)
    except lab.Unavailable as gone:
        pytest.skip(str(gone))
    with host:
        host.run(PLANT, timeout=60)
        known = tmp_path / "known"
        known.write_text(host.known_hosts_line(host.port))
        target = Target(name="x", address=host.address, user="audit", port=host.port)
        machine = ask(target, controls().values(), Options(known_hosts=known, identity_file=host.key))
    assert not machine.silence
    assert machine.commands <= 2
    told = {key: answer.out + answer.err + answer.silence.encode() for key, answer in machine.answers.items()}
    assert [(key, secret) for key, text in told.items() for secret in PLANTED if secret in text] == []
