"""What may be done to a cluster, decided from what all its nodes report at this moment. Pure: no I/O.

The refusals here need the reports of several nodes. What one node can see of itself, its own step refuses
(onnode/cluster/create_cluster.py, onnode/cluster/join_cluster.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.errors import AdminError
from onnode.cluster import corosync
from onnode.cluster.corosync import ConfNode
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cluster.contract import Member
    from onnode.contract import Membership, MembershipReport

CLOCK_SKEW_MAX_S = 5.0


def described(member: Member) -> ConfNode:
    """A described member in the form in which a cluster's configuration lists it."""
    links = {link.number: link.address for link in member.links}
    return ConfNode(member.name, member.node_id, member.votes, links)


def shown(node: ConfNode) -> str:
    """A listed node, for a message."""
    links = ", ".join(f"link{number} {address}" for number, address in sorted(node.links.items()))
    return f"{node.name}: id {node.id}, votes {node.votes}, {links}"


# -- identity ----------------------------------------------------------------------------------------------------------


def refuse_other_cluster(cluster: str, seen: Iterable[Membership]) -> None:
    """Refuse when a node belongs to a cluster of another name.

    Raises:
        AdminError: other-cluster.
    """
    others = {look.node: look.cluster for look in seen if look.cluster not in (None, cluster)}
    if others:
        raise AdminError(
            "other-cluster",
            f"nodes belong to another cluster than {cluster}",
            observed=", ".join(f"{node} is in {other}" for node, other in sorted(others.items())),
            expected=f"nodes of cluster {cluster}, or stand-alone ones",
        )


def refuse_other_transport(seen: Iterable[Membership]) -> None:
    """Refuse a cluster whose corosync is not on knet: it has one link, whose state is not reported.

    Raises:
        AdminError: corosync-transport.
    """
    others = {
        look.node: look.transport for look in seen if look.cluster is not None and look.transport != corosync.KNET
    }
    if others:
        raise AdminError(
            "corosync-transport",
            "corosync of a live cluster does not use knet",
            observed=", ".join(f"{node} has transport {other}" for node, other in sorted(others.items())),
            expected=f"transport {corosync.KNET}",
        )


def refuse_changed_identity(nodes: Iterable[ConfNode], members: Sequence[Member], *, subset: bool = False) -> None:
    """Refuse when a live cluster lists its nodes otherwise than described, or one that a described node would break.

    Args:
        nodes: as the live cluster lists them.
        members: as described.
        subset: `members` are only some of the described ones: nodes beyond them are none of our business.

    Raises:
        AdminError: member-differs, member-unknown, node-id-twice, identity-taken.
    """
    wanted = {member.name: described(member) for member in members}
    listed = list(nodes)
    _refuse_doubled(listed)
    _refuse_taken(listed, wanted)
    differing = [node for node in listed if node.name in wanted and node != wanted[node.name]]
    if differing:
        raise AdminError(
            "member-differs",
            "members of the live cluster differ from the stack file",
            observed="; ".join(shown(node) for node in differing),
            expected="; ".join(shown(wanted[node.name]) for node in differing),
        )
    unknown = [node.name for node in listed if node.name not in wanted]
    if unknown and not subset:
        raise AdminError(
            "member-unknown",
            "the live cluster has members that are not described",
            observed=", ".join(sorted(unknown)),
            expected=f"only {', '.join(sorted(wanted))}",
            fix=(
                f"describe {', '.join(sorted(unknown))} under nodes in the stack file; "
                "to remove a node, follow docs/recovery.md#member-unknown"
            ),
        )


def _refuse_doubled(nodes: Sequence[ConfNode]) -> None:
    if doubled := corosync.doubled_ids(list(nodes)):
        raise AdminError(
            "node-id-twice",
            "the cluster's configuration holds a node id twice",
            observed="; ".join(doubled),
            expected="an id of its own for each node",
        )


def _refuse_taken(nodes: Iterable[ConfNode], wanted: Mapping[str, ConfNode]) -> None:
    """Proxmox VE takes a second node of an id in, and its corosync does not start; nor does that of the first then."""
    listed = {node.name: node for node in nodes}
    joiners = [node for name, node in wanted.items() if name not in listed and listed]
    clashes = [
        f"{joiner.name} is to have {what}, which {member.name} has"
        for joiner in joiners
        for member in listed.values()
        for what in _same(joiner, member)
    ]
    if clashes:
        raise AdminError(
            "identity-taken",
            "a name, id or link address of a joining node belongs to a member of the live cluster",
            observed="; ".join(clashes),
            expected="a name, an id and link addresses of its own for each node",
        )


