"""The stories of docs/recovery.md: from what people see to the end, with the repair that belongs to each."""

from __future__ import annotations

from dataclasses import dataclass

from cli.repair.model import CONF_CAUSES, KINDS

HEAD = """
## A broken cluster, from symptom to end

`make doctor STACK=home` names the causes in order. `make repair STACK=home` does what can be done about them from here, one
repair after another:

1. It looks as doctor does, and shows the first repair: the cause, each step with its machine, what is kept, what is lost at worst.
2. It asks. `YES=1` answers beforehand, except whether a node is lost for good. Without a terminal and without `YES=1` nothing is
   done. `ONLY=NAME` does repairs of one name only. In the lab it asks nothing.
3. It copies `/etc/pve`, pmxcfs' database (`/var/lib/pve-cluster/config.db`, as it lies on the disk) and `/etc/corosync` of each machine
   that it changes to this machine, and reads the copy to its end: `.nested-pve/backups/STACK/TIME-NODE/files.tar.gz`. Without that
   copy nothing is begun. It has private keys: only you can read it. Delete it when you need it no more.
4. It does the repair. Each step looks at its machine first, so that a call that was killed goes on with the next one.
5. It looks again. Then the next repair is shown, until nothing is wrong or only a person can go on: then it ends with
   [repair-left](#repair-left) and the next command.

Machines that doctor does not name stay as they are. A repair whose cause is still there afterwards is not tried again
([repair-without-effect](#repair-without-effect)).

| repair | causes that it answers | what it does | lost at worst |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Story:
    """One of them.

    Attributes:
        title: what happened.
        seen: what people see.
        causes: as doctor calls it.
        end: what is done, by whom.
    """

    title: str
    seen: str
    causes: tuple[str, ...]
    end: str


STORIES = (
    Story(
        "A service was stopped, or services started in another order",
        "`/etc/pve` is empty or takes no writes, the web interface shows a red cross or does not answer, `pvecm status` says that it cannot "
        "connect.",
        ("corosync-stopped", "services-in-disorder", "pmxcfs-stuck", "pve-hangs", "services-stopped"),
        "`make repair` starts corosync, pve-cluster, pvedaemon, pveproxy and the others in this order. It waits for the quorum where enough "
        "others vote. Guests go on, unless HA has fenced the node already.",
    ),
    Story(
        "pmxcfs was left in local mode",
        "Somebody ran `systemctl stop pve-cluster` and `pmxcfs -l` to edit something without a quorum. `/etc/pve` takes writes there, and no "
        "other node sees them.",
        ("pmxcfs-local",),
        "`make repair` keeps `/etc/pve` as it is there, ends that pmxcfs, and starts the services in order. What was written meanwhile may "
        "give way to what the cluster has: compare it with the copy.",
    ),
    Story(
        "pmxcfs is away, and SSH refuses the key",
        "`ssh` says `Permission denied (publickey)` on a node that let you in before: root's `authorized_keys` is a link into `/etc/pve`.",
        ("pmxcfs-stopped", "services-in-disorder", "half-joined"),
        "Nobody can mend that over SSH. Run what doctor says at the node's console; for a nested node that is its VM's console on the outer "
        "host. Then `make repair` does the rest.",
    ),
    Story(
        "corosync.conf was edited by hand, and is broken",
        "Corosync does not start again after the edit: on one node, or, as pmxcfs carries a file by its `config_version` alone, on each node "
        "whose corosync is restarted.",
        CONF_CAUSES,
        "`make repair` looks for the last whole file of the cluster on all nodes: in `/etc/corosync`, in `/etc/pve`, among the copies that "
        "this program and people made, and in what a running corosync has loaded. It comes back under a higher version. Without a quorum it "
        "first goes into `/etc/corosync` of each node whose corosync does not run; when these are quorate, the file in `/etc/pve` follows. "
        "So pmxcfs is not started with `-l` for it: what is written in local mode, other nodes may overrule. When no whole one is left at all, "
        "the one that the stack file describes is made, if the broken files name the same nodes. "
        "Where all nodes that vote run a newer file of their own than that in `/etc/pve`, as after a repair by hand, theirs comes to "
        "`/etc/pve`. Where the nodes do not agree, you decide: it changes nothing.",
    ),
    Story(
        "So many nodes are lost for good that the quorum is lost",
        "`/etc/pve` is read-only everywhere, `pvecm status` says `Quorate: No`, nodes with HA guests have reset themselves.",
        ("quorum-lost", "votes-expected"),
        "Bring nodes back, if that is possible at all: one may be enough, and nothing is lost then. `make up` powers on nested nodes whose VM is "
        "there. A network that is cut looks the same from here: the others may be on, have the quorum, and run the guests of HA. "
        "So go and see. Only for nodes of which you saw that they have no power, and that never come back: `make repair` asks for each by "
        "its name (unattended: `LOST='pve2 pve3'`, which says the same). Every "
        "node that is left must see nothing of them: no vote, no answer to ping, no SSH; the VM of a nested one must be gone. Then it runs "
        "`pvecm expected`, waits until HA has started their guests elsewhere, and takes them off the list. Guests that were not under HA "
        "stay configured on the lost node: move their files in `/etc/pve/nodes` by hand where their disks are shared. At last leave the "
        "lost nodes out of the stack file, or install them anew, and run `make up`. While a second node joins a cluster of one, there is no "
        "quorum for some seconds; HA resets a node after 60 s of that. Never start the disk of a lost node again: it still has "
        "the cluster's key, and two of them could have a quorum of their own.",
    ),
    Story(
        "A join stopped half way, and keys are left over",
        "A second `pvecm add` says `authentication key '/etc/corosync/authkey' already exists`.",
        ("keys-left-over", "half-joined"),
        "A node that the cluster lists is finished by `make up`. One that it does not list is reset by `make repair`, while it cannot reach the "
        "others; then `make up` joins it. A node with guests of its own is left alone: back them up first.",
    ),
    Story(
        "A node was removed while it was on, and the cluster is split",
        "Somebody ran `pvecm delnode` for a node that was not powered off. Two sides call themselves the same cluster, and each lists "
        "other nodes.",
        ("removed-while-on", "cluster-split"),
        "`make repair` shows both sides: the version of their configuration, their votes, their guests. The side stays that alone has the "
        "quorum. Where both have one, or none has, you decide which one stays, by its guests and its votes: the version tells nothing, as the "
        "smaller side deletes more nodes. Nothing is changed then, until corosync is stopped on the side that gives way. The nodes of that one become stand-alone while they cannot reach it, and `make up` joins them again. A "
        "guest that both sides know keeps the configuration of the side that stays. It refuses while a guest is configured on the other side "
        "only, or runs there although the side that stays has it elsewhere: two machines would write to one disk.",
    ),
)


def text() -> str:
    """The part of the page, in Markdown."""
    rows = "".join(
        f"| `{name}` | {', '.join(f'`{cause}`' for cause in kind.causes)} | {kind.does} | {kind.lost} |\n"
        for name, kind in KINDS.items()
    )
    return f"{HEAD}{rows}{''.join(map(_told, STORIES))}"


def _told(story: Story) -> str:
    repairs = [name for name, kind in KINDS.items() if set(kind.causes) & set(story.causes)]
    return (
        f"\n### {story.title}\n\n**Seen:** {story.seen}\n\n"
        f"**Doctor says:** {', '.join(f'`{cause}`' for cause in story.causes)}. **Repair:** {', '.join(f'`{name}`' for name in repairs)}.\n\n"
        f"**To the end:** {story.end}\n"
    )
