"""What the server does with its agents: one verdict for a deployment."""

from pandora_audit import HIGH, MEDIUM, Duty, Subject, control


@control("server.sensitive-remote-files", HIGH, duty=Duty.IF, subject=Subject.DEPLOYMENT)
def test_no_sensitive_endpoint_is_configured_from_the_server(remote_configurations):
    """No remote configuration of a sensitive EndPoint lies on the server.

    An EndPoint whose file lies there takes it as soon as its own says so again; and the file tells what it watches.

    Fix: Set `remote_config 0` on the EndPoint first, then delete its remote configuration in the console, which
    removes the .conf and the .md5 file.

    Impact: Its modules are then changed on the machine only.
    """
    assert not remote_configurations.of_sensitive_endpoints


@control("server.sensitive-agentless", MEDIUM, duty=Duty.IF, subject=Subject.DEPLOYMENT)
def test_the_most_sensitive_devices_have_no_agent(pandora_console, promises):
    """The most sensitive devices are watched without agent.

    What runs on a device can be made to run something else.

    Fix: Watch it by network, WMI or SNMP checks, and remove its agent; name it in audit_agentless.

    Impact: Fewer things can be measured.
    """
    assert not pandora_console.with_agent(promises.agentless)


@control("server.group-passwords", MEDIUM, duty=Duty.OR, subject=Subject.DEPLOYMENT)
def test_groups_have_passwords(pandora_console):
    """Each group that new agents can land in has a password.

    Anybody who reaches Tentacle can otherwise add an agent, with data of their choice.

    Fix: Set a password in each group, and `group_password` in the agents; or `autocreate 0` (see server.autocreate).

    Impact: New agents without it are refused; those that exist are not.
    """
    assert not pandora_console.open_groups


@control("server.learning-mode", MEDIUM, duty=Duty.IF, subject=Subject.DEPLOYMENT)
def test_data_does_not_change_sensitive_agents(pandora_console, promises):
    """Data files do not change sensitive agents.

    A forged data file otherwise adds modules, and moves an agent's address.

    Fix: Set the agents' module definition to normal mode, one by one or in a massive operation.

    Impact: New modules are added in the console.
    """
    assert not pandora_console.learning(promises.sensitive_agents)


@control("server.components-separated", MEDIUM, duty=Duty.IF, subject=Subject.DEPLOYMENT)
def test_components_stand_on_different_machines(topology, promises):
    """Server, console and database stand on different machines, where that is wanted.

    Whoever enters by the console, which everybody reaches, then has not got the database and the server too.

    Fix: Move the database, then the console, to machines of their own; or say `audit_topology: together`.

    Impact: What went by a socket then crosses a network: see server.db-tls, console.db-tls and mysql.bind-address.
    """
    assert not topology.together(promises.topology)
