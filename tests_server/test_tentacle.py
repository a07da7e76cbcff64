"""Tentacle: the port by which agents bring their data, and fetch their configuration."""

from pandora_audit import HIGH, LOW, MEDIUM, Duty, Level, Subject, control


@control("tentacle.external-storage", MEDIUM, duty=Duty.OR)
def test_data_of_agents_lies_on_secured_external_storage(tentacle_storage, promises, level):
    """Data of agents lies on secured external storage.

    Whoever breaks into the machine that strangers talk to finds everything that agents send, and may alter it
    before the server reads it; on a share that only its users mount, they find the mount's rights and no more.

    Fix: Mount an export of another machine at the directory that tentacle_server.conf names, with nosuid and
    nodev (and sec=krb5p at level strict), `_netdev` in /etc/fstab; keep owner pandora and the web server's group. If
    the storage is secured in another way, attest it.

    Impact: Agents are not served while the share is away. Tentacle must be stopped while the data moves.
    """
    assert not tentacle_storage.unsecured(promises.storage, kerberos=level == "strict")


@control("tentacle.availability", MEDIUM, duty=Duty.IF, subject=Subject.DEPLOYMENT)
def test_agents_reach_tentacle_when_one_of_its_servers_is_away(tentacle_availability, promises):
    """Agents reach Tentacle when one of its servers is away.

    While nobody receives, nobody watches: whoever stops one machine, or fills its few places, blinds the whole
    installation. Agents keep data for a while, and lose it then.

    Fix: Run Tentacle on two machines over the same storage, and let agents call a virtual address (keepalived) or a
    balancer's (haproxy): name it in audit_availability. Or set `secondary_mode on_error` and secondary_server_ip in
    each agent.

    Impact: Both servers need the same password, certificates and spool, and the firewall a rule for the new address.
    Where one server is enough, say `audit_availability: []`.
    """
    assert not tentacle_availability.missing(promises.availability)


@control("tentacle.tls", HIGH)
def test_tentacle_speaks_tls(tentacle_server, promises):
    """Tentacle speaks TLS, and nothing else.

    In plain text, everybody on the way reads what agents send, passwords in configurations included, and may
    change it.

    Fix: Set `ssl_cert` and `ssl_key` in tentacle_server.conf, restart tentacle_serverd, set `server_ssl 1` on
    agents. `ssl_ca` alone turns nothing on, and `quiet 1` goes on in plain text when the handshake fails.

    Impact: Agents without TLS are refused: prepare them first, or serve them at a second port meanwhile.
    """
    assert not tentacle_server.without_tls(promises.ca)


@control("tentacle.client-certificates", MEDIUM, level=Level.STRICT)
def test_tentacle_demands_a_client_certificate(tentacle_server):
    """Tentacle demands a client certificate.

    Otherwise everybody who reaches the port may send data in any agent's name, and fetch the configuration of any
    whose name can be guessed.

    Fix: Set `ssl_ca` beside `ssl_cert` and `ssl_key`, give agents a certificate of that CA in `server_opts`,
    restart tentacle_serverd.

    Impact: Agents without a certificate are refused: distribute certificates first, and plan their renewal.
    """
    assert not tentacle_server.clients_without_certificate


@control("tentacle.password", MEDIUM, level=Level.BYPASS)
def test_tentacle_asks_for_a_password_or_a_certificate(tentacle_server):
    """Tentacle asks for a password or a certificate.

    Without either, TLS only keeps secret what a stranger sends.

    Fix: Set `password` in tentacle_server.conf (or client certificates) and `server_pwd` on agents; restart
    tentacle_serverd. Take none that a manual shows.

    Impact: Agents without it are refused. It travels as a digest that can be replayed: use TLS with it.
    """
    assert not tentacle_server.no_password


@control("tentacle.password-enforced", HIGH, level=Level.BYPASS)
def test_tentacle_refuses_who_fails(tentacle_server):
    """Tentacle refuses whoever fails to identify.

    `quiet 1` silences errors, and with them every refusal: a wrong password, a missing certificate, even a failed
    handshake let the client go on.

    Fix: Remove `quiet` (and `-q`), restart tentacle_serverd.

    Impact: Errors appear in the log again, and clients that never had the right password are refused.
    """
    assert not tentacle_server.unenforced_password


@control("tentacle.insecure-off", HIGH, level=Level.BYPASS)
def test_clients_neither_list_nor_move_files(tentacle_server):
    """Clients neither list nor move files.

    `insecure 1` shows every file of the spool to whoever connects, and lets them take files away.

    Fix: Remove `insecure` (and `-I`), restart tentacle_serverd.

    Impact: None; agents use neither.
    """
    assert not tentacle_server.insecure


@control("tentacle.overwrite-off", MEDIUM, level=Level.BYPASS)
def test_clients_do_not_replace_files(tentacle_server):
    """Clients do not replace files.

    `overwrite 1` lets anybody replace what another agent has sent, or the configuration that it will fetch.

    Fix: Remove `overwrite` (and `-o`), restart tentacle_serverd.

    Impact: A file whose name exists is refused until the server has read the first.
    """
    assert not tentacle_server.overwrites


@control("tentacle.unprivileged", MEDIUM, level=Level.BYPASS)
def test_tentacle_runs_unprivileged(tentacle_server):
    """Tentacle runs without privilege.

    It reads what strangers send; with root's rights one fault in it would be the whole machine.

    Fix: Start it as user pandora: `User=pandora` in its unit, or the vendor's init script.

    Impact: The user needs its spool, its key and its configuration to be readable.
    """
    assert not tentacle_server.privileged


@control("tentacle.logged", LOW, level=Level.HYGIENE)
def test_tentacle_logs_connections(tentacle_server):
    """Tentacle logs connections.

    As shipped it logs to /dev/null: nobody can tell afterwards who tried what.

    Fix: Set `log_file /var/log/pandora/tentacle.log` and `verbose 1` (2 to see addresses), let logrotate keep it,
    restart tentacle_serverd.

    Impact: The file grows with every connection of every agent.
    """
    assert not tentacle_server.unlogged


@control("tentacle.key-private", HIGH, level=Level.BYPASS)
def test_the_private_key_of_tentacle_is_private(tentacle_keys):
    """The private key of Tentacle is private.

    Whoever reads it can play the server to every agent.

    Fix: `chown pandora: KEY && chmod 400 KEY`, and issue a new one if it was open.

    Impact: None, as long as user pandora may read it.
    """
    assert not tentacle_keys.readable


@control("tentacle.addresses", LOW, level=Level.HYGIENE)
def test_who_reaches_tentacle_is_limited(tentacle_server, promises):
    """Who reaches Tentacle is limited.

    Only machines with an agent have business at the port; what cannot connect cannot try a password, nor hold one
    of its few places.

    Fix: Let the firewall accept the port from the networks of agents only, set `addresses` to the one that they
    use, or `use_libwrap 1`. Where a firewall before the machine does it, promise `audit_firewall: network`.

    Impact: Agents in networks that were forgotten stop reporting.
    """
    assert not tentacle_server.open_to_everybody(promises.firewall)


@control("tentacle.running-config", MEDIUM, level=Level.BYPASS)
def test_tentacle_runs_with_what_is_written(tentacle_server):
    """Tentacle runs with what is written.

    It reads its file once, at its start.

    Fix: Restart tentacle_serverd.

    Impact: Connections of that moment break, and agents send again.
    """
    assert not tentacle_server.unread_changes
