"""Local monitoring: who watches the watcher."""

from pandora_audit import MEDIUM, control


@control("monitoring.local-agent", MEDIUM)
def test_an_agent_runs_on_the_server_itself(local_agent):
    """An agent runs on the Pandora FMS server itself.

    The machine that watches all others is the first that an intruder wants unwatched.

    Fix: Install the agent on the server, and `systemctl enable --now pandora_agent_daemon`.

    Impact: None.
    """
    assert not local_agent.silent


@control("monitoring.log-modules", MEDIUM)
def test_the_servers_agent_watches_its_logs(local_agent):
    """The server's agent watches the general and the security log.

    What is only written to a file is read by nobody, and whoever becomes root can rewrite it.

    Fix: Add `module_plugin grep_log_module /var/log/messages Syslog .` and the same for /var/log/secure (syslog and
    auth.log on Debian) to pandora_agent.conf, and restart the agent.

    Impact: Each matching line becomes data: choose the pattern before the disk fills.
    """
    assert not local_agent.unwatched_logs


@control("monitoring.security-plugin", MEDIUM)
def test_the_security_plugin_is_deployed_on_the_server(local_agent):
    """The security plugin is deployed on the server.

    It looks every day at what this audit looks at now and then: passwords, keys, changed files.

    Fix: Put pandora_security_check (or basic_security) into the agent's plugins, add its module_plugin line, and
    run the agent as root.

    Impact: It cracks passwords: give it an interval of a day. Its own faults are known (it takes an explicit
    `PermitRootLogin no` for a yes, for one): judge its alarms by this report.
    """
    assert not local_agent.security_plugin_missing
