"""What is known of one kind of outer host, and how the state names resources, stands in one place each."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.unit.test_layers import LAYERS, imported, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = "onnode/host/proxmox_ve.py"
OF_LIBVIRT = re.compile(r"\bvirsh\b|qemu:///|/etc/libvirt|libvirtd|<domain\b")
OF_PROXMOX_VE = re.compile(r"\bqm\b|\bpve(?:sm|sh)\b|/etc/pve|qemu-server")
# The provider makes what an outer host has, and what the cluster is given: the product's subject, on any outer host.
OF_THE_CLUSTER = {f"components/{name}.py" for name in ("cd_drive", "corosync_cluster", "ha_guest")}
TYPES = ("proxmoxve:", "command:", "pulumi:providers:proxmoxve", "nested-pve-ha:index:")


def texts(module: str) -> Iterator[str]:
    """The strings of a module that are no docstring; of an f-string, its parts."""
    tree = ast.parse(module)
    documentation = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation:
            yield node.value


def test_resource_types_stand_in_one_module() -> None:
    found = {name for name, text in modules(*LAYERS).items() if any(one.startswith(TYPES) for one in texts(text))}
    assert found == {"components/recorded.py"}


def test_one_module_of_the_outer_hosts_steps_knows_how_proxmox_ve_is_asked() -> None:
    found = {name for name, text in modules("onnode/host").items() if any(map(OF_PROXMOX_VE.search, texts(text)))}
    assert found == {STEPS}


def test_the_steps_know_the_hypervisor_and_not_its_implementation() -> None:
    users = {name for name, text in modules("onnode").items() if "onnode.host.proxmox_ve.ProxmoxVe" in imported(text)}
    assert users == {"onnode/host/kind.py"}
    users = {name for name, text in modules("onnode").items() if "onnode.host.libvirt.Libvirt" in imported(text)}
    assert users == {"onnode/host/kind.py"}


def test_only_modules_of_libvirt_know_how_it_is_asked() -> None:
    """Those of its own steps, and the ones that read its files, write its XML and call its client."""
    found = {name for name, text in modules("onnode/host").items() if any(map(OF_LIBVIRT.search, texts(text)))}
    assert {"onnode/host/virsh.py", "onnode/host/libvirt_files.py", "onnode/host/verify_libvirt.py"} <= found
    assert {name for name in found if "libvirt" not in name} == {"onnode/host/virsh.py"}


def test_one_module_makes_what_an_outer_host_has_by_the_provider() -> None:
    users = {name for name, text in modules(*LAYERS).items() if "pulumi_proxmoxve" in imported(text)}
    assert users - OF_THE_CLUSTER == {"components/outer_host/proxmox_ve.py"}
    choose = {
        name
        for name, text in modules("components").items()
        if "components.outer_host.proxmox_ve.ProxmoxVe" in imported(text)
    }
    assert choose == {"components/host_prep.py"}
