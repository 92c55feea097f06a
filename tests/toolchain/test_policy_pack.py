"""The policy pack asked by the real engine: every rule's examples as resources of a program without our components."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pulumi_policy import EnforcementLevel

from policy.pve_policies import RULES, Rule, resources
from tests.support.policy import UNKNOWN_STRING
from tests.support.workspace import ROOT, Run, Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from policy.pve_policies.rule import Example

# Each resource has its rule's name. A value that is the marker comes out of a command that no preview runs; what is under
# the key "secret" is one.
PROGRAM = """
import pulumi_command as command

later = command.local.Command("later", create="true").stdout

class Component(pulumi.ComponentResource):
    pass

def known(value):
    if value == cfg("marker"):
        return later
    if isinstance(value, dict) and set(value) == {"secret"}:
        return pulumi.Output.secret(known(value["secret"]))
    if isinstance(value, dict):
        return {key: known(item) for key, item in value.items()}
    return [known(item) for item in value] if isinstance(value, list) else value

api = pulumi.ProviderResource("proxmoxve", "api", {
    "endpoint": "https://127.0.0.1:1", "username": "ci@pve", "password": pulumi.Output.secret("ci-password"),
})
def register(name, kind, props, opts, provider):
    if kind.startswith("pulumi:providers:"):
        return pulumi.ProviderResource(kind.rsplit(":", 1)[1], name, known(props), opts)
    if kind.startswith("proxmoxve:"):
        own = pulumi.ProviderResource("proxmoxve", f"{name}-api", known(provider)) if provider else api
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=own, version="8.6.0"))
    return (Component if kind.startswith("nested-pve-ha:") else pulumi.CustomResource)(kind, name, known(props), opts)

for name, (kind, props, protect, provider, before) in cfg("resources").items():
    earlier = [register(f"before-{name}", *before, None, None)] if before else []
    register(name, kind, props, pulumi.ResourceOptions(protect=protect, depends_on=earlier), provider)
