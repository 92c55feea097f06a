"""Reading the configuration: shape mistakes, credentials, and what is generated from the model."""

# ruff: noqa: ANN401 - values of a YAML file

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from config import credentials, schema
from config.__main__ import generated
from config.errors import ConfigError
from config.gaps import GAPS
from config.load import load, validate
from lab import credentials as lab_credentials
from lab.settings import Settings
from lab.shape import SHAPES
from tests.support.program import HOST_KEY, PRIVATE_KEY, ROOT, change, host_key, settings, stack_file
from tests.support.program import credentials as good_credentials

if TYPE_CHECKING:
    from pathlib import Path

SECRET = ["nested-pve-ha:credentials"]

WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"nodes.0.memoryMb": 1}, "nodes[0].memoryMb", "not a known key", "did you mean memoryMib?"),
    ({"clutser": 1}, "clutser", "not a known key", "did you mean cluster?"),
    ({"xyzzy": 1}, "xyzzy", "not a known key", "remove it"),
    ({"cluster.diskGib": 1}, "cluster.diskGib", "not a known key", "known here: api, latencyMaxMs"),
    ({"nodes.0.disk_gib": 1}, "nodes[0].disk_gib", "not a known key", "did you mean diskGib?"),
    ({"outerHosts.0.sshPort": 2222}, "outerHosts[0].sshPort", "no support for SSH on another port than 22", "sshd listen on 22"),
    ({"guests.0.cloudInit": {}}, "guests[0].cloudInit", "no support for cloud-init", "kind: existing"),
    ({"backups": [{}]}, "backups", "no support for backup jobs", "left alone"),
    ({"guests.0.ha.state": False}, "guests[0].ha.state", "false is not known here", "use one of started or stopped"),
    ({"maintenance": {"reboot": "no"}}, "maintenance.reboot", '"no" is a text in YAML 1.2', "write true or false"),
    ({"nodes.0.name": 1003}, "nodes[0].name", "1003 is no text", "put it in quotes"),
    ({"guests": ""}, "guests", "has no value", "remove the key"),
    ({"storages.0.kind": "zfspool"}, "storages[0]", 'no kind "zfspool"', "external is all that the cluster has already: ZFS, LVM, Ceph"),
    ({"nodes.0.address": "fd00::1"}, "nodes[0].address", "IPv4 only", "use an IPv4 address"),
    ({"cluster.links.0.subnet": "fd00::/64"}, "cluster.links[0].subnet", "IPv4 only", "use an IPv4 address"),
    ({"nodes.0.name": "PVE1"}, "nodes[0].name", '"PVE1" is not right', "at most 63 lower-case letters"),
    ({"cluster.latencyMaxMs": 500}, "cluster.latencyMaxMs", "500 is too much", "use at most 10"),
    ({"nodes.0.vmid": 1_000_000_000}, "nodes[0].vmid", "1000000000 is too much", "use at most 999999999"),
    ({"nodes.0.memoryMib": "2048"}, "nodes[0].memoryMib", 'must be a whole number, not "2048"', "digits only"),
    ({"nodes.0.kind": "virtual"}, "nodes[0]", 'there is no kind "virtual"', "use one of nested, existing"),
    ({"nodes.0.vmid": 99}, "nodes[0].vmid", "99 is too little", "use at least 100"),
    ({"nodes.0.links.0": "10.10.1.300"}, "nodes[0].links[0]", '"10.10.1.300" is no IPv4 address', "from 0 to 255"),
    ({"nodes.0.address": "192.168.000.185"}, "nodes[0].address", "is no IPv4 address", "without leading zeros"),
    ({"nodes.0.address": "192.168.0.185/24"}, "nodes[0].address", "has a prefix", "the address alone"),
    ({"managementNetwork.subnet": "192.168.0.0"}, "managementNetwork.subnet", "has no prefix", "192.168.0.0/24"),
    ({"managementNetwork.subnet": "192.168.0.0/0.0.0.255"}, "managementNetwork.subnet", "has no prefix", "in digits"),
    ({"outerHosts.0.bridges.2.address": "10.30.1.1"}, "outerHosts[0].bridges[2].address", "has no prefix", "192.168.0.0/24"),
    ({"cluster.name": "a-name-of-16-char"}, "cluster.name", "is not right", "at most 15 letters, digits and dashes"),
    ({"cluster.name": "-proxmox"}, "cluster.name", "is not right", "at most 15 letters, digits and dashes"),
    ({"cluster.name": "my_cluster"}, "cluster.name", "is not right", "at most 15 letters, digits and dashes"),
    ({"cluster.links": []}, "cluster.links", "at least 1", "docs/config.md"),
    ({"cluster.links.0.subnet": "10.10.1.1/24"}, "cluster.links[0].subnet", "is an address in a network", "write the network: 10.10.1.0/24"),
    ({"pveMajor": 7}, "pveMajor", "7 is not known here", "8 or 9"),
    ({"outerHosts.0.bridges.0.name": "br-links"}, "outerHosts[0].bridges[0].name", "br-links", "vmbr and a number"),
    ({"installation.keyboard": "en"}, "installation.keyboard", '"en" is not known here', "en-us"),
    ({"guests.1.address": "here"}, "guests[1].address", '"here" has no prefix', "192.168.0.0/24"),
    ({"guests.0.ha.nodes": {"proxmox01": None}}, "guests[0].ha.nodes.proxmox01", "must be a whole number, not empty", "digits only"),
    ({"guests.0.ha.nodes": ["proxmox01"]}, "guests[0].ha.nodes", "must be a map of keys and values, not a list", "key: value"),
    ({"nodes": "pve1"}, "nodes", 'must be a list, not "pve1"', "a line with -"),
    ({"nodes.0.name": ["pve1"]}, "nodes[0].name", "must be a text, not a list", "one text"),
    ({"guests": [None]}, "guests[0]", "must be a map of keys and values, not empty", "key: value"),
    ({"cluster.latencyMaxMs": "fast"}, "cluster.latencyMaxMs", 'must be a number, not "fast"', "a number"),
    ({"cluster.links": [{"subnet": f"10.{number}.1.0/24"} for number in range(9)]}, "cluster.links", "has 9 items", "at most 8"),
    ({"installation.mailto": 'a"b@example.com'}, "installation.mailto", "is not right", "no quotes"),
    ({"installation.mailto": "root@-example"}, "installation.mailto", "is not right", "no quotes"),
    ({"outerHosts.0.nfsExport.path": "/srv/../etc"}, "outerHosts[0].nfsExport.path", "is not right", "no part beginning with ."),
    ({"storages.0.export": "/srv/$(reboot)"}, "storages[0].export", "is not right", "letters, digits"),
    ({"outerHosts.0.installer.url": "http://ci:secret@mirror.example/x.iso"}, "outerHosts[0].installer.url", "is not right", "no password"),
    ({"maintenance": {"uri": "http://mirror.example/pve?key=1"}}, "maintenance.uri", "is not right", "without spaces, ?"),
    ({"cluster.api.endpoint": "https://-.-:8006"}, "cluster.api.endpoint", "is not right", "https://host:8006"),
    ({"nodes.0.watchdog": "a" * 56}, "nodes[0].watchdog", "is not right", "at most 55"),
    ({"guests.0.ha.nodes": {"proxmox01": 0}}, "guests[0].ha.nodes.proxmox01", "0 is too little", "use at least 1"),
    ({"guests.1.cores": 9000}, "guests[1].cores", "9000 is too much", "use at most 8192"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "key", "found", "fix"), WRONG)
