"""Downloaded images: one is used again only if it has the described checksum.

One with another checksum is removed, as Proxmox VE does not download over it (PVE::Tools::download_file_from_url). One that
cannot be read is neither used nor removed, and is refused.
"""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING

from cli.looks import whereabouts
from cluster import marks
from cluster.downloads import is_as_described
from cluster.transport import members
from config import topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.description import Description
    from cli.state.belongings import DescribedThing
    from cluster.transport.ssh import Connection

READ_S = 300.0


def intact(description: Description, found: Sequence[DescribedThing], *, remove: bool = True) -> list[DescribedThing]:
    """What was found, without images of another checksum: those are removed, and the run downloads them again.

    Args:
        description: where images are, and of which content.
        found: what is there.
        remove: remove images of another checksum.

    Raises:
        AdminError: image-unreadable, and those of SSH.
    """
    images = [each for each in found if each.kind == marks.IMAGE]
    good = asyncio.run(_intact(description, images, remove=remove)) if images else []
    return [each for each in found if each.kind != marks.IMAGE or each in good]


async def _intact(description: Description, images: Sequence[DescribedThing], *, remove: bool) -> list[DescribedThing]:
    hosts = {host.name: host for host in description.config.outer_hosts}
    by_host = {image.place: image for image in images}
    machines = [machine for machine in whereabouts.outer_machines(description) if machine.name in by_host]

    async def is_good(connection: Connection) -> bool:
        name = connection.machine.name
        path = shlex.quote(f"{topology.image_directory(hosts[name], description.stack)}/{by_host[name].name}")
        printed = await connection.run(f"[ ! -e {path} ] || sha256sum -- {path}", timeout_s=READ_S)
        good = is_as_described(printed, name, by_host[name].name, hosts[name].installer.checksum)
        if remove and not good:
            await connection.run(f"rm -f -- {path}", timeout_s=READ_S)
        return good

    key = description.credentials.ssh_private_key.get_secret_value()
    async with members.connections(machines, key, timeout_s=whereabouts.CONNECT_S) as opened:
        answers = members.all_answered(await members.ask(opened, is_good, waiting="to read its installer image"))
    return [by_host[name] for name, good in answers.items() if good]
