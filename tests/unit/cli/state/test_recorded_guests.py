"""Guests as they are recorded: which count, what is refused, and how the record follows a name."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cli.state import recorded_guests
from cli.state.recorded_guests import RecordedGuest
from cluster.errors import AdminError
from components.recorded import GUEST, GUEST_TEMPLATE, LOCAL_STEP, NODE, VM_TYPE
from config.load import validate
from tests.support.program import change, stack_file
from tests.unit.cli.state.test_belongings import OURS, THEIRS, guest, look

if TYPE_CHECKING:
    from cli.description import Description

Entry = dict[str, Any]


def component(name: str, kind: str = GUEST) -> str:
    return f"urn:pulumi:dev::p::{kind}::{name}"


def part(name: str, ending: str, type_: str = LOCAL_STEP, *, kind: str = GUEST, **more: Any) -> Entry:  # noqa: ANN401 - JSON
    urn = f"urn:pulumi:dev::p::{kind}${type_}::{name}-{ending}"
    return {"urn": urn, "type": type_, "parent": component(name, kind), **more}


def given(**values: object) -> Entry:
    return {"inputs": {"stdin": json.dumps(values)}}


STATE: Entry = {
    "version": 3,
    "deployment": {
        "manifest": {},
        "resources": [
            {"urn": component("proxmox01", NODE), "type": NODE},
            part("proxmox01", "vm", VM_TYPE, kind=NODE, inputs={"vmId": 101}),
            {"urn": component("vm01"), "type": GUEST},
            part("vm01", "vm", VM_TYPE, inputs={"vmId": 200.0, "name": "vm01"}),
            part("vm01", "guest-disk", dependencies=[part("vm01", "vm", VM_TYPE)["urn"]], **given(disk_gib=8)),
            {"urn": component("vm010"), "type": GUEST},
            part("vm010", "vm", VM_TYPE, inputs={"vmId": 210}),
            part("vm010", "vm", VM_TYPE, inputs={"vmId": 211}, delete=True),
            {"urn": component("ct01"), "type": GUEST},
            part("ct01", "container", **given(vmid=300, disk_gib=2)),
            part("ct01", "verify-guest", propertyDependencies={"stdin": [part("ct01", "container")["urn"]]}),
        ],
    },
}


def described(dev: Description, **changes: object) -> Description:
    values = {name.replace("__", "."): value for name, value in changes.items()}
    return replace(dev, config=validate(change(stack_file("dev"), values)))


def test_guests_are_read_with_their_numbers_and_disks() -> None:
    assert recorded_guests.read(STATE) == [
        RecordedGuest(component("vm01"), "vm01", "vm", 200, 8),
        RecordedGuest(component("vm010"), "vm010", "vm", 210),
        RecordedGuest(component("ct01"), "ct01", "container", 300, 2),
    ]
    assert recorded_guests.read({"deployment": {}}) == []


def test_what_is_described_as_it_is_recorded_is_let_pass(dev: Description) -> None:
    recorded_guests.refuse_others(described(dev, guests__1__diskGib=2), STATE, [])
    assert recorded_guests.renamed(dev, STATE) == (STATE, [])


@pytest.mark.parametrize(
    ("files", "is_refused"),
    [
        ({**guest(200, OURS), **guest(300, OURS, kind="lxc")}, True),
        ({**guest(200, THEIRS), **guest(300, OURS, kind="lxc")}, False),  # to take another number is the way out
        (guest(300, OURS, kind="lxc"), False),  # it is gone
    ],
)
def test_only_a_guest_that_is_there_keeps_its_number(
    dev: Description,
    files: dict[str, str],
    is_refused: bool,  # noqa: FBT001 - a case's value
) -> None:
    wanted = described(dev, guests__0__vmid=250, guests__1__diskGib=2)
    beside = look({}, cluster="")  # a machine beside the cluster does not know
    if not is_refused:
        recorded_guests.refuse_others(wanted, STATE, [beside, look(files)])
        return
    for looks in ([look(files)], [beside], []):
        with pytest.raises(AdminError) as refused:
            recorded_guests.refuse_others(wanted, STATE, looks)
        assert (refused.value.code, refused.value.observed) == (
            "guest-changed",
            "vm01 is VM 200; described: vm01 VM 250",
        )


def test_two_guests_do_not_change_names(dev: Description) -> None:
    """To the engine each would get the other's number."""
    state = change(STATE, {"deployment.resources.6.inputs.vmId": 210})
    others = [dict(one) for one in stack_file("dev")["guests"]]
    config = {**stack_file("dev"), "guests": [{**others[0], "vmid": 210}, {**others[0], "name": "vm010"}]}
    wanted = replace(dev, config=validate(config))
    assert recorded_guests.renamed(wanted, state) == (state, [])
    with pytest.raises(AdminError) as refused:
        recorded_guests.refuse_others(wanted, state, [])
    assert refused.value.observed == "vm01 is VM 200; vm010 is VM 210; described: vm01 VM 210, vm010 VM 200"


def test_the_record_follows_the_name_everywhere_and_nothing_else_changes(dev: Description) -> None:
    before = copy.deepcopy(STATE)
    state, words = recorded_guests.renamed(described(dev, guests__0__name="web", guests__1__name="files"), STATE)
    assert before == STATE, "it is not changed in place"
    assert words == ["VM 200: vm01 → web", "CT 300: ct01 → files"]
    text = json.dumps(state["deployment"]["resources"])
    assert not re.search(r"::(vm01|ct01)\b", text)
    assert text.count("::vm010") == json.dumps(STATE).count("::vm010"), "another guest whose name begins so"
    names = [one["urn"].rpartition("::")[2] for one in state["deployment"]["resources"]]
    assert names[2:5] == ["web", "web-vm", "web-guest-disk"]
    assert names[8:] == ["files", "files-container", "files-verify-guest"]
    assert state["deployment"]["resources"][3]["inputs"] == {"vmId": 200.0, "name": "vm01"}, (
        "the engine sees the change"
    )
    again = described(dev, guests__0__name="web", guests__1__name="files")
    assert recorded_guests.renamed(again, state) == (state, [])
    assert recorded_guests.renamed(dev, state)[0] == STATE, "and back"


