"""A whole configuration in the shape of the Design component's facts, so that two stack files can be compared. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.report.values import by_identity, identified
from components.policed import policed_design
from config import topology
from config.model import ExistingNode

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from config.model import Config


def whole(config: Config, plain_secrets: Collection[str]) -> dict[str, Any]:
    """The facts that policies judge, and every other value of the stack file.

    Args:
        config: the configuration.
        plain_secrets: names of the settings that hold a secret and are not encrypted.
    """
    written = config.model_dump(mode="json", by_alias=True)
    cluster = written["cluster"]
    numbers = topology.link_numbers(config)
    cluster["links"] = [link | {"number": number} for number, link in zip(numbers, cluster["links"], strict=True)]
    cluster |= cluster.pop("options")
    del cluster["onDestroy"]  # which the facts call keepsGuests
    for node, one in zip(config.nodes, written["nodes"], strict=True):
        del one["links"]
        if isinstance(node, ExistingNode):
            one["interfaces"] = [end.interface for end in node.links] + [end.interface for end in node.networks]
    facts = policed_design(config, plain_secrets)
    for guest, one in zip(config.guests, facts["guests"], strict=True):
        one["ha"].pop("preferred", None)  # which the priorities show
        one["ha"]["nodes"] = [f"{name} ({guest.ha.nodes[name]})" for name in one["ha"]["nodes"]]
    for one in written["guests"]:
        one.pop("type", None)  # which the facts call kind
    return {key: _filled(facts[key], written.get(key)) if key in facts else written[key] for key in facts | written}


def _filled(facts: Any, written: Any) -> Any:  # noqa: ANN401 - JSON values
    """The facts, with the values that only the stack file has; where both have a value, the fact's."""
    if isinstance(facts, dict) and isinstance(written, dict):
        return {key: _filled(facts[key], written.get(key)) if key in facts else written[key] for key in facts | written}
    if identified(facts) and identified(written):
        others: Mapping[str, Any] = by_identity(written)
        return [_filled(item, others.get(name)) for name, item in by_identity(facts).items()]
    return facts
