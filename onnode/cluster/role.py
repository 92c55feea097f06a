"""The name of the API user's role, which the configuration needs, too: it loads nothing else of this package."""

from __future__ import annotations

# Proxmox VE keeps names that begin with "PVE" for itself.
OWN_ROLE = "nested-pve-ha"
