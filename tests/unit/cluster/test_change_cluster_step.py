"""Votes, links and settings of a live cluster: written on one member, seen on all, and undone where that fails."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from cluster import changing, corosync_change, formation, proxmox_ve
from cluster.call import Call
from cluster.contract import ClusterChange, Member
from cluster.corosync_change import CorosyncChange
from cluster.errors import AdminError
from cluster.marks import Look
from cluster.motion import Motion
from cluster.planning import gate, known
from cluster.planning.model import ChangeLinkAddress
from cluster.steps import change_cluster
from cluster.transport.nodes import PACKAGE
from cluster.transport.ssh import Completed
from onnode.cluster.corosync import ConfNode, Device, PeerLink, Quorum, Voter, parse_conf
from onnode.cluster.corosync_file import with_version, without_addresses
from onnode.contract.corosync import CorosyncConfig, CorosyncReport
from onnode.contract.removal import KeepMembers
from onnode.errors import StepError
from onnode.system.originals import fingerprint
from tests.support.corosync_conf import corosync_conf
from tests.unit.cluster.live_nodes import CALL, DOWN, Act, LiveNodes
from tests.unit.cluster.worlds import CLUSTER, joined, members

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cluster.transport.ssh import Connection
    from onnode.step import Outcome

NUMBERS = (1, 2, 3)


def conf_text(described: list[Member], version: int = 3) -> str:
    priorities = {link.number: link.priority for link in described[0].links}
    return corosync_conf(CLUSTER, version, map(formation.described, described), priorities)


class Corosync(LiveNodes):
    """Three members whose corosync takes what is written on one of them.

    Attributes:
        text: the cluster's corosync.conf.
        written: all that were in force, in order.
        cut: links that connect nobody, with the configuration from which on: text that must be in it.
        elsewhere: a node that link 1 connects with nobody, while it has this address there.
        stubborn: a node whose corosync stays with the version that it runs.
        noted: the members that have yet to restart.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        super().__init__(monkeypatch, directory, *(joined(number, *NUMBERS) for number in NUMBERS))
        self.text = conf_text(members(3))
        self.written = [self.text]
        self.cut: Callable[[str, int], bool] = lambda _text, _link: False
        self.elsewhere = ("", "")
        self.stubborn: tuple[str, int] | None = None
        self.noted: list[str] = []
        self.edited: Callable[[], None] = lambda: None

    def state(self, node: str) -> CorosyncReport:
        conf = parse_conf(self.text)
        assert conf is not None
        base = vars(self.reports[node])
        kept = {field.name: base[field.name] for field in dataclasses.fields(CorosyncReport) if field.name in base}
        own = conf.node(node)
        assert own is not None
        version = self.stubborn[1] if self.stubborn and self.stubborn[0] == node else conf.version
        votes = sum(one.votes for one in conf.nodes)
        kept |= {
            "config_version": conf.version,
            "nodes": conf.nodes,
            "priorities": conf.priorities,
            "totem": conf.totem,
            "quorum": Quorum(
                quorate=True,
                expected=votes,
                total=votes,
                needed=votes // 2 + 1,
                members=[Voter(one.id, one.votes, "") for one in conf.nodes if one.name not in self.silent],
            ),
            "links": [
                PeerLink(peer.id, link, connected=not self.cut(self.text, link) and not self._is_off(node, peer, link))
                for peer in conf.nodes
                for link in peer.links
                if peer.name != node
            ],
        }
        return CorosyncReport(
            **kept,
            text=self.text,
            local_version=conf.version,
            running_version=version,
            addresses=own.links,
            restarts=self.noted,
        )

    def _is_off(self, node: str, peer: ConfNode, link: int) -> bool:
        name, address = self.elsewhere
        return link == 1 and name in (node, peer.name) and address in self.text

    def run(self, node: str, command: str, stdin: str, timeout_s: float) -> Completed:
        _, _, step = command.partition(f"python3 {PACKAGE} ")
        if step == "corosync-state":
            self.facts[step] = dataclasses.asdict(self.state(node))
            done = super().run(node, command, "", timeout_s)
            self.acts.pop()  # a look
            return done
        if step == "edit-corosync":
            wanted = CorosyncConfig(**json.loads(stdin))
            assert wanted.replaces == fingerprint(self.text)
            self.text = wanted.text
            self.written.append(self.text)
            self.noted = sorted({*self.noted, *wanted.restarts})
            self.acts.append(Act(node, step, wanted, timeout_s))
            self.edited()
            return Completed(0, json.dumps({"changed": True, "facts": {}}), "")
        if step == "restart-corosync":
            self.noted = [name for name in self.noted if name != node]
            self.acts.append(Act(node, step, json.loads(stdin), timeout_s))
            return Completed(0, json.dumps({"changed": True, "facts": {}}), "")
        if step == "membership":
            self.reports[node] = dataclasses.replace(
                self.reports[node],
                **{
                    key: getattr(self.state(node), key)
                    for key in ("nodes", "priorities", "totem", "config_version", "links")
                },
            )
        return super().run(node, command, stdin, timeout_s)


