"""What the probe learns of a Tentacle server, and that it leaves nothing there: no file, and no place held.

PANDORA_TENTACLE_SERVER, the path of the vendor's own server, has all of it asked of that one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pandora_audit.facts.tentacle import asked_by_the_host
from pandora_audit.probes import tentacle

VENDORS = os.environ.get("PANDORA_TENTACLE_SERVER", "")
SERVER = ["perl", VENDORS] if VENDORS else [sys.executable, str(Path(__file__).parent.parent / "lab" / "tentacle.py")]
NOBODY = 65534
TLS = "ssl_cert CERT\nssl_key KEY\n"
OLD = "[default]\nopenssl_conf = it\n[it]\nssl_conf = it2\n[it2]\nsystem_default = it3\n[it3]\nMaxProtocol = TLSv1.2\n"

# Of each configuration: what the auditor's probe says, and what the host's own says.
SAID = {
    "": ("plain answers/tls closed", "plain answers"),
    "password x": ("plain closed/tls closed", "plain closed/tls closed"),
    "password x\nquiet 1": ("plain passes/tls silent", "plain passes"),
    TLS: ("plain closed/tls TLSv1.3/inside answers", "plain closed/tls TLSv1.3/inside answers"),
    TLS + "password x": ("plain closed/tls TLSv1.3/inside closed", "plain closed/tls TLSv1.3/inside closed"),
    TLS + "ssl_ca CA": ("plain closed/tls TLSv1.3/inside certificate", "plain closed/tls TLSv1.3/inside certificate"),
    TLS + "ssl_ca CA\npassword x": (
        "plain closed/tls TLSv1.3/inside certificate",
        "plain closed/tls TLSv1.3/inside certificate",
    ),
    TLS + "password x\nquiet 1": ("plain passes/tls TLSv1.3/inside passes", "plain passes"),
    TLS + "ssl_ca CA\nquiet 1": ("plain passes/tls TLSv1.3/inside certificate", "plain passes"),
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """An authority, a certificate of it, and a spool: for user nobody, who may not enter pytest's own folders."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        _furnish(Path(name))
        yield Path(name)


def _furnish(made: Path) -> None:
    new = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    script = (
        f"{new} -x509 -keyout ca.key -out ca.pem -subj /CN=authority -days 9 &&"
        f"{new} -keyout key.pem -out request.pem -subj /CN=server &&"
        "openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 9 &&"
        "chmod 644 *.pem && mkdir -m 777 spool"
    )
    subprocess.run(script, shell=True, cwd=made, check=True, capture_output=True, timeout=60)
    (made / "old.cnf").write_text(OLD)


@contextlib.contextmanager
def serving(folder: Path, conf: str, **environment: str) -> Iterator[int]:
    """A server with four places at a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name in ("cert", "key", "ca"):
        conf = conf.replace(name.upper(), str(folder / f"{name}.pem"))
    file = folder / "tentacle.conf"
    file.write_text(f"addresses 127.0.0.1\nport {port}\nmax_connections 4\ndirectory {folder}/spool\n{conf}\n")
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*user, *SERVER, "-F", str(file)], stdout=log, stderr=log, env={**os.environ, **environment}
        )
    try:
        end = time.monotonic() + 20
        while not listens(port):
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait(timeout=10)


def listens(port: int) -> bool:
    """Whether somebody listens; without a connection, which would hold a place."""
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


def asked(port: int, ca: str = "") -> str:
    said = tentacle.ask(lambda: socket.create_connection(("127.0.0.1", port), 3), ca)
    return said.strip().replace("\n", "/")


@pytest.mark.parametrize("conf", SAID, ids=lambda conf: conf.replace("\n", ", ") or "plain")
def test_what_the_probe_learns_from_either_place(folder: Path, conf: str) -> None:
    from_afar, from_the_host = SAID[conf]
    with serving(folder, conf) as port:
        # More often than there are places.
        for _ in range(2):
            assert asked(port) == from_afar
        question = asked_by_the_host("host", "127.0.0.1", port)
        done = subprocess.run(["sh", "-c", question.sh], capture_output=True, text=True, check=True, timeout=30)
        assert done.stdout.strip().replace("\n", "/") == from_the_host
        assert asked(port) == from_afar
    assert list((folder / "spool").iterdir()) == []


@pytest.mark.parametrize(("address", "word"), [("127.0.0.1", "refused"), ("nosuch.invalid", "silent")])
def test_only_who_refuses_is_not_there(address: str, word: str) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    question = asked_by_the_host("host", address, port)
    done = subprocess.run(["sh", "-c", question.sh], capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout.strip() == f"plain {word}"


def test_a_server_that_knows_no_tls_1_3(folder: Path) -> None:
    with serving(folder, TLS + "ssl_ca CA", OPENSSL_CONF=str(folder / "old.cnf")) as port:
        assert asked(port) == "plain closed/tls spoken/inside certificate"
        assert asked(port, str(folder / "ca.pem")).endswith("/certificate good")
        question = asked_by_the_host("host", "127.0.0.1", port)
        done = subprocess.run(["sh", "-c", question.sh], capture_output=True, text=True, check=True, timeout=30)
        assert done.stdout == "plain closed\ntls TLSv1.2\ninside certificate\n"


def test_the_certificate_is_verified_where_an_authority_is_promised(folder: Path) -> None:
    with serving(folder, TLS) as port:
        assert asked(port, str(folder / "ca.pem")).endswith("/certificate good")
        other = Path(__file__).parent / "data" / "other-ca.pem"
        assert "/certificate bad" in asked(port, str(other))
        assert "/certificate unknown" in asked(port, str(folder / "none.pem"))


class Says:
    """A channel on which a host says what it likes."""

    def __init__(self, *said: bytes) -> None:
        self.said = list(said)

    def recv(self, count: int, /) -> bytes:
        return self.said.pop(0)[:count] if self.said else b""

    def sendall(self, data: bytes, /) -> None:
        return None

    def settimeout(self, seconds: float | None, /) -> None:
        return None

    def close(self) -> None:
        return None


@pytest.mark.parametrize(
    "said", [b"", b"\0", b"\x16\x03\x03\xff\xff", b"\x15\x03\x03\0\2\2\x28", b"220 mail\r\n\x1b[2J", b"x" * 70000]
)
def test_whatever_a_host_says_is_some_word(said: bytes) -> None:
    lines = tentacle.ask(lambda: Says(said, said), "").splitlines()
    assert [line.split(" ")[0] for line in lines][:2] == ["plain", "tls"]
    assert all(line.isprintable() for line in lines)
