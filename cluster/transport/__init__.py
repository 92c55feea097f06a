"""How machines are reached and identified: SSH, the cluster's API, certificates."""
