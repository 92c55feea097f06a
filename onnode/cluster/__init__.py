"""Steps on nodes that form the cluster or belong to it."""
