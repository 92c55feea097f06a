"""inventory: what a stack file can say of this member and of its cluster. Changes nothing, and waits for no lock.

Unlike `membership`, it does not try whether /etc/pve takes a write: it is asked on clusters that nobody has described yet.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from onnode.cluster import corosync, diagnosis, guest_places, membership
from onnode.contract.documents import document
from onnode.contract.inventory import FoundGuest, FoundInterface, Inventory
from onnode.step import Step, act_never, decide_nothing
from onnode.system import network, pve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnode.system.machine import ThisMachine

ASK_S = 15.0
NODES = "/etc/pve/nodes"
KINDS = (("vm", "qemu-server", "name"), ("ct", "lxc", "hostname"))
WATCHDOG = re.compile(r"^\s*WATCHDOG_MODULE=[\"']?([\w-]+)", re.MULTILINE)


def parse_members(text: str) -> dict[str, str]:
    """Read `/etc/pve/.members`: the address of each node that is online."""
    try:
        listed = json.loads(text or "{}").get("nodelist") or {}
    except ValueError:
        return {}
    return {name: str(one["ip"]) for name, one in listed.items() if one.get("online") and one.get("ip")}


def parse_known_hosts(text: str) -> dict[str, str]:
    """Read known_hosts, hashed or not: the key of each name, type and key; of several keys the last."""
    rows = (line.split() for line in text.splitlines() if not line.startswith(("#", "@")))
    return {name: f"{row[1]} {row[2]}" for row in rows if len(row) > 2 for name in row[0].split(",")}  # noqa: PLR2004 - the columns


def parse_gateway(text: str) -> str | None:
    """Read `ip -j -4 route`: the default gateway, of several the one that comes first."""
    entries: list[dict[str, Any]] = json.loads(text or "[]")
    found = [str(one["gateway"]) for one in entries if one.get("dst") == "default" and "gateway" in one]
    return found[0] if found else None


def parse_name_servers(text: str) -> list[str]:
    """Read /etc/resolv.conf: the servers that have an IPv4 address."""
    rows = (line.split() for line in text.splitlines())
    return [row[1] for row in rows if row[:1] == ["nameserver"] and len(row) > 1 and network.is_ipv4(row[1])]


def parse_domain(node: str, hosts: str, resolver: str) -> str:
    """The domain in the node's full name in /etc/hosts, or else the one that /etc/resolv.conf names; empty without any."""
    for line in hosts.splitlines():
        for name in line.partition("#")[0].split()[1:]:
            if name.lower().startswith(f"{node.lower()}."):
                return name.partition(".")[2].lower()
    found = re.search(r"^(?:search|domain)\s+(\S+)", resolver, re.MULTILINE)
    return found[1].lower().rstrip(".") if found else ""


def observe(machine: ThisMachine, _desired: object = None) -> Inventory:
    """Look at this node."""
    node = membership.hostname(machine)
    mounted = membership.pve_mounted(machine)
    conf = corosync.parse_conf(machine.read(membership.PVE_CONF) or "") if mounted else None
    conf = corosync.resolved(conf, lambda name: network.resolve(machine, name))
    resolver = machine.read("/etc/resolv.conf") or ""
    watchdog = WATCHDOG.search(machine.read("/etc/default/pve-ha-manager") or "")

    def shared(name: str) -> str:
        return (machine.read(f"/etc/pve/{name}") or "") if mounted else ""

    return Inventory(
        node=node,
        pve_major=pve.version(machine).major,
        conf=conf,
        quorum=corosync.parse_quorum(machine.run(["corosync-quorumtool", "-siH"], timeout_s=ASK_S).out),
        addresses=parse_members(shared(".members")),
        host_keys=_host_keys(machine) if mounted else {},
        witness_key=_witness_key(machine, conf.device.host) if conf and conf.device else None,
        interfaces=[FoundInterface(one.name, one.addresses, one.mtu) for one in network.interfaces(machine)],
        gateway=parse_gateway(machine.check(["ip", "-j", "-4", "route"])),
        name_servers=parse_name_servers(resolver),
        domain=parse_domain(node, machine.read("/etc/hosts") or "", resolver),
        watchdog=watchdog[1] if watchdog else "",
        memory_mib=diagnosis.memory_mib(machine),
        storages=shared("storage.cfg"),
        resources=shared("ha/resources.cfg"),
        rules=shared("ha/rules.cfg"),
        groups=shared("ha/groups.cfg"),
        guests=_guests(machine) if mounted else [],
    )


def _host_keys(machine: ThisMachine) -> dict[str, str]:
    """The keys by which the members know each other: a file for each node (pve-cluster since 8.0.6), before that one for all."""
    found = parse_known_hosts(machine.read("/etc/pve/priv/known_hosts") or "")
    for node in machine.names(NODES):
        own = parse_known_hosts(machine.read(f"{NODES}/{node}/ssh_known_hosts") or "")
        found |= {node: own[node]} if node in own else {}
    return found


def _witness_key(machine: ThisMachine, host: str) -> str | None:
    """The key by which root on this node knows the server: `pvecm qdevice setup` has logged in there from one of them."""
    said = machine.run(["ssh-keygen", "-F", host, "-f", "/root/.ssh/known_hosts"], timeout_s=ASK_S).out
    return next(iter(parse_known_hosts(said).values()), None)


def memory_mib(values: Mapping[str, str]) -> int:
    """A guest's memory; without any it is 512 MiB (PVE/QemuServer/Memory.pm, PVE/LXC/Config.pm)."""
    found = re.fullmatch(r"(?:current=)?(\d+)", values.get("memory", "").partition(",")[0])
    return int(found[1]) if found else 512


def _guests(machine: ThisMachine) -> list[FoundGuest]:
    found = []
    settings = guest_places.read(machine)
    replicas = guest_places.replication(machine.read("/etc/pve/replication.cfg") or "")
    for node in machine.names(NODES):
        for kind, directory, naming in KINDS:
            for file in machine.names(f"{NODES}/{node}/{directory}"):
                number = file.removesuffix(".conf")
                if number == file or not number.isdigit():
                    continue
                text = machine.read(f"{NODES}/{node}/{directory}/{file}") or ""
                config = pve.parse_guest_config(text)
                template = config.values.get("template") == "1"
                name, memory = config.values.get(naming, ""), memory_mib(config.values)
                copies = [node, *replicas[int(number)]] if int(number) in replicas else []
                place = guest_places.following(text, settings, copies)
                found.append(
                    FoundGuest(
                        kind, int(number), node, name, config.tags, template, memory, place.obstacles, place.nodes
                    )
                )
    return sorted(found, key=lambda guest: guest.id)


def facts(seen: Inventory, _desired: object) -> dict[str, Any]:
    """All that was seen."""
    return document(seen)


def unchanged(seen: Inventory, _desired: object) -> str:
    """Say what was found."""
    return f"{seen.node}: {f'member of {seen.conf.cluster}' if seen.conf else 'stand-alone'}"


STEP = Step(None, observe, decide_nothing, act_never, facts, unchanged, lock="none")
