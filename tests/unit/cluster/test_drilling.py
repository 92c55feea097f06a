"""A drill, decided: which node is stopped, what speaks against it, and when a guest was lost, fenced, elsewhere and back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cluster import drilling, rolling
from cluster.drilling import Sample
from cluster.errors import AdminError
from onnode.contract.guests import RunningGuest
from tests.unit.cluster.test_rolling import MOTION, NAMES, SERVICE, of, view

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.motion import Motion

DEAD, NEW = "proxmox01", "proxmox02"
GUEST = RunningGuest("vm:200", "vm01", managed=True)


def having(**nodes: str) -> Motion:
    """Guests under HA, `vm_200="proxmox01"`."""
    found = {sid.replace("_", ":"): {**SERVICE, "node": node} for sid, node in nodes.items()}
    return replace(MOTION, services=found)


def test_the_nested_node_with_the_most_guests_is_taken() -> None:
    seen = view(having(vm_200=DEAD, vm_201=NEW, vm_202=NEW, vm_203="proxmox03", vm_204="proxmox03", vm_205="proxmox03"))
    assert drilling.chosen(seen, {DEAD, NEW}, None) == NEW
    assert drilling.chosen(seen, set(NAMES), None) == "proxmox03"
    assert drilling.chosen(seen, set(NAMES), DEAD) == DEAD
    assert drilling.chosen(view(having(vm_200=NEW, vm_201=DEAD)), set(NAMES), None) == DEAD  # of equals, the first


def test_a_guest_that_ha_does_not_keep_running_counts_for_nothing() -> None:
    stopped = replace(MOTION, services={"vm:200": {**SERVICE, "state": "stopped"}, "vm:201": {**SERVICE, "node": NEW}})
    assert drilling.guests_of(view(stopped)) == {"vm:201": NEW}
    assert drilling.chosen(view(stopped), set(NAMES), None) == NEW


NO_GUESTS = view(replace(MOTION, services={}))
BACKUP = view(replace(MOTION, backups=frozenset({"a backup runs on proxmox03"})))
REFUSALS: list[tuple[str, Callable[[], object], str, str]] = [
    ("an existing machine", lambda: drilling.chosen(view(), {NEW}, DEAD), "drill-not-nested", "nested nodes: proxmox02"),
    ("existing machines only", lambda: drilling.chosen(view(), set(), DEAD), "drill-not-nested", "none"),
    ("nothing to see on it", lambda: drilling.chosen(view(), set(NAMES), NEW), "drill-no-guests", "vm:200 on proxmox01"),
    ("no guests at all", lambda: drilling.chosen(NO_GUESTS, set(NAMES), None), "drill-no-guests", "nothing"),
    ("no nested node has one", lambda: drilling.chosen(view(), {NEW}, None), "drill-no-guests", "vm:200 on proxmox01"),
    ("a vote that is needed", lambda: drilling.refuse(of(2, [1, 2]), DEAD, [GUEST]), "quorum-needed", "2 of 2 votes"),
    ("a backup", lambda: drilling.refuse(BACKUP, DEAD, [GUEST]), "not-settled", "a backup runs on proxmox03"),
    ("no other candidate", lambda: drilling.refuse(view(), DEAD, [replace(GUEST, nodes=[DEAD])]), "guest-stays", "only proxmox01"),
    ("a disk of its own", lambda: drilling.refuse(view(), DEAD, [replace(GUEST, obstacles=["a disk"])]), "guest-stays", "a disk"),
    ("not under HA", lambda: drilling.refuse(view(), DEAD, [GUEST, RunningGuest("vm:900", "x", managed=False)]), "drill-guest-unmanaged", "vm:900"),
    ("not seen", lambda: drilling.refuse_unseen(["vm:200", "ct:300"], [look(DEAD, -1, running="vm:200")]), "drill-guest-silent", "ct:300"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("refused", "code", "observed"), [one[1:] for one in REFUSALS], ids=[one[0] for one in REFUSALS]
)
def test_what_is_refused(refused: Callable[[], object], code: str, observed: str) -> None:
    with pytest.raises(AdminError) as error:
        refused()
    assert error.value.code == code
    assert observed in error.value.observed


def test_what_is_not() -> None:
    drilling.refuse(view(), DEAD, [GUEST])
    drilling.refuse_unseen(["vm:200"], [look(DEAD, -1, running="vm:200")])
    assert rolling.survives(view(), DEAD) == 0


def look(node: str, at: float, place: tuple[str, str] | None = None, running: str = "") -> Sample:
    """A look that took 0.1 s, in which a node says where HA has vm:200, and what runs on itself."""
    places: dict[str, Any] = {"vm:200": place} if place else {}
    return Sample(node, at, at + 0.1, places, frozenset(running.split()))


STORY = [
    look(DEAD, -0.5, (DEAD, "started"), "vm:200"),
    look(NEW, -0.5, (DEAD, "started"), "ct:300"),
    look(DEAD, 0.2, (DEAD, "started"), "vm:200"),
    look(NEW, 1.0, (DEAD, "started"), "ct:300"),
    look(NEW, 6.0, (DEAD, "fence"), "ct:300"),
    look("proxmox03", 5.8, (DEAD, "fence")),
    look(NEW, 11.0, (DEAD, "recovery"), "ct:300"),
    look(NEW, 11.5, (NEW, "started"), "ct:300"),
    look(NEW, 12.5, (NEW, "started"), "ct:300 vm:200"),
    look(NEW, 13.0, (NEW, "started"), "ct:300 vm:200"),
]


def test_the_clock_of_a_guest() -> None:
    seen = drilling.clock("vm:200", DEAD, reversed(STORY))
    assert (seen.last_answer, seen.lost, seen.fenced, seen.elsewhere, seen.answering, seen.node) == pytest.approx(
        (0.2, 5.9, 11.1, 11.6, 12.6, NEW)
    )


def test_a_record_that_jumps_still_shows_that_the_node_was_fenced() -> None:
    """Between two looks HA may fence, recover and place a guest."""
    seen = drilling.clock("vm:200", DEAD, [look(DEAD, 0.1, running="vm:200"), look(NEW, 11.5, (NEW, "started"))])
    assert (seen.lost, seen.fenced, seen.elsewhere, seen.answering) == (None, 11.6, 11.6, None)


def test_what_was_not_seen_stays_open() -> None:
    seen = drilling.clock("vm:200", DEAD, STORY[:6])
    assert (seen.fenced, seen.elsewhere, seen.answering, seen.node) == (None, None, None, "")
    done = drilling.shown(DEAD, {"vm:200": DEAD}, STORY[:6], master=False, scale=0.1, interval_s=0.5)
    assert done.silent == ["vm:200"]
    assert not drilling.all_answer(["vm:200"], DEAD, STORY[:8])
    assert drilling.all_answer(["vm:200"], DEAD, STORY)


def test_a_node_that_is_stopped_answers_for_nobody_afterwards() -> None:
    """Its last answer may arrive after the stop; it is no answer from elsewhere."""
    late = [look(DEAD, 0.2, (DEAD, "started"), "vm:200")]
    assert drilling.clock("vm:200", DEAD, late).answering is None
    assert not drilling.all_answer(["vm:200"], DEAD, late)


def test_a_guest_of_another_node_is_silent_for_as_long_as_nobody_saw_it() -> None:
    done = drilling.shown(DEAD, {"vm:200": DEAD, "ct:300": NEW}, STORY, master=True, scale=1, interval_s=0.5)
    assert [(one.sid, one.node) for one in done.others] == [("ct:300", NEW)]
    assert done.others[0].longest_s == pytest.approx(5.0)
    assert done.longest_s == pytest.approx(5.0)
    assert done.was_master
    assert drilling.silence("ct:900", NEW, STORY).longest_s == 0
