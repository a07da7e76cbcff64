"""The web server that serves the console: what it tells, what it keeps to itself, what travels in the clear."""

from pandora_audit import HIGH, LOW, MEDIUM, Level, control


@control("web.server-tokens", LOW)
def test_the_web_server_keeps_its_version_to_itself(web_server):
    """The web server keeps its version to itself.

    Whoever knows the version looks up its holes; with it hidden, they must be tried one by one, and that shows
    in the log. Files are read in order, and the distribution's own may take back what an earlier one said.

    Fix: Set `ServerTokens Prod` where the cause points, or in a file that Apache reads last; in nginx, set
    `server_tokens off;` in the http block and remove it elsewhere; reload.

    Impact: None.
    """
    assert not web_server.told_versions


@control("web.tls", HIGH)
def test_the_console_answers_by_tls_that_can_be_trusted(console_wire):
    """The console answers by TLS that can be trusted.

    Through it go the passwords of everybody who watches the whole network. A certificate that nobody can verify
    teaches people to click warnings away, and old protocols let a listener in the middle choose a weak one.

    Fix: Give the console a certificate of a CA that browsers know (or of your own: name its file in audit_ca),
    for the name in audit_console_url; set `SSLProtocol -all +TLSv1.2 +TLSv1.3` (nginx: `ssl_protocols TLSv1.2
    TLSv1.3;`); renew it in time, by a timer; reload.

    Impact: Agents, scripts and browsers that know nothing newer than TLS 1.1 no longer reach the console.
    """
    assert not console_wire.untrusted


@control("web.https-only", HIGH)
def test_nothing_of_the_console_is_had_without_tls(console_wire):
    """Nothing of the console is had without TLS.

    The console's own switch covers its first page only; the API, with its passwords in the address, and every
    static file go on in the clear. Only the web server closes all of it.

    Fix: Let the plain virtual host do nothing but `Redirect permanent / https://NAME/` (nginx: `return 301
    https://$host$request_uri;`), or close port 80; leave `/.well-known/acme-challenge/` open if a certificate
    is renewed through it. Behind a proxy, let only the proxy reach the plain port.

    Impact: Programs that call the API or cron.php by http:// must be told the new address first; some follow no
    redirect.
    """
    assert not console_wire.plain_pages


@control("web.hsts", LOW, level=Level.HYGIENE)
def test_browsers_are_told_to_stay_on_https(console_wire):
    """Browsers are told to stay on https.

    Without it the first request of a day still goes by plain http, and whoever sits in between answers it.

    Fix: Send `Strict-Transport-Security: max-age=31536000` with every answer of the https virtual host (Apache:
    `Header always set …` with mod_headers; nginx: `add_header … always;`); reload.

    Impact: Browsers refuse plain http, and certificates that they do not trust, for that name as long as it says.
    """
    assert not console_wire.forgetful_pages


@control("web.private-paths", HIGH, level=Level.BYPASS)
def test_what_is_private_is_not_served(console_wire):
    """Logs, settings, installer, schema and uploads are not served.

    The console keeps them below its own address and relies on .htaccess files; nginx ignores those, and so does
    Apache without AllowOverride. Then everybody reads the audit log, and runs what was uploaded.

    Fix: In Apache set `AllowOverride All` for the console's folder, and deny `log/` as a whole: the vendor's own
    .htaccess lets rotated logs through that are not compressed; in nginx `location ~
    ^/pandora_console/(log|attachment)/ { deny all; }` and `location ~ /\\. { deny all; }`, before the location
    of PHP; set `Options -Indexes`; remove the installer and the SQL files.

    Impact: Links to attachments that users open by address no longer work; those of the console itself do.
    """
    assert not console_wire.open_paths


@control("web.running-config", MEDIUM, level=Level.BYPASS)
def test_web_server_and_php_run_with_what_is_written(php):
    """The web server and PHP run with what is written.

    A corrected file protects nobody until the process has read it, and a broken one waits for the next restart.

    Fix: Run `apachectl -t` or `nginx -t`, then reload the web server; and PHP-FPM, where it serves the pages.

    Impact: None: a reload lets open requests end.
    """
    assert not php.unread_changes
