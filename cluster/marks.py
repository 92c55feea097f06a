"""What a look at a machine shows, of the kinds that the provider makes, and whether it carries this stack's mark. Pure.

How such a look is taken depends on the machine; `cluster/proxmox_ve.py` takes it of Proxmox VE.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster.errors import AdminError
from cluster.existing_guests import Seen
from cluster.motion import Motion
from onnode.system.pve import TAG, stack_tag

VM = "VM"
CONTAINER = "CT"
BRIDGE = "bridge"
RESOURCE = "HA resource"
RULE = "HA rule"
GROUP = "HA group"
IMAGE = "image"
DISK = "disk"  # of a VM on an outer host with libvirt: it stays when somebody undefines the VM


@dataclass(frozen=True)
class Thing:
    """Something that is there.

    Attributes:
        kind: one of this module's kinds.
        name: what it is found by: vmid, name of a bridge, rule or group, "vm:200" of a resource.
        node: the node that has it; empty for what belongs to the cluster.
        ours: it carries this stack's mark.
        shown: for messages.
        about: the guests that it refers to, each as "vm:200".
        pending: a bridge that is written down and not brought up.
        called: a guest's name for people.
        domain: a VM's name for libvirt; empty where that does not run it.
    """

    kind: str
    name: str
    node: str
    ours: bool
    shown: str
    about: tuple[str, ...] = ()
    pending: bool = False
    called: str = ""
    domain: str = ""


@dataclass(frozen=True)
class Look:
    """What one machine shows.

    Attributes:
        machine: its name in the configuration.
        node: its own name.
        quorate: it is in no cluster, or in the part of it that decides.
        things: what exists on it.
        cluster: the name of the one that it is in; empty when it is in none.
        stacks: those that are entered in its journal, by their exact names.
        owner: the stack that an existing machine belongs to; empty where none is entered.
        motion: what moves the guests of the cluster that it is in.
        guests: that cluster's guests, and what HA is to do with them.
    """

    machine: str
    node: str
    quorate: bool
    things: tuple[Thing, ...]
    cluster: str = ""
    stacks: tuple[str, ...] = ()
    owner: str = ""
    motion: Motion = field(default_factory=Motion)
    guests: Seen = field(default_factory=Seen)


def same(thing: Thing, kind: str, name: str) -> bool:
    """Whether a thing has that name among its kind; VMs and containers share their numbers. Pure."""
    return thing.name == name and _class(thing.kind) == _class(kind)


def _class(kind: str) -> str:
    return VM if kind == CONTAINER else kind


def mark(thing: Thing, stack: str) -> str:
    """The mark that such a thing of the stack carries; pure."""
    guest = _class(thing.kind) == VM
    return f"tags {TAG} and {stack_tag(stack)}" if guest else f"comment {stack_tag(stack)}"


def foreign(code: str, what: str, **said: str) -> AdminError:
    """The refusal of what is somebody else's, by the code of its kind; pure."""
    if code == "foreign-vmid":
        return AdminError("foreign-vmid", what, **said)
    if code == "foreign-bridge":
        return AdminError("foreign-bridge", what, **said)
    if code == "guest-foreign":
        return AdminError("guest-foreign", what, **said)
    return AdminError("ha-foreign", what, **said)


def image_name(stack: str, host: str, url: str) -> str:
    """The name of an outer host's installer image; pure.

    The stack's own, so that replacing a leftover of a killed run can never hit somebody else's file, and the host's own: hosts
    may share the storage, and each deletes its image when it goes.
    """
    return f"{stack_tag(stack)}-{host}-{url.rpartition('/')[2]}"
