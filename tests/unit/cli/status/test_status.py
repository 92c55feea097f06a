"""What `status` finds amiss in what the nodes show: worlds as data."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from cli.drift.kinds import OFF, REFUSED
from cli.drift.model import ADDRESS_DOWN, Drift
from cli.status import table
from cli.status.look import NodeStatus, NodeStatuses
from cli.status.model import Finding, Wanted, WantedGuest
from cli.status.verdict import asked_for, behind_ones_back, findings
from cluster.errors import AdminError
from onnode.cluster.corosync import Device
from onnode.contract.health import GuestStatus, Ha, HaService, Health, Kernel, Watchdog
from tests.unit.cluster.worlds import CLUSTER, cut, joined, listed, members, quorum, stand_alone, up

if TYPE_CHECKING:
    from onnode.cluster.corosync import PeerLink

SERVICES = dict.fromkeys(("corosync", "pve-cluster", "pveproxy", "pve-ha-crm", "pve-ha-lrm", "watchdog-mux"), True)
GUESTS = [
    WantedGuest("vm01", "vm:200", "started", []),
    WantedGuest("ct01", "ct:300", "started", ["proxmox02", "proxmox03"]),
]
WANTED = Wanted("dev", CLUSTER, 9, members(3), ["shared"], GUESTS)
HA = Ha(
    "proxmox01",
    {f"proxmox0{n}": "active" for n in (1, 2, 3)},
    {"vm:200": HaService("proxmox01", "started"), "ct:300": HaService("proxmox02", "started")},
)
RUNNING = {
    1: [GuestStatus(200, "qemu", "vm01", "running", template=False, ha="started")],
    2: [GuestStatus(300, "lxc", "ct01", "running", template=False, ha="started")],
}


def node(number: int, *, api: bool = True, storages: dict[str, bool] | None = None, **changes: Any) -> NodeStatus:  # noqa: ANN401 - fields as they are
    fields = dataclasses.asdict(joined(number, 1, 2, 3)) | {
        "nodes": [listed(n) for n in (1, 2, 3)],
        "quorum": quorum([1, 2, 3], expected=3),
        "links": [up(other, link) for other in (1, 2, 3) if other != number for link in (0, 1)],
    }
    fields.pop("authorized_keys")
    health = Health(
        **fields,
        kernel=Kernel("6.17", "6.17", reboot_missing=False),
        services=SERVICES,
        watchdog=Watchdog(device=True, socket=True),
        ha=HA,
        running_guests=RUNNING.get(number, []),
    )
    return NodeStatus(replace(health, **changes), api, {"shared": True} if storages is None else storages)


def world(**changes: NodeStatus | AdminError) -> NodeStatuses:
    return {**{f"proxmox0{n}": node(n) for n in (1, 2, 3)}, **changes}


def absent(number: int) -> NodeStatus:
    look = node(number)
    alone = stand_alone(number)
    return replace(
        look,
        health=replace(
            look.health, state="absent", cluster=None, nodes=[], quorum=None, links=[], quorate=alone.quorate
        ),
    )


DOWN = AdminError("host-unreachable", "proxmox03 cannot be reached over SSH", observed="192.168.0.187: no answer")
NOBODY: NodeStatuses = {f"proxmox0{n}": DOWN for n in (1, 2, 3)}
CUT = [cut(1, 0), up(1, 1), cut(3, 0), up(3, 1)]


def without(service: str) -> dict[str, bool]:
    return SERVICES | {service: False}


def ha(**changes: Any) -> Ha:  # noqa: ANN401 - fields as they are
    return replace(HA, **changes)


def everywhere(**changes: Any) -> NodeStatuses:  # noqa: ANN401 - fields as they are
    return {f"proxmox0{n}": node(n, **changes) for n in (1, 2, 3)}


def test_a_cluster_as_described_has_no_findings() -> None:
    assert findings(WANTED, world()) == []


CASES: list[tuple[str, NodeStatuses, str, str]] = [
    ("a node is down", world(proxmox03=DOWN), "proxmox03", "cannot be reached"),
    ("a node left", world(proxmox02=absent(2)), "proxmox02", "stand-alone"),
    ("another cluster", world(proxmox02=node(2, cluster="office")), "proxmox02", "in cluster office"),
    ("another machine", world(proxmox02=node(2, node="pve")), "proxmox02", "its host name is pve"),
    ("old version", world(proxmox02=node(2, pve_version="8.4.1")), "proxmox02", "8.4.1"),
    ("no quorum", world(proxmox02=node(2, quorate=False)), "proxmox02", "not quorate"),
    ("read-only", world(proxmox02=node(2, pve_writable=False)), "proxmox02", "read-only"),
    ("API", world(proxmox02=node(2, api=False)), "proxmox02", "API"),
    ("corosync stopped", world(proxmox02=node(2, services=without("corosync"))), "proxmox02", "corosync does not run"),
    ("LRM dead", world(proxmox02=node(2, services=without("pve-ha-lrm"))), "proxmox02", "pve-ha-lrm does not run"),
    ("watchdog", world(proxmox02=node(2, watchdog=Watchdog(device=True, socket=False))), "proxmox02", "watchdog"),
    ("link cut", world(proxmox02=node(2, links=CUT)), "proxmox02", "has lost link 0 to every other member"),
    ("storage", world(proxmox02=node(2, storages={"shared": False})), "proxmox02", "storage shared is not active"),
    ("storage unknown", world(proxmox02=node(2, storages={})), "proxmox02", "storage shared is not active"),
    ("fewer votes", everywhere(quorum=quorum([1, 2], expected=3)), "cluster", "2 of 3 votes"),
    ("votes set by hand", everywhere(quorum=quorum([1, 2, 3], expected=1)), "cluster", "expected votes are 1, its members have 3"),
    ("a stranger", everywhere(nodes=[listed(n) for n in (1, 2, 3, 4)]), "cluster", "proxmox04 is a member, and not in the stack file"),
    ("not listed", everywhere(nodes=[listed(1), listed(2)]), "cluster", "proxmox03 is not a member"),
    ("other votes", everywhere(nodes=[listed(1), listed(2), replace(listed(3), votes=2)]), "cluster", "votes 2"),
    ("priorities", everywhere(priorities={0: 10, 1: 10}), "cluster", "link 0 has priority 10, not 20"),
    ("no master", everywhere(ha=ha(master=None)), "cluster", "no master"),
    ("HA unknown", everywhere(ha=None), "cluster", "does not report the state of HA"),
    ("agent dead", everywhere(ha=ha(lrm={**HA.lrm, "proxmox02": "old timestamp - dead?"})), "proxmox02", "dead?"),
    ("agent unknown", everywhere(ha=ha(lrm={"proxmox01": "active", "proxmox03": "active"})), "proxmox02", "unknown"),
    ("guest gone", everywhere(ha=ha(services={"ct:300": HA.services["ct:300"]})), "vm01", "not under HA"),
    ("guest in error", everywhere(ha=ha(services={**HA.services, "vm:200": HaService("proxmox01", "error")})), "vm01", "error"),
    ("guest misplaced", everywhere(ha=ha(services={**HA.services, "ct:300": HaService("proxmox01", "started")})), "ct01", "runs on proxmox01"),
    ("guest dead", world(proxmox01=node(1, running_guests=[])), "vm01", "does not run there"),
    ("nobody quorate", everywhere(quorate=False), "cluster", "no quorum"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "where", "what"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_what_differs_is_named_with_the_next_command(seen: NodeStatuses, where: str, what: str) -> None:
    found = findings(WANTED, seen)
    matching = [finding for finding in found if finding.where == where and what in finding.what]
    assert matching, found
    assert all(finding.next for finding in found)


def without_node_3(*, silence: AdminError = DOWN, voting: bool = False, **vm: str) -> NodeStatuses:
    """Node 3 is off, its agent's time old, and vm:200 was on it; `voting`: Corosync has not missed it yet."""
    services = {**HA.services, "vm:200": HaService(**{"node": "proxmox03", "state": "started"} | vm)}
    lost: dict[str, Any] = {"ha": ha(services=services)}
    if not voting:
        lost["quorum"] = quorum([1, 2], expected=3)
        lost["ha"] = ha(services=services, lrm={**HA.lrm, "proxmox03": "old timestamp - dead?"})
    ends = {n: [up(3 - n, 0), up(3 - n, 1), cut(3, 0), cut(3, 1)] for n in (1, 2)}
    return {f"proxmox0{n}": node(n, links=ends[n], **lost) for n in (1, 2)} | {"proxmox03": silence}


