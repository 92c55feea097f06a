"""A QDevice on members that answer: set up in its order, adopted, exchanged, removed, or refused before anything is done."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from cluster import qdevice
from cluster.contract import ClusterChange, Machine, QDeviceSetting
from cluster.errors import AdminError
from cluster.planning import known
from cluster.planning.model import Planned, RemoveQDevice, SetQDevice
from cluster.steps import set_qdevice
from cluster.transport import members as transport
from cluster.transport.nodes import PACKAGE
from cluster.transport.ssh import Completed
from onnode.cluster import corosync, corosync_file
from onnode.cluster.corosync import Device
from onnode.contract.corosync import CorosyncReport
from onnode.contract.qdevice import QDevice, Witness
from onnode.errors import StepError
from onnode.system.originals import fingerprint
from tests.support.program import PRIVATE_KEY
from tests.unit.cluster.live_nodes import CALL, DOWN, LiveNodes
from tests.unit.cluster.worlds import CLUSTER, joined, members, quorum

if TYPE_CHECKING:
    from pathlib import Path

    from onnode.step import Outcome

SERVER = Machine("witness", "192.168.0.106", "ssh-ed25519 BBBB")
DEVICE = Device(SERVER.address, 1, "ffsplit", "on")
SETTING = QDeviceSetting(CLUSTER, members(2), SERVER, DEVICE, 5)
CHANGE = ClusterChange(CLUSTER, "dev", members(2), {}, {}, 5, witness=SERVER.address)
CONF = """\
nodelist {
  node {
    name: proxmox01
    nodeid: 1
    quorum_votes: 1
    ring0_addr: 10.10.1.185
  }
}

quorum {
  provider: corosync_votequorum
}

totem {
  cluster_name: proxmox
  config_version: 2
}
"""


class Witnessed(LiveNodes):
    """Nodes and a witness that do what the on-node steps do.

    Attributes:
        conf: the cluster's corosync.conf.
        kept: others' settings of the QDevice's section, while that is away.
        certified: the members that have a certificate.
        serving: the members whose daemon runs.
        casts: whether the server answers.
        log: what was run, in order.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        super().__init__(monkeypatch, directory)
        monkeypatch.setattr(qdevice, "POLL_S", 0.0)
        self.conf = CONF
        self.kept = ""
        self.certified: set[str] = set()
        self.serving: set[str] = set()
        self.casts = True
        self.log: list[str] = []
        self.form(1, 2)

    def run(self, node: str, command: str, stdin: str, timeout_s: float) -> Completed:
        step = command.removeprefix(f"python3 {PACKAGE} ")
        work = {
            "witness": self._witness,
            "qdevice": self._qdevice,
            "qdevice --remove": self._leave,
            "corosync-state": self._state,
            "edit-corosync": self._edit,
        }.get(step)
        if work is None:
            return super().run(node, command, stdin, timeout_s)
        changed, facts = work(node, json.loads(stdin or "{}"))
        self.log.append(f"{node}: {step}{'' if changed else ' (unchanged)'}")
        return Completed(0, f"{json.dumps({'changed': changed, 'facts': facts})}\n", "")

    def _witness(self, node: str, wanted: dict[str, Any]) -> tuple[bool, Any]:
        assert node == SERVER.name
        requests = Witness(**wanted).requests
        return bool(requests), {"authority": "PEM\n", "certificates": {name: f"signed {name}" for name in requests}}

    def _qdevice(self, node: str, wanted: dict[str, Any]) -> tuple[bool, Any]:
        asked = QDevice(**wanted)
        assert asked.authority == "PEM\n"
        before = (set(self.certified), set(self.serving))
        if asked.certificate:
            assert asked.certificate == f"signed {node}"
            self.certified.add(node)
        if asked.serve:
            assert node in self.certified
            report = self.reports[node]
            assert report.quorum
            assert report.quorum.expected == 3, "its corosync has read of it"
            self.serving.add(node)
        self._look_again()
        request = None if node in self.certified else f"request of {node}"
        return before != (self.certified, self.serving), {"request": request}

    def _leave(self, node: str, _wanted: dict[str, Any]) -> tuple[bool, Any]:
        assert "device" not in self.conf, "nobody counts its vote any more"
        there = node in self.serving | self.certified
        self.serving.discard(node)
        self.certified.discard(node)
        self._look_again()
        return there, {}

    def _state(self, node: str, _wanted: dict[str, Any]) -> tuple[bool, Any]:
        report = {**vars(self.reports[node])}
        for name in ("pve_version", "time", "authorized_keys"):
            del report[name]
        return False, dataclasses.asdict(CorosyncReport(**report, text=self.conf, kept=self.kept))

    def _edit(self, _node: str, wanted: dict[str, Any]) -> tuple[bool, Any]:
        assert wanted["replaces"] == fingerprint(self.conf)
        assert corosync_file.problems(wanted["text"]) == []
        self.kept = self.kept if wanted["kept"] is None else wanted["kept"]
        self.conf = wanted["text"]
        self._look_again()
        return True, {}

    def _look_again(self) -> None:
        conf = corosync.parse_conf(self.conf)
        assert conf
        for name, report in self.reports.items():
            casts = 1 if self.casts and conf.device and name in self.serving else 0
            self.reports[name] = dataclasses.replace(
                report,
                config_version=conf.version,
                device=conf.device,
                device_state="Connected" if name in self.serving else None,
                quorum=dataclasses.replace(
                    quorum([1, 2], expected=corosync.expected_votes(report.nodes, conf.device)),
                    device=casts if conf.device else None,
                ),
            )


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Witnessed:
    return Witnessed(monkeypatch, tmp_path)


