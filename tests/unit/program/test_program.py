"""What the program registers for each stack file, and in which order."""

# ruff: noqa: ANN401 - JSON values and protobuf messages have no closer type

from __future__ import annotations

import copy
import importlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_proxmoxve as proxmoxve
import pytest
import yaml

from cluster.contract import STEPS as ADMIN_STEPS
from cluster.contract import ClusterChange, Secrets
from components import recorded
from onnode.contract.documents import parse
from onnode.registry import STEPS as ON_NODE_STEPS
from tests.support.fourth_node import NODE4
from tests.support.golden import compare
from tests.support.program import (
    ROOT,
    Recording,
    Resource,
    change,
    credentials,
    host_key,
    is_secret,
    open_text,
    plain,
    run,
    stack_file,
)

STACKS = ("dev", "libvirt", "twonode", "physical")
GOLDEN = Path(__file__).parent / "golden"
LOCAL, REMOTE = "command:local:Command", "command:remote:Command"
VM = "proxmoxve:index/vmLegacy:VmLegacy"

VM_FIELDS = [name for name in proxmoxve.VmLegacyArgs.__init__.__annotations__ if name != "return"]

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    """The stacks as they are; nothing in them changes, so one run serves all tests."""
    return {stack: run(stack_file(stack), tmp_path_factory.mktemp(stack)) for stack in STACKS}


@pytest.fixture
def dev(recordings: dict[str, Recording]) -> Recording:
    return recordings["dev"]


@pytest.fixture
def physical(recordings: dict[str, Recording]) -> Recording:
    return recordings["physical"]


@pytest.fixture(params=STACKS)
def recording(request: pytest.FixtureRequest, recordings: dict[str, Recording]) -> Recording:
    return recordings[request.param]


def camel(name: str) -> str:
    first, *words = name.split("_")
    return first + "".join(map(str.capitalize, words))


def changed(tmp_path: Path, change: Change, stack: str = "dev") -> Recording:
    config = copy.deepcopy(stack_file(stack))
    change(config)
    return run(config, tmp_path)


def steps_of(recording: Recording) -> list[Resource]:
    return recording.of_type(LOCAL) + recording.of_type(REMOTE)


@pytest.mark.parametrize("stack", STACKS)
def test_urns_are_those_of_the_golden_list(stack: str, recordings: dict[str, Recording]) -> None:
    """A name or parent that changes means delete and create: fatal for a cluster. Rename with an alias only."""
    urns = "".join(f"{urn.split('::', 2)[2]}\n" for urn in sorted(recordings[stack].resources))
    compare(urns, GOLDEN / f"{stack}.txt")


@pytest.mark.parametrize("stack", STACKS)
def test_two_runs_register_the_same(stack: str, recordings: dict[str, Recording], tmp_path: Path) -> None:
    first, second = recordings[stack], run(stack_file(stack), tmp_path)
    assert {urn: resource.inputs for urn, resource in first.resources.items()} == {
        urn: resource.inputs for urn, resource in second.resources.items()
    }


def test_the_design_records_on_which_machines_it_is_built_where_somebody_says_it(
    dev: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(recorded.INSTANCE_VARIABLE, "second")
    (one,) = run(stack_file("dev"), tmp_path).of_type(recorded.DESIGN)
    (other,) = dev.of_type(recorded.DESIGN)
    assert one.inputs == other.inputs | {recorded.INSTANCE: "second"}
    assert recorded.INSTANCE not in other.inputs


def test_a_childs_name_starts_with_its_parents(recording: Recording) -> None:
    children = [resource for resource in recording.resources.values() if resource.custom]
    assert children
    for child in children:
        assert child.name.startswith(f"{recording.resources[child.parent].name}-"), child.urn


def test_everything_waits_for_the_identity_check(recording: Recording) -> None:
    others = [
        resource.name
        for resource in recording.resources.values()
        if resource.custom and resource.name != "design-identity" and not resource.type.startswith("pulumi:providers")
    ]
    assert others
    for name in others:
        assert recording.follows(name, "design-identity"), name


def test_the_design_is_the_first_resource_and_knows_all(dev: Recording) -> None:
    design = dev["design"]
    assert dev.names[0] == "design"
    assert [host["nested"] for host in design.inputs["outerHosts"]] == [True]
    assert [node["cpuType"] for node in design.inputs["nodes"]] == ["host"] * 3
    assert [link["subnet"] for link in design.inputs["cluster"]["links"]] == ["10.10.1.0/24", "10.20.1.0/24"]
    assert [link["cards"] for link in design.inputs["cluster"]["links"]] == [{}, {}]  # isolated bridges


def test_policed_facts_are_not_unknown_or_secret(recording: Recording) -> None:
    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            assert not is_secret(value)
            return [leaf for item in value.values() for leaf in leaves(item)]
        return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]

    components = [resource for resource in recording.resources.values() if not resource.custom]
    assert {resource.type.rsplit(":", 1)[1] for resource in components} >= {
        "Design",
        "NestedPveNode",
        "CorosyncCluster",
    }
    for resource in components:
        assert all(isinstance(leaf, (str, float, bool, type(None))) for leaf in leaves(resource.inputs)), resource.urn
        assert resource.outputs, resource.urn