def in_state(state: str, node: str = "proxmox01") -> NodeStatuses:
    return everywhere(ha=ha(services={**HA.services, "vm:200": HaService(node, state)}))


def with_cuts(*pairs: tuple[int, int], count: int = 3) -> NodeStatuses:
    """Link 0 cut between those pairs, which both ends see."""
    numbers = range(1, count + 1)

    def links(number: int) -> list[PeerLink]:
        broken = {peer for pair in pairs if number in pair for peer in pair}
        return [
            cut(peer, link) if link == 0 and peer in broken else up(peer, link)
            for peer in numbers
            if peer != number
            for link in (0, 1)
        ]

    nodes, votes = [listed(n) for n in numbers], quorum(numbers, expected=count)
    lrm = {f"proxmox0{n}": "active" for n in numbers}
    return {f"proxmox0{n}": node(n, links=links(n), nodes=nodes, quorum=votes, ha=ha(lrm=lrm)) for n in numbers}


def two_of_five() -> NodeStatuses:
    """The real transcript: five members, of which two are up."""
    lost: dict[str, Any] = {"quorate": False, "pve_writable": False, "quorum": quorum([1, 2], expected=5)}
    five = [listed(n) for n in (1, 2, 3, 4, 5)]
    return {f"proxmox0{n}": node(n, nodes=five, **lost) for n in (1, 2)} | {"proxmox03": DOWN}


