"""The machine's software: supported, patched, restarted, from sources that are checked, and known to Pandora FMS."""

from pandora_audit import HIGH, LOW, MEDIUM, Duty, Level, control


@control("system.supported-release", HIGH, level=Level.BYPASS)
def test_the_distribution_still_gets_security_updates(releases):
    """The distribution's release still gets security updates.

    After its end of support a release has no pending updates, and looks patched for ever.

    Fix: Upgrade to a supported release of the distribution, or take part in its extended support (Ubuntu Pro, ELS).

    Impact: A new release brings new versions of PHP and of the database: read what the Pandora FMS release supports,
    and take a backup first.
    """
    assert not releases.unsupported_distribution


@control("system.supported-components", HIGH, level=Level.BYPASS)
def test_the_parts_under_pandora_still_get_security_updates(releases):
    """PHP, database, web server and Pandora FMS still get security updates.

    What came from elsewhere than the distribution ends when its authors say so, and no update manager tells.

    Fix: Move to a release that its authors support, or to the distribution's own packages.

    Impact: PHP and the database must be versions that the installed Pandora FMS supports.
    """
    assert not releases.unsupported_parts


@control("system.security-updates", HIGH)
def test_no_security_update_waits_for_long(updates, promises):
    """No security update waits for longer than the site allows.

    A published correction tells everybody where the hole is.

    Fix: Refresh the metadata and upgrade (`apt-get update && apt-get upgrade`, `dnf upgrade --security`).

    Impact: Upgraded services are restarted: choose the hour. Take a backup of the database before its server.
    """
    assert not updates.overdue(promises.patch_days)


@control("system.critical-components", HIGH)
def test_no_security_update_of_a_critical_component_waits_for_long(updates, promises):
    """Database, web server, PHP, OpenSSH, OpenSSL and Pandora FMS are patched.

    These face the network, or hold what everybody wants. Each of their updates counts here, and in
    system.security-updates no more.

    Fix: Upgrade the named packages; release those that are held (`apt-mark unhold`, `dnf versionlock delete`) or move
    them to a supported version.

    Impact: The services are restarted, and the console is away meanwhile. Test a new minor release of
    the database first.
    """
    assert not updates.overdue_critical(promises.patch_days)


@control("system.vulnerable-packages", MEDIUM, duty=Duty.CONSIDER)
def test_no_installed_version_is_known_to_be_vulnerable(updates):
    """No installed version is listed as vulnerable by the distribution's own data.

    Where such data lies on the machine, it tells what a scanner will tell its attacker.

    Fix: Upgrade the named packages.

    Impact: As for system.security-updates.
    """
    assert not updates.vulnerable


@control("system.update-source", HIGH)
def test_packages_come_from_sources_whose_signatures_are_checked(packages):
    """Packages come from configured sources, and their signatures are checked.

    Without a source nothing is ever patched; without signatures whoever stands between may patch it for you.

    Fix: Configure the distribution's archives, or a mirror or proxy of them; remove `trusted=yes` and the like, and
    give each source its key (`signed-by`, `gpgkey`); set `gpgcheck=1`.

    Impact: A source without a key stops working until it has one.
    """
    assert not packages.unsafe_sources


@control("system.updates-scheduled", MEDIUM)
def test_packages_are_upgraded_regularly(updates, promises):
    """Packages are upgraded regularly.

    Updates that somebody has to think of are those that are forgotten.

    Fix: Enable unattended-upgrades or dnf-automatic.timer, or a job of your orchestration; promise its period as
    audit_patching.

    Impact: Upgraded services are restarted: give the job a window.
    """
    assert not updates.stale_patching(promises.patching)


@control("system.restart-pending", MEDIUM, level=Level.BYPASS)
def test_nothing_patched_runs_unpatched(restarts, promises):
    """Nothing that was patched on disk goes on running unpatched.

    The package manager says that all is well, and the process still has the hole.

    Fix: Restart the named services, or the machine.

    Impact: The services stop for the restart.
    """
    assert not restarts.pending(promises.restart_days)


@control("system.package-inventory", LOW)
def test_the_agent_reports_the_package_inventory(inventories):
    """The agent of Pandora FMS reports which packages are installed.

    Whoever knows what is installed where can tell in a minute what the next hole reaches.

    Fix: Write `module_plugin inventory 1 software process` in pandora_agent.conf, and restart the agent.

    Impact: None; the inventory is shown by editions that have one.
    """
    assert not inventories.missing("software")


@control("system.process-inventory", LOW)
def test_the_agent_reports_the_process_inventory(inventories):
    """The agent of Pandora FMS reports which processes run.

    A process that was never there before is how most intrusions are first seen.

    Fix: Add `process` to the agent's inventory line (`module_plugin inventory 1 software process`), and restart it.

    Impact: None.
    """
    assert not inventories.missing("process")
