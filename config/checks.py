"""Relations between keys: what a stack file must be to mean anything. Each check yields the problems that it finds.

What is unwise or unsafe is not refused here: the policy pack judges that (decision 13).
"""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import combinations
from typing import TYPE_CHECKING

from config import consumers, qdevice, reach, topology, values
from config.errors import Problem
from config.model import ContainerGuest, ExistingNode, LibvirtHost, NestedNode, NfsStorage, VmGuest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from config.model import Bridge, Config, OuterHost

MTU_DEFAULT = 1500
NO_MAC = "00:00:00:00:00:00"
CLUSTER = "cluster"  # the component's name: a host's resources would be taken for the cluster's


def _duplicates(values: Iterable[tuple[str, str]], what: str, fix: str) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for path, value in values:
        if value in first:
            yield Problem(path, f"{what} {value} is used already by {first[value]}", fix)
        else:
            first[value] = path


def _bridges(config: Config) -> Iterator[tuple[str, OuterHost, Bridge]]:
    for h, host in enumerate(config.outer_hosts):
        for b, bridge in enumerate(host.bridges):
            yield f"outerHosts[{h}].bridges[{b}]", host, bridge


def _nested(config: Config) -> Iterator[tuple[str, NestedNode]]:
    for n, node in enumerate(config.nodes):
        if isinstance(node, NestedNode):
            yield f"nodes[{n}]", node


def names(config: Config) -> Iterator[Problem]:
    """Hosts and nodes share one name space (their domain), guests and templates another."""
    machines = [(f"outerHosts[{i}].name", host.name) for i, host in enumerate(config.outer_hosts)]
    machines += [(f"nodes[{i}].name", node.name) for i, node in enumerate(config.nodes)]
    if witness := topology.witness_machine(config):
        machines.append(("cluster.qdevice.machine.name", witness.name))
    yield from _duplicates(machines, "the name", "give each host and node a name of its own")
    for path, name in machines:
        if name == CLUSTER:
            yield Problem(
                path, f"{name} is reserved: reports use it for the cluster itself", "give the machine another name"
            )
    guests = [(f"templates[{i}].name", template.name) for i, template in enumerate(config.templates)]
    guests += [(f"guests[{i}].name", guest.name) for i, guest in enumerate(config.guests)]
    yield from _duplicates(guests, "the name", "give each template and guest a name of its own")
    storages = [(f"storages[{i}].name", storage.name) for i, storage in enumerate(config.storages)]
    yield from _duplicates(storages, "the name", "give each storage a name of its own")
    for h, host in enumerate(config.outer_hosts):
        bridges = [(f"outerHosts[{h}].bridges[{i}].name", bridge.name) for i, bridge in enumerate(host.bridges)]
        yield from _duplicates(bridges, "the bridge", "give each bridge of a host a name of its own")


def vmids(config: Config) -> Iterator[Problem]:
    """Proxmox numbers VMs and containers together, per host or cluster."""
    for host in config.outer_hosts:
        nodes = [(f"{path}.vmid", str(node.vmid)) for path, node in _nested(config) if node.host == host.name]
        yield from _duplicates(nodes, f"on {host.name} the vmid", "choose a free vmid")
    guests = [(f"templates[{i}].vmid", str(template.vmid)) for i, template in enumerate(config.templates)]
    guests += [(f"guests[{i}].vmid", str(guest.vmid)) for i, guest in enumerate(config.guests)]
    yield from _duplicates(guests, "in the cluster the vmid", "choose a free vmid")


def node_ids(config: Config) -> Iterator[Problem]:
    """Corosync's numbers are unique."""
    numbers = [(f"nodes[{i}].nodeId", str(node.node_id)) for i, node in enumerate(config.nodes)]
    yield from _duplicates(numbers, "the node id", "give each node an id of its own; those of members must stay")


