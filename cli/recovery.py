"""docs/recovery.md: the stories of broken clusters, and every error's name, what it means, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.repair import stories
from cluster.errors import CODES
from config.paths import ROOT
from onnode.errors import ON_NODE_CODES
from tools.refusals import TOOL_CODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnode.errors import Code

FILE = ROOT / "docs" / "recovery.md"
HEAD = """\
# Recovery

Every refusal and failure has a stable name. It is printed as `error[name]`, with what was observed, what was expected, and
the next command. This page lists the names; [concepts](concepts.md) explains the words. Running the same command again is
always safe: each step checks the present state first, and continues from there.

For a stack of the lab, run the commands in `make shell`: there the addresses lead into the lab. Outside, the same addresses
may belong to other machines.

The [failure stories](failures.md) explain why many of these refusals exist. When you do not know what is wrong, begin with
[`make doctor`](doctor.md): it changes nothing, and names the causes in order. What `make repair` does about them comes first here.

This page is generated (`make docs`).
"""
SECTIONS: tuple[tuple[str, str, Mapping[str, Code]], ...] = (
    ("On the control machine", "Raised where `make` runs: SSH, formation of the cluster, API, engine.", CODES),
    (
        "On a machine",
        "Raised by the steps that run on an outer host or a node; the message names the machine.",
        ON_NODE_CODES,
    ),
    (
        "Of the lab and the tools",
        "Raised before the program starts: by the installation of Python's packages, the build of the engine, or the lab.",
        TOOL_CODES,
    ),
)


def text() -> str:
    """The page."""
    return HEAD + stories.text() + "".join(_section(*section) for section in SECTIONS)


def _section(title: str, intro: str, codes: Mapping[str, Code]) -> str:
    rows = "".join(
        f'| <a id="{name}"></a>`{name}` | {code.meaning} | {code.next} |\n' for name, code in sorted(codes.items())
    )
    return f"\n## {title}\n\n{intro}\n\n| name | meaning | what to do |\n|---|---|---|\n{rows}"


def write() -> None:
    """Write the page."""
    FILE.write_text(text())
