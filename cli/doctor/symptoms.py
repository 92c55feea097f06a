"""Everything that is wrong with the nodes and the cluster, before anybody asks why. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.doctor.model import Symptom, World

# Units of systemd; without pmxcfs, none of those below it starts.
ABOVE_PMXCFS = ("pvedaemon", "pveproxy", "pvestatd", "pve-ha-crm", "pve-ha-lrm")
QUORUM: Symptom = ("quorum",)


def symptoms(world: World) -> dict[Symptom, str]:
    """Every symptom, with its words."""
    found: dict[Symptom, str] = {}
    for name in world.members:
        if name in world.nodes:
            found |= dict([*_of_services(world, name), *_of_pve(world, name)])
        elif world.is_to_answer(name):
            found["silent", name] = f"{name} does not answer"
    for near, far, number in world.broken():
        found["link", near, far, str(number)] = f"link {number} does not connect {near} and {far}"
    for name in world.listed:
        if name not in world.voting and world.listed[name].votes:
            found["vote", name] = f"{name} does not vote"
    if world.listed and not world.has_quorum:
        found[QUORUM] = f"there is no quorum: {world.present} votes of {world.needed} that are needed"
    return found


def _of_services(world: World, name: str) -> Iterator[tuple[Symptom, str]]:
    report = world.nodes[name]
    if not report.version:
        return  # without Proxmox VE, it has none of them
    if name in world.joined and report.quorum is None:
        yield ("corosync", name), f"corosync does not run on {name}"
    for unit in ("pve-cluster", *ABOVE_PMXCFS, "watchdog-mux"):
        if report.services.get(unit, "active") != "active":
            yield ("service", name, unit), f"{unit} is {report.services[unit]} on {name}"


def _of_pve(world: World, name: str) -> Iterator[tuple[Symptom, str]]:
    report, certificate = world.nodes[name], world.nodes[name].certificate
    if not report.version:
        return
    if report.pve != "mounted":
        yield ("pve", name), f"/etc/pve of {name} {'does not answer' if report.pve == 'hangs' else 'is not mounted'}"
    elif world.is_quorate(name) and not report.pve_writable:
        yield ("pve", name), f"/etc/pve of {name} is read-only, and the node is quorate"
    if certificate is not None and certificate.served != certificate.fingerprint:
        shown = "does not answer" if certificate.served is None else "presents another certificate than it holds"
        yield ("api", name), f"the API of {name} {shown}"
    for storage in world.expected.storages:
        if storage in report.storages and report.storages[storage].status != "active":
            yield ("storage", name, storage), f"storage {storage} is not active on {name}"


def of_node(found: dict[Symptom, str], name: str) -> set[Symptom]:
    """Everything that comes with a node whose part of the cluster does not work."""
    return {one for one in found if name in one[1:] and one[0] != "silent"}


def of_pmxcfs(found: dict[Symptom, str], name: str) -> set[Symptom]:
    """What comes with a node's /etc/pve that is not there."""
    units = {("service", name, unit) for unit in ("pve-cluster", *ABOVE_PMXCFS)}
    return {one for one in found if one in units or one[:2] in (("pve", name), ("api", name), ("storage", name))}
