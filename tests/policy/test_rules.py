"""Each rule: what it refuses and in which words, what it lets pass, what it cannot know, what is none of its business."""

# ruff: noqa: ANN401 - JSON values have no closer type

from __future__ import annotations

import copy
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pulumi_policy import EnforcementLevel

from policy.pve_policies import RULES, Rule, resources
from policy.pve_policies.examples import (
    CLUSTER,
    GUEST,
    LINKS,
    NODES,
    OUTER_HOST,
    SHARED,
    SOUND,
    TEMPLATE,
    WITNESS,
    design,
    existing,
    link,
    nested,
    with_qdevice,
)
from policy.pve_policies.rule import Example
from tests.support.judging import judged
from tests.support.policy import UNKNOWN_STRING, analyze, remediate, secret
from tests.support.program import ROOT, Recording, run, stack_file

if TYPE_CHECKING:
    from collections.abc import Iterable

BY_ID = {rule.id: rule for rule in RULES}
NODE = resources.NESTED_PVE_NODE
GUEST_COMPONENT = "nested-pve-ha:index:HaGuest"
ROOT_API = {"endpoint": "https://pve1.example:8006", "username": "root@pam"}
OF_TWO = ("unique-vmids", "unique-macs")  # what two resources show together: test_holders.py
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


def published(package: str, prefix: str) -> list[str]:
    """Types of resources that an SDK has; read from its text, as it takes seconds to import."""
    spec = find_spec(package)
    assert spec
    assert spec.origin
    found = sorted(set(re.findall(rf'"({prefix}[^"]*)"', Path(spec.origin).read_text())))
    assert found, prefix
    return found


VMS = published("pulumi_proxmoxve", "proxmoxve:index/vm")
CONTAINERS = published("pulumi_proxmoxve", "proxmoxve:index/container")
HA_RULES = published("pulumi_proxmoxve", "proxmoxve:index/harule")
HA_GROUPS = published("pulumi_proxmoxve", "proxmoxve:index/hagroup")
HA_RESOURCES = published("pulumi_proxmoxve", "proxmoxve:index/haresource")
REPOSITORIES = published("pulumi_proxmoxve", "proxmoxve:apt/standard/repository")
STORAGES = published("pulumi_proxmoxve", "proxmoxve:storage/")
REMOTE = published("pulumi_command", "command:remote:")


def each(
    rule: str, types: Iterable[str], said: str, provider: Any = None, /, **props: Any
) -> list[tuple[str, Example, str]]:
    """A case for each of the types."""
    return [(rule, Example(type_, props, provider=provider or {}), said) for type_ in types]


def vm(parent: str = "", **props: Any) -> Example:
    return Example(resources.VM, props, {"name": "subject"}, parent)


def guest(**special: Any) -> Example:
    return design(guests=[GUEST | special])


EXISTING = {"name": "web", "kind": "vm", "vmid": 210, "existing": True, "ha": GUEST["ha"]}


def guests(*sizes: tuple[int, tuple[str, ...]]) -> Example:
    """Guests of this much memory, each bound to these nodes if there are any."""
    bound = [GUEST["ha"] | ({"strict": True, "nodes": list(nodes)} if nodes else {}) for _, nodes in sizes]
    return design(
        guests=[
            GUEST | {"name": f"vm0{n}", "memoryMib": memory, "ha": ha}
            for n, ((memory, _), ha) in enumerate(zip(sizes, bound, strict=True), 1)
        ]
    )


def ha(**special: Any) -> Example:
    return guest(ha=GUEST["ha"] | special)


def cluster(**special: Any) -> Example:
    return design(cluster=CLUSTER | special)


def host(**special: Any) -> Example:
    return design(outerHosts=[OUTER_HOST | special])


def dhcp(start: str, end: str) -> Example:
    return host(bridges=[OUTER_HOST["bridges"][0] | {"dhcp": {"start": start, "end": end}}])


def unmanaged(name: str, address: str = OUTER_HOST["address"]) -> dict[str, Any]:
    """A host whose bridge was there before; the same on another host is another network."""
    bridge = {"name": "vmbr9", "address": "10.90.1.1", "subnet": "10.90.1.0/24", "managed": False}
    return OUTER_HOST | {"name": name, "address": address, "bridges": [bridge]}


def remote(type_: str, **connection: object) -> Example:
    return Example(type_, {"connection": {"host": "pve1.example", **connection}})


