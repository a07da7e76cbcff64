"""The console, by what its own database holds: one verdict for a deployment."""

from pandora_audit import CRITICAL, HIGH, LOW, MEDIUM, Duty, Level, Subject, control


@control("console.https-enforced", HIGH, subject=Subject.DEPLOYMENT)
def test_the_console_insists_on_https(pandora_console):
    """The console itself insists on https.

    A vhost that answers on port 80 as well would otherwise take passwords in the clear.

    Fix: Setup, General: enforce https (`tconfig.https` = 1).

    Impact: Behind a proxy that ends TLS, it must send X-Forwarded-Proto: https, or the console redirects for ever.
    """
    assert not pandora_console.plain_http


@control("console.password-policy", HIGH, subject=Subject.DEPLOYMENT)
def test_passwords_follow_a_policy(pandora_console):
    """Passwords of local accounts follow a policy.

    Without one, `1234` is a password; and whoever reads the console reads the credentials of all that it monitors.

    Fix: Setup, Password policy: enable it (Enterprise).

    Impact: People whose passwords do not meet it change them at their next login.
    """
    assert not pandora_console.password_policy


@control("console.password-length", HIGH, subject=Subject.DEPLOYMENT)
def test_passwords_are_long(pandora_console, promises):
    """Passwords of local accounts are long enough.

    Length is what makes guessing slow.

    Fix: Setup, Password policy: a least size of 12, or what audit_password_length says.

    Impact: Shorter passwords are changed at the next login.
    """
    assert not pandora_console.password_length(promises.password_length)


@control("console.password-complexity", MEDIUM, subject=Subject.DEPLOYMENT)
def test_passwords_are_complex(pandora_console, promises):
    """Passwords of local accounts hold digits and symbols, where that is asked.

    Some frameworks ask for it; others (NIST SP 800-63B) advise against it: say which holds here.

    Fix: Setup, Password policy: numbers and symbols; or leave audit_password_complexity unset.

    Impact: Passwords without them are changed at the next login.
    """
    assert not pandora_console.password_complexity(promises.password_complexity)


@control("console.password-history", MEDIUM, subject=Subject.DEPLOYMENT)
def test_former_passwords_are_not_used_again(pandora_console, promises):
    """Former passwords are not used again.

    A password that leaked once comes back otherwise.

    Fix: Setup, Password policy: enable the history, and a depth.

    Impact: None.
    """
    assert not pandora_console.password_history(promises.password_history)


@control("console.password-expiry", LOW, subject=Subject.DEPLOYMENT)
def test_passwords_end(pandora_console, promises):
    """Passwords end, where that is asked.

    Some frameworks ask for an end; others advise against it: say which holds here.

    Fix: Setup, Password policy: the days of audit_password_expiry.

    Impact: People who are away come back to an ended password.
    """
    assert not pandora_console.password_expiry(promises.password_expiry)


@control("console.password-lockout", HIGH, subject=Subject.DEPLOYMENT)
def test_failed_logins_lock_the_account(pandora_console, promises):
    """Failed logins lock the account.

    Otherwise a list of passwords can be tried to its end.

    Fix: Setup, Password policy: at most 5 attempts, at least 5 minutes.

    Impact: Somebody who knows account names can lock them: keep a break-glass account.
    """
    assert not pandora_console.password_lockout(promises.password_attempts, promises.password_lock)


@control("console.password-policy-admins", HIGH, subject=Subject.DEPLOYMENT)
def test_the_policy_binds_administrators(pandora_console):
    """The password policy binds administrators.

    An administrator's password is worth the most, and by this switch it is the only one that may be weak.

    Fix: Setup, Password policy: apply to administrators (`enable_pass_policy_admin` = 1).

    Impact: Administrators can no longer give anybody a weak password.
    """
    assert not pandora_console.policy_skips_administrators


@control("console.second-factor", HIGH, attestable=True, subject=Subject.DEPLOYMENT)
def test_the_console_asks_for_a_second_factor(pandora_console):
    """The console asks for a second factor.

    A password that was read over a shoulder opens nothing alone.

    Fix: Setup, Authentication: double authentication.

    Impact: Each user enrols an application: see console.second-factor-enrolled.
    """
    assert not pandora_console.second_factor_off


@control("console.second-factor-enrolled", HIGH, attestable=True, subject=Subject.DEPLOYMENT)
def test_every_user_has_a_second_factor(pandora_console, promises):
    """Every user who logs in has enrolled a second factor.

    Only who has enrolled is asked for it; the switch alone asks nobody.

    Fix: Have each user enrol; name emergency accounts in audit_break_glass.

    Impact: Who loses the device needs an administrator.
    """
    assert not pandora_console.unenrolled(promises.break_glass)


@control("console.login-hash", HIGH, level=Level.BYPASS, subject=Subject.DEPLOYMENT)
def test_nobody_logs_in_by_hash(pandora_console):
    """Nobody logs in by a hash that can be guessed.

    A link with a hash enters without password, second factor or lock; its secret is all that stands before it.

    Fix: Setup, General: empty the login hash password, or make it a random one of 16 characters.

    Impact: Links of other programs into the console stop.
    """
    assert not pandora_console.login_hash