def test_every_step_speaks_the_contract(recording: Recording) -> None:
    for step in recording.of_type(LOCAL):
        command = step.inputs.get("create") or step.inputs["delete"].removesuffix(" --delete")
        name = command.removeprefix(".venv/bin/python -m cluster ")
        parse(ADMIN_STEPS[name], step.stdin)
        module = importlib.import_module(f"cluster.steps.{name.replace('-', '_')}")
        assert hasattr(module, "remove") or "delete" not in step.inputs, name
        parse(Secrets, yaml.safe_load(plain(step.inputs["environment"]["NESTED_PVE_SECRETS"])))
    for step in recording.of_type(REMOTE):
        assert step.inputs["create"].removeprefix("python3 /var/lib/nested-pve-ha/onnode ") in ON_NODE_STEPS
        assert step.inputs["addPreviousOutputInEnv"] is False
        assert "environment" not in step.inputs  # sshd would drop it
        assert plain(step.inputs["connection"])["hostKey"].startswith(("ecdsa-sha2-nistp256 ", "ssh-ed25519 "))
    assert len(steps_of(recording)) > 10


def test_desired_states_are_legible_in_a_preview(dev: Recording) -> None:
    """A changed link must show as an address. Only the installation hides its whole input: it holds the password."""
    hidden = {step.name for step in steps_of(dev) if is_secret(step.inputs["stdin"])}
    assert hidden == {"proxmox01-install", "proxmox02-install", "proxmox03-install"}


def test_no_secret_is_legible_anywhere(recording: Recording) -> None:
    values = credentials()
    key = values["sshPrivateKey"].splitlines()[1]
    wanted = [
        key,
        values["rootPassword"],
        values["apiPassword"],
        values["hostKeySeed"],
        "outer-password",
        "PRIVATE KEY",
    ]
    hidden = "\n".join(str(plain(resource.inputs)) for resource in recording.resources.values())
    assert key in hidden  # the search below would find it
    assert values["apiPassword"] in hidden
    for resource in recording.resources.values():
        legible = open_text(resource.inputs) + open_text(resource.outputs)
        assert not [secret for secret in wanted if secret in legible], resource.urn


def test_only_these_have_something_to_undo(dev: Recording) -> None:
    deletes = {step.name: step.inputs["delete"] for step in steps_of(dev) if "delete" in step.inputs}
    assert deletes == {
        **{f"virtual-vmbr{n}-armed": ".venv/bin/python -m cluster remove-bridge --delete" for n in (1, 2, 3)},
        "virtual-journal": "test ! -e /var/lib/nested-pve-ha || python3 /var/lib/nested-pve-ha/onnode journal --restore",
        "cluster-storage-shared": ".venv/bin/python -m cluster storage --delete",
        # The last look before the provider deletes by number or name.
        **{
            f"{name}-guard": ".venv/bin/python -m cluster delete-guard --delete"
            for name in (f"proxmox0{n}-vm" for n in (1, 2, 3))
        },
        "debian-template-template": ".venv/bin/python -m cluster template --delete",
        "ct01-container": ".venv/bin/python -m cluster container --delete",
        # Between a guest's registration and the guest: until HA has let go, it starts again what is stopped.
        "ct01-ha-ready": ".venv/bin/python -m cluster ha-ready --delete",
        # After its VM: Proxmox VE destroys one whose disk it could not free.
        "vm01-disks-gone": ".venv/bin/python -m cluster disks-gone --delete",
        "vm01-ha-ready": ".venv/bin/python -m cluster ha-ready --delete",
        # Before the registration: while the guest's node is dead, HA alone can bring it back.
        "ct01-verify-guest": ".venv/bin/python -m cluster verify-guest --delete",
        "vm01-verify-guest": ".venv/bin/python -m cluster verify-guest --delete",
    }


def test_no_step_has_triggers_and_only_these_remember(dev: Recording) -> None:
    assert not [step.name for step in steps_of(dev) if "triggers" in step.inputs]
    remembering = [step.name for step in dev.of_type(LOCAL) if step.inputs["addPreviousOutputInEnv"]]
    of_cluster = ["design-identity", "cluster-change", "cluster-removal", "cluster-storage-shared"]
    of_guests = ["vm01-disks-gone", "ct01-container", "ct01-verify-guest", "vm01-verify-guest"]
    assert sorted(remembering) == sorted([*of_cluster, "debian-template-template", *of_guests])


