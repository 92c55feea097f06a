"""The options of a guest among a method's parameters, as Proxmox writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pvelab import propstring
from pvelab.guests import drives, nics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.api.context import Context

# Parameters of the create and update methods that are no options; none of these names is one of either kind.
_CONTROL = frozenset(
    (
        *("node", "vmid", "archive", "ostemplate", "restore", "storage", "pool", "force", "unique", "start", "bwlimit"),
        *("password", "ssh-public-keys", "ignore-unpack-errors", "live-restore", "import-working-storage"),
        *("ha-managed", "digest", "delete", "revert", "skiplock", "background_delay"),
    )
)


def split(text: object) -> list[str]:
    """The items of a list as Proxmox reads them; none of nothing."""
    return [item for item in re.split(r"[\s,;]+", str(text or "")) if item]


def given(kind: str, params: Mapping[str, Any]) -> dict[str, str]:
    """The options among a method's parameters, as they will be written."""
    return {key: _normalize(kind, key, str(value)) for key, value in params.items() if key not in _CONTROL}


def _normalize(kind: str, key: str, value: str) -> str:
    if re.fullmatch(r"net\d+", key):
        return nics.normalize(kind, value)
    if drives.is_key(kind, key):
        return drives.parse(kind, key, value).text()
    # Lower case always, unless the cluster's tag-style is case-sensitive (pve-guest-common, GuestHelpers).
    return ";".join(sorted(set(split(value.lower())))) if key == "tags" else value


def require_bridge(ctx: Context, key: str, value: str) -> None:
    """Refuse a network device on a bridge that the caller may not use."""
    bridge = propstring.parse(value, "").get("bridge") if re.fullmatch(r"net\d+", key) else None
    if bridge:
        ctx.require(f"/sdn/zones/localnetwork/{bridge}", "SDN.Use")
