"""What is decided about a guest that exists: put under HA, left as it is, refused by name; and what goes in the end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster.contract import ApiAccess, ExistingGuest, Machine
from cluster.errors import AdminError
from cluster.existing_guests import Seen, acts, leaving, names, read, refused

WANTED = ExistingGuest(
    members=[Machine(name, "192.0.2.1", "key") for name in ("pve1", "pve2", "pve3")],
    api=ApiAccess("https://pve:8006", "pulumi@pve", "pinned"),
    stack_tag="stack-home",
    pve_major=9,
    type="vm",
    vmid=210,
    name="web",
    state="started",
    max_restart=1,
    max_relocate=1,
    failback=True,
    nodes={},
    strict=False,
)
PLACED = replace(WANTED, nodes={"pve1": 2, "pve2": 1})
STORAGE = "nfs: shared\n\tserver 192.0.2.5\n\nlvmthin: local-lvm\n\tvgname pve\n\nzfspool: local-zfs\n\tpool rpool\n"
VM = "name: web\nscsi0: shared:210/vm-210-disk-0.raw,size=1G\nide2: none,media=cdrom\n"
OURS = "vm: 210\n\tstate started\n\tcomment stack-home\n"
THEIRS = "vm: 210\n\tcomment mine\n"
OUR_RULE = "node-affinity: any-name\n\tnodes pve1:2,pve2:1\n\tresources vm:210\n\tcomment stack-home\n"
THEIR_RULE = "node-affinity: mine\n\tnodes pve1:900,pve2\n\tresources ct:5,vm:210\n"
OUR_GROUP = "group: web-placement\n\tnodes pve1:2,pve2:1\n\tcomment stack-home\n"
THEIR_GROUP = "group: mine\n\tnodes pve1:2,pve2:1\n"


def seen(  # noqa: PLR0913 - a file each
    vm: str | None = VM,
    *,
    resources: str = "",
    rules: str = "",
    groups: str = "",
    replication: str = "",
    path: str = "qemu-server/210",
    storage: str = STORAGE,
) -> Seen:
    files = {
        "etc/pve/storage.cfg": storage,
        "etc/pve/replication.cfg": replication,
        "etc/pve/ha/resources.cfg": resources,
        "etc/pve/ha/rules.cfg": rules,
        "etc/pve/ha/groups.cfg": groups,
        "etc/pve/nodes/pve2/qemu-server/100.conf": "name: another\n",
    }
    return read(files | ({f"etc/pve/nodes/pve2/{path}.conf": vm} if vm is not None else {}))


def done(wanted: ExistingGuest, **files: Any) -> list[tuple[str, str, dict[str, Any]]]:  # noqa: ANN401 - texts
    return [(act.method, act.path, act.options) for act in acts(wanted, seen(**files))]


NEW = {
    "sid": "vm:210",
    "state": "started",
    "max_restart": "1",
    "max_relocate": "1",
    "failback": "1",
    "comment": "stack-home",
}
RULE = {
    "rule": "web-placement",
    "type": "node-affinity",
    "resources": "vm:210",
    "nodes": "pve1:2,pve2:1",
    "strict": 0,
    "comment": "stack-home",
}


NODES = {"nodes": "pve1:2,pve2:1", "strict": 0}


@pytest.mark.parametrize(
    ("wanted", "files", "expected"),
    [
        pytest.param(WANTED, {}, [("post", "resources", NEW)], id="it is put under HA"),
        pytest.param(PLACED, {}, [("post", "resources", NEW), ("post", "rules", RULE)], id="with its nodes"),
        pytest.param(WANTED, {"resources": OURS}, [], id="as this stack has put it"),
        pytest.param(WANTED, {"resources": THEIRS}, [], id="as somebody else has put it"),
        pytest.param(
            WANTED,
            {"resources": "vm: 210\n\tstate enabled\n\tmax_restart 1\n\tfailback 1\n"},
            [],
            id="another word for started, and defaults that are written down",
        ),
        pytest.param(
            replace(WANTED, state="stopped", max_restart=3),
            {"resources": OURS},
            [("put", "resources/vm:210", {"state": "stopped", "max_restart": "3"})],
            id="ours is changed",
        ),
        pytest.param(
            PLACED, {"resources": OURS, "rules": OUR_RULE}, [], id="our rule, whatever its name was when it was made"
        ),
        pytest.param(
            PLACED,
            {"resources": THEIRS, "rules": THEIR_RULE},
            [],
            id="their rule, with other guests: only the order counts",
        ),
        pytest.param(
            PLACED,
            {"resources": THEIRS},
            [("post", "rules", RULE)],
            id="their resource without a rule gets one of ours",
        ),
        pytest.param(
            PLACED,
            {"resources": THEIRS, "rules": THEIR_RULE.replace("ct:5,", "") + "\tdisable 1\n"},
            [("post", "rules", RULE)],
            id="a rule that is switched off says nothing",
        ),
        pytest.param(
            replace(PLACED, strict=True),
            {"resources": OURS, "rules": OUR_RULE},
            [("put", "rules/any-name", {"type": "node-affinity", "nodes": "pve1:2,pve2:1", "strict": 1})],
            id="our rule is changed",
        ),
        pytest.param(
            PLACED,
            {"resources": OURS, "rules": f"{OUR_RULE}\tdisable 1\n"},
            [("put", "rules/any-name", {"type": "node-affinity", **NODES, "delete": "disable"})],
            id="our rule is switched on again",
        ),
        pytest.param(
            WANTED, {"resources": OURS, "rules": OUR_RULE}, [("delete", "rules/any-name", {})], id="our rule goes"
        ),
        pytest.param(
            WANTED,
            {"resources": OURS, "rules": OUR_RULE.replace("vm:210", "vm:210,ct:5")},
            [("put", "rules/any-name", {"type": "node-affinity", "resources": "ct:5"})],
            id="a guest that somebody added to our rule stays in it",
        ),
    ],
)
def test_what_is_done(
    wanted: ExistingGuest, files: dict[str, str], expected: list[tuple[str, str, dict[str, Any]]]
) -> None:
    assert done(wanted, **files) == expected


EIGHT = replace(PLACED, pve_major=8)
GROUP = {"group": "web-placement", "nodes": "pve1:2,pve2:1", "restricted": 0, "nofailback": 0, "comment": "stack-home"}
IN_GROUP = {key: value for key, value in NEW.items() if key != "failback"} | {"group": "web-placement"}


@pytest.mark.parametrize(
    ("wanted", "files", "expected"),
    [
        pytest.param(EIGHT, {}, [("post", "groups", GROUP), ("post", "resources", IN_GROUP)], id="a group before it"),
        pytest.param(EIGHT, {"resources": f"{OURS}\tgroup web-placement\n", "groups": OUR_GROUP}, [], id="ours"),
        pytest.param(EIGHT, {"resources": f"{THEIRS}\tgroup mine\n", "groups": THEIR_GROUP}, [], id="theirs"),
        pytest.param(
            replace(EIGHT, failback=False),
            {"resources": f"{OURS}\tgroup web-placement\n", "groups": OUR_GROUP},
            [("put", "groups/web-placement", {"nodes": "pve1:2,pve2:1", "restricted": 0, "nofailback": 1})],
            id="failback is the group's",
        ),
        pytest.param(
            replace(EIGHT, nodes={}),
            {"resources": f"{OURS}\tgroup web-placement\n", "groups": OUR_GROUP},
            [("put", "resources/vm:210", {"delete": "group"}), ("delete", "groups/web-placement", {})],
            id="it leaves its group, which goes",
        ),
        pytest.param(
            replace(EIGHT, nodes={}),
            {
                "resources": f"{OURS}\tgroup web-placement\n\nct: 5\n\tgroup web-placement\n",
                "groups": OUR_GROUP,
            },
            [("put", "resources/vm:210", {"delete": "group"})],
            id="a group that another guest is in stays",
        ),
    ],
)
def test_what_is_done_with_groups(
    wanted: ExistingGuest, files: dict[str, str], expected: list[tuple[str, str, dict[str, Any]]]
) -> None:
    assert done(wanted, **files) == expected


LOCAL = VM.replace("shared:", "local-lvm:")
COPIED = VM.replace("shared:210/", "local-zfs:")
REPLICA = "local: 210-0\n\ttarget pve1\n\nlocal: 210-1\n\ttarget pve3\n\nlocal: 211-0\n\ttarget pve3\n"


@pytest.mark.parametrize(
    ("wanted", "files", "code", "words"),
    [
        pytest.param(WANTED, {"vm": None}, "guest-missing", "none of that number", id="not there"),
        pytest.param(
            replace(WANTED, type="container"), {}, "guest-missing", "VM 210 (web) on pve2", id="of another kind"
        ),
        pytest.param(replace(WANTED, name="dns"), {}, "guest-missing", "VM 210 (web) on pve2", id="another name"),
        pytest.param(WANTED, {"vm": f"{VM}template: 1\n"}, "guest-missing", "which is a template", id="a template"),
        pytest.param(
            WANTED,
            {"vm": f"{VM}tags: nested-pve-ha;stack-home\n"},
            "guest-changed",
            "tags: nested-pve-ha, stack-home",
            id="this stack made it",
        ),
        pytest.param(
            WANTED,
            {"vm": f"{VM}tags: nested-pve-ha;stack-office\n"},
            "guest-foreign",
            "tags: nested-pve-ha, stack-office",
            id="another stack made it",
        ),
        pytest.param(
            WANTED, {"vm": LOCAL}, "guest-tied", "scsi0 is on local-lvm, which is not shared", id="a local disk"
        ),
        pytest.param(
            WANTED,
            {"vm": VM.replace("none,", "local:iso/x.iso,")},
            "guest-tied",
            "ide2 is on local, which is not shared",
            id="a local image in its drive",
        ),
        pytest.param(WANTED, {"vm": f"{VM}hostpci0: 01:00\n"}, "guest-tied", "hostpci0 is a device", id="a device"),
        pytest.param(WANTED, {"vm": COPIED}, "guest-tied", "scsi0 is on local-zfs", id="no replication"),
        pytest.param(
            WANTED,
            {"vm": COPIED.replace("size", "replicate=0,size"), "replication": REPLICA},
            "guest-tied",
            "scsi0 is on local-zfs",
            id="a disk that replication leaves out",
        ),
        pytest.param(
            WANTED,
            {"vm": COPIED, "replication": REPLICA.replace("target pve3", "target pve3\n\tdisable 1")},
            "guest-tied",
            "pve3 cannot read its disks",
            id="not replicated to all",
        ),
        pytest.param(
            WANTED,
            {"storage": STORAGE.replace("server 192.0.2.5", "server 192.0.2.5\n\tnodes pve1,pve2")},
            "guest-tied",
            "pve3 cannot read its disks",
            id="a storage that one node lacks",
        ),
        pytest.param(
            replace(WANTED, state="stopped"),
            {"resources": THEIRS},
            "ha-foreign",
            "state of the HA resource is started, described: stopped",
            id="their resource differs",
        ),
        pytest.param(
            WANTED,
            {"resources": THEIRS, "rules": THEIR_RULE},
            "ha-foreign",
            "HA rule mine: it says where the guest may run; described: any node",
            id="their rule, and none is described",
        ),
        pytest.param(
            replace(PLACED, nodes={"pve1": 1, "pve2": 1}),
            {"resources": OURS, "rules": THEIR_RULE},
            "ha-foreign",
            "HA rule mine: nodes pve1:900,pve2; described: nodes pve1:1,pve2:1",
            id="their rule prefers another",
        ),
        pytest.param(
            replace(PLACED, strict=True),
            {"resources": OURS, "rules": THEIR_RULE},
            "ha-foreign",
            "HA rule mine: strict off",
            id="their rule only prefers",
        ),
        pytest.param(
            PLACED,
            {"rules": "node-affinity: web-placement\n\tnodes pve1\n\tresources ct:5\n"},
            "ha-foreign",
            "web-placement exists, and is about others",
            id="the name of the rule is taken",
        ),
        pytest.param(
            PLACED,
            {"rules": "resource-affinity: web-placement\n\tresources ct:5,ct:6\n\tdisable 1\n"},
            "ha-foreign",
            "web-placement exists, and is about others",
            id="a rule of another kind has the name",
        ),
        pytest.param(
            EIGHT, {"resources": THEIRS}, "ha-foreign", "the HA resource is in no group", id="PVE 8: without a group"
        ),
        pytest.param(
            replace(EIGHT, failback=False),
            {"resources": f"{THEIRS}\tgroup mine\n", "groups": THEIR_GROUP},
            "ha-foreign",
            "HA group mine: failback on",
            id="PVE 8: their group moves it back",
        ),
    ],
)
def test_what_is_refused_by_name(wanted: ExistingGuest, files: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(AdminError) as refusal:
        done(wanted, **files)
    assert refusal.value.code == code
    assert words in refusal.value.observed
    assert refusal.value.fix


@pytest.mark.parametrize(
    ("wanted", "files", "commands"),
    [
        (
            replace(PLACED, strict=True),
            {"resources": THEIRS, "rules": THEIR_RULE},
            "`ha-manager set vm:210 --comment stack-home`, `ha-manager rules set node-affinity mine --comment stack-home`",
        ),
        (
            replace(PLACED, strict=True),
            {"resources": OURS, "rules": THEIR_RULE},
            "in the end: `ha-manager rules set node-affinity mine --comment stack-home`",
        ),
        (
            replace(EIGHT, failback=False),
            {"resources": f"{OURS}\tgroup mine\n", "groups": THEIR_GROUP},
            "in the end: `ha-manager groupset mine --comment stack-home`",
        ),
    ],
)
def test_what_is_to_be_handed_over_is_named(wanted: ExistingGuest, files: dict[str, str], commands: str) -> None:
    with pytest.raises(AdminError) as refusal:
        done(wanted, **files)
    assert refusal.value.fix.endswith(commands)


def test_a_guest_with_copies_on_every_node_that_may_run_it_can_follow() -> None:
    assert done(WANTED, vm=COPIED, replication=REPLICA) == [("post", "resources", NEW)]
    two = replace(PLACED, strict=True)
    assert len(done(two, vm=COPIED, replication=REPLICA.replace("target pve3", "target pve3\n\tdisable 1"))) == 2


def test_a_lock_that_a_backup_holds_now_ties_nobody() -> None:
    assert done(WANTED, vm=f"{VM}lock: backup\n") == [("post", "resources", NEW)]


def test_a_container_is_found_by_its_hostname() -> None:
    files = {"vm": "hostname: web\nrootfs: shared:210/x.raw\n", "path": "lxc/210"}
    (made,) = done(replace(WANTED, type="container"), **files)
    assert made[2]["sid"] == "ct:210"


@pytest.mark.parametrize(
    ("wanted", "files", "expected"),
    [
        pytest.param(WANTED, {"resources": THEIRS, "rules": THEIR_RULE}, [], id="all of it is theirs"),
        pytest.param(PLACED, {}, [], id="it is out of HA already"),
        pytest.param(WANTED, {"vm": None}, [], id="the guest is gone"),
        pytest.param(
            PLACED,
            {"resources": OURS, "rules": OUR_RULE},
            [("delete", "rules/any-name", {}), ("delete", "resources/vm:210", {"purge": 0})],
            id="all of it is ours",
        ),
        pytest.param(
            PLACED,
            {"resources": THEIRS, "rules": OUR_RULE},
            [("delete", "rules/any-name", {})],
            id="our rule about their resource",
        ),
        pytest.param(
            PLACED,
            {"resources": OURS, "rules": THEIR_RULE},
            [("delete", "resources/vm:210", {"purge": 0})],
            id="their rule keeps the guest",
        ),
        pytest.param(
            EIGHT,
            {"resources": f"{OURS}\tgroup web-placement\n", "groups": OUR_GROUP},
            [("delete", "resources/vm:210", {}), ("delete", "groups/web-placement", {})],
            id="PVE 8: with the group",
        ),
        pytest.param(
            EIGHT,
            {"groups": OUR_GROUP},
            [("delete", "groups/web-placement", {})],
            id="PVE 8: a group that a killed run made",
        ),
        pytest.param(
            EIGHT, {"resources": f"{THEIRS}\tgroup mine\n", "groups": THEIR_GROUP}, [], id="PVE 8: all of it is theirs"
        ),
    ],
)
def test_what_goes_in_the_end(
    wanted: ExistingGuest, files: dict[str, Any], expected: list[tuple[str, str, dict[str, Any]]]
) -> None:
    assert [(act.method, act.path, act.options) for act in leaving(wanted, seen(**files))] == expected


@pytest.mark.parametrize(
    ("name", "plain", "numbered"),
    [
        ("web", "web", "web-210"),
        ("Web.Example_1", "web-example-1", "web-example-1-210"),
        ("", "guest", "guest-210"),
        ("--", "guest", "guest-210"),
        ("x" * 80, "x" * 63, "x" * 59 + "-210"),
        ("x" * 62 + ".y", "x" * 62, "x" * 59 + "-210"),
    ],
)
def test_a_name_for_the_stack_file(name: str, plain: str, numbered: str) -> None:
    assert names(name, 210) == (plain, numbered)


def test_all_guests_that_are_refused_for_the_same_reason_are_named() -> None:
    other = replace(WANTED, vmid=211, name="db")
    assert refused([WANTED], seen()) is None
    error = refused([replace(WANTED, name="dns"), other, replace(WANTED, state="stopped")], seen(resources=THEIRS))
    assert error is not None
    assert error.code == "guest-missing"
    assert error.observed == "VM 210 (web) on pve2; none of that number"
    assert error.expected == "VM 210 (dns); VM 211 (db)"
