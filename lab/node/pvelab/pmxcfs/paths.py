"""Where the cluster file system and corosync keep their files on a node."""

from __future__ import annotations

from pathlib import Path

MOUNT_POINT = Path("/etc/pve")
LOCAL_COROSYNC_DIR = Path("/etc/corosync")
LOCAL_COROSYNC_CONF = LOCAL_COROSYNC_DIR / "corosync.conf"
COROSYNC_AUTHKEY = LOCAL_COROSYNC_DIR / "authkey"
LIBRARY_DIR = Path("/var/lib/pve-cluster")
# The node's own copy of /etc/pve. Real pmxcfs keeps it inside config.db; here config.db only says that it counts.
REPLICA_DIR = LIBRARY_DIR / "local-db"
DATABASE = LIBRARY_DIR / "config.db"
BACKUP_DIR = LIBRARY_DIR / "backup"
PROCESS_GROUP = "pve_dcdb_v1"