def _same(joiner: ConfNode, member: ConfNode) -> list[str]:
    names = [f"the name {joiner.name}"] if joiner.name.lower() == member.name.lower() else []
    ids = [f"id {joiner.id}"] if joiner.id == member.id else []
    used = set(member.links.values())
    return [*names, *ids, *(f"{address}" for address in joiner.links.values() if address in used)]


def refuse_other_priorities(found: Mapping[int, int], members: Sequence[Member]) -> None:
    """Refuse link priorities that a live cluster does not have: nothing changes them there.

    Args:
        found: of its links, by number.
        members: as described; all of them have the same links. A priority that is not described is not compared.

    Raises:
        AdminError: member-differs.
    """
    wanted = {link.number: link.priority for link in members[0].links if link.priority is not None}
    if wanted.items() - found.items():
        raise AdminError(
            "member-differs",
            "the link priorities of the live cluster differ from the stack file",
            observed=", ".join(f"link{number} {priority}" for number, priority in sorted(found.items())) or "none set",
            expected=", ".join(f"link{number} {priority}" for number, priority in sorted(wanted.items())),
        )


@dataclass(frozen=True)
class ClusterIdentity:
    """What a live cluster cannot change; facts of the step of that name."""

    cluster: str
    seed: str
    members: dict[str, ConfNode]


@dataclass(frozen=True)
class Live:
    """What can be seen of the cluster before any node is touched.

    Attributes:
        cluster: its name; None when no node that answers is in one.
        members: the names that it lists.
        silent: the described nodes that do not answer.
    """

    cluster: str | None
    members: frozenset[str]
    silent: tuple[str, ...]

    def has(self, name: str) -> bool:
        """Whether that node is a member, or may be one for all that can be seen."""
        return name in self.members if self.cluster is not None else bool(self.silent)


def live(seen: Iterable[Membership], silent: Iterable[str]) -> Live:
    """The combined reports of the nodes that answer; the newest list of members counts."""
    looks = [look for look in seen if look.cluster is not None]
    newest = max(looks, key=lambda look: look.config_version or 0, default=None)
    listed = frozenset(node.name for node in newest.nodes) if newest else frozenset[str]()
    return Live(newest.cluster if newest else None, listed, tuple(silent))


def refuse_renamed(before: ClusterIdentity, now: ClusterIdentity, there: Live) -> None:
    """Refuse a changed name, seed, or member, compared with what an earlier run recorded.

    What was described and never came to be can change: the live cluster decides. Where it cannot be seen, because
    nodes are silent and no other one is in a cluster, whatever was described counts as there.

    Raises:
        AdminError: identity-changed, member-removed.
    """
    changes = [("cluster name", before.cluster, now.cluster)] if any(map(there.has, before.members)) else []
    changes += [("seed", before.seed, now.seed)] if there.has(before.seed) else []
    changes += [
        ("member", shown(node), shown(now.members[name]))
        for name, node in before.members.items()
        if name in now.members and node != now.members[name] and there.has(name)
    ]
    unseen = (
        f"; {', '.join(there.silent)} cannot be reached to see whether there is a cluster" if not there.cluster else ""
    )
    if changed := [change for change in changes if change[1] != change[2]]:
        raise AdminError(
            "identity-changed",
            "the configuration changes values that are fixed in a live cluster",
            observed="; ".join(f"{what} {new}" for what, _, new in changed) + unseen,
            expected="; ".join(f"{what} {old}" for what, old, _ in changed),
        )
    if removed := sorted(name for name in set(before.members) - set(now.members) if there.has(name)):
        raise AdminError(
            "member-removed",
            "a member was left out of the configuration",
            observed=f"not described any more: {', '.join(removed)}{unseen}",
            expected="all members of the live cluster",
            fix=f"power on {', '.join(there.silent)}, or describe {', '.join(removed)} again" if unseen else "",
        )


# -- create ------------------------------------------------------------------------------------------------------------


