"""The removal of an outer host's bridge: armed each time it is tried, and told for as long as it was put back."""

from __future__ import annotations

import asyncio
import copy
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from cli.state import rearming, vanished
from cluster import network_change
from cluster.call import Call
from cluster.contract import HostNetwork, Machine, Secrets
from cluster.steps import arm_network, confirm_network, remove_bridge
from cluster.transport import ssh
from cluster.transport.ssh import Completed
from components.recorded import BRIDGE_TYPE
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

    async def run(self, command: str, timeout_s: float) -> Completed:
        assert (command, timeout_s > 0) == ("cat /etc/network/interfaces", True)
        return Completed(0, self.interfaces, "")


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
    assert told.startswith("error[network-reverted]: virtual could not be reached without the bridge vmbr1")
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


CONFIRMS = {"delete": ".venv/bin/python -m cluster confirm-network --delete", "stdin": "{}", "environment": "sealed"}
FIRST = [
    resource("virtual-vmbr1-removed", id="1", inputs=CONFIRMS, outputs=dict(CONFIRMS), provider="command"),
    resource(
        "virtual-vmbr1", BRIDGE_TYPE, inputs={}, dependencies=["urn:pulumi:dev::p::host$…::virtual-vmbr1-removed"]
    ),
]


def test_a_removal_that_failed_is_armed_again_when_it_is_tried_again() -> None:
    state = {"deployment": {"resources": FIRST}}
    before = copy.deepcopy(state)
    [*kept, guard] = rearming.armed(state)["deployment"]["resources"]
    assert state == before
    assert kept == FIRST
    assert guard["urn"] == "urn:pulumi:dev::p::host$command:local:Command::virtual-vmbr1-armed"
    assert guard["inputs"] == {**CONFIRMS, "delete": ".venv/bin/python -m cluster arm-network --delete"}
    assert guard["dependencies"] == [FIRST[1]["urn"]], "so that it goes before the bridge"
    assert guard["id"] != "1"
    again = {"deployment": {"resources": [*kept, guard]}}
    assert rearming.armed(again) is again


REMOVES = {**CONFIRMS, "delete": ".venv/bin/python -m cluster remove-bridge --delete"}
REMOVAL = resource("virtual-vmbr1-armed", inputs=REMOVES, outputs=dict(REMOVES))
BRIDGE_ENTRY = resource("virtual-vmbr1", BRIDGE_TYPE, inputs={"name": "vmbr1"}, outputs={})


def test_a_bridge_that_is_recorded_anew_goes_with_what_arms_its_removal() -> None:
    state = {"deployment": {"resources": [BRIDGE_ENTRY, REMOVAL]}}
    [removal, bridge] = rearming.armed(state)["deployment"]["resources"]
    assert removal == REMOVAL, "before what goes with it"
    assert bridge == {**BRIDGE_ENTRY, "deletedWith": REMOVAL["urn"], "dependencies": [REMOVAL["urn"]]}
    recorded = {"deployment": {"resources": [removal, bridge]}}
    assert rearming.armed(recorded) is recorded
    bridge["dependencies"] = [REMOVAL["urn"], "urn:another"]
    assert rearming.armed(recorded) is recorded, "in whichever order the engine recorded them"
    assert vanished.forget(recorded, [bridge["urn"]])["deployment"]["resources"] == [], "a foreign one is not removed"


@pytest.mark.parametrize("resources", [[], FIRST[1:], FIRST[:1]])
def test_what_has_no_removal_to_guard_stays_as_it_is(resources: list[dict[str, Any]]) -> None:
    state = {"deployment": {"resources": resources}}
    assert rearming.armed(state) is state


@dataclass
class Api:
    """An outer host whose API removes the bridge, or does not; and whose network comes back, or stays."""

    interfaces: str = BRIDGE
    refuses: str = ""
    cuts_off: bool = False
    unread: Completed | None = None
    did: list[str] = field(default_factory=list)

    async def run(self, command: str, timeout_s: float) -> Completed:
        assert timeout_s > 0
        if command.startswith("cat"):
            return self.unread or Completed(0, self.interfaces, "")
        self.did.append(command)
        if self.cuts_off:
            raise StepError("internal", "no answer")
        if not self.refuses:
            self.interfaces = ""
        return Completed(255 if self.refuses else 0, "", self.refuses)

    async def arm(self, *_: object) -> Outcome:
        self.did.append("arm")
        return Outcome(changed=True, facts={})

    async def confirm(self, *_: object) -> Outcome:
        self.did.append("confirm")
        if self.cuts_off:
            raise REVERTED
        return Outcome(changed=True, facts={})


def gone(monkeypatch: pytest.MonkeyPatch, host: Api) -> Outcome:
    @asynccontextmanager
    async def connect(_machine: Machine, _key: str) -> AsyncIterator[Api]:
        yield host

    monkeypatch.setattr(ssh, "connect", connect)
    monkeypatch.setattr(arm_network, "bring_about", host.arm)
    monkeypatch.setattr(network_change, "confirm", host.confirm)
    return asyncio.run(remove_bridge.remove(WANTED, CALL))


BY_API = "pvesh delete /nodes/virtual/network/vmbr1 && pvesh set /nodes/virtual/network"


def test_a_bridge_is_removed_between_arming_and_confirming(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Api()
    assert gone(monkeypatch, host).changed
    assert host.did == ["arm", BY_API, "confirm"]
    assert not gone(monkeypatch, host).changed, "nothing is armed for what is not there"
    assert host.did == ["arm", BY_API, "confirm"]


def test_a_removal_that_cuts_the_host_off_is_told_and_the_next_try_is_armed_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Api(cuts_off=True)
    for _ in range(2):
        with pytest.raises(StepError) as refused:
            gone(monkeypatch, host)
        assert refused.value.code == "network-reverted"
        assert "virtual could not be reached" in refused.value.what
    assert host.did == ["arm", BY_API, "confirm"] * 2


def test_a_bridge_that_stays_is_named_with_what_the_host_said_and_what_says_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Api(refuses="unable to lock")
    with pytest.raises(StepError) as refused:
        gone(monkeypatch, host)
    told = refused.value.render()
    assert told.startswith("error[bridge-stays]: the bridge vmbr1 is still on virtual")
    assert "observed: unable to lock" in told
    assert f"`{BY_API}` shows the error again; resolve it, then run the same command again" in told
    assert host.did == ["arm", BY_API, "confirm"], "what was armed does not put an unchanged network back"


def test_a_bridge_is_not_gone_because_nothing_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Api(unread=Completed(1, "", "cat: /etc/network/interfaces: Input/output error"))
    with pytest.raises(StepError) as refused:
        gone(monkeypatch, host)
    assert (refused.value.code, refused.value.observed) == (
        "command-failed",
        "cat: /etc/network/interfaces: Input/output error",
    )
    assert host.did == []
