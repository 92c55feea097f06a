"""What a user or token may do: roles along an ACL path, and the rules of the API's methods."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pvelab.access import userdb
from pvelab.access.roles import PRIVILEGES
from pvelab.errors import PveError, forbidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pvelab.access.userdb import UserDb

ROOT = "root@pam"


def _steps(path: str) -> Iterator[str]:
    """The path and what it lies below, from the top: "/", "/vms", "/vms/100"."""
    yield "/"
    parts = path.strip("/").split("/") if path.strip("/") else []
    for count in range(1, len(parts) + 1):
        yield "/" + "/".join(parts[:count])


def _roles_at(db: UserDb, who: str, step: str, *, final: bool) -> set[str]:
    """The roles a user or token is given exactly at one step; a user's own rules hide those of its groups."""
    own, group = set[str](), set[str]()
    for rule, propagate in db.acl.items():
        if rule.path != step or not (final or propagate):
            continue
        if rule.kind in ("user", "token") and rule.who == who:
            own.add(rule.role)
        elif rule.kind == "group" and who in db.groups.get(rule.who, userdb.Group()).users:
            group.add(rule.role)
    return own or group


def roles(db: UserDb, who: str, path: str) -> set[str]:
    """The roles in force at a path: those of the nearest step that gives any; NoAccess cancels the others."""
    found = set[str]()
    for step in _steps(path):
        here = _roles_at(db, who, step, final=step == path)
        if here:
            found = {"NoAccess"} if "NoAccess" in here else here
    return found


def _of_principal(db: UserDb, who: str, path: str) -> frozenset[str]:
    granted = frozenset[str]()
    for role in roles(db, who, path):
        granted |= db.roles.get(role, frozenset())
    return granted


def privileges(user: str, path: str) -> frozenset[str]:
    """The privileges of a user or token at a path; a separated token never has more than its user."""
    if user == ROOT:
        return PRIVILEGES
    db = userdb.load()
    owner, _, name = user.partition("!")
    if not name:
        return _of_principal(db, user, path)
    token = db.users[owner].tokens.get(name) if owner in db.users else None
    if token is None:
        return frozenset()
    of_owner = privileges(owner, path)
    return of_owner & _of_principal(db, user, path) if token.privsep else of_owner


def allowed(user: str, path: str, privilege: str) -> bool:
    """Whether a user or token holds a privilege at a path."""
    return privilege in privileges(user, path)


def require(user: str, path: str, wanted: Iterable[str], *, any_of: bool = False) -> None:
    """Refuse with 403 unless all (or any) of the privileges are held at the path."""
    wanted = list(wanted)
    held = privileges(user, path)
    if any_of:
        if not held.intersection(wanted):
            raise forbidden(f"{path}, {'|'.join(wanted)}")
        return
    for privilege in wanted:
        if privilege not in held:
            raise forbidden(f"{path}, {privilege}")


def check_method(user: str | None, rule: Mapping[str, Any] | None, params: Mapping[str, Any]) -> None:
    """Refuse a call that the method's rule in the API schema does not permit to the user.

    Args:
        user: who calls; None without a login, which only methods for the world accept.
        rule: the schema's "permissions"; None means root@pam with a ticket, so not even its tokens.
        params: the call's parameters, which the rule's paths name.
    """
    if user is None:
        if (rule or {}).get("user") != "world":
            raise forbidden("user != null")
        return
    if user == ROOT:
        return
    if rule is None:
        raise forbidden("user != root@pam")
    if rule.get("user") in ("all", "world"):
        return
    if "check" not in rule:
        raise forbidden("")
    _evaluate(user, rule["check"], params)


def _evaluate(user: str, check: list[Any], params: Mapping[str, Any]) -> None:
    form = check[0]
    if form == "and":
        for part in check[1:]:
            _evaluate(user, part, params)
    elif form == "or":
        _any_holds(user, check[1:], params)
    elif form == "perm":
        _check_perm(user, check, params)
    elif form == "userid-param":
        _check_userid(user, check[1], str(params.get("userid", "")))
    elif form == "userid-group":
        require(user, "/access/groups", check[1], any_of=True)
    elif form == "perm-modify":
        _check_modify(user, _fill(check[1], params))
    else:
        raise PveError(500, "unknown permission test")


def _any_holds(user: str, checks: list[list[Any]], params: Mapping[str, Any]) -> None:
    for part in checks:
        try:
            _evaluate(user, part, params)
        except PveError:
            continue
        return
    raise forbidden("")


def _fill(template: str, params: Mapping[str, Any]) -> str:
    filled = re.sub(r"\{([\w-]+)\}", lambda found: str(params.get(found[1], "")), template)
    return userdb.normalize_path(filled) or ""


def _check_perm(user: str, check: list[Any], params: Mapping[str, Any]) -> None:
    options = dict(zip(check[3::2], check[4::2], strict=False))
    if options.get("require_param") and params.get(options["require_param"]) is None:
        raise forbidden("")
    require(user, _fill(check[1], params), check[2], any_of=bool(options.get("any")))


def _check_userid(user: str, test: str, userid: str) -> None:
    if test == "self":
        if user != userid:
            raise forbidden("")
        return
    require(user, f"/access/realm/{userid.rpartition('@')[2]}", [test])


def _check_modify(user: str, path: str) -> None:
    wanted = ["Permissions.Modify"]
    for prefix, privilege in (
        ("/storage/", "Datastore.Allocate"),
        ("/vms/", "VM.Allocate"),
        ("/pool/", "Pool.Allocate"),
    ):
        if path.startswith(prefix):
            wanted.append(privilege)
    require(user, path or "/access", wanted, any_of=True)
