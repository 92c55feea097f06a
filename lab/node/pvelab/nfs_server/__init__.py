"""The stand-in for Debian's nfs-kernel-server."""
