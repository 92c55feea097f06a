"""Numbers and addresses: each is used once, and DHCP hands out none of them."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import GUEST, NODES, OUTER_HOST, TEMPLATE, design
from .holders import Holders
from .resources import CLONED_VM, CONTAINER, DESIGN, VM, VMS
from .rule import Rule, given, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .rule import Props, Subject


def _twice(values: Iterable[object]) -> Iterator[str]:
    counts = Counter(number(value) if isinstance(value, float) else str(value) for value in values)
    yield from sorted(value for value, count in counts.items() if count > 1)


def _vmids(design: Subject) -> Iterator[str]:
    for host in design.props["outerHosts"]:
        for vmid in _twice(node["vmid"] for node in _nested(design.props) if node["host"] == host["name"]):
            yield f"vmid {vmid} is used twice on {host['name']}"
    for vmid in _twice(guest["vmid"] for guest in (*design.props["templates"], *design.props["guests"])):
        yield f"vmid {vmid} is used twice in the cluster"


def _nested(design: Props) -> Iterator[Props]:
    return (node for node in design["nodes"] if node["kind"] == "nested")


# What the resources of a program have, beside what a design tells of its own.
_NUMBERS, _CARDS = Holders(), Holders()
_WHERE_VMID_STANDS = {VM: "vmId", CONTAINER: "vmId"} | dict.fromkeys((*VMS[1:], CLONED_VM), "resourceId")


def _vmid_of_another(guest: Subject) -> Iterator[str]:
    """One that the program leaves to Proxmox VE is a free one. Clusters are told apart by their API."""
    name = _WHERE_VMID_STANDS[guest.type]
    if not given(guest.props, name):
        return
    vmid = number(float(guest.props[name]))
    cluster = str(guest.provider.get("endpoint") or guest.api).rstrip("/")
    for other in _NUMBERS.others(guest.urn, [f"{cluster} {vmid}"]).values():
        yield f"vmid {vmid} is {other}'s already"


UNIQUE_VMIDS = Rule(
    id="unique-vmids",
    level=EnforcementLevel.MANDATORY,
    demands="Every VM and container has a number of its own on its host or in its cluster.",
    protects="The second one is refused half way through, or worse: the first one is taken for it.",
    source="Proxmox VE: VMs and containers share their numbers, cluster-wide",
    fix="Choose a free vmid.",
    judges={DESIGN: _vmids, **dict.fromkeys(_WHERE_VMID_STANDS, _vmid_of_another)},
    bad=design(guests=[GUEST | {"vmid": 9000}]),
    good=design(guests=[GUEST], templates=[TEMPLATE]),
)


def _macs(design: Subject) -> Iterator[str]:
    for mac in _twice(mac.upper() for node in _nested(design.props) for mac in node["macs"].values()):
        yield f"MAC address {mac} is used twice"


def _mac_of_another(guest: Subject) -> Iterator[str]:
    cards = guest.props.get("networkDevices" if guest.type == VM else "networkInterfaces") or ()
    macs = [str(card["macAddress"]).upper() for card in cards if given(card, "macAddress") and card["macAddress"]]
    for mac in _twice(macs):
        yield f"MAC address {mac} is on two of its cards"
    for mac, other in _CARDS.others(guest.urn, macs).items():
        yield f"MAC address {mac} is {other}'s already"


UNIQUE_MACS = Rule(
    id="unique-macs",
    level=EnforcementLevel.MANDATORY,
    demands="Every network card has a MAC address of its own.",
    protects="Bridges send a node's packets to the other one by turns: links flap, and DHCP leases move.",
    source="IEEE 802.1D: a bridge learns one place for each address",
    fix="Use each once, or leave them out: macs of the nodes in nested-pve-ha:nodes, macAddress of a VM's or container's cards.",
    judges={DESIGN: _macs, VM: _mac_of_another, CONTAINER: _mac_of_another},
    bad=design(nodes=[NODES[0], NODES[1] | {"macs": NODES[0]["macs"]}, NODES[2]]),
    good=design(nodes=NODES),
)


def _addresses(design: Props) -> Iterator[str]:
    """What the design gives to machines. A bridge that is not managed may be the same network on every host, or none."""
    yield design["managementNetwork"]["gateway"]
    for host in design["outerHosts"]:
        yield host["address"]
        yield from (bridge["address"] for bridge in host["bridges"] if bridge.get("managed", True))
    for node in design["nodes"]:
        links = [
            link["addresses"][node["name"]] for link in design["cluster"]["links"] if node["name"] in link["addresses"]
        ]
        yield from {node["address"], *links, *node["networks"]}  # a link may be on the management network
    yield from (guest["address"] for guest in design["guests"] if guest.get("address"))


def _addresses_twice(design: Subject) -> Iterator[str]:
    for address in _twice(_addresses(design.props)):
        yield f"address {address} is used twice"


UNIQUE_ADDRESSES = Rule(
    id="unique-addresses",
    level=EnforcementLevel.MANDATORY,
    demands="Every address is used once in the design.",
    protects="Two machines answer by turns; Corosync sees a node come and go, and a stale ARP entry hides the join.",
    source="F9",
    fix="Choose a free address.",
    judges={DESIGN: _addresses_twice},
    bad=design(nodes=[NODES[0], NODES[1] | {"address": NODES[0]["address"]}, NODES[2]]),
    good=design(nodes=NODES),
)


def _handed_out(design: Subject) -> Iterator[str]:
    servers = (storage["server"] for storage in design.props["storages"] if storage.get("server"))
    used = sorted({IPv4Address(address) for address in (*_addresses(design.props), *servers)})
    for host in design.props["outerHosts"]:
        for bridge in host["bridges"]:
            dhcp = bridge.get("dhcp")
            if not dhcp:
                continue
            for address in used:
                if IPv4Address(dhcp["start"]) <= address <= IPv4Address(dhcp["end"]):
                    yield f"DHCP on {bridge['name']} of {host['name']} hands out {address}, which is in use"


DHCP_CLEAR = Rule(
    id="dhcp-clear-of-static-addresses",
    level=EnforcementLevel.MANDATORY,
    demands="No DHCP range holds an address that is given to a machine.",
    protects="Some day the range reaches that address, and a guest takes a node's link down.",
    source="dnsmasq(8), dhcp-range",
    fix="Move dhcp of the bridge in nested-pve-ha:outerHosts, or the address.",
    judges={DESIGN: _handed_out},
    bad=design(
        outerHosts=[
            OUTER_HOST
            | {"bridges": [OUTER_HOST["bridges"][0] | {"dhcp": {"start": "10.10.1.10", "end": "10.10.1.200"}}]}
        ]
    ),
    good=design(outerHosts=[OUTER_HOST]),
)

RULES = (UNIQUE_VMIDS, UNIQUE_MACS, UNIQUE_ADDRESSES, DHCP_CLEAR)