def macs(config: Config) -> Iterator[Problem]:
    """Bridges of one host, and hosts joined by ports, must not see a MAC twice; cards are matched by MAC inside."""
    used: dict[str, str] = {}
    for path, node in _nested(config):
        for nic in topology.nics(config, node):
            used[f"{path}.macs.{nic.bridge}"] = nic.mac
            if nic.mac == NO_MAC:
                yield Problem(
                    f"{path}.macs.{nic.bridge}", f"{nic.mac} is no card's address", "use another one, or none"
                )
            if int(nic.mac[:2], 16) & 1:
                yield Problem(
                    f"{path}.macs.{nic.bridge}", f"{nic.mac} is a multicast address", "make its first byte even"
                )
        known = {nic.bridge for nic in topology.nics(config, node)}
        for bridge in sorted(set(node.macs) - known):
            message = f"{node.name} has no network card on {bridge}"
            yield Problem(f"{path}.macs.{bridge}", message, f"use one of {', '.join(sorted(known)) or 'its bridges'}")
    yield from _duplicates(used.items(), "the MAC", "set macs so that each is used once")


def _addresses(config: Config) -> Iterator[tuple[str, IPv4Address]]:
    yield "managementNetwork.gateway", config.management_network.gateway
    for h, host in enumerate(config.outer_hosts):
        yield f"outerHosts[{h}].address", host.address
    for path, _, bridge in _bridges(config):
        if bridge.managed:
            yield f"{path}.address", bridge.address.ip
    for n, node in enumerate(config.nodes):
        yield f"nodes[{n}].address", node.address
        for i, address in enumerate(topology.link_addresses(node)):
            if address != node.address:
                yield f"nodes[{n}].links[{i}]", address
        for i, address in enumerate(topology.network_addresses(node)):
            yield f"nodes[{n}].networks[{i}]", address
    if witness := topology.witness_machine(config):
        yield "cluster.qdevice.machine.address", witness.address
    yield from _guest_addresses(config)


def _guest_addresses(config: Config) -> Iterator[tuple[str, IPv4Address]]:
    for g, guest in enumerate(config.guests):
        if isinstance(guest, ContainerGuest) and isinstance(guest.address, IPv4Interface):
            yield f"guests[{g}].address", guest.address.ip


def addresses(config: Config) -> Iterator[Problem]:
    """An address is one machine's."""
    used = [(path, str(address)) for path, address in _addresses(config)]
    yield from _duplicates(used, "the address", "choose a free address")


def dhcp(config: Config) -> Iterator[Problem]:
    """A range lies in its bridge's subnet and runs upwards; only a managed bridge gets one, and no network outside."""
    for path, _, bridge in _bridges(config):
        if bridge.dhcp is None:
            continue
        if not bridge.managed:
            yield Problem(f"{path}.dhcp", f"{bridge.name} is not managed", "remove dhcp, or set managed: true")
        if bridge.ports:
            message = f"{bridge.name} has ports: its DHCP would also serve the network behind {bridge.ports[0]}"
            yield Problem(f"{path}.dhcp", message, "remove dhcp, or the ports")
        if bridge.dhcp.start > bridge.dhcp.end:
            yield Problem(f"{path}.dhcp", f"{bridge.dhcp.start} is above {bridge.dhcp.end}", "swap start and end")
        for key in ("start", "end"):
            yield from _inside(f"{path}.dhcp.{key}", getattr(bridge.dhcp, key), bridge.address.network)


def libvirt_bridges(config: Config) -> Iterator[Problem]:
    """A network of libvirt has a bridge without ports, or one that exists."""
    for path, host, bridge in _bridges(config):
        if isinstance(host, LibvirtHost) and bridge.managed and bridge.ports:
            message = f"libvirt makes {bridge.name} without ports"
            fix = f"make a bridge with {bridge.ports[0]} on {host.name} yourself, and set managed: false here"
            yield Problem(f"{path}.ports", message, fix)


def _inside(path: str, address: IPv4Address, network: IPv4Network) -> Iterator[Problem]:
    if address not in network:
        yield Problem(path, f"{address} is not in {network}", f"use an address of {network}")
    elif network.prefixlen < 31 and address in (network.network_address, network.broadcast_address):  # noqa: PLR2004 - RFC 3021
        yield Problem(path, f"{address} is the network or broadcast address of {network}", "use a host's address")


def management(config: Config) -> Iterator[Problem]:
    """Gateway and nodes are in the management subnet; the gateway is reachable without itself."""
    network = config.management_network
    yield from _inside("managementNetwork.gateway", network.gateway, network.subnet)
    for i, node in enumerate(config.nodes):
        yield from _inside(f"nodes[{i}].address", node.address, network.subnet)


