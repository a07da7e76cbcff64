"""The database and every path to it."""

from pandora_audit import CRITICAL, HIGH, LOW, MEDIUM, Duty, Level, control


@control("mysql.bind-address", HIGH, duty=Duty.IF)
def test_the_database_listens_for_its_clients_only(mysql, promises):
    """The database listens for its clients only.

    Where server and console run beside it, nobody else needs its port; open to a network, every password in it
    can be tried from there.

    Fix: Set `bind-address = 127.0.0.1` (or skip-networking) under [mysqld] where the cause points, or in a file that
    is read later, and restart. Where others use it, set the address that they reach it by, and promise
    audit_db_clients.

    Impact: Clients elsewhere are cut off, a console or history database on another host among them.
    """
    assert not mysql.exposed(promises.db_clients)


@control("mysql.x-protocol", MEDIUM, level=Level.BYPASS)
def test_the_second_doors_are_for_its_clients_too(mysql, promises):
    """The X protocol and the administrators' port listen for its clients only.

    MySQL opens port 33060 beside 3306, on all addresses and with an option of its own: whoever binds 3306 to loopback
    has left that one open.

    Fix: Set `mysqlx = OFF`, or `mysqlx-bind-address = 127.0.0.1`, and remove admin-address; restart.

    Impact: None for Pandora FMS. MySQL Shell and document store clients use it.
    """
    assert not mysql.second_doors(promises.db_clients)


@control("mysql.running-config", MEDIUM)
def test_the_database_runs_with_what_is_written(mysql):
    """The database runs with what is written.

    A statement changes a server that no file speaks of, and a corrected file protects nobody until the restart.

    Fix: Restart the server; where the running value is the right one, write it where the cause points.

    Impact: The restart interrupts server and console for as long as it takes.
    """
    assert not mysql.unread_changes


@control("mysql.root-password", CRITICAL)
def test_nobody_becomes_administrator_without_a_secret(db_accounts):
    """Nobody becomes the database's administrator without a secret.

    An administrative account with an empty password is the whole of the monitoring data, and files of the host.

    Fix: Give the account a password (`ALTER USER … IDENTIFIED BY`), bind it to the operating system's root
    (unix_socket, auth_socket), or lock it (`ALTER USER … ACCOUNT LOCK`).

    Impact: Scripts that enter as that account without a password stop: backups first.
    """
    assert not db_accounts.open_administrators


@control("mysql.password-complexity", MEDIUM, level=Level.HYGIENE)
def test_the_database_refuses_simple_passwords(db_accounts):
    """The database refuses simple passwords.

    Nothing else stands between a hurried colleague and `pandora1`.

    Fix: MySQL: `INSTALL COMPONENT 'file://component_validate_password'`, policy MEDIUM, length 8 or more. MariaDB:
    `plugin_load_add = simple_password_check` (or cracklib_password_check) and a restart.

    Impact: Only new passwords are checked; those of today stay.
    """
    assert not db_accounts.simple_passwords


@control("mysql.pandora-passwords", HIGH)
def test_pandora_uses_no_simple_or_published_password(db_link):
    """Pandora FMS uses no simple or published password for its database.

    The deployment scripts set one password unless told otherwise, and it stands in their public source.

    Fix: `ALTER USER` with a new password of 12 characters or more and of all kinds; write it to dbpass in
    pandora_server.conf and in the console's config.php; restart pandora_server.

    Impact: Between the two changes the product has no database: do them together. History database and HA nodes
    use the same account.
    """
    assert not db_link.weak_passwords


@control("mysql.tls", HIGH)
def test_the_database_offers_tls_of_a_known_authority(mysql):
    """The database offers TLS of today, by an authority that clients trust.

    Monitoring data and credentials of the monitored hosts pass between console, server and database; who cannot
    check the certificate talks to whoever answers.

    Fix: Set ssl_cert, ssl_key and ssl_ca under [mysqld] to a certificate of your authority, and
    `tls_version = TLSv1.2,TLSv1.3`; name the authority in dbsslcafile; restart.

    Impact: Clients that know only TLS 1.0 or 1.1 no longer enter.
    """
    assert not mysql.plain_or_weak


@control("mysql.tls-required", HIGH)
def test_pandora_enters_through_tls_only(db_accounts, promises):
    """Pandora FMS enters its database through TLS only.

    Its dbssl token asks for TLS and goes on without, silently: only the database can insist.

    Fix: `ALTER USER … REQUIRE SSL` for each of its accounts, or `require_secure_transport = ON`, after mysql.tls is met
    and dbssl is 1 on server and console.

    Impact: Clients without TLS are refused at once.
    """
    assert not db_accounts.plain_links(promises.db_accounts)


