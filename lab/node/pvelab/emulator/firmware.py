"""The firmware of the idle virtual machines: it waits without using the processor, and presses the buttons that the lab asks for.

The system of such a machine runs elsewhere in the lab. What it does to its own power, the lab says with a key; this firmware then does
it to the virtual machine, so that QEMU and libvirt see a guest that powers itself off or restarts.
"""

from __future__ import annotations

import sys
from pathlib import Path

SIZE = 0x10000
RESET_VECTOR = 0xFFF0
POWER_OFF_KEY, RESET_KEY = "f12", "f11"  # as QMP's send-key names them
POWER_OFF_CODE, RESET_CODE = 0x07, 0x78  # as the keyboard sends them
KEYBOARD_HANDLER = 0x60
POWER_MANAGEMENT = 0x600  # a port: the registers of ACPI are placed there

# 16-bit code, as an assembler makes it of the text beside it.
STACK = bytes.fromhex("fa 31c0 8ed8 8ed0 bc0070")  # cli; ax = ds = ss = 0; sp = 0x7000
NO_APIC = bytes.fromhex("66b91b000000 0f32 80e4f7 0f30")  # ecx = APIC_BASE; rdmsr; and ah, 0xf7; wrmsr
WAIT = bytes.fromhex("fb f4 ebfc")  # sti; hlt; back to sti
READ_KEY = bytes.fromhex("e460")  # in al, 0x60
RETURN = bytes.fromhex("cf")  # iret
HALT = bytes.fromhex("f4")
POWER_OFF = bytes.fromhex("ba0406 b80020 ef")  # out 0x604, 0x2000: ACPI's "sleep now, and soft off"
RESET = bytes.fromhex("baf90c b006 ee")  # out 0xcf9, 6


def _out(port: int, *values: int) -> bytes:
    """Write bytes to a port."""
    return b"".join(bytes((0xB0, value, 0xE6, port)) for value in values)


def _handle_interrupt(number: int, offset: int) -> bytes:
    """Enter code of this firmware as an interrupt's handler: two words in memory, offset and segment."""
    place = number * 4
    words = ((place, offset), (place + 2, 0xF000))
    return b"".join(b"\xc7\x06" + at.to_bytes(2, "little") + value.to_bytes(2, "little") for at, value in words)


def _if_key(code: int, then: bytes) -> bytes:
    """Do something if this key was read: cmp al, code; jne past it."""
    return bytes((0x3C, code, 0x75, len(then))) + then


def _configure(device: int, function: int, register: int, value: int) -> bytes:
    """Write a register of a PCI device: its address to port 0xcf8, its value to port 0xcfc."""
    address = 0x80000000 | device << 11 | function << 8 | register
    pairs = ((b"\xba\xf8\x0c", address), (b"\xba\xfc\x0c", value))
    return b"".join(port + b"\x66\xb8" + number.to_bytes(4, "little") + b"\x66\xef" for port, number in pairs)


def _power_off() -> bytes:
    """Soft off by ACPI. Where its registers are is said to the chip set: that of the machine q35, then that of pc."""
    base = POWER_MANAGEMENT | 1
    q35 = _configure(0x1F, 0, 0x40, base) + _configure(0x1F, 0, 0x44, 0x80)
    pc = _configure(0x01, 3, 0x40, base) + _configure(0x01, 3, 0x80, 1)
    return q35 + POWER_OFF + pc + POWER_OFF + HALT


def image() -> bytes:
    """The firmware as `-bios` takes it."""
    interrupt_controller = _out(0x20, 0x11) + _out(0x21, 0x08, 0x04, 0x01)  # its interrupts begin at 8
    keyboard_only = _out(0x21, 0xFD)
    start = STACK + NO_APIC + _handle_interrupt(9, KEYBOARD_HANDLER) + interrupt_controller + keyboard_only + WAIT
    handled = READ_KEY + _if_key(RESET_CODE, RESET + HALT) + _if_key(POWER_OFF_CODE, _power_off())
    handler = handled + _out(0x20, 0x20) + RETURN
    code = start.ljust(KEYBOARD_HANDLER, HALT) + handler
    jump_to_start = bytes.fromhex("ea 0000 00f0")
    return code.ljust(RESET_VECTOR, HALT) + jump_to_start.ljust(SIZE - RESET_VECTOR, HALT)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(image())
