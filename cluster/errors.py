"""Every error that a run on the control machine can end with, besides those of the steps on machines.

`docs/recovery.md` is made from :data:`CODES` and from `onnode.errors.ON_NODE_CODES`.
"""

from __future__ import annotations

from onnode.errors import ON_NODE_CODES, Code, StepError

CODES: dict[str, Code] = {
    # -- SSH
    "host-unreachable": Code(
        "A machine does not answer over SSH.",
        "power the machine on and check the network to it, then run the same command again",
    ),
    "host-key-mismatch": Code(
        "A machine presents another SSH host key than the configured one.",
        "find out why it differs; put the new key into the configuration only when you know the reason",
    ),
    "ssh-auth-failed": Code(
        "A machine refuses the control machine's SSH key.",
        "put the key into the machine's authorized_keys, or correct credentials.sshPrivateKey",
    ),
    "ssh-key-invalid": Code(
        "The configured SSH private key cannot be used.",
        "set credentials.sshPrivateKey to an unencrypted private key (no passphrase)",
    ),
    "ssh-timeout": Code(
        "A command on a machine did not end within its time.",
        "look at the machine over SSH, then run the same command again",
    ),
    "step-broken": Code(
        "A step on a machine ended without a result.",
        "run the shown command on the machine; if the package is missing or damaged there, `make up` copies it again",
    ),
    # -- cluster
    "member-unknown": Code(
        "The live cluster has members that this stack never described. Only a node that it described is ever removed.",
        "describe them under nodes; to take them out of the cluster, leave them out again in a run after that",
    ),
    "identity-changed": Code(
        "The configuration has another id of a member. A live cluster cannot follow such a change.",
        "put the old id back; or leave the node out, `make up`, and describe it again with the new id",
    ),
    "link-address-taken": Code(
        "A link of a member is to get an address that another end of a link has at that moment.",
        "give the node a free address; one that becomes free in the same change can be taken in the run after it",
    ),
    "link-last": Code(
        "The links change so that two members would be connected by none meanwhile.",
        "leave one link as it is in this run, and change it in the next; with one link only, add a second one first",
    ),
    "link-while-leaving": Code(
        "A link is to be added while a node leaves. Corosync takes only a configuration in which each listed node has an address "
        "on each link.",
        "leave the node out first, `make up`, and add the link then",
    ),
    "member-silent": Code(
        "Votes, links or settings of the cluster are to change, or a node is to join, and a member that stays would not hear of it.",
        "bring the named member up, then run the same command again; a nested node whose VM is lost is replaced by `make up` alone, and a "
        "machine that is lost for good is first left out of the stack file, alone",
    ),
    "vm-changed": Code(
        "A member of the live cluster is described with another number of its VM, or as another kind of node. Its VM would be made anew "
        "or destroyed while it is a member.",
        "put `vmid` or `kind` back; to change it, leave the node out, `make up`, and describe it again",
    ),
    "cluster-busy": Code(
        "Something is going on in the cluster that a change would disturb: a migration, a backup, or HA moving a guest.",
        "wait until it has ended, then run the same command again",
    ),
    "plan-loses-quorum": Code(
        "On the way from the live cluster to the described one there would be a moment without quorum.",
        "make the change that the message names: bring a member back first, or give one that stays more votes in the same change",
    ),
    "witness-member": Code(
        "A node of the cluster is described as its witness. It would be lost together with that node.",
        "name a machine outside of the cluster",
    ),
    "member-forgotten": Code(
        "A member was left out of the stack file, and this version of the program was never run while it was described: how it is "
        "reached is not known.",
        "describe the member again, `make up` once, and then leave it out",
    ),
    "still-a-member": Code(
        "A machine that is to be reset is a member of the cluster.",
        "leave it out of the stack file and run `make up`, which takes it out of the cluster; then reset it",
    ),
    "node-unknown": Code("A command names a machine that it is not for.", "name one of those that the message lists"),
    "clusters-split": Code(
        "Two clusters have the described name.",
        "`make doctor STACK=NAME` compares both; find out first which of the two is yours, and has the guests. A machine that left the cluster: "
        "`make reset STACK=NAME NODE=MACHINE` makes it stand-alone",
    ),
    "member-not-working": Code(
        "Members are down, so a member is not quorate and its /etc/pve is read-only. Restarting pve-cluster does not "
        "help.",
        "bring the named members up: power them on, or `systemctl start corosync` there; then run the same command again",
    ),
    "node-id-twice": Code(
        "The cluster's configuration holds a node id twice, as after a `pvecm add` with a taken id. Corosync does not "
        "start on the later node, nor on the first one after its next restart.",
        "on the first of the two nodes: copy /etc/pve/corosync.conf to /etc/pve/corosync.conf.new, take the later node's "
        "block out of it, raise config_version by one, and move the copy into place; then run the same command again. "
        "Remove neither node with pvecm: it goes by the id, and removes the healthy one",
    ),
    "identity-taken": Code(
        "The name, id or a link address of a joining node belongs to a member of the live cluster already.",
        "give the node a name, nodeId and link addresses of its own in the stack file",
    ),
    "corosync-transport": Code(
        "The cluster's Corosync uses another transport than knet, such as udpu of old releases. It has one link, and "
        "does not report that link's state.",
        "stop HA, take the line `transport` out of /etc/pve/corosync.conf and raise config_version, then restart corosync "
        "on all members at once; Proxmox VE's manual, Cluster Manager, has the steps",
    ),
    "version-mismatch": Code(
        "A joining node has another major version of Proxmox VE than the cluster.",
        "upgrade the older side first, then run the same command again",
    ),
    "clock-skew": Code("The clocks of two nodes differ.", "`chronyc makestep` on both; check their time servers"),
    "admin-key-missing": Code(
        "A join replaces the joiner's authorized_keys by the cluster's, which lack the control machine's key.",
        "append your public key to /etc/pve/priv/authorized_keys on a member",
    ),
    "certificate-missing": Code(
        "The member that is to let a node in has no certificate for its API.",
        "`pvecm updatecerts --force && systemctl restart pveproxy` on that member",
    ),
    "change-not-ready": Code(
        "Votes, links and settings of corosync are changed only while every member is there and runs the present configuration.",
        "bring back what the message names; a nested node whose VM is lost is replaced by `make up` alone, and a machine that is lost "
        "for good is first left out of the stack file, alone",
    ),
    "change-undone": Code(
        "A change of corosync's configuration did not work within cluster.timeoutS. The former one is in force again, under a higher number.",
        "resolve what was seen (an address that others cannot reach, a cut cable), or put the old value back; then run the same command again",
    ),
    "change-stuck": Code(
        "A change of corosync's configuration failed, and the former one could not be put back on all members.",
        "`corosync-cfgtool -n`, `corosync-quorumtool` and `journalctl -u corosync` on each member; the former files are in "
        "/var/lib/nested-pve-ha-corosync on a member",
    ),
    "cluster-not-as-described": Code(
        "What the nodes report differs from the configuration.",
        "`make status` shows each node; bring back what is missing, then run the same command again",
    ),
    "qdevice-unknown": Code(
        "The live cluster has a QDevice that this stack never described. Only one that it described is ever removed.",
        "describe it under cluster.qdevice; to remove it, `pvecm qdevice remove` on a member",
    ),
    "qdevice-not-as-described": Code(
        "The members do not all see the QDevice's vote, or still see it after it was removed.",
        "on the witness: `systemctl status corosync-qnetd` and `corosync-qnetd-tool -l`; on a member: `corosync-qdevice-tool -s`; "
        "TCP port 5403 of the witness must be open to every member; then run the same command again",
    ),
    # -- a stack file of a live cluster
    "adopt-exists": Code(
        "There is a stack file of that name already, and `make adopt ENDPOINT=` overwrites none.",
        "give another STACK=name, or move the file away",
    ),
    "adopt-unconfirmed": Code(
        "`make adopt ENDPOINT=` found a machine whose SSH host key nobody has confirmed. Nobody has logged in there.",
        "on the console of the machine: `for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done`; if the shown fingerprint is "
        "among them, run the same command with FINGERPRINT=SHA256:…",
    ),
    "adopt-no-cluster": Code(
        "A stand-alone node is in no cluster that could be described.",
        "copy Pulumi.physical.yaml and describe the node there; `make up` makes the cluster on it",
    ),
    "adopt-no-quorum": Code(
        "A cluster without quorum does not know whether its configuration is the newest one.",
        "bring members back until `pvecm status` shows Quorate: Yes, then run the same command again",
    ),
    "adopt-node-missing": Code(
        "A listed member is off or cut off, so its interfaces and host key cannot be read.",
        "start it, or take it out of the cluster for good (`pvecm delnode NAME`, only while it is off); then run the same command again",
    ),
    "adopt-key-missing": Code(
        "The cluster's own list lacks the SSH host key of a member. A key that anybody may present is not taken instead.",
        "on that member: `pvecm updatecerts`, then run the same command again",
    ),
    "adopt-not-describable": Code(
        "The live cluster has something that a stack file cannot describe. No file was written.",
        "change that on the cluster, or go on without this program; docs/adopting.md says what can be described",
    ),
    # -- rolling work
    "not-settled": Code(
        "The cluster is not well enough to go on without a node: a node, a vote or a link is missing, or HA moves guests.",
        "`make status` shows what is missing; put it right and run the same command again: it goes on there",
    ),
    "node-in-maintenance": Code(
        "Another node is in maintenance: one node at a time.",
        "`make undrain NODE=…` with the shown node, then run the same command again",
    ),
    "quorum-needed": Code(
        "Without this node the cluster would have no quorum.",
        "bring back the nodes that are missing; a cluster of two nodes needs a third vote (a node or a QDevice) for this",
    ),
    "guest-stays": Code(
        "A guest that runs on the node cannot leave it: its disk or a device is the node's own, or no other node may have it.",
        "move its disks to shared storage, remove the device, or shut the guest down; then run the same command again",
    ),
    "node-not-back": Code(
        "A node that was rebooted did not come back in time. It is still in maintenance, and no other node was touched after it.",
        "look at its console and start it; then run the same command again: it goes on there",
    ),
    # -- drill
    "drill-not-nested": Code(
        "A drill stops a node hard, and only a nested node's VM can be stopped from here.",
        "name a nested node; an existing machine is stopped by its own power switch, and `make status` shows what happens then",
    ),
    "drill-no-guests": Code(
        "No guest under HA runs on the node: a drill would show nothing.",
        "name a node that has one, or none, so that the one with the most is taken",
    ),
    "drill-guest-unmanaged": Code(
        "A guest that is not under HA runs on the node. The drill would cut its power, and nobody would start it elsewhere.",
        "move it to another node, shut it down, or put it under HA; then run the same command again",
    ),
    "drill-guest-silent": Code(
        "A guest under HA is not seen to run before the drill, so nobody could see when it runs again.",
        "`make status` shows what is wrong; the API user needs VM.Audit on the guest",
    ),
    "guests-not-recovered": Code(
        "The node was stopped, and a guest of it was not seen to run elsewhere in time. The node was started again.",
        "`make status`, then journalctl -u pve-ha-crm on the HA master; the report has what was seen",
    ),
    # -- API
    "api-unreachable": Code(
        "No member's API answers.",
        "check port 8006 of the members from here; on a member: systemctl restart pveproxy",
    ),
    "api-login-failed": Code(
        "The API refused the user or its password.",
        "correct apiPassword (of an outer host: outerHosts.NAME.password) among the credentials, or set the password: "
        "`pveum passwd USER` on that machine; a user with a second factor cannot be used",
    ),
    "engine-environment": Code(
        "The engine runs without this program's environment, which has the address of the cluster and the certificates to trust.",
        'run pulumi in `make shell STACK=NAME`, or after `eval "$(make env STACK=NAME)"`',
    ),
    "api-refused": Code(
        "The API refused a request.", "resolve the error that it reports, then run the same command again"
    ),
    "storage-offline": Code(
        "A node does not reach the server of a storage that it needs, also to remove a guest's disk.",
        "`make status` shows on which node the storage is not active, and what to look at there; bring its network or its "
        "server back, then run the same command again",
    ),
    "disk-left": Code(
        "A guest was destroyed, and a disk of it could not be freed on its storage.",
        "find out what keeps the disk, and free it on the node with `pvesm free VOLUME`, as the message has it",
    ),
    "api-forbidden": Code(
        "The API user's role lacks a privilege for a call; the API names the path and the privilege.",
        "leave cluster.api.role out of the stack file (the program's own role has what it needs), or add the named "
        "privilege: `pveum role modify ROLE --append --privs PRIVILEGE` on a member; where the role has it, a rule on that path "
        "removes it: `pveum acl list` on a member",
    ),
    "api-two-factors": Code(
        "The API user has a second factor, which a program cannot enter.",
        "remove it: Datacenter, Permissions, Two Factor in the web interface; its realm must not require TFA either; "
        "or set cluster.api.user to a user without one",
    ),
    "task-failed": Code(
        "A task of Proxmox VE failed.", "read the task's log in the web interface or with `pvenode task log UPID`"
    ),
    "task-timeout": Code(
        "A task of Proxmox VE did not end in time.", "look at the task on its node, then run the same command again"
    ),
    # -- guests
    "guest-foreign": Code(
        "The described vmid is taken by a guest that this stack did not make.",
        "give the guest another vmid in the configuration; a foreign guest is never touched",
    ),
    "guests-inside": Code(
        "Nested nodes that would be destroyed have guests that this stack did not make, or that are described with `keep`.",
        "back them up and restore them elsewhere, remove them there (`qm destroy VMID`, of a container `pct destroy VMID`), "
        "then run the same command again",
    ),
    "device-not-described": Code(
        "A change of a VM's described network cards or disk would remove what somebody added by hand.",
        "remove the card, make the change, and add the card again; grow the disk by hand; the message has the commands",
    ),
    "cards-moved": Code(
        "A change of a nested node's networks would give network cards other places: each would be away for a moment while the node runs, "
        "with its storage or its links.",
        "add a link as the last one of cluster.links, after two others, and take only the last one out again; other changes of cards "
        "need the node off: shut it down, change its cards by hand as described, and run the same command again",
    ),
    "ha-foreign": Code(
        "An HA resource, rule or group of a described name exists, and this stack did not make it; or that of an existing guest is not as "
        "described.",
        "give the guest another name or vmid in the configuration, or remove the existing one from HA yourself; describe an existing guest "
        "as it is, or hand it over, as the message says",
    ),
    "guest-differs": Code(
        "A guest differs from the configuration in a way that only a new guest can change, or its disk would have to shrink.",
        "put the observed value into the configuration, or destroy the guest first",
    ),
    "guest-changed": Code(
        "A guest that exists is described with another number, or as another kind, or with another name to plain `pulumi up`. A new one "
        "would be made, and the old one destroyed with its disks; or an existing guest would stay in HA, and nobody would know. "
        "A template keeps its name as well.",
        "put `vmid` and `kind` back; another name is taken by `make up`; for a new guest beside it, choose another name; to replace it, "
        "leave it out, `make up`, and describe it again",
    ),
    "guest-missing": Code(
        "A guest that is described as existing is not there: none has its number, or the one that has it is of another kind or name, or a "
        "template.",
        "correct `type`, `vmid` and `name` in the configuration (`qm list` and `pct list` on the nodes), or leave it out",
    ),
    "guest-tied": Code(
        "A guest that is described as existing cannot be started on another node: a disk is neither shared nor replicated, or it uses a "
        "device of its node.",
        "move its disks to a shared storage (`qm disk move`, `pct move-volume`) or replicate them (`pvesr`), and take the device away",
    ),
    "guest-node-down": Code(
        "The node that holds a guest is down, and HA has not recovered the guest.",
        "bring the node up, or wait for HA (`make status`), then run the same command again",
    ),
    "machine-taken": Code(
        "An existing machine is described in two stacks.",
        "describe each machine in one stack only; where the other stack is gone for good, `rm /var/lib/nested-pve-ha/stack` on it",
    ),
    "guest-moved": Code(
        "A guest moved to another node during the run.",
        "run the same command again; it waits until guests stay where they are",
    ),
    "ha-not-ready": Code(
        "The HA manager is not ready to take guests.",
        "`systemctl start watchdog-mux pve-ha-crm pve-ha-lrm` on the named node (a restart of watchdog-mux resets a node whose guests are under HA); "
        "`make status` shows each",
    ),
    "watchdog-differs": Code(
        "A node's HA manager uses another watchdog than described.",
        "correct watchdog of that node in the stack file, or WATCHDOG_MODULE in its /etc/default/pve-ha-manager",
    ),
    "guest-not-as-described": Code(
        "HA did not bring a guest to its described state on an allowed node.",
        "`ha-manager status` on a member; a guest in state error: mend what `journalctl -u pve-ha-lrm` on its node shows, then run the "
        "same command again; if the guest runs all the same, `ha-manager set SID --state disabled`, then `ha-manager set SID --state started`",
    ),
    # -- the engine and its state
    "toolchain-missing": Code("The engine and its plugins are not installed.", "`make toolchain`"),
    "stack-unknown": Code(
        "There is no stack file of that name.",
        "name an existing one, or copy the most similar one and set your addresses",
    ),
    "base-unknown": Code("There is no such Git revision here.", "fetch it, or name another one"),
    "config-invalid": Code(
        "The configuration cannot be used; every problem is shown with its key and the fix.",
        "make the shown changes; docs/config.md explains every key",
    ),
    "policies-invalid": Code(
        "The levels and settings of the policies cannot be used, in the pack's file or in a stack's own.",
        "correct the file; docs/policies.md names the rules, levels and settings",
    ),
    "stack-state-missing": Code(
        "The stack file holds secrets, but the backend has no state of that stack: another checkout, or a lost state.",
        "bring back .nested-pve/state, or set PULUMI_BACKEND_URL; `make adopt` where the state is lost for good; "
        "a new stack begins with `pulumi stack init`",
    ),
    "stack-secrets": Code(
        "The stack's secrets cannot be decrypted.",
        "set PULUMI_CONFIG_PASSPHRASE (or PULUMI_CONFIG_PASSPHRASE_FILE) to the stack's passphrase",
    ),
    "site-in-use": Code(
        "Another stack is built on the same machines.",
        "name that stack in the command (STACK=NAME); or `make down` of it, then run the same command again",
    ),
    "site-is-new": Code(
        "The machines were replaced by new ones since this stack was built on them.",
        "`make up` forgets what is gone, and builds it again",
    ),
    "stack-locked": Code(
        "Another run has locked the stack.",
        "wait until it has ended; if its machine is gone for good: `pulumi cancel --stack NAME` in `make shell`",
    ),
    "state-damaged": Code(
        "The state file of a stack is empty or cut off. A loss of power can leave it so.",
        "bring the file back from your own backup; without one move it away; `make up` then shows what to do without a state",
    ),
    "vm-not-recorded": Code(
        "A guest with a described vmid appeared during the run.",
        "run the same command again: it checks who made the guest, and then records or refuses it",
    ),
    "state-lost": Code(
        "Things with the stack's mark exist, but its state records nothing: another checkout, or a lost state.",
        "work where its state is, or bring back .nested-pve/state; where it is lost for good, `make adopt` records all that exists",
    ),
    "vm-moved": Code(
        "The VM of a node is on another outer host than described: somebody has migrated it.",
        "migrate it back (`qm migrate VMID NODE --online`), or describe the host that it is on (`host`), then run the same command again",
    ),
    "member-vm-missing": Code(
        "The VM of a cluster member was destroyed outside of this program, and the cluster is not quorate without it: no member can "
        "release its entry.",
        "start the other members; if they stay without quorum: on one of them `pvecm expected 1`, then `pvecm delnode NAME` for each "
        "lost one; then run the same command again. If no member is left: `make down`, then `make up`",
    ),
    "node-protected": Code(
        "The VM of a node is protected against deletion.",
        "set protectNodes: false in the stack file, `make up`, and run the same command again",
    ),
    "policy-violated": Code(
        "A mandatory rule of the policy pack refuses the design. Nothing that depends on the design was touched.",
        "in the stack file, change what the rule names",
    ),
    "change-refused": Code(
        "A preview compared the stack file with what was built last, and `up` refuses this change.",
        "take the change back in the stack file, or follow the page that the message names",
    ),
    "bridge-stays": Code(
        "A bridge of the stack is still on its outer host after its removal. The host's API refused the removal, or "
        "did not answer.",
        "run the command in the message, which shows the error again; resolve it, then run the same `make` command again",
    ),
    "image-unreadable": Code(
        "A downloaded image or template exists, but cannot be read.",
        "run the same command again; if it stays so, look at the disk or the mount that the message names (`dmesg`), and remove "
        "the file by hand: the next run downloads it anew",
    ),
    "plugin-crashed": Code(
        "A plugin of the engine, or the program's language host, ended unexpectedly.",
        "run the same command again: it continues where it stopped; when it happens twice, report the full output",
    ),
    "engine-killed": Code(
        "The engine was killed: by somebody, or by the kernel when memory ran out (`dmesg` shows it).",
        "run the same command again: it continues where it stopped",
    ),
    "run-interrupted": Code("The run was interrupted.", "run the same command again: it continues where it stopped"),
    "engine-failed": Code("The engine reports a failure.", "resolve that failure, then run the same command again"),
    # -- status
    "not-as-described": Code(
        "Something on the nodes is not as described.",
        "do what follows `next:` below each finding, the first one first; then `make status` again, with STACK= if you gave it",
    ),
    "causes-found": Code(
        "`make doctor` found something that is wrong.",
        "`make repair` does what can be done from here; else do what follows `next:` below the first cause, then look again with "
        "`make doctor`: what comes after it may be gone",
    ),
    "repair-unknown": Code("There is no repair of that name.", "give one that the message shows as ONLY=name, or none"),
    "repair-left": Code(
        "`make repair` did what it can, and something is left that a person has to do.",
        "do what follows `next:`, then run the same command again",
    ),
    "repair-without-effect": Code(
        "A repair was done, and doctor still sees its cause. Nothing was done twice.",
        "do what follows `next:` by hand, and look again with `make doctor`; what was replaced is in .nested-pve/backups",
    ),
    "loss-unconfirmed": Code(
        "The quorum is to come back without nodes of which nobody has said by name that they have no power and are lost for good. Nothing was "
        "changed.",
        "bring them back if that is possible at all; else go and see that each has no power, and run the same command again with LOST='NAME …', or on a terminal without YES",
    ),
    "backup-failed": Code(
        "What a repair would replace could not be kept first, so it was not begun.",
        "resolve what was observed (room on either machine, a /etc/pve that hangs), then run the same command again",
    ),
    "not-confirmed": Code(
        "The changes were not confirmed.",
        "run the same command again and answer y; without a terminal confirm beforehand: `make … YES=1`, or --yes",
    ),
    # -- this program
    "bad-call": Code(
        "A step on the control machine was called with a name or input that it does not know.",
        "run the same command from a clean checkout",
    ),
    "unexpected": Code("This program met a case that it does not know.", "report it with the whole message"),
}


class AdminError(StepError):
    """A refusal or failure that a user reads; `code` is one of :data:`CODES` or of `onnode.errors.ON_NODE_CODES`."""

    def __init__(self, code: str, what: str, *, observed: str = "", expected: str = "", fix: str = "") -> None:
        known = CODES.get(code) or ON_NODE_CODES[code]
        super().__init__(code, what, observed=observed, expected=expected, fix=fix or known.next)
