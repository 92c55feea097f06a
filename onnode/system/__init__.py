"""The machine itself: commands and files, packages, units, its network."""
