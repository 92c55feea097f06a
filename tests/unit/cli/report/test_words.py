"""What is told of an operation: what is done with the machines, and on a deletion what is undone, if anything is."""

from __future__ import annotations

import pytest

from cli.report.plan import Operation
from cli.report.words import WORDS, grouped
from cluster import contract
from components import recorded
from onnode import registry

LOCAL, COPY = "command:local:Command", "command:remote:CopyToRemote"
VM = "proxmoxve:index/vmLegacy:VmLegacy"
RELEASES = {"delete": "python -m cluster existing-guest --delete"}
GUEST, NODE = ("ct01", recorded.GUEST), ("proxmox02", recorded.NODE)


def step(op: str, name: str, *, undoes: bool = False, stays: bool = False) -> Operation:
    """A step of a guest, as the state has it."""
    inputs = {"create": f"python -m cluster {name}"} | ({"delete": f"python -m cluster {name}"} if undoes else {})
    return Operation(op, f"ct01-{name}", LOCAL, GUEST, stays=stays, old=inputs)


# An operation, and what is told of it; nothing, where nothing is done.
TOLD: list[tuple[Operation, list[str]]] = [
    (step("create", "container"), ["make the container"]),
    (step("delete", "container", undoes=True), ["destroy the container"]),
    (step("delete", "container", undoes=True, stays=True), []),
    (step("delete", "template", undoes=True), ["destroy the template"]),
    (step("create", "libvirt-domain"), ["virtual machine, with its disk"]),
    (step("delete", "libvirt-domain", undoes=True), ["remove the virtual machine and its disk"]),
    (step("delete", "journal", undoes=True), ["put the host back as it was"]),
    (step("delete", "verify-guest", undoes=True), []),
    (step("delete", "join-node"), []),
    (Operation("delete", "n-package", COPY, NODE), []),
    (Operation("create", "n-package", COPY, NODE), ["copy this program's steps there"]),
    (Operation("update", "n-package", COPY, NODE), ["copy this program's steps there, again"]),
    (step("create-replacement", "container"), ["make the container, anew"]),
    (step("create-replacement", "delete-guard"), []),
    (step("create", "remove-witness"), []),
    (step("create", "existing-guest"), ["put it under HA as it is, unless it is there as described"]),
    (Operation("create", "web-release", LOCAL, GUEST, new=RELEASES), []),
    (Operation("delete", "web-release", LOCAL, GUEST, old=RELEASES), ["take it out of HA, if this stack put it there; it runs on"]),
    (
        step("delete", "remove-witness", undoes=True),
        ["take the server away, unless members or other clusters still use it"],
    ),
    (Operation("delete", "vm01-vm", VM, ("vm01", recorded.GUEST)), ["remove virtual machine vm01-vm"]),
    (Operation("delete", "vm01-vm", VM, ("vm01", recorded.GUEST), stays=True), ["forget virtual machine vm01-vm, which stays"]),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "expected"), TOLD)
def test_an_operation_is_told_as_what_it_does(operation: Operation, expected: list[str]) -> None:
    assert [text for texts in grouped([operation]).values() for text in texts] == expected


def test_a_place_where_nothing_is_done_is_not_told() -> None:
    assert grouped([step("delete", "verify-guest", undoes=True)]) == {}


def test_every_step_that_is_a_resource_has_words() -> None:
    by_hooks = {"ownership", "further-devices"}
    within_others = {"membership", "look", "join-cluster", "cluster-health", "vm-power", "diagnosis", "inventory"}
    within_others |= {"evacuate-node", "keep-members", "node-gone", "remove-member", "release-member", "reset-node"}
    within_others |= {"start-services", "restore-corosync", "expect-votes", "corosync-files"}
    within_others |= {"corosync-state", "edit-corosync", "restart-corosync", "qdevice", "qdevice --remove"}
    within_others |= {"maintenance", "move-guests", "reboot-node", "running-guests", "upgrade-node"}  # of rolling work
    on_removal = {"journal --restore", *(name for name in registry.STEPS if name.endswith(" --remove"))}
    steps = {*contract.STEPS, *registry.STEPS} - by_hooks - within_others - on_removal
    assert steps <= set(WORDS)