@control("console.directory-tls", HIGH, duty=Duty.IF, subject=Subject.DEPLOYMENT)
def test_directories_are_asked_through_tls(pandora_console):
    """LDAP and Active Directory are asked through TLS.

    Each login sends a person's password of the whole company to the directory.

    Fix: Setup, Authentication: StartTLS, or an ldaps:// server.

    Impact: The console must trust the directory's CA.
    """
    assert not pandora_console.directory_in_the_clear


@control("console.audit-log", HIGH, subject=Subject.DEPLOYMENT)
def test_the_audit_log_is_on(pandora_console):
    """The console's audit log is on, and its file holds the newest record.

    Who did what is the first question after an incident, and the copy elsewhere is made from the file.

    Fix: Setup, Audit: write the audit log to its file (`audit_log_enabled` = 1). Where the file ends before the
    database does, let the user of the web server write to log/audit.log again.

    Impact: The file grows: see to its rotation.
    """
    assert not pandora_console.audit_log_off


@control("console.audit-retention", MEDIUM, level=Level.HYGIENE, attestable=True, subject=Subject.DEPLOYMENT)
def test_audit_records_are_kept(pandora_console, promises):
    """The console's audit records are kept long enough.

    The product deletes them after two weeks; an intrusion is found after months.

    Fix: Setup, Performance: days of audit_retention_days, or 0 for ever.

    Impact: The table tsesion grows.
    """
    assert not pandora_console.audit_kept(promises.retention_days)


@control("console.audit-signed", MEDIUM, duty=Duty.CONSIDER, subject=Subject.DEPLOYMENT)
def test_audit_records_are_signed(pandora_console):
    """The console's audit records carry a signature.

    A record that its subject can rewrite proves nothing.

    Fix: Enterprise signs records by itself once extended audit is on.

    Impact: None.
    """
    assert not pandora_console.audit_unsigned


@control("console.audit-announced", LOW, subject=Subject.PERSON)
def test_users_know_of_the_audit_log(attestation):
    """Users are told that their actions are recorded.

    No command can see it: a person answers for it in the attestations file.

    Fix: Tell them in the login message, in the terms of use or in a training; then attest it.

    Impact: None.
    """
    assert attestation


@control("console.audit-exported", HIGH, attestable=True, subject=Subject.DEPLOYMENT)
def test_audit_records_leave_the_machine(console_audit_export):
    """The console's audit log is copied to another system.

    Who takes over the console deletes its records first.

    Fix: Have rsyslog (imfile), Filebeat or another shipper read log/audit.log and send it elsewhere; or attest how it
    is exported.

    Impact: Records name people: the other system is bound by the same rules.
    """
    assert not console_audit_export.missing


@control("console.extended-acl", HIGH, subject=Subject.DEPLOYMENT)
def test_the_extended_acl_is_used(pandora_console):
    """The extended ACL is on and restricts profiles.

    Profiles alone open whole sections; the extended ACL opens pages one by one.

    Fix: Setup, Enterprise ACL: enable it, and list the pages of each profile.

    Impact: A profile without a list sees nothing.
    """
    assert not pandora_console.acl_off


@control("console.administrators", HIGH, subject=Subject.DEPLOYMENT)
def test_administrators_are_the_promised_ones(pandora_console, promises):
    """Administrators, and who sees all groups, are the promised people.

    No ACL binds an administrator.

    Fix: Take the right away, or name the person in audit_console_administrators (audit_all_groups_users).

    Impact: None for people who do not use it.
    """
    assert not pandora_console.administrators(promises.console_administrators, promises.all_groups_users)


@control("console.session-timeout", MEDIUM, level=Level.BYPASS, subject=Subject.DEPLOYMENT)
def test_idle_sessions_end(pandora_console, promises):
    """Idle console sessions end.

    An open browser is an open console.

    Fix: Setup, General: a session timeout up to audit_session_timeout; and no longer one in a user's own settings.

    Impact: Wall screens need a user of their own, or public dashboards.
    """
    assert not pandora_console.long_sessions(promises.session_timeout)


@control("console.api-access", HIGH, level=Level.BYPASS, subject=Subject.DEPLOYMENT)
def test_the_api_is_restricted(pandora_console):
    """The API answers promised addresses only, with a password of its own.

    The API can do what its user can, without a second factor.

    Fix: Setup, General: list the addresses (no `*`), and set an API password that is not a published one.

    Impact: Integrations must come from the listed addresses.
    """
    assert not pandora_console.open_api


@control("console.default-credentials", CRITICAL, level=Level.BYPASS, subject=Subject.DEPLOYMENT)
def test_no_user_has_a_published_password(pandora_console):
    """No user has a password or API token that the product is shipped with.

    They are printed in every manual, and tried first.

    Fix: Change the password and the token of the user, or disable it.

    Impact: Scripts that use them must be told the new ones.
    """
    assert not pandora_console.default_credentials


@control("console.encrypted-storage", HIGH, subject=Subject.DEPLOYMENT)
def test_what_is_secret_in_the_database_is_encrypted(encrypted_storage):
    """Secrets in the database are encrypted, server and console share the passphrase.

    The credential store opens every machine that is monitored with a password; whoever gets a copy of the database,
    or one of its backups, has them all.

    Fix: Set the same `encryption_passphrase` in pandora_server.conf and in the console's config.php, restart the
    server, and convert what is stored: `pandora_encrypt_db /etc/pandora/pandora_server.conf` (Enterprise).

    Impact: Without the passphrase no backup is worth anything: keep it elsewhere. Back the database up, and stop
    server and console before it is converted.
    """
    assert not encrypted_storage.missing
