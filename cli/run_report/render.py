"""The report for people: as Markdown, and as one HTML file that loads nothing. Pure."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.run_report import picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jinja2 import Environment

    from cli.run_report.model import Document

MARKUP = re.compile(r"[\\`*_|~<>\[\]#&!]")
# A mention, a reference, the beginning of a URL: a letter without width after it makes it a word. In `root@pve1` it stays out.
LIVE = re.compile(r"(?<![\w.])@(?=\w)|#(?=\d)|https?(?=://)|ftp(?=://)|\bwww(?=\.)", re.IGNORECASE)
FENCE = "````"
NOBODY = "nobody looked"


def title(report: Document) -> str:
    """What ran, in a line."""
    return f"make {report['command']}, stack {report['stack']}"


def verdict(report: Document) -> str:
    """How it ended, in a line."""
    took = duration(report["seconds"])
    return f"done in {took}" if report["end"]["ok"] else f"failed after {took}: {report['end']['code']}"


def duration(seconds: float) -> str:
    """In people's words: `8.4 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def standing(one: Mapping[str, Any] | None) -> str:
    """The cluster at one moment, in a line."""
    if one is None:
        return NOBODY
    if not one["nodes"]:
        return "no node was there"
    if not one["quorate"]:
        return "no node is a quorate member"
    return f"quorate with {one['votes'].replace('/', ' of ')} votes" if one["votes"] else "quorate"


def links(node: Mapping[str, Any] | None) -> str:
    """The links of a node, `0: 2/2, 1: 1/2`."""
    if node is None or node["links"] is None:
        return "-"
    return ", ".join(f"{number}: {one['connected']}/{one['of']}" for number, one in node["links"].items()) or "none"


def votes(node: Mapping[str, Any] | None) -> str:
    """What a node says of the quorum."""
    if node is None:
        return "-"
    if not node["member"]:
        return str(node["says"])
    return f"{node['votes']} {'quorate' if node['quorate'] else 'not quorate'}".strip()


def nodes(report: Document) -> list[tuple[str, Mapping[str, Any] | None, Mapping[str, Any] | None]]:
    """Each node that was seen, before and after."""
    before, after = ((report[when] or {}).get("nodes", {}) for when in ("before", "after"))
    return [(name, before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])]


MOMENTS = {
    "last_answer": "last answer",
    "lost": "lost",
    "fenced": "fenced",
    "elsewhere": "elsewhere",
    "answering": "answers again",
}


def clocks(drill: Document) -> list[list[str]]:
    """The rows of a drill: each guest of the node, and what real machines would need."""
    rows = [[one["sid"], *(_since(one[moment]) for moment in MOMENTS), one["node"] or "-"] for one in drill["guests"]]
    return [*rows, ["on real machines", "", *(drill["real"][moment] for moment in list(MOMENTS)[1:]), ""]]


def _since(seconds: float | None) -> str:
    return "not seen" if seconds is None else f"{seconds:.1f} s"


def about_clocks(drill: Document) -> list[str]:
    """What the moments of a drill are, and how exact they are."""
    scale, was_master = drill["time_scale"], drill["was_master"]
    asked = f"every {drill['interval_s']:g} s, and at most {drill['longest_s']:.1f} s lay between two looks"
    lines = [
        f"Seconds since the power of {drill['node']} was cut. Each node was asked by itself, through its API, {asked}.",
        "Last answer: the node said that the guest runs. Lost: HA has the guest in state fence. Fenced: HA recovers it.",
        "Elsewhere: HA's record names another node. Answers again: that node says that it runs. Nobody looked into the guest.",
    ]
    if scale != 1:
        lines.append(
            f"HA's own delays are {scale:g} times the real ones here (the time scale of this site). Corosync's are real."
        )
    if was_master:
        lines.append(f"{drill['node']} was the HA master: on real machines that takes longer.")
    return lines + [
        f"{one['sid']} on {one['node']} went on: at most {one['longest_s']:.1f} s between two answers."
        for one in drill["others"]
    ]


