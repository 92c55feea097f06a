"""The chain of resources that decides how long a run takes."""

from __future__ import annotations

from typing import Any

from cli.engine.critical_path import Span, critical_path, dependencies, spans


def work(**times: tuple[float, float]) -> dict[str, Span]:
    return {urn: Span(urn, *between) for urn, between in times.items()}


def names(path: list[Span]) -> str:
    return " ".join(span.urn for span in path)


def event(kind: str, urn: str) -> dict[str, Any]:
    return {kind: {"metadata": {"urn": urn, "op": "create"}}}


def test_the_chain_goes_through_the_need_that_was_met_last() -> None:
    times = work(host=(0, 1), slow=(1, 9), quick=(1, 3), join=(9.5, 12), aside=(1, 11))
    waits = {"host": set(), "slow": {"host"}, "quick": {"host"}, "join": {"slow", "quick"}, "aside": {"host"}}
    assert names(critical_path(times, waits)) == "host slow join"


def test_what_ends_last_ends_the_chain_even_if_it_needs_nothing() -> None:
    times = work(host=(0, 1), join=(1, 5), alone=(0, 6))
    assert names(critical_path(times, {"host": set(), "join": {"host"}, "alone": set()})) == "alone"


def test_needs_that_the_run_did_not_touch_are_left_out() -> None:
    assert names(critical_path(work(join=(1, 5)), {"join": {"host"}, "host": set()})) == "join"


def test_a_state_that_contradicts_itself_does_not_run_for_ever() -> None:
    assert names(critical_path(work(a=(0, 1), b=(1, 2)), {"a": {"b"}, "b": {"a"}})) == "a b"


def test_a_run_without_work_has_no_chain() -> None:
    assert critical_path({}, {}) == []


def test_spans_last_from_the_first_word_to_the_outputs() -> None:
    events = [
        (1.0, event("resourcePreEvent", "vm")),
        (1.5, {"diagnosticEvent": {"urn": "vm", "message": "waiting"}}),
        (2.0, event("resourcePreEvent", "never-done")),
        (4.0, event("resOutputsEvent", "vm")),
    ]
    assert spans(events) == {"vm": Span("vm", 1.0, 4.0)}


def test_a_resource_waits_for_all_that_its_state_names() -> None:
    state = {
        "resources": [
            {"urn": "group"},
            {
                "urn": "vm",
                "custom": True,
                "parent": "group",
                "dependencies": ["bridge"],
                "propertyDependencies": {"name": ["random"], "cores": None},
                "provider": "urn::provider::api::0b5c",
                "deletedWith": "host",
            },
            {"urn": "first", "custom": True},
        ]
    }
    assert dependencies(state) == {"vm": {"group", "bridge", "random", "urn::provider::api", "host"}, "first": set()}
