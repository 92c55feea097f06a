"""The last look before the provider changes or deletes what it knows by number or name."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
import json
import tarfile
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cli import up
from cli.engine.failures import Failure
from cli.looks import first_look
from cli.run import engine_runs
from cli.run.engine_runs import RunError
from cli.run.loaded import LoadedStack
from cli.state import vanished
from cluster import marks
from cluster.call import Call
from cluster.contract import HostNetwork, Machine, Ownership, Secrets
from cluster.errors import AdminError
from cluster.steps import arm_network, delete_guard, ownership
from cluster.transport import members, ssh
from cluster.transport.ssh import Completed
from components import recorded
from tests.unit.cli.run.test_comparison import Engine
from tests.unit.cli.state.test_belongings import HOST, INTERFACES, OURS, THEIRS, entry, guest, look, state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from cli.description import Description

MACHINES = [Machine(name, "192.168.0.1", "ssh-ed25519 AAAA") for name in ("a", "b")]
NODE_VM = Ownership(MACHINES, "dev", marks.VM, "101", "foreign-vmid")
BRIDGE = Ownership(MACHINES, "dev", marks.BRIDGE, "vmbr1", "foreign-bridge")
CALL = Call(Secrets("key"))
ALONE, LOST = '{"nodename": "a"}', '{"cluster": {"quorate": 0}}'


@dataclasses.dataclass
class Host:
    """A machine that shows its files, and says what its cluster is."""

    machine: Machine
    files: dict[str, str]
    cluster: str = ALONE

    async def run(self, _command: str, *, timeout_s: float) -> Completed:
        del timeout_s
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path, text in self.files.items():
                member = tarfile.TarInfo(path)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        lines = (f"{self.machine.name}\n{self.cluster}".encode(), packed.getvalue(), b"")
        return Completed(0, "".join(f"{base64.b64encode(line).decode()}\n" for line in lines), "")


def there(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], *clusters: str) -> None:
    """What both machines have."""

    @asynccontextmanager
    async def connections(machines: Iterable[Machine], *_: object, **__: object) -> AsyncIterator[dict[str, Host]]:
        await asyncio.sleep(0)
        told = clusters or (ALONE, ALONE)
        yield {machine.name: Host(machine, files, said) for machine, said in zip(machines, told, strict=True)}

    monkeypatch.setattr(members, "connections", connections)


FOREIGN = [
    (NODE_VM, guest(101, THEIRS), "foreign-vmid", "VM 101 (precious) on virtual, tags: customer"),
    (NODE_VM, guest(101, OURS, kind="lxc"), "foreign-vmid", "CT 101"),
    (NODE_VM, guest(101, "tags: nested-pve-ha;stack-prod", "elsewhere"), "foreign-vmid", "on elsewhere"),
    (BRIDGE, {"etc/network/interfaces": INTERFACES.replace("#stack-dev", "#mine")}, "foreign-bridge", "comment: mine"),
]
FINE = [
    (NODE_VM, guest(101, OURS)),
    (NODE_VM, guest(102, THEIRS)),
    (NODE_VM, {}),
    (BRIDGE, {"etc/network/interfaces": INTERFACES}),
]


@pytest.mark.parametrize(("wanted", "files", "code", "shown"), FOREIGN)
def test_what_is_somebody_elses_is_neither_changed_nor_deleted(
    monkeypatch: pytest.MonkeyPatch, wanted: Ownership, files: dict[str, str], code: str, shown: str
) -> None:
    there(monkeypatch, files)
    for step in (ownership.bring_about, delete_guard.remove):
        with pytest.raises(AdminError) as refused:
            asyncio.run(step(wanted, CALL))
        assert refused.value.code == code
        assert shown in refused.value.observed
        assert "make down STACK=dev" in refused.value.fix


def test_the_network_is_not_armed_for_somebody_elses_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, {"etc/network/interfaces": INTERFACES.replace("#stack-dev", "#mine")})
    monkeypatch.setattr(ssh, "connect", lambda *_: pytest.fail("the host would be armed"))
    wanted = HostNetwork(BRIDGE.machines[0], "bridge vmbr1 of stack dev", BRIDGE.name, BRIDGE)
    with pytest.raises(AdminError) as refused:
        asyncio.run(arm_network.bring_about(wanted, CALL))
    assert refused.value.code == "foreign-bridge"


def test_a_guest_is_not_made_under_another_number_while_the_first_one_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = replace(NODE_VM, name="201", code="guest-foreign", called="vm01")
    there(monkeypatch, guest(200, f"name: vm01\n{OURS}"))
    with pytest.raises(AdminError) as refused:
        asyncio.run(ownership.bring_about(wanted, CALL))
    assert refused.value.code == "guest-changed"
    assert "VM 200 (vm01) on virtual" in refused.value.observed
    there(monkeypatch, guest(201, f"name: vm02\n{OURS}"))
    with pytest.raises(AdminError) as refused:
        asyncio.run(ownership.bring_about(wanted, CALL))
    assert (refused.value.code, "VM 201 (vm02)" in refused.value.observed) == ("guest-changed", True)
    for files in (guest(201, f"name: vm01\n{OURS}"), guest(200, "name: vm01"), guest(200, f"name: vm02\n{OURS}")):
        there(monkeypatch, files)
        asyncio.run(ownership.bring_about(wanted, CALL))
    # Somebody may give a copy of a guest its name: the guest itself is changed all the same.
    there(monkeypatch, guest(200, f"name: vm01\n{OURS}"))
    asyncio.run(ownership.bring_about(replace(wanted, called=""), CALL))


@pytest.mark.parametrize(("wanted", "files"), FINE)
def test_what_is_ours_or_gone_is_let_pass(
    monkeypatch: pytest.MonkeyPatch, wanted: Ownership, files: dict[str, str]
) -> None:
    there(monkeypatch, files)
    assert not asyncio.run(delete_guard.remove(wanted, CALL)).changed


def test_one_machine_that_can_tell_is_enough_and_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose files are not mounted has no guests to show: they are not gone."""
    there(monkeypatch, guest(101, OURS), LOST, ALONE)
    asyncio.run(delete_guard.remove(NODE_VM, CALL))
    there(monkeypatch, {}, LOST, "")
    with pytest.raises(AdminError) as refused:
        asyncio.run(delete_guard.remove(NODE_VM, CALL))
    assert refused.value.code == "command-failed"


