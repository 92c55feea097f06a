"""Run once per boot, before anything looks at the kernel: puts the stand-in's files over the real ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pvelab.kernel import command_line
from pvelab.kernel import modules as kernel


def bind(source: Path, target: str) -> None:
    """Lay a file over one in /proc; from outside the machine this cannot be done."""
    subprocess.run(["mount", "--bind", str(source), target], check=True)


def show_modules() -> None:
    """An empty module list of the machine's own, whatever the kernel below has loaded."""
    if not kernel.SYS_MODULE.exists():  # nspawn shows an excerpt of /sys on a read-only tmpfs
        subprocess.run(["mount", "-o", "remount,rw", "/sys"], check=True)
        kernel.SYS_MODULE.mkdir()
        subprocess.run(["mount", "-o", "remount,ro", "/sys"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "modules", str(kernel.SYS_MODULE)], check=True)
    kernel.DEV_KVM.unlink(missing_ok=True)
    kernel.MODULES.write_text("")
    if Path("/proc/modules").exists():  # a kernel may be built without modules
        bind(kernel.MODULES, "/proc/modules")


def main() -> None:
    """Kernel name, processor, modules."""
    kernel.STATE.mkdir(exist_ok=True)
    for name in ("cpuinfo", "meminfo"):
        bind(kernel.FACTS / name, f"/proc/{name}")
    newest = kernel.newest_installed()
    if newest is not None:
        (kernel.STATE / "osrelease").write_text(newest + "\n")
        bind(kernel.STATE / "osrelease", "/proc/sys/kernel/osrelease")
        (kernel.STATE / "version").write_text(
            f"Linux version {newest} (build@proxmox) #1 SMP PREEMPT_DYNAMIC PMX {newest}\n"
        )
        bind(kernel.STATE / "version", "/proc/version")
    (kernel.STATE / "cmdline").write_text(command_line.configured() + "\n")
    bind(kernel.STATE / "cmdline", str(command_line.FILE))
    show_modules()
    known = kernel.facts()
    module = str(known["module"])
    if known["virtualization"] and kernel.built_in(module):
        kernel.start_built_in(module)
    elif known["virtualization"] and not kernel.blacklisted(module):
        kernel.load(module, kernel.configured_options(module))


if __name__ == "__main__":
    main()
