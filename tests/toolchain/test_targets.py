"""Why `make up` prepares nothing by a run of the engine on some resources only (cli/looks/preparing.py).

Where this fails, the engine has learnt to leave alone what it was not told to touch: all the better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.workspace import Run, Workspace

PROGRAM = """
from pulumi import ResourceOptions
from pulumi_command import local


def step(name, *after):
    return local.Command(name, create="true", stdin=cfg("user") if name == "user" else "", opts=ResourceOptions(depends_on=after))


nodes = [step(name) for name in cfg("nodes")]
user = step("user", *nodes)
made = {}
for name in cfg("guests"):
    made[name] = step(name, *(() if name in cfg("alone") else (user, *made.values())))
"""


def up(workspace: Workspace, *arguments: str, **changed: object) -> Run:
    given = {"nodes": ["node1"], "guests": ["vm01", "vm02"], "alone": [], "user": "made", **changed}
    workspace.write_program(PROGRAM, given)
    return workspace.finish(workspace.start("up", "--yes", "--skip-preview", *arguments))


# The last one comes in two ways: the engine may have written the user's new dependency before it refuses the node.
REFUSALS: list[tuple[dict[str, object], tuple[str, ...]]] = [
    ({"guests": ["vm01"]}, ("vm02' will be destroyed but was not specified in --target list",)),
    ({"guests": ["vm02", "vm01"], "alone": ["vm01", "vm02"]}, ("Duplicate resource URN",)),
    (
        {"nodes": ["node1", "node2"]},
        ("node2' which was was not specified in --target list", "encountered a snapshot integrity error"),
    ),
]


def test_a_run_on_one_resource_fails_at_what_else_changes(workspace: Workspace) -> None:
    """A guest taken out, guests that come in another order, a node added."""
    assert up(workspace).code == 0
    target = ("--target", str(workspace.resources()["user"]["urn"]))
    run = up(workspace, *target, user="put back, and nothing else")
    assert run.code == 0, run.output
    assert run.steps()["user"] == ["update"]
    for changed, said in REFUSALS:
        run = up(workspace, *target, user="put back", **changed)
        assert run.code != 0, changed
        assert any(one in run.output for one in said), run.output
