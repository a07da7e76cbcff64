"""An authority of our own that vouches for whoever signs programs, and a program for Windows to sign."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

_EXTENSIONS = """\
[leaf]
keyUsage=critical,digitalSignature
extendedKeyUsage=critical,codeSigning
[ca]
default_ca=ours
[ours]
database=index
serial=serial
new_certs_dir=.
default_md=sha256
policy=any
[any]
commonName=supplied
"""


def osslsigncode() -> str:
    """The program. Where root has none it is installed; without root, its absence skips visibly."""
    if not shutil.which("osslsigncode") and os.geteuid() == 0 and shutil.which("apt-get"):
        for argv in (("apt-get", "-qq", "update"), ("apt-get", "-qq", "install", "-y", "osslsigncode")):
            subprocess.run(argv, capture_output=True, timeout=240, check=False, stdin=subprocess.DEVNULL)
    found = shutil.which("osslsigncode")
    if found is None and os.environ.get("CI"):
        pytest.fail("osslsigncode is needed on CI")
    if found is None:
        pytest.skip("no osslsigncode on this machine")
    return found


def program(code: bytes = b"\xc3") -> bytes:
    """A program for Windows of one section, the smallest that can be signed."""
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    head += struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, 240, 0x22)
    head += struct.pack("<HBBIIIII", 0x20B, 14, 0, 512, 0, 0, 0x1000, 0x1000)
    head += struct.pack("<QIIHHHHHHIIIIHH", 0x140000000, 0x1000, 512, 6, 0, 0, 0, 6, 0, 0, 0x2000, 512, 0, 3, 0)
    head += struct.pack("<QQQQII", 0x100000, 0x1000, 0x100000, 0x1000, 0, 16) + bytes(128)
    head += struct.pack("<8sIIIIIIHHI", b".text", len(code), 0x1000, 512, 512, 0, 0, 0, 0, 0x60000020)
    return head.ljust(512, b"\0") + code.ljust(512, b"\xcc")


class Authority:
    """A certificate authority in a folder; ``certificate`` is what a site would trust."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.certificate = folder / "ca.pem"
        (folder / "openssl.cnf").write_text(_EXTENSIONS)
        (folder / "index").touch()
        (folder / "serial").write_text("01\n")
        subject = ("-subj", "/CN=Authority of a test", "-addext", "basicConstraints=critical,CA:true")
        self._openssl("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", *subject)

    def _openssl(self, *argv: str) -> None:
        done = subprocess.run(["openssl", *argv], cwd=self.folder, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, (argv, done.stderr)

    def signer(self, name: str, first: str = "", last: str = "") -> Path:
        """A certificate for signing programs, its key beside it; from a first to a last day, or now."""
        days = ("-startdate", first, "-enddate", last) if first else ("-days", "10")
        subject = ("-subj", f"/CN={name}")
        self._openssl("req", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", *subject)
        ours = ("-config", "openssl.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-extfile", "openssl.cnf")
        leaf = ("-extensions", "leaf", "-in", f"{name}.csr", "-out", f"{name}.pem")
        self._openssl("ca", "-batch", "-notext", *ours, *leaf, *days)
        return self.folder / f"{name}.pem"

    def himself(self, name: str) -> Path:
        """A certificate that nobody but its owner vouches for."""
        subject = ("-subj", f"/CN={name}", "-addext", "extendedKeyUsage=codeSigning", "-days", "10")
        self._openssl("req", "-x509", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.pem", *subject)
        return self.folder / f"{name}.pem"


_KEY = ("-newkey", "rsa:2048", "-nodes")


def sign(plain: Path, certificate: Path, signed: Path) -> Path:
    key = certificate.with_suffix(".key")
    argv = (osslsigncode(), "sign", "-certs", certificate, "-key", key, "-h", "sha256", "-in", plain, "-out", signed)
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout
    return signed
