"""Runs that are hit: at the end of a resource a process of theirs is killed, or something of the world they work on breaks.

A plain run then has to bring everything about. Cases come in cycles: a stack is built from nothing, changed some times, and destroyed.
Each of these runs is hit once.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import stage
from tests.support import processes
from tests.support.lab_project import Run
from tools.campaign import changes, changing, faults, guests, results, world
from tools.campaign.results import Case

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tools.campaign.changes import Change, File
    from tools.campaign.faults import Fault
    from tools.campaign.world import World

PART = "kills"
# As many cycles as victims: each of them meets a build, a destroy, and some changes.
CYCLES, CHANGES_IN_CYCLE = 9, 3
COUNT = CYCLES * (CHANGES_IN_CYCLE + 2)
# After so many resources at most a run is hit, so that about one is still to come; a change of that kind has as many.
LAST = {
    "build": 66,
    "destroy": 40,
    "add-guest": 4,
    "add-link": 28,
    "add-node": 28,
    "change-guest": 0,
    "change-link-address": 13,
    "change-priority": 10,
    "change-qdevice": 4,
    "change-seed": 0,
    "change-token": 3,
    "change-votes": 10,
    "move-guest": 1,
    "remove-guest": 2,
    "remove-link": 26,
    "remove-node": 18,
    "replace-node": 9,
}
PHASES = ("build", "change", "destroy")
FIND_S = 20.0  # for a step or a plugin that is not there at that moment
POLL_S = 0.02
KILLED_S = 10.0
BEGAN = re.compile(r"^▸ (?:Run|Destroy)$")  # the engine starts
ENDED = re.compile(r"^  \S.{0,11} +\S+ +\d+\.\d s(?:  .*)?$")  # a line of a resource that has ended
PROGRAM, STEP = "the program, with all below it", "the step on the machine"
# The names of processes.
BELOW = {
    "the engine": re.compile(r"(?:^|/)pulumi\0(?:up|destroy)\0"),
    "the language host": re.compile(r"(?:^|/)pulumi-language-python\0"),
    "the command plugin": re.compile(r"(?:^|/)pulumi-resource-command\0"),
    "the proxmoxve plugin": re.compile(r"(?:^|/)pulumi-resource-proxmoxve\0"),
}
VICTIMS = (*BELOW, STEP, PROGRAM, *faults.FAULTS)
AGAIN_S = 1.0  # until a fault is tried again whose node is not there yet
ON_MACHINE = re.compile(r"nested-pve-ha/onnode\0|from onnode\.dispatch import main")


@dataclass(frozen=True)
class Kill:
    """A run that is hit.

    Attributes:
        number: of the case.
        phase: `build`, `change` or `destroy`.
        victim: which process, or what breaks.
        after: so many resources have ended by then.
        change: of the stack file, with phase `change`.
        fault: what breaks, if no process is killed.
    """

    number: int
    phase: str
    victim: str
    after: int
    change: Change | None = None
    fault: Fault | None = None

    @property
    def words(self) -> str:
        """What is done."""
        what = {"build": "from nothing", "destroy": "destroyed"}.get(self.phase) or (
            self.change.made.words if self.change else ""
        )
        return f"{what}; after {self.after} resources {self.fault.words if self.fault else f'{self.victim} is killed'}"

    @property
    def kind(self) -> str:
        """For counting: a node without power takes its guests with it."""
        return results.POWER if self.victim == faults.POWER else self.change.kind if self.change else self.phase


def cases(dev: File, seed: int, count: int = COUNT) -> list[Kill]:
    """The first cases of a campaign; every stack begins with five nodes, and changes go on from cycle to cycle. Pure.

    Args:
        dev: the file that is shipped.
        seed: decides what is changed, and what is killed when.
        count: how many.
    """
    chance = random.Random(f"{PART}/{seed}")  # noqa: S311 - it is to be repeatable
    phases = (["build", *["change"] * CHANGES_IN_CYCLE, "destroy"] * CYCLES)[:count]
    whole = changes.sequence(dev, seed, phases.count("change"))
    found, left, decks = list[Kill](), iter(whole), {phase: list[str]() for phase in PHASES}
    file = changes.start(dev)
    for number, phase in enumerate(phases, start=1):
        if not decks[phase]:
            decks[phase] = chance.sample(VICTIMS, len(VICTIMS))
        change = next(left) if phase == "change" else None
        victim, after = decks[phase].pop(), chance.randint(0, LAST[change.kind if change else phase])
        fault = faults.chosen(victim, file, change, chance) if victim in faults.FAULTS else None
        found.append(Kill(number, phase, victim, after, change, fault))
        file = change.made.file if change else file
    return found


def campaign(dev: File, seed: int, count: int, *, until: float | None = None, again: bool = False) -> None:
    """Do the cases that are still to be done.

    Args:
        dev: the file that is shipped.
        seed: decides what is killed, and when.
        count: how many cases, the first ones.
        until: no case begins after that moment, in seconds since 1970.
        again: also those that did not go well, once more.

    Raises:
        BrokenLabError: the lab does not start, or what a case begins with cannot be made.
    """
    whole = cases(dev, seed, count)
    left = remaining(whole, seed, again=again)
    while left and not changing.over(until):
        with world.fresh() as lab:
            with stage("A lab"):
                lab.start()
            left = left[_go_through(lab, before(dev, whole, left[0]), left, seed, until) :]


def remaining(whole: Sequence[Kill], seed: int, *, again: bool = False) -> list[Kill]:
    """The cases that are still to be done."""
    done = {case.number for case in results.read(PART, seed) if not again or results.well(case)}
    return [one for one in whole if one.number not in done]


def before(dev: File, whole: Sequence[Kill], case: Kill) -> File:
    """The file before a case. Pure."""
    earlier = [one.change for one in whole if one.number < case.number and one.change]
    return earlier[-1].made.file if earlier else changes.start(dev)


def _go_through(lab: World, file: File, left: Sequence[Kill], seed: int, until: float | None) -> int:
    """Do cases that follow each other; how many of them, before the next one needs a fresh lab."""
    built = False
    for done, (kill, following) in enumerate(zip(left, [*left[1:], None], strict=True)):
        if changing.over(until):
            return done
        if kill.phase != "build" and not built:
            with stage("What the next case begins with"):
                lab.build(file)
        with stage(f"{kill.number}: {kill.words}"):
            case = killed(lab, file, kill, seed)
            results.keep(case)
            changing.tell(case)
        file = kill.change.made.file if kill.change else file
        built = kill.phase != "destroy"
        if not case.runs or following is None or following.number != kill.number + 1:
            return done + 1
    return len(left)


def killed(lab: World, file: File, kill: Kill, seed: int) -> Case:
    """One case."""
    after = kill.change.made.file if kill.change else file
    going_on = (
        [] if kill.phase != "change" else [sid for sid in changes.guests(file) if sid in set(changes.guests(after))]
    )
    command = "down" if kill.phase == "destroy" else "up"
    began = time.monotonic()
    with guests.Watch(lab.identity) as watch:
        for name in kill.change.made.destroyed if kill.change else ():
            lab.destroy(file, name)
        lab.project.configure(after)
        if kill.phase == "destroy":
            lab.withdraw(file)
        run, hit = ended_by(lab, command, kill)
        runs, failures = lab.converge(changing.RUNS_MAX, command)
        took = time.monotonic() - began
        failures += lab.looks() if runs and command == "up" else []
    if kill.phase == "build" and runs:
        lab.invite(after)
    # A run that is killed as a whole says nothing.
    mute = [
        one
        for one in [world.failure(f"{command}, hit", run)]
        if run.code and kill.victim != PROGRAM and not one.has_next
    ]
    return Case(
        PART,
        seed,
        kill.number,
        kill.kind,
        kill.words + ("" if hit else " (it was not there by then)"),
        world.today(),
        world.here(),
        round(took, 1),
        runs,
        [*mute, *failures],
        world.seen(watch, going_on, lab.identity),
        _touched(lab, after, kill, converged=runs > 0),
        lab.tree,
    )


def _touched(lab: World, file: File, kill: Kill, *, converged: bool) -> list[str]:
    if kill.phase == "destroy":
        return lab.difference() if converged else []
    return lab.foreign(file) if converged else []


def ended_by(lab: World, command: str, kill: Kill) -> tuple[Run, bool]:
    """Start a run, and hit it after so many resources; how it ended, and whether what was to be hit was there."""
    options = ("--yes",) if command == "down" else ()
    process = lab.project.start_admin(command, *options)
    said, ready = list[str](), threading.Event()
    reader = threading.Thread(target=_read, args=(process, said, kill.after, ready))
    reader.start()
    while not ready.wait(POLL_S) and process.poll() is None:
        pass
    if not ready.is_set():
        hit = False
    elif kill.fault:
        hit = struck(lab, process, kill.fault)
    else:
        hit = kill_one(process, kill.victim, lab.identity)
    if not _ended(process, world.RUN_LIMIT_S):
        said.append(f"\nstill running after {world.RUN_LIMIT_S} s")
    reader.join()
    return Run(process.returncode or 0, "".join(said)), hit


def struck(lab: World, process: subprocess.Popen[str], fault: Fault) -> bool:
    """Break something as soon as it is there, and mend it; whether it was there while the run went on."""
    while not (hit := fault.strike(lab.project)) and process.poll() is None:
        time.sleep(AGAIN_S)
    with suppress(subprocess.TimeoutExpired):
        process.wait(fault.seconds or world.RUN_LIMIT_S)
    fault.mend(lab.project)
    return hit


def _ended(process: subprocess.Popen[str], limit_s: float) -> bool:
    """Wait for the end of a run; whether it came, or the run had to be killed."""
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        processes.end_all(process.pid)
        process.wait(KILLED_S)
        return False
    return True


def _read(process: subprocess.Popen[str], said: list[str], after: int, ready: threading.Event) -> None:
    began, ended = False, 0
    for line in process.stdout or ():
        said.append(line)
        began |= BEGAN.match(line.rstrip("\n")) is not None
        ended += ENDED.match(line.rstrip("\n")) is not None
        if began and ended >= after:
            ready.set()


def kill_one(process: subprocess.Popen[str], victim: str, lab: str) -> bool:
    """Kill a process of a run by SIGKILL, as soon as there is one; whether there was one while the run went on."""
    deadline = time.monotonic() + FIND_S
    while process.poll() is None and time.monotonic() < deadline:
        if victim == PROGRAM:
            processes.end_all(process.pid)
            return True
        for pid in on_machines(lab) if victim == STEP else below(process.pid, BELOW[victim]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        time.sleep(POLL_S)
    return False


def below(ancestor: int, name: re.Pattern[str]) -> Iterator[int]:
    """The processes of that name below a process."""
    return (pid for pid in processes.below(ancestor) if name.search(_command(pid)))


def on_machines(lab: str) -> Iterator[int]:
    """The steps that run on machines of a lab."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if ON_MACHINE.search(_command(int(path.name))) and lab in (path / "cgroup").read_text():
                yield int(path.name)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
