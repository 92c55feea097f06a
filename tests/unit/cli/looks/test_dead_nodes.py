"""A run waits until HA has recovered the recorded VMs of a dead node: the refresh would ask that node, and fail."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from cli.looks import dead_nodes
from cluster import guests
from cluster.errors import AdminError
from cluster.transport import cluster_api
from tests.unit.cli.state.test_belongings import VM01, state
from tests.unit.cluster.test_guests import NODES, FakeApi, resources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.description import Description
    from cluster.contract import ApiAccess, Member, Secrets


class Cluster:
    """Its API, the looks that were taken there, and who logged in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *looks: list[dict[str, Any]]) -> None:
        self._api = FakeApi(*[_of_vm(look) for look in looks])
        self.logins: list[tuple[list[str], str, str | None]] = []
        self.looks = 0
        self.refusal: AdminError | None = None
        monkeypatch.setattr(guests, "POLL_S", 0)
        monkeypatch.setattr(cluster_api, "connect", self.connect)

    async def connect(self, machines: Sequence[Member], described: ApiAccess, secrets: Secrets) -> Cluster:
        await asyncio.sleep(0)
        self.logins.append(([one.name for one in machines], described.user, secrets.api_password))
        if self.refusal is not None:
            raise self.refusal
        return self

    def get(self, path: str, **parameters: Any) -> Any:  # noqa: ANN401 - JSON
        self.looks += path == "/cluster/resources"
        return self._api.get(path, **parameters)


def _of_vm(look: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**entry, "vmid": 200, "type": "qemu"} if "vmid" in entry else entry for entry in look]


def test_a_recorded_vm_is_waited_for_until_it_is_on_a_node_that_is_up(
    dev: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(
        monkeypatch,
        resources("proxmox02", "started", **NODES),
        resources("proxmox02", "fence", **NODES),
        resources("proxmox02", "recovery", **NODES),
        resources("proxmox01", "started", **NODES),
    )
    dead_nodes.wait_for_recovery(dev, state(VM01))
    assert cluster.looks == 4
    password = dev.credentials.api_password.get_secret_value()
    assert cluster.logins == [(["proxmox01", "proxmox02", "proxmox03"], dev.config.cluster.api.user, password)]


def test_a_vm_that_nobody_recovers_ends_the_run(dev: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    Cluster(monkeypatch, resources("proxmox02", None, **NODES))
    with pytest.raises(AdminError) as refused:
        dead_nodes.wait_for_recovery(dev, state(VM01))
    assert refused.value.code == "guest-node-down"
    assert "proxmox02 is offline" in refused.value.observed


@pytest.mark.parametrize("look", [resources("proxmox01", "started", **NODES), resources("gone", None, **NODES)[1:]])
def test_a_vm_that_is_up_or_gone_is_looked_at_once(
    dev: Description, monkeypatch: pytest.MonkeyPatch, look: list[dict[str, Any]]
) -> None:
    cluster = Cluster(monkeypatch, look)
    dead_nodes.wait_for_recovery(dev, state(VM01))
    assert cluster.looks == 1


OTHER = {**VM01, "inputs": {**VM01["inputs"], "vmId": 299}}


@pytest.mark.parametrize("entries", [(), (OTHER,)], ids=["nothing", "one that is not described"])
def test_without_a_recorded_vm_of_the_description_nobody_is_asked(
    dev: Description, monkeypatch: pytest.MonkeyPatch, entries: tuple[dict[str, Any], ...]
) -> None:
    cluster = Cluster(monkeypatch, resources("proxmox02", None, **NODES))
    dead_nodes.wait_for_recovery(dev, state(*entries))
    assert cluster.logins == []


def test_a_cluster_that_lets_nobody_in_is_left_to_the_run(dev: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, resources("proxmox02", None, **NODES))
    cluster.refusal = AdminError("api-login-failed", "the API refused the login of pulumi@pve", observed="401")
    dead_nodes.wait_for_recovery(dev, state(VM01))
    assert (len(cluster.logins), cluster.looks) == (1, 0)
