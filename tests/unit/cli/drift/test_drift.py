"""What drifted: asked of the right machine, judged from what it says, and recorded so that the engine acts on it."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import os
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cli.drift import guest_locks, images, intact_images, judge, look, power, provided, questions, record
from cli.drift.comparing import Difference
from cli.drift.kinds import (
    ADDED_CARD,
    ADDED_DISK,
    ADDED_LIMIT,
    LOCKED,
    MEMBERSHIP,
    OFF,
    PACKAGE,
    PASSING,
    PORTS,
    PROVIDED,
    REFUSED,
    REMADE,
    STEP,
)
from cli.drift.look import Answer
from cli.drift.model import ADDRESS_DOWN, Drift
from cli.run import drifted
from cli.status.model import Finding
from cli.status.verdict import behind_ones_back, passing
from cluster.contract import ClusterChange, Machine, QDeviceSetting
from cluster.transport import shipped
from cluster.transport.ssh import Completed
from components.recorded import (
    ADMIN,
    BRIDGE_TYPE,
    FILE_TYPE,
    LOCAL_STEP,
    ON_NODE,
    OPTIONS_TYPE,
    PACKAGE_TYPE,
    REMOTE_STEP,
    RESOURCE_TYPE,
    RULE_TYPE,
    VM_TYPE,
)
from onnode.cluster.corosync import Device
from onnode.contract.documents import document
from onnode.contract.look import Refusal, StepLook
from onnode.contract.membership import Membership
from tests.unit.cluster.test_existing_guests import WANTED as EXISTING_GUEST
from tests.unit.cluster.test_guests import CONTAINER, TEMPLATE
from tests.unit.cluster.worlds import listed, members

if TYPE_CHECKING:
    from pathlib import Path

    from cli.description import Description

HOST = "urn:pulumi:dev::p::nested-pve-ha:index:HostPrep::virtual"
NODE = "urn:pulumi:dev::p::nested-pve-ha:index:NestedPveNode::proxmox01"
CLUSTER = "urn:pulumi:dev::p::nested-pve-ha:index:CorosyncCluster::cluster"
MEMBERS = [document(member) for member in members(3)]
MACHINES = [{key: member[key] for key in ("name", "address", "host_key")} for member in MEMBERS]
API = {"endpoint": "https://pve:8006", "user": "pulumi@pve", "tls": "pinned"}
STORAGE = {"stack_tag": "stack-dev", "name": "shared", "server": "10.0.0.1", "export": "/srv", "contents": ["images"]}
MACHINE = {"name": "proxmox02", "address": "192.168.0.186", "host_key": "ssh-ed25519 AAAA"}
NETWORK = {"name": "proxmox02", "address": "192.168.0.186", "pve_major": 9, "interfaces": []}
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}
WORKING = Membership("proxmox01", "member", quorate=True)


def there(name: str, step: str, parent: str, stdin: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    inputs = {"create": f"{ON_NODE} {step}", "stdin": stdin}
    return {
        "urn": f"urn::{name}",
        "type": REMOTE_STEP,
        "parent": parent,
        "inputs": inputs,
        "outputs": dict(inputs),
    }


def here(name: str, step: str, wanted: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    inputs = {"create": f"{ADMIN} {step}", "stdin": json.dumps(wanted), "environment": SECRET}
    return {
        "urn": f"urn::{name}",
        "type": LOCAL_STEP,
        "parent": CLUSTER,
        "inputs": inputs,
        "outputs": dict(inputs),
    }


def package(name: str, parent: str) -> dict[str, Any]:
    source = {"hash": "abc", "path": ".nested-pve/package/onnode"}
    inputs = {"source": source, "remotePath": "/var/lib/nested-pve-ha"}
    return {"urn": f"urn::{name}", "type": PACKAGE_TYPE, "parent": parent, "inputs": inputs, "outputs": {}}


STATE: dict[str, Any] = {
    "deployment": {
        "resources": [
            package("virtual-package", HOST),
            there("virtual-dhcp", "dhcp", HOST, '{"stack": "dev", "bridges": []}'),
            there("other-dhcp", "dhcp", HOST.replace("virtual", "another"), "{}"),
            there("proxmox01-install", "install-node", NODE, SECRET),
            there("proxmox01-prepare", "prepare-node", NODE, '{"upgrade": true}'),
            here(
                "cluster-api-user",
                "api-user",
                {"members": MACHINES, "api": API, "stack_tag": "stack-dev", "role": "Administrator"},
            ),
            here("cluster-storage-shared", "storage", {"members": MACHINES, "storage": STORAGE}),
            here("cluster-join", "join-node", {"cluster": "c", "joiner": MEMBERS[1], "present": [], "timeout_s": 9}),
            here("ct01-container", "container", document(CONTAINER)),
            here("template", "template", document(TEMPLATE)),
            here("proxmox02-network", "node-network", {"machine": MACHINE, "network": NETWORK}),
            here("other-network", "node-network", {"machine": {**MACHINE, "name": "other"}, "network": NETWORK}),
        ]
    }
}


def planned() -> questions.Questions:
    return questions.of(STATE, ["virtual", "proxmox01", "proxmox02"], "secret")


def test_each_step_is_asked_on_its_machine_and_what_is_not_described_is_not() -> None:
    asked = planned()
    assert {name: [one.step for one in steps] for name, steps in asked.there.items()} == {
        "virtual": ["dhcp"],
        "proxmox01": ["prepare-node"],
        "proxmox02": ["node-network"],
    }
    assert json.loads(asked.there["proxmox02"][0].desired) == NETWORK
    assert json.loads(asked.there["proxmox01"][0].desired) == {"upgrade": False}
    assert asked.packages == {"virtual": "urn::virtual-package"}
    assert [(one.step, json.loads(one.desired).get("password")) for one in asked.cluster] == [
        ("api-user", "secret"),
        ("storage", None),
    ]


def test_the_host_of_a_node_that_does_not_answer_is_asked_whether_it_is_off(dev: Description) -> None:
    """The step that installed it starts it again; its input is secret, so it cannot be asked itself."""
    asked = planned()
    assert asked.installations == {"proxmox01": "urn::proxmox01-install"}
    questions = power.questions(dev, asked, "virtual", ["proxmox01", "proxmox02"])
    assert [(one.name, one.step, json.loads(one.desired)["vmid"]) for one in questions] == [
        ("urn::proxmox01-install", "vm-power", 101)
    ]
    assert power.questions(dev, asked, "virtual", []) == []
    assert power.questions(dev, asked, "other", ["proxmox01"]) == []
    # One that is not described any more is not started: it goes, or has gone.
    without = replace(dev, config=dev.config.model_copy(update={"nodes": dev.config.nodes[1:]}))
    assert power.questions(without, asked, "virtual", ["proxmox01", "proxmox02"]) == []


def test_a_node_that_is_off_is_named_itself_and_not_its_host(dev: Description) -> None:
    """`virtual: start proxmox01` read like an order, and named another machine than the one that is off."""
    asked = planned()
    told = {"virtual": Answer([said("proxmox01-install", "start proxmox01: VM 101 is powered off")])}
    urn = "urn::proxmox01-install"
    assert list(power.off(dev, asked, told)) == [Drift(urn, "proxmox01", "its VM 101 on virtual is powered off", OFF)]
    assert judge.drift(asked, told, None, ["virtual"]) == []
    on = {"virtual": Answer([said("proxmox01-install")])}
    assert list(power.off(dev, asked, on)) == list(power.off(dev, asked, {})) == []
    refused = {"virtual": Answer([said("proxmox01-install", code="internal", what="cannot look", next="report it")])}
    assert list(power.off(dev, asked, refused)) == []
    assert [one.what for one in judge.drift(asked, refused, None, ["virtual"])] == ["cannot look"]


def said(name: str, *actions: str, **refusal: Any) -> StepLook:  # noqa: ANN401 - fields of a refusal
    return StepLook(f"urn::{name}", list(actions), Refusal(**refusal) if refusal else None)


GUESTS = {
    "/etc/pve/nodes/a/lxc/300.conf": "hostname: ct01\ncores: 1\nmemory: 600\nswap: 0\ntags: nested-pve-ha;stack-dev\n"
    "net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CC,ip=dhcp,type=veth\n"
    "rootfs: shared:300/vm-300-disk-0.raw,size=1G\n",
}


def test_everything_that_is_said_becomes_drift_of_its_resource() -> None:
    answers = {
        "virtual": Answer([said("virtual-dhcp", "start vmbr1 (inactive)")], ["a.py", "b.py", "c.py", "d.py"]),
        "proxmox01": Answer(
            [
                said("proxmox01-prepare", code="hostname", what="another name", observed="x", next="rename it"),
                said("cluster-api-user", "add pulumi@pve"),
            ],
            files=GUESTS,
            membership=WORKING,
        ),
        "proxmox02": Answer(membership=Membership("proxmox02", "absent")),
    }
    found = judge.drift(planned(), answers, "proxmox01", ["virtual"])
    assert {(one.name, one.kind): (one.where, one.what, one.next) for one in found} == {
        ("virtual-package", PACKAGE): (
            "virtual",
            "/var/lib/nested-pve-ha/onnode: a.py, b.py, c.py and 1 more missing, or other than in this checkout",
            "",
        ),
        ("virtual-dhcp", STEP): ("virtual", "not as described, to do: start vmbr1 (inactive)", ""),
        ("proxmox01-prepare", REFUSED): ("proxmox01", "another name (x)", "rename it"),
        ("cluster-api-user", STEP): ("cluster", "not as described, to do: add pulumi@pve", ""),
        ("cluster-join", MEMBERSHIP): ("proxmox02", "it is no member of a cluster", ""),
        ("ct01-container", STEP): ("cluster", "a: /etc/pve/lxc/300.conf: memory 600", ""),
        ("template", STEP): ("cluster", "debian-template (9000) is gone", ""),
    }


VERIFIED = {"members": MACHINES, "api": API, "sid": "vm:200", "state": "started", "nodes": [], "timeout_s": 9}


@pytest.mark.parametrize(
    ("status", "wanted", "told"),
    [
        ('{"service_status": {"vm:200": {"state": "error"}, "ct:1": {"state": "started"}}}', "started", True),
        ('{"service_status": {"vm:200": {"state": "error"}}}', "stopped", False),
        ('{"service_status": {"vm:200": {"state": "started"}, "ct:1": {"state": "error"}}}', "started", False),
        ('{"service_status": {', "started", False),
        ("", "started", False),
    ],
)
def test_a_guest_that_ha_has_given_up_is_drift(status: str, wanted: str, *, told: bool) -> None:
    state = {"deployment": {"resources": [here("vm01-verify-guest", "verify-guest", {**VERIFIED, "state": wanted})]}}
    answers = {"proxmox01": Answer(files={judge.MANAGER_STATUS: status}, membership=WORKING)}
    found = judge.drift(questions.of(state, ["proxmox01"], "secret"), answers, "proxmox01", [])
    drift = Drift("urn::vm01-verify-guest", "cluster", "HA has given up vm:200: it is in state error")
    assert found == ([drift] if told else [])


@pytest.mark.parametrize(
    ("size", "kind", "what"),
    [
        (4, None, ""),
        (2, STEP, "a: /etc/pve/qemu-server/200.conf: scsi0 vm-200-disk-0.raw,size=2G"),
        (8, REFUSED, "the disk of guest 200 is not as described, and disks only grow (scsi0 8 GiB)"),
    ],
)
def test_a_disk_of_another_size_is_drift_and_a_larger_one_stays(size: int, kind: str | None, what: str) -> None:
    wanted = {"members": MACHINES, "api": API, "stack_tag": "t", "vmid": 200, "name": "vm01", "disk_gib": 4}
    asked = questions.of({"deployment": {"resources": [here("vm01-guest-disk", "guest-disk", wanted)]}}, [], "secret")
    files = {"/etc/pve/nodes/a/qemu-server/200.conf": f"scsi0: vm-200-disk-0.raw,size={size}G\n"}
    found = judge.drift(asked, {"a": Answer(files=files, membership=WORKING)}, "a", [])
    assert [(one.kind, one.what) for one in found] == ([(kind, what)] if kind else [])
    gone = judge.drift(asked, {"a": Answer(files={}, membership=WORKING)}, "a", [])
    assert gone == [], "its VM has a line of its own"


@pytest.mark.parametrize(
    ("resources", "kind", "what"),
    [
        ("vm: 210\n\tcomment stack-home\n", None, ""),
        ("vm: 210\n", None, ""),
        ("", STEP, "not as described, to do: vm:210 is put under HA"),
        ("vm: 210\n\tstate stopped\n\tcomment stack-home\n", STEP, "HA resource vm:210: state started"),
        ("vm: 210\n\tstate stopped\n", REFUSED, "state of the HA resource is stopped, described: started"),
    ],
)
def test_an_existing_guest_that_left_ha_is_drift_and_what_others_set_is_refused(
    resources: str, kind: str | None, what: str
) -> None:
    step = here("web-existing-guest", "existing-guest", document(EXISTING_GUEST))
    asked = questions.of({"deployment": {"resources": [step]}}, [], "secret")
    files = {
        "/etc/pve/storage.cfg": "nfs: shared\n",
        "/etc/pve/ha/resources.cfg": resources,
        "/etc/pve/nodes/a/qemu-server/210.conf": "name: web\nscsi0: shared:210/x.raw\n",
    }
    found = judge.drift(asked, {"a": Answer(files=files, membership=WORKING)}, "a", [])
    assert [one.kind for one in found] == ([kind] if kind else [])
    assert all(what in one.what for one in found)


@pytest.mark.parametrize("qdevice", [True, False])
def test_under_a_qdevice_a_node_that_was_installed_anew_has_it_removed_and_set_up_again(*, qdevice: bool) -> None:
    """The number of nodes never changes under a QDevice; without one, votes and links are no matter of a join."""
    change = ClusterChange("c", "dev", members(2), {}, {}, 9)
    setting = QDeviceSetting("c", members(2), Machine("witness", "192.168.0.106", "key"), Device("192.168.0.106", 1), 9)
    steps = [
        here("design-identity", "identity", document(change)),
        here("cluster-change", "change-cluster", document(change)),
        here("cluster-join", "join-node", {"cluster": "c", "joiner": MEMBERS[1], "present": [], "timeout_s": 9}),
        *([here("cluster-qdevice", "set-qdevice", document(setting))] if qdevice else []),
        here("cluster-api-user", "api-user", {"members": MACHINES, "api": API, "stack_tag": "t", "role": "r"}),
    ]
    asked = questions.of({"deployment": {"resources": steps}}, ["proxmox01", "proxmox02"], "secret")
    working = replace(WORKING, nodes=[listed(1), listed(2)])
    answers = {
        "proxmox01": Answer(membership=working),
        "proxmox02": Answer(membership=Membership("proxmox02", "absent")),
    }
    found = judge.drift(asked, answers, "proxmox01", [])
    again = {"design-identity", "cluster-join", *(("cluster-change", "cluster-qdevice") if qdevice else ())}
    assert {(one.name, one.where, one.kind) for one in found} == {(name, "proxmox02", MEMBERSHIP) for name in again}
    answers["proxmox02"] = Answer(membership=replace(working, node="proxmox02"))
    assert judge.drift(asked, answers, "proxmox01", []) == []


def test_a_missing_address_that_the_networks_step_sets_is_drift_once() -> None:
    down = said("verify", code=ADDRESS_DOWN, what="the address is not up", next="ifreload -a")
    for actions, found in ((["reload ifreload -a"], {STEP}), ([], {REFUSED})):
        answers = {"proxmox02": Answer([said("proxmox02-network", *actions), down])}
        assert {one.kind for one in judge.drift(planned(), answers, None, ["virtual"])} == found
    other = said("verify", code="clock", what="the clock is wrong", next="chronyc makestep")
    answers = {"proxmox02": Answer([said("proxmox02-network", "reload ifreload -a"), other])}
    assert {one.kind for one in judge.drift(planned(), answers, None, ["virtual"])} == {STEP, REFUSED}


def test_the_addresses_of_a_refusal_are_those_of_the_drift() -> None:
    down = said("verify", code=ADDRESS_DOWN, what="not up", addresses=["10.10.1.186/24", "10.30.1.186/24"])
    answers = {"proxmox02": Answer([down])}
    (drift,) = judge.drift(planned(), answers, None, ["virtual"])
    assert drift.addresses == ("10.10.1.186/24", "10.30.1.186/24")


def test_what_up_does_not_mend_is_shown_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    """It was called drifted, and then came `0 changes`."""
    drifted.show([Drift("", "proxmox02", "the address is not up", REFUSED), Drift("", "virtual", "nested=0")])
    assert capsys.readouterr().out.splitlines() == [
        "  not mended by `make up`: proxmox02: the address is not up",
        "  drifted: virtual: nested=0",
    ]


def test_a_member_without_quorum_is_not_believed_about_the_cluster() -> None:
    lost = replace(WORKING, quorate=False, pve_writable=False)
    answers = {"proxmox01": Answer([said("cluster-api-user", "add pulumi@pve")], membership=lost)}
    assert judge.drift(planned(), answers, "proxmox01", ["virtual"]) == []


VM_FILE = "/etc/pve/nodes/virtual/qemu-server/101.conf"
GUEST_FILE = "/etc/pve/nodes/a/qemu-server/200.conf"
ISO = "/var/lib/vz/template/iso/stack-dev-pve.iso"
SUM = hashlib.sha256(b"x" * 4096).hexdigest()
IDENTITY = "uuid=1 creation-qemu=9"
INSTALLED = "/var/lib/nested-pve-ha/install/dev/101.json"
NODE_VM = """\
agent: 0
balloon: 0
boot: order=scsi0
cores: 4
cpu: host
ide2: none,media=cdrom
memory: 8192
meta: creation-qemu=9
name: proxmox01
net0: virtio=BC:24:11:00:00:01,bridge=vmbr0
net1: virtio=BC:24:11:00:00:02,bridge=vmbr1,mtu=1
onboot: 1
ostype: l26
scsi0: local-lvm:vm-101-disk-0,size=64G
scsihw: virtio-scsi-single
smbios1: uuid=1
tags: nested-pve-ha;stack-dev
"""
FILES = {
    "/etc/pve/ha/rules.cfg": "node-affinity: vm01-placement\n\tresources vm:200\n\tnodes b:1,a:2\n\tstrict 0\n\tdisable 0\n",
    "/etc/pve/ha/resources.cfg": "vm: 200\n\tstate started\n\tcomment stack-dev\n",
    "/etc/pve/datacenter.cfg": "ha: shutdown_policy=migrate\nmigration: type=secure,network=10.30.1.0/24\n",
    GUEST_FILE: "name: vm01\nscsihw: virtio-scsi-single\nmemory: 512\ncores: 1\ntags: stack-dev;nested-pve-ha\nagent: enabled=1,fstrim=1\n"
    "net0: virtio=BC:24:11:AA:00:01,bridge=vmbr0\nscsi0: shared:200/vm-200-disk-0.qcow2,size=3G\n",
    VM_FILE: NODE_VM,
    "/etc/network/interfaces": "auto vmbr1\niface vmbr1 inet static\n\taddress 10.10.1.1/24\n\tbridge-ports eno2 eno1\n"
    "\tbridge-stp off\n\tmtu 9000\n#stack-dev\n\niface vmbr1 inet6 auto\n\nauto vmbr9\niface vmbr9 inet manual\n",
    ISO: "4096\n",
    INSTALLED: json.dumps({"identity": IDENTITY, "installed": True}),
}
RESOURCES: dict[str, dict[str, Any]] = {
    RULE_TYPE: {
        "rule": "vm01-placement",
        "type": "node-affinity",
        "resources": ["vm:200"],
        "nodes": {"a": 2, "b": 1},
        "strict": False,
    },
    RESOURCE_TYPE: {"resourceId": "vm:200", "state": "started", "maxRestart": 1, "comment": "stack-dev"},
    OPTIONS_TYPE: {"migrationCidr": "10.30.1.0/24", "migrationType": "secure", "haShutdownPolicy": "migrate"},
    "guest": {
        "vmId": 200,
        "name": "vm01",
        "memory": {"dedicated": 512},
        "cpu": {"cores": 1},
        "tags": ["nested-pve-ha", "stack-dev"],
        "clone": {"vmId": 9000},
        "scsiHardware": "virtio-scsi-pci",
        "disks": [{"interface": "scsi0", "datastoreId": "local", "size": 2}],
        "networkDevices": [{"bridge": "vmbr0", "model": "virtio"}],
        "agent": {"enabled": True},
        "onBoot": False,
        "cdrom": {"fileId": "none"},
    },
    VM_TYPE: {
        "vmId": 101,
        "name": "proxmox01",
        "nodeName": "virtual",
        "memory": {"dedicated": 8192, "floating": 0},
        "cpu": {"cores": 4, "type": "host"},
        "tags": ["nested-pve-ha", "stack-dev"],
        "disks": [{"interface": "scsi0", "datastoreId": "local-lvm", "size": 64}],
        "networkDevices": [
            {"bridge": "vmbr0", "model": "virtio", "macAddress": "bc:24:11:00:00:01", "firewall": False},
            {"bridge": "vmbr1", "model": "virtio", "macAddress": "BC:24:11:00:00:02", "firewall": False, "mtu": 1},
        ],
        "agent": {"enabled": False},
        "onBoot": True,
        "scsiHardware": "virtio-scsi-single",
        "bootOrders": ["scsi0"],
        "operatingSystem": {"type": "l26"},
        "cdrom": {"fileId": "none"},
    },
    BRIDGE_TYPE: {
        "name": "vmbr1",
        "address": "10.10.1.1/24",
        "ports": ["eno1", "eno2"],
        "mtu": 9000,
        "autostart": True,
        "comment": "stack-dev",
    },
    FILE_TYPE: {"fileName": "stack-dev-pve.iso", "nodeName": "virtual", "checksum": SUM},
}


def provided_resource(kind: str) -> dict[str, Any]:
    type_ = VM_TYPE if kind == "guest" else kind
    outputs = {"size": 4096} if kind == FILE_TYPE else {}
    return {"urn": f"urn::{kind}", "type": type_, "inputs": RESOURCES[kind], "outputs": outputs}


@pytest.mark.parametrize("kind", RESOURCES)
def test_what_the_provider_made_is_known_again(kind: str) -> None:
    assert provided.differs(provided_resource(kind), FILES) is None


def test_a_tag_that_a_user_gave_a_vm_is_no_drift() -> None:
    files = {path: text.replace("tags: stack-dev", "tags: backup;stack-dev") for path, text in FILES.items()}
    assert files != FILES
    assert provided.differs(provided_resource("guest"), files) is None


@pytest.mark.parametrize(
    ("kind", "line", "told"),
    [
        (VM_TYPE, "net2: e1000=BC:24:11:00:00:04,bridge=vmbr7,tag=5", ADDED_CARD),
        (VM_TYPE, "net9: virtio=BC:24:11:00:00:04,bridge=vmbr0", ADDED_CARD),
        (VM_TYPE, "scsi1: tank:vm-101-disk-1,size=4G", ADDED_DISK),
        ("guest", "net3: virtio=BC:24:11:00:00:04,bridge=vmbr0", ADDED_CARD),
    ],
)
def test_what_a_user_put_into_a_vm_is_no_drift_and_no_finding(kind: str, line: str, told: str) -> None:
    files = {path: f"{text}{line}\n" if path.endswith(".conf") else text for path, text in FILES.items()}
    asked = questions.Questions(provided=[{**provided_resource(kind)}])
    asked.provided[0]["inputs"] = {**RESOURCES[kind], "nodeName": "virtual"}
    found = judge.drift(asked, {"virtual": Answer(files=files)}, None, ["virtual"])
    assert found == [Drift(f"urn::{kind}", "virtual", line.replace(": ", " ", 1), told)]
    assert behind_ones_back("dev", found, []) == []


@pytest.mark.parametrize("kind", [VM_TYPE, "guest"])
def test_a_limit_that_a_user_gave_a_described_card_is_no_drift(kind: str) -> None:
    files = {path: text.replace("bridge=vmbr0", "bridge=vmbr0,queues=2,rate=20") for path, text in FILES.items()}
    assert provided.differs(provided_resource(kind), files) is None
    assert provided.added(provided_resource(kind), files) == [Difference("net0 queues=2,rate=20", ADDED_LIMIT)]
    given = copy.deepcopy(provided_resource(kind))
    given["inputs"]["networkDevices"][0] |= {"queues": 2, "rateLimit": 20}
    assert provided.added(given, files) == []


@pytest.mark.parametrize(
    ("kind", "old", "new", "told"),
    [
        (RULE_TYPE, "a:2", "a:1", "/etc/pve/ha/rules.cfg: HA rule vm01-placement: nodes a:1,b:1, not a:2,b:1"),
        (RULE_TYPE, "disable 0", "disable 1", "HA rule vm01-placement is disabled"),
        (RULE_TYPE, "vm01-placement", "other", "HA rule vm01-placement is not in /etc/pve/ha/rules.cfg"),
        (RESOURCE_TYPE, "started", "ignored", "HA resource vm:200: state ignored, not started"),
        (OPTIONS_TYPE, "migrate", "freeze", "ha shutdown_policy freeze, not migrate"),
        ("guest", "512", "600", f"{GUEST_FILE}: VM 200: memory 600, not 512"),
        ("guest", "stack-dev;", "", "VM 200: tags nested-pve-ha, not nested-pve-ha;stack-dev"),
        ("guest", "bridge=vmbr0", "bridge=vmbr7", "VM 200: net0 bridge vmbr7, not vmbr0"),
        ("guest", "enabled=1", "enabled=0", "VM 200: agent 0, not 1"),
        ("guest", "cores: 1", "cores: 1\nonboot: 1", "VM 200: onboot 1, not 0"),
        (VM_TYPE, "memory: 8192", "memory: 4096", f"{VM_FILE}: VM 101: memory 4096, not 8192"),
        (VM_TYPE, "balloon: 0", "balloon: 1024", "VM 101: balloon 1024, not 0"),
        (VM_TYPE, "cpu: host", "cpu: kvm64,flags=+aes", "VM 101: cpu kvm64, not host"),
        (VM_TYPE, "onboot: 1\n", "", "VM 101: onboot 0, not 1"),
        (VM_TYPE, "bridge=vmbr1", "bridge=vmbr2", "VM 101: net1 bridge vmbr2, not vmbr1"),
        (VM_TYPE, ":00:02", ":00:03", "VM 101: net1 mac BC:24:11:00:00:03, not BC:24:11:00:00:02"),
        (VM_TYPE, "bridge=vmbr1", "bridge=vmbr1,link_down=1", "VM 101: net1 link_down 1, not none"),
        ("guest", "bridge=vmbr0", "bridge=vmbr0,tag=30", "VM 200: net0 tag 30, not none"),
        (VM_TYPE, ",mtu=1", "", "VM 101: net1 mtu not set, not 1"),
        (VM_TYPE, "bridge=vmbr0", "bridge=vmbr0,firewall=1", "VM 101: net0 firewall 1, not 0"),
        (VM_TYPE, "net0: virtio", "net7: virtio", "VM 101: net0 bridge not set, not vmbr0"),
        (VM_TYPE, "order=scsi0", "order=net0;scsi0", "VM 101: boot order=net0;scsi0, not order=scsi0"),
        (VM_TYPE, "local-lvm:", "slow:", "VM 101: scsi0 on slow, not local-lvm"),
        (VM_TYPE, "scsi0: local", "scsi5: local", "VM 101: scsi0 on not set, not local-lvm"),
        (VM_TYPE, "size=64G", "size=1T", "VM 101: scsi0 1024 GiB, not 64"),
        (BRIDGE_TYPE, "10.10.1.1/24", "10.10.1.9/24", "bridge vmbr1: address 10.10.1.9/24, not 10.10.1.1/24"),
        (
            BRIDGE_TYPE,
            "iface vmbr1 inet ",
            "iface vmbr7 inet ",
            "bridge vmbr1 is not in /etc/network/interfaces",
        ),
        (BRIDGE_TYPE, "eno2 eno1", "eno1", "bridge vmbr1: bridge-ports eno1, not eno1 eno2"),
        (BRIDGE_TYPE, "\tmtu 9000\n", "", "bridge vmbr1: mtu 1500, not 9000"),
        (BRIDGE_TYPE, "#stack-dev", "#mine", "bridge vmbr1: comment mine, not stack-dev"),
        (BRIDGE_TYPE, "auto vmbr1\n", "", "bridge vmbr1: auto 0, not 1"),
        (FILE_TYPE, "4096", "17", f"{ISO}: 17 bytes, not 4096"),
        (FILE_TYPE, "pve.iso", "other.iso", "image stack-dev-pve.iso is gone"),
    ],
)
def test_what_was_edited_by_hand_is_named_with_file_and_value(kind: str, old: str, new: str, told: str) -> None:
    files = {path.replace(old, new): text.replace(old, new) for path, text in FILES.items()}
    found = provided.differs(provided_resource(kind), files)
    assert found is not None
    assert told in found.what


def test_a_disk_that_was_grown_by_hand_is_no_way_back_and_says_what_to_describe() -> None:
    files = {path: text.replace("size=64G", "size=80G") for path, text in FILES.items()}
    found = provided.differs(provided_resource(VM_TYPE), files)
    assert found is not None
    assert (found.kind, "diskGib" in found.next) == (REFUSED, True)


@pytest.mark.parametrize(
    ("content", "age_s", "told"),
    [
        (b"x" * 4096, 60, ""),
        (b"y" * 4096, 60, f": checksum {hashlib.sha256(b'y' * 4096).hexdigest()[:12]}…, not {SUM[:12]}…"),
        (b"y" * 4096, -60, ""),  # as it was made: not read again
        (b"y" * 17, 60, ": 17 bytes, not 4096"),
        (None, 60, "image stack-dev-pve.iso is gone"),
    ],
)
def test_an_image_that_was_touched_is_read_whole(tmp_path: Path, content: bytes | None, age_s: int, told: str) -> None:
    # Files of the user's are asked for nothing, and hide nothing.
    for name in ("My Windows 11.iso", "a.iso", "=== z.iso"):
        (tmp_path / name).write_bytes(b"0")
    if content is not None:
        (tmp_path / "stack-dev-pve.iso").write_bytes(content)
    made = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
    image = {**provided_resource(FILE_TYPE), "created": made}
    (link := tmp_path.with_name(f"{tmp_path.name}-link")).symlink_to(tmp_path)
    command = images.question([provided_resource(VM_TYPE), image], "virtual", str(link), {})
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30)
    found = provided.differs(image, judge.parse_files(done.stdout))
    assert (found.what.endswith(told), found.kind == REMADE) == (True, content is not None) if found else not told
    assert images.question([image], "another", str(link), {}) == ""


@dataclass
class Host:
    """A host whose images lie in a directory of the test's; notes which of them are read whole."""

    machine: Machine
    programs: Path

    def __post_init__(self) -> None:
        (self.programs / "sha256sum").write_text(
            f'#!/bin/sh\necho "$2" >> {self.programs}/read\n[ ! -e {self.programs}/broken ] && exec /usr/bin/sha256sum "$@"\n'
        )
        (self.programs / "sha256sum").chmod(0o755)

    async def run(self, command: str, **_: object) -> Completed:
        if not command.startswith("image()"):
            return Completed(0, "", "")
        path = f"{self.programs}:{os.environ['PATH']}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env={"PATH": path})  # noqa: ASYNC221
        return Completed(done.returncode, done.stdout, done.stderr)

    def read(self) -> int:
        """How many files were read whole since the last time one asked."""
        log = self.programs / "read"
        count = len(log.read_text().splitlines()) if log.exists() else 0
        log.unlink(missing_ok=True)
        return count


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    async def looked(*_: object, **__: object) -> SimpleNamespace:
        await asyncio.sleep(0)
        return SimpleNamespace(facts={"steps": [], "altered": []})

    monkeypatch.setattr(shipped, "run", looked)
    monkeypatch.setattr(intact_images, "FILE", tmp_path / "own/images.json")
    (programs := tmp_path / "programs").mkdir()
    return Host(Machine("virtual", "192.168.0.180", "ssh-ed25519 AAAA"), programs)


