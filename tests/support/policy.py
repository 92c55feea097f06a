"""A rule asked as the engine asks it: through the analyzer protocol, with the SDK's own views of the properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format, struct_pb2
from pulumi.runtime import proto
from pulumi_policy import EnforcementLevel
from pulumi_policy import policy as sdk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.pve_policies import Rule
    from policy.pve_policies.rule import Example

UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
URN = "urn:pulumi:test::nested-pve-ha::{}::{}"


@dataclass(frozen=True)
class Finding:
    """What a rule said about a resource."""

    level: EnforcementLevel
    message: str


def secret(value: object) -> dict[str, object]:
    """A secret as the engine sends it, marked."""
    return {SIGNATURE: SECRET, "value": value}


def analyze(
    rule: Rule,
    example: Example,
    settings: Mapping[str, Any] | None = None,
    name: str = "subject",
    *,
    level: EnforcementLevel | None = None,
) -> list[Finding]:
    """What the rule says about a resource at a level: without one at its own, and a disabled rule at the mandatory one."""
    own = rule.level if rule.level != EnforcementLevel.DISABLED else EnforcementLevel.MANDATORY
    servicer = _servicer(rule, level or own, settings)
    if example.before:
        assert not servicer.Analyze(_request(example.before, f"before-{name}"), None).diagnostics
    response = servicer.Analyze(_request(example, name), None)
    levels = {proto.ADVISORY: EnforcementLevel.ADVISORY, proto.MANDATORY: EnforcementLevel.MANDATORY}
    return [Finding(levels[found.enforcementLevel], found.message) for found in response.diagnostics]


def remediate(rule: Rule, example: Example) -> dict[str, Any]:
    """The inputs as the rule leaves them; the same ones where it changes nothing."""
    response = _servicer(rule, EnforcementLevel.REMEDIATE, None).Remediate(_request(example, "subject"), None)
    if not response.remediations:
        return dict(example.props)
    (done,) = response.remediations
    assert not done.diagnostic, done.diagnostic
    properties: dict[str, Any] = json_format.MessageToDict(done.properties)
    return properties


def _servicer(rule: Rule, level: EnforcementLevel, settings: Mapping[str, Any] | None) -> sdk._PolicyAnalyzerServicer:
    servicer = sdk._PolicyAnalyzerServicer("nested-pve-ha", "0.0.0", [rule.policy()], EnforcementLevel.ADVISORY)
    config = proto.PolicyConfig(enforcementLevel=servicer._map_enforcement_level(level))
    config.properties.update(dict(settings or {}))
    servicer.Configure(proto.ConfigureAnalyzerRequest(policyConfig={rule.id: config}), None)
    return servicer


def _request(example: Example, name: str) -> proto.AnalyzeRequest:
    inputs = struct_pb2.Struct()
    json_format.ParseDict(dict(example.props), inputs)
    parent = URN.format(f"pulumi:pulumi:Stack${example.parent}", "parent") if example.parent else ""
    options = proto.AnalyzerResourceOptions(parent=parent, protect=example.protect)
    request = proto.AnalyzeRequest(
        type=example.type, properties=inputs, urn=URN.format(example.type, name), name=name, options=options
    )
    if example.provider:
        request.provider.type, request.provider.name = "pulumi:providers:proxmoxve", "api"
        request.provider.properties.update(dict(example.provider))
    return request
