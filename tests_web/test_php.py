"""PHP, as it serves the console."""

from pandora_audit import LOW, MEDIUM, Duty, Level, control


@control("php.cookie-httponly", MEDIUM, duty=Duty.IF)
def test_php_hides_its_session_cookie_from_scripts(php):
    """PHP hides its session cookie from scripts.

    One page that shows what an attacker wrote is enough to read a cookie that scripts may read, and with it goes
    the session.

    Fix: Set `session.cookie_httponly = 1` in the php.ini of the PHP that serves the console (not that of the
    command line), and remove it from pools, .user.ini and .htaccess where the cause points there; reload.

    Impact: None known in the console.
    """
    assert not php.wrong(on=("session.cookie_httponly",))


@control("php.cookie-secure", MEDIUM, duty=Duty.IF)
def test_php_sends_its_session_cookie_by_tls_only(php):
    """PHP sends its session cookie by TLS only.

    Without it one plain request, of a bookmark or an image, gives the session to whoever listens.

    Fix: Set `session.cookie_secure = 1` in the php.ini of the PHP that serves the console, and remove it from
    pools, .user.ini and .htaccess where the cause points there; reload.

    Impact: Nobody can log in by plain http any more: see web.tls and web.https-only first.
    """
    assert not php.wrong(on=("session.cookie_secure",))


@control("php.exposure", LOW, level=Level.HYGIENE)
def test_php_tells_strangers_nothing_and_runs_nothing_foreign(php):
    """PHP tells strangers nothing, and runs no code from elsewhere.

    Its version in every answer, and errors with paths and queries in pages, tell where to look; a file that is
    included by address is somebody else's program.

    Fix: Set `expose_php = Off`, `display_errors = Off` and `allow_url_include = Off` in the php.ini of the PHP
    that serves the console; reload.

    Impact: Errors are in the log only.
    """
    assert not php.wrong(off=("expose_php", "display_errors", "allow_url_include"))