def bridge_subnets(config: Config) -> Iterator[Problem]:
    """Bridges of one host have subnets of their own, apart from the management network."""
    for path, host, bridge in _bridges(config):
        if bridge.name == host.management_bridge:
            yield Problem(f"{path}.name", f"{bridge.name} is the management bridge", "choose another name: vmbr1")
        if bridge.address.network.overlaps(config.management_network.subnet):
            message = f"{bridge.address.network} overlaps the management subnet {config.management_network.subnet}"
            yield Problem(f"{path}.address", message, "choose another subnet")
        yield from _inside(f"{path}.address", bridge.address.ip, bridge.address.network)
    for (path, host, one), (other_path, other_host, two) in combinations(_bridges(config), 2):
        if host is other_host and one.address.network.overlaps(two.address.network):
            message = f"{two.address.network} overlaps {one.address.network} of {path}"
            yield Problem(f"{other_path}.address", message, "choose another subnet")


def node_links(config: Config) -> Iterator[Problem]:
    """Every node is on every link, with an address of the link's subnet (F4)."""
    links = config.cluster.links
    for n, node in enumerate(config.nodes):
        ends = topology.link_addresses(node)
        if len(ends) != len(links):
            message = f"{node.name} has {len(ends)} link addresses, the cluster has {len(links)} links"
            yield Problem(f"nodes[{n}].links", message, "give one address for each of cluster.links, in their order")
        for i, (address, link) in enumerate(zip(ends, links, strict=False)):
            yield from _inside(f"nodes[{n}].links[{i}]", address, link.subnet)


def link_numbers(config: Config) -> Iterator[Problem]:
    """Corosync knows a link by its number."""
    numbers = [(f"cluster.links[{i}].number", str(number)) for i, number in enumerate(topology.link_numbers(config))]
    yield from _duplicates(
        numbers, "the number", "give each link a number of its own; without one, it is its place from 0"
    )


def nested_attachments(config: Config) -> Iterator[Problem]:
    """A nested node's addresses each lie on a bridge of its host, one per bridge, with room for the packets."""
    for path, node in _nested(config):
        host = topology.host_of(config, node)
        if host is None:
            known = ", ".join(host.name for host in config.outer_hosts) or "none is described"
            message = f"there is no outer host {node.host}"
            yield Problem(f"{path}.host", message, f"use the name of an outer host ({known})")
            continue
        ends = [(f"{path}.links[{i}]", address) for i, address in enumerate(node.links) if address != node.address]
        ends += [(f"{path}.networks[{i}]", address) for i, address in enumerate(node.networks)]
        used: dict[str, str] = {}
        for where, address in ends:
            bridge = topology.bridge_for(host, address)
            if bridge is None:
                message = f"no bridge of {host.name} has a subnet with {address}"
                yield Problem(where, message, f"add a bridge to {host.name}, or use an address of one of its bridges")
            elif bridge.name in used:
                message = f"{bridge.name} carries {used[bridge.name]} already"
                yield Problem(where, message, "give each network a bridge of its own")
            else:
                used[bridge.name] = where


def link_mtus(config: Config) -> Iterator[Problem]:
    """A link's packets fit through its bridges."""
    for path, host, bridge in _bridges(config):
        for i, link in enumerate(config.cluster.links):
            if topology.link_bridges(config, i).get(host.name) == bridge.name and link.mtu > bridge.mtu:
                message = f"link {i} wants packets of {link.mtu} bytes, {bridge.name} carries {bridge.mtu}"
                yield Problem(f"{path}.mtu", message, f"set mtu: {link.mtu} here, or lower the link's")


def existing_attachments(config: Config) -> Iterator[Problem]:
    """An existing node's link off the management network needs its interface, one interface per address."""
    for n, node in enumerate(config.nodes):
        if not isinstance(node, ExistingNode):
            continue
        for i, end in enumerate(node.links):
            if end.interface is None and end.address != node.address:
                message = f"{end.address} is not {node.name}'s management address, and no interface is named"
                yield Problem(f"nodes[{n}].links[{i}].interface", message, "name the network interface")
        used = [
            (f"nodes[{n}].links[{i}].interface", end.interface) for i, end in enumerate(node.links) if end.interface
        ]
        used += [(f"nodes[{n}].networks[{i}].interface", net.interface) for i, net in enumerate(node.networks)]
        yield from _duplicates(used, "the interface", "give each address an interface of its own")


