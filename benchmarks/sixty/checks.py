"""The sixty checks as data: what both forms judge. Eighteen fail on a stock Debian; that is no accident."""

from __future__ import annotations

from typing import NamedTuple


class File(NamedTuple):
    name: str
    path: str
    mode: int
    user: str
    group: str


class Setting(NamedTuple):
    """A keyword of sshd, or a kernel parameter, and the value that it should have."""

    name: str
    key: str
    value: str


class Service(NamedTuple):
    name: str
    unit: str


class Socket(NamedTuple):
    """A testinfra socket specification, and whether somebody should listen there."""

    name: str
    spec: str
    listening: bool


class Package(NamedTuple):
    name: str
    package: str
    installed: bool


class User(NamedTuple):
    name: str
    user: str
    uid: int
    shell: str


class Command(NamedTuple):
    """A command, whether only root may run it, and how its output should begin."""

    name: str
    command: str
    root: bool
    begins: str


FILES = (
    File("file-passwd", "/etc/passwd", 0o644, "root", "root"),
    File("file-shadow", "/etc/shadow", 0o640, "root", "shadow"),
    File("file-group", "/etc/group", 0o644, "root", "root"),
    File("file-gshadow", "/etc/gshadow", 0o640, "root", "shadow"),
    File("file-sudoers", "/etc/sudoers", 0o440, "root", "root"),
    File("file-sudoers-folder", "/etc/sudoers.d", 0o750, "root", "root"),
    File("file-sshd-config", "/etc/ssh/sshd_config", 0o600, "root", "root"),
    File("file-host-key", "/etc/ssh/ssh_host_ed25519_key", 0o600, "root", "root"),
    File("file-root-home", "/root", 0o700, "root", "root"),
    File("file-crontab", "/etc/crontab", 0o600, "root", "root"),
    File("file-login-defs", "/etc/login.defs", 0o644, "root", "root"),
    File("file-tmp", "/tmp", 0o1777, "root", "root"),
)

SSHD = (
    Setting("sshd-root-login", "permitrootlogin", "no"),
    Setting("sshd-passwords", "passwordauthentication", "no"),
    Setting("sshd-x11", "x11forwarding", "no"),
    Setting("sshd-tries", "maxauthtries", "4"),
    Setting("sshd-empty-passwords", "permitemptypasswords", "no"),
    Setting("sshd-host-based", "hostbasedauthentication", "no"),
    Setting("sshd-rhosts", "ignorerhosts", "yes"),
    Setting("sshd-tcp-forwarding", "allowtcpforwarding", "no"),
    Setting("sshd-environment", "permituserenvironment", "no"),
    Setting("sshd-strict-modes", "strictmodes", "yes"),
)

SYSCTL = (
    Setting("sysctl-forward", "net.ipv4.ip_forward", "0"),
    Setting("sysctl-rp-filter", "net.ipv4.conf.all.rp_filter", "1"),
    Setting("sysctl-redirects", "net.ipv4.conf.all.accept_redirects", "0"),
    Setting("sysctl-send-redirects", "net.ipv4.conf.all.send_redirects", "0"),
    Setting("sysctl-source-route", "net.ipv4.conf.all.accept_source_route", "0"),
    Setting("sysctl-martians", "net.ipv4.conf.all.log_martians", "1"),
    Setting("sysctl-syncookies", "net.ipv4.tcp_syncookies", "1"),
    Setting("sysctl-broadcasts", "net.ipv4.icmp_echo_ignore_broadcasts", "1"),
    Setting("sysctl-aslr", "kernel.randomize_va_space", "2"),
    Setting("sysctl-dmesg", "kernel.dmesg_restrict", "1"),
)

SERVICES = (
    Service("service-ssh", "ssh"),
    Service("service-dbus", "dbus"),
    Service("service-journald", "systemd-journald"),
    Service("service-logind", "systemd-logind"),
    Service("service-cron", "cron"),
    Service("service-auditd", "auditd"),
)

SOCKETS = (
    Socket("socket-ssh", "tcp://22", True),
    Socket("socket-ssh-ipv4", "tcp://0.0.0.0:22", True),
    Socket("socket-telnet", "tcp://0.0.0.0:23", False),
    Socket("socket-smtp", "tcp://127.0.0.1:25", True),
)

PACKAGES = (
    Package("package-openssh-server", "openssh-server", True),
    Package("package-sudo", "sudo", True),
    Package("package-openssl", "openssl", True),
    Package("package-pam", "libpam-modules", True),
    Package("package-ca-certificates", "ca-certificates", True),
    Package("package-telnetd", "telnetd", False),
    Package("package-auditd", "auditd", True),
    Package("package-rsyslog", "rsyslog", True),
)

USERS = (
    User("user-root", "root", 0, "/bin/bash"),
    User("user-daemon", "daemon", 1, "/usr/sbin/nologin"),
    User("user-sshd", "sshd", 101, "/usr/sbin/nologin"),
    User("user-nobody", "nobody", 65534, "/usr/sbin/nologin"),
    User("user-backup", "backup", 34, "/bin/false"),
    User("user-audit", "audit", 1000, "/bin/bash"),
)

COMMANDS = (
    Command("command-kernel", "uname -s", False, "Linux"),
    Command("command-bits", "getconf LONG_BIT", False, "64"),
    Command("command-openssl", "openssl version", False, "OpenSSL 3."),
    Command("command-root-locked", "/usr/bin/passwd -S root", True, "root L "),
)

NAMES = tuple(
    check.name for group in (FILES, SSHD, SYSCTL, SERVICES, SOCKETS, PACKAGES, USERS, COMMANDS) for check in group
)
