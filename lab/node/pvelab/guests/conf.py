"""A guest's configuration file: options, pending changes, snapshots."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pvelab import cfs
from pvelab.apischema import schema
from pvelab.errors import die

if TYPE_CHECKING:
    from pvelab.guests.registry import Guest

PENDING = "PENDING"
_LINE = re.compile(r"([\w.-]+):\s*(.*\S)?\s*")


@dataclass
class Config:
    """The configuration of a virtual machine or container.

    Attributes:
        options: current values as they stand in the file.
        pending: values that take effect at the next start.
        doomed: options that go away at the next start.
        snapshots: the options of each snapshot.
    """

    options: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    doomed: list[str] = field(default_factory=list)
    snapshots: dict[str, dict[str, str]] = field(default_factory=dict)

    def wanted(self) -> dict[str, str]:
        """The values as they will be after the next start."""
        kept = {key: value for key, value in self.options.items() if key not in self.doomed}
        return {**kept, **self.pending}

    def revert(self, key: str) -> None:
        """Forget what waits for the next start."""
        self.pending.pop(key, None)
        self.doomed = [name for name in self.doomed if name != key]

    def apply_pending(self) -> None:
        """Make the pending changes the current values."""
        self.options = self.wanted()
        self.pending, self.doomed = {}, []

    @property
    def is_template(self) -> bool:
        """Whether it is a template."""
        return self.options.get("template") == "1"


def _section(text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    description = []
    for line in text.splitlines():
        if line.startswith("#"):
            description.append(urllib.parse.unquote(line[1:]))
            continue
        found = _LINE.fullmatch(line)
        if found:
            options[found[1]] = found[2] or ""
    if description:
        options["description"] = "\n".join(description)
    return options


def parse(text: str) -> Config:
    """Read a configuration file."""
    parts = re.split(r"^\[([\w-]+)\]\s*$", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], (_section(part) for part in parts[2::2]), strict=True))
    pending = sections.pop(PENDING, {})
    doomed = [name for name in pending.pop("delete", "").split(",") if name]
    return Config(_section(parts[0]), pending, doomed, sections)


def _render_section(options: dict[str, str]) -> str:
    description = options.get("description", "").rstrip("\n")
    lines = [f"#{urllib.parse.quote(line, safe=' /@')}" for line in description.split("\n")] if description else []
    lines += [f"{key}: {options[key]}" for key in sorted(options) if key != "description"]
    return "".join(f"{line}\n" for line in lines)


def render(config: Config) -> str:
    """The text of a configuration file."""
    text = _render_section(config.options)
    if config.pending or config.doomed:
        doomed = {"delete": ",".join(config.doomed)} if config.doomed else {}
        text += f"\n[{PENDING}]\n{_render_section({**config.pending, **doomed})}"
    for name, options in sorted(config.snapshots.items()):
        text += f"\n[{name}]\n{_render_section(options)}"
    return text


def load(guest: Guest) -> Config:
    """Read a guest's configuration.

    Raises:
        PveError: there is none at the guest's node.
    """
    try:
        return parse(guest.file.read_text())
    except FileNotFoundError as error:
        raise die(f"Configuration file '{guest.relative}' does not exist") from error


def save(guest: Guest, config: Config) -> None:
    """Replace a guest's configuration."""
    cfs.write(guest.relative, render(config))


def move(guest: Guest, node: str) -> None:
    """Hand a guest's configuration to another node."""
    target = replace(guest, node=node).file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        guest.file.rename(target)
    except OSError as error:
        raise die(f"failed to move config file to node '{node}': {error.strerror}") from error


def digest(config: Config) -> str:
    """The digest that detects changes by others."""
    return hashlib.sha1(render(config).encode(), usedforsecurity=False).hexdigest()


def check_lock(guest: Guest, config: Config) -> None:
    """Refuse to work on a configuration that an operation has locked."""
    lock = config.options.get("lock")
    if lock:
        raise die(f"{guest.word} is locked ({lock})")


def _option_type(kind: str, key: str) -> str | None:
    properties = schema.load().paths[f"/nodes/{{node}}/{kind}/{{vmid}}/config"]["PUT"]["parameters"]["properties"]
    known = properties.get(key) or properties.get(re.sub(r"\d+$", "[n]", key)) or {}
    found: str | None = known.get("type")
    return found


def typed(kind: str, options: dict[str, str]) -> dict[str, Any]:
    """Options as JSON values: the schema says which are numbers.

    A container's description ends with a newline, a virtual machine's does not.
    """
    answer: dict[str, Any] = {}
    for key, value in options.items():
        if key == "description" and kind == "lxc":
            answer[key] = f"{value}\n"
            continue
        wanted = _option_type(kind, key)
        if key == "template" or (wanted in ("integer", "boolean") and re.fullmatch(r"-?\d+", value)):
            answer[key] = int(value)
        elif wanted == "number" and re.fullmatch(r"-?\d+(\.\d+)?", value):
            answer[key] = float(value) if "." in value else int(value)
        else:
            answer[key] = value
    return answer


def rows(kind: str, config: Config) -> list[dict[str, Any]]:
    """Every option with its current and its pending value, as the "pending" method answers."""
    current = typed(kind, config.options)
    coming = typed(kind, config.pending)
    found: list[dict[str, Any]] = []
    for key in sorted({*current, *coming}):
        row: dict[str, Any] = {"key": key}
        if key in current:
            row["value"] = current[key]
        if key in coming:
            row["pending"] = coming[key]
        if key in config.doomed:
            row["delete"] = 1
        found.append(row)
    return found
