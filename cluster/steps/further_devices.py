"""further-devices: a VM has no cards and disks but those that its update gives; the provider would take them away.

Changes nothing. The machine is asked: the record knows no further disks, and further cards only after a refresh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import further_devices
from cluster.errors import AdminError
from cluster.further_devices import card_away, grown_by_hand
from cluster.transport import members
from onnode.step import Outcome
from onnode.system.pve import parse_guest_config

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import FurtherDevices
    from cluster.transport.ssh import Connection

READ_S = 60.0


async def bring_about(desired: FurtherDevices, call: Call) -> Outcome:
    """Look on a machine that knows the VM, and refuse.

    Raises:
        AdminError: device-not-described, cards-moved, command-failed.
        StepError: why no machine answered.
    """

    async def read(connection: Connection) -> str:
        command = f"cat /etc/pve/nodes/*/qemu-server/{desired.vmid}.conf"
        done = await connection.run(command, timeout_s=READ_S)
        if done.exit_code != 0:
            raise AdminError(
                "command-failed",
                f"the devices of VM {desired.vmid} cannot be read on {connection.machine.name}: `{command}`",
                observed=done.stderr.strip() or f"exit {done.exit_code}",
                expected="its configuration, which is read before the VM is changed",
            )
        return done.stdout

    async with members.connections(desired.machines, call.secrets.ssh_private_key) as opened:
        answers = await members.ask(opened, read)
    for config in (members.answered(answers) or members.all_answered(answers)).values():
        refuse_further(desired, config)
    return Outcome(changed=False, facts={"vmid": desired.vmid})


def refuse_further(desired: FurtherDevices, config: str) -> None:
    """Refuse the update while there are others, or while one of ours would change its place; pure.

    Raises:
        AdminError: device-not-described, cards-moved.
    """
    live, vmid, where = parse_guest_config(config).values, desired.vmid, desired.where
    if moved := further_devices.moved(desired.cards or [], live):
        raise AdminError(
            "cards-moved",
            f"network cards of VM {vmid} would change their places while it runs; nothing was changed",
            observed=", ".join(f"{key} would become net{number}" for key, number in sorted(moved.items())),
            expected="each card keeps its place",
        )
    cards = {} if desired.cards is None else further_devices.cards(desired.cards, live, desired.ours)
    disks = further_devices.disks(desired.disks, live) if desired.disks else {}
    if not cards and not disks:
        return
    ways_out = [card_away(vmid, key, value, where, len(desired.cards or [])) for key, value in cards.items()]
    if disks:
        ways_out.append(grown_by_hand(vmid, where, desired.disks))
    raise further_devices.refusal((f"VM {vmid}: {key} {value}" for key, value in (cards | disks).items()), ways_out)
