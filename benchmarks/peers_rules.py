"""The rules that another auditor and ours both have, and what settles a difference."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """A rule of both.

    Attributes:
        ours: the control.
        rule: the peer's name for it.
        settle: shell text, run as root on the host: what the daemon itself says.
    """

    ours: str
    peer: str
    rule: str
    settle: str


_SSHD = "sshd -T -C user=root,host=x,addr=10.0.0.1 | grep -iE '^({}) '"
_VISIT = (
    "for s in https http; do curl -skD - -o /dev/null $s://localhost/pandora_console/index.php && break; done"
    " | grep -iE '^(HTTP|Server|X-Powered|Set-Cookie)'"
)
_LISTENS = "ss -Hltnp | awk '{print $4, $6}'"
_SHELLS = "for u in www-data mysql pandora; do getent passwd $u && { su $u -c id || echo no shell; }; done"
_SUDO = "cvtsudoers -e -f json /etc/sudoers | grep -nE 'authenticate|logfile'"
_AUTH_LOG = (
    "logger -p authpriv.info hello; journalctl --sync; journalctl -n 1 -o cat SYSLOG_FACILITY=10;"
    " ls -d /var/log/journal; tail -n 1 /var/log/auth.log"
)
_CLOCK = "chronyc -c -n sources; chronyc tracking | grep -E 'Reference|Leap'"

PAIRS = (
    Pair("ssh.root-login", "oscap", "sshd_disable_root_login", _SSHD.format("permitrootlogin")),
    Pair("ssh.tcp-forwarding", "oscap", "sshd_disable_tcp_forwarding", _SSHD.format("allowtcpforwarding")),
    Pair("ssh.banner", "oscap", "sshd_enable_warning_banner_net", _SSHD.format("banner") + "; wc -c /etc/issue.net"),
    Pair("ssh.banner-content", "oscap", "banner_etc_issue_net_cis", "cat /etc/issue.net"),
    Pair("ssh.access-limited", "oscap", "sshd_limit_user_access", _SSHD.format("allowusers|allowgroups|denyusers")),
    Pair("system.single-superuser", "oscap", "accounts_no_uid_except_zero", "awk -F: '$3 == 0' /etc/passwd"),
    Pair("system.no-empty-passwords", "oscap", "no_empty_passwords_etc_shadow", "awk -F: '$2 == \"\"' /etc/shadow"),
    Pair("system.service-accounts", "oscap", "no_shelllogin_for_systemaccounts", _SHELLS),
    Pair("system.sudo-authenticates", "oscap", "sudo_remove_nopasswd", _SUDO),
    Pair(
        "system.sudo-logged",
        "oscap",
        "sudo_custom_logfile",
        "sudo true; journalctl --sync; journalctl -t sudo -n 3 -o cat; " + _SUDO,
    ),
    Pair("system.time-service", "oscap", "chronyd_specify_remote_server", _CLOCK),
    Pair("system.time-service", "oscap", "service_chronyd_or_ntpd_enabled", "systemctl is-enabled chrony chronyd ntp"),
    Pair("system.time-service", "oscap", "ntp_single_service_active", "systemctl is-active chrony systemd-timesyncd"),
    Pair("system.auth-log", "oscap", "service_rsyslog_enabled", _AUTH_LOG),
    Pair("system.auth-log-private", "oscap", "rsyslog_files_permissions", "stat -c '%A %U:%G %n' /var/log/*"),
    Pair("system.auth-log-forwarded", "oscap", "rsyslog_remote_loghost", "rsyslogd -N1; grep -rn omfwd /etc/rsyslog.*"),
    *(
        Pair("system.legacy-services", "oscap", f"package_{name}_removed", _LISTENS)
        for name in ("telnet-server", "telnetd", "tftp-server", "vsftpd", "rsh-server", "inetutils-telnetd")
    ),
    Pair("system.firewall", "oscap", "nftables_ensure_default_deny_policy", "nft list ruleset"),
    Pair("system.mandatory-access-control", "oscap", "apparmor_configured", "cat /sys/kernel/security/lsm; aa-status"),
    Pair("system.mandatory-access-control", "oscap", "selinux_state", "getenforce; ls /sys/fs/selinux"),
    Pair("system.update-source", "oscap", "ensure_gpgcheck_globally_activated", "grep -rn gpgcheck /etc/dnf /etc/yum*"),
    Pair("system.security-updates", "oscap", "security_patches_up_to_date", "dnf -C -q updateinfo list --security"),
    Pair("ssh.root-login", "lynis", "SSH-7408 PermitRootLogin", _SSHD.format("permitrootlogin")),
    Pair("ssh.tcp-forwarding", "lynis", "SSH-7408 AllowTcpForwarding", _SSHD.format("allowtcpforwarding")),
    Pair("ssh.tunnel", "lynis", "SSH-7408 PermitTunnel", _SSHD.format("permittunnel")),
    Pair("ssh.port", "lynis", "SSH-7408 Port", _LISTENS),
    Pair("ssh.banner-content", "lynis", "BANN-7130", "cat /etc/issue.net; " + _SSHD.format("banner")),
    Pair("system.single-superuser", "lynis", "AUTH-9204", "awk -F: '$3 == 0' /etc/passwd"),
    Pair("system.no-empty-passwords", "lynis", "AUTH-9283", "awk -F: '$2 == \"\"' /etc/shadow"),
    Pair("system.time-service", "lynis", "TIME-3104", _CLOCK),
    Pair("system.auth-log", "lynis", "LOGG-2130", _AUTH_LOG),
    Pair("system.auth-log-forwarded", "lynis", "LOGG-2154", "grep -rn -e omfwd -e @@ /etc/rsyslog.*"),
    Pair("system.firewall", "lynis", "FIRE-4590", "nft list ruleset"),
    Pair("system.mandatory-access-control", "lynis", "MACF-6290", "cat /sys/kernel/security/lsm; aa-status"),
    Pair("system.security-updates", "lynis", "PKGS-7392", "apt-get -s upgrade | grep ^Inst; ls /var/lib/apt/lists"),
    Pair("php.exposure", "lynis", "PHP-2372", "grep -rn expose_php /etc/php/*/*/php.ini /etc/php/*/*/conf.d"),
    Pair("mysql.root-password", "lynis", "DBS-1816", "mysql -N -e 'select user, host, plugin from mysql.user'"),
    Pair("ssh.root-login", "serverspec", "ssh.root-login", _SSHD.format("permitrootlogin")),
    Pair("ssh.tcp-forwarding", "serverspec", "ssh.tcp-forwarding", _SSHD.format("allowtcpforwarding")),
    Pair("ssh.banner", "serverspec", "ssh.banner", _SSHD.format("banner") + "; wc -c /etc/issue.net"),
    Pair("ssh.port", "serverspec", "ssh.port", _LISTENS),
    Pair("system.time-service", "serverspec", "system.time-service", _CLOCK),
    Pair("system.auth-log", "serverspec", "system.auth-log", _AUTH_LOG),
    Pair("system.auth-log-private", "serverspec", "system.auth-log-private", "stat -c '%A %U:%G %n' /var/log/*"),
    Pair("system.service-accounts", "serverspec", "system.service-accounts", _SHELLS),
    Pair("system.legacy-services", "serverspec", "system.legacy-services", _LISTENS),
    Pair("system.firewall", "serverspec", "system.firewall", "nft list ruleset"),
    Pair(
        "php.cookie-httponly",
        "serverspec",
        "php.cookie-httponly",
        _VISIT,
    ),
    Pair(
        "php.cookie-secure",
        "serverspec",
        "php.cookie-secure",
        _VISIT,
    ),
    Pair(
        "php.exposure",
        "serverspec",
        "php.exposure",
        _VISIT,
    ),
    Pair(
        "web.server-tokens",
        "serverspec",
        "web.server-tokens",
        _VISIT,
    ),
    Pair("mysql.bind-address", "serverspec", "mysql.bind-address", "ss -Hltn | grep :3306"),
    Pair("mysql.tls-required", "serverspec", "mysql.tls-required", "mysql -N -e 'select @@require_secure_transport'"),
    Pair("mysql.files-private", "serverspec", "mysql.files-private", "stat -c '%A %U:%G %n' /var/lib/mysql"),
)

# What the command shows and who is right; by our control, the peer, and whether it says that its rule holds.
SETTLED = {
    ("ssh.root-login", "oscap", False): (
        "It is set in a drop-in that the daemon reads, and the daemon says no: ours is right."
    ),
    ("ssh.root-login", "serverspec", False): (
        "The main file does not say it, a drop-in does, and the daemon says no: ours is right."
    ),
    ("ssh.root-login", "lynis", True): (
        "A key opens root with this value; the guide asks that nothing does. Ours is right by the guide."
    ),
    ("ssh.tcp-forwarding", "oscap", False): (
        "It is set in a drop-in that the daemon reads, and the daemon says no: ours is right."
    ),
    ("ssh.tcp-forwarding", "serverspec", False): (
        "The main file does not say it, a drop-in does, and the daemon says no: ours is right."
    ),
    ("ssh.tcp-forwarding", "lynis", True): (
        "OpenSSH 10.6 writes its keywords with capitals, which Lynis passes over; the daemon forwards. Ours is right."
    ),
    ("ssh.port", "lynis", True): (
        "OpenSSH 10.6 writes keywords with capitals, which Lynis passes over; the daemon listens on 22. Ours is right."
    ),
    ("ssh.tunnel", "lynis", True): (
        "OpenSSH 10.6 writes its keywords with capitals, which Lynis passes over. Ours is right."
    ),
    ("ssh.banner", "oscap", False): (
        "The daemon has a banner, and the file has a text; it was received before the login. Ours is right."
    ),
    ("ssh.banner", "serverspec", False): (
        "The main file does not say it, a drop-in does, and the banner was received. Ours is right."
    ),
    ("ssh.banner-content", "oscap", True): (
        "The text names an address, which the peer does not look for. Ours is right."
    ),
    ("ssh.banner-content", "lynis", False): (
        "Lynis asks for words of law; the claim is that nothing of the machine is told, and nothing is. Ours is right."
    ),
    ("ssh.access-limited", "oscap", False): "The daemon has a list of who may enter. Ours is right.",
    ("system.auth-log", "oscap", False): (
        "Logins are in a journal that outlives a boot, or in the file of a daemon that was not found. Ours is right."
    ),
    ("system.auth-log", "serverspec", False): (
        "Logins are in a journal that outlives a boot, or in the file of a daemon that was not found. Ours is right."
    ),
    ("system.auth-log-forwarded", "oscap", False): (
        "The copy is an action of today's syntax over several lines. Ours is right."
    ),
    ("system.auth-log-forwarded", "lynis", False): (
        "The copy is an action of today's syntax over several lines. Ours is right."
    ),
    ("system.firewall", "lynis", True): "The kernel could filter, and no rule does. Ours is right.",
    ("system.firewall", "serverspec", False): "nftables denies by policy; the peer asks iptables. Ours is right.",
    ("system.service-accounts", "oscap", True): (
        "Its uid is that of a person, so the peer passes it over; it gets a shell. Ours is right."
    ),
    ("system.service-accounts", "oscap", False): "/bin/false lets nobody in, as nologin does not. Ours is right.",
    ("system.service-accounts", "serverspec", False): "/bin/false lets nobody in, as nologin does not. Ours is right.",
    ("system.sudo-logged", "oscap", False): (
        "sudo writes to the journal and to syslog; a file of its own is one way among others. Ours is right."
    ),
    ("system.time-service", "oscap", True): "The service is there, and no source has answered it. Ours is right.",
    ("system.time-service", "lynis", True): "The service is there, and no source has answered it. Ours is right.",
    ("system.time-service", "serverspec", True): "The service is there, and no source has answered it. Ours is right.",
    ("mysql.tls-required", "serverspec", False): (
        "The peer did not find it in the file that it reads; the server requires TLS. Ours is right."
    ),
    ("mysql.bind-address", "serverspec", False): "The server listens where its promised clients are. Ours is right.",
    ("php.cookie-httponly", "serverspec", False): (
        "The peer asks the PHP of the command line; the cookie on the wire has the word. Ours is right."
    ),
    ("php.cookie-secure", "serverspec", False): (
        "The peer asks the PHP of the command line; the cookie on the wire has the word. Ours is right."
    ),
    ("php.exposure", "serverspec", False): (
        "The peer asks the PHP of the command line; the web server's tells nothing. Ours is right."
    ),
    ("web.server-tokens", "serverspec", False): (
        "It stands in another file than the one looked into; the server tells no version. Ours is right."
    ),
}
