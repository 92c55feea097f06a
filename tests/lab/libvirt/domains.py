"""A domain on the lab's libvirt host, made with the tools that an administrator would use there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.lab.nested import ANSWER, FIRST_BOOT

if TYPE_CHECKING:
    from tests.lab.conftest import Done, Lab

HOST = "192.168.0.170"
IMAGES = "/var/lib/nested"
ISO = f"{IMAGES}/proxmox-ve_9.1-1.iso"
NETWORK = """\
<network>
  <name>vmbr1</name>
  <bridge name='vmbr1'/>
  <ip address='10.10.1.1' netmask='255.255.255.0'><dhcp><range start='10.10.1.50' end='10.10.1.99'/></dhcp></ip>
</network>
"""
MODE = 'mode = "iso"\npartition_label = "proxmox-ais"\n\n[http]\n'
XML = """\
<domain type='kvm'>
  <name>{name}</name>
  <metadata><ha:stack xmlns:ha="urn:nested-pve-ha" name="by-hand" vmid="{vmid}"/></metadata>
  <memory unit='MiB'>2048</memory>
  <vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/><boot dev='cdrom'/></os>
  <features><acpi/><apic/></features>
  <cpu mode='host-passthrough'/>
  <devices>
    <controller type='scsi' model='virtio-scsi'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{disk}'/><target dev='sda' bus='scsi'/>
    </disk>
    <disk type='file' device='cdrom'><source file='{cd}'/><target dev='sdb' bus='sata'/><readonly/></disk>
    <interface type='bridge'><mac address='{mac}'/><source bridge='br0'/><model type='virtio'/></interface>
    <interface type='network'><source network='vmbr1'/><model type='virtio'/></interface>
    <serial type='pty'/><console type='pty'/>
  </devices>
</domain>
"""


@dataclass
class Domain:
    """One domain: what is on its CD and how it is configured; every test makes its own."""

    lab: Lab
    vmid: int
    edits: list[tuple[str, str]] = field(default_factory=list)  # to the XML

    @property
    def name(self) -> str:
        return f"node{self.vmid}"

    @property
    def address(self) -> str:
        return f"192.168.0.{self.vmid - 200}"

    @property
    def mac(self) -> str:
        return f"52:54:00:00:00:{self.vmid - 200:02x}"

    @property
    def disk(self) -> str:
        return f"{IMAGES}/{self.name}.raw"

    @property
    def cd(self) -> str:
        return f"{IMAGES}/{self.name}.iso"

    def xml(self) -> str:
        text = XML.format(name=self.name, vmid=self.vmid, disk=self.disk, cd=self.cd, mac=self.mac)
        for old, new in self.edits:
            assert old in text
            text = text.replace(old, new)
        return text

    def answer(self) -> str:
        key = json.loads((self.lab.state / "credentials.json").read_text())["sshPublicKey"]
        return ANSWER.format(name=self.name, address=self.address, mac=self.mac.replace(":", ""), key=key)

    def prepare(self) -> None:
        """Make the volume, the CD and the definition."""
        self.lab.sh(
            HOST,
            f"""
            set -e
            cd {IMAGES}
            cat > answer.toml <<'END'
{self.answer()}
END
            cat > mode.toml <<'END'
{MODE}
END
            cat > first-boot <<'END'
{FIRST_BOOT}
END
            cat > {self.name}.xml <<'END'
{self.xml()}
END
            cp {ISO} {self.cd}
            xorriso -boot_image any keep -dev {self.cd} -map answer.toml /answer.toml \
                -map mode.toml /auto-installer-mode.toml -map first-boot /proxmox-first-boot 2>&1
            virsh pool-refresh nested
            virsh vol-create-as nested {self.name}.raw 32G --format raw --allocation 0
            virsh define {self.name}.xml
            """,
        )

    def virsh(self, command: str, *words: str) -> str:
        """`virsh COMMAND NAME …`, which must succeed; what it printed."""
        return self.lab.sh(HOST, f"virsh {command} {self.name} {' '.join(words)}")

    def refused(self, command: str, *words: str) -> str:
        """What `virsh COMMAND NAME …` says when it fails."""
        done: Done = self.lab.ssh(HOST, f"virsh {command} {self.name} {' '.join(words)}")
        assert done.returncode != 0, done.stdout
        return done.stderr

    @property
    def state(self) -> str:
        return self.virsh("domstate", "--reason").strip()

    @property
    def console(self) -> str:
        return self.lab.console(self.name)

    def up(self) -> bool:
        return self.lab.answers(self.address)

    def remove(self) -> None:
        """Whatever has become of it."""
        self.lab.ssh(HOST, f"virsh destroy {self.name}; virsh undefine {self.name} --remove-all-storage")
