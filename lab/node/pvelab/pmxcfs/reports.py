"""The file .rrd: the nodes whose pvestatd has reported. A pmxcfs that has just started knows of none yet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pvelab.pmxcfs.members import ClusterView

REPORT_SECONDS = 5.0  # pvestatd reports every ten seconds; half of that has passed, on average


class Reports:
    """When each node came, as this one saw it."""

    def __init__(self, node: str, after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._node, self._after_s, self._clock = node, after_s, clock
        self._since: dict[str, float] = {node: clock()}

    def render(self, view: ClusterView) -> str:
        """One line for each node that has reported; the figures are of no interest to anybody here."""
        online = {self._node}
        if view.conf is not None:
            online |= {name for name, node in view.conf.nodes.items() if node.nodeid in view.online}
        self._since = {name: self._since.get(name, self._clock()) for name in online}
        reported = [name for name, since in self._since.items() if self._clock() - since >= self._after_s]
        return "".join(f"pve-node-9.0/{name}:\n" for name in sorted(reported))
