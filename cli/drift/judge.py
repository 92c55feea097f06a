"""What drifted, from the machines' answers. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from cli.drift import configuration, guest_locks, installations, provided
from cli.drift.kinds import MEMBERSHIP, PACKAGE, REFUSED, SILENT
from cli.drift.model import ADDRESS_DOWN, Drift
from cli.state.belongings import CLUSTER
from cluster import existing_guests, guests
from cluster.contract import Container, ExistingGuest, GuestDisk, JoinNode, Template, VerifyGuest
from cluster.errors import AdminError
from cluster.steps import container, template
from cluster.steps.verify_guest import ERROR
from components.recorded import BRIDGE_TYPE
from onnode.errors import StepError
from onnode.system.pve import parse_guest_config

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from cli.drift.look import Answer
    from cli.drift.questions import Questions
    from onnode.contract.look import StepLook
    from onnode.contract.membership import Membership

FILE = re.compile(r"^=== (/.+)\n", re.MULTILINE)
SHOWN_FILES = 3
NETWORK = "node-network"
IDENTITY = "identity"
MANAGER_STATUS = "/etc/pve/ha/manager_status"


def drift(asked: Questions, answers: Mapping[str, Answer], speaker: str | None, hosts: Collection[str]) -> list[Drift]:
    """All that drifted.

    Args:
        asked: the questions.
        answers: of the machines that answered.
        speaker: the member that answers for the cluster.
        hosts: names of the outer hosts.
    """
    found: list[Drift] = []
    clusterwide = {one.name for one in asked.cluster}
    installing = set(asked.installations.values())  # asked only whether their VM is off: `power` reads that
    trusted = speaker is not None and speaker in answers and works(answers[speaker])
    for machine, answer in answers.items():
        found += _package(asked, machine, answer)
        for one in _causes(asked, machine, answer):
            if one.name in clusterwide and trusted and machine == speaker:
                found += _step(one, "cluster")
            elif one.name not in clusterwide and (one.refusal or one.name not in installing):
                found += _step(one, machine)
    found += _members(asked, answers)
    found += installations.differ(asked, {name: answers[name].files for name in hosts if name in answers})
    if trusted and speaker is not None:
        found += configuration.differs(asked.here, _reports(answers))
        found += _guests(asked, answers[speaker].files)
        found += _given_up(asked, answers[speaker].files)
        found += _existing_guests(asked, answers[speaker].files)
        found += _provided(asked, _files_of(hosts, answers), answers[speaker].files)
    of_cluster = answers[speaker].files if trusted and speaker is not None else None
    found += _added(asked, _files_of(hosts, answers), of_cluster)
    found += guest_locks.held(asked, _files_of(hosts, answers), of_cluster)
    return found


def works(answer: Answer) -> bool:
    """Whether a node may answer for its cluster."""
    return answer.membership is not None and answer.membership.works


def places(answers: Mapping[str, Answer], speaker: str | None, hosts: Collection[str]) -> dict[str, Mapping[str, str]]:
    """The files of each outer host that answered, and of the cluster, by the member that may answer for it."""
    found: dict[str, Mapping[str, str]] = {name: answers[name].files for name in hosts if name in answers}
    if speaker is not None and speaker in answers and works(answers[speaker]):
        found[CLUSTER] = answers[speaker].files
    return found


def silent(answers: Mapping[str, object]) -> list[Drift]:
    """The machines that did not answer, each with the reason."""
    return [
        Drift("", name, f"{error.what} ({error.observed})" if error.observed else error.what, SILENT, error.fix)
        for name, error in answers.items()
        if isinstance(error, StepError)
    ]


def _package(asked: Questions, machine: str, answer: Answer) -> Iterator[Drift]:
    if answer.altered and machine in asked.packages:
        names = ", ".join(answer.altered[:SHOWN_FILES])
        more = f" and {len(answer.altered) - SHOWN_FILES} more" if len(answer.altered) > SHOWN_FILES else ""
        what = f"/var/lib/nested-pve-ha/onnode: {names}{more} missing, or other than in this checkout"
        yield Drift(asked.packages[machine], machine, what, PACKAGE)


def _causes(asked: Questions, machine: str, answer: Answer) -> list[StepLook]:
    """What its steps answer; without the check that finds an address missing, where the network's step would set it."""
    networks = {one.name for one in asked.there.get(machine, ()) if one.step == NETWORK}
    mended = any(one.actions for one in answer.steps if one.name in networks)
    return [one for one in answer.steps if not (mended and one.refusal and one.refusal.code == ADDRESS_DOWN)]


def _step(one: StepLook, machine: str) -> Iterator[Drift]:
    if refusal := one.refusal:
        observed = f" ({refusal.observed})" if refusal.observed else ""
        addresses = tuple(refusal.addresses)
        yield Drift(one.name, machine, f"{refusal.what}{observed}", REFUSED, refusal.next, refusal.code, addresses)
    elif one.actions:
        yield Drift(one.name, machine, f"not as described, to do: {'; '.join(one.actions)}")


def _members(asked: Questions, answers: Mapping[str, Answer]) -> Iterator[Drift]:
    """Nodes that are no longer members: their join runs again; before it the cluster lets go of one that was installed anew."""
    told = _reports(answers)
    working = [one for one in told.values() if one.works]
    has_qdevice = any(step == configuration.QDEVICE for step, _ in asked.here.values())
    again = {
        IDENTITY,
        *((configuration.CHANGE, configuration.QDEVICE) if has_qdevice else ()),
    }  # a QDevice is removed before a node joins
    for urn, (step, wanted) in asked.here.items():
        if isinstance(wanted, JoinNode):
            names = [wanted.joiner.name]
        elif step in again:
            names = [
                name for name, one in told.items() if one.state == "absent" and any(o.listed(name) for o in working)
            ]
        else:
            continue
        for name in names:
            if name in told and told[name].state in ("absent", "half"):
                yield Drift(urn, name, "it is no member of a cluster", MEMBERSHIP)


