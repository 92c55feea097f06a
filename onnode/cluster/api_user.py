"""api-user: the user for day-to-day work exists, can log in with its password, and has exactly its role on `/`.

The role is one of our own unless another one is described: it holds what the program's calls need, and nothing else.
What was not made here is refused: a user without our comment, a role of our name that is marked by nobody, a rule on a
deeper path that takes rights away from the user.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from onnode.cluster import narrowing
from onnode.cluster.membership import fingerprint
from onnode.cluster.role import OWN_ROLE
from onnode.contract.formation import ApiUser
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import marks
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

PVEUM_S = 60.0
COMMENT = "Made by nested-pve-ha"
# Each is needed by a call that tests/unit/lab/node/test_api_role.py names; all of them are known to Proxmox VE 8, too.
PRIVILEGES = (
    "Datastore.Allocate",  # remove a downloaded image
    "Datastore.AllocateSpace",  # disks
    "Datastore.AllocateTemplate",  # download an image
    "SDN.Use",  # attach a guest to a bridge
    "Sys.Audit",  # see the nodes and their state
    "Sys.Console",  # HA resources and rules
    "Sys.Modify",  # options of the cluster; with Sys.Audit, downloads from a URL
    "VM.Allocate",  # make and destroy guests
    "VM.Audit",  # see guests
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Disk",
    "VM.Config.HWType",  # KVM, the controller of disks
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",  # stop a guest before it is destroyed
)


@dataclass(frozen=True)
class Observed:
    """The user, its roles on `/`, whether its password is the described one, and the role that is to be its only one."""

    exists: bool = False
    enabled: bool = False
    comment: str = ""
    roles: list[str] = field(default_factory=list)  # that hold below `/`, too
    shallow: list[str] = field(default_factory=list)  # that hold on `/` alone
    logs_in: bool = False
    privileges: list[str] | None = None  # of the described role; None: there is no such role
    marked: bool = False  # whether the role was made here
    narrowed: list[narrowing.Narrowing] = field(default_factory=list)


def parse_user(text: str, user: str, now: float = 0) -> tuple[bool, bool, str]:
    """Read `pveum user list --output-format json`: whether the user exists, may log in now, and what its comment says."""
    found: list[dict[str, Any]] = [entry for entry in json.loads(text or "[]") if entry.get("userid") == user]
    comment = next((str(entry.get("comment", "")) for entry in found), "")
    return bool(found), any(int(entry.get("enable", 1)) and not _expired(entry, now) for entry in found), comment


def _expired(entry: dict[str, Any], now: float) -> bool:
    return 0 < int(entry.get("expire", 0)) <= now  # 0: never


def parse_roles(text: str, user: str, *, propagate: bool = True) -> list[str]:
    """Read `pveum acl list --output-format json`: the user's roles on `/` that hold below it, too, or there alone."""
    return sorted(
        entry["roleid"]
        for entry in json.loads(text or "[]")
        if entry.get("path") == "/"
        and entry.get("ugid") == user
        and entry.get("type", "user") == "user"
        and bool(int(entry.get("propagate", 1))) is propagate
    )


def parse_groups(text: str, user: str) -> list[str]:
    """Read `pveum user list --full 1 --output-format json`: the groups of a user."""
    found: dict[str, Any] = next((entry for entry in json.loads(text or "[]") if entry.get("userid") == user), {})
    return [name for name in re.split(r"[,; ]+", str(found.get("groups") or "")) if name]


def parse_privileges(text: str, role: str) -> list[str] | None:
    """Read `pveum role list --output-format json`: the privileges of a role; None if there is no such role."""
    found = next((entry for entry in json.loads(text or "[]") if entry.get("roleid") == role), None)
    return None if found is None else sorted(name for name in str(found.get("privs", "")).split(",") if name)


def observe(machine: ThisMachine, desired: ApiUser) -> Observed:
    """Ask pveum, and try to log in."""
    own = desired.role == OWN_ROLE
    wanted = (["user", "--full", "1"], ["acl"], ["role"])
    with ThreadPoolExecutor(len(wanted)) as pool:  # each takes a second, most of it to load its program
        users, rules, roles = pool.map(partial(_list, machine), wanted)
    exists, enabled, comment = parse_user(users, desired.user, machine.time())
    return Observed(
        exists,
        enabled,
        comment,
        parse_roles(rules, desired.user),
        parse_roles(rules, desired.user, propagate=False),
        # A user that is not ours is sent no password.
        exists and enabled and comment.startswith(COMMENT) and _logs_in(machine, desired),
        parse_privileges(roles, OWN_ROLE) if own else None,
        own and marks.owner(machine, "role", OWN_ROLE) is not None,
        _narrowed(machine, desired, parse_groups(users, desired.user), json.loads(rules or "[]"), roles),
    )


def _narrowed(
    machine: ThisMachine, desired: ApiUser, groups: list[str], rules: list[dict[str, Any]], roles: str
) -> list[narrowing.Narrowing]:
    rules = narrowing.below(rules, desired.user, groups)
    if not rules:
        return []
    named = {entry["roleid"]: set(parse_privileges(roles, entry["roleid"]) or ()) for entry in json.loads(roles)}
    held = set(PRIVILEGES) if desired.role == OWN_ROLE else named.get(desired.role, set()) & set(PRIVILEGES)
    named[OWN_ROLE] = set(PRIVILEGES)  # as it is in a moment
    return narrowing.narrowed(rules, desired.user, narrowing.paths(machine, desired.stack_tag), held, named)


