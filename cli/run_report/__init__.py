"""The report that each run leaves: what changed and why, how it ended, how long it took, and how the cluster is."""