def without_corosync() -> NodeStatuses:
    stopped = node(3, quorum=None, quorate=False, pve_writable=False, links=[], services=without("corosync"))
    ends = {n: [up(3 - n, 0), up(3 - n, 1), cut(3, 0), cut(3, 1)] for n in (1, 2)}
    rest: NodeStatuses = {f"proxmox0{n}": node(n, links=ends[n], quorum=quorum([1, 2], expected=3)) for n in (1, 2)}
    return rest | {"proxmox03": stopped}


DEVICE = Device("192.168.0.106", 1)
WITH_DEVICE = replace(WANTED, device=DEVICE)


def witnessed(casts: int | None, state: str | None = "Connected", device: Device | None = DEVICE) -> NodeStatuses:
    """With a QDevice: the votes that it casts, and how node 2 is connected to it."""
    votes = replace(quorum([1, 2, 3], expected=4), device=casts)
    seen = everywhere(device=device, device_state="Connected", quorum=votes)
    return seen | {"proxmox02": node(2, device=device, device_state=state, quorum=votes)}


@pytest.mark.parametrize(
    ("seen", "wanted", "found"),
    [
        (witnessed(1), WITH_DEVICE, []),
        (witnessed(1), WANTED, [("cluster", "the cluster has a QDevice at 192.168.0.106 (ffsplit, tls on); described is no QDevice")]),
        (world(), WITH_DEVICE, [("cluster", "the cluster has no QDevice; described is a QDevice at 192.168.0.106 (ffsplit, tls on)")]),
        (witnessed(1, state="Connect failed"), WITH_DEVICE, [("proxmox02", "is not connected to the QDevice's server at 192.168.0.106 (Connect failed)")]),
        (witnessed(1, state=None), WITH_DEVICE, [("proxmox02", "is not connected to the QDevice's server at 192.168.0.106: corosync-qdevice does not run")]),
        (witnessed(0), WITH_DEVICE, [(f"proxmox0{n}", "sees no vote of the QDevice at 192.168.0.106") for n in (1, 2, 3)]),
    ],
)  # fmt: skip
def test_a_qdevice_is_the_described_one_and_casts_its_vote(
    seen: NodeStatuses, wanted: Wanted, found: list[tuple[str, str]]
) -> None:
    assert [(one.where, one.what) for one in findings(wanted, seen)] == found
    assert all(one.next for one in findings(wanted, seen))


def test_make_up_is_advised_only_where_it_sets_the_qdevice_up() -> None:
    """Another's QDevice it does not remove: the advice went in a circle."""
    assert [one.next for one in findings(WITH_DEVICE, world())] == ["make up"]
    other = witnessed(1, device=replace(DEVICE, host="192.168.0.99"))
    for wanted in (WANTED, WITH_DEVICE):
        assert ["pvecm qdevice remove" in one.next for one in findings(wanted, other)] == [True]


