"""How the state names what the components make: who only reads the state loads no component, and no engine's library."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS = "nested-pve-ha:index:"  # how those of the components themselves begin
CLUSTER = f"{OURS}CorosyncCluster"
DESIGN = f"{OURS}Design"
GUEST = f"{OURS}HaGuest"
GUEST_TEMPLATE = f"{OURS}GuestTemplate"
HOST = f"{OURS}HostPrep"
NODE = f"{OURS}NestedPveNode"
WITNESS = f"{OURS}Witness"

# The types of the resources that they are made of. Policies, which import nothing of this program, have their own list.
PROVIDED = "proxmoxve:"  # how those of the provider of Proxmox VE begin
VM_TYPE = "proxmoxve:index/vmLegacy:VmLegacy"
BRIDGE_TYPE = "proxmoxve:network/linux/bridge:Bridge"
FILE_TYPE = "proxmoxve:download/file:File"
RESOURCE_TYPE = "proxmoxve:index/haresource:Haresource"
RULE_TYPE = "proxmoxve:index/harule:Harule"
GROUP_TYPE = "proxmoxve:index/hagroup:Hagroup"
OPTIONS_TYPE = "proxmoxve:cluster/options:Options"
STORAGES = "proxmoxve:storage/"  # how those of storages begin; they were the provider's in earlier versions
NFS_TYPE = "proxmoxve:storage/nfs:Nfs"
PROVIDER_TYPE = "pulumi:providers:proxmoxve"
LOCAL_STEP = "command:local:Command"
REMOTE_STEP = "command:remote:Command"
STEPS = (LOCAL_STEP, REMOTE_STEP)
DOMAIN = "libvirt-domain"  # the step that makes the VM of a node on an outer host with libvirt
TOLD = "environment"  # of a step: what it is told beside its input, which is secret, or what another step remembers
PACKAGE_TYPE = "command:remote:CopyToRemote"

INSTANCE = "siteInstance"  # property of the design: in which instance of its site the stack was made
INSTANCE_VARIABLE = "NESTED_PVE_SITE_INSTANCE"
TIME_SCALE_VARIABLE = (
    "NESTED_PVE_SITE_TIME_SCALE"  # the factor on HA's delays, where a site has others than the real ones
)

# How the command lines of steps begin.
REMOTE_DIRECTORY = "/var/lib/nested-pve-ha"
ON_NODE = f"python3 {REMOTE_DIRECTORY}/onnode"
ADMIN = ".venv/bin/python -m cluster"

# Beside each bridge: what removes it. In states of earlier versions, what arms its removal, and what confirms it.
ARMED, REMOVED = "armed", "removed"
REMOVE_BRIDGE = f"{ADMIN} remove-bridge --delete"
ARM_REMOVAL = f"{ADMIN} arm-network --delete"


def makes_domain(type_: str, inputs: Mapping[str, Any]) -> bool:
    """Whether a resource is the step that makes a node's VM on an outer host with libvirt; pure."""
    return type_ == REMOTE_STEP and inputs.get("create") == f"{ON_NODE} {DOMAIN}"


def site_instance() -> str | None:
    """The id of this set of machines, another one after they are replaced; None where none is set."""
    return os.environ.get(INSTANCE_VARIABLE)