# Rule, resource, and what the message says of it.
REFUSED: list[tuple[str, Example, str]] = [
    ("nested-virtualization-on", host(nested=False), "outer host virtual has nested: false"),
    ("nested-virtualization-on", Example(resources.HOST_PREP, {"host": "h", "nested": False}), "outer host h has nested: false"),
    ("nested-virtualization-on", Example(resources.HOST_PREP, {"host": "h"}), "outer host h has nested: none"),
    ("nested-node-cpu-host", design(nodes=[nested(1) | {"cpuType": "kvm64"}]), "nested node proxmox01 has CPU type kvm64"),
    ("nested-node-cpu-host", vm(NODE, cpu={"type": "x86-64-v2-AES"}), "nested node subject has CPU type x86-64-v2-AES"),
    ("nested-node-cpu-host", vm(NODE, cpu={"cores": 4}), "CPU type qemu64"),
    ("nested-node-cpu-host", vm(NODE), "CPU type qemu64"),
    ("nested-node-cpu-host", vm(tags=["lab", "nested-pve"], cpu={"type": "kvm64"}), "CPU type kvm64"),
    *each("nested-node-cpu-host", VMS, "CPU type qemu64", tags=["nested-pve"]),
    ("nested-node-cpu-host", vm(NODE, cpu={"type": "x86-64-v3", "flags": ["+aes", "-nested-virt"]}), "nested node subject has CPU type x86-64-v3"),
    ("corosync-two-links", cluster(links=LINKS[:1]), "cluster proxmox has 1 Corosync link;"),
    ("corosync-two-links", Example(resources.COROSYNC_CLUSTER, {"name": "c", "links": LINKS[:1]}), "cluster c has 1 Corosync link;"),
    ("corosync-links-independent", cluster(links=[link(0, "10.10.1.0/24", 2), link(1, "10.10.0.0/16", 1)]), "links 0 and 1 in one network (10.10.1.0/24 and 10.10.0.0/16)"),
    ("corosync-links-independent", Example(resources.COROSYNC_CLUSTER, {"name": "c", "links": [one | {"cards": {"pve1": ["bond0"]}} for one in LINKS]}), "links 0 and 1 on bond0 of pve1, so they fail together"),
    ("corosync-link-priorities", cluster(links=[LINKS[0], LINKS[1] | {"priority": 20}]), "links 0 and 1 of cluster proxmox have the same priority, 20"),
    ("corosync-link-priorities", Example(resources.COROSYNC_CLUSTER, {**CLUSTER, "links": [LINKS[0], LINKS[1] | {"priority": 20}]}), "have the same priority, 20"),
    ("corosync-link-priorities", cluster(links=[LINKS[0], link(1, "10.20.1.0/24", None)]), "link 1 of cluster proxmox has no priority"),
    ("corosync-link-quiet", cluster(links=[link(0, "192.168.0.0/24", 9), link(1, "10.1.0.0/24", 5)]), "is the management network, where guests send as well"),
    ("corosync-link-quiet", cluster(links=[link(0, "192.168.0.0/24", None), link(1, "10.1.0.0/24", None)]), "has its first link on 192.168.0.0/24"),
    ("corosync-link-latency", cluster(latencyMaxMs=5.5), "takes links of up to 5.5 ms, more than the 5 ms of a LAN"),
    ("corosync-link-latency", Example(resources.COROSYNC_CLUSTER, CLUSTER | {"latencyMaxMs": 10}), "up to 10 ms"),
    ("corosync-link-quiet", cluster(migrationNetwork="10.10.1.0/24"), "also carries the live migrations"),
    ("corosync-link-quiet", design(storages=[SHARED | {"server": "10.10.1.1"}]), "also carries storage shared (10.10.1.1)"),
    ("corosync-link-quiet", cluster(migrationNetwork="10.10.0.0/16"), "also carries the live migrations"),
    ("corosync-link-quiet", cluster(links=[link(0, "192.168.0.0/16", 99), LINKS[1]]), "overlaps the management network, where guests send as well"),
    ("ha-three-votes", cluster(votes=2), "guests under HA and 2 votes"),
    ("even-votes-without-qdevice", cluster(votes=4), "has 4 votes and no QDevice"),
    ("qdevice-independent", with_qdevice(4, host="virtual"), "the QDevice of cluster proxmox is on virtual, which carries proxmox01, proxmox02, proxmox03, proxmox04"),
    ("qdevice-for-even-nodes", with_qdevice(3, machine=WITNESS), "has 3 nodes, so its QDevice is not set up"),
    ("no-node-decides-alone", design(nodes=[NODES[0] | {"votes": 3}, *NODES[1:]], cluster=CLUSTER | {"votes": 5}), "proxmox01 has 3 of 5 votes"),
    ("no-node-decides-alone", design(nodes=[NODES[0] | {"votes": 2}, NODES[1]]), "proxmox01 has 2 of 3 votes: without it there is no quorum, and HA needs a third node"),
    ("no-node-decides-alone", design(nodes=[NODES[0] | {"votes": 3}]), "proxmox01 has 3 of 3 votes"),
    ("no-node-decides-alone", design(nodes=[NODES[0] | {"votes": 2}, *NODES[1:]], guests=[], cluster=CLUSTER | {"votes": 4}), "proxmox01 has 2 of 4 votes"),
    ("watchdog-present", design(nodes=[existing(1) | {"watchdog": "none"}]), "node pve1 has no watchdog"),
    ("watchdog-hardware", design(nodes=[existing(1) | {"watchdog": "softdog"}]), "softdog fences pve1, and needs"),
    ("ha-guest-storage-shared", guest(storage="local-lvm"), "guest vm01 has its disk on local-lvm"),
    ("ha-guest-storage-shared", design(storages=[SHARED | {"shared": False}]), "guest vm01 has its disk on shared"),
    ("storage-outside-the-cluster", design(storages=[SHARED | {"server": "192.168.0.182"}]), "storage shared is on 192.168.0.182, which is node proxmox02"),
    ("storage-outside-the-cluster", design(storages=[SHARED | {"server": "10.20.1.183"}]), "which is node proxmox03"),
    ("storage-outside-the-cluster", design(storages=[SHARED | {"server": "10.30.1.181"}]), "which is node proxmox01"),
    ("ha-two-candidates", design(guests=[EXISTING | {"ha": GUEST["ha"] | {"strict": True, "nodes": ["proxmox01"]}}]), "guest web may run on proxmox01 only"),
    ("guests-fit-after-a-failure", design(guests=[EXISTING | {"memoryMib": 3000}, GUEST]), "guest web fits on no node"),
    ("node-memory-stated", design(guests=[EXISTING]), "the memory of guest web is not known"),
    ("ha-three-votes", design(guests=[EXISTING], cluster=CLUSTER | {"votes": 2}), "guests under HA and 2 votes"),
    ("ha-two-candidates", ha(strict=True, nodes=["proxmox01"]), "guest vm01 may run on proxmox01 only"),
    *each("ha-two-candidates", HA_RULES, "HA rule r may run on pve1 only", rule="r", type="node-affinity", strict=True, nodes={"pve1": 1}),
    *each("ha-two-candidates", HA_GROUPS, "HA group g may run on pve1 only", group="g", restricted=True, nodes={"pve1": 1}),
    ("ha-two-candidates", Example(resources.HA_GROUP, {"group": "g", "restricted": True, "nodes": {}}), "HA group g may run on no node at all, so HA has nowhere to move it"),
    ("guest-agent-on", vm(), "VM subject has the guest agent off"),
    ("guest-agent-on", vm(GUEST_COMPONENT, agent={"enabled": False}), "VM subject has the guest agent off"),
    ("guest-kvm-off", design(templates=[TEMPLATE | {"kvm": True}]), "template debian-template has KVM on"),
    ("template-without-cd", vm(template=True, cdrom={"fileId": "local:iso/debian.iso"}), "template subject has local:iso/debian.iso"),
    ("template-without-cd", vm(template=True, cdrom={}), "template subject has the host's own CD drive"),
    ("template-without-cd", vm(template=True, cdrom={"fileId": "", "interface": "ide3"}), "template subject has the host's own CD drive"),
    ("template-without-cd", vm(template=True, cdrom={"fileId": "cdrom"}), "template subject has the host's own CD drive"),
    ("outer-host-not-overcommitted", host(memoryMib=6143), "have 6144 MiB of memory together, more than its 6143"),
    ("outer-host-not-overcommitted", host(diskGib=95), "have 96 GiB of disk together, more than its 95"),
    ("outer-host-not-overcommitted", design(nodes=[nested(1) | {"cores": 13}]), "node proxmox01 has 13 processors, more than the 12 of virtual"),
    ("outer-host-not-overcommitted", design(nodes=[nested(n) | {"cores": 12} for n in range(1, 6)], outerHosts=[OUTER_HOST | {"memoryMib": 99999, "diskGib": 999}]), "have 60 processors together, more than 4 times its 12 (coreFactor)"),
    ("guests-fit-after-a-failure", guests((1025, ()), (1024, ())), "when proxmox01 dies, 2048 MiB are left for guests on the other nodes, and they need 2049 MiB; each node keeps 1024 MiB for itself (reserveMib)"),
    ("guests-fit-after-a-failure", design(nodes=[existing(1), nested(2), nested(3)], guests=[GUEST | {"memoryMib": 3000}]), "when pve1 dies"),
    ("guests-fit-after-a-failure", guest(memoryMib=2048), "when proxmox01 dies, guest vm01 finds no node with the 2048 MiB that it needs: proxmox02 has 1024 MiB left, proxmox03 has 1024 MiB left; each node keeps 1024 MiB for itself (reserveMib)"),
    ("guests-fit-after-a-failure", guests((600, ()), (600, ()), (600, ())), "when proxmox01 dies, guest vm03 finds no node with the 600 MiB that it needs: proxmox02 has 424 MiB left, proxmox03 has 424 MiB left"),
    ("guests-fit-after-a-failure", guests((600, ("proxmox01", "proxmox02")), (600, ("proxmox01", "proxmox02"))), "when proxmox01 dies, guest vm02 finds no node with the 600 MiB that it needs: proxmox02 has 424 MiB left"),
    ("guests-fit-after-a-failure", design(nodes=[nested(1), nested(2), existing(3)], guests=[GUEST | {"memoryMib": 2000, "ha": GUEST["ha"] | {"strict": True, "nodes": ["proxmox01", "pve3"]}}]), "when pve3 dies, guest vm01 finds no node with the 2000 MiB that it needs: proxmox01 has 1024 MiB left"),
    ("guests-fit-after-a-failure", design(nodes=[nested(1), nested(2) | {"memoryMib": 512}, nested(3)], guests=[GUEST | {"memoryMib": 1025}]), "1024 MiB are left for guests on the other nodes, and they need 1025 MiB"),
    ("guests-fit-after-a-failure", replace(guests(*[(900, ("proxmox02", "proxmox03"))] * 2), rest=SOUND | {"nodes": [existing(1), nested(2), nested(3)]}), "when proxmox02 dies, guest vm02 finds no node with the 900 MiB that it needs: proxmox03 has 124 MiB left"),
    ("guests-fit-after-a-failure", guest(memoryMib=2049, ha=GUEST["ha"] | {"state": "stopped"}), "guest vm01 fits on no node: the largest that it may run on has 2048 MiB"),
    ("guests-fit-after-a-failure", design(nodes=[nested(1), existing(2, None)], guests=[GUEST | {"memoryMib": 2049, "ha": GUEST["ha"] | {"strict": True, "nodes": ["proxmox01"]}}]), "guest vm01 fits on no node"),
    ("guests-fit-after-a-failure", design(nodes=NODES[:1], guests=[GUEST | {"memoryMib": 4096}]), "guest vm01 fits on no node"),
    ("node-memory-stated", design(nodes=[{**existing(n), "memoryMib": None} for n in (1, 2)]), "the memory of pve1, pve2 is not known"),
    ("unique-vmids", BY_ID["unique-vmids"].bad, "vmid 100 is before-subject's already"),
    ("unique-macs", BY_ID["unique-macs"].bad, "MAC address BC:24:11:00:00:01 is on two of its cards"),
    ("dhcp-clear-of-static-addresses", replace(dhcp("10.10.1.10", "10.10.1.20"), rest=SOUND | {"guests": [GUEST | {"address": "10.10.1.15"}]}), "hands out 10.10.1.15,"),
    ("dhcp-clear-of-static-addresses", dhcp("10.10.1.10", "10.10.1.181"), "DHCP on vmbr1 of virtual hands out 10.10.1.181"),
    ("dhcp-clear-of-static-addresses", design(storages=[SHARED | {"server": "10.10.1.15"}]), "hands out 10.10.1.15,"),
    ("dhcp-clear-of-static-addresses", dhcp("10.10.1.1", "10.10.1.9"), "hands out 10.10.1.1,"),
    *((("tls-verified", Example(resources.PROVIDER, {"insecure": value}), "provider subject takes any certificate")) for value in ("true", "1", True)),
    ("tls-verified", Example(resources.PROVIDER, {"insecure": "true"}, parent=resources.HOST_PREP), "provider subject takes any certificate"),
    *each("ssh-host-keys-pinned", REMOTE, "pve1.example is not asked for its SSH host key", connection={"host": "pve1.example"}),
    ("ssh-host-keys-pinned", remote("command:remote:Command", hostKey=""), "pve1.example is not asked"),
    ("ssh-host-keys-pinned", remote("command:remote:Command", hostKey="ssh-ed25519 AAAA", proxy={"host": "bastion.example"}), "bastion.example is not asked for its SSH host key"),
    ("api-user-not-root", replace(vm(GUEST_COMPONENT), provider=ROOT_API), "it is made as root@pam"),
    *each("api-user-not-root", (*VMS, *CONTAINERS, *HA_RESOURCES, *HA_RULES, *HA_GROUPS), "it is made as root@pam", {"apiToken": "root@pam!ci=1-2-3"}),
    ("api-user-not-root", replace(vm(), provider={"authTicket": "PVE:root@pam:65A1B2C3::c2ln"}), "it is made as root@pam"),
    ("no-plain-secrets", design(plainSecrets=["proxmoxve:password"]), "proxmoxve:password is in the stack file without encryption"),
    ("nodes-and-storage-protected", design(protectNodes=False), "its seed proxmox01 among them, can be deleted"),
    *each("nodes-and-storage-protected", STORAGES, "storage nas can be deleted", resourceId="nas"),
    *each("nodes-and-storage-protected", VMS, "VM pve1, a node, can be deleted", name="pve1", tags=["Nested-PVE"]),
    ("enterprise-repository-subscribed", host(repository="enterprise"), "outer host virtual uses the enterprise repository"),
    ("enterprise-repository-subscribed", design(maintenance={"repository": "enterprise"}), "the nodes use the enterprise repository"),
    *each("enterprise-repository-subscribed", REPOSITORIES, "node pve1 uses the enterprise repository", node="pve1", handle="ceph-squid-enterprise"),
    *each("vm-names", VMS, "VM Web_01 has a name that is no DNS name", name="Web_01"),
    *(("vm-names", vm(name=name), f"VM {name} has a name that is no DNS name") for name in ("a" * 64, "web.", ".web", "a..b", "-web", "web-", "web.-a", "wéb", "web 01")),
    *each("guests-tagged", (*VMS, *CONTAINERS), "subject has no tag"),
    *each("guests-tagged", CONTAINERS, "subject has no tag", tags=[]),
]  # fmt: skip

