"""Decisions and parsers, as data: a new case is a few lines of YAML in tests/cases/onnode.

The transcripts under parse/ are what the real tools of Proxmox VE 9 print, and what libvirt 9 writes.
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cluster.transport.shipped import SOURCE
from onnode.cluster import admission, storage
from onnode.contract.documents import parse
from onnode.errors import StepError
from onnode.host import installer_image, libvirt_network

if TYPE_CHECKING:
    from types import ModuleType

CASES = Path(__file__).parents[2] / "cases" / "onnode"
OBSERVED: dict[str, type[Any]] = {
    "create-cluster": admission.Candidate,
    "join-cluster": admission.Candidate,
    "storage-remove": storage.Observed,
    "libvirt-network-remove": libvirt_network.Observed,
    "installer-image-remove": installer_image.Observed,
}


def load(kind: str) -> list[Any]:
    found = []
    for path in sorted((CASES / kind).glob("*.yaml")):
        document = yaml.safe_load(path.read_text())
        for name, case in document["cases"].items():
            merged = case if kind == "parse" else merge(document.get("base", {}), case)
            found.append(pytest.param(path.stem, merged, id=f"{path.stem}: {name}"))
    assert found
    return found


def module_named(name: str) -> ModuleType:
    """A module of the on-node package, in whichever part of it."""
    (file,) = (path for path in SOURCE.rglob(f"{name}.py") if path.parent.name != "contract")
    return importlib.import_module(".".join(file.relative_to(SOURCE.parent).with_suffix("").parts))


def merge(base: object, change: object) -> object:
    if isinstance(base, dict) and isinstance(change, dict):
        return {**base, **{key: merge(base.get(key), value) for key, value in change.items()}}
    return change


@pytest.mark.parametrize(("name", "case"), load("decide"))
def test_decision(name: str, case: dict[str, Any]) -> None:
    module = module_named(name.replace("-", "_"))
    observed_type: type[Any] = OBSERVED.get(name) or module.Observed
    observed = parse(observed_type, case["observed"])
    wanted = parse(module.STEP.desired, case["desired"])
    if "error" in case:
        with pytest.raises(StepError) as refused:
            module.STEP.decide(observed, wanted)
        assert refused.value.code == case["error"]
        assert all(isinstance(part, str) for part in (refused.value.observed, refused.value.expected))
        for mentioned in case["mentions"]:
            assert mentioned in refused.value.render()
        return
    actions = module.STEP.decide(observed, wanted)
    assert list(map(str, actions)) == case["actions"]
    if "differs" in case:
        assert [module.STEP.differs(observed, wanted, action) for action in actions] == case["differs"]
    for text in case.get("texts", []):
        assert any(text in action.text for action in actions)
    if not actions:
        assert module.STEP.unchanged(observed, wanted) == case["unchanged"]
    if "facts" in case:
        assert module.STEP.facts(observed, wanted) == case["facts"]


def test_each_step_has_a_case_of_what_it_reports() -> None:
    told = {param.values[0] for param in load("decide") if "facts" in param.values[1]}
    assert told == {path.stem for path in (CASES / "decide").glob("*.yaml")}


def plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize(("name", "case"), load("parse"))
def test_parser(name: str, case: dict[str, Any]) -> None:
    module, function = name.split(".")
    parser = getattr(module_named(module), function)
    assert plain(parser(*case.get("before", []), case["text"], *case.get("after", []))) == case["is"]
