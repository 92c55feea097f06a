"""Each cross check of the configuration: the good stack passes, one change makes it complain at the right key."""

from __future__ import annotations

import re
from typing import Any

import pytest

from config import checks, consumers
from config.errors import ConfigError
from config.load import validate
from tests.support.program import HOST_KEY, ROOT, change, stack_file

OTHER_HOST = {
    **stack_file("dev")["outerHosts"][0],
    "name": "other",
    "address": "192.168.0.181",
    "endpoint": "https://other.lab.internal:8006",
    "nfsExport": None,
    "bridges": [{"name": f"vmbr{number}", "address": f"10.{number}0.1.2/24"} for number in (1, 2, 3)],
}
NO_DHCP: dict[str, Any] = {f"outerHosts.0.bridges.{bridge}.dhcp": None for bridge in (0, 1)}
TWO_HOSTS: dict[str, Any] = {"outerHosts.+": OTHER_HOST, "nodes.2.host": "other"}
EXISTING: dict[str, Any] = {"kind": "existing", "type": "vm", "name": "web", "vmid": 250}

# What to change in a good stack file, and the problem that must be reported: key, found, fix.
CASES: list[tuple[str, str, dict[str, Any], str, str, str]] = [
    ("dev", "names", {"nodes.1.name": "proxmox01"}, "nodes[1].name", "proxmox01 is used already by nodes[0].name", "name of its own"),
    ("dev", "names", {"nodes.0.name": "virtual"}, "nodes[0].name", "virtual is used already by outerHosts[0].name", "name of its own"),
    ("dev", "names", {"guests.1.name": "vm01"}, "guests[1].name", "vm01 is used already by guests[0].name", "name of its own"),
    ("dev", "names", {"guests.0.name": "debian-template"}, "guests[0].name", "used already by templates[0].name", "name of its own"),
    ("dev", "names", {"outerHosts.0.name": "cluster"}, "outerHosts[0].name", "for the cluster itself", "another name"),
    ("dev", "names", {"nodes.2.name": "cluster"}, "nodes[2].name", "for the cluster itself", "another name"),
    ("dev", "names", {"outerHosts.0.bridges.1.name": "vmbr1"}, "outerHosts[0].bridges[1].name", "vmbr1 is used already", "name of its own"),
    ("dev", "names", {"storages.+": {"kind": "external", "name": "shared", "shared": True}}, "storages[1].name", "shared is used", "own"),
    ("dev", "vmids", {"nodes.2.vmid": 101}, "nodes[2].vmid", "on virtual the vmid 101 is used already by nodes[0].vmid", "free vmid"),
    ("dev", "vmids", {"guests.0.vmid": 9000}, "guests[0].vmid", "vmid 9000 is used already by templates[0].vmid", "free vmid"),
    ("dev", "vmids", {"guests.1.vmid": 200}, "guests[1].vmid", "vmid 200 is used already by guests[0].vmid", "free vmid"),
    ("dev", "node_ids", {"nodes.1.nodeId": 1}, "nodes[1].nodeId", "node id 1 is used already", "id of its own"),
    ("dev", "macs", {"nodes.0.macs": {"vmbr1": "BC:24:11:00:00:01", "vmbr2": "bc:24:11:00:00:01"}}, "nodes[0].macs.vmbr2", "BC:24:11:00:00:01 is used already", "each is used once"),
    ("dev", "macs", {"nodes.0.macs": {"vmbr1": "BD:24:11:00:00:01"}}, "nodes[0].macs.vmbr1", "multicast", "even"),
    ("dev", "macs", {"nodes.0.macs": {"vmbr1": "00:00:00:00:00:00"}}, "nodes[0].macs.vmbr1", "no card's address", "another one"),
    ("dev", "macs", {"nodes.0.macs": {"vmbr7": "BC:24:11:00:00:01"}}, "nodes[0].macs.vmbr7", "no network card on vmbr7", "vmbr0, vmbr1"),
    ("dev", "addresses", {"nodes.1.address": "192.168.0.185"}, "nodes[1].address", "192.168.0.185 is used already by nodes[0].address", "free address"),
    ("dev", "addresses", {"nodes.1.links.0": "10.10.1.185"}, "nodes[1].links[0]", "used already by nodes[0].links[0]", "free address"),
    ("dev", "addresses", {"nodes.1.address": "192.168.0.180"}, "nodes[1].address", "used already by outerHosts[0].address", "free address"),
    ("dev", "addresses", {"nodes.1.links.0": "10.10.1.1"}, "nodes[1].links[0]", "used already by outerHosts[0].bridges[0].address", "free"),
    ("dev", "addresses", {"nodes.1.address": "192.168.0.1"}, "nodes[1].address", "used already by managementNetwork.gateway", "free"),
    ("dev", "addresses", {"guests.1.address": "192.168.0.185/24"}, "guests[1].address", "used already by nodes[0].address", "free"),
    ("dev", "dhcp", {"outerHosts.0.bridges.0.dhcp.start": "10.10.2.10"}, "outerHosts[0].bridges[0].dhcp.start", "10.10.2.10 is not in 10.10.1.0/24", "10.10.1.0/24"),
    ("dev", "dhcp", {"outerHosts.0.bridges.0.dhcp.start": "10.10.1.30"}, "outerHosts[0].bridges[0].dhcp", "10.10.1.30 is above 10.10.1.20", "swap"),
    ("dev", "dhcp", {"outerHosts.0.bridges.0.ports": ["eth1"]}, "outerHosts[0].bridges[0].dhcp", "its DHCP would also serve the network behind eth1", "remove dhcp"),
    ("dev", "dhcp", {"outerHosts.0.bridges.0.managed": False}, "outerHosts[0].bridges[0].dhcp", "not managed", "managed: true"),
    ("libvirt", "libvirt_bridges", {"outerHosts.0.bridges.2.ports": ["eth1"]}, "outerHosts[0].bridges[2].ports", "libvirt makes vmbr3 without ports", "managed: false"),
    ("libvirt", "bridge_subnets", {"outerHosts.0.bridges.2.name": "br0"}, "outerHosts[0].bridges[2].name", "is the management bridge", "another name"),
    ("libvirt", "paths", {"outerHosts.0.directory": f"/srv/{'a' * 300}"}, "outerHosts[0].directory", "has a part of 300 characters", "at most 255"),
    ("libvirt", "across_machines", {"outerHosts.+": OTHER_HOST, "nodes.2.host": "other"}, "outerHosts[0].bridges[0].ports", "has no ports", "managed: false"),
    ("dev", "management", {"managementNetwork.gateway": "192.168.1.1"}, "managementNetwork.gateway", "192.168.1.1 is not in 192.168.0.0/24", "192.168.0.0/24"),
    ("dev", "management", {"nodes.0.address": "192.168.1.185"}, "nodes[0].address", "is not in 192.168.0.0/24", "192.168.0.0/24"),
    ("dev", "management", {"nodes.0.address": "192.168.0.255"}, "nodes[0].address", "network or broadcast", "host's address"),
    ("dev", "bridge_subnets", {"outerHosts.0.bridges.1.address": "10.10.1.2/24"}, "outerHosts[0].bridges[1].address", "10.10.1.0/24 overlaps 10.10.1.0/24", "another subnet"),
    ("dev", "bridge_subnets", {"outerHosts.0.bridges.2.address": "192.168.0.200/25"}, "outerHosts[0].bridges[2].address", "overlaps the management subnet", "another subnet"),
    ("dev", "bridge_subnets", {"outerHosts.0.bridges.2.name": "vmbr0"}, "outerHosts[0].bridges[2].name", "is the management bridge", "another name"),
    ("dev", "bridge_subnets", {"outerHosts.0.bridges.2.address": "10.30.1.0/24"}, "outerHosts[0].bridges[2].address", "network or broadcast", "host's"),
    ("dev", "nested_attachments", {"cluster.links.1.subnet": "10.10.1.128/25", "nodes.0.links.1": "10.10.1.200"}, "nodes[0].links[1]", "vmbr1 carries nodes[0].links[0] already", "bridge of its own"),
    ("dev", "node_links", {"nodes.1.links": ["10.10.1.186"]}, "nodes[1].links", "has 1 link addresses, the cluster has 2 links", "one address for each"),
    ("dev", "node_links", {"nodes.1.links": ["10.10.1.186", "10.20.1.186", "10.30.1.186"], "nodes.1.networks": []}, "nodes[1].links", "has 3 link", "one address"),
    ("dev", "node_links", {"nodes.1.links.0": "10.20.1.196"}, "nodes[1].links[0]", "10.20.1.196 is not in 10.10.1.0/24", "10.10.1.0/24"),
    ("physical", "node_links", {"nodes.1.links.0.address": "10.20.1.196"}, "nodes[1].links[0]", "is not in 10.10.1.0/24", "10.10.1.0/24"),
    ("dev", "nested_attachments", {"nodes.1.host": "elsewhere"}, "nodes[1].host", "there is no outer host elsewhere", "virtual"),
    ("dev", "nested_attachments", {"nodes.1.networks": ["10.40.1.186"]}, "nodes[1].networks[0]", "no bridge of virtual has a subnet with 10.40.1.186", "add a bridge"),
    ("dev", "nested_attachments", {"nodes.1.networks": ["10.10.1.99"]}, "nodes[1].networks[0]", "vmbr1 carries nodes[1].links[0] already", "bridge of its own"),
    ("dev", "link_numbers", {"cluster.links.0.number": 1}, "cluster.links[1].number", "the number 1 is used already", "number of its own"),
    ("dev", "link_mtus", {"cluster.links.0.mtu": 9000}, "outerHosts[0].bridges[0].mtu", "link 0 wants packets of 9000 bytes, vmbr1 carries 1500", "mtu: 9000"),
    ("physical", "existing_attachments", {"nodes.0.links.0": {"address": "10.10.1.101"}}, "nodes[0].links[0].interface", "no interface is named", "name the network"),
    ("physical", "existing_attachments", {"nodes.0.links.1.interface": "eth1"}, "nodes[0].links[1].interface", "eth1 is used already", "interface of its own"),
    ("physical", "managed_interfaces", {"nodes.1.links.1.interface": "lo"}, "nodes[1].links[1].interface", "lo is the loopback", "name a network interface"),
    ("physical", "managed_interfaces", {"nodes.1.networks.0.interface": "lo"}, "nodes[1].networks[0].interface", "lo is the loopback", "name a network interface"),
    ("physical", "cut_offs", {"nodes.0.links.0.interface": "vmbr0"}, "nodes[0].links[0].interface", "vmbr0 carries pve1's management address", "managementInterface"),
    ("physical", "cut_offs", {"nodes.0.networks.0.interface": "vmbr0"}, "nodes[0].networks[0].interface", "does not get 10.30.1.101/24", "another interface"),
    ("physical", "cut_offs", {"nodes.0.managementInterface": "eth1"}, "nodes[0].links[0].interface", "eth1 carries pve1's management address", "managementInterface"),
    ("physical", "cut_offs", {"nodes.1.networks.0.address": "192.168.0.222/24"}, "nodes[1].networks[0].address", "takes over addresses of the management subnet 192.168.0.0/24", "another network"),
    ("physical", "cut_offs", {"nodes.1.networks.0.address": "10.20.1.222/24"}, "nodes[1].networks[0].address", "overlaps 10.20.1.102/24 on eth2", "network of its own"),
    ("physical", "cut_offs", {"cluster.links.1.subnet": "10.10.0.0/16", **{f"nodes.{n}.links.1.address": f"10.10.2.10{n + 1}" for n in (0, 1, 2)}}, "nodes[2].links[1].address", "10.10.2.103/16 on eth2 overlaps 10.10.1.103/24 on eth1", "network of its own"),
    ("physical", "managed_interfaces", {"cluster.links.0.mtu": 9000, "nodes.2.links.0": {"address": "192.168.0.103", "interface": "vmbr0"}}, "nodes[2].links[0].interface", "vmbr0 carries pve3's management address, so its MTU is not set to 9000", "on pve3 yourself"),
    ("dev", "installer", {"outerHosts.0.installer": {}}, "outerHosts[0].installer", "exactly one of url and path", "url with checksum"),
    ("dev", "installer", {"outerHosts.0.installer.path": "/srv/pve.iso"}, "outerHosts[0].installer", "exactly one of url and path", "remove one"),
    ("dev", "downloads", {"outerHosts.0.installer": {"url": "http://download.proxmox.com/iso/a.iso"}}, "outerHosts[0].installer.checksum", "cannot be verified", "sha256"),
    ("dev", "downloads", {"outerHosts.0.installer": {"path": "/srv/a.iso", "checksum": f"sha256:{'0' * 64}"}}, "outerHosts[0].installer.checksum", "no url to download", "remove checksum"),
    ("twonode", "server", {"cluster.qdevice": {}}, "cluster.qdevice", "exactly one of host and machine", "add host"),
    ("twonode", "server", {"cluster.qdevice": {"host": "virtual", "machine": {"name": "witness", "address": "192.168.0.106"}}}, "cluster.qdevice", "exactly one of host and machine", "remove one"),
    ("twonode", "server", {"cluster.qdevice": {"host": "proxmox01"}}, "cluster.qdevice.host", "proxmox01 is a member", "outside of the cluster"),
    ("twonode", "server", {"cluster.qdevice": {"host": "nowhere"}}, "cluster.qdevice.host", "no outer host nowhere", "use one of virtual"),
    ("physical", "server", {"cluster.qdevice": {"host": "nowhere"}}, "cluster.qdevice.host", "no outer host nowhere", "under machine"),
    ("twonode", "names", {"cluster.qdevice": {"machine": {"name": "proxmox02", "address": "192.168.0.106"}}}, "cluster.qdevice.machine.name", "proxmox02 is used already by nodes[1].name", "its own"),
    ("twonode", "addresses", {"cluster.qdevice": {"machine": {"name": "witness", "address": "10.10.1.186"}}}, "cluster.qdevice.machine.address", "10.10.1.186 is used already by nodes[1].links[1]", "free address"),
    ("twonode", "unicast", {"cluster.qdevice": {"machine": {"name": "witness", "address": "127.0.0.1"}}}, "cluster.qdevice.machine.address", "no address of a machine", "the machine's own"),
    ("dev", "votes", {"cluster.qdevice": {"machine": {"name": "witness", "address": "192.168.0.106"}}, "nodes.1.votes": 2}, "nodes[1].votes", "ffsplit wants one for each node", "lms"),
    ("dev", "downloads", {"guests.1.template.checksum": None}, "guests[1].template.checksum", "cannot be verified", "sha256"),
    ("dev", "downloads", {"templates.0.image": {"url": "https://images.example/a.qcow2", "fileName": "a.qcow2"}}, "templates[0].image.checksum", "cannot be verified", "sha256"),
    ("dev", "one_file", {"guests.+": {**stack_file("dev")["guests"][1], "name": "ct02", "vmid": 301, "template": {**stack_file("dev")["guests"][1]["template"], "checksum": f"sha256:{'0' * 64}"}}}, "guests[2].template.fileName", "another checksum", "name of its own"),
    ("dev", "file_names", {"guests.1.template.fileName": "debian.tar"}, "guests[1].template.fileName", "takes no debian.tar", ".tar.zst"),
    ("dev", "file_names", {"templates.0.image": {"url": "https://images.example/a.img", "fileName": "a.img", "checksum": f"sha256:{'0' * 64}"}}, "templates[0].image.fileName", "takes no a.img", ".qcow2"),
    ("dev", "file_names", {"outerHosts.0.installer": {"path": "/srv/pve.img"}}, "outerHosts[0].installer.path", "takes no", ".iso"),
    ("dev", "host_names", {"nodes.0.name": "1003"}, "nodes[0].name", "digits only, which Proxmox' installer refuses", "a letter"),
    ("dev", "host_names", {"nodes.0.name": "localhost"}, "nodes[0].name", "every machine has for itself", "another name"),
    ("dev", "host_names", {"managementNetwork.domain": ".".join(["a" * 60] * 5)}, "nodes[0].name", "more than 253", "shorten"),
    ("dev", "stand_ins", {"outerHosts.0.installer.url": "https://download.proxmox.com/iso/proxmox-ve_9.2-1.iso"}, "outerHosts[0].installer.checksum", "lab's stand-in for proxmox-ve_9.1-1.iso, not of https://download.proxmox.com/iso/proxmox-ve_9.2-1.iso", "https://www.proxmox.com/en/downloads"),
    ("twonode", "stand_ins", {"outerHosts.0.installer.url": "https://mirror.example.com/proxmox-ve_9.1-1.iso"}, "outerHosts[0].installer.checksum", "came with the stack file", "publishes for proxmox-ve_9.1-1.iso"),
    ("dev", "stand_ins", {"guests.1.template.url": "https://mirror.example.com/debian-13-standard_13.2-1_amd64.tar.zst"}, "guests[1].template.checksum", "stand-in for debian-13-standard_13.1-2_amd64.tar.zst", "publisher of debian-13-standard_13.2-1_amd64.tar.zst"),
    ("dev", "installers", {"outerHosts.0.installer.url": "http://download.proxmox.com/iso/proxmox-ve_8.4-1.iso"}, "outerHosts[0].installer.url", "installs Proxmox VE 8, and pveMajor is 9", "an image of Proxmox VE 9"),
    ("dev", "installers", {"outerHosts.0.installer": {"path": "/srv/proxmox-ve_8.4-1.iso"}}, "outerHosts[0].installer.path", "installs Proxmox VE 8", "correct pveMajor"),
    ("dev", "installers", {"pveMajor": 8, "outerHosts.0.installer.url": "http://download.proxmox.com/iso/proxmox-ve_8.2-1.iso"}, "outerHosts[0].installer.url", "no script at the first boot", "8.3 or newer"),
    ("dev", "installers", {"outerHosts.0.installer.url": "http://download.proxmox.com/iso/proxmox-backup-server_4.0-1.iso"}, "outerHosts[0].installer.url", "another product", "Proxmox VE"),
    ("dev", "bridge_ports", {"outerHosts.0.bridges.0.ports": ["en-p1"]}, "outerHosts[0].bridges[0].ports[0]", "takes no port en-p1", "Proxmox shows"),
    ("dev", "bridge_ports", {"outerHosts.0.bridges.0.ports": ["eth1"], "outerHosts.0.bridges.1.ports": ["eth1"]}, "outerHosts[0].bridges[1].ports[0]", "eth1 is a port of vmbr1", "ports of its own"),
    ("dev", "endpoints", {"cluster.api.endpoint": "https://pve.lab.internal:80060"}, "cluster.api.endpoint", "80060 is no port", "8006"),
    ("dev", "endpoints", {"outerHosts.0.endpoint": "https://virtual.lab.internal:0"}, "outerHosts[0].endpoint", "0 is no port", "8006"),
    ("dev", "networks", {"cluster.links.0.subnet": "224.0.0.0/24"}, "cluster.links[0].subnet", "no network that hosts can use", "private"),
    ("dev", "networks", {"managementNetwork.subnet": "192.168.0.1/32"}, "managementNetwork.subnet", "room for 1 addresses", "/30"),
    ("dev", "local_storages", {"templates.0.storage": "fast"}, "templates[0].storage", "proxmox01 has no storage fast", "local-lvm"),
    ("dev", "local_storages", {"guests.1.template.storage": "local-lvm"}, "guests[1].template.storage", "local-lvm holds no files", "shared, local"),
    ("dev", "local_storages", {"guests.0.storage": "fast"}, "guests[0].storage", "proxmox01 has no storage fast", "shared, local-lvm"),
    ("dev", "local_storages", {"guests.1.storage": "local"}, "guests[1].storage", "local holds no disks", "shared, local-lvm"),
    ("dev", "local_storages", {"templates.0.storage": "local"}, "templates[0].storage", "local holds no disks", "shared, local-lvm"),
    ("dev", "guest_cores", {"guests.0.cores": 5}, "guests[0].cores", "fits on no node: the largest that it may run on has 4 processors", "at most 4"),
    ("dev", "api_endpoints", {"cluster.api.endpoint": "https://virtual.lab.internal:8006"}, "cluster.api.endpoint", "is the outer host virtual, and no member", "192.168.0.185"),
    ("dev", "api_endpoints", {"cluster.api.endpoint": "https://192.168.0.180:8006"}, "cluster.api.endpoint", "is the outer host virtual", "192.168.0.185"),
    ("dev", "api_endpoints", {"cluster.api.endpoint": "https://192.168.0.1:8006"}, "cluster.api.endpoint", "is the gateway", "members"),
    ("dev", "api_endpoints", {"outerHosts.0.endpoint": "https://proxmox01.lab.internal:8006"}, "outerHosts[0].endpoint", "is proxmox01, and not virtual", "192.168.0.180"),
    ("dev", "named_endpoints", {"cluster.api.endpoint": "https://localhost:8006"}, "cluster.api.endpoint", "every machine has for itself", "192.168.0.185"),
    ("dev", "named_endpoints", {"cluster.api.endpoint": "https://300.1.1.1:8006"}, "cluster.api.endpoint", "300.1.1.1 is no address", "192.168.0.185"),
    ("dev", "named_endpoints", {"cluster.api.endpoint": "https://10.10.1.185:8006"}, "cluster.api.endpoint", "not the management address of a member of the cluster, and so in no certificate", "tls: verified"),
    ("dev", "named_endpoints", {"outerHosts.0.endpoint": "https://10.10.1.1:8006"}, "outerHosts[0].endpoint", "not the management address of virtual", "https://192.168.0.180:8006"),
    ("dev", "locales", {"installation.country": "uk"}, "installation.country", "knows no country uk", "gb"),
    ("dev", "locales", {"installation.timezone": "CET"}, "installation.timezone", "knows no time zone CET", "or UTC"),
    ("dev", "cpu_types", {"nodes.0.cpuType": "HOST"}, "nodes[0].cpuType", "knows no processor type HOST", "use host"),
    ("dev", "cpu_types", {"templates.0.cpuType": "custom-"}, "templates[0].cpuType", "knows no processor type custom-", "custom-NAME"),
    ("dev", "users", {"cluster.api.user": f"{'a' * 61}@pve"}, "cluster.api.user", "has 65 characters", "at most 64"),
    ("dev", "users", {"outerHosts.0.user": "admin@ldap"}, "outerHosts[0].user", "logs in users of @pam and @pve only", "root@pam"),
    ("dev", "users", {"cluster.api.role": "PVEPulumi"}, "cluster.api.role", "no role PVEPulumi, and none can be made", "leave it out"),
    ("dev", "users", {"cluster.api.role": "NoAccess"}, "cluster.api.role", "allows nothing", "leave it out"),
    ("dev", "unicast", {"managementNetwork.dns": "127.0.0.1"}, "managementNetwork.dns", "127.0.0.1 is no address of a machine", "own address"),
    ("dev", "unicast", {"outerHosts.0.address": "239.1.1.1"}, "outerHosts[0].address", "no address of a machine", "own address"),
    ("dev", "unicast", {"outerHosts.0.endpoint": "https://0.0.0.0:8006"}, "outerHosts[0].endpoint", "no address of a machine", "own address"),
    ("dev", "ports", {"outerHosts.0.bridges.0.ports": ["lo"]}, "outerHosts[0].bridges[0].ports[0]", "lo is the loopback", "network card"),
    ("dev", "ports", {"outerHosts.0.bridges.0.ports": ["vmbr2"]}, "outerHosts[0].bridges[0].ports[0]", "vmbr2 is a bridge", "network card"),
    ("dev", "ports", {"outerHosts.0.bridges.0.ports": ["eth1.4095"]}, "outerHosts[0].bridges[0].ports[0]", "there is no VLAN 4095", "1 to 4094"),
    ("physical", "ports", {"nodes.0.networks.0.interface": "eth3.0"}, "nodes[0].networks[0].interface", "there is no VLAN 0", "1 to 4094"),
    ("dev", "vm_sizes", {"guests.0.memoryMib": 32}, "guests[0].memoryMib", "the provider makes no VM with 32 MiB", "at least 64"),
    ("physical", "vm_sizes", {"guests.0.cores": 2305}, "guests[0].cores", "the provider makes no VM with 2305 processors", "at most 2304"),
    ("dev", "vm_sizes", {"guests.1.address": "192.168.0.210/24", "guests.1.gateway": "192.168.0.210"}, "guests[1].gateway", "is the guest itself", "router"),
    ("physical", "storage_names", {"storages.0.name": "local"}, "storages[0].name", "each node has a storage local of its own", "another name"),
    ("dev", "storage_names", {"storages.0.contents": ["images", "images", "rootdir", "vztmpl"]}, "storages[0].contents", "twice", "once"),
    ("dev", "storage_names", {"outerHosts.0.isoStorage": "local-lvm"}, "outerHosts[0].isoStorage", "holds disks, and no files", "use local"),
    ("dev", "iso_directories", {"outerHosts.0.isoDirectory": "/srv/iso"}, "outerHosts[0].isoDirectory", "local keeps nothing in /srv/iso", "isoStorage"),
    ("dev", "iso_directories", {"outerHosts.0.isoDirectory": "/var/lib/vz2"}, "outerHosts[0].isoDirectory", "it is /var/lib/vz", "leave isoDirectory out"),
    ("dev", "iso_directories", {"outerHosts.0.isoStorage": "nas"}, "outerHosts[0].isoDirectory", "belongs to the storage local, not to nas", "in which nas has"),
    ("dev", "paths", {"outerHosts.0.isoDirectory": "/var/lib/vz/" + "a" * 256}, "outerHosts[0].isoDirectory", "a part of 256 characters", "at most 255"),
    ("dev", "paths", {"outerHosts.0.isoDirectory": "/var/lib/vz" + "/aaaaaaa" * 511}, "outerHosts[0].isoDirectory", "has 4099 characters", "at most 4095"),
    ("dev", "paths", {"outerHosts.0.diskStorage": "a" * 256}, "outerHosts[0].diskStorage", "a part of 256 characters", "at most 255"),
    ("dev", "paths", {"outerHosts.0.nfsExport.path": "/srv/" + "a" * 256, "storages.0.export": "/srv/" + "a" * 256}, "storages[0].export", "256", "255"),
    ("dev", "watchdogs", {"nodes.0.watchdog": "itco_wdt"}, "nodes[0].watchdog", "no watchdog module itco_wdt", "use iTCO_wdt"),
    ("dev", "watchdogs", {"nodes.0.watchdog": "ipmi"}, "nodes[0].watchdog", "no watchdog module ipmi", "use softdog, or the module"),
    ("physical", "watchdogs", {"nodes.1.watchdog": "None"}, "nodes[1].watchdog", "no watchdog module None", "use none"),
    ("dev", "export_paths", {"outerHosts.0.nfsExport.path": "/etc/pve", "storages.0.export": "/etc/pve"}, "outerHosts[0].nfsExport.path", "/etc/pve is part of virtual's own system", "/srv/pve-shared"),
    ("dev", "host_keys", {"outerHosts.0.hostKey": "ssh-ed25519 AAAA"}, "outerHosts[0].hostKey", "no SSH public key", "in one line"),
    ("physical", "host_keys", {"nodes.1.hostKey": f"{HOST_KEY}\n{HOST_KEY}"}, "nodes[1].hostKey", "more than type and key", "in one line"),
    ("physical", "host_keys", {"nodes.0.hostKey": HOST_KEY, "nodes.2.hostKey": HOST_KEY}, "nodes[2].hostKey", "pve3 has the same host key as pve1: each machine needs its own", "on the console of pve3"),
    ("dev", "host_keys", {"outerHosts.+": {**OTHER_HOST, "hostKey": HOST_KEY}, "outerHosts.0.hostKey": HOST_KEY}, "outerHosts[1].hostKey", "other has the same host key as virtual", "if it is a copy of virtual"),
    ("dev", "across_machines", TWO_HOSTS, "outerHosts[0].bridges[0].ports", "vmbr1 has no ports, so nodes on virtual cannot reach those on other", "network card"),
    ("dev", "across_machines", TWO_HOSTS, "outerHosts[1].bridges[2].ports", "vmbr3 has no ports, so nodes on other cannot reach those on virtual", "network card"),
    ("dev", "guest_bridges", {"guests.0.bridge": "vmbr1"}, "guests[0].bridge", "have no vmbr1: a nested node has vmbr0 only", "vmbr0"),
    ("dev", "guest_bridges", {"guests.1.bridge": "vmbr9"}, "guests[1].bridge", "have no vmbr9", "vmbr0"),
    ("dev", "guest_bridges", {"templates.0.bridge": "vmbr2"}, "templates[0].bridge", "proxmox01 have no vmbr2", "vmbr0"),
    ("dev", "installer", {"outerHosts.0.installer.url": "http://download.proxmox.com/iso/a.zip"}, "outerHosts[0].installer.url", "does not name an .iso", "installer"),
    ("dev", "installer", {"installation": None}, "installation", "nested nodes need it", "mailto"),
    ("dev", "nfs_export", {"outerHosts.0.nfsExport.network": "10.40.1.0/24"}, "outerHosts[0].nfsExport.network", "not the network of a bridge", "storage bridge"),
    ("dev", "storages", {"nodes.2.networks": []}, "storages[0].server", "proxmox03: no address on the network of 10.30.1.1", "networks of these nodes"),
    ("dev", "storages", {"outerHosts.0.nfsExport": None}, "storages[0].server", "10.30.1.1 is virtual, which exports nothing", "nfsExport"),
    ("dev", "storages", {"storages.0.export": "/srv/other"}, "storages[0].export", "exports /srv/pve-shared, not /srv/other", "/srv/pve-shared"),
    ("dev", "storages", {"outerHosts.0.nfsExport.network": "10.20.1.0/24"}, "storages[0].server", "not to the network of 10.30.1.1", "host's address"),
    ("dev", "cluster", {"cluster.seed": "proxmox09"}, "cluster.seed", "there is no node proxmox09", "proxmox01, proxmox02"),
    ("dev", "cluster", {"nodes.0.votes": 0}, "cluster.seed", "proxmox01 has no vote", "with votes"),
    ("dev", "cluster", {"cluster.api.user": "pulumi@pam"}, "cluster.api.user", "cannot be made", "@pve"),
    ("dev", "cluster", {"cluster.options.migrationNetwork": "10.40.1.0/24"}, "cluster.options.migrationNetwork", "proxmox01, proxmox02, proxmox03: no address in 10.40.1.0/24", "networks"),
    ("dev", "placement", {"guests.0.node": "proxmox09"}, "guests[0].node", "no node proxmox09", "proxmox01"),
    ("dev", "placement", {"guests.+": {**EXISTING, "ha": {"nodes": {"pve9": 1}}}}, "guests[2].ha.nodes.pve9", "there is no node pve9", "use one of"),
    ("dev", "placement", {"guests.+": {**EXISTING, "ha": {"strict": True}}}, "guests[2].ha.strict", "allows no node", "name the nodes"),
    ("dev", "vmids", {"guests.+": {**EXISTING, "vmid": 200}}, "guests[2].vmid", "vmid 200 is used already by guests[0].vmid", "free vmid"),
    ("dev", "names", {"guests.+": {**EXISTING, "name": "vm01"}}, "guests[2].name", "vm01 is used already by guests[0].name", "name of its own"),
    ("dev", "placement", {"templates.0.node": "proxmox09"}, "templates[0].node", "no node proxmox09", "proxmox01"),
    ("dev", "placement", {"guests.0.ha.nodes": {"proxmox09": 1}}, "guests[0].ha.nodes.proxmox09", "no node proxmox09", "proxmox01"),
    ("dev", "placement", {"guests.0.ha": {"strict": True}}, "guests[0].ha.strict", "allows no node", "name the nodes"),
    ("dev", "placement", {"guests.0.ha": {"strict": True, "nodes": {"proxmox02": 1}}}, "guests[0].node", "made on proxmox01, where it may not run", "proxmox02"),
    ("dev", "guest_storage", {"guests.0.storage": "local-lvm", "guests.0.node": "proxmox02"}, "guests[0].storage", "local-lvm is not shared, but vm01 is cloned from proxmox01 to proxmox02", "make it on proxmox01"),
    ("dev", "guest_storage", {"templates.0.storage": "local-lvm", "templates.0.node": "proxmox02"}, "templates[0].storage", "cloned to other nodes than proxmox02", "shared"),
    ("dev", "guest_storage", {"storages.0.contents": ["rootdir", "vztmpl"]}, "storages[0].contents", "guests[0].storage needs content images", "add images"),
    ("dev", "guest_storage", {"storages.0.contents": ["images", "rootdir"]}, "storages[0].contents", "needs content vztmpl", "add vztmpl"),
    ("dev", "guest_storage", {"templates.0.image": {"url": "https://images.example/a.qcow2", "fileName": "a.qcow2", "checksum": f"sha256:{'0' * 64}"}}, "storages[0].contents", "needs content import", "add import"),
    ("dev", "templates", {"guests.0.template": "other"}, "guests[0].template", "there is no template other", "debian-template"),
    ("dev", "templates", {"templates.0.diskGib": 4, "guests.0.diskGib": 3}, "guests[0].diskGib", "3 GiB are less than the 4 GiB of template debian-template", "at least 4"),
    ("dev", "templates", {"templates.0.cpuType": "host"}, "templates[0].cpuType", "works only with KVM", "kvm: true"),
    ("dev", "containers", {"guests.1.gateway": "192.168.0.1"}, "guests[1].gateway", "DHCP brings its own", "remove gateway"),
    ("dev", "containers", {"guests.1.address": "192.168.0.210/24", "guests.1.gateway": "192.168.1.1"}, "guests[1].gateway", "not in 192.168.0.0/24", "192.168.0.0/24"),
    ("dev", "containers", {"guests.1.address": "192.168.0.255/24"}, "guests[1].address", "network or broadcast", "host's"),
]  # fmt: skip