def looked_at(dev: Description, host: Host, directory: Path, image: dict[str, Any]) -> int:
    """How often a look reads this image whole."""
    own = dev.config.outer_hosts[0].model_copy(update={"iso_directory": str(directory)})
    described = replace(dev, config=dev.config.model_copy(update={"outer_hosts": (own,)}))
    opened: Any = {"virtual": host}
    step = there("virtual-repository", "repository", HOST, "{}")
    host.read()
    asyncio.run(look.over(opened, described, {"deployment": {"resources": [step, image]}}))
    return host.read()


@pytest.mark.parametrize(
    "age_s", [3600, None, -3600], ids=["a clock that is ahead", "adopted", "a clock that is behind"]
)
def test_an_image_is_read_whole_once_and_again_when_it_was_touched(
    dev: Description, host: Host, tmp_path: Path, age_s: int | None
) -> None:
    """A host whose clock was ahead of ours had it read at each look; so had `make adopt`."""
    (directory := tmp_path / "iso").mkdir()
    file = directory / "stack-dev-pve.iso"
    file.write_bytes(b"x" * 4096)
    made = {} if age_s is None else {"created": (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()}
    image = {**provided_resource(FILE_TYPE), **made}
    assert looked_at(dev, host, directory, image) == (0 if age_s == -3600 else 1)
    assert [looked_at(dev, host, directory, image) for _ in range(2)] == [0, 0]
    before = file.stat()
    file.write_bytes(b"y" * 4096)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [looked_at(dev, host, directory, image) for _ in range(2)] == [1, 1], (
        "it is not as it was made: not remembered"
    )
    file.write_bytes(b"x" * 4096)
    assert [looked_at(dev, host, directory, image) for _ in range(2)] == [1, 0]


def test_what_could_not_be_read_or_belongs_to_another_host_or_image_is_not_taken_for_read(
    dev: Description, host: Host, tmp_path: Path
) -> None:
    (directory := tmp_path / "iso").mkdir()
    (directory / "stack-dev-pve.iso").write_bytes(b"x" * 4096)
    image = provided_resource(FILE_TYPE)
    (host.programs / "broken").touch()
    assert [looked_at(dev, host, directory, image) for _ in range(2)] == [1, 1]
    (host.programs / "broken").unlink()
    assert [looked_at(dev, host, directory, image) for _ in range(2)] == [1, 0]
    other = {**image, "inputs": {**image["inputs"], "checksum": "a" * 64}}
    assert looked_at(dev, host, directory, other) == 1
    host.machine = Machine("virtual", "192.168.0.180", "ssh-ed25519 BBBB")
    assert looked_at(dev, host, directory, image) == 1


def test_an_image_that_cannot_be_looked_at_for_a_moment_is_as_it_was() -> None:
    for said in ("\n\n", "4096\n1 4096 2.0 2.0\n"):  # stat, or sha256sum, said why on standard error
        assert provided.differs(provided_resource(FILE_TYPE), judge.parse_files(f"=== {ISO}\n{said}")) is None


@pytest.mark.parametrize(
    ("recorded", "live", "kind"),
    [
        ([], "eno1", PORTS),
        (["eno1"], "none", REFUSED),
        (["eno1"], "eno2", PROVIDED),
        (["eno1", "eno2"], "eno1", PROVIDED),
    ],
)
def test_ports_that_the_provider_does_not_put_right_are_told_with_what_to_write(
    recorded: list[str], live: str, kind: str
) -> None:
    bridge = provided_resource(FILE_TYPE) | {"type": BRIDGE_TYPE}
    bridge["inputs"] = {**RESOURCES[BRIDGE_TYPE], "ports": recorded}
    files = {path: text.replace("eno2 eno1", live) for path, text in FILES.items()}
    found = provided.differs(bridge, files)
    assert found is not None
    assert found.kind == kind
    assert (f"`bridge-ports {' '.join(recorded) or 'none'}`" in found.next) == (kind != PROVIDED)


def test_an_image_of_another_size_is_not_recorded_any_more_so_that_it_is_made_over_what_is_there() -> None:
    state = {"deployment": {"resources": [provided_resource(FILE_TYPE), provided_resource(VM_TYPE)]}}
    gone = Drift(f"urn::{FILE_TYPE}", "virtual", "17 bytes, not 4096", REMADE)
    left = record.marked(state, [gone])["deployment"]["resources"]
    assert [entry["type"] for entry in left] == [VM_TYPE]


@pytest.mark.parametrize("vmid", [101, 1_000_001, 999_999_999])
def test_an_installation_is_found_by_the_whole_number(vmid: int) -> None:
    node = "urn:pulumi:dev::p::nested-pve-ha:index:NestedPveNode::proxmox01"
    install = {
        **there("proxmox01-install", "install-node", node, SECRET),
        "urn": "urn:pulumi:dev::p::x::proxmox01-install",
    }
    vm = provided_resource(VM_TYPE)
    state = {"deployment": {"resources": [install, {**vm, "inputs": {**vm["inputs"], "vmId": vmid}, "parent": node}]}}
    files = {path.replace("101", str(vmid)): text for path, text in FILES.items()}
    asked = questions.of(state, ["virtual", "proxmox01"], "secret")
    assert judge.drift(asked, {"virtual": Answer(files=files)}, None, ["virtual"]) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, f"{INSTALLED} is gone"),
        ('{"identity": ', f"{INSTALLED} is damaged"),
        (json.dumps({"identity": "another", "installed": True}), "does not say that this VM 101 is installed"),
        (json.dumps({"identity": IDENTITY, "installed": False}), "does not say that this VM 101 is installed"),
        (FILES[INSTALLED], ""),
    ],
)
def test_an_installation_that_its_host_does_not_remember_is_written_down_again(text: str | None, told: str) -> None:
    node = "urn:pulumi:dev::p::nested-pve-ha:index:NestedPveNode::proxmox01"
    install = there("proxmox01-install", "install-node", node, SECRET)
    install["urn"] = "urn:pulumi:dev::p::x::proxmox01-install"
    state = {"deployment": {"resources": [install, {**provided_resource(VM_TYPE), "parent": node}]}}
    asked = questions.of(state, ["virtual", "proxmox01"], "secret")
    files = {path: content for path, content in FILES.items() if path != INSTALLED}
    answers = {"virtual": Answer(files=files | ({INSTALLED: text} if text is not None else {}))}
    found = judge.drift(asked, answers, None, ["virtual"])
    assert [(one.name, one.kind, one.where) for one in found] == [("proxmox01-install", STEP, "virtual")] * bool(told)
    assert not told or told in found[0].what


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, f"{INSTALLED} is gone"),
        (json.dumps({"identity": "another", "installed": True}), "does not say that this VM 101 is installed"),
        (json.dumps({"identity": "u1", "installed": True}), ""),
    ],
)
def test_so_does_a_host_with_libvirt(text: str | None, told: str) -> None:
    node = "urn:pulumi:dev::p::nested-pve-ha:index:NestedPveNode::proxmox01"
    install = there("proxmox01-install", "install-node", node, SECRET)
    install["urn"] = "urn:pulumi:dev::p::x::proxmox01-install"
    wanted = {"stack": "dev", "host": "kvmhost", "vmid": 101, "name": "proxmox01"}
    made = there("proxmox01-vm", "libvirt-domain", node, json.dumps(wanted))
    asked = questions.of({"deployment": {"resources": [made, install]}}, ["kvmhost", "proxmox01"], "secret")
    mark = '<metadata><ha:stack xmlns:ha="urn:nested-pve-ha" name="dev" vmid="101"/></metadata>'
    domain = f"<domain><name>proxmox01</name><uuid>u1</uuid>{mark}</domain>"
    files = {"/etc/libvirt/qemu/proxmox01.xml": domain} | ({INSTALLED: text} if text is not None else {})
    found = judge.drift(asked, {"kvmhost": Answer(files=files)}, None, ["kvmhost"])
    notes = [one for one in found if one.name == "proxmox01-install"]
    assert [(one.kind, one.where) for one in notes] == [(STEP, "kvmhost")] * bool(told)
    assert not told or told in notes[0].what
    gone = judge.drift(asked, {"kvmhost": Answer(files={})}, None, ["kvmhost"])
    assert not [one for one in gone if one.name == "proxmox01-install"], "without its VM there is nothing to remember"


