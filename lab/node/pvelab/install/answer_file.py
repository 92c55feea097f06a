"""The answer file of Proxmox' automated installer: which files it accepts, and with what words it refuses the others.

Stands in for the checks of proxmox-auto-install-assistant and of the installer itself (pve-installer 9.2;
keys and rules: reference "Unattended install"). Standard library only: it runs on nodes and in the lab.

It does not say where in the file an unknown key is, as the real tool does, and knows no `proxmox.com` products but PVE.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Table = dict[str, Any]

ZONE_INFO = Path("/usr/share/zoneinfo")
PASSWORD_LENGTH_MIN = 8
FIRST_BOOT_SIZE_MAX = 1024 * 1024
KEYBOARDS = tuple(
    "de de-ch dk en-gb en-us es fi fr fr-be fr-ca fr-ch hu is it jp lt mk nl no pl pt pt-br se si tr".split()  # noqa: SIM905
)
EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9][A-Za-z0-9-]*)*")
EMAIL_PLACEHOLDER = "mail@example.invalid"
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
FQDN_EXPECTED = "either a fully-qualified domain name or extendend configuration for usage with DHCP must be specified"
DEPRECATED = (
    "Warning: Answer file is using deprecated underscore keys. "
    "Since PVE 8.4-1 and PBS 3.4-1, kebab-case style keys are now preferred."
)

# section -> key -> kind of value; a leading "!" marks a key that must be there.
SECTIONS: dict[str, dict[str, str]] = {
    "": {
        "global": "!table",
        "network": "!table",
        "disk-setup": "!table",
        "post-installation-webhook": "table",
        "first-boot": "table",
    },
    "global": {
        "country": "!string",
        "fqdn": "!fqdn",
        "keyboard": "!string",
        "mailto": "!string",
        "timezone": "!string",
        "root-password": "string",
        "root-password-hashed": "string",
        "reboot-on-error": "boolean",
        "reboot-mode": "string",
        "root-ssh-keys": "strings",
        "subscription-key": "string",
    },
    "network": {
        "source": "string",
        "cidr": "string",
        "dns": "string",
        "gateway": "string",
        "filter": "filter",
        "interface-name-pinning": "table",
    },
    "network.interface-name-pinning": {"enabled": "!boolean", "mapping": "filter"},
    "disk-setup": {
        "filesystem": "!string",
        "disk-list": "strings",
        "filter": "filter",
        "filter-match": "string",
        "zfs": "table",
        "lvm": "table",
        "btrfs": "table",
    },
    "disk-setup.lvm": dict.fromkeys(("hdsize", "swapsize", "maxroot", "maxvz", "minfree"), "number"),
    "disk-setup.zfs": {
        "raid": "string",
        "ashift": "number",
        "arc-max": "number",
        "checksum": "string",
        "compress": "string",
        "copies": "number",
        "hdsize": "number",
    },
    "disk-setup.btrfs": {"hdsize": "number", "raid": "string", "compress": "string"},
    "post-installation-webhook": {"url": "!string", "cert-fingerprint": "string"},
    "first-boot": {"source": "!string", "ordering": "string", "url": "string", "cert-fingerprint": "string"},
}
VARIANTS: dict[str, tuple[str, ...]] = {
    "global.keyboard": KEYBOARDS,
    "global.reboot-mode": ("reboot", "power-off"),
    "network.source": ("from-dhcp", "from-answer"),
    "disk-setup.filesystem": ("ext4", "xfs", "zfs", "btrfs"),
    "disk-setup.filter-match": ("any", "all"),
    "disk-setup.zfs.raid": ("raid0", "raid1", "raid10", "raidz-1", "raidz-2", "raidz-3"),
    "disk-setup.btrfs.raid": ("raid0", "raid1", "raid10"),
    "first-boot.source": ("from-url", "from-iso"),
    "first-boot.ordering": ("before-network", "network-online", "fully-up"),
}
MIN_DISKS = {"raid0": 1, "raid1": 2, "raid10": 4, "raidz-1": 3, "raidz-2": 4, "raidz-3": 5}
CASE_INSENSITIVE = ("disk-setup.zfs.raid", "disk-setup.btrfs.raid")
MANUAL_NETWORK = ("cidr", "dns", "gateway", "filter")
ALIASED_SECTIONS = ("global", "disk-setup", "disk-setup.zfs", "post-installation-webhook", "first-boot")
KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "table": (dict,),
    "filter": (dict,),
    "strings": (list,),
    "fqdn": (str, dict),
}


class AnswerError(Exception):
    """The answer file is refused."""


@dataclass(frozen=True)
class Answer:
    """An accepted answer file, with keys in kebab case, and the warnings that it gave."""

    tables: Table
    warnings: list[str] = field(default_factory=list)

    def table(self, name: str) -> Table:
        """One section; an absent one is empty."""
        found: Table = self.tables.get(name, {})
        return found


def parse(text: str, zone_info: Path = ZONE_INFO) -> Answer:
    """Read an answer file.

    Raises:
        AnswerError: with the installer's message.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AnswerError(f"Error parsing answer file: TOML parse error: {error}") from error
    warnings = deprecated_keys(raw)
    try:
        tables = _section("", raw)
        _network(tables["network"])
        _disks(tables["disk-setup"])
        _fqdn(tables["global"]["fqdn"])
    except AnswerError as error:
        raise AnswerError(f"Error parsing answer file: {error}") from error
    _verify(tables, zone_info)
    return Answer(tables, warnings)