def managed_interfaces(config: Config) -> Iterator[Problem]:
    """What the configuration shows of an interface that must not be changed: the loopback, the management network's."""
    for n, node in enumerate(config.nodes):
        if not isinstance(node, ExistingNode):
            continue
        named = [(f"nodes[{n}].links[{i}].interface", end.interface) for i, end in enumerate(node.links)]
        named += [(f"nodes[{n}].networks[{i}].interface", net.interface) for i, net in enumerate(node.networks)]
        for path, interface in named:
            if interface == "lo":
                yield Problem(path, "lo is the loopback, no other machine reaches it", "name a network interface")
        for i, (end, link) in enumerate(zip(node.links, config.cluster.links, strict=False)):
            managed = node.manage_network and end.interface is not None
            if managed and end.address == node.address and link.mtu != MTU_DEFAULT:
                message = (
                    f"{end.interface} carries {node.name}'s management address, so its MTU is not set to {link.mtu}"
                )
                fix = f"take the interface away here and set the MTU on {node.name} yourself, or lower the link's"
                yield Problem(f"nodes[{n}].links[{i}].interface", message, fix)


def cut_offs(config: Config) -> Iterator[Problem]:
    """What the configuration shows of a change that would cut a machine off: its management interface, its network."""
    for n, node in enumerate(config.nodes):
        if not (isinstance(node, ExistingNode) and node.manage_network):
            continue
        ends = [(path, found) for path, found in _named(config, n, node) if found.address.ip != node.address]
        for path, found in ends:
            if found.name == node.management_interface:
                message = f"{found.name} carries {node.name}'s management address, so it does not get {found.address}"
                fix = f"name another interface, or correct nodes[{n}].managementInterface if it is another one"
                yield Problem(f"{path}.interface", message, fix)
            if found.address.network.overlaps(config.management_network.subnet):
                subnet = config.management_network.subnet
                message = f"{found.address} on {found.name} takes over addresses of the management subnet {subnet}"
                yield Problem(f"{path}.address", message, "use an address of another network")
        for (_, one), (path, two) in combinations(ends, 2):
            if one.address.network.overlaps(two.address.network):
                message = f"{two.address} on {two.name} overlaps {one.address} on {one.name}"
                yield Problem(f"{path}.address", message, "give each interface a network of its own")


def _named(config: Config, n: int, node: ExistingNode) -> list[tuple[str, topology.NodeAddress]]:
    """The addresses of a node that have an interface, each with its place in the configuration."""
    ends = enumerate(zip(node.links, config.cluster.links, strict=False))
    links = [f"nodes[{n}].links[{i}]" for i, (end, _) in ends if end.interface is not None]
    paths = [*links, *(f"nodes[{n}].networks[{i}]" for i in range(len(node.networks)))]
    return list(zip(paths, topology.node_addresses(config, node), strict=False))


def installer(config: Config) -> Iterator[Problem]:
    """One source of the installer."""
    for h, host in enumerate(config.outer_hosts):
        path, source = f"outerHosts[{h}].installer", host.installer
        if (source.url is None) == (source.path is None):
            yield Problem(path, "give exactly one of url and path", "remove one, or add url with checksum")
        if source.url is not None and not source.url.endswith(".iso"):
            yield Problem(f"{path}.url", f"{source.url} does not name an .iso file", "use the installer image's URL")
    if any(_nested(config)) and config.installation is None:
        yield Problem("installation", "is missing, and nested nodes need it", "add installation.mailto")


def nfs_export(config: Config) -> Iterator[Problem]:
    """An export goes to the network of one of the host's bridges, not to everyone."""
    for h, host in enumerate(config.outer_hosts):
        export = host.nfs_export
        if export and export.network not in {bridge.address.network for bridge in host.bridges}:
            message = f"{export.network} is not the network of a bridge of {host.name}"
            yield Problem(f"outerHosts[{h}].nfsExport.network", message, "use the storage bridge's network")


def storages(config: Config) -> Iterator[Problem]:
    """Every node reaches an NFS server from an address of its own on the same network."""
    for s, storage in enumerate(config.storages):
        if not isinstance(storage, NfsStorage):
            continue
        lacking = [node.name for node in config.nodes if not _reaches(config, node, storage.server)]
        if lacking:
            message = f"{topology.some(lacking)}: no address on the network of {storage.server}"
            yield Problem(
                f"storages[{s}].server", message, "add one to the networks of these nodes, or correct the server"
            )
        yield from _exported_by_us(config, s, storage)


