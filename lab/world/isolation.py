"""The lab's own view of the machine: network, mount and process namespaces that nothing outside shares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lab.programs import run
from lab.shape import ADMIN_ADDRESS, DOMAIN, ROUTER_ADDRESS

if TYPE_CHECKING:
    from lab.settings import Settings

MEMORY_LIMIT = "size=75%"  # of the machine's; only what is used is taken

SSH_CONFIG = """\
# The lab's machines are made anew again and again; the program itself pins their keys, this is for people.
Host 192.168.0.* *.{domain} 10.*
  User root
  IdentityFile {identity}
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
"""


def _tmpfs(path: str, *options: str) -> None:
    run(["mount", "-t", "tmpfs", "-o", ",".join(("mode=0755", *options)), "nested-pve-lab", path])


def _bind(source: Path, target: str) -> None:
    """Lay a file over one of the machine's; a link's target is what programs read."""
    real = Path(target).resolve()
    if real.is_relative_to("/run"):
        real.parent.mkdir(parents=True, exist_ok=True)
        real.touch()
    if real.exists():
        run(["mount", "--bind", str(source), str(real)])


def enter(settings: Settings, owner: tuple[int, int]) -> None:
    """Make the namespaces that this process was started on the control machine.

    /run is a fresh one: it hides every socket of the machine's own services (name resolution, D-Bus, containers), and
    two labs do not meet in it. No directory of the machine is made or removed.
    """
    run(["mount", "-t", "sysfs", "sysfs", "/sys"])
    run(["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"])
    _tmpfs("/run")
    for directory in ("netns", "systemd/nspawn", "lock"):
        Path("/run", directory).mkdir(parents=True)
    private = Path("/run/user", str(owner[0]))
    private.mkdir(parents=True, mode=0o700)
    os.chown(private, *owner)
    settings.memory.mkdir(exist_ok=True)
    _tmpfs(str(settings.memory), MEMORY_LIMIT)
    admin = settings.state / "admin"
    admin.mkdir(exist_ok=True)
    (admin / "resolv.conf").write_text(f"search {DOMAIN}\nnameserver {ROUTER_ADDRESS}\n")
    (admin / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{ADMIN_ADDRESS} admin.{DOMAIN} admin\n")
    _bind(admin / "resolv.conf", "/etc/resolv.conf")
    _bind(admin / "hosts", "/etc/hosts")
    if Path("/etc/ssh/ssh_config.d").is_dir():
        _tmpfs("/etc/ssh/ssh_config.d")
        text = SSH_CONFIG.format(domain=DOMAIN, identity=settings.state / "id_ed25519")
        Path("/etc/ssh/ssh_config.d/nested-pve-lab.conf").write_text(text)
