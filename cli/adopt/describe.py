"""A live cluster as a stack file describes it: existing machines, whose network, packages and storages stay as they are. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, ip_address
from typing import TYPE_CHECKING, Any

from cli.adopt.found import whole
from cli.adopt.guests import Guests, counted, of_cluster
from cluster.errors import AdminError
from config import topology
from onnode.cluster import corosync, guest_places
from onnode.system import network, pve

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from cli.adopt.found import Found
    from onnode.cluster.corosync import Conf, ConfNode, Device
    from onnode.contract.inventory import FoundInterface, Inventory

# PVE::Storage::Plugin: these are shared whatever storage.cfg says.
SHARED = frozenset(("cephfs", "cifs", "drbd", "esxi", "glusterfs", "iscsi", "iscsidirect", "nfs", "pbs", "rbd", "zfs"))
WATCHDOG = "softdog"
MANAGEMENT = "vmbr0"
MTU = 1500
# By corosync's names: the key of the stack file, and what a new cluster of Proxmox VE has (PVE::Corosync, create_conf).
TOTEM = {
    "token": ("tokenMs", ""),
    "token_coefficient": ("tokenCoefficientMs", "125"),
    "link_mode": ("linkMode", "passive"),
}
BY_ITSELF = {"version", "cluster_name", "config_version", "ip_version", "secauth", "transport"}


@dataclass(frozen=True)
class Described:
    """A stack file's content.

    Attributes:
        document: the keys of the program, with plain values.
        left_out: what the cluster has and the file does not say, in words.
    """

    document: dict[str, Any]
    left_out: list[str]


@dataclass(frozen=True)
class _Live:
    """The cluster, and what is noted on the way.

    Attributes:
        found: all its members.
        first: what the one says that was asked first.
        conf: its configuration.
        nodes: its nodes, by their ids.
        obstacles: what cannot be described, in words.
        left_out: what need not be described, in words.
    """

    found: Found
    first: Inventory
    conf: Conf
    nodes: Sequence[ConfNode]
    obstacles: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        """Of its links."""
        return sorted({number for node in self.nodes for number in node.links})

    def on_link(self, number: int) -> dict[str, str]:
        """The address of each node on a link."""
        return {node.name: node.links[number] for node in self.nodes if number in node.links}


def describe(found: Found, stack: str, *, guests: bool) -> Described:
    """Describe a cluster.

    Args:
        found: all its members.
        stack: the name of the new stack.
        guests: describe the guests that HA looks after, and name every other one, with the reason.

    Raises:
        AdminError: adopt-not-describable, and what :func:`cli.adopt.found.whole` raises.
    """
    first = found.members[found.first]
    conf = whole(first)
    live = _Live(found, first, conf, sorted(conf.nodes, key=lambda node: node.id))
    _note_obstacles(live)
    links = {number: _network(live, f"the address on link {number}", live.on_link(number)) for number in live.numbers}
    under_ha = of_cluster(found, [node.name for node in live.nodes], stack) if guests else Guests([], counted(first))
    management = _network(
        live, "the management address", {node.name: first.addresses[node.name] for node in live.nodes}
    )
    document = {
        "pveMajor": first.pve_major,
        "managementNetwork": {
            "subnet": str(management),
            "gateway": first.gateway,
            "dns": _name_server(live),
            "domain": first.domain,
        },
        # Nothing of the machines' own is to change in the first run.
        "maintenance": {"repository": "keep", "upgrade": False, "reboot": False},
        "nodes": [_node(live, node, {*links.values(), management}) for node in live.nodes],
        "cluster": {
            "name": conf.cluster,
            "seed": live.nodes[0].name,
            "links": [_link(live, place, number, subnet) for place, (number, subnet) in enumerate(links.items())],
            **_only("totem", _totem(live)),
            "api": {"endpoint": found.endpoint},
            **_only("qdevice", _qdevice(live)),
        },
        **_only("storages", _storages(live)),
        **_only("guests", under_ha.described),
    }
    if live.obstacles:
        raise AdminError(
            "adopt-not-describable",
            f"a stack file cannot describe cluster {conf.cluster}",
            observed="; ".join(live.obstacles),
            expected="a cluster that docs/config.md can describe",
        )
    return Described(document, [*live.left_out, *under_ha.left_out])


def _note_obstacles(live: _Live) -> None:
    first = live.first
    if not first.domain:
        live.obstacles.append(
            f"{first.node} has no domain: no name with one in its /etc/hosts, and no search in /etc/resolv.conf"
        )
    if first.gateway is None:
        live.obstacles.append(f"{first.node} has no default gateway")
    if live.conf.transport != corosync.KNET:
        live.obstacles.append(
            f"corosync's transport is {live.conf.transport}, and this program knows {corosync.KNET} only"
        )
    majors = sorted({one.pve_major for one in live.found.members.values()})
    if len(majors) > 1:
        live.obstacles.append(f"the members run Proxmox VE {' and '.join(map(str, majors))}")
    for node in live.nodes:
        if node.name != node.name.lower():
            live.obstacles.append(f"the name {node.name} has upper case, and names of nodes are in lower case here")
        if lacking := [str(number) for number in live.numbers if number not in node.links]:
            live.obstacles.append(f"{node.name} has no address on link {', '.join(lacking)}")


def _only(key: str, value: object) -> dict[str, Any]:
    """A key with its value, if there is one."""
    return {key: value} if value else {}


# -- networks ----------------------------------------------------------------------------------------------------------


def _end(inventory: Inventory, address: str) -> tuple[FoundInterface, IPv4Interface] | None:
    """The interface that has an address, and the address with its prefix."""
    for interface in inventory.interfaces:
        for text in interface.addresses:
            if text.partition("/")[0] == address:
                return interface, IPv4Interface(text)
    return None


def _network(live: _Live, what: str, addresses: Mapping[str, str]) -> IPv4Network | None:
    """The network that these addresses are in, given by node; None where there is none, which is noted."""
    networks: dict[IPv4Network, list[str]] = {}
    for node, address in addresses.items():
        if not network.is_ipv4(address):
            live.obstacles.append(f"{what} of {node} is {_shown(address)}, and this program knows IPv4 only")
        elif (end := _end(live.found.members[node], address)) is None:
            live.obstacles.append(f"{what} of {node} is {address}, which no interface of it has")
        else:
            networks.setdefault(end[1].network, []).append(node)
    if len(networks) > 1:
        shown = ", ".join(f"{one} ({' '.join(names)})" for one, names in networks.items())
        live.obstacles.append(f"{what} is not in one network: {shown}")
    return next(iter(networks), None)


def _shown(address: str) -> str:
    try:
        return f"the IPv6 address {ip_address(address)}"
    except ValueError:
        return f"{address or 'nothing'}, which resolves to no address there"


def _link(live: _Live, place: int, number: int, subnet: IPv4Network | None) -> dict[str, Any]:
    ends = [_end(live.found.members[name], address) for name, address in live.on_link(number).items()]
    mtu = min((end[0].mtu for end in ends if end), default=MTU)
    return {
        **({"number": number} if number != place else {}),
        "subnet": str(subnet),
        **({"priority": live.conf.priorities[number]} if number in live.conf.priorities else {}),
        **({"mtu": mtu} if mtu != MTU else {}),
    }


def _name_server(live: _Live) -> str | None:
    usable = [server for server in live.first.name_servers if not ip_address(server).is_loopback]
    if usable:
        return usable[0]
    live.left_out.append(f"the name server: {live.first.node} names none but itself, so the gateway stands there")
    return live.first.gateway


# -- nodes -------------------------------------------------------------------------------------------------------------


def _node(live: _Live, node: ConfNode, described: Collection[IPv4Network | None]) -> dict[str, Any]:
    inventory = live.found.members[node.name]
    address = live.first.addresses[node.name]
    own = _end(inventory, address)
    ends = [_attachment(inventory, node.links[number], address) for number in live.numbers if number in node.links]
    taken = {end["interface"] for end in ends if "interface" in end}
    networks = [
        {"address": text, "interface": interface.name}
        for interface, text in _further(inventory)
        if (subnet := IPv4Interface(text).network) not in described
        and interface.name not in taken
        and _is_everywhere(subnet, live.found)
    ]
    return {
        "name": node.name,
        "kind": "existing",
        "nodeId": node.id,
        **({"votes": node.votes} if node.votes != 1 else {}),
        "address": address,
        "hostKey": live.found.host_keys[node.name],
        **({"memoryMib": inventory.memory_mib} if inventory.memory_mib else {}),
        "links": ends,
        **_only("networks", networks),
        **({"managementInterface": own[0].name} if own and own[0].name != MANAGEMENT else {}),
        **({"watchdog": inventory.watchdog} if inventory.watchdog not in ("", WATCHDOG) else {}),
    }


def _attachment(inventory: Inventory, address: str, management: str) -> dict[str, str]:
    end = _end(inventory, address)
    return {"address": address, **({"interface": end[0].name} if end and address != management else {})}


def _further(inventory: Inventory) -> Iterable[tuple[FoundInterface, str]]:
    """The interfaces that have exactly one address: a stack file knows one for each."""
    return [(one, one.addresses[0]) for one in inventory.interfaces if one.name != "lo" and len(one.addresses) == 1]


def _is_everywhere(subnet: IPv4Network, found: Found) -> bool:
    """Whether all members meet in a network: each has one address there, and no two the same, as bridges of one machine have."""
    ends = [
        [text for _, text in _further(inventory) if IPv4Interface(text).network == subnet]
        for inventory in found.members.values()
    ]
    return len(ends) > 1 and all(len(own) == 1 for own in ends) and len({own[0] for own in ends}) == len(ends)


# -- the cluster -------------------------------------------------------------------------------------------------------


def _totem(live: _Live) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name, value in live.conf.totem.items():
        if name in BY_ITSELF:
            continue
        key, default = TOTEM.get(name, ("", ""))
        if not key:
            live.left_out.append(f"corosync's {name}: {value}, which stays as it is")
        elif value != default:
            settings[key] = int(value) if value.isdecimal() else value
    live.left_out.extend(f"corosync's {one}, which stays as it is" for one in live.conf.further)
    return settings


def _qdevice(live: _Live) -> dict[str, Any]:
    device = live.conf.device
    if device is None:
        return {}
    _refuse_device(live, device)
    keys = [one.witness_key for one in live.found.members.values() if one.witness_key]
    if not keys:
        live.left_out.append(
            f"the SSH host key of the QDevice's server {device.host}, which no member has: add it to cluster.qdevice.machine.hostKey"
        )
    return {
        "machine": {"name": "witness", "address": device.host, **({"hostKey": keys[0]} if keys else {})},
        **({"algorithm": device.algorithm} if device.algorithm != "ffsplit" else {}),
        **({"tls": device.tls} if device.tls != "on" else {}),
    }


def _refuse_device(live: _Live, device: Device) -> None:
    if not network.is_ipv4(device.host):
        live.obstacles.append(f"the QDevice's server is {device.host}, and this program wants its IPv4 address")
    if len(live.nodes) % 2:
        live.obstacles.append(
            f"there is a QDevice beside {len(live.nodes)} nodes, and this program has one beside an even number only"
        )
    if device.votes != (wanted := topology.device_votes(device.algorithm)):
        live.obstacles.append(
            f"corosync.conf gives the QDevice ({device.algorithm}) {_votes(device.votes)}, and this program {_votes(wanted)}"
        )


def _votes(number: int | None) -> str:
    return "no number of votes" if number is None else f"votes: {number}"


# -- what guests use ---------------------------------------------------------------------------------------------------


def _storages(live: _Live) -> list[dict[str, Any]]:
    """The storages as they are: what this program would make, it would also change."""
    described = []
    for section in pve.parse_sections(live.first.storages):
        if section.values.get("disable", "0") != "0":
            live.left_out.append(f"storage {section.id}: it is disabled")
            continue
        nodes = guest_places.nodes_of(section)
        if nodes is not None and (without := [node.name for node in live.nodes if node.name not in nodes]):
            live.left_out.append(f"storage {section.id}: not on {', '.join(without)}; a described one is on every node")
            continue
        shared = section.type in SHARED or section.values.get("shared", "0") != "0"
        described.append({"kind": "external", "name": section.id, "shared": shared})
    return described