def test_the_group_that_a_refused_run_recorded_for_the_new_name_gives_way(dev: Description) -> None:
    refused = copy.deepcopy(STATE)
    refused["deployment"]["resources"].append({"urn": component("web"), "type": GUEST})
    wanted = described(dev, guests__0__name="web")
    assert recorded_guests.renamed(wanted, refused)[0] == recorded_guests.renamed(wanted, STATE)[0]


def test_a_guest_with_another_name_and_number_is_another_guest(dev: Description) -> None:
    wanted = described(dev, guests__0__name="web", guests__0__vmid=250, guests__1__diskGib=2)
    assert recorded_guests.renamed(wanted, STATE) == (STATE, [])
    recorded_guests.refuse_others(wanted, STATE, [])


MADE = dict(stack_file("dev")["templates"][0])
WITH_TEMPLATE: Entry = {
    **STATE,
    "deployment": {
        "manifest": {},
        "resources": [
            {"urn": component(MADE["name"], GUEST_TEMPLATE), "type": GUEST_TEMPLATE},
            part(MADE["name"], "template", kind=GUEST_TEMPLATE, **given(name=MADE["name"], vmid=MADE["vmid"])),
        ],
    },
}


def renamed_template(dev: Description, **more: object) -> Description:
    guests = [
        {**one, "template": "other"} if one.get("template") == MADE["name"] else one
        for one in stack_file("dev")["guests"]
    ]
    config = {**stack_file("dev"), "templates": [{**MADE, "name": "other", **more}], "guests": guests}
    return replace(dev, config=validate(config))


@pytest.mark.parametrize("files", [guest(MADE["vmid"], OURS), None])
def test_a_template_keeps_its_name(dev: Description, files: dict[str, str] | None) -> None:
    looks = [look(files)] if files else []
    recorded_guests.refuse_others(dev, WITH_TEMPLATE, looks)
    recorded_guests.refuse_others(renamed_template(dev, vmid=9001), WITH_TEMPLATE, looks)
    with pytest.raises(AdminError) as refused:
        recorded_guests.refuse_others(renamed_template(dev), WITH_TEMPLATE, looks)
    name, vmid = MADE["name"], MADE["vmid"]
    assert (refused.value.code, refused.value.observed) == (
        "guest-changed",
        f"{name} is VM {vmid}; described: other {vmid}",
    )


def test_the_number_of_a_template_that_is_not_this_stacks_any_more_is_free(dev: Description) -> None:
    recorded_guests.refuse_others(renamed_template(dev), WITH_TEMPLATE, [look(guest(MADE["vmid"], THEIRS))])


EXISTING = {"kind": "existing", "type": "vm", "name": "web", "vmid": 250}


def recording(*parts: Entry) -> Entry:
    return {**STATE, "deployment": {"manifest": {}, "resources": [*STATE["deployment"]["resources"], *parts]}}


WITH_EXISTING = recording(
    {"urn": component("web"), "type": GUEST}, part("web", "existing-guest", **given(type="vm", vmid=250))
)


def test_an_existing_guest_is_read_and_its_record_follows_its_name(dev: Description) -> None:
    assert recorded_guests.read(WITH_EXISTING)[-1] == RecordedGuest(component("web"), "web", "vm", 250, existing=True)
    same = described(dev, guests__1__diskGib=2, **{"guests.+": EXISTING})
    recorded_guests.refuse_others(same, WITH_EXISTING, [])
    wanted = described(dev, guests__1__diskGib=2, **{"guests.+": {**EXISTING, "name": "web-250"}})
    recorded_guests.refuse_others(wanted, WITH_EXISTING, [])
    state, words = recorded_guests.renamed(wanted, WITH_EXISTING)
    assert words == ["VM 250: web → web-250"]
    assert state["deployment"]["resources"][-1]["urn"].endswith("::web-250-existing-guest")


@pytest.mark.parametrize(
    ("guest", "words", "fix"),
    [
        ({**EXISTING, "vmid": 251}, "web is VM 250, and described as VM 251", "leave web out and `make up`"),
        ({**EXISTING, "type": "container"}, "web is VM 250, and described as CT 250", "put VM 250 back"),
        ({**EXISTING, "name": "vm02", "vmid": 200}, "vm01 is VM 200", "with keep: true, and `make up`; leave it out"),
        ({**EXISTING, "name": "ct02", "vmid": 300, "type": "container"}, "ct01 is CT 300", "then describe it as existing"),
        ({**stack_file("dev")["guests"][0], "name": "web", "vmid": 250}, "web is VM 250", "put back the kind of web"),
    ],
)  # fmt: skip
def test_a_guest_is_existing_or_made_for_its_whole_record(
    dev: Description, guest: dict[str, Any], words: str, fix: str
) -> None:
    """The engine would take HA from a guest that stays described, or destroy what is to stay."""
    others = [one for one in stack_file("dev")["guests"] if one["vmid"] != guest["vmid"]]
    wanted = replace(dev, config=validate({**stack_file("dev"), "guests": [*others, guest]}))
    with pytest.raises(AdminError) as refused:
        recorded_guests.refuse_others(wanted, WITH_EXISTING, [])
    assert refused.value.code == "guest-changed"
    assert words in refused.value.observed
    assert fix in refused.value.fix
