"""Nothing of anybody else's is touched, and what is ours is known by its mark, also when nothing is recorded."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.lab.job.test_cluster import NODES, boot_ids
from tests.lab.job.test_growth import processes
from tests.support.bad_world import refusal, succeeded

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject

SEED = NODES["proxmox01"]
PRECIOUS = "qm create 200 --name precious --memory 333 --cores 3 --tags customer --scsi0 shared:1"
LOOK = (
    "cat /etc/pve/nodes/*/qemu-server/200.conf /etc/pve/ha/*.cfg /etc/pve/nodes/*/lxc/*.conf; "
    "pvesm list shared | sort; qm list | grep 200"
)


def seen(cluster: LabProject, address: str = NODES["proxmox02"]) -> str:
    return succeeded(cluster.ssh(address, LOOK)).output


def test_a_vm_of_somebody_else_is_neither_taken_over_nor_destroyed(cluster: LabProject) -> None:
    described = cluster.configuration()
    without = {**described, "guests": [guest for guest in described["guests"] if guest["vmid"] != 200]}
    cluster.configure(without)
    succeeded(cluster.admin("up"))
    succeeded(cluster.ssh(NODES["proxmox02"], PRECIOUS))
    try:
        before = seen(cluster)
        assert "memory: 333" in before
        said = refusal(cluster.admin("down", "--yes"), "guests-inside")
        assert "VM 200 (precious) on proxmox02, tags: customer" in said
        assert seen(cluster) == before
        succeeded(cluster.admin("status"))
        cluster.configure(described)
        said = refusal(cluster.admin("up"), "guest-foreign")
        assert "VM 200 (precious) on proxmox02, tags: customer" in said
        assert seen(cluster) == before
        # The provider alone, which plain `pulumi up` runs, does not take it over either.
        plain = cluster.pulumi("up", "--yes", "--skip-preview", "--policy-pack", "policy")
        assert plain.code != 0
        assert "error[guest-foreign]" in plain.output, plain.output
        assert seen(cluster) == before
    finally:
        cluster.configure(described)
        succeeded(cluster.ssh(NODES["proxmox02"], "qm destroy 200 --purge 1"))
    succeeded(cluster.admin("up"))


def test_a_vm_that_took_the_number_of_ours_is_not_destroyed_with_our_record_of_it(cluster: LabProject) -> None:
    described = cluster.configuration()
    taken = "ha-manager remove vm:200; for i in $(seq 60); do ha-manager status | grep -q vm:200 || break; sleep 1; done; {}"
    gone = "qm stop 200; qm destroy 200 --purge 1"
    where = next(node for sid, (node, _) in processes(cluster).items() if sid == "vm:200")
    succeeded(cluster.ssh(NODES[where], taken.format(gone)))
    succeeded(cluster.ssh(NODES["proxmox02"], PRECIOUS))
    try:
        before = seen(cluster)
        refusal(cluster.admin("up"), "guest-foreign")
        assert "VM 200 (precious) on proxmox02" in refusal(cluster.admin("preview", "--look"), "guest-foreign")
        # Whoever was told to mark it, and did, had it destroyed.
        status = cluster.admin("status")
        assert "give vm01 another vmid in the stack file" in status.output, status.output
        assert "stack-dev" not in status.output
        assert "not under HA" not in status.output
        cluster.configure({**described, "guests": [guest for guest in described["guests"] if guest["vmid"] != 200]})
        assert "only takes it out of the state" in cluster.admin("status").output
        plan = succeeded(cluster.admin("preview", "--look")).output
        assert "guest vm01: is forgotten: VM 200 (precious) on proxmox02, tags: customer is not this stack's" in plan
        assert "destroys data" not in plan
        assert "left alone: VM 200 (precious)" in succeeded(cluster.admin("up")).output
        assert seen(cluster) == before
    finally:
        cluster.configure(described)
        succeeded(cluster.ssh(NODES["proxmox02"], "qm destroy 200 --purge 1"))
    succeeded(cluster.admin("up"))


def test_a_lost_state_is_recorded_again_from_what_is_there(cluster: LabProject) -> None:
    before = boot_ids(cluster), processes(cluster)
    kept = cluster.directory / ".nested-pve" / "state"
    shutil.rmtree(kept)
    assert "make adopt" in refusal(cluster.admin("up"), "state-lost")
    adopted = succeeded(cluster.admin("adopt", "--yes")).output
    for name in (
        "virtual-vmbr1",
        "virtual-installer",
        "proxmox01-vm",
        "proxmox03-vm",
        "vm01-vm",
        "ct01-ha",
        "vm01-ha-rule",
    ):
        assert f"{name}" in adopted.partition("is recorded now:")[2]
    assert (boot_ids(cluster), processes(cluster)) == before
    assert "0 changes" in succeeded(cluster.admin("up")).output
    assert (boot_ids(cluster), processes(cluster)) == before
