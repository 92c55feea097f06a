"""Proxmox's property strings: "local-lvm:vm-100-disk-0,iothread=1,size=32G"."""

from __future__ import annotations


def parse(text: str, default_key: str) -> dict[str, str]:
    """The properties by name; the one without a name gets the default key."""
    found: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if equals:
            found[key.strip()] = value.strip()
        else:
            found[default_key] = part.strip()
    return found


def render(properties: dict[str, str], default_key: str) -> str:
    """The text of properties: the default one first and bare, the others by name."""
    bare = [properties[default_key]] if default_key in properties else []
    named = [f"{key}={properties[key]}" for key in sorted(properties) if key != default_key]
    return ",".join(bare + named)


def is_true(text: str | None) -> bool:
    """Whether a boolean property is on."""
    return text is not None and text.lower() in ("1", "on", "yes", "true")
