"""What a node reports is read into the values that it was made of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.errors import AdminError
from cluster.reports import read
from onnode.contract.documents import document
from onnode.contract.health import GuestStatus, Ha, HaService, Health, Kernel, Watchdog
from onnode.contract.membership import Membership, MembershipReport
from tests.unit.cluster.worlds import joined

REPORT = joined(1, 1, 2, 3)
HEALTH = Health(
    **{name: getattr(REPORT, name) for name in Membership.__dataclass_fields__},
    pve_version="9.1.1",
    kernel=Kernel("6.14.8-2-pve", None, reboot_missing=True),
    services={"corosync": True},
    watchdog=Watchdog(device=True, socket=False),
    busy="prepare-node",
    time=1000.5,
    ha=Ha("proxmox01", {"proxmox01": "active"}, {"vm:200": HaService("proxmox01", None)}),
    running_guests=[GuestStatus(200, "qemu", None, "running", template=False, ha="started")],
)


def sent(report: Membership, **changes: object) -> dict[str, Any]:
    """As it comes over the line: JSON knows no numbers as keys."""
    facts: dict[str, Any] = json.loads(json.dumps(document(report) | changes))
    return facts


@pytest.mark.parametrize("report", [REPORT, HEALTH, MembershipReport("pve1", "absent")])
def test_both_ends_see_the_same(report: Membership) -> None:
    assert read(type(report), "proxmox01", sent(report)) == report


def test_what_a_newer_package_reports_beside_is_left_out() -> None:
    assert read(MembershipReport, "proxmox01", sent(REPORT, further="news")) == REPORT


def test_a_report_of_another_form_names_what_is_not_as_known() -> None:
    with pytest.raises(AdminError) as refused:
        read(MembershipReport, "proxmox01", sent(REPORT, nodes=[{"name": "proxmox01"}]))
    assert refused.value.code == "step-broken"
    assert "nodes.0.id" in (refused.value.observed or "")
