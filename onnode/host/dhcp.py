"""dhcp: one dnsmasq for each isolated bridge that has a range, as instances of one systemd unit.

The networks are isolated: dnsmasq offers addresses only, neither a default route nor a name server.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnode.contract.host import Bridge, Dhcp
from onnode.errors import StepError
from onnode.step import Action, Step
from onnode.system import originals, ours, systemd
from onnode.system.machine import tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

UNIT_FILE = "/etc/systemd/system/nested-pve-ha-dhcp@.service"
DIRECTORY = "/etc/nested-pve-ha/dhcp"
LEASES = "/var/lib/nested-pve-ha"
SETTLE_S = 1.0
UNIT = f"""\
# Made by nested-pve-ha.
[Unit]
Description=DHCP on the isolated bridge %i
After=network.target

[Service]
ExecStartPre=/usr/sbin/dnsmasq --test --conf-file={DIRECTORY}/%i.conf
ExecStart=/usr/sbin/dnsmasq --keep-in-foreground --conf-file={DIRECTORY}/%i.conf
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Instance:
    """What there is for one bridge."""

    config: str
    unit: systemd.Unit

    @property
    def serves(self) -> bool:
        """Whether it runs, or would after a reboot."""
        return self.unit.active == "active" or self.unit.enabled == "enabled"


@dataclass(frozen=True)
class Observed:
    """The unit's file, and its instances."""

    unit_file: str | None = None
    instances: dict[str, Instance] = field(default_factory=dict)


def unit_name(bridge: str) -> str:
    """The unit that serves a bridge."""
    return f"nested-pve-ha-dhcp@{bridge}.service"


def config_text(stack: str, bridge: Bridge) -> str:
    """The configuration of dnsmasq for one bridge; `dhcp-option=N` without a value sends nothing."""
    netmask = ipaddress.IPv4Interface(bridge.address).netmask
    return f"""\
# Made by nested-pve-ha for stack {stack}.
interface={bridge.name}
bind-dynamic
except-interface=lo
port=0
dhcp-authoritative
dhcp-range={bridge.dhcp_start},{bridge.dhcp_end},{netmask},12h
dhcp-option=option:router
dhcp-option=option:dns-server
dhcp-leasefile={LEASES}/dhcp-{bridge.name}.leases
"""


def as_left(config: str) -> bool:
    """Whether a configuration of ours is as we write it: else somebody changed it by hand."""
    stack, bridge = parse_stack(config), re.search(r"^interface=(\S+)$", config, re.MULTILINE)
    range_ = re.search(r"^dhcp-range=([\d.]+),([\d.]+),([\d.]+),12h$", config, re.MULTILINE)
    if stack is None or bridge is None or range_ is None:
        return False
    start, end, netmask = range_.groups()
    return config == config_text(stack, Bridge(bridge[1], f"{start}/{netmask}", start, end))


def parse_stack(config: str) -> str | None:
    """The stack that a configuration of ours was made for."""
    found = re.match(r"# Made by nested-pve-ha for stack (\S+)\.\n", config)
    return found[1] if found else None


def observe(machine: ThisMachine, _desired: Dhcp) -> Observed:
    """Read our configuration files and ask systemd about their units."""
    files = {name[:-5]: f"{DIRECTORY}/{name}" for name in machine.names(DIRECTORY) if name.endswith(".conf")}
    return Observed(
        machine.read(UNIT_FILE),
        {
            bridge: Instance(machine.read(path) or "", systemd.unit(machine, unit_name(bridge)))
            for bridge, path in files.items()
        },
    )


