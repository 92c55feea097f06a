"""The advice of a shell for a stack without credentials: the commands that set those which the stack needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.engine.environment import PASSPHRASE_VARIABLES
from config import topology
from config.credentials import FILE_VARIABLE, STACK_KEY
from config.model import NestedNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.model import Config

KEY = "~/.ssh/nested-pve-ha"


def advice(stack: str, config: Config, environment: Mapping[str, str]) -> str:
    """The next commands in a shell with this environment; none has a secret among its arguments."""
    return "\n".join(
        (
            f"stack {stack} has no credentials yet: until then pulumi reaches no machine from here. Set them now:",
            *(f"  {line}" for line in _commands(stack, config, environment)),
            f"A command without < or | asks for the value. Then leave with exit; next: make preview STACK={stack}",
            f"(docs/config.md#credentials says more; {FILE_VARIABLE} may name a JSON file with them instead)",
        )
    )


def _commands(stack: str, config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    if not any(environment.get(variable) for variable in PASSPHRASE_VARIABLES):
        variable = PASSPHRASE_VARIABLES[0]
        yield f"read -rs {variable}; export {variable}   # yours; every command on this stack needs it, so set it outside, too"
    yield f"pulumi stack init {stack} --no-select   # unless the stack exists"
    setting = f"pulumi config set --stack {stack} --secret --path '{STACK_KEY}"
    yield f"{setting}.sshPrivateKey' < {KEY}   # your SSH key, which opens root on the machines"
    yield f"{setting}.rootPassword'"
    yield f"{setting}.apiPassword'   # choose one"
    if any(isinstance(node, NestedNode) for node in config.nodes):
        yield f"openssl rand -hex 32 | {setting}.hostKeySeed'"
    for _, host in topology.proxmox_ve_hosts(config):
        yield f"{setting}.outerHosts.{host.name}.password'   # of {host.user} there"
