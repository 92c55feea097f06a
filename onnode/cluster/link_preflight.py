"""link-preflight: every peer is reached on every link, with packets of full size, quickly enough (F9). Changes nothing.

A link that Corosync has connected is not tested again. The others are tested with ping. No answer proves nothing, because
Proxmox' firewall drops pings. Then packets of our own decide.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import link_probe, membership
from onnode.contract.links import LinkPeer, LinkPreflight, PreflightLink
from onnode.errors import StepError
from onnode.step import Action, Step, act_never
from onnode.system import network

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

COUNT = 5
INTERVAL_S = 0.2
HEADERS = 28  # of IPv4 and ICMP
SMALL = 56
PARALLEL = 16


@dataclass(frozen=True)
class Probe:
    """How a peer answered on a link."""

    link: int
    peer: str
    address: str
    answers: int = 0  # to full-size packets
    average_ms: float | None = None
    small_answers: int = 0  # to small packets, tried when no full-size one came back
    connected: bool = False  # by Corosync: nothing was tried
    probe: str = ""  # packets of our own: "" not tried, "large", "small", "oneway" or "none"

    @property
    def silent(self) -> bool:
        """Whether nothing is known of the link yet."""
        return not (self.connected or self.small_answers or self.probe)


@dataclass(frozen=True)
class Observed:
    """This node's addresses, and all answers."""

    addresses: list[str] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)


def parse_ping(text: str) -> tuple[int, float | None]:
    """Read `ping`: how many answers came, and their average time in milliseconds."""
    received = re.search(r"(\d+) (?:packets )?received", text)
    average = re.search(r"= [\d.]+/(\d+(?:\.\d+)?)/", text)
    return int(received[1]) if received else 0, float(average[1]) if average else None


def observe(machine: ThisMachine, desired: LinkPreflight) -> Observed:
    """Try all peers on all links at once; first with packets of our own, while the other nodes do so, too."""
    live = network.interfaces(machine)
    connected = _connected(membership.observe(machine))
    pairs = [(link, peer) for link in desired.links for peer in link.peers]
    answers = _exchange(desired.links) if desired.probe else {}
    with ThreadPoolExecutor(PARALLEL) as pool:
        probes = list(pool.map(lambda pair: _probe(machine, pair, connected, answers), pairs))
    return Observed([address.partition("/")[0] for found in live for address in found.addresses], probes)


def _connected(member: membership.NodeState) -> set[tuple[int, str]]:
    """Link numbers and addresses to which Corosync holds a connection."""
    nodes = {node.id: node for node in member.local_conf.nodes} if member.local_conf else {}
    return {
        (found.link, nodes[found.node_id].links.get(found.link, ""))
        for found in member.links
        if found.connected and found.node_id in nodes
    }


def _exchange(links: list[PreflightLink]) -> dict[tuple[int, str], link_probe.Answer]:
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = pool.map(
            lambda link: link_probe.exchange(link.local_address, [peer.address for peer in link.peers], link.mtu), links
        )
        return {
            (link.number, address): answer
            for link, answers in zip(links, found, strict=True)
            for address, answer in answers.items()
        }


def _probe(
    machine: ThisMachine,
    pair: tuple[PreflightLink, LinkPeer],
    connected: set[tuple[int, str]],
    exchanged: dict[tuple[int, str], link_probe.Answer],
) -> Probe:
    link, peer = pair
    if (link.number, peer.address) in connected:
        return Probe(link.number, peer.name, peer.address, connected=True)
    answers, average = _ping(machine, link, peer, link.mtu - HEADERS)
    small, _ = (answers, None) if answers else _ping(machine, link, peer, SMALL)
    own = exchanged.get((link.number, peer.address))
    return Probe(link.number, peer.name, peer.address, answers, average, small, probe=_told(own) if own else "")


def _told(own: link_probe.Answer) -> str:
    if own.complete:
        return "large"
    return "small" if own.reached else "oneway" if own.small or own.told else "none"


def _ping(machine: ThisMachine, link: PreflightLink, peer: LinkPeer, size: int) -> tuple[int, float | None]:
    argv = ["ping", "-n", "-q", "-c", str(COUNT), "-i", str(INTERVAL_S), "-W", "1", "-M", "do", "-s", str(size)]
    return parse_ping(machine.run([*argv, "-I", link.local_address, peer.address], timeout_s=20).out)


def decide(observed: Observed, desired: LinkPreflight) -> list[Action]:
    """Refuse the first kind of trouble, naming every link that has it.

    Raises:
        StepError: link-address, link-unreachable, link-mtu, link-lossy, link-slow.
    """
    absent = [link for link in desired.links if link.local_address not in observed.addresses]
    if absent:
        raise StepError(
            "link-address",
            "a link address of this node is not up",
            observed=f"this node has {', '.join(observed.addresses) or 'no address'}",
            expected=", ".join(f"link {link.number}: {link.local_address}" for link in absent),
        )
    unsure = [probe for probe in observed.probes if not probe.connected]
    mute = [_mute(probe) for probe in unsure if not probe.small_answers and probe.probe in ("oneway", "none")]
    expected = (
        f"packets both ways on every link; a firewall on a node or between them must let UDP 5405 to {link_probe.PORT}"
        " pass, which Corosync uses"
    )
    _refuse("link-unreachable", "peers are not reached", mute, expected)
    large = [f"{_named(probe)} answers small packets only" for probe in unsure if not probe.answers and _narrow(probe)]
    _refuse("link-mtu", "full-size packets do not pass", large, "packets of the link's MTU pass unfragmented")
    lossy = [f"{_named(probe)} {probe.answers} of {COUNT}" for probe in unsure if 0 < probe.answers < COUNT - 1]
    _refuse("link-lossy", "packets are lost", lossy, f"{COUNT} of {COUNT} answers")
    slow = [
        f"{_named(probe)} {probe.average_ms:g} ms"
        for probe in unsure
        if probe.average_ms is not None and probe.average_ms > desired.latency_max_ms
    ]
    _refuse("link-slow", "peers answer too slowly for Corosync", slow, f"at most {desired.latency_max_ms:g} ms")
    return []


def _narrow(probe: Probe) -> bool:
    return probe.probe == "small" or (bool(probe.small_answers) and probe.probe != "large")


def _mute(probe: Probe) -> str:
    way = "only one way" if probe.probe == "oneway" else "neither way"
    return f"{_named(probe)}: no answer to ping, and UDP packets on port {link_probe.PORT} pass {way}"


def _named(probe: Probe) -> str:
    return f"link {probe.link} to {probe.peer} ({probe.address})"


def _refuse(code: str, what: str, found: list[str], expected: str) -> None:
    if found:
        raise StepError(code, what, observed="; ".join(found), expected=expected)


def facts(observed: Observed, _desired: LinkPreflight) -> dict[str, Any]:
    """The measured times, and the links of which nothing is known because ping is silent."""
    return {
        "latency_ms": {f"{probe.link}:{probe.peer}": probe.average_ms for probe in observed.probes},
        "silent": [_named(probe) for probe in observed.probes if probe.silent],
    }


def unchanged(observed: Observed, _desired: LinkPreflight) -> str:
    """Say what was found."""
    return f"all {len(observed.probes)} peers are reached on their links"


STEP = Step(LinkPreflight, observe, decide, act_never, facts, unchanged, lock="shared")
