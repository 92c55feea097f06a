"""What the engine's processes take from the environment of whoever calls: what is meant for them, and nothing else.

The engine, its language host and the providers read variables that nobody thinks of: a token in PROXMOX_VE_API_TOKEN
beats the user and password of the stack file, and a proxy gets the engine's own loopback calls and those to machines of a
private network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCALE = {"LANG": "C.UTF-8"}  # of the caller's, none: what a machine's programs say is read

NAMES = frozenset(
    {
        # Who and where.
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "CI"),
        # What a person sees in `make shell`.
        *("TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "EDITOR"),
        # Whom to trust beside the machines: a company's authority may have signed for the backend.
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN"),
        *("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"),
    }
)
# Of this program, and of where a state and its key can be kept.
PREFIXES = ("NESTED_PVE_", "XDG_", "AWS_", "AZURE_", "GOOGLE_", "PG", "VAULT_")

# What the engine or a provider would have obeyed.
OBEYED = ("PROXMOX_VE_", "PULUMI_", "PYTHON", "LC_", "TF_")
PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "GRPC_PROXY"})
OTHERS_OBEYED = frozenset({"SSH_AUTH_SOCK", "LANGUAGE"})


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """What is passed on."""
    return {name: value for name, value in environment.items() if _is_meant(name)} | LOCALE


def taken_away(environment: Mapping[str, str]) -> list[str]:
    """The names of what is not passed on though it would have been obeyed."""
    return sorted(name for name in environment if not _is_meant(name) and _is_obeyed(name))


def is_proxy(name: str) -> bool:
    """Whether a variable says which way requests go; programs take both cases."""
    return name.upper() in PROXIES


def _is_meant(name: str) -> bool:
    return name in NAMES or name.startswith(PREFIXES)


def _is_obeyed(name: str) -> bool:
    return name.startswith(OBEYED) or name in OTHERS_OBEYED or is_proxy(name)
