"""What the program needs of the environment that the engine runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.model import Config

ENDPOINT = "PROXMOX_VE_ENDPOINT"


def refuse_bare(config: Config, stack: str, environment: Mapping[str, str]) -> None:
    """Refuse plain `pulumi` of a shell in which the provider would find no cluster, and trust none of its machines.

    Raises:
        RunError: engine-environment.
    """
    if config.cluster.api.tls == "pinned" and not environment.get(ENDPOINT):
        import pulumi  # noqa: PLC0415 - slow to load, and steps need the name above only

        refusal = AdminError(
            "engine-environment",
            "pulumi was started without the cluster's address and certificates",
            observed=f"{ENDPOINT} is not set",
            expected="the environment that this program gives the engine",
            fix=f'`make shell STACK={stack}` and pulumi in it; or `eval "$(make env STACK={stack})"` in this shell first',
        )
        raise pulumi.RunError(refusal.render())
