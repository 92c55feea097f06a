"""Virtual machines and containers: their configuration, disks and processes."""
