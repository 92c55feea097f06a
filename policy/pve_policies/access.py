"""Access: which machines the program talks to, as which user, and where the secrets are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_policy import EnforcementLevel

from .examples import API, API_USER, design, vm
from .resources import (
    CONTAINER,
    DESIGN,
    HA_GROUPS,
    HA_RESOURCES,
    HA_RULES,
    NESTED_PVE_NODE,
    PROVIDER,
    REMOTE,
    REMOTE_COMMAND,
    VMS,
)
from .rule import Example, Rule, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .rule import Subject

ROOT = "root@pam"
MADE_DAILY = (*VMS, CONTAINER, *HA_RESOURCES, *HA_RULES, *HA_GROUPS)


def _insecure(provider: Subject) -> Iterator[str]:
    """Our components never ask for that either: they make known over SSH what a provider is to trust."""
    if _true(provider.props.get("insecure")):
        yield f"provider {provider.name} takes any certificate"


def _true(value: object) -> bool:
    """Providers' settings arrive as JSON texts."""
    return value in (True, "true", "1")


TLS_VERIFIED = Rule(
    id="tls-verified",
    level=EnforcementLevel.MANDATORY,
    demands="The certificate of every API is verified.",
    protects="Whoever answers at the address gets the API password. The stack file of this program has no value that turns the "
    "check off: the certificate is verified, or compared over SSH.",
    source="F25",
    fix="Take insecure out of the provider and give the API a certificate that the system trusts.",
    judges={PROVIDER: _insecure},
    bad=Example(PROVIDER, {"insecure": True}, API),
    good=Example(PROVIDER, {"insecure": False}, API),
)


def _unpinned(remote: Subject) -> Iterator[str]:
    connection = remote.props["connection"]
    if not connection["host"]:
        raise unknown("connection")  # what is not known yet reaches the pack as an empty connection
    for hop in (connection, connection.get("proxy")):
        if hop and not hop.get("hostKey"):
            yield f"{hop['host']} is not asked for its SSH host key"


HOST_KEYS = Rule(
    id="ssh-host-keys-pinned",
    level=EnforcementLevel.MANDATORY,
    demands="Every SSH connection pins the host key, and that of its proxy.",
    protects="Whoever answers at the address gets the script, with the secrets on its standard input.",
    source="Pulumi Command: connection.hostKey; without it any key is taken",
    fix="Set connection.hostKey, and connection.proxy.hostKey, to the line that `cat /etc/ssh/ssh_host_ed25519_key.pub` prints on the machine.",
    judges=dict.fromkeys(REMOTE, _unpinned),
    bad=Example(REMOTE_COMMAND, {"connection": {"host": "pve1.example"}}, {"create": "pvecm status"}),
    good=Example(
        REMOTE_COMMAND,
        {"connection": {"host": "pve1.example", "hostKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA"}},
        {"create": "pvecm status"},
    ),
)


def _made_as_root(resource: Subject) -> Iterator[str]:
    """Nodes are VMs too, made on the outer host as whoever its description names."""
    if resource.parent == NESTED_PVE_NODE:
        return
    user = resource.provider.get("username") or ""
    token = resource.provider.get("apiToken") or ""
    ticket = resource.provider.get("authTicket") or ""
    if user == ROOT or token.startswith(f"{ROOT}!") or ticket.startswith(f"PVE:{ROOT}:"):
        yield f"it is made as {ROOT}"


NOT_ROOT = Rule(
    id="api-user-not-root",
    level=EnforcementLevel.MANDATORY,
    demands="Guests and HA resources are made by an API user of their own, not by root@pam.",
    protects="The password in daily use would open a root shell on every node, and no log could distinguish the program from a person. "
    "This program makes its API user in the realm pve, so its stack file cannot name root@pam.",
    source="Proxmox VE user management",
    fix="Set the provider's username to a user name@pve, with a role that suffices.",
    judges=dict.fromkeys(MADE_DAILY, _made_as_root),
    bad=vm(provider=API_USER | {"username": ROOT}),
    good=vm(provider=API_USER),
)


def _plain(design: Subject) -> Iterator[str]:
    for key in design.props["plainSecrets"]:
        yield f"{key} is in the stack file without encryption"


NO_PLAIN_SECRETS = Rule(
    id="no-plain-secrets",
    level=EnforcementLevel.MANDATORY,
    demands="Passwords, keys and tokens in a stack file are encrypted.",
    protects="Whoever reads the repository has them, even after they are removed from it.",
    source="Pulumi, config secrets",
    fix="Change that secret, and set it with pulumi config set --secret.",
    judges={DESIGN: _plain},
    bad=design(plainSecrets=["proxmoxve:apiToken"]),
    good=design(plainSecrets=[]),
)

RULES = (TLS_VERIFIED, HOST_KEYS, NOT_ROOT, NO_PLAIN_SECRETS)
