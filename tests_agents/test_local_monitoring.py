"""Local monitoring: who watches the watcher."""

from pandora_audit import LOW, MEDIUM, Duty, Subject, control


@control("monitoring.local-agent", MEDIUM)
def test_an_agent_runs_on_the_server_itself(local_agent, deployment_database):
    """An agent runs on the Pandora FMS server itself, and reports.

    The machine that watches all others is the first that an intruder wants unwatched.

    Fix: Install the agent on the server, and `systemctl enable --now pandora_agent_daemon`. If it runs and nothing
    arrives, its log tells why. Whether it does, the database knows, which any host of the deployment may be asked for
    (audit_db_options).

    Impact: None.
    """
    assert not local_agent.silent(deployment_database)


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
def test_the_security_plugin_is_deployed_on_the_server(local_agent, deployment_database):
    """The security plugin is deployed on the server, and what it brings is fresh.

    It looks every day at what this audit looks at now and then: passwords, keys, changed files.

    Fix: Put pandora_security_check (or basic_security) into the agent's plugins, add its module_plugin line, and
    run the agent as root. Delete the modules of checks that were switched off.

    Impact: It cracks passwords: give it an interval of a day. Its own faults are known (it takes an explicit
    `PermitRootLogin no` for a yes, for one): judge its alarms by this report.
    """
    assert not local_agent.security_plugin_missing(deployment_database)


@control("monitoring.security-plugin-clean", MEDIUM)
def test_what_the_security_plugin_finds_is_not_left_open(local_agent, deployment_database, verdicts):
    """No problem that the security plugin raises, and we confirm, is left open.

    An alarm that stays on is one that nobody reads, and the next is not read either.

    Fix: What the control that is named asks for. An alarm that no control confirms is one of the plugin's own faults:
    give the module a threshold of its own, or switch that check off.

    Impact: That of the fix. The plugin's last values are asked of Pandora FMS's database (audit_db_options).
    """
    assert not verdicts.confirmed(local_agent.raised(deployment_database))


@control("monitoring.alerts", LOW, duty=Duty.CONSIDER, subject=Subject.DEPLOYMENT)
def test_what_the_server_watches_raises_an_alert(monitoring_alerts):
    """Log and security modules of the server raise an alert that reaches somebody.

    A module that turns red in a console which nobody looks at tells of a break-in when it is over.

    Fix: Give each of the modules an alert with an action that mails, calls or messages somebody; put an address of
    yours into the action, which comes with an example's.

    Impact: A pattern that matches every line makes an alert of every line: choose it first.
    """
    assert not monitoring_alerts.unheard
