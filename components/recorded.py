"""How the state names what the components make: who only reads the state loads no component, and no engine's library."""

from __future__ import annotations

import os

CLUSTER = "nested-pve-ha:index:CorosyncCluster"
DESIGN = "nested-pve-ha:index:Design"
GUEST = "nested-pve-ha:index:HaGuest"
GUEST_TEMPLATE = "nested-pve-ha:index:GuestTemplate"
HOST = "nested-pve-ha:index:HostPrep"
NODE = "nested-pve-ha:index:NestedPveNode"

# The types of the provider's resources.
VM_TYPE = "proxmoxve:index/vmLegacy:VmLegacy"
BRIDGE_TYPE = "proxmoxve:network/linux/bridge:Bridge"
FILE_TYPE = "proxmoxve:download/file:File"
RESOURCE_TYPE = "proxmoxve:index/haresource:Haresource"
RULE_TYPE = "proxmoxve:index/harule:Harule"
GROUP_TYPE = "proxmoxve:index/hagroup:Hagroup"
PROVIDER_TYPE = "pulumi:providers:proxmoxve"

INSTANCE = "siteInstance"  # property of the design: in which instance of its site the stack was made
INSTANCE_VARIABLE = "NESTED_PVE_SITE_INSTANCE"

# How the command lines of steps begin.
REMOTE_DIRECTORY = "/var/lib/nested-pve-ha"
ON_NODE = f"python3 {REMOTE_DIRECTORY}/onnode"
ADMIN = ".venv/bin/python -m cluster"

# Beside each bridge: what removes it. In states of earlier versions, what arms its removal, and what confirms it.
ARMED, REMOVED = "armed", "removed"
REMOVE_BRIDGE = f"{ADMIN} remove-bridge --delete"
ARM_REMOVAL = f"{ADMIN} arm-network --delete"


def site_instance() -> str | None:
    """The id of this set of machines, another one after they are replaced; None where none is set."""
    return os.environ.get(INSTANCE_VARIABLE)