HA = Motion(frozenset(), frozenset(), {}, {}, {"vm:200": {"state": "started", "node": "proxmox01"}})


@pytest.fixture
def at_rest(monkeypatch: pytest.MonkeyPatch) -> list[Motion]:
    """What the HA manager shows at each look, the last one from then on."""
    shown = [HA]

    async def look(connection: Connection, stack: str) -> Look:
        assert stack == "dev"
        name = connection.machine.name
        motion = shown.pop(0) if len(shown) > 1 else shown[0]
        return Look(name, name, quorate=True, things=(), cluster=CLUSTER, motion=motion)

    monkeypatch.setattr(proxmox_ve, "look", look)
    return shown


@pytest.fixture
def corosync(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at_rest: list[Motion]) -> Corosync:
    assert at_rest == [HA]
    monkeypatch.setattr(corosync_change, "POLL_S", 0)
    monkeypatch.setattr(changing, "POLL_S", 0.01)
    return Corosync(monkeypatch, tmp_path)


def wanted(
    *, votes: int = 1, priority: int = 10, second: str = "10.20.1", totem: dict[str, str] | None = None
) -> ClusterChange:
    described = [
        dataclasses.replace(
            one,
            votes=votes if one.node_id == 1 else 1,
            links=[
                one.links[0],
                dataclasses.replace(one.links[1], address=f"{second}.{184 + one.node_id}", priority=priority),
            ],
        )
        for one in members(3)
    ]
    return ClusterChange(CLUSTER, "dev", described, {}, totem or {}, timeout_s=1)


def bring_about(desired: ClusterChange, call: Call = CALL) -> Outcome:
    return asyncio.run(change_cluster.bring_about(desired, call))


def refused(desired: ClusterChange, call: Call = CALL) -> AdminError:
    with pytest.raises(AdminError) as error:
        bring_about(desired, call)
    return error.value


def ends(text: str) -> dict[int, set[str]]:
    """The addresses of each link."""
    conf = parse_conf(text)
    assert conf is not None
    return {
        link: {node.links[link] for node in conf.nodes if link in node.links}
        for node in conf.nodes
        for link in node.links
    }


def test_a_cluster_as_described_is_left_alone(corosync: Corosync) -> None:
    assert not bring_about(wanted()).changed
    assert corosync.done == []


def test_a_removal_that_was_taken_back_ends(corosync: Corosync) -> None:
    corosync.is_leaving = True
    assert bring_about(wanted()).changed
    assert not bring_about(wanted()).changed
    assert corosync.staying == [KeepMembers(["proxmox01", "proxmox02", "proxmox03"], "stack-dev")] * 2


def test_what_an_earlier_run_left_of_a_qdevice_goes_where_this_stack_had_described_one(corosync: Corosync) -> None:
    corosync.facts["qdevice --remove"] = {}
    before = {"cluster": CLUSTER, "members": {}, "witnesses": ["192.168.0.106"]}
    outcome = asyncio.run(change_cluster.bring_about(wanted(), Call(CALL.secrets, before)))
    assert (outcome.changed, outcome.facts["witnesses"]) == (True, ["192.168.0.106"])
    assert corosync.done == [(f"proxmox0{number}", "qdevice --remove") for number in NUMBERS]


def test_a_qdevice_of_somebody_else_stays_also_where_the_step_runs_alone(corosync: Corosync) -> None:
    for name, report in corosync.reports.items():
        corosync.reports[name] = dataclasses.replace(report, device=Device("192.168.0.99"))
    error = refused(wanted(votes=2))
    assert (error.code, corosync.done) == ("qdevice-unknown", [])
    assert "pvecm qdevice remove" in error.fix


