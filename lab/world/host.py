"""What the lab needs from the machine it runs on: Linux, root, systemd-nspawn and mmdebstrap."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.image.root_image import DEBIAN_KEYRING

if TYPE_CHECKING:
    from collections.abc import Callable

# program -> Debian package that brings it
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
}
INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_INSTANCES_MIN = 1024
APT_S = 900
WITHOUT_LAB = (
    "run the lab on a Linux machine with systemd-nspawn, or use `existing` nodes; unit and policy tests work here"
)


def require_linux() -> None:
    """Refuse other systems.

    Raises:
        LabError: lab-needs-linux.
    """
    if platform.system() != "Linux":
        raise LabError(
            "lab-needs-linux",
            "the lab is made of Linux namespaces and cannot run here",
            observed=platform.system(),
            expected="Linux",
            next_step=WITHOUT_LAB,
        )


def require_root(command: str) -> None:
    """Refuse to go on as a plain user.

    Raises:
        LabError: lab-needs-root, naming the command to use.
    """
    if os.geteuid() != 0:
        raise LabError(
            "lab-needs-root",
            f"`lab {command}` makes or enters namespaces, which takes root",
            observed=f"uid {os.geteuid()}",
            expected="uid 0",
            next_step=f"sudo --preserve-env .venv/bin/python -m lab {command} …",
        )


def missing_packages() -> list[str]:
    """Debian packages whose programs this machine lacks."""
    missing = {package for program, package in PROGRAMS.items() if not shutil.which(program, path=_search_path())}
    if not DEBIAN_KEYRING.exists():
        missing.add("debian-archive-keyring")
    return sorted(missing)


def _search_path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def ensure_packages(say: Callable[[str], None]) -> None:
    """Install what is missing, on Debian and its kin.

    Raises:
        LabError: lab-host-packages, naming what to install by hand.
    """
    missing = missing_packages()
    if not missing:
        return
    by_hand = f"install the packages that bring {', '.join(missing)}; {WITHOUT_LAB}"
    if not shutil.which("apt-get"):
        raise LabError(
            "lab-host-packages",
            "programs that the lab needs are missing",
            observed=", ".join(missing),
            next_step=by_hand,
        )
    say(f"installing Debian packages: {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    for command in (["apt-get", "update"], install):
        said = _apt(command, environment)
    if still := missing_packages():
        raise LabError(
            "lab-host-packages",
            "apt-get could not install what the lab needs",
            observed=f"still missing: {', '.join(still)}; apt-get said: {said}",
            next_step=by_hand,
        )


def _apt(command: list[str], environment: dict[str, str]) -> str:
    """What it said."""
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=APT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"nothing that ended within {APT_S} s"
    return done.stderr.strip()[-500:]


def ensure_inotify(say: Callable[[str], None]) -> None:
    """Let the machine's systemds watch files: each takes several of the 128 instances that a kernel allows by default.

    Without this a machine fails at boot with "Too many open files". The setting stays until the host reboots: another
    lab may need it.
    """
    if int(INOTIFY_INSTANCES.read_text()) < INOTIFY_INSTANCES_MIN:
        say(f"raising fs.inotify.max_user_instances to {INOTIFY_INSTANCES_MIN} until this machine reboots")
        INOTIFY_INSTANCES.write_text(f"{INOTIFY_INSTANCES_MIN}\n")