def test_steps_that_plan_are_shown_what_the_first_one_remembers(recording: Recording) -> None:
    """A run that fails ends before they have met a node that joined in it."""
    knowing = [step.name for step in recording.of_type(LOCAL) if "NESTED_PVE_KNOWN" in step.inputs["environment"]]
    planning = [
        step.name
        for step in recording.of_type(LOCAL)
        if ADMIN_STEPS.get(str(step.inputs.get("create")).rpartition(" ")[2]) is ClusterChange
    ]
    assert planning[0] == "design-identity"
    assert knowing == planning[1:]
    assert len(knowing) >= 2
    for name in knowing:
        assert plain(recording[name].inputs["environment"])["NESTED_PVE_KNOWN"] == "printed by design-identity"


def test_the_hosts_originals_are_written_down_before_anything_changes(dev: Recording) -> None:
    children = [resource for resource in dev.resources.values() if resource.parent == dev["virtual"].urn]
    changing = [
        child.name for child in children if child.name not in {"virtual-package", "virtual-journal", "virtual-api"}
    ]
    assert "virtual-vmbr1" in changing
    for name in changing:
        assert dev.follows(name, "virtual-journal"), name


def test_bridges_are_made_one_after_another(dev: Recording) -> None:
    assert dev.follows("virtual-vmbr2", "virtual-vmbr1")
    assert dev.follows("virtual-vmbr3", "virtual-vmbr2")
    assert not dev.follows("virtual-vmbr1", "virtual-vmbr2")
    bridge = dev["virtual-vmbr1"].inputs
    assert (bridge["address"], bridge["nodeName"], bridge["autostart"]) == ("10.10.1.1/24", "virtual", True)
    assert "ports" not in bridge


def test_an_unmanaged_bridge_is_left_alone(tmp_path: Path) -> None:
    def leave(config: dict[str, Any]) -> None:
        config["outerHosts"][0]["bridges"][2]["managed"] = False

    recording = changed(tmp_path, leave)
    assert "virtual-vmbr3" not in recording.names
    assert "virtual-vmbr2" in recording.names
    assert recording["virtual-journal"].stdin["bridges"] == ["vmbr1", "vmbr2"]


def test_the_provider_is_used_only_after_its_certificate_was_compared(dev: Recording, tmp_path: Path) -> None:
    def no_bridge_of_ours(config: dict[str, Any]) -> None:
        for bridge in config["outerHosts"][0]["bridges"]:
            bridge.pop("dhcp", None)
            bridge["managed"] = False

    for recording in (dev, changed(tmp_path, no_bridge_of_ours)):
        assert recording.follows("virtual-api", "virtual-certificate")
        users = [resource.name for resource in recording.resources.values() if "virtual-api" in resource.provider]
        assert "proxmox01-vm" in users
        for name in users:
            assert recording.follows(name, "virtual-certificate"), name


def test_a_verified_certificate_needs_no_comparison(tmp_path: Path) -> None:
    def verify(config: dict[str, Any]) -> None:
        config["outerHosts"][0]["tls"] = "verified"

    recording = changed(tmp_path, verify)
    assert "virtual-certificate" not in recording.names


def test_no_provider_takes_any_certificate_and_no_member_is_an_input(dev: Recording, tmp_path: Path) -> None:
    def verify(config: dict[str, Any]) -> None:
        config["cluster"]["api"]["tls"] = "verified"

    for recording in (dev, changed(tmp_path, verify)):
        assert not any("insecure" in recording[name].inputs for name in ("virtual-api", "cluster-api"))
        assert recording["virtual-api"].inputs["endpoint"] == "https://virtual.lab.internal:8006"
    assert "endpoint" not in dev["cluster-api"].inputs
    assert recording["cluster-api"].inputs["endpoint"] == "https://pve.lab.internal:8006"


def test_the_clusters_provider_is_configured_when_its_authority_is_known(dev: Recording) -> None:
    assert dev.follows("cluster-certificate", "cluster-verify")
    assert dev.follows("cluster-api", "cluster-certificate")
    assert dev.follows("cluster-api-user", "cluster-certificate")
    assert "endpoint" not in {key for key, value in dev["cluster-certificate"].stdin.items() if value is not None}


