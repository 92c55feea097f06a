"""The router's name server: a real dnsmasq, from the image, that forwards nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lab.image import workshop
from lab.shape import REPOSITORY_ADDRESS, REPOSITORY_NAMES, ROUTER_ADDRESS

if TYPE_CHECKING:
    from lab.settings import Settings
    from lab.shape import Shape


async def serve(settings: Settings, shape: Shape) -> asyncio.subprocess.Process:
    """Answer at the router's address for as long as the lab lives."""
    records = [*shape.names, *((name, REPOSITORY_ADDRESS) for name in REPOSITORY_NAMES)]
    return await asyncio.create_subprocess_exec(
        *workshop.command(settings, "dnsmasq"),
        "--keep-in-foreground",
        "--user=root",
        "--pid-file=",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        f"--listen-address={ROUTER_ADDRESS}",
        "--local=/#/",
        *(f"--host-record={name},{address}" for name, address in records),
    )
