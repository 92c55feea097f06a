"""What has to be seen before the next change, of the node's own addresses: what runs is what is listed."""

from __future__ import annotations

import dataclasses

import pytest

from cluster.planning import gate
from onnode.cluster.corosync import Conf
from onnode.contract.corosync import CorosyncReport
from tests.unit.cluster.worlds import CLUSTER, joined, listed


def conf(*numbers: int) -> Conf:
    return Conf(CLUSTER, 4, [listed(number) for number in numbers])


def look(number: int, *numbers: int, uses: dict[int, str]) -> CorosyncReport:
    base = vars(joined(number, *numbers))
    kept = {field.name: base[field.name] for field in dataclasses.fields(CorosyncReport) if field.name in base}
    return CorosyncReport(**kept, local_version=4, running_version=4, addresses=uses)


BOTH = {0: "10.10.1.185", 1: "10.20.1.185"}
OTHER = {0: "10.10.1.99"}


@pytest.mark.parametrize(
    ("numbers", "uses", "amiss"),
    [
        ((1,), BOTH, []),
        ((1,), {0: "10.10.1.185"}, []),
        ((1,), OTHER, ["corosync of proxmox01 uses link 0 10.10.1.99, not link 0 10.10.1.185, link 1 10.20.1.185"]),
        ((1, 2), BOTH, []),
        (
            (1, 2),
            {0: "10.10.1.185"},
            ["corosync of proxmox01 uses link 0 10.10.1.185, not link 0 10.10.1.185, link 1 10.20.1.185"],
        ),
    ],
    ids=["alone", "alone, as corosync shows it", "alone, another address", "two", "two, and a link is missing"],
)
def test_a_node_alone_shows_its_first_link_only(
    numbers: tuple[int, ...], uses: dict[int, str], amiss: list[str]
) -> None:
    second = {0: "10.10.1.186", 1: "10.20.1.186"}
    answers = {f"proxmox0{number}": look(number, *numbers, uses=uses if number == 1 else second) for number in numbers}
    assert gate.amiss(conf(*numbers), answers) == amiss