def _reaches(config: Config, node: NestedNode | ExistingNode, server: IPv4Address) -> bool:
    networks = [interface.address.network for interface in topology.node_addresses(config, node)]
    return any(server in network for network in (*networks, config.management_network.subnet))


def _exported_by_us(config: Config, s: int, storage: NfsStorage) -> Iterator[Problem]:
    for host in config.outer_hosts:
        if storage.server not in {bridge.address.ip for bridge in host.bridges}:
            continue
        if host.nfs_export is None:
            message = f"{storage.server} is {host.name}, which exports nothing"
            yield Problem(f"storages[{s}].server", message, f"add nfsExport to {host.name}")
        elif host.nfs_export.path != storage.export:
            message = f"{host.name} exports {host.nfs_export.path}, not {storage.export}"
            yield Problem(f"storages[{s}].export", message, f"use {host.nfs_export.path}")
        elif storage.server not in host.nfs_export.network:
            message = f"{host.name} exports to {host.nfs_export.network}, not to the network of {storage.server}"
            yield Problem(f"storages[{s}].server", message, "use the host's address on that network")


def cluster(config: Config) -> Iterator[Problem]:
    """The seed is a node with a vote, and the whole can be quorate."""
    by_name = {node.name: node for node in config.nodes}
    seed = by_name.get(config.cluster.seed)
    if seed is None:
        known = ", ".join(by_name)
        yield Problem("cluster.seed", f"there is no node {config.cluster.seed}", f"use one of {known}")
    elif seed.votes == 0:
        yield Problem(
            "cluster.seed", f"{seed.name} has no vote, so it cannot be quorate alone", "choose a node with votes"
        )
    if not config.cluster.api.user.endswith("@pve"):
        message = f"{config.cluster.api.user} is not in Proxmox's own realm, so it cannot be made"
        yield Problem("cluster.api.user", message, "use name@pve")
    yield from _migration_network(config)


def _migration_network(config: Config) -> Iterator[Problem]:
    network = config.cluster.options.migration_network
    if network is None:
        return
    lacking = []
    for node in config.nodes:
        own = [node.address, *topology.link_addresses(node), *topology.network_addresses(node)]
        if not any(address in network for address in own):
            lacking.append(node.name)
    if lacking:
        message = f"{topology.some(lacking)}: no address in {network}"
        yield Problem("cluster.options.migrationNetwork", message, "add one to the networks of these nodes")


def placement(config: Config) -> Iterator[Problem]:
    """Templates and guests are made on nodes that exist."""
    known = {node.name for node in config.nodes}
    fix = f"use one of {topology.some(sorted(known))}"
    for t, template in enumerate(config.templates):
        if template.node not in known:
            yield Problem(f"templates[{t}].node", f"there is no node {template.node}", fix)
    for g, made in topology.made_guests(config):
        if made.node not in known:
            yield Problem(f"guests[{g}].node", f"there is no node {made.node}", fix)
        if made.ha.strict and made.node not in made.ha.nodes:
            message = f"it is made on {made.node}, where it may not run"
            yield Problem(f"guests[{g}].node", message, f"use one of {', '.join(sorted(made.ha.nodes))}")
    for g, guest in enumerate(config.guests):
        for name in sorted(set(guest.ha.nodes) - known):
            yield Problem(f"guests[{g}].ha.nodes.{name}", f"there is no node {name}", fix)
        if guest.ha.strict and not guest.ha.nodes:
            yield Problem(f"guests[{g}].ha.strict", "strict without nodes allows no node", "name the nodes")


