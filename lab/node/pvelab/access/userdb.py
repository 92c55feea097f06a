"""The users, groups, roles, tokens and access rules of a cluster: /etc/pve/user.cfg."""

from __future__ import annotations

import re
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pvelab import cfs
from pvelab.access.roles import PREDEFINED, PRIVILEGES
from pvelab.paths import pve

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "user.cfg"


@dataclass
class Token:
    """An API token; its secret is in priv/token.cfg."""

    expire: int = 0
    privsep: bool = True
    comment: str = ""


@dataclass
class User:
    """A user of any realm; expire is in seconds since 1970, 0 for never."""

    enable: bool = True
    expire: int = 0
    firstname: str = ""
    lastname: str = ""
    email: str = ""
    comment: str = ""
    keys: str = ""
    tokens: dict[str, Token] = field(default_factory=dict)


@dataclass
class Group:
    """A group of users."""

    users: set[str] = field(default_factory=set)
    comment: str = ""


@dataclass(frozen=True)
class AccessRule:
    """One access rule: `kind` is "user", "group" or "token"."""

    path: str
    kind: str
    who: str
    role: str


@dataclass
class UserDb:
    """The whole of user.cfg; `acl` says for each rule whether it propagates."""

    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    roles: dict[str, frozenset[str]] = field(default_factory=dict)
    acl: dict[AccessRule, bool] = field(default_factory=dict)

    def drop_principal(self, kind: str, who: str) -> None:
        """Remove the access rules of a user or token that goes away."""
        self.acl = {rule: on for rule, on in self.acl.items() if (rule.kind, rule.who) != (kind, who)}


def _decode(text: str) -> str:
    return urllib.parse.unquote(text)


def _encode(text: str) -> str:
    return urllib.parse.quote(text, safe=" !\"#$&'()*+,-./;<=>?@[]^_`{|}~")


def _split(text: str) -> list[str]:
    return [item for item in re.split(r"[\s,;]+", text) if item]


def normalize_path(path: str) -> str | None:
    """An ACL path with single slashes and none at its end; None when it cannot be one."""
    clean = re.sub(r"/+", "/", path).rstrip("/") or "/"
    clean = clean if clean.startswith("/") else f"/{clean}"
    return clean if re.fullmatch(r"[A-Za-z0-9._/-]+", clean) else None


def _read_user(db: UserDb, fields: list[str]) -> None:
    name, enable, expire, first, last, email, comment, keys, *_ = [*fields, *[""] * 8]
    db.users[name] = User(enable == "1", int(expire or 0), _decode(first), _decode(last), email, _decode(comment), keys)


def _read_token(db: UserDb, fields: list[str]) -> None:
    name, expire, privsep, comment, *_ = [*fields, *[""] * 4]
    user, _, token = name.partition("!")
    if user in db.users:
        db.users[user].tokens[token] = Token(int(expire or 0), privsep == "1", _decode(comment))


def _read_group(db: UserDb, fields: list[str]) -> None:
    name, users, comment, *_ = [*fields, *[""] * 3]
    db.groups[name] = Group(set(_split(users)), _decode(comment))


def _read_role(db: UserDb, fields: list[str]) -> None:
    name, privileges, *_ = [*fields, ""]
    db.roles[name] = frozenset(_split(privileges)) & PRIVILEGES


def _read_acl(db: UserDb, fields: list[str]) -> None:
    propagate, path, principals, roles, *_ = [*fields, *[""] * 4]
    clean = normalize_path(path)
    if clean is None:
        return
    for role in _split(roles):
        for who in _split(principals):
            kind = "group" if who.startswith("@") else "token" if "!" in who else "user"
            db.acl[AccessRule(clean, kind, who.lstrip("@"), role)] = propagate == "1"


_READERS = {
    "user": _read_user,
    "token": _read_token,
    "group": _read_group,
    "role": _read_role,
    "acl": _read_acl,
}


def parse(text: str) -> UserDb:
    """Read user.cfg; lines that make no sense are skipped, and root@pam and the predefined roles are always there."""
    db = UserDb()
    for line in text.splitlines():
        kind, *fields = [part.strip() for part in line.strip().split(":")]
        if kind in _READERS and fields:
            _READERS[kind](db, fields)
    db.users.setdefault("root@pam", User())
    db.roles.update(PREDEFINED)
    return db


def _user_lines(db: UserDb) -> Iterator[str]:
    for name, user in sorted(db.users.items()):
        names = f"{_encode(user.firstname)}:{_encode(user.lastname)}:{user.email}"
        yield f"user:{name}:{int(user.enable)}:{user.expire}:{names}:{_encode(user.comment)}:{user.keys}:"
        for token, data in sorted(user.tokens.items()):
            yield f"token:{name}!{token}:{data.expire}:{int(data.privsep)}:{_encode(data.comment)}:"


def _acl_lines(db: UserDb) -> Iterator[str]:
    merged: dict[tuple[str, bool, str], set[str]] = {}
    for rule, propagate in db.acl.items():
        who = f"@{rule.who}" if rule.kind == "group" else rule.who
        merged.setdefault((rule.path, propagate, who), set()).add(rule.role)
    for (path, propagate, who), roles in sorted(merged.items()):
        yield f"acl:{int(propagate)}:{path}:{who}:{','.join(sorted(roles))}:"


def render(db: UserDb) -> str:
    """The text of user.cfg."""
    groups = [f"group:{n}:{','.join(sorted(g.users))}:{_encode(g.comment)}:" for n, g in sorted(db.groups.items())]
    roles = [f"role:{name}:{','.join(sorted(db.roles[name]))}:" for name in sorted(db.roles) if name not in PREDEFINED]
    pools: list[str] = []  # nothing here makes any
    parts = [list(_user_lines(db)), groups, pools, roles, list(_acl_lines(db))]
    return "\n".join("".join(f"{line}\n" for line in part) for part in parts)


_cache: dict[str, tuple[tuple[int, int, int], UserDb]] = {}


def load() -> UserDb:
    """The cluster's users, read again only when the file changed."""
    place = str(pve(FILE))
    try:
        info = pve(FILE).stat()
    except FileNotFoundError:
        return parse("")
    stamp = (info.st_mtime_ns, info.st_size, info.st_ino)
    if place not in _cache or _cache[place][0] != stamp:
        _cache[place] = (stamp, parse(cfs.read(FILE)))
    return _cache[place][1]


@contextmanager
def change() -> Iterator[UserDb]:
    """Change the users under the cluster's lock; written back when the block ends without an error."""
    with cfs.lock("file-user_cfg"):
        db = parse(cfs.read(FILE))
        yield db
        cfs.write(FILE, render(db))
