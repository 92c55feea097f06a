"""The state brought in line with what the machines show, before the engine runs; or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.console import out
from cli.engine.failures import resource_name
from cli.looks import existing_guests, first_look, image_check, withdrawal
from cli.run import engine_runs, outdated_record
from cli.state import adoption, belongings, logins, moved_vms, ownership, protection, recorded_guests, vanished
from cluster import marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.run.loaded import LoadedStack
    from cli.state.belongings import DescribedThing, RecordedThing
    from cluster.marks import Thing

REPLACED = (
    "its VM is gone from its host; the cluster is quorate without it, so its entry there is released, and the node is installed "
    "and joins again"
)

UNDEFINED = "its VM is gone from its host, and its disk is there; so the VM is made again with that disk, and the node goes on as it was"


def with_machines(loaded: LoadedStack, *, acting: bool = True) -> LoadedStack:
    """Put right, or refuse, what the state and the machines show differently of what the provider makes.

    Args:
        loaded: the stack, with what its machines showed; without `acting`, over a copy of its state.
        acting: what is superfluous on the machines is taken away there.

    Raises:
        AdminError: as :func:`cli.state.ownership.compare`; node-protected, state-lost, member-vm-missing, vm-moved,
            guest-changed, guest-differs, image-unreadable, guest-missing, guest-foreign, guest-tied.
    """
    loaded = _followed(loaded)
    recorded_guests.refuse_others(loaded.description, loaded.state, loaded.looks.get(belongings.CLUSTER, ()))
    existing_guests.refuse_unfit(loaded.description, loaded.looks.get(belongings.CLUSTER, ()))
    loaded = loaded.recording(protection.released(loaded.description, loaded.state))
    found = findings(loaded)
    if acting:
        withdrawal.withdraw(loaded.description, found.withdraw)
    loaded = _forgotten(loaded, found.forget)
    if adopted := image_check.intact(loaded.description, found.adopt, remove=acting):
        loaded = _adopted(loaded, adopted)
    return _without_vanished(loaded)


def findings(loaded: LoadedStack) -> ownership.Findings:
    """What the comparison with the machines finds.

    Raises:
        AdminError: as :func:`cli.state.ownership.compare`; state-lost, where things exist and nothing is recorded.
    """
    found = ownership.compare(loaded.description, loaded.state, loaded.looks)
    if (found.adopt or found.claimed) and not loaded.has_resources and not loaded.adopting:
        raise ownership.state_lost(loaded.description.stack, found.adopt, found.claimed)
    return found


def without_lost(loaded: LoadedStack) -> LoadedStack:
    """Forget what is gone, or somebody else's by now: it is not ours to destroy."""
    return _forgotten(loaded, ownership.lost(belongings.recorded(loaded.state), loaded.looks))


def with_leftovers(loaded: LoadedStack) -> LoadedStack:
    """Record what a run that died made on an outer host: otherwise a destroy would leave it there.

    Raises:
        AdminError: state-lost.
    """
    found = ownership.left(loaded.description, loaded.state, loaded.looks)
    if not loaded.has_resources:
        if any(thing.kind != marks.IMAGE for thing in found.adopt):
            raise ownership.state_lost(loaded.description.stack, found.adopt)
        return loaded
    withdrawal.withdraw(loaded.description, found.withdraw)
    loaded = _forgotten(loaded, found.forget)
    return outdated_record.armed(_adopted(loaded, found.adopt)) if found.adopt else loaded


def forget_foreign(loaded: LoadedStack) -> None:
    """Forget what somebody else made in the moment in which a run recorded it as its own."""
    loaded = loaded.exported()
    seen = first_look.look(loaded.description, loaded.state, drifted=False, all_hosts=False)
    lost = ownership.lost(belongings.recorded(loaded.state), seen.looks)
    _forgotten(loaded, [(recorded, thing) for recorded, thing in lost if thing is not None])


def _followed(loaded: LoadedStack) -> LoadedStack:
    state, moved = moved_vms.follow(loaded.description, loaded.state, loaded.looks)
    if not moved:
        return loaded
    out.print(f"  moved to another outer host, and recorded there: {', '.join(moved)}", markup=False, soft_wrap=True)
    return loaded.recording(state)


def _forgotten(loaded: LoadedStack, lost: Sequence[tuple[RecordedThing, Thing | None]]) -> LoadedStack:
    if not lost:
        return loaded
    forgotten = vanished.forget_replaced(loaded.state, [each.urn for each, _ in lost if each.replaced])
    urns = ownership.with_last_looks(forgotten, [each.urn for each, _ in lost if not each.replaced])
    loaded = loaded.recording(vanished.forget(forgotten, urns))
    for each, thing in lost:
        gone = f"no longer there: {each.kind} {each.name}"
        what = f"no longer this stack's, and left alone: {thing.shown}" if thing else gone
        out.print(f"  {what} ({resource_name(each.urn)})", markup=False)
    return loaded


def _adopted(loaded: LoadedStack, things: Sequence[DescribedThing]) -> LoadedStack:
    """Record what exists already; the refresh at the start of the run reads how it is."""
    run = engine_runs.run(loaded, "preview", quiet=True)
    password = logins.today(loaded.description).password
    state, urns = adoption.adopt(loaded.state, adoption.planned(run.events), things, password)
    loaded = loaded.recording(state)
    out.print(
        f"  exists with this stack's mark, and is recorded now: {', '.join(map(resource_name, urns))}", soft_wrap=True
    )
    return loaded


def _without_vanished(loaded: LoadedStack) -> LoadedStack:
    gone = vanished.vanished_nodes(loaded.description, loaded.state, loaded.looks)
    if not gone:
        return loaded
    kept = vanished.with_disk([node for node, _ in gone], loaded.looks)
    nodes = [node for node, _ in gone if node not in kept]
    vanished.refuse_members(loaded.description, loaded.state, nodes, loaded.looks)
    lost = {node.name for node in nodes if vanished.is_member(loaded.state, node)}
    forgotten = vanished.forget(loaded.state, [urn for _, urn in gone])
    loaded = loaded.recording(vanished.released(forgotten, lost) if lost else forgotten)
    new = ", ".join(node.name for node in nodes if node.name not in lost)
    lines = [f"  the VM is gone from its host, and the node is installed again: {new}"] if new else []
    lines += [f"  {node.name}: {UNDEFINED}" for node in kept]
    for line in [*lines, *(f"  {name}: {REPLACED}" for name in sorted(lost))]:
        out.print(line, markup=False, soft_wrap=True)
    return loaded
