"""What breaks beside a run: the cable of a link, the power of a node, the storage's server. A lab makes it from outside, and mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support import outer_host

if TYPE_CHECKING:
    import random

    from tests.support.lab_project import LabProject
    from tools.campaign.changes import Change, File

LINK, POWER, STORAGE = "the cable of a link", "the power of a node", "the server of the storage"
FAULTS = (LINK, POWER, STORAGE)
SHORT_S = 20.0
# It stops answering, as a server that hangs: what is connected stays so.
FREEZE, THAW = "systemctl kill --signal=STOP nfs-server", "systemctl kill --signal=CONT nfs-server"
FROZEN = f"systemctl is-active --quiet nfs-server && {FREEZE}"


@dataclass(frozen=True)
class Fault:
    """Something that breaks.

    Attributes:
        what: one of :data:`FAULTS`.
        node: whose cable or power.
        vmid: of that node's VM, on its host.
        link: whose cable.
        seconds: after which it is whole again; None: when the run has ended. A node stays off until somebody starts it.
    """

    what: str
    node: str
    vmid: int
    link: int
    seconds: float | None

    @property
    def words(self) -> str:
        """What happens."""
        if self.what == POWER:
            return f"{self.node} loses its power"
        what = (
            f"link {self.link} of {self.node} is cut" if self.what == LINK else "the storage's server does not answer"
        )
        return f"{what} {f'for {self.seconds:g} s' if self.seconds else 'until the run has ended'}"

    def strike(self, project: LabProject) -> bool:
        """Break it; whether it was there."""
        if self.what == LINK:
            return project.lab("link", "cut", self.node, str(self.link)).code == 0
        if self.what == STORAGE:
            return project.ssh(outer_host.OUTER, FROZEN).code == 0
        # `qm stop` is no shutdown: the host ends the machine.
        running = f"qm status {self.vmid} | grep --quiet running"
        return project.ssh(outer_host.OUTER, f"{running} && qm stop {self.vmid}").code == 0

    def mend(self, project: LabProject) -> None:
        """Make it whole again; a node comes back with the next run only. No effect on one that is whole, or gone."""
        if self.what == LINK:
            project.lab("link", "restore", self.node, str(self.link))
        elif self.what == STORAGE:
            project.ssh(outer_host.OUTER, THAW)


def chosen(what: str, before: File, change: Change | None, chance: random.Random) -> Fault:
    """A fault of that kind, of a node that is described before a run and after it; pure.

    Args:
        what: one of :data:`FAULTS`.
        before: the file before the run.
        change: of it, if the run brings one about.
        chance: decides.
    """
    staying = {node["name"] for node in change.made.file["nodes"]} if change else None
    nodes = [node for node in before["nodes"] if staying is None or node["name"] in staying]
    node = chance.choice([node for node in nodes if not change or node["name"] not in change.made.destroyed])
    return Fault(
        what,
        node["name"],
        node["vmid"],
        chance.randrange(len(before["cluster"]["links"])),
        chance.choice([SHORT_S, None]),
    )
