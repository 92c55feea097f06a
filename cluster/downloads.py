"""A downloaded file that is there already is used again only when it has the described checksum.

It may be of an earlier description: a file that is always published under one name. The API shows no checksum, so the
node that will use the file computes it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from cluster import guests
from cluster.call import note
from cluster.errors import AdminError
from cluster.transport import members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.contract import Image, Machine
    from cluster.transport.cluster_api import Api
    from cluster.transport.ssh import Completed

READ_S = 300.0


async def drop_stale(  # noqa: PLR0913, PLR0917 - where it is, and how one gets there
    api: Api, machines: Sequence[Machine], private_key: str, node: str, image: Image, content: str
) -> None:
    """Remove the stack's file of that name when it is not the described one; it is then downloaded again.

    Raises:
        StepError: image-unreadable, why the node does not answer over SSH, and those of the API.
    """
    volume = f"{image.storage}:{content}/{image.file_name}"
    contents = f"/nodes/{node}/storage/{image.storage}/content"
    if image.checksum is None or not any(one["volid"] == volume for one in api.get(contents, content=content)):
        return
    asked = [machine for machine in machines if machine.name == node]
    async with members.connections(asked, private_key) as opened:
        command = f'path=$(pvesm path {shlex.quote(volume)}) && sha256sum -- "$path"'
        done = await members.connected(opened, node).run(command, timeout_s=READ_S)
    if not is_as_described(done, node, volume, image.checksum):
        note(f"{volume} is not the described file: it is removed, and downloaded again")
        api.wait(api.delete(f"{contents}/{volume}"), guests.TASK_S)


def is_as_described(said: Completed, node: str, name: str, checksum: str | None) -> bool:
    """Whether a file that was read whole has the described checksum; one that is gone has none.

    Raises:
        AdminError: image-unreadable.
    """
    if said.exit_code != 0:
        raise AdminError(
            "image-unreadable",
            f"{name} on {node} cannot be read, so its checksum cannot be compared",
            observed=(said.stderr or said.stdout).strip() or f"exit {said.exit_code}",
            expected="a readable file; this one was neither used nor removed",
        )
    return has_checksum(said.stdout, checksum)


def has_checksum(text: str, checksum: str | None) -> bool:
    """Whether the first word that `sha256sum` printed is the described checksum; pure."""
    words = text.split()
    return bool(words) and checksum is not None and words[0].lower() == checksum.removeprefix("sha256:").lower()
