"""The program run as the engine runs it, against a recorder instead of an engine: what it registers, and in which order."""

# ruff: noqa: ANN401 - JSON values and protobuf messages have no closer type

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import runpy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from unittest import mock

import pulumi
import yaml
from google.protobuf import json_format
from pulumi.runtime import mocks
from pulumi.runtime.settings import get_root_resource, reset_options
from pulumi.runtime.stack import Stack, run_pulumi_func
from pulumi.runtime.sync_await import _sync_await

from config import host_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET_VALUE = "1b47061264138c4ac30d75fd1eb44270"

PRIVATE_KEY = host_keys.derive("test", "administrator").private_pem
HOST_KEY = host_keys.derive("test", "host").public


def host_key(name: str) -> str:
    """The public SSH host key of a machine."""
    return host_keys.derive("test", name).public


def credentials() -> dict[str, Any]:
    """Credentials that suffice for every stack file of the project."""
    return {
        "sshPrivateKey": PRIVATE_KEY,
        "rootPassword": "root-password",
        "apiPassword": "api-password",
        "hostKeySeed": "5eed" * 16,
        "outerHosts": {
            "virtual": {"password": "outer-password", "hostKey": HOST_KEY},
            "kvmhost": {"hostKey": host_key("kvmhost")},
        },
        "nodes": {f"pve{number}": {"hostKey": host_key(f"pve{number}")} for number in (1, 2, 3)},
    }


def stack_file(stack: str) -> dict[str, Any]:
    """The configuration of a stack file, keys without prefix, values plain."""
    document = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    return {key.removeprefix("nested-pve-ha:"): _plain(value) for key, value in document.items()}


def _plain(value: Any) -> Any:
    with contextlib.suppress(ValueError, TypeError):
        return json.loads(value)
    return value


def change(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Set values by path; "+" appends to a list, None takes a key away."""
    result = copy.deepcopy(document)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = result
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if last == "+":
            place.append(copy.deepcopy(value))
        elif isinstance(place, list):
            place[int(last)] = value
        elif value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return result


def settings(config: Mapping[str, Any], secrets: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What the engine hands over: a text for each key."""
    document = dict(config) if secrets is None else {**config, "credentials": secrets}
    return {f"nested-pve-ha:{key}": json.dumps(value) for key, value in document.items()}


@dataclass
class Resource:
    """One registration, as the engine received it."""

    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    dependencies: set[str]
    protect: bool
    deleted_with: str
    retain: bool
    ignore_changes: list[str]
    provider: str
    delete_before_replace: bool = False
    replace_with: list[str] = field(default_factory=list)
    hooks: dict[str, list[str]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def custom(self) -> bool:
        return not self.type.startswith("nested-pve-ha:")

    @property
    def stdin(self) -> Any:
        """The desired state of a step."""
        return json.loads(plain(self.inputs["stdin"]))


def is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(SECRET_SIGNATURE) == SECRET_VALUE


def plain(value: Any) -> Any:
    """A value with all secrets opened."""
    if is_secret(value):
        return plain(value["value"])
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def open_text(value: Any) -> str:
    """All that is legible in a value without opening its secrets."""
    if is_secret(value):
        return ""
    if isinstance(value, dict):
        return "\n".join(f"{key} {open_text(item)}" for key, item in value.items())
    return "\n".join(open_text(item) for item in value) if isinstance(value, list) else str(value)


@dataclass
class Recording:
    """Everything that one run registered."""

    resources: dict[str, Resource]
    exports: dict[str, Any]
    names: list[str]

    def __getitem__(self, name: str) -> Resource:
        found = [resource for resource in self.resources.values() if resource.name == name]
        assert len(found) == 1, f"{name}: {[resource.urn for resource in found]}"
        return found[0]

    def of_type(self, type_: str) -> list[Resource]:
        return [resource for resource in self.resources.values() if resource.type == type_]

    def follows(self, later: str, earlier: str) -> bool:
        """Whether one resource waits, directly or not, for another."""
        goal, todo, seen = self[earlier].urn, {self[later].urn}, set[str]()
        while todo:
            urn = todo.pop()
            seen.add(urn)
            todo |= self.resources[urn].dependencies - seen
        return goal in seen and later != earlier


class _Monitor(mocks.MockMonitor):
    def __init__(self, answers: mocks.Mocks) -> None:
        super().__init__(answers)
        self.recorded: dict[str, Resource] = {}
        self.order: list[str] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.type != "pulumi:pulumi:Stack":
            urn = self.make_urn(request.parent, request.type, request.name)
            # The real engine refuses this; the mocks would not notice.
            assert urn not in self.recorded, f"two resources with URN {urn}"
            self.order.append(request.name)
            self.recorded[urn] = Resource(
                urn=urn,
                type=request.type,
                name=request.name,
                inputs=json_format.MessageToDict(request.object),
                parent=request.parent,
                dependencies=set(request.dependencies),
                protect=request.protect,
                deleted_with=request.deletedWith,
                retain=request.retainOnDelete,
                ignore_changes=list(request.ignoreChanges),
                provider=request.provider,
                delete_before_replace=request.deleteBeforeReplace,
                replace_with=list(request.replace_with),
                hooks=json_format.MessageToDict(request.hooks),
            )
        return super().RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.urn in self.recorded:
            self.recorded[request.urn].outputs = json_format.MessageToDict(request.outputs)
        return super().RegisterResourceOutputs(request)


class _Echo(mocks.Mocks):
    """Every resource comes to be as it was asked for."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        printed = {"stdout": f"printed by {args.name}"} if args.typ == "command:local:Command" else {}
        return f"{args.name}-id", dict(args.inputs) | printed

    def call(self, args: mocks.MockCallArgs) -> NoReturn:
        raise AssertionError(f"the program calls {args.token}: a preview must touch nothing")


def _main() -> None:
    runpy.run_path(str(ROOT / "__main__.py"))


@contextlib.contextmanager
def _runtime() -> Iterator[None]:
    """A loop of its own, so that nothing that one run leaves behind is done in the next."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    reset_options()
    try:
        yield
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        reset_options()
        loop.close()
        asyncio.set_event_loop(None)


def run(  # noqa: PLR0913 - what the engine gives a program
    config: Mapping[str, Any],
    directory: Path,
    *,
    secrets: Mapping[str, Any] | None = None,
    stack: str = "test",
    others: Mapping[str, str] | None = None,
    endpoint: str = "https://192.0.2.1:8006",
) -> Recording:
    """Run the program once with a configuration; relative paths are in `directory`; `others` are foreign settings.

    `endpoint` is where the environment says that the cluster is; nobody asks there.
    """
    document = {**settings(config, credentials() if secrets is None else secrets), **(others or {})}
    environment = {
        "PULUMI_CONFIG": json.dumps(document),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(["nested-pve-ha:credentials"]),
        "PULUMI_ERROR_OUTPUT_STRING": "1",
        "PROXMOX_VE_ENDPOINT": endpoint,
    }
    with _runtime(), mock.patch.dict(os.environ, environment), contextlib.chdir(directory):
        monitor = _Monitor(_Echo())
        mocks.set_mocks(_Echo(), project="nested-pve-ha", stack=stack, preview=False, monitor=monitor)
        _sync_await(run_pulumi_func(_main))
        root = get_root_resource()
        assert isinstance(root, Stack)
        exports = {key: _sync_await(pulumi.Output.from_input(value).future()) for key, value in root.outputs.items()}
    return Recording(monitor.recorded, exports, monitor.order)
