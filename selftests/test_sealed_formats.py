"""What hosts tell instead of a passphrase: equal where it is, by each file's own grammar; nothing else."""

from __future__ import annotations

import hashlib
import hmac
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pandora_audit.facts import encrypted_storage
from pandora_audit.formats import config_php, sealed
from pandora_audit.formats.sealed import Sealed
from pandora_audit.question import Ask, Unreadable

RUN, KEY = sealed.LINE.decode().split()[1:]
PHP = 'encryption_passphrase"] = '


def filtered(ask: Ask, text: bytes) -> str:
    done = subprocess.run(["perl", "-n", "-e", ask.keep], input=text, capture_output=True, check=True, timeout=30)
    assert done.stderr == b""
    return done.stdout.decode()


def stands_for(secret: str) -> str:
    if not secret:
        return f"sealed:{RUN}:empty"
    return f"sealed:{RUN}:{hmac.new(bytes.fromhex(KEY), secret.encode(), hashlib.sha256).hexdigest()}"


def console(php: str) -> str:
    return filtered(encrypted_storage._CONSOLE, sealed.LINE + php.encode())


def server(*lines: str) -> list[str]:
    numbered = "".join(f"/etc/pandora/pandora_server.conf:{number}:{line}\n" for number, line in enumerate(lines, 1))
    return filtered(encrypted_storage._SERVER, b"key:1:" + sealed.LINE + numbered.encode()).splitlines()


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=40), st.sampled_from("'\""))
def test_a_string_of_php_is_sealed_as_php_reads_it(secret: str, quote: str) -> None:
    written = secret.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    written = written.replace("$", "\\$") if quote == '"' else written
    said = console(f"<?php\n$config['encryption_passphrase'] = {quote}{written}{quote};\n")
    assert config_php.read(said)["encryption_passphrase"].text == stands_for(secret)


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=30))
def test_nothing_else_of_the_file_comes_home(secret: str) -> None:
    assume("?>" not in secret)  # that ends a comment, and PHP with it
    quoted = "'" + secret.replace("\\", "\\\\").replace("'", "\\'") + "'"
    said = console(f"<?php\n// {secret}\n$config['dbpass'] = {quoted};\n$config['encryption_passphrase'] = 'a';\n")
    assert stands_for("a") in said
    assert said == f"<?php \n \n$config['dbpass'] = '';\n$config['encryption_passphrase'] = \"{stands_for('a')}\";\n"


@pytest.mark.parametrize(
    ("php", "value"),
    [
        ("$config['encryption_passphrase'] = 'it\\'s';", "it's"),
        ('$config["encryption_passphrase"]="a\\tb";', "a\tb"),
        ('$config["encryption_passphrase"]="a\\\\x41";', "a\\x41"),
        ('$config [ "encryption_passphrase" ] = "a" ; $config["encryption_passphrase"] = "b";', "b"),
        ('$config["encryption_passphrase"] = "a"; # $config["encryption_passphrase"] = "b";', "a"),
        ('$config["encryption_passphrase"] = "a"; /* $config["encryption_passphrase"] = "b"; */', "a"),
        ('// don\'t\n$config["encryption_passphrase"] = "a";', "a"),
        ('$config["encryption_passphrase"] = "a"; include ($x . "config_process.php"); $config["' + PHP + '"b";', "a"),
    ],
)
def test_what_php_would_take(php: str, value: str) -> None:
    assert config_php.read(console(f"<?php {php}"))["encryption_passphrase"].text == stands_for(value)


@pytest.mark.parametrize(
    "value", ['"a" . "b"', '"$a"', '"{$a}"', 'getenv("A")', "A", "12", '"\\\\$a"', '"\\x41"', '"\\u{41}"']
)
def test_what_only_php_could_tell_is_no_constant(value: str) -> None:
    assert config_php.read(console(f'<?php $config["{PHP}{value};'))["encryption_passphrase"].text is None


def test_a_passphrase_that_grows_is_no_constant() -> None:
    said = console('<?php $config["encryption_passphrase"] = "a"; $config["encryption_passphrase"] .= "b";')
    assert config_php.read(said)["encryption_passphrase"].text is None


