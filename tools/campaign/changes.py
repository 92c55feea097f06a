"""Random changes of a stack file, each one that the planner accepts after the one before. Pure: the seed decides all.

A file is a mapping of keys without prefix, as in `Pulumi.dev.yaml`.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from cli.report import way
from cli.report.described import whole
from config.errors import ConfigError
from config.load import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    File = dict[str, Any]
    Variant = Callable[[File, random.Random], "Made | None"]

NODES_MIN, NODES_MAX, NODES_FIRST = 4, 6, 5
GUESTS_MAX = 5
TRIES = 20
TEMPLATE_NODE = "proxmox01"  # it holds the guests' template, so it stays
WITNESS = {"name": "witness", "address": "192.168.0.106"}
THIRD_BRIDGE = {"name": "vmbr4", "address": "10.40.1.1/24"}
THIRD_LINK = {"subnet": "10.40.1.0/24", "priority": 5}
LINKS_FIRST = 2
PRIORITIES = (5, 10, 20, 30, 40)
TOKENS_MS = (3000, 4000, 5000)
MEMORY_MIB = (384, 512, 640)
# Beyond what stack dev's host is described with: the lab's has more.
ROOM = {"cores": 16, "memoryMib": 20480, "diskGib": 512}


@dataclass(frozen=True)
class Made:
    """A changed file.

    Attributes:
        file: it.
        words: what is changed, for people.
        destroyed: nodes whose VM is destroyed on its host before the run.
    """

    file: File
    words: str
    destroyed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """One change of a sequence.

    Attributes:
        number: its place, from 1.
        kind: one of :data:`KINDS`.
        made: what it makes of the file before.
    """

    number: int
    kind: str
    made: Made


def start(dev: Mapping[str, Any]) -> File:
    """Stack dev with five nodes.

    Args:
        dev: the file that is shipped.
    """
    file = copy.deepcopy(dict(dev))
    file["outerHosts"][0] |= ROOM
    file["nodes"] = [_node(file, number) for number in range(1, NODES_FIRST + 1)]
    return file


def sequence(dev: Mapping[str, Any], seed: int, count: int) -> list[Change]:
    """The changes of a campaign, from :func:`start` on. What came least often comes next, as soon as it can.

    Args:
        dev: the file that is shipped.
        seed: decides.
        count: how many.
    """
    file, found, used = start(dev), list[Change](), Counter[str]()
    for number in range(1, count + 1):
        chance = random.Random(f"{seed}/{number}")  # noqa: S311 - it is to be repeatable
        kinds = sorted(KINDS)
        chance.shuffle(kinds)
        change = _next(file, number, sorted(kinds, key=lambda kind: used[kind]), chance)
        used[change.kind] += 1
        found.append(change)
        file = change.made.file
    return found


def _next(file: File, number: int, kinds: Iterable[str], chance: random.Random) -> Change:
    return next(
        Change(number, kind, made)
        for kind in kinds
        for _ in range(TRIES)
        if (made := KINDS[kind](copy.deepcopy(file), chance)) is not None
        and (made.destroyed or made.file != file)
        and refusal(file, made.file) is None
    )


def refusal(before: File, after: File) -> str | None:
    """Why a file is no valid one, or the planner knows no way to it; None where it does."""
    try:
        old, new = (whole(validate(file), ()) for file in (before, after))
    except ConfigError as error:
        return str(error)
    found = way.way(old, new).refusal
    return found.render() if found else None


# -- nodes -------------------------------------------------------------------------------------------------------------


def _node(file: File, number: int) -> dict[str, Any]:
    """A node as stack dev would have it; a removed one comes back under the same id."""
    subnets = [link["subnet"] for link in file["cluster"]["links"]]
    last = 184 + number
    return {
        **copy.deepcopy(file["nodes"][0]),
        "name": f"proxmox{number:02}",
        "nodeId": number,
        "vmid": 100 + number,
        "address": f"192.168.0.{last}",
        "links": [str(ip_network(subnet).network_address + last) for subnet in subnets],
        "networks": [f"10.30.1.{last}"],
        "votes": 1,
    }


def _names(file: File) -> list[str]:
    return [node["name"] for node in file["nodes"]]


def _add_node(file: File, chance: random.Random) -> Made | None:
    free = sorted(set(range(1, NODES_MAX + 1)) - {node["nodeId"] for node in file["nodes"]})
    if not free:
        return None
    number = chance.choice(free)
    node = _node(file, number)
    file["nodes"].append(node)
    for guest in file["guests"]:
        guest["ha"]["nodes"].setdefault(node["name"], 1)
    return Made(file, f"{node['name']} is added")


def _remove_node(file: File, chance: random.Random) -> Made | None:
    names = [name for name in _names(file) if name != TEMPLATE_NODE]
    if len(file["nodes"]) <= NODES_MIN:
        return None
    gone = chance.choice(names)
    file["nodes"] = [node for node in file["nodes"] if node["name"] != gone]
    for guest in file["guests"]:
        guest["ha"]["nodes"].pop(gone, None)
        if guest["node"] == gone:
            guest["node"] = _preferred(guest)
    if file["cluster"]["seed"] == gone:
        file["cluster"]["seed"] = TEMPLATE_NODE
    return Made(file, f"{gone} is left out") if _balanced(file) else None


def _preferred(guest: Mapping[str, Any]) -> str:
    ranks: dict[str, int] = guest["ha"]["nodes"]
    return max(ranks, key=lambda name: (ranks[name], name))


def _replace_node(file: File, chance: random.Random) -> Made | None:
    lost = chance.choice([node for node in file["nodes"] if node["votes"] == 1] or [None])
    return Made(file, f"the VM of {lost['name']} is destroyed", (lost["name"],)) if lost else None


def _change_votes(file: File, chance: random.Random) -> Made | None:
    if "qdevice" in file["cluster"]:
        return None  # with ffsplit it wants one vote of each node
    node = chance.choice(file["nodes"])
    node["votes"] = 2 if node["votes"] == 1 else 1
    return Made(file, f"{node['name']} gets {node['votes']} votes") if _balanced(file) else None


def _balanced(file: File) -> bool:
    """Whether the quorum survives the loss of any one node, as a policy demands."""
    votes = [node["votes"] for node in file["nodes"]]
    return all((sum(votes) - one) * 2 > sum(votes) for one in votes)


def _change_seed(file: File, chance: random.Random) -> Made | None:
    file["cluster"]["seed"] = chance.choice([name for name in _names(file) if name != file["cluster"]["seed"]])
    return Made(file, f"{file['cluster']['seed']} is the seed")


# -- links -------------------------------------------------------------------------------------------------------------


def _add_link(file: File, _chance: random.Random) -> Made | None:
    if len(file["cluster"]["links"]) > LINKS_FIRST:
        return None
    file["outerHosts"][0]["bridges"].append(dict(THIRD_BRIDGE))
    file["cluster"]["links"].append(dict(THIRD_LINK))
    for node in file["nodes"]:
        node["links"].append(f"10.40.1.{184 + node['nodeId']}")
    return Made(file, "link 2 is added")


def _remove_link(file: File, _chance: random.Random) -> Made | None:
    if len(file["cluster"]["links"]) <= LINKS_FIRST:
        return None
    file["outerHosts"][0]["bridges"].pop()
    file["cluster"]["links"].pop()
    for node in file["nodes"]:
        node["links"].pop()
    return Made(file, "link 2 is left out")


def _move_link(file: File, chance: random.Random) -> Made | None:
    """Other addresses on one link, for one node or all."""
    link = chance.randrange(len(file["cluster"]["links"]))
    network = ip_network(file["cluster"]["links"][link]["subnet"])
    moved = file["nodes"] if chance.random() < 0.3 else [chance.choice(file["nodes"])]  # noqa: PLR2004 - mostly one node
    taken = {node["links"][link] for node in file["nodes"]}
    for node in moved:
        free = [str(network.network_address + last) for last in range(40, 180)]
        node["links"][link] = chance.choice([one for one in free if one not in taken])
        taken.add(node["links"][link])
    assert all(ip_address(node["links"][link]) in network for node in moved)  # noqa: S101 - what is tested is the product
    names = ", ".join(node["name"] for node in moved)
    return Made(file, f"other addresses on link {link}: {names}")


def _change_priority(file: File, chance: random.Random) -> Made | None:
    links = file["cluster"]["links"]
    for link, priority in zip(links, chance.sample(PRIORITIES, len(links)), strict=True):
        link["priority"] = priority
    return Made(file, f"link priorities {', '.join(str(link['priority']) for link in links)}")


def _change_token(file: File, chance: random.Random) -> Made | None:
    now = file["cluster"].get("totem", {}).get("tokenMs")
    file["cluster"]["totem"] = {"tokenMs": chance.choice([one for one in TOKENS_MS if one != now])}
    return Made(file, f"tokenMs {file['cluster']['totem']['tokenMs']}")


def _change_qdevice(file: File, _chance: random.Random) -> Made | None:
    if file["cluster"].pop("qdevice", None):
        return Made(file, "the QDevice is left out")
    if len(file["nodes"]) % 2:
        return None
    for node in file["nodes"]:
        node["votes"] = 1  # as ffsplit wants it
    file["cluster"]["qdevice"] = {"machine": dict(WITNESS), "tls": "required"}
    return Made(file, "a QDevice is added")


# -- guests ------------------------------------------------------------------------------------------------------------


def _add_guest(file: File, chance: random.Random) -> Made | None:
    if len(file["guests"]) >= GUESTS_MAX:
        return None
    like = copy.deepcopy(chance.choice(file["guests"]))
    kind, first = ("vm", 200) if like["kind"] == "vm" else ("ct", 300)
    number = next(one for one in range(1, 10) if first + one - 1 not in {guest["vmid"] for guest in file["guests"]})
    nodes = chance.sample(_names(file), len(file["nodes"]))
    ranks = {name: len(nodes) - place for place, name in enumerate(nodes)}
    like |= {"name": f"{kind}{number:02}", "vmid": first + number - 1, "node": nodes[0], "ha": {"nodes": ranks}}
    file["guests"].append(like)
    return Made(file, f"{like['name']} is added, at home on {nodes[0]}")


def _remove_guest(file: File, chance: random.Random) -> Made | None:
    """One of each kind stays."""
    kinds = [guest["kind"] for guest in file["guests"]]
    spare = [guest for guest in file["guests"] if kinds.count(guest["kind"]) > 1]
    if not spare:
        return None
    gone = chance.choice(spare)
    file["guests"].remove(gone)
    return Made(file, f"{gone['name']} is left out")


def _change_guest(file: File, chance: random.Random) -> Made | None:
    guest = chance.choice(file["guests"])
    guest["memoryMib"] = chance.choice([one for one in MEMORY_MIB if one != guest.get("memoryMib")])
    return Made(file, f"{guest['name']} gets {guest['memoryMib']} MiB")


def _move_guest(file: File, chance: random.Random) -> Made | None:
    """Another node is the preferred one: HA moves the guest there."""
    guest = chance.choice(file["guests"])
    ranks = guest["ha"]["nodes"]
    home = chance.choice([name for name in _names(file) if name != _preferred(guest)])
    guest["ha"]["nodes"] = {**dict.fromkeys(ranks, 1), home: 2}
    return Made(file, f"{guest['name']} prefers {home}")


KINDS: dict[str, Variant] = {
    "add-guest": _add_guest,
    "add-link": _add_link,
    "add-node": _add_node,
    "change-guest": _change_guest,
    "change-link-address": _move_link,
    "change-priority": _change_priority,
    "change-qdevice": _change_qdevice,
    "change-seed": _change_seed,
    "change-token": _change_token,
    "change-votes": _change_votes,
    "move-guest": _move_guest,
    "remove-guest": _remove_guest,
    "remove-link": _remove_link,
    "remove-node": _remove_node,
    "replace-node": _replace_node,
}


def guests(file: Mapping[str, Any]) -> Iterator[str]:
    """The guests of a file, as HA calls them."""
    for guest in file["guests"]:
        yield f"{'vm' if guest['kind'] == 'vm' else 'ct'}:{guest['vmid']}"
