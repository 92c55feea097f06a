"""What a nested node is installed with: answers that the installer accepts, a host key that sshd accepts."""

from __future__ import annotations

import os
import shutil
import subprocess
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING, Any

import pytest
from pvelab.install import answer_file as installer
from pydantic import ValidationError

from cluster.transport import shipped
from components import answer_file, first_boot, package
from config import host_keys, root_password
from config.load import validate
from lab.image.installer_iso import write as write_lab_iso
from tests.support.program import HOST_KEY, run, stack_file

if TYPE_CHECKING:
    from pathlib import Path

SEED = "5eed" * 16


def toml(document: dict[str, Any]) -> str:
    """As the on-node step writes it: strings and lists of strings, and the filter's keys quoted."""
    lines = []
    for name, table in document.items():
        lines.append(f"[{name}]")
        for key, value in table.items():
            if isinstance(value, dict):
                lines += [f'{key}.{inner} = "{item}"' for inner, item in value.items()]
            else:
                lines.append(f"{key} = {value!r}")
    return "\n".join(lines) + "\n"


def build(**changes: Any) -> answer_file.AnswerFile:  # noqa: ANN401 - any argument of build
    config = validate(stack_file("dev"))
    arguments: dict[str, Any] = {
        "name": "proxmox01",
        "cidr": IPv4Interface("192.168.0.185/24"),
        "mac": "BC:24:11:9E:5F:42",
        "network": config.management_network,
        "installation": config.installation,
        "root_password_hashed": root_password.hashed("root-password", SEED),
        "ssh_public_key": HOST_KEY,
    }
    return answer_file.build(**(arguments | changes))


@pytest.mark.parametrize("pve_major", [8, 9])
def test_the_installer_accepts_the_answers(pve_major: int) -> None:
    """The lab's validator knows the real one's rules; a wrong key shows that it looks (positive control)."""
    document = build().document(pve_major)
    installer.parse(toml(document))
    document["global"]["hostname"] = "proxmox01"
    with pytest.raises(installer.AnswerError):
        installer.parse(toml(document))


def test_the_root_password_is_given_as_its_hash() -> None:
    hashed = root_password.hashed("root-pässword", SEED)
    salt = hashed.split("$")[2]
    argv = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    judged = subprocess.run(argv, input="root-pässword", capture_output=True, text=True, check=True)
    assert judged.stdout.strip() == hashed, "as crypt(3) has it"
    root_password.hashed.cache_clear()
    assert root_password.hashed("root-pässword", SEED) == hashed, "the same in each preview"
    assert root_password.hashed("root-pässword", "other" * 16).split("$")[2] != salt
    documents = [build().document(major) for major in (8, 9)]
    assert [key for document in documents for key in document["global"] if "password" in key] == [
        "root_password_hashed",
        "root-password-hashed",
    ]
    assert "root-password'" not in str([list(document["global"].values()) for document in documents])


def test_the_answers_in_the_installers_spelling() -> None:
    nine, eight = build().document(9), build().document(8)
    assert nine["global"]["fqdn"] == "proxmox01.lab.internal"
    assert nine["network"]["filter"] == {"ID_NET_NAME_MAC": "*bc24119e5f42"}
    assert nine["disk-setup"] == {"filesystem": "ext4", "disk-list": ["sda"]}
    assert nine["global"]["root-ssh-keys"] == eight["global"]["root_ssh_keys"] == [HOST_KEY]
    assert set(nine) == set(eight) == {"global", "network", "disk-setup", "first-boot"}
    # Before any network there is no SSH server that could present another key than the pinned one.
    assert nine["first-boot"] == eight["first-boot"] == {"source": "from-iso", "ordering": "before-network"}
    assert "disk_list" in eight["disk-setup"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root_password_hashed": "root-password"}, "pattern"),
        ({"cidr": IPv4Interface("192.168.1.185/24")}, r"gateway 192.168.0.1 is not in 192.168.1.0/24"),
        ({"name": "proxmox_01"}, "pattern"),
    ],
)
def test_answers_that_the_installer_would_refuse_are_refused_before(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**changes)


