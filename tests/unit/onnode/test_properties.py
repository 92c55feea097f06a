"""Parsers and edits of text hold for any input, not only for the transcripts."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import tomllib
import xml.sax.saxutils
from functools import partial
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onnode import contract
from onnode.cluster import api_user, cluster_health, corosync, link_preflight, membership
from onnode.contract import documents
from onnode.contract.host import InstallNode
from onnode.contract.libvirt import LibvirtDomain, VerifyLibvirt
from onnode.contract.look import StepLook
from onnode.host import demands, install_node, kvm_nested, libvirt_files, libvirt_xml, nfs_export
from onnode.host.libvirt_files import Card, Hardware
from onnode.node import prepare_node, verify_node
from onnode.system import interfaces_file, packages, processor, pve, repository, sources, systemd, toml

# Under load one example may take seconds; how long they take is not what is tested.
settings.register_profile("any-speed", deadline=None)
settings.load_profile("any-speed")
# For tests that each class of the contract has: together they see some two thousand cases.
OF_EACH_KIND = settings(max_examples=25)

quoted = partial(xml.sax.saxutils.escape, entities={"'": "&apos;"})
LINES = st.lists(
    st.text(st.characters(exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", codec="utf-8"))
).map("\n".join)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
ADDRESSES = st.ip_addresses(v=4).map(lambda address: f"{address}/24")


@pytest.mark.parametrize(
    "parse",
    [
        corosync.parse_conf,
        corosync.parse_links,
        corosync.parse_quorum,
        install_node.parse_keys,
        link_preflight.parse_ping,
        membership.fingerprint,
        membership.key_fingerprints,
        interfaces_file.parse_stanzas,
        nfs_export.parse_exported,
        packages.parse_installed,
        packages.parse_new,
        pve.parse_guest_config,
        pve.parse_version,
        processor.parse_virtualization,
        repository.parse_suite,
        systemd.parse_show,
        demands.parse_memory_mib,
        verify_node.parse_offset,
        lambda text: kvm_nested.parse_options(text, "kvm_intel"),
        lambda text: libvirt_files.parse_domain(text, "a"),
        lambda text: libvirt_files.parse_network(f"<network><mtu size='{quoted(text)}'/></network>", "a"),
        lambda text: libvirt_files.parse_domain(f"<domain><vcpu>{quoted(text)}</vcpu></domain>", "a"),
        lambda text: sources.parse("a.list", text),
        lambda text: sources.parse("a.sources", text),
    ],
)
@given(text=LINES)
def test_no_text_breaks_a_parser(parse: Any, text: str) -> None:  # noqa: ANN401
    parse(text)


VALUES = st.one_of(
    st.text(st.characters(codec="utf-8")),
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.lists(st.text('aβ"\\\n\x7f\x00')),
)
TABLES = st.recursive(
    st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES, max_size=4),
    lambda inner: st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1), st.one_of(VALUES, inner), max_size=4
    ),
    max_leaves=8,
)


@given(TABLES)
def test_toml_reads_back_what_was_written(document: dict[str, Any]) -> None:
    assert tomllib.loads(toml.dumps(document)) == document


def test_toml_has_no_place_for_everything() -> None:
    with pytest.raises(TypeError):
        toml.dumps({"key": None})


CARDS = st.lists(
    st.builds(
        Card,
        st.from_regex(r"52:54:00(:[0-9a-f]{2}){3}", fullmatch=True),
        st.from_regex(r"[a-z][a-z0-9.-]{0,14}", fullmatch=True),
        st.integers(576, 65520),
    ),
    max_size=4,
    unique_by=lambda card: card.mac,
)
HARDWARE = st.builds(
    lambda cpu, nesting, cores, memory, cards: Hardware(cores, memory, cpu, "" if cpu == "host" else nesting, cards),
    st.sampled_from(["host", "EPYC", "Skylake-Server-IBRS"]),
    st.sampled_from(["", "svm", "vmx"]),
    st.integers(1, 512),
    st.integers(1, 2**24),
    CARDS,
)
NAMED = LibvirtDomain("dev", "kvmhost", 101, "pve1", 1, 1, 1, "host", "/srv/dev")


@given(first=HARDWARE, then=HARDWARE)
def test_a_vm_has_what_it_was_given_and_then_what_it_is_given_next(first: Hardware, then: Hardware) -> None:
    text = libvirt_xml.domain(NAMED, first, "/srv/dev/a.raw")
    made = libvirt_files.parse_domain(text, "")
    assert (made.stack, made.vmid, made.disk, made.hardware) == ("dev", 101, "/srv/dev/a.raw", first)
    changed = libvirt_files.parse_domain(libvirt_xml.changed(text, then), "")
    by_mac = {card.mac: card for card in changed.hardware.cards}
    assert by_mac == {card.mac: card for card in then.cards}
    assert dataclasses.replace(changed.hardware, cards=[]) == dataclasses.replace(then, cards=[])
    assert libvirt_xml.changed(libvirt_xml.changed(text, then), then) == libvirt_xml.changed(text, then)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[str, corosync.Conf]:
    """A corosync.conf as Proxmox writes it, and what it says."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    links = draw(st.integers(1, 3))
    indent = draw(st.sampled_from(["  ", "\t", ""]))
    nodes = [
        corosync.ConfNode(
            name, number, draw(st.integers(0, 3)), {link: str(draw(st.ip_addresses(v=4))) for link in range(links)}
        )
        for number, name in enumerate(names, 1)
    ]
    priorities = {link: draw(st.integers(0, 255)) for link in range(links)}
    version = draw(st.integers(1, 999))
    blocks = [
        f"{indent}node {{\n{indent}name: {node.name}\n{indent}nodeid: {node.id}\n{indent}quorum_votes: {node.votes}\n"
        + "".join(f"{indent}ring{link}_addr: {address}\n" for link, address in node.links.items())
        + f"{indent}}}\n"
        for node in nodes
    ]
    interfaces = [
        f"{indent}interface {{\n{indent}knet_link_priority: {priority}\n{indent}linknumber: {link}\n{indent}}}\n"
        for link, priority in priorities.items()
    ]
    text = (
        f"nodelist {{\n{''.join(blocks)}}}\n\ntotem {{\n{indent}cluster_name: lab\n{indent}config_version: {version}\n"
        f"{''.join(interfaces)}{indent}version: 2\n}}\n"
    )
    totem = {"cluster_name": "lab", "config_version": str(version), "version": "2"}
    return text, corosync.Conf("lab", version, nodes, priorities, totem=totem)


