"""The plan of a preview that looked: from what the members said, beside what is recorded."""

from __future__ import annotations

import dataclasses
import json
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from cli.looks.first_look import FirstLook
from cli.report import live
from cli.state.belongings import CLUSTER
from cluster import marks
from cluster.errors import AdminError
from cluster.marks import Look, Thing
from cluster.planning import known
from components.policed import policed_design
from components.recorded import ADMIN
from components.site import Site
from onnode.cluster.corosync import Device
from tests.unit.cluster.worlds import cut, joined, listed, quorum, stand_alone, up

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.description import Description
    from onnode.contract.membership import Membership

Told = dict[str, "Membership"]
NAMES = ("proxmox01", "proxmox02", "proxmox03")
WELL: Told = {f"proxmox0{n}": joined(n, 1, 2, 3) for n in (1, 2, 3)}
DOWN = AdminError("host-unreachable", "it does not answer")
OTHER_KEY = AdminError("host-key-mismatch", "it is not the machine", observed="another key")
ASKED = [
    {
        "resourcePreEvent": {
            "metadata": {"op": "update", "new": {"inputs": {"create": f"{ADMIN} identity"}}, "type": "a step"}
        }
    }
]
UNASKED = [{"resourcePreEvent": {"metadata": {"op": "same", "new": {"inputs": {"create": f"{ADMIN} identity"}}}}}]


def host(*vmids: int) -> dict[str, list[Look]]:
    things = tuple(Thing(marks.VM, str(vmid), "virtual", ours=True, shown=f"VM {vmid}") for vmid in vmids)
    return {"virtual": [Look("virtual", "virtual", quorate=True, things=things)]}


def look(told: Told, looks: dict[str, list[Look]] | None = None, **errors: AdminError) -> FirstLook:
    others = {CLUSTER: [Look("proxmox01", "proxmox01", quorate=True, things=())]}
    return FirstLook({**(looks or {}), **others}, {}, [], memberships=told, unreached=errors)


def without(number: int, **changes: Any) -> Told:  # noqa: ANN401 - fields as they are
    """The cluster, of which one node does not vote."""
    rest = [n for n in (1, 2, 3) if n != number]
    return {f"proxmox0{n}": joined(n, 1, 2, 3, quorum=quorum(rest, expected=3), **changes) for n in rest}


def by_hand(**changes: Any) -> Told:  # noqa: ANN401 - fields as they are
    """The cluster, in which somebody has changed the entry of the second node."""
    nodes = [listed(1), dataclasses.replace(listed(2), **changes), listed(3)]
    return {name: dataclasses.replace(one, nodes=nodes, config_version=7) for name, one in WELL.items()}


def everywhere(**changes: Any) -> Told:  # noqa: ANN401 - fields as they are
    return {name: dataclasses.replace(one, config_version=7, **changes) for name, one in WELL.items()}


def state(description: Description) -> dict[str, Any]:
    """What the step has printed, for this description."""
    desired = Site(description.config, description.credentials, description.stack).change
    printed = json.dumps({"changed": False, "facts": known.facts(desired, None, ())})
    step = {"inputs": {"create": f"{ADMIN} identity"}, "outputs": {"stdout": f"a line\n{printed}\n"}}
    return {"deployment": {"resources": [step]}}


def found(dev: Description, seen: FirstLook) -> live.Live:
    made = live.of(dev, state(dev), seen)
    assert made is not None
    return made


def design(description: Description) -> dict[str, Any]:
    return policed_design(description.config, [])


def moved(dev: Description) -> Description:
    """The description with another address of the second node on link 0."""
    one, two, three = dev.config.nodes
    links = (IPv4Address("10.10.1.196"), IPv4Address("10.20.1.186"))
    other = [one, two.model_copy(update={"links": links}), three]
    return dataclasses.replace(dev, config=dev.config.model_copy(update={"nodes": other}))


def as_it_is(dev: Description) -> Description:
    return dev


RELEASED = "the entry of proxmox03, which is lost, goes, so that it can join anew; meanwhile the cluster survives the loss of 0 nodes"
JOINS = "proxmox03 joins; meanwhile the cluster survives the loss of 0 nodes"
AGAIN = "its entry is released, and it joins again"
BACK = f"proxmox03 does not answer, and has no vote: {live.COUNTED_ON}"


