"""The console on its host: its cookies as they really go out, and its files."""

from pandora_audit import HIGH, MEDIUM, Level, control


@control("console.cookie-wire", MEDIUM, level=Level.BYPASS)
def test_every_cookie_that_is_sent_is_secure_and_httponly(console_wire):
    """Every cookie that the console sends is Secure and HttpOnly.

    To a browser that already has its session cookie, the console sends it once more without either flag, whatever
    php.ini says; only the web server in front of it can mend that.

    Fix: In Apache, with mod_headers, `Header always edit Set-Cookie ^((?!.*;\\s*httponly).*)$ "$1; HttpOnly"`, the
    same for Secure, and both again without `always`; in nginx `proxy_cookie_flags` on a proxy in front of it; reload.

    Impact: Nobody can log in by plain http any more: see web.tls and web.https-only first.
    """
    assert not console_wire.loose_cookies


@control("console.installer-removed", HIGH, level=Level.BYPASS)
def test_the_installer_is_gone(console_wire):
    """The installer is gone.

    Whoever opens it may point the console at a database of their own, and be its administrator.

    Fix: Remove install.php, and install_old.php, which runs just as well, from the console's folder.

    Impact: None.
    """
    assert not console_wire.installers


@control("console.config-private", HIGH, level=Level.BYPASS)
def test_only_the_web_server_reads_the_settings(console_files):
    """Only the web server reads the console's settings.

    config.php holds the password of the database in the clear; with it every account of the host reads and writes
    what the whole installation knows and does.

    Fix: `chmod 600 include/config.php` and give it to the user of the web server, or of PHP-FPM.

    Impact: The console refuses to start with modes other than 600, 640 and 660.
    """
    assert not console_files.exposed_config


@control("console.audit-private", MEDIUM, level=Level.HYGIENE)
def test_the_audit_log_is_not_for_everybody(console_files):
    """The audit log is not for every account of the host.

    It tells who administers what, from where and when; and the vendor's rotation makes it readable for all again.

    Fix: `chmod o-rwx` the console's log folder, or the log and the `create` line in /etc/logrotate.d.

    Impact: Programs that read the log under an account of their own need its group.
    """
    assert not console_files.readable_audit_logs
