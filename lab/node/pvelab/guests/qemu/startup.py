"""What a virtual machine needs on its node before it starts, with the refusals of the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvelab import propstring
from pvelab.errors import die
from pvelab.guests import conf, nics, state, views, volumes
from pvelab.paths import path

if TYPE_CHECKING:
    from pvelab.guests.conf import Config
    from pvelab.guests.registry import Guest
    from pvelab.tasks import Log

MEMORY = "memory:"
_QEMU_FAILED = "start failed: QEMU exited with code 1"


def _check_virtualization(options: dict[str, str], log: Log) -> None:
    """Refuse KVM where the node has none, and the host's CPU without KVM."""
    kvm = options.get("kvm", "1") == "1"
    if kvm and not path("/dev/kvm").exists():
        raise die(
            "KVM virtualisation configured, but not available. Either disable in VM configuration or enable in BIOS."
        )
    cpu = propstring.parse(options.get("cpu", "kvm64"), "cputype").get("cputype", "kvm64")
    if not kvm and cpu == "host":
        log("kvm: CPU model 'host' requires KVM or HVF")
        raise die(_QEMU_FAILED)


def _check_memory(config: Config, log: Log) -> None:
    if views.exceeds_node(config):
        log("kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory")
        raise die(_QEMU_FAILED)


def _check_bridges(options: dict[str, str], log: Log) -> None:
    for key, bridge in nics.missing_bridges(options):
        log(f"bridge '{bridge}' does not exist")
        log(
            f"kvm: -netdev type=tap,id={key}: network script /usr/libexec/qemu-server/pve-bridge failed with status 512"
        )
        raise die(_QEMU_FAILED)


def _title(guest: Guest, options: dict[str, str]) -> str:
    """The command line that the process shows."""
    name = options.get("name", f"VM{guest.vmid}")
    return f"/usr/bin/kvm -id {guest.vmid} -name {name},debug-threads=on -smp {options.get('cores', '1')}"


def bring_up(guest: Guest, config: Config, log: Log, *, booted: float | None = None) -> None:
    """Start a virtual machine if the node has what it needs; `booted` is since when one that goes on here is up."""
    _check_virtualization(config.options, log)
    files = volumes.files("qemu", config.options)
    _check_memory(config, log)
    _check_bridges(config.options, log)
    state.start(guest, _title(guest, config.options), files, config.options, booted=booted)


def bring_up_incoming(guest: Guest, here: Guest, log: Log, stateuri: str) -> None:
    """Start a migrating machine on this node while its configuration is still at its source.

    Args:
        guest: the machine where its configuration is.
        here: the same machine as of this node.
        log: takes the messages.
        stateuri: where its memory comes from. Here it holds no more than since when it is up.
    """
    config = conf.load(guest)
    if state.is_running(here):
        raise die(f"{here.label} already running")
    bring_up(here, config, log, booted=float(stateuri.removeprefix(MEMORY)) if stateuri else None)
