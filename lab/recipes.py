"""What each image is made of: layers, every one upon another, down to a Debian of its own.

A layer's steps and files lie in ``roles/<folder>``: ``build.sh`` runs once, in the image, after the packages came and
``files/`` was laid over it. ``stock.sh`` and ``hardened.sh`` are the two personalities: as the vendor's installer
leaves the role, and with the guide applied. The personality of an image is that of all of its layers, from the base up.
"""

from __future__ import annotations

from dataclasses import dataclass

_SYSTEM = (
    "systemd systemd-sysv libpam-systemd dbus openssh-server sudo python3-minimal iproute2 procps"
    " ca-certificates openssl passwd login curl less netbase iputils-ping fish tcsh csh gzip libpam-modules"
)
# The suite that changes from day to day: what only it has may be gone tomorrow.
UNSTABLE = "sid"
_SQL = ("roles/schema.sql", "roles/hardened.sql")


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        under: the layer below; empty for a base.
        suite: of a base, Debian's name for it.
        packages: to install.
        folder: of ``roles``; by default the layer's own name.
        reads: further files or folders of ``lab`` that build.sh finds in /run/lab.
        services: units that are active when a host is ready.
        ports: what the firewall of the hardened personality lets in, besides sshd: TCP.
    """

    under: str = ""
    suite: str = ""
    packages: str = ""
    folder: str = ""
    reads: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


LAYERS = {
    "bookworm": Layer(suite="bookworm", packages=_SYSTEM, folder="base"),
    "trixie": Layer(suite="trixie", packages=_SYSTEM, folder="base"),
    "sid": Layer(suite=UNSTABLE, packages=_SYSTEM, folder="base"),
    # What every host of a deployment has.
    "common": Layer(
        "bookworm",
        packages="rsyslog rsyslog-gnutls chrony cron logrotate nftables",
        services=("rsyslog", "cron", "chrony"),
    ),
    "common-trixie": Layer(
        "trixie",
        packages="rsyslog rsyslog-gnutls chrony cron logrotate nftables",
        folder="common",
        services=("rsyslog", "cron", "chrony"),
    ),
    "common-sid": Layer(
        "sid",
        packages="rsyslog rsyslog-gnutls chrony cron logrotate nftables",
        folder="common",
        services=("rsyslog", "cron", "chrony"),
    ),
    # What the vendor's deployment scripts do to a host, whatever its role.
    "appliance": Layer("common"),
    "appliance-trixie": Layer("common-trixie", folder="appliance"),
    "appliance-sid": Layer("common-sid", folder="appliance"),
    # Whom the deployment's hosts ask for the time.
    "timeserver": Layer("common"),
    "database": Layer(
        "appliance",
        packages="mariadb-server",
        reads=(*_SQL, "roles/database/server.sh"),
        services=("mariadb",),
        ports=(3306,),
    ),
    "database-trixie": Layer(
        "appliance-trixie",
        packages="mariadb-server",
        folder="database",
        reads=(*_SQL, "roles/database/server.sh"),
        services=("mariadb",),
        ports=(3306,),
    ),
    "database-mysql9": Layer(
        "appliance-sid",
        packages="mysql-server",
        reads=(*_SQL, "roles/database-mysql9/server.sh"),
        services=("mysql",),
        ports=(3306,),
    ),
    "console": Layer(
        "appliance",
        packages="apache2 libapache2-mod-php php-mysql ssl-cert",
        reads=("roles/pages",),
        services=("apache2",),
        ports=(80, 443),
    ),
    "console-nginx": Layer(
        "appliance",
        packages="nginx php-fpm php-mysql ssl-cert",
        reads=("roles/pages",),
        services=("nginx", "php8.2-fpm"),
        ports=(80, 443),
    ),
    # A console with each filter that administrators choose from; none of them runs.
    "console-filters": Layer("console", packages="ufw firewalld iptables"),
    # The upstream layout of an agent; of a Debian package's agent, see "agent" and "agent6".
    "agent-upstream": Layer(
        "appliance", reads=("roles/agent-upstream/agent.conf",), services=("pandora_agent_daemon",)
    ),
    "tentacle": Layer(
        "agent-upstream",
        packages="python3",
        reads=("tentacle.py",),
        services=("tentacle_serverd",),
        ports=(41121,),
    ),
    "server": Layer("tentacle", services=("pandora_server",)),
    # For lab.site, hosts that follow the guide to the last: an agent beside each role, a module of PAM that asks for a
    # token, and on the server a client of the database, which is elsewhere.
    "console-watched": Layer("console", folder="agent-upstream", reads=("roles/agent-upstream/agent.conf",)),
    "database-watched": Layer("database", folder="agent-upstream", reads=("roles/agent-upstream/agent.conf",)),
    "site-server": Layer("server", folder="site", packages="libpam-oath mariadb-client"),
    "site-console": Layer("console-watched", folder="site", packages="libpam-oath"),
    "site-database": Layer("database-watched", folder="site", packages="libpam-oath"),
    "site-endpoint": Layer("agent-upstream", folder="site", packages="libpam-oath"),
    "site-endpoint-debian": Layer("agent", folder="site", packages="libpam-oath"),
    "agent": Layer("common", packages="pandorafms-agent", services=("pandorafms-agent",)),
    "agent6": Layer("common-sid", packages="pandorafms-agent", folder="agent", services=("pandorafms-agent",)),
    "ha": Layer("tentacle", packages="keepalived haproxy", services=("keepalived", "haproxy"), ports=(41120,)),
    "rhel": Layer(
        "common",
        packages="rpm dnf dnf-plugins-core createrepo-c apache2",
        services=("httpd", "sshd", "pandora_agent_daemon"),
        reads=("roles/agent-upstream",),
        ports=(80, 443),
    ),
}


def chain(name: str) -> list[tuple[str, Layer]]:
    """The layers of an image, from its base up."""
    layer = LAYERS[name]
    return [*(chain(layer.under) if layer.under else []), (name, layer)]
