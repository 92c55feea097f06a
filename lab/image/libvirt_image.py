"""What a libvirt host has beyond the root image: Debian's packages of libvirt and QEMU, made by mmdebstrap once and cached.

Only shapes with such a host need it. It is a layer over the root image, as a tar file.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from lab.image import root_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKAGES = ("libvirt-daemon-system", "libvirt-clients", "qemu-system-x86")
# What programs install later, for real: taken off here, and offered by the lab's own repository.
FETCHED = ("xorriso",)
# Bump when what this module does to the image changes; all else is part of the key by itself.
RECIPE = 1
# Runs in a mount namespace of its own, on a tmpfs: root image, partial result, then mmdebstrap's words.
SCRIPT = f"""\
set -e
image=$1 result=$2
shift 2
place=$(mktemp -d)
mount -t tmpfs -o mode=0755 nested-pve-lab-image "$place"
trap 'cd / && umount --lazy "$place" && rmdir "$place"' EXIT
cd "$place"
mkdir image upper work root
tar -C image --exclude='./dev/*' -xf "$image"
mount -t overlay -o "lowerdir=$place/image,upperdir=$place/upper,workdir=$place/work" image "$place/root"
"$@"
umount root
rm -rf upper/dev upper/run upper/tmp upper/etc/hostname upper/etc/machine-id upper/etc/resolv.conf
rm -f upper/etc/apt/sources.list upper/etc/dpkg/dpkg.cfg.d/99mmdebstrap upper/{root_image.FETCHED_PLACE}/lock
tar -C upper --xattrs --xattrs-include='*' --numeric-owner -cf "$result" .
"""
FETCH_HOOK = (
    f'chroot "$1" dpkg --purge {" ".join(FETCHED)} && '
    'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --yes --no-install-recommends --download-only install '
    f'{" ".join(FETCHED)} && mkdir -p "$1/{root_image.FETCHED_PLACE}" && '
    f'mv "$1"/var/cache/apt/archives/*.deb "$1/{root_image.FETCHED_PLACE}"'
)


def cache_key() -> str:
    """The name under which a layer made from these inputs is cached."""
    inputs = (str(RECIPE), root_image.cache_key(), *PACKAGES, SCRIPT, FETCH_HOOK)
    return hashlib.sha256("\n".join(inputs).encode()).hexdigest()[:16]


def beside(image: Path) -> Path:
    """Where the layer's tar file is, given the root image's."""
    return image.with_name(f"libvirt-{cache_key()}.tar")


def ensure(image: Path, owner: tuple[int, int], say: Callable[[str], None]) -> None:
    """Make the layer unless the cache has it (about half a minute). A build that is interrupted leaves none.

    Raises:
        LabError: image-build-failed.
    """
    layer = beside(image)
    if layer.exists():
        return
    say(f"building the libvirt host's image: {', '.join(PACKAGES)}")
    partial = image.with_name(f".libvirt-{os.getpid()}.tar")
    mmdebstrap = [
        "mmdebstrap",
        "--variant=custom",
        "--mode=root",
        "--format=directory",
        "--skip=check/empty",
        f"--include={','.join(PACKAGES)}",
        *root_image.DPKG_OPTIONS,
        f"--customize-hook={FETCH_HOOK}",
        root_image.SUITE,
        "root",
        *root_image.mirrors(),
    ]
    unshared = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]
    root_image.build([*unshared, str(image), str(partial), *mmdebstrap], partial, "the libvirt host's image")
    os.chown(partial, *owner)
    partial.rename(layer)
