"""How the state names what the components make: who only reads the state loads no component, and no engine's library."""

from __future__ import annotations

import os

CLUSTER = "nested-pve-ha:index:CorosyncCluster"
DESIGN = "nested-pve-ha:index:Design"
GUEST = "nested-pve-ha:index:HaGuest"
GUEST_TEMPLATE = "nested-pve-ha:index:GuestTemplate"
HOST = "nested-pve-ha:index:HostPrep"
NODE = "nested-pve-ha:index:NestedPveNode"

LAB = "lab"  # property of the design: in which lab the stack was made
LAB_VARIABLE = "NESTED_PVE_LAB_INSTANCE"

# How the command lines of steps begin.
REMOTE_DIRECTORY = "/var/lib/nested-pve-ha"
ON_NODE = f"python3 {REMOTE_DIRECTORY}/onnode"
ADMIN = ".venv/bin/python -m admin step"

# Beside each bridge: what removes it. In states of earlier versions, what arms its removal, and what confirms it.
ARMED, REMOVED = "armed", "removed"
REMOVE_BRIDGE = f"{ADMIN} remove-bridge --delete"
ARM_REMOVAL = f"{ADMIN} arm-network --delete"


def lab_instance() -> str | None:
    """The lab that this runs in; None outside of one."""
    return os.environ.get(LAB_VARIABLE)
