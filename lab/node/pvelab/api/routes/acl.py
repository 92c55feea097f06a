"""/access/acl, /access/roles, /access/groups, /access/permissions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pvelab.access import permissions, userdb
from pvelab.access.roles import PREDEFINED, PRIVILEGES
from pvelab.access.userdb import AccessRule, Group, UserDb
from pvelab.errors import die, parameter_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pvelab.api.context import Context, Route

_ACL_PATH = re.compile(
    r"/|/access(/(groups|realm)(/[\w.-]+)?)?|/nodes(/[\w.-]+)?|/pool(/[\w.-]+){0,3}|/sdn(/(zones|fabrics)(/[\w.-]+){0,3})?"
    r"|/storage(/[\w.-]+)?|/vms(/[1-9]\d{2,})?|/mapping(/[\w.-]+){0,2}"
)


def _split(text: object) -> list[str]:
    return [item for item in re.split(r"[\s,;]+", str(text or "")) if item]


def acl_listing(ctx: Context) -> list[dict[str, Any]]:
    """The access rules; without Sys.Audit on /access only those that the caller may change."""
    audits = ctx.allowed("/access", "Sys.Audit")
    rules = sorted(userdb.load().acl.items(), key=lambda item: (item[0].path, item[0].kind, item[0].who, item[0].role))
    return [
        {"path": rule.path, "type": rule.kind, "ugid": rule.who, "roleid": rule.role, "propagate": int(propagate)}
        for rule, propagate in rules
        if audits or ctx.allowed(rule.path, "Permissions.Modify")
    ]


def _principals(db: UserDb, params: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for group in _split(params.get("groups")):
        if group not in db.groups:
            raise die(f"group '{group}' does not exist")
        yield "group", group
    for user in _split(params.get("users")):
        if user not in db.users:
            raise die(f"user '{user}' does not exist")
        yield "user", user
    for token in _split(params.get("tokens")):
        owner, _, name = token.partition("!")
        if name not in (db.users[owner].tokens if owner in db.users else {}):
            raise die(f"no such token '{name}' for user '{owner}'")
        yield "token", token


def acl_update(ctx: Context) -> None:
    """Add or remove access rules at one path."""
    if not any(ctx.params.get(name) for name in ("users", "groups", "tokens")):
        raise parameter_error(
            dict.fromkeys(("users", "groups", "tokens"), "either 'users', 'groups' or 'tokens' is required.")
        )
    path = userdb.normalize_path(str(ctx.params["path"]))
    if path is None or not _ACL_PATH.fullmatch(path):
        raise parameter_error({"path": f"invalid ACL path '{ctx.params['path']}'"})
    with userdb.change() as db:
        for role in _split(ctx.params["roles"]):
            if role not in db.roles:
                raise die(f"role '{role}' does not exist")
            for kind, who in _principals(db, ctx.params):
                rule = AccessRule(path, kind, who, role)
                if ctx.params.get("delete"):
                    db.acl.pop(rule, None)
                else:
                    db.acl[rule] = bool(ctx.params.get("propagate", 1))


def role_listing(_ctx: Context) -> list[dict[str, Any]]:
    """All roles with their privileges."""
    return [
        {"roleid": name, "privs": ",".join(sorted(privileges)), "special": int(name in PREDEFINED)}
        for name, privileges in sorted(userdb.load().roles.items())
    ]


def _privileges(text: object) -> frozenset[str]:
    wanted = frozenset(_split(text))
    if unknown := sorted(wanted - PRIVILEGES):
        raise die(f"invalid privilege '{unknown[0]}'")
    return wanted


def role_create(ctx: Context) -> None:
    """A new role."""
    role = ctx.params["roleid"]
    if role.lower().startswith("pve"):
        raise parameter_error({"roleid": "cannot use role ID starting with the (case-insensitive) 'PVE' namespace"})
    with userdb.change() as db:
        if role in db.roles:
            raise die(f"role '{role}' already exists")
        db.roles[role] = _privileges(ctx.params.get("privs"))


def _own_role(db: UserDb, role: str, verb: str) -> None:
    if role in PREDEFINED:
        raise die(f"auto-generated role '{role}' cannot be {verb}")
    if role not in db.roles:
        raise die(f"role '{role}' does not exist")


def role_update(ctx: Context) -> None:
    """Replace the privileges of a role, or add some."""
    role = ctx.params["roleid"]
    with userdb.change() as db:
        _own_role(db, role, "modified")
        before = db.roles[role] if ctx.params.get("append") else frozenset()
        db.roles[role] = before | _privileges(ctx.params.get("privs"))


def role_delete(ctx: Context) -> None:
    """Remove a role; rules that name it lose their effect."""
    role = ctx.params["roleid"]
    with userdb.change() as db:
        _own_role(db, role, "deleted")
        del db.roles[role]
        db.acl = {rule: propagate for rule, propagate in db.acl.items() if rule.role != role}


def group_listing(_ctx: Context) -> list[dict[str, Any]]:
    """All groups with their members."""
    return [
        {"groupid": name, "users": ",".join(sorted(group.users)), "comment": group.comment}
        for name, group in sorted(userdb.load().groups.items())
    ]


def group_create(ctx: Context) -> None:
    """A new, empty group."""
    with userdb.change() as db:
        if ctx.params["groupid"] in db.groups:
            raise die(f"group '{ctx.params['groupid']}' already exists")
        db.groups[ctx.params["groupid"]] = Group(comment=str(ctx.params.get("comment", "")))


def effective(ctx: Context) -> dict[str, dict[str, int]]:
    """The privileges of the caller, or with Sys.Audit on /access of another, at each path that has rules."""
    user = str(ctx.params.get("userid") or ctx.user)
    if user != ctx.user:
        ctx.require("/access", "Sys.Audit")
    rules = {rule.path for rule in userdb.load().acl}
    default = {"/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"}
    paths = {str(ctx.params["path"])} if ctx.params.get("path") else default | rules
    held = {path: permissions.privileges(user, path) for path in sorted(paths)}
    return {path: dict.fromkeys(sorted(privileges), 1) for path, privileges in held.items() if privileges}


ROUTES: list[Route] = [
    ("GET", "/access/acl", acl_listing),
    ("PUT", "/access/acl", acl_update),
    ("GET", "/access/roles", role_listing),
    ("POST", "/access/roles", role_create),
    ("PUT", "/access/roles/{roleid}", role_update),
    ("DELETE", "/access/roles/{roleid}", role_delete),
    ("GET", "/access/groups", group_listing),
    ("POST", "/access/groups", group_create),
    ("GET", "/access/permissions", effective),
]
