"""witness --remove: what was made here for a cluster's QDevice is gone; what was installed, too, unless another cluster uses it.

A cluster that is still connected keeps its witness: it needs that vote, and only the cluster itself can do without.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import witness
from onnode.contract.qdevice import Witness
from onnode.step import Action, Step
from onnode.system import originals, packages

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

CLUSTER = re.compile(r'^Cluster "(.+)":$', re.MULTILINE)
SIGNED = re.compile(r"cluster-(?P<cluster>[^.]+)(\.[^.]+)?\.crt")
OURS = posixpath.dirname(originals.PATH)
PACKAGE = "onnode"  # the steps


@dataclass(frozen=True)
class Observed:
    """Who uses the server, and what this program installed for it."""

    connected: list[str] = field(default_factory=list)  # clusters
    signed: list[str] = field(default_factory=list)  # clusters, in words of their certificates
    files: list[str] = field(default_factory=list)  # of this cluster
    packages: list[str] = field(default_factory=list)  # installed by this program, still there
    noted: bool = False
    alone: bool = False  # nothing else of this program is on the machine


def parse_clusters(text: str) -> list[str]:
    """Read `corosync-qnetd-tool -l`: the clusters whose members are connected."""
    return sorted(set(CLUSTER.findall(text)))


def observe(machine: ThisMachine, desired: Witness) -> Observed:
    """Look at the server and at its notes."""
    names = machine.names(witness.DATABASE)
    signed = {name: match["cluster"] for name in names if (match := SIGNED.fullmatch(name))}
    kept = [name for name in machine.names(witness.DIRECTORY) if name.startswith(f"{desired.cluster}.")]
    noted = (machine.read(witness.INSTALLED) or "").split()
    return Observed(
        parse_clusters(machine.run(["corosync-qnetd-tool", "-l"]).out),
        sorted(set(signed.values())),
        [
            *(f"{witness.DATABASE}/{name}" for name, cluster in signed.items() if cluster == desired.cluster),
            *(f"{witness.DIRECTORY}/{name}" for name in kept),
        ],
        packages.installed(machine, *noted) if noted else [],
        machine.exists(witness.DIRECTORY),
        machine.names(OURS) == [PACKAGE],
    )


def decide(observed: Observed, desired: Witness) -> list[Action]:
    """This cluster's files first; the packages when nobody else needs them; this program's own things last."""
    if desired.cluster in observed.connected:
        return []
    if observed.files:
        return [Action("remove-file", path) for path in observed.files]
    if {*observed.connected, *observed.signed}:
        return []
    if observed.packages:
        return [Action("purge", " ".join(observed.packages))]
    return [
        *([Action("remove-directory", witness.DIRECTORY)] if observed.noted else []),
        *([Action("remove-directory", OURS)] if observed.alone else []),
    ]


def act(machine: ThisMachine, _desired: Witness, action: Action) -> None:
    """Do one thing."""
    if action.do == "remove-file":
        machine.remove(action.what)
    elif action.do == "remove-directory":
        machine.remove_tree(action.what)
    else:
        _purge(machine, action.what.split())


def _purge(machine: ThisMachine, names: list[str]) -> None:
    """Unless something else has come to need them: then they stay, and are this program's no more."""
    planned = packages.parse_removed(packages.apt(machine, "-s", "purge", *names))
    if foreign := sorted(set(planned) - set(names)):
        machine.note(f"kept {' '.join(names)}: {' '.join(foreign)} would be removed with it")
    else:
        packages.apt(machine, "purge", *names)
    machine.remove(witness.INSTALLED)


def facts(observed: Observed, desired: Witness) -> dict[str, Any]:
    """Whether it had to stay."""
    return {"kept": desired.cluster in observed.connected}


def unchanged(observed: Observed, desired: Witness) -> str:
    """Say what was found."""
    if desired.cluster in observed.connected:
        return f"kept: cluster {desired.cluster} is still connected"
    return f"nothing of cluster {desired.cluster} is left on this machine"


STEP = Step(Witness, observe, decide, act, facts, unchanged)