def bring_about(**changes: Any) -> Outcome:  # noqa: ANN401 - fields as they are
    return asyncio.run(set_qdevice.bring_about(dataclasses.replace(SETTING, **changes), CALL))


def test_certificates_come_before_the_configuration_and_that_before_the_daemons(nodes: Witnessed) -> None:
    outcome = bring_about()
    assert (outcome.changed, outcome.facts) == (True, {"server": SERVER.address})
    assert nodes.log == [
        "witness: witness (unchanged)",
        "proxmox01: qdevice (unchanged)",
        "proxmox02: qdevice (unchanged)",
        "witness: witness",
        "proxmox01: qdevice",
        "proxmox02: qdevice",
        "proxmox01: corosync-state (unchanged)",
        "proxmox01: edit-corosync",
        "proxmox01: qdevice",
        "proxmox02: qdevice",
    ]
    assert corosync_file.with_device(nodes.conf, None) == corosync_file.with_version(CONF, 3)


def test_what_is_there_already_is_adopted(nodes: Witnessed) -> None:
    bring_about()
    conf = nodes.conf
    nodes.log.clear()
    assert not bring_about().changed
    assert nodes.conf == conf
    assert all(line.endswith("(unchanged)") for line in nodes.log)


def test_another_one_is_removed_first(nodes: Witnessed) -> None:
    bring_about()
    nodes.log.clear()
    assert bring_about(device=dataclasses.replace(DEVICE, tls="required")).changed
    order = [line for line in nodes.log if "edit" in line or "--remove" in line]
    assert order == [
        "proxmox01: edit-corosync",
        "proxmox01: qdevice --remove",
        "proxmox02: qdevice --remove",
        "proxmox01: edit-corosync",
    ]
    assert "tls: required" in nodes.conf
    assert "config_version: 5" in nodes.conf


def test_a_vote_that_is_not_cast_is_named_from_every_member(nodes: Witnessed) -> None:
    nodes.casts = False
    with pytest.raises(AdminError) as failed:
        bring_about(timeout_s=0)
    assert failed.value.code == "qdevice-not-as-described"
    for name in ("proxmox01", "proxmox02"):
        assert f"{name} sees no vote of the QDevice at {SERVER.address}" in failed.value.observed


def test_a_member_without_a_vote_refuses_it_before_anything_is_done(nodes: Witnessed) -> None:
    for number in (1, 2):
        nodes.change(number, quorum=quorum([1], expected=2), quorate=False)
    with pytest.raises(AdminError) as refused:
        bring_about()
    assert (refused.value.code, nodes.log, nodes.conf) == ("member-not-working", [], CONF)
    assert "no vote of proxmox02" in refused.value.observed


def test_one_that_somebody_else_set_up_is_not_removed() -> None:
    goes = [Planned(RemoveQDevice(SERVER.address), 0)]
    with pytest.raises(AdminError) as refused:
        qdevice.refuse_unknown(goes, [])
    assert refused.value.code == "qdevice-unknown"
    assert SERVER.address in refused.value.observed
    with pytest.raises(AdminError):
        qdevice.refuse_unknown(goes, ["192.168.0.99"])  # another one was described
    qdevice.refuse_unknown(goes, [SERVER.address])
    qdevice.refuse_unknown([], [])


def test_what_was_described_once_is_remembered_until_it_is_gone() -> None:
    first = known.facts(CHANGE, None, [])
    assert first["witnesses"] == [SERVER.address]
    assert known.facts(dataclasses.replace(CHANGE, witness=None), first, [])["witnesses"] == [SERVER.address]
    assert "witnesses" not in known.facts(dataclasses.replace(CHANGE, witness=None), None, [])


