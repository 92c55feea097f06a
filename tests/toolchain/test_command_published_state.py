"""A state that the published command plugin wrote is this one's own, and the other way round."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.workspace import Workspace

# Without `create` and `delete` nothing is dialed.
PROGRAM = """
from pulumi_command import remote

remote.Command("command", connection=cfg("connection"), stdin="unchanged")
"""

LOGIN = {"host": "127.0.0.1", "password": "one", "private_key": "two", "private_key_password": "three"}
CONNECTION = {**LOGIN, "proxy": LOGIN}
# The engine's mark of a secret.
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
SECRET_FIELDS = ("password", "privateKey", "privateKeyPassword")
State = dict[str, Any]


def secret(value: object) -> State:
    return {SIGNATURE: SECRET, "plaintext": json.dumps(value, separators=(",", ":"))}


def in_the_clear(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict) and value.get(SIGNATURE) == SECRET:
        return in_the_clear(json.loads(value["plaintext"]))
    if isinstance(value, dict):
        return {name: in_the_clear(inner) for name, inner in value.items()}
    return value


def by_published_flags(connection: State) -> State:
    """The connection as the published schema marks it: as a whole, and six fields one by one."""

    def marked(endpoint: State) -> State:
        return {name: secret(value) if name in SECRET_FIELDS else value for name, value in endpoint.items()}

    return secret(marked({**connection, "proxy": marked(connection["proxy"])}))


def by_one_flag(connection: State) -> State:
    """Marked as a whole only."""
    return secret(connection)


def command_of(state: State) -> State:
    found: State = next(r for r in state["deployment"]["resources"] if r["type"] == "command:remote:Command")
    return found


def marks(value: object, path: str = "") -> set[str]:
    """The paths of all that is marked as secret."""
    if isinstance(value, dict) and value.get(SIGNATURE) == SECRET:
        return {path} | marks(json.loads(value["plaintext"]), path)
    if isinstance(value, dict):
        return {mark for name, inner in value.items() for mark in marks(inner, f"{path}.{name}")}
    return set()


def test_what_is_written_has_the_published_flags_and_a_state_with_them_is_the_same(workspace: Workspace) -> None:
    run = workspace.up(PROGRAM, connection=CONNECTION)
    assert run.code == 0, run.output
    state = workspace.export()
    command = command_of(state)
    for written in (command["inputs"]["connection"], command["outputs"]["connection"]):
        plain = in_the_clear(written)
        assert plain["proxy"]["privateKeyPassword"] == "three"
        assert marks(written) == marks(by_published_flags(plain))

    for flags, planned in ((by_published_flags, "same"), (by_one_flag, "update")):
        for properties in (command["inputs"], command["outputs"]):
            properties["connection"] = flags(in_the_clear(properties["connection"]))
        workspace.import_state(state)
        preview = workspace.preview(PROGRAM, connection=CONNECTION)
        assert preview.steps()["command"] == [planned], preview.output
