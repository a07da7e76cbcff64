"""The lab's Tentacle server on the wire: byte for byte what the vendor's answers, and the real client's partner.

PANDORA_TENTACLE_SERVER, the path of the vendor's own server, has all of it run against that one, too.
PANDORA_TENTACLE_CLIENT may name a client; without, Debian's is used, as installed or as apt-get gives it.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import io
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import lab

OURS = Path(__file__).parent.parent / "lab" / "tentacle.py"
VENDORS = os.environ.get("PANDORA_TENTACLE_SERVER", "")
ROOT = os.geteuid() == 0
NOBODY = 65534

# What the vendor's server and Debian's client need of Perl for TLS.
PERL = ("libio-socket-ssl-perl", "libnet-ssleay-perl", "libterm-readkey-perl")


class End(enum.Enum):
    """What comes when no bytes come."""

    CLOSED = "closed at once"
    LATE = "closed after the time-outs"
    ALERT = "a TLS alert"
    KEPT = "nothing, and the connection stays"


CLOSED, LATE, ALERT, KEPT = End

Want = bytes | End | frozenset[bytes]


@dataclass(frozen=True)
class Row:
    """One connection: the server's configuration, and what is sent with what comes back; a set is lines in
    any order. tls: the client speaks it, without ("yes") or with its certificate ("client", "stranger")."""

    conf: str
    steps: tuple[tuple[bytes, Want], ...]
    tls: str = ""
    before: dict[str, bytes] = field(default_factory=dict)
    after: dict[str, bytes | None] = field(default_factory=dict)


def digest(password: str) -> bytes:
    return hashlib.md5(hashlib.md5(password.encode()).digest()).hexdigest().encode()


def zipped(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", data)
    return made.getvalue()


def client_hello() -> bytes:
    """The first bytes of a TLS client, not ending as a line does."""
    while True:
        outgoing = ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with contextlib.suppress(ssl.SSLWantReadError):
            context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="host.invalid").do_handshake()
        hello = outgoing.read()
        if not hello.endswith(b"\n"):
            return hello


ASK, MISSING = b"RECV <missing>\n", b"RECV ERR (file does not exist)\n"
EXISTS = b"SEND ERR (file already exists)\n"
INVALID = b"RECV ERR (file has an invalid file name)\n"
BIG, BIG_LINE = b"SEND ERR (file is too big)\n", b"x" * 1025
QUIT = (b"QUIT\n", CLOSED)
TLS = "ssl_cert {certs}/server.pem\nssl_key {certs}/server.key\n"
MUTUAL = TLS + "ssl_ca {certs}/ca.pem\n"
PASSWORD = "password sesame\n"
PASS = (b"PASS " + digest("sesame") + b"\n", b"PASS OK\n")
WRONG = b"PASS " + digest("wrong") + b"\n"

ROWS = {
    # What the probes of the audit see.
    "plain: a missing file": Row("", ((ASK, MISSING), (ASK, MISSING), QUIT)),
    "plain: SIZE 0": Row("", ((b"SEND <a> SIZE 0\n", BIG), QUIT)),
    "plain: above max_size": Row("", ((b"SEND <a> SIZE 2000001\n", BIG), QUIT), after={"a": None}),
    "plain: at max_size": Row("", ((b"SEND <a> SIZE 2000000\n", b"SEND OK\n"),), after={"a": None}),
    "plain: own max_size": Row("max_size 3\n", ((b"SEND <a> SIZE 4\n", BIG), (b"SEND <a> SIZE 3\n", b"SEND OK\n"))),
    "plain: nothing is said first": Row("", ((b"", LATE),)),
    "plain: TLS hello": Row("", ((client_hello(), LATE),)),
    "plain: TLS hello above a block": Row("", ((b"\x16\x03\x01\x06\x00" + b"x" * 1600, CLOSED),)),
    "plain: PASS without a password": Row("", ((b"PASS " + digest("sesame") + b"\n", CLOSED),)),
    "password: RECV": Row(PASSWORD, ((ASK, CLOSED),)),
    "password: SEND": Row(PASSWORD, ((b"SEND <a> SIZE 0\n", CLOSED),)),
    "password: wrong": Row(PASSWORD, ((WRONG, CLOSED),)),
    "password: as text": Row(PASSWORD, ((b"PASS sesame\n", CLOSED),)),
    "password: right": Row(PASSWORD, (PASS, (ASK, MISSING), QUIT)),
    "password: twice": Row(PASSWORD, (PASS, (PASS[0], CLOSED))),
    "password: silence": Row(PASSWORD, ((b"", LATE),)),
    "quiet: wrong password": Row(PASSWORD + "quiet 1\n", ((WRONG, b"PASS OK\n"), (ASK, MISSING), QUIT)),
    "quiet: no password": Row(PASSWORD + "quiet 1\n", ((ASK, b"PASS OK\n"), (ASK, MISSING), QUIT)),
    "quiet: silence": Row("quiet 1\n", ((b"", KEPT), (ASK, MISSING), QUIT)),
    "quiet: unknown": Row("quiet 1\n", ((b"NOOP\n", CLOSED),)),
    "quiet: long line": Row("quiet 1\n", ((BIG_LINE * 3, KEPT), (b"\n", CLOSED))),
    "tls: plain RECV": Row(TLS, ((ASK, CLOSED),)),
    "tls: silence": Row(TLS, ((b"", KEPT),)),
    "tls: RECV": Row(TLS, ((ASK, MISSING), QUIT), "yes"),
    "tls: silence inside": Row(TLS, ((b"", LATE),), "yes"),
    "tls: a certificate nobody asked for": Row(TLS, ((b"", ALERT),), "client"),
    "tls: password missing": Row(TLS + PASSWORD, ((ASK, CLOSED),), "yes"),
    "tls: password wrong": Row(TLS + PASSWORD, ((WRONG, CLOSED),), "yes"),
    "tls: password right": Row(TLS + PASSWORD, (PASS, (ASK, MISSING), QUIT), "yes"),
    "mutual: plain RECV": Row(MUTUAL, ((ASK, CLOSED),)),
    "mutual: no certificate": Row(MUTUAL, ((b"", ALERT),), "yes"),
    "mutual: of another CA": Row(MUTUAL, ((b"", ALERT),), "stranger"),
    "mutual: the certificate": Row(MUTUAL, ((ASK, MISSING), QUIT), "client"),
    "mutual: and password": Row(MUTUAL + PASSWORD, (PASS, (ASK, MISSING), QUIT), "client"),
    "mutual: a CA alone does nothing": Row("ssl_ca {certs}/ca.pem\n", ((ASK, MISSING), QUIT)),
    # Five bytes are eaten before the handshake is given up.
    "quiet: through TLS in plain text": Row(MUTUAL + "quiet 1\n", ((b"xxxxx", b""), (ASK, MISSING), QUIT)),
    "tls: key in the file of the certificate": Row("ssl_cert {certs}/both.pem\n", ((ASK, MISSING), QUIT), "yes"),
    "tls: key of another certificate": Row(
        "ssl_cert {certs}/server.pem\nssl_key {certs}/client.key\n", ((client_hello(), CLOSED),)
    ),
    # Lines.
    "line: unknown": Row("", ((b"NOOP\n", CLOSED),)),
    "line: empty": Row("", ((b"\n", CLOSED),)),
    "line: small letters": Row("", ((b"recv <missing>\n", CLOSED),)),
    "line: no brackets": Row("", ((b"RECV missing\n", CLOSED),)),
    "line: return": Row("", ((b"RECV <missing>\r\n", CLOSED),)),
    "line: size of letters": Row("", ((b"SEND <a> SIZE x\n", CLOSED),)),
    "line: no size": Row("", ((b"SEND <a>\n", CLOSED),)),
    "line: two at once": Row("", ((ASK + ASK, CLOSED),)),
    "line: two ends": Row("", ((ASK + b"\n", MISSING), QUIT)),
    "line: in parts": Row("", ((b"RECV <mis", b""), (b"sing>\n", MISSING), QUIT)),
    "line: never ended": Row("", ((b"RECV <mis", LATE),)),
    "line: too long": Row("", ((BIG_LINE, CLOSED),)),
    "line: long": Row("", ((b"RECV <" + b"a" * 1100 + b">\n", MISSING), QUIT)),
    "line: NUL": Row("", ((b"RECV <a\0b>\n", MISSING), (b"SEND <a\0b> SIZE 1\n", b"SEND OK\n"), (b"1", CLOSED))),
    "line: long name to write": Row("", ((b"SEND <" + b"a" * 300 + b"> SIZE 1\n", b"SEND OK\n"), (b"1", CLOSED))),
    "line: other bytes": Row("", ((b"RECV <\xff\x01 \xc3\xa9>\n", MISSING), QUIT)),
    "line: name with a bracket": Row("", ((b"RECV <a> <b>\n", INVALID), QUIT)),
    "line: dots": Row("", ((b"RECV <..>\n", MISSING), (b"RECV <>\n", MISSING), QUIT)),
    "line: LS": Row("", ((b"LS <a>\n", CLOSED),)),
    "line: MV": Row("", ((b"MV <a>\n", CLOSED),), before={"a": b"1"}, after={"a": b"1"}),
    # Files.
    "recv: a file": Row(
        "", ((b"RECV <a.b>\n", b"RECV SIZE 5\n"), (b"RECV OK\n", b"hel\nl"), QUIT), before={"a.b": b"hel\nl"}
    ),
    "recv: big": Row(
        "",
        ((b"RECV <a>\n", b"RECV SIZE 300000\n"), (b"RECV OK\n", b"\x00x\n" * 100000), QUIT),
        before={"a": b"\x00x\n" * 100000},
    ),
    "recv: not wanted": Row(
        "", ((b"RECV <a>\n", b"RECV SIZE 1\n"), (b"RECV NO\n", b""), (ASK, MISSING), QUIT), before={"a": b"1"}
    ),
    "recv: empty": Row("", ((b"RECV <a>\n", b"RECV SIZE 0\n"), (b"RECV OK\n", CLOSED)), before={"a": b""}),
    "recv: tls": Row(
        TLS, ((b"RECV <a>\n", b"RECV SIZE 5\n"), (b"RECV OK\n", b"hello"), QUIT), "yes", before={"a": b"hello"}
    ),
    "send: a file": Row(
        "",
        ((b"SEND <a.b> SIZE 5\n", b"SEND OK\n"), (b"hel\nl", b"SEND OK\n"), QUIT),
        after={"a.b": b"hel\nl"},
    ),
    "send: tls": Row(
        TLS,
        ((b"SEND <a> SIZE 90000\n", b"SEND OK\n"), (b"\nxy" * 30000, b"SEND OK\n"), QUIT),
        "yes",
        after={"a": b"\nxy" * 30000},
    ),
    "send: with the line": Row("", ((b"SEND <a> SIZE 5\nhello", LATE),), after={"a": None}),
    "send: too little": Row("", ((b"SEND <a> SIZE 5\n", b"SEND OK\n"), (b"hell", LATE)), after={"a": None}),
    "send: and a command": Row(
        "", ((b"SEND <a> SIZE 5\n", b"SEND OK\n"), (b"helloQUIT\n", b"SEND OK\n"), (b"", CLOSED)), after={"a": b"hello"}
    ),
    "send: exists": Row(
        "",
        ((b"SEND <a> SIZE 5\n", EXISTS), QUIT),
        before={"a": b"old"},
        after={"a": b"old"},
    ),
    "send: invalid": Row("", ((b"SEND <../a> SIZE 5\n", b"SEND ERR (invalid file name)\n"), QUIT)),
    "send: a folder": Row("", ((b"SEND <..> SIZE 1\n", b"SEND OK\n"), (b"1", CLOSED))),
    "send: overwrite": Row(
        "overwrite 1\n",
        ((b"SEND <a> SIZE 3\n", b"SEND OK\n"), (b"new", b"SEND OK\n"), QUIT),
        before={"a": b"older"},
        after={"a": b"new"},
    ),
    "send: to the folder of a filter": Row(
        "filters no:no;.*\\.conf:conf/;.*:other\n",
        ((b"SEND <a.conf> SIZE 1\n", b"SEND OK\n"), (b"1", b"SEND OK\n"), QUIT),
        before={"conf/.keep": b""},
        after={"conf/a.conf": b"1", "a.conf": None},
    ),
    "recv: filters search": Row(
        "filters conf:conf\n",
        ((b"RECV <xconfx>\n", b"RECV SIZE 1\n"), (b"RECV OK\n", b"1"), QUIT),
        before={"conf/xconfx": b"1"},
    ),
    "send: to no folder": Row("filters a:none\n", ((b"SEND <a> SIZE 1\n", b"SEND OK\n"), (b"1", CLOSED))),
    "send: to no folder, quiet": Row(
        "filters a:none\nquiet 1\n", ((b"SEND <a> SIZE 1\n", b"SEND OK\n"), (b"1", b"SEND OK\n"), QUIT)
    ),
    "zsend: a file": Row(
        "",
        (
            (b"ZSEND <a> SIZE %d\n" % len(zipped(b"hello" * 99)), b"ZSEND OK\n"),
            (zipped(b"hello" * 99), b"ZSEND OK\n"),
            QUIT,
        ),
        after={"a": b"hello" * 99},
    ),
    "zsend: no archive": Row(
        "", ((b"ZSEND <a> SIZE 5\n", b"ZSEND OK\n"), (b"hello", b"ZSEND OK\n"), QUIT), after={"a": b"hello"}
    ),
    "zsend: half an archive": Row(
        "",
        ((b"ZSEND <a> SIZE 36\n", b"ZSEND OK\n"), (zipped(b"hello")[:36], b"ZSEND ERR\n"), (ASK, MISSING), QUIT),
        after={"a": None},
    ),
    "zsend: refused": Row(
        "",
        (
            (b"ZSEND <a> SIZE 0\n", b"ZSEND ERR (file is too big)\n"),
            (b"ZSEND <a*> SIZE 1\n", b"ZSEND ERR (invalid file name)\n"),
            (b"ZRECV <a*>\n", b"ZRECV ERR (file has an invalid file name)\n"),
            (b"ZRECV <a>\n", b"ZRECV ERR (file does not exist)\n"),
            QUIT,
        ),
    ),
    "insecure: LS": Row(
        "insecure 1\nfilters look:look\n",
        (
            (b"LS <look>\n", b"LS SIZE 9\n"),
            (b"LS OK\n", frozenset({b".", b"..", b"one"})),
            (b"LS <a*>\n", b"LS ERR\n"),
            QUIT,
        ),
        before={"look/one": b"", "look/t*o": b""},
    ),
    "insecure: LS of no folder": Row("insecure 1\nfilters a:none\n", ((b"LS <a>\n", b"LS ERR\n"), QUIT)),
    "insecure: MV": Row(
        "insecure 1\n",
        ((b"MV <a>\n", b"MV SIZE 3\n"), (b"MV OK\n", b"1\n2"), (b"MV <a>\n", b"MV ERR\n"), QUIT),
        before={"a": b"1\n2"},
        after={"a": None},
    ),
    "insecure: MV of an empty file": Row(
        "insecure 1\n",
        ((b"MV <a>\n", b"MV SIZE 0\n"), (b"MV OK\n", b""), (ASK, MISSING), QUIT),
        before={"a": b""},
        after={"a": None},
    ),
    # The configuration file.
    "conf: last wins": Row("password no\npassword sesame\n", (PASS, QUIT)),
    "conf: blanks before": Row(" password sesame\n\tpassword sesame\n", ((ASK, MISSING), QUIT)),
    "conf: blanks between": Row("password \t  sesame\n", (PASS, QUIT)),
    "conf: blanks after": Row("password sesame \n", ((b"PASS " + digest("sesame ") + b"\n", b"PASS OK\n"), QUIT)),
    "conf: a comment after": Row("insecure 1 # yes\n", ((b"LS <a>\n", CLOSED),)),
    "conf: a comment": Row("#password sesame\n# password sesame\n", ((ASK, MISSING), QUIT)),
    "conf: no value": Row("password\npassword   \n", ((ASK, MISSING), QUIT)),
    "conf: no value after one": Row("password sesame\npassword \n", (PASS, QUIT)),
    "conf: capitals": Row("Password sesame\n", ((ASK, MISSING), QUIT)),
    "conf: equals": Row(
        "password=sesame\npassword = sesame\n", ((b"PASS " + digest("= sesame") + b"\n", b"PASS OK\n"),)
    ),
    "conf: garbage before": Row("x, password sesame\n", (PASS, QUIT)),
    "conf: quotes": Row('password "sesame"\n', ((b"PASS " + digest('"sesame"') + b"\n", b"PASS OK\n"),)),
    "conf: a yes": Row("insecure yes\n", ((b"LS <a>\n", CLOSED),)),
    "conf: a 2": Row("overwrite 2\n", ((b"SEND <a> SIZE 1\n", EXISTS),), before={"a": b""}),
    "conf: names of bytes": Row("invalid_chars x\n", ((b"RECV <x>\n", INVALID), (b"RECV <*>\n", MISSING), QUIT)),
    "conf: return": Row("password sesame\r\n", ((b"PASS " + digest("sesame\r") + b"\n", b"PASS OK\n"), QUIT)),
}
for character in "?[]/\\=+<>:;',*~":
    ROWS[f"forbidden: {character}"] = Row("", ((b"RECV <a%bb>\n" % character.encode(), INVALID), QUIT))
for character in ' !"#$%&()-.@^_`{|}':
    ROWS[f"allowed: {character}"] = Row("", ((b"RECV <a%bb>\n" % character.encode(), MISSING), QUIT))


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that the server's user can read, below which each server has its own."""
    folder = Path(tempfile.mkdtemp(prefix="tentacle-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def certs(place: Path) -> Path:
    """Two authorities; a server and a client of the first, a stranger of the second."""
    folder = place / "certs"
    folder.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for authority in ("ca", "other"):
        openssl(
            "req", "-x509", *key, "-subj", f"/CN={authority}", "-keyout", f"{authority}.key", "-out", f"{authority}.pem"
        )
    for name, authority in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
        openssl(
            "req",
            *key,
            "-subj",
            f"/CN={name}",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
        )
        signer = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial")
        openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            *signer,
            "-copy_extensions",
            "copy",
            "-days",
            "2",
            "-out",
            f"{name}.pem",
        )
    (folder / "both.pem").write_text((folder / "server.pem").read_text() + (folder / "server.key").read_text())
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


@pytest.fixture(scope="module")
def debian(place: Path) -> Callable[..., Path]:
    """Takes packages of this machine's Debian apart into a folder, without installing them."""

    def unpack(*packages: str) -> Path:
        folder = place / "debian" / packages[0]
        if not folder.exists():
            folder.mkdir(parents=True)
            got = subprocess.run(
                ["apt-get", "download", *packages], cwd=folder, capture_output=True, text=True, timeout=120
            )
            if got.returncode:
                pytest.skip(f"apt-get cannot download {' '.join(packages)}: {got.stderr.strip()[-200:]}")
            for file in folder.glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", file, folder], check=True, timeout=60)
        return folder

    return unpack


@pytest.fixture(scope="module")
def perl(debian: Callable[..., Path]) -> dict[str, str]:
    """An environment in which Perl has TLS."""
    if not subprocess.run(["perl", "-MIO::Socket::SSL", "-MTerm::ReadKey", "-e", "1"], capture_output=True).returncode:
        return dict(os.environ)
    folder = debian(*PERL)
    found = [str(each) for each in (folder / "usr/share/perl5", *folder.glob("usr/lib/*/perl5/*"))]
    return {**os.environ, "PERL5LIB": ":".join(found)}


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    data: Path
    output: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)


