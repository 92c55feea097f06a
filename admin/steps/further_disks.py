"""further-disks: a VM has no disks but those that its update gives; the provider would take others off. Changes nothing.

The provider reads the disks that it knows only, so that a refresh does not show the others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from admin import members
from admin.errors import AdminError
from onnode.pve import parse_guest_config
from onnode.step import Outcome

if TYPE_CHECKING:
    from admin.desired import FurtherDisks
    from admin.ssh import Connection
    from admin.step import Call

DISK = re.compile(r"(ide|sata|scsi|virtio)\d+")
READ_S = 60.0


async def bring_about(desired: FurtherDisks, call: Call) -> Outcome:
    """Look on the VM's machine, and refuse.

    Raises:
        AdminError: device-not-described.
        StepError: why the machine did not answer.
    """

    async def read(connection: Connection) -> str:
        command = f"cat /etc/pve/nodes/*/qemu-server/{desired.vmid}.conf"
        return (await connection.run(command, timeout_s=READ_S)).stdout

    async with members.connections([desired.machine], call.secrets.ssh_private_key) as opened:
        answers = await members.ask(opened, read)
    refuse_further(desired, members.all_answered(answers)[desired.machine.name])
    return Outcome(changed=False, facts={"vmid": desired.vmid})


def refuse_further(desired: FurtherDisks, config: str) -> None:
    """Refuse the update while there are others; pure.

    Raises:
        AdminError: device-not-described.
    """
    others = [
        f"{key} {value}"
        for key, value in parse_guest_config(config).values.items()
        if DISK.fullmatch(key) and "media=cdrom" not in value and key not in desired.disks
    ]
    if not others:
        return
    by_hand = "; ".join(f"`qm disk resize {desired.vmid} {name} {size:g}G`" for name, size in desired.disks.items())
    raise AdminError(
        "device-not-described",
        f"the change of a disk of VM {desired.vmid} would take away disks that this program did not make; nothing is changed",
        observed="; ".join(others),
        expected="no disks but the described ones, where one of those changes",
        fix=f"enlarge the described disk by hand on {desired.machine.name}, {by_hand}, then run the same command again",
    )
