"""verify-node: the node is what the program believes it is, seen from inside. Changes nothing.

`nested` being on outside proves nothing: the processor flags and /dev/kvm are looked for in here (F22).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership
from onnode.contract.node import VerifyNode
from onnode.errors import StepError
from onnode.step import Action, Step, act_never
from onnode.system import kernel, network, processor, pve, systemd

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

SERVICES = ["pve-cluster", "pvedaemon", "pveproxy", "pvestatd"]
SETTLE_S = 90.0  # from sshd to the last of Proxmox' services at boot


@dataclass(frozen=True)
class Observed:
    """The node, seen from inside."""

    node: str
    resolves: list[str]
    version: pve.Version
    virtualization: str | None
    dev_kvm: bool
    kernel: kernel.Kernels
    live: list[network.Interface]
    pve_mounted: bool = True
    inactive: list[str] = field(default_factory=list)  # services of Proxmox VE that do not run
    clock_offset_s: float | None = None  # None: no time server, nothing to compare with
    time: float = 0.0


def parse_offset(text: str) -> float | None:
    """Read `chronyc -n tracking`: the clock's offset in seconds; None while it follows no server."""
    offset = re.search(r"^System time\s*: (\d+(?:\.\d+)?) seconds (slow|fast)", text, re.MULTILINE)
    followed = re.search(r"^Leap status\s*: (?!Not synchronised)", text, re.MULTILINE)
    return float(offset[1]) * (-1 if offset[2] == "slow" else 1) if offset and followed else None


def observe(machine: ThisMachine, _desired: VerifyNode) -> Observed:
    """Look at the node; give its services the time that they need after a boot."""
    machine.wait_for(lambda: not _inactive(machine), SETTLE_S)
    node = membership.hostname(machine)
    return Observed(
        node,
        network.resolve(machine, node),
        pve.version(machine),
        processor.virtualization(machine),
        machine.exists("/dev/kvm"),
        kernel.observe(machine),
        network.interfaces(machine),
        membership.pve_mounted(machine),
        _inactive(machine),
        parse_offset(machine.run(["chronyc", "-n", "tracking"], timeout_s=10).out),
        machine.time(),
    )


def _inactive(machine: ThisMachine) -> list[str]:
    return [name for name, unit in systemd.units(machine, SERVICES).items() if unit.active != "active"]


def decide(observed: Observed, desired: VerifyNode) -> list[Action]:
    """Refuse whatever differs.

    Raises:
        StepError: hostname, hostname-resolution, pve-version, reboot-missing, old-kernel, no-virtualization,
            interface-missing, link-address, clock, services.
    """
    if observed.node != desired.name:
        raise StepError("hostname", "the machine has another name", observed=observed.node, expected=desired.name)
    if observed.resolves != [desired.address]:
        raise StepError(
            "hostname-resolution",
            f"the name {desired.name} does not resolve to the node's own address",
            observed=", ".join(observed.resolves) or "no address",
            expected=desired.address,
        )
    pve.refuse_version(observed.version, desired.pve_major)
    _refuse_kernel(observed, desired)
    if desired.require_virtualization and (observed.virtualization is None or not observed.dev_kvm):
        raise _no_virtualization(observed)
    _refuse_addresses(observed, desired)
    _refuse_unhealthy(observed, desired)
    return []


def _refuse_kernel(observed: Observed, desired: VerifyNode) -> None:
    if observed.kernel.reboot_missing:
        raise StepError(
            "reboot-missing",
            "the node was asked to reboot, and did not",
            observed=f"boot id {observed.kernel.boot_id}, as before",
            expected="a new boot id",
        )
    if desired.require_newest_kernel and observed.kernel.outdated:
        raise StepError(
            "old-kernel",
            "the node does not run its newest kernel",
            observed=observed.kernel.running,
            expected=str(observed.kernel.newest),
        )


def _no_virtualization(observed: Observed) -> StepError:
    seen = [observed.virtualization or "neither vmx nor svm", "/dev/kvm" if observed.dev_kvm else "no /dev/kvm"]
    return StepError(
        "no-virtualization",
        "the node cannot run KVM guests",
        observed=", ".join(seen),
        expected="vmx or svm, and /dev/kvm",
        fix="set the VM's CPU type to `host` and nested virtualization on its host to on, then stop and start the VM",
    )


def _refuse_addresses(observed: Observed, desired: VerifyNode) -> None:
    """Refuse addresses that are missing, or on an interface that is down: of links, and of further networks."""
    found = [(wanted.address, network.find(wanted, observed.live)) for wanted in desired.interfaces]
    amiss = {address: one for address, one in found if address not in one.addresses or not one.up}
    if not amiss:
        return
    names = ", ".join(one.name for one in amiss.values())
    error = StepError(
        "link-address",
        f"the address{'es' if len(amiss) > 1 else ''} {', '.join(amiss)} {'are' if len(amiss) > 1 else 'is'} not up",
        observed="; ".join(
            f"{one.name}: {', '.join(one.addresses) or 'no address'}, {'up' if one.up else 'down or without carrier'}"
            for one in amiss.values()
        ),
        expected=", ".join(f"{address} on {one.name}, up" for address, one in amiss.items()),
        fix=f"`ip -br link` on the node: with NO-CARRIER, what is behind {names} is cut (bridge, switch or cable), and "
        "`make up` does not mend that; else `ifreload -a` there",
    )
    error.addresses = list(amiss)
    raise error


def _refuse_unhealthy(observed: Observed, desired: VerifyNode) -> None:
    if observed.clock_offset_s is not None and abs(observed.clock_offset_s) > desired.clock_skew_max_s:
        raise StepError(
            "clock",
            "the node's clock is wrong",
            observed=f"{observed.clock_offset_s:+.1f} s off its time server",
            expected=f"at most {desired.clock_skew_max_s:g} s",
        )
    if observed.inactive or not observed.pve_mounted:
        down = [*observed.inactive, *([] if observed.pve_mounted else ["/etc/pve (not mounted)"])]
        raise StepError(
            "services",
            "not all services of Proxmox VE run on the node",
            observed=f"down: {', '.join(down)}",
            expected=f"{', '.join(SERVICES)} active, /etc/pve mounted",
        )


def facts(observed: Observed, _desired: VerifyNode) -> dict[str, Any]:
    """What was seen."""
    return {
        "pve_version": observed.version.manager,
        "kernel_running": observed.kernel.running,
        "virtualization": observed.virtualization,
        "boot_id": observed.kernel.boot_id,
        "clock_offset_s": observed.clock_offset_s,
        "time": observed.time,
    }


def unchanged(observed: Observed, _desired: VerifyNode) -> str:
    """Say what was found."""
    return f"{observed.node} is as described: Proxmox VE {observed.version.manager}, kernel {observed.kernel.running}"


STEP = Step(VerifyNode, observe, decide, act_never, facts, unchanged, lock="shared")
