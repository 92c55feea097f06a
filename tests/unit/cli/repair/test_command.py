"""Which repair is next, when it ends, and how."""

from __future__ import annotations

import pytest

from cli.doctor.model import Cause
from cli.repair import command
from cli.repair.model import ByHand, Repair
from cluster.errors import AdminError

CAUSE = Cause("corosync-stopped", "pve2", "on pve2 corosync is inactive", ["pve2"], "why", "ssh root@192.168.0.102 do")
OFF = Cause("node-off", "pve3", "pve3 is off", ["pve1"], "why", "power on pve3")
MEND = Repair("services", CAUSE, ["pve2"], ["start it"])
LEFT = ByHand(OFF, "no repair mends this")


def test_the_first_repair_is_next_whatever_a_person_has_to_do_before() -> None:
    assert command.next_of([LEFT, MEND], "", []) is MEND
    assert command.next_of([LEFT], "", []) is None
    assert command.next_of([MEND], "services", []) is MEND
    assert command.next_of([MEND], "quorum", []) is None


def test_nothing_is_done_twice() -> None:
    with pytest.raises(AdminError) as refused:
        command.next_of([MEND], "", [MEND])
    assert refused.value.code == "repair-without-effect"
    assert "on pve2 corosync is inactive" in refused.value.render()
    assert "next: ssh root@192.168.0.102 do" in refused.value.render()


def test_what_is_left_ends_the_command_by_name() -> None:
    command.refuse_left([], "")
    command.refuse_left([LEFT], "services")  # it was not asked for
    with pytest.raises(AdminError) as refused:
        command.refuse_left([LEFT], "")
    assert refused.value.code == "repair-left"
    assert "first node-off (pve3)" in refused.value.render()
    assert "next: power on pve3" in refused.value.render()


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    command.refuse_unknown("")
    command.refuse_unknown("services")
    with pytest.raises(AdminError, match="no repair nothing") as refused:
        command.refuse_unknown("nothing")
    assert refused.value.code == "repair-unknown"
    assert "services" in refused.value.expected
