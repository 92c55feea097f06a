"""prepare-node: name, network, repository and upgrade of one node, before it is a member.

Any changed input runs this again, on a live cluster, too. On a member nothing is done that could disturb it: what
would have been done is reported as left undone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode import kernel, membership, network, originals, packages, pve, repository
from onnode.desired import LinkInterface, PrepareNode
from onnode.errors import StepError
from onnode.machine import tail
from onnode.step import Action, Step

if TYPE_CHECKING:
    from onnode.machine import Machine

HOSTS = "/etc/hosts"
FIRST_BOOT = "proxmox-first-boot*"
FIRST_BOOT_S = 600.0
RELOAD_S = 120.0


@dataclass(frozen=True)
class Observed:
    """The node, as far as this step may change it."""

    node: str
    version: pve.Version
    member: bool  # of a cluster, completely or half
    hosts: str
    interfaces_file: str
    live: list[network.Interface]
    repository: repository.Observed
    kernel: kernel.Observed
    first_boot: bool = False  # the installer's first-boot script is still at work (F13)
    upgradable: list[str] = field(default_factory=list)
    guests: list[str] = field(default_factory=list)  # that run


def hosts_text(hosts: str, address: str, fqdn: str, name: str) -> str:
    """The text of /etc/hosts in which the node's name has its own address only.

    With Debian's 127.0.1.1 pmxcfs does not start.
    """
    lines = [line for line in (_without(line, {fqdn, name}) for line in hosts.splitlines()) if line is not None]
    return "\n".join([*lines, f"{address} {fqdn} {name}"]) + "\n"


def _without(line: str, names: set[str]) -> str | None:
    """A line of /etc/hosts without these names; None if no name is left in it."""
    words = line.partition("#")[0].split()
    if not names & set(words[1:]):
        return line
    kept = [word for word in words[1:] if word not in names]
    return " ".join([words[0], *kept]) if kept else None


def hosts_address(hosts: str, name: str) -> list[str]:
    """The IPv4 addresses that /etc/hosts gives to a name."""
    rows = [line.partition("#")[0].split() for line in hosts.splitlines()]
    return [row[0] for row in rows if name in row[1:] and re.fullmatch(r"[\d.]+", row[0])]


def find(wanted: LinkInterface, live: list[network.Interface]) -> network.Interface:
    """The live interface that a link uses: by its name, or by its MAC among those that are no bridges.

    Raises:
        StepError: interface-missing.
    """
    for found in live:
        by_mac = wanted.mac is not None and found.mac == wanted.mac.lower() and found.kind not in ("bridge", "vlan")
        if found.name == wanted.name or (wanted.name is None and by_mac):
            return found
    raise StepError(
        "interface-missing",
        f"no interface for the address {wanted.address}",
        observed=", ".join(f"{found.name} ({found.mac})" for found in live if found.name != "lo") or "no interface",
        expected=f"name {wanted.name}" if wanted.name else f"MAC {wanted.mac}",
    )


def observe(machine: Machine, desired: PrepareNode) -> Observed:
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
        machine.read(network.FILE) or "",
        network.interfaces(machine),
        sources,
        kernel.observe(machine),
        bool(busy.strip()),
        packages.parse_upgradable(plan),
        [] if member else pve.running_guests(machine),  # a member is not rebooted, whatever runs on it
    )


def decide(observed: Observed, desired: PrepareNode) -> list[Action]:
    """Phase after phase: first boot, identity, network, repository, upgrade, reboot.

    Raises:
        StepError: hostname, pve-version, interface-missing, address-elsewhere, link-address-of-member, guests-running.
    """
    if observed.node != desired.name:
        raise StepError(
            "hostname",
            "the machine has another name than the configuration says",
            observed=observed.node,
            expected=desired.name,
        )
    pve.refuse_version(observed.version, desired.pve_major)
    if observed.first_boot:
        return [Action("wait", FIRST_BOOT)]
    prepare = [
        *_identity(observed, desired),
        *_network(observed, desired),
        *repository.decide(observed.repository, desired.repository),
    ]
    return prepare or _upgrade(observed, desired)


def _identity(observed: Observed, desired: PrepareNode) -> list[Action]:
    if observed.member or hosts_address(observed.hosts, desired.name) == [desired.address]:
        return []
    return [Action("write-hosts", HOSTS, hosts_text(observed.hosts, desired.address, desired.fqdn, desired.name))]


def _network(observed: Observed, desired: PrepareNode) -> list[Action]:
    if not desired.manage_network:
        return []
    text, all_live = observed.interfaces_file, True
    for wanted in desired.interfaces:
        found = find(wanted, observed.live)
        _refuse_elsewhere(wanted, found, observed.live)
        live = wanted.address in found.addresses and found.mtu == wanted.mtu
        configured = _configured(text, found.name, wanted)
        if observed.member and not (live and configured):
            raise _member_link(wanted, found)
        if not configured:
            text = network.ensure_static(text, found.name, wanted.address, wanted.mtu)
        all_live = all_live and live
    write = [Action("write-interfaces", network.FILE, text)] if text != observed.interfaces_file else []
    return [*write, *([] if all_live else [Action("reload-interfaces", "ifreload -a")])]


def _configured(text: str, name: str, wanted: LinkInterface) -> bool:
    return any(
        stanza.name == name and stanza.address == wanted.address and (stanza.mtu or network.MTU_DEFAULT) == wanted.mtu
        for stanza in network.parse_stanzas(text)
    )


def _refuse_elsewhere(wanted: LinkInterface, found: network.Interface, live: list[network.Interface]) -> None:
    bare = wanted.address.partition("/")[0]
    for other in live:
        if other.name != found.name and bare in [address.partition("/")[0] for address in other.addresses]:
            raise StepError(
                "address-elsewhere",
                f"the address {bare} is on another interface than configured",
                observed=f"{bare} on {other.name}",
                expected=f"{bare} on {found.name}",
            )


def _member_link(wanted: LinkInterface, found: network.Interface) -> StepError:
    return StepError(
        "link-address-of-member",
        "the network of a cluster member is not changed while it is one",
        observed=f"{found.name}: {', '.join(found.addresses) or 'no address'}, MTU {found.mtu}",
        expected=f"{wanted.address}, MTU {wanted.mtu}, now and in {network.FILE}",
    )


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


def act(machine: Machine, desired: PrepareNode, action: Action) -> None:
    """Do one thing; the repository's own actions are left to it."""
    if action.do == "wait":
        _wait_first_boot(machine)
    elif action.do in ("write-hosts", "write-interfaces"):
        originals.replace_file(machine, action.what, action.text)
    elif action.do == "reload-interfaces":
        _reload_interfaces(machine, desired)
    elif action.do == "upgrade":
        packages.apt(machine, "dist-upgrade")
    elif action.do == "reboot":
        kernel.schedule_reboot(machine)
    else:
        repository.act(machine, desired.repository, action)


