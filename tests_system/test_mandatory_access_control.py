"""Mandatory access control: what holds a program that was taken over."""

from pandora_audit import MEDIUM, Level, control


@control("system.mandatory-access-control", MEDIUM, level=Level.PLUGIN)
def test_selinux_or_apparmor_confines_programs(confinement):
    """SELinux or AppArmor confines programs.

    A web server that was taken over reads what its user may read; under SELinux or AppArmor it reads what a web
    server has to.

    Fix: On RHEL set `SELINUX=enforcing` in /etc/selinux/config, remove `selinux=0` and `enforcing=0` from the
    kernel's command line (`grubby --update-kernel ALL --remove-args`), reboot once permissive with
    /.autorelabel made, then enforce. On Debian and Ubuntu `systemctl enable --now apparmor`.

    Impact: The vendor's installer turns SELinux off: read `ausearch -m avc` after a week of permissive mode, and give
    ports and folders of Pandora FMS their types, before it is enforced.
    """
    assert not confinement.missing
