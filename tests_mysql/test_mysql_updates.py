"""The database's own updates."""

from pandora_audit import HIGH, control


@control("mysql.updated", HIGH)
def test_no_security_update_of_the_database_waits_for_long(database, updates, promises):
    """No security update of the database waits for longer than the site allows.

    The database holds the accounts and the secrets of all that is monitored.

    Fix: Take a backup, then upgrade the database's packages.

    Impact: The database restarts: the server and the console of Pandora FMS lose it for that moment.
    """
    assert not updates.overdue_database(promises.patch_days)
