"""Numbers and MAC addresses that two resources of any program have: the second one is refused, whichever kinds they are."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from policy.pve_policies import RULES, resources
from policy.pve_policies.rule import Example
from tests.support.policy import UNKNOWN_STRING, analyze

if TYPE_CHECKING:
    from policy.pve_policies import Rule

VMIDS, MACS = (next(rule for rule in RULES if rule.id == name) for name in ("unique-vmids", "unique-macs"))
FREE = count(500_000)  # what a rule has seen, it remembers: each test has numbers of its own
HOME, OFFICE = ({"endpoint": f"https://{name}.example:8006/"} for name in ("home", "office"))


def vm(api: dict[str, str] = HOME, type_: str = resources.VM, /, **props: Any) -> Example:  # noqa: ANN401 - JSON values
    return Example(type_, {"nodeName": "pve1", **props}, provider=api)


def said(rule: Rule, example: Example, name: str) -> list[str]:
    return [found.message for found in analyze(rule, example, name=name)]


@pytest.mark.parametrize(
    ("type_", "key"),
    [
        (resources.VM, "vmId"),
        (resources.CONTAINER, "vmId"),
        ("proxmoxve:index/vm:Vm", "resourceId"),
        ("proxmoxve:index/vm2Legacy:Vm2Legacy", "resourceId"),
        ("proxmoxve:cloned/vm:Vm", "resourceId"),
    ],
)
def test_a_number_that_another_one_has_is_refused(type_: str, key: str) -> None:
    vmid = next(FREE)
    assert said(VMIDS, vm(vmId=vmid), "web") == []
    (problem,) = said(VMIDS, vm(HOME, type_, **{key: vmid}), "shop")
    assert f"shop: vmid {vmid} is web's already. Choose a free vmid." in problem
    assert said(VMIDS, vm(vmId=vmid), "web") == [], "the update that follows the preview shows it again"
    assert said(VMIDS, vm(vmId=next(FREE)), "shop") == []


def test_a_number_of_another_cluster_is_another_number() -> None:
    vmid = next(FREE)
    assert said(VMIDS, vm(vmId=vmid), "web") == []
    assert said(VMIDS, vm(OFFICE, vmId=vmid), "shop") == []
    slashless = {"endpoint": OFFICE["endpoint"].rstrip("/")}
    assert "is shop's already" in said(VMIDS, vm(slashless, vmId=vmid), "cellar")[0]


def test_a_number_that_was_given_up_is_free() -> None:
    vmid = next(FREE)
    assert said(VMIDS, vm(vmId=vmid), "web") == []
    assert said(VMIDS, vm(vmId=next(FREE)), "web") == []
    assert said(VMIDS, vm(vmId=vmid), "shop") == []


def test_what_proxmox_chooses_is_no_matter_and_what_is_unknown_is_told() -> None:
    for name in ("one", "two"):
        assert said(VMIDS, vm(), name) == []
        assert said(VMIDS, vm(vmId=-1, __defaults=["vmId"]), name) == []
        (advice,) = said(VMIDS, vm(vmId=UNKNOWN_STRING), name)
        assert "can't run policy" in advice


def test_a_mac_address_that_another_one_has_is_refused_in_any_cluster() -> None:
    mac = f"BC:24:11:00:{next(FREE) % 256:02X}:01"
    assert said(MACS, vm(networkDevices=[{"bridge": "vmbr0", "macAddress": mac}, {"bridge": "vmbr1"}]), "web") == []
    card = {"name": "eth0", "macAddress": mac.lower()}
    (problem,) = said(MACS, vm(OFFICE, resources.CONTAINER, networkInterfaces=[card]), "shop")
    assert f"shop: MAC address {mac} is web's already" in problem
    twice = said(MACS, vm(networkDevices=[{"macAddress": "02:00:00:00:00:01"}] * 2), "twins")
    assert "02:00:00:00:00:01 is on two of its cards" in twice[0]
    (advice,) = said(MACS, vm(networkDevices=[{"macAddress": UNKNOWN_STRING}]), "later")
    assert "can't run policy" in advice
    assert said(MACS, vm(networkDevices=UNKNOWN_STRING), "later")
