"""The machine under the console."""

from pandora_audit import HIGH, MEDIUM, Duty, control


@control("console.host-hardened", HIGH, rollup=True)
def test_the_consoles_machine_is_hardened(console, verdicts):
    """The console's machine meets every claim about the machine itself.

    Whoever becomes root under the console has the console. This sums up the other verdicts on its host, accepted risks
    included, and counts nowhere itself.

    Fix: What the findings named here say.

    Impact: Theirs.
    """
    assert not verdicts.unmet("ssh", "system")


@control("console.db-tls", HIGH)
def test_the_console_encrypts_its_way_to_the_database(console_database):
    """The console's connection to the database is encrypted, and the server verified.

    Its password and every page's data cross the network; without dbsslcafile the console does not encrypt, whatever
    dbssl says.

    Fix: Set `$config["dbssl"] = true`, `$config["dbsslcafile"]` to the CA's file and
    `$config["sslverifyservercert"] = true` in include/config.php.

    Impact: The console stops if the certificate does not name the host of dbhost: try it with the mysql client first.
    """
    assert not console_database.in_the_clear


@control("console.external-storage", MEDIUM, duty=Duty.OR)
def test_the_consoles_share_lies_on_secured_external_storage(console_storage, promises, level):
    """The console's share of the remote configuration lies on secured external storage.

    The console writes there what agents will do: it is the way from a web page to a root shell on every EndPoint.

    Fix: Mount the export of server.external-storage at the same place, with nosuid and nodev. If the storage is
    secured in another way, attest it.

    Impact: Without the mount, remote configuration from a console on another machine does not work at all.
    """
    assert not console_storage.unsecured(promises.storage, kerberos=level == "strict")
