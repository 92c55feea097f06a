"""How `qm` and `pct` print guests."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any

from pvelab.cli.tool import write

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB, GIB = 1 << 20, 1 << 30


def machines(answer: list[dict[str, Any]], _options: Mapping[str, str]) -> None:
    """`qm list`."""
    if not answer:
        return
    write(f"{'VMID':>10} {'NAME':<20} {'STATUS':<10} {'MEM(MB)':<10} {'BOOTDISK(GB)':>12} {'PID':<10}")
    for item in sorted(answer, key=lambda found: int(found["vmid"])):
        disk, memory = item.get("maxdisk", 0) / GIB, item.get("maxmem", 0) // MIB
        pid = item.get("pid", 0)
        write(f"{item['vmid']:>10} {item['name']:<20} {item['status']:<10} {memory:<10} {disk:>12.2f} {pid:<10}")


def containers(answer: list[dict[str, Any]], _options: Mapping[str, str]) -> None:
    """`pct list`."""
    if not answer:
        return
    write(f"{'VMID':<10} {'Status':<10} {'Lock':<12} {'Name':<20}")
    for item in sorted(answer, key=lambda found: int(found["vmid"])):
        write(f"{item['vmid']:<10} {item['status']:<10} {item.get('lock', ''):<12} {item['name']:<20}")


def config(answer: dict[str, Any], _options: Mapping[str, str]) -> None:
    """`qm config` and `pct config`."""
    for key in sorted(answer):
        if key == "digest":
            continue
        value = urllib.parse.quote(str(answer[key]), safe=" /@") if key == "description" else answer[key]
        write(f"{key}: {value}")


def pending(answer: list[dict[str, Any]], _options: Mapping[str, str]) -> None:
    """`qm pending` and `pct pending`."""
    for row in answer:
        if "delete" in row:
            write(f"del {row['key']}: {row.get('value', '')}")
        else:
            if "value" in row:
                write(f"cur {row['key']}: {row['value']}")
            if "pending" in row:
                write(f"new {row['key']}: {row['pending']}")


def status(answer: dict[str, Any], _options: Mapping[str, str]) -> None:
    """`qm status` and `pct status`."""
    write(f"status: {answer['status']}")


def updated(_answer: None, given: Mapping[str, str]) -> None:
    """`qm set`."""
    shown = " ".join(f"-{key} {given[key]}" for key in sorted(given) if key != "vmid")
    write(f"update VM {given['vmid']}: {shown}")