def test_a_wrong_shape_is_reported_with_its_key(changes: dict[str, Any], key: str, found: str, fix: str) -> None:
    with pytest.raises(ConfigError) as raised:
        validate(change(stack_file("dev"), changes))
    assert [problem.path for problem in raised.value.problems] == [key]
    assert found in raised.value.problems[0].message
    assert fix in raised.value.problems[0].fix


def test_a_missing_key_is_named() -> None:
    config = stack_file("dev")
    del config["nodes"][1]["vmid"]
    del config["pveMajor"]
    with pytest.raises(ConfigError) as raised:
        validate(config)
    assert {problem.path for problem in raised.value.problems} == {"pveMajor", "nodes[1].vmid"}


def test_scalars_are_read_in_the_form_that_the_engine_stores_them() -> None:
    texts = settings(stack_file("dev"))
    assert texts["nested-pve-ha:pveMajor"] == "9"
    assert load({**texts, "other:key": "x"}).pve_major == 9


def read(document: Any, config_changes: dict[str, Any] | None = None, stack: str = "dev") -> credentials.Credentials:
    config = validate(change(stack_file(stack), config_changes or {}))
    return credentials.load(config, {SECRET[0]: json.dumps(document)}, SECRET, {}, stack=stack)


def refused(document: Any, stack: str = "dev") -> dict[str, str]:
    with pytest.raises(ConfigError) as raised:
        read(document, stack=stack)
    return {problem.path: f"{problem.message} {problem.fix}" for problem in raised.value.problems}


