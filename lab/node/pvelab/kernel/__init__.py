"""The stand-in for the running kernel: its name, processor, modules and /dev/kvm."""
