"""Three stand-alone nodes of the physical lab, and what an administrator does to make a cluster of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.lab.conftest import eventually

if TYPE_CHECKING:
    from tests.lab.conftest import Done, Lab

NUMBERS = (1, 2, 3)
# What a node has of a cluster: its own name alone, where it has none.
REMAINS = "ls -A /etc/corosync | grep -v uidgid.d; ls /etc/pve/nodes"
INTERFACES = """
cat > /etc/network/interfaces.d/links <<END
auto eth1
iface eth1 inet static
    address 10.10.1.10{0}/24
auto eth2
iface eth2 inet static
    address 10.20.1.10{0}/24
END
ifreload -a
"""


@dataclass(frozen=True)
class Proxmox:
    """The nodes pve1 to pve3, named by their numbers."""

    lab: Lab

    def sh(self, number: int, script: str) -> str:
        """A script on a node that must succeed; gives back its output."""
        return self.lab.sh(f"pve{number}.lab.internal", script)

    def ssh(self, number: int, script: str) -> Done:
        """A script on a node, whatever its outcome."""
        return self.lab.ssh(f"pve{number}.lab.internal", script)

    def console(self, number: int, script: str) -> str:
        """A script on a node's console: a half-joined node takes no SSH keys."""
        return self.lab.do("node", "console", f"pve{number}", stdin=script)

    def prepare_links(self) -> None:
        """Give every node its addresses on both link networks, also after a reboot."""
        for number in NUMBERS:
            self.sh(number, INTERFACES.format(number))

    def seed(self) -> None:
        """Make a cluster of pve1 alone, among stand-alone nodes."""
        eventually(
            lambda: all(self.ssh(number, "test -e /etc/pve/vzdump.cron").returncode == 0 for number in NUMBERS),
            "booted",
        )
        self.prepare_links()
        self.create()

    def create(self) -> str:
        """Make pve1 a cluster and wait until it takes writes; gives back what the tool printed."""
        said = self.sh(1, "pvecm create proxmox --link0 10.10.1.101,priority=20 --link1 10.20.1.101,priority=10")
        eventually(lambda: self.is_writable(1), "pve1 is quorate")
        return said

    def fingerprint(self, number: int) -> str:
        """Of the certificate that the node's API shows."""
        command = "openssl x509 -in /etc/pve/local/pve-ssl.pem -noout -fingerprint -sha256 | cut -d= -f2"
        return self.sh(number, command).strip()

    @property
    def password(self) -> str:
        """Root's, on all nodes."""
        credentials: dict[str, Any] = json.loads((self.lab.state / "credentials.json").read_text())
        return str(credentials["rootPassword"])

    def join(self, number: int, *, host: str = "10.10.1.101", password: str | None = None, limit_s: int = 120) -> Done:
        """Join over the API with the password on standard input, given up after a while as a careful caller would."""
        links = f"--link0 10.10.1.10{number} --link1 10.20.1.10{number}"
        script = (
            f"cd /root; timeout {limit_s} pvecm add {host} --fingerprint {self.fingerprint(1)} {links} 2>&1 "
            f"<<<'{password or self.password}'; echo rc=$?"
        )
        return self.ssh(number, script)

    def form(self) -> list[str]:
        """The whole cluster; gives back what each step printed."""
        self.prepare_links()
        return [self.create(), *(self.join(number).stdout for number in NUMBERS[1:])]

    def is_writable(self, number: int) -> bool:
        """Whether the node's /etc/pve takes writes."""
        return self.ssh(number, "touch /etc/pve/probe && rm /etc/pve/probe").returncode == 0

    def members(self, number: int) -> dict[str, Any]:
        """/etc/pve/.members of a node."""
        found: dict[str, Any] = json.loads(self.sh(number, "cat /etc/pve/.members"))
        return found

    def online(self, number: int) -> set[str]:
        """The members that a node sees."""
        return {name for name, member in self.members(number)["nodelist"].items() if member["online"]}

    def boot_id(self, number: int) -> str:
        """Empty while the node does not answer."""
        return self.ssh(number, "cat /proc/sys/kernel/random/boot_id").stdout.strip()

    def sees_all(self, number: int) -> bool:
        """Whether the node is up, quorate and sees every node online."""
        found = self.ssh(number, "stat -c %A /etc/pve | grep -q ^drwx && cat /etc/pve/.members")
        return found.returncode == 0 and all(node["online"] for node in json.loads(found.stdout)["nodelist"].values())

    def ha(self, number: int) -> dict[str, str]:
        """`ha-manager status` as one node tells it, by type and name."""
        lines = self.sh(number, "ha-manager status").splitlines()
        return {" ".join(line.split()[:2]) if " (" in line else line.split()[0]: line for line in lines}

    def runs_guest(self, number: int, vmid: int) -> bool:
        """Whether the guest's process is on the node."""
        return self.ssh(number, f"pgrep -f '^/usr/bin/kvm -id {vmid} '").returncode == 0