@given(clusters())
def test_a_configuration_is_read_whole(cluster: tuple[str, corosync.Conf]) -> None:
    text, conf = cluster
    assert corosync.parse_conf(text) == conf


ENTRY = st.sampled_from(
    [
        "deb http://debian.example/debian trixie main\n",
        "deb [arch=amd64] https://enterprise.proxmox.com/debian/pve trixie pve-enterprise\n",
        "  deb https://enterprise.proxmox.com/debian/ceph-squid trixie enterprise # paid\n",
        "# deb https://enterprise.proxmox.com/debian/pve trixie pve-enterprise\n",
        "deb-src http://download.proxmox.com/debian/pve trixie pve-no-subscription\n",
        "\n",
        "# a comment\n",
    ]
)
STANZA = st.sampled_from(
    [
        "Types: deb\nURIs: http://debian.example/debian\nSuites: trixie trixie-updates\nComponents: main\n",
        "# PVE\nTypes: deb\nURIs: https://enterprise.proxmox.com/debian/pve\nSuites: trixie\nComponents: pve-enterprise\n",
        "Types: deb deb-src\nURIs: http://a/debian\n https://enterprise.proxmox.com/debian/pve\nSuites: trixie\nComponents: x\nEnabled: yes\n",
        "Enabled: no\nTypes: deb\nURIs: https://enterprise.proxmox.com/debian/pve\nSuites: trixie\nComponents: pve-enterprise\n",
        "Types: deb\nURIs: https://enterprise.proxmox.com.example/debian\nSuites: trixie\nComponents: main",
    ]
)


@given(st.sampled_from([("a.list", ENTRY, ""), ("a.sources", STANZA, "\n")]).flatmap(
    lambda kind: st.tuples(st.just(kind[0]), st.lists(kind[1]).map(lambda parts: kind[2].join(part.rstrip("\n") + "\n" for part in parts)))
))  # fmt: skip
def test_only_enterprise_is_turned_off_and_only_once(file: tuple[str, str]) -> None:
    path, text = file
    off = sources.disable_enterprise(path, text)
    before, after = sources.parse(path, text), sources.parse(path, off)
    assert not [source for source in after if source.enterprise]
    assert sources.disable_enterprise(path, off) == off
    if path.endswith(".list"):
        assert after == [source for source in before if not source.enterprise]
    else:
        assert set(after) <= set(before)
        assert "https://enterprise.proxmox.com" in text or off == text