PASSED: list[tuple[str, Example]] = [
    ("nested-virtualization-on", design(outerHosts=[])),
    ("nested-virtualization-on", Example(resources.HOST_PREP, {"host": "h", "nested": True})),
    ("nested-node-cpu-host", design(nodes=[existing(1)])),
    ("nested-node-cpu-host", vm(NODE, cpu={"type": "host"})),
    ("nested-node-cpu-host", vm(NODE, cpu={"type": "host", "flags": ["+hv-evmcs"]})),
    ("nested-node-cpu-host", vm(NODE, cpu={"type": "x86-64-v3", "flags": ["+aes", "+nested-virt"]})),
    ("nested-node-cpu-host", vm(GUEST_COMPONENT, cpu={"type": "qemu64"}, tags=["nested-pve-ha"])),
    ("nested-node-cpu-host", vm(cpu={"type": "qemu64"})),
    ("corosync-link-priorities", cluster(links=[link(n, f"10.{n}.0.0/24", None) for n in (1, 2)])),
    ("corosync-link-quiet", cluster(links=[link(0, "192.168.0.0/24", 5), LINKS[1]])),
    (
        "corosync-link-quiet",
        design(guests=[], cluster=CLUSTER | {"links": [link(0, "192.168.0.0/24", 9), LINKS[1] | {"priority": 5}]}),
    ),
    (
        "corosync-link-quiet",
        design(cluster={**CLUSTER, "migrationNetwork": None}),
    ),  # Proxmox takes the node's own address
    ("ha-three-votes", design(guests=[], cluster=CLUSTER | {"votes": 1})),
    ("no-node-decides-alone", design(nodes=NODES[:2], cluster=CLUSTER | {"votes": 2})),  # another rule's business
    ("no-node-decides-alone", design(nodes=[NODES[0] | {"votes": 2}, NODES[1]], guests=[])),
    (
        "no-node-decides-alone",
        design(nodes=[NODES[0] | {"votes": 2}, *NODES[1:], existing(4)], cluster=CLUSTER | {"votes": 5}),
    ),
    ("watchdog-present", design(nodes=[existing(1) | {"watchdog": "none"}], guests=[])),
    ("watchdog-hardware", design(nodes=NODES)),
    ("ha-guest-storage-shared", design(guests=[GUEST | {"storage": "nas"}], storages=[SHARED | {"name": "nas"}])),
    ("ha-two-candidates", ha(strict=False, nodes=["proxmox01"])),
    ("ha-two-candidates", Example(resources.HA_RULE, {"rule": "r", "type": "resource-affinity", "strict": True})),
    (
        "ha-two-candidates",
        Example(
            resources.HA_RULE,
            {"rule": "r", "type": "node-affinity", "strict": True, "disable": True, "nodes": {"a": 1}},
        ),
    ),
    ("ha-two-candidates", Example(resources.HA_GROUP, {"group": "g", "restricted": True, "nodes": {"a": 1, "b": 1}})),
    ("guest-agent-on", vm(template=True)),
    ("guest-agent-on", vm(NODE)),
    ("guest-kvm-off", design(nodes=[existing(1)], templates=[TEMPLATE | {"kvm": True}])),
    ("template-without-cd", vm(cdrom={"fileId": "local:iso/debian.iso"})),
    ("template-without-cd", vm(template=True)),
    ("outer-host-not-overcommitted", host(memoryMib=6144, diskGib=96)),
    ("outer-host-not-overcommitted", design(outerHosts=[OUTER_HOST | {"name": "other", "memoryMib": 1}])),
    ("guests-fit-after-a-failure", guest(memoryMib=1024)),
    ("guests-fit-after-a-failure", guests((1024, ()), (512, ()), (512, ()))),
    ("guests-fit-after-a-failure", guests((1000, ()), (1000, ("proxmox02", "proxmox01", "proxmox03")))),
    ("guests-fit-after-a-failure", guests((300, ()), (300, ()), (700, ()), (700, ()))),  # the large ones go first
    (
        "guests-fit-after-a-failure",  # each goes where it leaves the least room
        replace(
            guests((1000, ()), (700, ()), (700, ()), (600, ())),
            rest=SOUND | {"nodes": [nested(1), nested(2) | {"memoryMib": 3072}, nested(3) | {"memoryMib": 3072}]},
        ),
    ),
    ("guests-fit-after-a-failure", guests((1024, ()), (200, ("proxmox01", "proxmox02")))),  # the bound one goes first
    ("guests-fit-after-a-failure", guests((600, ("proxmox01",)))),  # another rule's business, too
    ("guests-fit-after-a-failure", design(nodes=NODES[:1])),  # nobody is left
    ("guests-fit-after-a-failure", guest(memoryMib=2048, ha=GUEST["ha"] | {"state": "stopped"})),
    ("guests-fit-after-a-failure", design(nodes=[nested(1), existing(2, None)], guests=[GUEST | {"memoryMib": 2049}])),
    ("node-memory-stated", design(nodes=[{**existing(1), "memoryMib": None}], guests=[])),
    ("dhcp-clear-of-static-addresses", dhcp("10.10.1.10", "10.10.1.180")),
    ("tls-verified", Example(resources.PROVIDER, {"insecure": "false"})),
    ("ssh-host-keys-pinned", remote("command:remote:CopyFile", hostKey="ssh-ed25519 AAAA")),
    (
        "ssh-host-keys-pinned",
        remote("command:remote:Command", hostKey="a", proxy={"host": "bastion.example", "hostKey": "b"}),
    ),
    ("api-user-not-root", replace(vm(NODE), provider=ROOT_API)),
    (
        "api-user-not-root",
        replace(vm(), provider={"authTicket": "PVE:ci@pve:65A1B2C3::c2ln", "apiToken": "ci@pve!up=1-2-3"}),
    ),
    ("api-user-not-root", replace(vm(GUEST_COMPONENT), provider={"username": "pulumi@pve"})),
    ("nodes-and-storage-protected", design(nodes=[existing(1)], protectNodes=False)),
    ("nodes-and-storage-protected", Example(resources.STORAGE, {"resourceId": "nas"}, protect=True)),
    ("nodes-and-storage-protected", Example(resources.VM, {"name": "pve1", "tags": ["nested-pve"]}, protect=True)),
    ("nodes-and-storage-protected", Example(resources.VM, {"name": "web", "tags": ["shop"]})),
    ("nodes-and-storage-protected", Example(resources.STORAGE, {}, parent=resources.COROSYNC_CLUSTER)),
    ("vm-names", Example(resources.VM, {}, {})),
    *(("vm-names", vm(name=name)) for name in ("web01.example.com", "Web01", "9", "a" * 63, f"{'a' * 63}.b")),
    ("guests-tagged", vm(NODE)),
]

