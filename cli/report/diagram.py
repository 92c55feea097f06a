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
    """The new design, what went included; `changed` are places as :class:`cli.report.changes.Change` names them."""
    return "\n".join(["flowchart LR", *_lines(old or new, new, changed), CLASSES])


def _lines(old: Mapping[str, Any], new: Mapping[str, Any], changed: Collection[str]) -> Iterator[str]:
    nodes, guests = _both(old["nodes"], new["nodes"]), _both(old["guests"], new["guests"])
    hosts = {host["name"]: host["label"] for host in _both(old["outerHosts"], new["outerHosts"])}
    for host in sorted({node.get("host") or "" for node in nodes} - {""}):
        yield f'  subgraph {_id("host", host)}["outer host {hosts.get(host, host)}"]'
        yield from (_box("node", node, new, changed) for node in nodes if node.get("host") == host)
        yield "  end"
    yield from (_box("node", node, new, changed) for node in nodes if not node.get("host"))
    for link in new["cluster"]["links"]:
        number = int(link["number"])
        yield f'  link{number}(["link {number}<br/>{link["subnet"]}"])'
        for name, address in link["addresses"].items():
            yield f"  {_id('node', name)} ---|{address}| link{number}"
    for guest in guests:
        yield _box("guest", guest, new, changed)
        if guest.get("node"):  # nobody says where an existing one is
            yield f"  {_id('guest', guest['name'])} -.-> {_id('node', guest['node'])}"


def _both(old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The new items, then those that went. An item with a new name in the place of an old one shows both names."""
    before, after = ({item["name"]: item for item in items} for items in (old, new))
    went = {_place(item): name for name, item in before.items() if name not in after}
    found = []
    for name, item in after.items():
        was = name if name in before else went.pop(_place(item), "")
        label = f"{was} → {name}" if was and was != name else name
        found.append({**item, "label": label, "mark": "changed" if label != name else "" if was else "added"})
    return found + [{**before[name], "label": name, "mark": "removed"} for name in went.values()]


def _place(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """What stays the same when only the name changes: the number on its host or in the cluster, otherwise the address."""
    return (item.get("host"), item["vmid"]) if item.get("vmid") else (item.get("address"),)


def _box(kind: str, item: Mapping[str, Any], new: Mapping[str, Any], changed: Collection[str]) -> str:
    """A machine or a guest."""
    name = item["name"]
    mark = item["mark"] or ("changed" if f"{kind} {name}" in changed else "")
    seed = " (seed)" if kind == "node" and new["cluster"]["seed"] == name else ""
    detail = item.get("address") if kind == "node" else f"{item['kind']} {int(item['vmid'])}"
    label = f"{item['label']}{seed}<br/>{detail}"
    shape = f'["{label}"]' if kind == "node" else f'("{label}")'
    return f"  {_id(kind, name)}{shape}" + (f":::{mark}" if mark else "")


def _id(kind: str, name: str) -> str:
    return f"{kind}_{name.replace('-', '_')}"
