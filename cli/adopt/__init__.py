"""`adopt` of a live cluster: a stack file that describes it as it is."""
