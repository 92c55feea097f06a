"""The CD drive that a VM must be given, so that it gets none of its host's."""

from __future__ import annotations

import pulumi_proxmoxve as proxmoxve

# Left out, the bridged provider fills in its default: the host's physical drive, with which Proxmox VE migrates no VM.
EMPTY_DRIVE = proxmoxve.VmLegacyCdromArgs(file_id="none")
