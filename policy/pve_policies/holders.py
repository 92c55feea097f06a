"""Which resource of a program holds a number or an address.

The engine shows the pack one resource after another, so what must be unique in a program is remembered from one to the next.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


class Holders:
    """Who holds what in the run that this process judges."""

    def __init__(self) -> None:
        self._by_value: dict[str, str] = {}
        self._lock = Lock()  # the engine asks for several resources at once

    def others(self, urn: str, values: Collection[str]) -> dict[str, str]:
        """Those of the values that another resource holds, with its name; the rest is held by this one from now on."""
        with self._lock:
            # The update that follows a preview may show this resource with other values.
            for value in [value for value, holder in self._by_value.items() if holder == urn]:
                del self._by_value[value]
            holders = {value: self._by_value.setdefault(value, urn) for value in values}
        return {value: holder.rsplit("::", 1)[-1] for value, holder in holders.items() if holder != urn}
