"""The demonstration: a deployment with the guide applied, the same as installers leave it, and what else there is.

``up`` boots the hosts and writes, into a folder, an inventory and a known_hosts for the audit.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab.host import Host, boot
from lab.images import key_path
from lab.process import run

_AT_ONCE = 4
# Nobody has this address of the lab's network; its route says unreachable, or no answer comes.
_NOBODY = "10.99.255.254"


@dataclass(frozen=True)
class Part:
    """A host of the deployment: its name, its image, what it promises to be."""

    name: str
    image: str
    groups: tuple[str, ...]
    hardened: bool


PARTS = (
    Part("pandora01", "site-server", ("server", "tentacle", "agents"), True),
    Part("console01", "site-console", ("console", "agents"), True),
    Part("db01", "site-database", ("database", "agents"), True),
    Part("web01", "site-endpoint", ("agents",), True),
    Part("web02", "site-endpoint-debian", ("agents",), True),
    Part("pandora02", "server", ("server", "tentacle", "agents"), False),
    Part("console02", "console", ("console",), False),
    Part("db02", "database", ("database",), False),
    Part("web03", "agent-upstream", ("agents",), False),
    Part("web04", "agent", ("agents",), False),
    Part("rhel01", "rhel", ("agents",), False),
)
UNREACHABLE = "web05"
# An agent that reports to the hardened server, and that the inventory has never heard of.
UNKNOWN = {"kiosk01": "10.99.255.253"}
# Not of the deployment: what the others find on their network.
_TIME = Part("time01", "timeserver", (), False)
# The guide's hosts follow it by its name; the others ask the pool that their distribution names, and reach the same. A
# container's clock is its machine's, and so it is right.
_SERVER = """
rm /etc/chrony/conf.d/lab.conf
echo 'server time01 iburst minpoll 0 maxpoll 2' > /etc/chrony/sources.d/deployment.sources
"""
_POOL = "sed -i '/^pool /s/$/ minpoll 0 maxpoll 2/' /etc/chrony/chrony.conf"
_FOLLOW = """
systemctl restart chrony
for i in $(seq 100); do chronyc -c -n tracking | grep -q Normal && break; sleep 0.1; done
"""
# The vendor's configuration of an agent runs no security plugin, and so the database has no modules of it.
_UNWATCHED = """
DELETE module, state FROM tagente_modulo module LEFT JOIN tagente_estado state USING (id_agente_modulo)
    WHERE nombre IN ('Secure', 'SSH&#x20;root&#x20;access&#x20;status', 'SELinux&#x20;status');
"""
# Red Hat's own repositories are signed.
_SIGNED = "sed -i s/^gpgcheck=0/gpgcheck=1/ /etc/yum.repos.d/lab.repo"


def up(folder: Path, parts: Iterable[Part] = PARTS) -> list[Host]:
    """Boot the parts, some at a time; write ``inventory.yml`` and ``known_hosts``. On failure, none is left.

    The last of the hosts is the time server, which is not in the inventory.

    Raises:
        LabError: a host does not come up.
    """
    wanted = (*parts, _TIME)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        booting = [pool.submit(boot, part.image, name=part.name, hardened=part.hardened) for part in wanted]
    try:
        hosts = [each.result() for each in booting]
        _introduce(wanted, hosts)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "inventory.yml").write_text(inventory(wanted[:-1], hosts[:-1]))
        (folder / "known_hosts").write_text("".join(host.known_hosts for host in hosts[:-1]))
    except BaseException:
        for each in booting:
            if not each.exception():
                each.result().destroy()
        raise
    return hosts


def _introduce(parts: Iterable[Part], hosts: list[Host]) -> None:
    """Let each host know the others by name, as there are no name servers, and forget what that changed."""
    names = "".join(f"{host.address} {host.name}\n" for host in hosts) + f"{hosts[-1].address} 2.debian.pool.ntp.org\n"
    pairs = list(zip(parts, hosts, strict=True))

    def introduce(part: Part, host: Host) -> None:
        host.append("/etc/hosts", names)
        if part is not _TIME:
            host.run((_SERVER if part.hardened else _POOL) + _FOLLOW)
        if "database" in part.groups:
            mine = [each for each in pairs if each[0].hardened == part.hardened and "agents" in each[0].groups]
            known = {each.name: agent.address for each, agent in mine}
            host.run("mysql pandora", input=_agents(known | UNKNOWN) if part.hardened else _agents(known) + _UNWATCHED)
        if part.image == "rhel":
            host.run(_SIGNED)
        host.mark()

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(introduce, parts, hosts))


def _agents(addresses: dict[str, str]) -> str:
    """SQL that makes the agents of a database those of its deployment, the first of them the server's own.

    All of them have just been heard of.
    """
    rows = ", ".join(
        f"({number}, MD5('{name}'), '{name}', '{address}', 2, 1, '7.0NG.776', NOW())"
        for number, (name, address) in enumerate(addresses.items(), 1)
    )
    server, place = next(iter(addresses.items()))
    return (
        "INSERT INTO tagente (id_agente, nombre, alias, direccion, id_grupo, id_os, agent_version, ultimo_contacto)"
        f" VALUES {rows} ON DUPLICATE KEY UPDATE nombre = VALUES(nombre), alias = VALUES(alias),"
        " direccion = VALUES(direccion);\n"
        f"UPDATE tserver SET name = '{server}', ip_address = '{place}';\n"
        "UPDATE tagente_estado SET utimestamp = UNIX_TIMESTAMP();\n"
    )


def fingerprint() -> str:
    """The fingerprint of the lab's key, as an inventory promises it."""
    return run(["ssh-keygen", "-lf", key_path().with_suffix(".pub")]).stdout.split()[1]


def inventory(parts: Iterable[Part], hosts: Iterable[Host]) -> str:
    """The inventory of these hosts, and of one that cannot be reached."""
    groups: dict[str, list[str]] = {}
    for part in parts:
        for group in part.groups:
            groups.setdefault(group, []).append(part.name)
    groups.setdefault("agents", []).append(UNREACHABLE)
    lines = ["all:", "  vars:", "    ansible_user: audit", f"    ansible_ssh_private_key_file: {key_path()}"]
    # EndPoints, too, are held to all of the guide: it is a demonstration of all of it.
    lines += ["    audit_scope: estate", "    audit_user_keys:", f"      - {fingerprint()}", "  hosts:"]
    hardened = {part.name for part in parts if part.hardened}
    for host in hosts:
        lines += [f"    {host.name}:", f"      ansible_host: {host.address}", f"      ansible_port: {host.port}"]
        lines += [f"      audit_deployment: {'secured' if host.name in hardened else 'installed'}"]
        # What the site wants, also where a host does not have it.
        lines += ["      audit_ssh_port: 31122"]
    lines += [f"    {UNREACHABLE}:", f"      ansible_host: {_NOBODY}", "      ansible_port: 31122"]
    lines += ["      audit_deployment: installed", "  children:"]
    for group, names in groups.items():
        lines += [f"    {group}:", "      hosts:", *(f"        {name}:" for name in names)]
    return "\n".join(lines) + "\n"