def _reload_interfaces(machine: Machine, desired: PrepareNode) -> None:
    """Let ifupdown2 apply its configuration; its exit code also counts warnings about interfaces that are not ours."""
    result = machine.run(["ifreload", "-a"], timeout_s=RELOAD_S)
    live = [address for found in network.interfaces(machine) for address in found.addresses]
    if absent := [wanted.address for wanted in desired.interfaces if wanted.address not in live]:
        raise StepError(
            "network-failed",
            "link addresses did not come up",
            observed=f"missing {', '.join(absent)}; `ifreload -a`: {tail(result.text)}",
            expected=f"the addresses that are in {network.FILE}",
        )


def _wait_first_boot(machine: Machine) -> None:
    def ended() -> bool:
        argv = ["systemctl", "list-units", "--no-legend", "--plain", "--state=activating", FIRST_BOOT]
        return not machine.run(argv).out.strip()

    if not machine.wait_for(ended, FIRST_BOOT_S):
        raise StepError(
            "first-boot-hangs",
            "the first-boot script does not end",
            observed=f"still at work after {FIRST_BOOT_S:g} s",
            expected="an end",
        )


def facts(observed: Observed, desired: PrepareNode) -> dict[str, Any]:
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
        "interfaces": {wanted.address: find(wanted, observed.live).name for wanted in desired.interfaces},
    }


def unchanged(observed: Observed, _desired: PrepareNode) -> str:
    """Say what was found."""
    return f"{observed.node} is prepared, kernel {observed.kernel.running}"


STEP = Step(PrepareNode, observe, decide, act, facts, unchanged)
