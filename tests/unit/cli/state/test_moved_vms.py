"""A node's VM on another outer host than before: its record follows it where it is described, and nothing is replaced."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from cli.run import reconciling
from cli.run.loaded import LoadedStack
from cli.state import moved_vms, ownership
from cluster.errors import AdminError
from components.recorded import DOMAIN, ON_NODE, PROVIDER_TYPE, REMOTE_STEP, VM_TYPE
from tests.unit.cli.run.test_comparison import Engine
from tests.unit.cli.state.test_belongings import HOST, OURS, THEIRS, guest, look

if TYPE_CHECKING:
    from cli.description import Description
    from cluster.marks import Look

OTHER = "virtual2"
STACK = "urn:pulumi:dev::p::"


def provider(host: str) -> dict[str, Any]:
    return {
        "type": PROVIDER_TYPE,
        "urn": f"{STACK}HostPrep${PROVIDER_TYPE}::{host}-api",
        "id": f"id-of-{host}",
        "parent": f"{STACK}HostPrep::{host}",
    }


def vm(number: int, host: str) -> dict[str, Any]:
    values = {"vmId": 100 + number, "nodeName": host}
    return {
        "type": VM_TYPE,
        "urn": f"{STACK}NestedPveNode${VM_TYPE}::proxmox0{number}-vm",
        "id": str(100 + number),
        "inputs": dict(values),
        "outputs": dict(values),
        "provider": f"{provider(host)['urn']}::id-of-{host}",
        "protect": True,
    }


def step(name: str, *after: dict[str, Any], inside: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "command:remote:Command", "urn": f"{STACK}Command::{name}", "inputs": {}}
    found["dependencies"] = [one["urn"] for one in after]
    return found | ({"deletedWith": inside["urn"]} if inside else {})


def component(host: str) -> dict[str, Any]:
    return {"type": "HostPrep", "urn": f"{STACK}HostPrep::{host}", "custom": False}


SECOND = vm(2, HOST)
INSTALL = step("proxmox02-install", SECOND, inside=SECOND)
JOINED = step("cluster-join-proxmox02", INSTALL)


def recorded(*, host_known: bool = True, member: bool = True) -> dict[str, Any]:
    """The other host was added later, so that it stands at the end."""
    later = [component(OTHER), provider(OTHER)] if host_known else []
    resources = [component(HOST), provider(HOST), vm(1, HOST), SECOND, INSTALL, *([JOINED] if member else []), *later]
    return {"deployment": {"resources": resources}}


def described(dev: Description, host: str = OTHER) -> Description:
    """Stack dev with a second outer host, on which node 2 is."""
    second = dev.config.outer_hosts[0].model_copy(update={"name": OTHER})
    nodes = [one.model_copy(update={"host": host}) if one.name == "proxmox02" else one for one in dev.config.nodes]
    config = dev.config.model_copy(update={"outer_hosts": [*dev.config.outer_hosts, second], "nodes": nodes})
    return dataclasses.replace(dev, config=config)


def seen(on: str | None, text: str = OURS) -> dict[str, list[Look]]:
    """Both hosts are members of one cluster: each shows the VMs of both."""
    files = guest(101, OURS, HOST) | (guest(102, text, on) if on else {})
    return {host: [look(files, host)] for host in (HOST, OTHER)}


def by_name(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["urn"].rpartition("::")[2]: one for one in state["deployment"]["resources"]}


def test_a_vm_that_is_where_it_is_described_is_recorded_there(
    dev: Description, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine(recorded())
    reconciling.with_machines(LoadedStack(described(dev), engine, engine.export(), seen(OTHER)))  # type: ignore[arg-type]
    known = by_name(engine.state)
    moved = known["proxmox02-vm"]
    assert moved == {
        **SECOND,
        "provider": f"{provider(OTHER)['urn']}::id-of-{OTHER}",
        "inputs": {"vmId": 102, "nodeName": OTHER},
        "outputs": {"vmId": 102, "nodeName": OTHER},
    }
    assert {name: one for name, one in known.items() if name != "proxmox02-vm"} == {
        name: one for name, one in by_name(recorded()).items() if name != "proxmox02-vm"
    }
    assert "proxmox02-vm: from virtual to virtual2" in capsys.readouterr().out
    assert engine.ran == []


def test_the_record_is_in_an_order_that_the_engine_takes(dev: Description) -> None:
    state, _ = moved_vms.follow(described(dev), recorded(), seen(OTHER))
    names = [one["urn"].rpartition("::")[2] for one in state["deployment"]["resources"]]
    order = [f"{OTHER}", f"{OTHER}-api", "proxmox02-vm", "proxmox02-install", "cluster-join-proxmox02"]
    assert [name for name in names if name in order] == order
    assert sorted(names) == sorted(by_name(recorded()))


@pytest.mark.parametrize("on", [HOST, None, "elsewhere"])
def test_a_member_that_is_not_there_is_not_made_anew(dev: Description, on: str | None) -> None:
    engine = Engine(recorded())
    loaded = LoadedStack(described(dev), engine, engine.export(), seen(on))  # type: ignore[arg-type]
    with pytest.raises(AdminError) as refused:
        reconciling.with_machines(loaded)
    assert refused.value.code == "vm-moved"
    assert (f"on {on}" if on else "no VM 102") in refused.value.observed
    assert f"set host of proxmox02 back to {HOST}" in refused.value.fix
    assert (engine.state, engine.ran) == (recorded(), [])


def test_somebody_elses_vm_there_is_not_followed(dev: Description) -> None:
    with pytest.raises(AdminError) as refused:
        moved_vms.follow(described(dev), recorded(), seen(OTHER, THEIRS))
    assert refused.value.code == "vm-moved"


def test_a_host_of_which_nothing_is_recorded_cannot_take_it_over_yet(dev: Description) -> None:
    for member in (True, False):
        with pytest.raises(AdminError) as refused:
            moved_vms.follow(described(dev), recorded(host_known=False, member=member), seen(OTHER))
        assert refused.value.code == "vm-moved"
        assert f"with outer host {OTHER} described" in refused.value.fix


def test_what_was_no_member_yet_is_made_where_it_is_described(dev: Description) -> None:
    state = recorded(member=False)
    assert moved_vms.follow(described(dev), state, seen(HOST)) == (state, [])


def test_a_vm_that_did_not_move_stays_recorded_as_it_is(dev: Description) -> None:
    state = recorded()
    assert moved_vms.follow(described(dev, HOST), state, seen(HOST)) == (state, [])
    # Where it moved and the file does not say so, the way back is named, and the other way.
    with pytest.raises(AdminError) as refused:
        ownership.compare(described(dev, HOST), state, seen(OTHER))
    assert refused.value.code == "vm-moved"
    assert "set host of proxmox02 to it" in refused.value.fix


@pytest.mark.parametrize("host", [HOST, OTHER])
def test_a_vm_of_libvirt_stays_where_it_is(dev: Description, host: str) -> None:
    """Another one would be made, and the first one would answer at the node's address as if it were installed."""
    inputs = {"create": f"{ON_NODE} {DOMAIN}", "stdin": json.dumps({"host": HOST, "vmid": 102})}
    made = {"type": REMOTE_STEP, "urn": f"{STACK}NestedPveNode$x::proxmox02-vm", "inputs": inputs}
    state = {"deployment": {"resources": [made]}}
    if host == HOST:
        assert moved_vms.follow(described(dev, host), state, {}) == (state, [])
        return
    with pytest.raises(AdminError) as refused:
        moved_vms.follow(described(dev, host), state, {HOST: [look({})], OTHER: [look({})]})
    assert refused.value.code == "vm-moved"
    assert f"set host of proxmox02 back to {HOST}" in refused.value.fix
