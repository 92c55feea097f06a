"""A report as a document: plain JSON values, from the chronicle of a run. Pure.

Its keys are those of the JSON file; Markdown and HTML are written from the same document.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.engine.critical_path import critical_path, dependencies, inverted, spans
from cli.engine.failures import resource_name
from cli.report import plan, words
from cli.run.engine_runs import RunError
from cli.run.narration import SIGNS, WORDS, sign_of
from cluster.drilling import REAL
from config import topology
from config.model import NestedNode
from onnode.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cli.chronicle import Chronicle, EngineRun, Event, Seen
    from config.model import Config
    from onnode.contract.membership import Membership

Document = dict[str, Any]

VERSION = 1
DESTROY = "destroy"
# They are no work on a resource of today's design: an old one's removal comes long after its successor was made.
NO_SPAN = ("refresh", "read", "replace", "delete-replaced")
FAILED, UNFINISHED = "failed", "not finished"
PATH_MIN_S = 0.05


def document(kept: Chronicle, stack: str, command: str, error: StepError | None, ended: float) -> Document:
    """The report.

    Args:
        kept: what the run did and saw.
        stack: its stack.
        command: its command: `up`, `down`, `upgrade` and others.
        error: why it failed.
        ended: seconds since 1970.
    """
    operations = [row for run in kept.runs for row in _operations(run)]
    return {
        "version": VERSION,
        "stack": stack,
        "command": command,
        "began": _moment(kept.began),
        "seconds": round(ended - kept.began, 1),
        "end": _end(error),
        "changes": [asdict(one) for one in kept.changes],
        "transitions": list(kept.transitions),
        "drifted": [asdict(one) for one in kept.drifted],
        "acts": [asdict(one) for one in kept.acts],
        "drill": asdict(kept.drill) | {"real": REAL[kept.drill.was_master]} if kept.drill else None,
        "operations": operations,
        "stages": [asdict(one) | {"seconds": round(one.seconds, 1)} for one in kept.stages],
        "critical_path": [link for run in kept.runs for link in _path(run, kept.state)],
        "before": _standing(kept.before),
        "after": _standing(kept.after),
        "findings": [asdict(one) for one in kept.findings],
        "passing": [asdict(one) for one in kept.passing],
        "topology": _topology(kept.config) if kept.config else {"nodes": [], "links": []},
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _end(error: StepError | None) -> Document:
    if error is None:
        return {"ok": True, "code": "", "next": "", "failures": []}
    failures = (
        [asdict(one) for one in error.failures]
        if isinstance(error, RunError)
        else [{"code": error.code, "resource": "", "text": error.render()}]
    )
    return {"ok": False, "code": error.code, "next": error.fix, "failures": failures}


# -- what the engine did -----------------------------------------------------------------------------------------------


def _operations(run: EngineRun) -> Iterator[Document]:
    """A row for each resource that something was done about, in the order in which that began."""
    ends: defaultdict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    for moment, event in run.events:
        if ended := event.get("resOutputsEvent"):
            metadata = ended["metadata"]
            ends[metadata["urn"], metadata["op"]].append((moment, _done(metadata)))
        elif failed := event.get("resOpFailedEvent"):
            metadata = failed["metadata"]
            ends[metadata["urn"], metadata["op"]].append((moment, FAILED))
    for moment, event in run.events:
        for operation in plan.read([event]).operations if event.get("resourcePreEvent") else ():
            metadata = event["resourcePreEvent"]["metadata"]
            ended = ends[metadata["urn"], metadata["op"]]
            until, done = ended.pop(0) if ended else (None, UNFINISHED)
            place, what = _worded(operation)
            makes_nothing = operation.type.startswith(plan.MAKES_NOTHING)
            if (what or done in (FAILED, UNFINISHED)) and not makes_nothing:
                yield {
                    "resource": operation.name,
                    "where": place,
                    "what": what,
                    "done": done,
                    "start": round(moment, 1),
                    "seconds": None if until is None else round(until - moment, 1),
                }


def _done(metadata: Mapping[str, Any]) -> str:
    op = str(metadata["op"])
    return WORDS.get(sign_of(dict(metadata)), op) if op in SIGNS else op


def _worded(operation: plan.Operation) -> tuple[str, str]:
    grouped = words.grouped([operation])
    return next(((place, "; ".join(texts)) for place, texts in grouped.items()), ("", ""))


def _path(run: EngineRun, state_after: Mapping[str, Any]) -> Iterator[Document]:
    """The chain of resources that decided how long the run took."""
    needs = _dependencies(run.state)
    needs = inverted(needs) if run.operation == DESTROY else {**needs, **_dependencies(state_after)}
    for span in critical_path(spans(_work(run.events)), needs):
        if span.end - span.start >= PATH_MIN_S:
            name = resource_name(span.urn)
            yield {"resource": name, "start": round(span.start, 1), "end": round(span.end, 1)}


def _dependencies(state: Mapping[str, Any]) -> dict[str, set[str]]:
    return dependencies({"resources": (state.get("deployment") or {}).get("resources") or []})


def _work(events: Iterable[tuple[float, Event]]) -> Iterator[tuple[float, Event]]:
    for moment, event in events:
        told = event.get("resourcePreEvent") or event.get("resOutputsEvent")
        if told and told["metadata"]["op"] not in NO_SPAN:
            yield moment, event


# -- the cluster -------------------------------------------------------------------------------------------------------


def _standing(seen: Seen | None) -> Document | None:
    """How the cluster was at one moment; None when nobody looked."""
    if seen is None:
        return None
    nodes = {name: _node(one) for name, one in seen.items()}
    decides = [one["votes"] for one in nodes.values() if one["quorate"]]
    return {"quorate": bool(decides), "votes": next(filter(None, decides), ""), "nodes": nodes}


def _node(one: Membership | StepError) -> Document:
    """One node's own word. `votes` is empty, and `links` None, where these were not asked for or cannot be told."""
    if isinstance(one, StepError):
        return {"says": one.code, "member": False, "quorate": False, "votes": "", "links": None}
    links: dict[str, dict[str, int]] = {}
    for link in one.links:
        counted = links.setdefault(str(link.link), {"connected": 0, "of": 0})
        counted["of"] += 1
        counted["connected"] += link.connected
    member = one.state == "member"
    return {
        "says": f"in cluster {one.cluster}" if member else "half a member" if one.state == "half" else "in no cluster",
        "member": member,
        "quorate": member and one.quorate,
        "votes": f"{one.quorum.total}/{one.quorum.expected}" if one.quorum else "",
        "links": dict(sorted(links.items())) if one.quorum else None,
    }


def _topology(config: Config) -> Document:
    """The described nodes and links."""
    numbers = topology.link_numbers(config)
    return {
        "nodes": [
            {
                "name": node.name,
                "id": node.node_id,
                "votes": node.votes,
                "host": node.host if isinstance(node, NestedNode) else "",
                "links": {
                    str(number): str(address)
                    for number, address in zip(numbers, topology.link_addresses(node), strict=True)
                },
            }
            for node in config.nodes
        ],
        "links": [
            {"number": number, "subnet": str(link.subnet)}
            for number, link in zip(numbers, config.cluster.links, strict=True)
        ],
    }
