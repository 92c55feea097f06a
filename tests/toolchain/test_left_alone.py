"""The real provider beside somebody's hands: what users set stays, and a VM that appears in the very moment is not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cli.drift import record
from cli.drift.model import Drift
from cli.state import added_devices
from components import left_alone
from tests.support.api_node import PASSWORD, ApiNode, furnish, running
from tests.support.workspace import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.workspace import Run, Workspace

# As the program makes them: components/outer_host/proxmox_ve.py, ha_guest.py and corosync_cluster.py.
PROGRAM = """
import sys
import pulumi_proxmoxve as pve
sys.path.insert(0, cfg("root"))
from components import devices

provider = pve.Provider("pve", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"), insecure=True)


def options(kind, **more):
    return pulumi.ResourceOptions(provider=provider, ignore_changes=cfg("ignored")[kind], **more)


def stay(logical):
    def refuse(args):
        if cfg("further") and devices.cards_change(args.new_inputs, args.old_outputs):
            raise ValueError("the cards would be written")
    return pulumi.ResourceHookBinding(before_update=[pulumi.ResourceHook(logical + "-devices", refuse)])


agent = pve.VmLegacyAgentArgs(enabled=False, wait_for_ip=pve.VmLegacyAgentWaitForIpArgs(disabled=True))
drive = pve.VmLegacyCdromArgs(file_id="none")
pve.VmLegacy(
    "node", node_name="pve1", vm_id=101, name="proxmox01", tags=["nested-pve-ha", "stack-dev"],
    started=False, on_boot=True, boot_orders=["scsi0"], stop_on_destroy=True, reboot_after_update=False, cdrom=drive,
    scsi_hardware="virtio-scsi-single", cpu=pve.VmLegacyCpuArgs(cores=cfg("cores"), type="qemu64"),
    memory=pve.VmLegacyMemoryArgs(dedicated=1024, floating=0), agent=agent,
    operating_system=pve.VmLegacyOperatingSystemArgs(type="l26"),
    disks=[pve.VmLegacyDiskArgs(interface="scsi0", datastore_id="local-lvm", size=cfg("size"))],
    network_devices=[
        pve.VmLegacyNetworkDeviceArgs(bridge="vmbr0", mac_address=mac, firewall=False, model="virtio")
        for mac in cfg("macs")
    ],
    opts=options("NODE", hooks=stay("node")),
)
if cfg("rest"):
    disk = pve.VmLegacyDiskArgs(interface="scsi0", datastore_id="shared", size=8)
    guest = pve.VmLegacy(
        "guest", node_name="pve1", vm_id=200, name="vm01", tags=["nested-pve-ha", "stack-dev"],
        clone=pve.VmLegacyCloneArgs(vm_id=9000, node_name="pve1", datastore_id="shared", full=True, retries=1),
        disks=[disk], cdrom=drive, cpu=pve.VmLegacyCpuArgs(cores=cfg("cores"), type="qemu64"),
        memory=pve.VmLegacyMemoryArgs(dedicated=512), started=False, on_boot=False,
        network_devices=[pve.VmLegacyNetworkDeviceArgs(bridge="vmbr0", model="virtio")], agent=agent,
        reboot_after_update=False, stop_on_destroy=True, opts=options("GUEST", hooks=stay("guest")),
    )
    pve.Haresource(
        "guest-ha", resource_id="vm:200", state="started", comment="stack-dev", max_restart=1, max_relocate=1,
        opts=pulumi.ResourceOptions(provider=provider, depends_on=[guest]),
    )
    pve.cluster.Options(
        "options", ha_shutdown_policy=cfg("policy"), opts=options("OPTIONS", retain_on_delete=True),
    )
    pve.network.linux.Bridge(
        "vmbr1", node_name="pve1", name="vmbr1", address=cfg("address"), comment="stack-dev", autostart=True,
        mtu=9000, ports=["eth2"], opts=options("BRIDGE"),
    )
for name, given in cfg("bridges").items():
    pve.network.linux.Bridge(
        name, node_name="pve1", name=name, comment="stack-dev", autostart=True, opts=options("BRIDGE"), **given
    )
"""
STEP = """
import pulumi_command
pulumi_command.local.Command("step", create="true", stdin="{}")
"""
BRIDGES = {"vmbr5": {"address": "10.5.0.1/24"}, "vmbr6": {"address": "10.6.0.1/24", "ports": ["eth3"]}}
BY_HAND = {
    "10.10.1.1/24": "10.10.1.9/24",
    "bridge-ports eth2": "bridge-ports eth1",
    "mtu 9000": "mtu 1400",
    "bridge-ports none": "bridge-ports eth4\n\tmtu 1400",
    "bridge-ports eth3": "bridge-ports none",
}
EXTRA = "tag=30,link_down=1,rate=5,queues=2,mtu=1400,trunks=5"
IGNORED = {
    "NODE": left_alone.NODE,
    "GUEST": left_alone.GUEST,
    "OPTIONS": [*left_alone.OPTIONS, "migrationCidr", "migrationType"],
    "BRIDGE": left_alone.BRIDGE,
}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ApiNode]:
    root = tmp_path / "pve1"
    furnish(root, "pve1")
    (root / "dev/kvm").touch()
    for card in ("eth1", "eth2", "eth3", "eth4"):
        (root / "sys/class/net" / card).mkdir()
    with running(root) as found:
        yield found


def attempt(workspace: Workspace, node: ApiNode, program: str = PROGRAM, **values: Any) -> Run:  # noqa: ANN401 - JSON
    given = {"cores": 2, "size": 32, "policy": "migrate", "address": "10.10.1.1/24", "rest": True, **values}
    given = {"macs": ["BC:24:11:00:00:01"], "bridges": {}, "further": True, **given}
    given |= {"root": str(ROOT), "ignored": IGNORED}
    return workspace.up(program, endpoint=node.endpoint, password=PASSWORD, **given)


def up(workspace: Workspace, node: ApiNode, program: str = PROGRAM, **values: Any) -> Run:  # noqa: ANN401 - JSON values
    run = attempt(workspace, node, program, **values)
    assert run.code == 0, run.output
    return run


def changed(run: Run) -> dict[str, list[str]]:
    return {name: ops for name, ops in run.steps().items() if set(ops) - {"same"}}


def refresh(workspace: Workspace, *arguments: str) -> None:
    run = workspace.refresh(*arguments)
    assert run.code == 0, run.output


def test_a_vm_of_somebody_elses_that_takes_the_number_is_recorded_but_neither_started_nor_changed(
    workspace: Workspace, node: ApiNode
) -> None:
    """The provider takes "already exists" for done, on its second try. Nothing but its record may come of that."""
    node.tool("qm", "create", "101", "--name", "precious", "--memory", "333", "--tags", "customer")
    file = node.pve / "nodes/pve1/qemu-server/101.conf"
    before = file.read_text()
    assert "memory: 333" in before
    run = up(workspace, node, rest=False)
    assert run.steps()["node"] == ["create"], "where this fails, the provider has learnt to refuse: all the better"
    assert file.read_text() == before
    assert node.get("/nodes/pve1/qemu/101/status/current")["status"] == "stopped"


def test_what_users_set_beside_the_description_stays_when_the_rest_is_changed(
    workspace: Workspace, node: ApiNode
) -> None:
    node.tool("qm", "create", "9000", "--name", "template", "--memory", "512", "--scsi0", "shared:8")
    node.tool("qm", "template", "9000")
    up(workspace, node)
    given = {"description": "ask Ann first", "startup": "order=3", "protection": "1", "serial0": "socket"}
    for vmid in ("101", "200"):
        words = [word for key, value in given.items() for word in (f"--{key}", value)]
        tags = ["--tags", "backup;nested-pve-ha;stack-dev"]
        done = node.tool("qm", "set", vmid, *words, *tags, "--cpulimit", "1", "--watchdog", "model=i6300esb")
        assert done.returncode == 0, done
    node.do("PUT", "/cluster/options", keyboard="de", email_from="pve@lab.internal")
    before = {number: node.config(number) for number in (101, 200)}
    refresh(workspace)
    assert changed(up(workspace, node)) == {}
    updated = changed(up(workspace, node, cores=4, policy="freeze", address="10.10.1.9/24"))
    assert {name for name, ops in updated.items() if "update" in ops} == {"node", "guest", "options", "vmbr1"}
    for number, config in before.items():
        assert {**node.config(number), "digest": ""} == {**config, "cores": 4, "digest": ""}
    options = node.get("/cluster/options")
    assert (options["keyboard"], options["email_from"]) == ("de", "pve@lab.internal")
    assert "freeze" in str(options["ha"])


def test_what_a_hand_changed_of_the_description_is_put_back(workspace: Workspace, node: ApiNode) -> None:
    """One refresh and one update, which is what `make up` does with what its look found."""
    node.tool("qm", "create", "9000", "--name", "template", "--memory", "512", "--scsi0", "shared:8")
    node.tool("qm", "template", "9000")
    given: Any = {"bridges": BRIDGES, "further": False}  # no cards of a user's are to be kept
    up(workspace, node, **given)
    before = as_made(node)
    for words in (
        ("qm", "set", "101", "--memory", "2048", "--balloon", "512", "--cores", "1", "--cpu", "kvm64", "--onboot", "0"),
        ("qm", "set", "101", "--name", "mine", "--boot", "order=net0", "--scsihw", "lsi", "--ostype", "win11"),
        ("qm", "set", "101", "--agent", "1", "--net0", f"virtio=BC:24:11:00:00:01,bridge=vmbr9,firewall=1,{EXTRA}"),
        ("qm", "set", "200", "--memory", "700", "--name", "mine", "--cpu", "kvm64", "--onboot", "1", "--agent", "1"),
        ("qm", "set", "200", "--net0", f"{before['200']['net0'].partition(',')[0]},bridge=vmbr9,{EXTRA}"),
        ("ha_manager", "set", "vm:200", "--state", "stopped", "--max_restart", "5", "--comment", "mine"),
    ):
        assert node.tool(*words).returncode == 0, words
    interfaces = node.root / "etc/network/interfaces"
    edited = interfaces.read_text()
    for old, new in BY_HAND.items():
        assert old in edited
        edited = edited.replace(old, new)
    others, name, own = edited.partition("iface vmbr1 ")
    interfaces.write_text(others + name + own.replace("#stack-dev", "#mine", 1))
    assert len([1 for key, value in as_made(node).items() if value != before[key]]) == len(before)
    refresh(workspace)
    done = up(workspace, node, **given).steps()
    assert {name for name, ops in done.items() if "update" in ops} - set(BRIDGES) == {
        "node",
        "guest",
        "guest-ha",
        "vmbr1",
    }
    assert as_made(node) == before
    # Why the look says what to write here, and does not send to `make up`: where this fails, it may.
    ports = {name: node.get(f"/nodes/pve1/network/{name}").get("bridge_ports", "") for name in BRIDGES}
    assert ports == {"vmbr5": "eth4", "vmbr6": ""}
    assert "mtu" not in node.get("/nodes/pve1/network/vmbr5")


def as_made(node: ApiNode) -> dict[str, Any]:
    """What the program describes, as the machine has it."""
    configs = {str(number): {**node.config(number), "digest": ""} for number in (101, 200)}
    resource = {**node.get("/cluster/ha/resources/vm:200"), "digest": ""}
    return {**configs, "ha": resource, "bridge": {**node.get("/nodes/pve1/network/vmbr1"), "priority": 0}}


def test_cards_and_ports_that_users_add_stay_as_they_are_and_no_run_shows_a_change(
    workspace: Workspace, node: ApiNode
) -> None:
    """As `make up` works where its look shows such things: a refresh, which records them, and they are out of the record.

    What is to be done again is done after that refresh all the same.
    """
    node.tool("qm", "create", "9000", "--name", "template", "--memory", "512", "--scsi0", "shared:8")
    node.tool("qm", "template", "9000")
    given: Any = {"bridges": BRIDGES}
    up(workspace, node, PROGRAM + STEP, **given)
    interfaces = node.root / "etc/network/interfaces"
    edited = interfaces.read_text()
    for name, old, new in (("vmbr5", "none", "eth4"), ("vmbr6", "eth3", "none")):
        others, this, own = edited.partition(f"iface {name} ")
        edited = others + this + own.replace(f"bridge-ports {old}", f"bridge-ports {new}", 1)
    interfaces.write_text(edited)
    ports = {name: node.get(f"/nodes/pve1/network/{name}").get("bridge_ports", "") for name in BRIDGES}
    assert ports == {"vmbr5": "eth4", "vmbr6": ""}
    for vmid in ("101", "200"):
        node.tool("qm", "set", vmid, "--net3", "virtio=BC:24:11:00:00:99,bridge=vmbr0,rate=10,tag=30")
        limited = f"{node.config(int(vmid))['net0']},queues=2,rate=20"
        assert node.tool("qm", "set", vmid, "--net0", limited).returncode == 0
    before = {number: node.config(number) for number in (101, 200)}
    assert all("net3" in config for config in before.values())
    assert changed(up(workspace, node, PROGRAM + STEP, **given)) == {}, "plain pulumi, without a refresh"
    state = workspace.export()
    urn = next(one["urn"] for one in state["deployment"]["resources"] if one["urn"].endswith("::step"))
    workspace.import_state(record.marked(state, [Drift(urn, "virtual", "start vmbr1")]))
    refresh(workspace, "--run-program")
    planned = workspace.finish(workspace.start("preview"))
    assert set(changed(planned)) & set(BRIDGES) == {"vmbr5"}, (
        "why what a refresh records of ports is out of the record again"
    )
    recorded = workspace.export()  # the step may run before the engine hears of the refusal
    refused = attempt(workspace, node, PROGRAM + STEP, cores=4, **given)
    assert "the cards would be written" in refused.output, "where this fails, the provider leaves them: all the better"
    workspace.import_state(added_devices.forgotten(recorded))
    assert set(changed(up(workspace, node, PROGRAM + STEP, **given))) == {"step"}
    up(workspace, node, PROGRAM + STEP, cores=4, **given)
    assert {number: {**node.config(number), "digest": ""} for number in before} == {
        number: {**config, "cores": 4, "digest": ""} for number, config in before.items()
    }
    assert {name: node.get(f"/nodes/pve1/network/{name}").get("bridge_ports", "") for name in BRIDGES} == ports


def test_a_disk_that_a_user_adds_to_a_node_stays_unless_the_described_one_changes(
    workspace: Workspace, node: ApiNode
) -> None:
    """Why the step further-disks looks before a growth: the provider takes the other off, and refresh does not show it."""
    up(workspace, node, rest=False)
    node.tool("qm", "set", "101", "--scsi1", "local-lvm:4")
    disk = node.config(101)["scsi1"]
    refresh(workspace)
    up(workspace, node, rest=False, cores=4)
    assert (node.config(101)["cores"], node.config(101)["scsi1"]) == (4, disk)
    assert node.tool("qm", "disk", "resize", "101", "scsi0", "40G").returncode == 0
    refresh(workspace)
    up(workspace, node, rest=False, cores=4, size=40)
    assert node.config(101)["scsi1"] == disk, "grown by hand first, as the refusal advises"
    up(workspace, node, rest=False, cores=4, size=48)
    assert "scsi1" not in node.config(101), "where this fails, the provider leaves it: all the better"


GUARDED = """
import pulumi_command
import pulumi_proxmoxve as pve

provider = pve.Provider("pve", endpoint=cfg("endpoint"), username="root@pam", password=cfg("password"), insecure=True)
removal = pulumi_command.local.Command("removal", delete=f"test -e {cfg('allowed')}")
pve.network.linux.Bridge(
    "vmbr1", node_name="pve1", name="vmbr1", address="10.10.1.1/24", comment="stack-dev", autostart=True,
    opts=pulumi.ResourceOptions(provider=provider, depends_on=[removal], deleted_with=removal),
)
"""


def test_a_bridge_is_removed_by_its_step_alone_which_stays_recorded_until_it_has_done_so(
    workspace: Workspace, node: ApiNode, tmp_path: Path
) -> None:
    """As components/outer_host/guarded_network.py has it: the provider would remove it without a dead man's switch."""
    allowed = tmp_path / "allowed"
    run = workspace.up(GUARDED, endpoint=node.endpoint, password=PASSWORD, allowed=str(allowed))
    assert run.code == 0, run.output
    assert workspace.destroy().code != 0
    assert "removal" in workspace.resources()
    allowed.touch()
    assert workspace.destroy().code == 0
    assert workspace.resources() == {}
    assert "vmbr1" in {one["iface"] for one in node.get("/nodes/pve1/network")}, "the step of this test removes nothing"
