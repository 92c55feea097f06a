"""The programs that a preview of the product is measured against."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from config.paths import ROOT
from tools.bench import yardsticks

if TYPE_CHECKING:
    from pathlib import Path


def test_both_programs_are_written_and_the_first_imports_all_that_the_product_imports(tmp_path: Path) -> None:
    yardsticks.write(tmp_path, ROOT)
    ours = ast.parse((ROOT / "__main__.py").read_text())
    wanted = {ast.unparse(one) for one in ours.body if isinstance(one, ast.Import | ast.ImportFrom)}
    written = (tmp_path / yardsticks.IMPORTS / "__main__.py").read_text()
    assert len(wanted) > 10
    assert wanted <= set(written.splitlines())
    compile((tmp_path / yardsticks.REGISTRATIONS / "__main__.py").read_text(), "registrations", "exec")


def test_a_preview_without_resources_is_no_yardstick(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no resources"):
        yardsticks.keep_steps(tmp_path, '{"steps": []}')
