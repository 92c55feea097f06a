"""Reading a stack before a run: its description, and its state, in which what a killed run left is put right."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cli import description
from cli.backend import locks, namesakes, run_record, state_files
from cli.console import out
from cli.engine import engine, environment
from cli.engine.failures import resource_name
from cli.looks import trust
from cli.run import confirmation, outdated_record
from cli.run.loaded import EMPTY, LoadedStack, record
from cli.state import interrupted, site_instance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.engine.engine import Engine
    from cli.run.loaded import State


def load(stack: str, *, yes: bool, new: bool = False) -> LoadedStack:
    """Read a stack, and put right what a killed run left.

    Args:
        stack: which one.
        yes: ask nobody.
        new: a stack file may hold secrets while there is no state: the stack is made first, so that they can be read.

    Raises:
        AdminError: the description or the state cannot be read; stack-locked, site-in-use, stack-name-taken, not-confirmed.
    """
    env = environment.for_engine()
    backend = environment.file_backend(env)
    ask: Callable[[str], None] = (lambda _question: None) if yes else confirmation.confirm
    if backend:
        make_readable(backend, stack, ask)
    runner = engine.Engine(stack, env)
    if new and runner.export() is None:
        runner.create_stack()
    described = description.read(stack, env)
    runner = replace(runner, environment=env | trust.settings(stack, described.config))
    site_instance.refuse_shared(stack, backend)
    state = runner.export()
    if state is None:
        runner.create_stack()
        return LoadedStack(described, runner, runner.export() or EMPTY)
    state = _without_killed_run(runner, _without_earlier_machines(runner, state, ask))
    state = outdated_record.rewritten(runner, state)  # also what an earlier version was killed at
    return outdated_record.armed(LoadedStack(described, runner, state))


def make_readable(backend: Path, stack: str, ask: Callable[[str], None]) -> None:
    """Clear locks of dead runs, and put back a state that is empty or cut off.

    Args:
        backend: the `.pulumi` directory.
        stack: whose.
        ask: raises unless the user agrees.

    Raises:
        AdminError: stack-name-taken, stack-locked, state-damaged, or what `ask` raises.
    """
    namesakes.refuse(stack, namesakes.recorded(backend), f"has a state in {backend}")
    held = run_record.read(backend, stack)
    for path in locks.clear_damaged(backend, stack, held):
        out.print(f"  removed a lock that is empty or cut off: {path}", markup=False, soft_wrap=True)
    for lock in locks.clear_stale(locks.find(backend, stack), held):
        out.print(f"  cleared the lock of a dead run (process {lock.pid})")
    if done := state_files.put_back(backend, stack, ask):
        out.print(f"  {done}", markup=False, soft_wrap=True)


def _without_earlier_machines(runner: Engine, state: State, ask: Callable[[str], None]) -> State:
    if not site_instance.is_gone(state):
        return state
    ask(
        "NESTED_PVE_SITE_INSTANCE names other machines than this stack was built on. Are those gone, and may its state be emptied?"
    )
    out.print("  this stack was built on earlier machines, which are gone: its state is emptied")
    return record(runner, state, site_instance.forgotten(state))


def _without_killed_run(runner: Engine, state: State) -> State:
    if not interrupted.has_pending(state):
        return state
    resolved, adopted = interrupted.resolve_pending(state)
    state = record(runner, state, resolved)
    names = ", ".join(resource_name(urn) for urn in adopted) or "no resource of a provider"
    out.print(f"  an earlier run was killed while it created something; checking: {names}")
    return state
