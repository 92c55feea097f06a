"""An outer host with libvirt for unit tests: a `virsh` that keeps its state in libvirt's own files, as the real one does.

What it answers was seen of libvirt 9.0: the client's words, the form of the files, what is refused. Nothing here runs a VM.
"""

from __future__ import annotations

import ipaddress
import json
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnode.errors import StepError
from onnode.host.libvirt_files import DOMAINS, LIVE, NETWORKS, POOLS
from onnode.system.machine import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fake_machine import FakeMachine

WARNING = """\
<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST. Changes to this xml configuration should be made using:
  virsh edit {}
or other application using the libvirt API.
-->

"""
DOWN = (
    "error: failed to connect to the hypervisor\n"
    "error: Failed to connect socket to '/var/run/libvirt/libvirt-sock': Connection refused"
)
NO_KVM = (
    "error: Failed to start domain 'proxmox01'\nerror: internal error: process exited while connecting to monitor: "
    "Could not access KVM kernel module: Permission denied\n"
    "2026-11-29T10:00:00.000000Z qemu-system-x86_64: failed to initialize kvm: Permission denied"
)
READS_STDIN = ("define", "net-define")
UPLINK = {"name": "eth0", "mac": "52:54:00:aa:00:01", "address": "192.168.0.180/24"}


