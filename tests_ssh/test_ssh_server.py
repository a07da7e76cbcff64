"""The SSH server: the door that every remote command comes through."""

from pandora_audit import HIGH, LOW, MEDIUM, Level, control


@control("ssh.port", LOW)
def test_ssh_leaves_the_port_everyone_tries(sshd, promises, level):
    """SSH answers on no port that everybody tries.

    Sweeps of the whole Internet knock on 22 first; elsewhere, a knock in the log means that somebody looked
    for this machine.

    Fix: Set `Port 31122` before any Match in sshd_config (where ssh.socket listens, its ListenStream), allow
    the port in the firewall and give it SELinux's ssh_port_t, restart sshd, and enter by the new port before
    the old session is closed.

    Impact: Every client that names no port: this audit's inventory, Ansible, backups, and Pandora FMS remote
    execution and SSH plugins, must be told the new one first.
    """
    assert not sshd.stray_ports(promises.ssh_port or 31122, exact=level == "strict")


@control("ssh.root-login", HIGH)
def test_root_enters_from_nowhere(sshd):
    """Root enters from nowhere.

    People enter under their own names and become root through sudo, so that the log tells who did what; and
    the one name that every attacker knows opens nothing.

    Fix: Set `PermitRootLogin no` where the cause points, or in a drop-in that sorts before it; remove it from
    every Match block; reload sshd.

    Impact: Whatever enters as root stops: give backups, Ansible and Pandora FMS agentless checks an account
    of their own with sudo first.
    """
    assert not sshd.root_enters


@control("ssh.tcp-forwarding", MEDIUM)
def test_nobody_forwards_tcp_through_the_host(sshd, promises):
    """Nobody forwards TCP through the host.

    A monitoring server reaches every network; whoever may forward through it walks around the firewalls that
    keep those networks apart.

    Fix: Set `AllowTcpForwarding no` (or `DisableForwarding yes`), also in Match blocks; on a jump host promise
    `audit_jump_host: yes` and set `AllowTcpForwarding local` with a PermitOpen list; reload sshd.

    Impact: Tunnels and ProxyJump through this host stop, those of administrators and of this audit's inventory
    included.
    """
    assert not sshd.tcp_forwarding(jump_host=promises.jump_host)


@control("ssh.tunnel", MEDIUM)
def test_nobody_opens_a_tunnel_device(sshd):
    """Nobody opens a tunnel device.

    A tunnel device joins two networks below every firewall rule. sshd forbids it unless somebody has allowed it.

    Fix: Remove PermitTunnel, or set `PermitTunnel no`, where the cause points; reload sshd.

    Impact: VPNs built on `ssh -w` stop. Pandora FMS itself uses none.
    """
    assert not sshd.tunnels


@control("ssh.banner", LOW)
def test_a_banner_is_sent_before_the_login(sshd):
    """A banner is sent before the login.

    It tells whoever knocks that the machine is private and that entries are logged, before the first attempt.

    Fix: Write the notice to /etc/issue.net, set `Banner /etc/issue.net` before any Match in sshd_config, and
    reload sshd. A line appended at the end of the file belongs to its last Match block.

    Impact: Scripts that read ssh's standard error see the text.
    """
    assert not sshd.silent_logins


@control("ssh.banner-content", LOW, level=Level.HYGIENE)
def test_the_banner_tells_nothing_of_the_machine(sshd, platform):
    """The banner tells nothing of the machine.

    Stock banners name the distribution and its release, and the vendor's installer adds host names and
    addresses: a gift to whoever has only found an open port.

    Fix: Replace the text of the banner file by a legal notice without system, release, name or address.

    Impact: None.
    """
    assert not platform.told_by(sshd.banner)


@control("ssh.running-config", MEDIUM)
def test_sshd_runs_with_what_is_written(sshd):
    """sshd runs with what is written.

    A corrected file protects nobody until the daemon has read it, and a broken one waits for the next restart.

    Fix: Run `sshd -t`, then reload the service (ssh on Debian, sshd on RHEL).

    Impact: Open sessions go on. A changed port takes effect: see ssh.port first.
    """
    assert not sshd.unread_changes


@control("ssh.root-keys", HIGH, level=Level.PLUGIN)
def test_no_key_opens_root(authorized_keys):
    """No key opens root.

    A key in root's authorized_keys is a door that no password policy and no leaving employee closes, and a
    private key in root's folder opens further machines. It counts even while PermitRootLogin forbids its use:
    that line is all that stands before it.

    Fix: Remove the line or the file that the cause names; where a program needs root, give it an account and
    one sudo rule, or a forced command.

    Impact: Backups and orchestration that enter as root stop: move them first.
    """
    assert not authorized_keys.root_openers


@control("ssh.user-keys", MEDIUM, level=Level.PLUGIN)
def test_keys_of_people_are_known(authorized_keys, promises):
    """Keys of people are known to the site.

    An account is closed, and the key that somebody added to it years ago still opens it.

    Fix: Remove the key, or add its fingerprint (`ssh-keygen -lf FILE`) to audit_user_keys.

    Impact: Whoever used a removed key no longer enters.
    """
    assert not authorized_keys.strangers(promises.user_keys)


@control("ssh.access-limited", MEDIUM, level=Level.HYGIENE)
def test_who_may_enter_is_a_list(access, promises):
    """Who may enter is a list.

    Without one, each account that a package or a colleague creates is a way in.

    Fix: Set `AllowGroups` (or AllowUsers) in sshd_config, or limit access through pam_access or the directory
    service; reload sshd.

    Impact: Accounts outside the list no longer enter: add this audit's account and those of Pandora FMS's
    remote checks first.
    """
    assert not access.unlimited(promises.directory)