# Changes that a check must not take for a mistake.
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("physical", {"nodes.0.links.0.interface": "vmbr0", "nodes.0.managementInterface": "vmbr1"}),
    ("physical", {"nodes.0.links.0.interface": "vmbr0", "nodes.0.manageNetwork": False}),
    ("dev", {}),
    (
        "dev",
        {
            "outerHosts.0.installer": {
                "url": "https://download.proxmox.com/iso/proxmox-ve_9.2-1.iso",
                "checksum": f"sha256:{'a' * 64}",
            }
        },
    ),
    ("dev", {"outerHosts.0.isoDirectory": "/var/lib/vz/images/own"}),
    ("dev", {"outerHosts.0.isoDirectory": "/mnt/pve/nas/template/iso", "outerHosts.0.isoStorage": "nas"}),
    ("dev", {"outerHosts.0.isoStorage": "nas", "outerHosts.0.installer": {"path": "/srv/pve.iso"}}),
    ("dev", {"nodes.0.watchdog": "none", "nodes.1.watchdog": "sp5100_tco", "nodes.2.watchdog": "vendors_own_wdt"}),
    ("twonode", {}),
    ("twonode", {"cluster.qdevice": {"machine": {"name": "witness", "address": "192.168.0.106"}, "tls": "required"}}),
    ("twonode", {"cluster.qdevice": {"host": "virtual"}}),
    (
        "dev",
        {
            "cluster.qdevice": {"machine": {"name": "witness", "address": "192.168.0.106"}, "algorithm": "lms"},
            "nodes.1.votes": 2,
        },
    ),
    ("physical", {}),
    ("dev", {"guests.1.address": "192.168.0.210/24", "guests.1.gateway": "192.168.0.1"}),
    ("dev", {"guests.0.ha": {"strict": True, "nodes": {"proxmox01": 1}}}),
    ("dev", {"storages.0": {"kind": "external", "name": "shared", "shared": True}}),
    ("dev", {"templates.0.kvm": True, "templates.0.cpuType": "host"}),
    ("dev", {"templates.0.diskGib": 4, "guests.0.diskGib": 4, "guests.1.diskGib": 1}),
    ("dev", {"cluster.links.0.mtu": 9000, "outerHosts.0.bridges.0.mtu": 9000}),
    ("dev", {"nodes.0.macs": {"vmbr1": "02:00:00:00:00:01"}}),
    ("dev", {"cluster.seed": "proxmox03"}),
    ("dev", {"guests": [], "templates": [], "storages": []}),
    ("dev", {"outerHosts.0.installer": {"path": "/srv/pve.iso"}}),
    ("physical", {"nodes.0.votes": 2}),
    ("physical", {"guests.0.bridge": "vmbr7", "templates.0.bridge": "vmbr7"}),
    ("physical", {"nodes.0.name": "1003", "cluster.seed": "pve2", "templates.0.node": "pve2", "guests": []}),
    ("dev", {"cluster.api.endpoint": "https://proxmox02.lab.internal:8006"}),
    ("dev", {"cluster.api.endpoint": "https://192.168.0.186:8006"}),
    ("dev", {"cluster.api.endpoint": "https://10.9.9.9:8006", "cluster.api.tls": "verified"}),
    ("dev", {"outerHosts.0.endpoint": "https://pve.office.example:8006"}),
    ("dev", {"outerHosts.0.endpoint": "https://10.9.9.9", "outerHosts.0.tls": "verified"}),
    ("dev", {"installation.country": "gb", "installation.timezone": "America/Indiana/Knox"}),
    ("dev", {"nodes.0.cpuType": "custom-nested", "templates.0.cpuType": "x86-64-v2-AES"}),
    ("dev", {"cluster.api.role": "PVEAdmin", "outerHosts.0.user": "pulumi@pve"}),
    ("dev", {"outerHosts.0.hostKey": f"{HOST_KEY} root@virtual"}),
    ("dev", {"outerHosts.0.nfsExport.path": "/var/lib/vz/shared", "storages.0.export": "/var/lib/vz/shared"}),
    (
        "dev",
        TWO_HOSTS | NO_DHCP | {f"outerHosts.{h}.bridges.{b}.ports": [f"eth{b + 1}"] for h in (0, 1) for b in (0, 1, 2)},
    ),
    (
        "dev",
        TWO_HOSTS | {f"outerHosts.{h}.bridges.{b}.managed": False for h in (0, 1) for b in (0, 1, 2)} | NO_DHCP,
    ),
    ("dev", NO_DHCP | {"outerHosts.0.bridges.0.ports": ["bond0.10"], "outerHosts.0.bridges.2.ports": ["bond0.30"]}),
    ("dev", {"guests.1.template": {"storage": "local", "fileName": "debian.tar.zst"}}),
    ("dev", {"guests.+": {**stack_file("dev")["guests"][1], "name": "ct02", "vmid": 301}}),
]


