"""The QDevice: a vote that a server outside of the cluster gives. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.doctor.causes import names
from cli.doctor.model import Cause
from cli.doctor.symptoms import QUORUM

if TYPE_CHECKING:
    from cli.doctor.causes import Found, Symptoms
    from cli.doctor.model import Symptom, World


def silent(world: World, found: Symptoms) -> list[Found]:
    """A QDevice that casts no vote: the quorum holds until the next node is lost, or is gone already."""
    without = [one[1] for one in found if one[0] == "device"]
    if not without or world.conf is None or world.conf.device is None:
        return []
    host = world.conf.device.host
    running = [name for name, report in world.joined.items() if report.quorum]
    everywhere = set(without) == set(running)
    votes = world.device_votes
    explained: set[Symptom] = {("device", name) for name in without}
    if QUORUM in found and world.present + votes >= world.needed:
        explained.add(QUORUM)
    cause = Cause(
        "qdevice-silent",
        "cluster" if everywhere else names(without),
        f"the QDevice at {host} casts none of its {votes} {'vote' if votes == 1 else 'votes'}"
        + ("" if everywhere else f" at {names(without)}"),
        without,
        "its server does not answer, or has given the vote to nodes that are not seen from here"
        if everywhere
        else "others have its vote: it is corosync-qdevice of that node, or its way to the server",
        f"{world.on(without[0], 'corosync-qdevice-tool -sv')} shows its state; on {host}: systemctl status corosync-qnetd, "
        f"and TCP port 5403 open for the nodes",
    )
    return [(cause, explained)]
