"""What is measured: the figures as they are kept in docs/benchmarks.json. Seconds and bytes throughout."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the types at run time
from statistics import median

from pydantic import BaseModel, ConfigDict


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Figures):
    """Where it was measured; nothing here shows whose machine it is."""

    cpu: str
    cores: int
    memory: int
    kernel: str
    system: str


class Pair(_Figures):
    """Runs of a program and of an empty one, by turns: the n-th of each belong together."""

    name: str
    goal: float
    empty: list[float]
    measured: list[float]

    @property
    def ratio(self) -> float:
        """The median of the ratios of runs that belong together; what slows both down does not count."""
        return median(ours / theirs for theirs, ours in zip(self.empty, self.measured, strict=True))


class Pack(_Figures):
    """Runs of one preview by turns: with no policy pack, with one whose only rule judges nothing, with ours."""

    without: list[float]
    idle: list[float]
    ours: list[float]

    def added(self, measured: list[float]) -> float:
        """What a pack adds to the preview: the median of the differences of runs that belong together."""
        return median(one - other for one, other in zip(measured, self.without, strict=True))


class Stages(_Figures):
    """Runs by turns of programs that each do a part of what a preview of stack dev does."""

    empty: list[float]
    imports: list[float]  # imports what ours imports, and does nothing
    registrations: list[float]  # registers the resources of ours with ready inputs and without an order
    ours: list[float]

    def added(self, measured: list[float], to: list[float]) -> float:
        """The median of the differences of runs that belong together."""
        return median(one - other for one, other in zip(measured, to, strict=True))


class Peak(_Figures):
    """The most memory that the processes of one run held."""

    name: str
    largest: dict[str, int]  # process -> resident at its highest, pages shared with others included
    together: int  # all processes at the same moment, shared pages counted once


class Link(_Figures):
    """A resource on the critical path. Times count from the start of the run."""

    resource: str
    start: float
    end: float


class Looks(_Figures):
    """Previews by turns: without a look at the machines, and with one."""

    without: list[float]
    looking: list[float]

    @property
    def added(self) -> float:
        """The median of the differences of runs that belong together."""
        return median(one - other for one, other in zip(self.looking, self.without, strict=True))


class Deployment(_Figures):
    """One full `up` of stack dev on fresh machines."""

    took: float
    forming: float | None = None  # creating the cluster and both joins
    status_took: float
    path: list[Link]
    logins: dict[str, int]  # machine -> accepted SSH connections
    memory: Peak


class Previews(_Figures):
    """Figures from before anything is deployed."""

    pairs: list[Pair]
    stages: Stages
    pack: Pack
    memory: Peak


class Noops(_Figures):
    """Figures from when everything is deployed."""

    previews: list[Pair]
    ups: list[Pair]
    looks: Looks


class Outage(_Figures):
    """A guest of the node whose power was cut, in seconds since then."""

    sid: str
    last_answer: float
    fenced: float
    answering: float


class Failover(_Figures):
    """One drill."""

    node: str
    time_scale: float  # the lab's factor on HA's delays
    interval_s: float
    longest_s: float  # between two looks at a node
    real: dict[str, str]  # moment -> what real machines need
    guests: list[Outage]


class Change(_Figures):
    """One change of a live cluster, by turns: by bare commands, and by `make up`. The n-th of each belong together."""

    name: str
    bare: list[float]
    steps: list[float]  # those steps of `make up` that do it
    whole: list[float]  # all of `make up`

    @property
    def ratio(self) -> float:
        """The median of the ratios of runs that belong together; what slows both down does not count."""
        return median(ours / theirs for theirs, ours in zip(self.bare, self.steps, strict=True))


class LiveChanges(_Figures):
    """What has to do with changing a live cluster."""

    changes: list[Change]
    transitions: int  # of the plan
    planning: list[float]
    doctor: list[float]


class Changes(LiveChanges):
    """The same, with when and where it was measured: it may be of another run than the rest."""

    date: dt.date
    machine: Machine
    load: float  # as in the report


class ColdBuild(_Figures):
    """A build of the toolchain with nothing cached but the downloaded modules."""

    took: float
    machine: Machine
    date: dt.date


class Report(_Figures):
    """All figures of one run of the benchmarks."""

    date: dt.date
    machine: Machine
    load: float  # average over the minute before the start, in processes
    previews: list[Pair]
    stages: Stages | None = None
    pack: Pack | None = None  # runs of before it was measured have none
    noops: list[Pair]
    looks: Looks | None = None
    deployments: list[Deployment]
    failovers: list[Failover] = []
    changes: Changes | None = None
    bare_forming: list[float] = []  # Proxmox' own three commands on equal nodes
    preview_memory: Peak
    warm_build: list[float]
    cold_build: ColdBuild | None  # of an earlier run, where this one made none

    @property
    def typical(self) -> Deployment:
        """The full `up` of median duration; the quicker one of the middle two."""
        return sorted(self.deployments, key=lambda one: one.took)[(len(self.deployments) - 1) // 2]
