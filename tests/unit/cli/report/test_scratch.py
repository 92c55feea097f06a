"""A report's own credentials, which open nothing, suffice for every stack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli.report import scratch
from config import credentials
from config.load import validate
from tests.support.program import stack_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("stack", ["dev", "twonode", "physical"])
def test_what_a_report_has_instead_of_credentials_is_taken(tmp_path: Path, stack: str) -> None:
    config, file = validate(stack_file(stack)), tmp_path / "credentials.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(scratch._worthless(config)))
    assert credentials.load(config, {}, [], {credentials.FILE_VARIABLE: str(file)}, stack="dev").public_key