FOUR = [listed(n) for n in (1, 2, 3, 4)]
ONLY_ONCE: list[tuple[str, NodeStatuses, list[tuple[str, str, str]]]] = [
    ("nobody answers", NOBODY, [(f"proxmox0{n}", "cannot be reached", "power the machine on") for n in (1, 2, 3)]),
    ("nobody is a member yet", {f"proxmox0{n}": absent(n) for n in (1, 2, 3)}, [(f"proxmox0{n}", "stand-alone", "make up") for n in (1, 2, 3)]),
    ("HA unknown", everywhere(ha=None), [("cluster", "does not report", "pvesh get /cluster/ha/status/current on proxmox01")]),
    ("one is off", without_node_3(node="proxmox01"), [("proxmox03", "cannot be reached", "power the machine on")]),
    ("one member more", everywhere(nodes=FOUR, quorum=quorum([1, 2, 3, 4], expected=4)), [("cluster", "proxmox04 is a member, and not in the stack file", "to keep it, add proxmox04 to nodes in the stack file; otherwise `make up`")]),
    ("one member more, off", everywhere(nodes=FOUR, quorum=quorum([1, 2, 3], expected=4)), [("cluster", "proxmox04 is a member, and not in the stack file", "docs/recovery.md#member-unknown")]),
    ("a vote less for no known reason", everywhere(quorum=quorum([1, 2], expected=3)), [("cluster", "2 of 3 votes: that of proxmox03 is missing", "ssh root@192.168.0.187 pvecm status")]),
    ("an agent stopped", world(proxmox02=node(2, services=without("pve-ha-lrm")), proxmox01=node(1, ha=ha(lrm={**HA.lrm, "proxmox02": "old timestamp - dead?"}))), [("proxmox02", "pve-ha-lrm does not run", "restart pve-ha-lrm")]),
    ("died this second", without_node_3(voting=True), [("proxmox03", "cannot be reached", "power"), ("vm01", "is on proxmox03, which does not answer (HA state started)", "`make status` again")]),
    ("died, not yet fenced", without_node_3(), [("proxmox03", "cannot be reached", "power"), ("vm01", "is on proxmox03, which is offline (HA state started)", "`make status` again")]),
    ("being fenced", without_node_3(state="fence"), [("proxmox03", "cannot be reached", "power"), ("vm01", "HA is recovering it from proxmox03 (state fence)", "on its way: wait a few minutes, then `make status` again")]),
    ("being recovered", without_node_3(state="recovery"), [("proxmox03", "cannot be reached", "power"), ("vm01", "HA is recovering it from proxmox03 (state recovery)", "on its way")]),
    ("a key refused by a member that votes", without_node_3(voting=True, silence=AdminError("ssh-auth-failed", "proxmox03 refuses the key")), [("proxmox03", "refuses the key", "authorized_keys")]),
    ("a key refused by a member that does not vote", without_node_3(silence=AdminError("ssh-auth-failed", "proxmox03 refuses the key")), [("proxmox03", "refuses the key", "authorized_keys"), ("cluster", "2 of 3 votes: that of proxmox03 is missing", "pvecm status"), ("vm01", "which is offline", "on the HA master")]),
    ("migrating", in_state("migrate"), [("vm01", "HA is moving it from proxmox01 (state migrate)", "on its way: wait a few minutes, then `make status` again")]),
    ("relocating from where it may not be", everywhere(ha=ha(services={**HA.services, "ct:300": HaService("proxmox01", "relocate")})), [("ct01", "HA is moving it from proxmox01 (state relocate)", "on its way")]),
    ("starting", in_state("starting"), [("vm01", "HA is starting it on proxmox01 (state starting)", "on its way")]),
    ("about to start", in_state("request_start"), [("vm01", "HA is starting it on proxmox01", "on its way")]),
    ("stopping", in_state("request_stop"), [("vm01", "HA is stopping it on proxmox01", "on its way")]),
    ("queued", in_state("queued"), [("vm01", "HA has yet to take it up on proxmox01", "on its way")]),
    ("frozen", in_state("freeze"), [("vm01", "HA keeps it frozen until the agent (LRM) is back on proxmox01", "on its way")]),
    ("in error", in_state("error"), [("vm01", "state error", "ha-manager set vm:200 --state disabled")]),
    ("in error, and not running", world(proxmox01=node(1, running_guests=[], ha=ha(services={**HA.services, "vm:200": HaService("proxmox01", "error")}))), [("vm01", "state error", "journalctl -u pve-ha-lrm on proxmox01 says why; mend that, then make up, with which HA starts it again")]),
    ("not started yet, or dead", world(proxmox01=node(1, running_guests=[])), [("vm01", "does not run there", "wait a minute, then `make status` again; if it stays so, journalctl -u pve-ha-lrm on proxmox01")]),
    ("a link lost to all", with_cuts((1, 2), (2, 3)), [("proxmox02", "has lost link 0 to every other member", "ssh root@192.168.0.186 corosync-cfgtool -n")]),
    ("a link lost to all, in its own eyes only", world(proxmox02=node(2, links=CUT)), [("proxmox02", "has lost link 0 to every other member", "check the bridge or cable of link 0")]),
    ("two of five are up", two_of_five(), [("proxmox03", "cannot be reached", "power the machine on"), ("cluster", "has no quorum on any node that answers: 2 of 5 votes, 3 needed, 1 missing; down or cut off: proxmox03, proxmox04, proxmox05", "power on proxmox03; power on proxmox04; power on proxmox05")]),
    ("a stopped corosync", without_corosync(), [("proxmox03", "corosync does not run", "ssh root@192.168.0.187 systemctl restart corosync")]),
    ("pve-cluster stopped", world(proxmox03=node(3, state="half", pve_mounted=False, pve_writable=False)), [("proxmox03", "has no /etc/pve: pve-cluster does not run", "ssh root@192.168.0.187 systemctl restart pve-cluster")]),
    ("cut off", world(proxmox03=node(3, quorate=False, pve_writable=False, quorum=quorum([3], expected=3))), [("proxmox03", "is not quorate: 1 of 3 votes, 2 needed, 1 missing; down or cut off: proxmox01, proxmox02", "ssh root@192.168.0.187 corosync-cfgtool -n")]),
    ("quorate and read-only", world(proxmox03=node(3, pve_writable=False)), [("proxmox03", "/etc/pve is read-only", "systemctl restart pve-cluster")]),
    ("an id twice", everywhere(nodes=[*(listed(n) for n in (1, 2, 3)), replace(listed(9), id=2)]), [("cluster", "holds id 2: proxmox02 and proxmox09", "docs/recovery.md#node-id-twice")]),
    ("a pair", with_cuts((2, 3)), [("proxmox02", "link 0 to proxmox03 (10.10.1.187) is not connected", "link 0")]),
    ("a pair, in the second's eyes only", world(proxmox03=node(3, links=[up(1, 0), up(1, 1), cut(2, 0), up(2, 1)])), [("proxmox03", "link 0 to proxmox02 (10.10.1.186) is not connected", "link 0")]),
    ("a link that is dead", with_cuts((1, 2), (1, 3), (2, 3)), [("cluster", "link 0 connects no two members", "check the switch of link 0")]),
    ("the last pair of two", {**with_cuts((1, 2)), "proxmox03": DOWN}, [("proxmox03", "cannot be reached", "power"), ("proxmox01", "link 0 to proxmox02 (10.10.1.186) is not connected", "link 0")]),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "expected"), [pytest.param(*case[1:], id=case[0]) for case in ONLY_ONCE])
