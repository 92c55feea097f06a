"""What an outer host makes: bridges, the installer image, the VMs of nested nodes."""
