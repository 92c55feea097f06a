"""The topology as a picture: where each box, line and word lies. Pure; the template writes the SVG.

A row for each node, a column for each link, and a dot where a node is on a link. So it grows downwards with the nodes, and stays
narrow enough for a phone. What a colour says, a shape says as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MARGIN, HEADER, ROW, GROUP_LABEL, GAP = 8, 40, 52, 18, 10
BOX_WIDTH, BOX_HEIGHT, COLUMN = 168, 40, 128
NAME_SHOWN, TEXT_SHOWN = 20, 26
ALL, SOME, NONE, UNKNOWN = "all", "some", "none", "unknown"


@dataclass(frozen=True)
class Box:
    """A rectangle; `kind` is its class in the style sheet."""

    x: int
    y: int
    width: int
    height: int
    kind: str


@dataclass(frozen=True)
class Line:
    """A line from one point to another."""

    x1: int
    y1: int
    x2: int
    y2: int
    kind: str


@dataclass(frozen=True)
class Dot:
    """Where a node is on a link; `kind` says to how many of the other nodes it is connected there."""

    x: int
    y: int
    kind: str


@dataclass(frozen=True)
class Words:
    """A text that begins at a point."""

    x: int
    y: int
    text: str
    kind: str


@dataclass
class Picture:
    """All of it, in the units of the SVG's view box."""

    width: int
    height: int = HEADER
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)


def drawn(topology: Mapping[str, Any], standing: Mapping[str, Any] | None) -> Picture | None:
    """The picture; None without nodes.

    Args:
        topology: of the report's document.
        standing: how the cluster was: `after` or `before` of the document; None when nobody looked.
    """
    links = topology["links"]
    if not topology["nodes"]:
        return None
    seen = (standing or {}).get("nodes", {})
    picture = Picture(2 * MARGIN + BOX_WIDTH + COLUMN * len(links))
    places = {str(link["number"]): _place(index) for index, link in enumerate(links)}
    for host, nodes in _by_host(topology["nodes"]):
        _group(picture, host, len(nodes))
        for node in nodes:
            _node(picture, node, seen.get(node["name"]), places)
        picture.height += GAP
    for link in links:
        x = places[str(link["number"])]
        picture.lines.append(Line(x, HEADER - 6, x, picture.height - GAP, "link"))
        picture.words += [
            Words(x - 4, 14, f"link {link['number']}", "name"),
            Words(x - 4, 28, _short(link["subnet"], NAME_SHOWN), "small"),
        ]
    return picture


def _place(index: int) -> int:
    return MARGIN + BOX_WIDTH + 28 + index * COLUMN


def _by_host(nodes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """The nodes of each outer host, in the order of the stack file; existing machines have none."""
    for host in dict.fromkeys(node["host"] for node in nodes):
        yield host, [node for node in nodes if node["host"] == host]


def _group(picture: Picture, host: str, count: int) -> None:
    if not host:
        return
    picture.boxes.append(
        Box(2, picture.height, BOX_WIDTH + 2 * MARGIN - 4, GROUP_LABEL + ROW * count, "host"),
    )
    picture.words.append(Words(MARGIN, picture.height + 13, _short(f"outer host {host}", TEXT_SHOWN), "small"))
    picture.height += GROUP_LABEL


def _node(picture: Picture, node: Mapping[str, Any], seen: Mapping[str, Any] | None, places: Mapping[str, int]) -> None:
    top = picture.height + (ROW - BOX_HEIGHT) // 2
    middle = top + BOX_HEIGHT // 2
    kind = UNKNOWN if seen is None else ALL if seen["quorate"] else NONE
    picture.boxes.append(Box(MARGIN, top, BOX_WIDTH, BOX_HEIGHT, f"node {kind}"))
    votes = f"{node['votes']} vote{'s' if node['votes'] != 1 else ''}"
    says = "not looked at" if seen is None else "quorate" if seen["quorate"] else seen["says"]
    picture.words += [
        Words(MARGIN + 8, top + 16, _short(node["name"], NAME_SHOWN), "name"),
        Words(MARGIN + 8, top + 32, _short(f"id {node['id']}, {votes}, {says}", TEXT_SHOWN), "small"),
    ]
    ends = [number for number in node["links"] if number in places]
    if ends:
        far = max(places[number] for number in ends)
        picture.lines.append(Line(MARGIN + BOX_WIDTH, middle, far, middle, "end"))
    for number in ends:
        count: Mapping[str, int] | None = ((seen or {}).get("links") or {}).get(number)
        kind = _connected(count)
        picture.dots.append(Dot(places[number], middle, kind))
        picture.words.append(Words(places[number] + 10, middle - 6, node["links"][number], "small"))
        if count is not None and kind in (SOME, NONE):
            text = f"{count['connected']} of {count['of']} connected"
            picture.words.append(Words(places[number] + 10, middle + 14, text, "small"))
    picture.height += ROW


def _connected(count: Mapping[str, int] | None) -> str:
    if count is None:
        return UNKNOWN
    return ALL if count["connected"] == count["of"] else SOME if count["connected"] else NONE


def _short(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
