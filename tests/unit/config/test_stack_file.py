"""What is read in a stack file, and how hostile ones end: by name, at once, and in little memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
import yaml

from config import stack_file
from config.errors import MOST_TOLD, ConfigError, Problem
from config.load import load
from tests.support import program
from tests.support.program import ROOT, change, run, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CASES = yaml.safe_load((ROOT / "tests/cases/stack_files.yaml").read_text())
LONGEST_S = 5.0  # of the processor: several times what a busy machine needs; what it guards against takes minutes
MOST_MEMORY = 100 * 2**20
LONGEST_MESSAGE = 20 * 2**10


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["it"])
def test_a_stack_file_is_read_as_the_engine_reads_it(case: dict[str, Any]) -> None:
    if "settings" in case:
        assert stack_file.parse(case["text"], "Pulumi.x.yaml").settings == case["settings"]
        return
    with pytest.raises(ConfigError) as raised:
        stack_file.parse(case["text"], "Pulumi.x.yaml")
    assert f"Pulumi.x.yaml, {case['refused']}" in str(raised.value) or case["refused"] in str(raised.value)


def _nodes(change_one: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    config = program.stack_file("dev")
    node = config["nodes"][0]
    config["nodes"] = [change_one({**node, "name": f"node{number}"}) for number in range(300)]
    return json.dumps({"config": settings(config)})


BOMB = "config:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)
HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "nested 3000 deep": ("config: " + "[" * 3000 + "]" * 3000, "nested more than 32 deep"),
    "nested 3000 deep, and cut off": ("config: " + "[" * 3000, "nested more than 32 deep"),
    "blocks 500 deep": ("".join(" " * depth + "a:\n" for depth in range(500)), "nested more than 32 deep"),
    "aliases that multiply": (BOMB, "once its aliases are expanded"),
    "an alias to a long text": (
        "config: {a: &x " + "y" * 100_000 + ", b: [" + "*x, " * 1000 + "]}",
        "once its aliases are expanded",
    ),
    "aliases in depth": (
        "config:\n  a0: &a0 [x]\n" + "".join(f"  a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 100)),
        "nested more than",
    ),
    "a long file": ("config: {a: '" + "x" * 5_000_000 + "'}", "fewer than 600000"),
    "no UTF-8": (b"config: {a: \xff}", "save it as UTF-8"),
    "brackets in a text": (json.dumps({"config": {"nodes": "[" * 1000}}), "nodes: "),
    "brackets in a text, 100 000": (json.dumps({"config": {"nodes": "[" * 100_000}}), "nodes: is nested more than"),
    "brackets that close": (json.dumps({"config": {"nodes": "[" * 100 + "]" * 100}}), "nodes: is nested more than 32"),
    "a key twice in a text": (json.dumps({"config": {"cluster": '{"name": 1, "name": 2}'}}), "cluster: has name twice"),
    "no number in a text": (json.dumps({"config": {"pveMajor": "NaN"}}), "pveMajor: holds NaN"),
    "half of a character": (json.dumps({"config": {"cluster": '{"name": "\\ud800"}'}}), "cluster: holds half of a character"),
    "many keys": ("config: {" + ", ".join(f"k{number}: 1" for number in range(12_000)) + "}", "and 11"),
    "many empty nodes": ("config: {nodes: [" + "{}, " * 30_000 + "]}", "and 29"),
    "many misspelt nodes": (_nodes(lambda node: {**node, "memoryMbi": 1}), "did you mean memoryMib?"),
    "many nodes without a key": (_nodes(lambda node: {key: node[key] for key in node if key != "vmid"}), "is missing"),
    "many equal nodes": (_nodes(lambda node: {**node, "name": "same"}), "is used already by"),
    "many nodes of other hosts": (_nodes(lambda node: {**node, "host": f"host{node['name']}"}), "nodes[1].nodeId (node1): the node id 1 is used already"),
    "escapes in a key": (json.dumps({"config": {"\x1b[2J\nerror": 1}}), r"\x1b[2J\nerror: is not a known key"),
    "a long key": (json.dumps({"config": {"a" * 100_000: 1}}), "is not valid YAML"),
    "a long value": (json.dumps({"config": {"cluster": "b" * 500_000}}), "cluster: "),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_by_name_at_once(content: str | bytes, said: str) -> None:
    _refused(json.dumps({"config": {"cluter": 1}}))  # what is built once, is built
    begun = time.process_time()
    told = _refused(content)
    assert time.process_time() - begun < LONGEST_S
    assert said in told
    assert len(told.encode()) < LONGEST_MESSAGE


@pytest.mark.parametrize(
    "name", ["nested 3000 deep", "aliases that multiply", "an alias to a long text", "many empty nodes"]
)
def test_a_hostile_file_takes_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        _refused(HOSTILE[name][0])
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def _refused(content: str | bytes) -> str:
    with pytest.raises(ConfigError) as raised:
        load(stack_file.parse(content, "Pulumi.x.yaml").settings)
    return str(raised.value)


def test_a_message_is_bounded_whatever_it_tells() -> None:
    told = str(ConfigError([Problem("🙂" * 1000, "🙂" * 1000, "🙂" * 1000)] * 1000))
    assert len(told.encode()) < LONGEST_MESSAGE
    assert f"and {1000 - MOST_TOLD} more" in told


def test_a_file_with_many_nodes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x.yaml"
    document = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    document["config"]["nested-pve-ha:nodes"] *= 100
    file.write_text(yaml.safe_dump(document))
    found = json.loads(stack_file.read(file).settings["nested-pve-ha:nodes"])
    assert len(found) == 300


def test_the_program_itself_refuses_what_the_engine_reads_otherwise(tmp_path: Path) -> None:
    config = program.stack_file("dev")
    (tmp_path / "Pulumi.test.yaml").write_text("config:\n  nested-pve-ha:nodes: [{vmid: 0145}]\n")
    with pytest.raises(pulumi.RunError, match="line 2, column 32: 0145 is read as 101"):
        run(config, tmp_path)
    (tmp_path / "Pulumi.test.yaml").write_text("config:\n  nested-pve-ha:nodes: [{vmid: 101}]\n")
    run(change(config, {}), tmp_path)