@pytest.mark.parametrize(
    "php",
    [
        "$config = [];",
        '$config = array_merge($config, ["encryption_passphrase" => "b"]);',
        "foreach ($some as $key => $value) { $config[$key] = $value; }",
        '$GLOBALS["config"]["encryption_passphrase"] = "b";',
        '$config["encryption\\x5fpassphrase"] = "b";',
        '$config["encryption_passphrase" . ""] = "b";',
        'unset($config["encryption_passphrase"]);',
        'list($config["encryption_passphrase"]) = $some;',
        '[$config["encryption_passphrase"]] = $some;',
        '$other = &$config["encryption_passphrase"];',
        '$other["a"] = &$config;',
        'if ($some) { $config["encryption_passphrase"] = "b"; }',
    ],
)
def test_a_passphrase_that_may_be_changed_afterwards_is_not_known(php: str) -> None:
    """As the reader says of the file itself, so it does of what the host tells of it."""
    text = f'<?php $config["encryption_passphrase"] = "a"; {php}\n'

    def known(said: str) -> str | None:
        try:
            return config_php.read(said)["encryption_passphrase"].text
        except Unreadable:
            return None

    assert known(console(text)) is None
    assert known(text) is None


@pytest.mark.parametrize(
    "php",
    [
        '$config["dbname"] = "b"; $config[\'dbpass\'] = \'$x["\';',
        '$other = [1 => "b"]; $list = 1;',
        'if ($config["dbname"] != "b") { $other = $config["dbname"]; }',
        "function as_list($config2) { return $config2 && true; }",
    ],
)
def test_other_settings_leave_it_as_it_is(php: str) -> None:
    said = console(f'<?php $config["encryption_passphrase"] = "a"; {php}\n')
    assert config_php.read(said)["encryption_passphrase"].text == stands_for("a")


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (encrypted_storage._CONSOLE, b"<?php\n$config['encryption_passphrase'] = 'a';\n"),
        (encrypted_storage._SERVER, b"/etc/pandora/pandora_server.conf:1:encryption_passphrase a\n"),
    ],
)
def test_without_a_key_nothing_comes_home(ask: Ask, text: bytes) -> None:
    """Under a key that everybody knows, what stands for a passphrase could be searched for it."""
    done = subprocess.run(["perl", "-n", "-e", ask.keep], input=text, capture_output=True, check=False, timeout=30)
    assert done.returncode != 0
    assert done.stdout == b""


def test_a_password_that_sudo_did_not_read_is_no_key() -> None:
    """It stands before the key where sudo asks by other means."""
    said = filtered(
        encrypted_storage._CONSOLE, b"secret\n" + sealed.LINE + b"<?php $config['encryption_passphrase'] = 'a';"
    )
    assert config_php.read(said)["encryption_passphrase"].text == stands_for("a")
    assert "secret" not in said


def test_a_heredoc_is_not_read() -> None:
    said = console('<?php $config["encryption_passphrase"] = <<<END\nsecret\nEND;\n')
    assert "secret" not in said
    with pytest.raises(Unreadable):
        config_php.read(said)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("encryption_passphrase a b ", "a b"),
        ("Encryption_Passphrase a", "a"),
        ("encryption_passphrase\ta", "a"),
        ("encryption_passphrase ñ a", "ñ a"),
        ("encryption_passphrase añ", "añ"),
        ("encryption_passphrase  a", None),
        ("encryption_passphrase=a", None),
        ("encryption_passphrase ^a", None),
        ("# encryption_passphrase a", None),
        (" encryption_passphrase a", None),
    ],
)
def test_what_the_server_would_take(line: str, value: str | None) -> None:
    expected = [f"/etc/pandora/pandora_server.conf:1:{stands_for(value)}"] if value is not None else []
    assert server(line) == expected


def test_a_file_cannot_bring_a_key_of_its_own() -> None:
    theirs = "key:1:encryption_passphrase 0123456789abcdef " + "0" * 128
    assert server(theirs, "encryption_passphrase a") == [f"/etc/pandora/pandora_server.conf:2:{stands_for('a')}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"sealed:{'a' * 16}:{'0' * 64}", Sealed("a" * 16, "0" * 64)),
        (f"sealed:{'a' * 16}:empty", Sealed("a" * 16, "")),
        (f"sealed:{'a' * 16}:", None),
        ("sealed::empty", None),
        ("lab-Only-Cipher-4", None),
    ],
)
def test_only_what_the_filter_says_is_read(text: str, expected: Sealed | None) -> None:
    assert sealed.read(text) == expected
