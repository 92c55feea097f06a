"""The program's own role: with it every call of the program is permitted, with one privilege less a named one is not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cli.engine.failures import PATTERNS
from cluster.steps import container, template
from cluster.transport.api import ApiError
from onnode.cluster import api_user, narrowing
from onnode.cluster.api_user import PRIVILEGES
from onnode.cluster.role import OWN_ROLE
from tests.support.api_node import ApiNode, furnish, running
from tests.unit.cluster.test_guests import CONTAINER, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

USER, PASSWORD = "pulumi@pve", "hunter2 hunter2"
NODE = "/nodes/pve1"
VM = {**template.options(TEMPLATE), "scsihw": "virtio-scsi-single", "ostype": "l26", "scsi0": "shared:1"}
CT = {
    **container.options(CONTAINER),
    "ostemplate": "local:vztmpl/debian.tar.zst",
    "rootfs": "shared:1",
    "net0": container.network(replace(CONTAINER, bridge="vmbr0")),
}
DOWNLOAD = {"content": "import", "filename": "disk.qcow2", "url": "http://download.example/disk.qcow2"}
# What the program's calls need, by a call of each kind: the steps' own, and those that the provider makes for guests and HA.
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Datastore.Allocate": ("DELETE", f"{NODE}/storage/local/content/local:vztmpl/debian.tar.zst", {}),
    "Datastore.AllocateSpace": ("POST", f"{NODE}/qemu", {"vmid": 700, **VM}),
    "Datastore.AllocateTemplate": ("POST", f"{NODE}/storage/local/download-url", DOWNLOAD),
    "SDN.Use": ("POST", f"{NODE}/qemu", {"vmid": 700, **VM}),
    "Sys.Audit": ("GET", "/cluster/ha/status/current", {}),
    "Sys.Console": ("POST", "/cluster/ha/resources", {"sid": "vm:600", "state": "started"}),
    "Sys.Modify": ("PUT", "/cluster/options", {"migration": "type=secure"}),
    "VM.Allocate": ("POST", f"{NODE}/lxc", {"vmid": 700, **CT}),
    "VM.Audit": ("GET", f"{NODE}/qemu/600/config", {}),
    "VM.Clone": ("POST", f"{NODE}/qemu/600/clone", {"newid": 700, "full": 1, "storage": "shared"}),
    "VM.Config.CDROM": ("PUT", f"{NODE}/qemu/600/config", {"ide3": "none,media=cdrom"}),
    "VM.Config.CPU": ("PUT", f"{NODE}/qemu/600/config", {"cores": 2}),
    "VM.Config.Disk": ("PUT", f"{NODE}/qemu/600/resize", {"disk": "scsi0", "size": "2G"}),
    "VM.Config.HWType": ("POST", f"{NODE}/qemu", {"vmid": 700, **VM}),
    "VM.Config.Memory": ("PUT", f"{NODE}/qemu/600/config", {"memory": 512}),
    "VM.Config.Network": ("PUT", f"{NODE}/qemu/600/config", {"net0": "virtio,bridge=vmbr0"}),
    "VM.Config.Options": ("PUT", f"{NODE}/qemu/600/config", {"tags": "nested-pve-ha"}),
    "VM.PowerMgmt": ("POST", f"{NODE}/qemu/600/status/stop", {}),
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiNode]:
    root = tmp_path_factory.mktemp("node")
    furnish(root, "pve1")
    with running(root) as found:
        found.do("POST", f"{NODE}/qemu", vmid=600, memory=128, kvm=0, scsi0="shared:1")
        found.do("POST", "/access/roles", roleid=OWN_ROLE, privs=",".join(PRIVILEGES))
        found.do("POST", "/access/users", userid=USER, password=PASSWORD)
        found.do("PUT", "/access/acl", path="/", roles=OWN_ROLE, users=USER)
        yield found


@pytest.fixture(scope="module")
def worker(node: ApiNode) -> requests.Session:
    return node.login(USER, PASSWORD)


def test_every_privilege_has_a_call_that_needs_it() -> None:
    assert sorted(CALLS) == sorted(PRIVILEGES)


@pytest.mark.parametrize("privilege", PRIVILEGES)
def test_with_one_privilege_less_a_named_call_is_refused(
    node: ApiNode, worker: requests.Session, privilege: str
) -> None:
    method, path, parameters = CALLS[privilege]
    rest = ",".join(other for other in PRIVILEGES if other != privilege)
    node.do("PUT", f"/access/roles/{OWN_ROLE}", privs=rest)
    try:
        refused = node.request(method, path, worker, **parameters)
        assert refused.status == 403, refused
        assert privilege in refused.message, refused
    finally:
        node.do("PUT", f"/access/roles/{OWN_ROLE}", privs=",".join(PRIVILEGES))
    assert node.request("GET", f"{NODE}/qemu/700/config").status != 200, "nothing was made"
    code = next(code for code, pattern in PATTERNS if pattern.search(f"HTTP 403 response - Reason: {refused.message}"))
    assert code == ApiError(method, path, refused.status, refused.message).code == "api-forbidden"


def test_with_the_role_every_call_is_permitted(node: ApiNode, worker: requests.Session) -> None:
    """What is refused for another reason (there is no such image here) has passed the check of permissions."""
    for number, (method, path, parameters) in enumerate(CALLS.values(), start=701):
        own = {key: number if value == 700 else value for key, value in parameters.items()}
        answer = node.request(method, path, worker, **own)
        assert answer.status != 403, (method, path, answer)
        if isinstance(answer.data, str) and answer.data.startswith("UPID:"):
            node.task(answer.data)


@pytest.mark.parametrize(("kind", "path", "role"), [("user", "/vms/600", "NoAccess"), ("group", "/vms", "PVEAuditor")])
def test_a_rule_on_a_deeper_path_is_found_where_a_call_is_refused_and_goes_by_the_named_command(
    node: ApiNode, worker: requests.Session, kind: str, path: str, role: str
) -> None:
    method, call, parameters = CALLS["VM.Config.Memory"]
    assert node.request(method, call, worker, **parameters).status != 403
    if kind == "group":
        node.do("POST", "/access/groups", groupid="ops")
        node.do("PUT", f"/access/users/{USER}", groups="ops")
    who = {"users": USER} if kind == "user" else {"groups": "ops"}
    node.do("PUT", "/access/acl", path=path, roles=role, **who)
    assert node.request(method, call, worker, **parameters).status == 403
    (found,) = narrowed(node)
    assert (found.path, found.kind, found.roles) == (path, kind, [role])
    assert "VM.Config.Memory" in found.lacks
    _, *command = found.undone.split()
    assert node.tool("pveum", *command).returncode == 0
    assert node.request(method, call, worker, **parameters).status != 403
    assert narrowed(node) == []


def narrowed(node: ApiNode) -> list[narrowing.Narrowing]:
    """As the step reads it, of a stack that has VM 600."""
    listed = (("user", "--full", "1"), ("acl",), ("role",))
    users, rules, roles = (
        node.tool("pveum", kind, "list", *more, "--output-format", "json").stdout for kind, *more in listed
    )
    named = {one["roleid"]: set(api_user.parse_privileges(roles, one["roleid"]) or ()) for one in json.loads(roles)}
    below = narrowing.below(json.loads(rules), USER, api_user.parse_groups(users, USER))
    return narrowing.narrowed(below, USER, ["/vms/600", "/vms/*"], PRIVILEGES, named)
