"""Storages: their configuration, whether a node can use them, and the volumes on them."""
