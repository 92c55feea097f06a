"""Where a lab keeps its things, and whose they are."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from tools.invoker import Invoker

PROJECT = Path(__file__).resolve().parent.parent
NODE_FILES = PROJECT / "lab" / "node"


@dataclass(frozen=True)
class Settings:
    """The directories of one lab. Two labs with different state directories do not see each other."""

    state: Path
    cache: Path

    @classmethod
    def from_environment(cls) -> Settings:
        """Read NESTED_PVE_LAB_STATE, NESTED_PVE_CACHE and XDG_CACHE_HOME."""
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Invoker.current().home / ".cache") / "nested-pve-ha"
        cache = Path(os.environ.get("NESTED_PVE_CACHE") or caches) / "lab"
        return cls(
            Path(os.environ.get("NESTED_PVE_LAB_STATE") or "/var/lib/nested-pve-lab").absolute(), cache.absolute()
        )

    @property
    def identity(self) -> str:
        """A short name for this lab that no other lab on the machine has."""
        return "nested-pve-lab-" + hashlib.sha256(str(self.state).encode()).hexdigest()[:8]

    @property
    def record(self) -> Path:
        """How the lab was started: options, process, start time."""
        return self.state / "lab.json"

    @property
    def instance(self) -> Path:
        """A random name: another one for each set of fresh machines, so that nobody takes a new lab for an old one."""
        return self.state / "instance"

    @property
    def control_socket(self) -> Path:
        """Where the daemon listens for the CLI."""
        return self.state / "control.sock"

    @property
    def daemon_log(self) -> Path:
        """What the daemon said."""
        return self.state / "daemon.log"

    @property
    def credentials(self) -> Path:
        """The passwords and keys of this lab, readable by the invoking user only."""
        return self.state / "credentials.json"

    @property
    def saves(self) -> Path:
        """What was kept of labs, to start from."""
        return self.cache / "saves"

    @property
    def memory(self) -> Path:
        """A tmpfs of the running lab, for all that is big or made of many files: image, layers, disks.

        It needs about 0.4 GB, saves the disk of the machine below, and is gone with the lab's namespaces.
        """
        return self.state / "memory"

    @property
    def image(self) -> Path:
        """The unpacked root image, plain Debian."""
        return self.memory / "image"

    @property
    def layers(self) -> str:
        """The lower layers of a machine's disk, uppermost first."""
        return f"{self.memory / 'pve-layer' / 'upper'}:{self.image}"

    @property
    def libvirt_image(self) -> Path:
        """What Debian's packages of libvirt add to the root image; only labs with a libvirt host have it."""
        return self.memory / "libvirt-image"

    @property
    def libvirt_layers(self) -> str:
        """The lower layers of a libvirt host's disk, uppermost first: Debian without Proxmox VE."""
        return f"{self.memory / 'libvirt-layer' / 'upper'}:{self.libvirt_image}:{self.image}"
