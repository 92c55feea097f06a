"""The HA manager before and after a guest is registered: asked through the API until it is as described."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cluster import guests
from cluster.contract import ApiAccess, HaReady, VerifyGuest
from cluster.errors import AdminError
from cluster.steps import ha_ready, verify_guest
from cluster.transport import cluster_api
from cluster.transport.ssh import Completed
from onnode.step import Outcome
from tests.unit.cluster.live_nodes import CALL, DOWN
from tests.unit.cluster.worlds import members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.contract import Machine, Secrets
    from tests.unit.cluster.live_nodes import LiveNodes

API = ApiAccess("https://pve.lab.internal:8006", "pulumi@pve", "pinned")
READY = HaReady([*members(2)], API, "vm:200", 0, {"proxmox01": "softdog", "proxmox02": "ipmi_watchdog"})
VERIFY = VerifyGuest([*members(2)], API, "vm:200", "started", ["proxmox01", "proxmox02"], 0)
NAMES = {"members": ["proxmox01", "proxmox02"]}
QUORUM = {"type": "quorum", "quorate": 1, "status": "OK"}
LOST = {"type": "quorum", "quorate": 0, "status": "no quorum"}
DEAD = {"type": "lrm", "status": "proxmox02 (old timestamp - dead?, Sat Nov 21)"}


class Manager:
    """The API of a cluster whose HA manager shows one status after the other, the last one for good."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks: list[list[dict[str, Any]]] = [[QUORUM]]
        self.guests: list[dict[str, Any]] = []
        self.guest: dict[str, Any] = {"status": "stopped"}
        self.asked: list[str] = []
        self.states = {"proxmox01": "online", "proxmox02": "online", "proxmox03": "maintenance"}
        monkeypatch.setattr(guests, "POLL_S", 0)
        monkeypatch.setattr(cluster_api, "connect", self.connect)

    async def connect(self, machines: Sequence[Machine], access: ApiAccess, secrets: Secrets) -> Manager:
        await asyncio.sleep(0)
        assert (list(machines), access, secrets) == ([*members(2)], API, CALL.secrets)
        return self

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        self.asked.append(path)
        if path == "/cluster/ha/status/current":
            return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if path == "/cluster/ha/status/manager_status":
            return {"manager_status": {"node_status": self.states}}
        return {
            "/nodes/proxmox01/qemu/200/status/current": self.guest,
            "/cluster/resources": self.guests,
            "/cluster/ha/resources": [{"sid": "vm:200", "comment": "stack-dev"}],
        }[path]

    def delete(self, path: str) -> None:
        self.asked.append(f"delete {path}")

    def put(self, path: str, state: str) -> None:
        self.asked.append(f"put {path} {state}")

    def post(self, path: str, node: str) -> None:
        self.asked.append(f"post {path} {node}")


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, nodes: LiveNodes) -> Manager:
    nodes.form(1, 2)
    found = {"proxmox01": "module=\n", "proxmox02": "module=ipmi_watchdog\n"}
    nodes.commands["for unit in pve-ha-crm pve-ha-lrm watchdog-mux;"] = lambda node: Completed(0, found[node], "")
    return Manager(monkeypatch)


def ready(**changes: Any) -> Outcome:  # noqa: ANN401 - fields as they are
    return asyncio.run(ha_ready.bring_about(replace(READY, **changes), CALL))


def verified(**changes: Any) -> Outcome:  # noqa: ANN401 - fields as they are
    return asyncio.run(verify_guest.bring_about(replace(VERIFY, **changes), CALL))


def test_a_manager_that_is_ready_is_asked_once(manager: Manager, nodes: LiveNodes) -> None:
    assert ready() == Outcome(changed=False, facts=NAMES)
    assert len(manager.asked) == 1
    assert [act.node for act in nodes.acts] == ["proxmox01", "proxmox02"]


def test_a_manager_that_is_not_ready_yet_is_waited_for(manager: Manager) -> None:
    manager.looks = [[LOST], [QUORUM, DEAD], [QUORUM]]
    assert ready(timeout_s=60).facts == NAMES
    assert len(manager.asked) == 3