class Kind:
    """Ours or the vendor's, and those of it that run."""

    def __init__(self, command: list[str], environment: dict[str, str], place: Path, certs: Path) -> None:
        self.command = command
        self.environment = environment
        self.place = place
        self.certs = certs
        self.running: dict[str, Server] = {}

    def folder(self) -> Path:
        """A new one, that the server's user owns."""
        folder = Path(tempfile.mkdtemp(dir=self.place))
        if ROOT:
            os.chown(folder, NOBODY, NOBODY)
        return folder

    def start(self, *arguments: str, output: int | io.BufferedWriter = subprocess.PIPE) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=self.environment,
            user=NOBODY if ROOT else None,
            group=NOBODY if ROOT else None,
            extra_groups=[] if ROOT else None,
        )

    def serve(self, conf: str, *arguments: str) -> Server:
        """A server of its own that listens."""
        folder = self.folder()
        data = folder / "data"
        data.mkdir()
        data.chmod(0o777)
        port = free_port()
        lines = f"addresses 127.0.0.1\nport {port}\ndirectory {data}\nretries 1\n{conf.format(certs=self.certs)}"
        (folder / "tentacle.conf").write_text(lines, newline="")
        with (folder / "output").open("wb") as output:
            process = self.start("-F", str(folder / "tentacle.conf"), *arguments, output=output)
        server = Server(process, port, data, folder / "output")
        end = time.monotonic() + 10
        while not listens(port):
            assert process.poll() is None, server.output.read_text()
            assert time.monotonic() < end, server.output.read_text()
            time.sleep(0.02)
        return server

    def shared(self, conf: str) -> Server:
        """One server for all that want the same configuration; one that is quiet may lose a client's place."""
        if conf not in self.running:
            self.running[conf] = self.serve(conf)
        return self.running[conf]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def listens(port: int) -> bool:
    """Whether something does at 127.0.0.1; seen without a connection, which would take a place."""
    return any(
        line.split()[1] == f"0100007F:{port:04X}" and line.split()[3] == "0A"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
    )


