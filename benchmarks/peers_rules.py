"""The rules that another auditor and ours both have, and what settles a difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pair:
    """A rule of both.

    Attributes:
        ours: the control.
        rule: the peer's name for it.
        settle: shell text, run as root on the host: what the daemon itself says.
        why: for whether the peer says that the rule holds, what the command shows and who is right.
    """

    ours: str
    peer: str
    rule: str
    settle: str
    why: Mapping[bool, str] = field(default_factory=dict, hash=False)


_SSHD = "sshd -T -C user=root,host=x,addr=10.0.0.1 | grep -iE '^({}) '"
_VISIT = "curl -skD - -o /dev/null https://localhost/pandora_console/index.php"
_LISTENS = "ss -Hltnp | awk '{print $4, $6}'"
_SHELLS = "getent passwd www-data mysql pandora nobody daemon"
_SUDO = "cvtsudoers -e -f json /etc/sudoers | grep -E 'authenticate|username|command\"|\"log'"

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
    Pair("system.sudo-authenticates", "oscap", "sudo_remove_no_authenticate", _SUDO),
    Pair("system.sudo-logged", "oscap", "sudo_custom_logfile", "sudo true; journalctl -t sudo -n 1 -o cat; " + _SUDO),
    Pair("system.time-service", "oscap", "chronyd_specify_remote_server", "chronyc -n sources; chronyc tracking"),
    Pair("system.time-service", "oscap", "service_chronyd_or_ntpd_enabled", "systemctl is-enabled chrony chronyd ntp"),
    Pair("system.time-service", "oscap", "ntp_single_service_active", "systemctl is-active chrony systemd-timesyncd"),
    Pair("system.auth-log", "oscap", "service_rsyslog_enabled", "logger -p auth.info x; tail -n 1 /var/log/auth.log"),
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
    Pair("ssh.access-limited", "lynis", "SSH-7440", _SSHD.format("allowusers|allowgroups|denyusers")),
    Pair("ssh.banner-content", "lynis", "BANN-7130", "cat /etc/issue.net; " + _SSHD.format("banner")),
    Pair("system.single-superuser", "lynis", "AUTH-9204", "awk -F: '$3 == 0' /etc/passwd"),
    Pair("system.no-empty-passwords", "lynis", "AUTH-9283", "awk -F: '$2 == \"\"' /etc/shadow"),
    Pair("system.time-service", "lynis", "TIME-3104", "chronyc -n sources; chronyc tracking"),
    Pair("system.auth-log", "lynis", "LOGG-2130", "logger -p auth.info x; tail -n 1 /var/log/auth.log"),
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
    Pair("system.time-service", "serverspec", "system.time-service", "chronyc -n sources; chronyc tracking"),
    Pair("system.auth-log", "serverspec", "system.auth-log", "logger -p auth.info x; tail -n 1 /var/log/auth.log"),
    Pair("system.auth-log-private", "serverspec", "system.auth-log-private", "stat -c '%A %U:%G %n' /var/log/*"),
    Pair("system.service-accounts", "serverspec", "system.service-accounts", _SHELLS),
    Pair("system.legacy-services", "serverspec", "system.legacy-services", _LISTENS),
    Pair("system.firewall", "serverspec", "system.firewall", "nft list ruleset"),
    Pair(
        "php.cookie-httponly",
        "serverspec",
        "php.cookie-httponly",
        _VISIT + " | grep -i set-cookie",
    ),
    Pair(
        "php.cookie-secure",
        "serverspec",
        "php.cookie-secure",
        _VISIT + " | grep -i set-cookie",
    ),
    Pair(
        "php.exposure",
        "serverspec",
        "php.exposure",
        _VISIT + " | grep -iE '^(HTTP|x-powered)'",
    ),
    Pair(
        "web.server-tokens",
        "serverspec",
        "web.server-tokens",
        "curl -sD - -o /dev/null http://localhost/ | grep -i ^server",
    ),
    Pair("mysql.bind-address", "serverspec", "mysql.bind-address", "ss -Hltn | grep :3306"),
    Pair("mysql.tls-required", "serverspec", "mysql.tls-required", "mysql -N -e 'select @@require_secure_transport'"),
    Pair("mysql.files-private", "serverspec", "mysql.files-private", "stat -c '%A %U:%G %n' /var/lib/mysql"),
)
