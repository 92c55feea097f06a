"""What Proxmox VE, its installer, Debian or Linux would refuse, or read otherwise, much later. Each check names its source."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from config import topology
from config.errors import Problem
from config.model import ContainerGuest, ExistingNode, Installer, NestedNode, VmGuest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from ipaddress import IPv4Network

    from config.model import Config, ContainerTemplate, Download

ISO_NAME = re.compile(r"proxmox-ve_(\d+)\.(\d+)-[\w.-]+\.iso")
OTHER_PRODUCT = re.compile(r"proxmox-(backup-server|mail-gateway|datacenter-manager)_")
FIRST_BOOT_SINCE = (8, 3)
FQDN_LENGTH_MAX = 253
PORT_MAX = 65535
PREFIX_MIN = 8
PREFIX_MAX = 30
TEMPLATE_ENDINGS = (".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2")
IMAGE_ENDINGS = (".qcow2", ".raw", ".vmdk")
NAME_LENGTH_MAX = 255
# Checksums in the stack files that come with this program, each with the only address that it is meant for.
STAND_INS = {
    "sha256:f3fb4e8c309d385e10fa121251281c29fe2b8a82d584d8fc490e6e1d41f2d42e": "http://download.proxmox.com/iso/proxmox-ve_9.1-1.iso",
    "sha256:20b2fb7457d447bbbc6312bdee2978ed09ee359b87782e10524195a4aaa5ec2c": (
        "http://download.proxmox.com/images/system/debian-13-standard_13.1-2_amd64.tar.zst"
    ),
}


def host_names(config: Config) -> Iterator[Problem]:
    """Debian takes no host name of digits only, nor does Proxmox' installer (Fqdn, "numeric"); a full name has 253 letters.

    An existing node has its name already, and so has an outer host.
    """
    for n, node in enumerate(config.nodes):
        if isinstance(node, NestedNode) and node.name.isdigit():
            message = f"{node.name} has digits only, which Proxmox' installer refuses"
            yield Problem(f"nodes[{n}].name", message, "use a name with a letter in it")
        if node.name == "localhost":
            yield Problem(
                f"nodes[{n}].name", "localhost is a name that every machine has for itself", "use another name"
            )
        full = f"{node.name}.{config.management_network.domain}"
        if len(full) > FQDN_LENGTH_MAX:
            message = f"its full name has {len(full)} characters, more than {FQDN_LENGTH_MAX}"
            yield Problem(f"nodes[{n}].name", message, "shorten it, or managementNetwork.domain")


def installers(config: Config) -> Iterator[Problem]:
    """An image named like Proxmox' own is of the wanted product and version; first-boot scripts came with 8.3 (its wiki)."""
    for h, host in enumerate(config.outer_hosts):
        key, source = _source(host.installer)
        name = source.rpartition("/")[2]
        path = f"outerHosts[{h}].installer.{key}"
        if OTHER_PRODUCT.match(name):
            yield Problem(path, f"{name} installs another product", "use an image of Proxmox VE")
        if not (found := ISO_NAME.fullmatch(name)):
            continue
        major, minor = int(found[1]), int(found[2])
        if major != config.pve_major:
            message = f"{name} installs Proxmox VE {major}, and pveMajor is {config.pve_major}"
            yield Problem(path, message, f"use an image of Proxmox VE {config.pve_major}, or correct pveMajor")
        elif (major, minor) < FIRST_BOOT_SINCE:
            message = f"{name} runs no script at the first boot: Proxmox VE does since 8.3"
            yield Problem(path, message, "use an image of Proxmox VE 8.3 or newer")


def _source(installer: Installer) -> tuple[str, str]:
    return ("url", installer.url) if installer.url else ("path", installer.path or "")


def downloads(config: Config) -> Iterator[Problem]:
    """What is downloaded is what was meant: nothing else vouches for it, over http least of all."""
    for path, source in _downloads(config):
        if source.url and not source.checksum:
            fix = "add sha256:… of the file, as its publisher states it"
            yield Problem(f"{path}.checksum", "a download without a checksum cannot be verified", fix)
        if source.checksum and not source.url:
            message = "there is a checksum, but no url to download"
            yield Problem(f"{path}.checksum", message, "add url, or remove checksum")