def stop(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(5)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture(scope="module", params=["ours", "vendor"])
def kind(request: pytest.FixtureRequest, place: Path, certs: Path) -> Iterator[Kind]:
    if request.param == "vendor":
        if not VENDORS:
            pytest.skip("PANDORA_TENTACLE_SERVER names no server of the vendor's")
        program = shutil.copy(VENDORS, place / "vendor")
        made = Kind(["perl", str(program)], request.getfixturevalue("perl"), place, certs)
    else:
        program = shutil.copy(OURS, place / "tentacle_server")
        made = Kind(["/usr/bin/python3", str(program)], dict(os.environ), place, certs)
    yield made
    for server in made.running.values():
        stop(server.process)


def secured(connection: socket.socket, tls: str, certs: Path) -> socket.socket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(certs / "ca.pem")
    if tls != "yes":
        context.load_cert_chain(certs / f"{tls}.pem", certs / f"{tls}.key")
    return context.wrap_socket(connection, suppress_ragged_eofs=False)


def answer(connection: socket.socket, wanted: Want) -> Want:
    """What comes: as many bytes as are wanted, or how it ends without any. The time-outs are 2 seconds."""
    started = time.monotonic()
    length = len(wanted) if isinstance(wanted, bytes) else 65536
    data = b""
    while len(data) < length:
        connection.settimeout(max(0.05, started + (3 if not data else 0.3) - time.monotonic()))
        try:
            piece = connection.recv(length - len(data))
        except TimeoutError:
            break
        except ssl.SSLEOFError:
            piece = b""
        except ssl.SSLError as error:
            return ALERT if "ALERT" in (error.reason or "") else CLOSED
        except ConnectionResetError:
            piece = b""
        if not piece:
            # OpenSSL may leave an alert behind for a client without TLS.
            if data and not data.startswith(b"\x15"):
                return data
            return CLOSED if time.monotonic() < started + 1 else LATE
        data += piece
    if isinstance(wanted, frozenset):
        return frozenset(data.splitlines())
    return data or (KEPT if length else b"")


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).parent.chmod(0o777)
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o666)


