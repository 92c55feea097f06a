"""Looking until the cluster is as described: what the old workers of a reloaded pveproxy show is no fault."""

from __future__ import annotations

import asyncio
from itertools import cycle
from typing import TYPE_CHECKING

import pytest

from cluster import formation, verification
from cluster.errors import AdminError
from cluster.transport import certificates, members
from tests.unit.cluster.worlds import member, stand_alone

if TYPE_CHECKING:
    from onnode.contract.membership import MembershipReport


@pytest.mark.parametrize(
    ("shown", "amiss"),
    [
        (["AA:old", "AA:old", "AA:01"], ""),
        (["AA:old"], "presents another certificate than it holds"),
        ([None], "does not answer"),
    ],
)
def test_old_workers_are_outlived_within_one_round(
    monkeypatch: pytest.MonkeyPatch, shown: list[str | None], amiss: str
) -> None:
    turns = cycle(shown)

    async def presented(*_: object) -> str | None:
        await asyncio.sleep(0)
        return next(turns)

    async def answers(*_: object) -> dict[str, MembershipReport]:
        await asyncio.sleep(0)
        return {"proxmox01": stand_alone(1)}

    monkeypatch.setattr(certificates, "presented", presented)
    monkeypatch.setattr(certificates, "OLD_WORKERS_S", 0.2)
    monkeypatch.setattr(certificates, "POLL_S", 0.01)
    monkeypatch.setattr(members, "ask", answers)
    monkeypatch.setattr(formation, "problems", lambda *_, **__: [])
    looking = verification.until_as_described("c", [member(1)], {}, timeout_s=0)
    if not amiss:
        assert set(asyncio.run(looking).reports) == {"proxmox01"}
        return
    with pytest.raises(AdminError) as refused:
        asyncio.run(looking)
    assert (refused.value.code, refused.value.observed) == ("cluster-not-as-described", f"the API of proxmox01 {amiss}")