def test_exactly_the_drifted_steps_differ_from_what_the_program_gives_and_a_removal_is_as_before() -> None:
    found = [
        Drift("urn::virtual-package", "virtual", "a.py gone", PACKAGE),
        Drift("urn::virtual-dhcp", "virtual", "start vmbr1"),
        Drift("urn::proxmox01-prepare", "proxmox01", "another name", REFUSED, "rename it"),
        Drift("urn::ct01-container", "cluster", "memory 600", PROVIDED),
    ]
    before = copy.deepcopy(STATE)
    marked = record.marked(STATE, found)
    assert before == STATE
    changed = {
        new["urn"]: new["inputs"]
        for old, new in zip(STATE["deployment"]["resources"], marked["deployment"]["resources"], strict=True)
        if old != new
    }
    assert set(changed) == {"urn::virtual-package", "urn::virtual-dhcp"}
    assert changed["urn::virtual-dhcp"]["update"] == "drifted: virtual: start vmbr1"
    assert changed["urn::virtual-dhcp"]["stdin"] == '{"stack": "dev", "bridges": []}'
    assert changed["urn::virtual-package"]["source"]["hash"] != "abc"
    assert record.marked(marked, []) == STATE


def test_the_user_of_the_api_is_put_back_before_anybody_logs_in_as_it() -> None:
    user = Drift("urn::cluster-api-user", "cluster", "add pulumi@pve")
    gone = Drift("urn::virtual-package", "virtual", "gone", PACKAGE)
    other = Drift("urn::virtual-dhcp", "virtual", "start vmbr1")
    assert not record.cannot_log_in(STATE, [gone, other])
    assert record.cannot_log_in(STATE, [gone, other, user])


