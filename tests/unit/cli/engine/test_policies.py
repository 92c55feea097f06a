"""What the policy pack is asked with, and what is told of it beside its refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.engine import policies
from cli.engine.engine import Run
from cluster.errors import AdminError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_stack_has_levels_of_its_own_when_their_file_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "ROOT", tmp_path)
    (tmp_path / "Pulumi.dev.policy.json").write_text("{}")
    pack = ["--policy-pack", "policy"]
    assert policies.arguments("dev") == [*pack, "--policy-pack-config", "Pulumi.dev.policy.json"]
    assert policies.arguments("home") == pack


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "Expecting property name"),
        ("[]", "list"),
        ("null", "NoneType"),
        ('{"guests-taged": "disabled"}', "there is no rule guests-taged"),
        ('{"guests-tagged": "off"}', "off is no level"),
    ],
)
def test_settings_that_the_engine_would_pass_over_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, named: str
) -> None:
    monkeypatch.setattr(policies, "ROOT", tmp_path)
    (tmp_path / "Pulumi.dev.policy.json").write_text(text)
    with pytest.raises(AdminError) as caught:
        policies.arguments("dev")
    assert caught.value.code == "policies-invalid"
    assert "Pulumi.dev.policy.json" in caught.value.what
    assert named in str(caught.value.observed)
    (tmp_path / "Pulumi.dev.policy.json").write_text('{"guests-tagged": "disabled", "all": "advisory"}')
    assert policies.arguments("dev")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("config: [", "is not valid YAML"),
        ("- config", "list"),
        ("config: {guests-taged: disabled}", "there is no rule guests-taged"),
        ("config: {guests-tagged: off-and-on}", "off-and-on is no level"),
    ],
)
def test_the_packs_own_settings_are_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, named: str
) -> None:
    monkeypatch.setattr(policies, "ROOT", tmp_path)
    file = tmp_path / "policy" / "PulumiPolicy.yaml"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(AdminError) as caught:
        policies.arguments("dev")
    assert caught.value.code == "policies-invalid"
    assert "policy/PulumiPolicy.yaml" in caught.value.what
    assert named in str(caught.value.observed)
    file.write_text("description: no settings\nconfig: {guests-tagged: disabled}")
    assert policies.arguments("dev")


def test_each_advice_and_remedy_is_told_once() -> None:
    run = Run(0, "")
    run.advice = [("even-votes", "A cluster has odd votes.\ndesign: cluster c has 4 votes")] * 2
    run.remedies = [("guest-agent-on", "urn:pulumi:dev::p::t::web")]
    assert policies.verdict_lines(run) == [
        "advice [even-votes] design: cluster c has 4 votes",
        "put right [guest-agent-on] web",
    ]


def test_a_run_whose_rules_all_pass_says_that_the_pack_ran() -> None:
    ran = {"summaryEvent": {"PolicyPacks": {"nested-pve-ha": "0.0.1"}}}
    assert policies.verdict_lines(Run(0, "", events=[ran])) == ["policies: every rule of nested-pve-ha passes"]
    assert policies.verdict_lines(Run(0, "", events=[{"summaryEvent": {}}])) == [], (
        "nothing is said of a pack that did not run"
    )
    advised = Run(0, "", events=[ran], advice=[("guests-tagged", "VM web has no tag")])
    assert policies.verdict_lines(advised) == ["advice [guests-tagged] VM web has no tag"]
