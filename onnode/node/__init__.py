"""Steps on a node before it is a member."""
