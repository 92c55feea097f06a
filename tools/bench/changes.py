"""A live cluster changes: by `make up` and by bare commands in turn, on the same machines.

Each round begins with four nodes, without a QDevice. What a turn must find is made beforehand, and not measured.
The reports of the runs have the engine's times of each step.
"""

from __future__ import annotations

import copy
import json
import os
from statistics import fmean
from typing import TYPE_CHECKING, Any

import yaml

from cli.console import err
from config.paths import OWN, ROOT
from tools.bench import bare_changes, planning
from tools.bench.bare_changes import Leaver
from tools.bench.errors import BenchError
from tools.bench.figures import Change, LiveChanges
from tools.bench.many_nodes import KEY, with_nodes
from tools.bench.program import Program
from tools.bench.workspace import STACK

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

WITNESS = {"name": "witness", "address": "192.168.0.106"}
LINK = 1
MOVED, WITNESSED, REMOVED = (
    "three nodes get other addresses on a link",
    "four nodes get a QDevice",
    "one of four nodes leaves",
)
# The steps that do it. For a link, they set up the addresses, prove them, and change corosync.conf.
STEPS = {
    MOVED: ("proxmox01-network", "proxmox02-network", "proxmox03-network", "cluster-preflight", "cluster-change"),
    WITNESSED: ("cluster-qdevice",),
    REMOVED: ("cluster-removal",),
}
# So that nobody measures apt: the witness has its package by then, too.
PACKAGE = "apt-get install -qq --no-install-recommends corosync-qdevice > /dev/null 2>&1"


def measured(rounds: int, looks: int) -> LiveChanges:
    """Build a cluster of three, and change it.

    Args:
        rounds: how often each change is made.
        looks: how often `make doctor` runs.

    Raises:
        BenchError: something of it did not work.
    """
    transitions, planned = planning.measured()
    cluster = Cluster()
    diagnosed: list[float] = []
    cluster.up(cluster.four)
    for number in range(1, rounds + 1):
        cluster.add_device()
        cluster.remove_node()
        if not diagnosed:
            doctor = cluster.program.admin("doctor")
            diagnosed = [doctor.seconds() for _ in range(looks)]
        cluster.move_link(number)
        cluster.up(cluster.four)
        cluster.remove_node_barely()
        if number < rounds:
            cluster.up(cluster.three)  # what the bare commands left goes
            cluster.up(cluster.four)
    return LiveChanges(changes=cluster.changes, transitions=transitions, planning=planned, doctor=diagnosed)


def busy(operations: Iterable[Mapping[str, Any]], names: Collection[str]) -> float:
    """Seconds in which the engine worked on any of these resources; what is done at the same time counts once. Pure.

    Args:
        operations: of a run's report.
        names: the resources.

    Raises:
        BenchError: it did nothing about one of them.
    """
    found = {
        one["resource"]: (one["start"], one["start"] + one["seconds"]) for one in operations if one["resource"] in names
    }
    if missing := set(names) - found.keys():
        raise BenchError(f"`make up` did nothing about {', '.join(sorted(missing))}")
    total, until = 0.0, 0.0
    for start, end in sorted(found.values()):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


class Cluster:
    """The cluster, the stack files that describe it, and what was measured so far."""

    def __init__(self) -> None:
        self.file = ROOT / f"Pulumi.{STACK}.yaml"
        document = yaml.safe_load(self.file.read_text())
        self.program = Program(ROOT, STACK, os.environ)
        self._removed = (0.0, 0.0)
        self.changes = [Change(name=name, bare=[], steps=[], whole=[]) for name in STEPS]
        self.four = with_nodes(document, 4)
        self.leaver = self.four["config"][KEY.format("nodes")][-1]
        host = document["config"][KEY.format("outerHosts")][0]
        self.host = host["address"]
        self.four["config"][KEY.format("outerHosts")][0]["cores"] = host[
            "cores"
        ]  # `make doctor` would see more as a mistake

    @property
    def three(self) -> dict[str, Any]:
        """The stack file without the node that comes and goes. Its QDevice is not in use, as the number is odd: the witness stays."""
        found = self.witnessed
        del found["config"][KEY.format("nodes")][-1]
        return found

    @property
    def witnessed(self) -> dict[str, Any]:
        """The stack file with that node, and with a QDevice."""
        found = copy.deepcopy(self.four)
        found["config"][KEY.format("cluster")]["qdevice"] = {"machine": WITNESS, "tls": "required"}
        return found

    @property
    def staying(self) -> list[dict[str, Any]]:
        """The nodes that stay."""
        found: list[dict[str, Any]] = self.four["config"][KEY.format("nodes")][:-1]
        return found

    @property
    def members(self) -> list[str]:
        """The management addresses of all four."""
        return [node["address"] for node in (*self.staying, self.leaver)]

    def up(self, document: Mapping[str, Any]) -> float:
        """Seconds of `make up` with this stack file."""
        self.file.write_text(yaml.safe_dump(document, sort_keys=False))
        return self.program.admin("up", "--yes").seconds()

    def moves(self, number: int) -> list[tuple[str, str, str]]:
        """For each node that stays: its management address, its address on the link, and another one there."""
        rows = [
            (node["address"], node["links"][LINK], 100 + 10 * node["nodeId"] + number % 10) for node in self.staying
        ]
        return [(machine, former, f"{former.rpartition('.')[0]}.{last}") for machine, former, last in rows]

    def move_link(self, number: int) -> None:
        """To other addresses by `make up`, back and there again by bare commands."""
        moves = self.moves(number)
        for node, (_, _, new) in zip(self.staying, moves, strict=True):
            node["links"][LINK] = new
        whole, steps = self._changed(MOVED, self.three)
        back = [(machine, new, former) for machine, former, new in moves]
        self._keep(MOVED, fmean(bare_changes.move_link(LINK, one) for one in (back, moves)), steps, whole)

    def add_device(self) -> None:
        """By `make up`, away and again by bare commands. At last it is gone."""
        bare_changes.run(self.members, PACKAGE)
        server, cluster = WITNESS["address"], self.four["config"][KEY.format("cluster")]["name"]
        whole, steps = self._changed(WITNESSED, self.witnessed)
        bare_changes.remove_device(self.members, server, cluster)
        self._keep(WITNESSED, bare_changes.add_device(self.members, server, cluster), steps, whole)
        bare_changes.remove_device(self.members, server, cluster)

    def remove_node(self) -> None:
        """By `make up`; the bare commands have their turn when the node is there again."""
        self._removed = self._changed(REMOVED, self.three)

    def remove_node_barely(self) -> None:
        """By bare commands."""
        node = self.leaver
        addresses = (node["address"], *node["links"])
        leaver = Leaver(node["name"], node["nodeId"], addresses, node["vmid"], self.host)
        whole, steps = self._removed
        self._keep(REMOVED, bare_changes.remove_node(self.members[:-1], leaver), steps, whole)

    def _changed(self, name: str, document: Mapping[str, Any]) -> tuple[float, float]:
        """Seconds of `make up` with this stack file, and of the steps that make the change."""
        whole = self.up(document)
        newest = max((OWN / "reports").glob(f"*-{STACK}-up.json"))
        return whole, busy(json.loads(newest.read_text())["operations"], STEPS[name])

    def _keep(self, name: str, bare: float, steps: float, whole: float) -> None:
        change = next(one for one in self.changes if one.name == name)
        change.bare.append(bare)
        change.steps.append(steps)
        change.whole.append(whole)
        err.print(f"  {name}: bare {bare:.1f} s, steps {steps:.1f} s, all of make up {whole:.1f} s", markup=False)
