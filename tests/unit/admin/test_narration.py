"""What is said of an update, where the names of what differs would mislead."""

from __future__ import annotations

import pytest

from admin.narration import remark
from admin.outer_vms import VM_TYPE


@pytest.mark.parametrize(
    ("kind", "differs", "told"),
    [
        ("command:local:Command", ["stdin"], "looks again, and changes only what is not as described"),
        ("command:remote:Command", ["stdin"], "looks again, and changes only what is not as described"),
        ("command:remote:Command", ["create", "stdin"], "create, stdin"),
        (VM_TYPE, ["memory"], "memory (a running machine takes it when it is next stopped and started)"),
        (VM_TYPE, ["started"], "started"),
    ],
)
def test_an_update_is_told_as_what_it_does(kind: str, differs: list[str], told: str) -> None:
    assert remark(kind, differs) == told
