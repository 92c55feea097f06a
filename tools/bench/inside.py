"""What is measured on the control machine, phase by phase; each prints its figures as the last line.

Usage, in a workspace: `python -m tools.bench.inside previews|deployment|noops|failover|changing`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Annotated

import typer
import yaml

from cli.engine.critical_path import critical_path, dependencies, spans
from cli.engine.engine import Engine, Event
from cli.engine.environment import for_engine
from cli.engine.failures import resource_name
from cli.engine.policies import PACK as POLICY_PACK
from cli.run.engine_runs import REFRESH
from cli.shell import environment_of
from config.paths import OWN, ROOT
from tools.bench import changes, memory
from tools.bench.errors import BenchError
from tools.bench.figures import (
    Deployment,
    Failover,
    Link,
    LiveChanges,
    Looks,
    Noops,
    Outage,
    Pack,
    Peak,
    Previews,
    Stages,
)
from tools.bench.logins import accepted
from tools.bench.many_nodes import KEY
from tools.bench.program import Program
from tools.bench.timing import by_turns, pair
from tools.bench.workspace import EMPTY, IDLE_PACK, MANY, MANY_NODES, STACK
from tools.bench.yardsticks import IMPORTS, REGISTRATIONS, keep_steps

PREVIEW_GOAL, MANY_GOAL, NOOP_GOAL = 2.0, 4.0, 3.0
PACK = ("--policy-pack", str(ROOT / POLICY_PACK))
IDLE = ("--policy-pack", str(ROOT.parent / EMPTY / IDLE_PACK))
NOOP = ("up", "--yes", "--skip-preview")
FORMING = ("cluster-create", "cluster-join-")
MODES = {"": (), ", with the policy pack": PACK}

app = typer.Typer()
Rounds = Annotated[int, typer.Option()]


def _programs() -> tuple[Program, Program, Program]:
    environment = for_engine()
    dev = environment_of(STACK)  # MANY has no machines; a preview needs no more than an address
    return (
        Program(ROOT.parent / EMPTY, STACK, environment),
        Program(ROOT, STACK, dev),
        Program(ROOT, MANY, dev),
    )


@app.command()
def previews(rounds: Rounds) -> None:
    """Nothing is deployed yet: everything would be created."""
    empty, dev, many = _programs()
    for program in (empty, dev, many):
        program.create()
    subjects = (("stack dev, everything to be created", dev, PREVIEW_GOAL), (f"{MANY_NODES} nodes", many, MANY_GOAL))
    pairs = [
        pair(f"{what}{how}", goal, empty.pulumi("preview", *options), program.pulumi("preview", *options), rounds)
        for what, program, goal in subjects
        for how, options in MODES.items()
    ]
    stages = _stages(empty, dev, rounds)
    without, idle, ours = by_turns([many.pulumi("preview", *pack).seconds for pack in ((), IDLE, PACK)], rounds)
    with memory.sampled(os.getpid()) as peaks:
        many.pulumi("preview", *PACK).seconds()
    pack = Pack(without=without, idle=idle, ours=ours)
    _print(
        Previews(
            pairs=pairs,
            stages=stages,
            pack=pack,
            memory=_peak(f"preview of {MANY_NODES} nodes, with the policy pack", peaks),
        )
    )


def _stages(empty: Program, dev: Program, rounds: int) -> Stages:
    programs = [Program(ROOT.parent / name, STACK, empty.environment) for name in (IMPORTS, REGISTRATIONS)]
    keep_steps(ROOT.parent, dev.pulumi("preview", "--json").output())
    for program in programs:
        program.create()
    subjects = [program.pulumi("preview").seconds for program in (empty, *programs, dev)]
    took = by_turns(subjects, rounds)
    return Stages(empty=took[0], imports=took[1], registrations=took[2], ours=took[3])


@app.command()
def deployment() -> None:
    """Deploy stack dev on fresh machines, as `make up` does."""
    environment = environment_of(STACK)
    engine = Engine(STACK, environment)
    engine.create_stack()
    events: list[tuple[float, Event]] = []
    began = time.monotonic()
    with memory.sampled(os.getpid()) as peaks:
        run = engine.run(*NOOP, *PACK, on_event=lambda event: events.append((time.monotonic() - began, event)))
    if run.exit_code != 0:
        raise BenchError(f"the deployment failed: {run.errors or run.output[-2000:]}")
    logins = {name: accepted(address) for name, address in _machines().items()}
    state = engine.export() or {}
    status = Program(ROOT, STACK, environment).admin("status")
    work = spans(events)
    forming = [span.end - span.start for span in work.values() if resource_name(span.urn).startswith(FORMING)]
    path = critical_path(work, dependencies(state["deployment"]))
    _print(
        Deployment(
            took=run.duration_s,
            forming=sum(forming),
            status_took=status.seconds(),
            path=[Link(resource=resource_name(span.urn), start=span.start, end=span.end) for span in path],
            logins=logins,
            memory=_peak("full `up`, with the policy pack", peaks),
        )
    )


@app.command()
def noops(rounds: Rounds) -> None:
    """Everything is deployed: nothing is to be done."""
    empty, dev, _ = _programs()
    empty.create()
    unchanged = [
        pair(
            f"stack dev, everything there{how}",
            PREVIEW_GOAL,
            empty.pulumi("preview", *options),
            dev.pulumi("preview", "--expect-no-changes", *options),
            rounds,
        )
        for how, options in MODES.items()
    ]
    modes = {**MODES, ", with refresh and the policy pack (`make up`)": (*PACK, *REFRESH)}
    ups = [
        pair(
            f"stack dev{how}",
            NOOP_GOAL,
            empty.pulumi(*NOOP, *options),
            dev.pulumi(*NOOP, "--expect-no-changes", *options),
            rounds,
        )
        for how, options in modes.items()
    ]
    made = empty.pulumi(*NOOP, *PACK, *REFRESH)
    ups += [
        pair(
            "stack dev, all of `make up`, looks and live status, too", NOOP_GOAL, made, dev.admin("up", "--yes"), rounds
        )
    ]
    without, looking = by_turns([dev.admin("preview", *look).seconds for look in ((), ("--look",))], rounds)
    _print(Noops(previews=unchanged, ups=ups, looks=Looks(without=without, looking=looking)))


@app.command()
def failover() -> None:
    """Everything is deployed: the power of a node is cut."""
    Program(ROOT, STACK, environment_of(STACK)).admin("drill", "--yes").seconds()
    newest = max((OWN / "reports").glob(f"*-{STACK}-drill.json"))
    drill = json.loads(newest.read_text())["drill"]
    guests = [Outage(**{key: guest[key] for key in Outage.model_fields}) for guest in drill["guests"]]
    same = {key: drill[key] for key in ("node", "time_scale", "interval_s", "longest_s", "real")}
    _print(Failover(**same, guests=guests))


@app.command()
def changing(rounds: Rounds, looks: Annotated[int, typer.Option()]) -> None:
    """Nothing is deployed yet: a cluster is, and changes."""
    _print(changes.measured(rounds, looks))


def _machines() -> dict[str, str]:
    values = yaml.safe_load((ROOT / f"Pulumi.{STACK}.yaml").read_text())["config"]
    described = [*values[KEY.format("outerHosts")], *values[KEY.format("nodes")]]
    return {machine["name"]: machine["address"] for machine in described}


def _peak(name: str, peaks: memory.Peaks) -> Peak:
    return Peak(name=name, largest=peaks.largest, together=peaks.together)


def _print(figures: Previews | Deployment | Noops | Failover | LiveChanges) -> None:
    sys.stdout.write(figures.model_dump_json() + "\n")


if __name__ == "__main__":
    try:
        app()
    except BenchError as error:
        sys.exit(str(error))
