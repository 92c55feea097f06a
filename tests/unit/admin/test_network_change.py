"""The removal of an outer host's bridge: armed each time it is tried, and told for as long as it was put back."""

from __future__ import annotations

import asyncio
import copy
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from admin import network_change, rearming, ssh
from admin.belongings import BRIDGE_TYPE
from admin.desired import HostNetwork, Machine, Secrets
from admin.step import Call
from admin.steps import confirm_network
from onnode.errors import StepError
from onnode.step import Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WANTED = HostNetwork(Machine("virtual", "192.168.0.180", "ssh-ed25519 AAAA"), "removal of bridge vmbr1", "vmbr1")
CALL = Call(Secrets("key"))
BRIDGE = "auto vmbr1\niface vmbr1 inet static\n\taddress 10.10.1.1/24\n"
REVERTED = StepError("network-reverted", "put back", observed="removal of bridge vmbr1; nobody logged in")


@dataclass
class Host:
    """An outer host that shows its file."""

    interfaces: str

    async def run(self, command: str, timeout_s: float) -> Any:  # noqa: ANN401 - as asyncssh
        assert (command, timeout_s > 0) == ("cat /etc/network/interfaces", True)
        return type("Done", (), {"stdout": self.interfaces})


def removed(monkeypatch: pytest.MonkeyPatch, interfaces: str, error: StepError | None) -> Outcome:
    async def confirm(machine: Machine, private_key: str) -> Outcome:
        assert (machine, private_key) == (WANTED.machine, "key")
        if error:
            raise error
        return Outcome(changed=True, facts={})

    @asynccontextmanager
    async def connect(_machine: Machine, _key: str) -> AsyncIterator[Host]:
        yield Host(interfaces)

    monkeypatch.setattr(network_change, "confirm", confirm)
    monkeypatch.setattr(ssh, "connect", connect)
    return asyncio.run(confirm_network.remove(WANTED, CALL))


def test_a_removal_that_cuts_nobody_off_is_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert removed(monkeypatch, "", None).changed


def test_a_removal_that_was_put_back_is_told_by_name_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StepError) as refused:
        removed(monkeypatch, BRIDGE, REVERTED)
    told = refused.value.render()
    assert told.startswith("error[network-reverted]: without the bridge vmbr1 nobody could log in to virtual")
    assert "observed: removal of bridge vmbr1; nobody logged in" in told
    assert "ip route" in told


def test_a_bridge_that_somebody_took_away_meanwhile_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not removed(monkeypatch, "auto lo\n", REVERTED).changed


def test_another_failure_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StepError) as refused:
        removed(monkeypatch, "", StepError("internal", "no"))
    assert refused.value.code == "internal"


def resource(name: str, kind: str = "command:local:Command", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"urn": f"urn:pulumi:dev::p::host${kind}::{name}", "type": kind, **more}


CONFIRMS = {"delete": ".venv/bin/python -m admin step confirm-network --delete", "stdin": "{}", "environment": "sealed"}
FIRST = [
    resource("virtual-vmbr1-removed", id="1", inputs=CONFIRMS, outputs=dict(CONFIRMS), provider="command"),
    resource("virtual-vmbr1", BRIDGE_TYPE, dependencies=["urn:pulumi:dev::p::host$…::virtual-vmbr1-removed"]),
]


def test_a_removal_that_failed_is_armed_again_when_it_is_tried_again() -> None:
    state = {"deployment": {"resources": FIRST}}
    before = copy.deepcopy(state)
    [*kept, guard] = rearming.armed(state)["deployment"]["resources"]
    assert state == before
    assert kept == FIRST
    assert guard["urn"] == "urn:pulumi:dev::p::host$command:local:Command::virtual-vmbr1-armed"
    assert guard["inputs"] == {**CONFIRMS, "delete": ".venv/bin/python -m admin step arm-network --delete"}
    assert guard["dependencies"] == [FIRST[1]["urn"]], "so that it goes before the bridge"
    assert guard["id"] != "1"
    again = {"deployment": {"resources": [*kept, guard]}}
    assert rearming.armed(again) is again


@pytest.mark.parametrize("resources", [[], FIRST[1:], FIRST[:1]])
def test_what_has_no_removal_to_guard_stays_as_it_is(resources: list[dict[str, Any]]) -> None:
    state = {"deployment": {"resources": resources}}
    assert rearming.armed(state) is state
