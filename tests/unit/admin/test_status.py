"""What `status` finds amiss in what the nodes show: worlds as data."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from admin.errors import AdminError
from admin.facts import Guest, Ha, HaService, Health, Kernel, Watchdog
from admin.status import table
from admin.status.look import NodeSeen, Seen
from admin.status.verdict import Finding, Wanted, WantedGuest, findings
from tests.unit.admin.worlds import CLUSTER, cut, joined, listed, members, quorum, stand_alone, up

SERVICES = dict.fromkeys(("corosync", "pve-cluster", "pveproxy", "pve-ha-crm", "pve-ha-lrm", "watchdog-mux"), "active")
GUESTS = [
    WantedGuest("vm01", "vm:200", "started", []),
    WantedGuest("ct01", "ct:300", "started", ["proxmox02", "proxmox03"]),
]
WANTED = Wanted(CLUSTER, 9, members(3), ["shared"], GUESTS)
HA = Ha(
    "proxmox01",
    {f"proxmox0{n}": "active" for n in (1, 2, 3)},
    {"vm:200": HaService("proxmox01", "started"), "ct:300": HaService("proxmox02", "started")},
)
RUNNING = {
    1: [Guest(200, "qemu", "vm01", "running", template=False, ha="started")],
    2: [Guest(300, "lxc", "ct01", "running", template=False, ha="started")],
}


def node(number: int, *, api: bool = True, storages: dict[str, bool] | None = None, **changes: Any) -> NodeSeen:  # noqa: ANN401 - fields as they are
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
    return NodeSeen(replace(health, **changes), api, {"shared": True} if storages is None else storages)


def world(**changes: NodeSeen | AdminError) -> Seen:
    return {f"proxmox0{n}": node(n) for n in (1, 2, 3)} | changes


def absent(number: int) -> NodeSeen:
    look = node(number)
    alone = stand_alone(number)
    return replace(
        look,
        health=replace(
            look.health, state="absent", cluster=None, nodes=[], quorum=None, links=[], quorate=alone.quorate
        ),
    )


DOWN = AdminError("host-unreachable", "proxmox03 cannot be reached over SSH", observed="192.168.0.187: no answer")
CUT = [cut(1, 0), up(1, 1), cut(3, 0), up(3, 1)]


def without(service: str) -> dict[str, bool]:
    return SERVICES | {service: False}


def ha(**changes: Any) -> Ha:  # noqa: ANN401 - fields as they are
    return replace(HA, **changes)


def everywhere(**changes: Any) -> Seen:  # noqa: ANN401 - fields as they are
    return {f"proxmox0{n}": node(n, **changes) for n in (1, 2, 3)}


def test_a_cluster_as_described_has_no_findings() -> None:
    assert findings(WANTED, world()) == []


CASES = [
    ("a node is down", world(proxmox03=DOWN), "proxmox03", "cannot be reached"),
    ("a node left", world(proxmox02=absent(2)), "proxmox02", "stand-alone"),
    ("another cluster", world(proxmox02=node(2, cluster="office")), "proxmox02", "in cluster office"),
    ("another machine", world(proxmox02=node(2, node="pve")), "proxmox02", "calls itself pve"),
    ("old version", world(proxmox02=node(2, pve_version="8.4.1")), "proxmox02", "8.4.1"),
    ("no quorum", world(proxmox02=node(2, quorate=False)), "proxmox02", "not quorate"),
    ("read-only", world(proxmox02=node(2, pve_writable=False)), "proxmox02", "read-only"),
    ("API", world(proxmox02=node(2, api=False)), "proxmox02", "API"),
    ("corosync stopped", world(proxmox02=node(2, services=without("corosync"))), "proxmox02", "corosync does not run"),
    ("LRM dead", world(proxmox02=node(2, services=without("pve-ha-lrm"))), "proxmox02", "pve-ha-lrm does not run"),
    ("watchdog", world(proxmox02=node(2, watchdog=Watchdog(device=True, socket=False))), "proxmox02", "watchdog"),
    ("link cut", world(proxmox02=node(2, links=CUT)), "proxmox02", "link 0 to proxmox03 (10.10.1.187) is not connected"),
    ("storage", world(proxmox02=node(2, storages={"shared": False})), "proxmox02", "storage shared is not active"),
    ("storage unknown", world(proxmox02=node(2, storages={})), "proxmox02", "storage shared is not active"),
    ("fewer votes", everywhere(quorum=quorum([1, 2], expected=3)), "cluster", "2 of 3 votes"),
    ("a stranger", everywhere(nodes=[listed(n) for n in (1, 2, 3, 4)]), "cluster", "proxmox04 is a member and not described"),
    ("not listed", everywhere(nodes=[listed(1), listed(2)]), "cluster", "proxmox03 is not a member"),
    ("other votes", everywhere(nodes=[listed(1), listed(2), replace(listed(3), votes=2)]), "cluster", "votes 2"),
    ("priorities", everywhere(priorities={0: 10, 1: 10}), "cluster", "link 0 has priority 10, not 20"),
    ("no master", everywhere(ha=ha(master=None)), "cluster", "no master"),
    ("agent dead", everywhere(ha=ha(lrm={**HA.lrm, "proxmox02": "old timestamp - dead?"})), "proxmox02", "dead?"),
    ("agent unknown", everywhere(ha=ha(lrm={"proxmox01": "active", "proxmox03": "active"})), "proxmox02", "unknown"),
    ("guest gone", everywhere(ha=ha(services={"ct:300": HA.services["ct:300"]})), "vm01", "not under HA"),
    ("guest in error", everywhere(ha=ha(services={**HA.services, "vm:200": HaService("proxmox01", "error")})), "vm01", "error"),
    ("guest misplaced", everywhere(ha=ha(services={**HA.services, "ct:300": HaService("proxmox01", "started")})), "ct01", "runs on proxmox01"),
    ("guest dead", world(proxmox01=node(1, running_guests=[])), "vm01", "does not run there"),
    ("nobody quorate", everywhere(quorate=False), "cluster", "no quorum"),
    ("nobody answers", {f"proxmox0{n}": DOWN for n in (1, 2, 3)}, "cluster", "no quorum"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "where", "what"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_what_differs_is_named_with_the_next_command(seen: Seen, where: str, what: str) -> None:
    found = findings(WANTED, seen)
    matching = [finding for finding in found if finding.where == where and what in finding.what]
    assert matching, found
    assert all(finding.next for finding in found)


def test_links_to_a_node_that_is_down_are_not_told_again() -> None:
    seen = world(proxmox03=DOWN, proxmox01=node(1, links=[up(2, 0), up(2, 1), cut(3, 0), cut(3, 1)]))
    assert [finding for finding in findings(WANTED, seen) if "link" in finding.what] == []


def test_without_guests_ha_is_not_looked_for() -> None:
    wanted = replace(WANTED, guests=[])
    seen = everywhere(ha=None, services=without("pve-ha-lrm"), running_guests=None)
    assert findings(wanted, seen) == []


def shown(seen: Seen) -> str:
    console = Console(record=True, width=200, force_terminal=False)
    table.show(console, WANTED, seen, findings(WANTED, seen))
    return console.export_text()


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
    assert "2 of 3 nodes seen" in text


def test_json_holds_what_was_seen_and_what_was_found() -> None:
    seen = world(proxmox03=DOWN)
    document = json.loads(json.dumps(table.as_json(seen, findings(WANTED, seen))))
    assert document["as_described"] is False
    assert document["nodes"]["proxmox03"]["error"] == "host-unreachable"
    assert document["nodes"]["proxmox01"]["health"]["quorum"]["expected"] == 3
    assert Finding(**document["findings"][0]).where == "proxmox03"
