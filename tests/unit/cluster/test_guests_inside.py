"""What would go with nested nodes, and is somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster import guests_inside
from cluster.errors import AdminError
from tests.unit.cli.state.test_belongings import OURS, THEIRS, guest, look

if TYPE_CHECKING:
    from cli.description import Description
    from config.model import Config

INSIDE = [
    (guest(201, THEIRS, "proxmox02"), "VM 201 (precious) on proxmox02, tags: customer"),
    (guest(300, "hostname: files", "proxmox03", "lxc"), "CT 300 (files) on proxmox03, tags: none"),
    (guest(200, "tags: nested-pve-ha;stack-prod", "proxmox01"), "VM 200 (?) on proxmox01"),
]


@pytest.mark.parametrize(("theirs", "shown"), INSIDE)
def test_nested_nodes_are_not_destroyed_with_guests_of_others(
    dev: Description, theirs: dict[str, str], shown: str
) -> None:
    seen = look({**guest(202, OURS, "proxmox01"), **theirs}, "proxmox01")
    with pytest.raises(AdminError) as refused:
        guests_inside.of_stack(dev.config, [seen, look({}, "proxmox02")])
    assert refused.value.code == "guests-inside"
    assert shown in refused.value.observed
    assert "202" not in refused.value.observed


def test_nested_nodes_are_not_destroyed_with_guests_that_are_to_be_kept(
    dev: Description, physical: Description
) -> None:
    def keeping(described: Description) -> Config:
        first, *others = described.config.guests
        return described.config.model_copy(update={"guests": (first.model_copy(update={"keep": True}), *others)})

    seen = look({**guest(200, OURS, "proxmox01"), **guest(300, OURS, "proxmox01", "lxc")}, "proxmox01")
    with pytest.raises(AdminError) as refused:
        guests_inside.of_stack(keeping(dev), [seen])
    assert refused.value.code == "guests-inside"
    assert refused.value.observed.startswith("VM 200 ")
    assert "300" not in refused.value.observed
    guests_inside.of_stack(dev.config, [seen])
    guests_inside.of_stack(keeping(physical), [look(guest(200, OURS, "pve1"), "pve1")])


def test_own_guests_and_nodes_that_stay_are_no_reason(dev: Description, physical: Description) -> None:
    guests_inside.of_stack(dev.config, [look(guest(202, OURS, "proxmox01"), "proxmox01")])
    guests_inside.of_stack(dev.config, [])
    staying = {node.name for node in physical.config.nodes}
    guests_inside.of_stack(physical.config, [look(guest(201, THEIRS, name), name) for name in staying])
