"""The topology shows what comes, what goes, and what is called otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from cli.report.diagram import mermaid
from components.policed import policed_design
from config.load import validate
from tests.support.program import change, stack_file

DEV = policed_design(validate(stack_file("dev")), [])


def drawn(changes: dict[str, Any]) -> list[str]:
    return mermaid(DEV, change(DEV, changes), ()).splitlines()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"nodes.1.name": "pve2"}, '  node_pve2["proxmox02 → pve2<br/>192.168.0.186"]:::changed'),
        ({"guests.0.name": "web"}, '  guest_web("vm01 → web<br/>vm 200"):::changed'),
        ({"guests.1.name": "web", "guests.1.vmid": 301}, '  guest_web("web<br/>container 301"):::added'),
        ({"outerHosts.0.name": "rack1", **{f"nodes.{n}.host": "rack1" for n in range(3)}}, '  subgraph host_rack1["outer host virtual → rack1"]'),
    ],
)  # fmt: skip
def test_a_new_name_is_shown_beside_the_old_one(changes: dict[str, Any], line: str) -> None:
    assert line in drawn(changes)


def test_a_thing_that_is_renamed_stands_there_once() -> None:
    text = "\n".join(drawn({"nodes.1.name": "pve2", "guests.0.name": "web"}))
    assert ":::added" not in text
    assert ":::removed" not in text
    assert "guest_vm01" not in text


def test_what_went_is_still_shown() -> None:
    gone = change(DEV, {"guests": DEV["guests"][:1]})
    assert '  guest_ct01("ct01<br/>container 300"):::removed' in mermaid(DEV, gone, ()).splitlines()
    assert mermaid(DEV, DEV, ("guest vm01",)).count(":::changed") == 1
    assert ":::" not in mermaid(None, DEV, ())