def test_the_installer_is_downloaded_with_its_checksum_or_used_where_it_is(dev: Recording, tmp_path: Path) -> None:
    iso = dev["virtual-installer"].inputs
    assert len(iso["checksum"]) == 64
    assert iso["checksumAlgorithm"] == "sha256"
    # Hosts may share the storage: each has, and deletes, an image of its own.
    assert iso["fileName"].startswith("stack-test-virtual-")

    def by_path(config: dict[str, Any]) -> None:
        config["outerHosts"][0]["installer"] = {"path": "/srv/pve.iso"}

    recording = changed(tmp_path, by_path)
    assert "virtual-installer" not in recording.names
    assert recording["proxmox01-install"].stdin["base_iso_path"] == "/srv/pve.iso"
    assert recording["virtual-verify-host"].stdin["iso_path"] == "/srv/pve.iso"


def test_no_vm_has_the_drive_of_the_host_that_it_is_on(dev: Recording) -> None:
    """Left out, the provider gives it that one, and Proxmox VE migrates no VM that has it."""
    machines = dev.of_type(VM)
    assert {machine.name for machine in machines} >= {"proxmox01-vm", "vm01-vm"}
    assert {machine.inputs["cdrom"]["fileId"] for machine in machines} == {"none"}


def test_the_vm_of_a_node(dev: Recording) -> None:
    vm = dev["proxmox02-vm"].inputs
    assert vm["cpu"]["type"] == "host"
    assert [device["bridge"] for device in vm["networkDevices"]] == ["vmbr0", "vmbr1", "vmbr2", "vmbr3"]
    macs = {device["macAddress"] for resource in dev.of_type(VM)[:3] for device in resource.inputs["networkDevices"]}
    assert len({mac for mac in macs if mac}) == 12
    assert vm["bootOrders"] == ["scsi0"]
    assert vm["memory"]["floating"] == 0
    assert vm["tags"] == sorted(vm["tags"]) == ["nested-pve-ha", "stack-test"]
    assert vm["rebootAfterUpdate"] is False


def test_the_node_finds_its_links_by_the_macs_of_its_vm(dev: Recording) -> None:
    macs = {device["bridge"]: device["macAddress"] for device in dev["proxmox01-vm"].inputs["networkDevices"]}
    interfaces = dev["proxmox01-network"].stdin["network"]["interfaces"]
    assert [(found["address"], found["mac"]) for found in interfaces] == [
        ("10.10.1.185/24", macs["vmbr1"]),
        ("10.20.1.185/24", macs["vmbr2"]),
        ("10.30.1.185/24", macs["vmbr3"]),
    ]
    answer = dev["proxmox01-install"].stdin["answer"]
    assert answer["global"]["root-password-hashed"].startswith("$6$")
    assert "root-password" not in answer["global"], "the CD never carries the password itself"
    assert answer["network"]["filter"]["ID_NET_NAME_MAC"] == "*" + macs["vmbr0"].replace(":", "").lower()


def test_a_link_on_the_management_network_has_no_card_of_its_own(recordings: dict[str, Recording]) -> None:
    """Link 0 is the office network."""
    recording = recordings["twonode"]
    devices = recording["proxmox01-vm"].inputs["networkDevices"]
    assert [device["bridge"] for device in devices] == ["vmbr0", "vmbr1", "vmbr2"]
    links = recording["cluster-create"].stdin["members"][0]["links"]
    assert [link["address"] for link in links] == ["192.168.0.185", "10.10.1.185"]


def test_the_host_key_of_a_node_is_pinned_before_it_exists(dev: Recording) -> None:
    installed = dev["proxmox01-install"].stdin
    pinned = plain(dev["proxmox01-prepare"].inputs["connection"])["hostKey"]
    assert installed["ssh_host_key"] == pinned
    assert pinned in installed["first_boot"]
    assert len({plain(dev[f"proxmox0{n}-prepare"].inputs["connection"])["hostKey"] for n in (1, 2, 3)}) == 3


def test_what_lives_inside_a_vm_goes_with_it(dev: Recording) -> None:
    for role in ("install", "package", "prepare", "verify"):
        assert dev[f"proxmox02-{role}"].deleted_with == dev["proxmox02-vm"].urn
    assert dev["virtual-journal"].deleted_with == ""


def test_node_vms_are_protected_unless_the_stack_says_otherwise(dev: Recording, tmp_path: Path) -> None:
    assert not dev["proxmox01-vm"].protect
    recording = changed(tmp_path, lambda config: config.pop("protectNodes"))
    assert {name: recording[name].protect for name in ("proxmox01-vm", "proxmox03-vm", "vm01-vm")} == {
        "proxmox01-vm": True,
        "proxmox03-vm": True,
        "vm01-vm": False,
    }


