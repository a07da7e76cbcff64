"""EndPoints: what the centre can make them do, who may alter them, and how they talk to it."""

from pandora_audit import HIGH, MEDIUM, Duty, Level, control


@control("agent.remote-config-off", HIGH, duty=Duty.IF, from_server=True)
def test_a_sensitive_endpoint_takes_no_remote_configuration(pandora_agent, promises):
    """A sensitive EndPoint takes no configuration from the server.

    Whoever alters its file in the central container has commands run on the EndPoint, as root, within minutes.

    Fix: Set `remote_config 0` in pandora_agent.conf, restart the agent, and delete the EndPoint's remote
    configuration in the console.

    Impact: Its modules are then changed on the machine only. Say `audit_sensitive: no` where remote configuration
    is wanted.
    """
    assert not pandora_agent.sensitive(pandora_agent.remote_configuration, promises.sensitive)


@control("agent.remote-execution-off", HIGH, level=Level.BYPASS, duty=Duty.IF)
def test_a_sensitive_endpoint_executes_nothing_that_the_centre_sends(pandora_agent, promises):
    """A sensitive EndPoint executes and relays nothing for others.

    Collections, remote commands, the UDP server and the proxy go on working when remote configuration is off.

    Fix: Remove file_collection and cmd_file lines, set `udp_server 0` and `proxy_mode 0`, and restart the agent. On
    Windows remove the line proxy_mode: any value turns the proxy on there.

    Impact: Plugins that came in collections are no longer updated; agents that send through this proxy need
    another way first.
    """
    assert not pandora_agent.sensitive(pandora_agent.remote_execution, promises.sensitive)


@control("agent.plugins-audited", MEDIUM)
def test_plugins_are_the_approved_ones(agent_plugins):
    """Plugins are the ones that the site approved.

    A plugin runs as root on every machine that it is sent to; one that nobody has read is a door.

    Fix: Read what is new or changed, and remove it or accept it: `pandora-audit baseline propose`, have the file
    approved, and name it in audit_baseline.

    Impact: Each update of a plugin has to be accepted once, by two people.
    """
    assert not agent_plugins.unapproved


@control("agent.config-permissions", HIGH)
def test_only_its_owner_reads_and_alters_the_agents_configuration(pandora_agent):
    """Nobody but its owner reads the agent's configuration, and nobody else alters it.

    It holds the passwords of Tentacle and of the group, and every line of it is a command that the agent runs.

    Fix: `chown root: FILE; chmod 600 FILE`, on the file that the link in /etc/pandora leads to. On Windows
    `icacls FILE /inheritance:r /grant:r *S-1-5-18:F *S-1-5-32-544:F` (the system and the administrators).

    Impact: None for an agent that runs as root; one that runs as another user must own the file.
    """
    assert not pandora_agent.readable_configuration


@control("agent.code-permissions", HIGH)
def test_only_root_alters_what_the_agent_executes(pandora_agent):
    """Nobody but root alters what the agent executes.

    The agent runs as root; whoever may write to one of its programs, plugins or collections is root five minutes
    later. The vendor's RPM gives them to the account that Tentacle runs as.

    Fix: `chown -R root: /usr/share/pandora_agent; chmod -R go-w /usr/share/pandora_agent`, the same for what the
    cause names. On Windows `icacls FOLDER /inheritance:r /grant:r *S-1-5-18:(OI)(CI)F *S-1-5-32-544:(OI)(CI)F`, or
    install the agent below Program Files.

    Impact: An agent that runs as another user must own its plugins instead.
    """
    assert not pandora_agent.alterable_code


@control("agent.temporal-private", MEDIUM, level=Level.HYGIENE)
def test_the_agents_temporal_folder_is_private(pandora_agent):
    """The folder in which the agent's data waits is private.

    Data waits there while the server is away; in /tmp everybody reads it, and may leave something in its place.

    Fix: Set `temporal /var/spool/pandora/temporal` to a folder of mode 700, and restart the agent. On Windows
    `icacls FOLDER /inheritance:r /grant:r *S-1-5-18:(OI)(CI)F *S-1-5-32-544:(OI)(CI)F`.

    Impact: Data that waits in the old folder is sent before the change, or lost.
    """
    assert not pandora_agent.open_temporal


@control("agent.unprivileged", MEDIUM, duty=Duty.IF)
def test_the_agent_runs_without_superuser(pandora_agent, promises):
    """The agent runs without superuser where its modules need none.

    What its plugins and its configuration can do is then what one account can do.

    Fix: Set `User=` in a drop-in of pandora_agent_daemon.service. The token pandora_user is not enough: it changes
    the effective user only. On Windows `sc.exe config PandoraFMSAgent obj= "NT SERVICE\\PandoraFMSAgent"`, with rights
    to its folder.

    Impact: Logs that only root reads, and the security plugin, need the superuser: say `audit_unprivileged: no`.
    """
    assert not pandora_agent.superuser(promised=promises.unprivileged)


@control("agent.running-config", MEDIUM, level=Level.BYPASS)
def test_the_agent_runs_with_what_its_file_says(pandora_agent):
    """The agent runs with what its file says.

    A corrected file changes nothing until the agent has read it.

    Fix: Restart the agent: `systemctl restart pandora_agent_daemon`, on Windows `Restart-Service PandoraFMSAgent`.

    Impact: None.
    """
    assert not pandora_agent.unread_changes


@control("agent.tls", HIGH)
def test_the_agent_sends_through_tls(pandora_agent):
    """The agent sends to Tentacle through TLS.

    Its data names every program and account of the machine, and Tentacle's password travels with it.

    Fix: Set `server_ssl 1` (or `server_opts -e CERT -k KEY -f CA`, never both), the same for a secondary server,
    and restart the agent. On Windows several options stand in quotes: of `server_opts -c -r 5` the agent there reads 5.

    Impact: Tentacle must speak TLS first: see tentacle.tls.
    """
    assert not pandora_agent.clear_text


@control("agent.tls-verified", MEDIUM, level=Level.STRICT)
def test_the_agent_verifies_whom_it_talks_to(pandora_agent):
    """The agent verifies whom it talks to.

    TLS without a CA keeps listeners out, but not somebody who stands in the server's place.

    Fix: Set `server_opts -e CERT -k KEY -f CA`, and leave server_ssl out.

    Impact: Each agent needs a certificate of its own, and all of them stop sending when the CA ends.
    """
    assert not pandora_agent.unverified


@control("agent.windows-signed", HIGH)
def test_programs_for_windows_are_signed(windows_programs, promises):
    """Programs for Windows carry a valid signature.

    The installers of Pandora FMS are signed from release 761 on; one whose signature does not hold is not the vendor's,
    or was changed on its way, and runs as the system on every machine that it is sent to.

    Fix: Remove what is not validly signed, fetch the installer of a release from 761 on again, and verify it before it
    is handed out: `osslsigncode verify -in FILE`, or `Get-AuthenticodeSignature FILE` on Windows. Name installers in
    audit_installers, and whom they chain to in audit_signing_ca.

    Impact: The agent restarts when it is installed again. Tools without any signature, which the agent brings along,
    are left as they are.
    """
    assert not windows_programs.wrongly_signed(promises.installers, promises.signing_ca)
