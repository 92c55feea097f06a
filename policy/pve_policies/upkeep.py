"""Upkeep: what protects from one's own mistakes, and what keeps a cluster in order over the years."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import OUTER_HOST, design, vm
from .nested import NODE_TAGS, is_tagged_node
from .resources import CONTAINER, COROSYNC_CLUSTER, DESIGN, NESTED_PVE_NODE, REPOSITORIES, STORAGES, VMS
from .rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rule import Subject

LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
DNS_NAME = re.compile(rf"{LABEL}(\.{LABEL})*")


def _unprotected(design: Subject) -> Iterator[str]:
    nested = any(node["kind"] == "nested" for node in design.props["nodes"])
    if nested and not design.props["protectNodes"]:
        seed = design.props["cluster"]["seed"]
        yield f"the nodes of cluster {design.props['cluster']['name']}, its seed {seed} among them, can be deleted by any run"


def _unprotected_storage(storage: Subject) -> Iterator[str]:
    """Our component's storages go with the seed's VM, which is protected."""
    if storage.parent != COROSYNC_CLUSTER and not storage.protect:
        yield f"storage {storage.props.get('resourceId') or storage.name} can be deleted by any run"


def _unprotected_vm(vm: Subject) -> Iterator[str]:
    """A node's VM, known by a tag; of our components, protectNodes answers for them."""
    if vm.parent != NESTED_PVE_NODE and not vm.protect and is_tagged_node(vm):
        yield f"VM {vm.props.get('name') or vm.name}, a node, can be deleted by any run"


PROTECTED = Rule(
    id="nodes-and-storage-protected",
    level=EnforcementLevel.ADVISORY,
    demands="The VMs of nodes, above all of the seed, and storages are protected from deletion.",
    protects="A renamed or mistyped entry would delete a member with its disks, or take the storage from under all guests.",
    source="Pulumi, the protect option",
    fix="Leave protectNodes out of the stack file; in a program of your own, protect=True.",
    judges={
        DESIGN: _unprotected,
        **dict.fromkeys(VMS, _unprotected_vm),
        **dict.fromkeys(STORAGES, _unprotected_storage),
    },
    bad=design(protectNodes=False),
    good=design(protectNodes=True),
    settings=NODE_TAGS,
)


def _enterprise(design: Subject) -> Iterator[str]:
    if design.settings["subscription"]:
        return
    for host in design.props["outerHosts"]:
        if host.get("repository") == "enterprise":  # of one with libvirt there is none
            yield f"outer host {host['name']} uses the enterprise repository"
    if design.props["maintenance"]["repository"] == "enterprise":
        yield "the nodes use the enterprise repository"


def _enterprise_repository(repository: Subject) -> Iterator[str]:
    if not repository.settings["subscription"] and repository.props["handle"].endswith("enterprise"):
        yield f"node {repository.props['node']} uses the enterprise repository"


SUBSCRIPTION = Rule(
    id="enterprise-repository-subscribed",
    level=EnforcementLevel.MANDATORY,
    demands="The enterprise repository is used only with a subscription.",
    protects="Without one every apt-get update ends with 401, so nothing is installed and nothing is ever upgraded.",
    source="Proxmox VE package repositories",
    fix="Use repository: no-subscription (a Repository's handle), or, with a subscription, the setting subscription: true of this rule.",
    judges={DESIGN: _enterprise, **dict.fromkeys(REPOSITORIES, _enterprise_repository)},
    bad=design(outerHosts=[OUTER_HOST | {"repository": "enterprise"}]),
    good=design(outerHosts=[OUTER_HOST]),
    settings={
        "subscription": {
            "type": "boolean",
            "default": False,
            "description": "Whether the hosts and nodes have a subscription.",
        }
    },
)


def _bad_name(resource: Subject) -> Iterator[str]:
    name = resource.props.get("name")
    if name and not DNS_NAME.fullmatch(name):
        yield f"VM {name} has a name that is no DNS name"


VM_NAMES = Rule(
    id="vm-names",
    level=EnforcementLevel.MANDATORY,
    demands="VMs have DNS names: letters, digits and dashes, at most 63 characters between dots.",
    protects="Proxmox refuses some other names, but only when the VM is made. Cloud-init makes the name the guest's host name.",
    source="Proxmox VE, format dns-name; RFC 1123",
    fix="Choose a DNS name.",
    judges=dict.fromkeys(VMS, _bad_name),
    bad=vm(name="web01-of-the-shop-in-the-second-data-centre-behind-the-load-balancer"),
    good=vm(name="web01.example.com"),
)


def _untagged(resource: Subject) -> Iterator[str]:
    if resource.parent != NESTED_PVE_NODE and not resource.props.get("tags"):
        yield f"{resource.props.get('name') or resource.name} has no tag"


TAGS = Rule(
    id="guests-tagged",
    level=EnforcementLevel.ADVISORY,
    demands="VMs and containers have a tag.",
    protects="A year later nobody knows which of them belong to what, and which may be removed.",
    source="Proxmox VE, tags",
    fix="Set tags.",
    judges=dict.fromkeys((*VMS, CONTAINER), _untagged),
    bad=vm(tags=None),
    good=vm(tags=["shop"]),
)

RULES = (PROTECTED, SUBSCRIPTION, VM_NAMES, TAGS)
