"""installer-image --remove: an image that this stack downloaded is gone, whole or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnode.contract.libvirt import InstallerImage
from onnode.host import installer_image
from onnode.step import Action, Step
from onnode.system import claims

if TYPE_CHECKING:
    from onnode.host.installer_image import Observed
    from onnode.system.machine import ThisMachine


def decide(observed: Observed, desired: InstallerImage) -> list[Action]:
    """Remove what is marked as ours; somebody else's of that name stays."""
    return [Action("remove", desired.path)] if claims.owner(observed.mark) == desired.stack else []


def act(machine: ThisMachine, desired: InstallerImage, _action: Action) -> None:
    """Remove it, and its mark last: a run that is killed in between removes the rest later."""
    for path in (installer_image.unfinished(desired.path), desired.path, claims.of_file(desired.path)):
        machine.remove(path)


def facts(observed: Observed, desired: InstallerImage) -> dict[str, Any]:
    """Whether a file of its name is there now."""
    return {"path": desired.path, "left": observed.size is not None}


def unchanged(observed: Observed, desired: InstallerImage) -> str:
    """Say what was found."""
    return (
        f"{desired.path} is gone" if observed.size is None else f"{desired.path} was not made by this stack, and stays"
    )


STEP = Step(
    InstallerImage,
    installer_image.observe,
    decide,
    act,
    facts,
    unchanged,
    lock="none",
    scope=lambda _desired: "installer-image",
    lock_wait_s=lambda _desired: installer_image.DOWNLOAD_S,
)