def _tree(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - of this test's own making


class VirshError(Exception):
    """What the client complains about."""


@dataclass
class LibvirtHost:
    """The host.

    Attributes:
        running: the domains that run, each with what it has.
        active: the active networks, as they are.
        pools: the active pools.
        volumes: the files that it has seen there.
        down: the daemon does not answer.
        refusals: what a command answers instead of doing its work.
        killed_at: the run is killed before the call of that number; None: never.
        killed_after: the call was done.
        asked: all calls of the client.
        loose: the interfaces of cards whose bridge went while their VM runs.
    """

    machine: FakeMachine
    running: dict[str, str] = field(default_factory=dict)
    active: dict[str, str] = field(default_factory=dict)
    pools: set[str] = field(default_factory=set)
    volumes: set[str] = field(default_factory=set)
    down: bool = False
    refusals: dict[str, str] = field(default_factory=dict)
    killed_at: int | None = None
    killed_after: bool = False
    asked: list[str] = field(default_factory=list)
    loose: set[str] = field(default_factory=set)
    interfaces: list[dict[str, Any]] = field(default_factory=lambda: [UPLINK])

    def __post_init__(self) -> None:
        self.machine.remove("/usr/sbin/qm")
        self.machine.write("/usr/sbin/libvirtd", "")
        self.machine.write("/proc/sys/kernel/hostname", "debian\n")
        self.machine.write("/proc/cpuinfo", "flags : fpu svm\n")
        self.machine.write("/proc/meminfo", "MemTotal: 32768000 kB\n")
        self.machine.write("/sys/module/kvm_amd/parameters/nested", "1\n")
        self.machine.programs |= {"virsh": self.virsh, "ip": self.ip}

    # -- what the host shows ------------------------------------------------------------------------------------------

    def ip(self, arguments: list[str], _stdin: str) -> str:
        if arguments[-1] == "route":
            return "[]"
        if arguments[:2] == ["link", "set"]:
            self.loose.remove(arguments[3])
            return ""
        entries = [self._entry(**one) for one in self.interfaces]
        for text in self.active.values():
            root = _tree(text)
            ip = root.find("ip")
            address = "" if ip is None else f"{ip.get('address')}/{ip.get('prefix')}"
            entries.append(self._entry(self._bridge(root), address=address, kind="bridge"))
        cards = [
            card.get("bridge", "")
            for text in self.running.values()
            for card in _tree(text).findall("devices/interface/source")
        ]
        there = {f"vnet{number}": bridge for number, bridge in enumerate(cards)}
        entries += [
            self._entry(tap, master=None if tap in self.loose else bridge, kind="tun") for tap, bridge in there.items()
        ]
        return json.dumps(entries)

    @staticmethod
    def _bridge(root: ET.Element) -> str:
        found = root.find("bridge")
        return "" if found is None else found.get("name", "")

    @staticmethod
    def _entry(
        name: str, mac: str = "", address: str = "", kind: str = "", master: str | None = None
    ) -> dict[str, Any]:
        host, _, prefix = address.partition("/")
        found = [{"family": "inet", "local": host, "prefixlen": int(prefix)}] if address else []
        return {
            "ifname": name, "address": mac, "mtu": 1500, "flags": ["UP", "LOWER_UP"], "addr_info": found,
            "linkinfo": {"info_kind": kind}, **({"master": master} if master else {}),
        }  # fmt: skip

    # -- the client ---------------------------------------------------------------------------------------------------

    def virsh(self, arguments: list[str], stdin: str) -> str | Result:
        assert arguments[:3] == ["--connect", "qemu:///system", "--quiet"]
        command, *rest = arguments[3:]
        self.asked.append(" ".join([command, *rest]))
        is_last = len(self.asked) == self.killed_at
        if is_last and not self.killed_after:
            raise StepError("interrupted", "killed")
        refusal = DOWN if self.down else self.refusals.get(command)
        do: Callable[..., str] = getattr(self, f"_{command.replace('-', '_')}")
        try:
            said = "" if refusal else do(*rest, stdin=stdin) if command in READS_STDIN else do(*rest)
        except VirshError as error:
            refusal = str(error)
        if refusal:
            return Result(("virsh", *arguments), 1, err=f"{refusal}\n")
        if is_last:
            raise StepError("interrupted", "killed")
        return said

    def _uri(self) -> str:
        return "qemu:///system\n"

    # -- domains

    def _list(self, *options: str) -> str:
        stopped = self._names(DOMAINS) if "--all" in options else []
        return "".join(f"{name}\n" for name in dict.fromkeys([*self.running, *stopped])) + "\n"

    def _domstate(self, name: str) -> str:
        self._domain(name)
        return "running\n\n" if name in self.running else "shut off\n\n"

    def _dumpxml(self, name: str, *options: str) -> str:
        if "--inactive" in options and name not in self._names(DOMAINS):
            root = _tree(self.running[name])
            for card in root.findall("devices/interface"):
                card.remove(*card.findall("target"))
            return ET.tostring(root, encoding="unicode")  # what it would have as a definition
        return self.running.get(name) or self._domain(name)

    def _define(self, path: str, *, stdin: str) -> str:
        assert path == "/dev/stdin"
        root = _tree(stdin)
        name = root.findtext("name", "")
        self._keep_identity(
            root, self.machine.read(f"{DOMAINS}/{name}.xml"), f"domain '{name}' already exists with uuid"
        )
        for tag in ("memory", "currentMemory"):
            memory = root.find(tag)
            assert memory is not None
            assert memory.get("unit") == "MiB"
            memory.set("unit", "KiB")
            memory.text = str(int(memory.text or 0) * 1024)
        kind = root.find("os/type")
        assert kind is not None
        if kind.get("machine") == "q35":
            kind.set("machine", "pc-q35-7.2")  # the newest of this QEMU, for good
        for number, card in enumerate(root.findall("devices/interface")):
            if card.find("address") is None:
                ET.SubElement(card, "address", type="pci", bus=hex(number + 1))
        self._write(DOMAINS, name, root)
        return ""

    def _autostart(self, name: str) -> str:
        self._domain(name)
        self._link(DOMAINS, name)
        return ""

    def _start(self, name: str) -> str:
        text = self._domain(name)
        if name in self.running:
            raise VirshError("error: Domain is already active")
        for source in _tree(text).findall("devices/interface/source"):
            bridge = source.get("bridge")
            if bridge not in {one["ifname"] for one in json.loads(self.ip([""], ""))}:
                raise VirshError(f"error: Cannot get interface MTU on '{bridge}': No such device")
        root = _tree(text)
        number = sum(len(_tree(one).findall("devices/interface")) for one in self.running.values())
        for card in root.findall("devices/interface"):
            ET.SubElement(card, "target", dev=f"vnet{number}")
            number += 1
        self.running[name] = ET.tostring(root, encoding="unicode")
        self.machine.write(f"{LIVE}/{name}.xml", f"<domstatus state='running'>{self.running[name]}</domstatus>")
        return ""

    def _destroy(self, name: str) -> str:
        if name not in self.running:
            raise VirshError(
                f"error: Failed to destroy domain '{name}'\nerror: Requested operation is not valid: domain is not running"
            )
        del self.running[name]
        self.machine.remove(f"{LIVE}/{name}.xml")
        return ""

    def _undefine(self, name: str, *_options: str) -> str:
        self._domain(name)
        self._unlink(DOMAINS, name)
        return ""

    def _change_media(self, name: str, target: str, *options: str) -> str:
        texts = [(DOMAINS, self._domain(name))] + ([("", self.running[name])] if "--live" in options else [])
        for directory, text in texts:
            root = _tree(text)
            drives = [one for one in root.findall("devices/disk") if one.get("device") == "cdrom"]
            (drive,) = (one for one in drives if (of := one.find("target")) is not None and of.get("dev") == target)
            source = drive.find("source")
            if "--eject" in options and source is None:
                raise VirshError(f"error: The disk device '{target}' doesn't have media")
            if source is not None:
                drive.remove(source)
            if "--eject" not in options:
                ET.SubElement(drive, "source", file=options[0])
            if directory:
                self._write(directory, name, root)
            else:
                self.running[name] = ET.tostring(root, encoding="unicode")
        return ""

    def _blockresize(self, name: str, path: str, size: str) -> str:
        if name not in self.running:
            raise VirshError("error: Requested operation is not valid: domain is not running")
        return self._resize(path, size)

    def _domain(self, name: str) -> str:
        text = self.machine.read(f"{DOMAINS}/{name}.xml") or self.running.get(name)
        if text is None:
            raise VirshError(f"error: failed to get domain '{name}'")
        return text

    # -- networks

    def _net_list(self, *_options: str) -> str:
        return "".join(f"{name}\n" for name in self.active) + "\n"

    def _net_dumpxml(self, name: str) -> str:
        return self.active[name]

    def _net_define(self, path: str, *, stdin: str) -> str:
        assert path == "/dev/stdin"
        root = _tree(stdin)
        name = root.findtext("name", "")
        self._keep_identity(
            root, self.machine.read(f"{NETWORKS}/{name}.xml"), f"network '{name}' already exists with uuid"
        )
        self._write(NETWORKS, name, root)
        return ""

    def _net_start(self, name: str) -> str:
        text = self.machine.read(f"{NETWORKS}/{name}.xml")
        assert text is not None
        if name in self.active:
            raise VirshError("error: Requested operation is not valid: network is already active")
        self.active[name] = text
        return ""

    def _net_destroy(self, name: str) -> str:
        text = self.active.pop(name)
        cards = [
            card.get("bridge", "")
            for one in self.running.values()
            for card in _tree(one).findall("devices/interface/source")
        ]
        self.loose |= {f"vnet{number}" for number, bridge in enumerate(cards) if bridge == self._bridge(_tree(text))}
        return ""

    def _net_autostart(self, name: str) -> str:
        self._link(NETWORKS, name)
        return ""

    def _net_undefine(self, name: str) -> str:
        assert name not in self.active, "it would go on without a file"
        self._unlink(NETWORKS, name)
        return ""

    def _net_update(self, name: str, what: str, section: str, xml: str, *options: str) -> str:
        assert (section, options) == ("ip-dhcp-range", ("--live",))
        root, change = _tree(self.active[name]), _tree(xml)
        ip = root.find("ip")
        assert ip is not None
        network = ipaddress.IPv4Interface(f"{ip.get('address')}/{ip.get('prefix')}").network
        assert ipaddress.IPv4Address(change.get("start", "")) in network
        dhcp = ip.find("dhcp") if ip.find("dhcp") is not None else ET.SubElement(ip, "dhcp")
        assert dhcp is not None
        same = [one for one in dhcp.findall("range") if one.attrib == change.attrib]
        if what == "delete":
            dhcp.remove(*same)
        elif same:
            raise VirshError("error: Requested operation is not valid: there is an existing dhcp range entry")
        else:
            dhcp.append(change)
        self.active[name] = ET.tostring(root, encoding="unicode")
        return ""

    # -- pools

    def _pool_list(self, *_options: str) -> str:
        return "".join(f"{name}        \n" for name in sorted(self.pools)) + "\n"

    def _pool_define_as(self, name: str, kind: str, option: str, path: str) -> str:
        assert (kind, option) == ("dir", "--target")
        root = ET.Element("pool", type=kind)
        ET.SubElement(root, "name").text = name
        ET.SubElement(ET.SubElement(root, "target"), "path").text = path
        self._write(POOLS, name, root)
        return ""

    def _pool_start(self, name: str) -> str:
        root = _tree(self.machine.read(f"{POOLS}/{name}.xml") or "")
        assert self.machine.exists(root.findtext("target/path", "")), "cannot open directory"
        self.pools.add(name)
        return ""

    def _pool_destroy(self, name: str) -> str:
        self.pools.remove(name)
        return ""

    def _pool_autostart(self, name: str) -> str:
        self._link(POOLS, name)
        return ""

    def _pool_undefine(self, name: str) -> str:
        if name in self.pools:
            raise VirshError(f"error: internal error: pool '{name}' is still active")
        self._unlink(POOLS, name)
        return ""

    def _pool_refresh(self, name: str) -> str:
        if name not in self.pools:
            raise VirshError(
                f"error: Failed to refresh pool {name}\nerror: Requested operation is not valid: storage pool '{name}' is not active"
            )
        self.volumes = {f"{self._place(name)}/{one}" for one in self.machine.names(self._place(name))}
        return ""

    def _place(self, pool: str) -> str:
        return _tree(self.machine.read(f"{POOLS}/{pool}.xml") or "").findtext("target/path", "")

    def _vol_create_as(self, pool: str, name: str, size: str, *_options: str) -> str:
        path = f"{self._place(pool)}/{name}"
        if path in self.volumes:
            raise VirshError(f"error: Failed to create vol {name}\nerror: storage volume '{name}' exists already")
        assert not self.machine.exists(path)
        self.machine.write(path, "", mode=0o600)
        self.volumes.add(path)
        return self._resize(path, size)

    def _vol_resize(self, path: str, size: str) -> str:
        if path not in self.volumes:
            raise VirshError(f"error: failed to get vol '{path}'\nerror: Storage volume not found")
        return self._resize(path, size)

    def _resize(self, path: str, size: str) -> str:
        with self.machine.path(path).open("r+b") as file:
            file.truncate(int(size.removesuffix("GiB")) << 30)
        return ""

    # -- its files

    def _names(self, directory: str) -> list[str]:
        return [name.removesuffix(".xml") for name in self.machine.names(directory) if name.endswith(".xml")]

    def _keep_identity(self, root: ET.Element, before: str | None, complaint: str) -> None:
        """What is there is found by its name; one of that name and another uuid is in the way."""
        own, found = root.findtext("uuid"), None if before is None else _tree(before).findtext("uuid")
        if found is not None and own != found:
            raise VirshError(f"error: operation failed: {complaint} {found}")
        if own is None:
            ET.SubElement(root, "uuid").text = str(uuid.uuid4())

    def _write(self, directory: str, name: str, root: ET.Element) -> None:
        self.machine.write(
            f"{directory}/{name}.xml", WARNING.format(name) + ET.tostring(root, encoding="unicode") + "\n"
        )

    def _link(self, directory: str, name: str) -> None:
        links = self.machine.path(f"{directory}/autostart")
        links.mkdir(parents=True, exist_ok=True)
        (links / f"{name}.xml").unlink(missing_ok=True)
        (links / f"{name}.xml").symlink_to(Path(f"{directory}/{name}.xml"))

    def _unlink(self, directory: str, name: str) -> None:
        self.machine.remove(f"{directory}/{name}.xml")
        (self.machine.path(f"{directory}/autostart") / f"{name}.xml").unlink(missing_ok=True)