def test_credentials_come_from_the_stacks_secrets() -> None:
    found = read(good_credentials())
    assert found.root_password.get_secret_value() == "root-password"
    assert "root-password" not in repr(found)
    assert found.public_key.startswith("ecdsa-sha2-nistp256 ")


def test_credentials_in_the_clear_are_refused() -> None:
    config = validate(stack_file("dev"))
    with pytest.raises(ConfigError, match="without encryption"):
        credentials.load(config, {SECRET[0]: json.dumps(good_credentials())}, [], {}, stack="dev")


def test_credentials_come_from_the_file_that_the_environment_names(tmp_path: Path) -> None:
    config, path = validate(stack_file("dev")), tmp_path / "credentials.json"
    path.write_text(json.dumps(good_credentials()))
    path.chmod(0o600)
    environment = {"NESTED_PVE_CREDENTIALS": str(path)}
    assert credentials.load(config, {}, [], environment, stack="dev").api_password.get_secret_value() == "api-password"
    path.write_text('["api-password"]')
    with pytest.raises(ConfigError, match="is not a JSON object\n    fix: write it as a JSON object") as refused:
        credentials.load(config, {}, [], environment, stack="dev")
    assert "api-password" not in str(refused.value)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=rf"open to others \(mode 640\)\n    fix: chmod 600 {path}"):
        credentials.load(config, {}, [], environment, stack="dev")
    path.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        credentials.load(config, {}, [], environment, stack="dev")
    with pytest.raises(
        ConfigError, match=r"NESTED_PVE_CREDENTIALS is not set\n    fix: .* docs/config\.md#credentials"
    ):
        credentials.load(config, {}, [], {}, stack="dev")


@pytest.mark.parametrize(
    ("shape", "stack"), [("default", "dev"), ("default", "twonode"), ("libvirt", "libvirt"), ("physical", "physical")]
)
def test_the_labs_credentials_suffice_for_its_stacks(shape: str, stack: str, tmp_path: Path) -> None:
    lab = Settings(tmp_path, tmp_path)
    lab_credentials.make(lab, SHAPES[shape], (os.getuid(), os.getgid()))
    environment = {"NESTED_PVE_CREDENTIALS": str(lab.credentials)}
    found = credentials.load(validate(stack_file(stack)), {}, [], environment, stack=stack)
    assert found.ssh_public_key is not None
    assert found.ssh_public_key.startswith(found.public_key)


def test_insufficient_credentials_are_all_named_and_never_quoted() -> None:
    document = good_credentials() | {"rootPassword": "hunter2", "apiPassword": "short", "hostKeySeed": "abc123"}
    document["outerHosts"] = {}
    found = refused(document)
    assert set(found) == {
        "credentials.rootPassword",
        "credentials.apiPassword",
        "credentials.hostKeySeed",
        "credentials.outerHosts.virtual.password",
        "outerHosts[0].hostKey",
    }
    assert "openssl rand -hex 32" in found["credentials.hostKeySeed"]
    assert "virtual (192.168.0.180): cat /etc/ssh/ssh_host_ed25519_key.pub" in found["outerHosts[0].hostKey"]
    assert not [text for text in found.values() if re.search("hunter2|abc123|: short", text)]


def test_a_broken_key_is_refused_without_showing_it() -> None:
    broken = PRIVATE_KEY.replace("M", "N")
    found = refused(good_credentials() | {"sshPrivateKey": broken})
    assert "unencrypted SSH private key" in found["credentials.sshPrivateKey"]
    assert broken.splitlines()[1] not in str(found)
    assert set(refused(good_credentials() | {"sshKey": "hunter2"})) == {"credentials.sshKey"}
    assert "hunter2" not in str(refused(good_credentials() | {"sshKey": "hunter2"}))


def test_a_line_of_known_hosts_is_no_host_key() -> None:
    """It begins with the address; the SSH client once refused it with a traceback."""
    document = good_credentials()
    document["outerHosts"] = {"virtual": {"password": "outer-password", "hostKey": f"192.168.0.180 {HOST_KEY}"}}
    assert set(refused(document)) == {"credentials.outerHosts.virtual.hostKey"}


def test_existing_nodes_need_a_host_key_from_somewhere() -> None:
    assert set(refused(good_credentials() | {"nodes": {}}, "physical")) == {f"nodes[{n}].hostKey" for n in range(3)}
    own = {f"nodes.{n}.hostKey": host_key(f"pve{n + 1}") for n in range(3)}
    read(good_credentials() | {"nodes": {}}, own, stack="physical")


