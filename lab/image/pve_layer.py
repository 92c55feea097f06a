"""The second layer of every machine: Debian made into Proxmox VE as its 9.1-1 ISO installs it, apt sources included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.image import authority, overlay, packages, repository, rootfs
from lab.programs import run_async
from lab.shape import DEBIAN_MIRROR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lab.settings import Settings

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PROXMOX_KEYRING = "/usr/share/keyrings/proxmox-archive-keyring.gpg"
DEBIAN_SOURCES = {
    "debian.sources": f"""\
Types: deb
URIs: http://{DEBIAN_MIRROR}/debian/
Suites: trixie trixie-updates
Components: {" ".join(repository.DEBIAN_COMPONENTS)}
Signed-By: {DEBIAN_KEYRING}

Types: deb
URIs: http://{DEBIAN_MIRROR}/debian-security/
Suites: trixie-security
Components: {" ".join(repository.DEBIAN_COMPONENTS)}
Signed-By: {DEBIAN_KEYRING}
""",
}
SOURCES = {
    **DEBIAN_SOURCES,
    "pve-enterprise.sources": f"""\
Types: deb
URIs: https://enterprise.proxmox.com/debian/pve
Suites: trixie
Components: pve-enterprise
Signed-By: {PROXMOX_KEYRING}
""",
    "ceph.sources": f"""\
Types: deb
URIs: https://enterprise.proxmox.com/debian/ceph-squid
Suites: trixie
Components: enterprise
Signed-By: {PROXMOX_KEYRING}
""",
}
# Debian's ifupdown2 takes off a bridge what its stanza does not name; Proxmox VE's leaves the ports of guests there.
BRIDGES = "usr/share/ifupdown2/addons/bridge.py"
STAY_ASKED = "get_attr_value_first('bridge-ports-condone-regex')"
STAY_DEFAULT = "^(tap|veth|fwpr)"


async def build(settings: Settings) -> None:
    """Install the stand-in packages over the image and say where updates come from."""
    layer = settings.memory / "pve-layer"
    root = await overlay.mount(str(settings.image), layer, layer / "root")
    try:
        await divert(root)
        await _install(settings, root)
        _leave_guests_on_bridges(root)
    finally:
        await overlay.unmount(root)


async def divert(root: Path) -> None:
    """Move the programs aside that show the real kernel."""
    for program, place in rootfs.DIVERTED.items():
        await run_async("chroot", str(root), "dpkg-divert", "--quiet", "--rename", "--add", f"/{place}/{program}")


def _leave_guests_on_bridges(root: Path) -> None:
    text = (root / BRIDGES).read_text()
    if STAY_ASKED not in text:
        raise LabError(
            "lab-start-failed",
            "ifupdown2 asks for the ports that stay on a bridge in another way",
            observed=f"no {STAY_ASKED} in /{BRIDGES}",
            expected="ifupdown2 3.0 of Debian",
        )
    rootfs.write(root / BRIDGES, text.replace(STAY_ASKED, f"{STAY_ASKED} or {STAY_DEFAULT!r}"))


async def _install(settings: Settings, root: Path) -> None:
    names = [package.file_name for package in packages.INSTALLED]
    for package in packages.INSTALLED:
        (root / package.file_name).write_bytes(repository.deb_path(settings, package).read_bytes())
    await run_async("chroot", str(root), "dpkg", "--install", *(f"/{name}" for name in names))
    for name in names:
        (root / name).unlink()
    use_repositories(settings, root, SOURCES, (DEBIAN_KEYRING, PROXMOX_KEYRING))


def use_repositories(settings: Settings, root: Path, sources: Mapping[str, str], keyrings: Iterable[str]) -> None:
    """Say where updates come from, and trust the lab that they come from."""
    for name, text in sources.items():
        rootfs.write(root / "etc/apt/sources.list.d" / name, text)
    for keyring in keyrings:
        target = root / keyring.lstrip("/")
        target.unlink(missing_ok=True)
        target.write_bytes(repository.keyring(settings))
    _trust(root, authority.certificate(settings))


def _trust(root: Path, certificate: str) -> None:
    """As update-ca-certificates would, which takes seconds; the first file is where a later run of it finds it."""
    rootfs.write(root / "usr/local/share/ca-certificates/nested-pve-lab.crt", certificate)
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    rootfs.write(bundle, bundle.read_text() + certificate)
