"""Operations in human terms, grouped by what they belong to. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components import recorded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.report.plan import Operation

PLACES = {
    recorded.DESIGN: "design",
    recorded.HOST: "outer host {}",
    recorded.NODE: "node {}",
    recorded.CLUSTER: "cluster",
    recorded.WITNESS: "witness {}",
    recorded.GUEST_TEMPLATE: "template {}",
    recorded.GUEST: "guest {}",
}
# Steps by the last word of their command, resources by their type; in the order in which things happen.
WORDS = {
    recorded.PROVIDER_TYPE: "API access",
    "identity": "check whether a cluster exists already, and whether it can become the described one",
    recorded.VM_TYPE: "virtual machine",
    recorded.DOMAIN: "virtual machine, with its disk",
    "disks-gone": "",  # does something when it goes
    "claim": "write down there which stack it belongs to",
    "install-node": "install Proxmox VE unattended",
    recorded.PACKAGE_TYPE: "copy this program's steps there",
    "journal": "write down how the host was, to put it back on destroy",
    "verify-host": "check the host: version, room, foreign VMs and bridges",
    "verify-libvirt": "check the host: memory, room, foreign VMs, networks and bridges",
    "check-certificate": "compare the API's certificate with what SSH shows",
    "repository": "package repository and packages",
    "kvm-nested": "nested KVM, now and after a reboot",
    "libvirt-pool": "directory of images and disks, as a pool of libvirt",
    recorded.BRIDGE_TYPE: "bridge",
    "libvirt-network": "bridge {name}, as an isolated network of libvirt",
    "confirm-network": "",  # these do something when they go
    "arm-network": "",
    "remove-bridge": "",
    "delete-guard": "",
    "dhcp": "DHCP on the bridges",
    "nfs-export": "export of the shared storage",
    recorded.FILE_TYPE: "installer image",
    "installer-image": "installer image, downloaded by the host",
    "node-network": "interfaces, put back unless a new login confirms them",
    "prepare-node": "repository, upgrade with a reboot where it needs one",
    "verify-node": "check from inside: virtualization, version, clock, addresses",
    "link-preflight": "try every link between every two nodes",
    "change-cluster": "votes, links and settings of the live cluster",
    "create-cluster": "create the cluster on the seed",
    "join-node": "join {joiner} to the cluster",
    "remove-members": "take out the nodes that are not described any more",
    "remove-witness": "",  # does something when it goes
    "witness": "server for the QDevice",
    "set-qdevice": "connect every member to the QDevice's server, and see its vote",
    "verify-cluster": "check members, votes and links from every side",
    "api-user": "API user for daily work",
    recorded.OPTIONS_TYPE: "datacenter options",
    "storage": "shared storage in the cluster",
    "template": "make the template",
    "container": "make the container",
    "guest-disk": "enlarge its disk",
    "keep-guest": "",  # does something when it goes
    "ha-ready": "check that its node can run it under HA",
    recorded.GROUP_TYPE: "HA group",
    recorded.RESOURCE_TYPE: "HA resource",
    recorded.RULE_TYPE: "HA rule",
    "existing-guest": "put it under HA as it is, unless it is there as described",
    "verify-guest": "check that HA runs it",
}
# What is done when a step is removed; one that undoes nothing, or only waits, has no line.
UNDONE = {
    "claim": "remove the note that it belongs to the stack",
    "storage": "take the storage out of the cluster; what lies on it stays",
    "remove-witness": "take the server away, unless members or other clusters still use it",
    "remove-bridge": "remove it, and put it back unless a new login confirms that the host can be reached without it",
    "arm-network": "arm the network guard: it undoes the bridge's removal, if that cuts the host off",
    "confirm-network": "confirm by a new login that the host can be reached without the bridge",
    "journal": "put the host back as it was",
    recorded.DOMAIN: "remove the virtual machine and its disk",
    "libvirt-network": "remove the bridge, unless a VM has a card there",
    "libvirt-pool": "remove the pool; its directory stays if anything else is in it",
    "installer-image": "remove the installer image",
    "template": "destroy the template",
    "container": "destroy the container",
    "disks-gone": "see that none of its disks is left",
    "keep-guest": "take this stack's tags from it; it runs on",
    "existing-guest": "take it out of HA, if this stack put it there; it runs on",
}
VERBS = {
    "create": "make",
    "update": "change",
    "delete": "remove",
    "create-replacement": "replace",
    "import": "adopt",
    "discard": "forget",
}
JOIN = "cluster-join-"
QUIET = ("pulumi:providers:command",)  # made by the engine itself, for us
AGAIN = {"create": "", "update": ", again", "create-replacement": ", anew"}


def grouped(operations: Iterable[Operation]) -> dict[str, list[str]]:
    """What is done, in words, by the component that it belongs to."""
    sentences: dict[str, list[str]] = {}
    again: dict[str, list[str]] = {}
    for operation in sorted(operations, key=_when):
        if operation.type in PLACES or operation.type.startswith(QUIET):
            continue
        place, kind = _place(operation), _kind(operation)
        sentences.setdefault(place, [])
        if kind != operation.type and operation.op == "update":
            again.setdefault(place, []).append(kind)
        elif text := sentence(operation):
            sentences[place].append(text)
    for place, steps in again.items():
        sentences[place].append(
            f"look again, and change only what is not as described ({', '.join(dict.fromkeys(steps))})"
        )
    return {place: texts for place, texts in sentences.items() if texts}


def sentence(operation: Operation) -> str:
    """What one operation does; empty for nothing. Updates of steps are not for this function."""
    kind = _kind(operation)
    what = WORDS.get(kind, kind.rsplit(":", 1)[-1]).format(
        joiner=operation.name.removeprefix(JOIN), name=operation.name
    )
    is_step = kind != operation.type or kind == recorded.PACKAGE_TYPE
    return _of_step(operation, kind, what) if is_step else _of_resource(operation, what)


def _of_step(operation: Operation, kind: str, what: str) -> str:
    if operation.op == "delete":
        undoes = operation.old.get("delete") and not operation.stays
        return UNDONE.get(kind, "") if undoes else ""
    if not what or _only_undoes(operation):
        return ""
    return what + AGAIN[operation.op] if operation.op in AGAIN else f"{_verb(operation)}: {what}"


def _only_undoes(operation: Operation) -> bool:
    """Whether a step does something only when it goes."""
    return operation.type in recorded.STEPS and "create" not in (operation.new or operation.old)


def _of_resource(operation: Operation, what: str) -> str:
    if operation.op == "delete" and operation.stays:
        return f"forget {what} {operation.name}, which stays"
    more = f" ({', '.join(operation.differs)})" if operation.op == "update" and operation.differs else ""
    return f"{_verb(operation)} {what} {operation.name}{more}"


def _verb(operation: Operation) -> str:
    return VERBS.get(operation.op, operation.op)


def _kind(operation: Operation) -> str:
    """The step, for a step; the type for everything else."""
    if operation.type in recorded.STEPS:
        values = operation.new or operation.old
        command = str(values.get("create") or values.get("delete", ""))
        return command.removesuffix(" --delete").rsplit(" ", 1)[-1]
    return operation.type


def _place(operation: Operation) -> str:
    name, kind = operation.component
    return PLACES.get(kind, "stack").format(name)


def _when(operation: Operation) -> tuple[int, str, int, str]:
    """By component and lifecycle; the engine's own order differs from run to run."""
    name, component = operation.component
    kind = _kind(operation)
    rank = list(WORDS).index(kind) if kind in WORDS else len(WORDS)
    return (list(PLACES).index(component) if component in PLACES else len(PLACES), name, rank, operation.name)