def decide(observed: Observed, desired: Dhcp) -> list[Action]:
    """Stop before a configuration changes: killed in between, an inactive unit is what the next run sees.

    Raises:
        StepError: foreign-file.
    """
    _refuse_foreign(observed, desired)
    if observed.unit_file != UNIT:
        return [Action("write-unit", UNIT_FILE)]
    served = {bridge.name: config_text(desired.stack, bridge) for bridge in desired.bridges if bridge.dhcp_start}
    actions = [
        Action("remove", bridge)
        for bridge, instance in observed.instances.items()
        if bridge not in served
        and parse_stack(instance.config) == desired.stack
        and (as_left(instance.config) or instance.serves)
    ]
    for bridge, config in served.items():
        instance = observed.instances.get(bridge)
        if instance is None or instance.config != config:
            actions += [Action("stop", bridge)] if instance else []
            actions += [Action("configure", bridge, config), Action("start", bridge)]
        elif not instance.unit.running:
            actions.append(Action("start", bridge))
    started = [action.what for action in actions if action.do == "start"]
    return [*actions, *([Action("settle", " ".join(started))] if started else [])]


def _refuse_foreign(observed: Observed, desired: Dhcp) -> None:
    ours.refuse_foreign(UNIT_FILE, observed.unit_file)
    for bridge in desired.bridges:
        instance = observed.instances.get(bridge.name)
        if bridge.dhcp_start and instance is not None:
            ours.refuse_foreign(f"{DIRECTORY}/{bridge.name}.conf", instance.config, desired.stack)


def act(machine: ThisMachine, _desired: Dhcp, action: Action) -> None:
    """Write a file, or give systemd a command."""
    if action.do == "write-unit":
        originals.replace_file(machine, UNIT_FILE, UNIT)
        systemd.systemctl(machine, "daemon-reload")
    elif action.do == "configure":
        machine.write(f"{DIRECTORY}/{action.what}.conf", action.text)
    elif action.do == "start":
        machine.path(LEASES).mkdir(parents=True, exist_ok=True)
        machine.run(["systemctl", "enable", "--now", unit_name(action.what)], timeout_s=90)
    elif action.do == "settle":
        _settle(machine, action.what.split())
    elif action.do == "stop":
        systemd.systemctl(machine, "stop", unit_name(action.what))
    else:
        remove(machine, action.what)


def _settle(machine: ThisMachine, bridges: list[str]) -> None:
    """A dnsmasq that cannot bind dies a moment after its start."""
    machine.sleep(SETTLE_S)
    for bridge in bridges:
        if systemd.unit(machine, unit_name(bridge)).active != "active":
            log = machine.run(["journalctl", "--no-pager", "-n", "5", "-o", "cat", "-u", unit_name(bridge)])
            raise StepError(
                "dhcp-failed",
                f"dnsmasq does not run on {bridge}",
                observed=tail(log.out),
                expected=f"{unit_name(bridge)} is active",
                fix=f"`journalctl -u {unit_name(bridge)}` on the outer host shows why",
            )


def remove(machine: ThisMachine, bridge: str) -> None:
    """Stop an instance for good, and forget its leases; a configuration that was changed by hand stays."""
    systemd.systemctl(machine, "disable", "--now", unit_name(bridge))
    machine.remove(f"{LEASES}/dhcp-{bridge}.leases")
    path = f"{DIRECTORY}/{bridge}.conf"
    if as_left(machine.read(path) or ""):
        machine.remove(path)
    else:
        machine.note(f"kept {path}: it was changed by hand")


def facts(observed: Observed, _desired: Dhcp) -> dict[str, Any]:
    """The units that serve a bridge."""
    return {"units": [unit_name(bridge) for bridge in sorted(observed.instances)]}


def unchanged(observed: Observed, _desired: Dhcp) -> str:
    """Say what was found."""
    return f"DHCP is served on {', '.join(sorted(observed.instances)) or 'no bridge'}"


def differs(observed: Observed, _desired: Dhcp, action: Action) -> str:
    """What the unit is, or the file that is not as written."""
    instance = observed.instances.get(action.what)
    if action.do == "start" and instance is not None:
        return f"{unit_name(action.what)} is {instance.unit.active}, {instance.unit.enabled or 'unknown'}"
    return f"{DIRECTORY}/{action.what}.conf" if action.do in ("configure", "remove") else ""


STEP = Step(Dhcp, observe, decide, act, facts, unchanged, differs=differs)