def test_joins_are_strictly_one_after_another(tmp_path: Path) -> None:
    recording = changed(tmp_path, add_fourth_node)
    order = [
        "cluster-preflight",
        "cluster-create",
        *(f"cluster-join-proxmox0{n}" for n in (1, 2, 3, 4)),
        "cluster-verify",
    ]
    for earlier, later in itertools.pairwise(order):
        assert recording.follows(later, earlier)
        assert not recording.follows(earlier, later)
    assert recording.follows("cluster-preflight", "proxmox04-verify")


def test_another_seed_is_a_matter_of_the_creation_alone(dev: Recording, tmp_path: Path) -> None:
    """It only says who creates: nothing is made, replaced or taken out, and no other step is given anything else."""

    def other_seed(config: dict[str, Any]) -> None:
        config["cluster"]["seed"] = "proxmox02"

    other = changed(tmp_path, other_seed)
    assert other.resources.keys() == dev.resources.keys()
    custom = [resource for resource in other.resources.values() if resource.custom]
    assert [one.name for one in custom if one.inputs != dev.resources[one.urn].inputs] == ["cluster-create"]
    assert other["cluster-create"].stdin["seed"] == "proxmox02"


def test_a_join_is_given_the_nodes_through_which_it_may_come(tmp_path: Path) -> None:
    recording = changed(tmp_path, add_fourth_node)
    present = {n: recording[f"cluster-join-proxmox0{n}"].stdin["present"] for n in (1, 2, 3, 4)}
    assert {n: [int(member["name"][-1]) for member in given] for n, given in present.items()} == {
        1: [2, 3, 4],
        2: [1, 3],
        3: [1, 2],
        4: [1, 2, 3],
    }


def test_what_lives_in_the_cluster_goes_with_the_cluster_and_with_no_node(
    dev: Recording, recordings: dict[str, Recording]
) -> None:
    """A lost seed would take the records of storages with it."""
    created = dev["cluster-create"].urn
    assert {dev[name].deleted_with for name in ("cluster-storage-shared", "cluster-options")} == {created}
    assert {one.deleted_with for one in recordings["physical"].resources.values()} == {""}


def add_fourth_node(config: dict[str, Any]) -> None:
    config["nodes"].append(NODE4)


def put_fourth_node_first(config: dict[str, Any]) -> None:
    config["nodes"].insert(0, NODE4)


def put_fourth_node_in_the_middle(config: dict[str, Any]) -> None:
    config["nodes"].insert(1, NODE4)


@pytest.mark.parametrize("add", [add_fourth_node, put_fourth_node_first, put_fourth_node_in_the_middle])
def test_a_fourth_node_runs_no_earlier_join_again(add: Change, dev: Recording, tmp_path: Path) -> None:
    four = changed(tmp_path, add)
    differing = {
        resource.name
        for urn, resource in four.resources.items()
        if resource.custom and urn in dev.resources and dev.resources[urn].inputs != resource.inputs
    }
    assert differing >= {"cluster-create", "cluster-verify"}  # they look at all members
    assert {name for name in differing if "-join-" in name} == {"cluster-join-proxmox01"}, (
        "any may have created the cluster"
    )
    assert not [name for name in differing if name.startswith("proxmox0")]
    new = {resource.name for urn, resource in four.resources.items() if urn not in dev.resources}
    assert {"proxmox04-vm", "cluster-join-proxmox04"} <= new
    for name in ("cluster-join-proxmox01", "cluster-join-proxmox02", "cluster-join-proxmox03"):
        assert (four[name].parent, four[name].dependencies) == (dev[name].parent, dev[name].dependencies)


def test_the_order_of_nodes_in_the_stack_file_runs_no_step_over_the_cluster_again(
    dev: Recording, tmp_path: Path
) -> None:
    reverse = changed(tmp_path, lambda config: config["nodes"].reverse())
    assert reverse["design"].inputs != dev["design"].inputs, "the order is another one"
    assert {step.name: step.stdin for step in reverse.of_type(LOCAL)} == {
        step.name: step.stdin for step in dev.of_type(LOCAL)
    }
    assert {step.urn: step.dependencies for step in reverse.of_type(LOCAL) if "-join-" in step.name} == {
        step.urn: step.dependencies for step in dev.of_type(LOCAL) if "-join-" in step.name
    }


def test_a_changed_link_or_vote_touches_only_steps_that_form_or_compare_the_cluster(
    dev: Recording, tmp_path: Path
) -> None:
    changes = {"nodes.2.links": ["10.10.1.199", "10.20.1.199"], "nodes.2.votes": 2}
    other = run(change(stack_file("dev"), changes), tmp_path)
    differing = {step.name for step in other.of_type(LOCAL) if dev[step.name].stdin != step.stdin}
    assert differing == {
        "design-identity",
        "proxmox03-network",
        "cluster-preflight",
        "cluster-change",
        "cluster-create",
        "cluster-removal",
        "cluster-join-proxmox01",
        "cluster-join-proxmox02",
        "cluster-join-proxmox03",
        "cluster-verify",
    }


