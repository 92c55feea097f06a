"""/nodes/{node}/network: bridges and addresses, with Proxmox's two steps: edit, then apply."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pvelab.api.errors import PveError
from pvelab.network import pending
from pvelab.network.interfaces import Interface

if TYPE_CHECKING:
    from collections.abc import Callable

    from pvelab.api.context import Context, Route
    from pvelab.network.interfaces import Interfaces

_ALL = "/nodes/{node}/network"
_ONE = "/nodes/{node}/network/{iface}"
_DEVICES = Path("/sys/class/net")
# Parameter of the API -> option in the file, for those that are taken over as they are.
_PLAIN = {
    "gateway": "gateway",
    "mtu": "mtu",
    "bridge_ports": "bridge-ports",
    "bridge_vids": "bridge-vids",
}
_BRIDGE_DEFAULTS = {"bridge-ports": "none", "bridge-stp": "off", "bridge-fd": "0"}


def _bad(field: str, message: str) -> PveError:
    return PveError(400, "Parameter verification failed.", {field: message})


def _address(interface: Interface, family: str, suffix: str) -> dict[str, Any]:
    written = interface.option("address", family)
    if written is None:
        return {}
    mask = interface.option("netmask", family)
    address = ipaddress.ip_interface(f"{written}/{mask}" if mask and "/" not in written else written)
    view = {
        f"address{suffix}": str(address.ip),
        f"netmask{suffix}": str(address.network.prefixlen),
        f"cidr{suffix}": str(address),
    }
    gateway = interface.option("gateway", family)
    return view | ({f"gateway{suffix}": gateway} if gateway else {})


def _kind(interface: Interface) -> str:
    if interface.is_bridge:
        return "bridge"
    return "loopback" if interface.name == "lo" else "eth"


def _bridge(interface: Interface) -> dict[str, Any]:
    if not interface.is_bridge:
        return {}
    ports = interface.option("bridge-ports") or ""
    view: dict[str, Any] = {
        "bridge_ports": "" if ports == "none" else ports,
        "bridge_stp": interface.option("bridge-stp") or "off",
        "bridge_fd": interface.option("bridge-fd") or "0",
    }
    if interface.option("bridge-vlan-aware"):
        view |= {"bridge_vlan_aware": 1, "bridge_vids": interface.option("bridge-vids") or "2-4094"}
    return view


def _view(interface: Interface) -> dict[str, Any]:
    view: dict[str, Any] = {
        "type": _kind(interface),
        "method": interface.methods.get("inet", "manual"),
        "method6": interface.methods.get("inet6", "manual"),
        "families": list(interface.methods) or ["inet"],
        **_address(interface, "inet", ""),
        **_address(interface, "inet6", "6"),
        **_bridge(interface),
    }
    if interface.autostart:
        view["autostart"] = 1
    if interface.comment:
        view["comments"] = interface.comment
    if (mtu := interface.option("mtu")) is not None:
        view["mtu"] = mtu
    if (_DEVICES / interface.name).exists():
        view |= {"active": 1} if view["type"] == "bridge" else {"active": 1, "exists": 1}
    return view


def _known(found: Interfaces) -> dict[str, Interface]:
    """What is configured, and the cards that are there without configuration."""
    cards = sorted(
        item.name for item in _DEVICES.iterdir() if (item / "device").exists() or item.name.startswith("eth")
    )
    known = {name: item for name, item in found.interfaces.items() if name != "lo"}
    return known | {name: Interface(name) for name in cards if name not in known}


def listing(ctx: Context) -> list[dict[str, Any]]:
    """All interfaces, in the file's order."""
    wanted = ctx.params.get("type")
    kinds = {"any_bridge": ("bridge", "OVSBridge")}.get(str(wanted), (wanted,))
    known = _known(pending.load())
    views = [{"iface": name, "priority": number + 2, **_view(known[name])} for number, name in enumerate(known)]
    return [view for view in views if wanted is None or view["type"] in kinds]


def _find(found: Interfaces, name: str) -> Interface:
    interface = _known(found).get(name)
    if interface is None:
        raise _bad("iface", "interface does not exist")
    return interface


def read(ctx: Context) -> dict[str, Any]:
    """One interface."""
    return _view(_find(pending.load(), ctx.params["iface"]))


