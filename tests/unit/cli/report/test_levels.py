"""Which rules are not as shipped, and which of them a change sets."""

from __future__ import annotations

import pytest

from cli.report.levels import levels, parsed

PACK = "config:\n  guest-kvm-off: mandatory\n  guests-tagged: disabled\n"


def test_the_stacks_own_setting_has_the_last_word() -> None:
    stack = '{"guests-tagged": "mandatory", "x": {"reserveMib": 1}}'
    assert parsed(PACK, stack) == {"guest-kvm-off": "mandatory", "guests-tagged": "mandatory", "x": '{"reserveMib": 1}'}


@pytest.mark.parametrize(("pack", "stack"), [(None, None), ("version: 1.0.0\n", None), ("config:\n", "{}")])
def test_nothing_is_set(pack: str | None, stack: str | None) -> None:
    assert parsed(pack, stack) == {}


@pytest.mark.parametrize(("pack", "stack"), [("[", None), ("- a", None), (None, "{"), (None, "[]")])
def test_what_cannot_be_read_is_refused(pack: str | None, stack: str | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(pack, stack)


def test_what_came_went_or_differs_is_changed_and_nothing_where_nothing_is_known() -> None:
    now, before = (
        {"a": "disabled", "b": "advisory", "c": "advisory"},
        {"b": "advisory", "c": "mandatory", "d": "disabled"},
    )
    found = levels(now, before)
    assert [(one.rule, one.before, one.now) for one in found if one.is_changed] == [
        ("a", "", "disabled"),
        ("c", "mandatory", "advisory"),
        ("d", "disabled", ""),
    ]
    assert [one.rule for one in levels(now, None) if one.is_changed] == []
