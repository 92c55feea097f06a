"""Work on a live cluster, node by node: drain, undrain, reboot, upgrade. The cluster stays quorate, and guests under HA stay up."""
