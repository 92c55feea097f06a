"""The pack reads its file as the rest of the program, and the engine, read theirs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from config import stack_file
from policy.pve_policies import reading
from tests.support.program import ROOT

CASES = yaml.safe_load((ROOT / "tests/cases/stack_files.yaml").read_text())
# 1e999 is a word to the engine; no setting is that large.
READ = [case["text"] for case in CASES if "settings" in case and "1e999" not in case["text"]]
TWICE = [case["text"] for case in CASES if "a second time" in case.get("refused", "")]


@pytest.mark.parametrize("text", READ)
def test_a_document_is_read_as_everything_else_reads_it(text: str) -> None:
    assert reading.read(text) == stack_file.document(text, "Pulumi.x.yaml")


@pytest.mark.parametrize("text", TWICE)
def test_a_key_that_is_there_twice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stands here twice"):
        reading.read(text)


@pytest.mark.parametrize(
    ("text", "value"), [("a: off", "off"), ("a: 12:30", "12:30"), ("a: 1e3", 1000.0), ("a: 0200", "0200")]
)
def test_words_and_numbers_of_the_older_yaml_are_what_they_look_like(text: str, value: Any) -> None:  # noqa: ANN401 - JSON
    assert reading.read(text) == {"a": value}