def test_one_cause_is_one_finding_with_a_step_that_fits(
    seen: NodeStatuses, expected: list[tuple[str, str, str]]
) -> None:
    found = findings(WANTED, seen)
    assert [finding.where for finding in found] == [where for where, _, _ in expected], found
    for finding, (_, what, step) in zip(found, expected, strict=True):
        assert what in finding.what
        assert step in finding.next


OFF_3 = Drift("urn::proxmox03-install", "proxmox03", "its VM 103 on virtual is powered off", OFF)


def told(seen: NodeStatuses, *drifted: Drift) -> list[tuple[str, str, str]]:
    """All that `status` says, with what drifted."""
    found = findings(WANTED, seen, drifted)
    return [(one.where, one.what, one.next) for one in [*found, *behind_ones_back("dev", drifted, found)]]


def test_a_node_whose_vm_is_known_to_be_off_is_one_finding_that_up_mends() -> None:
    """There were three repairs: power it on, check the way to it, `make up`."""
    assert told(without_node_3(node="proxmox01"), OFF_3) == [
        ("proxmox03", "its VM 103 on virtual is powered off", "make up")
    ]


def test_without_quorum_nodes_that_are_off_are_started_first() -> None:
    names = [(where, step) for where, _, step in told(two_of_five(), OFF_3)]
    assert names == [("proxmox03", "make up"), ("cluster", "make up")]