def deprecated_keys(raw: Table, section: tuple[str, ...] = ()) -> list[str]:
    """The warnings for keys in snake case; udev property names in filters are left alone."""
    if section in {("network", "filter"), ("disk-setup", "filter")}:
        return []
    warnings = []
    for key, value in raw.items():
        if "_" in key:
            where = ".".join(section)
            warnings.append(
                f"Warning: Section [{where}] contains deprecated key `{key}`, use `{key.replace('_', '-')}` instead."
            )
        if isinstance(value, dict):
            warnings += deprecated_keys(value, (*section, key))
    return [*warnings, DEPRECATED] if warnings and not section else warnings


def _section(name: str, raw: Table) -> Table:
    known = SECTIONS[name]
    result: Table = {}
    for given, value in raw.items():
        key = given.replace("_", "-") if name in ALIASED_SECTIONS else given
        if key not in known:
            expected = ", ".join(f"`{one}`" for one in known)
            raise AnswerError(f"unknown field `{given}`, expected one of {expected}")
        if key in result:
            raise AnswerError(f"duplicate field `{key}`")
        result[key] = _value(f"{name}.{key}".lstrip("."), known[key].lstrip("!"), value)
    for key, kind in known.items():
        if kind.startswith("!") and key not in result:
            raise AnswerError(f"missing field `{key}`")
    return result


