"""How the CD of one node's installation is made: the installer's image with the node's answers in it.

Where Proxmox' own packages are, by their assistant. Elsewhere by xorriso of the distribution, as the assistant itself does it
(pve-installer, `prepare-iso`): files are added to a copy, and boot images and the volume's date stay. By that date the image's own
boot loader finds it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from onnode.errors import StepError
from onnode.system.machine import NOT_FOUND, tail

if TYPE_CHECKING:
    from onnode.system.machine import ThisMachine

ASSISTANT = "proxmox-auto-install-assistant"
ACCEPTED = "parsed successfully"
# A CD holds secrets: nobody else reads it, from its first byte on.
SECRETLY = ("sh", "-c", 'umask 077 && exec "$@"', "sh")
BUILD_S = 900.0
CAPABLE = "/auto-installer-capable"
MODE = 'mode = "iso"\n'  # the answers are on the CD; what else the installer wants to know there has a default
DATE = re.compile(r"^-volume_date uuid '(\d+)'$", re.MULTILINE)


@dataclass(frozen=True)
class Parts:
    """What it is made from: paths, as programs are given them.

    Attributes:
        base: the installer's image.
        answer: the answer file.
        first_boot: the script for the installed system; as it can be executed here, so it can there.
        name: of the node, for messages.
    """

    base: str
    answer: str
    first_boot: str
    name: str


class InstallationMedium(Protocol):
    """A way to make it."""

    def validate(self, parts: Parts) -> None:
        """Refuse what no node could be installed from, as far as this host can tell: answer-refused, iso-not-automatic."""

    def build(self, parts: Parts, output: str, work: str) -> None:
        """Make it.

        Args:
            parts: what it is made from.
            output: where it is to be.
            work: a directory for this build alone, which only root may enter; on the same file system.
        """


@dataclass(frozen=True)
class Assistant:
    """By Proxmox' assistant."""

    machine: ThisMachine

    def validate(self, parts: Parts) -> None:
        """It judges the answers. Whatever it finds, it exits with 0."""
        result = self.machine.run([ASSISTANT, "validate-answer", parts.answer])
        if result.code != 0 or ACCEPTED not in result.text:
            raise StepError(
                "answer-refused",
                f"the installer would refuse the answer file of {parts.name}",
                observed=tail(result.text),
                expected=f"`{ASSISTANT} validate-answer` accepts it",
            )

    def build(self, parts: Parts, output: str, work: str) -> None:
        """In the directory for this build; else it works beside the base, under names that all builds share."""
        self.machine.check(
            [
                *SECRETLY,
                *(ASSISTANT, "prepare-iso", parts.base),
                *("--fetch-from", "iso", "--answer-file", parts.answer),
                *("--on-first-boot", parts.first_boot, "--output", output, "--tmp", work),
            ],
            timeout_s=BUILD_S,
        )


@dataclass(frozen=True)
class Xorriso:
    """By xorriso. The answers are those that the control machine checked; nothing here knows more of them."""

    machine: ThisMachine

    def validate(self, parts: Parts) -> None:
        """Only an image that is made for it asks nobody."""
        self._date(parts.base)

    def build(self, parts: Parts, output: str, work: str) -> None:
        """A copy is changed, and then moved into place."""
        image, mode = f"{work}/image.iso", f"{work}/auto-installer-mode.toml"
        date = self._date(parts.base)
        Path(mode).write_text(MODE)
        self.machine.check([*SECRETLY, "cp", "--", parts.base, image], timeout_s=BUILD_S)
        self.machine.check(
            [
                *("xorriso", "-boot_image", "any", "keep"),
                *(("-volume_date", "uuid", date) if date else ()),
                *("-dev", image, "-map", mode, "/auto-installer-mode.toml"),
                *("-map", parts.answer, "/answer.toml", "-map", parts.first_boot, "/proxmox-first-boot"),
            ],
            timeout_s=BUILD_S,
        )
        Path(image).replace(self.machine.path(output))

    def _date(self, base: str) -> str:
        """The date by which the image is found; none if it has none."""
        look = ["xorriso", "-indev", base, "-report_system_area", "cmd", "-find", CAPABLE]
        result = self.machine.run(look)
        if result.code == NOT_FOUND or result.timed_out:
            self.machine.check(look)
        if f"'{CAPABLE}'" not in result.out.splitlines():
            raise StepError(
                "iso-not-automatic",
                "the installer ISO cannot install by itself",
                observed=f"no {CAPABLE} in {base}: {tail(result.text, 2)}",
                expected="an installer of Proxmox VE 8.2 or later",
            )
        found = DATE.search(result.out)
        return found[1] if found else ""
