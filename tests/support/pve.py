"""fakepve with the collections that it validates but does not keep: SDN, backup jobs, replication."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fakepve import FakePve, PveError, settle

if TYPE_CHECKING:
    from collections.abc import Iterator

# Path and key parameter of each collection, as in Proxmox VE's API schema, and how PVE calls an entry.
COLLECTIONS = {
    "/cluster/sdn/zones": ("zone", "sdn zone"),
    "/cluster/sdn/vnets": ("vnet", "sdn vnet"),
    "/cluster/backup": ("id", "backup job"),
    "/cluster/replication": ("id", "replication job"),
}
GUEST = "/nodes/{node}/qemu/{vmid}"
NOT_STORED = ("delete", "digest", "lock-token")
START_LIMIT = 30
PASSWORD = "secret"


class StatefulPve(FakePve):  # type: ignore[misc]  # fakepve ships no types
    """A fake PVE whose SDN zones and vnets, backup jobs and replication jobs can be read back.

    Attributes:
        collections: Entries by collection path and id.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.collections: dict[str, dict[str, dict[str, Any]]] = {path: {} for path in COLLECTIONS}

    async def synthesise(self, match: Any, method: str, info: Any, user: str, values: dict[str, Any]) -> object:  # noqa: ANN401
        """Answer for a path without state of its own; fakepve has checked the parameters."""
        collection = re.sub(r"/\{\w+\}$", "", match.template)
        if (method, match.template) == ("DELETE", GUEST):
            # Sent with a slash at the end, which PVE allows and fakepve takes for another path.
            return await self._qm_destroy(values, user)
        if collection not in COLLECTIONS:
            return await super().synthesise(match, method, info, user, values)
        if method == "POST":
            self._create(collection, values)
            return None
        if match.template == collection:
            return list(self.collections[collection].values())
        return self._serve_entry(collection, method, values)

    def _create(self, collection: str, values: dict[str, Any]) -> None:
        key, noun = COLLECTIONS[collection]
        name = values[key]
        if name in self.collections[collection]:
            raise PveError(500, f"{noun} '{name}' already defined")
        self.collections[collection][name] = stored(values) | self._derived(collection, name)

    def _serve_entry(self, collection: str, method: str, values: dict[str, Any]) -> dict[str, Any] | None:
        key, noun = COLLECTIONS[collection]
        entries = self.collections[collection]
        if values[key] not in entries:
            raise PveError(500, f"{noun} '{values[key]}' does not exist")
        if method == "DELETE":
            del entries[values[key]]
            return None
        entry = entries[values[key]]
        if method == "PUT":
            for name in str(values.get("delete", "")).split(","):
                entry.pop(name, None)
            entry.update(stored(values))
            return None
        return entry

    def _derived(self, collection: str, name: str) -> dict[str, Any]:
        """A replication job is named after its guest, which must exist."""
        if collection != "/cluster/replication":
            return {}
        guest, number = (int(part) for part in name.split("-"))
        node = next((vm.node for vm in self.vms if vm.vmid == guest), None)
        if node is None:
            raise PveError(500, f"guest '{guest}' does not exist")
        return {"guest": guest, "jobnum": number, "source": node}


def stored(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in NOT_STORED}


@contextmanager
def serving(pve: FakePve, certificate: str, key: str) -> Iterator[None]:
    """Serve on an event loop of its own, in a thread that ends with the context."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(pve.start(certificate, key), loop).result(START_LIMIT)
        yield
        asyncio.run_coroutine_threadsafe(settle(), loop).result(START_LIMIT)
    finally:
        asyncio.run_coroutine_threadsafe(pve.stop(), loop).result(START_LIMIT)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_LIMIT)
        loop.close()