def test_a_host_key_is_always_the_same_and_another_for_each_node_and_seed() -> None:
    key = host_keys.derive(SEED, "proxmox01")
    assert key == host_keys.derive(SEED, "proxmox01")
    others = [host_keys.derive(SEED, "proxmox02"), host_keys.derive("0" * 64, "proxmox01")]
    assert len({key.public, *(other.public for other in others)}) == 3
    # Fixed for ever: another value would lock every existing stack out of its nodes.
    assert key.public == (
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBLzUH+ux12Q+lIHORx38CYdwsQj+I/5jWYP9"
        "HFSIw11Vd28VC/fcZtTn8RZkUHdS/d06OFTdsHWQfReq97qx0YU="
    )


def first_boot_in(root: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with its paths below a directory, and with a systemctl that only notes."""
    text = first_boot.render("proxmox01", host_keys.derive(SEED, "proxmox01")).replace("/etc/ssh", str(root))
    (root / "script.sh").write_text(text)
    (root / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{root}/systemctl.log\n')
    (root / "systemctl").chmod(0o755)
    environment = {"PATH": f"{root}:{os.environ['PATH']}"}
    return subprocess.run(["sh", str(root / "script.sh")], env=environment, capture_output=True, text=True, check=False)


def test_the_first_boot_script_puts_the_pinned_key_in_place(tmp_path: Path) -> None:
    (tmp_path / "ssh_host_ecdsa_key").write_text("the key that the installer made")
    for _ in range(2):  # Proxmox runs it again at the next boot when it failed
        done = first_boot_in(tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    private = tmp_path / "ssh_host_ecdsa_key"
    assert private.stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(["ssh-keygen", "-y", "-f", str(private)], capture_output=True, text=True, check=True)
    assert shown.stdout.split()[:2] == host_keys.derive(SEED, "proxmox01").public.split()
    assert (tmp_path / "ssh_host_ecdsa_key.pub").read_text().split()[:2] == shown.stdout.split()[:2]
    assert (tmp_path / "systemctl.log").read_text().splitlines() == ["--no-block try-restart ssh.service"] * 2


def test_the_first_boot_script_passes_shellcheck(tmp_path: Path) -> None:
    script = tmp_path / "first-boot.sh"
    script.write_text(first_boot.render("proxmox01", host_keys.derive(SEED, "proxmox01")))
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def copied(target: Path) -> set[Path]:
    return {path.relative_to(target) for path in target.rglob("*") if path.is_file()}


def test_the_package_that_is_copied_is_the_code_and_nothing_else(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "staged" / "onnode"
    shutil.copytree(shipped.SOURCE, source)
    (source / "__pycache__").mkdir(exist_ok=True)
    (source / "__pycache__" / "x.pyc").write_bytes(b"")
    assert package.stage(source, target) == str(target)
    assert copied(target) == {path.relative_to(source) for path in source.rglob("*.py")}
    assert (target / "__main__.py").read_bytes() == (source / "__main__.py").read_bytes()
    untouched = (target / "contract/host.py").stat().st_mtime_ns
    (source / "dispatch.py").write_text("changed\n")
    (source / "errors.py").unlink()
    shutil.rmtree(source / "node")
    package.stage(source, target)
    assert not (target / "node").exists()
    assert (target / "dispatch.py").read_text() == "changed\n"
    assert not (target / "errors.py").exists()
    assert (target / "contract/host.py").stat().st_mtime_ns == untouched


def test_the_lab_stacks_expect_the_labs_installer(tmp_path: Path) -> None:
    checksum = write_lab_iso(tmp_path / "lab.iso")
    for stack in ("dev", "twonode"):
        recording = run(stack_file(stack), tmp_path)
        assert recording["virtual-installer"].inputs["checksum"] == checksum


def test_an_image_goes_before_another_one_of_its_name_is_downloaded(tmp_path: Path) -> None:
    """What that does, tests/toolchain/test_image_changes.py shows."""
    assert run(stack_file("dev"), tmp_path)["virtual-installer"].delete_before_replace
