"""The last layer of a libvirt host: a Debian machine that gets its packages from the lab, and whose emulator is the lab's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab.emulator import firmware, paths

from lab.image import libvirt_image, overlay, pve_layer, rootfs
from lab.programs import run_async
from lab.settings import NODE_FILES

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import Settings

# QEMU's user makes a socket there for each domain, and the lab connects to it.
DIRECTORY = f"d {paths.MONITORS} 0700 libvirt-qemu kvm -\n"


async def unpack(settings: Settings, image: Path) -> None:
    """Put the layer that was made beside the root image where the machines' layers are looked for."""
    target, tar = settings.libvirt_image, libvirt_image.beside(image)
    target.mkdir()
    await run_async("tar", "-C", str(target), "--xattrs", "--xattrs-include=*", "-xf", str(tar))


async def build(settings: Settings) -> None:
    """Make it over the image with libvirt, which must be unpacked."""
    layer = settings.memory / "libvirt-layer"
    lower = f"{settings.libvirt_image}:{settings.image}"
    root = await overlay.mount(lower, layer, layer / "root")
    try:
        await pve_layer.divert(root)
        await run_async("chroot", str(root), "dpkg-divert", "--quiet", "--rename", "--add", paths.EMULATOR)
        _put_emulator(root)
        (root / paths.FIRMWARE.lstrip("/")).write_bytes(firmware.image())
        rootfs.write(root / "usr/lib/tmpfiles.d/pve-lab-domains.conf", DIRECTORY)
        pve_layer.use_repositories(settings, root, pve_layer.DEBIAN_SOURCES, (pve_layer.DEBIAN_KEYRING,))
    finally:
        await overlay.unmount(root)


def _put_emulator(root: Path) -> None:
    """A copy: libvirt starts its emulator as a user who may not read the work tree."""
    program = NODE_FILES / "install/qemu-system-x86_64"
    rootfs.write(root / paths.EMULATOR.lstrip("/"), program.read_text(), 0o755)
    code = NODE_FILES / "pvelab"
    for file in (code / "__init__.py", *sorted((code / "emulator").glob("*.py"))):
        rootfs.write(root / paths.CODE.lstrip("/") / file.relative_to(NODE_FILES), file.read_text())
