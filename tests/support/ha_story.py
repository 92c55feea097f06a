"""Stories of HA clusters as data: tests/cases/ha/README.md says how one is written."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import yaml
from pvelab import sections
from pvelab.ha.configuration import from_rules
from pvelab.ha.model import Request, Resource

from tests.support.ha_simulator import World

if TYPE_CHECKING:
    from pathlib import Path

_KEYS = {"story", "nodes", "services", "rules", "shutdown_policy", "happens", "until", "outcome"}
_REQUIRED = _KEYS - {"rules", "shutdown_policy"}


def read(directory: Path) -> dict[str, Any]:
    """The story of a directory.

    Raises:
        ValueError: it has unknown parts, or lacks some.
    """
    story: dict[str, Any] = yaml.safe_load((directory / "story.yaml").read_text())
    wrong = (story.keys() - _KEYS) | (_REQUIRED - story.keys())
    if wrong:
        raise ValueError(f"{directory.name}: unknown or missing: {', '.join(sorted(wrong))}")
    return story


def play(story: dict[str, Any]) -> World:
    """Let a story happen, from the cluster's boot to its end."""
    world = World(story["nodes"], story.get("shutdown_policy", "conditional"))
    world.affinities = from_rules(sections.parse(story.get("rules", "")).values())
    for sid, settings in story["services"].items():
        given = settings | {"state": Request(settings.get("state", "started"))}
        world.resources[sid] = Resource(sid, **given)
    for moment, commands in story["happens"].items():
        for command in [commands] if isinstance(commands, str) else commands:
            world.at(moment, functools.partial(happen, world, command))
    world.boot()
    world.run(story["until"])
    return world


def lines(world: World) -> str:
    """The log as it is kept: second, who, what."""
    return "".join(f"{moment:5.0f}  {who:<9}  {text}\n" for moment, who, text in world.log)


def outcome(world: World, sid: str) -> str:
    """How a guest ended, such as "started, runs on node1"."""
    places = world.places(sid)
    return f"{world.state(sid) or 'not under HA'}, {'runs on ' + ' and '.join(places) if places else 'does not run'}"


def happen(world: World, command: str) -> None:
    """Do what a line of a story says.

    Raises:
        ValueError: it says nothing known.
    """
    world.note("story", command)
    match command.split():
        case ["ha-manager", *arguments]:
            _ask(world, arguments)
        case ["crash", sid]:
            world.running = {place for place in world.running if place[0] != sid}
        case ["break", sid, "on", *names]:
            world.broken |= {(sid, name) for name in names}
        case ["repair", sid]:
            world.broken = {place for place in world.broken if place[0] != sid}
        case ["shutdown" | "reboot" as manner, name]:
            world.end(name, manner)
        case ["power" | "network" as what, "on" | "off" as how, *names]:
            for name in names:
                _switch(world, what, how, name)
        case _:
            raise ValueError(f"unknown: {command}")


def _switch(world: World, what: str, how: str, name: str) -> None:
    if what == "network":
        world.nodes[name].network = how == "on"
    elif how == "on":
        world.power_on(name)
    else:
        world.power_off(name)


def _ask(world: World, arguments: list[str]) -> None:
    match arguments:
        case ["migrate" | "relocate", _, _]:
            world.commands.append(" ".join(arguments))
        case ["crm-command", "stop", _, _]:
            world.commands.append(" ".join(arguments[1:]))
        case ["crm-command", "node-maintenance", "enable" | "disable" as how, node]:
            world.commands.append(f"{how}-node-maintenance {node}")
        case ["set", sid, "--state", state]:
            world.resources[sid] = dataclasses.replace(world.resources[sid], state=Request(state))
        case ["remove", sid]:
            del world.resources[sid]
        case _:
            raise ValueError(f"unknown: ha-manager {' '.join(arguments)}")
