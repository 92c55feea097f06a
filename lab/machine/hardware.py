"""What a machine's kernel shows of its processor, and whether that processor can virtualize."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

VENDORS = {
    "intel": ("GenuineIntel", "Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz", "vmx"),
    "amd": ("AuthenticAMD", "AMD EPYC 7313P 16-Core Processor", "svm"),
}
MODELS = {
    "qemu64": "QEMU Virtual CPU version 2.5+",
    "kvm64": "Common KVM processor",
}
FLAGS = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ss ht syscall nx "
    "pdpe1gb rdtscp lm constant_tsc rep_good nopl xtopology cpuid pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 x2apic movbe "
    "popcnt aes xsave avx f16c rdrand hypervisor lahf_lm abm"
)


@dataclass(frozen=True)
class Hardware:
    """A processor. `nested_by_default`: how the KVM module's `nested` is without any option in /etc/modprobe.d."""

    vendor: str
    cores: int
    memory_mib: int
    virtualization: bool
    model: str = "host"
    nested_by_default: bool = False

    @property
    def module(self) -> str:
        """The KVM module for this processor."""
        return f"kvm_{self.vendor}"

    def cpuinfo(self) -> str:
        """/proc/cpuinfo."""
        vendor, name, flag = VENDORS[self.vendor]
        flags = f"{FLAGS} {flag}" if self.virtualization else FLAGS
        return "".join(
            f"processor\t: {number}\nvendor_id\t: {vendor}\ncpu family\t: 6\nmodel\t\t: 106\n"
            f"model name\t: {MODELS.get(self.model, name)}\nstepping\t: 6\ncpu MHz\t\t: 2400.000\n"
            f"physical id\t: 0\nsiblings\t: {self.cores}\ncore id\t\t: {number}\ncpu cores\t: {self.cores}\n"
            f"fpu\t\t: yes\nflags\t\t: {flags}\nbogomips\t: 4800.00\n\n"
            for number in range(self.cores)
        )

    def meminfo(self) -> str:
        """/proc/meminfo, of a machine that uses a quarter of its memory."""
        total = self.memory_mib * 1024
        rows = {
            "MemTotal": total,
            "MemFree": total // 2,
            "MemAvailable": total * 3 // 4,
            "Buffers": 0,
            "Cached": total // 4,
        }
        rows |= {"SwapCached": 0, "SwapTotal": 0, "SwapFree": 0, "Shmem": 0, "SReclaimable": 0}
        return "".join(f"{key + ':':<16}{value:>8} kB\n" for key, value in rows.items())

    def write(self, directory: Path) -> None:
        """Leave for the machine's kernel stand-in what it needs at boot."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cpuinfo").write_text(self.cpuinfo())
        (directory / "meminfo").write_text(self.meminfo())
        facts = {
            "module": self.module,
            "virtualization": self.virtualization,
            "nested_by_default": self.nested_by_default,
        }
        (directory / "hardware.json").write_text(json.dumps(facts) + "\n")
