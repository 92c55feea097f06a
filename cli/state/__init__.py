"""The recorded state: what a stack owns by it, and the edits that bring it in line with the machines."""