def cluster_to_adopt(
    cluster: str, seed: str, members: Sequence[Member], answers: Mapping[str, MembershipReport | StepError]
) -> str | None:
    """Whether the described cluster exists already: a member of it that works, or None if one may be created (F6).

    Args:
        cluster: its described name.
        seed: the node on which it is created.
        members: all described nodes.
        answers: what each of them said, or why it said nothing.

    Raises:
        AdminError: other-cluster, member-differs, member-unknown, clusters-split, seed-not-member.
        StepError: why a node said nothing, when no cluster may be created without having asked it.
    """
    seen = {name: answer for name, answer in answers.items() if not isinstance(answer, StepError)}
    refuse_other_cluster(cluster, seen.values())
    refuse_other_transport(seen.values())
    reporting = {name: look for name, look in seen.items() if look.cluster is not None}
    if not reporting:
        _refuse_silent(answers)
        return None
    if set(reporting) == {seed} and not reporting[seed].works:
        _refuse_silent(answers)
        return None  # creation was cut off on the seed, which finishes it
    newest = max(reporting.values(), key=lambda look: (look.quorate, look.config_version or 0))
    refuse_changed_identity(newest.nodes, members)
    _refuse_split(newest, reporting)
    if newest.listed(seed) is None:
        raise AdminError(
            "seed-not-member",
            f"cluster {cluster} exists, and the seed {seed} is not a member of it",
            observed=f"{newest.node} lists {', '.join(node.name for node in newest.nodes)}",
            expected=f"a cluster that {seed} belongs to",
        )
    return newest.node


def is_stopped(answer: Membership | StepError) -> bool:
    """Whether a full member answers whose corosync does not run."""
    return not isinstance(answer, StepError) and answer.state == "member" and answer.quorum is None


def _refuse_silent(answers: Mapping[str, MembershipReport | StepError]) -> None:
    for answer in answers.values():
        if isinstance(answer, StepError):
            raise answer


def _refuse_split(newest: Membership, reporting: Mapping[str, Membership]) -> None:
    apart = [name for name, look in reporting.items() if look.state == "member" and newest.listed(name) is None]
    if apart:
        raise AdminError(
            "clusters-split",
            f"there are two clusters with the name {newest.cluster}",
            observed=f"{newest.node} does not list {', '.join(sorted(apart))}, which are set up as members",
            expected="one cluster that lists all its members",
        )


# -- join --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JoinPlan:
    """How a node gets in.

    Attributes:
        sponsor: the member through which it joins.
        listed: whether the cluster lists it already.
        votes: what the expected votes must first be set to, for a join that was cut off right after the cluster had
            taken the node in: its vote is counted, and it cannot vote yet. None: nothing to be done.
    """

    sponsor: str
    listed: bool
    votes: int | None = None


def is_joined(cluster: str, joiner: MembershipReport, present: Mapping[str, MembershipReport]) -> bool:
    """Whether the node is a running member already, in its own eyes and the cluster's."""
    return (
        joiner.state == "member"
        and joiner.quorum is not None  # else its corosync is to be started
        and joiner.cluster == cluster
        and any(look.listed(joiner.node) for look in present.values())
    )


def plan_join(
    cluster: str,
    members: Sequence[Member],
    joiner: MembershipReport,
    present: Mapping[str, MembershipReport],
    admin_keys: Iterable[str],
) -> JoinPlan:
    """Decide how a node that is no full member gets in, after every check that needs more than its own word.

    Args:
        cluster: the cluster's described name.
        members: the present members and, last, the joiner, as described.
        joiner: what the joiner says.
        present: what each present member says, the seed first.
        admin_keys: fingerprints of the keys with which the administrator logs in.

    Raises:
        AdminError: other-cluster, member-differs, member-not-working, version-mismatch, clock-skew,
            admin-key-missing, certificate-missing, node-id-twice, identity-taken.
    """
    refuse_other_cluster(cluster, [joiner, *present.values()])
    refuse_other_transport(present.values())
    newest = max(present.values(), key=lambda look: look.config_version or 0)
    refuse_changed_identity(newest.nodes, members, subset=True)
    listed = newest.listed(joiner.node) is not None
    _refuse_alive(newest, joiner)
    votes = _votes_to_expect(newest, joiner)
    if not listed or (joiner.state == "absent" and votes is None):
        _refuse_not_working(cluster, members, present)
    sponsor = next(iter(present.values()))
    _refuse_different_version(sponsor, joiner)
    _refuse_clock_skew(sponsor, joiner)
    _refuse_missing_key(sponsor, admin_keys)
    if sponsor.api_fingerprint is None:
        raise AdminError(
            "certificate-missing",
            f"{sponsor.node} has no certificate for its API, so no node can join through it",
            observed=f"neither pveproxy-ssl.pem nor pve-ssl.pem in /etc/pve/nodes/{sponsor.node}",
            expected="a certificate",
            fix=f"on {sponsor.node}: pvecm updatecerts --force && systemctl restart pveproxy",
        )
    return JoinPlan(sponsor.node, listed, votes)