def test_a_manager_that_does_not_get_ready_is_named(manager: Manager) -> None:
    manager.looks = [[LOST, DEAD]]
    with pytest.raises(AdminError) as refused:
        ready()
    assert refused.value.code == "ha-not-ready"
    assert refused.value.observed == f"no quorum; lrm {DEAD['status']}"


def test_a_member_that_lacks_a_watchdog_is_refused_before_the_manager_is_asked(
    manager: Manager, nodes: LiveNodes
) -> None:
    nodes.commands.clear()
    nodes.commands["for unit in"] = lambda _node: Completed(0, "watchdog-mux\nmodule=\n", "")
    with pytest.raises(AdminError) as refused:
        ready()
    assert refused.value.code == "ha-not-ready"
    assert "proxmox01 lacks watchdog-mux; proxmox02 lacks watchdog-mux" in refused.value.observed
    assert manager.asked == []


def test_another_watchdog_than_described_is_refused(manager: Manager) -> None:
    with pytest.raises(AdminError) as refused:
        ready(watchdogs={"proxmox01": "softdog", "proxmox02": "softdog"})
    assert refused.value.code == "watchdog-differs"
    assert manager.asked == []


def test_a_member_that_does_not_answer_is_no_ready_one(manager: Manager, nodes: LiveNodes) -> None:
    nodes.silent["proxmox02"] = DOWN
    with pytest.raises(AdminError) as refused:
        ready()
    assert refused.value.code == "host-unreachable"
    assert manager.asked == []


def at(node: str, state: str) -> list[dict[str, Any]]:
    return [QUORUM, {"sid": "vm:200", "crm_state": state, "state": "requested", "node": node}]


def test_a_guest_is_waited_for_until_it_is_as_described(manager: Manager) -> None:
    manager.looks = [[QUORUM], at("proxmox01", "starting"), at("proxmox03", "started"), at("proxmox02", "started")]
    facts = {"sid": "vm:200", "state": "started", "preferred": []}
    assert verified(timeout_s=60) == Outcome(changed=False, facts=facts)
    assert len(manager.asked) == 4


@pytest.mark.parametrize(
    ("status", "allowed", "observed", "expected"),
    [
        ([QUORUM], ["proxmox01"], "the HA manager does not know it", "started on proxmox01 within"),
        (at("proxmox03", "started"), ["proxmox01", "proxmox02"], "started on proxmox03", "started on proxmox01 or proxmox02 within"),
        (at("proxmox03", "stopped"), [], "stopped on proxmox03", "started on any node within"),
    ],
)  # fmt: skip
def test_a_guest_that_stays_otherwise_is_named(
    manager: Manager, status: list[dict[str, Any]], allowed: list[str], observed: str, expected: str
) -> None:
    manager.looks = [status]
    with pytest.raises(AdminError) as refused:
        verified(nodes=allowed)
    assert (refused.value.code, refused.value.observed) == ("guest-not-as-described", observed)
    assert refused.value.expected.startswith(expected)


def test_a_guest_counts_as_started_when_its_node_says_that_it_runs(manager: Manager) -> None:
    """HA's manager calls it so before its agent has started it: a start that fails then would go unseen."""
    begun = {**at("proxmox01", "started")[1], "state": "starting"}
    manager.looks = [[QUORUM, begun], at("proxmox01", "error")]
    with pytest.raises(AdminError) as refused:
        verified(timeout_s=60)
    assert refused.value.observed == "error on proxmox01"
    assert "journalctl -u pve-ha-lrm` on proxmox01" in refused.value.fix
    assert not [one for one in manager.asked if one.startswith("put")], (
        "it was not in error when it was first looked at"
    )


PUT = "put /cluster/ha/resources/vm:200"


def given_up(manager: Manager, *, online: bool = True) -> None:
    manager.guests = [
        {"type": "qemu", "vmid": 200, "node": "proxmox01"},
        {"type": "node", "node": "proxmox01", "status": "online" if online else "offline"},
    ]
    manager.looks = [
        at("proxmox01", "error"),
        at("proxmox01", "error"),
        at("proxmox01", "stopped"),
        at("proxmox01", "started"),
    ]


