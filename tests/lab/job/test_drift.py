"""What somebody changes by hand, all at once: seen, named, put right, and then nothing is left to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.job.test_cluster import boot_ids

if TYPE_CHECKING:
    from tests.support.lab_project import LabProject

OUTER, SEED, SECOND = "192.168.0.180", "192.168.0.185", "192.168.0.186"
BY_HAND = {
    OUTER: "systemctl disable --now nested-pve-ha-dhcp@vmbr1.service && "
    "sed -i s/nested=1/nested=0/ /etc/modprobe.d/nested-pve-ha.conf && "
    "rm -r /var/lib/nested-pve-ha/onnode && qm set 102 --memory 1024 --cores 2 && "
    r"sed -i '/^net1:/s/$/,firewall=1/' /etc/pve/nodes/virtual/qemu-server/103.conf && "
    r"sed -i 's,10.30.1.1/24,&\n\tmtu 1400,' /etc/network/interfaces && "
    "printf x | dd of=$(ls /var/lib/vz/template/iso/stack-dev-*.iso) conv=notrunc",
    SEED: "pveum user delete pulumi@pve && "
    "sed -i s/proxmox01:2/proxmox01:1/ /etc/pve/ha/rules.cfg && "
    "sed -i s/shutdown_policy=migrate/shutdown_policy=freeze/ /etc/pve/datacenter.cfg && "
    "sed -i s/images,rootdir,vztmpl/images/ /etc/pve/storage.cfg && ha-manager set vm:200 --max_restart 5 && "
    "pvesh set /nodes/$(ls /etc/pve/nodes/*/qemu-server/200.conf | cut -d/ -f5)/qemu/200/config --memory 600",
    SECOND: "echo '#' >> /var/lib/nested-pve-ha/onnode/step.py && pct set 300 --memory 600 && "
    "sed -i s,10.20.1.186/24,10.20.1.99/24, /etc/network/interfaces",
}
CARD = "virtio=BC:24:11:00:00:99,bridge=vmbr0,tag=30"
ADDED = {
    OUTER: f"qm set 101 --net9 {CARD}",
    SEED: f"file=$(ls /etc/pve/nodes/*/qemu-server/200.conf) && echo 'net9: {CARD}' >> $file",
}
TAKEN_AWAY = {OUTER: "qm set 101 --delete net9", SEED: "sed -i /^net9:/d /etc/pve/nodes/*/qemu-server/200.conf"}
NAMED = (
    "virtual: /var/lib/nested-pve-ha/onnode: ",
    "nested-pve-ha-dhcp@vmbr1.service is inactive, disabled",
    "/etc/modprobe.d/nested-pve-ha.conf says nested=0",
    "add pulumi@pve",
    "HA rule vm01-placement: nodes proxmox01:1,proxmox02:1,proxmox03:1, not proxmox01:2",
    "shutdown_policy freeze, not migrate",
    "/etc/pve/storage.cfg says images",
    "proxmox02: /var/lib/nested-pve-ha/onnode: step.py missing, or other than in this checkout",
    "/etc/pve/lxc/300.conf: memory 600",
    " 10.20.1.99/24, MTU 1500",
    "VM 102: cores 2, not 4; memory 1024, not 2048",
    "VM 103: net1 firewall 1, not 0",
    "VM 200: memory 600, not 512",
    "bridge vmbr3: mtu 1400, not 1500",
    "HA resource vm:200: max_restart 5, not 1",
    "9.1-1.iso: checksum ",
)
DONE_AGAIN = {"virtual-package", "virtual-dhcp", "virtual-kvm-nested", "cluster-api-user", "cluster-storage-shared"}
DONE_AGAIN |= {"proxmox02-package", "ct01-container", "proxmox02-network", "virtual-installer"}


def test_everything_that_was_changed_by_hand_is_seen_and_put_right(cluster: LabProject) -> None:
    boots = boot_ids(cluster)
    before = cluster.pulumi("stack", "export").output
    for address, command in (*BY_HAND.items(), *ADDED.items()):
        done = cluster.ssh(address, command)
        assert done.code == 0, done.output
    status = cluster.admin("status")
    assert status.code == 1
    assert [text for text in NAMED if text not in status.output] == [], status.output
    preview = cluster.admin("preview", "--look")
    assert preview.code == 0, preview.output
    assert [name for name in DONE_AGAIN if name not in preview.output] == [], preview.output
    assert "verify" not in preview.output.partition("▸ Preview")[2]
    assert cluster.pulumi("stack", "export").output == before
    run = cluster.admin("up")
    assert run.code == 0, run.output
    assert cluster.admin("status").code == 0
    assert cluster.pulumi("preview", "--expect-no-changes", "--policy-pack", "policy").code == 0
    again = cluster.admin("up")
    assert "0 changes" in again.output
    assert again.output.count(f"left as it is: virtual: net9 {CARD}") == 1
    for address, vmid in ((OUTER, 101), (SEED, 200)):
        assert f"net9: {CARD}\n" in cluster.ssh(address, f"cat /etc/pve/nodes/*/qemu-server/{vmid}.conf").output
        assert cluster.ssh(address, TAKEN_AWAY[address]).code == 0
    assert boot_ids(cluster) == boots
