"""The answer file of the unattended installation: the installer's own rules, checked before anything boots.

Source: pve-installer's `proxmox-auto-installer`, where unknown keys are refused. Keys within tables are in kebab case
since Proxmox VE 8.4 and were in snake case before, which all of 8 accepts; the tables' own names never changed.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface  # noqa: TC003 - pydantic reads the types at run time
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from config.model import Keyboard  # noqa: TC001 - pydantic reads the types at run time

if TYPE_CHECKING:
    from config.model import Installation, ManagementNetwork

KEBAB_CASE_SINCE = 9


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Global(_Table):
    """`[global]`."""

    keyboard: Keyboard
    country: Annotated[str, Field(pattern=r"^[a-z]{2}$")]
    fqdn: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")]
    mailto: Annotated[str, Field(pattern=r"^[^\s@]+@[^\s@]+$")]
    timezone: str
    # Never the password itself: the CD would carry it. Auto-installers since 8.2.7 know this key.
    root_password_hashed: Annotated[str, Field(pattern=r"^\$6\$[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}$")]
    root_ssh_keys: Annotated[list[str], Field(min_length=1)]
    reboot_mode: Literal["reboot", "power-off"] = "reboot"


class Network(_Table):
    """`[network]`: the one card that becomes vmbr0. A static address needs all of these together."""

    source: Literal["from-answer"] = "from-answer"
    cidr: IPv4Interface
    gateway: IPv4Address
    dns: IPv4Address
    filter: dict[str, str]

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.gateway not in self.cidr.network:
            raise ValueError(f"gateway {self.gateway} is not in {self.cidr.network}")
        if not self.filter:
            raise ValueError("the network card needs a filter")
        return self


class DiskSetup(_Table):
    """`[disk-setup]`."""

    filesystem: Literal["ext4", "xfs"]
    disk_list: Annotated[list[str], Field(min_length=1)]


class FirstBoot(_Table):
    """`[first-boot]`: the script that is in the installer image."""

    source: Literal["from-iso"] = "from-iso"
    ordering: Literal["before-network", "network-online", "fully-up"] = "before-network"


class AnswerFile(_Table):
    """The whole file."""

    global_: Global
    network: Network
    disk_setup: DiskSetup
    first_boot: FirstBoot = FirstBoot()

    def document(self, pve_major: int) -> dict[str, Any]:
        """The file's tables as that major version wants them spelled."""
        tables = self.model_dump(mode="json")
        if pve_major >= KEBAB_CASE_SINCE:
            tables = {name: {_kebab(key): value for key, value in table.items()} for name, table in tables.items()}
        return {_kebab(name.rstrip("_")): table for name, table in tables.items()}


def _kebab(key: str) -> str:
    return key.replace("_", "-")


def build(  # noqa: PLR0913 - one argument for each thing that the installer asks
    *,
    name: str,
    cidr: IPv4Interface,
    mac: str,
    network: ManagementNetwork,
    installation: Installation,
    root_password_hashed: str,
    ssh_public_key: str,
) -> AnswerFile:
    """The answers for one node, its first card found by MAC, its disk the first SCSI disk."""
    return AnswerFile(
        global_=Global(
            keyboard=installation.keyboard,
            country=installation.country,
            fqdn=f"{name}.{network.domain}",
            mailto=installation.mailto,
            timezone=installation.timezone,
            root_password_hashed=root_password_hashed,
            root_ssh_keys=[ssh_public_key],
        ),
        network=Network(
            cidr=cidr,
            gateway=network.gateway,
            dns=network.dns,
            filter={"ID_NET_NAME_MAC": f"*{mac.replace(':', '').lower()}"},
        ),
        disk_setup=DiskSetup(filesystem=installation.filesystem, disk_list=["sda"]),
    )
