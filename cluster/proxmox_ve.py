"""What is on a machine that runs Proxmox VE, as an outer host or as a node; and what an outer host is asked to do over SSH.

Straight from the files of Proxmox VE: one command on each machine, whether or not our package is there. The files of
/etc/pve are the whole cluster's, so an outer host that is a member of one shows the guests of all its nodes.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import shlex
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

from cluster import claims, existing_guests, libvirt, migrations, motion
from cluster.errors import AdminError
from cluster.marks import BRIDGE, CONTAINER, GROUP, IMAGE, RESOURCE, RULE, VM, Look, Thing
from onnode.system import network
from onnode.system.pve import owned, parse_guest_config, stack_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cluster.transport.ssh import Connection

LOOK_S = 60.0
STOPPED = "stopped"  # the status of a VM that has no power
# Files of the cluster's file system that come and go while tar reads are no failure.
_FILES = (
    "etc/pve/nodes/*/qemu-server/*.conf etc/pve/nodes/*/lxc/*.conf "
    "etc/pve/ha/resources.cfg etc/pve/ha/rules.cfg etc/pve/ha/groups.cfg "
    f"etc/network/interfaces etc/network/interfaces.new var/lib/nested-pve-ha/journal.json {claims.FILE[1:]} {motion.FILES} {existing_guests.FILES} "
    f"{libvirt.FILES}"
)
NODE = "$(hostname | cut -d. -f1)"  # as Proxmox VE names a node: the domain is no part of it
ANSWER_S = 10
HANGS = 75
# A hung pmxcfs blocks its readers beyond the reach of signals; nobody waits for this one, and it holds none of the session's pipes.
_READS = f"bash -c 'read -rt {ANSWER_S} < <(stat -t /etc/pve/.; echo)' </dev/null >/dev/null 2>&1"
_ANSWERS = f"{_READS}; [ $? -le 128 ] || exit {HANGS}"  # as bash ends a `read` whose time is up
# A machine without Proxmox VE is in no cluster; with it, and without that file, /etc/pve is not mounted.
_MEMBERS = "cat /etc/pve/.members 2>/dev/null || [ -d /etc/pve ] || echo {}"
_STATE = f"{{ echo {NODE}; {_MEMBERS}; }} | base64 -w0; echo"
# What is a link is read all the same: /etc/network/interfaces under configuration management.
_TAR = "tar -cf - --dereference --hard-dereference --ignore-failed-read"
_MIGRATIONS = f"{{ {migrations.READ}; }} | base64 -w0; echo"
READ = f"cd / && {{ {_ANSWERS}; }} && {_STATE}; {_TAR} -- {_FILES} 2>/dev/null | base64 -w0; echo; {_MIGRATIONS}"
NAMES = "; find -H {directory} -maxdepth 1 -type f -printf '%f\\n' 2>/dev/null | base64 -w0; echo"
_GUEST = re.compile(r"etc/pve/nodes/(?P<node>[^/]+)/(?P<kind>qemu-server|lxc)/(?P<vmid>\d+)\.conf")
_SECTION = re.compile(r"^(?P<kind>[a-z][a-z0-9-]*):\s*(?P<name>\S+)\s*$", re.IGNORECASE)
_KINDS = {"vm": (RESOURCE, "vm:"), "ct": (RESOURCE, "ct:"), "group": (GROUP, "")}


async def look(connection: Connection, stack: str, images: str | None = None) -> Look:
    """Look at one machine.

    Args:
        connection: the machine.
        stack: whose marks count.
        images: a directory of which the names are wanted, too.

    Raises:
        AdminError: pve-filesystem-hangs, command-failed, and those of SSH.
    """
    command = READ + (NAMES.format(directory=f"'{images}'") if images else "")
    done = await connection.run(command, timeout_s=LOOK_S)
    if done.exit_code == HANGS:
        raise AdminError(
            "pve-filesystem-hangs",
            f"/etc/pve of {connection.machine.name} cannot be read",
            observed=f"no answer within {ANSWER_S} s",
        )
    try:
        state, archive, tasks, *names = (base64.b64decode(line, validate=True) for line in done.stdout.splitlines())
        files = unpack(archive)
    except (ValueError, binascii.Error, tarfile.TarError) as error:
        raise AdminError(
            "command-failed",
            f"the guests and bridges of {connection.machine.name} cannot be read",
            observed=done.stderr.strip() or f"exit {done.exit_code}: {error}",
            expected="the files of /etc/pve and /etc/network",
        ) from None
    node, _, about = state.decode(errors="replace").partition("\n")
    there = names[0].decode(errors="replace").split("\n")[:-1] if names else []
    things = (
        *read(files, node, stack),
        *libvirt.read(files, node, stack),
        *image_files(there, node, stack),
        *libvirt.disks(there, node, stack),
    )
    return Look(
        connection.machine.name,
        node,
        quorate(about),
        things,
        cluster(about),
        stacks(files.get("var/lib/nested-pve-ha/journal.json", "{}")),
        files.get(claims.FILE[1:], "").strip(),
        _motion(files, about, tasks.decode(errors="replace")),
        existing_guests.read(files),
    )


def _motion(files: Mapping[str, str], about: str, tasks: str) -> motion.Motion:
    return motion.read(files, about, migrations.running(tasks), migrations.backups(tasks))


def refuse_silent(looks: Mapping[str, Look]) -> None:
    """Refuse machines that cannot list their guests, which would otherwise count as gone. Pure.

    Raises:
        AdminError: command-failed.
    """
    silent = [name for name, seen in looks.items() if not seen.quorate]
    if silent:
        raise AdminError(
            "command-failed",
            "a machine cannot list its guests",
            observed=f"/etc/pve of {', '.join(silent)} is not mounted, or its cluster has no quorum",
            expected="a mounted /etc/pve, with quorum where the machine is in a cluster",
            fix="`systemctl status pve-cluster` and `pvecm status` there; then run the same command again",
        )


def unpack(archive: bytes) -> dict[str, str]:
    """The files of an archive by path; pure."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for member in packed:
            content = packed.extractfile(member)
            if content is not None:
                found[member.name] = content.read().decode(errors="surrogateescape")
    return found


