"""The lab's container template is the one whose checksum the stack file holds."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lab.image import container_template
from tests.support.program import stack_file

if TYPE_CHECKING:
    from pathlib import Path


def test_the_stack_file_holds_the_checksum_of_what_the_lab_serves(tmp_path: Path) -> None:
    file = tmp_path / container_template.NAME
    container_template.write(file)
    template = stack_file("dev")["guests"][1]["template"]
    assert template["fileName"] == container_template.NAME
    assert template["checksum"] == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
