"""The pack's page is made of its rules."""

from __future__ import annotations

import pytest
from pulumi_policy import EnforcementLevel

from policy.pve_policies import RULES, settings
from policy.pve_policies.docs import LEVELS, document
from tests.support.program import ROOT


def test_the_page_is_current() -> None:
    assert (ROOT / "docs/policies.md").read_text() == document(), "run make docs"


def test_every_rule_and_setting_is_on_the_page() -> None:
    page = document()
    for rule in RULES:
        assert f"### {rule.id}\n" in page
        for name in rule.settings:
            assert f"| `{name}` |" in page


def test_every_level_is_explained() -> None:
    assert set(LEVELS) == {level.value for level in EnforcementLevel}


def test_the_packs_configuration_is_read() -> None:
    given = {"all": "advisory", "unique-macs": {"enforcementLevel": "disabled"}, "unique-vmids": "mandatory"}
    assert settings.initial(given, RULES) == {
        "all": EnforcementLevel.ADVISORY,
        "unique-macs": {"enforcementLevel": EnforcementLevel.DISABLED},
        "unique-vmids": EnforcementLevel.MANDATORY,
    }


def test_a_setting_alone_leaves_the_level_as_it_is() -> None:
    given = {"guests-fit-after-a-failure": {"reserveMib": 512}}
    filled = {"reserveMib": 512, "enforcementLevel": EnforcementLevel.MANDATORY}
    assert settings.initial(given, RULES) == {"guests-fit-after-a-failure": filled}
    for_all = settings.initial({"all": "disabled", **given}, RULES)
    assert for_all["guests-fit-after-a-failure"] == filled | {"enforcementLevel": EnforcementLevel.DISABLED}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"unique-mac": "mandatory"}, "there is no rule unique-mac; there are "),
        ({"unique-macs": "must"}, "unique-macs: must is no level; use one of advisory, mandatory"),
        ({"unique-macs": {"enforcementLevel": 1}}, "unique-macs: 1 is no level"),
        ({"guests-fit-after-a-failure": {"reserve": 1}}, "has no setting reserve; it has reserveMib"),
        ({"unique-macs": {"any": 1}}, "unique-macs has no setting any; it has none"),
        ({"all": {"reserveMib": 1}}, "is no level"),
    ],
)
def test_a_mistake_in_it_is_named(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings.initial(given, RULES)
