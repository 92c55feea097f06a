"""The way from a live cluster to the described one, as ordered transitions, or why there is none (decision 17)."""
