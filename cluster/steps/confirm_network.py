"""confirm-network: an outer host can be reached after a change of its network, so the change stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import network_change
from cluster.errors import AdminError
from cluster.transport import ssh
from onnode.errors import StepError
from onnode.step import Outcome
from onnode.system import interfaces_file

if TYPE_CHECKING:
    from cluster.call import Call
    from cluster.contract import HostNetwork

READ_S = 20.0


async def bring_about(desired: HostNetwork, call: Call) -> Outcome:
    """Confirm by a new login.

    Raises:
        StepError: network-reverted, or why the host does not answer.
    """
    result = await network_change.confirm(desired.machine, call.secrets.ssh_private_key)
    return Outcome(result.changed, facts={})


async def remove(desired: HostNetwork, call: Call) -> Outcome:
    """Confirm a removal. One that was put back is reported in each run until the bridge is gone, whoever removes it.

    Raises:
        StepError: as above.
    """
    try:
        return await bring_about(desired, call)
    except StepError as error:
        if error.code != "network-reverted":
            raise
        if await there(desired, call):
            raise AdminError(
                "network-reverted",
                f"{desired.machine.name} could not be reached without the bridge {desired.bridge}, so the bridge was put back",
                observed=error.observed,
                expected=f"{desired.machine.name} can be reached over SSH without {desired.bridge}",
                fix=f"on {desired.machine.name}: find what needs the bridge (`ip route`, hooks in /etc/network), and remove "
                "that; then run the same command again",
            ) from error
    return Outcome(changed=False, facts={})


async def there(desired: HostNetwork, call: Call) -> bool:
    """Whether the bridge is in the host's configuration.

    Raises:
        AdminError: command-failed; what cannot be read is not gone.
    """
    async with ssh.connect(desired.machine, call.secrets.ssh_private_key) as connection:
        done = await connection.run(f"cat {interfaces_file.FILE}", timeout_s=READ_S)
    if done.exit_code != 0:
        raise AdminError(
            "command-failed",
            f"the network configuration of {desired.machine.name} cannot be read, so {desired.bridge} may still be there",
            observed=done.stderr.strip() or f"exit {done.exit_code}",
            expected=f"{interfaces_file.FILE} can be read",
        )
    return any(stanza.name == desired.bridge for stanza in interfaces_file.parse_stanzas(done.stdout))
