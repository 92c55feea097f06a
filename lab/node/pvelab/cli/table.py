"""Proxmox's text output: tables of lists, key and value of objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pvelab.cli.tool import write

if TYPE_CHECKING:
    from collections.abc import Mapping


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value) if isinstance(value, dict | list) else "" if value is None else str(value)


def _grid(headers: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(line[index]) for line in [headers, *rows]) for index in range(len(headers))]

    def border(left: str, middle: str, right: str, fill: str) -> str:
        return left + middle.join(fill * (width + 2) for width in widths) + right

    def line(cells: list[str]) -> str:
        return "│" + "│".join(f" {cell:<{width}} " for cell, width in zip(cells, widths, strict=True)) + "│"

    write(border("┌", "┬", "┐", "─"))
    write(line(headers))
    for index, row in enumerate(rows):
        write(border("╞", "╪", "╡", "═") if index == 0 else border("├", "┼", "┤", "─"))
        write(line(row))
    write(border("└", "┴", "┘", "─"))


def show(answer: Any, _options: Mapping[str, str]) -> None:  # noqa: ANN401 - any JSON
    """Print an answer as text."""
    if answer is None:
        return
    if isinstance(answer, dict):
        _grid(["key", "value"], [[key, _text(answer[key])] for key in sorted(answer)])
    elif isinstance(answer, list) and answer and isinstance(answer[0], dict):
        headers = sorted({key for item in answer for key in item})
        _grid(headers, [[_text(item.get(key)) for key in headers] for item in answer])
    elif isinstance(answer, list):
        for item in answer:
            write(_text(item))
    else:
        write(_text(answer))
