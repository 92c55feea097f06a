"""One machine of the lab: power, processor, cables, the VMs it runs, and the installer that a VM boots."""