def test_a_nodes_vm_stays_while_somebody_elses_guest_is_inside_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Machine("proxmox01", "192.168.0.185", "ssh-ed25519 AAAA")
    within: dict[str, str] = {}
    silent: set[str] = set()

    @asynccontextmanager
    async def connections(machines: Iterable[Machine], *_: object, **__: object) -> AsyncIterator[dict[str, object]]:
        await asyncio.sleep(0)
        yield {
            machine.name: AdminError("host-unreachable", f"{machine.name} is off")
            if machine.name in silent
            else Host(machine, within if machine == node else guest(101, OURS))
            for machine in machines
        }

    monkeypatch.setattr(members, "connections", connections)
    wanted = dataclasses.replace(NODE_VM, inside=node)
    for passed in ({}, guest(200, OURS, node.name), guest(201, THEIRS, "elsewhere")):
        within = passed
        asyncio.run(delete_guard.remove(wanted, CALL))
    within = guest(201, THEIRS, node.name)
    with pytest.raises(AdminError) as refused:
        asyncio.run(delete_guard.remove(wanted, CALL))
    assert refused.value.code == "guests-inside"
    assert "VM 201 (precious) on proxmox01" in refused.value.observed
    silent.add(node.name)  # a node that is off can neither tell nor be asked to give its guests away
    asyncio.run(delete_guard.remove(wanted, CALL))


def recorded_vm() -> dict[str, Any]:
    vm = entry(recorded.VM_TYPE, {"vmId": 101, "nodeName": HOST}, "virtual-api", "proxmox01-vm")
    guard = {
        "type": "command:local:Command",
        "urn": "urn:pulumi:dev::p::command:local:Command::proxmox01-vm-guard",
        "inputs": {"delete": ".venv/bin/python -m cluster delete-guard --delete"},
        "dependencies": [vm["urn"]],
    }
    return state(vm, guard)


def test_a_record_that_is_forgotten_takes_its_guard_along() -> None:
    """The guard would refuse the removal of all the rest."""
    recorded = recorded_vm()
    vm = recorded["deployment"]["resources"][0]["urn"]
    assert vanished.forget(recorded, [vm])["deployment"]["resources"] == []
    assert len(vanished.forget(recorded, ["urn:other"])["deployment"]["resources"]) == 2


@pytest.mark.parametrize(
    ("code", "files", "kept"),
    [
        ("foreign-vmid", guest(101, THEIRS), 0),
        ("foreign-vmid", guest(101, OURS), 2),
        # It is not this run's affair to make what is gone anew, or to refuse it.
        ("foreign-vmid", {}, 2),
        ("node-not-up", guest(101, THEIRS), 2),
    ],
)
def test_a_vm_that_the_provider_took_over_is_forgotten_by_the_run_that_recorded_it(  # noqa: PLR0913, PLR0917 - a case
    dev: Description,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: str,
    files: dict[str, str],
    kept: int,
) -> None:
    """Between the look and the act somebody made a VM of that number; the provider takes "already exists" for done."""
    engine = Engine(state())

    def run(*_: object, **__: object) -> None:
        engine.state = json.loads(json.dumps(recorded_vm()))
        raise RunError([Failure(code, "proxmox01-install", "error[...]")])

    monkeypatch.setattr(engine_runs, "judged", run)
    monkeypatch.setattr(first_look, "look", lambda *_, **__: first_look.FirstLook({HOST: [look(files)]}, {}, []))
    loaded = LoadedStack(dev, engine, engine.export())  # type: ignore[arg-type]
    with pytest.raises(RunError):
        up.apply(loaded, ())
    assert len(engine.state["deployment"]["resources"]) == kept
    assert ("left alone: VM 101 (precious)" in capsys.readouterr().out) is (kept == 0)
