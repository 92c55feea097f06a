"""What is on the machines of the kinds that the provider makes, and whether it carries this stack's mark. Read-only.

Straight from the files of Proxmox VE: one command on each machine, whether or not our package is there. The files of
/etc/pve are the whole cluster's, so an outer host that is a member of one shows the guests of all its nodes.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import tarfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cluster import claims, migrations, motion
from cluster.errors import AdminError
from cluster.motion import Motion
from onnode.system import network
from onnode.system.pve import TAG, owned, parse_guest_config, stack_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cluster.transport.ssh import Connection

LOOK_S = 60.0
VM = "VM"
CONTAINER = "CT"
BRIDGE = "bridge"
RESOURCE = "HA resource"
RULE = "HA rule"
GROUP = "HA group"
IMAGE = "image"
# Files of the cluster's file system that come and go while tar reads are no failure.
_FILES = (
    "etc/pve/nodes/*/qemu-server/*.conf etc/pve/nodes/*/lxc/*.conf "
    "etc/pve/ha/resources.cfg etc/pve/ha/rules.cfg etc/pve/ha/groups.cfg "
    f"etc/network/interfaces etc/network/interfaces.new var/lib/nested-pve-ha/journal.json {claims.FILE[1:]} {motion.FILES}"
)
NODE = "$(hostname | cut -d. -f1)"  # as Proxmox VE names a node: the domain is no part of it
_STATE = f"{{ echo {NODE}; cat /etc/pve/.members 2>/dev/null; }} | base64 -w0; echo"
# What is a link is read all the same: /etc/network/interfaces under configuration management.
_TAR = "tar -cf - --dereference --hard-dereference --ignore-failed-read"
_MIGRATIONS = f"{{ {migrations.READ}; }} | base64 -w0; echo"
READ = f"cd / && {_STATE}; {_TAR} -- {_FILES} 2>/dev/null | base64 -w0; echo; {_MIGRATIONS}"
NAMES = "; find -H {directory} -maxdepth 1 -type f -printf '%f\\n' 2>/dev/null | base64 -w0; echo"
_GUEST = re.compile(r"etc/pve/nodes/(?P<node>[^/]+)/(?P<kind>qemu-server|lxc)/(?P<vmid>\d+)\.conf")
_SECTION = re.compile(r"^(?P<kind>[a-z][a-z0-9-]*):\s*(?P<name>\S+)\s*$", re.IGNORECASE)
_KINDS = {"vm": (RESOURCE, "vm:"), "ct": (RESOURCE, "ct:"), "group": (GROUP, "")}


@dataclass(frozen=True)
class Thing:
    """Something that is there.

    Attributes:
        kind: one of this module's kinds.
        name: what it is found by: vmid, name of a bridge, rule or group, "vm:200" of a resource.
        node: the node that has it; empty for what belongs to the cluster.
        ours: it carries this stack's mark.
        shown: for messages.
        title: the name that a guest was given.
        pending: a bridge that is written down and not brought up.
    """

    kind: str
    name: str
    node: str
    ours: bool
    shown: str
    about: tuple[str, ...] = ()
    pending: bool = False


@dataclass(frozen=True)
class Look:
    """What one machine shows.

    Attributes:
        machine: its name in the configuration.
        node: its own name.
        quorate: it is in no cluster, or in the part of it that decides.
        things: what exists on it.
        cluster: the name of the one that it is in; empty when it is in none.
        stacks: those that are entered in its journal, by their exact names.
        owner: the stack that an existing machine belongs to; empty where none is entered.
        motion: what moves the guests of the cluster that it is in.
    """

    machine: str
    node: str
    quorate: bool
    things: tuple[Thing, ...]
    cluster: str = ""
    stacks: tuple[str, ...] = ()
    owner: str = ""
    motion: Motion = field(default_factory=Motion)


async def look(connection: Connection, stack: str, images: str | None = None) -> Look:
    """Look at one machine.

    Args:
        connection: the machine.
        stack: whose marks count.
        images: a directory of which the names are wanted, too.

    Raises:
        AdminError: command-failed, and those of SSH.
    """
    command = READ + (NAMES.format(directory=f"'{images}'") if images else "")
    done = await connection.run(command, timeout_s=LOOK_S)
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
    things = (*read(files, node, stack), *image_files(there, node, stack))
    return Look(
        connection.machine.name,
        node,
        quorate(about),
        things,
        cluster(about),
        stacks(files.get("var/lib/nested-pve-ha/journal.json", "{}")),
        files.get(claims.FILE[1:], "").strip(),
        motion.read(files, about, migrations.running(tasks.decode(errors="replace"))),
    )


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


def same(thing: Thing, kind: str, name: str) -> bool:
    """Whether a thing has that name among its kind; VMs and containers share their numbers. Pure."""
    return thing.name == name and _class(thing.kind) == _class(kind)


def _class(kind: str) -> str:
    return VM if kind == CONTAINER else kind


def mark(thing: Thing, stack: str) -> str:
    """The mark that such a thing of the stack carries; pure."""
    guest = _class(thing.kind) == VM
    return f"tags {TAG} and {stack_tag(stack)}" if guest else f"comment {stack_tag(stack)}"


def foreign(code: str, what: str, **said: str) -> AdminError:
    """The refusal of what is somebody else's, by the code of its kind; pure."""
    if code == "foreign-vmid":
        return AdminError("foreign-vmid", what, **said)
    if code == "foreign-bridge":
        return AdminError("foreign-bridge", what, **said)
    if code == "guest-foreign":
        return AdminError("guest-foreign", what, **said)
    return AdminError("ha-foreign", what, **said)


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
    return Thing(kind, vmid, node, owned(config.tags, stack), shown)


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


def image_name(stack: str, host: str, url: str) -> str:
    """The name of an outer host's installer image; pure.

    The stack's own, so that replacing a leftover of a killed run can never hit somebody else's file, and the host's own: hosts
    may share the storage, and each deletes its image when it goes.
    """
    return f"{stack_tag(stack)}-{host}-{url.rpartition('/')[2]}"


def image_files(names: Iterable[str], node: str, stack: str) -> list[Thing]:
    """The installer images whose name is the stack's own; pure."""
    own = f"{stack_tag(stack)}-"
    return [Thing(IMAGE, name, node, ours=True, shown=f"{name} on {node}") for name in names if name.startswith(own)]
