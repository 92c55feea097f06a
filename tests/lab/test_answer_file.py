"""The answer-file rules, held against files made from Proxmox' documentation of them, not against our own writer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pvelab.install import answer_file

NODE_FILES = Path(__file__).resolve().parents[2] / "lab" / "node"
# The example of the reference, "Unattended install".
GOOD = """\
[global]
keyboard = "en-us"
country = "at"
fqdn = "pve1.lab.internal"
mailto = "root@lab.internal"
timezone = "UTC"
root-password-hashed = "$y$j9T$abc"
root-ssh-keys = ["ssh-ed25519 AAAA pulumi"]
reboot-mode = "reboot"
[network]
source = "from-answer"
cidr = "192.168.0.185/24"
gateway = "192.168.0.1"
dns = "192.168.0.1"
filter.ID_NET_NAME_MAC = "*bc2411000001"
[disk-setup]
filesystem = "ext4"
disk-list = ["sda"]
lvm.swapsize = 2
[first-boot]
source = "from-iso"
ordering = "fully-up"
"""
HASHED = 'root-password-hashed = "$y$j9T$abc"\n'
NETWORK = GOOD[GOOD.index("[network]") : GOOD.index("[disk-setup]")]
DISKS = GOOD[GOOD.index("[disk-setup]") : GOOD.index("[first-boot]")]


@pytest.fixture
def zone_info(tmp_path: Path) -> Path:
    """Tables as tzdata has them."""
    (tmp_path / "iso3166.tab").write_text("# comment\nAT\tAustria\nDE\tGermany\n")
    (tmp_path / "zone.tab").write_text("# comment\nAT\t+4813+01620\tEurope/Vienna\n")
    return tmp_path


def edited(*edits: tuple[str, str]) -> str:
    text = GOOD
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text


ACCEPTED = {
    "as documented": GOOD,
    "plain password": edited((HASHED, 'root-password = "longenough"\n')),
    "no first boot": GOOD[: GOOD.index("[first-boot]")],
    "power off": edited(('reboot-mode = "reboot"', 'reboot-mode = "power-off"')),
    "network from DHCP": edited((NETWORK, '[network]\nsource = "from-dhcp"\n')),
    "name from DHCP": edited(('"pve1.lab.internal"', '{ source = "from-dhcp", domain = "lab.internal" }')),
    "disk filter": edited(('disk-list = ["sda"]', 'filter.ID_SERIAL = "*1"\nfilter-match = "all"')),
    "mirrored zfs": edited(
        (DISKS, '[disk-setup]\nfilesystem = "zfs"\nzfs.raid = "raid1"\ndisk-list = ["sda", "sdb"]\n')
    ),
    "zfs level in capitals": edited(
        (DISKS, '[disk-setup]\nfilesystem = "zfs"\nzfs.raid = "RAID0"\ndisk-list = ["sda"]\n')
    ),
    "named cards": edited(
        (
            "[disk-setup]",
            '[network.interface-name-pinning]\nenabled = true\nmapping = { "bc:24:11:00:00:01" = "mgmt" }\n[disk-setup]',
        )
    ),
    "webhook": GOOD + '[post-installation-webhook]\nurl = "https://hooks.lab.internal/"\n',
    "time zone of the country": edited(('"UTC"', '"Europe/Vienna"')),
    "point-to-point network": edited(("192.168.0.185/24", "192.168.0.184/31")),
}

REFUSED = {
    "not TOML": (GOOD + "oops", "TOML parse error"),
    "unknown section": (GOOD + "[extra]\n", "unknown field `extra`, expected one of `global`"),
    "unknown key": (edited(("country", "contry")), "unknown field `contry`"),
    "missing section": (edited((DISKS, "")), "missing field `disk-setup`"),
    "missing key": (edited(('mailto = "root@lab.internal"\n', "")), "missing field `mailto`"),
    "no such keyboard": (edited(('"en-us"', '"en_us"')), "unknown variant `en_us`, expected one of `de`"),
    "no such country": (edited(('"at"', '"xx"')), "country code 'xx' is not valid"),
    "no such time zone": (edited(('"UTC"', '"Mars/Base"')), "timezone 'Mars/Base' is not valid"),
    "host name only": (edited(("pve1.lab.internal", "pve1")), "either a fully-qualified domain name"),
    "numeric host name": (edited(("pve1.lab", "101.lab")), "either a fully-qualified domain name"),
    "no password": (edited((HASHED, "")), "One of `global.root-password` or `global.root-password-hashed` must be set"),
    "both passwords": (edited((HASHED, HASHED + 'root-password = "longenough"\n')), "cannot be set at the same time"),
    "short password": (edited((HASHED, 'root-password = "short12"\n')), "must be at least 8 characters long"),
    "no mail address": (edited(("root@lab.internal", "root")), "Email does not look like a valid address"),
    "keys not a list": (edited(('["ssh-ed25519 AAAA pulumi"]', '"ssh-ed25519 AAAA pulumi"')), "invalid type"),
    "no gateway": (edited(('gateway = "192.168.0.1"\n', "")), "Field 'gateway' must be set."),
    "no cidr": (edited(('cidr = "192.168.0.185/24"\n', "")), "Field 'cidr' must be set."),
    "no dns": (edited(('dns = "192.168.0.1"\n', "")), "Field 'dns' must be set."),
    "no filter": (edited(('filter.ID_NET_NAME_MAC = "*bc2411000001"\n', "")), "Field 'filter' must be set."),
    "cidr with DHCP": (edited(('"from-answer"', '"from-dhcp"')), "Field 'cidr' not supported for 'from-dhcp' config."),
    "address without prefix": (edited(("192.168.0.185/24", "192.168.0.185")), "Invalid CIDR"),
    "network address": (edited(("192.168.0.185/24", "192.168.0.0/24")), "Invalid CIDR: address is a network address"),
    "prefix too long": (edited(("192.168.0.185/24", "192.168.0.185/33")), "Invalid CIDR"),
    "no disk": (edited(('disk-list = ["sda"]\n', "")), "Need either 'disk-list' or 'filter' set"),
    "disk and filter": (edited(('["sda"]', '["sda"]\nfilter.X = "y"')), "Cannot use both, 'disk-list' and 'filter'"),
    "two disks for ext4": (edited(('["sda"]', '["sda", "sdb"]')), "make sure to define only one disk for ext4 and xfs"),
    "zfs without level": (
        edited((DISKS, '[disk-setup]\nfilesystem = "zfs"\ndisk-list = ["sda"]\n')),
        "'zfs.raid' must be set",
    ),
    "options of another file system": (edited(("lvm.swapsize", "zfs.copies")), "make sure only 'lvm' options are set"),
    "mirror of one disk": (
        edited((DISKS, '[disk-setup]\nfilesystem = "zfs"\nzfs.raid = "raid1"\ndisk-list = ["sda"]\n')),
        "need at least 2 disks",
    ),
    "the same disk twice": (
        edited((DISKS, '[disk-setup]\nfilesystem = "zfs"\nzfs.raid = "raid1"\ndisk-list = ["sda", "sda"]\n')),
        "List of disks contains duplicate device sda",
    ),
    "swap larger than an eighth": (
        edited(("lvm.swapsize = 2", "lvm.swapsize = 8\nlvm.hdsize = 16")),
        "cannot be greater than",
    ),
    "first boot from nowhere": (edited(('"from-iso"', '"from-url"')), "but none specified!"),
    "first boot of no kind": (edited(('"fully-up"', '"late"')), "unknown variant `late`"),
    "card name too long": (
        edited(
            (
                "[disk-setup]",
                '[network.interface-name-pinning]\nenabled = true\nmapping = { "bc:24:11:00:00:01" = "an-overlong-name" }\n[disk-setup]',
            )
        ),
        "too long",
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str, zone_info: Path) -> None:
    assert answer_file.parse(ACCEPTED[name], zone_info).warnings == []


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, zone_info: Path) -> None:
    text, message = REFUSED[name]
    with pytest.raises(answer_file.AnswerError) as refusal:
        answer_file.parse(text, zone_info)
    assert message in str(refusal.value)


def test_old_spelling_is_accepted_with_a_warning(zone_info: Path) -> None:
    answer = answer_file.parse(edited(("root-ssh-keys", "root_ssh_keys")), zone_info)
    assert answer.table("global")["root-ssh-keys"] == ["ssh-ed25519 AAAA pulumi"]
    assert (
        "Section [global] contains deprecated key `root_ssh_keys`, use `root-ssh-keys` instead." in answer.warnings[0]
    )


def test_property_names_of_filters_are_not_old_spelling(zone_info: Path) -> None:
    assert answer_file.parse(edited(("ID_NET_NAME_MAC", "ID_NET_DRIVER")), zone_info).warnings == []


def assistant(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pvelab.install.assistant", *words],
        env={"PYTHONPATH": str(NODE_FILES), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_assistant_succeeds_whatever_it_finds(tmp_path: Path) -> None:
    """Proxmox' assistant exits 0 on failed subcommands: only its words tell (handle_command in pve-installer's cli.rs)."""
    good, bad, old = (tmp_path / name for name in ("good.toml", "bad.toml", "old.toml"))
    good.write_text(GOOD)
    bad.write_text(edited(("country", "contry")))
    old.write_text(edited(("root-ssh-keys", "root_ssh_keys")))

    passed, refused, warned = (assistant("validate-answer", str(file)) for file in (good, bad, old))

    assert passed.stdout == "The answer file was parsed successfully, no errors found!\n"
    assert (refused.returncode, warned.returncode) == (0, 0)
    assert refused.stderr.endswith("Error: Found issues in the answer file.")
    assert "unknown field `contry`" in refused.stderr
    assert warned.stderr.endswith("Error: Found issues in the answer file.")
    assert not refused.stdout + warned.stdout


def test_the_assistant_fails_on_a_command_it_does_not_have() -> None:
    assert assistant("validate").returncode == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("prepare-iso", "/nosuch.iso", "--fetch-from", "iso"), 'Source file "/nosuch.iso" does not exist.'),
        (
            ("validate-answer", "/nosuch.toml"),
            'Opening answer file "/nosuch.toml" failed: No such file or directory (os error 2)',
        ),
    ],
)
def test_the_assistants_words(words: tuple[str, ...], message: str) -> None:
    assert message in assistant(*words).stderr
