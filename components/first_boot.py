"""The script that a nested node runs once, on its first boot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from config.host_keys import HostKey

# Shell, not HTML: escaping would damage the key.
TEMPLATES = Environment(  # noqa: S701
    loader=FileSystemLoader(Path(__file__).parent / "templates"), undefined=StrictUndefined, keep_trailing_newline=True
)


def render(name: str, host_key: HostKey) -> str:
    """The script's text: it holds the private host key, so it is a secret."""
    template = TEMPLATES.get_template("first-boot.sh.j2")
    return template.render(name=name, private_pem=host_key.private_pem, public=host_key.public)