def _logs_in(machine: ThisMachine, desired: ApiUser) -> bool:
    directory = "/etc/pve/local"
    own = fingerprint(machine.read(f"{directory}/pveproxy-ssl.pem") or machine.read(f"{directory}/pve-ssl.pem"))
    return machine.can_log_in(desired.user, desired.password, lambda shown: fingerprint(shown) == own)


def _list(machine: ThisMachine, what: list[str]) -> str:
    kind, *options = what
    return machine.check(["pveum", kind, "list", *options, "--output-format", "json"], timeout_s=PVEUM_S)


def decide(observed: Observed, desired: ApiUser) -> list[Action]:
    """Make the role, the user, its password, and give it that role and no other on `/`.

    Raises:
        StepError: api-user-foreign, api-role-foreign, api-user-narrowed.
    """
    _refuse_foreign_user(observed, desired)
    narrowing.refuse(observed.narrowed, desired.user)
    actions = _role(observed, desired) if desired.role == OWN_ROLE else []
    if not observed.exists:
        actions += [Action("add", desired.user), Action("set-password", desired.user)]
    else:
        actions += [] if observed.enabled else [Action("enable", desired.user)]
        actions += [] if observed.logs_in or not observed.enabled else [Action("set-password", desired.user)]
    # First the described role, then the others away: there is no moment without any.
    actions += [] if desired.role in observed.roles else [Action("grant", desired.role)]
    others = sorted({*observed.roles, *observed.shallow} - {desired.role})
    return actions + [Action("revoke", role) for role in others]


def _refuse_foreign_user(observed: Observed, desired: ApiUser) -> None:
    if observed.exists and not observed.comment.startswith(COMMENT):
        raise StepError(
            "api-user-foreign",
            f"the user {desired.user} exists, and this program did not make it",
            observed=f"its comment: {observed.comment or 'none'}",
            expected=f"a user with the comment {COMMENT!r}, or none",
        )


def _role(observed: Observed, desired: ApiUser) -> list[Action]:
    if observed.privileges is None:
        return [Action("make-role", OWN_ROLE), Action("mark-role", OWN_ROLE)]
    marked = [] if observed.marked else [Action("mark-role", OWN_ROLE)]
    if observed.privileges == sorted(PRIVILEGES):
        return marked
    if not observed.marked:
        raise StepError(
            "api-role-foreign",
            f"the role {OWN_ROLE} exists with other privileges, and this program did not make it",
            observed=", ".join(observed.privileges) or "no privilege",
            expected=", ".join(PRIVILEGES),
            fix=f"set cluster.api.role to the role that {desired.user} is to have, or remove or rename that role",
        )
    return [Action("set-role", _edited(set(observed.privileges)))]


def _edited(there: set[str]) -> str:
    """The role, and the privileges that somebody added or removed, which is undone."""
    changes = (("without", there - set(PRIVILEGES)), ("with", set(PRIVILEGES) - there))
    return ", ".join([OWN_ROLE, *(f"{word} {' '.join(sorted(names))}" for word, names in changes if names)])


def act(machine: ThisMachine, desired: ApiUser, action: Action) -> None:
    """Call pveum; the password goes over standard input, twice, as it asks for it.

    Raises:
        StepError: api-user, mark-failed.
    """
    if action.do == "mark-role":
        marks.put(machine, "role", OWN_ROLE, desired.stack_tag)
        return
    calls = {
        "make-role": ["role", "add", OWN_ROLE, "--privs", ",".join(PRIVILEGES)],
        "set-role": ["role", "modify", OWN_ROLE, "--privs", ",".join(PRIVILEGES)],
        "add": ["user", "add", desired.user, "--comment", COMMENT],
        "enable": ["user", "modify", desired.user, "--enable", "1", "--expire", "0"],
        "set-password": ["passwd", desired.user],
        "grant": ["acl", "modify", "/", "--users", desired.user, "--roles", desired.role, "--propagate", "1"],
        "revoke": ["acl", "delete", "/", "--users", desired.user, "--roles", action.what],
    }
    answers = f"{desired.password}\n" * 2 if action.do == "set-password" else ""
    result = machine.run(["pveum", *calls[action.do]], stdin=answers, timeout_s=PVEUM_S)
    if result.code != 0:
        raise StepError("api-user", f"`pveum` refused to {action}", observed=tail(result.text), expected="exit 0")


def facts(observed: Observed, desired: ApiUser) -> dict[str, Any]:
    """Who, with which roles."""
    return {"user": desired.user, "roles": observed.roles}


def unchanged(_observed: Observed, desired: ApiUser) -> str:
    """Say what was found."""
    return f"{desired.user} logs in and has {desired.role}, and no other role, on /"


STEP = Step(ApiUser, observe, decide, act, facts, unchanged, secrets=lambda desired: [desired.password])
