"""upgrade-node: all packages of a member, within its major version; the caller has taken its guests away before.

Package lists are fetched first when they are old. Nothing else changes unless that is asked for. Sources are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership
from onnode.contract.documents import document
from onnode.contract.node import Upgrade, UpgradeNode
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import kernel, packages, pve, repository

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

NEEDED = ("proxmox-ve", "pve-manager")


@dataclass(frozen=True)
class Observed:
    """The node's packages and kernels."""

    node: str
    version: pve.Version
    kernel: kernel.Kernels
    lists_age_s: float | None  # None: never fetched by this program from the present sources
    unfinished: bool = False
    plan: packages.Plan = field(default_factory=packages.Plan)


def observe(machine: ThisMachine, desired: UpgradeNode) -> Observed:
    """Look at the node; the plan is apt's own simulation."""
    age = repository.lists_age_s(machine)
    unfinished = packages.unfinished(machine)
    is_known = age is not None and age <= desired.lists_max_age_s and not unfinished
    return Observed(
        membership.hostname(machine),
        pve.version(machine),
        kernel.observe(machine),
        age,
        unfinished,
        packages.plan(machine) if is_known else packages.Plan(),
    )


def decide(observed: Observed, desired: UpgradeNode) -> list[Action]:
    """The lists, then what a killed dpkg left, then the packages.

    Raises:
        StepError: hostname, pve-version, other-major, upgrade-removes, packages-unfinished.
    """
    if observed.node != desired.node:
        raise StepError("hostname", "the machine has another name", observed=observed.node, expected=desired.node)
    pve.refuse_version(observed.version, desired.pve_major)
    if observed.lists_age_s is None or observed.lists_age_s > desired.lists_max_age_s:
        return [Action("update", "package lists")]
    if observed.unfinished:
        return [Action("finish", "dpkg --configure -a")] if desired.apply else []
    _refuse_plan(observed.plan, desired)
    if desired.apply and observed.plan.installed:
        return [Action("upgrade", f"{len(observed.plan.installed)} packages")]
    return []


def _refuse_plan(plan: packages.Plan, desired: UpgradeNode) -> None:
    candidate = pve.parse_version(f"installed {plan.installed.get('pve-manager', '')}")
    if candidate is not None and candidate.major != desired.pve_major:
        raise StepError(
            "other-major",
            f"the repositories of {desired.node} bring another major version of Proxmox VE",
            observed=f"pve-manager {candidate.manager}",
            expected=f"{desired.pve_major}.x",
        )
    if gone := sorted({*plan.removed} & {*NEEDED}):
        raise StepError(
            "upgrade-removes",
            f"the upgrade of {desired.node} would remove Proxmox VE",
            observed=f"apt-get -s dist-upgrade removes {', '.join(gone)}",
            expected="an upgrade that keeps it",
        )


def act(machine: ThisMachine, _desired: UpgradeNode, action: Action) -> None:
    """Do one thing."""
    if action.do == "update":
        repository.update(machine)
    elif action.do == "finish":
        packages.finish(machine)
    else:
        packages.apt(machine, "dist-upgrade")


def facts(observed: Observed, _desired: UpgradeNode) -> dict[str, Any]:
    """What is left to do."""
    kernels = observed.kernel
    left = sorted(observed.plan.installed) + (["what a killed dpkg left half way"] if observed.unfinished else [])
    return document(Upgrade(observed.version.manager, left, kernels.running, kernels.newest, kernels.boot_id))


def unchanged(observed: Observed, _desired: UpgradeNode) -> str:
    """Say what was found."""
    return f"{observed.node}: Proxmox VE {observed.version.manager}, {len(observed.plan.installed)} packages to upgrade"


STEP = Step(UpgradeNode, observe, decide, act, facts, unchanged)