def test_a_join_is_given_the_root_password_and_nothing_else_is(dev: Recording) -> None:
    given = {
        step.name: set(yaml.safe_load(plain(step.inputs["environment"]["NESTED_PVE_SECRETS"])))
        for step in dev.of_type(LOCAL)
    }
    assert {name for name, keys in given.items() if "root_password" in keys} == {
        "cluster-join-proxmox01",
        "cluster-join-proxmox02",
        "cluster-join-proxmox03",
    }
    assert "api_password" in given["cluster-api-user"]
    assert given["cluster-verify"] == {"ssh_private_key"}


def test_guests_enter_ha_last_and_leave_it_first(dev: Recording) -> None:
    """Destruction is the reverse: a guest that HA still manages would be started again (F15)."""
    assert dev.follows("vm01-ha", "vm01-vm")
    assert dev.follows("vm01-ha", "vm01-ha-ready")
    assert dev.follows("vm01-ha-rule", "vm01-ha")
    assert dev.follows("vm01-verify-guest", "vm01-ha-rule")
    assert dev.follows("ct01-ha", "ct01-container")
    assert dev.follows("vm01-vm", "debian-template-template")
    assert dev.follows("vm01-vm", "vm01-disks-gone"), "so it is destroyed before"
    assert dev.follows("debian-template-template", "cluster-storage-shared")


def test_what_a_user_gave_a_vm_beside_the_description_stays(dev: Recording) -> None:
    """Notes, tags, a passed-through device: the provider takes what it is not given for unwanted."""
    described = {"agent", "cpu", "memory", "name", "onBoot", "networkDevices"}
    for name in ("proxmox01-vm", "vm01-vm"):
        ignored = set(dev[name].ignore_changes)
        assert {"tags", "description", "cdrom", "hostpcis", "usbs", "startup", "protection", "cpu.limit"} <= ignored
        assert not described & ignored
        every = {field for field in map(camel, VM_FIELDS) if not field.startswith("timeout")}
        given = {*dev[name].inputs, "clone", "migrate", "nodeName", "reboot", "rebootAfterUpdate", "template", "vmId"}
        unset = every - given - {"macAddresses", "purgeOnDestroy", "deleteUnreferencedDisksOnDestroy"}
        assert unset <= ignored, "a setting that the program does not give is the users'"


def test_cluster_options_and_bridges_keep_what_a_user_set_beside_the_description(
    dev: Recording, tmp_path: Path
) -> None:
    """The update of the migration network deleted the keyboard layout; the removal cleared everything."""
    every = {camel(name) for name in proxmoxve.cluster.OptionsArgs.__init__.__annotations__ if name != "return"}
    options = dev["cluster-options"]
    assert set(options.ignore_changes) == every - {name for name, value in options.inputs.items() if value is not None}
    assert options.retain

    def no_network(config: dict[str, Any]) -> None:
        config["cluster"]["options"] = {"haShutdownPolicy": "freeze"}

    policy = changed(tmp_path, no_network)["cluster-options"]
    assert "haShutdownPolicy" not in policy.ignore_changes
    assert {"migrationCidr", "migrationType", "keyboard"} <= set(policy.ignore_changes)
    assert {"vlanAware", "gateway"} <= set(dev["virtual-vmbr1"].ignore_changes)


def test_what_ha_decides_is_never_changed_back(dev: Recording) -> None:
    """F16: a guest that HA moved is neither replaced nor moved back, nor rebooted by the provider."""
    vm = dev["vm01-vm"]
    assert {"nodeName", "started"} <= set(vm.ignore_changes)
    assert vm.inputs["started"] is False
    assert vm.inputs["onBoot"] is False
    assert vm.inputs["rebootAfterUpdate"] is False
    assert "type" in vm.inputs["cpu"]
    assert vm.inputs["cpu"]["type"] == dev["debian-template-template"].stdin["cpu_type"] == "qemu64"


def test_placement_is_a_rule_since_pve_9_and_a_group_before(dev: Recording, tmp_path: Path) -> None:
    rule = dev["vm01-ha-rule"].inputs
    assert rule["resources"] == ["vm:200"]
    assert rule["nodes"] == {"proxmox01": 2.0, "proxmox02": 1.0, "proxmox03": 1.0}
    assert "group" not in dev["vm01-ha"].inputs

    def eight(config: dict[str, Any]) -> None:
        config["pveMajor"] = 8
        url = "http://download.proxmox.com/iso/proxmox-ve_8.4-1.iso"
        config["outerHosts"][0]["installer"] = {"url": url, "checksum": f"sha256:{'8' * 64}"}

    old = changed(tmp_path, eight)
    assert "vm01-ha-rule" not in old.names
    assert old["vm01-ha"].inputs["group"] == "vm01-placement" == old["vm01-ha-group"].inputs["group"]
    assert "failback" not in old["vm01-ha"].inputs
    assert old.follows("vm01-ha", "vm01-ha-group")


