"""What a stack file can say of a member: read, and nothing touched, not even to try whether /etc/pve takes a write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cluster.reports import read
from onnode.cluster import inventory
from onnode.contract.documents import document
from onnode.contract.inventory import FoundGuest, FoundInterface, Inventory
from onnode.system.machine import Result
from tests.unit.onnode.test_cluster import PVE_CONF, conf

if TYPE_CHECKING:
    from tests.support.fake_machine import FakeMachine

FILES = {
    "/proc/sys/kernel/hostname": "proxmox02\n",
    "/proc/self/mounts": "/dev/fuse /etc/pve fuse rw 0 0\n",
    "/proc/meminfo": "MemTotal:       16384000 kB\n",
    "/etc/hosts": "192.168.0.186 proxmox02.lab.internal proxmox02\n",
    "/etc/resolv.conf": "nameserver 192.168.0.1\n",
    "/etc/default/pve-ha-manager": "# select watchdog module (default is softdog)\n#WATCHDOG_MODULE=other_wdt\nWATCHDOG_MODULE=iTCO_wdt\n",
    PVE_CONF: conf(1, 2) + "\nquorum {\n device {\n  model: net\n  net {\n   host: 192.168.0.9\n  }\n }\n}\n",
    "/etc/pve/.members": '{"nodelist": {"proxmox02": {"online": 1, "ip": "192.168.0.186"}}}',
    "/etc/pve/storage.cfg": "dir: local\n",
    "/etc/pve/ha/resources.cfg": "vm: 200\n",
    "/etc/pve/ha/rules.cfg": "node-affinity: near\n",
    "/etc/pve/priv/known_hosts": "proxmox01 ssh-rsa OLD\nproxmox03 ssh-rsa THIRD\n",
    "/etc/pve/nodes/proxmox01/ssh_known_hosts": "proxmox01 ssh-rsa NEW\nproxmox03 ssh-rsa NOT-ITS-OWN\n",
    "/etc/pve/nodes/proxmox01/qemu-server/200.conf": "name: web\ntags: nested-pve-ha;stack-home\ntemplate: 1\n",
    "/etc/pve/nodes/proxmox02/lxc/101.conf": "hostname: dns\n",
    "/etc/pve/nodes/proxmox02/lxc/101.conf.tmp": "",
}
ADDRESSES = json.dumps(
    [{"ifname": "eth1", "mtu": 9000, "addr_info": [{"family": "inet", "local": "10.10.1.186", "prefixlen": 24}]}]
)
ROUTES = json.dumps([{"dst": "default", "gateway": "192.168.0.1", "dev": "vmbr0"}])
KNOWN = "# Host 192.168.0.9 found: line 1\n|1|salt|hash ssh-ed25519 WITNESS\n"


@pytest.fixture
def member(machine: FakeMachine) -> FakeMachine:
    for path, text in FILES.items():
        machine.write(path, text)
    machine.programs |= {
        "stat": lambda *_: "",
        "getent": lambda *_: "",
        "dpkg-query": lambda *_: "installed 9.1.2\n",
        "corosync-quorumtool": lambda *_: "Quorate:          Yes\nExpected votes:   3\n",
        "ip": lambda arguments, _stdin: ROUTES if "route" in arguments else ADDRESSES,
        "ssh-keygen": lambda *_: KNOWN,
    }
    return machine


def look(machine: FakeMachine) -> Inventory:
    seen = inventory.observe(machine)
    assert inventory.STEP.decide(seen, None) == []
    told: dict[str, Any] = json.loads(json.dumps(inventory.STEP.facts(seen, None)))
    assert read(Inventory, seen.node, told) == seen
    return seen


def test_a_member_tells_what_a_stack_file_says(member: FakeMachine) -> None:
    seen = look(member)
    assert (seen.node, seen.pve_major, seen.memory_mib, seen.watchdog) == ("proxmox02", 9, 16000, "iTCO_wdt")
    assert (seen.gateway, seen.name_servers, seen.domain) == ("192.168.0.1", ["192.168.0.1"], "lab.internal")
    assert seen.conf is not None
    assert [node.name for node in seen.conf.nodes] == ["proxmox01", "proxmox02"]
    assert seen.quorum is not None
    assert seen.quorum.quorate
    assert seen.addresses == {"proxmox02": "192.168.0.186"}
    assert seen.interfaces == [FoundInterface("eth1", ["10.10.1.186/24"], 9000)]
    assert (seen.storages, seen.resources) == ("dir: local\n", "vm: 200\n")
    assert (seen.rules, seen.groups) == ("node-affinity: near\n", "")
    assert seen.guests == [
        FoundGuest("ct", 101, "proxmox02", "dns", memory_mib=512),
        FoundGuest("vm", 200, "proxmox01", "web", ["nested-pve-ha", "stack-home"], template=True, memory_mib=512),
    ]
    assert inventory.STEP.unchanged(seen, None) == "proxmox02: member of proxmox"


def test_a_nodes_own_file_is_newer_than_the_one_for_all_and_speaks_of_itself_only(member: FakeMachine) -> None:
    assert look(member).host_keys == {"proxmox01": "ssh-rsa NEW", "proxmox03": "ssh-rsa THIRD"}


def test_the_witness_is_known_by_the_key_with_which_root_knows_it(member: FakeMachine) -> None:
    assert look(member).witness_key == "ssh-ed25519 WITNESS"
    assert "ssh-keygen -F 192.168.0.9 -f /root/.ssh/known_hosts" in member.commands
    member.programs["ssh-keygen"] = lambda *_: Result(("ssh-keygen",), 1)
    assert look(member).witness_key is None


def test_nothing_is_written_and_no_write_is_tried(member: FakeMachine) -> None:
    before = {path: path.read_bytes() for path in member.path("/").rglob("*") if path.is_file()}
    look(member)
    assert {path: path.read_bytes() for path in member.path("/").rglob("*") if path.is_file()} == before
    assert {command.split()[0] for command in member.commands} <= {
        "stat",
        "getent",
        "dpkg-query",
        "corosync-quorumtool",
        "ip",
        "ssh-keygen",
    }


def test_a_node_whose_pmxcfs_does_not_run_is_in_no_cluster_that_can_be_read(member: FakeMachine) -> None:
    member.write("/proc/self/mounts", "")
    seen = look(member)
    assert (seen.conf, seen.addresses, seen.host_keys, seen.guests, seen.storages) == (None, {}, {}, [], "")
    assert inventory.STEP.unchanged(seen, None) == "proxmox02: stand-alone"
    assert document(seen)["pve_major"] == 9


@pytest.mark.parametrize(
    ("text", "memory"), [("memory: 2048", 2048), ("memory: current=4096,max=8192", 4096), ("cores: 2", 512)]
)
def test_where_a_guest_can_go_and_what_it_needs_is_told_without_its_configuration(
    member: FakeMachine, text: str, memory: int
) -> None:
    member.write("/etc/pve/replication.cfg", "local: 200-0\n\ttarget proxmox02\n")
    member.write("/etc/pve/storage.cfg", "zfspool: tank\n\tpool t\n")
    disks = f"{text}\nscsi0: tank:x\nscsi1: local:y\ncipassword: secret\n"
    member.write("/etc/pve/nodes/proxmox01/qemu-server/200.conf", disks)
    seen = next(one for one in look(member).guests if one.id == 200)
    assert (seen.memory_mib, seen.nodes) == (memory, ["proxmox01", "proxmox02"])
    assert seen.obstacles == ["scsi1 is on local, which is not shared"]
    assert "secret" not in json.dumps(inventory.STEP.facts(inventory.observe(member), None))
