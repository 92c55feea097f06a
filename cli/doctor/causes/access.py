"""Machines that do not answer here: what the others know of them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.doctor.causes import names
from cli.doctor.causes.services import IN_ORDER, PMXCFS
from cli.doctor.model import NO_ANSWER, Cause
from cli.doctor.symptoms import QUORUM

if TYPE_CHECKING:
    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import Silence, World

AUTH = "ssh-auth-failed"
UNDER_A_NODE = ("vote",)


def nothing_answers(world: World, found: Symptoms) -> list[Found]:
    """Not one machine answers: it is the way there."""
    asked = [*world.seen.silent, *world.seen.reports]
    if len(asked) < 2 or world.seen.reports or {one.code for one in world.seen.silent.values()} - set(NO_ANSWER):  # noqa: PLR2004
        return []
    cause = Cause(
        "no-way-there",
        "here",
        f"none of the {len(asked)} machines answers over SSH",
        [],
        "; ".join(dict.fromkeys(one.observed for one in world.seen.silent.values())),
        f"ping {world.address(asked[0])}; check this machine's own network, VPN and routes first, then the power of all",
    )
    return [(cause, set(found))]


def silent_host(world: World, found: Symptoms) -> list[Found]:
    """An outer host that does not answer, and its nodes do not, either."""
    causes: list[Found] = []
    for host in world.expected.hosts:
        silence = world.seen.silent.get(host.name)
        carried = [name for name, house in world.expected.housing.items() if house == host.name]
        if silence is None or silence.code not in NO_ANSWER or not set(carried) <= set(world.is_off):
            continue
        cause = Cause(
            "outer-host-silent",
            host.name,
            f"the outer host does not answer, nor do its nodes {names(carried)}",
            [],
            silence.observed,
            f"bring {host.name} back: its power, its network (ping {host.address}); its nodes are VMs on it",
        )
        causes.append((cause, _of_silent(found, carried)))
    return causes


def refused(world: World, found: Symptoms) -> list[Found]:
    """Machines that answer, and let nobody in: one cause for one reason."""
    causes: list[Found] = []
    by_code: dict[str, list[str]] = {}
    for name, silence in world.seen.silent.items():
        if silence.code not in NO_ANSWER and not _lost_its_keys(world, name, silence):
            by_code.setdefault(silence.code, []).append(name)
    for code, machines in by_code.items():
        silence = world.seen.silent[machines[0]]
        cause = Cause(
            code,
            names(machines),
            f"{names(machines)} {'answers' if len(machines) == 1 else 'answer'}, and cannot be asked",
            [],
            silence.observed,
            silence.next,
        )
        # A member that votes does its work; what it would show is not known, and no symptom. Nor is it known why one does not vote.
        causes.append((cause, _of_silent(found, machines)))
    return causes


def _lost_its_keys(world: World, name: str, silence: Silence) -> bool:
    """Whether a member refuses the key because it has no /etc/pve: root's authorized_keys is a link into that."""
    if silence.code != AUTH or name not in world.listed or not world.newest:
        return False
    newest = world.nodes[world.newest]
    return name not in world.voting or (name not in newest.online and "online" not in newest.unanswered)


def without_keys(world: World, found: Symptoms) -> list[Found]:
    """Members that refuse the key which they took before; what the others see tells why."""
    causes: list[Found] = []
    newest = world.newest or ""
    for name, silence in world.seen.silent.items():
        if not _lost_its_keys(world, name, silence):
            continue
        is_whole = name in world.nodes[newest].certified or "certified" in world.nodes[newest].unanswered
        how = _without_pve(name, votes=name in world.voting) if is_whole else _half_joined(world, name)
        kind, what, why, following = how
        cause = Cause(kind, name, what, [newest], why, f"on the console of {name}: {following}")
        causes.append((cause, _of_silent(found, [name])))
    return causes


def _half_joined(world: World, name: str) -> tuple[str, str, str, str]:
    """F2: the last thing that a join makes is the node's certificate."""
    return (
        "half-joined",
        f"{name} is listed by the cluster, has no certificate there, and refuses the SSH key that opens the others",
        "a join that stopped half way replaces the node's /etc/pve, and with it root's authorized_keys",
        f"systemctl restart corosync pve-cluster; when it is quorate: pvecm updatecerts --force; then {world.make('up')}",
    )


def _without_pve(name: str, *, votes: bool) -> tuple[str, str, str, str]:
    why = f"root's authorized_keys is a link into /etc/pve, which is empty without pmxcfs; the others see no pmxcfs of {name}"
    if votes:
        what = f"pmxcfs does not run on {name}: it votes, and refuses the SSH key that opens the others"
        return "pmxcfs-stopped", what, why, f"{PMXCFS}; if it does not start: journalctl -b -u pve-cluster"
    what = (
        f"neither corosync nor pmxcfs runs on {name}: it does not vote, and refuses the SSH key that opens the others"
    )
    return (
        "services-in-disorder",
        what,
        why,
        f"{IN_ORDER}; if one does not start: journalctl -b -u corosync -u pve-cluster",
    )