@pytest.mark.parametrize(
    ("seen", "steps", "said"),
    [
        (look(WELL), [], []),
        (look(without(3), host(101, 102)), [RELEASED, JOINS], [f"proxmox03 is lost, since its VM is gone: {AGAIN}"]),
        (look(without(3), host(101, 102, 103)), [], [BACK]),
        (look(without(3)), [], [BACK]),  # its host does not answer: nobody knows of its VM
        (look(without(3), proxmox03=DOWN), [], [BACK]),
        (
            look({**without(3), "proxmox03": stand_alone(3)}, host(101, 102, 103)),
            [RELEASED, JOINS],
            [f"proxmox03 is lost, since it was installed anew: {AGAIN}"],
        ),
        (
            look({**without(3), "proxmox03": joined(3, 1, 2, 3, quorate=False, quorum=None)}, host(101, 102, 103)),
            [],
            [f"proxmox03 has no vote: {live.COUNTED_ON}"],
        ),
        (
            look({"proxmox01": joined(1, 1, 2), "proxmox02": joined(2, 1, 2), "proxmox03": stand_alone(3)}),
            ["proxmox03 joins; meanwhile the cluster survives the loss of 0 nodes"],
            ["proxmox03 is no member: it joins"],
        ),
        (
            look(by_hand(links={0: "10.10.1.186", 1: "10.20.1.99"})),
            ["link 1 gets another address on proxmox02, and is out of use until then; meanwhile the cluster survives the loss of 1 node"],
            ["corosync.conf, config_version 7: link 1 of proxmox02 has 10.20.1.99, not 10.20.1.186"],
        ),
        (
            look(by_hand(votes=2)),
            ["other votes: proxmox02 1; meanwhile the cluster survives the loss of 0 nodes"],
            ["corosync.conf, config_version 7: proxmox02 has 2 votes, not 1"],
        ),
        (
            look(everywhere(priorities={0: 20, 1: 5})),
            ["link 1 gets priority 10; meanwhile the cluster survives the loss of 1 node"],
            ["corosync.conf, config_version 7: link 1 has priority 5, not 10"],
        ),
        (look(everywhere(totem={"token": "4000"})), [], []),  # nobody described it
        (look({name: stand_alone(number) for number, name in enumerate(NAMES, 1)}), [], ["no node is in a cluster"]),
    ],
)  # fmt: skip
def test_the_steps_and_what_is_not_as_recorded(
    dev: Description, seen: FirstLook, steps: list[str], said: list[str]
) -> None:
    way = found(dev, seen).way(design(dev), design(dev))
    assert (list(way.steps), way.refusal) == (steps, None)
    assert found(dev, seen).differences(design(dev), acting=True) == said
    assert found(dev, seen).differences(None, acting=True) == []


def test_what_no_step_mends_is_told_without_what_would_be_done(dev: Description) -> None:
    """Members that are away have their lines already."""
    away = found(dev, look(without(3), host(101, 102, 103)))
    assert away.differences(design(dev), acting=False) == []
    other = found(dev, look(by_hand(votes=2)))
    assert other.differences(design(dev), acting=False) == other.differences(design(dev), acting=True) != []


def test_members_that_are_described_no_more(dev: Description) -> None:
    """One leaves; the next still has to, since an earlier run did not end."""
    two = dataclasses.replace(dev, config=dev.config.model_copy(update={"nodes": list(dev.config.nodes)[:2]}))
    told = {name: WELL[name] for name in NAMES[:2]}
    leaving = live.of(two, state(dev), look(told))
    assert leaving is not None
    assert leaving.differences(design(dev), acting=True) == []
    assert [step.split(";")[0] for step in leaving.way(design(dev), design(two)).steps] == ["proxmox03 leaves for good"]
    still = live.of(two, state(dev), look(told))
    assert still is not None
    assert still.differences(design(two), acting=True) == ["proxmox03 is still a member: it leaves"]


def test_a_qdevice_that_is_not_recorded(dev: Description) -> None:
    """It is somebody else's: the run refuses to remove it, and so does the preview."""
    device = Device("192.168.0.9")
    two = dataclasses.replace(dev, config=dev.config.model_copy(update={"nodes": list(dev.config.nodes)[:2]}))
    told: Told = {f"proxmox0{n}": joined(n, 1, 2, device=device) for n in (1, 2)}
    seen = live.of(two, state(two), look(told))
    assert seen is not None
    assert seen.differences(design(two), acting=True) == [
        "corosync.conf, config_version 2: the QDevice is 192.168.0.9, not none"
    ]
    with pytest.raises(AdminError) as refused:
        seen.refuse(ASKED)
    assert refused.value.code == "qdevice-unknown"


ALONE = [cut(2, 1), up(2, 0), up(3, 0), up(3, 1)]


@pytest.mark.parametrize(
    ("code", "described", "seen"),
    [
        ("link-last", moved, look({**WELL, "proxmox01": dataclasses.replace(WELL["proxmox01"], links=ALONE)})),
        ("other-cluster", as_it_is, look({**WELL, "proxmox02": joined(2, 2, cluster="office")})),
        ("corosync-transport", as_it_is, look(everywhere(transport="udpu"))),
        ("member-unknown", as_it_is, look(everywhere(nodes=[listed(1), listed(2), listed(3), listed(4)]))),
        ("identity-changed", as_it_is, look(by_hand(id=7))),
        ("host-key-mismatch", as_it_is, look({name: WELL[name] for name in NAMES[:2]}, proxmox03=OTHER_KEY)),
    ],
)
def test_what_the_live_cluster_refuses_ends_a_preview_if_a_step_would_ask_it(
    dev: Description, code: str, described: Callable[[Description], Description], seen: FirstLook
) -> None:
    refusing = found(described(dev), seen)
    with pytest.raises(AdminError) as refused:
        refusing.refuse(ASKED)
    assert refused.value.code == code
    refusing.refuse(UNASKED)
    found(dev, look(WELL)).refuse(ASKED)


def test_the_same_change_is_fine_while_all_links_work(dev: Description) -> None:
    assert found(moved(dev), look(WELL)).refusal is None


@pytest.mark.parametrize(
    "told", [{}, {"proxmox01": stand_alone(1)}, {name: stand_alone(n) for n, name in enumerate(NAMES[:2], 1)}]
)
def test_silent_nodes_could_show_a_cluster_where_the_others_show_none(dev: Description, told: Told) -> None:
    assert live.of(dev, state(dev), look(told, proxmox03=DOWN)) is None
