"""The package repositories of the lab: real .deb files, real indexes, real signatures, by Debian's own tools."""

from __future__ import annotations

import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.image import packages, root_image, workshop
from lab.programs import run
from lab.shape import DEBIAN_MIRROR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.image.packages import Package
    from lab.settings import Settings

DEB_FILES = Path("/debs")  # inside the workshop
SITES = Path("/sites")
KEY_NAME = "Lab Release Key <release@lab.internal>"
SUITE = "trixie"
DEBIAN_COMPONENTS = ("main", "contrib", "non-free-firmware")


@dataclass(frozen=True)
class Archive:
    """One suite of one archive, with all its components; only one of them has packages."""

    site: str
    path: str
    suite: str
    components: tuple[str, ...]
    packages: tuple[Package, ...] = ()


ARCHIVES = (
    Archive(
        "download.proxmox.com",
        "debian/pve",
        SUITE,
        ("pve-no-subscription", "pve-test"),
        tuple(packages.AVAILABLE),
    ),
    Archive("download.proxmox.com", "debian/ceph-squid", SUITE, ("no-subscription",)),
    Archive(DEBIAN_MIRROR, "debian", SUITE, DEBIAN_COMPONENTS, tuple(packages.DEBIAN_AVAILABLE)),
    Archive(DEBIAN_MIRROR, "debian", f"{SUITE}-updates", DEBIAN_COMPONENTS),
    Archive(DEBIAN_MIRROR, "debian-security", f"{SUITE}-security", DEBIAN_COMPONENTS),
)


def _shop(settings: Settings, *words: str, stdin: str | None = None) -> str:
    return run(workshop.command(settings, *words), stdin=stdin)


def build(settings: Settings) -> None:
    """Build all packages and sign all indexes; the sites' directories end up below the state directory."""
    root = workshop.path(settings)
    for package in (*packages.INSTALLED, *packages.AVAILABLE, *packages.DEBIAN_AVAILABLE):
        _build_package(settings, package)
    _make_key(settings)
    for archive in ARCHIVES:
        _build_archive(settings, archive)
    for site in (root / SITES.relative_to("/")).iterdir():
        shutil.copytree(site, settings.state / "sites" / site.name, dirs_exist_ok=True)


def deb_path(settings: Settings, package: Package) -> Path:
    """Where a built package lies, as the lab sees it."""
    return workshop.path(settings) / DEB_FILES.relative_to("/") / package.file_name


def _build_package(settings: Settings, package: Package) -> None:
    if deb_path(settings, package).exists():
        return
    tree = deb_path(settings, package).parent / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(package.control())
    for name, text in package.scripts.items():
        _write(tree / "DEBIAN" / name, text)
    for path, content in package.files.items():
        _write(tree / path.lstrip("/"), content if isinstance(content, str) else content.read_text())
    _shop(
        settings,
        "dpkg-deb",
        "--root-owner-group",
        "-Znone",
        "--build",
        str(DEB_FILES / "tree"),
        str(DEB_FILES / package.file_name),
    )
    shutil.rmtree(tree)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    executable = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
    path.chmod(0o644 | (executable if text.startswith("#!") else 0))


def _make_key(settings: Settings) -> None:
    """A signing key of this lab's own; it never leaves the workshop, which goes with the lab."""
    _shop(
        settings,
        "gpg",
        "--batch",
        "--quiet",
        "--passphrase",
        "",
        "--quick-gen-key",
        KEY_NAME,
        "ed25519",
        "sign",
        "never",
    )
    _shop(settings, "gpg", "--batch", "--quiet", "--output", "/keyring.gpg", "--export", KEY_NAME)


def keyring(settings: Settings) -> bytes:
    """The public key, as a keyring file for Signed-By."""
    return (workshop.path(settings) / "keyring.gpg").read_bytes()


def _build_archive(settings: Settings, archive: Archive) -> None:
    base = SITES / archive.site / archive.path
    root = workshop.path(settings) / base.relative_to("/")
    pool = root / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    for package in archive.packages:
        shutil.copy(deb_path(settings, package), pool)
    if archive.site == DEBIAN_MIRROR and archive.packages:
        for image in (workshop.path(settings), settings.libvirt_image):
            for file in (image / root_image.FETCHED_PLACE).glob("*.deb"):
                shutil.copy(file, pool)
    for number, component in enumerate(archive.components):
        directory = root / "dists" / archive.suite / component / "binary-amd64"
        directory.mkdir(parents=True)
        index = ""
        if archive.packages and number == 0:
            index = _shop(settings, "sh", "-c", f"cd {base} && apt-ftparchive packages pool")
        (directory / "Packages").write_text(index)
    _sign_suite(settings, archive, base / "dists" / archive.suite)


def _sign_suite(settings: Settings, archive: Archive, directory: Path) -> None:
    facts = {
        "Origin": "Debian" if archive.site == DEBIAN_MIRROR else "Proxmox",
        "Label": "Debian" if archive.site == DEBIAN_MIRROR else "Proxmox Debian Repository",
        "Suite": archive.suite,
        "Codename": archive.suite,
        "Architectures": "amd64",
        "Components": " ".join(archive.components),
    }
    options = _options((f"APT::FTPArchive::Release::{key}", value) for key, value in facts.items())
    release = _shop(settings, "apt-ftparchive", *options, "release", str(directory))
    (workshop.path(settings) / directory.relative_to("/") / "Release").write_text(release)
    for output, mode in (("InRelease", "--clearsign"), ("Release.gpg", "--detach-sign")):
        target, source = str(directory / output), str(directory / "Release")
        _shop(settings, "gpg", "--batch", "--quiet", "--armor", "--output", target, mode, source)


def _options(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [word for key, value in pairs for word in ("-o", f"{key}={value}")]