def test_a_guest_that_ha_gave_up_and_that_does_not_run_is_started_again(
    manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    given_up(manager)
    assert verified(timeout_s=60).changed is True
    status = "/cluster/ha/status/current"
    assert [one for one in manager.asked if one.startswith("put") or one == status] == [
        status, f"{PUT} disabled", status, status, f"{PUT} started", status,
    ]  # fmt: skip
    assert "HA gave up vm:200 on proxmox01, where it does not run: it is started again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("guest", "online", "state"),
    [
        ({"status": "running"}, True, "started"),
        ({"status": "stopped", "lock": "migrate"}, True, "started"),
        ({"status": "stopped"}, False, "started"),
        ({"status": "stopped"}, True, "stopped"),
    ],
)
def test_a_guest_in_error_that_may_be_half_of_something_is_left_alone(
    manager: Manager, guest: dict[str, Any], state: str, *, online: bool
) -> None:
    given_up(manager, online=online)
    manager.guest = guest
    with pytest.raises(AdminError) as refused:
        verified(timeout_s=60, state=state)
    assert refused.value.observed == "error on proxmox01"
    assert not [one for one in manager.asked if one.startswith("put")]


def test_an_existing_guest_in_error_is_left_to_whoever_set_its_ha(manager: Manager) -> None:
    given_up(manager)
    manager.guest = {"status": "stopped"}
    with pytest.raises(AdminError) as refused:
        verified(timeout_s=60, existing=True)
    assert refused.value.observed == "error on proxmox01"
    assert "started again" not in refused.value.render()
    assert not [one for one in manager.asked if one.startswith("put")]


def test_a_guest_that_ha_gives_up_again_is_named(manager: Manager) -> None:
    given_up(manager)
    manager.looks[-1] = at("proxmox01", "error")
    with pytest.raises(AdminError) as refused:
        verified(timeout_s=60)
    assert refused.value.observed == "error on proxmox01"
    assert [one for one in manager.asked if one.startswith("put")] == [f"{PUT} disabled", f"{PUT} started"]


def brought(preferred: list[str], *, before: Sequence[str] | None = ("proxmox01",), **changes: Any) -> Outcome:  # noqa: ANN401 - fields as they are
    """A run with these preferred nodes, after one with those."""
    known = CALL if before is None else replace(CALL, previous={"preferred": list(before)} if before else {})
    wanted = replace(VERIFY, nodes=[], preferred=preferred, timeout_s=60, **changes)
    return asyncio.run(verify_guest.bring_about(wanted, known))


MOVE = "post /cluster/ha/resources/vm:200/migrate"


@pytest.mark.parametrize(("failback", "asked"), [(True, []), (False, [f"{MOVE} proxmox02"])])
def test_a_guest_follows_its_preferred_node_unasked_only_with_failback(
    manager: Manager,
    failback: bool,  # noqa: FBT001 - a case's value
    asked: list[str],
) -> None:
    here = at("proxmox01", "started")
    manager.looks = [here, *([] if failback else [here]), here, at("proxmox01", "migrate"), at("proxmox02", "started")]
    outcome = brought(["proxmox02"], failback=failback)
    assert outcome == Outcome(changed=True, facts={"sid": "vm:200", "state": "started", "preferred": ["proxmox02"]})
    assert [one for one in manager.asked if one.startswith("post")] == asked
    assert manager.looks == [at("proxmox02", "started")], "it was waited for"


@pytest.mark.parametrize(
    ("preferred", "before"),
    [
        (["proxmox02"], ("proxmox02",)),  # it is where HA took it
        (["proxmox02"], None),  # it is new
        (["proxmox02"], ()),  # an earlier version did not remember
        (["proxmox01", "proxmox02"], ("proxmox02",)),  # it runs on one of them
        ([], ("proxmox02",)),
    ],
)
def test_a_guest_is_moved_only_when_other_nodes_are_preferred_than_before(
    manager: Manager, preferred: list[str], before: Sequence[str] | None
) -> None:
    manager.looks = [at("proxmox01", "started")]
    assert brought(preferred, before=before, failback=False).changed is False
    assert manager.asked == ["/cluster/ha/status/current"]