def test_each_change_is_one_version_that_is_seen_before_the_next(corosync: Corosync) -> None:
    assert bring_about(wanted(votes=2, priority=7, totem={"token": "5000"})).changed
    confs = [parse_conf(text) for text in corosync.written]
    assert [conf.version for conf in confs if conf] == [3, 4, 5, 6]
    last = confs[-1]
    assert last is not None
    assert (last.nodes[0].votes, last.priorities[1], last.totem["token"]) == (2, 7, "5000")
    assert not bring_about(wanted(votes=2, priority=7, totem={"token": "5000"})).changed


def test_a_link_is_out_of_use_before_it_gets_other_addresses(corosync: Corosync) -> None:
    bring_about(wanted(second="10.21.1"))
    first = {"10.10.1.185", "10.10.1.186", "10.10.1.187"}
    assert [ends(text).get(1, set()) for text in corosync.written] == [
        {"10.20.1.185", "10.20.1.186", "10.20.1.187"},
        set(),
        {"10.21.1.185", "10.21.1.186", "10.21.1.187"},
    ]
    assert all(ends(text)[0] == first for text in corosync.written)


def without_third(desired: ClusterChange) -> ClusterChange:
    return dataclasses.replace(desired, members=desired.members[:2])


def half_done(corosync: Corosync) -> None:
    """As after a run that was killed between the two stages of a change of link 1."""
    corosync.text = with_version(without_addresses(corosync.text, 1), 4)


REMEMBERED = known.facts(wanted(), None, [])
IDENTITY = Call(CALL.secrets, None, REMEMBERED)


def test_a_link_that_was_cut_off_half_way_is_finished_while_a_node_is_listed_that_leaves(corosync: Corosync) -> None:
    half_done(corosync)
    assert bring_about(without_third(wanted(second="10.21.1")), IDENTITY).changed
    assert ends(corosync.text)[1] == {"10.21.1.185", "10.21.1.186", "10.20.1.187"}
    assert not bring_about(without_third(wanted(second="10.21.1")), IDENTITY).changed


def test_without_a_remembered_end_of_the_node_that_leaves_it_is_refused(corosync: Corosync) -> None:
    half_done(corosync)
    one_link = [dataclasses.replace(one, links=one.links[:1]) for one in wanted().members]
    never_on_it = known.facts(dataclasses.replace(wanted(), members=one_link), None, [])
    error = refused(without_third(wanted()), Call(CALL.secrets, None, never_on_it))
    assert error.code == "link-while-leaving"
    assert error.fix.startswith("leave link 1 out of cluster.links in this run")
    assert corosync.done == []


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_link_to_a_node_that_leaves_may_end(corosync: Corosync, *, cut_off: bool) -> None:
    """The others get a link in another network, where that node has no address. It votes by the other link."""
    corosync.elsewhere = ("proxmox03", "10.21.1")
    if cut_off:
        half_done(corosync)
    assert bring_about(without_third(wanted(second="10.21.1")), IDENTITY).changed
    assert ends(corosync.text)[1] == {"10.21.1.185", "10.21.1.186", "10.20.1.187"}


def test_a_link_to_a_node_that_stays_may_not(corosync: Corosync) -> None:
    corosync.elsewhere = ("proxmox03", "10.21.1")
    error = refused(wanted(second="10.21.1"), IDENTITY)
    assert error.code == "change-undone"
    assert "link 1 from proxmox01 to proxmox03 is not connected" in error.observed


def test_a_node_that_leaves_has_to_vote_all_the_same(corosync: Corosync) -> None:
    corosync.edited = lambda: setattr(corosync, "stubborn", ("proxmox03", 3))
    error = refused(without_third(wanted(second="10.21.1")), IDENTITY)
    assert error.code == "change-stuck"
    assert "corosync of proxmox03 runs version 3" in error.observed


def test_what_does_not_work_goes_back_by_the_same_way(corosync: Corosync) -> None:
    before = corosync.text
    corosync.cut = lambda text, link: link == 1 and "10.21.1.185" in text
    error = refused(wanted(second="10.21.1"))
    assert error.code == "change-undone"
    assert "link 1 from proxmox01 to proxmox02 is not connected" in error.observed
    assert [sorted(ends(text)) for text in corosync.written] == [[0, 1], [0], [0, 1], [0], [0, 1]]
    assert corosync.text == with_version(before, 7)


def test_a_link_that_is_cut_meanwhile_does_not_keep_the_former_configuration_from_coming_back(
    corosync: Corosync,
) -> None:
    before = corosync.text
    corosync.edited = lambda: setattr(corosync, "cut", lambda _text, link: link == 1)
    assert refused(wanted(second="10.21.1")).code == "change-undone"
    assert corosync.text == with_version(before, 7)