"""
MARKER = "known after the run"
ASKED = {rule.id: rule for rule in RULES if rule.level != EnforcementLevel.DISABLED}


@dataclass(frozen=True)
class Verdicts:
    """What the engine heard of the pack.

    Attributes:
        found: level and message, by resource and rule.
        unknown: names of rules that could not judge.
    """

    run: Run
    found: dict[tuple[str, str], list[tuple[str, str]]]
    unknown: list[str]


def judge(
    workspace: Workspace, examples: Mapping[str, Example], *arguments: str, pack: Path = ROOT / "policy"
) -> Verdicts:
    given = {name: _registered(example) for name, example in examples.items()}
    workspace.write_program(PROGRAM, {"resources": given, "marker": MARKER})
    run = workspace.finish(workspace.start("preview", "--policy-pack", str(pack), *arguments))
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    unknown = []
    for event in (event["policyEvent"] for event in run.events if "policyEvent" in event):
        if "can't run policy" in event["message"]:
            unknown.append(event["policyName"])
            assert event["enforcementLevel"] == "advisory"
        name = event.get("resourceUrn", "").rsplit("::", 1)[-1]
        found.setdefault((name, event["policyName"]), []).append((event["enforcementLevel"], event["message"]))
    return Verdicts(run, found, unknown)


def _registered(example: Example) -> tuple[Any, ...]:
    """What the program registers: nobody answers at any endpoint."""
    provider = {**example.provider, "endpoint": "https://127.0.0.1:1"} if example.provider else None
    before = (example.before.type, dict(example.before.props)) if example.before else None
    return example.type, dict(example.props), example.protect, provider, before


@pytest.fixture
def advice_only(tmp_path: Path) -> tuple[str, str]:
    """The first refusal ends the program, and what it would register then is never judged; advice lets all be judged."""
    config = tmp_path / "advice.json"
    config.write_text(json.dumps({"all": "advisory"}))
    return "--policy-pack-config", str(config)


def test_every_bad_example_is_named(workspace: Workspace, advice_only: tuple[str, str]) -> None:
    verdicts = judge(workspace, {name: rule.bad for name, rule in ASKED.items()}, *advice_only)
    assert verdicts.run.code == 0, verdicts.run.output
    for name, rule in ASKED.items():
        found = verdicts.found[name, name]
        assert {level for level, _ in found} == {"advisory"}, name
        assert all(message.strip().endswith(rule.fix) for _, message in found)


def test_a_mandatory_rule_ends_the_run(workspace: Workspace) -> None:
    rule = "enterprise-repository-subscribed"
    verdicts = judge(workspace, {rule: ASKED[rule].bad})
    assert verdicts.run.code != 0
    assert [level for level, _ in verdicts.found[rule, rule]] == ["mandatory"]


def test_every_good_example_passes_its_own_rule_and_all_mandatory_ones(workspace: Workspace) -> None:
    verdicts = judge(workspace, {name: rule.good for name, rule in ASKED.items()})
    assert verdicts.run.code == 0, verdicts.run.output
    levels = {level for found in verdicts.found.values() for level, _ in found}
    assert "mandatory" not in levels
    assert not [name for name, rule in verdicts.found if name == rule]
    assert verdicts.unknown == []


def test_what_is_unknown_at_preview_is_said_for_every_rule(workspace: Workspace) -> None:
    unknown = {name: hidden(rule) for name, rule in ASKED.items()}
    verdicts = judge(workspace, unknown)
    assert set(verdicts.unknown) == set(ASKED)


def test_a_connection_that_is_not_known_yet_is_advice_and_no_refusal(workspace: Workspace) -> None:
    """The SDK makes the whole connection a secret, and the plugin's own check then shows it empty."""
    connection = {"host": MARKER, "hostKey": "ssh-ed25519 AAAA", "privateKey": MARKER}
    good = ASKED["ssh-host-keys-pinned"].good
    later = replace(good, special={"connection": {"secret": connection}})
    verdicts = judge(workspace, {"later-known": later})
    assert verdicts.run.code == 0, verdicts.run.output
    assert verdicts.unknown == ["ssh-host-keys-pinned"]


def hidden(rule: Rule) -> Example:
    """The bad example, none of its special values known, and nothing of its provider."""
    return replace(rule.bad, special=_hidden(rule.bad.special), provider=_hidden(rule.bad.provider))


def _hidden(value: Any) -> Any:  # noqa: ANN401 - JSON values
    if isinstance(value, dict):
        return {key: _hidden(item) for key, item in value.items()}
    return [_hidden(item) for item in value] if isinstance(value, list) else MARKER


def agents(**examples: dict[str, Any]) -> dict[str, Example]:
    return {name: replace(ASKED["guest-agent-on"].bad, special=special) for name, special in examples.items()}


def remedied(verdicts: Verdicts) -> set[str]:
    done = [event["policyRemediationEvent"] for event in verdicts.run.events if "policyRemediationEvent" in event]
    assert {event["policyName"] for event in done} <= {"guest-agent-on"}
    return {event["resourceUrn"].rsplit("::", 1)[-1] for event in done}


def test_a_remedy_is_shown_in_the_preview(workspace: Workspace) -> None:
    off = {"agent": {"enabled": False}}
    verdicts = judge(workspace, agents(off=off, absent={}, reboots={**off, "rebootAfterUpdate": True}))
    assert verdicts.run.code == 0, verdicts.run.output
    assert remedied(verdicts) == {"off", "absent", "reboots"}
    for name in ("off", "absent", "reboots"):
        inputs = verdicts.run.metadata(name)["new"]["inputs"]
        assert inputs["agent"]["enabled"] is True
        assert inputs["agent"]["waitForIp"]["disabled"] is True
        assert inputs["rebootAfterUpdate"] is (name == "reboots")
        assert not {"agent", "rebootAfterUpdate"} & set(inputs["__defaults"])
    assert "guest-agent-on" in verdicts.run.output


