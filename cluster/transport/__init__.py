"""How machines are reached and told from others: SSH, the cluster's API, certificates."""