@given(
    st.lists(st.tuples(NAMES, ADDRESSES), unique_by=lambda one: one[0]), NAMES, ADDRESSES, st.sampled_from([1500, 9000])
)
def test_an_address_is_set_and_all_others_stay(
    others: list[tuple[str, str]], name: str, address: str, mtu: int
) -> None:
    text = "".join(f"auto {one}\niface {one} inet static\n\taddress {at}\n\tgateway 10.0.0.1\n\n" for one, at in others)
    files = interfaces_file.ensure_static({interfaces_file.FILE: text}, name, address, mtu)
    once = files[interfaces_file.FILE]
    before = {stanza.name: stanza for stanza in interfaces_file.parse_stanzas(text)}
    after = {stanza.name: stanza for stanza in interfaces_file.parse_stanzas(once)}
    changed = after.pop(name)
    assert address in changed.addresses
    assert changed.mtu == (None if mtu == 1500 else mtu)
    assert after == {one: stanza for one, stanza in before.items() if one != name}
    assert interfaces_file.ensure_static(files, name, address, mtu) == files
    kept = [line for line in text.splitlines() if line.split("/")[0] not in once]
    assert kept == []
    assert once.count(f"auto {name}\n") == 1


@given(LINES, ADDRESSES, NAMES)
def test_a_name_has_one_address_in_hosts(text: str, address: str, name: str) -> None:
    bare = address.partition("/")[0]
    once = prepare_node.hosts_text(text, bare, f"{name}.lab.internal", name)
    assert prepare_node.hosts_address(once, name) == [bare]
    assert prepare_node.hosts_text(once, bare, f"{name}.lab.internal", name) == once


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(1, 20)), min_size=1))
def test_the_newest_kernel_is_the_one_with_the_highest_numbers(versions: list[tuple[int, int, int, int]]) -> None:
    names = [f"proxmox-kernel-{a}.{b}.{c}-{build}-pve-signed" for a, b, c, build in versions]
    a, b, c, build = max(versions)
    assert packages.newest_kernel(names) == f"{a}.{b}.{c}-{build}-pve"


MODULES = [
    importlib.import_module(f"onnode.contract.{module.name}") for module in pkgutil.iter_modules(contract.__path__)
]
CONTRACT = [
    kind
    for module in MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == module.__name__ and hasattr(kind, "__dataclass_fields__")
]

# Facts are any JSON, of which no value can be drawn.
st.register_type_strategy(StepLook, st.builds(StepLook, facts=st.none() | st.dictionaries(st.text(), st.booleans())))


@pytest.mark.parametrize("kind", CONTRACT)
@given(data=st.data())
def test_what_is_asked_and_reported_survives_its_json(kind: type[Any], data: st.DataObject) -> None:
    one = data.draw(st.from_type(kind)) if kind is not InstallNode else InstallNode(
        "s", 1, "n", "/i", "local", {"global": {"a": [1, "b"]}}, "#!", "a", "k", 5
    )  # fmt: skip
    assert documents.parse(kind, documents.document(one)) == one


BY_NUMBER = VerifyLibvirt("dev", {101: "pve1", 102: "pve2"}, [], [], 4096, 64, "/srv/dev")


def test_numbers_that_are_keys_are_texts_in_json_and_come_back() -> None:
    asked = json.loads(json.dumps(documents.document(BY_NUMBER)))
    assert asked["vms"] == {"101": "pve1", "102": "pve2"}
    assert documents.parse(VerifyLibvirt, asked) == BY_NUMBER


@pytest.mark.parametrize("key", ["first", "1.5", "", "\u0661"])
def test_a_key_that_is_no_number_is_a_named_refusal(key: str) -> None:
    with pytest.raises(ValueError, match=r"VerifyLibvirt.vms, key .*: expected int, got str"):
        documents.parse(VerifyLibvirt, {**documents.document(BY_NUMBER), "vms": {key: "pve1"}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", CONTRACT)
@OF_EACH_KIND
@given(data=st.dictionaries(st.text(), JSON) | JSON)
def test_any_other_json_is_a_named_refusal(kind: type[Any], data: Any) -> None:  # noqa: ANN401
    assume(data != {})  # where every field has a default, an empty object is a whole one
    with pytest.raises(ValueError, match=kind.__name__):
        documents.parse(kind, data)


def test_parsers_of_json_are_told_apart_by_their_callers() -> None:
    for parse in (api_user.parse_roles, api_user.parse_user):
        assert not any(parse("", "pulumi@pve"))
    with pytest.raises(ValueError, match="Expecting"):
        cluster_health.parse_ha("")
