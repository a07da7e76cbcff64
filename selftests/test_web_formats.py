"""The readers of Apache's, nginx's, PHP's and the console's settings, and the look at a web server from outside."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandora_audit.formats import apache, config_php, http, nginx, php_ini
from pandora_audit.probes import web
from pandora_audit.question import NotObserved, Probe, ProbeKind, Unreadable, Wire
from pandora_audit.questions import CONSOLE_CONFIG

# --- Apache ---

MAIN = "/etc/apache2/apache2.conf"


def numbered(**files: str) -> list[str]:
    return [
        f"/etc/apache2/{name.replace('__', '/')}.conf:{number}:{line}"
        for name, text in files.items()
        for number, line in enumerate(text.split("\n"), 1)
    ]


def tokens(text: str, *defined: str, **files: str) -> str:
    lines = numbered(apache2=text, **files)
    said = apache.read(lines, MAIN, "/etc/apache2", ("/etc/apache2",), defined).last("servertokens")
    return f"{said.arguments[0]} {said.where.rpartition('/')[2]}" if said else ""


@pytest.mark.parametrize(
    ("text", "decides"),
    [
        ("ServerTokens Prod", "Prod apache2.conf:1"),
        ("servertokens Prod\nSERVERTOKENS OS", "OS apache2.conf:2"),
        ('  ServerTokens "ProductOnly"', "ProductOnly apache2.conf:1"),
        ("# ServerTokens Prod", ""),
        ("<IfModule mod_ssl.c>\nServerTokens OS\n</IfModule>", ""),
        ("LoadModule ssl_module x.so\n<IfModule mod_ssl.c>\nServerTokens OS\n</IfModule>", "OS apache2.conf:3"),
        ("LoadModule mpm_prefork_module x.so\n<IfModule prefork.c>\nServerTokens OS\n</IfModule>", "OS apache2.conf:3"),
        ("<IfModule !mod_ssl.c>\nServerTokens OS\n</IfModule>", "OS apache2.conf:2"),
        ("<IfDefine X>\n<IfDefine SET>\nServerTokens OS\n</IfDefine>\n</IfDefine>", ""),
        ("<IfDefine SET>\nServerTokens OS\n</IfDefine>\nServerName x", "OS apache2.conf:2"),
        ("Define A\n<IfDefine A>\nServerTokens OS\n</IfDefine>", "OS apache2.conf:3"),
        ("<IfVersion >= 2.4>\nServerTokens OS\n</IfVersion>", "OS apache2.conf:2"),
    ],
)
def test_the_last_directive_that_takes_effect_decides(text: str, decides: str) -> None:
    assert tokens(text, "SET") == decides


def test_includes_are_read_in_their_place_and_in_the_order_of_names() -> None:
    files = {"conf__b": "ServerTokens Major", "conf__a": "ServerTokens Prod", "conf__.c": "ServerTokens Full"}
    assert tokens("ServerTokens OS\nIncludeOptional conf/*.conf", **files) == "Major b.conf:1"
    assert tokens("Include conf/*.conf\nServerTokens OS", **files) == "OS apache2.conf:2"
    assert tokens("Include conf", **files) == "Major b.conf:1"


def test_includes_that_lead_elsewhere_are_told() -> None:
    lines = numbered(apache2="Include /opt/x.conf\nInclude ${X}/y.conf\nInclude conf/none.conf")
    assert apache.read(lines, MAIN, "/etc/apache2", ("/etc/apache2",)).unseen == ["/opt/x.conf", "${X}/y.conf"]


def test_a_file_that_includes_itself_cannot_be_followed() -> None:
    with pytest.raises(Unreadable):
        tokens("Include apache2.conf")


def test_virtual_hosts_are_told_apart() -> None:
    text = "<VirtualHost *:80>\nServerName a\n</VirtualHost>\n"
    text += "<VirtualHost *:80 [::1]:8443>\nServerAlias b c\nSSLEngine on\n</VirtualHost>\n"
    hosts = apache.read(numbered(apache2=text), MAIN, "/etc/apache2", ("/etc/apache2",)).hosts
    assert hosts == [(frozenset({80}), ("a",), False), (frozenset({80, 8443}), ("b", "c"), True)]


# --- nginx ---


def tree(text: str, **files: str) -> nginx.Configuration:
    every = {"nginx": text, **files}
    lines = [
        f"/etc/nginx/{name.replace('__', '/')}.conf:{number}:{line}"
        for name, each in every.items()
        for number, line in enumerate(each.split("\n"), 1)
    ]
    return nginx.read(lines, "/etc/nginx/nginx.conf", ("/etc/nginx",))


@pytest.mark.parametrize(
    ("text", "decided"),
    [
        ("http { server_tokens off; server { listen 80; } }", ["off"]),
        ("http { server { listen 80; } }", ["on"]),
        ("http { server_tokens off; server { server_tokens on; } server { } }", ["on", "off"]),
        ("http { server { server_tokens off; location / { server_tokens build; } } }", ["off", "build"]),
        ("http { server_tokens off; server { location / { if () { server_tokens on; } } } }", ["off", "on"]),
        ('http { server_tokens "off"; server { } } # server_tokens on;', ["off"]),
    ],
)
def test_what_is_said_above_holds_below(text: str, decided: list[str]) -> None:
    found = tree(text).deciding("server_tokens")
    assert [said.words[1] if said else "on" for _, said in found] == decided


def test_nginx_reads_includes_relative_to_its_folder() -> None:
    found = tree(
        "http {\ninclude sites/*;\ninclude /opt/*.conf;\n}",
        sites__a="server { listen [::]:8443 ssl; server_name a b; }",
    )
    assert found.hosts == [(frozenset({8443}), ("a", "b"), True)]
    assert found.unseen == ["/opt/*.conf"]


@pytest.mark.parametrize("text", ["http {", "http { }}", "http { server_tokens }", "http { listen\nserver_name x; }"])
def test_nginx_that_cannot_be_followed_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        tree(text)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab{};'\"# \n\\$*/", max_size=60))
def test_no_text_breaks_the_readers(text: str) -> None:
    for read in (tree, tokens, lambda each: config_php.read(f"<?php {each}")):
        with suppress(Unreadable):
            read(text)


# --- PHP ---


@pytest.mark.parametrize("value", ["1", "On", "true", "YES", "2", '"1"', "'on'", "1 ; so", "-1"])
def test_php_takes_it_for_yes(value: str) -> None:
    assert php_ini.truth(php_ini.value(value))


@pytest.mark.parametrize("value", ["", "0", "Off", "no", "none", "false", '""', "; 1", "off;on", "null", "x"])
def test_php_takes_it_for_no(value: str) -> None:
    assert not php_ini.truth(php_ini.value(value))


def test_settings_are_read_with_section_and_pool() -> None:
    lines = [
        "[PHP]",
        "; a = 1",
        "#b = 1",
        "expose_php=On",
        "[PATH=/x]",
        "A.b = 2",
        "php_admin_flag[c.d] = off",
        "listen = /s",
    ]
    found = list(php_ini.settings(f"/etc/php.ini:{n}:{line}" for n, line in enumerate(lines, 1)))
    assert [(each.name, each.value, each.section, each.fixed) for each in found] == [
        ("expose_php", "On", "php", False),
        ("A.b", "2", "path=/x", False),
        ("c.d", "off", "path=/x", True),
        ("listen", "/s", "path=/x", False),
    ]


# --- config.php ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('$config["k"]="v";', "v"),
        ("$config['k'] = 'v' ;", "v"),
        ('$config [ "k" ]\n=\n"v";', "v"),
        ('$config["k"]="a"; $config["k"]="b";', "b"),
        ('// $config["k"]="x";\n$config["k"]="v";', "v"),
        ('# $config["k"]="x";\n$config["k"]="v"; /* $config["k"]="y"; */', "v"),
        ('/* $config["k"]="x";\n*/ $config["k"]="v";', "v"),
        ('$config["k"]="v;//#/*";', "v;//#/*"),
        (r'$config["k"]="a\"b\\\$c";', 'a"b\\$c'),
        (r"$config['k']='a\'b\n';", "a'b\\n"),
        ('$config["k"]=1;', "1"),
        ('$config["k"]=true;', "1"),
        ('$config["k"]=FALSE;', ""),
        ('$config["k"]="a"; $config["k"] .= "b";', None),
        ('$config["k"]="a$b";', None),
        ('$config["k"]="a"."b";', None),
        ('$config["k"]=getenv("X");', None),
        ('$config["k"]="v"; include("config_process.php"); $config["k"]="w";', "v"),
        ('$config["k"]="v"; require_once($x . "other.php"); $config["k"]="w";', "w"),
        ('$config["k"]="v"; ?> $config["k"]="w"; <?php ', "v"),
        ('if ($x) { $config["k"]="v"; }', None),
        ('if ($x) $config["k"]="v";', None),
        ('$config["k"]="v"; // why', "v"),
        ('$config["k"]="v"; # it\'s so\n', "v"),
        ('$config["k"]="v" /* why */; $config["j"]="w";', "v"),
        ('$config["k"]="v"; unset($config["k"]);', None),
        ('$config["k"]="v"; $config["k"]["j"]="w";', None),
        ('$config["k"]="v"; $x = $config["k"] = 0;', None),
        ('$config["k"]="v"; [$config["k"]] = [0];', None),
        ('$config["k"]="v"; $config["j"] = $config["k"];', "v"),
        ('$config["k"]="v"; if ($config["k"] == 1) { f(); }', "v"),
        ('$config["k"]=0.0;', "0"),
        (r'$config["k"]="\x31";', None),
        (r'$config["k"]="a\\$b";', None),
        ("?> '<?php' $config[\"k\"]='w';\n<?php $config['k']='v';", "v"),
        ('// ends here ?> text <?php $config["k"]="v";', "v"),
    ],
)
def test_config_php_is_read_as_php_reads_it(text: str, value: str | None) -> None:
    assert config_php.read(f"<?php\n{text}\n")["k"].text == value


def test_what_is_no_assignment_to_config_is_none() -> None:
    assert not config_php.read('$config["k"]="v";')
    assert not config_php.read('<?php $other["k"]="v"; $x = $config["k"]; $config["k"] == 1; $x = $config["k"]["j"];')
    with pytest.raises(Unreadable):
        config_php.read("<?php $config['k'] = <<<X\nX;")
    with pytest.raises(Unreadable):
        _ = config_php.read("<?php $config['k'] = f();")["k"].is_on


@pytest.mark.parametrize(
    "text", ["$config = ['k' => 1];", "$config[$x] = 1;", "$GLOBALS['config']['k'] = 1;", "foreach ($x as $config) {}"]
)
def test_what_may_change_any_setting_is_not_guessed(text: str) -> None:
    with pytest.raises(Unreadable):
        config_php.read(f"<?php $config['k'] = 0;\n{text}")


def kept(text: str) -> str:
    """What the filter on the host lets through."""
    done = subprocess.run(
        ["perl", "-n", "-e", CONSOLE_CONFIG.keep], input=text, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout


def test_secrets_of_config_php_stay_on_the_host() -> None:
    told = kept("""S3cret <?php
