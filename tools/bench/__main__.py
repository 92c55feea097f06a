"""Measure, and write docs/benchmarks.md.

Usage, as root: `python -m tools.bench [--quick] [--cold] [--only changes]`.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import sys
from enum import StrEnum
from typing import Annotated

import typer

from cli.console import err, stage
from tools.bench import bare_formation, builds, machine, page
from tools.bench.errors import BenchError
from tools.bench.figures import Changes, ColdBuild, Deployment, Failover, LiveChanges, Noops, Previews, Report
from tools.bench.workspace import Workspace, prepared
from tools.invoker import Invoker

ROUNDS, DEPLOYMENTS = 11, 3
QUICK_ROUNDS, QUICK_DEPLOYMENTS = 2, 1
WITNESS_SHAPE = "witness"


class Part(StrEnum):
    """What can be measured alone."""

    CHANGES = "changes"


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Few repetitions: shows that it works, not how fast.")] = False,
    cold: Annotated[bool, typer.Option("--cold", help="Build the toolchain anew, too; takes long.")] = False,
    only: Annotated[Part | None, typer.Option(help="Measure only this, and keep the other figures.")] = None,
) -> None:
    """Measure in a lab of its own, and write docs/benchmarks.md. Needs root."""
    # A polite end must not leave the lab behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    rounds, deployments = (QUICK_ROUNDS, QUICK_DEPLOYMENTS) if quick else (ROUNDS, DEPLOYMENTS)
    try:
        page.write(_changes_alone(rounds, deployments) if only else _measured(rounds, deployments, cold=cold))
    except BenchError as error:
        err.print(f"error[bench-failed]: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _measured(rounds: int, deployments: int, *, cold: bool) -> Report:
    today, here, load = dt.datetime.now(tz=dt.UTC).date(), machine.described(), os.getloadavg()[0]
    owner = Invoker.current()
    with stage("Toolchain"):
        warm = [builds.warm(owner) for _ in range(rounds)]
        cold_build = ColdBuild(took=builds.cold(owner), machine=here, date=today) if cold else page.last_cold_build()
    with stage("Lab"), prepared(owner) as workspace:
        with stage("Previews before anything is deployed"):
            previews = Previews.model_validate_json(workspace.measure("previews", f"--rounds={rounds}"))
        deployed = []
        for number in range(deployments):
            with stage(f"Full up {number + 1} of {deployments}"):
                deployed.append(_deployment(workspace))
        with stage("Previews and ups that change nothing"):
            noops = Noops.model_validate_json(workspace.measure("noops", f"--rounds={rounds}"))
        with stage("A node dies"):
            failovers = [Failover.model_validate_json(workspace.measure("failover")) for _ in range(deployments)]
        with stage("A live cluster changes"):
            workspace.reshape(WITNESS_SHAPE)
            live = _live_changes(workspace, rounds, deployments)
        with stage("A cluster by Proxmox' own commands"):
            bare = [bare_formation.seconds(workspace) for _ in workspace.fresh_nodes(deployments)]
    return Report(
        date=today,
        machine=here,
        load=load,
        previews=[*previews.pairs, *noops.previews],
        stages=previews.stages,
        pack=previews.pack,
        noops=noops.ups,
        looks=noops.looks,
        deployments=deployed,
        failovers=failovers,
        changes=Changes(date=today, machine=here, load=load, **live.model_dump()),
        bare_forming=bare,
        preview_memory=previews.memory,
        warm_build=warm,
        cold_build=cold_build,
    )


def _changes_alone(rounds: int, deployments: int) -> Report:
    """The figures that are there, with these anew."""
    report = page.read()
    if report is None:
        raise BenchError("there are no other figures yet: run `make bench` without ONLY")
    today, here, load = dt.datetime.now(tz=dt.UTC).date(), machine.described(), os.getloadavg()[0]
    with stage("A live cluster changes"), prepared(Invoker.current(), WITNESS_SHAPE) as workspace:
        live = _live_changes(workspace, rounds, deployments)
    changes = Changes(date=today, machine=here, load=load, **live.model_dump())
    return report.model_copy(update={"changes": changes})


def _live_changes(workspace: Workspace, rounds: int, deployments: int) -> LiveChanges:
    return LiveChanges.model_validate_json(
        workspace.measure("changing", f"--rounds={deployments}", f"--looks={rounds}")
    )


def _deployment(workspace: Workspace) -> Deployment:
    workspace.forget()
    return Deployment.model_validate_json(workspace.measure("deployment"))


if __name__ == "__main__":
    typer.run(main)
