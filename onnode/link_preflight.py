"""link-preflight: every peer answers on every link, with packets of full size, quickly enough (F9). Changes nothing."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode import network
from onnode.desired import LinkPeer, LinkPreflight, PreflightLink
from onnode.errors import StepError
from onnode.step import Action, Step, act_never

if TYPE_CHECKING:
    from onnode.machine import Machine

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


def observe(machine: Machine, desired: LinkPreflight) -> Observed:
    """Ping all peers on all links at once."""
    live = network.interfaces(machine)
    pairs = [(link, peer) for link in desired.links for peer in link.peers]
    with ThreadPoolExecutor(PARALLEL) as pool:
        probes = list(pool.map(lambda pair: _probe(machine, *pair), pairs))
    return Observed([address.partition("/")[0] for found in live for address in found.addresses], probes)


def _probe(machine: Machine, link: PreflightLink, peer: LinkPeer) -> Probe:
    answers, average = _ping(machine, link, peer, link.mtu - HEADERS)
    small, _ = (answers, None) if answers else _ping(machine, link, peer, SMALL)
    return Probe(link.number, peer.name, peer.address, answers, average, small)


def _ping(machine: Machine, link: PreflightLink, peer: LinkPeer, size: int) -> tuple[int, float | None]:
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
    mute = [_named(probe) for probe in observed.probes if not probe.small_answers]
    _refuse("link-unreachable", "peers do not answer", mute, "an answer on every link")
    large = [f"{_named(probe)} answers small packets only" for probe in observed.probes if not probe.answers]
    _refuse("link-mtu", "full-size packets do not pass", large, "packets of the link's MTU pass unfragmented")
    lossy = [f"{_named(probe)} {probe.answers} of {COUNT}" for probe in observed.probes if probe.answers < COUNT - 1]
    _refuse("link-lossy", "packets are lost", lossy, f"{COUNT} of {COUNT} answers")
    slow = [
        f"{_named(probe)} {probe.average_ms:g} ms"
        for probe in observed.probes
        if probe.average_ms is not None and probe.average_ms > desired.latency_max_ms
    ]
    _refuse("link-slow", "peers answer too slowly for Corosync", slow, f"at most {desired.latency_max_ms:g} ms")
    return []


def _named(probe: Probe) -> str:
    return f"link {probe.link} to {probe.peer} ({probe.address})"


def _refuse(code: str, what: str, found: list[str], expected: str) -> None:
    if found:
        raise StepError(code, what, observed="; ".join(found), expected=expected)


def facts(observed: Observed, _desired: LinkPreflight) -> dict[str, Any]:
    """The measured times."""
    return {"latency_ms": {f"{probe.link}:{probe.peer}": probe.average_ms for probe in observed.probes}}


def unchanged(observed: Observed, _desired: LinkPreflight) -> str:
    """Say what was found."""
    return f"all {len(observed.probes)} peers answer on their links"


STEP = Step(LinkPreflight, observe, decide, act_never, facts, unchanged, lock="shared")