def _reports(answers: Mapping[str, Answer]) -> dict[str, Membership]:
    return {name: answer.membership for name, answer in answers.items() if answer.membership is not None}


def parse_files(text: str) -> dict[str, str]:
    """Split printed files, each of which comes after a line with its path."""
    parts = FILE.split(text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def guest_config(files: Mapping[str, str], kind: str, vmid: int) -> tuple[str, dict[str, str]] | None:
    """A guest's node and configuration, wherever in the cluster it is."""
    for path, text in files.items():
        if path.startswith("/etc/pve/nodes/") and path.endswith(f"/{kind}/{vmid}.conf"):
            return path.split("/")[4], parse_guest_config(text).values
    return None


def _guests(asked: Questions, files: Mapping[str, str]) -> Iterator[Drift]:
    for urn, (_, wanted) in asked.here.items():
        if isinstance(wanted, (Template, Container, GuestDisk)):
            kind = "lxc" if isinstance(wanted, Container) else "qemu-server"
            found = guest_config(files, kind, wanted.vmid)
            what = f"{wanted.name} ({wanted.vmid})"
            if found is None and not isinstance(wanted, GuestDisk):  # whose VM has a line of its own
                yield Drift(urn, "cluster", f"{what} is gone")
            elif found is not None:
                yield from _guest(urn, f"{found[0]}: /etc/pve/{kind}/{wanted.vmid}.conf", wanted, found[1])


def _given_up(asked: Questions, files: Mapping[str, str]) -> Iterator[Drift]:
    """Guests that HA could not start, and does not try to start any more."""
    states = parse_manager_status(files.get(MANAGER_STATUS, ""))
    for urn, (_, wanted) in asked.here.items():
        if isinstance(wanted, VerifyGuest) and wanted.state == "started" and states.get(wanted.sid) == ERROR:
            yield Drift(urn, "cluster", f"HA has given up {wanted.sid}: it is in state error")


def parse_manager_status(text: str) -> dict[str, str]:
    """The state of each guest under HA, from the file of HA's manager; nothing where that is cut off."""
    try:
        status = json.loads(text)
    except ValueError:
        return {}
    return {sid: str(one.get("state")) for sid, one in status.get("service_status", {}).items()}


def _existing_guests(asked: Questions, files: Mapping[str, str]) -> Iterator[Drift]:
    """Existing guests whose HA is not as this stack set it, or that cannot be under HA any more."""
    seen = existing_guests.read({path.removeprefix("/"): text for path, text in files.items()})
    for urn, (_, wanted) in asked.here.items():
        if not isinstance(wanted, ExistingGuest):
            continue
        try:
            acts = existing_guests.acts(wanted, seen)
        except AdminError as error:
            yield Drift(urn, "cluster", f"{error.what} ({error.observed})", REFUSED, error.fix)
            continue
        if acts:
            yield Drift(urn, "cluster", f"not as described, to do: {'; '.join(act.said for act in acts)}")


def _guest(urn: str, what: str, wanted: Template | Container | GuestDisk, config: dict[str, str]) -> Iterator[Drift]:
    try:
        if isinstance(wanted, Container):
            container.refuse_different(wanted, config)
            differing = guests.changes(container.options(wanted), config)
            differing |= _disk(container.ROOT, wanted, config)
        elif isinstance(wanted, GuestDisk):
            differing = _disk(template.DISK, wanted, config)
        else:
            differing = template.corrections(wanted, config)
    except AdminError as error:
        yield Drift(urn, "cluster", f"{error.what} ({error.observed})", REFUSED, error.fix)
        return
    if differing:
        values = ", ".join(f"{key} {config.get(key, 'not set')}" for key in sorted(differing))
        yield Drift(urn, "cluster", f"{what}: {values}")


def _disk(name: str, wanted: Container | GuestDisk, config: dict[str, str]) -> dict[str, str]:
    """A disk that has to grow."""
    size = guests.to_grow(wanted.vmid, config, name, wanted.disk_gib)
    return {} if size is None else {name: f"{size:g} GiB"}


def _files_of(hosts: Collection[str], answers: Mapping[str, Answer]) -> dict[str, Mapping[str, str] | None]:
    """The files of each outer host; None for one that did not answer."""
    return {name: answers[name].files if name in answers else None for name in hosts}


def _provided(
    asked: Questions, hosts: Mapping[str, Mapping[str, str] | None], cluster: Mapping[str, str]
) -> Iterator[Drift]:
    for resource in asked.provided:
        node = (resource.get("inputs") or {}).get("nodeName")
        outer = node in hosts or resource["type"] == BRIDGE_TYPE
        files = hosts.get(str(node)) if outer else cluster
        if files is not None and (other := provided.differs(resource, files)):
            yield Drift(resource["urn"], str(node) if outer else "cluster", other.what, other.kind, other.next)


def _added(
    asked: Questions, hosts: Mapping[str, Mapping[str, str] | None], cluster: Mapping[str, str] | None
) -> Iterator[Drift]:
    """What users added to VMs. For VMs on outer hosts this needs no cluster that works."""
    for resource in asked.provided:
        inputs = resource.get("inputs") or {}
        node = str(inputs.get("nodeName"))
        files = hosts.get(node, cluster if inputs.get("clone") else None)
        for one in provided.added(resource, files or {}):
            yield Drift(resource["urn"], node if node in hosts else "cluster", one.what, one.kind)
