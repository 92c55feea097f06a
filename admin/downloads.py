"""A downloaded file that is there already is used again only when it has the described checksum.

It may be of an earlier description: a file that is always published under one name. The API tells no checksum, so the
node that is to use it is asked.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from admin import guests, images, members
from admin.step import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin.api import Api
    from admin.desired import Image, Machine

READ_S = 300.0


async def drop_stale(  # noqa: PLR0913, PLR0917 - where it is, and how one gets there
    api: Api, machines: Sequence[Machine], private_key: str, node: str, image: Image, content: str
) -> None:
    """Remove the stack's file of that name when it is another one than described; it is then downloaded anew.

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
    if not images.is_as_described(done, node, volume, image.checksum):
        note(f"{volume} is another file than described: downloaded anew")
        api.wait(api.delete(f"{contents}/{volume}"), guests.TASK_S)
