"""The migrations and backups that a machine runs: its list of tasks, and whether their processes are alive.

The list alone is not enough: the tasks of a node that was powered off stay in it until the next task begins there.
"""

from __future__ import annotations

import re

# As Proxmox VE recognizes a task that runs: process and start time of its name are those of /proc (PVE::RESTEnvironment).
READ = (
    "sed -nE '/^UPID:([^:]*:){4}(qmigrate|vzmigrate|qmtunnel|vzmtunnel|vzdump):/{s/ .*//;p}' var/log/pve/tasks/active 2>/dev/null"
    " | while IFS=: read -r word node pid rest; do"
    ' echo "$word:$node:$pid:$rest $(sed "s/.*)//" "/proc/$((0x$pid))/stat" 2>/dev/null)"; done'
)
_TASK = re.compile(
    r"UPID:(?P<node>[^:]+):[0-9A-F]+:(?P<start>[0-9A-F]+):[0-9A-F]+:(?P<kind>\w+):(?P<vmid>\d*):\S* (?P<about>.*)",
    re.IGNORECASE,
)
_BACKUP = "vzdump"  # its number is empty where it saves several guests
_START = 19  # of what /proc/PID/stat says after the program's name
_DEAD = "Z"


def running(text: str) -> frozenset[str]:
    """The guests, as HA calls them, whose migrations run; pure.

    Args:
        text: what :data:`READ` printed.
    """
    moving = [task for task in _living(text) if task["kind"] != _BACKUP]
    return frozenset(f"{'vm' if task['kind'].startswith('qm') else 'ct'}:{task['vmid']}" for task in moving)


def backups(text: str) -> frozenset[str]:
    """The backups that run, in words; pure.

    Args:
        text: what :data:`READ` printed.
    """
    saving = [task for task in _living(text) if task["kind"] == _BACKUP]
    return frozenset(
        f"a backup of guest {task['vmid']} runs on {task['node']}"
        if task["vmid"]
        else f"a backup runs on {task['node']}"
        for task in saving
    )


def _living(text: str) -> list[re.Match[str]]:
    found = [match for line in text.splitlines() if (match := _TASK.fullmatch(line))]
    return [task for task in found if _lives(task)]


def _lives(task: re.Match[str]) -> bool:
    words = task["about"].split()
    return len(words) > _START and words[0] != _DEAD and int(words[_START]) == int(task["start"], 16)