@control("mysql.auth-plugin", MEDIUM)
def test_pandora_proves_its_password_by_a_strong_plugin(db_accounts, promises):
    """Pandora FMS proves its password by caching_sha2_password.

    mysql_native_password keeps an unsalted SHA-1 and is gone from MySQL 9. MariaDB has no caching_sha2_password before
    12.1; there ed25519, parsec or unix_socket do what the guide wants.

    Fix: MySQL: `ALTER USER … IDENTIFIED WITH caching_sha2_password BY …`, after mysql.tls. MariaDB, for each account
    whose client can: `plugin_load_add = auth_ed25519`, then `ALTER USER … IDENTIFIED VIA ed25519 USING PASSWORD(…)`.
    The server's Perl can where its driver is built on MariaDB's own library (Debian, Red Hat); the console's PHP only
    with the extension mysqlnd_ed25519. Without it, leave the console's account an account of its own, REQUIRE SSL and a
    long random password, and accept the risk of that account until the extension is there.

    Impact: A client that does not know the plugin no longer enters: try each with its own account first. Old Perl
    drivers do not know caching_sha2_password either.
    """
    assert not db_accounts.weak_plugins(promises.db_accounts)


@control("mysql.grants", HIGH)
def test_pandora_holds_rights_on_its_own_schemas_only(db_accounts, promises):
    """Pandora FMS holds rights on its own schemas only.

    The console's account is in reach of every flaw of a web application; with FILE or SUPER it is the host's.

    Fix: `REVOKE` what the observation names; the product needs ALL on its own schema, and nothing on `*.*`.

    Impact: pandora_ha and external backups need more: give them accounts of their own.
    """
    assert not db_accounts.excess(promises.db_accounts)


@control("mysql.account-hosts", HIGH)
def test_pandora_enters_from_named_hosts_only(db_accounts, promises):
    """Pandora FMS enters its database from named hosts only.

    The deployment scripts create pandora@'%': with the password, any host of the network is the console.

    Fix: `RENAME USER 'pandora'@'%' TO 'pandora'@'192.0.2.10'`, one for server and console each; promise networks in
    audit_db_clients where an account serves one.

    Impact: Hosts that are not named lose their access: HA nodes, a metaconsole, the history database's client.
    """
    assert not db_accounts.from_anywhere(promises.db_accounts, promises.db_clients)


@control("mysql.no-anonymous", MEDIUM, level=Level.HYGIENE)
def test_every_account_has_a_name(db_accounts):
    """Every account of the database has a name.

    An account without one lets everybody in, and stands before others of the same host.

    Fix: `DROP USER ''@'localhost'`, and the same for each host that is named.

    Impact: None.
    """
    assert not db_accounts.anonymous


@control("mysql.no-remote-root", HIGH, level=Level.HYGIENE)
def test_root_of_the_database_enters_from_this_host_only(db_accounts):
    """Root of the database enters from its own host only.

    The one name that everybody tries should open nothing from a network.

    Fix: `DROP USER 'root'@'%'`; administer through SSH, or give administrators accounts of their own.

    Impact: Remote tools that enter as root stop.
    """
    assert not db_accounts.remote_roots


@control("mysql.no-test-schema", LOW, level=Level.HYGIENE)
def test_nothing_in_the_database_is_everybodys(db_accounts):
    """The database has no schema test, and none that is everybody's.

    Every account may write to it: enough to fill the disk.

    Fix: `DROP DATABASE test`, and `DELETE FROM mysql.db WHERE User = ''` with `FLUSH PRIVILEGES` (MariaDB:
    `REVOKE … FROM PUBLIC`).

    Impact: None for Pandora FMS.
    """
    assert not db_accounts.test_schemas


@control("mysql.local-infile", MEDIUM, level=Level.HYGIENE)
def test_the_database_asks_clients_for_no_files(mysql):
    """The database asks its clients for no files.

    With LOAD DATA LOCAL an injected statement reads files of the console's host.

    Fix: Set `local_infile = OFF` under [mysqld], and restart or `SET GLOBAL`.

    Impact: Imports by LOAD DATA LOCAL stop; Pandora FMS itself uses none.
    """
    assert not mysql.reads_client_files


@control("mysql.files-private", HIGH)
def test_files_of_the_database_are_private(mysql):
    """Data directory, keys and option files with passwords are private.

    Who can read them needs no account: a copy of the data directory is the database, and an option file its password.

    Fix: `chmod 750` the data directory, `chmod 400` the key, `chmod 600` each option file with a password.

    Impact: None, if their owners stay as they are.
    """
    assert not mysql.open_files
