"""What is committed of the campaigns: the record, the page that is made of it, and the commit that ran."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tools.campaign import __main__ as campaign
from tools.campaign import world

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_page_is_made_of_the_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    committed = campaign.PAGE.read_text()
    monkeypatch.setattr(campaign, "PAGE", tmp_path / "campaign.md")
    campaign.write()
    assert campaign.PAGE.read_text() == committed


def test_a_commit_is_dirty_by_what_runs_and_not_by_what_a_campaign_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("code.py", "docs/campaign.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("first\n")
    identity = ("-c", "user.name=test", "-c", "user.email=test@lab.internal")
    for words in (("init", "-q"), ("add", "."), (*identity, "commit", "-qm", "first")):
        subprocess.run(("git", "-C", str(tmp_path), *words), check=True)
    monkeypatch.setattr(world, "ROOT", tmp_path)
    clean = world.tree()
    assert clean
    (tmp_path / "docs/campaign.md").write_text("a case more\n")
    assert world.tree() == clean
    (tmp_path / "code.py").write_text("changed\n")
    assert world.tree() == f"{clean}-dirty"
