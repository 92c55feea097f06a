"""Everything that is wrong with the nodes and the cluster, before anybody asks why. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.doctor.model import Symptom, World
    from onnode.contract.diagnosis import DiagnosisReport

# Units of systemd; without pmxcfs, none of those below it starts.
ABOVE_PMXCFS = ("pvedaemon", "pveproxy", "pvestatd", "pve-ha-crm", "pve-ha-lrm")
# What counts of an outer host, which need be no member of a cluster.
OF_A_HOST = ("version", "cores", "spaces", "read_only", "storages", "reached")
QUORUM: Symptom = ("quorum",)


def symptoms(world: World) -> dict[Symptom, str]:
    """Every symptom, with its words."""
    found: dict[Symptom, str] = {}
    for name in world.members:
        if name in world.nodes:
            found |= dict([*_of_services(world, name), *_of_pve(world, name), *_of_storages(world, name)])
        elif world.is_to_answer(name):
            found["silent", name] = f"{name} does not answer"
    for near, far, number in world.broken():
        found["link", near, far, str(number)] = f"link {number} does not connect {near} and {far}"
    for name in world.listed if world.is_vote_known else ():
        if name not in world.voting and world.listed[name].votes:
            found["vote", name] = f"{name} does not vote"
    found |= dict(_of_device(world))
    if world.listed and not world.has_quorum and world.is_vote_known:
        found[QUORUM] = f"there is no quorum: {world.present} votes of {world.needed} that are needed"
    for name, report in world.seen.reports.items():
        left = [one for one in report.unanswered if name in world.members or one in OF_A_HOST]
        found |= {("unanswered", name, one): f"{name} gave no answer about {one}" for one in left}
    return found


def _of_device(world: World) -> Iterator[tuple[Symptom, str]]:
    """Nodes without the QDevice's vote; one that is cut off has none, rightly, while it votes for the others."""
    running = {name: report.quorum for name, report in world.joined.items() if report.quorum and name in world.listed}
    votes_somewhere = any(quorum.device for quorum in running.values())
    for name, quorum in running.items() if world.device_votes else ():
        if not quorum.device and (quorum.quorate or not votes_somewhere):
            yield ("device", name), f"the QDevice casts no vote at {name}"


def _of_services(world: World, name: str) -> Iterator[tuple[Symptom, str]]:
    report = world.nodes[name]
    if not _is_proxmox(report):
        return  # without Proxmox VE, it has none of them
    if name in world.joined and report.quorum is None and "quorum" not in report.unanswered:
        yield ("corosync", name), f"corosync does not run on {name}"
    for unit in ("pve-cluster", *ABOVE_PMXCFS, "watchdog-mux"):
        if report.services.get(unit, "active") != "active":
            yield ("service", name, unit), f"{unit} is {report.services[unit]} on {name}"


def _is_proxmox(report: DiagnosisReport) -> bool:
    """Whether a node runs Proxmox VE, or may: it was asked, and did not say."""
    return bool(report.version) or "version" in report.unanswered


def _of_pve(world: World, name: str) -> Iterator[tuple[Symptom, str]]:
    report, certificate = world.nodes[name], world.nodes[name].certificate
    unanswered = set(report.unanswered)
    if not _is_proxmox(report):
        return
    if report.pve != "mounted" and "pve" not in unanswered:
        yield ("pve", name), f"/etc/pve of {name} {'does not answer' if report.pve == 'hangs' else 'is not mounted'}"
    elif world.is_quorate(name) and not report.pve_writable and not {"pve", "pve_writable"} & unanswered:
        yield ("pve", name), f"/etc/pve of {name} is read-only, and the node is quorate"
    if certificate is not None and certificate.served != certificate.fingerprint and "served" not in unanswered:
        shown = "does not answer" if certificate.served is None else "presents another certificate than it holds"
        yield ("api", name), f"the API of {name} {shown}"


def _of_storages(world: World, name: str) -> Iterator[tuple[Symptom, str]]:
    """Described storages that a member has not, or not ready; one that is disabled at some nodes only is not for these."""
    there = world.nodes[name].storages
    if there is None or name not in world.listed:
        return
    for storage in world.expected.storages:
        if storage not in there:
            yield ("storage", name, storage), f"{name} has no storage {storage}"
        elif there[storage].status == "disabled" and _is_active_anywhere(world, storage):
            continue
        elif there[storage].status != "active":
            yield ("storage", name, storage), f"storage {storage} is not active on {name}"


def _is_active_anywhere(world: World, storage: str) -> bool:
    return any(
        storage in there and there[storage].status == "active"
        for report in world.nodes.values()
        if (there := report.storages)
    )


def of_node(found: dict[Symptom, str], name: str) -> set[Symptom]:
    """Everything that comes with a node whose part of the cluster does not work."""
    return {one for one in found if name in one[1:] and one[0] != "silent"}


def of_pmxcfs(found: dict[Symptom, str], name: str) -> set[Symptom]:
    """What comes with a node's /etc/pve that is not there."""
    units = {("service", name, unit) for unit in ("pve-cluster", *ABOVE_PMXCFS)}
    kinds = ("pve", "api", "storage", "unanswered")
    return {one for one in found if one in units or (one[0] in kinds and one[1] == name)}
