"""api-user: the user for day-to-day work exists, can log in with its password, and has its role on `/`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.desired import ApiUser
from onnode.errors import StepError
from onnode.machine import tail
from onnode.step import Action, Step

if TYPE_CHECKING:
    from onnode.machine import Machine

PVEUM_S = 60.0


@dataclass(frozen=True)
class Observed:
    """The user, its roles on `/`, and whether its password is the described one."""

    exists: bool = False
    enabled: bool = False
    roles: list[str] = field(default_factory=list)
    logs_in: bool = False


def parse_user(text: str, user: str) -> tuple[bool, bool]:
    """Read `pveum user list --output-format json`: whether the user exists, and is enabled."""
    found: list[dict[str, Any]] = [entry for entry in json.loads(text or "[]") if entry.get("userid") == user]
    return bool(found), any(int(entry.get("enable", 1)) for entry in found)


def parse_roles(text: str, user: str) -> list[str]:
    """Read `pveum acl list --output-format json`: the user's roles on `/` that hold below it, too."""
    return sorted(
        entry["roleid"]
        for entry in json.loads(text or "[]")
        if entry.get("path") == "/" and entry.get("ugid") == user and int(entry.get("propagate", 1))
    )


def observe(machine: Machine, desired: ApiUser) -> Observed:
    """Ask pveum, and try to log in."""
    exists, enabled = parse_user(_list(machine, "user"), desired.user)
    roles = parse_roles(_list(machine, "acl"), desired.user)
    return Observed(exists, enabled, roles, exists and enabled and machine.can_log_in(desired.user, desired.password))


def _list(machine: Machine, what: str) -> str:
    return machine.check(["pveum", what, "list", "--output-format", "json"], timeout_s=PVEUM_S)


def decide(observed: Observed, desired: ApiUser) -> list[Action]:
    """Make the user, then its password, then its role."""
    if not observed.exists:
        return [Action("add", desired.user), Action("set-password", desired.user), Action("grant", desired.role)]
    actions = [] if observed.enabled else [Action("enable", desired.user)]
    actions += [] if observed.logs_in or not observed.enabled else [Action("set-password", desired.user)]
    actions += [] if desired.role in observed.roles else [Action("grant", desired.role)]
    return actions


def act(machine: Machine, desired: ApiUser, action: Action) -> None:
    """Call pveum; the password goes over standard input, twice, as it asks for it.

    Raises:
        StepError: api-user.
    """
    calls = {
        "add": ["user", "add", desired.user, "--comment", "Made by nested-pve-ha"],
        "enable": ["user", "modify", desired.user, "--enable", "1"],
        "set-password": ["passwd", desired.user],
        "grant": ["acl", "modify", "/", "--users", desired.user, "--roles", desired.role, "--propagate", "1"],
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
    return f"{desired.user} logs in and has {desired.role} on /"


STEP = Step(ApiUser, observe, decide, act, facts, unchanged, secrets=lambda desired: [desired.password])
