"""Starting and stopping a virtual machine, with the refusals of the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab import machine, propstring
from pvelab.api.errors import die
from pvelab.guests import conf, drives, nics, state
from pvelab.guests.locking import locked
from pvelab.paths import path
from pvelab.storage import activation, images, layout

if TYPE_CHECKING:
    from pathlib import Path

    from pvelab.guests.conf import Config
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log

_QEMU_FAILED = "start failed: QEMU exited with code 1"


def check_virtualization(options: dict[str, str], log: Log) -> None:
    """Refuse KVM where the node has none, and the host's CPU without KVM.

    Raises:
        PveError: with Proxmox's or QEMU's words.
    """
    kvm = options.get("kvm", "1") == "1"
    if kvm and not path("/dev/kvm").exists():
        raise die(
            "KVM virtualisation configured, but not available. Either disable in VM configuration or enable in BIOS."
        )
    cpu = propstring.parse(options.get("cpu", "kvm64"), "cputype").get("cputype", "kvm64")
    if not kvm and cpu == "host":
        log("kvm: CPU model 'host' requires KVM or HVF")
        raise die(_QEMU_FAILED)


def check_memory(options: dict[str, str], log: Log) -> None:
    """Refuse a machine that is larger than the node, where the lab says how large that is."""
    wanted = int(propstring.parse(options.get("memory", "512"), "current").get("current", "512"))
    available = machine.memory_mib()
    if available is not None and wanted > available:
        log("kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory")
        raise die(_QEMU_FAILED)


def check_bridges(options: dict[str, str], log: Log) -> None:
    """Refuse a network device on a bridge that is not there."""
    for key, value in sorted(options.items()):
        bridge = nics.bridge_of(value) if key.startswith("net") and key[3:].isdigit() else None
        if bridge and not nics.bridge_exists(bridge):
            log(f"bridge '{bridge}' does not exist")
            log(
                f"kvm: -netdev type=tap,id={key}: network script /usr/libexec/qemu-server/pve-bridge failed with status 512"
            )
            raise die(_QEMU_FAILED)


def disk_files(options: dict[str, str]) -> list[Path]:
    """The files of all drives; every storage must be usable and every volume there.

    Raises:
        PveError: one is not.
    """
    files = []
    for drive in drives.drives("qemu", options):
        if not drive.has_volume:
            continue
        volume = layout.parse(drive.volume)
        activation.activate(volume.storage.id)
        if not images.exists(drive.volume):
            raise die(f"volume '{drive.volume}' does not exist")
        if not drive.is_cdrom:
            files.append(volume.file)
    return files


def _check(options: dict[str, str], log: Log) -> list[Path]:
    check_virtualization(options, log)
    files = disk_files(options)
    check_memory(options, log)
    check_bridges(options, log)
    return files


def title(guest: Guest, options: dict[str, str]) -> str:
    """The command line that the process shows."""
    name = options.get("name", f"VM{guest.vmid}")
    return f"/usr/bin/kvm -id {guest.vmid} -name {name},debug-threads=on -smp {options.get('cores', '1')}"


def _load_startable(guest: Guest, *, skip_lock: bool) -> Config:
    config = conf.load(guest)
    if config.is_template:
        raise die("you can't start a vm if it's a template")
    if not skip_lock:
        conf.check_lock(guest, config)
    if state.is_running(guest):
        raise die(f"VM {guest.vmid} already running")
    return config


def start(guest: Guest, log: Log, *, skip_lock: bool = False) -> None:
    """Start a virtual machine on this node; changes that waited for this take effect.

    Raises:
        PveError: it is a template, locked, running, or cannot run here.
    """
    with locked("qemu", guest.vmid):
        config = _load_startable(guest, skip_lock=skip_lock)
        if config.pending or config.doomed:
            config.apply_pending()
            conf.save(guest, config)
        files = _check(config.options, log)
        state.start(guest, title(guest, config.options), files, config.options)


def start_incoming(guest: Guest, here: Guest, log: Log) -> None:
    """Start a migrating machine on this node while its configuration is still at its source.

    Args:
        guest: the machine where its configuration is.
        here: the same machine as of this node.
        log: takes the messages.
    """
    options = conf.load(guest).options
    if state.is_running(here):
        raise die(f"VM {here.vmid} already running")
    state.start(here, title(here, options), _check(options, log), options)


def stop(guest: Guest, *, skip_lock: bool = False) -> None:
    """End a virtual machine; one that does not run is fine."""
    with locked("qemu", guest.vmid):
        if not skip_lock:
            conf.check_lock(guest, conf.load(guest))
        state.stop(guest)


def reboot(guest: Guest, log: Log) -> None:
    """Stop and start again, so that waiting changes take effect."""
    if not state.is_running(guest):
        raise die("VM is not running")
    stop(guest)
    start(guest, log)
