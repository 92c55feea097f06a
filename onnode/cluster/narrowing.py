"""Rules on deeper paths that take rights away from a user that has its role on `/`.

In Proxmox VE the nearest rule decides alone: one on `/vms/200` hides the role on `/` there, and a user's own rules hide
those of its groups. Such a rule may be meant, to keep the user away from somebody else's guest; so only those count that
concern what the stack has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnode.errors import StepError
from onnode.system import marks
from onnode.system.pve import TAG, GuestConfig, parse_guest_config

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from onnode.system.machine import ThisMachine

# Which privileges the program's calls need at a path of that kind (tests/unit/lab/node/test_api_role.py has the calls).
AREAS = {"vms": "VM.", "storage": "Datastore.", "sdn": "SDN.", "nodes": "Sys.Audit"}
ZONE = "/sdn/zones/localnet"  # where Proxmox VE keeps bridges
YET_TO_BE_MADE = "*"
SHOWN = 3
_DISK = re.compile(r"(?:scsi|virtio|ide|sata|efidisk|tpmstate|rootfs|mp)\d*")
_CARD = re.compile(r"net\d+")
_NONE = "NoAccess"
_NODES = "/etc/pve/nodes"

Rule = dict[str, Any]  # of `pveum acl list --output-format json`


@dataclass(frozen=True)
class Narrowing:
    """A path at which the user lacks what the program's calls need, and the rules that cause it."""

    path: str
    kind: str  # user | group
    who: list[str]
    roles: list[str]
    lacks: list[str]

    @property
    def shown(self) -> str:
        """For messages."""
        more = f" and {len(self.lacks) - SHOWN} more" if len(self.lacks) > SHOWN else ""
        lacks = ", ".join(self.lacks[:SHOWN]) + more
        return f"{self.path}: {', '.join(self.roles)} for the {self.kind} {', '.join(self.who)}, without {lacks}"

    @property
    def undone(self) -> str:
        """The command that takes the rules away."""
        return f"pveum acl delete {self.path} --{self.kind}s {','.join(self.who)} --roles {','.join(self.roles)}"


def below(rules: Iterable[Rule], user: str, groups: Collection[str]) -> list[Rule]:
    """The rules on deeper paths than `/` that are for the user or one of its groups; pure."""
    return [rule for rule in rules if rule["path"] != "/" and _is_for(rule, user, groups)]


def _is_for(rule: Rule, user: str, groups: Collection[str]) -> bool:
    kind, who = rule.get("type", "user"), rule["ugid"]
    return (kind == "user" and who == user) or (kind == "group" and who in groups)


def paths(machine: ThisMachine, stack_tag: str) -> list[str]:
    """The paths of what the stack has in the cluster: its guests, the storages and bridges of these, the nodes."""
    found = {f"/{area}/{YET_TO_BE_MADE}" for area in ("vms", "storage")} | {f"{ZONE}/{YET_TO_BE_MADE}"}
    found |= {f"/storage/{name}" for name in _storages(machine, stack_tag)}
    for node in machine.names(_NODES):
        found.add(f"/nodes/{node}")
        for kind in ("qemu-server", "lxc"):
            for name in machine.names(f"{_NODES}/{node}/{kind}"):
                config = parse_guest_config(machine.read(f"{_NODES}/{node}/{kind}/{name}") or "")
                if {TAG, stack_tag} <= set(config.tags):
                    found |= {f"/vms/{name.removesuffix('.conf')}", *_of_guest(config)}
    return sorted(found)


def _storages(machine: ThisMachine, stack_tag: str) -> Iterator[str]:
    for name in machine.names(marks.DIRECTORY):
        kind, _, storage = name.partition("-")
        if kind == "storage" and marks.owner(machine, kind, storage) == stack_tag:
            yield storage


def _of_guest(config: GuestConfig) -> Iterator[str]:
    for key, value in config.values.items():
        first, _, rest = value.partition(",")
        if _DISK.fullmatch(key) and ":" in first:
            yield f"/storage/{first.partition(':')[0]}"
        elif _CARD.fullmatch(key) and (bridge := re.search(r"(?:^|,)bridge=([^,]+)", f"{first},{rest}")):
            yield f"{ZONE}/{bridge[1]}"


def narrowed(
    rules: Collection[Rule],
    user: str,
    used: Iterable[str],
    needed: Collection[str],
    roles: Mapping[str, AbstractSet[str]],
) -> list[Narrowing]:
    """Where the user lacks what it needs; pure.

    Args:
        rules: those of :func:`below`.
        user: who.
        used: the paths that count.
        needed: the privileges that it is to have everywhere.
        roles: the privileges of each role.
    """
    found: dict[str, Narrowing] = {}
    for path in used:
        deciding = _deciding(rules, user, path)
        given = {rule["roleid"] for rule in deciding}
        has = set() if _NONE in given else set().union(*(roles.get(role, set()) for role in given))
        lacks = sorted(name for name in needed if name.startswith(AREAS[path.split("/")[1]]) and name not in has)
        if deciding and lacks:
            at, kind = deciding[0]["path"], deciding[0].get("type", "user")
            found[at] = Narrowing(at, kind, sorted({rule["ugid"] for rule in deciding}), sorted(given), lacks)
    return [found[at] for at in sorted(found)]


def _deciding(rules: Collection[Rule], user: str, path: str) -> list[Rule]:
    """The rules that Proxmox VE goes by at a path (PVE::AccessControl::roles); none: those on `/`."""
    parts = path.strip("/").split("/")
    for count in range(len(parts), 0, -1):
        step = "/" + "/".join(parts[:count])
        here = [rule for rule in rules if rule["path"] == step and (step == path or int(rule.get("propagate", 1)))]
        own = [rule for rule in here if rule["ugid"] == user]
        if here:
            return own or here
    return []


def refuse(found: Collection[Narrowing], user: str) -> None:
    """Refuse a user that lacks rights somewhere: a call would fail there. The rules are somebody else's.

    Raises:
        StepError: api-user-narrowed.
    """
    if found:
        raise StepError(
            "api-user-narrowed",
            f"rules on deeper paths take rights away from {user}",
            observed="; ".join(one.shown for one in found),
            expected=f"no rule there for {user} or its groups, or one with these privileges",
            fix=f"on a member: {'; '.join(f'`{one.undone}`' for one in found)}; then run the same command again",
        )
