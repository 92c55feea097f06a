"""Numbers and addresses: each is used once, and DHCP hands out none of them."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import CARD, OUTER_HOST, design, vm
from .holders import Holders
from .resources import CLONED_VM, CONTAINER, DESIGN, VM, VMS
from .rule import Rule, given, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .rule import Props, Subject


def _twice(values: Iterable[object]) -> Iterator[str]:
    counts = Counter(number(value) if isinstance(value, float) else str(value) for value in values)
    yield from sorted(value for value, count in counts.items() if count > 1)


# What the resources of a program have.
_NUMBERS, _CARDS = Holders(), Holders()
_WHERE_VMID_STANDS = {VM: "vmId", CONTAINER: "vmId"} | dict.fromkeys((*VMS[1:], CLONED_VM), "resourceId")


def _vmid_of_another(guest: Subject) -> Iterator[str]:
    """One that the program leaves to Proxmox VE is a free one. Clusters are distinguished by their API."""
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
    protects="The second one is refused in the middle of a run or, worse, mistaken for the first one. A stack file of this "
    "program with one number twice is refused as config-invalid.",
    source="Proxmox VE: VMs and containers share their numbers, cluster-wide",
    fix="Choose a free vmid.",
    judges=dict.fromkeys(_WHERE_VMID_STANDS, _vmid_of_another),
    bad=vm(vmId=100, before=vm(name="shop", vmId=100)),
    good=vm(vmId=101, before=vm(name="shop", vmId=100)),
)


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
    protects="Bridges send packets to one or the other machine by turns: links flap, and DHCP leases move. A stack file of this "
    "program with one address twice is refused as config-invalid.",
    source="IEEE 802.1D: a bridge learns one place for each address",
    fix="Use each once, or leave macAddress of the cards out.",
    judges={VM: _mac_of_another, CONTAINER: _mac_of_another},
    bad=vm(networkDevices=[CARD, CARD]),
    good=vm(networkDevices=[CARD, CARD | {"macAddress": "BC:24:11:00:00:02"}]),
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
    protects="DHCP gives that address to a guest some day, and the guest takes a node's link down.",
    source="dnsmasq(8), dhcp-range",
    fix="Move dhcp of the bridge in nested-pve-ha:outerHosts, or the address.",
    judges={DESIGN: _handed_out},
    bad=design(
        outerHosts=[
            OUTER_HOST
            | {
                "bridges": [
                    OUTER_HOST["bridges"][0] | {"dhcp": {"start": "10.10.1.10", "end": "10.10.1.200"}},
                    *OUTER_HOST["bridges"][1:],
                ]
            }
        ]
    ),
    good=design(outerHosts=[OUTER_HOST]),
)

RULES = (UNIQUE_VMIDS, UNIQUE_MACS, DHCP_CLEAR)
