"""The emulator of a libvirt host: Debian's own QEMU, whose virtual machines do nothing but wait for the lab's word."""
