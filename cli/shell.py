"""`shell`, `environment` and `exec`: the environment in which plain `pulumi` works on a stack as `up` does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cli import description, first_secrets
from cli.console import err
from cli.engine import engine, environment
from cli.looks import trust
from cli.run import outdated_record
from cli.state import site_instance
from cluster.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The user corrects these with `pulumi stack init` and `pulumi config set`, in that very shell.
INCOMPLETE = ("config-invalid", "stack-state-missing")


def environment_of(stack: str, *, complete: bool = True) -> dict[str, str]:
    """The environment, after a look at who answers at the APIs.

    Args:
        stack: which.
        complete: refuse a stack whose configuration or state is missing. Otherwise the environment lets the user complete
            it, and reaches no machine.

    Raises:
        AdminError: site-in-use.
        StepError: whatever else stands in the way.
    """
    env = environment.for_engine()
    environment.put_back_state(env, stack)
    try:
        described = description.read(stack, env)
    except AdminError as error:
        if complete or error.code not in INCOMPLETE:
            raise
        err.print(_to_be_completed(stack, error, env), markup=False, soft_wrap=True)
        return env
    site_instance.refuse_shared(stack, environment.file_backend(env))
    runner = engine.Engine(stack, env)
    state = runner.export()
    if state is not None:  # plain `pulumi destroy` starts the steps as they are recorded
        state = outdated_record.rewritten(runner, state, err)
    found, silent = asyncio.run(trust.looked(described, state))
    for name, why in silent.items():
        err.print(f"not looked at: {name}: {why.what} ({why.observed})", markup=False, soft_wrap=True)
    if silent:
        err.print("The API certificates of these machines are not trusted here.", markup=False)
    return env | found


def _to_be_completed(stack: str, error: AdminError, env: Mapping[str, str]) -> str:
    if isinstance(error, description.NoCredentialsError):
        return first_secrets.advice(stack, error.config, env)
    return f"{error.render()}\nUntil this is corrected, pulumi reaches no machine from here."