def stand_ins(config: Config) -> Iterator[Problem]:
    """A stack file that was copied has its own address of the image, and still the checksum of the file that it came with."""
    for path, source in _downloads(config):
        known = STAND_INS.get(source.checksum or "")
        if known and source.url and source.url != known:
            name = known.rpartition("/")[2]
            message = f"it came with the stack file, and is that of the lab's stand-in for {name}, not of {source.url}"
            yield Problem(f"{path}.checksum", message, _published(source))


def _published(source: Installer | Download | ContainerTemplate) -> str:
    name = (source.url or "").rpartition("/")[2]
    if isinstance(source, Installer):
        return f"replace it by the SHA256 that Proxmox publishes for {name}: https://www.proxmox.com/en/downloads"
    return f"replace it by the SHA256 that the publisher of {name} states"


def one_file(config: Config) -> Iterator[Problem]:
    """A file that is there is not loaded again: of two downloads by one name the second gets what the first one was."""
    first: dict[tuple[str, str], tuple[str, str | None]] = {}
    for path, storage, source in _on_storages(config):
        named, checksum = first.setdefault((storage, source.file_name), (path, source.checksum))
        if checksum != source.checksum:
            message = f"{named} gives {source.file_name} on {storage} another checksum"
            yield Problem(f"{path}.fileName", message, "give each download a name of its own")


def _on_storages(config: Config) -> Iterator[tuple[str, str, Download | ContainerTemplate]]:
    for t, template in enumerate(config.templates):
        if template.image:
            yield f"templates[{t}].image", template.storage, template.image
    for g, guest in enumerate(config.guests):
        if isinstance(guest, ContainerGuest) and guest.template.url:
            yield f"guests[{g}].template", guest.template.storage, guest.template


def _downloads(config: Config) -> Iterator[tuple[str, Installer | Download | ContainerTemplate]]:
    for h, host in enumerate(config.outer_hosts):
        yield f"outerHosts[{h}].installer", host.installer
    for t, template in enumerate(config.templates):
        if template.image:
            yield f"templates[{t}].image", template.image
    for g, guest in enumerate(config.guests):
        if isinstance(guest, ContainerGuest):
            yield f"guests[{g}].template", guest.template


def file_names(config: Config) -> Iterator[Problem]:
    """A storage takes files by their ending: PVE::Storage, VZTMPL_EXT_RE_1 and IMPORT_EXT_RE_1; the installer is an .iso."""
    for t, template in enumerate(config.templates):
        if template.image:
            yield from _ending(f"templates[{t}].image.fileName", template.image.file_name, IMAGE_ENDINGS)
    for g, guest in enumerate(config.guests):
        if isinstance(guest, ContainerGuest):
            yield from _ending(f"guests[{g}].template.fileName", guest.template.file_name, TEMPLATE_ENDINGS)
    for h, host in enumerate(config.outer_hosts):
        if host.installer.path:
            yield from _ending(f"outerHosts[{h}].installer.path", host.installer.path, (".iso",))


def _ending(path: str, name: str, endings: tuple[str, ...]) -> Iterator[Problem]:
    if not name.endswith(endings):
        yield Problem(path, f"Proxmox VE takes no {name} there", f"use a name that ends with {', '.join(endings)}")
    elif len(name.rpartition("/")[2]) > NAME_LENGTH_MAX:
        yield Problem(path, "is longer than a file's name can be", f"use at most {NAME_LENGTH_MAX} characters")


def bridge_ports(config: Config) -> Iterator[Problem]:
    """Proxmox' format pve-iface; Linux gives a card to one bridge only."""
    for h, host in enumerate(config.outer_hosts):
        used: dict[str, str] = {}
        for b, bridge in enumerate(host.bridges):
            for p, port in enumerate(bridge.ports):
                path = f"outerHosts[{h}].bridges[{b}].ports[{p}]"
                if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]+(\.[0-9]+)?", port):
                    fix = "use the name that Proxmox shows: two or more letters, digits and _, with .VLAN behind"
                    yield Problem(path, f"Proxmox VE takes no port {port}", fix)
                if port in used:
                    fix = "give each bridge ports of its own"
                    yield Problem(path, f"{port} is a port of {used[port]} already", fix)
                used.setdefault(port, bridge.name)