def _value(path: str, kind: str, value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds
    fits = isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
    if not fits:
        if kind == "fqdn":
            raise AnswerError(FQDN_EXPECTED)
        raise AnswerError(f"invalid type: {type(value).__name__} `{value}`, expected a {kind} for `{path}`")
    if kind == "table":
        return _section(path, value)
    if kind == "strings" and not all(isinstance(item, str) for item in value):
        raise AnswerError(f"invalid type: expected a string in `{path}`")
    if kind == "filter" and not all(isinstance(item, str) for item in value.values()):
        raise AnswerError(f"invalid type: expected a string in `{path}`")
    if path in VARIANTS:
        chosen = value.lower() if path in CASE_INSENSITIVE else value
        if chosen not in VARIANTS[path]:
            expected = ", ".join(f"`{one}`" for one in VARIANTS[path])
            raise AnswerError(f"unknown variant `{value}`, expected one of {expected}")
        return chosen
    return value


def _network(network: Table) -> None:
    if network.get("source", "from-dhcp") == "from-dhcp":
        for key in MANUAL_NETWORK:
            if key in network:
                raise AnswerError(f"Field '{key}' not supported for 'from-dhcp' config.")
        return
    for key in MANUAL_NETWORK:
        if key not in network:
            raise AnswerError(f"Field '{key}' must be set.")
    _cidr(network["cidr"])
    for key in ("dns", "gateway"):
        try:
            ipaddress.ip_address(network[key])
        except ValueError as error:
            raise AnswerError("invalid IP address syntax") from error


def _cidr(text: str) -> None:
    address, separator, prefix = text.partition("/")
    if not separator:
        raise AnswerError("Invalid CIDR: no mask present")
    try:
        interface = ipaddress.ip_interface(f"{address}/{int(prefix)}")
    except ValueError as error:
        raise AnswerError(f"Invalid CIDR: {error}") from error
    network = interface.network
    if network.prefixlen < network.max_prefixlen - 1 and interface.ip == network.network_address:
        raise AnswerError("Invalid CIDR: address is a network address")
    if network.version == 4 and network.prefixlen < 31 and interface.ip == network.broadcast_address:  # noqa: PLR2004
        raise AnswerError("Invalid CIDR: address is a broadcast address")


def _disks(disks: Table) -> None:
    chosen = disks.get("disk-list", [])
    if not chosen and "filter" not in disks:
        raise AnswerError("Need either 'disk-list' or 'filter' set")
    if chosen and "filter" in disks:
        raise AnswerError("Cannot use both, 'disk-list' and 'filter'")
    system = disks["filesystem"]
    own = "lvm" if system in ("ext4", "xfs") else system
    if any(other in disks for other in {"lvm", "zfs", "btrfs"} - {own}):
        raise AnswerError(f"make sure only '{own}' options are set")
    if own == "lvm":
        if len(chosen) > 1:
            raise AnswerError("make sure to define only one disk for ext4 and xfs")
    elif "raid" not in disks.get(own, {}):
        raise AnswerError(f"{own.upper()} raid level '{own}.raid' must be set")


def _fqdn(fqdn: str | Table) -> None:
    if isinstance(fqdn, dict):
        if set(fqdn) - {"source", "domain"} or fqdn.get("source", "from-dhcp") != "from-dhcp":
            raise AnswerError(FQDN_EXPECTED)
        return
    labels = fqdn.split(".")
    numeric = labels[0].isdigit()
    if len(labels) < 2 or numeric or len(fqdn) > 253 or not all(LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004
        raise AnswerError(FQDN_EXPECTED)


def _verify(tables: Table, zone_info: Path) -> None:
    _verify_locale(tables["global"], zone_info)
    _verify_disks(tables["disk-setup"])
    first_boot = tables.get("first-boot", {})
    if first_boot.get("source") == "from-url" and "url" not in first_boot:
        raise AnswerError("first-boot executable source set to URL, but none specified!")
    _verify_identity(tables["global"])
    for name in tables["network"].get("interface-name-pinning", {}).get("mapping", {}).values():
        if len(name) > 15:  # noqa: PLR2004 - IFNAMSIZ
            raise AnswerError(f"interface name mapping '{name}' is too long, must be at most 15 characters")


def _verify_locale(identity: Table, zone_info: Path) -> None:
    countries = {line.split("\t")[0].lower() for line in _table_lines(zone_info / "iso3166.tab")}
    zones = {line.split("\t")[2] for line in _table_lines(zone_info / "zone.tab")}
    if identity["country"] not in countries:
        raise AnswerError(f"country code '{identity['country']}' is not valid")
    if identity["timezone"] not in zones and identity["timezone"] != "UTC":
        raise AnswerError(f"timezone '{identity['timezone']}' is not valid")


def _table_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def _verify_disks(disks: Table) -> None:
    chosen = disks.get("disk-list", [])
    for system in ("zfs", "btrfs"):
        raid = disks.get(system, {}).get("raid")
        if raid and chosen and len(chosen) < MIN_DISKS[raid]:
            raise AnswerError(f"{system.upper()} ({raid.upper()}): need at least {MIN_DISKS[raid]} disks")
    for number, disk in enumerate(chosen):
        if disk in chosen[:number]:
            raise AnswerError(f"List of disks contains duplicate device {disk}")
    lvm = disks.get("lvm", {})
    if "swapsize" in lvm and "hdsize" in lvm and lvm["swapsize"] > lvm["hdsize"] / 8:
        raise AnswerError(
            f"Swap size {lvm['swapsize']} GiB cannot be greater than {lvm['hdsize'] / 8} GiB (hard disk size / 8)"
        )


def _verify_identity(identity: Table) -> None:
    if not EMAIL.fullmatch(identity["mailto"]):
        raise AnswerError(f"{identity['mailto']}: Email does not look like a valid address (user@domain.tld)")
    if identity["mailto"] == EMAIL_PLACEHOLDER:
        raise AnswerError(f"{identity['mailto']}: Invalid (default) email address")
    plain, hashed = identity.get("root-password"), identity.get("root-password-hashed")
    if plain is not None and hashed is not None:
        raise AnswerError("`global.root-password` and `global.root-password-hashed` cannot be set at the same time")
    if plain is None and hashed is None:
        raise AnswerError("One of `global.root-password` or `global.root-password-hashed` must be set")
    if plain is not None and len(plain) < PASSWORD_LENGTH_MIN:
        raise AnswerError(f"`global.root-password` must be at least {PASSWORD_LENGTH_MIN} characters long")
