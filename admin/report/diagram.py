"""The topology as a Mermaid diagram, with what changes marked. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

CLASSES = """\
  classDef changed fill:#fff3b0,stroke:#b58900,color:#000
  classDef added fill:#d3f9d8,stroke:#2b8a3e,color:#000
  classDef removed fill:#ffe3e3,stroke:#c92a2a,color:#000,stroke-dasharray:4"""


def mermaid(old: Mapping[str, Any] | None, new: Mapping[str, Any], changed: Collection[str]) -> str:
    """The new design, what went included; `changed` are places as :class:`admin.report.changes.Change` names them."""
    return "\n".join(["flowchart LR", *_lines(old or new, new, changed), CLASSES])


def _lines(old: Mapping[str, Any], new: Mapping[str, Any], changed: Collection[str]) -> Iterator[str]:
    nodes = _both(new["nodes"], old["nodes"])
    hosts = {node.get("host") for node in nodes.values()}
    for host in sorted(host for host in hosts if host):
        yield f'  subgraph {_id("host", host)}["outer host {host}"]'
        yield from (_box("node", node, old, new, changed) for node in nodes.values() if node.get("host") == host)
        yield "  end"
    yield from (_box("node", node, old, new, changed) for node in nodes.values() if not node.get("host"))
    for link in new["cluster"]["links"]:
        number = int(link["number"])
        yield f'  link{number}(["link {number}<br/>{link["subnet"]}"])'
        for name, address in link["addresses"].items():
            yield f"  {_id('node', name)} ---|{address}| link{number}"
    guests = _both(new["guests"], old["guests"])
    for guest in guests.values():
        yield _box("guest", guest, old, new, changed)
        yield f"  {_id('guest', guest['name'])} -.-> {_id('node', guest['node'])}"


def _both(new: Iterable[Mapping[str, Any]], old: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """By name: what is there now, as it is now, and behind it what went."""
    now = {item["name"]: item for item in new}
    return now | {item["name"]: item for item in old if item["name"] not in now}


def _box(  # a machine or a guest
    kind: str, item: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any], changed: Collection[str]
) -> str:
    name, part = item["name"], f"{kind}s"
    before, after = ({other["name"] for other in design[part]} for design in (old, new))
    mark = "added" if name not in before else "removed" if name not in after else ""
    mark = mark or ("changed" if f"{kind} {name}" in changed else "")
    seed = " (seed)" if kind == "node" and new["cluster"]["seed"] == name else ""
    detail = item.get("address") if kind == "node" else f"{item['kind']} {int(item['vmid'])}"
    label = f"{name}{seed}<br/>{detail}"
    shape = f'["{label}"]' if kind == "node" else f'("{label}")'
    return f"  {_id(kind, name)}{shape}" + (f":::{mark}" if mark else "")


def _id(kind: str, name: str) -> str:
    return f"{kind}_{name.replace('-', '_')}"
