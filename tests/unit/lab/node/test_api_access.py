"""Logins, tokens and permissions of the lab's API, as pve-access-control has them."""

from __future__ import annotations

import json
import shutil
import ssl
from typing import TYPE_CHECKING

import pytest
import requests

from tests.support.api_node import PASSWORD, ApiNode, furnish, running
from tests.support.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiNode]:
    root = tmp_path_factory.mktemp("node")
    furnish(root, "pve1")
    with running(root) as found:
        yield found


@pytest.fixture(scope="module")
def auditor(node: ApiNode) -> requests.Session:
    node.do("POST", "/access/users", userid="auditor@pve", password="hunter2 hunter2")
    node.do("PUT", "/access/acl", path="/", roles="PVEAuditor", users="auditor@pve")
    return node.login("auditor@pve", "hunter2 hunter2")


def with_token(node: ApiNode, userid: str, name: str, *, privsep: int) -> requests.Session:
    made = node.do("POST", f"/access/users/{userid}/token/{name}", privsep=privsep)
    session = requests.Session()
    session.headers["Authorization"] = f"PVEAPIToken={made['full-tokenid']}={made['value']}"
    return session


def share_cluster_files(node: ApiNode, root: Path) -> None:
    """What every member of a cluster has; a user.cfg only once somebody has made a user, as tests before may have."""
    for file in ("user.cfg", "priv/authkey.key", "pve-www.key"):
        if (node.pve / file).exists():
            (root / "etc/pve" / file).parent.mkdir(exist_ok=True)
            shutil.copy(node.pve / file, root / "etc/pve" / file)


@pytest.mark.parametrize(
    ("user", "password"), [("root@pam", "wrong"), ("nobody@pve", PASSWORD), ("root@pve", PASSWORD)]
)
def test_every_failed_login_looks_the_same(node: ApiNode, user: str, password: str) -> None:
    answer = node.request("POST", "/access/ticket", requests.Session(), username=user, password=password)
    assert (answer.status, answer.message) == (401, "authentication failure")


def test_nothing_is_told_without_a_login(node: ApiNode) -> None:
    assert node.request("GET", "/version", requests.Session()).status == 401
    assert node.request("GET", "/access/domains", requests.Session()).status == 200


def test_a_change_needs_the_tickets_csrf_token(node: ApiNode) -> None:
    session = node.login()
    del session.headers["CSRFPreventionToken"]
    assert node.request("GET", "/version", session).status == 200
    refused = node.request("POST", "/access/groups", session, groupid="operators")
    assert (refused.status, refused.message) == (401, "Permission denied - invalid csrf token")


def test_a_forged_ticket_is_refused(node: ApiNode) -> None:
    session = node.login()
    ticket = str(session.cookies["PVEAuthCookie"])
    session.cookies.set("PVEAuthCookie", ticket.replace("root%40pam", "eve%40pam"))
    assert ticket != session.cookies["PVEAuthCookie"]
    assert node.request("GET", "/version", session).message == "permission denied - invalid PVE ticket"


def test_an_auditor_reads_and_is_told_what_it_lacks(node: ApiNode, auditor: requests.Session) -> None:
    assert node.request("GET", "/nodes/pve1/status", auditor).status == 200
    refused = node.request("POST", "/nodes/pve1/qemu", auditor, vmid=100)
    assert (refused.status, refused.message) == (403, "Permission check failed (/vms/100, VM.Allocate)")


def test_a_separated_token_has_its_own_rules_within_its_users(node: ApiNode, auditor: requests.Session) -> None:
    assert auditor is not None
    separated = with_token(node, "auditor@pve", "separated", privsep=1)
    assert node.request("GET", "/nodes/pve1/status", separated).status == 403
    node.do("PUT", "/access/acl", path="/", roles="Administrator", tokens="auditor@pve!separated")
    assert node.request("GET", "/nodes/pve1/status", separated).status == 200
    assert node.request("POST", "/access/groups", separated, groupid="g").status == 403


def test_no_token_of_root_may_do_what_only_root_may(node: ApiNode) -> None:
    token = with_token(node, "root@pam", "full", privsep=0)
    assert node.request("GET", "/nodes/pve1/status", token).status == 200
    join = {"hostname": "192.0.2.1", "fingerprint": ":".join(["AA"] * 32), "password": "secret"}
    refused = node.request("POST", "/cluster/config/join", token, **join)
    assert (refused.status, refused.message) == (403, "Permission check failed (user != root@pam)")


