"""remove-bridge: when it goes, an outer host's bridge goes, under a dead man's switch, and a new login confirms that.

All in one: what fails of it is still recorded, so that the next try, whoever makes it, is armed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import proxmox_ve
from cluster.errors import AdminError
from cluster.steps import arm_network, confirm_network
from cluster.transport import ssh
from onnode.errors import StepError
from onnode.step import Outcome

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import HostNetwork

REMOVE_S = 120.0


async def remove(desired: HostNetwork, call: Call) -> Outcome:
    """Check the owner, arm, remove it by the host's own API, and confirm.

    Raises:
        AdminError: foreign-bridge, network-reverted, bridge-stays.
        StepError: why the host does not answer.
    """
    if not await confirm_network.there(desired, call):
        return Outcome(changed=False, facts={})
    await arm_network.bring_about(desired, call)
    command = proxmox_ve.remove_bridge(desired.machine.name, desired.bridge)
    said = await _removed(desired, command, call)
    await confirm_network.remove(desired, call)
    if await confirm_network.there(desired, call):
        raise AdminError(
            "bridge-stays",
            f"the bridge {desired.bridge} is still on {desired.machine.name}",
            observed=said or "no answer of the host's API",
            expected=f"no {desired.bridge} in its network configuration",
            fix=f"as root on {desired.machine.name}: `{command}` shows the error again; resolve it, "
            "then run the same command again",
        )
    return Outcome(changed=True, facts={})


async def _removed(desired: HostNetwork, command: str, call: Call) -> str:
    """The output of the host. When the connection was lost, the next login shows whether the removal worked."""
    try:
        async with ssh.connect(desired.machine, call.secrets.ssh_private_key) as connection:
            done = await connection.run(command, timeout_s=REMOVE_S)
    except StepError as error:
        return error.what
    return (done.stderr or done.stdout).strip()