STEP_BY_HAND = "`ip -br link` on the node"


def not_up(*addresses: str) -> Drift:
    what = f"the address {', '.join(addresses)} is not up (ens19: down or without carrier)"
    return Drift("urn::proxmox02-verify", "proxmox02", what, REFUSED, STEP_BY_HAND, ADDRESS_DOWN, addresses)


@pytest.mark.parametrize(
    ("addresses", "links", "seen"),
    [
        (["10.10.1.186/24"], "link 0", world(proxmox02=node(2, links=CUT))),
        (["10.10.1.186/24"], "link 0", with_cuts((1, 2), (2, 3))),
        (["10.10.1.186/24", "10.30.1.186/24"], "link 0", with_cuts((1, 2), (2, 3))),
        (["10.10.1.186/24", "10.20.1.186/24"], "links 0, 1", with_cuts((1, 2), (2, 3))),
    ],
)
def test_a_link_whose_own_address_is_down_is_one_finding(addresses: list[str], links: str, seen: NodeStatuses) -> None:
    """There were two, and each had a repair of its own."""
    down = not_up(*addresses)
    assert told(seen, down) == [("proxmox02", f"has lost {links}: {down.what}", STEP_BY_HAND)]


def test_which_addresses_are_down_is_not_read_from_the_sentence() -> None:
    down = replace(not_up("10.10.1.186/24"), what="nothing answers behind 10.20.1.186/24")
    assert told(with_cuts((1, 2), (2, 3)), down) == [
        ("proxmox02", "has lost link 0: nothing answers behind 10.20.1.186/24", STEP_BY_HAND)
    ]


def test_another_pair_than_that_of_the_address_is_named_all_the_same() -> None:
    found = told(with_cuts((1, 2), (2, 3), (1, 3)), not_up("10.10.1.186/24"))
    assert [(where, what.partition(":")[0]) for where, what, _ in found] == [
        ("proxmox02", "has lost link 0"),
        ("proxmox01", "link 0 to proxmox03 (10.10.1.187) is not connected"),
    ]


def test_the_address_of_another_network_is_no_link_and_explains_the_storage_behind_it() -> None:
    down = not_up("10.30.1.186/24")
    seen = world(proxmox02=node(2, storages={"shared": False}))
    storage = ("proxmox02", "storage shared is not active", "ssh root@192.168.0.186 pvesm status --storage shared")
    assert told(seen, down) == [storage, ("proxmox02", down.what, STEP_BY_HAND)]
    servers = replace(WANTED, servers={"shared": IPv4Address("10.30.1.1")})
    assert findings(servers, seen, [down]) == []
    assert [one.what for one in findings(servers, seen)] == ["storage shared is not active"]
    assert [one.what for one in findings(servers, seen, [not_up("10.10.1.186/24")])][1:] == [storage[1]]


def test_nobody_is_told_to_power_on_a_node_that_was_never_made() -> None:
    found = findings(WANTED, NOBODY, unrecorded={"proxmox01", "proxmox02"})
    assert [one.next for one in found] == ["make up", "make up", DOWN.fix]
    assert found[0].what.endswith("; its VM is not recorded here")
    refused = AdminError("ssh-auth-failed", "proxmox01 refuses the key")
    assert findings(WANTED, world(proxmox01=refused), unrecorded={"proxmox01"})[0].next == refused.fix


def test_more_than_a_node_or_a_pair_names_the_pairs() -> None:
    wanted = replace(WANTED, members=members(4))

    def named(*pairs: tuple[int, int]) -> list[tuple[str, str]]:
        return [(finding.where, finding.what) for finding in findings(wanted, with_cuts(*pairs, count=4))]

    assert named((1, 2), (3, 4)) == [
        ("proxmox01", "link 0 to proxmox02 (10.10.1.186) is not connected"),
        ("proxmox03", "link 0 to proxmox04 (10.10.1.188) is not connected"),
    ]
    assert named((1, 2), (1, 3), (1, 4), (2, 3)) == [
        ("proxmox01", "has lost link 0 to every other member"),
        ("proxmox02", "link 0 to proxmox03 (10.10.1.187) is not connected"),
    ]


