"""docs/recovery.md lists every name an error can have."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from cli import recovery
from cli.repair import stories
from cli.repair.model import KINDS
from cluster.errors import CODES
from config.paths import ROOT
from onnode.errors import ON_NODE_CODES
from toolchain import golang
from tools.refusals import TOOL_CODES

if TYPE_CHECKING:
    from onnode.errors import Code

TOOLS = [ROOT / part for part in ("lab", "toolchain", "tools")]
TOOLS_ERRORS = {"LabError", "ToolchainError"}
# What the lab answers to Proxmox VE's own commands and to libvirt, which show it without a name.
WITHOUT_NAMES = [
    ROOT / "lab/machine" / file
    for file in ("hypervisor.py", "installer.py", "domain.py", "libvirt_host.py", "monitor.py")
]
SOURCES = [ROOT / part for part in ("cli", "cluster", "components")]


def raised() -> set[str]:
    """The codes that the control machine's side raises, by its source."""
    found: set[str] = set()
    for path in (file for source in SOURCES for file in source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "AdminError":
                code = node.args[0]
                assert isinstance(code, ast.Constant), f"{path}:{node.lineno}: a code is a literal"
                assert isinstance(code.value, str)
                found.add(code.value)
    return found


def raised_by_tools() -> set[str]:
    """The codes of the lab, the toolchain and the other tools, by their source, also of those that are shell scripts."""
    found = {failure[0] for failure in golang.KNOWN_FAILURES}
    files = [path for source in TOOLS for path in source.rglob("*") if path.is_file() and path not in WITHOUT_NAMES]
    for path in files:
        text = path.read_bytes().decode(errors="replace")
        found |= set(re.findall(r"error\[([a-z-]+)\]", text))
        for node in ast.walk(ast.parse(text)) if path.suffix == ".py" else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TOOLS_ERRORS:
                found |= {
                    one.value
                    for one in ast.walk(node.args[0])
                    if isinstance(one, ast.Constant) and isinstance(one.value, str) and "-" in one.value
                }
    return found


def test_every_code_of_the_lab_and_the_tools_is_documented() -> None:
    assert {"lab-not-running", "lab-refused", "go-missing", "go-too-old", "python-too-old"} <= raised_by_tools()
    assert raised_by_tools() <= TOOL_CODES.keys() | CODES.keys() | ON_NODE_CODES.keys()
    assert TOOL_CODES.keys() <= raised_by_tools()


def test_the_page_is_current() -> None:
    assert recovery.FILE.read_text() == recovery.text(), "run `make docs`"


def test_every_raised_code_is_documented() -> None:
    assert len(raised()) > 20
    assert raised() <= CODES.keys() | ON_NODE_CODES.keys()


@pytest.mark.parametrize("codes", [CODES, ON_NODE_CODES, TOOL_CODES])
def test_every_code_says_what_to_do(codes: dict[str, Code]) -> None:
    for name in codes:
        assert f"`{name}`" in recovery.text()
    assert all(code.meaning and code.next for code in codes.values())


def test_every_repair_has_a_story_and_every_story_names_causes_of_doctor() -> None:
    documented = set(re.findall(r"`([a-z-]+)`", (ROOT / "docs" / "doctor.md").read_text()))
    told = {cause for story in stories.STORIES for cause in story.causes}
    assert told <= documented
    for name, kind in KINDS.items():
        assert set(kind.causes) <= documented
        assert set(kind.causes) & told, name
        assert f"| `{name}` |" in recovery.text()


def test_no_code_has_two_meanings() -> None:
    names = [*CODES, *ON_NODE_CODES, *TOOL_CODES]
    assert len(set(names)) == len(names)
