"""People and privilege: who logs in, by what, and who becomes root."""

from pandora_audit import CRITICAL, HIGH, MEDIUM, Duty, Level, control


@control("system.named-users", HIGH)
def test_each_interactive_account_is_one_persons(accounts, promises):
    """Each interactive account belongs to one named person.

    A shared account has no author: the log tells what it did, and not who.

    Fix: Create an account for each person (`useradd -m NAME`), name them in audit_named_users, and remove the shared
    one (`userdel`) or take its shell. Declare the accounts of programs that log in as audit_automation_accounts.

    Impact: Whoever and whatever still uses the shared account no longer enters: give each a name of its own first.
    """
    assert not accounts.unnamed(promises.named_users, promises.directory)


@control("system.unprivileged-users", HIGH)
def test_people_are_root_only_through_sudo(accounts):
    """People's accounts hold no privilege but through sudo.

    Whoever is in docker, lxd, libvirt or disk reads and writes every file as root does, and no log of sudo tells it.

    Fix: Take the person out of the group (`gpasswd -d NAME GROUP`), and give a sudo rule for what is needed.

    Impact: Open sessions keep the group until they end; containers and virtual machines are then managed by sudo.
    """
    assert not accounts.overprivileged


@control("system.single-superuser", CRITICAL, level=Level.BYPASS)
def test_root_is_the_only_superuser(accounts):
    """Root is the only uid 0, and no two accounts share a uid.

    To the kernel, accounts with one number are one account: a second root is a back door beside every rule for root.

    Fix: Give the account a number of its own (`usermod -u UID NAME`, then `chown` its files), or remove it.

    Impact: Files of the old number no longer belong to the account: list them before (`find / -xdev -uid UID`).
    """
    assert not accounts.superusers


@control("system.no-empty-passwords", CRITICAL, level=Level.BYPASS)
def test_no_account_opens_with_an_empty_password(accounts):
    """No account opens with an empty password.

    Whoever knows the name is in, at the console, through su, and by SSH where it is permitted.

    Fix: Lock the account (`passwd -l NAME`) or set a password, and remove `nullok` from pam_unix where the
    distribution's tool keeps it (`authselect enable-feature without-nullok`, or /etc/pam.d/common-auth).

    Impact: Whatever entered without a password stops.
    """
    assert not accounts.open_doors


@control("system.weak-passwords", CRITICAL, level=Level.PLUGIN)
def test_no_password_is_guessed_first(passwords, promises):
    """No password is the account's name or a published default.

    These are what every scanner tries first. The machine itself tries them on its own hashes and tells names only.

    Fix: Set another password (`passwd NAME`), or lock it where keys suffice (`passwd -l NAME`).

    Impact: Programs that log in with the old password must be told.
    """
    assert not passwords.guessed(promises.crack)


@control("system.second-factor", HIGH, duty=Duty.CONSIDER)
def test_logins_ask_for_a_second_factor(second_factor):
    """Every login of a person asks for a second factor, and no way in skips it.

    A password is guessed, a key file is copied; both together, or one with a token, are not. Programs, which cannot
    answer, enter by a key that works from their own machine only.

    Fix: Install a PAM module for tokens (such as pam_google_authenticator) and require it, without `nullok`, in
    /etc/pam.d/sshd and in each other login; set `AuthenticationMethods publickey,keyboard-interactive`. Put `from=`
    before the keys of audit_automation_accounts.

    Impact: Who has no token is locked out: enrol everybody, and keep a session open, before the module is required.
    """
    assert not second_factor.ways_around


@control("system.service-accounts", HIGH)
def test_nobody_enters_as_an_application(accounts):
    """Application accounts have no way in.

    What runs as the application is then all that the account can be used for; a login as it leaves no name.

    Fix: `usermod -s /usr/sbin/nologin NAME` (/sbin/nologin on RHEL), and remove its authorized_keys; or lock its
    password, remove the keys, and set `DenyUsers NAME` in sshd_config.

    Impact: Where agents deliver by SSH to the account pandora, it needs its shell: declare it as one of
    audit_automation_accounts, with a key and `from=`.
    """
    assert not accounts.reachable_services


@control("system.superuser-by-sudo", HIGH)
def test_administrators_become_root_through_sudo(sudo, promises):
    """Administrators become root through sudo, and they are a list.

    A password of root's that several people know tells nobody apart, and leaves with each who leaves.

    Fix: `passwd -l root`, or `auth required pam_wheel.so use_uid` in /etc/pam.d/su; take whom the finding names out of
    the group or the rule (`visudo`), or add them to audit_sudoers.

    Impact: Make sure that sudo works for two people before root's password is locked. The rescue console of some
    systems asks for that password.
    """
    assert not sudo.superusers(promises.sudoers)


@control("system.sudo-authenticates", HIGH, level=Level.BYPASS)
def test_sudo_asks_who_it_is(sudo):
    """Sudo asks whoever becomes root for their own password.

    Without the question, whoever finds an open session, or steals a key, is root.

    Fix: Remove `NOPASSWD` and `!authenticate` where the cause points (`visudo -f FILE`), cloud images'
    90-cloud-init-users included, and grant programs (audit_automation_accounts) single commands instead.

    Impact: Scripts that call sudo unattended stop; people without a password must set one first.
    """
    assert not sudo.unasked


@control("system.sudo-logged", MEDIUM, level=Level.HYGIENE)
def test_what_sudo_does_is_logged(sudo):
    """What sudo does is logged.

    Otherwise the one line that ties a command of root's to a person is missing.

    Fix: Remove `!syslog`, `!log_allowed` and `!log_denied` where the cause points, or set `Defaults
    logfile=/var/log/sudo.log`.

    Impact: Programs that call sudo often write as many lines.
    """
    assert not sudo.unlogged


@control("system.audit-account", MEDIUM, level=Level.BYPASS)
def test_the_audits_own_account_holds_no_more_than_it_asks(audit_account):
    """This audit's own account is declared, and may do no more than it asks.

    An account that reaches every machine as root is what an attacker would look for first.

    Fix: Declare it as audit_account, put `from=` before its key, install what `--sudoers` prints and remove every other
    rule for it.

    Impact: After an update of this audit the printed lines may be others: install them anew.
    """
    assert not audit_account.excess
