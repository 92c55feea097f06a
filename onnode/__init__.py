"""What runs on the machines: one step per call, standard library only."""
