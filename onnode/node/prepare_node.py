"""prepare-node: name, repository and upgrade of one node, before it is a member.

Any changed input runs this again, on a live cluster, too. On a member nothing is done that could disturb it: what
would have been done is reported as left undone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership
from onnode.contract.node import NodeNetwork, PrepareNode
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import kernel, originals, packages, pve, repository

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

HOSTS = "/etc/hosts"
FIRST_BOOT = "proxmox-first-boot*"
FIRST_BOOT_S = 600.0


@dataclass(frozen=True)
class Observed:
    """The node, as far as this step may change it."""

    node: str
    version: pve.Version
    member: bool  # of a cluster, completely or half
    hosts: str
    repository: repository.Observed
    kernel: kernel.Kernels
    first_boot: bool = False  # the installer's first-boot script is still at work (F13)
    upgradable: list[str] = field(default_factory=list)
    guests: list[str] = field(default_factory=list)  # that run


def hosts_text(hosts: str, address: str, fqdn: str, name: str) -> str:
    """The text of /etc/hosts in which the node's name has its own IPv4 address only.

    With Debian's 127.0.1.1, or ::1, pmxcfs does not start. Comments, and IPv6 addresses that reach the node, stay.
    """
    lines = [line for line in (_without(line, {fqdn, name}) for line in hosts.splitlines()) if line is not None]
    return "\n".join([*lines, f"{address} {fqdn} {name}"]) + "\n"


def _without(line: str, names: set[str]) -> str | None:
    """A line of /etc/hosts without these names; None if no name is left in it."""
    said, sign, comment = line.partition("#")
    words = said.split()
    if not names & set(words[1:]) or (":" in words[0] and words[0] != "::1"):
        return line
    kept = [word for word in words[1:] if word not in names]
    parts = [*([words[0], *kept] if kept else []), *([sign + comment] if sign else [])]
    return " ".join(parts) or None


def hosts_address(hosts: str, name: str) -> list[str]:
    """The IPv4 addresses that /etc/hosts gives to a name."""
    rows = [line.partition("#")[0].split() for line in hosts.splitlines()]
    return [row[0] for row in rows if name in row[1:] and re.fullmatch(r"[\d.]+", row[0])]


def observe(machine: ThisMachine, desired: PrepareNode) -> Observed:
    """Look at the node."""
    node = membership.hostname(machine)
    member = membership.observe(machine).state != "absent"
    sources = repository.observe(machine, desired.repository)
    busy = machine.run(["systemctl", "list-units", "--no-legend", "--plain", "--state=activating", FIRST_BOOT]).out
    plan = (
        machine.run([*packages.APT, "-s", "dist-upgrade"]).out if desired.upgrade and (member or sources.fresh) else ""
    )
    return Observed(
        node,
        pve.version(machine),
        member,
        machine.read(HOSTS) or "",
        sources,
        kernel.observe(machine),
        bool(busy.strip()),
        sorted(packages.parse_plan(plan).installed),
        [] if member else pve.running_guests(machine),  # a member is not rebooted, whatever runs on it
    )


def decide(observed: Observed, desired: PrepareNode) -> list[Action]:
    """Phase after phase: first boot, identity, repository, upgrade, reboot.

    Raises:
        StepError: hostname, pve-version, guests-running.
    """
    refuse_other_machine(observed.node, observed.version, desired)
    if observed.first_boot:
        return [Action("wait", FIRST_BOOT)]
    prepare = [
        *_identity(observed, desired),
        *repository.decide(observed.repository, desired.repository),
    ]
    return prepare or _upgrade(observed, desired)


def refuse_other_machine(node: str, version: pve.Version, desired: PrepareNode | NodeNetwork) -> None:
    """Refuse a machine that is not the one described, before anything on it changes.

    Raises:
        StepError: hostname, pve-version.
    """
    if node != desired.name:
        raise StepError(
            "hostname",
            "the machine has another name than the configuration says",
            observed=node,
            expected=desired.name,
        )
    pve.refuse_version(version, desired.pve_major)


def _identity(observed: Observed, desired: PrepareNode) -> list[Action]:
    if observed.member or hosts_address(observed.hosts, desired.name) == [desired.address]:
        return []
    return [Action("write-hosts", HOSTS, hosts_text(observed.hosts, desired.address, desired.fqdn, desired.name))]


def _upgrade(observed: Observed, desired: PrepareNode) -> list[Action]:
    if observed.member:
        return []
    if desired.upgrade and not observed.repository.fresh:
        return [Action("update", "package lists")]
    if desired.upgrade and observed.upgradable:
        return [Action("upgrade", f"{len(observed.upgradable)} packages")]
    if desired.reboot and observed.kernel.outdated and not observed.kernel.rebooting:
        if observed.guests:
            raise StepError(
                "guests-running",
                f"{desired.name} is not rebooted while guests run on it",
                observed=", ".join(observed.guests),
                expected=f"no running guest before the reboot into {observed.kernel.newest}",
            )
        return [Action("reboot", f"into {observed.kernel.newest}")]
    return []


def act(machine: ThisMachine, desired: PrepareNode, action: Action) -> None:
    """Do one thing; the repository's own actions are left to it."""
    if action.do == "wait":
        _wait_first_boot(machine)
    elif action.do == "write-hosts":
        originals.replace_file(machine, action.what, action.text)
    elif action.do == "upgrade":
        packages.apt(machine, "dist-upgrade")
    elif action.do == "reboot":
        kernel.schedule_reboot(machine)
    else:
        repository.act(machine, desired.repository, action)


def _wait_first_boot(machine: ThisMachine) -> None:
    def ended() -> bool:
        argv = ["systemctl", "list-units", "--no-legend", "--plain", "--state=activating", FIRST_BOOT]
        return not machine.run(argv).out.strip()

    if not machine.wait_for(ended, FIRST_BOOT_S):
        raise StepError(
            "first-boot-hangs",
            "the first-boot script did not end in time",
            observed=f"still at work after {FIRST_BOOT_S:g} s",
            expected="an end",
        )


def facts(observed: Observed, _desired: PrepareNode) -> dict[str, Any]:
    """Versions, and what a member was spared."""
    undone = [
        *([f"upgrade of {len(observed.upgradable)} packages"] if observed.upgradable else []),
        *(
            [f"reboot into {observed.kernel.newest}"]
            if observed.kernel.outdated and not observed.kernel.rebooting
            else []
        ),
    ]
    return {
        "pve_version": observed.version.manager,
        "kernel_running": observed.kernel.running,
        "kernel_newest": observed.kernel.newest,
        "boot_id": observed.kernel.boot_id,
        "reboot_scheduled": observed.kernel.rebooting,
        "member": observed.member,
        "left_undone": undone,
    }


def unchanged(observed: Observed, _desired: PrepareNode) -> str:
    """Say what was found."""
    return f"{observed.node} is prepared, kernel {observed.kernel.running}"


STEP = Step(PrepareNode, observe, decide, act, facts, unchanged)
