"""Measure, and write docs/benchmarks.md.

Usage, as root: `python -m tools.bench [--quick] [--cold]`.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import sys
from typing import Annotated

import typer

from cli.console import err, stage
from tools.bench import bare_formation, builds, machine, page
from tools.bench.errors import BenchError
from tools.bench.figures import ColdBuild, Deployment, Failover, Noops, Previews, Report
from tools.bench.workspace import Workspace, prepared
from tools.invoker import Invoker

ROUNDS, DEPLOYMENTS = 11, 3
QUICK_ROUNDS, QUICK_DEPLOYMENTS = 2, 1


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Few repetitions: shows that it works, not how fast.")] = False,
    cold: Annotated[bool, typer.Option("--cold", help="Build the toolchain anew, too; takes long.")] = False,
) -> None:
    """Measure in a lab of its own, and write docs/benchmarks.md. Needs root."""
    # A polite end must not leave the lab behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    try:
        page.write(_measured(*((QUICK_ROUNDS, QUICK_DEPLOYMENTS) if quick else (ROUNDS, DEPLOYMENTS)), cold=cold))
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
        bare_forming=bare,
        preview_memory=previews.memory,
        warm_build=warm,
        cold_build=cold_build,
    )


def _deployment(workspace: Workspace) -> Deployment:
    workspace.forget()
    return Deployment.model_validate_json(workspace.measure("deployment"))


if __name__ == "__main__":
    typer.run(main)
