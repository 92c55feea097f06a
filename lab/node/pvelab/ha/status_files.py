"""The status that CRM and LRMs publish below /etc/pve."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.errors import PveError

if TYPE_CHECKING:
    from collections.abc import Mapping

MANAGER = "ha/manager_status"


def lrm(node: str) -> str:
    """The file of a node's LRM."""
    return f"nodes/{node}/lrm_status"


def read(relative: str) -> dict[str, Any]:
    """A status file, empty while there is none."""
    text = cfs.read(relative)
    document: dict[str, Any] = json.loads(text) if text.strip() else {}
    return document


def write(relative: str, status: Mapping[str, Any]) -> None:
    """Replace a status file.

    Raises:
        PermissionError: /etc/pve takes no writes.
    """
    try:
        cfs.write(relative, json.dumps(status))
    except PveError as error:
        raise PermissionError(error.message) from error