def test_a_removed_user_cannot_log_in_nor_use_its_ticket(node: ApiNode) -> None:
    node.do("POST", "/access/users", userid="brief@pve", password="hunter2 hunter2")
    session = node.login("brief@pve", "hunter2 hunter2")
    assert node.request("GET", "/version", session).status == 200
    node.do("DELETE", "/access/users/brief@pve")
    assert node.request("GET", "/version", session).status == 401
    assert "brief" not in (node.pve / "priv/shadow.cfg").read_text()


def test_the_nearest_rule_decides_and_no_access_cancels(node: ApiNode) -> None:
    node.do("POST", "/access/users", userid="keeper@pve", password="hunter2 hunter2")
    node.do("PUT", "/access/acl", path="/vms", roles="PVEVMAdmin", users="keeper@pve")
    node.do("PUT", "/access/acl", path="/vms/100", roles="NoAccess", users="keeper@pve")
    held = node.get("/access/permissions", userid="keeper@pve")
    assert held["/vms"]["VM.Allocate"] == 1
    assert "/vms/100" not in held


def test_unknown_parameters_and_values_are_refused_in_proxmoxs_words(node: ApiNode) -> None:
    refused = node.request("POST", "/nodes/pve1/qemu", vmid=99, cores="many", flavour="large")
    assert (refused.status, refused.message) == (400, "Parameter verification failed.")
    assert refused.errors == {
        "vmid": "invalid format - value does not look like a valid VM ID",
        "cores": "type check ('integer') failed - got 'many'",
        "flavour": "property is not defined in schema and the schema does not allow additional properties",
    }


def test_what_nothing_stands_behind_is_read_but_never_pretended(node: ApiNode) -> None:
    assert node.request("GET", "/cluster/metrics/server").status == 200
    refused = node.request("POST", "/cluster/metrics/server/m1", type="graphite", server="192.0.2.1", port=2003)
    assert (refused.status, refused.message) == (501, "Method 'POST /cluster/metrics/server/m1' not implemented")


def test_a_ticket_is_good_on_every_member_of_the_cluster_and_nowhere_else(node: ApiNode, tmp_path: Path) -> None:
    for name, is_member in (("pve2", True), ("stranger", False)):
        root = tmp_path / name
        furnish(root, name)
        if is_member:
            share_cluster_files(node, root)
        with running(root, name) as other:
            assert other.request("GET", "/version", node.session).status == (200 if is_member else 401)


def test_a_request_for_another_member_is_passed_on_or_fails_as_unreachable(node: ApiNode, tmp_path: Path) -> None:
    furnish(tmp_path / "pve2", "pve2")
    share_cluster_files(node, tmp_path / "pve2")
    with running(tmp_path / "pve2", "pve2") as other:
        members = {
            "pve1": {"id": 1, "online": 1, "ip": node.address},
            "pve2": {"id": 2, "online": 1, "ip": other.address},
        }
        (node.pve / ".members").write_text(json.dumps({"nodelist": members}))
        shown = ssl.get_server_certificate((other.address, 8006))
        other.do("POST", "/nodes/pve2/qemu", vmid=150, name="over-there")
        known = node.pve / "nodes/pve2/pve-ssl.pem"
        known.parent.mkdir()
        known.write_text(Authority("foreign").issue()[0])
        foreign = node.request("GET", "/nodes/pve2/qemu")
        assert (foreign.status, "certificate verify failed" in foreign.reason) == (596, True)
        known.write_text(shown)
        assert [vm["name"] for vm in node.get("/nodes/pve2/qemu")] == ["over-there"]
        node.do("PUT", "/nodes/pve2/qemu/150/config", name="renamed")
        assert other.config(150)["name"] == "renamed"
    unreachable = node.request("GET", "/nodes/pve2/qemu")
    assert (unreachable.status, unreachable.reason) == (595, "Connection refused")
    (node.pve / ".members").unlink()
    shutil.rmtree(node.pve / "nodes/pve2")
    unknown = node.request("GET", "/nodes/pve2/qemu")
    assert unknown.message.startswith("hostname lookup 'pve2' failed - failed to get address info for: pve2:")
