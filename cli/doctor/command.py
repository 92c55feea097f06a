"""`doctor`: look at every machine, draw what they show, and name the causes in order. Nothing is changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cli import description
from cli.console import out
from cli.doctor import picture
from cli.doctor.diagnose import diagnose
from cli.doctor.look import expected_of, look
from cli.doctor.model import Cause, World
from cli.engine import environment
from cli.state import site_instance
from cluster.errors import AdminError
from config.paths import OWN
from toolchain import home, parts
from toolchain.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Sequence


def doctor(stack: str, *, as_json: bool) -> None:
    """Look at everything, and show it.

    Args:
        stack: which.
        as_json: for programs.

    Raises:
        AdminError: the description cannot be read; site-in-use; causes-found, after everything is shown.
    """
    env, missing = look_at_engine()
    described = description.read(stack, env)
    site_instance.refuse_shared(stack, environment.file_backend(env))
    expected = expected_of(described)
    seen = look(described, expected)
    world = World(expected, seen)
    causes = [*missing, *diagnose(expected, seen)]
    if as_json:
        out.print_json(data=picture.as_json(world, causes))
    else:
        picture.show(out, world, causes)
    refuse(stack, causes)


def refuse(stack: str, causes: Sequence[Cause]) -> None:
    """End with an error where there is any cause.

    Raises:
        AdminError: causes-found.
    """
    if causes:
        count = f"{len(causes)} cause{'s' if len(causes) > 1 else ''}"
        what = f"something is wrong with stack {stack} or its machines"
        raise AdminError("causes-found", what, observed=f"{count}; the first is {causes[0].name} ({causes[0].where})")


def look_at_engine() -> tuple[dict[str, str], list[Cause]]:
    """The engine's environment, which only reads secrets here; and what is wrong with the engine. Nothing is made for it."""
    causes = []
    env = dict(os.environ)
    try:
        selected = home.selected_home()
        env = selected.environment()
        wanted = parts.ENGINE.version
        if (found := home.engine_version(selected)) != wanted:
            causes.append(
                _toolchain("toolchain-broken", f"the engine is {found}, and {wanted} is wanted", str(selected.path))
            )
    except ToolchainError as error:
        causes.append(_toolchain("toolchain-missing", "the engine and its plugins are not installed", error.observed))
    state = env.get(environment.BACKEND_VARIABLE) or (OWN / "state").as_uri()
    return env | {environment.BACKEND_VARIABLE: environment.without_attributes(state)}, causes


def _toolchain(name: str, what: str, observed: str) -> Cause:
    return Cause(name, "here", what, ["here"], observed, "make toolchain")