def vm_missing(world: World, found: Symptoms) -> list[Found]:
    """Members whose VM is gone from its outer host: they will not come back."""
    made = world.seen.made
    gone = [name for name in world.is_off if name in world.expected.housing and made is not None and name not in made]
    causes: list[Found] = []
    for name in (one for one in gone if one in world.listed):
        cause = Cause(
            "vm-missing",
            name,
            f"the VM of {name} is gone from {world.expected.housing[name]}, and the cluster still lists {name}",
            [world.expected.housing[name], world.newest or ""],
            "somebody destroyed it outside of this program",
            f"restore the VM from a backup under its number; without one, {world.make('up')} replaces the member",
        )
        causes.append((cause, _of_silent(found, [name])))
    return causes


def silent_nodes(world: World, found: Symptoms) -> list[Found]:
    """Nodes that do not answer: without them there is no quorum, or there is one all the same."""
    off = [name for name in world.is_off if ("silent", name) in found]
    reached = {name: ways(world, name) for name in off}
    dead = [name for name in off if not reached[name]]
    causes: list[Found] = []
    if quorum := _quorum_lost(world, found, dead):
        causes.append(quorum)
        dead = []
    causes += [(_way_lost(world, name, reached[name]), {("silent", name)}) for name in off if reached[name]]
    return causes + [(_off(world, name), _of_silent(found, [name])) for name in dead]


def ways(world: World, name: str) -> list[str]:
    """How the others reach a node that does not answer here, in words."""
    ways = []
    if name in world.voting:
        ways.append("it votes")
    for near in world.nodes:
        for number in (None, *(link.number for link in world.members[name].links)):
            if world.pinged(near, name, number):
                ways.append(f"{near} gets its answer to ping {'there' if number is None else f'on link {number}'}")
                break
    return ways


def _way_lost(world: World, name: str, ways: list[str]) -> Cause:
    return Cause(
        "ssh-silent",
        name,
        f"{name} does not answer over SSH from here, and is on",
        [near for near in world.nodes if world.pinged(near, name, None)],
        f"{'; '.join(ways)}; here: {world.seen.silent[name].observed}",
        f"on the console of {name}: systemctl status ssh; ip -br addr; it should have {world.address(name)}",
    )


def _off(world: World, name: str) -> Cause:
    seen_by = list(world.nodes)
    nested = name in world.expected.housing
    if world.was_removed(name):
        return Cause(
            "node-off",
            name,
            f"{name} is off, or cut off on every network, and the cluster has forgotten it",
            seen_by,
            "it was a member: its disk may still have the cluster's configuration and key",
            f"install {name} anew before it comes back into this network, then {world.make('up')} joins it; or leave it out of the stack "
            f"file, and {world.make('up')}",
        )
    return Cause(
        "node-off",
        name,
        f"{name} is off, or cut off on every network",
        seen_by,
        f"here: {world.seen.silent[name].observed}; "
        + (f"no answer to ping at {names(seen_by)}, either" if seen_by else "no other node could be asked"),
        f"{world.make('up')} powers on its VM" if nested else f"power on {name}, then {world.make('doctor')}",
    )


def _quorum_lost(world: World, found: Symptoms, dead: list[str]) -> Found | None:
    """The cause when quorum cannot come back without one of the dead; None when the answering nodes could have it."""
    alive = [name for name in world.joined if name in world.listed]
    lacking = world.needed - world.votes_of(alive)
    if QUORUM not in found or not dead or not alive or lacking <= 0:
        return None
    listed = [name for name in dead if name in world.listed]
    if not listed:
        return None
    is_one_enough = world.votes_of(listed[:1]) >= lacking
    some = "it" if len(listed) == 1 else "one of them" if is_one_enough else f"{lacking} votes of theirs"
    power = f"power on {'one of ' if len(listed) > 1 and is_one_enough else ''}{names(listed)}"
    back = world.make("up") if set(listed) <= set(world.expected.housing) else power
    twice = (
        f"; {names(listed)} may be on and have the quorum without {names(alive)}, and HA runs their guests there"
        if world.votes_of(listed) >= world.needed
        else ""
    )
    cause = Cause(
        "quorum-lost",
        "cluster",
        f"{len(listed)} of {len(world.listed)} nodes are dead or cut off ({', '.join(listed)}): "
        f"{world.present} of {world.votes_of(world.listed)} votes, {world.needed} needed",
        alive,
        f"no answer here, nor to a ping at {names(alive)}, which a firewall may drop; {some} would be enough{twice}",
        f"{back}; {_without_them(world, listed)}",
    )
    return cause, _of_silent(found, dead)


def _without_them(world: World, lost: list[str]) -> str:
    """How the others go on. Where the lost ones are on after all, the same guests would run twice."""
    they = "it has no power, and it will not" if len(lost) == 1 else "all of them have no power, and none of them will"
    seen = f"only when you saw that {they} come back"
    voter = next((name for name in world.listed if name in world.voting and name in world.side), None)
    if voter is None:
        return f"{seen}: start corosync on the others, and {world.make('doctor')} again"
    repair = f"{world.make('repair')}, which asks for each by name, runs `pvecm expected {world.present}` on {voter}, and takes the dead off the list"
    return f"{seen}: {repair}"


def _of_silent(found: Symptoms, machines: list[str]) -> set[tuple[str, ...]]:
    return {(kind, name) for name in machines for kind in ("silent", *UNDER_A_NODE) if (kind, name) in found}