def endpoints(config: Config) -> Iterator[Problem]:
    """A port is a number from 1 to 65535."""
    named = [(f"outerHosts[{h}].endpoint", host.endpoint) for h, host in topology.proxmox_ve_hosts(config)]
    for path, endpoint in [*named, ("cluster.api.endpoint", config.cluster.api.endpoint)]:
        port = endpoint.removeprefix("https://").rstrip("/").partition(":")[2]
        if port and not (len(port) <= len(str(PORT_MAX)) and 0 < int(port) <= PORT_MAX):
            yield Problem(path, f"{port} is no port", f"use a number from 1 to {PORT_MAX}; Proxmox' own is 8006")


def networks(config: Config) -> Iterator[Problem]:
    """Networks of hosts: Linux routes no loopback, multicast or reserved ones; two hosts and a gateway need three addresses."""
    for path, network in _networks(config):
        if network.is_loopback or network.is_multicast or network.is_reserved or network.network_address.is_unspecified:
            yield Problem(
                path, f"{network} is no network that hosts can use", "use a private network, 10.10.1.0/24 for example"
            )
        elif not PREFIX_MIN <= network.prefixlen <= PREFIX_MAX:
            message = f"{network} has room for {network.num_addresses} addresses"
            yield Problem(path, message, f"use a prefix from /{PREFIX_MIN} to /{PREFIX_MAX}")


def _networks(config: Config) -> Iterator[tuple[str, IPv4Network]]:
    yield "managementNetwork.subnet", config.management_network.subnet
    for i, link in enumerate(config.cluster.links):
        yield f"cluster.links[{i}].subnet", link.subnet
    for h, host in enumerate(config.outer_hosts):
        for b, bridge in enumerate(host.bridges):
            yield f"outerHosts[{h}].bridges[{b}].address", bridge.address.network
    for n, node in enumerate(config.nodes):
        if isinstance(node, ExistingNode):
            for i, attachment in enumerate(node.networks):
                yield f"nodes[{n}].networks[{i}].address", attachment.address.network


def local_storages(config: Config) -> Iterator[Problem]:
    """A node that is installed here has local, for files, and local-lvm (lvmthin), for disks, and no more."""
    described = {storage.name for storage in config.storages}
    nested = {node.name for node in config.nodes if isinstance(node, NestedNode)}
    for path, name, node, is_file in _used(config):
        if name in described or node not in nested:
            continue
        fitting, content = ("local", "files") if is_file else ("local-lvm", "disks")
        known = ", ".join([*sorted(described), fitting])
        if name not in ("local", "local-lvm"):
            yield Problem(path, f"{node} has no storage {name}", f"use one of {known}, or describe it in storages")
        elif name != fitting:
            by_hand = f"if {name} was given other contents by hand, describe it in storages as external"
            yield Problem(path, f"{name} holds no {content}", f"use one of {known}; {by_hand}")


def _used(config: Config) -> Iterator[tuple[str, str, str, bool]]:
    """Where a storage is named, its name, on which node, and whether a file is kept there."""
    for t, template in enumerate(config.templates):
        yield f"templates[{t}].storage", template.storage, template.node, template.image is not None
    for g, guest in topology.made_guests(config):
        yield f"guests[{g}].storage", guest.storage, guest.node, False
        if isinstance(guest, ContainerGuest):
            yield f"guests[{g}].template.storage", guest.template.storage, guest.node, True


def guest_cores(config: Config) -> Iterator[Problem]:
    """A VM has no more processors than one of its nodes (qemu-server: "MAX … vcpus allowed per VM")."""
    for g, guest in enumerate(config.guests):
        allowed = [node for node in config.nodes if not guest.ha.strict or node.name in guest.ha.nodes]
        cores = [node.cores for node in allowed if isinstance(node, NestedNode)]
        if isinstance(guest, VmGuest) and len(cores) == len(allowed) and cores and guest.cores > max(cores):
            message = f"{guest.name} fits on no node: the largest that it may run on has {max(cores)} processors"
            yield Problem(f"guests[{g}].cores", message, f"use at most {max(cores)}, or a larger node")


CHECKS: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    host_names,
    installers,
    downloads,
    stand_ins,
    one_file,
    file_names,
    bridge_ports,
    endpoints,
    networks,
    local_storages,
    guest_cores,
)
