"""Values as they are recorded, against values as a file of Proxmox VE has them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.drift.kinds import PROVIDED

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Difference:
    """A difference from the record, with file and values; who puts it right (`cli.drift.kinds`), or what a person has to do."""

    what: str
    kind: str = PROVIDED
    next: str = ""


def compare(
    file: str,
    what: str,
    live: Mapping[str, str] | None,
    wanted: Mapping[str, str | None],
    defaults: Mapping[str, str] | None = None,
) -> Difference | None:
    """Compare recorded values with a file's; a value that is not recorded (None) may be anything.

    Args:
        file: in which the values are.
        what: what the values belong to, for the message.
        live: its values; None when it is not there.
        wanted: the recorded ones.
        defaults: what Proxmox VE takes where its file says nothing.
    """
    if live is None:
        return Difference(f"{what} is not in {file}")
    found = {key: live.get(key, (defaults or {}).get(key, "")) for key, value in wanted.items() if value is not None}
    other = [
        f"{key} {value or 'not set'}, not {wanted[key] or 'none'}"
        for key, value in found.items()
        if value != wanted[key]
    ]
    return Difference(f"{file}: {what}: {'; '.join(other)}") if other else None


def text(value: Any) -> str | None:  # noqa: ANN401 - JSON
    """A value as the files have it."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:g}"
    return None if value is None else str(value)