def html(report: Document) -> str:
    """One file, without anything from elsewhere."""
    shown = picture.drawn(report["topology"], report["after"] or report["before"])
    longest = max([link["end"] for link in report["critical_path"]], default=0.0)
    total = max([stage["seconds"] for stage in report["stages"]], default=0.0)
    template = _environment().get_template("report.html.j2")
    return template.render(report=report, picture=shown, longest=longest or 1.0, total=total or 1.0)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - only at the end of a run

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"nodes_of": nodes, "moments": MOMENTS}
    made.filters |= {
        name.__name__: name for name in (title, verdict, duration, standing, links, votes, clocks, about_clocks)
    }
    return made


# -- Markdown ----------------------------------------------------------------------------------------------------------


def markdown(report: Document) -> str:
    """The same in Markdown."""
    return "\n".join(_markdown(report)).rstrip() + "\n"


def _markdown(report: Document) -> Iterator[str]:
    yield f"# {_text(title(report))}\n\n**{_text(verdict(report))}**, begun {report['began']}\n"
    if not report["end"]["ok"]:
        for failure in report["end"]["failures"]:
            yield f"{FENCE}text\n{failure['text'].replace(FENCE, '')}\n{FENCE}\n"
        yield f"Next: {_text(report['end']['next'])}\n"
    yield from _list("What was to change", _remarks(report["changes"]))
    yield from _list("What the cluster was to go through", report["transitions"], numbered=True)
    yield from _list("What had drifted", _remarks(report["drifted"]))
    yield from _list("What was done to the nodes", _remarks(report["acts"]))
    if report["drill"]:
        yield from _table("The clocks of the guests", ("guest", *MOMENTS.values(), "on"), clocks(report["drill"]))
        yield from (f"{_text(line)}\n" for line in about_clocks(report["drill"]))
    yield from _table(
        "What was done",
        ("where", "what", "resource", "", "time"),
        (
            (row["where"], row["what"], row["resource"], row["done"], _seconds(row["seconds"]))
            for row in report["operations"]
        ),
    )
    yield f"## The cluster before and after\n\nBefore: {standing(report['before'])}. After: {standing(report['after'])}.\n"
    yield from _table(
        "",
        ("node", "votes before", "links before", "votes after", "links after"),
        ((name, votes(was), links(was), votes(now), links(now)) for name, was, now in nodes(report)),
    )
    yield from _list("Findings", _remarks(report["findings"]))
    yield from _list("What passes, or was asked for", _remarks(report["passing"]))
    yield from _table(
        "Where the time went",
        ("stage", "time", ""),
        ((one["name"], _seconds(one["seconds"]), FAILED[one["failed"]]) for one in report["stages"]),
    )
    yield from _table(
        "The chain that decided how long the engine took",
        ("resource", "from", "to"),
        ((one["resource"], _seconds(one["start"]), _seconds(one["end"])) for one in report["critical_path"]),
    )


FAILED = {True: "failed", False: ""}


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _remarks(remarks: Iterable[Mapping[str, str]]) -> list[str]:
    return [f"{one['where']}: {one['what']}" + (f" ({one['more']})" if one["more"] else "") for one in remarks]


def _list(heading: str, items: Sequence[str], *, numbered: bool = False) -> Iterator[str]:
    if items:
        yield f"## {heading}\n"
        yield from (f"{f'{number}.' if numbered else '-'} {_text(item)}" for number, item in enumerate(items, 1))
        yield ""


def _table(heading: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    found = list(rows)
    if found:
        yield from [f"## {heading}\n"] if heading else []
        yield f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
        yield from (f"| {' | '.join(map(_text, row))} |" for row in found)
        yield ""


def _text(text: str) -> str:
    """Text in one line, in which nothing is markup, and a forge sees neither a mention nor a link."""
    return LIVE.sub("\\g<0>\u200b", MARKUP.sub(r"\\\g<0>", " ".join(text.split())))
