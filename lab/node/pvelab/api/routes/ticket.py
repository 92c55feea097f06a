"""/access/ticket and /access/password: logging in, and one's password."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvelab.access import passwords, permissions, tickets, userdb
from pvelab.errors import PveError, forbidden, parameter_error

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route


def _full_name(params: dict[str, Any]) -> str:
    name = str(params["username"])
    return name if "@" in name else f"{name}@{params.get('realm', 'pam')}"


def login(ctx: Context) -> dict[str, Any]:
    """A ticket for a user and password; every failure looks the same to who tries."""
    user, refusal = _full_name(ctx.params), PveError(401, "authentication failure")
    try:
        tickets.require_enabled(user)
    except PveError as error:
        raise refusal from error
    if not passwords.check(user, str(ctx.params["password"])):
        raise refusal
    ticket, csrf = tickets.issue(user)
    return {"username": user, "ticket": ticket, "CSRFPreventionToken": csrf}


def set_password(ctx: Context) -> None:
    """Change one's own password, knowing it, or as root@pam anyone's."""
    userid = str(ctx.params["userid"])
    if "!" in ctx.user:
        raise forbidden("API token not allowed")
    if userid not in userdb.load().users:
        raise PveError(500, f"no such user ('{userid}')")
    if ctx.user != permissions.ROOT:
        _confirm(ctx, userid)
    passwords.store(userid, str(ctx.params["password"]))


def _confirm(ctx: Context, userid: str) -> None:
    given = ctx.params.get("confirmation-password")
    if given is None:
        raise parameter_error({"confirmation-password": "password is required to modify user"})
    if userid == permissions.ROOT:
        raise forbidden("")
    if not passwords.check(ctx.user, str(given)):
        raise PveError(401, "authentication failure")


ROUTES: list[Route] = [("POST", "/access/ticket", login), ("PUT", "/access/password", set_password)]
