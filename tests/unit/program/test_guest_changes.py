"""No change of a guest's description replaces or destroys the guest: each property has a case here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from cli.report.changes import changes
from cli.report.described import whole
from cli.report.known import Mark
from cli.state import recorded_guests
from cluster.errors import AdminError
from config.load import validate
from config.model import ContainerGuest, VmGuest
from tests.support.program import Recording, change, run, stack_file
from tests.unit.cli.state.test_changeover import state_of

if TYPE_CHECKING:
    from pathlib import Path

    from cli.description import Description

TEMPLATE = {**stack_file("dev")["templates"][0], "name": "other-template", "vmid": 9001, "cpuType": "kvm64"}
DEV = change(
    stack_file("dev"),
    {
        "templates.+": TEMPLATE,
        "guests.0.diskGib": 8,
        "guests.1.template.checksum": f"sha256:{'1' * 64}",
        "guests.1.address": "192.168.0.50/24",
        "guests.1.gateway": "192.168.0.1",
        "storages.+": {"name": "fast", "kind": "external", "shared": True},
    },
)
# What the provider changes in a VM that is there. It makes a new one for another `vmId`, and for nothing else that is given here.
IN_PLACE = {"name", "cpu", "memory", "networkDevices"}
BOTH: dict[str, Any] = {
    "name": None,
    "node": "proxmox03",
    "cores": 2,
    "memoryMib": 600,
    "storage": "fast",
    "keep": True,
    "ha.state": "stopped",
    "ha.maxRestart": 3,
    "ha.maxRelocate": 3,
    "ha.failback": False,
    "ha.nodes": {"proxmox03": 2, "proxmox01": 1, "proxmox02": 1},
    "ha.strict": True,
}
OF_VM: dict[str, Any] = BOTH | {"diskGib": 16, "template": "other-template"}
OF_CONTAINER: dict[str, Any] = BOTH | {
    "diskGib": 2,
    "swapMib": 64,
    "template.storage": "fast",
    "template.fileName": "other.tar.zst",
    "template.url": "http://192.168.0.180/other.tar.zst",
    "template.checksum": f"sha256:{'0' * 64}",
}
# Nothing of a container's network is changed: its step refuses that, and says what it found (guest-differs).
BY_THE_STEP: dict[str, Any] = {"address": "192.168.0.51/24", "gateway": "192.168.0.2"}
REFUSED: dict[str, Any] = {"vmid": 555, "kind": "container"}
# With a bridge that the nodes have: on nested ones there is one.
ONE_CHOICE = {"bridge"}
CASES = sorted(OF_VM | OF_CONTAINER | BY_THE_STEP)
NEW_NAMES = {"vm01": "vm-other", "ct01": "ct-other"}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return run(DEV, tmp_path_factory.mktemp("before"))


def properties(model: type[BaseModel], path: str = "") -> set[str]:
    """The keys of a guest in the stack file."""
    found = set()
    for name, field in model.model_fields.items():
        key, inner = f"{path}{field.alias or name}", field.annotation
        nested = isinstance(inner, type) and issubclass(inner, BaseModel)
        found |= properties(inner, f"{key}.") if nested and isinstance(inner, type) else {key}
    return found


def test_every_property_of_a_guest_has_a_case() -> None:
    assert properties(VmGuest) == OF_VM.keys() | REFUSED.keys() | ONE_CHOICE
    assert properties(ContainerGuest) == OF_CONTAINER.keys() | BY_THE_STEP.keys() | REFUSED.keys() | ONE_CHOICE


def described(dev: Description, config: dict[str, Any]) -> Description:
    return replace(dev, config=validate(config))


@pytest.mark.parametrize("key", CASES)
def test_a_change_is_made_in_place(key: str, before: Recording, dev: Description, tmp_path: Path) -> None:
    changed: dict[str, Any] = {"guests.0": OF_VM, "guests.1": OF_CONTAINER | BY_THE_STEP}
    changed = {f"{guest}.{key}": values[key] for guest, values in changed.items() if key in values}
    if key == "name":
        changed = {"guests.0.name": "vm-other", "guests.1.name": "ct-other"}
    config = change(DEV, changed)
    after = run(config, tmp_path)
    state, renamed = recorded_guests.renamed(described(dev, config), state_of(before))
    recorded_guests.refuse_others(described(dev, config), state, [])
    assert sorted(renamed) == (["CT 300: ct01 → ct-other", "VM 200: vm01 → vm-other"] if key == "name" else [])
    there = {one["urn"] for one in state["deployment"]["resources"]}
    assert there - after.resources.keys() == set(), "something goes"
    made = {urn.rpartition("::")[2] for urn in after.resources.keys() - there}
    assert made == ({"vm01-keep-guest", "ct01-keep-guest"} if key == "keep" else set())
    vm, container = (NEW_NAMES[name] if key == "name" else name for name in ("vm01", "ct01"))
    assert after[f"{container}-container"].stdin["vmid"] == before["ct01-container"].stdin["vmid"]
    now, was = after[f"{vm}-vm"], before["vm01-vm"]
    differing = {one for one in now.inputs.keys() | was.inputs.keys() if now.inputs.get(one) != was.inputs.get(one)}
    assert differing - set(now.ignore_changes) <= IN_PLACE


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("key", ["vmid", "kind"])
def test_another_number_or_kind_is_refused(number: int, key: str, before: Recording, dev: Description) -> None:
    described_now = [dict(guest) for guest in DEV["guests"]]
    if key == "vmid":
        described_now[number]["vmid"] = 555
    else:
        described_now[number] = {**DEV["guests"][1 - number], "name": DEV["guests"][number]["name"], "vmid": 555}
        del described_now[1 - number]
    config = {**DEV, "guests": described_now}
    with pytest.raises(AdminError) as refused:
        recorded_guests.refuse_others(described(dev, config), state_of(before), [])
    assert refused.value.code == "guest-changed"
    assert f"{DEV['guests'][number]['name']} is {('VM 200', 'CT 300')[number]}; described: " in refused.value.observed
    told = changes(whole(validate(DEV), []), whole(validate(config), []))
    assert Mark.REFUSED in {one.mark for one in told if one.text.startswith(key)}


@pytest.mark.parametrize(("number", "size", "was"), [(0, 4, 8), (1, 1, 2)])
def test_a_smaller_disk_is_refused(number: int, size: int, was: int, dev: Description, tmp_path: Path) -> None:
    large = change(DEV, {f"guests.{number}.diskGib": was})
    small = change(DEV, {f"guests.{number}.diskGib": size})
    state = state_of(run(large, tmp_path))
    with pytest.raises(AdminError) as refused:
        recorded_guests.refuse_others(described(dev, small), state, [])
    name = DEV["guests"][number]["name"]
    assert (refused.value.code, refused.value.observed) == ("guest-differs", f"{name} has {was} GiB")
    assert refused.value.expected == f"{name}: {size} GiB"
    (told,) = changes(whole(validate(large), []), whole(validate(small), []))
    assert (told.mark, told.text) == (Mark.REFUSED, f"disk in GiB {was} → {size}")
    recorded_guests.refuse_others(described(dev, large), state, [])


def test_the_rule_of_a_renamed_guest_gives_way_before_its_new_one(before: Recording) -> None:
    """Proxmox VE takes one rule of this kind for a guest."""
    assert before["vm01-ha-rule"].delete_before_replace
    assert not before["vm01-ha"].delete_before_replace


def test_a_guest_that_is_kept_stays_and_leaves_ha(before: Recording, tmp_path: Path) -> None:
    kept = run(change(DEV, {"guests.0.keep": True, "guests.1.keep": True}), tmp_path)
    for name, itself in (("vm01", "vm"), ("ct01", "container")):
        assert (kept[f"{name}-{itself}"].retain, before[f"{name}-{itself}"].retain) == (True, False)
        for part in ("ha", "ha-rule", "ha-ready", "verify-guest", "keep-guest"):
            assert not kept[f"{name}-{part}"].retain
        # What goes first depends on what goes last.
        assert kept.follows(f"{name}-ha", f"{name}-ha-ready")
        assert kept.follows(f"{name}-ha-ready", f"{name}-keep-guest")
        assert kept.follows(f"{name}-keep-guest", f"{name}-{itself}")
        assert "create" not in kept[f"{name}-keep-guest"].inputs


def test_keep_counts_more_than_a_stack_whose_guests_stay_under_ha(tmp_path: Path) -> None:
    keeping = change(DEV, {"cluster.onDestroy": "keep", "guests.0.keep": True})
    program = run(keeping, tmp_path)
    assert program["vm01-vm"].retain
    assert not program["vm01-ha"].retain
    assert program["ct01-container"].retain
    assert program["ct01-ha"].retain


def test_an_existing_guest_is_put_under_ha_by_steps_alone_and_let_go_even_if_the_guests_of_the_stack_stay(
    tmp_path: Path,
) -> None:
    web = {"kind": "existing", "type": "container", "name": "cache", "vmid": 310, "ha": {"nodes": {"proxmox02": 1}}}
    program = run(change(DEV, {"cluster.onDestroy": "keep", "guests.+": web}), tmp_path)
    own = [one for one in program.resources.values() if one.name.startswith("cache-")]
    assert {one.name for one in own} == {
        "cache-release",
        "cache-ha-ready",
        "cache-existing-guest",
        "cache-verify-guest",
    }
    assert not any(one.retain for one in own)
    assert program["vm01-ha"].retain
    deleted = {one.name: one.inputs.get("delete") for one in own}
    assert deleted == {
        "cache-ha-ready": None,  # which would take its registration away, whoever made it
        # Of a step that is killed nothing is recorded, so `release` is there before; it may know another number by the end.
        "cache-existing-guest": ".venv/bin/python -m cluster existing-guest --delete",
        "cache-release": ".venv/bin/python -m cluster existing-guest --delete",
        "cache-verify-guest": ".venv/bin/python -m cluster verify-guest --delete",
    }
    assert program.follows("cache-verify-guest", "cache-existing-guest")
    assert program.follows("cache-existing-guest", "cache-ha-ready")
    assert program.follows("cache-existing-guest", "cache-release")
    assert "create" not in program["cache-release"].inputs
    assert program["cache-release"].inputs["stdin"] == program["cache-existing-guest"].inputs["stdin"]
    assert program["cache-existing-guest"].inputs["addPreviousOutputInEnv"]
    assert program.exports["guests"]["cache"] == "ct:310"
