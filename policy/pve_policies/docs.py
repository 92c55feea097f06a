"""Writes docs/policies.md from the rules: python -m pve_policies.docs > FILE, within the pack's directory."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import yaml

from . import TOPICS
from .resources import DESIGN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from .rule import Example, Rule

IDENTITY = ("name", "number")
OURS = DESIGN.partition(":")[0]
STORY = re.compile(r"\bF(\d+)\b")
LEVELS = {
    "mandatory": "refuses the run",
    "advisory": "is reported, and the run continues",
    "remediate": "is corrected by the pack, and reported",
    "disabled": "is not reported, unless you turn the rule on",
}
HEAD = """\
<!-- written by `make docs` from policy/pve_policies; do not edit -->
# The policy pack

The pack judges a design before anything is touched. `make up` and `make preview` always use it. You can use it without this
program, because it knows resources by type and property only. Rules with a mark under *everywhere* judge the `proxmoxve` and
`command` resources of any Pulumi program. The others need to know the whole cluster; only our components report that.

## Use it in a program of your own

Copy the directory `policy/` into your repository. Install `pulumi-policy` and `pyyaml` into the virtual environment that
`policy/PulumiPolicy.yaml` names under `runtime.options.virtualenv`. Then run:

```
pulumi preview --policy-pack policy
pulumi up --policy-pack policy
```

The engine stops at the first resource that a mandatory rule refuses. So one run may show some of the violations, and the next
run more. When one resource breaks several rules, all of them are reported.

A VM that runs Proxmox VE itself is recognized by a tag: `nested-pve`, unless you set another one.

## Change levels and settings

For every program that uses the pack, beside it in `policy/PulumiPolicy.yaml`:

```yaml
config:
  guest-kvm-off: mandatory
  outer-host-not-overcommitted:
    coreFactor: 2
```

For one stack, in a JSON file that `--policy-pack-config FILE` names. It overrides the other file, and `all` means every rule:

```json
{"guests-tagged": "disabled", "guests-fit-after-a-failure": {"enforcementLevel": "advisory", "reserveMib": 2048}}
```

A setting alone leaves the rule's level as it is. `all` changes every rule, also advisory and remediating ones.
A mistyped rule name in `PulumiPolicy.yaml` is refused. In the JSON file, the engine ignores it without a message.

`make up` and `make preview` pass `Pulumi.STACK.policy.json` when there is one, and check it first.

The rules judge valid stack files only. A stack file that is invalid, or that Proxmox VE, Corosync or Pulumi would refuse, is refused before
([decision 13](decisions/0013-one-truth-for-each-rule.md)), whatever the levels here. A plain `pulumi up` without the pack asks no rule.

| level | a violation |
|---|---|
"""
UNKNOWN = """
Some values are not known at preview, because a resource that is not made yet decides them. Then the rule
reports an advisory that names the property, and judges the value during `up`.

The pack cannot see three things: whether a value of a resource is a Pulumi secret (the engine passes it decrypted), what a
provider reads from its environment, and what the program does not declare.
"""


def document() -> str:
    """The whole page."""
    rules = [rule for _, topic in TOPICS for rule in topic.RULES]
    levels = "".join(f"| `{level}` | {meaning} |\n" for level, meaning in LEVELS.items())
    overview = "".join(
        f"| [`{rule.id}`](#{rule.id}) | {rule.level.value} | {_everywhere(rule)} | {rule.demands} |\n" for rule in rules
    )
    table = "| rule | level | everywhere | demands |\n|---|---|---|---|\n"
    head = f"{HEAD}{levels}{UNKNOWN}\n## The rules\n\n{table}{overview}"
    return head + "".join(_topic(title, topic) for title, topic in TOPICS)


def _everywhere(rule: Rule) -> str:
    return "✓" if any(not type_.startswith(OURS) for type_ in rule.judges) else ""


def _topic(title: str, topic: ModuleType) -> str:
    said = (topic.__doc__ or "").strip().split(": ", 1)[-1]
    return f"\n## {title}\n\n{said[0].upper()}{said[1:]}\n" + "".join("\n".join(_rule(rule)) for rule in topic.RULES)


def _rule(rule: Rule) -> Iterator[str]:
    yield f"\n### {rule.id}\n"
    yield f"**{rule.demands}** Level: {rule.level.value}. {rule.protects} ({_linked(rule.source)})\n"
    where = "Part of the design" if rule.bad.type == DESIGN else f"`{rule.bad.type}`"
    if other := rule.bad.before:
        there = {key: other.props[key] for key in rule.bad.special}
        where += f", while another one has `{yaml.safe_dump(there, default_flow_style=True).strip()}`"
    yield f"{where}, first refused, then accepted:\n"
    yield f"```yaml\n{_shown(rule.bad, rule.good)}---\n{_shown(rule.good, rule.bad)}```\n"
    yield f"Fix: {rule.fix}\n"
    if rule.settings:
        yield "| setting | type | default | meaning |\n|---|---|---|---|"
        for name, schema in rule.settings.items():
            yield f"| `{name}` | {schema['type']} | `{schema['default']}` | {schema['description']} |"
        yield ""
    judged = ", ".join(f"`{type_}`" for type_ in rule.judges)
    yield f"Judges: {judged}\n"


def _linked(source: str) -> str:
    """The source, with a link to each failure story in it."""
    return STORY.sub(r"[F\1](failures.md#f\1)", source)


def _shown(example: Example, other: Example) -> str:
    return yaml.safe_dump(_difference(_whole(example), _whole(other)), sort_keys=False, width=110)


def _whole(example: Example) -> dict[str, Any]:
    return dict(example.props) | ({"provider": dict(example.provider)} if example.provider else {})


def _difference(one: Any, two: Any) -> Any:  # noqa: ANN401 - JSON values
    """What the first has otherwise than the second, with enough around it to find the place."""
    if isinstance(one, dict) and isinstance(two, dict):
        return {
            key: _difference(value, two.get(key))
            for key, value in one.items()
            if value != two.get(key) or (key in IDENTITY and one != two)
        }
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return [_difference(a, b) for a, b in zip(one, two, strict=True) if a != b]
    if isinstance(one, list):
        return [_scalars(item) for item in one]
    return one


def _scalars(item: Any) -> Any:  # noqa: ANN401 - JSON values
    if not isinstance(item, dict):
        return item
    return {key: value for key, value in item.items() if not isinstance(value, (dict, list))}


if __name__ == "__main__":
    sys.stdout.write(document())
