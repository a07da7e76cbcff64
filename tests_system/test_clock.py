"""The clock: without it, no two logs agree on what came first."""

from pandora_audit import MEDIUM, control


@control("system.clock", MEDIUM)
def test_the_clock_is_right(clock, promises):
    """The clock is right.

    Events of several machines are put in order by their times, and one-time passwords, Kerberos and certificates
    fail on a machine that has another one.

    Fix: Have chronyd (or the time service that the host has) follow servers that it reaches by UDP 123, or the
    hypervisor's clock (`refclock PHC /dev/ptp0`); `chronyc makestep` corrects what is off by much.

    Impact: A jump of the clock confuses what runs by it: stop Pandora FMS and the database for a correction of
    minutes or more.
    """
    assert not clock.wrong(promises.clock_offset)


@control("system.time-service", MEDIUM)
def test_a_time_service_keeps_the_clock(clock, level):
    """A time service with sources keeps the clock.

    A clock that was once set right drifts by seconds a day, and more in a virtual machine.

    Fix: Install chrony, name servers (`pool` or `server` lines), and `systemctl enable --now chronyd`; leave one
    service only. The guide's ntpdate by cron is met while it really runs; RHEL 8 and later no longer have it.

    Impact: The first correction may be a jump: see system.clock.
    """
    assert not clock.unkept(level)
