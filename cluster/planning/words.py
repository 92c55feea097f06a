"""What a transition does and what it risks, in people's words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.planning.model import (
    AddLink,
    AddMember,
    ChangeLinkAddress,
    ChangePriority,
    ChangeTotem,
    ChangeVotes,
    RemoveLink,
    RemoveMember,
    RemoveQDevice,
    ReplaceMember,
    SetQDevice,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.planning.model import Planned, Transition


def sentence(step: Planned) -> str:
    """One transition with its risk: "proxmox04 joins; meanwhile the cluster survives the loss of 1 node"."""
    return f"{done(step.transition)}; {risk(step.survives)}"


def risk(survives: int) -> str:
    """What may fail during a transition."""
    if survives < 0:
        return "the others have no majority until then"
    return f"meanwhile the cluster survives the loss of {survives} {'node' if survives == 1 else 'nodes'}"


def done(transition: Transition) -> str:  # noqa: PLR0911 - one for each kind
    """What a transition does."""
    match transition:
        case AddMember(name):
            return f"{name} joins"
        case RemoveMember(name):
            return f"{name} leaves for good"
        case ReplaceMember(name):
            return f"the entry of {name}, which is lost, goes, so that it can join anew"
        case SetQDevice(witness):
            return f"the QDevice on {witness} gets a vote"
        case RemoveQDevice(witness):
            return f"the QDevice on {witness} loses its vote"
        case ChangeVotes(votes):
            return f"other votes: {_each(votes)}"
        case ChangeTotem(settings):
            return f"other settings of corosync: {_each(settings)}"
    return _link(transition)


def _link(transition: ChangePriority | ChangeLinkAddress | AddLink | RemoveLink) -> str:
    match transition:
        case ChangePriority(link, priority):
            return f"link {link} gets priority {priority}"
        case ChangeLinkAddress(link, addresses):
            ends = "another address" if len(addresses) == 1 else "other addresses"
            return f"link {link} gets {ends} on {', '.join(sorted(addresses))}, and is out of use until then"
        case AddLink(link):
            return f"link {link} is added"
        case RemoveLink(link):
            return f"link {link} is removed"


def _each(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items()))
