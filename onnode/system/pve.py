"""What Proxmox VE reports about itself: pure parsers of its text, and the questions that several steps ask."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnode.system.machine import ThisMachine

TAG = "nested-pve-ha"
ASK_VERSION = ("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}\\n", "pve-manager")
LOCKED = re.compile(r"(?:VM|CT) is locked \(([a-z-]+)\)")  # as Proxmox VE refuses it: "VM is locked (migrate)"
STORAGE_OFFLINE = re.compile(r"storage '([^']+)' is not online")  # its server does not answer the node that was asked
# What is left of these when they are cut off is a whole VM. What was being made or rolled back may be half of one.
HARMLESS = ("backup", "migrate", "snapshot", "snapshot-delete")


@dataclass(frozen=True)
class Version:
    """The installed release, such as 9.1.1: that of the package pve-manager."""

    manager: str

    @property
    def major(self) -> int:
        """The first number of the version."""
        return int(self.manager.split(".")[0])


@dataclass(frozen=True)
class Section:
    """A section of one of Proxmox VE's files, such as storage.cfg; a key without a value stands for "1"."""

    type: str
    id: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GuestConfig:
    """A guest's configuration."""

    values: dict[str, str] = field(default_factory=dict)

    @property
    def tags(self) -> list[str]:
        """Its tags, in lower case."""
        return split_tags(self.values.get("tags"))


def split_tags(text: str | None) -> list[str]:
    """Tags as a list; Proxmox VE separates them by semicolons, and accepts commas and spaces.

    It stores them in lower case, unless the cluster's tag style minds the case: then they are compared in it all the same.
    """
    return [tag for tag in re.split(r"[;, ]+", (text or "").lower()) if tag]


def gib(size: str) -> float | None:
    """A size in GiB, from Proxmox VE's text in the largest unit that divides it: 1024 from "1T"; None if it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", size)
    powers = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
    return float(found[1]) * 1024.0 ** (powers[found[2]] - 3) if found else None


def parse_version(text: str) -> Version | None:
    """Read the status and version of the package pve-manager, as dpkg-query prints them; None if it is not installed."""
    # A killed upgrade leaves it in a state between, from which the upgrade goes on.
    found = re.match(r"(?:installed|unpacked|half-configured|triggers-\w+) (\d+(?:\.\d+)*)", text)
    return Version(found[1]) if found else None


def running_guests(machine: ThisMachine) -> list[str]:
    """The guests that run on a machine, "VM 100" and "CT 101"; the tools are asked only when there are guests."""
    found = []
    for program, kind, directory in (("qm", "VM", "/etc/pve/qemu-server"), ("pct", "CT", "/etc/pve/lxc")):
        if any(name.endswith(".conf") for name in machine.names(directory)):
            rows = [line.split() for line in machine.run([program, "list"]).out.splitlines()[1:]]
            # The state is the third column of `qm list` and the second of `pct list`.
            found += [f"{kind} {row[0]}" for row in rows if "running" in row[1:3]]
    return found


def parse_sections(text: str) -> list[Section]:
    """Read a section file: "type: id" and indented "key value" lines."""
    found: list[Section] = []
    for line in text.splitlines():
        if header := re.fullmatch(r"(\S+):\s*(\S+)\s*", line):
            found.append(Section(header[1], header[2]))
        elif found and line[:1].isspace() and line.strip():
            key, _, value = line.strip().partition(" ")
            found[-1].values[key] = value.strip() or "1"
    return found


def parse_guest_config(text: str) -> GuestConfig:
    """Read `/etc/pve/qemu-server/VMID.conf` as the API shows it: with its pending changes, without its snapshots."""
    sections: dict[str, dict[str, str]] = {"": {}}
    section = ""
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if line.startswith("["):
            section = line.strip("[] ")
            sections[section] = {}
        elif colon and not key.startswith("#"):
            sections[section][key.strip()] = value.strip()
    pending = sections.get("PENDING", {})
    gone = [key.lstrip("!") for key in re.split(r"[, ]+", pending.pop("delete", ""))]
    return GuestConfig({key: value for key, value in {**sections[""], **pending}.items() if key not in gone})


def version(machine: ThisMachine) -> Version:
    """The installed version of Proxmox VE; the same as `pveversion` prints, which takes dozens of times as long.

    Raises:
        StepError: not-proxmox.
    """
    result = machine.run(ASK_VERSION)
    found = parse_version(result.out)
    if found is None:
        raise StepError(
            "not-proxmox",
            "this machine does not run Proxmox VE",
            observed=f"package pve-manager: {result.text or 'no answer'}",
            expected="installed",
        )
    return found


def refuse_version(found: Version, major: int) -> None:
    """Refuse a machine of another major version than the configuration says.

    Raises:
        StepError: pve-version.
    """
    if found.major != major:
        raise StepError(
            "pve-version",
            "the machine runs another major version of Proxmox VE than configured",
            observed=found.manager,
            expected=f"{major}.x",
        )


def owned(tags: Iterable[str], stack: str) -> bool:
    """Whether these are the tags of what that stack made."""
    return {TAG, stack_tag(stack)} <= set(tags)


def namesakes(stack: str, others: Iterable[str]) -> list[str]:
    """Other stacks whose things carry the same tag: their names differ only in upper and lower case."""
    return sorted({other for other in others if other != stack and other.lower() == stack.lower()})


def stack_tag(stack: str) -> str:
    """The tag that all guests of a stack carry; in lower case, as Proxmox VE stores it."""
    return f"stack-{stack.lower()}"