def test_status_sends_nobody_to_up_for_what_up_cannot_do() -> None:
    found = behind_ones_back(
        "home",
        [
            Drift("urn::a", "virtual", "start vmbr1"),
            Drift("urn::b", "proxmox01", "another name", REFUSED, "rename it"),
            Drift("urn::c", "proxmox02", "no member", MEMBERSHIP),
            Drift("urn::d", "virtual", "bridge-ports eth4", PORTS, "write it"),
        ],
        [Finding("proxmox02", "is half joined", "make up")],
    )
    assert found == [
        Finding("virtual", "start vmbr1", "make up STACK=home"),
        Finding("proxmox01", "another name", "rename it"),
        Finding("virtual", "bridge-ports eth4", "write it"),
    ]


def with_lock(lock: str, *paths: str) -> dict[str, str]:
    return {path: f"lock: {lock}\n{text}" if path in paths else text for path, text in FILES.items()}


def locks(cluster: dict[str, str] | None, host: dict[str, str] | None) -> list[Drift]:
    asked = planned()
    asked.provided.extend([provided_resource("guest"), provided_resource(VM_TYPE)])
    return list(guest_locks.held(asked, {"virtual": host}, cluster))


def test_a_guests_lock_that_goes_with_its_task_is_told_and_is_no_finding() -> None:
    """Of a guest in the cluster, of a node's VM on its host, of a container."""
    files = {
        **with_lock("backup", GUEST_FILE, VM_FILE),
        "/etc/pve/nodes/a/lxc/300.conf": "hostname: ct01\nlock: disk\n",
    }
    found = locks(files, files)
    assert [(one.name, one.where, one.kind) for one in found] == [
        ("guest", "cluster", PASSING),
        (VM_TYPE, "virtual", PASSING),
        ("ct01-container", "cluster", PASSING),
    ]
    assert found[0].what == (
        "VM 200 (vm01) on a is locked (backup): a backup of it is made, or that task was cut off; "
        "nothing can change it until the lock is gone"
    )
    assert found[0].next == "wait until the task has ended; if none runs on a: qm unlock 200"
    assert "if none runs on a: pct unlock 300" in found[2].next
    (half,) = locks(with_lock("rollback", GUEST_FILE), None)
    assert "whether 200 is whole, before qm unlock 200" in half.next
    assert behind_ones_back("dev", found, []) == []
    assert [one.what for one in passing(found)] == [one.what for one in found]
    assert record.marked(STATE, found) == STATE


@pytest.mark.parametrize(
    ("lock", "what", "step"),
    [
        ("suspended", "suspended to a disk", "qm start 101 on virtual"),
        ("odd", "nothing can change it", "see what holds it, on virtual: qm config 101"),
    ],
)
def test_a_lock_that_no_task_takes_away_is_a_finding(lock: str, what: str, step: str) -> None:
    (found,) = locks(None, with_lock(lock, VM_FILE))
    assert found.kind == LOCKED
    (finding,) = behind_ones_back("dev", [found], [])
    assert (what in finding.what, finding.next) == (True, step)
    assert passing([found]) == []


def test_without_a_lock_nothing_is_told_and_locks_of_snapshots_are_none() -> None:
    assert locks(FILES, FILES) == locks(None, None) == []
    within = {VM_FILE: f"{NODE_VM}\n[before]\nlock: backup\n"}
    assert locks(within, within) == []
