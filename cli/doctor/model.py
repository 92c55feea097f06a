"""What `doctor` is given, and what it says. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from onnode.cluster import corosync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cluster.contract import Machine, Member
    from onnode.cluster.corosync import ConfNode
    from onnode.contract.diagnosis import ConfFile, DiagnosisReport
    from onnode.contract.look import Refusal

# Errors of a machine that does not answer at all; one that refuses a key, or lets one in and is slow, is on.
NO_ANSWER = ("host-unreachable",)
# What is wrong with a node or the cluster, before anybody asks why: its kind, and the names that it is about.
Symptom = tuple[str, ...]


@dataclass(frozen=True)
class Need:
    """What the nested nodes of an outer host take of it, and the datastore of their disks."""

    cores: int
    disk_gib: Mapping[str, int]  # by node
    storage: str | None  # None: its file system, of which the verification of the host says whether there is room


@dataclass(frozen=True)
class Expected:
    """What the stack file says.

    Attributes:
        stack, cluster, pve_major: names, and the version.
        members: the nodes.
        hosts: the outer hosts.
        housing: the outer host of each nested node.
        storages: the names of all that are described.
        needs: of the outer hosts, by name.
        of_libvirt: the names of the outer hosts that run libvirt, and no Proxmox VE.
    """

    stack: str
    cluster: str
    pve_major: int
    members: list[Member]
    hosts: list[Machine] = field(default_factory=list)
    housing: Mapping[str, str] = field(default_factory=dict)
    storages: list[str] = field(default_factory=list)
    needs: Mapping[str, Need] = field(default_factory=dict)
    of_libvirt: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Silence:
    """Why a machine said nothing: the name of the error, what was observed, and what leads on."""

    code: str
    observed: str = ""
    next: str = ""


@dataclass(frozen=True)
class Seen:
    """What the machines show.

    Attributes:
        reports: of machines that answered, by name; outer hosts among them.
        silent: the others.
        offsets_s: of the machines' clocks, by that of this machine.
        now: this machine's clock, seconds since 1970.
        refusals: what an outer host would be refused for.
        made: nested nodes whose VM is on its outer host; None: nobody could say.
    """

    reports: Mapping[str, DiagnosisReport]
    silent: Mapping[str, Silence] = field(default_factory=dict)
    offsets_s: Mapping[str, float] = field(default_factory=dict)
    now: float = 0.0
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    made: frozenset[str] | None = None


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong by itself.

    Attributes:
        name: never changes; docs/doctor.md lists them.
        where: the name of a machine, "cluster", or "here".
        what: what is wrong.
        seen_by: the machines that show it.
        why: how it came to be known, or what it leads to.
        next: the command, or the act.
        explains: what else is wrong because of it.
    """

    name: str
    where: str
    what: str
    seen_by: list[str]
    why: str
    next: str
    explains: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class World:
    """Both together, and what follows from them."""

    expected: Expected
    seen: Seen

    @cached_property
    def members(self) -> dict[str, Member]:
        """The described nodes, by name."""
        return {member.name: member for member in self.expected.members}

    @cached_property
    def nodes(self) -> dict[str, DiagnosisReport]:
        """What the described nodes report that answered."""
        return {name: self.seen.reports[name] for name in self.members if name in self.seen.reports}

    @cached_property
    def configured(self) -> dict[str, DiagnosisReport]:
        """Those that have a cluster's configuration, of whichever cluster."""
        return {name: report for name, report in self.nodes.items() if report.shared or report.local}

    @cached_property
    def joined(self) -> dict[str, DiagnosisReport]:
        """Those that have the configuration of the described cluster."""
        return {name: report for name, report in self._bear_the_name.items() if not self._has_another_key(name)}

    @cached_property
    def foreign(self) -> dict[str, str | None]:
        """Those of another cluster, with its name; nothing that they show says anything of the described one."""
        return {name: self._cluster_of(name) for name in self.configured if name not in self.joined}

    @cached_property
    def _bear_the_name(self) -> dict[str, DiagnosisReport]:
        """With the described name in their file; where that is too broken to tell, the key tells."""
        names = {name: self._cluster_of(name) for name in self.configured}
        keys = {self.configured[name].authkey for name in names if names[name] == self.expected.cluster}
        return {
            name: report
            for name, report in self.configured.items()
            if names[name] == self.expected.cluster
            or (names[name] is None and (not keys or report.authkey in {None, *keys}))
        }

    def _cluster_of(self, name: str) -> str | None:
        file = self.conf_of(name)
        return file.cluster if file else None

    def _has_another_key(self, name: str) -> bool:
        """Whether the cluster of that name is another one: with a key of its own, and not in the list that counts."""
        keys = {self.configured[one].authkey for one in (name, self.newest) if one}
        return len(keys - {None}) > 1 and name not in self.listed

    @cached_property
    def newest(self) -> str | None:
        """The node of the described cluster whose configuration counts; None without one.

        A quorate one before others, of these one of the side with more votes; then a whole one, then that of the highest version. Who
        deletes nodes raises the version, so between two quorate sides it says nothing.
        """

        def rank(name: str) -> tuple[bool, int, bool, int]:
            file, quorum = self.conf_of(name), self.configured[name].quorum
            votes = quorum.total if quorum and quorum.quorate else 0
            return self.is_quorate(name), votes, not (file is None or file.faults), file.version if file else 0

        return max(self._bear_the_name, key=rank, default=None)

    @cached_property
    def conf(self) -> ConfFile | None:
        """The configuration that counts."""
        return self.conf_of(self.newest) if self.newest else None

    def conf_of(self, name: str) -> ConfFile | None:
        """A node's own view of the cluster: the shared file where it can be read and is whole, else that of its corosync."""
        report = self.nodes[name]
        shared, local = report.shared, report.local
        return local if shared is None or (shared.faults and local and not local.faults) else shared

    @cached_property
    def listed(self) -> dict[str, ConfNode]:
        """The nodes that the cluster lists."""
        return {node.name: node for node in self.conf.nodes} if self.conf else {}

    def is_quorate(self, name: str) -> bool:
        """Whether a node takes part in a quorate vote."""
        quorum = self.nodes[name].quorum
        return quorum is not None and quorum.quorate

    @cached_property
    def side(self) -> dict[str, DiagnosisReport]:
        """Those of the list that counts, and the one that has it."""
        return {name: report for name, report in self.joined.items() if name in self.listed or name == self.newest}

    @cached_property
    def has_quorum(self) -> bool:
        """Whether any node of that list does."""
        return any(map(self.is_quorate, self.side))

    @cached_property
    def view(self) -> corosync.Quorum | None:
        """The vote that counts: a quorate one, else the largest."""
        votes = [(name == self.newest, report.quorum) for name, report in self.side.items() if report.quorum]
        ranked = sorted(votes, key=lambda one: (one[1].quorate, one[1].total, one[0]))
        return ranked[-1][1] if ranked else None

    @cached_property
    def voting(self) -> set[str]:
        """The listed nodes that take part in it."""
        ids = {voter.id for voter in self.view.members} if self.view else set()
        return {name for name, node in self.listed.items() if node.id in ids}

    @cached_property
    def needed(self) -> int:
        """Votes that make a quorum."""
        return self.view.needed if self.view else corosync.expected_votes(self.listed.values()) // 2 + 1

    @property
    def present(self) -> int:
        """Votes that are there."""
        return self.view.total if self.view else 0

    @property
    def device_votes(self) -> int:
        """What the QDevice has to give; 0 without one."""
        return corosync.device_votes(self.votes_of(self.listed), self.conf.device) if self.conf else 0

    def votes_of(self, names: Iterable[str]) -> int:
        """The votes of these nodes."""
        return sum(self.listed[name].votes for name in names if name in self.listed)

    def address(self, name: str) -> str:
        """Where one logs in."""
        member = self.members.get(name)
        return (
            member.address
            if member
            else next((host.address for host in self.expected.hosts if host.name == name), name)
        )

    def on(self, name: str, command: str) -> str:
        """A command on a machine."""
        return (
            f"ssh root@{self.address(name)} {command}"
            if " && " not in command
            else f"ssh root@{self.address(name)} '{command}'"
        )

    def make(self, goal: str) -> str:
        """A command of this project."""
        return f"make {goal}" + ("" if self.expected.stack == "dev" else f" STACK={self.expected.stack}")

    @cached_property
    def is_vote_known(self) -> bool:
        """Whether any member could say how the vote stands, or that its corosync does not run."""
        return self.view is not None or any("quorum" not in one.unanswered for one in self.joined.values())

    def was_removed(self, name: str) -> bool:
        """Whether a node is listed no more, and was a member: what a join makes last is still there."""
        return self.newest is not None and name not in self.listed and name in self.nodes[self.newest].certified

    def is_described(self, name: str) -> bool:
        """Whether the stack file has the node."""
        return name in self.members

    @cached_property
    def is_off(self) -> list[str]:
        """Described nodes that do not answer at all."""
        silent = self.seen.silent
        return [
            name
            for name in self.members
            if name in silent and silent[name].code in NO_ANSWER and self.is_to_answer(name)
        ]

    def is_to_answer(self, name: str) -> bool:
        """Whether a node is there already, as far as anybody knows: a VM that was never made cannot answer."""
        made = self.seen.made
        return name in self.listed or name not in self.expected.housing or made is None or name in made

    def broken(self) -> list[tuple[str, str, int]]:
        """Links between two nodes whose corosync runs, seen from either end: names in the order of the file, number.

        An end that lists no links at all has not answered, and the other one is believed. Only knet has such lists.
        """
        if self.conf and self.conf.transport != corosync.KNET:
            return []
        running = [name for name in self.joined if name in self.listed and self.joined[name].quorum]
        found = []
        for index, near in enumerate(running):
            for far in running[index + 1 :]:
                shared = set(self.listed[near].links) & set(self.listed[far].links)
                found += [(near, far, number) for number in sorted(shared) if self._is_cut(near, far, number)]
        return found

    def _is_cut(self, near: str, far: str, number: int) -> bool:
        return not (self._sees(near, far, number) and self._sees(far, near, number))

    def _sees(self, near: str, far: str, number: int) -> bool:
        identity = self.listed[far].id
        return not self.joined[near].links or any(
            (one.node_id, one.link) == (identity, number) and one.connected for one in self.joined[near].links
        )

    def link(self, name: str, number: int) -> str:
        """A node's address on a link."""
        node = self.listed.get(name)
        if node and number in node.links:
            return node.links[number]
        member = self.members.get(name)
        return next((link.address for link in member.links if link.number == number), "") if member else ""

    def pinged(self, near: str, far: str, number: int | None) -> bool | None:
        """Whether a node got an answer from another one's address; None: it did not try."""
        report = self.seen.reports.get(near)
        tried = [one for one in report.reached if (one.name, one.link) == (far, number)] if report else []
        return any(one.small for one in tried) if tried else None