def test_a_clone_is_tried_once_so_that_nobody_elses_vm_is_taken_for_it(dev: Recording) -> None:
    """On a second try the provider takes "already exists" for its own work."""
    assert dev["vm01-vm"].inputs["clone"]["retries"] == 1


def test_clones_are_made_a_few_at_a_time(tmp_path: Path) -> None:
    def more(config: dict[str, Any]) -> None:
        guest = config["guests"].pop(0)
        config["guests"] = [{**guest, "name": f"vm{n:02}", "vmid": 200 + n} for n in range(1, 6)]

    recording = changed(tmp_path, more)
    assert not recording.follows("vm02-vm", "vm01-vm")
    assert recording.follows("vm03-vm", "vm01-vm")
    assert recording.follows("vm04-vm", "vm02-vm")
    assert recording.follows("vm05-vm", "vm03-vm")
    assert not recording.follows("vm05-vm", "vm04-vm")


def test_existing_nodes_have_no_vm_and_the_same_checks(physical: Recording) -> None:
    assert not [name for name in physical.names if name.endswith(("-install", "pve1-vm"))]
    networked = physical["pve2-network"].stdin
    assert physical.follows("pve2-prepare", "pve2-network")
    assert networked["machine"]["name"] == "pve2"
    assert [(found["address"], found["name"]) for found in networked["network"]["interfaces"]] == [
        ("10.10.1.102/24", "eth1"),
        ("10.20.1.102/24", "eth2"),
        ("10.30.1.102/24", "eth3"),
    ]
    assert physical["pve2-verify"].deleted_with == ""
    assert physical["pve2-claim"].stdin == {"machine": networked["machine"], "stack": "test"}
    assert physical.follows("pve2-package", "pve2-claim"), "whose it is is known before anything is put there"


def test_an_existing_clusters_guests_survive_destroy_unless_a_key_says_otherwise(
    dev: Recording, physical: Recording, tmp_path: Path
) -> None:
    living = ("vm01-vm", "vm01-ha", "vm01-ha-rule", "debian-template-template", "cluster-storage-shared")
    assert [physical[name].retain for name in living] == [True] * 5
    assert [dev[name].retain for name in living] == [False] * 5

    def remove(config: dict[str, Any]) -> None:
        config["cluster"]["onDestroy"] = "remove-guests"

    removing = changed(tmp_path, remove, "physical")
    assert [removing[name].retain for name in living] == [False] * 5


def test_outputs_are_static_facts(dev: Recording) -> None:
    assert dev.exports["guests"] == {"vm01": "vm:200", "ct01": "ct:300"}
    assert dev.exports["nodes"]["proxmox03"] == "https://192.168.0.187:8006"
    assert dev.exports["cluster"]["votes"] == 3


def test_wrong_configuration_ends_the_run_before_anything_is_registered(tmp_path: Path) -> None:
    config = stack_file("dev")
    config["cluster"]["seed"] = "nobody"
    with pytest.raises(pulumi.RunError, match=r"cluster\.seed: there is no node nobody"):
        run(config, tmp_path)


def test_the_program_is_only_wiring() -> None:
    assert len((ROOT / "__main__.py").read_text().splitlines()) <= 69  # with the comment on garbage


def test_no_component_reads_configuration_or_exports() -> None:
    sources = {path.name: path.read_text() for path in (ROOT / "components").rglob("*.py")}
    assert "pulumi.export(" in (ROOT / "__main__.py").read_text()  # the search below would find it
    for name, text in sources.items():
        assert "pulumi.export(" not in text, name
        assert "pulumi.Config(" not in text, name
        assert "get_stack()" not in text, name


def test_commands_are_built_in_one_module_only() -> None:
    users = {path.name for path in (ROOT / "components").rglob("*.py") if "pulumi_command" in path.read_text()}
    assert users == {"steps.py"}


def test_every_change_of_an_outer_hosts_network_is_armed_and_confirmed(dev: Recording) -> None:
    bridges = dev.of_type("proxmoxve:network/linux/bridge:Bridge")
    assert len(bridges) > 1
    for bridge in bridges:
        arm, confirm = ["virtual-network-arm"], ["virtual-network-confirm"]
        assert bridge.hooks == {
            "beforeCreate": arm,
            "beforeUpdate": arm,
            "afterCreate": confirm,
            "afterUpdate": confirm,
            "onError": ["virtual-network-reverted"],
        }
    assert not dev["vm01-ha"].hooks, "what is no bridge arms nothing"