def _refuse_alive(newest: Membership, joiner: Membership) -> None:
    """A stand-alone node whose name votes in the cluster: there is another machine of that name, and it is a member."""
    listed = newest.listed(joiner.node)
    if joiner.state == "absent" and listed is not None and listed.id in newest.voters:
        raise AdminError(
            "identity-taken",
            f"the live cluster already has another machine named {joiner.node}, which votes there",
            observed=f"{newest.node} lists {shown(listed)}, with its vote; the described {joiner.node} is stand-alone",
            expected="one machine of that name",
            fix=f"correct the address of {joiner.node} in the stack file, or give this machine another name and id",
        )


def _votes_to_expect(newest: Membership, joiner: Membership) -> int | None:
    """The votes of all but the joiner, when they all vote, and only its missing vote blocks them."""
    others = [node for node in newest.nodes if node.name != joiner.node]
    all_vote = {node.id for node in others} <= newest.voters
    if joiner.state == "absent" and all_vote and not newest.quorate:
        return corosync.expected_votes(others)
    return None


def _refuse_not_working(cluster: str, members: Sequence[Member], present: Mapping[str, Membership]) -> None:
    idle = [look for look in present.values() if not (look.works and look.cluster == cluster)]
    if idle:
        raise AdminError(
            "member-not-working",
            "no node can join while a member is not quorate or its /etc/pve is read-only",
            observed="; ".join(working(look) for look in idle),
            expected=f"every present member is a quorate member of {cluster} with a writable /etc/pve",
            fix=bring_back(present, {member.name: member.address for member in members}),
        )


def working(look: Membership) -> str:
    """How a node does, for a message."""
    if look.state == "absent":
        return f"{look.node} is stand-alone"
    if not look.pve_mounted:
        return f"{look.node} has no /etc/pve: pve-cluster does not run"
    if look.state != "member":
        return f"{look.node} is half joined" + (f" (missing: {', '.join(look.missing)})" if look.missing else "")
    if look.quorum is None:
        return f"corosync does not run on {look.node}, so it has no vote"
    if not look.quorate:
        return f"{look.node} is not quorate ({corosync.votes(look.nodes, look.quorum)})"
    return f"{look.node} is quorate, its /etc/pve {'writable' if look.pve_writable else 'read-only'}"


def bring_back(seen: Mapping[str, Membership], addresses: Mapping[str, str]) -> str:
    """The commands that bring missing members back; empty when none is missing.

    A read-only /etc/pve without quorum is no fault of pve-cluster: restarting it there mends nothing.

    Args:
        seen: what each node says that answers.
        addresses: where one logs in, by name.
    """
    newest = max(seen.values(), key=lambda look: (look.quorate, look.config_version or 0))
    voting = {identity for look in seen.values() for identity in look.voters}
    acts = []
    for name in dict.fromkeys([*(node.name for node in newest.nodes), *seen]):
        look, listed = seen.get(name), newest.listed(name)
        if look is None:
            acts += [] if listed is not None and listed.id in voting else [f"power on {name}"]
        elif not look.pve_mounted:
            acts.append(_on(name, addresses, "systemctl restart pve-cluster"))
        elif look.state == "member" and look.quorum is None:
            acts.append(_on(name, addresses, "systemctl start corosync"))
        elif look.quorate and not look.pve_writable:
            acts.append(_on(name, addresses, "systemctl restart pve-cluster"))
    if not acts and any(not look.quorate and look.quorum for look in seen.values()):
        acts = [_on(name, addresses, "corosync-cfgtool -n") + " names the broken links" for name in list(seen)[:1]]
    return "; ".join([*acts, "then run the same command again"]) if acts else ""


