"""Facts of the machine itself: processors, memory, load, certificate."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
from pathlib import Path
from typing import Any

from pvelab import machine, packages
from pvelab.paths import path, pve

MIB = 1 << 20


def memory() -> dict[str, int]:
    """Memory in bytes: what the lab gives the machine, else what the kernel has."""
    rows = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    found = {row[0].rstrip(":"): int(row[1]) << 10 for row in rows}
    total = (machine.memory_mib() or found["MemTotal"] // MIB) * MIB
    used = min(found["MemTotal"] - found["MemAvailable"], total)
    return {"total": total, "used": used, "free": total - used, "available": total - used}


def uptime() -> int:
    """Seconds since the machine's first process started."""
    ticks = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19])
    since_boot = float(Path("/proc/uptime").read_text().split()[0])
    return max(1, int(since_boot - ticks / os.sysconf("SC_CLK_TCK")))


def processors() -> dict[str, Any]:
    """The processor as /proc/cpuinfo shows it."""
    rows = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    facts = {name.strip(): value.strip() for name, _, value in rows if name.strip()}
    count = sum(1 for name, _, _ in rows if name.strip() == "processor") or 1
    flags = facts.get("flags", "")
    return {
        "cpus": count,
        "cores": count,
        "sockets": 1,
        "model": facts.get("model name", "unknown"),
        "mhz": facts.get("cpu MHz", "0"),
        "hvm": "1" if {"vmx", "svm"} & set(flags.split()) else "0",
        "flags": flags,
        "user_hz": 100,
    }


def fingerprint(node: str) -> str | None:
    """The SHA-256 fingerprint of a node's certificate, None when it has none yet."""
    for name in ("pveproxy-ssl.pem", "pve-ssl.pem"):
        file = pve(f"nodes/{node}/{name}")
        if file.exists():
            der = ssl.PEM_cert_to_DER_cert(file.read_text())
            text = hashlib.sha256(der).hexdigest().upper()
            return ":".join(text[index : index + 2] for index in range(0, len(text), 2))
    return None


def usage() -> dict[str, Any]:
    """What lists show of this node; sizes in bytes."""
    found, disk = memory(), shutil.disk_usage(path("/"))
    return {
        "cpu": 0.01,
        "maxcpu": processors()["cpus"],
        "mem": found["used"],
        "maxmem": found["total"],
        "disk": disk.used,
        "maxdisk": disk.total,
        "uptime": uptime(),
    }


def status() -> dict[str, Any]:
    """The node's state in full."""
    disk, kernel = shutil.disk_usage(path("/")), packages.running_kernel()
    version, repoid = packages.manager_version()
    found = memory()
    return {
        "uptime": uptime(),
        "cpu": 0.01,
        "wait": 0,
        "idle": 0,
        "loadavg": Path("/proc/loadavg").read_text().split()[:3],
        "cpuinfo": processors(),
        "memory": {key: found[key] for key in ("total", "used", "free", "available")},
        "swap": {"total": 0, "used": 0, "free": 0},
        "rootfs": {"total": disk.total, "used": disk.used, "avail": disk.free, "free": disk.free},
        "ksm": {"shared": 0},
        "kversion": f"Linux {kernel} #1 SMP PREEMPT_DYNAMIC",
        "current-kernel": {"sysname": "Linux", "release": kernel, "version": "#1 SMP", "machine": "x86_64"},
        "boot-info": {"mode": "legacy-bios"},
        "pveversion": f"pve-manager/{version}/{repoid}",
    }
