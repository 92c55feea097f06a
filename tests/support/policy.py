"""A rule asked as the engine asks it: through the analyzer protocol, with the SDK's own views of the properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format, struct_pb2
from pulumi.runtime import proto
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy
from pulumi_policy import policy as sdk

UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWN_BOOLEAN = "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7"
URN = "urn:pulumi:test::nested-pve-ha::{}::subject"


@dataclass(frozen=True)
class Finding:
    """What a rule said about a resource."""

    mandatory: bool
    message: str


def analyze(
    rule: ResourceValidationPolicy, type_: str, properties: dict[str, Any], *, parent: str = ""
) -> list[Finding]:
    """Judge one resource. `parent` is the type of the component that it belongs to."""
    servicer = sdk._PolicyAnalyzerServicer(
        "nested-pve-ha", "0.0.0", [rule], EnforcementLevel.ADVISORY, None, None, None, None, None, None, None
    )
    inputs = struct_pb2.Struct()
    json_format.ParseDict(properties, inputs)
    options = proto.AnalyzerResourceOptions(parent=URN.format(f"pulumi:pulumi:Stack${parent}") if parent else "")
    request = proto.AnalyzeRequest(
        type=type_, properties=inputs, urn=URN.format(type_), name="subject", options=options
    )
    response = servicer.Analyze(request, None)
    mandatory = sdk._PolicyAnalyzerServicer._map_enforcement_level(servicer, EnforcementLevel.MANDATORY)
    return [Finding(found.enforcementLevel == mandatory, found.message) for found in response.diagnostics]