def _check_address(found: Interfaces, name: str, params: dict[str, Any]) -> None:
    if params.get("gateway"):
        for other in found.interfaces.values():
            if other.name != name and other.option("gateway"):
                raise _bad("gateway", f"Default gateway already exists on interface '{other.name}'.")
    if params.get("cidr") and params.get("address") not in (None, str(params["cidr"]).partition("/")[0]):
        raise _bad("cidr", "cidr does not match address")


def _set_family(interface: Interface, params: dict[str, Any], family: str, suffix: str) -> None:
    cidr = params.get(f"cidr{suffix}")
    address = params.get(f"address{suffix}")
    if cidr is None and address is not None:
        cidr = f"{address}/{params.get(f'netmask{suffix}', '24')}"
    if cidr is None:
        interface.methods.setdefault("inet", "manual")
        return
    interface.methods[family] = "static"
    options = interface.options.setdefault(family, {})
    options.pop("netmask", None)
    interface.options[family] = {"address": cidr, **{k: v for k, v in options.items() if k != "address"}}
    if suffix and params.get("gateway6"):
        interface.options[family]["gateway"] = params["gateway6"]


def _fill(interface: Interface, params: dict[str, Any]) -> None:
    _set_family(interface, params, "inet", "")
    if "cidr6" in params or "address6" in params:
        _set_family(interface, params, "inet6", "6")
    options = interface.options.setdefault("inet", {})
    if params["type"] == "bridge":
        for name, value in _BRIDGE_DEFAULTS.items():
            options.setdefault(name, value)
    for parameter, option in _PLAIN.items():
        if params.get(parameter) not in (None, ""):
            options[option] = str(params[parameter])
    if params.get("bridge_vlan_aware"):
        options["bridge-vlan-aware"] = "yes"
        options.setdefault("bridge-vids", "2-4094")
    interface.autostart = bool(params.get("autostart", interface.autostart))
    if "comments" in params:
        interface.comment = str(params["comments"]).rstrip("\n") + "\n"


def create(ctx: Context) -> None:
    """A new interface; it waits until the configuration is applied."""
    name = ctx.params["iface"]
    with pending.change() as found:
        if name in found.interfaces:
            raise _bad("iface", "interface already exists")
        _check_address(found, name, ctx.params)
        interface = Interface(name)
        _fill(interface, ctx.params)
        found.interfaces[name] = interface


def _forget(interface: Interface, parameter: str) -> None:
    options = interface.options.get("inet6" if parameter.endswith("6") else "inet", {})
    if parameter in ("cidr", "cidr6", "address", "address6"):
        options.pop("address", None)
        interface.methods["inet6" if parameter.endswith("6") else "inet"] = "manual"
    elif parameter == "comments":
        interface.comment = ""
    elif parameter == "autostart":
        interface.autostart = False
    elif parameter == "bridge_ports":
        options["bridge-ports"] = "none"
    else:
        options.pop(parameter.removesuffix("6").replace("_", "-"), None)


def update(ctx: Context) -> None:
    """Change an interface; what the call does not name stays."""
    name = ctx.params["iface"]
    with pending.change() as found:
        interface = _find(found, name)
        _check_address(found, name, ctx.params)
        for parameter in str(ctx.params.get("delete", "")).replace(";", ",").split(","):
            if parameter:
                _forget(interface, parameter)
        _fill(interface, ctx.params)
        found.interfaces[name] = interface


def delete(ctx: Context) -> None:
    """Take an interface out of the configuration."""
    with pending.change() as found:
        _find(found, ctx.params["iface"])
        found.interfaces.pop(ctx.params["iface"], None)


def reload(ctx: Context) -> str:
    """Apply what waits."""
    return ctx.start_task("srvreload", "networking", pending.apply)


def revert(_ctx: Context) -> None:
    """Drop what waits."""
    pending.revert()


def _modifies(handler: Callable[[Context], Any]) -> Callable[[Context], Any]:
    def checked(ctx: Context) -> Any:  # noqa: ANN401 - what the handler answers
        ctx.require(f"/nodes/{ctx.node}", "Sys.Modify")
        return handler(ctx)

    return checked


ROUTES: list[Route] = [
    ("GET", _ALL, listing),
    ("POST", _ALL, _modifies(create)),
    ("PUT", _ALL, _modifies(reload)),
    ("DELETE", _ALL, _modifies(revert)),
    ("GET", _ONE, read),
    ("PUT", _ONE, _modifies(update)),
    ("DELETE", _ONE, _modifies(delete)),
]
