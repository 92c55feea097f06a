"""Which repair is next, when it ends, and how."""

from __future__ import annotations

import io

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


GONE = Cause("quorum-lost", "cluster", "2 of 3 nodes are dead", ["pve1"], "why", "power on one of pve2 and pve3")
FORGET = Repair("quorum", GONE, ["pve1"], ["ask"], chosen=["pve2", "pve3"])


@pytest.mark.parametrize("named", [[], ["pve2"], ["pve1", "pve2"]])
def test_unattended_a_node_is_lost_only_by_its_name(named: list[str]) -> None:
    command._ask(FORGET, ["pve2", "pve3"], yes=True)
    with pytest.raises(AdminError) as refused:
        command._ask(FORGET, named, yes=True)
    assert refused.value.code == "loss-unconfirmed"
    assert "pve3" in refused.value.what
    assert "LOST='pve2 pve3'" in refused.value.expected


def test_without_a_terminal_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    for one, named in ((MEND, []), (FORGET, []), (FORGET, ["pve2", "pve3"])):
        with pytest.raises(AdminError) as refused:
            command._ask(one, named, yes=False)
        assert refused.value.code == "not-confirmed"


@pytest.mark.parametrize(
    ("answers", "passes"), [("pve2\npve3\ny\n", True), ("pve2\ny\ny\n", False), ("pve2\npve3\nn\n", False)]
)
def test_a_person_types_each_name(monkeypatch: pytest.MonkeyPatch, answers: str, passes: bool) -> None:  # noqa: FBT001 - a case
    terminal = io.StringIO(answers)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("typer.prompt", lambda *_, **_more: terminal.readline().strip())
    monkeypatch.setattr("typer.confirm", lambda *_, **_more: terminal.readline().strip() == "y")
    if passes:
        command._ask(FORGET, [], yes=False)
        return
    with pytest.raises(AdminError) as refused:
        command._ask(FORGET, [], yes=False)
    assert refused.value.code == "not-confirmed"
