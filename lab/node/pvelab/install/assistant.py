"""`proxmox-auto-install-assistant`, the part that unattended installations need: validate-answer and prepare-iso.

Like the real one (pve-installer's cli.rs: a failed subcommand prints `Error: …` and the program still succeeds), it
exits 0 when a subcommand fails. Only its output shows that.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from pvelab.install import answer_file

NAME = "proxmox-auto-install-assistant"
VERSION = "9.2.7"
ISO_FLAG = "/auto-installer-capable"
ABOUT = f"""This tool can be used to prepare a Proxmox installation ISO for automated installations.
Additional uses are to validate the format of an answer file or to test match filters and
print information on the properties to match against for the current hardware

USAGE:
  {NAME} <COMMAND>

COMMANDS:
  prepare-iso      Prepare an ISO for automated installation
  validate-answer  Validate if an answer file is formatted correctly

GLOBAL OPTIONS:
  -h, --help       Print help
  -V, --version    Print version
"""


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Print a line where errors go."""
    sys.stderr.write(f"{text}\n")


class AssistantError(Exception):
    """A subcommand failed."""


class Parser(argparse.ArgumentParser):
    """Options whose mistakes are subcommand failures."""

    def error(self, message: str) -> NoReturn:
        """Report like every other failure."""
        raise AssistantError(message)


def read_answer(path: Path) -> answer_file.Answer:
    """Read and check an answer file.

    Raises:
        AssistantError: it cannot be opened or is refused.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise AssistantError(
            f'Opening answer file "{path}" failed: {error.strerror} (os error {error.errno})'
        ) from error
    try:
        return answer_file.parse(text)
    except answer_file.AnswerError as error:
        raise AssistantError(str(error)) from error


def validate_answer(arguments: list[str]) -> None:
    """Say whether an answer file is good; keys in snake case make it not good."""
    parser = Parser(add_help=False)
    parser.add_argument("-d", "--debug", action="store_true")
    parser.add_argument("--verify-root-password", action="store_true")
    parser.add_argument("path", type=Path)
    options = parser.parse_args(arguments)
    if options.verify_root_password and not sys.stdin.isatty():
        raise AssistantError("Verifying the root password requires an interactive terminal.")
    try:
        answer = read_answer(options.path)
    except AssistantError as error:
        complain(str(error))
        raise AssistantError("Found issues in the answer file.") from error
    if options.debug:
        say(f"Parsed data from answer file:\n{answer.tables}")
    for warning in answer.warnings:
        complain(warning)
    if answer.warnings:
        raise AssistantError("Found issues in the answer file.")
    say("The answer file was parsed successfully, no errors found!")


def _xorriso(what: str, *arguments: str) -> None:
    done = subprocess.run(["xorriso", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssistantError(f"{what}: {done.stderr}")


def _check_source(options: argparse.Namespace) -> None:
    if not options.input.exists():
        raise AssistantError(f'Source file "{options.input}" does not exist.')
    if not shutil.which("xorriso"):
        raise AssistantError("Could not find the 'xorriso' binary. Please install it.")
    found = subprocess.run(["xorriso", "-dev", str(options.input), "-find", ISO_FLAG], capture_output=True, check=False)
    if found.returncode:
        raise AssistantError(
            "The source ISO file is not able to be installed automatically. Please try a more current one."
        )


def _check_options(options: argparse.Namespace) -> None:
    if options.fetch_from != "iso":
        raise AssistantError(f"answers from '{options.fetch_from}' are not implemented")
    if options.answer_file is None:
        raise AssistantError("Missing path to the answer file required for the fetch-from 'iso' mode.")
    if options.on_first_boot is not None:
        try:
            size = options.on_first_boot.stat().st_size
        except OSError as error:
            raise AssistantError(f"{error.strerror} (os error {error.errno})") from error
        if size > answer_file.FIRST_BOOT_SIZE_MAX:
            raise AssistantError("Maximum file size for first-boot executable file is 1 MiB")
    if options.output is not None and options.output.exists() and not options.output.is_file():
        raise AssistantError("Path specified by '--output' already exists but is not a file, cannot overwrite.")


def prepare_iso(arguments: list[str]) -> None:
    """Write a copy of an installer ISO with mode file, answer file and first-boot script in it."""
    parser = Parser(add_help=False)
    for option in ("--output", "--answer-file", "--on-first-boot", "--tmp"):
        parser.add_argument(option, type=Path)
    parser.add_argument("--fetch-from", required=True)
    parser.add_argument("input", type=Path)
    options = parser.parse_args(arguments)
    _check_source(options)
    _check_options(options)
    say("Checking provided answer file...")
    read_answer(options.answer_file)
    target = options.output or options.input.with_name(f"{options.input.stem}-auto-from-iso.iso")
    staging = options.tmp or options.input.parent
    copy = staging / f"{target.name}.tmp"
    say("Copying source ISO to temporary location...")
    shutil.copyfile(options.input, copy)
    say("Preparing ISO...")
    mode = staging / "auto-installer-mode.toml"
    mode.write_text('mode = "iso"\npartition_label = "proxmox-ais"\n\n[http]\n')
    contents = {
        "/auto-installer-mode.toml": mode,
        "/answer.toml": options.answer_file,
        "/proxmox-first-boot": options.on_first_boot,
    }
    for location, file in contents.items():
        if file is not None:
            what = f'Error injecting "{file}" into "{copy}"'
            _xorriso(what, "-boot_image", "any", "keep", "-dev", str(copy), "-map", str(file), location)
    mode.unlink()
    say("Moving prepared ISO to target location...")
    shutil.copyfile(copy, target)
    copy.unlink()
    say(f"Final ISO is available at {target}.")


COMMANDS = {"prepare-iso": prepare_iso, "validate-answer": validate_answer}


def main() -> int:
    """Dispatch; only a mistake in the command's name is a failure of the program."""
    arguments = sys.argv[1:]
    if {"-V", "--version"} & set(arguments[:1]):
        complain(f"{NAME} v{VERSION}")
        return 0
    if not arguments or arguments[0] in ("-h", "--help"):
        complain(ABOUT)
        return 0
    if arguments[0] not in COMMANDS:
        complain(f"Error: invalid subcommand: {arguments[0]}\n\n{ABOUT}")
        return 1
    try:
        COMMANDS[arguments[0]](arguments[1:])
    except (AssistantError, OSError) as error:
        sys.stderr.write(f"Error: {error}")
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
