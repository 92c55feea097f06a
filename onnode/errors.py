"""Every error that a step can end with: a stable code, its meaning, and what to do next.

`docs/recovery.md` is made from :data:`ON_NODE_CODES`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# What a terminal or a reader obeys instead of showing it: sequences of escape, other controls, and letters without width.
COMMANDS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]"
    r"|[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
BLANKS = re.compile(r"[^\S \n]")


def plain(text: str) -> str:
    """The text as it is to be read: names and messages of machines may hold what a terminal would obey. Ends of lines stay."""
    return BLANKS.sub(" ", COMMANDS.sub("", text))


@dataclass(frozen=True)
class Code:
    """What a code stands for, and the one command or change of configuration that resolves it."""

    meaning: str
    next: str


ON_NODE_CODES: dict[str, Code] = {
    # -- the step itself
    "bad-input": Code(
        "The step was called with a name or a desired state that it does not know.",
        "run the same command from a clean checkout; the package on the machine and the program must be of one version",
    ),
    "not-root": Code(
        "The step was started by an ordinary user.",
        "let root log in over SSH with the key (`PermitRootLogin prohibit-password` in its sshd_config)",
    ),
    "machine-busy": Code(
        "Another step is still running on the machine, perhaps one of a killed run.",
        "wait until that process has ended, then run the same command again",
    ),
    "lock-unsafe": Code(
        "A lock in /run/nested-pve-ha cannot be opened: the directory or the file is a link, or of another type than this program makes.",
        "look at what is in it; `rm -r /run/nested-pve-ha` on the machine, then run the same command again",
    ),
    "interrupted": Code(
        "The step was stopped. It can continue from the present state of the machine.", "run the same command again"
    ),
    "not-converged": Code(
        "A change was made, but a check afterwards shows that it had no effect.",
        "find what undoes the change on the machine (configuration management, a hook), then run the same command again",
    ),
    "internal": Code("The step met a case that it does not know.", "report it with the whole message"),
    "command-missing": Code(
        "A program that the step needs is not installed.",
        "install it on the machine with apt-get, then run the same command again",
    ),
    "command-failed": Code(
        "A program that the step needs ended with an error.",
        "run the shown command on the machine and resolve its error",
    ),
    "command-timeout": Code(
        "A program did not end within its time.", "run the shown command on the machine to see what it waits for"
    ),
    "pve-filesystem-hangs": Code(
        "/etc/pve does not answer.",
        "on that machine: `systemctl restart pve-cluster`, then run the same command again",
    ),
    "not-proxmox": Code(
        "The machine does not run Proxmox VE.",
        "install Proxmox VE on it, or correct the machine's address in the configuration",
    ),
    # -- outer host
    "no-virtualization": Code(
        "The processor shows neither vmx nor svm.",
        "turn on VT-x or AMD-V in the firmware; for a nested machine set its CPU type to `host` and stop and start it",
    ),
    "kvm-in-use": Code(
        "Nested virtualization is configured, but the KVM module cannot be reloaded while VMs run.",
        "stop these VMs or reboot the host, then run the same command again",
    ),
    "kvm-built-in": Code(
        "The KVM module is built into the kernel: no file in /etc/modprobe.d reaches it.",
        "add the parameter that the message names to the kernel's command line, then reboot the host",
    ),
    "kvm-command-line": Code(
        "The kernel's command line overrides the option for nested virtualization, or keeps the KVM module out.",
        "remove the named parameters from the kernel's command line (GRUB: /etc/default/grub and `update-grub`; systemd-boot:"
        " /etc/kernel/cmdline and `proxmox-boot-tool refresh`), then reboot the host",
    ),
    "kvm-refused-by-firmware": Code(
        "The kernel cannot turn virtualization on, because the firmware has disabled and locked it.",
        "turn on VT-x or AMD-V (SVM) in the firmware, and power the host off and on",
    ),
    "kvm-module-missing": Code(
        "The running kernel has no KVM module.",
        "boot a kernel that has it, as Proxmox VE's and Debian's own ones do; after a kernel upgrade that removed the running one's modules, reboot the host",
    ),
    "kvm-load-failed": Code(
        "The KVM module could not be loaded.",
        "run the shown command on the machine and resolve its error (look for `install` and `blacklist` lines in modprobe.d, too)",
    ),
    "kvm-conflicting-options": Code(
        "Another file in /etc/modprobe.d overrides the option for nested virtualization.",
        "remove that line from the named file, then run the same command again",
    ),
    "pve-version": Code(
        "The machine runs another major version of Proxmox VE than configured.",
        "set pveMajor to the machine's version, or install the configured one",
    ),
    "host-memory": Code(
        "The outer host has too little memory for the nested nodes.",
        "give the nodes less memory in the configuration, or use a bigger host",
    ),
    "iso-missing": Code(
        "The installer ISO is not where the configuration says.",
        "correct the ISO's path or URL in the configuration, or upload the file",
    ),
    "iso-checksum": Code(
        "A downloaded file does not have the configured checksum.",
        "correct the URL, or the checksum from Proxmox' own list (a copied stack file has that of the lab's stand-in); never leave "
        "the checksum out for a file you do not know",
    ),
    "iso-not-automatic": Code(
        "The installer ISO cannot install by itself: it is older than Proxmox VE 8.2, or no installer of Proxmox VE.",
        "name an ISO of Proxmox VE 8.2 or later in the configuration",
    ),
    "host-disk": Code(
        "The outer host has too little room for the disks of the nested nodes, or for the installer ISO.",
        "make room on the file system of the directory that the message names, name another directory in the configuration, or give "
        "the nodes smaller disks",
    ),
    "libvirt-down": Code(
        "libvirt does not answer on the outer host.",
        "`systemctl status libvirtd.socket libvirtd` on the outer host; `systemctl restart libvirtd`, which stops no VM",
    ),
    "libvirt-denied": Code(
        "AppArmor, or a directory that only root may enter, keeps a VM of libvirt from one of its files.",
        "`namei -l` with the file's path on the outer host shows which directory the user libvirt-qemu may not enter: `chmod o+x` it; "
        "`journalctl -k --grep apparmor` shows what AppArmor denied",
    ),
    "libvirt-differs": Code(
        "What this stack made in libvirt differs from the configuration in what cannot be changed: the name or number of a VM, the directory "
        "of the disks, a disk that would have to shrink.",
        "put the shown value back into the configuration; to have a node otherwise, leave it out of the stack file, `make up`, then describe "
        "it again",
    ),
    "kvm-inaccessible": Code(
        "A VM of libvirt cannot use /dev/kvm: it is not there, or the user that libvirt runs its VMs as may not open it.",
        "`ls -l /dev/kvm` on the outer host: without it, load the KVM module; else `chgrp kvm /dev/kvm`, `chmod 660 /dev/kvm` and "
        "`usermod -aG kvm libvirt-qemu`; then run the same command again",
    ),
    "foreign-domain": Code(
        "A VM of libvirt has the name of a nested node, and this stack did not make it.",
        "choose another name for the node in the configuration, or rename that VM yourself (`virsh domrename`)",
    ),
    "foreign-pool": Code(
        "A pool of libvirt has the name or the directory that this stack's is to have, and this stack did not make it.",
        "choose another directory in the configuration, or remove that pool yourself (`virsh pool-destroy`, `virsh pool-undefine`: the files stay)",
    ),
    "network-in-use": Code(
        "A network of libvirt would have to be restarted or removed, and VMs or other interfaces are connected to it: they would be cut off.",
        "take what the message names off the network; then run the same command again",
    ),
    "foreign-vmid": Code(
        "A vmid of the configuration is taken by a guest that this stack did not make.",
        "choose another vmid in the configuration; nothing foreign is ever changed",
    ),
    "foreign-bridge": Code(
        "A bridge of the configuration exists and was not made by this stack.",
        "choose another bridge name in the configuration, or remove the bridge yourself",
    ),
    "stack-name-taken": Code(
        "Two names of stacks differ only in upper and lower case. Proxmox VE stores tags in lower case, so each stack "
        "would treat the other's guests as its own.",
        "give this stack another name: another stack file, and `pulumi stack rename` where it is not built yet",
    ),
    "foreign-subnet": Code(
        "A subnet of the configuration is in use on another interface of the outer host.",
        "choose another subnet in the configuration",
    ),
    "foreign-file": Code(
        "A file that this program would write exists already, and was not made by it.",
        "move that file away on the machine; nothing foreign is ever overwritten",
    ),
    "dhcp-failed": Code(
        "dnsmasq does not run for a bridge.", "`journalctl -u 'nested-pve-ha-dhcp@*'` on the outer host shows why"
    ),
    "nfs-failed": Code(
        "The outer host does not export the shared directory.",
        "`systemctl status nfs-server; exportfs -v` on the outer host",
    ),
    # -- installation of a nested node
    "vm-missing": Code(
        "The VM of a nested node does not exist.", "run the same command again: the VM is made and installed again"
    ),
    "disk-missing": Code(
        "The disk of a nested node is gone, though its VM is there.",
        "bring the file back from a backup; or give the node up: `virsh destroy` and `virsh undefine` its VM on the outer host, and run the "
        "same command again, which makes and installs it anew",
    ),
    "vm-stopped": Code(
        "The VM stopped while its node was being installed.",
        "look at the VM's task log on the outer host (of libvirt: /var/log/libvirt/qemu), then run the same command again",
    ),
    "guest-locked": Code(
        "A guest is locked by a task, so nothing can change it. A task that was interrupted leaves its lock behind.",
        "wait until the task in brackets has ended; if none runs (Tasks in the web interface): `qm unlock VMID`, of a container "
        "`pct unlock VMID`, on its node, then run the same command again",
    ),
    "address-in-use": Code(
        "Another machine answers at the node's address.",
        "choose another address in the configuration, or remove that machine from the network",
    ),
    "answer-refused": Code(
        "The installer would refuse the node's answer file.", "correct the node's values that the message names"
    ),
    "node-not-up": Code(
        "The node did not come up with its pinned host key in time.",
        "look at the VM's console on the outer host (wrong address, gateway, MAC or disk stop the installer), then run the same command again",
    ),
    # -- one node
    "hostname": Code(
        "The machine has another name than configured.", "correct the node's name or address in the configuration"
    ),
    "hostname-resolution": Code(
        "On the node, its own name does not resolve to its own address.",
        "correct /etc/hosts on the node: its name must have its own address, and no 127.x address",
    ),
    "interface-missing": Code(
        "The machine has no interface with the configured name or MAC.",
        "correct the link's interface or MAC, or the bridge's port, in the configuration",
    ),
    "address-elsewhere": Code(
        "A link's address is on another interface.",
        "correct the link's interface in the configuration, or remove the address there",
    ),
    "link-address-of-member": Code(
        "A link's address is to have another prefix while corosync uses it.",
        "put the old prefix back into the configuration; or give the link another address with the new prefix",
    ),
    "link-address": Code(
        "An address of a node, on a link or a further network, is not up.",
        "`ip -br link` on the node: with NO-CARRIER, what is behind the interface is cut (bridge, switch or cable), and "
        "`make up` does not mend that; else `ifreload -a` there",
    ),
    "management-interface": Code(
        "An interface of a link carries the machine's management address; changing it could cut the machine off.",
        "name another interface for the link, or set this one up yourself and set manageNetwork to false",
    ),
    "interface-in-use": Code(
        "An interface of a link, or a port of a bridge, is in another bridge or bond, has addresses, or is the loopback.",
        "for the link, name that bridge or bond, or another interface; for the bridge, name another network card",
    ),
    "interface-method": Code(
        "An interface of a link gets its IPv4 addresses by DHCP, or by another method that allows no address of the "
        "link's own.",
        "make it static on the machine, or name another interface for the link",
    ),
    "network-failed": Code(
        "ifupdown2 did not bring the link addresses up; the network was put back as it was.",
        "resolve the error of `ifreload -a` on the node, then run the same command again",
    ),
    "network-reverted": Code(
        "A change of a machine's network cut the machine off. The machine put the old network back.",
        "correct the link's interface, or the bridge's ports, address or MTU, in the configuration; then run the same command again",
    ),
    "journal-damaged": Code(
        "The journal on a machine is no longer JSON. It holds the files of that machine as they were before this "
        "program changed them.",
        "bring /var/lib/nested-pve-ha/journal.json back from a backup of that machine; without one move it to journal.json.damaged, "
        "then run the same command again: bridges are recognized by their mark, and the moved file keeps what is readable of the originals",
    ),
    "network-planned": Code(
        "Somebody planned changes of an outer host's network, and did not apply them. Making a bridge would apply them, "
        "too.",
        "apply them (`pvesh set /nodes/NODE/network` there) or discard them (`pvesh delete /nodes/NODE/network`), then run the same command again",
    ),
    "first-boot-hangs": Code(
        "The installer's first-boot script did not end in time.", "`systemctl status 'proxmox-first-boot*'` on the node"
    ),
    "guests-running": Code(
        "The node must reboot, but guests run on it: before it joins, or after it was drained.",
        "stop or move these guests, or, for a node that has yet to join, set maintenance.reboot to false in the configuration; "
        "then run the same command again",
    ),
    "other-major": Code(
        "The repositories of a node bring another major version of Proxmox VE: some of its source lists name another Debian release.",
        "put the release that the node runs into the files of /etc/apt/sources.list.d; to change the major version, follow Proxmox's "
        'own page "Upgrade from 8 to 9", one node after another (`make drain` first), then set pveMajor',
    ),
    "upgrade-removes": Code(
        "An upgrade would remove Proxmox VE from a node: its repositories do not belong together, or one of Proxmox' is missing.",
        "`apt-get -s dist-upgrade` on the node shows why; put its source lists right, then run the same command again",
    ),
    "install-removes": Code(
        "Packages that are to be installed conflict with others on the machine, which apt-get would remove.",
        "leave the package out of `packages` in the configuration; if you want it instead of the others, install it on the machine yourself",
    ),
    "reboot-missing": Code(
        "The node was asked to reboot, and did not.", "reboot the node, then run the same command again"
    ),
    "old-kernel": Code(
        "The node does not run its newest kernel.", "allow reboots in the configuration, or reboot the node yourself"
    ),
    "clock": Code("The node's clock is wrong.", "`chronyc makestep` on the node; check its time servers"),
    "services": Code("Not all services of Proxmox VE run on the node.", "`systemctl --failed` on the node"),
    # -- links
    "link-unreachable": Code(
        "A node does not reach another one on a link.",
        "check the link's bridge, cable or VLAN between the two nodes, and whether a firewall lets UDP 5405 to 5412 pass",
    ),
    "link-mtu": Code("Packets of full size do not pass a link.", "set the link's mtu to what its network carries"),
    "link-lossy": Code("A link loses packets.", "check the link's network between the two nodes"),
    "link-slow": Code("A link is too slow for Corosync, which needs below 5 ms.", "use a closer network for the link"),
    # -- cluster
    "other-cluster": Code(
        "The node belongs to another cluster than the described one.",
        "correct cluster.name in the configuration, or take the node out of its cluster",
    ),
    "member-differs": Code(
        "A member's id, votes or links differ from the configuration at a moment at which nothing changes them any more: somebody "
        "else may have changed them during the run.",
        "run the same command again: it plans from what is live; where the id differs, write the cluster's into the stack file",
    ),
    "create-failed": Code(
        "`pvecm create` made no cluster.", "resolve the error that it printed, then run the same command again"
    ),
    "corosync-changed": Code(
        "Somebody else changed the cluster's corosync.conf while a change of it was made. Theirs stays.",
        "compare /etc/pve/corosync.conf with the copies in /var/lib/nested-pve-ha-corosync on the members; then run the same command again",
    ),
    "corosync-edited": Code(
        "Beside the cluster's corosync.conf lies /etc/pve/corosync.conf.new, which this program does not write: somebody is about to replace "
        "the configuration, or a `pvecm` was cut off.",
        "on a member: `diff /etc/pve/corosync.conf /etc/pve/corosync.conf.new`; move the new one into place, or remove it; then run the "
        "same command again",
    ),
    "corosync-invalid": Code(
        "The next corosync.conf would not be valid; the present one stays.",
        "resolve what the message names in /etc/pve/corosync.conf or in the stack file, then run the same command again",
    ),
    "corosync-write-failed": Code(
        "The cluster's corosync.conf cannot be replaced.",
        "`pvecm status` and `systemctl status pve-cluster` on the member; then run the same command again",
    ),
    "no-quorum": Code(
        "The node is not in a quorate cluster.",
        "check the links and the other members (`pvecm status`, `corosync-cfgtool -n` on them), then run the same command again",
    ),
    "api-down": Code(
        "The node's API does not answer as it should.",
        "`systemctl restart pveproxy` on the node, `journalctl -u pveproxy`",
    ),
    "api-certificate": Code(
        "An API presents a certificate that is not its machine's own, or not for the name in the endpoint.",
        "find out which machine answers at the address; if it is the right one, use a name or address of its certificate "
        "in the endpoint, or restart its pveproxy; never turn the check off",
    ),
    "link-not-connected": Code(
        "Corosync has no connection on a link.",
        "check the link's bridge or cable between the named nodes, then run the same command again",
    ),
    "node-has-guests": Code(
        "A node with guests cannot join a cluster.",
        "move the guests away (backup and restore), then run the same command again",
    ),
    "node-unclean": Code(
        "The node has remains of a cluster.",
        "run the same command again; it finds out the state of the node and continues from there",
    ),
    "cluster-not-visible": Code(
        "No live member can show whether the cluster lists a half-joined node. So that node is not changed.",
        "bring a member of the cluster up, then run the same command again",
    ),
    "half-joined": Code(
        "The node is half joined and cannot safely be reset.",
        "stop corosync and pve-cluster on it, then run the same command again",
    ),
    "cluster-disagrees": Code(
        "The node is set up as a member, but the cluster does not list it.",
        "`make reset STACK=NAME NODE=MACHINE` makes it stand-alone, if it left the cluster; then run the same command again",
    ),
    "join-failed": Code(
        "`pvecm add` did not join the node.", "resolve the error that it printed, then run the same command again"
    ),
    "join-password": Code(
        "Each member that was asked to let a node in refused the root password.",
        "correct credentials.rootPassword (`pulumi config set --secret`): it must be root's password on a member, best the same on all",
    ),
    "join-fingerprint": Code(
        "A member's certificate changed while a node was about to join through it.",
        "run the same command again; it reads the new fingerprint",
    ),
    "join-locked": Code(
        "Another change of the cluster holds its lock.", "wait two minutes, then run the same command again"
    ),
    "join-running": Code(
        "An earlier run that was killed began `pvecm add` or `pvecm create` on the node, and it still runs there. No second one is begun.",
        "on the node, `pgrep -af pvecm` shows it; wait for its end, or `kill` it, and run the same command again",
    ),
    "join-links": Code(
        "The cluster refused the node's links.",
        "give the node the same link numbers as the members, with addresses of its own",
    ),
    "already-listed": Code(
        "The cluster lists the node already.", "run the same command again; it checks the node and continues from there"
    ),
    "seed-unreachable": Code(
        "The joining node does not reach the API of the member that is to let it in.",
        "check the network between the two nodes, TCP port 8006",
    ),
    "seed-not-quorate": Code(
        "The member that is to let a node in is not quorate: its /etc/pve is read-only.",
        "bring the missing members up; only if they are gone for good: `pvecm expected 1` on that member",
    ),
    "guest-cannot-leave": Code(
        "A member was left out of the stack file, and guests on it cannot go to another member: their disks are on storage of that "
        "node alone, they use its hardware, no other node may have them, or the node is off. Nothing was moved.",
        "move the disks to shared storage (`qm disk move`, of a container `pct move-volume`), or move the guest by backup and restore; "
        "where the node is off for good and the disks are shared, `mv /etc/pve/nodes/OLD/qemu-server/VMID.conf "
        "/etc/pve/nodes/NEW/qemu-server/` (of a container: lxc) on a member; then run the same command again; to keep the member, describe it "
        "again",
    ),
    "guest-did-not-leave": Code(
        "A guest did not leave the node that is to be removed. The guests that left before are where they went.",
        "look at the guest's task log on its node, resolve the error, then run the same command again",
    ),
    "node-still-there": Code(
        "A node that is to be removed is not off, or another machine answers at its address. A node that is removed while it is on can "
        "break the cluster.",
        "power it off for good, then run the same command again; where another machine has the address, free it first",
    ),
    "member-itself": Code(
        "A member was asked to remove itself from the cluster.", "run the same command again: it asks another member"
    ),
    "member-id-twice": Code(
        "The cluster's configuration holds a node id twice. `pvecm delnode` goes by the id, so it would throw out the healthy node.",
        "follow node-id-twice first, then run the same command again",
    ),
    "member-has-guests": Code(
        "A node that is to be removed still has configurations of guests in /etc/pve/nodes. They would be lost.",
        "move each to a member that reaches its disks: `mv /etc/pve/nodes/OLD/qemu-server/VMID.conf /etc/pve/nodes/NEW/qemu-server/` "
        "(of a container: lxc), then run the same command again",
    ),
    "remove-failed": Code(
        "`pvecm delnode` did not take a node off the list.",
        "resolve the error that it printed, then run the same command again",
    ),
    "node-votes": Code(
        "A node that is to be reset votes in a cluster.",
        "leave it out of the stack file and run `make up`, which takes it out of the cluster; then reset it",
    ),
    "works-alone": Code(
        "A node that is to be reset is quorate by itself: it may be a cluster of one that people use, or the side of a split that works.",
        "`make doctor` shows both sides of a split. If what only this node's /etc/pve has may be lost: run `make reset` on a terminal "
        "and without YES=1, where it says so and asks for the node's name",
    ),
    "reset-failed": Code(
        "A node that joined half, or that left the cluster, could not be made stand-alone.",
        "`systemctl status pve-cluster` on the node",
    ),
    "api-user": Code(
        "The API user could not be made as described.",
        "resolve the error of pveum; Proxmox VE requires passwords of at least 8 characters",
    ),
    "storage-foreign": Code(
        "A storage of the described name exists, and this stack did not make it.",
        "give the storage another name, or describe it with kind: external; a foreign storage is never touched",
    ),
    "storage-differs": Code(
        "A storage that this stack made has another type, server or export than described; Proxmox VE changes none of these.",
        "change the stack file to match it, or remove it with `pvesm remove` (the files on it stay), then run the same command again",
    ),
    "storage-failed": Code(
        "Proxmox VE refused a change of a storage.",
        "run the shown command on a member and resolve its error; `showmount -e SERVER` shows what the server exports",
    ),
    "mark-failed": Code(
        "The file in /etc/pve that marks what a stack made cannot be changed.",
        "make sure that the cluster is quorate (`pvecm status` on a member), then run the same command again",
    ),
    "api-user-foreign": Code(
        "The described API user exists, and this program did not make it.",
        "set cluster.api.user to a name that is free; only if this stack made that user and its comment was edited: "
        "`pveum user modify USER --comment 'Made by nested-pve-ha'` on a member, which makes its password and roles this stack's",
    ),
    "api-role-foreign": Code(
        "The role that this program would make exists, and this program did not make it.",
        "set cluster.api.role to the role that the API user is to have, or rename that role",
    ),
    "api-user-narrowed": Code(
        "A rule on a deeper path takes rights away from the API user, so calls there would be refused.",
        "remove the named rule with the command in the message, or leave what it concerns out of the stack file",
    ),
    "maintenance-not-taken": Code(
        "The HA manager did not take up, or did not end, the maintenance of a node.",
        "`ha-manager status` on a member: the master must be active, and the agent (LRM) of that node must report; "
        "`systemctl restart pve-ha-lrm` there, then run the same command again",
    ),
    "guests-remain": Code(
        "HA leaves guests on a node in maintenance: no other node may have them, or their migration fails. They go on running.",
        "`ha-manager rules list` shows where they may run, `journalctl -u pve-ha-crm` on the HA master what fails; put that right and run "
        "the same command again, or `make undrain NODE=…`",
    ),
    "migration-failed": Code(
        "A guest that is not under HA could not be moved to another node. It goes on running where it was.",
        "read the task's log (shown), or move the guest yourself, then run the same command again",
    ),
    # -- packages
    "repository-unauthorized": Code(
        "A package repository refused access; the enterprise repositories need a subscription.",
        "set the repository mode to no-subscription, or enter the subscription key on the machine",
    ),
    "repository-unreachable": Code(
        "A package repository could not be reached.",
        "check the machine's gateway and DNS, or set the repository's uri to a mirror that it can reach",
    ),
    "repository-syncing": Code(
        "A package repository is being changed: its index and its files do not fit together yet.",
        "wait some minutes, then run the same command again; if it stays so, set the repository's uri to another mirror",
    ),
    "repository-damaged": Code(
        "A file from a package repository has another checksum than in the signed index (a mirror or proxy with old "
        "files).",
        "`apt-get clean` and `apt-get update` on the machine; if it stays so, clear the proxy's cache or use another mirror",
    ),
    "repository-expired": Code(
        "A package repository's index is too old to be trusted: the mirror is no longer kept up, or the machine's clock is wrong.",
        "compare `date` on the machine with the date in the message; if it is right, set the repository's uri to a mirror that is kept up",
    ),
    "repository-changed": Code(
        "A package repository has another name or release than before, and apt asks to confirm that.",
        "`apt-get update --allow-releaseinfo-change` on the machine, if the change is expected",
    ),
    "disk-full": Code(
        "There is no room left on the machine's disk for packages.",
        "`apt-get clean` and `df -h` on the machine, make room, then run the same command again",
    ),
    "packages-broken": Code(
        "The machine's packages do not fit together.",
        "`apt-get -f install` on the machine, then run the same command again",
    ),
    "repository-untrusted": Code(
        "A package repository's signature is missing or not by a known key.",
        "install the Proxmox archive keyring on the machine, or correct the repository's uri",
    ),
    "sources-unreadable": Code(
        "apt cannot read its source lists, or could not after a change. The lists are as they were before.",
        "correct the source list that apt names (`apt-get indextargets` on the machine reads them), then run the same command again",
    ),
    "keyring-missing": Code(
        "The key that signs Proxmox' packages is not on the machine.",
        "`apt-get install proxmox-archive-keyring` on the machine",
    ),
    "apt-locked": Code(
        "Another package manager holds apt's lock.",
        "wait until that process has ended, then run the same command again",
    ),
    "apt-failed": Code("apt-get failed.", "run the shown apt-get command on the machine and resolve its error"),
    "package-unavailable": Code(
        "A package is in none of the machine's repositories.",
        "set the repository mode to no-subscription, or add the repository that carries it",
    ),
}


class StepError(Exception):
    """A refusal or failure that a user reads.

    Args:
        code: a key of :data:`ON_NODE_CODES`.
        what: what happened, one sentence.
        observed: what was seen.
        expected: what should have been.
        fix: the next command, when more is known than the code's own.

    Attributes:
        addresses: those that it is about, for programs.
    """

    def __init__(self, code: str, what: str, *, observed: str = "", expected: str = "", fix: str = "") -> None:
        super().__init__(f"{code}: {what}")
        self.code = code
        self.what = what
        self.observed = observed
        self.expected = expected
        self.fix = fix or ON_NODE_CODES[code].next
        self.addresses: list[str] = []

    def render(self) -> str:
        """The lines that end a failed step's standard error; what machines said is in them as plain text."""
        lines = [f"error[{self.code}]: {self.what}"]
        lines += [f"  observed: {self.observed}"] if self.observed else []
        lines += [f"  expected: {self.expected}"] if self.expected else []
        return plain("\n".join([*lines, f"  next: {self.fix}"]))