@pytest.mark.parametrize(("stack", "changes"), GOOD)
def test_good_configurations_pass(stack: str, changes: dict[str, Any]) -> None:
    validate(change(stack_file(stack), changes))


@pytest.mark.parametrize(("stack", "check", "changes", "key", "found", "fix"), CASES)
def test_a_mistake_is_reported_with_its_key_and_the_fix(  # noqa: PLR0913, PLR0917 - a row of the table
    stack: str, check: str, changes: dict[str, Any], key: str, found: str, fix: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        validate(change(stack_file(stack), changes))
    assert any(
        problem.path == key and found in problem.message and fix in problem.fix for problem in raised.value.problems
    ), f"{check}: {raised.value}"


@pytest.mark.parametrize("stack", ["dev", "twonode", "physical"])
def test_each_checksum_of_a_stack_file_that_comes_along_is_known_with_its_address(stack: str) -> None:
    """Else a copy with another address would download what it is not meant for, and say so only then."""
    text = (ROOT / f"Pulumi.{stack}.yaml").read_text()
    found = re.findall(r"url: (\S+)\n +# .*stand-in.*\n +checksum: (\S+)", text)
    assert len(found) == text.count("checksum: sha256:")
    assert all(consumers.STAND_INS[checksum] == url for url, checksum in found)
    assert found or stack == "physical"


def test_every_check_has_a_case() -> None:
    assert {check.__name__ for check in checks.CHECKS} == {check for _, check, *_ in CASES}


def test_all_mistakes_are_reported_at_once() -> None:
    changes = {"cluster.seed": "nobody", "nodes.1.vmid": 101, "guests.0.storage": "local"}
    with pytest.raises(ConfigError) as raised:
        validate(change(stack_file("dev"), changes))
    assert {problem.path for problem in raised.value.problems} == {"cluster.seed", "nodes[1].vmid", "guests[0].storage"}
    text = str(raised.value)
    assert text.startswith("error[config-invalid]: 3 problems")
    assert len(re.findall(r"^    fix: ", text, re.MULTILINE)) == 3