/* $config["dbhost"]="old"; S3cret */
$config["dbpass"]="S3cr;et/*";
$config['encryption_passphrase'] = 'S3cret'; // S3cret
$config["dbhost"]="a"; $config["dbpass"]="S3cret";
$config["dbport"]=3307; $config["dbpass"] = 53; $config["dbpass"] = `echo S3cret`;
$config["dbhost"]="db01"; // S3cret
# the password was S3cret
/*
$config["dbssl"]=1;
*/
include ($ownDir . "config_process.php");
?>
S3cret
""")
    assert not any(word in told.replace("secret:", "") for word in ("S3", "cret", "53"))
    assert "secret:9:own:" in told
    found = config_php.read(told)
    assert {key: (value.text, value.line) for key, value in found.items()} == {
        "dbhost": ("db01", 7),
        "dbport": ("3307", 6),
        "dbpass": (None, 6),
        "encryption_passphrase": ("", 4),
    }


@pytest.mark.parametrize(
    "text", ["$x = <<<X\nS3cret\nX;", "$x = 'S3cret", '$x = "S3cret', "$x = `S3cret", "$x = 'a' . \"S3cret"]
)
def test_what_the_filter_cannot_follow_is_not_told(text: str) -> None:
    told = kept(f"<?php\n$config['dbssl'] = 1;\n{text}")
    assert "S3cret" not in told
    with pytest.raises(Unreadable):
        config_php.read(told)


# --- HTTP ---


def test_an_exchange_is_read_back() -> None:
    text = "at the machine\n> /a\n< HTTP/1.1 404\n< Server: x\n= 3 abc listing\n- <b>\n> /b\n! TimeoutError: \n> /c\n"
    a, b, c = http.read(text).responses
    assert (a.status, a.header("server"), a.length, a.marks, a.error) == (404, "x", 3, ("listing",), "<b>\n")
    assert (b.status, b.silence, c.silence) == (0, "TimeoutError: ", "there was no answer")


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that treats every connection so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def work() -> None:
            while True:
                try:
                    channel = listener.accept()[0]
                except OSError:
                    return
                with channel, suppress(OSError):
                    answer(channel)

        threading.Thread(target=work, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


class Direct:
    """A connection whose machine is this one."""

    wire = Wire(peer="127.0.0.1")

    def dial(self, port: int, seconds: float) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), seconds)


def looked(
    port: int, kind: ProbeKind = ProbeKind.HTTP, *paths: str, host: str = "", ca: str = "", seconds: int = 2
) -> str:
    probe = Probe(key="x", kind=kind, port=port, host=host, paths=paths, ca=ca, seconds=seconds)
    return web.look(probe, Direct()).decode()  # type: ignore[arg-type]


def test_cookies_are_sent_back_and_never_told() -> None:
    asked = []

    def answer(channel: socket.socket) -> None:
        asked.append(channel.recv(4096))
        channel.sendall(
            b"HTTP/1.1 200 OK\r\nSet-Cookie: id=S3cret; Secure\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<?php"
        )

    with serving(answer) as port:
        text = looked(port, ProbeKind.HTTP, "/a", "/b")
    assert "Cookie: id=S3cret" in asked[1].decode()
    assert "S3cret" not in text
    assert text.count("< Set-Cookie: id=…; Secure") == 2
    assert http.read(text).responses[0].marks == ("source",)


def test_a_server_that_drips_or_floods_is_left() -> None:
    def drip(channel: socket.socket) -> None:
        channel.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            channel.sendall(b"a")
            threading.Event().wait(0.05)

    def flood(channel: socket.socket) -> None:
        channel.recv(4096)
        channel.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            channel.sendall(b"a" * 65536)

    with serving(drip) as port:
        assert "! TimeoutError" in looked(port, ProbeKind.HTTP, "/", seconds=1)
    with serving(flood) as port:
        assert http.read(looked(port, ProbeKind.HTTP, "/")).responses[0].length == 64 * 1024


def test_a_closed_port_and_a_name_that_nobody_knows() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        looked(port, ProbeKind.HTTP, "/")
    with pytest.raises(NotObserved, match="cannot be resolved"):
        looked(port, ProbeKind.HTTP, "/", host="console.invalid")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-noenc",
                "-days",
                "30",
            ),
            *(
                "-subj",
                "/CN=x",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                folder / "key",
                "-out",
                folder / "pem",
            ),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return folder


def test_tls_is_seen_as_a_browser_sees_it(pair: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair / "pem", pair / "key")
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def answer(channel: socket.socket) -> None:
        context.wrap_socket(channel, server_side=True).close()

    with serving(answer) as port:
        trusted = looked(port, ProbeKind.TLS, host="127.0.0.1", ca=str(pair / "pem"))
        assert trusted.splitlines()[1].startswith("trusted ")
        assert trusted.splitlines()[2:] == ["TLSv1 no", "TLSv1.1 no"]
        assert "untrusted self-signed certificate" in looked(port, ProbeKind.TLS)
        with pytest.raises(NotObserved, match="cannot be read"):
            looked(port, ProbeKind.TLS, ca="/nowhere")
        assert "untrusted Hostname mismatch" in looked(port, ProbeKind.TLS, host="x.invalid", ca=str(pair / "pem"))


def test_what_speaks_no_tls_is_refused() -> None:
    with serving(lambda channel: channel.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")) as port:
        text = looked(port, ProbeKind.TLS)
    assert "refused" in text
    assert "trusted" not in text
