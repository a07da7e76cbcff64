"""What the machine offers to others: ports, services, programs, and the filter before them."""

from pandora_audit import HIGH, MEDIUM, Duty, Level, control


@control("system.listeners-known", HIGH)
def test_every_open_port_is_expected(listeners, promises):
    """Every open port is expected.

    A port that nobody expects is a service that nobody updates, filters or watches.

    Fix: Stop and disable what nobody needs (`systemctl disable --now UNIT`), bind to loopback what only this machine
    uses, and write down what remains in audit_services: `tcp/8080 tomcat.service`.

    Impact: Clients of a service that is stopped; ask who they are before.
    """
    assert not listeners.strangers(promises.services)


@control("system.listeners-loopback", HIGH)
def test_local_services_listen_on_loopback_only(listeners, promises):
    """Local services listen on loopback only.

    Caches, PHP-FPM, MySQL's X protocol or the console's terminal trust whoever reaches them, since only their own
    machine should.

    Fix: Bind the service to 127.0.0.1 or to a socket (`mysqlx_bind_address`, `listen`, `bind`), and restart it.

    Impact: Clients on other machines lose it: give them what they need through a promised service (audit_services).
    The console's terminal needs the web server to pass its websocket on.
    """
    assert not listeners.not_only_local(promises.services)


@control("system.legacy-services", HIGH, level=Level.PLUGIN)
def test_no_service_sends_passwords_in_clear(legacy_services, promises):
    """No FTP, telnet, rsh or TFTP is offered.

    They send passwords and files in clear, or ask for no password at all.

    Fix: Use sftp and ssh instead, and disable the service where the cause points; promise in audit_services what
    network devices still need (`udp/69 tftpd-hpa.service`).

    Impact: Devices and scripts that fetch or leave files by it stop: move them to sftp first.
    """
    assert not legacy_services.offered(promises.services)


@control("system.processes-known", MEDIUM, duty=Duty.IF)
def test_every_program_that_stays_is_in_the_baseline(processes):
    """Every long-running program is in the accepted baseline.

    What an intruder leaves behind runs beside the services, and nobody misses it in a list that nobody keeps.

    Fix: Stop the program and find out who started it; or accept it: `pandora-audit baseline propose`, have the file
    approved, and name it in audit_baseline.

    Impact: None of the baseline itself; each new service has to be accepted once.
    """
    assert not processes.strangers


@control("system.firewall", HIGH, attestable=True)
def test_only_what_is_meant_answers_from_outside(firewall, promises):
    """Only documented or promised ports answer, and the rest is denied by default.

    Each service that an update or a colleague starts is open to everybody until somebody notices; a filter that
    denies by default turns that around. Deployment scripts switch it off.

    Fix: Enable nftables, firewalld or ufw with the ports of the role as its list, for IPv6 too, and have it start
    with the machine; or promise `audit_firewall: network` and have the network's owners attest it.

    Impact: Whatever is not on the list stops: compare with `ss -ltnu` first, and keep the SSH port on it.
    """
    assert not firewall.gaps(promises.services, promises.firewall)
