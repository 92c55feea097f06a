"""An interface as the API shows it and takes it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from pvelab.errors import die, parameter_error
from pvelab.network.interfaces import ConfiguredInterface, Family
from pvelab.paths import path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pvelab.network.interfaces import Interfaces

# API name -> option in the file, of the first family.
_PLAIN = {
    "bridge_ports": "bridge-ports",
    "bridge_stp": "bridge-stp",
    "bridge_fd": "bridge-fd",
    "bridge_vids": "bridge-vids",
    "slaves": "bond-slaves",
    "bond_mode": "bond-mode",
    "bond_miimon": "bond-miimon",
    "bond_xmit_hash_policy": "bond-xmit-hash-policy",
    "bond-primary": "bond-primary",
    "vlan-id": "vlan-id",
    "vlan-raw-device": "vlan-raw-device",
    "mtu": "mtu",
}
_NO_PORTS = ("", "none")
_BUILDABLE = ("eth", "bridge", "bond", "vlan", "alias", "unknown")


def _is_up(name: str) -> bool:
    try:
        return bool(int(path(f"/sys/class/net/{name}/flags").read_text(), 16) & 1)
    except FileNotFoundError:
        return False


def _addresses(family: Family, suffix: str) -> dict[str, str]:
    shown: dict[str, str] = {}
    given = family.get("address")
    if given:
        address = ipaddress.ip_interface(f"{given}/{family.get('netmask') or 32}" if "/" not in given else given)
        shown[f"address{suffix}"] = str(address.ip)
        shown[f"netmask{suffix}"] = str(address.network.prefixlen)
        shown[f"cidr{suffix}"] = f"{address.ip}/{address.network.prefixlen}"
    gateway = family.get("gateway")
    return {**shown, f"gateway{suffix}": gateway} if gateway else shown


def _plain(family: Family, kind: str) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, option in _PLAIN.items():
        value = family.get(option)
        if value is not None:
            shown[name] = "" if name in ("bridge_ports", "slaves") and value in _NO_PORTS else value
    if kind == "bridge" and family.get("bridge-vlan-aware") in ("yes", "1", "true"):
        shown["bridge_vlan_aware"] = 1
    return shown


def view(interface: ConfiguredInterface, priority: int) -> dict[str, Any]:
    """An interface as the API answers it."""
    first = next(iter(interface.families.values()))
    shown: dict[str, Any] = {
        "type": interface.type,
        "families": list(interface.families),
        "method": interface.families["inet"].method if "inet" in interface.families else "manual",
        "method6": interface.families["inet6"].method if "inet6" in interface.families else "manual",
        "priority": priority,
        **_plain(first, interface.type),
    }
    for kind, suffix in (("inet", ""), ("inet6", "6")):
        family = interface.families.get(kind)
        if family is not None:
            shown |= _addresses(family, suffix)
            if family.comments:
                shown[f"comments{suffix}"] = "".join(f"{line}\n" for line in family.comments)
    flags = {"autostart": interface.auto, "active": _is_up(interface.name)}
    flags["exists"] = path(f"/sys/class/net/{interface.name}").exists()
    return {**shown, **{name: 1 for name, on in flags.items() if on}}


def views(found: Interfaces) -> list[dict[str, Any]]:
    """All interfaces but the loopback, as the API lists them."""
    names = [name for name, interface in found.by_name.items() if interface.type != "loopback"]
    return [{"iface": name, **view(found.by_name[name], index)} for index, name in enumerate(names, 3)]


def _cidr(params: Mapping[str, Any], suffix: str) -> str | None:
    cidr, address, netmask = (params.get(f"{name}{suffix}") for name in ("cidr", "address", "netmask"))
    if cidr:
        if address and address != str(cidr).partition("/")[0]:
            raise parameter_error({f"address{suffix}": f"address{suffix} conflicts with cidr{suffix}"})
        return str(cidr)
    if not address:
        return None
    return str(ipaddress.ip_interface(f"{address}/{netmask}" if netmask else address).with_prefixlen)


def _check_gateway(found: Interfaces, name: str, kind: str, suffix: str) -> None:
    for other in found.by_name.values():
        if other.name != name and kind in other.families and other.families[kind].get("gateway"):
            raise parameter_error({f"gateway{suffix}": f"Default gateway already exists on interface '{other.name}'."})


def _family(interface: ConfiguredInterface, kind: str) -> Family:
    return interface.families.setdefault(kind, Family("manual"))


def _apply_addresses(found: Interfaces, interface: ConfiguredInterface, params: Mapping[str, Any]) -> None:
    for kind, suffix in (("inet", ""), ("inet6", "6")):
        cidr = _cidr(params, suffix)
        if cidr:
            family = _family(interface, kind)
            family.method = "static"
            family.put("address", cidr)
            family.put("netmask", None)
        if params.get(f"gateway{suffix}"):
            _check_gateway(found, interface.name, kind, suffix)
            _family(interface, kind).put("gateway", str(params[f"gateway{suffix}"]))
        if f"comments{suffix}" in params:
            _family(interface, kind).comments = str(params[f"comments{suffix}"]).splitlines()


def _apply_kind(interface: ConfiguredInterface, params: Mapping[str, Any]) -> None:
    family = next(iter(interface.families.values()))
    for name, option in _PLAIN.items():
        if name in params:
            family.put(option, str(params[name]))
    if params["type"] == "bridge":
        family.put("bridge-ports", family.get("bridge-ports") or "none")
        family.put("bridge-stp", family.get("bridge-stp") or "off")
        family.put("bridge-fd", family.get("bridge-fd") or "0")
        _apply_vlan_aware(family, params)
    elif params["type"] == "bond":
        family.put("bond-slaves", family.get("bond-slaves") or "none")
        family.put("bond-miimon", family.get("bond-miimon") or "100")


def _apply_vlan_aware(family: Family, params: Mapping[str, Any]) -> None:
    if params.get("bridge_vlan_aware"):
        family.put("bridge-vlan-aware", "yes")
        family.put("bridge-vids", family.get("bridge-vids") or "2-4094")
    elif "bridge_vlan_aware" in params:
        family.put("bridge-vlan-aware", None)
        family.put("bridge-vids", None)


def delete_fields(interface: ConfiguredInterface, names: list[str]) -> None:
    """Remove fields by their API names."""
    for name in names:
        suffix, kind = ("6", "inet6") if name.endswith("6") else ("", "inet")
        family = interface.families.get(kind)
        if family is None:
            continue
        plain = name.removesuffix(suffix) if suffix else name
        if plain in ("cidr", "address", "netmask"):
            family.put("address", None)
            family.put("netmask", None)
            family.method = "manual"
        elif plain == "comments":
            family.comments = []
        elif plain == "autostart":
            interface.auto = False
        elif plain == "bridge_vlan_aware":
            _apply_vlan_aware(family, {"bridge_vlan_aware": 0})
        else:
            family.put(_PLAIN.get(plain, plain), None)


def apply(found: Interfaces, interface: ConfiguredInterface, params: Mapping[str, Any]) -> None:
    """Set what the parameters say, and check that the whole still makes sense.

    Raises:
        PveError: a second gateway, a port that is not there or used twice.
    """
    if params["type"] not in _BUILDABLE:
        raise die(f"interfaces of type '{params['type']}' are not implemented")
    if "autostart" in params:
        interface.auto = bool(params["autostart"])
    _family(interface, "inet")
    _apply_addresses(found, interface, params)
    _apply_kind(interface, params)
    check(found)


def _ports(interface: ConfiguredInterface) -> list[str]:
    family = next(iter(interface.families.values()))
    text = " ".join(family.get(key) or "" for key in ("bridge-ports", "bond-slaves"))
    return [port for port in text.split() if port not in _NO_PORTS]


def check(found: Interfaces) -> None:
    """Refuse ports that do not exist, belong to two interfaces, or carry an address."""
    used: dict[str, str] = {}
    for interface in found.by_name.values():
        word = "bridge" if interface.type == "bridge" else "bond"
        for port in _ports(interface):
            if port in used:
                raise die(f"port '{port}' is already used on interface '{used[port]}'")
            used[port] = interface.name
            member = found.by_name.get(port)
            if member is None and "." not in port:
                kind = "bridge port" if word == "bridge" else "slave"
                raise die(f"{word} '{interface.name}' - unable to find {kind} '{port}'")
            if member is not None and any(family.method == "static" for family in member.families.values()):
                raise die(f"iface {port} - ip address can't be set on interface if bridged in {interface.name}")
