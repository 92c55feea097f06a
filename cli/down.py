"""`down`: destroy what a stack made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import chronicle
from cli.console import out, stage
from cli.drift import whose
from cli.rolling import progress
from cli.run import confirmation, engine_runs, loading, looking, reconciling, removal_logins
from cli.run.engine_runs import REFRESH
from cli.run.narration import summary
from cli.state.belongings import CLUSTER
from cluster import guests_inside
from onnode.contract.membership import Membership

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster.marks import Look


def down(stack: str, *, yes: bool) -> None:
    """Destroy what the stack made; guests first, the outer host's originals last.

    Args:
        stack: which.
        yes: ask nobody.

    Raises:
        StepError: whatever stands in the way, or RunError.
    """
    with stage("Configuration and state"):
        loaded, seen = looking.at_machines(loading.load(stack, yes=yes), drifted=False, all_hosts=False)
        _note(loaded.looks.get(CLUSTER, []))
        if loaded.has_resources:
            guests_inside.of_stack(loaded.description.config, loaded.looks.get(CLUSTER, []))
        loaded = reconciling.with_leftovers(reconciling.without_lost(loaded))
        loaded = removal_logins.renewed(loaded, all_goes=True)
        looking.let_guests_settle(loaded, seen)
    if not loaded.has_resources:
        out.print("  nothing to destroy")
        return
    for shown in whose.destroyed(loaded.state, loaded.looks):
        out.print(f"  to be destroyed with its disks: {shown}", markup=False, soft_wrap=True)
        chronicle.current().changes.append(chronicle.Remark("stack", f"destroyed with its disks: {shown}"))
    if not yes:
        confirmation.confirm(f"Destroy everything that stack {stack} made?")
    with stage("Destroy"):
        run = engine_runs.run(loaded, "destroy", "--yes", "--skip-preview", *REFRESH)
        out.print(f"  {summary(run.events)}")
    progress.forget(stack)


def _note(looks: Iterable[Look]) -> None:
    """For the report: votes and links were not asked for."""
    chronicle.current().looked(
        {
            one.machine: Membership(
                one.node, "member" if one.cluster else "absent", cluster=one.cluster or None, quorate=one.quorate
            )
            for one in looks
        }
    )
