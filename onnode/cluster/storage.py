"""storage: a shared storage over NFS is in the cluster's configuration, and usable on every member.

By a step and not by the provider: the published one crashes on storages. A mark distinguishes it from somebody else's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.contract.formation import Storage
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import marks, pve
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

KIND = "storage"
TYPE = "nfs"
FILE = "/etc/pve/storage.cfg"
PVESH_S = 120.0  # a new storage is mounted at once, and a server that does not answer is waited for


@dataclass(frozen=True)
class Live:
    """The storage as the cluster has it."""

    type: str
    server: str = ""
    export: str = ""
    contents: str = ""  # sorted, as "images,rootdir"
    disabled: bool = False
    nodes: str = ""  # the only ones that may use it


@dataclass(frozen=True)
class Observed:
    """The storage, and who made it."""

    live: Live | None = None
    owner: str | None = None


def parse_live(text: str, name: str) -> Live | None:
    """Read /etc/pve/storage.cfg: the storage of that name."""
    found = next((section for section in pve.parse_sections(text) if section.id == name), None)
    if found is None:
        return None
    contents = ",".join(sorted(word for word in re.split(r"[,; ]+", found.values.get("content", "")) if word))
    return Live(
        found.type,
        found.values.get("server", ""),
        found.values.get("export", ""),
        contents,
        disabled=found.values.get("disable", "0") != "0",
        nodes=found.values.get("nodes", ""),
    )


def observe(machine: ThisMachine, desired: Storage) -> Observed:
    """Read the cluster's configuration, and the mark."""
    text = machine.read(FILE) or ""
    return Observed(parse_live(text, desired.name), marks.owner(machine, KIND, desired.name))


def decide(observed: Observed, desired: Storage) -> list[Action]:
    """Mark, make, or change what can be changed.

    Raises:
        StepError: storage-foreign, storage-differs.
    """
    live, ours = observed.live, observed.owner == desired.stack_tag
    if live is not None:
        if not ours and (observed.owner is not None or not desired.adopt):
            raise _foreign(observed, desired)
        _refuse_different(live, desired)
    actions = [] if ours else [Action("mark", desired.name)]
    if live is None:
        return [*actions, Action("make", desired.name)]
    if live.contents != contents(desired):
        actions.append(Action("set", f"content {contents(desired)}"))
    if live.disabled:
        actions.append(Action("enable", desired.name))
    if live.nodes:
        actions.append(Action("open", f"{desired.name} to all nodes"))
    return actions


def contents(desired: Storage) -> str:
    """What it may hold, as it is compared."""
    return ",".join(sorted(desired.contents))


def shown(live: Live | None) -> str:
    """A storage, for a message."""
    if live is None:
        return "none"
    place = f" {live.server}:{live.export}" if live.server or live.export else ""
    return f"{live.type}{place}, content {live.contents or 'none'}"


def _foreign(observed: Observed, desired: Storage) -> StepError:
    by = f"made by {observed.owner}" if observed.owner else "not marked as this stack's"
    mark = marks.path(KIND, desired.name)
    return StepError(
        "storage-foreign",
        f"storage {desired.name} exists, and this stack did not make it",
        observed=f"{shown(observed.live)}; {by}",
        expected=f"no storage {desired.name}, or one that this stack made",
        fix=(
            f"give the storage another name, or describe this one with kind: external; to make it this stack's own: "
            f"echo {desired.stack_tag} > {mark} on a member (mkdir -p {marks.DIRECTORY} before)"
        ),
    )


def _refuse_different(live: Live, desired: Storage) -> None:
    found, wanted = (live.type, live.server, live.export), (TYPE, desired.server, desired.export)
    if found != wanted:
        raise StepError(
            "storage-differs",
            f"storage {desired.name} cannot be changed to match the stack file",
            observed=shown(live),
            expected=f"{TYPE} {desired.server}:{desired.export}",
            fix=(
                f"change the stack file to match it, or on a member: pvesm remove {desired.name} (the files on it stay), "
                f"on every member: umount -l /mnt/pve/{desired.name}; then run the same command again"
            ),
        )


def act(machine: ThisMachine, desired: Storage, action: Action) -> None:
    """Mark it before it is made: a run that is killed in between knows it again."""
    if action.do == "mark":
        marks.put(machine, KIND, desired.name, desired.stack_tag)
    elif action.do == "make":
        _make(machine, desired)
    else:
        options = {
            "set": ["--content", contents(desired)],
            "enable": ["--delete", "disable"],
            "open": ["--delete", "nodes"],
        }
        pvesh(machine, "set", f"/storage/{desired.name}", *options[action.do])


def _make(machine: ThisMachine, desired: Storage) -> None:
    try:
        pvesh(
            machine,
            *("create", "/storage", "--storage", desired.name, "--type", TYPE),
            *("--server", desired.server, "--export", desired.export, "--content", contents(desired)),
        )
    except StepError:
        # Refused, perhaps because somebody else has just made it: then it must not look like ours.
        marks.take_away(machine, KIND, desired.name)
        raise


def pvesh(machine: ThisMachine, *arguments: str) -> None:
    """Call the API of this machine.

    Raises:
        StepError: storage-failed.
    """
    result = machine.run(["pvesh", *arguments], timeout_s=PVESH_S)
    if result.code != 0:
        raise StepError(
            "storage-failed",
            f"`pvesh {' '.join(arguments[:2])}` was refused",
            observed=tail(result.text),
            expected="exit 0",
        )


def facts(_observed: Observed, desired: Storage) -> dict[str, Any]:
    """Which storage."""
    return {"storage": desired.name}


def unchanged(_observed: Observed, desired: Storage) -> str:
    """Say what was found."""
    return f"storage {desired.name} is {desired.server}:{desired.export}"


def differs(observed: Observed, _desired: Storage, action: Action) -> str:
    """What the cluster's configuration says."""
    live = observed.live
    values = {
        "mark": f"{observed.owner or 'nobody'} is noted as its maker",
        "make": f"it is not in {FILE}",
        "set": f"{FILE} says {live.contents or 'none'}" if live else "",
        "enable": f"{FILE} says disable",
        "open": f"{FILE} says nodes {live.nodes}" if live else "",
    }
    return values[action.do]


STEP = Step(Storage, observe, decide, act, facts, unchanged, differs=differs)