# Settings that turn a refusal into a pass; of stack files: test_one_truth.py.
ALLOWED: list[tuple[str, Example, dict[str, Any]]] = [
    ("nested-node-cpu-host", vm(tags=["nested-pve"]), {"tags": ["inner"]}),
    ("nodes-and-storage-protected", vm(tags=["nested-pve"]), {"tags": ["inner"]}),
]

# What a setting's schema is made of, and the Python type of a default.
KEYWORDS = {"type", "default", "description", "items", "enum", "minimum", "maximum"}
TYPES = {"array": (list,), "number": (int, float), "string": (str,), "boolean": (bool,)}
# One kind of traffic on the first link, each.
TRAFFIC = {
    "guests": cluster(links=[link(0, "192.168.0.0/24", 20), LINKS[1]]),
    "migration": design(guests=[], cluster=CLUSTER | {"migrationNetwork": "10.10.1.0/24"}),
    "storage": design(guests=[], storages=[SHARED | {"server": "10.10.1.7"}]),
}


@every_rule
def test_its_bad_example_is_refused_with_the_fix(rule: Rule) -> None:
    findings = analyze(rule, rule.bad)
    assert findings
    for finding in findings:
        wanted = EnforcementLevel.ADVISORY if rule.level == EnforcementLevel.ADVISORY else EnforcementLevel.MANDATORY
        assert finding.level == wanted
        assert finding.message.startswith(f"{rule.demands}\nsubject: ")
        assert finding.message.endswith(f". {rule.fix}")