def test_a_corosync_that_refuses_the_configuration_is_seen(corosync: Corosync) -> None:
    corosync.edited = lambda: setattr(corosync, "stubborn", ("proxmox02", 3) if len(corosync.written) == 2 else None)
    error = refused(wanted(votes=2))
    assert error.code == "change-undone"
    assert "corosync of proxmox02 runs version 3 of its configuration, not 4" in error.observed


def test_what_can_neither_be_done_nor_undone_is_told(corosync: Corosync) -> None:
    corosync.edited = lambda: setattr(corosync, "stubborn", ("proxmox02", 3))
    error = refused(wanted(votes=2))
    assert error.code == "change-stuck"
    assert "not 4" in error.observed
    assert "not 5" in error.observed


def test_nothing_is_changed_while_a_member_is_away(corosync: Corosync) -> None:
    corosync.silent["proxmox03"] = DOWN
    error = refused(wanted(votes=2))
    assert error.code == "change-not-ready"
    assert "proxmox03 does not answer (host-unreachable)" in error.observed
    assert len(corosync.written) == 1


def test_nothing_is_changed_while_somebody_edits_the_configuration(corosync: Corosync) -> None:
    corosync.change(2, edited=True)
    with pytest.raises(StepError) as refused:
        bring_about(wanted(votes=2))
    assert refused.value.code == "corosync-edited"
    assert len(corosync.written) == 1
    corosync.change(2, edited=False)
    assert bring_about(wanted(votes=2)).changed


def test_a_link_that_was_broken_before_holds_up_no_other_change(corosync: Corosync) -> None:
    corosync.cut = lambda _text, link: link == 1
    assert bring_about(wanted(votes=2)).changed
    assert len(corosync.written) == 2


def test_what_only_a_restart_takes_restarts_one_node_after_another(corosync: Corosync) -> None:
    bring_about(wanted(totem={"link_mode": "active"}))
    assert [node for node, step in corosync.done if step == "restart-corosync"] == [
        "proxmox01",
        "proxmox02",
        "proxmox03",
    ]
    assert corosync.noted == []


def test_restarts_that_an_earlier_run_left_are_done(corosync: Corosync) -> None:
    corosync.noted = ["proxmox02"]
    assert bring_about(wanted()).changed
    assert corosync.done == [("proxmox02", "restart-corosync")]


def test_no_corosync_is_restarted_while_ha_moves_a_guest(corosync: Corosync, at_rest: list[Motion]) -> None:
    corosync.noted = ["proxmox02"]
    moving = dataclasses.replace(HA, services={"vm:200": {"state": "migrate", "node": "proxmox01"}})
    at_rest[:] = [moving]
    error = refused(wanted())
    assert error.code == "change-not-ready"
    assert "vm:200" in error.observed
    assert corosync.done == []
    at_rest[:] = [moving, moving, moving, HA]
    assert bring_about(wanted()).changed


def saving(*running: str) -> Motion:
    return dataclasses.replace(HA, backups=frozenset(running))


MOVING = dataclasses.replace(HA, services={"vm:200": {"state": "migrate", "node": "proxmox01", "target": "proxmox02"}})


@pytest.mark.parametrize(
    ("going_on", "told"),
    [
        (saving("a backup of guest 100 runs on proxmox02"), "a backup of guest 100 runs on proxmox02"),
        (MOVING, "vm:200: HA is moving it from proxmox01 to proxmox02 (state migrate)"),
        (
            dataclasses.replace(HA, migrating={"vm:101": "proxmox03"}, running=frozenset({"vm:101"})),
            "vm:101 is locked for a migration on proxmox03",
        ),
    ],
    ids=["backup", "HA", "migration"],
)
def test_links_change_when_what_goes_on_has_ended(
    corosync: Corosync, at_rest: list[Motion], capsys: pytest.CaptureFixture[str], going_on: Motion, told: str
) -> None:
    at_rest[:] = [going_on]
    error = refused(wanted(second="10.21.1"))
    assert (error.code, error.observed) == ("cluster-busy", told)
    assert corosync.done == []
    capsys.readouterr()
    at_rest[:] = [going_on] * 5 + [HA]
    assert bring_about(wanted(second="10.21.1")).changed
    said = capsys.readouterr().err
    assert said.count(f"waiting, before the cluster is changed: {told}\n") == 1


@pytest.mark.parametrize("going_on", [MOVING, saving("a backup runs on proxmox02")])
def test_what_disturbs_nothing_waits_for_nothing(corosync: Corosync, at_rest: list[Motion], going_on: Motion) -> None:
    at_rest[:] = [going_on]
    assert bring_about(wanted(votes=2, priority=7)).changed
    assert corosync.done


