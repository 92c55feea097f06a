"""What the toolchain consists of and which Go package each part is built from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

ENGINE_VERSION = "3.259.0"
PULUMI_SDK = "github.com/pulumi/pulumi/sdk/v3"


@dataclass(frozen=True)
class ModuleFile:
    """A file that a Go module carries and that is needed beside the binary."""

    module: str
    path: str


@dataclass(frozen=True)
class Part:
    """One binary of the toolchain.

    Attributes:
        name: As shown to users.
        version: What the binary reports, and what SDKs ask for.
        binary: File name that the engine looks for.
        sources: Directory of the Go module that pins the part.
        package: Go package with the main function.
        linker_flags: Passed to the Go linker besides those that drop debug information.
        module_files: Installed beside the binary, executable.
        generator: Go package of a program that writes files into `generated` before the part itself is built.
        generated: Directory inside the sources that the part embeds.
    """

    name: str
    version: str
    binary: str
    sources: Path
    package: str
    linker_flags: str = ""
    module_files: tuple[ModuleFile, ...] = ()
    generator: str = ""
    generated: str = ""


ENGINE = Part(
    name="engine",
    version=ENGINE_VERSION,
    binary="pulumi",
    sources=HERE / "engine",
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    linker_flags=f"-X {PULUMI_SDK}/go/common/version.Version={ENGINE_VERSION}",
)

LANGUAGE = Part(
    name="language",
    version="3.187.0",
    binary="pulumi-language-python",
    sources=HERE / "language",
    package="github.com/pulumi/pulumi/sdk/python/cmd/pulumi-language-python/v3",
    linker_flags=f"-X {PULUMI_SDK}/go/common/version.Version=3.187.0",
    module_files=(
        ModuleFile(PULUMI_SDK, "python/cmd/pulumi-language-python-exec"),
        ModuleFile(PULUMI_SDK, "python/dist/pulumi-resource-pulumi-python"),
    ),
)

PROXMOXVE = Part(
    name="proxmoxve",
    version="8.6.0",
    binary="pulumi-resource-proxmoxve",
    sources=HERE / "proxmoxve",
    package="./cmd/pulumi-resource-proxmoxve",
    generator="./cmd/pulumi-tfgen-proxmoxve",
    generated="cmd/pulumi-resource-proxmoxve/generated",
)

COMMAND = Part(
    name="command",
    version="1.2.1",
    binary="pulumi-resource-command",
    sources=HERE / "command",
    package=".",
)

TOOLS = (ENGINE, LANGUAGE)
PLUGINS = (COMMAND, PROXMOXVE)
PARTS = (*TOOLS, *PLUGINS)
