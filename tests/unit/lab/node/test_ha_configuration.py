"""HA resources and rules of the lab's nodes, with the refusals of Proxmox VE 9."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from pvelab.api import routes
from pvelab.api.context import Context
from pvelab.cli import ha_manager
from pvelab.errors import PveError
from pvelab.ha import configuration, requests, resource_operations, rule_operations, status
from pvelab.ha.model import Request
from pvelab.ha.node_environment import NodeEnvironment
from pvelab.ha.placement import NodeAffinity
from pvelab.tasks import ForegroundRunner

from tests.support import node_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def pve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pve = node_root.make(tmp_path, monkeypatch)
    (pve / "nodes/pve2/qemu-server/200.conf").touch()
    (pve / "nodes/pve3/lxc/300.conf").touch()
    return pve


def refusal(operation: Callable[[], object]) -> str:
    with pytest.raises(PveError) as refused:
        operation()
    return refused.value.message


def test_a_resource_is_written_as_by_proxmox(pve: Path) -> None:
    resource_operations.create({"sid": "200", "state": "enabled", "max_restart": 2})
    assert (pve / "ha/resources.cfg").read_text() == "vm: 200\n\tstate started\n\tmax_restart 2\n"
    resource = configuration.resources()["vm:200"]
    assert (resource.node, resource.state, resource.max_restart, resource.max_relocate) == (
        "pve2",
        Request.STARTED,
        2,
        1,
    )


def test_what_resources_are_refused(pve: Path) -> None:
    resource_operations.create({"sid": "vm:200"})
    before = (pve / "ha/resources.cfg").read_text()
    create, delete = resource_operations.create, resource_operations.delete
    assert refusal(lambda: create({"sid": "vm:200"})) == "create resource failed: resource ID 'vm:200' already defined"
    assert refusal(lambda: create({"sid": "vm:102"})) == "resource 'vm:102' does not exist in cluster"
    assert refusal(lambda: create({"sid": "ct:300", "group": "g"})) == (
        "invalid parameter 'group': ha groups have been migrated to rules"
    )
    assert refusal(lambda: delete({"sid": "ct:300"})).endswith("cannot delete service 'ct:300', not HA managed!")
    assert refusal(lambda: resource_operations.move("migrate", {"sid": "ct:300", "node": "pve1"})) == (
        "resource 'ct:300' is not HA managed"
    )
    assert (pve / "ha/resources.cfg").read_text() == before


def test_only_disabled_leaves_the_error_state(pve: Path) -> None:
    resource_operations.create({"sid": "vm:200"})
    service = {"state": "error", "node": "pve2", "uid": "1"}
    (pve / "ha/manager_status").write_text(json.dumps({"service_status": {"vm:200": service}}))
    started = {"sid": "vm:200", "state": "started"}
    assert refusal(lambda: resource_operations.update(started)) == (
        "service 'vm:200' in error state, must be disabled and fixed first"
    )
    resource_operations.update({"sid": "vm:200", "state": "disabled"})
    assert resource_operations.read("vm:200")["state"] == "disabled"


def test_a_move_is_queued_for_the_crm(pve: Path) -> None:  # noqa: ARG001 - made for its effect
    resource_operations.create({"sid": "vm:200"})
    answer = resource_operations.move("relocate", {"sid": "200", "node": "pve1"})
    assert answer == {"sid": "vm:200", "requested-node": "pve1"}
    assert requests.take() == ["relocate vm:200 pve1"]
    assert requests.take() == []


def test_a_rule_binds_resources_to_nodes(pve: Path) -> None:
    for sid in ("vm:200", "ct:300"):
        resource_operations.create({"sid": sid})
    rule = {"type": "node-affinity", "rule": "r", "resources": "vm:200,ct:300", "nodes": "pve2:2,pve1", "strict": True}
    rule_operations.create(rule)
    assert (pve / "ha/rules.cfg").read_text() == (
        "node-affinity: r\n\tresources ct:300,vm:200\n\tnodes pve1,pve2:2\n\tstrict 1\n"
    )
    assert configuration.affinities().nodes["vm:200"] == NodeAffinity({"pve1": 0, "pve2": 2}, strict=True)
    rule_operations.update({"rule": "r", "disable": True})
    assert configuration.affinities().nodes == {}
    resource_operations.delete({"sid": "vm:200"})
    assert rule_operations.read("r")["resources"] == "ct:300"


def test_what_rules_are_refused(pve: Path) -> None:  # noqa: ARG001 - made for its effect
    resource_operations.create({"sid": "vm:200"})
    rule = {"type": "node-affinity", "rule": "r", "resources": "vm:200", "nodes": "pve2"}
    create = rule_operations.create
    assert refusal(lambda: create({**rule, "resources": "ct:300"})).endswith("cannot use unmanaged resource(s) ct:300.")
    assert refusal(lambda: create({**rule, "nodes": "pve9"})).endswith("cannot use non-existent node(s) pve9.")
    assert refusal(lambda: create({key: value for key, value in rule.items() if key != "nodes"})) == (
        "Parameter verification failed."
    )
    create(rule)
    assert refusal(lambda: create(rule)).endswith("HA rule 'r' already defined")
    with pytest.raises(PveError) as refused:
        create({**rule, "rule": "s"})
    assert refused.value.errors == {"resources": "resource 'vm:200' is already used in another node affinity rule"}
    assert refusal(lambda: rule_operations.read("s")) == "no such ha rule 's'"


@pytest.mark.parametrize(
    ("method", "template", "verb"),
    [("GET", "", "index groups"), ("POST", "", "create group"), ("PUT", "/{group}", "update group")],
)
def test_there_are_no_groups(method: str, template: str, verb: str) -> None:
    handler = routes.find(method, f"/cluster/ha/groups{template}")
    assert handler is not None
    context = Context("pve1", "root@pam", {"group": "g"}, ForegroundRunner())
    assert refusal(lambda: handler(context)) == f"cannot {verb}: ha groups have been migrated to rules"


def test_the_status_reads_as_in_the_manual(pve: Path) -> None:
    resource_operations.create({"sid": "vm:200"})
    resource_operations.create({"sid": "ct:300"})
    now = int(time.time())
    date = time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(now))
    service = {"state": "started", "node": "pve2", "uid": "1", "running": 1}
    manager = {
        "master_node": "pve1",
        "timestamp": now,
        "node_status": {"pve1": "online", "pve2": "online", "pve3": "unknown"},
    }
    (pve / "ha/manager_status").write_text(json.dumps({**manager, "service_status": {"vm:200": service}}))
    for name, state, age in (("pve1", "wait_for_agent_lock", 0), ("pve2", "active", 0), ("pve3", "active", 60)):
        lrm = {"state": state, "mode": "active", "timestamp": now - age, "results": {}}
        (pve / f"nodes/{name}/lrm_status").write_text(json.dumps(lrm))
    old = time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(now - 60))
    assert [f"{entry['type']} {entry['status']}" for entry in status.current()] == [
        "quorum OK",
        f"master pve1 (active, {date})",
        "fencing armed (CRM watchdog active)",
        f"lrm pve1 (idle, watchdog standby, {date})",
        f"lrm pve2 (active, watchdog active, {date})",
        f"lrm pve3 (old timestamp - dead?, {old})",
        "service ct:300 (pve3, queued)",
        "service vm:200 (pve2, started)",
    ]


def test_the_api_shows_the_managers_own_status(pve: Path) -> None:
    manager = {"master_node": "pve1", "node_status": {"pve1": "online", "pve2": "maintenance"}}
    (pve / "ha/manager_status").write_text(json.dumps(manager))
    handler = routes.find("GET", "/cluster/ha/status/manager_status")
    assert handler is not None
    shown = handler(Context("pve1", "root@pam", {}, ForegroundRunner()))
    assert shown["manager_status"] == manager
    assert shown["quorum"]["quorate"] == 1
    assert shown["lrm_status"].keys() == {"pve1", "pve2"}


def test_agents_see_and_change_what_users_configured(pve: Path) -> None:
    resource_operations.create({"sid": "200", "max_restart": 2})
    environment = NodeEnvironment()
    environment.request_stopped("vm:200")
    assert configuration.resources()["vm:200"].state is Request.STOPPED
    assert configuration.resources()["vm:200"].max_restart == 2
    assert environment.shutdown_policy() == "conditional"
    (pve / "datacenter.cfg").write_text("ha: shutdown_policy=freeze\nmigration: type=insecure\n")
    assert environment.shutdown_policy() == "freeze"


def test_maintenance_is_queued_for_a_node_that_exists(pve: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ha_manager.set_maintenance(["pve9"], "enable") == 255
    assert capsys.readouterr().err == "no such cluster node 'pve9'\n"
    assert requests.take() == []
    assert ha_manager.set_maintenance(["pve2"], "enable") == 0
    assert ha_manager.set_maintenance(["pve2"], "disable") == 0
    assert requests.take() == ["enable-node-maintenance pve2", "disable-node-maintenance pve2"]
    with pytest.raises(SystemExit):
        ha_manager.set_maintenance([], "enable")
    assert "400 not enough arguments" in capsys.readouterr().err
    (pve / "nodes/pve1/lrm_status").write_text(
        json.dumps({"state": "active", "mode": "maintenance", "timestamp": int(time.time())})
    )
    (pve / "ha/manager_status").write_text(json.dumps({"node_status": {"pve1": "maintenance"}}))
    shown = next(entry for entry in status.current() if entry["type"] == "lrm")
    assert shown["status"].startswith("pve1 (maintenance mode, ")
