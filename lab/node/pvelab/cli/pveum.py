"""`pveum`: users, tokens, roles and permissions."""

from __future__ import annotations

import getpass
import sys

from pvelab.cli import table
from pvelab.cli.tool import Command, main

_USER = "/access/users/{userid}"
_TOKEN = f"{_USER}/token/{{tokenid}}"
_LONG = {
    "user list": Command("GET", "/access/users", show=table.show),
    "user add": Command("POST", "/access/users", ("userid",)),
    "user modify": Command("PUT", _USER, ("userid",)),
    "user delete": Command("DELETE", _USER, ("userid",)),
    "user permissions": Command("GET", "/access/permissions", ("userid",), show=table.show),
    "user token list": Command("GET", f"{_USER}/token", ("userid",), show=table.show),
    "user token add": Command("POST", _TOKEN, ("userid", "tokenid"), show=table.show),
    "user token modify": Command("PUT", _TOKEN, ("userid", "tokenid"), show=table.show),
    "user token remove": Command("DELETE", _TOKEN, ("userid", "tokenid")),
    "group list": Command("GET", "/access/groups", show=table.show),
    "group add": Command("POST", "/access/groups", ("groupid",)),
    "role list": Command("GET", "/access/roles", show=table.show),
    "role add": Command("POST", "/access/roles", ("roleid",)),
    "role modify": Command("PUT", "/access/roles/{roleid}", ("roleid",)),
    "role delete": Command("DELETE", "/access/roles/{roleid}", ("roleid",)),
    "acl list": Command("GET", "/access/acl", show=table.show),
    "acl modify": Command("PUT", "/access/acl", ("path",), {"delete": "0"}),
    "acl delete": Command("PUT", "/access/acl", ("path",), {"delete": "1"}),
    "passwd": Command("PUT", "/access/password", ("userid",)),
}
_SHORT = {
    "useradd": "user add",
    "usermod": "user modify",
    "userdel": "user delete",
    "roleadd": "role add",
    "rolemod": "role modify",
    "roledel": "role delete",
    "groupadd": "group add",
    "aclmod": "acl modify",
    "acldel": "acl delete",
}
COMMANDS = {**_LONG, **{short: _LONG[name] for short, name in _SHORT.items()}}


def _read_password() -> str:
    """A password typed twice, or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first, second = getpass.getpass("Enter new password: "), getpass.getpass("Retype new password: ")
    if first != second:
        sys.stderr.write("Passwords do not match.\n")
        raise SystemExit(255)
    return first


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["passwd"] and "--password" not in given:
        given += ["--password", _read_password()]
    sys.exit(main("pveum", COMMANDS, given))
