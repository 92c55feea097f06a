"""A VM on the lab's outer host, made without the Proxmox stand-ins: through the hypervisor's socket."""

from __future__ import annotations

import json
import tomllib
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.lab.conftest import Lab

OUTER = "192.168.0.180"
ISO = "/var/lib/vz/template/iso/proxmox-ve_9.1-1.iso"
ASK = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("/run/pve-lab/hypervisor.sock")
    connection.sendall(sys.stdin.readline().encode())
    print(connection.makefile().readline())
"""
ANSWER = """\
[global]
keyboard = "en-us"
country = "at"
fqdn = "{name}.lab.internal"
mailto = "root@lab.internal"
timezone = "Europe/Vienna"
root-password = "correct horse"
root-ssh-keys = ["{key}"]

[network]
source = "from-answer"
cidr = "{address}/24"
gateway = "192.168.0.1"
dns = "192.168.0.1"
filter.ID_NET_NAME_MAC = "*{mac}"

[disk-setup]
filesystem = "ext4"
disk-list = ["sda"]

[first-boot]
source = "from-iso"
"""
FIRST_BOOT = '#!/bin/sh\necho "$1" >> /root/first-boot-ran\n'


@dataclass
class Nested:
    """One VM: what is on its CD and how it is configured; every test makes its own."""

    lab: Lab
    vmid: int
    changes: dict[str, str] = field(default_factory=dict)  # to the configuration
    answer_edits: list[tuple[str, str]] = field(default_factory=list)
    first_boot: str = FIRST_BOOT

    @property
    def name(self) -> str:
        return f"vm{self.vmid}"

    @property
    def address(self) -> str:
        return f"192.168.0.{self.vmid - 200}"

    @property
    def mac(self) -> str:
        return f"bc:24:11:00:00:{self.vmid - 200:02x}"

    def ask(self, operation: str, **arguments: object) -> dict[str, Any]:
        """One request to the outer host's hypervisor, made on the outer host."""
        request = json.dumps({"op": operation, "vmid": self.vmid, **arguments})
        done = self.lab.run("ssh", OUTER, f"python3 -c '{ASK}'", stdin=request + "\n")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def answer(self) -> str:
        key = json.loads((self.lab.state / "credentials.json").read_text())["sshPublicKey"]
        text = ANSWER.format(name=self.name, address=self.address, mac=self.mac.replace(":", ""), key=key)
        for old, new in self.answer_edits:
            assert old in text
            text = text.replace(old, new)
        tomllib.loads(text)
        return text

    def prepare(self) -> None:
        """Make bridges, an empty disk, and the CD, with the tools that the program uses."""
        disk = json.dumps({"pve-lab-disk": str(uuid.uuid4()), "size": 32 << 30})
        self.lab.sh(
            OUTER,
            f"""
            set -e
            for number in 1 2 3; do
                ip link show vmbr$number >/dev/null 2>&1 || ip link add vmbr$number type bridge
                ip link set vmbr$number up
            done
            mkdir -p /var/lib/vz/template/iso /var/lib/pve-lab/lvm
            [ -e {ISO} ] || curl -sSf -o {ISO} http://download.proxmox.com/iso/proxmox-ve_9.1-1.iso
            echo '{disk}' > /var/lib/pve-lab/lvm/vm-{self.vmid}-disk-0
            cd /var/tmp
            cat > answer-{self.vmid}.toml <<'END'
{self.answer()}
END
            cat > first-boot-{self.vmid} <<'END'
{self.first_boot}
END
            export PYTHONPATH=/usr/share/pve-lab
            rm -f {self.cd}
            mkdir -p tmp-{self.vmid}
            python3 -m pvelab.install.assistant prepare-iso {ISO} --fetch-from iso --answer-file answer-{self.vmid}.toml \
                --on-first-boot first-boot-{self.vmid} --output {self.cd} --tmp tmp-{self.vmid}
            [ -e {self.cd} ]
            """,
        )

    @property
    def cd(self) -> str:
        return f"/var/lib/vz/template/iso/{self.name}.iso"

    def config(self) -> dict[str, str]:
        return {
            "name": self.name,
            "cpu": "host",
            "cores": "2",
            "memory": "2048",
            "scsi0": f"local-lvm:vm-{self.vmid}-disk-0,size=32G",
            "ide2": f"local:iso/{self.name}.iso,media=cdrom",
            "boot": "order=scsi0;ide2",
            "net0": f"virtio={self.mac.upper()},bridge=vmbr0,firewall=0",
            "net1": f"virtio=BC:24:11:01:00:{self.vmid - 200:02X},bridge=vmbr1",
            **self.changes,
        }

    def start(self) -> dict[str, Any]:
        volumes = {
            f"local-lvm:vm-{self.vmid}-disk-0": f"/var/lib/pve-lab/lvm/vm-{self.vmid}-disk-0",
            f"local:iso/{self.name}.iso": self.cd,
        }
        return self.ask("vm.start", config=self.config(), volumes=volumes)

    def destroy(self) -> None:
        self.ask("vm.destroy")

    @property
    def console(self) -> str:
        return self.lab.console(self.name)

    def up(self) -> bool:
        return self.lab.answers(self.address)