@pytest.mark.parametrize(
    "service",
    [
        {"state": "error", "node": "proxmox01", "cmd": ["migrate", "proxmox02"]},
        {"state": "recovery", "node": "proxmox09"},
    ],
)
def test_what_never_ends_by_itself_holds_up_nothing(
    corosync: Corosync, at_rest: list[Motion], service: dict[str, object]
) -> None:
    at_rest[:] = [dataclasses.replace(HA, services={"vm:200": service}, offline=frozenset({"proxmox09"}))]
    assert bring_about(wanted(second="10.21.1")).changed
    assert corosync.done
    at_rest[:] = [dataclasses.replace(HA, services={"vm:200": {**service, "state": "migrate", "node": "proxmox01"}})]
    assert refused(wanted(second="10.22.1")).code == "cluster-busy"


def test_a_lock_that_a_failed_migration_left_holds_up_nothing(corosync: Corosync, at_rest: list[Motion]) -> None:
    left_behind = dataclasses.replace(HA, migrating={"vm:101": "proxmox03"}, online=frozenset({"proxmox01"}))
    at_rest[:] = [left_behind]
    assert bring_about(wanted(second="10.21.1")).changed
    assert ends(corosync.text)[1] == {"10.21.1.185", "10.21.1.186", "10.21.1.187"}
    at_rest[:] = [dataclasses.replace(left_behind, online=frozenset({"proxmox01", "proxmox09"}))]
    error = refused(wanted())
    assert error.code == "cluster-busy", "a member that was not asked may run it"
    assert "not every member reported whether it runs one" in error.observed


def test_without_a_member_that_can_tell_nothing_is_changed(corosync: Corosync, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(connection: Connection, _stack: str) -> Look:
        return Look(connection.machine.name, connection.machine.name, quorate=False, things=(), cluster=CLUSTER)

    monkeypatch.setattr(proxmox_ve, "look", look)
    error = refused(wanted(second="10.21.1"))
    assert (error.code, error.observed) == ("cluster-busy", "no quorate member answers")
    corosync.noted = ["proxmox02"]
    error = refused(wanted())
    assert (error.code, error.observed) == ("change-not-ready", "no quorate member answers")
    assert corosync.done == []


def test_nodes_without_a_cluster_are_left_alone(nodes: LiveNodes) -> None:
    assert not bring_about(wanted(votes=2)).changed
    assert nodes.done == []


def test_a_link_is_not_taken_out_while_the_other_one_is_broken(corosync: Corosync) -> None:
    """Seen again right before: the plan was made from an earlier look."""
    conf = parse_conf(corosync.text)
    assert conf is not None
    broken = frozenset({("proxmox02", "proxmox03", 0)})
    assert gate.apart(conf, {1}, broken) == ["no other link connects proxmox02 and proxmox03"]
    assert gate.apart(conf, {0}, broken) == []
    assert gate.apart(conf, set(), broken) == []
    told = CorosyncChange({}, "dev", 1)
    answers = {name: corosync.state(name) for name in ("proxmox01", "proxmox02", "proxmox03")}
    answers["proxmox02"] = dataclasses.replace(
        answers["proxmox02"],
        links=[dataclasses.replace(one, connected=one.link != 0) for one in answers["proxmox02"].links],
    )

    async def ready(_words: str) -> dict[str, CorosyncReport]:
        return answers

    object.__setattr__(told, "_ready", ready)
    with pytest.raises(AdminError) as error:
        asyncio.run(told.run(ChangeLinkAddress(1, {"proxmox01": "10.21.1.185"}), "link 1"))
    assert error.value.code == "change-not-ready"
    assert "no other link connects proxmox01 and proxmox02" in error.value.observed
    assert len(corosync.written) == 1


def test_a_restart_that_is_wanted_of_a_node_that_left_is_no_matter(corosync: Corosync) -> None:
    corosync.noted = ["proxmox02", "proxmox09"]
    assert bring_about(wanted()).changed
    assert corosync.done == [("proxmox02", "restart-corosync")]


def test_what_nobody_could_tell_is_not_taken_for_no_cluster(nodes: LiveNodes) -> None:
    """A step that ended well would forget the nodes that are to be removed."""
    for number in NUMBERS:
        nodes.silent[f"proxmox0{number}"] = DOWN
    with pytest.raises(AdminError) as error:
        bring_about(wanted())
    assert error.value.code == "host-unreachable"
