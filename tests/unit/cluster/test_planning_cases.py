"""Ways from a live cluster to a described one, as data: a new case is a few lines of YAML in tests/cases/planning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.errors import AdminError
from cluster.planning import words
from cluster.planning.plan import plan
from tests.support.planning import seen, shape

CASES = Path(__file__).parents[2] / "cases" / "planning"


def load() -> list[Any]:
    return [
        pytest.param(case, id=f"{path.stem}: {name}")
        for path in sorted(CASES.glob("*.yaml"))
        for name, case in yaml.safe_load(path.read_text()).items()
    ]


def test_there_are_as_many_as_there_should_be() -> None:
    assert len(load()) >= 60


@pytest.mark.parametrize("case", load())
def test_the_way_or_why_there_is_none(case: dict[str, Any]) -> None:
    live, wanted = shape(case["live"]), shape(case["wanted"])
    how = seen(live, case)
    former = case.get("former", {})
    recorded = {
        name: {**node.links, **former.get(name, {})}
        for name, node in live.nodes.items()
        if name not in case.get("strangers", ())
    }
    if "refused" in case:
        with pytest.raises(AdminError) as refused:
            plan(recorded, live, how, wanted)
        assert refused.value.code == case["refused"]
        text = refused.value.render()
        assert [part for part in case["mentions"] if part not in text] == [], text
        return
    steps = plan(recorded, live, how, wanted)
    assert [{step.survives: words.done(step.transition)} for step in steps] == case["plan"]
