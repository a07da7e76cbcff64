"""The security log: who entered this machine, kept, watched and copied."""

from pandora_audit import HIGH, MEDIUM, Duty, Level, control


@control("system.auth-log", HIGH)
def test_logins_are_written_down(auth_log):
    """Logins are written down.

    Whoever entered, or became root, is known from the security log alone. One that is configured and holds
    nothing is found out on the day on which it is needed.

    Fix: Start and enable rsyslog with a rule for `auth,authpriv.*` (/var/log/auth.log on Debian, /var/log/secure on
    RHEL), or keep the journal: make /var/log/journal and restart systemd-journald. Leave sshd's LogLevel at INFO.

    Impact: The log grows with every login: see that logrotate, or journald's SystemMaxUse, bounds it.
    """
    assert not auth_log.silent


@control("system.auth-log-private", MEDIUM, level=Level.HYGIENE)
def test_only_root_and_the_log_group_read_the_security_log(auth_log):
    """Only root and the group of the logs read the security log.

    It tells who enters when and from where, and now and then a password that somebody typed as a name.

    Fix: Set mode 0640 and the owners of the distribution (root:adm, syslog:adm; 0600 root on RHEL), in rsyslog's
    $FileCreateMode and in logrotate's `create` too, and remove access lists with `setfacl -b`.

    Impact: Programs that read the log under another account: give them the group.
    """
    assert not auth_log.exposed


@control("system.auth-log-monitored", MEDIUM)
def test_pandora_fms_watches_the_security_log(log_watch):
    """Pandora FMS watches the security log.

    A log that nobody reads tells of a break-in when it is over.

    Fix: Add `module_plugin grep_log_module /var/log/secure Secure .*` (on Debian: /var/log/auth.log) to
    pandora_agent.conf, or a module of type log with that file as its module_regexp, and restart the agent.

    Impact: The agent must run as root, or in the group of the log; each line becomes data of the module.
    """
    assert not log_watch.unwatched


@control("system.auth-log-forwarded", MEDIUM, duty=Duty.CONSIDER)
def test_the_security_log_is_copied_to_another_machine(forwarding, promises):
    """The security log is copied to another machine.

    Whoever becomes root edits the log of how he did; the copy he cannot reach.

    Fix: Send `auth,authpriv.*` to the log server, with rsyslog's omfwd over TLS, systemd-journal-upload or the
    shipper that the site has; name the servers in audit_logs_to.

    Impact: Logs hold personal data: the other machine needs the same care.
    """
    assert not forwarding.kept_here(promises.logs_to)