def guest_storage(config: Config) -> Iterator[Problem]:
    """Proxmox VE clones to another node from and to shared storage only (PVE::API2::Qemu, clone_vm)."""
    shared = topology.shared_storages(config)
    known = ", ".join(sorted(shared)) or "none is described"
    made_on = {template.name: template.node for template in config.templates}
    for g, guest in enumerate(config.guests):
        if not isinstance(guest, VmGuest) or guest.storage in shared:
            continue
        source = made_on.get(guest.template, guest.node)
        if source != guest.node:
            message = f"{guest.storage} is not shared, but {guest.name} is cloned from {source} to {guest.node}"
            yield Problem(f"guests[{g}].storage", message, f"use a shared storage ({known}), or make it on {source}")
    for t, template in enumerate(config.templates):
        nodes = {
            guest.node for guest in config.guests if isinstance(guest, VmGuest) and guest.template == template.name
        }
        if template.storage not in shared and nodes - {template.node}:
            message = f"{template.storage} is not shared, but guests are cloned to other nodes than {template.node}"
            yield Problem(f"templates[{t}].storage", message, f"use a shared storage ({known})")
    yield from _contents(config)


def _contents(config: Config) -> Iterator[Problem]:
    wanted: dict[str, dict[str, str]] = defaultdict(dict)
    for t, template in enumerate(config.templates):
        wanted[template.storage]["images"] = f"templates[{t}].storage"
        if template.image:
            wanted[template.storage]["import"] = f"templates[{t}].storage"
    for g, guest in topology.made_guests(config):
        content = "images" if isinstance(guest, VmGuest) else "rootdir"
        wanted[guest.storage][content] = f"guests[{g}].storage"
        if isinstance(guest, ContainerGuest) and guest.template.url:
            wanted[guest.template.storage]["vztmpl"] = f"guests[{g}].template.storage"
    for s, storage in enumerate(config.storages):
        if not isinstance(storage, NfsStorage):
            continue
        for content, path in sorted(wanted[storage.name].items()):
            if content not in storage.contents:
                message = f"{path} needs content {content} on {storage.name}"
                yield Problem(f"storages[{s}].contents", message, f"add {content}")


def templates(config: Config) -> Iterator[Problem]:
    """Guests refer to templates that exist, and a template can run as it is described."""
    known = {template.name for template in config.templates}
    for g, guest in enumerate(config.guests):
        if isinstance(guest, VmGuest) and guest.template not in known:
            message = f"there is no template {guest.template}"
            yield Problem(f"guests[{g}].template", message, f"use one of {', '.join(sorted(known)) or 'templates'}")
    yield from _disks(config)
    for t, template in enumerate(config.templates):
        if template.cpu_type == "host" and not template.kvm:
            message = "cpuType host works only with KVM, and kvm is false"
            yield Problem(f"templates[{t}].cpuType", message, "use qemu64, or set kvm: true")


def _disks(config: Config) -> Iterator[Problem]:
    """A clone's disk begins as large as its template's, and disks only grow."""
    sizes = {template.name: template.disk_gib for template in config.templates}
    for g, guest in topology.made_guests(config):
        least = sizes.get(guest.template, 0) if isinstance(guest, VmGuest) else 0
        if guest.disk_gib is not None and guest.disk_gib < least:
            message = f"{guest.disk_gib} GiB are less than the {least} GiB of template {guest.template}"
            yield Problem(f"guests[{g}].diskGib", message, f"use at least {least}, or leave it out")


def containers(config: Config) -> Iterator[Problem]:
    """A static address has its gateway in the same subnet."""
    for g, guest in enumerate(config.guests):
        if not isinstance(guest, ContainerGuest):
            continue
        if guest.address == "dhcp":
            if guest.gateway is not None:
                yield Problem(f"guests[{g}].gateway", "DHCP brings its own gateway", "remove gateway")
            continue
        yield from _inside(f"guests[{g}].address", guest.address.ip, guest.address.network)
        if guest.gateway is not None:
            yield from _inside(f"guests[{g}].gateway", guest.gateway, guest.address.network)


CHECKS: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    names,
    vmids,
    node_ids,
    macs,
    addresses,
    dhcp,
    libvirt_bridges,
    management,
    bridge_subnets,
    node_links,
    link_numbers,
    nested_attachments,
    link_mtus,
    existing_attachments,
    managed_interfaces,
    cut_offs,
    installer,
    nfs_export,
    storages,
    cluster,
    placement,
    guest_storage,
    templates,
    containers,
    *consumers.CHECKS,
    *qdevice.CHECKS,
    *reach.CHECKS,
    *values.CHECKS,
)


def problems(config: Config) -> list[Problem]:
    """All that is wrong between keys, in the order of the checks; each once."""
    return list(dict.fromkeys(problem for check in CHECKS for problem in check(config)))