def stacks(journal: str) -> tuple[str, ...]:
    """The stacks that a machine's journal of originals names; pure."""
    try:
        return tuple(json.loads(journal).get("stacks", ()))
    except (ValueError, AttributeError, TypeError):
        return ()  # damaged: the step that keeps it refuses


def cluster(members: str) -> str:
    """The name of the cluster that a node is in, from /etc/pve/.members; empty when it is in none; pure."""
    try:
        return str((json.loads(members).get("cluster") or {}).get("name", ""))
    except ValueError:
        return ""


def quorate(members: str) -> bool:
    """Whether a node may speak for its cluster, from /etc/pve/.members; one that is in none may; pure.

    Without that file /etc/pve is not mounted, and its emptiness says nothing.
    """
    try:
        found = json.loads(members).get("cluster")
    except ValueError:
        return False
    return found is None or bool(found.get("quorate"))


def read(files: dict[str, str], node: str, stack: str) -> list[Thing]:
    """What the files of a machine show; pure."""
    found = [_guest(match, text, stack) for path, text in files.items() if (match := _GUEST.fullmatch(path))]
    for name in ("resources", "rules", "groups"):
        found += ha(files.get(f"etc/pve/ha/{name}.cfg", ""), stack)
    live = bridges(files.get("etc/network/interfaces", ""), node, stack)
    if (planned := files.get("etc/network/interfaces.new")) is None:
        return [*found, *live]
    up = {thing.name for thing in live}
    waiting = [thing for thing in bridges(planned, node, stack) if thing.name not in up]
    return [*found, *live, *(replace(thing, pending=True) for thing in waiting)]


