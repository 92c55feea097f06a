"""Records existing things that carry this stack's mark and are not recorded.

A preview shows how the program would make such a thing: its URN, parent, provider and inputs. The state gets an entry of just
these; the refresh at the start of the run reads how the thing really is. `pulumi import` does not work here: it needs a
recorded provider, and it misses inputs that a provider cannot read (`clone`, timeouts), so the next run would change them.
"""

from __future__ import annotations

import copy
import uuid
from typing import TYPE_CHECKING, Any

from cli.state import vanished
from cli.state.interrupted import as_made
from cli.state.logins import secret
from components.recorded import PROVIDER_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cli.engine.engine import Event
    from cli.state.belongings import DescribedThing

State = dict[str, Any]
CREATES = ("create", "create-replacement")


def planned(events: Iterable[Event]) -> dict[str, State]:
    """What a preview would create or replace, by URN, parents before children; pure."""
    found = {}
    for event in events:
        metadata = event.get("resourcePreEvent", {}).get("metadata", {})
        if metadata.get("op") in CREATES:
            found[metadata["urn"]] = {**metadata["new"], "urn": metadata["urn"], "type": metadata["type"]}
    return found


def adopt(
    state: State, creates: Mapping[str, State], things: Iterable[DescribedThing], password: Callable[[str], str | None]
) -> tuple[State, list[str]]:
    """The state with these things recorded, and their URNs; pure.

    Args:
        state: what is recorded.
        creates: what the program would make, by URN.
        things: what of that exists already.
        password: of the provider with that name.
    """
    names = {(thing.type, thing.logical) for thing in things}
    adopted = [urn for urn, new in creates.items() if (new["type"], urn.rpartition("::")[2]) in names]
    needed = set(adopted) | {_urn_of_provider(creates[urn]) for urn in adopted}
    for urn in list(needed):
        needed |= set(_ancestors(urn, creates))
    replaced = set(adopted) & {entry["urn"] for entry in state["deployment"].get("resources") or []}
    found = _without_what_lived_in(state, replaced)
    resources = found["deployment"].setdefault("resources", None) or []
    known = {entry["urn"]: entry.get("id", "") for entry in resources}
    for urn in (urn for urn in creates if urn in needed and urn not in known):
        entry = _entry(creates[urn], known, password)
        known[urn] = entry.get("id", "")
        resources.append(entry)
    for urn in replaced:
        _replace(resources, _entry(creates[urn], known, password))
    found["deployment"]["resources"] = resources
    return found, adopted


def _without_what_lived_in(state: State, replaced: set[str]) -> State:
    """A copy without what was made inside of replaced VMs: in the new ones it is still to be made."""
    if not replaced:
        return copy.deepcopy(state)
    inside = [entry["urn"] for entry in state["deployment"]["resources"] if entry.get("deletedWith") in replaced]
    return vanished.forget(state, inside)


def _replace(resources: list[State], entry: State) -> None:
    """Put an entry before the one that it replaces, as the engine does; that one is still to be deleted."""
    at = next(at for at, one in enumerate(resources) if one["urn"] == entry["urn"])
    resources[at]["delete"] = True
    resources.insert(at, entry)


def _urn_of_provider(new: State) -> str:
    return str(new.get("provider") or "").rpartition("::")[0]


def _ancestors(urn: str, creates: Mapping[str, State]) -> Iterable[str]:
    parent = creates.get(urn, {}).get("parent")
    while parent:
        yield parent
        parent = creates.get(parent, {}).get("parent")


def _entry(new: State, ids: Mapping[str, str], password: Callable[[str], str | None]) -> State:
    entry: State = {"urn": new["urn"], "type": new["type"], "custom": bool(new.get("custom"))}
    if new.get("parent"):
        entry["parent"] = new["parent"]
    if not entry["custom"]:
        return entry
    inputs = copy.deepcopy(new.get("inputs") or {})
    if new["type"] == PROVIDER_TYPE:
        name = new["urn"].rpartition("::")[2]
        inputs["password"] = secret(password(name))
        return {**entry, "id": str(uuid.uuid4()), "inputs": inputs, "outputs": inputs}
    provider = _urn_of_provider(new)
    return {
        **entry,
        **as_made(new["type"], inputs),
        "inputs": inputs,
        "protect": bool(new.get("protect")),
        "provider": f"{provider}::{ids[provider]}",
    }
