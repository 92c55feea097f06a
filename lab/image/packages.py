"""The Debian packages that stand in for Proxmox': names, versions, dependencies, and the few files that matter.

Their programs come with the lab's node files (lab/node); here is what apt and dpkg see. `INSTALLED` is what an
installation from the 9.1-1 ISO has, `AVAILABLE` what the repositories offer today.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.settings import NODE_FILES

if TYPE_CHECKING:
    from pathlib import Path

OLD_KERNEL = "6.17.2-1-pve"
NEW_KERNEL = "6.17.2-2-pve"


@dataclass(frozen=True)
class Package:
    """One binary package. `files` maps its paths to their text, or to a file of the work tree."""

    name: str
    version: str
    description: str
    depends: str = ""
    provides: str = ""
    section: str = "admin"
    files: dict[str, str | Path] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """The .deb's name."""
        return f"{self.name}_{self.version}_amd64.deb"

    def control(self) -> str:
        """The control file."""
        fields = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": "amd64",
            "Maintainer": "Nested PVE HA lab <root@lab.internal>",
            "Section": self.section,
            "Priority": "optional",
            "Depends": self.depends,
            "Provides": self.provides,
            "Description": f"{self.description} (stand-in of the lab)",
        }
        return "".join(f"{key}: {value}\n" for key, value in fields.items() if value)


def _modules(place: str, package: str) -> dict[str, str | Path]:
    """The files of one package of the node's Python code, to be imported from `place`."""
    root = NODE_FILES / "pvelab"
    files = [root / "__init__.py", *sorted((root / package).glob("*.py"))]
    return {f"{place}/{file.relative_to(NODE_FILES)}": file for file in files}


def _kernel(release: str) -> Package:
    """A kernel image: what matters is its name in /boot and in the package database."""
    return Package(
        name=f"proxmox-kernel-{release}-signed",
        version=release.removesuffix("-pve"),
        description="Proxmox Kernel Image (signed)",
        provides=f"proxmox-kernel-{release}, linux-image",
        section="kernel",
        files={
            f"/boot/vmlinuz-{release}": f"stand-in for Linux {release}\n",
            f"/boot/initrd.img-{release}": "stand-in\n",
            f"/lib/modules/{release}/modules.dep": "",
        },
    )


def _kernel_series(release: str) -> Package:
    return Package(
        name="proxmox-kernel-6.17",
        version=release.removesuffix("-pve"),
        description="Latest Proxmox Kernel Image",
        depends=f"proxmox-kernel-{release}-signed | proxmox-kernel-{release}",
    )


def _product(manager: str, cluster: str, qemu_server: str, ha_manager: str) -> list[Package]:
    return [
        Package(
            "pve-manager",
            manager,
            "Proxmox Virtual Environment Management Tools",
            "pve-cluster, qemu-server, pve-container",
        ),
        Package(
            "pve-cluster", cluster, "pmxcfs distributed cluster filesystem for Proxmox Virtual Environment", "corosync"
        ),
        Package("qemu-server", qemu_server, "Qemu Server Tools"),
        Package("pve-ha-manager", ha_manager, "Proxmox VE HA Manager", "pve-cluster"),
    ]


_UNCHANGED = [
    Package(
        "proxmox-ve", "9.1.0", "Proxmox Virtual Environment", "pve-manager, proxmox-default-kernel, pve-ha-manager"
    ),
    Package("proxmox-default-kernel", "2.0.1", "Default Proxmox Kernel Image", "proxmox-kernel-6.17"),
    Package("pve-container", "6.0.18", "Proxmox VE Container management tool"),
]

INSTALLED = [
    *_UNCHANGED,
    *_product(manager="9.1.1", cluster="9.0.7", qemu_server="9.1.0", ha_manager="5.0.8"),
    _kernel_series(OLD_KERNEL),
    _kernel(OLD_KERNEL),
]

ASSISTANT = Package(
    name="proxmox-auto-install-assistant",
    version="9.2.7",
    description="Assistant to help with automated installations",
    depends="python3, xorriso, tzdata",
    files={
        "/usr/bin/proxmox-auto-install-assistant": NODE_FILES / "install/proxmox-auto-install-assistant",
        **_modules("/usr/share/proxmox-auto-install-assistant", "install"),
    },
)

AVAILABLE = [
    *_UNCHANGED,
    *_product(manager="9.1.2", cluster="9.1.6", qemu_server="9.1.2", ha_manager="5.1.0"),
    _kernel_series(NEW_KERNEL),
    _kernel(NEW_KERNEL),
    ASSISTANT,
]

# Debian's own packages that a program here may want and that the image does not have for real.
NFS_SERVER = Package(
    name="nfs-kernel-server",
    version="1:2.8.3-1",
    description="support for NFS kernel server",
    depends="python3",
    section="net",
    files={
        "/usr/sbin/exportfs": NODE_FILES / "install/exportfs",
        "/usr/lib/systemd/system/nfs-server.service": NODE_FILES / "install/nfs-server.service",
        **_modules("/usr/lib/nfs-kernel-server", "nfs_server"),
    },
    scripts={
        "postinst": '#!/bin/sh\nset -e\n[ "$1" = configure ] || exit 0\nsystemctl enable --quiet nfs-server.service\n'
        "if [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl start nfs-server.service; fi\n",
        "prerm": '#!/bin/sh\nset -e\n[ "$1" = remove ] || exit 0\n'
        "if [ -d /run/systemd/system ]; then systemctl disable --quiet --now nfs-server.service; fi\n",
    },
)
DEBIAN_AVAILABLE = [NFS_SERVER]
