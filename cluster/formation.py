"""What may be done to a cluster, decided from what all its nodes report at this moment. Pure: no I/O.

The refusals here need the reports of several nodes. What one node can see of itself, its own step refuses
(onnode/cluster/create_cluster.py, onnode/cluster/join_cluster.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cluster.errors import AdminError
from onnode.cluster import corosync
from onnode.cluster.corosync import ConfNode
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cluster.contract import Member
    from onnode.contract.membership import Membership, MembershipReport

T = TypeVar("T")

CLOCK_SKEW_MAX_S = 5.0
GIVEN_MIN = 2  # the one node before the second may be off


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


def refuse_further_members(seen: Iterable[Membership], members: Sequence[Member]) -> None:
    """Refuse a cluster that lists more nodes than are described, once all changes are through.

    Raises:
        AdminError: member-unknown.
    """
    described_names = {member.name for member in members}
    further = sorted({node.name for look in seen for node in look.nodes} - described_names)
    if further:
        raise AdminError(
            "member-unknown",
            "the live cluster has members that are not described",
            observed=", ".join(further),
            expected=f"only {', '.join(sorted(described_names))}",
            fix=f"describe {', '.join(further)} again and run `make up`; to remove them, leave them out after that",
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


# -- create ------------------------------------------------------------------------------------------------------------


def cluster_to_adopt(
    cluster: str, seed: str, members: Sequence[Member], answers: Mapping[str, MembershipReport | StepError]
) -> str | None:
    """Whether the described cluster exists already: a member of it, or None if one may be created (F6).

    A seed that is not in the cluster joins it as any other node.

    Args:
        cluster: its described name.
        seed: the node on which it is created.
        members: all described nodes.
        answers: what each of them said, or why it said nothing.

    Raises:
        AdminError: other-cluster, member-differs, clusters-split.
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
    # Members that are described no more are still listed here: they go after all others have joined.
    refuse_changed_identity(newest.nodes, members, subset=True)
    _refuse_split(newest, reporting)
    return newest.node


def _refuse_silent(answers: Mapping[str, MembershipReport | StepError]) -> None:
    for answer in answers.values():
        if isinstance(answer, StepError):
            raise answer


def refuse_two_quorate(seen: Iterable[Membership]) -> None:
    """Refuse two sides of one name that are both quorate: neither version nor votes say which one is meant.

    Raises:
        AdminError: clusters-split.
    """
    quorate = {look.node: look for look in seen if look.quorate and look.cluster is not None}
    if quorate:
        _refuse_split(max(quorate.values(), key=lambda look: look.config_version or 0), quorate)


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


def given_to_join(nodes: Sequence[T], joiner: T) -> list[T]:
    """Which of all nodes a join is given: see :class:`cluster.contract.JoinNode`.

    Args:
        nodes: all of them, in the order of their ids.
        joiner: one of them.
    """
    others = [node for node in nodes if node != joiner]
    before = nodes.index(joiner)
    return others[: max(before, GIVEN_MIN)] if before else others


@dataclass(frozen=True)
class JoinPlan:
    """How a node gets in.

    Attributes:
        sponsors: the members through which it can join, the first before others.
        listed: whether the cluster lists it already.
        votes: what the expected votes must first be set to, for a join that was cut off right after the cluster had
            taken the node in: its vote is counted, and it cannot vote yet. None: nothing to be done.
    """

    sponsors: tuple[str, ...]
    listed: bool
    votes: int | None = None


def is_joined(cluster: str, joiner: MembershipReport, present: Mapping[str, MembershipReport]) -> bool:
    """Whether the node is a running member already, in its own eyes and the cluster's; alone, as after its creation, in its own."""
    others = [look for look in present.values() if look.cluster is not None]
    return (
        joiner.state == "member"
        and joiner.quorum is not None  # else its corosync is to be started
        and joiner.cluster == cluster
        and (any(look.listed(joiner.node) for look in others) if others else joiner.works)
    )


def plan_join(
    cluster: str,
    members: Sequence[Member],
    joiner: MembershipReport,
    answers: Mapping[str, MembershipReport | StepError],
    admin_keys: Iterable[str],
) -> JoinPlan:
    """Decide how a node that is no full member gets in, after every check that needs more than its own word.

    Args:
        cluster: the cluster's described name.
        members: the present members and, last, the joiner, as described.
        joiner: what the joiner says.
        answers: what each present member says, or why it says nothing. One that has no vote may be silent.
        admin_keys: fingerprints of the keys with which the administrator logs in.

    Raises:
        AdminError: other-cluster, member-differs, member-not-working, version-mismatch, clock-skew,
            admin-key-missing, certificate-missing, node-id-twice, identity-taken.
        StepError: why a member with a vote said nothing.
    """
    present = {name: answer for name, answer in answers.items() if not isinstance(answer, StepError)}
    if not present:
        _refuse_silent(answers)
        raise _alone(cluster, joiner)
    refuse_other_cluster(cluster, [joiner, *present.values()])
    refuse_other_transport(present.values())
    newest = max(present.values(), key=lambda look: (look.quorate, look.config_version or 0))
    refuse_changed_identity(newest.nodes, members, subset=True)
    listed = newest.listed(joiner.node) is not None
    _refuse_alive(newest, joiner)
    votes = _votes_to_expect(newest, joiner)
    if not listed or (joiner.state == "absent" and votes is None):
        _refuse_silent({name: answers[name] for name in answers if _votes(newest, name)})
        _refuse_not_working(cluster, members, present, newest)
    if not listed:
        _refuse_too_few(members, present, newest)
    working = [look for look in present.values() if look.works] or [newest]
    sponsor = working[0]
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
    return JoinPlan(tuple(look.node for look in working if look.api_fingerprint), listed, votes)


