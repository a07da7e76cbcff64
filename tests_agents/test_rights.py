"""Who may change what agents do, by the console's database: one verdict for a deployment."""

from pandora_audit import HIGH, LOW, Subject, control


@control("agent.change-rights", HIGH, subject=Subject.DEPLOYMENT)
def test_few_may_change_agents(pandora_console, promises):
    """Only the promised users may change policies or agents.

    Whoever changes an agent's configuration runs commands on its machine.

    Fix: Take AW, AD and PM from the profile, or name the person in audit_policy_editors.

    Impact: None for people who do not use it.
    """
    assert not pandora_console.changers(promises.policy_editors)


@control("agent.upload-rights", HIGH, subject=Subject.DEPLOYMENT)
def test_few_may_upload_executables(pandora_console, promises):
    """Only the promised users may upload executables.

    Plugins, collections and remote commands run on every machine that they are sent to.

    Fix: Take AW and PM from the profile, or name the person in audit_uploaders.

    Impact: None for people who do not use it.
    """
    assert not pandora_console.uploaders(promises.uploaders)


@control("monitoring.agent-data", LOW, subject=Subject.DEPLOYMENT)
def test_the_servers_agent_is_described(pandora_console, promises):
    """The record of the server's own agent is filled in.

    Whoever is called at night must know what the machine is, and whom to call.

    Fix: Fill in the fields of audit_agent_fields in the agent's view.

    Impact: None.
    """
    assert not pandora_console.undescribed(pandora_console.servers, promises.agent_fields)