def _guest(match: re.Match[str], text: str, stack: str) -> Thing:
    kind, vmid, node = VM if match["kind"] == "qemu-server" else CONTAINER, match["vmid"], match["node"]
    config = parse_guest_config(text)
    name = config.values.get("name") or config.values.get("hostname", "?")
    shown = f"{kind} {vmid} ({name}) on {node}, tags: {', '.join(config.tags) or 'none'}"
    return Thing(kind, vmid, node, owned(config.tags, stack), shown, called=name)


def ha(text: str, stack: str) -> list[Thing]:
    """The sections of a file of /etc/pve/ha; pure."""
    found: list[tuple[str, str, dict[str, str]]] = []
    for line in text.splitlines():
        if section := _SECTION.match(line):
            kind, prefix = _KINDS.get(section["kind"].lower(), (RULE, ""))
            found.append((kind, prefix + section["name"], {}))
        elif found and line.strip():
            key, _, value = line.strip().partition(" ")
            found[-1][2][key] = value.strip()
    return [_section(kind, name, values, stack) for kind, name, values in found]


def _section(kind: str, name: str, values: dict[str, str], stack: str) -> Thing:
    comment = values.get("comment", "")
    about = (name,) if kind == RESOURCE else tuple(re.findall(r"[^,\s]+", values.get("resources", "")))
    shown = f"{kind} {name}, comment: {comment or 'none'}"
    return Thing(kind, name, "", commented(comment, stack), shown, about)


def commented(comment: str, stack: str) -> bool:
    """Whether a comment is the stack's mark; pure."""
    return comment.strip().lower() == stack_tag(stack)  # earlier versions wrote it in the case of the stack's name


def bridges(text: str, node: str, stack: str) -> list[Thing]:
    """The interfaces that /etc/network/interfaces describes; pure."""
    return [
        Thing(
            BRIDGE,
            name,
            node,
            any(commented(line, stack) for line in lines),
            f"interface {name} on {node}, comment: {' / '.join(lines) or 'none'}",
        )
        for name, lines in network.comments(text).items()
    ]


def image_files(names: Iterable[str], node: str, stack: str) -> list[Thing]:
    """The installer images whose name is the stack's own; pure."""
    own = f"{stack_tag(stack)}-"
    return [Thing(IMAGE, name, node, ours=True, shown=f"{name} on {node}") for name in names if name.startswith(own)]


def remove_bridge(host: str, bridge: str) -> str:
    """The command that removes an outer host's bridge; pure."""
    network_of_host = f"/nodes/{shlex.quote(host)}/network"
    return f"pvesh delete {network_of_host}/{shlex.quote(bridge)} && pvesh set {network_of_host}"


def withdraw_bridge(bridge: str) -> str:
    """The command that takes back a bridge which is only planned; pure."""
    return f"pvesh delete /nodes/{NODE}/network/{shlex.quote(bridge)}"


def vm_status(vm: Thing) -> str:
    """The command that shows how an outer host's VM is; pure."""
    if vm.domain:
        return libvirt.status_command(vm.domain)
    return f"pvesh get {_vm(vm)}/status/current --output-format json"


def status_of(vm: Thing, text: str) -> str:
    """The status of a VM, from what that command printed; empty where it printed none; pure."""
    if vm.domain:
        return STOPPED if libvirt.is_off(text) else text.strip()
    try:
        return str(json.loads(text).get("status", ""))
    except (ValueError, AttributeError):
        return ""


def stop_vm(vm: Thing) -> str:
    """The command that switches an outer host's VM off; pure."""
    return libvirt.stop_command(vm.domain) if vm.domain else f"pvesh create {_vm(vm)}/status/stop"


def _vm(vm: Thing) -> str:
    return f"/nodes/{shlex.quote(vm.node)}/qemu/{vm.name}"