@every_rule
def test_its_good_example_passes_it_and_all_mandatory_ones(rule: Rule) -> None:
    assert analyze(rule, rule.good) == []
    mandatory = [other for other in RULES if other.level == EnforcementLevel.MANDATORY]
    assert {other.id: found for other in mandatory if (found := analyze(other, rule.good))} == {}


@every_rule
def test_what_is_not_known_yet_is_advice(rule: Rule) -> None:
    """Whether a part of the resource is not known as a whole, or each value in it."""
    hidden = [
        replace(rule.bad, special={**rule.bad.special, part: unknown})
        for part, value in rule.bad.special.items()
        for unknown in (UNKNOWN_STRING, _unknown_leaves(value))
    ]
    if rule.bad.provider:
        hidden.append(replace(rule.bad, provider=_unknown_leaves(dict(rule.bad.provider))))
    assert hidden
    for example in hidden:
        findings = analyze(rule, example)
        assert [finding.level for finding in findings] == [EnforcementLevel.ADVISORY], example.special
        assert "can't be known during preview" in findings[0].message


def _unknown_leaves(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unknown_leaves(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unknown_leaves(item) for item in value]
    return UNKNOWN_STRING


@every_rule
def test_other_resources_are_none_of_its_business(rule: Rule) -> None:
    assert analyze(rule, replace(rule.bad, type="proxmoxve:cluster/options:Options")) == []
    assert analyze(rule, rule.bad) != []


@every_rule
def test_its_cases_notice_when_it_is_gone(rule: Rule) -> None:
    """The mutation check: a rule that judges nothing fails its own tests."""
    dumb = replace(rule, judges={})
    with pytest.raises(AssertionError):
        test_its_bad_example_is_refused_with_the_fix(dumb)
    assert [case for case in REFUSED if case[0] == rule.id]


@every_rule
def test_each_type_of_resource_that_it_judges_has_a_case_that_is_refused(rule: Rule) -> None:
    of_two = rule.judges if rule.id in OF_TWO else ()
    assert {example.type for name, example, _ in REFUSED if name == rule.id} | set(of_two) == set(rule.judges)


@pytest.mark.parametrize(("rule", "example", "said"), REFUSED)
def test_it_is_refused_and_named(rule: str, example: Example, said: str) -> None:
    (finding,) = analyze(BY_ID[rule], example)
    assert said in finding.message


@pytest.mark.parametrize(("rule", "example"), PASSED)
def test_it_passes(rule: str, example: Example) -> None:
    assert analyze(BY_ID[rule], example) == []


@pytest.mark.parametrize(("rule", "example", "settings"), ALLOWED)
def test_a_setting_allows_it(rule: str, example: Example, settings: dict[str, Any]) -> None:
    assert analyze(BY_ID[rule], example) != []
    assert analyze(BY_ID[rule], example, settings) == []


def test_the_agent_is_turned_on_and_nothing_waits_or_reboots_for_it() -> None:
    rule = BY_ID["guest-agent-on"]
    off = vm(agent={"enabled": False, "type": "virtio"}, onBoot=True, memory={"dedicated": 512})
    mended = remediate(rule, off)
    assert mended == {
        **off.props,
        "agent": {"enabled": True, "type": "virtio", "waitForIp": {"disabled": True}},
        "rebootAfterUpdate": False,
    }
    assert analyze(rule, replace(off, special=mended)) == []
    for right in (replace(off, special=mended), vm(NODE), vm(template=True), Example(resources.STORAGE, {})):
        assert remediate(rule, right) == dict(right.props)


def test_what_the_program_says_about_the_agent_stays() -> None:
    rule = BY_ID["guest-agent-on"]
    waiting = vm(agent={"enabled": False, "waitForIp": {"ipv4": True}}, rebootAfterUpdate=True)
    assert remediate(rule, waiting) == {
        **waiting.props,
        "agent": {"enabled": True, "waitForIp": {"ipv4": True}},
    }


def test_defaults_of_the_provider_are_not_what_the_program_says() -> None:
    """The provider's bridge writes them into the inputs, and lists them; the next run would keep a listed one as it is."""
    defaults = ["agent", "onBoot", "rebootAfterUpdate"]
    plain = vm(agent={"enabled": False, "trim": False}, onBoot=True, rebootAfterUpdate=True, __defaults=defaults)
    assert remediate(BY_ID["guest-agent-on"], plain) == {
        **plain.props,
        "agent": {"enabled": True, "trim": False, "waitForIp": {"disabled": True}},
        "rebootAfterUpdate": False,
        "__defaults": ["onBoot"],
    }
    nested = vm(agent={"enabled": False, "trim": False, "__defaults": ["enabled", "trim"]})
    assert remediate(BY_ID["guest-agent-on"], nested)["agent"]["__defaults"] == ["trim"]


def test_secrets_stay_secret_when_the_agent_is_turned_on() -> None:
    with_secrets = vm(
        description=secret("who pays"),
        initialization={"userAccount": {"username": "root", "password": secret("in-the-clear")}},
        agent={"enabled": False, "timeout": secret("5m")},
    )
    mended = remediate(BY_ID["guest-agent-on"], with_secrets)
    assert mended == {
        **with_secrets.props,
        "agent": {"enabled": True, "timeout": secret("5m"), "waitForIp": {"disabled": True}},
        "rebootAfterUpdate": False,
    }
    whole = vm(agent=secret({"enabled": False}))
    wanted = secret({"enabled": True, "waitForIp": {"disabled": True}})
    assert remediate(BY_ID["guest-agent-on"], whole)["agent"] == wanted


@pytest.mark.parametrize(
    "unknown",
    [
        {"agent": UNKNOWN_STRING},
        {"agent": secret(UNKNOWN_STRING)},
        {"agent": {"enabled": UNKNOWN_STRING}},
        {"template": UNKNOWN_STRING},
    ],
    ids=["agent", "secret agent", "agent.enabled", "template"],
)
def test_an_agent_that_is_not_known_yet_is_left_alone_and_told(unknown: dict[str, Any]) -> None:
    example = vm(**unknown)
    assert remediate(BY_ID["guest-agent-on"], example) == dict(example.props)
    (advice,) = analyze(BY_ID["guest-agent-on"], example)
    assert advice.level == EnforcementLevel.ADVISORY
    assert "can't be known during preview" in advice.message


def test_a_remedy_that_reads_what_is_not_known_changes_nothing() -> None:
    """However deep it is, and whatever the remedy would have made of it."""
    deep = vm(disks=[{"size": 8}, {"size": UNKNOWN_STRING}], agent={"enabled": False})
    reads = replace(BY_ID["guest-agent-on"], remedy=lambda vm: {"description": str(vm.props["disks"][1]["size"])})
    assert remediate(reads, deep) == dict(deep.props)
    known = replace(BY_ID["guest-agent-on"], remedy=lambda vm: {"description": str(vm.props["disks"][0]["size"])})
    assert remediate(known, deep) == {**deep.props, "description": "8.0"}


def test_what_else_is_not_known_yet_does_not_keep_the_agent_off() -> None:
    unknown = vm(name=UNKNOWN_STRING, agent={"enabled": False}, rebootAfterUpdate=UNKNOWN_STRING)
    mended = remediate(BY_ID["guest-agent-on"], unknown)
    assert mended == {**unknown.props, "agent": {"enabled": True, "waitForIp": {"disabled": True}}}


def test_rules_have_names_of_their_own_and_say_what_they_are_for() -> None:
    assert len(BY_ID) == len(RULES)
    for rule in RULES:
        for text in (rule.demands, rule.protects, rule.fix):
            assert text.endswith("."), rule.id
        for schema in rule.settings.values():
            assert {"type", "default", "description"} <= set(schema) <= KEYWORDS, rule.id
            assert type(schema["default"]) in TYPES[schema["type"]], rule.id


def test_a_connection_that_is_not_known_yet_is_named() -> None:
    (finding,) = analyze(BY_ID["ssh-host-keys-pinned"], Example(resources.REMOTE_COMMAND, {"connection": {"host": ""}}))
    assert finding.level == EnforcementLevel.ADVISORY
    assert "'connection'" in finding.message or ".connection " in finding.message, finding.message


def test_traffic_is_allowed_by_the_names_that_the_rule_gives_it() -> None:
    """The engine refuses other words in a setting."""
    rule = BY_ID["corosync-link-quiet"]
    items = rule.settings["allowed"]["items"]
    assert items["type"] == "string"
    assert set(items["enum"]) == TRAFFIC.keys()
    for traffic, example in TRAFFIC.items():
        assert analyze(rule, example) != []
        assert analyze(rule, example, {"allowed": [traffic]}) == []


def test_the_types_that_are_judged_are_those_of_the_sdks() -> None:
    tokens = {
        token
        for value in vars(resources).values()
        for token in ([value] if isinstance(value, str) else value if isinstance(value, tuple) else [])
        if token.startswith(("proxmoxve:", "command:"))
    }
    assert len(tokens) > len(STORAGES)
    assert tokens <= {*published("pulumi_proxmoxve", "proxmoxve:"), *REMOTE}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return run(stack_file("dev"), tmp_path_factory.mktemp("program"))


def test_the_program_and_the_rules_mean_the_same_properties(recording: Recording, tmp_path: Path) -> None:
    assert judged(recording) == set()
    bad = copy.deepcopy(stack_file("dev"))
    bad["outerHosts"][0]["nested"] = False
    bad["nodes"][1]["cpuType"] = "kvm64"
    bad["cluster"]["links"].pop()
    for node in bad["nodes"]:
        node["links"].pop()
    assert judged(run(bad, tmp_path)) == {
        ("design", "nested-virtualization-on"),
        ("virtual", "nested-virtualization-on"),
        ("design", "nested-node-cpu-host"),
        ("proxmox02-vm", "nested-node-cpu-host"),
        ("design", "corosync-two-links"),
        ("cluster", "corosync-two-links"),
    }


def test_the_pack_never_imports_the_program() -> None:
    """It runs in a process of its own, and must judge what the program registered, not what it would compute."""
    code = "import sys; sys.path.insert(0, 'policy'); import pve_policies; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "pve_policies" in loaded
    assert not loaded & {"config", "components", "onnode", "cluster", "cli", "pulumi_proxmoxve", "pulumi_command"}