def test_a_remedy_leaves_secrets_secret_and_the_unknown_unknown(workspace: Workspace) -> None:
    given = {
        "agent": {"enabled": False, "timeout": {"secret": "7m"}},
        "description": {"secret": "who pays for it"},
        "initialization": {"userAccount": {"username": "root", "password": {"secret": "in-the-clear"}}},
        "name": MARKER,
    }
    verdicts = judge(workspace, agents(vm=given))
    assert remedied(verdicts) == {"vm"}
    inputs = verdicts.run.metadata("vm")["new"]["inputs"]
    assert inputs["agent"]["enabled"] is True
    for hidden_one in (
        inputs["agent"]["timeout"],
        inputs["description"],
        inputs["initialization"]["userAccount"]["password"],
    ):
        assert hidden_one["ciphertext"] == "[secret]"
    assert inputs["name"] == UNKNOWN_STRING
    for text in ("who pays for it", "in-the-clear"):
        assert text not in verdicts.run.output + json.dumps(verdicts.run.events)


def test_no_remedy_is_made_on_a_guess(workspace: Workspace) -> None:
    parts = ("agent", "template")
    verdicts = judge(workspace, agents(**{part: {part: MARKER} for part in parts}))
    assert verdicts.run.code == 0, verdicts.run.output
    assert remedied(verdicts) == set()
    assert verdicts.unknown.count("guest-agent-on") == len(parts)
    for part in parts:
        assert verdicts.run.metadata(part)["new"]["inputs"][part] == UNKNOWN_STRING


def test_levels_and_settings_come_from_a_file(workspace: Workspace, tmp_path: Path) -> None:
    repository = "enterprise-repository-subscribed"
    examples = {name: ASKED[name].bad for name in (repository, "guests-fit-after-a-failure", "guest-agent-on")}
    examples["guest-kvm-off"] = next(rule for rule in RULES if rule.id == "guest-kvm-off").bad
    config = tmp_path / "policy.json"
    config.write_text(
        json.dumps(
            {
                repository: "advisory",
                "guests-fit-after-a-failure": {"reserveMib": 0},
                "guest-agent-on": "disabled",
                "guest-kvm-off": "advisory",
            }
        )
    )
    verdicts = judge(workspace, examples, "--policy-pack-config", str(config))
    (advice,) = verdicts.found[repository, repository]
    assert advice[0] == "advisory"
    assert ("guests-fit-after-a-failure", "guests-fit-after-a-failure") not in verdicts.found
    assert not [event for event in verdicts.run.events if "policyRemediationEvent" in event]
    assert verdicts.found["guest-kvm-off", "guest-kvm-off"][0][0] == "advisory"
    assert verdicts.run.code == 0, verdicts.run.output
    config.write_text(json.dumps({"guests-fit-after-a-failure": {"reserveMib": "much"}}))
    refused = judge(workspace, examples, "--policy-pack-config", str(config))
    assert refused.run.code != 0
    assert "reserveMib" in refused.run.output


@pytest.fixture
def adopted(tmp_path: Path) -> Path:
    """The pack as somebody else has it: copied into a repository of their own."""
    pack = tmp_path / "adopted"
    shutil.copytree(ROOT / "policy", pack, ignore=shutil.ignore_patterns("__pycache__"))
    return pack


def configure(pack: Path, config: Mapping[str, Any]) -> None:
    document = yaml.safe_load((pack / "PulumiPolicy.yaml").read_text())
    document["runtime"]["options"]["virtualenv"] = str(ROOT / ".venv")
    (pack / "PulumiPolicy.yaml").write_text(yaml.safe_dump({**document, "config": dict(config)}))