@pytest.mark.parametrize("failback", [True, False])
def test_a_guest_that_moves_already_is_waited_for(manager: Manager, *, failback: bool) -> None:
    manager.looks = [at("proxmox01", "migrate")] * 4 + [at("proxmox02", "started")]
    wanted = replace(VERIFY, nodes=[], preferred=["proxmox02"], failback=failback, timeout_s=1)
    known = replace(CALL, previous={"preferred": ["proxmox01"]})
    assert asyncio.run(verify_guest.bring_about(wanted, known)).changed is True
    assert not [one for one in manager.asked if one.startswith("post")]
    manager.looks = [at("proxmox01", "migrate")]
    with pytest.raises(AdminError) as refused:
        verified(timeout_s=0)
    assert refused.value.observed == "migrate on proxmox01", "nobody prefers another node: it has its time"


def test_a_guest_that_is_to_be_stopped_is_not_moved(manager: Manager) -> None:
    manager.looks = [at("proxmox01", "stopped")]
    assert brought(["proxmox02"], state="stopped", failback=False).changed is False
    assert manager.asked == ["/cluster/ha/status/current"]


def test_a_guest_stays_while_ha_has_none_of_its_nodes_online(
    manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.looks = [at("proxmox01", "started")]
    assert brought(["proxmox03"], failback=False).changed is False
    assert "vm:200 stays on proxmox01: HA has none of proxmox03 online" in capsys.readouterr().err
    assert not [one for one in manager.asked if one.startswith("post")]


def test_the_node_with_the_fewest_guests_is_chosen() -> None:
    status = [{"sid": "ct:300", "node": "proxmox01"}, {"type": "lrm", "node": "proxmox02"}]
    assert verify_guest.least_used(["proxmox01", "proxmox02"], status) == "proxmox02"
    assert verify_guest.least_used(["proxmox02", "proxmox01"], []) == "proxmox01"


@pytest.mark.parametrize(
    ("seen", "timeout_s", "observed"),
    [
        (at("proxmox01", "started"), 0, "started on proxmox01"),
        (at("proxmox01", "error"), 60, "error on proxmox01"),
        ([QUORUM], 60, "the HA manager does not know it"),
    ],
)
def test_a_guest_that_ha_does_not_move_is_named(
    manager: Manager, seen: list[dict[str, Any]], timeout_s: int, observed: str
) -> None:
    manager.looks = [at("proxmox01", "started"), seen]
    wanted = replace(VERIFY, nodes=[], preferred=["proxmox02"], timeout_s=timeout_s)
    with pytest.raises(AdminError) as refused:
        asyncio.run(verify_guest.bring_about(wanted, replace(CALL, previous={"preferred": ["proxmox01"]})))
    assert (refused.value.code, refused.value.observed) == ("guest-not-as-described", observed)
    assert refused.value.expected == "started on proxmox02"


def test_what_is_gone_needs_no_waiting_when_it_is_removed(manager: Manager) -> None:
    assert asyncio.run(verify_guest.remove(VERIFY, CALL)) == Outcome(changed=False, facts={"sid": "vm:200"})
    assert manager.asked == ["/cluster/resources"]


@pytest.mark.parametrize(("tag", "asked"), [("stack-dev", ["/cluster/resources"]), ("", [])])
def test_a_registration_is_taken_away_and_its_end_awaited(manager: Manager, tag: str, asked: list[str]) -> None:
    manager.looks = [at("proxmox01", "deleting"), [QUORUM]]
    outcome = asyncio.run(ha_ready.remove(replace(READY, stack_tag=tag), CALL))
    assert outcome == Outcome(changed=False, facts={"sid": "vm:200"})
    status = ["/cluster/ha/status/current"] * 2
    assert manager.asked == [*asked, "/cluster/ha/resources", "delete /cluster/ha/resources/vm:200", *status]


def test_somebody_elses_container_under_our_number_is_left_alone(manager: Manager) -> None:
    manager.guests = [
        {"type": "node", "node": "proxmox01", "status": "online"},
        {"type": "lxc", "vmid": 300, "node": "proxmox01", "tags": "customer"},
    ]
    outcome = asyncio.run(ha_ready.remove(replace(READY, sid="ct:300", stack_tag="stack-dev"), CALL))
    assert outcome == Outcome(changed=False, facts={"sid": "ct:300"})
    assert manager.asked == ["/cluster/resources"]
