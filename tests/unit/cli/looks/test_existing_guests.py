"""Existing guests that cannot be under HA as described: refused from the first look, before anything is touched."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cli.looks.existing_guests import refuse_unfit
from cluster import existing_guests, marks
from cluster.errors import AdminError
from config.load import validate
from tests.support.program import change, stack_file

if TYPE_CHECKING:
    from cli.description import Description
    from cluster.marks import Look

WEB = {"kind": "existing", "type": "vm", "name": "web", "vmid": 210}
THERE = {
    "etc/pve/storage.cfg": "nfs: shared\n",
    "etc/pve/nodes/proxmox01/qemu-server/210.conf": "name: Web\nscsi0: shared:210/x.raw\n",
}


def look(files: dict[str, str], cluster: str = "proxmox") -> Look:
    return marks.Look("a", "a", quorate=True, things=(), cluster=cluster, guests=existing_guests.read(files))


def described(dev: Description, *guests: dict[str, Any]) -> Description:
    values = stack_file("dev")
    return replace(dev, config=validate({**values, "guests": [*values["guests"], *guests]}))


def test_what_the_step_would_refuse_is_refused_and_what_it_would_do_is_not(dev: Description) -> None:
    refuse_unfit(described(dev, WEB), [look(THERE)])
    with pytest.raises(AdminError) as refused:
        refuse_unfit(described(dev, WEB, {**WEB, "name": "db", "vmid": 211}), [look({}, cluster=""), look(THERE)])
    assert (refused.value.code, refused.value.expected) == ("guest-missing", "VM 211 (db)")


@pytest.mark.parametrize("looks", [[], [look({}, cluster="")]])
def test_where_no_node_knows_the_cluster_the_step_decides(dev: Description, looks: list[Look]) -> None:
    refuse_unfit(described(dev, WEB), looks)


def test_a_stack_without_such_guests_asks_nothing(dev: Description) -> None:
    refuse_unfit(replace(dev, config=validate(change(stack_file("dev"), {"guests.0.keep": True}))), [look({})])