@pytest.mark.parametrize(
    ("used", "step"),
    [
        (False, "ssh root@192.168.0.186 systemctl restart watchdog-mux"),
        (True, "make drain STACK=home NODE=proxmox02, then make reboot STACK=home NODE=proxmox02"),
    ],
)
def test_a_watchdog_that_is_open_is_not_restarted_under_guests(used: bool, step: str) -> None:  # noqa: FBT001
    wanted = replace(WANTED, stack="home")
    for broken in (
        {"watchdog": Watchdog(device=True, socket=False, used=used)},
        {"watchdog": Watchdog(device=True, socket=True, used=used), "services": without("watchdog-mux")},
    ):
        assert [one.next for one in findings(wanted, world(proxmox02=node(2, **broken)))] == [step]


@pytest.mark.parametrize(("stack", "command"), [("dev", "make up"), ("home", "make up STACK=home")])
def test_a_make_command_names_the_stack(stack: str, command: str) -> None:
    wanted = replace(WANTED, stack=stack)
    assert [finding.next for finding in findings(wanted, everywhere(ha=ha(services={})))] == [command, command]
    later = findings(wanted, in_state("migrate"))[0].next
    assert f"`{command.replace('up', 'status')}` again" in later
    broken = AdminError("step-broken", "the package is of another form", fix="`make up` puts this one there")
    assert findings(wanted, world(proxmox02=broken))[0].next == f"`{command}` puts this one there"


def test_without_guests_ha_is_not_looked_for() -> None:
    wanted = replace(WANTED, guests=[])
    seen = everywhere(ha=None, services=without("pve-ha-lrm"), running_guests=None)
    assert findings(wanted, seen) == []


def shown(seen: NodeStatuses) -> str:
    console = Console(record=True, width=200, force_terminal=False)
    table.show(console, WANTED, seen, findings(WANTED, seen))
    return console.export_text()


@pytest.mark.parametrize(("guests", "count"), [(GUESTS, "2 guests under HA"), (GUESTS[:1], "1 guest under HA")])
def test_guests_are_counted_in_words(guests: list[Any], count: str) -> None:
    console = Console(record=True, width=200, force_terminal=False)
    table.show(console, replace(WANTED, guests=guests), world(), [])
    assert f", {count} (master proxmox01)" in console.export_text()


def test_the_table_shows_every_node_and_sums_up() -> None:
    text = shown(world())
    assert all(f"proxmox0{n}" in text for n in (1, 2, 3))
    assert "is as described: 3 members, quorate with 3 of 3 votes, 2 links between every pair" in text
    assert "vm01" in text


def test_the_table_shows_findings_with_what_comes_next() -> None:
    text = shown(world(proxmox03=DOWN, proxmox02=node(2, links=CUT)))
    assert "host-unreachable" in text
    assert "✗ proxmox03" in text
    assert "is not as described" in text
    assert "2 of 3 nodes answered" in text


def test_json_holds_what_was_seen_and_what_was_found() -> None:
    seen = world(proxmox03=DOWN)
    document = json.loads(json.dumps(table.as_json(seen, findings(WANTED, seen))))
    assert document["as_described"] is False
    assert document["nodes"]["proxmox03"]["error"] == "host-unreachable"
    assert document["nodes"]["proxmox01"]["health"]["quorum"]["expected"] == 3
    assert Finding(**document["findings"][0]).where == "proxmox03"


def test_what_passes_is_shown_and_told_to_programs_and_all_is_as_described() -> None:
    note = Finding("cluster", "VM 200 (vm01) on proxmox01 is locked (backup): a backup of it is made", "wait")
    console = Console(record=True, width=200, force_terminal=False)
    table.show(console, WANTED, world(), [], [note])
    text = console.export_text()
    assert note.what in text
    assert "is as described" in text
    document = table.as_json(world(), [], [note])
    assert document["as_described"] is True
    assert document["passing"] == [{"where": "cluster", "what": note.what, "next": "wait"}]


def test_maintenance_is_told_and_is_no_finding() -> None:
    drained = replace(HA, lrm={**HA.lrm, "proxmox03": "maintenance mode"})
    seen = world(**{f"proxmox0{number}": node(number, ha=drained) for number in (1, 2, 3)})
    assert findings(WANTED, seen) == []
    (note,) = asked_for(replace(WANTED, stack="home"), seen)
    assert (note.where, note.what) == ("proxmox03", "is in maintenance: HA gives it no guests")
    assert note.next == "to end that: make undrain STACK=home NODE=proxmox03"
    assert asked_for(WANTED, world()) == []
