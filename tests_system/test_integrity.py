"""What should change only when somebody means it to."""

from pandora_audit import HIGH, Level, control


@control("system.integrity", HIGH, level=Level.PLUGIN)
def test_system_files_are_as_accepted(integrity):
    """System files are as the site accepted them.

    An account more, another name server, a line in sshd_config: small changes open a machine for good, and nothing
    on the machine itself can be trusted to remember what was there before.

    Fix: Find out who changed what the cause names, and undo it; or accept it: `pandora-audit baseline propose`, have
    the file approved, and name it in audit_baseline.

    Impact: Every meant change of these files has to be accepted once, by two people.
    """
    assert not integrity.changes
