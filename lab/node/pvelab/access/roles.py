"""The privileges that Proxmox VE 9 knows, and the roles it makes of them.

Each category splits its privileges by who should have them; the predefined roles follow from the split
(pve-access-control, PVE::AccessControl).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class _Category:
    root: str = ""
    admin: str = ""
    user: str = ""
    audit: str = ""


_CATEGORIES = {
    "VM": _Category(
        admin="VM.Config.Disk VM.Config.CPU VM.Config.Memory VM.Config.Network VM.Config.HWType VM.Config.Options"
        " VM.Allocate VM.Clone VM.Migrate VM.Snapshot VM.Snapshot.Rollback VM.Replicate"
        " VM.GuestAgent.FileRead VM.GuestAgent.FileWrite VM.GuestAgent.FileSystemMgmt VM.GuestAgent.Unrestricted",
        user="VM.Config.CDROM VM.Config.Cloudinit VM.Console VM.Backup VM.PowerMgmt",
        audit="VM.Audit VM.GuestAgent.Audit",
    ),
    "Sys": _Category(
        root="Sys.PowerMgmt Sys.Modify Sys.Incoming Sys.AccessNetwork",
        admin="Sys.Console Sys.Syslog",
        audit="Sys.Audit",
    ),
    "Datastore": _Category(
        admin="Datastore.Allocate Datastore.AllocateTemplate",
        user="Datastore.AllocateSpace",
        audit="Datastore.Audit",
    ),
    "SDN": _Category(admin="SDN.Allocate SDN.Audit", user="SDN.Use", audit="SDN.Audit"),
    "User": _Category(root="Realm.Allocate", admin="User.Modify Group.Allocate Realm.AllocateUser"),
    "Pool": _Category(admin="Pool.Allocate", user="Pool.Audit", audit="Pool.Audit"),
    "Mapping": _Category(admin="Mapping.Modify", user="Mapping.Use", audit="Mapping.Audit"),
}


def _predefined() -> dict[str, frozenset[str]]:
    roles: dict[str, set[str]] = {"Administrator": {"Permissions.Modify"}, "PVEAdmin": set(), "PVEAuditor": set()}
    for name, category in _CATEGORIES.items():
        admin, user, audit = (set(text.split()) for text in (category.admin, category.user, category.audit))
        roles[f"PVE{name}Admin"] = admin | user | audit
        roles["PVEAdmin"] |= admin | user | audit
        roles["PVEAuditor"] |= audit
        roles["Administrator"] |= admin | user | audit | set(category.root.split())
        if user:
            roles[f"PVE{name}User"] = user | audit
    roles["PVEAdmin"].discard("Mapping.Modify")
    roles["PVETemplateUser"] = {"VM.Clone", "VM.Audit"}
    roles["NoAccess"] = set()
    return {name: frozenset(privileges) for name, privileges in roles.items()}


PREDEFINED = _predefined()
PRIVILEGES = PREDEFINED["Administrator"]