def test_an_adopted_pack_has_its_configuration_beside_it(workspace: Workspace, adopted: Path, tmp_path: Path) -> None:
    repository, priorities = "enterprise-repository-subscribed", "corosync-link-priorities"
    examples = {rule: ASKED[rule].bad for rule in (repository, priorities)}
    configure(adopted, {repository: "advisory", priorities: {"enforcementLevel": "disabled"}})
    verdicts = judge(workspace, examples, pack=adopted)
    assert verdicts.run.code == 0, verdicts.run.output
    assert [level for level, _ in verdicts.found[repository, repository]] == ["advisory"]
    assert (priorities, priorities) not in verdicts.found
    config = tmp_path / "policy.json"
    config.write_text(json.dumps({repository: "mandatory"}))
    verdicts = judge(workspace, examples, "--policy-pack-config", str(config), pack=adopted)
    assert [level for level, _ in verdicts.found[repository, repository]] == ["mandatory"]


def test_a_setting_beside_the_pack_leaves_the_level_as_it_is(workspace: Workspace, adopted: Path) -> None:
    rule = "guests-fit-after-a-failure"
    configure(adopted, {rule: {"reserveMib": 1}})
    verdicts = judge(workspace, {rule: ASKED[rule].bad}, pack=adopted)
    assert {level for level, _ in verdicts.found[rule, rule]} == {"mandatory"}


def test_a_mistyped_rule_in_the_packs_configuration_is_refused(workspace: Workspace, adopted: Path) -> None:
    configure(adopted, {"unique-vmid": "advisory"})
    verdicts = judge(workspace, {}, pack=adopted)
    assert verdicts.run.code != 0
    assert "there is no rule unique-vmid" in verdicts.run.output
    assert "Traceback" not in verdicts.run.output


def test_resources_of_programs_without_our_components_are_judged(
    workspace: Workspace, advice_only: tuple[str, str]
) -> None:
    vm = next(rule for rule in RULES if rule.id == "vm-names").good
    node = replace(vm, special={"name": "inner", "tags": ["nested-pve"], "cpu": {"type": "kvm64"}})
    shown = replace(node, special={**node.special, "cpu": {"type": "x86-64-v3", "flags": ["+nested-virt"]}})
    template = replace(vm, special={"template": True})  # the provider declares the host's own drive for it
    given = {"inner": node, "shown": shown, "template": template, "any": ASKED["tls-verified"].bad}
    verdicts = judge(workspace, given, *advice_only)
    assert ("inner", "nested-node-cpu-host") in verdicts.found
    assert ("shown", "nested-node-cpu-host") not in verdicts.found
    assert "the host's own CD drive" in verdicts.found["template", "template-without-cd"][0][1]
    assert ("any", "tls-verified") in verdicts.found
    assert ASKED["tls-verified"].bad.type == resources.PROVIDER


def test_numbers_and_addresses_are_unique_in_any_program(workspace: Workspace, advice_only: tuple[str, str]) -> None:
    vm = next(rule for rule in RULES if rule.id == "vm-names").good
    card = {"bridge": "vmbr0", "macAddress": "BC:24:11:00:00:07"}

    def one(**special: Any) -> Example:  # noqa: ANN401 - JSON values
        return replace(vm, special={**vm.special, **special})

    given = {
        "web": one(vmId=100, networkDevices=[card]),
        "shop": one(vmId=100),
        "cellar": one(vmId=101, networkDevices=[card]),
        "later": one(vmId=MARKER),
        "any": one(networkDevices=[{"bridge": "vmbr0"}]),
    }
    verdicts = judge(workspace, given, *advice_only)
    found = {key: messages for key, messages in verdicts.found.items() if key[1].startswith("unique-")}
    told = sorted(message for messages in found.values() for _, message in messages)
    assert sum("vmid 100 is " in message for message in told) == 1, told
    assert sum("MAC address BC:24:11:00:00:07 is " in message for message in told) == 1, told
    assert [name for name in verdicts.unknown if name.startswith("unique-")] == ["unique-vmids"]
    assert "any" not in {name for name, _ in found}
    refused = judge(workspace, {name: given[name] for name in ("web", "shop")})
    assert refused.run.code != 0
    assert "'s already" in refused.run.output
