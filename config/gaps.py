"""Keys that people look for, and that there are none of: what is not supported, and what to do instead."""

from __future__ import annotations

_BY_HAND = "make the guest yourself, and describe it with kind: existing: it is put under HA as it is"
_ROOT = "let root in by key: PermitRootLogin prohibit-password"

# Each with the words that name it, and the way around.
GAPS = {
    "sshPort": ("SSH on another port than 22", "let sshd listen on 22 of the management address, too"),
    "port": ("another port", "SSH goes to 22; the port of an API is a part of its endpoint"),
    "sshUser": ("a login other than root's", _ROOT),
    "user": ("a login other than root's", _ROOT),
    "connection": (
        "a machine without an SSH server",
        "install openssh-server there; the control machine itself is reached by its own address",
    ),
    "kernelOptions": (
        "the kernel's command line",
        "set it on the machine, in /etc/default/grub (then update-grub) or /etc/kernel/cmdline (then proxmox-boot-tool refresh), and reboot",
    ),
    "vlan": ("a guest's VLAN", _BY_HAND),
    "networkDevices": ("a guest with several network cards", _BY_HAND),
    "disks": ("a guest with several disks", _BY_HAND),
    "cloudInit": ("cloud-init", _BY_HAND),
    "bios": ("firmware other than the default", _BY_HAND),
    "efi": ("firmware other than the default", _BY_HAND),
    "replication": (
        "replication of guests",
        "HA guests of this program are on shared storage; make jobs of your own with pvesr, and describe the guest with kind: existing",
    ),
    "backups": ("backup jobs", "make them in Proxmox VE under Datacenter, Backup; they are left alone"),
    "diskFilter": ("a choice of the installation's disk", "a nested node has one disk, and gets it"),
    "virtualization": ("a node without virtualization", "for one more vote take a QDevice: cluster.qdevice"),
}