def test_a_vm_of_somebody_elses_is_not_started_changed_or_deleted(dev: Recording) -> None:
    """The provider takes "already exists" for its own work; and it deletes by number."""
    for name in ("proxmox01-vm", "proxmox02-vm", "vm01-vm"):
        look = [f"{name}-ownership"]
        stay = [f"{name}-devices"]
        assert dev[name].hooks == {"beforeCreate": look, "beforeUpdate": [*look, *stay]}
        assert dev[name].inputs["started"] is False, "the installation looks whose it is, and starts it"
        assert "started" in dev[name].ignore_changes
    assert dev.follows("proxmox01-vm-guard", "proxmox01-vm")
    assert dev.follows("proxmox01-install", "proxmox01-vm-guard"), "recorded before anything else can fail"
    assert dev["proxmox01-vm-guard"].replace_with == [dev["proxmox01-vm"].urn]
    assert dev["proxmox01-vm-guard"].deleted_with == ""
    assert dev["proxmox01-vm-guard"].stdin["name"] == "101"


def test_plain_pulumi_outside_of_its_shell_is_told_where_to_go_before_anything_is_registered(tmp_path: Path) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        run(stack_file("dev"), tmp_path, endpoint="")
    assert str(refused.value).startswith("error[engine-environment]: pulumi was started without")
    assert 'next: `make shell STACK=test` and pulumi in it; or `eval "$(make env STACK=test)"`' in str(refused.value)


def test_a_cluster_that_is_verified_by_its_name_needs_no_such_shell(tmp_path: Path) -> None:
    run(change(stack_file("dev"), {"cluster.api.tls": "verified"}), tmp_path, endpoint="")


def test_a_bridge_goes_with_what_arms_removes_and_confirms_when_nobody_uses_it_any_more(dev: Recording) -> None:
    """The engine removes in the order that is the other way round, and the provider removes none."""
    order = [f"virtual-vmbr{n}{end}" for n in (1, 2, 3) for end in ("-armed", "")]
    for earlier, later in itertools.pairwise(order):
        assert dev.follows(later, earlier), (earlier, later)
    for user in ("virtual-dhcp", "virtual-nfs-export", "proxmox01-vm"):
        assert dev.follows(user, order[-1]), user
    for number in (1, 2, 3):
        removal = dev[f"virtual-vmbr{number}-armed"]
        assert dev[f"virtual-vmbr{number}"].deleted_with == removal.urn
        assert "create" not in removal.inputs, "nothing is armed when nothing is removed"
        assert removal.stdin["change"] == f"removal of bridge vmbr{number} of stack-test"
        assert removal.stdin["ownership"]["name"] == f"vmbr{number}", "looked at before it goes"


def test_a_witness_is_removed_from_the_control_machine_which_passes_over_a_dead_one(tmp_path: Path) -> None:
    def witnessed(config: dict[str, Any]) -> None:
        machine = {"name": "witness", "address": "192.168.0.106", "hostKey": host_key("witness")}
        config["cluster"]["qdevice"] = {"machine": machine}

    recording = changed(tmp_path, witnessed, "twonode")
    server, removal = recording["witness-witness-server"], recording["witness-witness-removal"]
    assert "delete" not in server.inputs, "the plugin dials a dead machine, and fails"
    assert removal.inputs["delete"] == ".venv/bin/python -m cluster remove-witness --delete"
    assert parse(ADMIN_STEPS["remove-witness"], removal.stdin).machine.address == "192.168.0.106"
    # The server's step goes first, then this; the package of steps is there until then.
    assert recording.follows(server.name, removal.name)
    assert recording.follows(removal.name, "witness-witness-package")


@pytest.mark.parametrize(("stack", "host"), [("dev", "virtual"), ("libvirt", "kvmhost")])
def test_further_packages_are_installed_once_on_hosts_and_on_nodes(stack: str, host: str, tmp_path: Path) -> None:
    def more(config: dict[str, Any]) -> None:
        config["outerHosts"][0]["packages"] = ["openvswitch-switch", "nfs-kernel-server"]
        config["maintenance"] = {"packages": ["tmux", "htop", "tmux"]}

    before, after = run(stack_file(stack), tmp_path), changed(tmp_path, more, stack)
    needed = before[f"{host}-repository"].stdin["packages"]
    assert after[f"{host}-repository"].stdin["packages"] == sorted([*needed, "openvswitch-switch"])
    assert "nfs-kernel-server" in needed
    assert before["proxmox01-prepare"].stdin["repository"]["packages"] == []
    assert after["proxmox01-prepare"].stdin["repository"]["packages"] == ["htop", "tmux"]
