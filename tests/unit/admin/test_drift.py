"""What drifted: asked of the right machine, judged from what it says, and recorded so that the engine acts on it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from admin.drift import judge, look, plan, provided, record
from admin.drift.judge import MEMBERSHIP, PACKAGE, PROVIDED, REFUSED, STEP, Drift
from admin.drift.look import Answer
from admin.status.model import Finding
from admin.status.verdict import behind_ones_back
from components.recorded import ADMIN, ON_NODE
from onnode.desired import document
from tests.unit.admin.test_guests import CONTAINER, TEMPLATE
from tests.unit.admin.worlds import members

if TYPE_CHECKING:
    from admin.description import Description

HOST = "urn:pulumi:dev::p::nested-pve-ha:index:HostPrep::virtual"
NODE = "urn:pulumi:dev::p::nested-pve-ha:index:NestedPveNode::proxmox01"
CLUSTER = "urn:pulumi:dev::p::nested-pve-ha:index:CorosyncCluster::cluster"
MEMBERS = [document(member) for member in members(3)]
API = {"endpoint": "https://pve:8006", "user": "pulumi@pve", "tls": "pinned"}
STORAGE = {"stack_tag": "stack-dev", "name": "shared", "server": "10.0.0.1", "export": "/srv", "contents": ["images"]}
MACHINE = {"name": "proxmox02", "address": "192.168.0.186", "host_key": "ssh-ed25519 AAAA"}
NETWORK = {"name": "proxmox02", "address": "192.168.0.186", "pve_major": 9, "interfaces": []}
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}
WORKING = {"name": "membership", "actions": [], "refusal": None}
WORKING |= {"facts": {"state": "member", "quorate": True, "pve_writable": True}}


def there(name: str, step: str, parent: str, stdin: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    inputs = {"create": f"{ON_NODE} {step}", "stdin": stdin}
    return {"urn": f"urn::{name}", "type": plan.STEP_THERE, "parent": parent, "inputs": inputs, "outputs": dict(inputs)}


def here(name: str, step: str, wanted: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    inputs = {"create": f"{ADMIN} {step}", "stdin": json.dumps(wanted), "environment": SECRET}
    return {"urn": f"urn::{name}", "type": plan.STEP_HERE, "parent": CLUSTER, "inputs": inputs, "outputs": dict(inputs)}


def package(name: str, parent: str) -> dict[str, Any]:
    source = {"hash": "abc", "path": ".nested-pve/package/onnode"}
    inputs = {"source": source, "remotePath": "/var/lib/nested-pve-ha"}
    return {"urn": f"urn::{name}", "type": plan.PACKAGE, "parent": parent, "inputs": inputs, "outputs": {}}


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
                {"members": MEMBERS, "api": API, "stack_tag": "stack-dev", "role": "Administrator"},
            ),
            here("cluster-storage-shared", "storage", {"members": MEMBERS, "storage": STORAGE}),
            here("cluster-join", "join-node", {"cluster": "c", "joiner": MEMBERS[1], "present": [], "timeout_s": 9}),
            here("ct01-container", "container", document(CONTAINER)),
            here("template", "template", document(TEMPLATE)),
            here("proxmox02-network", "node-network", {"machine": MACHINE, "network": NETWORK}),
            here("other-network", "node-network", {"machine": {**MACHINE, "name": "other"}, "network": NETWORK}),
        ]
    }
}


def planned() -> plan.Plan:
    return plan.of(STATE, ["virtual", "proxmox01", "proxmox02"], "secret")


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
    questions = look.power(dev, asked, "virtual", ["proxmox01", "proxmox02"])
    assert [(one.name, one.step, json.loads(one.desired)["vmid"]) for one in questions] == [
        ("urn::proxmox01-install", "vm-power", 101)
    ]
    assert look.power(dev, asked, "virtual", []) == []
    assert look.power(dev, asked, "other", ["proxmox01"]) == []


def said(name: str, *actions: str, **refusal: str) -> dict[str, Any]:
    return {"name": f"urn::{name}", "actions": list(actions), "refusal": refusal or None, "facts": None}


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
                WORKING,
                said("cluster-api-user", "add pulumi@pve"),
            ],
            files=GUESTS,
        ),
        "proxmox02": Answer([{**WORKING, "facts": {"state": "absent"}}]),
    }
    found = judge.drift(planned(), answers, "proxmox01", ["virtual"])
    assert {(one.name, one.kind): (one.where, one.what, one.next) for one in found} == {
        ("virtual-package", PACKAGE): (
            "virtual",
            "/var/lib/nested-pve-ha/onnode: a.py, b.py, c.py and 1 more gone, or not as in this checkout",
            "",
        ),
        ("virtual-dhcp", STEP): ("virtual", "start vmbr1 (inactive)", ""),
        ("proxmox01-prepare", REFUSED): ("proxmox01", "another name (x)", "rename it"),
        ("cluster-api-user", STEP): ("cluster", "add pulumi@pve", ""),
        ("cluster-join", MEMBERSHIP): ("proxmox02", "it is no member of a cluster", ""),
        ("ct01-container", STEP): ("cluster", "a: /etc/pve/lxc/300.conf: memory 600", ""),
        ("template", STEP): ("cluster", "debian-template (9000) is gone", ""),
    }


def test_a_member_without_quorum_is_not_believed_about_the_cluster() -> None:
    lost = {**WORKING, "facts": {"state": "member", "quorate": False, "pve_writable": False}}
    answers = {"proxmox01": Answer([lost, said("cluster-api-user", "add pulumi@pve")])}
    assert judge.drift(planned(), answers, "proxmox01", ["virtual"]) == []


FILES = {
    "/etc/pve/ha/rules.cfg": "node-affinity: vm01-placement\n\tresources vm:200\n\tnodes b:1,a:2\n\tstrict 0\n\tdisable 0\n",
    "/etc/pve/ha/resources.cfg": "vm: 200\n\tstate started\n\tcomment stack-dev\n",
    "/etc/pve/datacenter.cfg": "ha: shutdown_policy=migrate\nmigration: type=secure,network=10.30.1.0/24\n",
    "/etc/pve/nodes/a/qemu-server/200.conf": "name: vm01\nmemory: 512\ncores: 1\ntags: stack-dev;nested-pve-ha\n",
    "/etc/network/interfaces": "auto vmbr1\niface vmbr1 inet static\n\taddress 10.10.1.1/24\n\tbridge-ports none\n",
}
RESOURCES = {
    provided.HA_RULE: {
        "rule": "vm01-placement",
        "type": "node-affinity",
        "resources": ["vm:200"],
        "nodes": {"a": 2, "b": 1},
        "strict": False,
    },
    provided.HA_RESOURCE: {"resourceId": "vm:200", "state": "started", "maxRestart": 1, "comment": "stack-dev"},
    provided.OPTIONS: {"migrationCidr": "10.30.1.0/24", "migrationType": "secure", "haShutdownPolicy": "migrate"},
    provided.VM: {
        "vmId": 200,
        "name": "vm01",
        "memory": {"dedicated": 512},
        "cpu": {"cores": 1},
        "tags": ["nested-pve-ha", "stack-dev"],
    },
    provided.BRIDGE: {"name": "vmbr1", "address": "10.10.1.1/24"},
}


@pytest.mark.parametrize("kind", RESOURCES)
def test_what_the_provider_made_is_known_again(kind: str) -> None:
    assert provided.differs({"type": kind, "inputs": RESOURCES[kind]}, FILES) == ""


def test_a_tag_that_a_user_gave_a_vm_is_no_drift() -> None:
    files = {path: text.replace("tags: stack-dev", "tags: backup;stack-dev") for path, text in FILES.items()}
    assert provided.differs({"type": provided.VM, "inputs": RESOURCES[provided.VM]}, files) == ""


@pytest.mark.parametrize(
    ("kind", "old", "new", "told"),
    [
        (provided.HA_RULE, "a:2", "a:1", "/etc/pve/ha/rules.cfg: HA rule vm01-placement: nodes a:1,b:1, not a:2,b:1"),
        (provided.HA_RULE, "disable 0", "disable 1", "HA rule vm01-placement is disabled"),
        (provided.HA_RULE, "vm01-placement", "other", "HA rule vm01-placement is not in /etc/pve/ha/rules.cfg"),
        (provided.HA_RESOURCE, "started", "ignored", "HA resource vm:200: state ignored, not started"),
        (provided.OPTIONS, "migrate", "freeze", "ha shutdown_policy freeze, not migrate"),
        (provided.VM, "512", "600", "/etc/pve/nodes/a/qemu-server/200.conf: VM 200: memory 600, not 512"),
        (provided.VM, "stack-dev;", "", "VM 200: tags nested-pve-ha, not nested-pve-ha;stack-dev"),
        (provided.BRIDGE, "10.10.1.1/24", "10.10.1.9/24", "bridge vmbr1: address 10.10.1.9/24, not 10.10.1.1/24"),
        (provided.BRIDGE, "iface vmbr1", "iface vmbr7", "bridge vmbr1 is not in /etc/network/interfaces"),
    ],
)
def test_what_was_edited_by_hand_is_named_with_file_and_value(kind: str, old: str, new: str, told: str) -> None:
    files = {path: text.replace(old, new) for path, text in FILES.items()}
    assert told in provided.differs({"type": kind, "inputs": RESOURCES[kind]}, files)


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
    assert record.before_the_refresh(STATE, [gone, other]) == []
    assert record.before_the_refresh(STATE, [gone, other, user]) == ["urn::cluster-api-user", "urn::virtual-package"]


def test_status_sends_nobody_to_up_for_what_up_cannot_do() -> None:
    found = behind_ones_back(
        "home",
        [
            Drift("urn::a", "virtual", "start vmbr1"),
            Drift("urn::b", "proxmox01", "another name", REFUSED, "rename it"),
            Drift("urn::c", "proxmox02", "no member", MEMBERSHIP),
        ],
        [Finding("proxmox02", "is half joined", "make up")],
    )
    assert found == [
        Finding("virtual", "start vmbr1", "make up STACK=home"),
        Finding("proxmox01", "another name", "rename it"),
    ]
