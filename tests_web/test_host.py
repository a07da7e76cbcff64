"""The machine under the console."""

from pandora_audit import HIGH, control


@control("console.host-hardened", HIGH)
def test_the_consoles_machine_is_hardened(console, verdicts):
    """The console's machine meets every claim about the machine itself.

    Whoever becomes root under the console has the console. This sums up the other verdicts on its host, accepted risks
    included, and counts nowhere itself.

    Fix: What the findings named here say.

    Impact: Theirs.
    """
    assert not verdicts.unmet("ssh", "system")