def test_a_host_key_belongs_to_one_machine_wherever_it_is_given() -> None:
    copied = good_credentials()
    copied["nodes"]["pve3"] = copied["nodes"]["pve2"]
    told = "pve3 has the same host key as pve2"
    assert told in refused(copied, "physical")["credentials.nodes.pve3.hostKey"]
    with pytest.raises(ConfigError, match=told):
        read(good_credentials(), {"nodes.2.hostKey": host_key("pve2")}, stack="physical")


def test_generated_files_are_current() -> None:
    """Run `make docs` when this fails."""
    for path, text in generated().items():
        assert path.read_text() == text, path.name


def test_the_reference_page_has_every_key() -> None:
    page = (ROOT / "docs/config.md").read_text()
    assert len(schema.known_keys()) > 60
    for key in schema.known_keys():
        assert f"`{key}`" in page, key


def test_the_schema_is_that_of_a_stack_file() -> None:
    document = schema.stack_file_schema()
    properties = document["properties"]["config"]["properties"]
    for stack in ("dev", "twonode", "physical"):
        keys = set(yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"])
        assert keys <= set(properties), stack
        assert set(document["properties"]["config"]["required"]) <= keys


def test_the_schema_can_be_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "config", "schema"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == schema.stack_file_schema()


@pytest.mark.parametrize("stack", ["dev", "twonode", "physical"])
def test_a_stack_file_holds_nothing_secret_and_a_salt(stack: str) -> None:
    text = (ROOT / f"Pulumi.{stack}.yaml").read_text()
    assert yaml.safe_load(text)["encryptionsalt"].startswith("v1:")
    assert "secure:" not in text


def test_a_host_key_that_is_none_is_refused_among_the_credentials_too() -> None:
    broken = good_credentials()
    broken["outerHosts"]["virtual"]["hostKey"] = "ssh-ed25519 AAAA"
    assert "no SSH public key" in refused(broken)["credentials.outerHosts.virtual.hostKey"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"guests.0.memoryMib": "1G"}, "guests[0].memoryMib (vm01): "),
        ({"guests.1.vmidd": 7}, "guests[1].vmidd (ct01): is not a known key"),
        ({"guests.0.ha.nodes": {"proxmox09": 1, "proxmox01": 2}}, "guests[0].ha.nodes.proxmox09 (vm01): "),
        ({"nodes.1.vmid": 101}, "nodes[1].vmid (proxmox02): "),
        ({"outerHosts.0.bridges.1.mtu": "x"}, "outerHosts[0].bridges[1].mtu (virtual, vmbr2): "),
        ({"nodes.2.name": "proxmox01"}, "nodes[2].name: the name proxmox01 is used already"),
        ({"guests.0.name": None, "guests.0.vmid": "x"}, "guests[0].vmid: "),
        ({f"guests[{'9' * 5000}]": 1}, "guests[9999"),
    ],
)
def test_what_is_told_by_number_is_told_by_name_too(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        validate(change(stack_file("dev"), changes))
    assert f"\n  {told}" in str(raised.value)


def test_a_misspelt_namespace_is_no_other_programs_setting() -> None:
    texts = settings(stack_file("dev"))
    texts["nested-pve:cluster"] = texts.pop("nested-pve-ha:cluster")
    with pytest.raises(
        ConfigError,
        match=r"nested-pve:cluster: is no setting of this program\s+fix: did you mean nested-pve-ha:cluster\?",
    ):
        load(texts)
    load(settings(stack_file("dev")) | {"nested-pve:elsewhere": "1", "aws:cluster": "1"})


def test_no_key_that_exists_is_said_to_be_unsupported() -> None:
    known = {key for place in schema.model_schema()["$defs"].values() for key in place.get("properties", {})}
    gaps_at_hosts_with_libvirt = {"user"}  # an outer host with Proxmox VE has it: the login of its API
    assert GAPS.keys() & known == gaps_at_hosts_with_libvirt


def test_every_gap_is_named_with_a_way_around() -> None:
    for key, (what, way) in GAPS.items():
        with pytest.raises(ConfigError) as raised:
            load(settings(change(stack_file("dev"), {f"cluster.options.{key}": 1})))
        (problem,) = raised.value.problems
        assert (problem.path, problem.message) == (
            f"cluster.options.{key}",
            f"is not a known key: there is no support for {what}",
        )
        assert problem.fix == way
