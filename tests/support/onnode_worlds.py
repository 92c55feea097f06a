"""Small worlds for whole steps: programs that keep state the way the real ones do, as far as the steps can tell."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from onnode.step import Outcome, Step, converge
from onnode.system.machine import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fake_machine import FakeMachine


def run(machine: FakeMachine, step: Step[Any, Any], desired: object) -> Outcome:
    """Run a step as the dispatcher does."""
    machine.commands.clear()
    return converge(step, machine, desired)


def twice(machine: FakeMachine, step: Step[Any, Any], desired: object) -> Outcome:
    """Run a step that has something to do; the second run must find nothing, and say so."""
    first = run(machine, step, desired)
    assert first.changed
    second = run(machine, step, desired)
    assert not second.changed
    assert machine.notes[-1].startswith("unchanged: ")
    json.dumps(second.facts)
    return first


class Kvm:
    """The KVM module: modprobe reads /etc/modprobe.d, and refuses to unload what is in use."""

    def __init__(self, machine: FakeMachine, *, live: str = "N", running: str = "") -> None:
        self.machine = machine
        self.running = running
        machine.write("/proc/cpuinfo", "flags : fpu vmx\n")
        self.refusal = ""
        machine.write("/sys/module/kvm_intel/initstate", "live\n")
        self._set(live)
        machine.programs |= {"modprobe": self.modprobe, "qm": self.qm}

    def _set(self, value: str) -> None:
        self.machine.write("/sys/module/kvm_intel/parameters/nested", f"{value}\n")

    def qm(self, arguments: list[str], _stdin: str) -> str:
        assert arguments == ["list"]
        return f"VMID NAME STATUS MEM(MB) BOOTDISK(GB) PID\n{self.running}"

    def modprobe(self, arguments: list[str], _stdin: str) -> int | Result:
        parameters = self.machine.path("/sys/module/kvm_intel/parameters/nested")
        if arguments == ["-r", "kvm_intel"]:
            if "running" in self.running:
                return Result(("modprobe",), 1, err="modprobe: FATAL: Module kvm_intel is in use.")
            parameters.unlink(missing_ok=True)
            return 0
        if self.refusal:
            return Result(("modprobe",), 1, err=self.refusal)
        options = "".join(
            self.machine.read(f"/etc/modprobe.d/{name}") or "" for name in self.machine.names("/etc/modprobe.d")
        )
        values = re.findall(r"kvm-intel nested=(\w+)", options) + [
            word.removeprefix("nested=") for word in arguments[1:]
        ]
        self._set("N" if not values or values[-1] in ("0", "N") else "Y")
        return 0


class Systemd:
    """Units that start when they are told to, unless they are in `broken`."""

    def __init__(self, machine: FakeMachine, **active: str) -> None:
        self.units = {name.replace("_", "-"): state for name, state in active.items()}
        self.enabled: set[str] = set()
        self.broken: set[str] = set()
        self.hooks: dict[str, Callable[[], None]] = {}
        machine.programs |= {"systemctl": self.systemctl, "journalctl": lambda *_: "bind: address in use\n"}

    def systemctl(self, arguments: list[str], _stdin: str) -> str | int:
        verb, *rest = arguments
        names = [word.removesuffix(".service") for word in rest if not word.startswith("-")]
        if verb == "show":
            return "\n".join(
                f"ActiveState={self.units.get(name, 'inactive')}\n"
                f"UnitFileState={'enabled' if name in self.enabled else 'disabled'}\n"
                for name in names[1:]
            )
        if verb == "list-units":
            return self.units.get("first-boot", "")
        if verb == "enable":
            self.enabled |= set(names)
        if verb == "disable":
            self.enabled -= set(names)
        for name in names if verb in ("start", "stop", "enable", "disable", "restart", "reload-or-restart") else ():
            self._turn(name, on=verb not in ("stop", "disable"))
        return 0

    def _turn(self, name: str, *, on: bool) -> None:
        self.units[name] = "inactive" if not on or name in self.broken else "active"
        if (hook := self.hooks.get(f"{'start' if on else 'stop'} {name}")) is not None:
            hook()


class Apt:
    """A package manager over a repository; `broken` makes it fail with that message."""

    def __init__(self, machine: FakeMachine, *, available: list[str], installed: list[str] | None = None) -> None:
        self.machine = machine
        self.available = available
        self.installed = set(installed or [])
        self.upgrades: dict[str, str] = {}
        self.needs: dict[str, list[str]] = {}
        self.conflicts: dict[str, str] = {}
        self.broken: list[str] = []
        self.half = False
        machine.programs |= {"apt-get": self.apt, "dpkg-query": self.query, "dpkg": self.dpkg}
        machine.write("/etc/os-release", "VERSION_CODENAME=trixie\n")
        machine.write("/usr/share/keyrings/proxmox-archive-keyring.gpg", "key")

    def query(self, arguments: list[str], _stdin: str) -> Result | str:
        if arguments[3:] == ["pve-manager"]:
            return "installed 9.1.1\n"
        patterns = [re.escape(word).replace(r"\*", ".*") for word in arguments[3:]]
        found = sorted(name for name in self.installed if any(re.fullmatch(pattern, name) for pattern in patterns))
        return Result(("dpkg-query",), 1, "".join(f"{name} installed\n" for name in found))

    def dpkg(self, arguments: list[str], _stdin: str) -> str:
        if arguments == ["--audit"]:
            return "half-configured\n" if self.half else ""
        self.half = False
        return ""

    def apt(self, arguments: list[str], _stdin: str) -> str | Result:
        verbs = [word for word in arguments if re.fullmatch(r"update|install|purge|dist-upgrade|indextargets", word)]
        if verbs == ["indextargets"]:
            return ""
        names = arguments[arguments.index(verbs[0]) + 1 :]
        names = [name for name in names if not name.startswith("-")]
        if self.broken and "-s" not in arguments:
            return Result(("apt-get",), 100, err=self.broken.pop(0))
        verb: Callable[..., str] = getattr(self, verbs[0].replace("-", "_"))
        return verb(names, simulated="-s" in arguments)

    def update(self, _names: list[str], *, simulated: bool) -> str:
        assert not simulated
        for name in self.machine.names("/etc/apt/sources.list.d"):
            text = self.machine.read(f"/etc/apt/sources.list.d/{name}") or ""
            assert "enterprise" not in text or "Enabled: no" in text, "401 Unauthorized"
        return ""

    def install(self, names: list[str], *, simulated: bool) -> str:
        wanted = [*names, *(more for one in names for more in self.needs.get(one, []))]
        assert set(names) <= set(self.available), "Unable to locate package"
        if not simulated:
            self.installed |= set(wanted)
        gone = "".join(f"Remv {other} [1.0]\n" for name, other in self.conflicts.items() if name in wanted)
        new = [name for name in wanted if name not in self.installed]
        return gone + "".join(f"Inst {name} (1.0 Proxmox:trixie [all])\n" for name in new)

    def purge(self, names: list[str], *, simulated: bool) -> str:
        gone = {*names, *(one for one, more in self.needs.items() if set(more) & set(names) and one in self.installed)}
        if not simulated:
            self.installed -= gone
        return "".join(f"Purg {name} [1.0]\n" for name in sorted(gone))

    def dist_upgrade(self, _names: list[str], *, simulated: bool) -> str:
        plan = "".join(f"Inst {new} [1.0] (2.0 Proxmox:trixie [all])\n" for new in self.upgrades.values())
        if not simulated:
            self.installed |= set(self.upgrades.values())
            self.upgrades = {}
        return plan


def interfaces(machine: FakeMachine, *live: dict[str, Any], routes: str = "[]") -> None:
    """What `ip` shows: each interface as name, mac, address; `ifreload -a` brings up what is configured."""

    def entry(name: str, mac: str = "", address: str = "", kind: str = "") -> dict[str, Any]:
        host, _, prefix = address.partition("/")
        found = [{"family": "inet", "local": host, "prefixlen": int(prefix)}] if address else []
        return {
            "ifname": name, "address": mac, "mtu": 1500, "flags": ["UP", "LOWER_UP"], "addr_info": found,
            "linkinfo": {"info_kind": kind},
        }  # fmt: skip

    entries = [entry(**one) for one in live]

    def ifreload(_arguments: list[str], _stdin: str) -> str:
        included = [f"/etc/network/interfaces.d/{name}" for name in machine.names("/etc/network/interfaces.d")]
        text = "".join(machine.read(path) or "" for path in ("/etc/network/interfaces", *included))
        for name, address in re.findall(r"iface (\S+) inet static\n\taddress (\S+)", text):
            for index, found in enumerate(entries):
                if found["ifname"] == name:
                    entries[index] = entry(name, found["address"], address, found["linkinfo"]["info_kind"])
        return ""

    machine.programs["ip"] = lambda arguments, _stdin: routes if arguments[-1] == "route" else json.dumps(entries)
    machine.programs["ifreload"] = ifreload