def _alone(cluster: str, joiner: Membership) -> AdminError:
    return AdminError(
        "member-not-working",
        f"{joiner.node} is the only node, and no working member of {cluster}",
        observed=working(joiner),
        expected="a quorate member with a writable /etc/pve",
        fix=f"`journalctl -b -u corosync -u pve-cluster` on {joiner.node} shows why",
    )


def _votes(newest: Membership, name: str) -> bool:
    listed = newest.listed(name)
    return listed is not None and listed.id in newest.voters


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


def _refuse_not_working(
    cluster: str, members: Sequence[Member], present: Mapping[str, Membership], newest: Membership
) -> None:
    """Nodes that have not joined yet do not count."""
    joined = [look for look in present.values() if newest.listed(look.node) and look.state == "member"]
    idle = [look for look in joined or present.values() if not (look.works and look.cluster == cluster)]
    if idle:
        raise AdminError(
            "member-not-working",
            "no node can join while a member is not quorate or its /etc/pve is read-only",
            observed="; ".join(working(look) for look in idle),
            expected=f"every present member is a quorate member of {cluster} with a writable /etc/pve",
            fix=bring_back(present, {member.name: member.address for member in members}),
        )


def refuse_off(members: Sequence[Member], present: Mapping[str, Membership]) -> None:
    """Refuse to let in a node that was no member before, while a member is off, which keeps its corosync.conf.

    When it comes back, it does not know the node that joined meanwhile. Each of these two then waits for a membership without the other,
    and no membership of any node lasts (corosync 3.1).

    Args:
        members: the present members and, last, the joiner, as described.
        present: what each present member says that answers.

    Raises:
        AdminError: member-silent.
    """
    joiner = members[-1].name
    newest = max(present.values(), key=lambda look: (look.quorate, look.config_version or 0))
    names = {node.name for node in newest.nodes if node.id not in newest.voters} - {*present, joiner}
    if names:
        off = ", ".join(sorted(names))
        addresses = {member.name: member.address for member in members}
        raise AdminError(
            "member-silent",
            f"no node can join while a member is off: {off} would come back with a corosync.conf without {joiner}, and disturb the cluster",
            observed=f"{off}: no vote, no answer",
            expected="every member votes",
            fix=f"{bring_back(present, addresses)}; one that does not come back: leave it out of the stack file, alone, and `make up`",
        )


def _refuse_too_few(members: Sequence[Member], present: Mapping[str, Membership], newest: Membership) -> None:
    """From the moment the cluster takes it in, a node's votes are expected, and they come only when its corosync runs.

    Where all members vote that is a matter of seconds, and the second node cannot come otherwise. Where one is missing already,
    a join that stops half way would leave the others without quorum.
    """
    votes = sum(node.votes for node in newest.nodes if node.id in newest.voters)
    expected = corosync.expected_votes(newest.nodes) + members[-1].votes
    down = [node.name for node in newest.nodes if node.id not in newest.voters]
    if down and votes < expected // 2 + 1:
        raise AdminError(
            "member-not-working",
            f"while {members[-1].name} joins, the cluster would not be quorate",
            observed=f"{votes} votes, {expected // 2 + 1} of {expected} needed then; down or cut off: {', '.join(down)}",
            expected="quorum at every moment",
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
    wanted = corosync.expected_votes(look.nodes, look.device)
    found = (
        [] if look.quorum.expected == wanted else [f"{look.node} expects {look.quorum.expected} votes, not {wanted}"]
    )
    silent = [member.name for member in members if member.node_id not in look.voters]
    return [*found, *(f"{look.node} sees no vote of {name}" for name in silent), *device_problems(look)]


def device_problems(look: Membership) -> list[str]:
    """What a member says about the QDevice that is configured: it is connected, and casts its votes."""
    if look.device is None or look.quorum is None:
        return []
    votes = corosync.device_votes(sum(node.votes for node in look.nodes), look.device)
    if look.device_state != "Connected":
        state = f" ({look.device_state})" if look.device_state else ": corosync-qdevice does not run"
        return [f"{look.node} is not connected to the QDevice's server at {look.device.host}{state}"]
    return [] if look.quorum.device == votes else [f"{look.node} sees no vote of the QDevice at {look.device.host}"]


def _link_problems(look: Membership, members: Sequence[Member], only_through: str | None) -> list[str]:
    connected = {(link.node_id, link.link) for link in look.links if link.connected}
    return [
        f"link {link.number} from {look.node} to {peer.name} is not connected"
        for peer in members
        if peer.name != look.node and only_through in (None, look.node, peer.name)
        for link in peer.links
        if (peer.node_id, link.number) not in connected
    ]
