"""arm-network: before somebody else (the host's own API) changes its network, make sure that it comes back by itself.

That API applies all that is planned on the host, not our change alone: what somebody else has planned there, and not
applied yet, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.cluster import membership
from onnode.contract.node import ArmNetwork
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import interfaces_file, network_guard, originals

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

# What counts in a stanza; Proxmox VE itself adds and reorders the rest when it writes the plan.
TELLING = ("gateway", "mtu", "bridge-ports", "bond-slaves", "vlan-raw-device")
NOTHING = (*interfaces_file.NO_PORTS, str(interfaces_file.MTU_DEFAULT))


@dataclass(frozen=True)
class Observed:
    """Whether the switch is armed for this very change, and of which interfaces somebody else has planned a change."""

    armed: bool
    planned: list[str] = field(default_factory=list)
    node: str = ""


def planned(current: str, plan: str | None, own: set[str]) -> list[str]:
    """The interfaces that a plan would change, without those that are ours."""
    if plan is None:
        return []
    before, after = _told(current), _told(plan)
    return sorted(name for name in {**before, **after} if before.get(name) != after.get(name) and name not in own)


def _told(text: str) -> dict[str, set[tuple[str, ...]]]:
    """By interface, its addresses and what else counts."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for stanza in interfaces_file.parse_stanzas(text):
        found.setdefault(stanza.name, set()).update(("address", address) for address in stanza.addresses)
    current = ""
    for words in (line.split() for line in text.replace("\\\n", " ").splitlines() if line.strip()):
        key = {"slaves": "bond-slaves"}.get(words[0], words[0].replace("_", "-"))
        if key == "iface":
            current = words[1] if len(words) > 1 else ""
        elif key in TELLING or (key == "address" and ":" in words[-1]):
            # An IPv6 address may have its prefix in a line of its own.
            values = sorted(word.partition("/")[0] for word in words[1:] if word not in NOTHING)
            found.setdefault(current, set()).update([(key, *values)] if values else [])
    return {name: values for name, values in found.items() if values}


def observe(machine: ThisMachine, desired: ArmNetwork) -> Observed:
    """Look for the mark of this run, and for what else is about to be applied."""
    own = {name for entry in originals.load(machine)["stacks"].values() for name in entry["bridges"]}
    current = machine.read(interfaces_file.FILE) or ""
    return Observed(
        network_guard.waiting(machine) == _words(desired),
        planned(current, machine.read(network_guard.WAITING), own),
        membership.hostname(machine),
    )


def decide(observed: Observed, desired: ArmNetwork) -> list[Action]:
    """Arm, also where an earlier run ended before it confirmed: this login has shown that its change is good.

    Raises:
        StepError: network-planned.
    """
    if observed.armed:
        return []
    if observed.planned:
        raise StepError(
            "network-planned",
            f"{desired.change} would also apply network changes that somebody else planned on {observed.node}",
            observed=f"{network_guard.WAITING} changes {', '.join(observed.planned)}",
            expected="no planned change but this stack's own",
            fix=(
                f"on {observed.node}: `pvesh set /nodes/{observed.node}/network` applies them, "
                f"`pvesh delete /nodes/{observed.node}/network` discards them; then run the same command again"
            ),
        )
    return [Action("arm", desired.change)]


def act(machine: ThisMachine, desired: ArmNetwork, _action: Action) -> None:
    """Start the timer."""
    network_guard.arm(machine, _words(desired), anew=True)


def _words(desired: ArmNetwork) -> str:
    return f"{desired.change}\n{desired.run}\n"


def facts(_observed: Observed, _desired: ArmNetwork) -> dict[str, Any]:
    """Nothing that the program would need."""
    return {}


def unchanged(_observed: Observed, desired: ArmNetwork) -> str:
    """Say what was found."""
    return f"{desired.change} undoes itself unless it is confirmed"


# Without the lock: an upgrade of packages may hold it for minutes, and touches no network.
STEP = Step(ArmNetwork, observe, decide, act, facts, unchanged, lock="none")
