"""Root's SSH between the members: keys shared through /etc/pve, host keys published per node."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from pvelab import cfs
from pvelab.cluster.processes import run
from pvelab.errors import die
from pvelab.paths import path, pve

if TYPE_CHECKING:
    from pathlib import Path

    from pvelab.tasks import Log

# Proxmox makes 4096 bits; the lab makes the key of every node and saves the seconds.
_RSA_BITS = "2048"
_CIPHERS = "Ciphers aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com\n"
_RSA_LINE = re.compile(r"(?:^|\s)ssh-(?:rsa|dsa)\s+(\S+)\s+\S+$")


def _root_ssh(name: str) -> Path:
    return path("/root/.ssh") / name


def root_key() -> Path:
    """Root's RSA key, whose name Proxmox hard-codes."""
    return _root_ssh("id_rsa")


def allow_root_login() -> None:
    """Members log in to each other as root."""
    config = path("/etc/ssh/sshd_config")
    text = config.read_text()
    if re.search(r"^PermitRootLogin\s+yes\s*$", text, re.MULTILINE):
        return
    changed, count = re.subn(r"^#?PermitRootLogin.*$", "PermitRootLogin yes", text, count=1, flags=re.MULTILINE)
    config.write_text(changed if count else text.rstrip("\n") + "\nPermitRootLogin yes\n")
    run(["systemctl", "reload-or-restart", "ssh"])


def make_root_key() -> None:
    """Root's key and client configuration, where they do not exist."""
    _root_ssh("").mkdir(mode=0o700, exist_ok=True)
    if not _root_ssh("id_rsa.pub").exists():
        run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-b", _RSA_BITS, "-f", str(root_key())])
    config = _root_ssh("config")
    if not config.exists():
        config.write_text(_CIPHERS)
        config.chmod(0o640)


def share_authorized_keys(log: Log) -> None:
    """Make root's authorized_keys the cluster's.

    A cluster without keys takes the node's; a node that meets a cluster's keys loses its own ones to a backup file.
    """
    shared, own, backup = pve("priv/authorized_keys"), _root_ssh("authorized_keys"), _root_ssh("authorized_keys.org")
    with contextlib.suppress(OSError):
        pve("priv").mkdir(exist_ok=True)
    imported = False
    if not shared.is_file():
        with contextlib.suppress(OSError):
            shared.write_text(own.read_text() if own.is_file() else "")
            imported = True
    if not shared.is_file():
        log(f"can't create shared ssh key database '{shared}'")
    if own.is_file() and not own.is_symlink():
        own.rename(backup)
    if not own.is_symlink():
        own.symlink_to(shared)
    if imported:
        backup.unlink(missing_ok=True)


def merge_keys() -> None:
    """Put the node's own key into the cluster's authorized_keys and drop repeated keys."""
    shared, backup = pve("priv/authorized_keys"), _root_ssh("authorized_keys.org")
    lines = shared.read_text().splitlines() if shared.is_file() else []
    with contextlib.suppress(FileNotFoundError):
        lines += backup.read_text().splitlines()
    with contextlib.suppress(FileNotFoundError):
        lines += _root_ssh("id_rsa.pub").read_text().splitlines()
    cfs.replace_file(shared, "".join(f"{line}\n" for line in _without_repeated(lines)), mode=0o600)
    if _root_ssh("authorized_keys").is_symlink():
        backup.unlink(missing_ok=True)


def _without_repeated(lines: list[str]) -> list[str]:
    seen: set[str] = set()
    kept = []
    for line in lines:
        found = None if line.startswith("#") else _RSA_LINE.search(line)
        if found:
            if found[1] in seen:
                continue
            seen.add(found[1])
        kept.append(line)
    return kept


def localize_known_hosts() -> None:
    """Replace the link to the cluster's known hosts by a copy: a join takes /etc/pve away for a while."""
    system = path("/etc/ssh/ssh_known_hosts")
    if system.is_symlink():
        try:
            text = pve("priv/known_hosts").read_text()
        except OSError:
            text = ""
        system.unlink()
        system.write_text(text)


def publish_host_key(node: str) -> None:
    """Let the members pin this node's RSA host key."""
    cfs.write(f"nodes/{node}/ssh_known_hosts", f"{node} {_host_key()}")


def merge_known_hosts(node: str, address: str) -> None:
    """The known hosts of a new cluster begin with its first node; the system's file becomes a link to them."""
    shared, system = pve("priv/known_hosts"), path("/etc/ssh/ssh_known_hosts")
    lines = shared.read_text().splitlines() if shared.is_file() else []
    if system.is_file() and not system.is_symlink():
        lines += [line for line in system.read_text().splitlines() if " ssh-rsa " in line]
    lines += [f"{name.lower()} {_host_key()}" for name in (node, address)]
    cfs.replace_file(shared, "".join(f"{line}\n" for line in dict.fromkeys(lines) if line.strip()), mode=0o600)
    system.unlink(missing_ok=True)
    system.symlink_to(shared)


def _host_key() -> str:
    source = path("/etc/ssh/ssh_host_rsa_key.pub")
    try:
        found = re.search(r"^(ssh-rsa\s\S+)", source.read_text(), re.MULTILINE)
    except FileNotFoundError as error:
        raise die(f"unable to open file '{source}' - {error.strerror}") from error
    if found is None:
        raise die(f"can't parse {source}")
    return found[1]
