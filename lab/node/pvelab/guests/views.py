"""How guests look in lists and in their status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab import cfs, machine, propstring, sections, sizes
from pvelab.errors import PveError
from pvelab.guests import conf, drives, ha, state

if TYPE_CHECKING:
    from pvelab.guests.conf import Config
    from pvelab.guests.registry import Guest

MIB = 1 << 20
_USAGE = ("cpu", "mem", "disk", "diskread", "diskwrite", "netin", "netout")


def memory_mib(config: Config) -> int:
    """The guest's memory in MiB."""
    default = "512"
    value = propstring.parse(config.options.get("memory", default), "current").get("current", default)
    return int(value) if value.isdigit() else int(default)


def exceeds_node(config: Config) -> bool:
    """Whether the guest is larger than the node, where the lab says how large that is."""
    available = machine.memory_mib()
    return available is not None and memory_mib(config) > available


def _disk_bytes(guest: Guest, config: Config) -> int:
    """The size of the boot disk: the first one that is no CD."""
    for drive in drives.drives(guest.kind, config.options):
        if not drive.is_cdrom and drive.key not in ("efidisk0", "tpmstate0"):
            return sizes.parse(drive.properties.get("size", "0"))
    return 0


def _cpus(guest: Guest, config: Config) -> int:
    if guest.kind == "lxc":
        return int(config.options.get("cores", "1"))
    return int(config.options.get("cores", "1")) * int(config.options.get("sockets", "1"))


def name(guest: Guest, config: Config) -> str:
    """The guest's name."""
    key, default = ("name", f"VM {guest.vmid}") if guest.kind == "qemu" else ("hostname", f"CT{guest.vmid}")
    return config.options.get(key, default)


def summary(guest: Guest, config: Config, facts: dict[str, Any]) -> dict[str, Any]:
    """What lists and status share; sizes in bytes."""
    memory = memory_mib(config) * MIB
    running = facts["status"] == "running"
    answer: dict[str, Any] = {
        "vmid": guest.vmid,
        "name": name(guest, config),
        **facts,
        "maxmem": memory,
        "maxdisk": _disk_bytes(guest, config),
        **dict.fromkeys(_USAGE, 0),
        "mem": memory // 8 if running else 0,
    }
    return answer | properties(config)


def properties(config: Config) -> dict[str, str]:
    """What every member can read of every guest, by the cluster file system alone."""
    return {key: config.options[key] for key in ("tags", "lock") if config.options.get(key)}


def listed(guest: Guest) -> dict[str, Any]:
    """A guest of this node in the node's list."""
    config = conf.load(guest)
    answer = summary(guest, config, _facts(guest))
    answer["cpus"] = _cpus(guest, config)
    if config.is_template:
        answer["template"] = 1
    return answer if guest.kind == "qemu" else {**answer, "type": "lxc"}


def _facts(guest: Guest) -> dict[str, Any]:
    try:
        return state.facts(guest)
    except PveError:
        return {"status": "unknown", "uptime": 0}


def _ha_facts(guest: Guest) -> dict[str, Any]:
    section = sections.parse(cfs.read(ha.RESOURCES)).get(str(guest.vmid))
    if section is None:
        return {"managed": 0}
    return {"managed": 1, "state": section.options.get("state", "started")}


def current(guest: Guest) -> dict[str, Any]:
    """A guest's status in full."""
    config = conf.load(guest)
    answer = {**summary(guest, config, _facts(guest)), "cpus": _cpus(guest, config), "ha": _ha_facts(guest)}
    if config.is_template:
        answer["template"] = 1
    if guest.kind == "lxc":
        return {**answer, "type": "lxc"}
    answer["qmpstatus"] = answer["status"]
    agent = propstring.parse(config.options.get("agent", "0"), "enabled").get("enabled")
    if propstring.is_true(agent):
        answer["agent"] = 1
    return answer
