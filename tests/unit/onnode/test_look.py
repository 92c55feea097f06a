"""A look: what steps would do, told with what differs, and nothing done."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from onnode import look
from onnode.contract.documents import document
from onnode.contract.formation import ApiUser
from onnode.contract.host import Bridge, Dhcp, KvmNested
from onnode.contract.look import Look, LookStep
from onnode.errors import StepError
from onnode.host import dhcp, kvm_nested
from onnode.step import converge
from tests.support.onnode_worlds import Kvm, Systemd, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fake_machine import FakeMachine

DHCP = Dhcp("dev", [Bridge("vmbr1", "10.10.1.1/24", "10.10.1.10", "10.10.1.20")])
UNIT = "nested-pve-ha-dhcp@vmbr1"


def asked(machine: FakeMachine, *steps: LookStep, **files: str) -> dict[str, Any]:
    return converge(look.STEP, machine, Look(list(steps), {f"{name}.py": text for name, text in files.items()})).facts


def contents(root: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def host(machine: FakeMachine) -> Systemd:
    """An outer host on which both steps have done their work."""
    Kvm(machine)
    systemd = Systemd(machine)
    run(machine, kvm_nested.STEP, KvmNested())
    run(machine, dhcp.STEP, DHCP)
    return systemd


STEPS = (
    LookStep("kvm", "kvm-nested", json.dumps(document(KvmNested()))),
    LookStep("dhcp", "dhcp", json.dumps(document(DHCP))),
)


@pytest.mark.usefixtures("host")
def test_a_pve_that_hangs_is_named_before_each_step_waits_for_it(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(directory: str) -> list[str]:
        raise StepError("pve-filesystem-hangs", f"{directory} cannot be read")

    monkeypatch.setattr(machine, "names", names)
    with pytest.raises(StepError) as failed:
        asked(machine, *STEPS)
    assert (failed.value.code, failed.value.what) == ("pve-filesystem-hangs", "/etc/pve cannot be read")


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("step", "wanted"),
    [("kvm-nested", {"enabled": True, "reload": False}), ("dhcp", {}), ("probe-host", {})],
    ids=["a key more", "a key less", "a step that is no more"],
)
def test_what_another_version_recorded_is_no_drift(machine: FakeMachine, step: str, wanted: dict[str, Any]) -> None:
    """On the first run after an upgrade each node's preparation was told as a step that cannot look, and left undone."""
    first, second = asked(machine, LookStep("old", step, json.dumps(wanted)), STEPS[1])["steps"]
    assert (first["actions"], first["refusal"]) == ([], None)
    assert second["name"] == "dhcp"


def test_a_file_of_the_package_that_is_no_text_any_more_is_told_as_altered(machine: FakeMachine) -> None:
    path = machine.path(f"{look.PACKAGE}/dhcp.py")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"import \xff\xfe\0")
    assert asked(machine, dhcp="0" * 64)["altered"] == ["dhcp.py"]


@pytest.mark.usefixtures("host")
def test_where_all_is_as_it_was_made_nothing_is_told(machine: FakeMachine) -> None:
    assert [one["actions"] for one in asked(machine, *STEPS)["steps"]] == [[], []]


def test_what_was_changed_by_hand_is_told_with_file_and_value_and_stays(machine: FakeMachine, host: Systemd) -> None:
    host.systemctl(["disable", f"{UNIT}.service"], "")
    options = machine.read(kvm_nested.OPTIONS_FILE) or ""
    machine.write(kvm_nested.OPTIONS_FILE, options.replace("nested=1", "nested=0"))
    before = contents(machine.path("/"))
    machine.commands.clear()
    first, second = asked(machine, *STEPS)["steps"]
    assert first["actions"][0] == f"write {kvm_nested.OPTIONS_FILE} ({kvm_nested.OPTIONS_FILE} says nested=0)"
    assert second["actions"][0] == f"start vmbr1 ({UNIT}.service is inactive, disabled)"
    assert contents(machine.path("/")) == before
    assert not [command for command in machine.commands if not command.startswith(("systemctl show", "qm list"))]


def test_a_refusal_is_told_with_its_way_out_and_the_others_are_asked_all_the_same(machine: FakeMachine) -> None:
    Systemd(machine)
    machine.write("/proc/cpuinfo", "flags: fpu\n")
    first, second = asked(machine, *STEPS)["steps"]
    assert first["refusal"]["code"] == "no-virtualization"
    assert "VT-x" in first["refusal"]["next"]
    assert second["actions"] == [f"write-unit {dhcp.UNIT_FILE}"]


def test_a_step_that_cannot_look_hides_nothing_of_the_others_and_no_secret_is_told(machine: FakeMachine) -> None:
    Systemd(machine)
    machine.programs["pveum"] = lambda *_: "not json, pulumi-secret"
    user = LookStep(
        "user", "api-user", json.dumps(document(ApiUser("stack-dev", "pulumi@pve", "pulumi-secret", "Administrator")))
    )
    facts = asked(machine, user, STEPS[1])
    assert facts["steps"][0]["refusal"]["code"] == "internal"
    assert "pulumi-secret" not in str(facts)
    assert facts["steps"][1]["actions"]


def test_files_of_the_package_that_are_gone_or_altered_are_named(machine: FakeMachine) -> None:
    for name in ("same", "altered"):
        machine.write(f"{look.PACKAGE}/{name}.py", name)
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("same", "altered", "gone")}
    machine.write(f"{look.PACKAGE}/altered.py", "altered by hand")
    assert asked(machine, **digests)["altered"] == ["altered.py", "gone.py"]
