"""The campaign: a live cluster changes at random, and runs are killed everywhere; what `make up` then does is counted."""
