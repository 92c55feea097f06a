"""Values that Proxmox VE, its installer, the provider or Linux take from a list, or within bounds. Each check names its source."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from config import topology
from config.errors import Problem
from config.model import ContainerGuest, ExistingNode, NestedNode, NfsStorage, ProxmoxVeHost, VmGuest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from ipaddress import IPv4Address

    from config.model import Config

# qemu-server, CPUConfig.pm; models of one's own are custom-NAME.
CPU_TYPES = frozenset(
    """
    486 pentium pentium2 pentium3 coreduo core2duo Conroe Penryn Nehalem Nehalem-IBRS Westmere Westmere-IBRS SandyBridge
    SandyBridge-IBRS IvyBridge IvyBridge-IBRS Haswell Haswell-IBRS Haswell-noTSX Haswell-noTSX-IBRS Broadwell
    Broadwell-IBRS Broadwell-noTSX Broadwell-noTSX-IBRS Skylake-Client Skylake-Client-IBRS Skylake-Client-noTSX-IBRS
    Skylake-Client-v4 Skylake-Server Skylake-Server-IBRS Skylake-Server-noTSX-IBRS Skylake-Server-v4 Skylake-Server-v5
    Cascadelake-Server Cascadelake-Server-v2 Cascadelake-Server-noTSX Cascadelake-Server-v4 Cascadelake-Server-v5
    Cooperlake Cooperlake-v2 KnightsMill Icelake-Client Icelake-Client-noTSX Icelake-Server Icelake-Server-noTSX
    Icelake-Server-v3 Icelake-Server-v4 Icelake-Server-v5 Icelake-Server-v6 Icelake-Server-v7 SapphireRapids
    SapphireRapids-v2 SapphireRapids-v3 SapphireRapids-v4 GraniteRapids GraniteRapids-v2 GraniteRapids-v3 SierraForest
    SierraForest-v2 SierraForest-v3 ClearwaterForest athlon phenom Opteron_G1 Opteron_G2 Opteron_G3 Opteron_G4 Opteron_G5
    EPYC EPYC-IBPB EPYC-v3 EPYC-v4 EPYC-v5 EPYC-Rome EPYC-Rome-v2 EPYC-Rome-v3 EPYC-Rome-v4 EPYC-Rome-v5 EPYC-Milan
    EPYC-Milan-v2 EPYC-Milan-v3 EPYC-Genoa EPYC-Genoa-v2 EPYC-Turin host kvm32 kvm64 qemu32 qemu64 max x86-64-v2
    x86-64-v2-AES x86-64-v3 x86-64-v4
    """.split()  # noqa: SIM905 - ninety words
)
CUSTOM_CPU = re.compile("custom-.+")
# pve-access-control, AccessControl.pm; a role of one's own cannot begin with PVE (Role.pm).
ROLES = frozenset(
    """
    PVEAdmin PVEAuditor PVEDatastoreAdmin PVEDatastoreUser PVEMappingAdmin PVEMappingAuditor PVEMappingUser PVEPoolAdmin
    PVEPoolUser PVESDNAdmin PVESDNUser PVESysAdmin PVETemplateUser PVEUserAdmin PVEVMAdmin PVEVMUser
    """.split()  # noqa: SIM905
)
USER_LENGTH_MAX = 64
PROVIDER_REALMS = ("@pam", "@pve")
VM_CORES_MAX = 2304
VM_MEMORY_MIN = 64
VLAN_MAX = 4094
# PVE::Storage::Plugin, parse_config: the storage local is this directory, whatever storage.cfg says.
LOCAL = "/var/lib/vz"
LOCAL_ISO = f"{LOCAL}/template/iso"
# limits.h: NAME_MAX, and PATH_MAX with the zero at its end.
PART_LENGTH_MAX = 255
PATH_LENGTH_MAX = 4095
NO_WATCHDOG = "none"
# Linux, drivers/watchdog and char/ipmi, as far as PCs have them; whatever comes from elsewhere has WATCHDOG in its name.
WATCHDOGS = frozenset(
    """
    softdog ipmi_watchdog iTCO_wdt sp5100_tco nv_tco i6300esb ib700wdt ibmasr hpwdt mei_wdt wdat_wdt xen_wdt via_wdt ie6xx_wdt
    it87_wdt it8712f_wdt f71808e_wdt w83627hf_wdt w83877f_wdt w83977f_wdt sch311x_wdt smsc37b787_wdt pc87413_wdt alim1535_wdt
    alim7101_wdt kempld_wdt tqmx86_wdt mlx_wdt nic7018_wdt ni903x_wdt simatic_ipc_wdt lenovo_se10_wdt exar_wdt ebc_c384_wdt
    advantech_ec_wdt advantechwdt acquirewdt eurotechwdt wafer5823wdt cpu5wdt sbc60xxwdt sc1200wdt sbc_fitpc2_wdt sbc8360
    sbc_epx_c3 machzwd geodewdt sc520_wdt cros_ec_wdt pcwd pcwd_pci pcwd_usb mixcomwd wdt wdt_pci
    """.split()  # noqa: SIM905
)
WATCHDOG = re.compile("wdt|wdog|watchdog", re.IGNORECASE)
SYSTEM_DIRECTORIES = frozenset(
    "/bin /boot /dev /etc /lib /lib64 /proc /root /run /sbin /sys /tmp /usr /var/lib/pve-cluster".split()  # noqa: SIM905
)


@cache
def _table(name: str, column: int) -> frozenset[str]:
    lines = (files("tzdata") / "zoneinfo" / name).read_text(encoding="utf-8").splitlines()
    return frozenset(line.split("\t")[column] for line in lines if not line.startswith("#"))


def locales(config: Config) -> Iterator[Problem]:
    """The installer knows the countries of ISO 3166 and the time zones of zone.tab (country.pl, verify_locale_settings)."""
    if config.installation is None:
        return
    country, timezone = config.installation.country, config.installation.timezone
    if country.upper() not in _table("iso3166.tab", 0):
        message = f"the installer knows no country {country}"
        yield Problem("installation.country", message, "use its code of ISO 3166: at, de, gb, us")
    if timezone not in _table("zone.tab", 2) | {"UTC"}:
        message = f"the installer knows no time zone {timezone}"
        yield Problem(
            "installation.timezone", message, "use Continent/City, as timedatectl list-timezones shows, or UTC"
        )


def cpu_types(config: Config) -> Iterator[Problem]:
    """qemu-server (validate_vm_cpu_conf) takes what it knows, and custom-NAME of /etc/pve/virtual-guest/cpu-models.conf."""
    named = [
        (f"nodes[{n}]", node.cpu_type)
        for n, node in enumerate(config.nodes)
        if isinstance(node, NestedNode) and isinstance(topology.host_of(config, node), ProxmoxVeHost | None)
    ]
    named += [(f"templates[{t}]", template.cpu_type) for t, template in enumerate(config.templates)]
    for path, cpu_type in named:
        if cpu_type not in CPU_TYPES and not CUSTOM_CPU.fullmatch(cpu_type):
            near = sorted(known for known in CPU_TYPES if known.lower() == cpu_type.lower())
            fix = (
                f"use {near[0]}"
                if near
                else "use host, x86-64-v2-AES, another one that Proxmox VE shows, or custom-NAME"
            )
            yield Problem(f"{path}.cpuType", f"Proxmox VE knows no processor type {cpu_type}", fix)


def users(config: Config) -> Iterator[Problem]:
    """PVE::Auth::Plugin takes 64 characters; the provider (credentials.go) logs in to the realms pam and pve only."""
    named = [(f"outerHosts[{h}].user", host.user) for h, host in topology.proxmox_ve_hosts(config)]
    for path, user in [*named, ("cluster.api.user", config.cluster.api.user)]:
        if len(user) > USER_LENGTH_MAX:
            yield Problem(path, f"has {len(user)} characters", f"use at most {USER_LENGTH_MAX}")
    for path, user in named:
        if not user.endswith(PROVIDER_REALMS):
            message = f"the provider logs in users of {' and '.join(PROVIDER_REALMS)} only"
            yield Problem(path, message, "use root@pam")
    role = config.cluster.api.role
    if role == "NoAccess" or (role.upper().startswith("PVE") and role not in ROLES):
        message = "NoAccess allows nothing" if role == "NoAccess" else f"there is no role {role}, and none can be made"
        yield Problem("cluster.api.role", message, "leave it out: the role that is made then has what is needed")


def unicast(config: Config) -> Iterator[Problem]:
    """What machines are reached by: no loopback (that is every machine itself), no multicast, broadcast or 0.0.0.0."""
    for path, address in _addresses(config):
        if (
            address.is_loopback
            or address.is_multicast
            or address.is_reserved
            or address.is_unspecified
            or address.is_link_local
        ):
            yield Problem(path, f"{address} is no address of a machine", "use the machine's own address")


def _addresses(config: Config) -> Iterator[tuple[str, IPv4Address]]:
    yield "managementNetwork.dns", config.management_network.dns
    for h, host in enumerate(config.outer_hosts):
        yield f"outerHosts[{h}].address", host.address
    for s, storage in enumerate(config.storages):
        if isinstance(storage, NfsStorage):
            yield f"storages[{s}].server", storage.server
    if witness := topology.witness_machine(config):
        yield "cluster.qdevice.machine.address", witness.address
    for path, _, name in topology.endpoints(config):
        if address := topology.ipv4(name):
            yield path, address


def ports(config: Config) -> Iterator[Problem]:
    """Linux makes VLANs 1 to 4094, and takes neither the loopback nor another bridge into a bridge."""
    named = [
        (f"outerHosts[{h}].bridges[{b}].ports[{p}]", port)
        for h, host in enumerate(config.outer_hosts)
        for b, bridge in enumerate(host.bridges)
        for p, port in enumerate(bridge.ports)
    ]
    for path, port in named:
        if port == "lo" or port.startswith("vmbr"):
            what = "the loopback" if port == "lo" else "a bridge, or on one"
            yield Problem(
                path, f"{port} is {what}, and cannot be in a bridge", "name the network card that leads there"
            )
    for n, node in enumerate(config.nodes):
        if isinstance(node, ExistingNode):
            named += [(f"nodes[{n}].links[{i}].interface", end.interface or "") for i, end in enumerate(node.links)]
            named += [(f"nodes[{n}].networks[{i}].interface", net.interface) for i, net in enumerate(node.networks)]
    for path, port in named:
        vlan = port.partition(".")[2]
        if vlan.isdigit() and not 0 < int(vlan) <= VLAN_MAX:
            yield Problem(path, f"{port}: there is no VLAN {vlan}", f"use 1 to {VLAN_MAX}")


def vm_sizes(config: Config) -> Iterator[Problem]:
    """Bounds of the provider's VM (proxmoxtf/resource/vm/vm.go), narrower than Proxmox VE's own."""
    for g, guest in enumerate(config.guests):
        if isinstance(guest, VmGuest) and guest.memory_mib < VM_MEMORY_MIN:
            message = f"the provider makes no VM with {guest.memory_mib} MiB"
            yield Problem(f"guests[{g}].memoryMib", message, f"use at least {VM_MEMORY_MIN}")
        if isinstance(guest, VmGuest) and guest.cores > VM_CORES_MAX:
            message = f"the provider makes no VM with {guest.cores} processors"
            yield Problem(f"guests[{g}].cores", message, f"use at most {VM_CORES_MAX}")
        if isinstance(guest, ContainerGuest) and guest.address != "dhcp" and guest.gateway == guest.address.ip:
            yield Problem(f"guests[{g}].gateway", f"{guest.gateway} is the guest itself", "use the network's router")


def storage_names(config: Config) -> Iterator[Problem]:
    """Names that Proxmox VE gives (PVE::Storage::Plugin, its installer), and what a storage can hold."""
    nested = any(isinstance(node, NestedNode) for node in config.nodes)
    for s, storage in enumerate(config.storages):
        taken = {"local", "local-lvm"} if nested else {"local"}
        if isinstance(storage, NfsStorage) and storage.name in taken:
            message = f"each node has a storage {storage.name} of its own"
            yield Problem(f"storages[{s}].name", message, "use another name")
        if isinstance(storage, NfsStorage) and len(set(storage.contents)) < len(storage.contents):
            yield Problem(f"storages[{s}].contents", "lists a value twice", "list it once")
    for h, host in topology.proxmox_ve_hosts(config):
        if host.iso_storage == "local-lvm":
            message = "local-lvm holds disks, and no files"
            yield Problem(f"outerHosts[{h}].isoStorage", message, "use local, or another storage of type directory")


def iso_directories(config: Config) -> Iterator[Problem]:
    """Where a storage keeps its images: local inside of its own directory, and no two storages are one directory (PVE's storage manual)."""
    for h, host in topology.proxmox_ve_hosts(config):
        path, directory = f"outerHosts[{h}].isoDirectory", host.iso_directory
        if host.installer.path:
            continue  # nothing is put there
        if host.iso_storage == "local" and not f"{directory}/".startswith(f"{LOCAL}/"):
            fix = f"leave isoDirectory out, or name in isoStorage the storage that has {directory}"
            yield Problem(path, f"the storage local keeps nothing in {directory}: it is {LOCAL}", fix)
        if host.iso_storage != "local" and directory == LOCAL_ISO:
            message = f"{directory} belongs to the storage local, not to {host.iso_storage}"
            yield Problem(path, message, f"name the directory in which {host.iso_storage} has its images")


def paths(config: Config) -> Iterator[Problem]:
    """Linux takes 255 characters between two slashes, and 4095 in all."""
    for path, text in _paths(config):
        longest = max(map(len, text.split("/")))
        if longest > PART_LENGTH_MAX:
            yield Problem(
                path, f"has a part of {longest} characters", f"use at most {PART_LENGTH_MAX} between two slashes"
            )
        elif len(text) > PATH_LENGTH_MAX:
            yield Problem(path, f"has {len(text)} characters", f"use at most {PATH_LENGTH_MAX}")


def _paths(config: Config) -> Iterator[tuple[str, str]]:
    for h, host in enumerate(config.outer_hosts):
        if isinstance(host, ProxmoxVeHost):
            yield f"outerHosts[{h}].isoDirectory", host.iso_directory
            yield f"outerHosts[{h}].diskStorage", host.disk_storage  # directories are called by it: /mnt/pve/NAME
            yield f"outerHosts[{h}].isoStorage", host.iso_storage
        else:
            yield f"outerHosts[{h}].directory", host.directory
        if host.installer.path:
            yield f"outerHosts[{h}].installer.path", host.installer.path
        if host.nfs_export:
            yield f"outerHosts[{h}].nfsExport.path", host.nfs_export.path
    for s, storage in enumerate(config.storages):
        yield f"storages[{s}].name", storage.name
        if isinstance(storage, NfsStorage):
            yield f"storages[{s}].export", storage.export


def watchdogs(config: Config) -> Iterator[Problem]:
    """watchdog-mux hands the name to modprobe, which reports no error for a module that does not exist (pve-ha-manager: watchdog-mux.c)."""
    for n, node in enumerate(config.nodes):
        name = node.watchdog
        if name == NO_WATCHDOG or name in WATCHDOGS:
            continue
        near = next((known for known in (*WATCHDOGS, NO_WATCHDOG) if known.lower() == name.lower()), None)
        if near or not WATCHDOG.search(name):
            fix = (
                f"use {near}"
                if near
                else "use softdog, or the module of the hardware: ipmi_watchdog, iTCO_wdt, hpwdt …"
            )
            yield Problem(f"nodes[{n}].watchdog", f"Linux has no watchdog module {name}", fix)


def export_paths(config: Config) -> Iterator[Problem]:
    """This program exports nothing to nodes that is part of the host's own system."""
    for h, host in enumerate(config.outer_hosts):
        path = host.nfs_export.path if host.nfs_export else ""
        if any(path == system or path.startswith(f"{system}/") for system in SYSTEM_DIRECTORIES):
            message = f"{path} is part of {host.name}'s own system, and every node could write there"
            yield Problem(f"outerHosts[{h}].nfsExport.path", message, "use a directory of its own: /srv/pve-shared")


def host_keys(config: Config) -> Iterator[Problem]:
    """OpenSSH takes a key only when its type, and what is encoded, agree; and a key identifies one machine."""
    named = [(f"outerHosts[{h}].hostKey", host.name, host.host_key) for h, host in enumerate(config.outer_hosts)]
    named += [
        (f"nodes[{n}].hostKey", node.name, node.host_key)
        for n, node in enumerate(config.nodes)
        if isinstance(node, ExistingNode)
    ]
    if witness := topology.witness_machine(config):
        named.append(("cluster.qdevice.machine.hostKey", witness.name, witness.host_key))
    for path, _, key in named:
        if key is not None and not is_public_key(key):
            yield broken_key(path)
    yield from shared_keys(named)


def shared_keys(named: Iterable[tuple[str, str, str | None]]) -> Iterator[Problem]:
    """The keys, given as path, machine and key, that are given to more than one machine.

    With such a key, one machine answers for another, and nobody sees it.
    """
    first: dict[tuple[str, ...], str] = {}
    for path, name, key in named:
        if key is None:
            continue
        owner = first.setdefault(tuple(key.split()[:2]), name)
        if owner != name:
            fix = (
                f"on the console of {name}: cat /etc/ssh/ssh_host_ed25519_key.pub; if it is a copy of {owner}, "
                "first rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh"
            )
            yield Problem(path, f"{name} has the same host key as {owner}: each machine needs its own", fix)


def broken_key(path: str) -> Problem:
    """That a key is none."""
    fix = "copy type and key of /etc/ssh/ssh_host_ed25519_key.pub on the machine, in one line"
    return Problem(path, "is no SSH public key: part of it is missing, or it has more than type and key", fix)


def is_public_key(text: str) -> bool:
    """Whether this is the line of one public SSH key."""
    try:
        load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    return "\n" not in text


CHECKS: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    locales,
    cpu_types,
    users,
    unicast,
    ports,
    vm_sizes,
    storage_names,
    iso_directories,
    paths,
    watchdogs,
    export_paths,
    host_keys,
)
