"""What users may set beside what the stack file describes: notes, tags, devices, limits, cluster options. It stays.

The provider takes what the program does not give for unwanted, and its update would take it away, also from a running
guest.
"""

from __future__ import annotations

VM = [
    *("acpi", "amdSev", "audioDevice", "bios", "cdrom", "description", "efiDisk", "hookScriptFileId", "hostpcis"),
    *("hotplug", "initialization", "keyboardLayout", "kvmArguments", "machine", "numas", "poolId", "protection"),
    *("rngs", "serialDevices", "smbios", "startup", "tabletDevice", "tpmState", "usbs", "vga", "virtiofs", "watchdog"),
    "tags",  # ours are never changed; a VM that lost them is refused
    *(f"cpu.{key}" for key in ("affinity", "architecture", "flags", "hotplugged", "limit", "numa", "sockets", "units")),
    *(f"memory.{key}" for key in ("hugepages", "keepHugepages", "shared")),
]
# Where and whether it runs is HA's business; its disk is the template's, and the provider reads that back otherwise
# than it wrote it (pulumi-proxmoxve#664).
GUEST = [*VM, "bootOrders", "memory.floating", "operatingSystem", "scsiHardware"]
GUEST += ["nodeName", "started", "clone", "disks"]
# The provider plans limits of zero and reads none back: a change for ever (pulumi-proxmoxve#664).
NODE = [*VM, "disks[0].speed", "started"]
BRIDGE = ["address6", "gateway", "gateway6", "vids", "vlanAware"]
OPTIONS = [
    *("bandwidthLimitClone", "bandwidthLimitDefault", "bandwidthLimitMigration", "bandwidthLimitMove"),
    *("bandwidthLimitRestore", "console", "crsHa", "crsHaAutoRebalance", "crsHaAutoRebalanceHoldDuration"),
    *("crsHaAutoRebalanceMargin", "crsHaAutoRebalanceMethod", "crsHaAutoRebalanceThreshold", "crsHaRebalanceOnStart"),
    *("description", "emailFrom", "httpProxy", "keyboard", "language", "macPrefix", "maxWorkers", "nextId", "notify"),
]
