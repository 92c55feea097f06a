"""What libvirt is given: the XML of a domain and of a network, each with the mark of its stack.

A domain that is there is changed and not described anew: it keeps its identity, the type of its machine, the places of its cards,
and what users added.
"""

from __future__ import annotations

import ipaddress
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from onnode.host import libvirt_files
from onnode.host.libvirt_files import HOST, MTU_DEFAULT, Card, Hardware

if TYPE_CHECKING:
    from onnode.contract.libvirt import LibvirtDomain, LibvirtNetwork

# The guest's first SCSI disk is its sda, whatever the CD is called here: in the guest that is sr0.
DISK, DRIVE = "sda", "sdb"

ET.register_namespace("ha", libvirt_files.NAMESPACE)


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text
    return child


def _text(root: ET.Element) -> str:
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _marked(root: ET.Element, **values: str) -> None:
    _add(_add(root, "metadata"), libvirt_files.MARK, **values)


def network(desired: LibvirtNetwork, uuid: str = "") -> str:
    """An isolated network: a bridge with the host's address, and an offer of addresses where it has a range.

    Without names: else dnsmasq would offer itself as name server. In a network that leads nowhere it offers no default route either.
    """
    bridge = desired.bridge
    address = ipaddress.IPv4Interface(bridge.address)
    root = ET.Element("network")
    _add(root, "name", bridge.name)
    if uuid:
        _add(root, "uuid", uuid)
    _marked(root, name=desired.stack)
    _add(root, "bridge", name=bridge.name, stp="off", delay="0")
    _add(root, "mtu", size=str(desired.mtu))
    _add(root, "dns", enable="no")
    ip = _add(root, "ip", address=str(address.ip), prefix=str(address.network.prefixlen))
    if bridge.dhcp_start and bridge.dhcp_end:
        _add(_add(ip, "dhcp"), "range", start=bridge.dhcp_start, end=bridge.dhcp_end)
    return _text(root)


def offer(first_and_last: str) -> str:
    """A range of addresses, by itself."""
    first, last = first_and_last.split()
    return f"<range start='{first}' end='{last}'/>"


def domain(desired: LibvirtDomain, wanted: Hardware, disk: str) -> str:
    """A VM that boots from its disk, and from its CD when that is empty; libvirt gives it its identity."""
    root = ET.Element("domain", type="kvm")
    _add(root, "name", desired.name)
    _marked(root, name=desired.stack, vmid=str(desired.vmid))
    _add(_add(root, "os"), "type", "hvm", arch="x86_64", machine="q35")
    features = _add(root, "features")  # without these a PC has neither
    _add(features, "acpi")
    _add(features, "apic")
    _add(root, "clock", offset="utc")
    for event, then in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "restart")):
        _add(root, f"on_{event}", then)
    devices = _add(root, "devices")
    hard_disk = _disk(devices, "disk", 1, dev=DISK, bus="scsi")
    _child(hard_disk, "driver").set("discard", "unmap")  # what the node frees, the host has again
    _add(hard_disk, "source", file=disk)
    _add(_disk(devices, "cdrom", 2, dev=DRIVE, bus="sata"), "readonly")
    _add(devices, "controller", type="scsi", index="0", model="virtio-scsi")
    _add(devices, "serial", type="pty")
    # A console that shows an installer which stopped; only root of the host can look at it.
    _add(_add(devices, "graphics", type="vnc"), "listen", type="socket")
    _add(_add(devices, "video"), "model", type="vga")
    _add(devices, "memballoon", model="none")  # a cluster's node keeps its memory
    _equip(root, wanted)
    return _text(root)


def _disk(devices: ET.Element, device: str, order: int, **target: str) -> ET.Element:
    disk = _add(devices, "disk", type="file", device=device)
    _add(disk, "driver", name="qemu", type="raw")
    _add(disk, "target", **target)
    _add(disk, "boot", order=str(order))
    return disk


def changed(text: str, wanted: Hardware) -> str:
    """The XML of a domain with other hardware."""
    root = ET.fromstring(text)  # noqa: S314 - a file of root's own, written by libvirt
    _equip(root, wanted)
    return _text(root)


def _equip(root: ET.Element, wanted: Hardware) -> None:
    for tag in ("memory", "currentMemory"):
        memory = _child(root, tag)
        memory.attrib.clear()
        memory.set("unit", "MiB")
        memory.text = str(wanted.memory_mib)
    vcpu = _child(root, "vcpu")
    vcpu.attrib.pop("current", None)
    vcpu.text = str(wanted.cores)
    _set_cpu(root, wanted)
    _set_cards(_child(root, "devices"), wanted.cards)


def _child(parent: ET.Element, tag: str) -> ET.Element:
    found = parent.find(tag)
    return ET.SubElement(parent, tag) if found is None else found


def _set_cpu(root: ET.Element, wanted: Hardware) -> None:
    """A processor is either the host's own, or a model: nothing of one is kept in the other."""
    cpu = _child(root, "cpu")
    if (cpu.get("mode") == "host-passthrough") != (wanted.cpu == HOST):
        cpu.clear()
    if wanted.cpu == HOST:
        cpu.set("mode", "host-passthrough")
        cpu.set("migratable", "off")  # it stays on this host, and may have all that the processor has
        return
    cpu.set("mode", "custom")
    cpu.set("match", "exact")
    model = _child(cpu, "model")
    model.set("fallback", "forbid")
    model.text = wanted.cpu
    for feature in [one for one in cpu.findall("feature") if one.get("name") in libvirt_files.NESTING]:
        cpu.remove(feature)
    if wanted.nesting:
        _add(cpu, "feature", policy="require", name=wanted.nesting)


def _set_cards(devices: ET.Element, wanted: list[Card]) -> None:
    """A card that stays keeps its place on the guest's bus, from which its name there may come."""
    there = {libvirt_files.card(one).mac: one for one in devices.findall("interface")}
    for mac, one in there.items():
        if mac not in {card.mac for card in wanted}:
            devices.remove(one)
    for card in wanted:
        _connect(there[card.mac] if card.mac in there else _new_card(devices, card), card)


def _new_card(devices: ET.Element, card: Card) -> ET.Element:
    one = _add(devices, "interface")
    _add(one, "mac", address=card.mac)
    _add(one, "model", type="virtio")
    return one


def _connect(one: ET.Element, card: Card) -> None:
    """To a bridge by its name: so one that libvirt makes and one that is the host's own are the same."""
    one.set("type", "bridge")
    for child in [*one.findall("source"), *one.findall("mtu")]:
        one.remove(child)
    _add(one, "source", bridge=card.bridge)
    if card.mtu != MTU_DEFAULT:
        _add(one, "mtu", size=str(card.mtu))
