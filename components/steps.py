"""The only module that builds commands: steps on machines over SSH, and steps on the control machine.

A step has a constant command line and its desired state on standard input, so that a preview shows the wanted facts
and not a script. Secrets travel on standard input or, on the control machine, in one environment variable;
never in a command line. Any changed input runs a step again, so each is harmless on what is as it should be; there are
no triggers, and a `delete` only where one is named.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_command import local, remote

from cluster.contract import KNOWN_VARIABLE, SECRETS_VARIABLE
from components.recorded import ADMIN, ON_NODE, REMOTE_DIRECTORY
from onnode.contract.documents import document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.contract import Machine
    from components.site import Site

# The last step that is undone removes the package. An engine that was killed right after that runs the step once more.
UNLESS_GONE = f"test ! -e {REMOTE_DIRECTORY} ||"

DIAL_TIMEOUT_S = 5
# The command plugin waits 0.1 s after the first failure, then 1.5 times as long each time, 5 s at most.
DIALS = 10  # refused at once: 11 s in all
DIALS_REBOOT = 90  # refused at once: 7 min in all, the time a server takes to boot


def _connection(machine: Machine, site: Site, dials: int = DIALS) -> remote.ConnectionArgs:
    """How a machine is reached: as root, with its host key pinned, giving up after so many failed dials."""
    return remote.ConnectionArgs(
        host=machine.address,
        user="root",
        private_key=site.private_key,
        host_key=machine.host_key,
        dial_error_limit=dials,
        per_dial_timeout=DIAL_TIMEOUT_S,
    )


def copy_package(name: str, machine: Machine, site: Site, opts: pulumi.ResourceOptions) -> remote.CopyToRemote:
    """Put the on-node package on a machine, at a path that does not change with its content."""
    return remote.CopyToRemote(
        name,
        connection=_connection(machine, site),
        source=pulumi.FileArchive(site.package),
        remote_path=REMOTE_DIRECTORY,
        opts=opts,
    )


def on_machine(  # noqa: PLR0913 - what a step is made of
    name: str,
    machine: Machine,
    step: str,
    desired: Any,  # noqa: ANN401 - any dataclass of onnode.contract
    opts: pulumi.ResourceOptions,
    *,
    site: Site,
    delete: str | None = None,
    secret: bool = False,
    dials: int = DIALS,
) -> remote.Command:
    """Run a step of the on-node package on a machine.

    Args:
        name: logical name.
        machine: where.
        step: the step's name.
        desired: its desired state.
        opts: parent and dependencies.
        site: the stack, whose key opens the machine.
        delete: arguments of the step that undoes it, and may remove the package; nothing is run on deletion without.
        secret: the desired state holds secrets, so the preview hides it.
        dials: failed dials before giving up.
    """
    text = json.dumps(document(desired))
    return remote.Command(
        name,
        connection=_connection(machine, site, dials),
        create=f"{ON_NODE} {step}",
        delete=f"{UNLESS_GONE} {ON_NODE} {delete}" if delete else None,
        stdin=pulumi.Output.secret(text) if secret else text,
        logging=remote.Logging.STDERR,
        add_previous_output_in_env=False,
        opts=opts,
    )


def at_administrator(  # noqa: PLR0913 - what a step is made of
    name: str,
    step: str,
    desired: Any,  # noqa: ANN401 - any dataclass of cluster.contract
    secrets: pulumi.Output[str],
    opts: pulumi.ResourceOptions,
    *,
    removes: bool = False,
    remembers: bool = False,
    knows: pulumi.Output[str] | None = None,
) -> local.Command:
    """Run a step on the control machine, where it can look at several machines.

    Args:
        name: logical name.
        step: the step's name.
        desired: its desired state.
        secrets: the JSON text of :class:`cluster.contract.Secrets`, secret.
        opts: parent and dependencies.
        removes: on deletion, run the step with `--delete`.
        remembers: an update is shown what the run before printed.
        knows: what another step printed, which it is shown, too.
    """
    return local.Command(
        name,
        create=f"{ADMIN} {step}",
        delete=f"{ADMIN} {step} --delete" if removes else None,
        stdin=json.dumps(document(desired)),
        environment={SECRETS_VARIABLE: secrets} | ({} if knows is None else {KNOWN_VARIABLE: knows}),
        logging=local.Logging.STDERR,
        add_previous_output_in_env=remembers,
        opts=opts,
    )


def at_removal(
    name: str,
    step: str,
    desired: Any,  # noqa: ANN401 - any dataclass of cluster.contract
    secrets: pulumi.Output[str],
    opts: pulumi.ResourceOptions,
) -> local.Command:
    """Run a step on the control machine when this resource goes, and nothing before.

    What depends on it is gone by then, and what it depends on is still there.
    """
    return local.Command(
        name,
        delete=f"{ADMIN} {step} --delete",
        stdin=json.dumps(document(desired)),
        environment={SECRETS_VARIABLE: secrets},
        logging=local.Logging.STDERR,
        add_previous_output_in_env=False,
        opts=opts,
    )


def after(parent: pulumi.Resource, *dependencies: pulumi.Resource, **more: Any) -> pulumi.ResourceOptions:  # noqa: ANN401 - options as they are
    """Options of a child: its parent, and what must be done before."""
    depends: Sequence[pulumi.Resource] = dependencies
    return pulumi.ResourceOptions(parent=parent, depends_on=list(depends), **more)