def _on(name: str, addresses: Mapping[str, str], command: str) -> str:
    return f"ssh root@{addresses[name]} {command}" if name in addresses else f"on {name}: {command}"


def _refuse_different_version(sponsor: MembershipReport, joiner: MembershipReport) -> None:
    if sponsor.pve_version.split(".")[0] != joiner.pve_version.split(".")[0]:
        raise AdminError(
            "version-mismatch",
            f"{joiner.node} runs another major version of Proxmox VE than the cluster",
            observed=f"{joiner.node} {joiner.pve_version}, {sponsor.node} {sponsor.pve_version}",
            expected="the same major version on all members",
        )


def _refuse_clock_skew(sponsor: MembershipReport, joiner: MembershipReport) -> None:
    # Asked at the same moment; each answer took some time, which only makes this more lenient.
    skew = abs(sponsor.time - joiner.time)
    if skew > CLOCK_SKEW_MAX_S:
        raise AdminError(
            "clock-skew",
            f"the clocks of {joiner.node} and {sponsor.node} differ",
            observed=f"{skew:.1f} s",
            expected=f"at most {CLOCK_SKEW_MAX_S:g} s",
            fix="on both: chronyc makestep; check their time servers with chronyc sources",
        )


def _refuse_missing_key(sponsor: MembershipReport, admin_keys: Iterable[str]) -> None:
    offered = list(admin_keys)
    if not set(offered) & set(sponsor.authorized_keys):
        raise AdminError(
            "admin-key-missing",
            "a join replaces the joiner's authorized_keys by the cluster's, and yours is not among them",
            observed=f"the cluster's authorized_keys lack {', '.join(offered) or 'every key of yours'}",
            expected=f"your public key in /etc/pve/priv/authorized_keys on {sponsor.node}",
            fix=f"on {sponsor.node}: append your public key to /etc/pve/priv/authorized_keys",
        )


# -- the cluster as it should be ---------------------------------------------------------------------------------------


def problems(
    cluster: str, members: Sequence[Member], seen: Mapping[str, Membership], *, only_through: str | None = None
) -> list[str]:
    """What is not as described, in the eyes of each node that was seen: membership, votes, links, /etc/pve.

    Args:
        cluster: its name.
        members: the nodes that must be members.
        seen: what each of them says.
        only_through: look only at the links to and from this node.
    """
    found: list[str] = []
    for member in members:
        look = seen.get(member.name)
        if look is None:
            continue
        if look.state != "member" or look.cluster != cluster:
            found.append(f"{working(look)}" if look.cluster in (None, cluster) else f"{look.node} is in {look.cluster}")
            continue
        found += _listing_problems(look, members)
        # Without quorum /etc/pve is read-only, and that is no fault of its own.
        found += [] if look.works else [working(look)]
        found += [] if look.api_fingerprint else [f"{look.node} has no certificate"]
        found += _vote_problems(look, members)
        found += _link_problems(look, members, only_through)
    return found


def _listing_problems(look: Membership, members: Sequence[Member]) -> list[str]:
    found = []
    for member in members:
        listed = look.listed(member.name)
        if listed is None:
            found.append(f"{look.node} does not list {member.name}")
        elif listed != described(member):
            found.append(f"{look.node} lists {shown(listed)}; described is {shown(described(member))}")
    return found


def _vote_problems(look: Membership, members: Sequence[Member]) -> list[str]:
    if look.quorum is None:
        return []
    wanted = corosync.expected_votes(look.nodes)
    found = (
        [] if look.quorum.expected == wanted else [f"{look.node} expects {look.quorum.expected} votes, not {wanted}"]
    )
    silent = [member.name for member in members if member.node_id not in look.voters]
    return found + [f"{look.node} sees no vote of {name}" for name in silent]


def _link_problems(look: Membership, members: Sequence[Member], only_through: str | None) -> list[str]:
    connected = {(link.node_id, link.link) for link in look.links if link.connected}
    return [
        f"link {link.number} from {look.node} to {peer.name} is not connected"
        for peer in members
        if peer.name != look.node and only_through in (None, look.node, peer.name)
        for link in peer.links
        if (peer.node_id, link.number) not in connected
    ]
