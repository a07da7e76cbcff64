"""The Pandora FMS server: what agents may make it do, whom it talks to, who may alter what it runs."""

from pandora_audit import HIGH, MEDIUM, Duty, Level, control


@control("server.external-storage", MEDIUM, duty=Duty.OR)
def test_remote_configuration_lies_on_secured_external_storage(server_storage, promises, level):
    """Remote configuration lies on secured external storage.

    What lies in conf and collections is what agents will do, as root on most: whoever alters it on the server
    commands every EndPoint.

    Fix: Mount an export of another machine at conf, md5, collections and commands of the incoming directory, or
    at the whole of it, with nosuid and nodev (and sec=krb5p at level strict), `_netdev` in /etc/fstab; keep owner
    pandora, the web server's group, mode 2770. If the storage is secured in another way, attest it.

    Impact: Server, Tentacle and console need the same mount. `noexec` on the whole incoming directory stops
    discovery scripts that lie there.
    """
    assert not server_storage.unsecured(promises.storage, kerberos=level == "strict")


@control("server.export-restricted", HIGH, level=Level.BYPASS)
def test_the_export_admits_named_clients(exports, promises):
    """The export of remote configuration admits named clients, and no root.

    An export that a whole network may mount moves the configurations from one machine to all of them; without
    root_squash, root on any client is root in it.

    Fix: Name server, Tentacle and console in /etc/exports, with root_squash; run `exportfs -ra`.

    Impact: Other clients lose the mount. Files that root of a client owns are no longer its own.
    """
    assert not exports.open(promises.storage)


@control("server.autocreate", MEDIUM, duty=Duty.OR)
def test_unknown_agents_are_not_created(pandora_server):
    """Unknown agents are not created by their first data.

    Otherwise everybody who reaches Tentacle makes agents, and fills groups, dashboards and the database with what
    they say. A value that the server cannot read counts as its default, which is on.

    Fix: Set `autocreate 0` in pandora_server.conf and restart pandora_server; or give every group that agents can
    land in a password (server.group-passwords).

    Impact: New agents must be created in the console before their first data.
    """
    assert not pandora_server.creates_agents


@control("server.db-tls", HIGH)
def test_the_database_connection_is_encrypted_and_verified(pandora_server):
    """The connection to the database is encrypted and verified.

    All that is monitored, and every credential that Pandora FMS stores, passes by it.

    Fix: Set `dbssl 1`, `dbsslcafile` to the CA of the database, and `verify_mysql_ssl_cert 1`; restart
    pandora_server. Let the database require TLS (mysql.tls-required): the server itself takes a plain connection
    when it is offered no other.

    Impact: The server does not start while the database has no certificate of that CA.
    """
    assert not pandora_server.unprotected_database()


@control("server.api-tls", MEDIUM)
def test_calls_to_the_console_go_by_https(pandora_server, deployment_database):
    """Calls to the console's API go by https.

    They carry the API's password and a user's in the address.

    Fix: Set `console_api_url https://…/include/api.php` in pandora_server.conf, or the console's public URL, which
    holds without it; restart pandora_server.

    Impact: The console must answer on https with a certificate that the server trusts, or reports stay empty.
    """
    assert not pandora_server.plain_api(deployment_database)


@control("server.running-config", MEDIUM, level=Level.BYPASS)
def test_the_server_runs_with_what_is_written(pandora_server):
    """The server runs with what is written.

    It reads its file once, at its start.

    Fix: Restart pandora_server.

    Impact: Nothing is monitored while it restarts; agents' data waits.
    """
    assert not pandora_server.unread_changes


@control("server.secrets-private", HIGH, level=Level.BYPASS)
def test_the_secrets_of_the_server_are_private(pandora_server):
    """The secrets of the server are private.

    The file holds the database's password, and the API's; so do the copies that upgrades and people leave.

    Fix: `chmod 600` (640 with group pandora for Tentacle's), and remove old copies.

    Impact: None; root starts the server. Tentacle's file must stay readable by user pandora.
    """
    assert not pandora_server.readable_secrets


@control("server.default-secrets", HIGH, level=Level.BYPASS)
def test_no_secret_of_the_server_is_a_published_one(pandora_server):
    """No secret of the server is a published one.

    Installers set the same passwords everywhere, and the first start sets the API's to 1234.

    Fix: Change the password in the database, the console or the cluster, then in pandora_server.conf; restart
    pandora_server.

    Impact: The console's config.php uses the same database account: change both.
    """
    assert not pandora_server.published_secrets


@control("server.code-permissions", HIGH, level=Level.BYPASS)
def test_only_root_alters_what_root_runs(pandora_server):
    """Only root alters what root runs of the server.

    The server runs as root, and packages give its programs to user pandora, whom Tentacle runs as: whoever takes
    over Tentacle waits for the next restart. The watchdog installs unsigned updates from the spool as root.

    Fix: `chown -R root:root` what the causes name and `chmod -R go-w` it; start the server by its unit rather
    than by the watchdog, or make updates a mount of root's own.

    Impact: An upgrade of the package gives them back: repeat it after each. Remote updates of the server stop.
    """
    assert not pandora_server.alterable_code
