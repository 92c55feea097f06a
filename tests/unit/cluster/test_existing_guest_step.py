"""The step that puts an existing guest under HA: it looks, changes what differs, looks again, and in the end takes its own away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cluster import existing_guests, guests, marks, proxmox_ve
from cluster.errors import AdminError
from cluster.steps import existing_guest
from cluster.transport import cluster_api
from onnode.errors import StepError
from tests.unit.cluster.live_nodes import CALL
from tests.unit.cluster.test_existing_guests import OURS, THEIRS, WANTED
from tests.unit.cluster.worlds import members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.contract import ApiAccess, ExistingGuest, Machine, Secrets
    from cluster.marks import Look
    from cluster.transport.ssh import Connection
    from onnode.step import Outcome
    from tests.unit.cluster.live_nodes import LiveNodes

RESOURCES = "etc/pve/ha/resources.cfg"
DESIRED = replace(WANTED, members=[*members(2)])


class Cluster:
    """Two members with the files of their cluster, and its API."""

    def __init__(self) -> None:
        self.files = {
            "etc/pve/storage.cfg": "nfs: shared\n",
            "etc/pve/nodes/proxmox02/qemu-server/210.conf": "name: web\nscsi0: shared:210/x.raw\n",
        }
        self.name = "dev"
        self.quorate = True
        self.calls: list[str] = []
        self.takes = True
        self.lingers = 2

    async def look(self, connection: Connection, stack: str, images: str | None = None) -> Look:
        del stack, images
        await asyncio.sleep(0)
        name = connection.machine.name
        # The first member is one that has left: only the second may speak.
        alone = name == "proxmox01"
        return marks.Look(
            name,
            name,
            quorate=self.quorate and not alone,
            things=(),
            cluster="" if alone else self.name,
            guests=existing_guests.read({} if alone else self.files),
        )

    async def connect(self, machines: Sequence[Machine], access: ApiAccess, secrets: Secrets) -> Cluster:
        await asyncio.sleep(0)
        assert (list(machines), access, secrets) == (DESIRED.members, DESIRED.api, CALL.secrets)
        return self

    def post(self, path: str, **options: Any) -> None:  # noqa: ANN401 - JSON
        self.calls.append(f"post {path} {options['sid']}")
        if self.takes:
            self.files[RESOURCES] = OURS

    def delete(self, path: str, **options: Any) -> None:  # noqa: ANN401 - JSON
        self.calls.append(f"delete {path} {options}")
        del self.files[RESOURCES]

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        assert path == "/cluster/ha/status/current"
        self.lingers -= 1
        return [{"sid": "vm:210"}] if self.lingers > 0 else []


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, nodes: LiveNodes) -> Cluster:
    nodes.form(1, 2)
    found = Cluster()
    monkeypatch.setattr(guests, "POLL_S", 0)
    monkeypatch.setattr(proxmox_ve, "look", found.look)
    monkeypatch.setattr(cluster_api, "connect", found.connect)
    return found


def brought(desired: ExistingGuest = DESIRED, previous: dict[str, Any] | None = None) -> Outcome:
    return asyncio.run(existing_guest.bring_about(desired, replace(CALL, previous=previous)))


def removed() -> Outcome:
    return asyncio.run(existing_guest.remove(DESIRED, CALL))


def test_it_is_put_under_ha_once(cluster: Cluster) -> None:
    assert brought().changed
    assert cluster.calls == ["post /cluster/ha/resources vm:210"]
    again = brought(previous={"sid": "vm:210"})
    assert (again.changed, again.facts) == (False, {"sid": "vm:210"})
    assert len(cluster.calls) == 1


def test_what_somebody_else_has_set_as_described_is_left_and_the_api_not_asked(cluster: Cluster) -> None:
    cluster.files[RESOURCES] = THEIRS
    assert not brought().changed
    assert not removed().changed
    assert (cluster.calls, cluster.files[RESOURCES]) == ([], THEIRS)


def test_a_change_that_was_not_taken_is_no_success(cluster: Cluster) -> None:
    cluster.takes = False
    with pytest.raises(AdminError) as refused:
        brought()
    assert refused.value.code == "guest-not-as-described"
    assert refused.value.observed == "still to do: vm:210 is put under HA"


def test_another_guest_under_the_same_name_is_refused_before_anything_is_done(cluster: Cluster) -> None:
    with pytest.raises(AdminError) as refused:
        brought(previous={"sid": "vm:209"})
    assert refused.value.code == "guest-changed"
    assert "vm:209" in refused.value.observed
    assert cluster.calls == []


def test_in_the_end_what_is_ours_goes_and_ha_lets_go_of_the_guest(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.files[RESOURCES] = OURS
    assert removed().changed
    assert cluster.calls == ["delete /cluster/ha/resources/vm:210 {'purge': 0}"]
    assert cluster.lingers == 0
    assert (
        "VM 210 (web) on proxmox02 is not this stack's any more; it stays as it is, out of HA"
        in capsys.readouterr().err
    )


def test_a_guest_that_is_gone_is_not_spoken_of(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    del cluster.files["etc/pve/nodes/proxmox02/qemu-server/210.conf"]
    assert not removed().changed
    assert "not this stack's any more" not in capsys.readouterr().err


def test_a_cluster_that_cannot_tell_is_not_believed(cluster: Cluster) -> None:
    cluster.quorate = False
    for act in (brought, removed):
        with pytest.raises(StepError) as refused:
            act()
        assert refused.value.code == "command-failed"
    assert cluster.calls == []


def test_without_a_cluster_there_is_no_guest(cluster: Cluster) -> None:
    cluster.name = ""
    with pytest.raises(StepError) as refused:
        asyncio.run(existing_guest.bring_about(replace(DESIRED, members=DESIRED.members[1:]), CALL))
    assert refused.value.code == "guest-missing"
    assert not asyncio.run(existing_guest.remove(replace(DESIRED, members=DESIRED.members[1:]), CALL)).changed
    assert cluster.calls == []
