"""Signatures of programs for Windows, on files that were really signed: what osslsigncode says, and the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
from judging import SHORT, controls, judge, plan
from signing import Authority, osslsigncode, program, sign

from pandora_audit.finding import Finding
from pandora_audit.formats.osslsigncode import State, read
from pandora_audit.gather import Machine, _probe
from pandora_audit.promises import Promises
from pandora_audit.question import Answer, Answers, Probe, Role, Unreadable
from pandora_audit.script import ROLES
from pandora_audit.target import Target

CONTROLS = {"agent.windows-signed": controls("tests_agents/test_agents.py")["agent.windows-signed"]}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installers, each signed in its own way, and the authority's certificate."""
    osslsigncode()
    folder = tmp_path_factory.mktemp("installers")
    ours, theirs = Authority(folder / "ours"), Authority(folder / "theirs")
    (folder / "ca.pem").write_bytes(ours.certificate.read_bytes())
    plain = folder / "unsigned.exe"
    plain.write_bytes(program())
    signed = sign(plain, ours.signer("Vendor"), folder / "signed.exe")
    changed = bytearray(signed.read_bytes())
    changed[600] ^= 1
    (folder / "tampered.exe").write_bytes(changed)
    sign(plain, ours.signer("Former", "20200101000000Z", "20210101000000Z"), folder / "expired.exe")
    sign(plain, theirs.signer("Stranger"), folder / "stranger.exe")
    sign(plain, theirs.himself("Nobody"), folder / "self-signed.exe")
    (folder / "text.exe").write_text("no program at all\n")
    (folder / "empty.exe").touch()
    return folder


def judged(folder: Path, *names: str, ca: bool = True) -> Finding:
    """The verdict on a Unix machine with an agent, which hands out these installers."""
    given = {"installers": (tuple(str(folder / name) for name in names), "site.yml:1")}
    promises = Promises.read(given | ({"signing_ca": (str(folder / "ca.pem"), "site.yml:2")} if ca else {}))
    target = Target(name="centre", address="", promises=promises)
    machine = Machine(target=target, asked_at=1710000000)
    probes = [question for question in plan(target, CONTROLS.values()).questions if isinstance(question, Probe)]
    found = {probe.key: _probe(probe, None) for probe in probes}  # type: ignore[arg-type]
    roles = "".join(f"{role} {'present /' if role is Role.AGENT else 'absent'}\n" for role in Role)
    found[ROLES] = Answer(key=ROLES, question=ROLES, status=0, out=roles.encode())
    machine.answers = Answers(found)
    return judge(machine, CONTROLS)["agent.windows-signed"]


@pytest.mark.parametrize(
    ("name", "ca", "verdict", "told"),
    [
        ("signed.exe", True, "C", "validly signed"),
        ("unsigned.exe", True, "N", "is not signed"),
        ("tampered.exe", True, "N", "was changed after it was signed"),
        ("expired.exe", True, "N", "has expired"),
        ("stranger.exe", True, "N", "no authority here vouches (Stranger)"),
        ("self-signed.exe", True, "N", "vouches for himself"),
        ("text.exe", True, "E", "could not read it"),
        ("empty.exe", True, "E", ""),
        ("missing.exe", True, "E", "No such file"),
        # Without a promise whom to trust, an authority that this machine lacks is no proof of anything.
        ("signed.exe", False, "E", "audit_signing_ca"),
        ("tampered.exe", False, "N", "was changed after it was signed"),
        ("self-signed.exe", False, "N", "vouches for himself"),
    ],
)
def test_the_verdict_on_an_installer(files: Path, name: str, ca: bool, verdict: str, told: str) -> None:
    found = judged(files, name, ca=ca)
    assert found.word is SHORT[verdict], found.told
    assert told in found.told
    assert not found.fault


def test_every_installer_counts(files: Path) -> None:
    found = judged(files, "signed.exe", "tampered.exe", "unsigned.exe")
    assert found.subjects == {str(files / "tampered.exe"), str(files / "unsigned.exe")}
    # One that nobody can judge hides none that is known to be wrong, and no wrong one is missing beside a right one.
    assert judged(files, "missing.exe", "unsigned.exe").subjects == {str(files / "unsigned.exe")}
    assert judged(files, "missing.exe", "signed.exe").word is SHORT["E"]


def test_without_the_program_nothing_is_assessed(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(files))
    assert "osslsigncode is not installed" in judged(files, "signed.exe").reason


def test_a_unix_machine_without_installers_has_nothing_to_do_with_it(files: Path) -> None:
    assert judged(files).word is SHORT["n/a"]


# What release 2.5 (Debian 12) and 2.9 say where they say it differently: captured from both, cut to what is read.
_CAPTURED = {
    "2.5 expired": (
        "Signer's certificate:\n\tSigner #0:\n\t\tSubject: /O=Test/CN=Test Vendor\n\nCAfile: ca.pem\n\n"
        "Timestamp is not available\n\nPKCS7_verify error\n4019C367CE7F0000:error:10800075:PKCS7 "
        "routines:PKCS7_verify:certificate verify error:../crypto/pkcs7/pk7_smime.c:291:Verify error: certificate has "
        "expired\nSignature verification: failed\n\nNumber of verified signatures: 1\nFailed\n",
        State.EXPIRED,
    ),
    "2.9, dated by somebody unknown": (
        "40E0:error:17000064:CMS routines:cms_signerinfo_verify_cert:certificate verify error:cms_smime.c:289:Verify "
        "error: unable to get local issuer certificate\n40E0:error:10800075:PKCS7 routines:PKCS7_verify:certificate "
        "verify error:pk7_smime.c:291:Verify error: certificate has expired\nSigner's certificate:\n\t---\n\tSigner "
        "#0:\n\t\tSubject: /CN=Test Vendor\nTimestamp Server Signature verification: failed\n"
        "Signature verification: failed\n\nNumber of verified signatures: 1\nFailed\n",
        State.STAMP_UNKNOWN,
    ),
    "2.5 tampered": (
        "Current message digest    : 3EFE \nCalculated message digest : 37B6     MISMATCH!!!\n\nSigner's certificate:\n"
        "\tSigner #0:\n\t\tSubject: /CN=Test Vendor\n\nSignature verification: failed\n\nFailed\n",
        State.TAMPERED,
    ),
    "2.5 unsigned": ("Current PE checksum   : 00000000\n\nNo signature found\n\nFailed\n", State.UNSIGNED),
}


@pytest.mark.parametrize("name", _CAPTURED)
def test_what_releases_say(name: str) -> None:
    text, state = _CAPTURED[name]
    assert read(text).state is state


@pytest.mark.parametrize("text", ["", "Failed\n", "Unrecognized file type: x\nFailed\n", "Succeeded\n", "ok"])
def test_words_that_are_not_known_are_no_verdict(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text)


def test_no_signer_can_speak_for_osslsigncode() -> None:
    """A subject that holds the words of a success is a subject."""
    text = "Signer's certificate:\n\tSigner #0:\n\t\tSubject: /CN=x Signature verification: ok\n\nNo signature found\n"
    assert read(f"{text}Failed\n").state is State.UNSIGNED
