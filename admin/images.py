"""Downloaded images: one is used again only when it has the described checksum.

Proxmox VE downloads over none that has another (PVE::Tools::download_file_from_url): such a one is removed first.
"""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING

from admin import marks, members, whereabouts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin.belongings import Wanted
    from admin.description import Description
    from admin.ssh import Connection

READ_S = 300.0


def intact(description: Description, found: Sequence[Wanted]) -> list[Wanted]:
    """What was found, without images of other content than described: those are removed, and the run downloads them anew.

    Raises:
        AdminError: those of SSH.
    """
    images = [each for each in found if each.kind == marks.IMAGE]
    good = asyncio.run(_intact(description, images)) if images else []
    return [each for each in found if each.kind != marks.IMAGE or each in good]


async def _intact(description: Description, images: Sequence[Wanted]) -> list[Wanted]:
    hosts = {host.name: host for host in description.config.outer_hosts}
    by_host = {image.place: image for image in images}
    machines = [machine for machine in whereabouts.outer_machines(description) if machine.name in by_host]

    async def sums(connection: Connection) -> str:
        name = connection.machine.name
        path = f"{hosts[name].iso_directory}/{by_host[name].name}"
        said = (await connection.run(f"sha256sum -- {shlex.quote(path)}", timeout_s=READ_S)).stdout
        if not has_checksum(said, hosts[name].installer.checksum):
            await connection.run(f"rm -f -- {shlex.quote(path)}", timeout_s=READ_S)
        return said

    key = description.credentials.ssh_private_key.get_secret_value()
    async with members.connections(machines, key, timeout_s=whereabouts.CONNECT_S) as opened:
        answers = members.all_answered(await members.ask(opened, sums))
    return [by_host[name] for name, text in answers.items() if has_checksum(text, hosts[name].installer.checksum)]


def has_checksum(text: str, checksum: str | None) -> bool:
    """Whether the first word that `sha256sum` printed is the described checksum; pure."""
    words = text.split()
    return bool(words) and checksum is not None and words[0].lower() == checksum.removeprefix("sha256:").lower()