@pytest.mark.parametrize("name", ROWS)
def test_exchange(kind: Kind, name: str) -> None:
    row = ROWS[name]
    server = kind.shared(row.conf)
    fill(server.data, row.before)
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(server.connect())
        if row.tls:
            connection = stack.enter_context(secured(connection, row.tls, kind.certs))
        for sent, wanted in row.steps:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(sent)
            assert answer(connection, wanted) == wanted, sent
            if wanted == b"":
                time.sleep(0.1)  # what is sent next is to be another packet
    for path, data in row.after.items():
        file = server.data / path
        assert (file.read_bytes() if file.exists() else None) == data


def asks(connection: socket.socket) -> bool:
    """Whether a question is answered now."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(ASK)
    return answer(connection, MISSING) == MISSING


def test_connections_are_bounded(kind: Kind) -> None:
    server = kind.serve("max_connections 1\nretries 30\n")
    with server.connect() as first, server.connect() as second:
        assert asks(first)
        assert not asks(second)
        first.close()
        assert answer(second, MISSING) == MISSING
    stop(server.process)


@pytest.mark.parametrize(("conf", "free"), [("", True), ("quiet 1\n", False)], ids=["", "quiet"])
def test_who_leaves_without_quit(kind: Kind, conf: str, free: bool) -> None:
    """With quiet, a client that only closes keeps its place for ever: no probe may do that."""
    server = kind.serve("max_connections 1\n" + conf)
    with server.connect() as rude:
        assert asks(rude)
    with server.connect() as polite:
        assert asks(polite) == free
    stop(server.process)


def test_silent_tls_clients_block_the_server(kind: Kind) -> None:
    server = kind.serve(TLS + "max_connections 2\n")
    with server.connect(), server.connect(), server.connect() as third:
        third.sendall(client_hello())
        assert answer(third, b"\x16") == KEPT
    stop(server.process)


def test_broken_clients_stop_nothing(kind: Kind) -> None:
    for conf, tls in (("", ""), (TLS, "yes")):
        server = kind.serve(conf + "max_connections 3\n")
        for number in range(30):
            with server.connect() as broken:
                broken.sendall(os.urandom(number * 100) + b"SEND <a> SIZE 9\n" * (number % 3))
                if number % 2:  # a reset
                    broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        with contextlib.ExitStack() as stack:
            whole = stack.enter_context(server.connect())
            whole = stack.enter_context(secured(whole, tls, kind.certs)) if tls else whole
            assert asks(whole)
        assert stop(server.process) == -signal.SIGTERM


# The vendor's is what Perl last heard from the kernel, or 255: not 1, at which its unit would not start it again.
ERROR = frozenset(range(2, 256))
USAGE = frozenset({1})

WRONG_STARTS = {
    "no directory": ((), USAGE, "Usage:"),
    "unknown flag": (("-s", "{data}", "-Z"), USAGE, "Usage:"),
    "help": (("-s", "{data}", "-h"), USAGE, "Usage:"),
    "more arguments": (("-s", "{data}", "more"), USAGE, "Usage:"),
    "no such file": (("-F", "/nonexistent"), USAGE, "Configuration file /nonexistent is not readable."),
    "no such directory": (("-s", "/nonexistent"), ERROR, "[err]Directory /nonexistent does not exist."),
    "not to be written": (("-s", "/usr"), ERROR, "[err]Cannot write to directory /usr."),
    "no such certificate": (("-s", "{data}", "-e", "/nonexistent"), ERROR, "[err]File /nonexistent does not exist."),
    "no such CA": (("-s", "{data}", "-f", "/nonexistent"), ERROR, "[err]File /nonexistent does not exist."),
    "no such key": (("-s", "{data}", "-k", "/nonexistent"), ERROR, "[err]File /nonexistent does not exist."),
    "address": (("-s", "{data}", "-a", "host-1"), ERROR, "[err]Address host-1 is not valid."),
    "high address": (("-s", "{data}", "-a", "1.2.3.256"), ERROR, "[err]Address 1.2.3.256 is not valid."),
    "port 0": (("-s", "{data}", "-p", "0"), ERROR, "[err]"),
    "port 65536": (("-s", "{data}", "-p", "65536"), ERROR, "[err]"),
    "no connections": (("-s", "{data}", "-c", "0"), ERROR, "[err]"),
    "no bytes": (("-s", "{data}", "-m", "-1"), ERROR, "[err]"),
    "no retries": (("-s", "{data}", "-r", "x"), ERROR, "[err]"),
    "no timeout": (("-s", "{data}", "-t", "0.5"), ERROR, "[err]"),
    "quiet comes too late": (("-s", "{data}", "-q", "-p", "0"), ERROR, "[err]"),
    "libwrap": (("-s", "{data}", "-T"), ERROR, "[err]Authen::Libwrap is not installed."),
    "windows": (("-s", "{data}", "-S", "run"), ERROR, "[err]"),
    "no log": (("-s", "{data}", "-l", "/nonexistent/log"), ERROR, "Error opening the log file '/nonexistent/log'"),
    "port in use": (("-s", "{data}", "-a", "127.0.0.1", "-p", "{used}"), ERROR, "[err]Cannot open socket"),
}


@pytest.mark.parametrize("name", WRONG_STARTS)
def test_does_not_start(kind: Kind, name: str) -> None:
    arguments, status, said = WRONG_STARTS[name]
    with socket.create_server(("127.0.0.1", 0)) as used:
        filled = [each.format(data=kind.folder(), used=used.getsockname()[1]) for each in arguments]
        process = kind.start(*filled)
        output = process.communicate(timeout=10)[0].decode()
    assert said in output
    assert process.returncode in status


def test_quiet_starts_without_its_directory(kind: Kind) -> None:
    port = free_port()
    process = kind.start("-q", "-s", "/nonexistent", "-p", str(port), "-a", "127.0.0.1", "-t", "x")
    end = time.monotonic() + 5
    while not listens(port) and time.monotonic() < end:
        time.sleep(0.02)
    assert listens(port)
    stop(process)


@pytest.mark.skipif(not ROOT, reason="only root can be refused")
def test_root_is_refused(kind: Kind) -> None:
    done = subprocess.run(
        [*kind.command, "-s", "/tmp"], env=kind.environment, capture_output=True, text=True, timeout=10
    )
    assert done.returncode == 1
    assert "cannot be run with root privileges" in done.stdout


def test_flags_beat_the_file(kind: Kind) -> None:
    server = kind.serve("password no\nmax_size 3\ninsecure 0\n", "-x", "sesame", "-m", "4", "-I", "-V")
    with server.connect() as connection:
        for sent, wanted in (PASS, (b"SEND <a> SIZE 5\n", BIG), (b"LS <*>\n", b"LS ERR\n"), QUIT):
            connection.sendall(sent)
            assert answer(connection, wanted) == wanted
    stop(server.process)


def test_addresses(kind: Kind) -> None:
    port = free_port()
    process = kind.start("-s", str(kind.folder()), "-p", str(port), "-a", "127.0.0.1, 127.0.0.3,localhost")
    end = time.monotonic() + 5
    while not listens(port) and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.2)
    heard = []
    for number in (1, 2, 3):
        with socket.socket() as tried:
            heard.append(tried.connect_ex((f"127.0.0.{number}", port)) == 0)
    stop(process)
    assert heard == [True, False, True]


def test_all_addresses(kind: Kind) -> None:
    """Without addresses it is all of IPv4, and of IPv6 where the vendor's finds Perl's module for it."""
    port = free_port()
    process = kind.start("-s", str(kind.folder()), "-p", str(port))
    end = time.monotonic() + 5
    heard = False
    while not heard and time.monotonic() < end:
        with socket.socket() as tried:
            heard = tried.connect_ex(("127.0.0.2", port)) == 0
        time.sleep(0.05)
    stop(process)
    assert heard


LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\[(log|info|err)\](.*)")


@pytest.mark.parametrize(("flag", "kinds"), [("", {"err"}), ("-v", {"err", "log"}), ("-V", {"err", "log", "info"})])
def test_log(kind: Kind, flag: str, kinds: set[str]) -> None:
    file = kind.folder() / "log"
    server = kind.serve(PASSWORD + f"log_file {file}\nverbose 0\n", *filter(None, [flag]))
    for steps in ((PASS, (ASK, MISSING), QUIT), ((WRONG, CLOSED),)):
        with server.connect() as connection:
            for sent, wanted in steps:
                connection.sendall(sent)
                assert answer(connection, wanted) == wanted
    stop(server.process)
    lines = file.read_text().splitlines()
    # The standalone one of the vendor's ends some lines in two.
    found = [LINE.fullmatch(line) for line in lines if line != "."]
    assert {each[1] if each else None for each in found} == kinds
    texts = [each[2] for each in found if each]
    assert "Invalid password from 127.0.0.1." in texts
    assert ("Client 127.0.0.1 authenticated." in texts) == ("log" in kinds)
    assert ("Client connected from 127.0.0.1." in texts) == ("info" in kinds)


def test_daemon(kind: Kind) -> None:
    """It leaves at once with 0, serves on in a session of its own, makes files for all, and SIGTERM ends it."""
    port, data = free_port(), kind.folder()
    assert (
        kind.start("-d", "-s", str(data), "-p", str(port), "-a", "127.0.0.1", output=subprocess.DEVNULL).wait(10) == 0
    )
    end = time.monotonic() + 5
    while not listens(port) and time.monotonic() < end:
        time.sleep(0.02)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for sent, wanted in ((b"SEND <a> SIZE 1\n", b"SEND OK\n"), (b"1", b"SEND OK\n"), QUIT):
            connection.sendall(sent)
            assert answer(connection, wanted) == wanted
    assert (data / "a").stat().st_mode & 0o777 == 0o666
    (pid,) = (
        int(each.name)
        for each in Path("/proc").iterdir()
        if each.name.isdigit() and str(data).encode() in readable(each / "cmdline")
    )
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGTERM)
    while listens(port) and time.monotonic() < end + 5:
        time.sleep(0.02)
    assert not listens(port)


def readable(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


# Flags of the client, the server's configuration, and whether it comes through.
CLIENTS = {
    "plain": ("", "", True),
    "plain to TLS": ("", TLS, False),
    "password": ("-x sesame", PASSWORD, True),
    "password wrong": ("-x wrong", PASSWORD, False),
    "password missing": ("", PASSWORD, False),
    "password that nobody wants": ("-x sesame", "", False),
    "password wrong, quiet": ("-x wrong", PASSWORD + "quiet 1\n", True),
    "tls": ("-c", TLS, True),
    "tls to plain": ("-c", "", False),
    "tls, password": ("-c -x sesame", TLS + PASSWORD, True),
    "tls, password wrong": ("-c -x wrong", TLS + PASSWORD, False),
    "tls, password missing": ("-c", TLS + PASSWORD, False),
    "certificate": ("-e {certs}/client.pem -k {certs}/client.key -f {certs}/ca.pem", MUTUAL, True),
    "certificate and password": ("-e {certs}/client.pem -k {certs}/client.key -x sesame", MUTUAL + PASSWORD, True),
    "certificate missing": ("-c", MUTUAL, False),
    "certificate of another CA": ("-e {certs}/stranger.pem -k {certs}/stranger.key", MUTUAL, False),
}


# Debian's client says '0x01' where newer modules for TLS want a number.
NUMBERS = """
if (eval { require IO::Socket::SSL }) {
    my $start = \\&IO::Socket::SSL::start_SSL;
    no warnings "redefine";
    *IO::Socket::SSL::start_SSL = sub {
        my ($class, $socket, %options) = @_;
        my $mode = $options{SSL_verify_mode};
        $options{SSL_verify_mode} = hex $mode if defined $mode && $mode =~ /^0x/;
        $start->($class, $socket, %options);
    };
}
do(shift @ARGV) // die $@ || $!;
"""


@pytest.fixture(scope="module")
def tentacle_client(perl: dict[str, str], debian: Callable[..., Path], certs: Path) -> Callable[..., int]:
    """Runs the real client; its exit status."""
    path = os.environ.get("PANDORA_TENTACLE_CLIENT") or shutil.which("tentacle_client")
    client = path or str(debian("pandorafms-agent") / "usr/bin/tentacle_client")
    # An older client with -c trusts whom the system trusts.
    environment = {**perl, "SSL_CERT_FILE": str(certs / "ca.pem")}

    def run(port: int, *arguments: str, folder: Path) -> int:
        command = ["perl", "-e", NUMBERS, client, "-a", "127.0.0.1", "-p", str(port), "-r", "2", *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=30).returncode

    return run


@pytest.mark.parametrize("name", CLIENTS)
def test_the_real_client(kind: Kind, tentacle_client: Callable[..., int], name: str, tmp_path: Path) -> None:
    flags, conf, through = CLIENTS[name]
    server = kind.shared(conf)
    fill(server.data, {"down": b"\x00down\n" * 999})
    (tmp_path / "up.xml").write_bytes(b"up\n" * 9999)
    arguments = flags.format(certs=kind.certs).split()
    sent = tentacle_client(server.port, *arguments, "up.xml", folder=tmp_path)
    fetched = tentacle_client(server.port, *arguments, "-g", "down", folder=tmp_path)
    up, down = server.data / "up.xml", tmp_path / "down"
    assert (up.exists() and up.read_bytes() == b"up\n" * 9999) == through
    assert (down.exists() and down.read_bytes() == b"\x00down\n" * 999) == through
    assert ((sent, fetched) == (0, 0)) == through
    if through:  # once more: it exists
        assert tentacle_client(server.port, *arguments, "up.xml", folder=tmp_path) != 0


UNIT = """[Service]
Type=forking
ExecStart=/usr/bin/tentacle_server -F /etc/tentacle/tentacle_server.conf
User=pandora
"""


@pytest.mark.parametrize("image", ["bookworm", "trixie"])
def test_as_a_service_of_a_host(image: str) -> None:
    lab.required()

    def installed(host: lab.Host) -> None:
        host.run("useradd -r pandora && install -d -o pandora -m 700 /var/spool/pandora/data_in")
        host.write("/usr/bin/tentacle_server", OURS.read_text(), mode=0o755)
        host.write("/etc/systemd/system/tentacle_serverd.service", UNIT)
        conf = "addresses 0.0.0.0\ndaemon 1\ndirectory /var/spool/pandora/data_in\nlog_file /dev/null\n"
        host.write("/etc/tentacle/tentacle_server.conf", conf)

    with lab.boot(image, [installed]) as host:
        host.run("systemctl start tentacle_serverd")
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection((host.address, 41121), timeout=1) as connection:
                assert asks(connection)
                break
        else:
            pytest.fail(host.run("systemctl status tentacle_serverd", check=False).stdout)
        assert "tentacle_server" in host.run("ps -o comm= -u pandora").stdout
        host.run("systemctl stop tentacle_serverd")
        assert host.run("systemctl show -p Result --value tentacle_serverd").stdout.strip() == "success"