def release(plan: list[Planned], witness: str | None = SERVER.address, ours: list[str] | None = None) -> bool:
    async def run() -> bool:
        async with transport.connections(members(2), PRIVATE_KEY) as opened:
            described = dataclasses.replace(CHANGE, witness=witness)
            return await qdevice.release(plan, opened, described, [SERVER.address] if ours is None else ours)

    return asyncio.run(run())


def test_it_is_removed_where_the_plan_says_so_and_nowhere_else(nodes: Witnessed) -> None:
    bring_about()
    nodes.log.clear()
    assert not release([])
    assert nodes.log == []
    assert release([Planned(RemoveQDevice(SERVER.address), 0)])
    assert corosync_file.with_version(nodes.conf, 2) == CONF
    assert (nodes.serving, nodes.certified) == (set(), set())


def test_what_a_run_left_that_was_killed_after_the_configuration_is_removed(nodes: Witnessed) -> None:
    """The configuration has no QDevice any more, so no plan removes one."""
    bring_about()
    nodes.conf = corosync_file.with_device(nodes.conf, None)
    nodes._look_again()
    nodes.log.clear()
    assert not release([], ours=[]), "nobody else's is touched"
    assert not release([Planned(SetQDevice(SERVER.address), 0)]), "it is about to be used"
    assert (nodes.log, nodes.serving) == ([], {"proxmox01", "proxmox02"})
    assert release([], witness=None)
    assert (nodes.serving, nodes.certified) == (set(), set())
    assert [line for line in nodes.log if "--remove" in line] == [
        "proxmox01: qdevice --remove",
        "proxmox02: qdevice --remove",
    ]
    assert not release([], witness=None)


def foreign(nodes: Witnessed) -> None:
    """Somebody has written more into the QDevice's section."""
    nodes.conf = nodes.conf.replace("      tls:", "      connect_timeout: 9000\n      tls:")
    assert "connect_timeout" in nodes.conf


def test_what_others_wrote_into_its_section_comes_back_with_it(nodes: Witnessed) -> None:
    bring_about()
    foreign(nodes)
    bring_about(device=dataclasses.replace(DEVICE, tls="required"))
    assert "connect_timeout: 9000" in nodes.conf
    assert nodes.kept == ""
    release([Planned(RemoveQDevice(SERVER.address), 0)])
    assert "connect_timeout" not in nodes.conf
    assert "connect_timeout: 9000" in nodes.kept
    bring_about()
    assert "connect_timeout: 9000" in nodes.conf
    assert nodes.kept == ""


@pytest.mark.parametrize("away", [True, False])
def test_it_goes_with_a_qdevice_that_is_described_no_more(nodes: Witnessed, *, away: bool) -> None:
    """Also where the section is away at that time, for an odd number of nodes."""
    bring_about()
    foreign(nodes)
    goes = [Planned(RemoveQDevice(SERVER.address), 0)]
    if away:
        release(goes)
        assert nodes.kept
        assert not release([])
        assert nodes.kept
    assert release([] if away else goes, witness=None)
    assert (nodes.kept, "connect_timeout" in nodes.conf) == ("", False)


def test_nothing_is_begun_while_somebody_edits_the_configuration(nodes: Witnessed) -> None:
    nodes.change(2, edited=True)
    with pytest.raises(StepError) as refused:
        bring_about()
    assert (refused.value.code, nodes.log, nodes.conf) == ("corosync-edited", [], CONF)
    assert "/etc/pve/corosync.conf.new, seen on proxmox02" in refused.value.observed
    nodes.change(2, edited=False)
    bring_about()
    nodes.change(2, edited=True)
    assert not bring_about().changed, "nothing is to be written"


def test_a_silent_member_does_not_keep_it(nodes: Witnessed) -> None:
    """Its own copy of the configuration follows when it is back, and its daemon then finds no QDevice."""
    bring_about()
    nodes.silent["proxmox02"] = DOWN
    assert release([Planned(RemoveQDevice(SERVER.address), 0)])
    assert "device" not in nodes.conf
    assert nodes.serving == {"proxmox02"}


@pytest.mark.parametrize(("votes", "expected"), [(1, 5), (None, 7)])
def test_votes_of_a_qdevice_are_expected(votes: int | None, expected: int) -> None:
    report = joined(1, 1, 2, 3, 4)
    assert corosync.expected_votes(report.nodes, Device(SERVER.address, votes)) == expected
    assert corosync.expected_votes(report.nodes) == len(report.nodes)
