"""The root image of all machines: Debian 13 with what Proxmox VE 9 has from Debian, made by mmdebstrap."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")  # of the machine below
SUITE = "trixie"
LIST_S = 60
BUILD_S = 1800  # half a minute with a mirror nearby
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "kmod",
    "udev",
    "openssh-server",
    "ifupdown2",
    "bridge-utils",
    "iproute2",
    "iputils-ping",
    "nftables",
    "dnsmasq-base",
    "corosync",
    "fuse3",
    "libfuse2t64",
    "python3",
    "python3-aiohttp",
    "python3-cryptography",
    "python3-fusepy",
    "python3-yaml",
    "xorriso",
    "openssl",
    "ca-certificates",
    "curl",
    "wget",
    "gnupg",
    "apt-utils",
    "procps",
    "psmisc",
    "less",
    "rsync",
    "tzdata",
    "zstd",
)
# What programs install later, for real: fetched with what they need, and offered by the lab's own repository.
FETCHED = ("corosync-qdevice", "corosync-qnetd")
FETCHED_PLACE = "srv/debian-packages"
FETCH_HOOK = (
    'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --yes --no-install-recommends --download-only install '
    f'{" ".join(FETCHED)} && mkdir -p "$1/{FETCHED_PLACE}" && mv "$1"/var/cache/apt/archives/*.deb "$1/{FETCHED_PLACE}"'
)
DPKG_OPTIONS = (
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=force-unsafe-io",
)
# Bump when what this module does to the image changes; the package list is part of the key by itself.
RECIPE = 1


def cache_key() -> str:
    """The name under which an image made from these inputs is cached."""
    return hashlib.sha256("\n".join((str(RECIPE), SUITE, *PACKAGES, FETCH_HOOK)).encode()).hexdigest()[:16]


def mirrors() -> list[str]:
    """Source lines for Debian 13, from the mirror that this machine's own apt uses.

    Raises:
        LabError: debian-mirror-unknown.
    """
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)"],
        capture_output=True,
        text=True,
        timeout=LIST_S,
        check=False,
    )
    bases: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        origin, label, component, base = line.split("|")
        if origin == "Debian" and component == "main":
            bases[label] = base
    if not {"Debian", "Debian-Security"} <= bases.keys():
        raise LabError(
            "debian-mirror-unknown",
            "apt on this machine does not know where Debian and its security updates are",
            observed=", ".join(bases) or "no lists",
            expected="the lists of Debian and Debian-Security",
            next_step="sudo apt-get update (on Debian), then again",
        )
    option = f"[signed-by={DEBIAN_KEYRING}]"
    return [
        f"deb {option} {bases['Debian']} {SUITE} main",
        f"deb {option} {bases['Debian']} {SUITE}-updates main",
        f"deb {option} {bases['Debian-Security']} {SUITE}-security main",
    ]


def ensure(cache: Path, owner: tuple[int, int], say: Callable[[str], None]) -> Path:
    """Return the image's tar file, making it first if the cache has none (about half a minute).

    The mirror is the one that the machine's own apt uses. A build that is interrupted leaves no image.

    Raises:
        LabError: image-build-failed.
    """
    image = cache / f"root-{cache_key()}.tar"
    if image.exists():
        return image
    cache.mkdir(parents=True, exist_ok=True)
    say(f"building the root image: Debian {SUITE}, {len(PACKAGES)} packages")
    partial = cache / f".root-{os.getpid()}.tar"
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--include={','.join(PACKAGES)}",
        *DPKG_OPTIONS,
        f"--customize-hook={FETCH_HOOK}",
        '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1/etc/apt/sources.list" "$1"/etc/ssh/ssh_host_*',
        '--customize-hook=rm -f "$1/etc/corosync/corosync.conf" "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"',
        SUITE,
        str(partial),
        *mirrors(),
    ]
    build(command, partial, "the root image")
    os.chown(partial, *owner)
    partial.rename(image)
    for directory in (cache, cache.parent):
        os.chown(directory, *owner)
    return image


def build(command: list[str], result: Path, what: str) -> None:
    """Run mmdebstrap, which writes the result.

    Raises:
        LabError: image-build-failed; there is no result then.
    """
    if failure := _failure(command):
        result.unlink(missing_ok=True)
        raise LabError(
            "image-build-failed",
            f"mmdebstrap could not build {what}",
            observed=failure,
            expected="a package mirror reachable with this machine's own apt configuration",
            next_step="check that `apt-get update` works on this machine, then repeat",
        )


def _failure(command: list[str]) -> str:
    """What a build that failed said; empty when it did not."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no end within {BUILD_S} s"
    return done.stderr.strip()[-1500:] or f"exit code {done.returncode}" if done.returncode else ""
