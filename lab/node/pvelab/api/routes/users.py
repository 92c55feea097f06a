"""/access/users: users and their API tokens."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from pvelab.access import passwords, tickets, userdb
from pvelab.access.userdb import Group, Token, User, UserDb
from pvelab.errors import die, parameter_error

if TYPE_CHECKING:
    from pvelab.api.context import Context, Route

_TEXTS = ("firstname", "lastname", "email", "comment", "keys")


def _known(db: UserDb, userid: str) -> User:
    user = db.users.get(userid)
    if user is None:
        raise die(f"no such user ('{userid}')")
    return user


def _known_token(db: UserDb, userid: str, name: str) -> Token:
    token = _known(db, userid).tokens.get(name)
    if token is None:
        raise die(f"no such token '{name}' for user '{userid}'")
    return token


def _groups_of(db: UserDb, userid: str) -> list[str]:
    return sorted(name for name, group in db.groups.items() if userid in group.users)


def _split(text: object) -> list[str]:
    return [item for item in str(text or "").replace(";", ",").split(",") if item]


def _view(user: User) -> dict[str, Any]:
    texts = {name: getattr(user, name) for name in _TEXTS if getattr(user, name)}
    return {"enable": int(user.enable), "expire": user.expire, **texts}


def _token_view(token: Token) -> dict[str, Any]:
    comment = {"comment": token.comment} if token.comment else {}
    return {"privsep": int(token.privsep), "expire": token.expire, **comment}


def listing(ctx: Context) -> list[dict[str, Any]]:
    """All users that the caller may see: itself, and all with User.Modify or Sys.Audit on the groups."""
    db = userdb.load()
    sees_all = any(ctx.allowed("/access/groups", privilege) for privilege in ("User.Modify", "Sys.Audit"))
    found = []
    for name, user in sorted(db.users.items()):
        if not sees_all and name != ctx.user.partition("!")[0]:
            continue
        entry = {"userid": name, "realm-type": name.rpartition("@")[2], **_view(user)}
        if ctx.params.get("full"):
            entry["groups"] = ",".join(_groups_of(db, name))
            entry["tokens"] = [{"tokenid": token, **_token_view(data)} for token, data in sorted(user.tokens.items())]
        if ctx.params.get("enabled") in (None, entry["enable"]):
            found.append(entry)
    return found


def read(ctx: Context) -> dict[str, Any]:
    """One user with its groups and tokens."""
    db = userdb.load()
    user = _known(db, ctx.params["userid"])
    tokens = {name: _token_view(token) for name, token in user.tokens.items()}
    return {**_view(user), "groups": _groups_of(db, ctx.params["userid"]), "tokens": tokens}


def _apply(user: User, params: dict[str, Any]) -> None:
    for name in _TEXTS:
        if name in params:
            setattr(user, name, str(params[name]))
    if "enable" in params:
        user.enable = bool(params["enable"])
    if "expire" in params:
        user.expire = int(params["expire"])


def _join(db: UserDb, userid: str, groups: list[str], *, append: bool) -> None:
    if not append:
        for group in db.groups.values():
            group.users.discard(userid)
    for name in groups:
        if name not in db.groups:
            raise die(f"no such group '{name}'")
        db.groups.setdefault(name, Group()).users.add(userid)


def create(ctx: Context) -> None:
    """A new user, with a password where the realm keeps one."""
    userid = ctx.params["userid"]
    with userdb.change() as db:
        if userid in db.users:
            raise die(f"create user failed: user '{userid}' already exists")
        if userid.rpartition("@")[2] not in ("pam", "pve"):
            raise die(f"create user failed: auth domain '{userid.rpartition('@')[2]}' does not exist")
        user = User()
        _apply(user, ctx.params)
        db.users[userid] = user
        _join(db, userid, _split(ctx.params.get("groups")), append=False)
    if ctx.params.get("password"):
        passwords.store(userid, ctx.params["password"])


def update(ctx: Context) -> None:
    """Change a user."""
    userid = ctx.params["userid"]
    with userdb.change() as db:
        _apply(_known(db, userid), ctx.params)
        if "groups" in ctx.params:
            _join(db, userid, _split(ctx.params["groups"]), append=bool(ctx.params.get("append")))


def delete(ctx: Context) -> None:
    """Remove a user with its tokens, memberships and permissions."""
    userid = ctx.params["userid"]
    if userid == ctx.user:
        raise parameter_error({"userid": "unable to delete current user"})
    with userdb.change() as db:
        tokens = list(_known(db, userid).tokens)
        del db.users[userid]
        db.drop_principal("user", userid)
        for token in tokens:
            db.drop_principal("token", f"{userid}!{token}")
        for group in db.groups.values():
            group.users.discard(userid)
    passwords.forget(userid)
    for token in tokens:
        tickets.store_token_secret(f"{userid}!{token}", None)


def token_listing(ctx: Context) -> list[dict[str, Any]]:
    """The API tokens of a user."""
    tokens = _known(userdb.load(), ctx.params["userid"]).tokens
    return [{"tokenid": name, **_token_view(token)} for name, token in sorted(tokens.items())]


def token_read(ctx: Context) -> dict[str, Any]:
    """One API token, without its secret."""
    return _token_view(_known_token(userdb.load(), ctx.params["userid"], ctx.params["tokenid"]))


def _apply_token(token: Token, params: dict[str, Any]) -> None:
    if "expire" in params:
        token.expire = int(params["expire"])
    if "privsep" in params:
        token.privsep = bool(params["privsep"])
    if "comment" in params:
        token.comment = str(params["comment"])


def token_create(ctx: Context) -> dict[str, Any]:
    """A new API token; its secret is shown this once."""
    userid, name = ctx.params["userid"], ctx.params["tokenid"]
    with userdb.change() as db:
        user = _known(db, userid)
        if name in user.tokens:
            raise parameter_error({"tokenid": "Token already exists."})
        token = Token()
        _apply_token(token, ctx.params)
        user.tokens[name] = token
    secret = str(uuid.uuid4())
    tickets.store_token_secret(f"{userid}!{name}", secret)
    return {"full-tokenid": f"{userid}!{name}", "value": secret, "info": _token_view(token)}


def token_update(ctx: Context) -> dict[str, Any]:
    """Change an API token."""
    with userdb.change() as db:
        token = _known_token(db, ctx.params["userid"], ctx.params["tokenid"])
        _apply_token(token, ctx.params)
    return _token_view(token)


def token_delete(ctx: Context) -> None:
    """Remove an API token."""
    userid, name = ctx.params["userid"], ctx.params["tokenid"]
    with userdb.change() as db:
        _known_token(db, userid, name)
        del db.users[userid].tokens[name]
        db.drop_principal("token", f"{userid}!{name}")
    tickets.store_token_secret(f"{userid}!{name}", None)


_ONE = "/access/users/{userid}"
_TOKEN = f"{_ONE}/token/{{tokenid}}"
ROUTES: list[Route] = [
    ("GET", "/access/users", listing),
    ("POST", "/access/users", create),
    ("GET", _ONE, read),
    ("PUT", _ONE, update),
    ("DELETE", _ONE, delete),
    ("GET", f"{_ONE}/token", token_listing),
    ("GET", _TOKEN, token_read),
    ("POST", _TOKEN, token_create),
    ("PUT", _TOKEN, token_update),
    ("DELETE", _TOKEN, token_delete),
]
