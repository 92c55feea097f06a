"""Who puts right what drifted."""

STEP = "step"  # its step, run again
MEMBERSHIP = "membership"  # the step that makes a node a member
PACKAGE = "package"  # the package's copy
OFF = "off"  # a nested node without power: its installation starts it, before anything is refreshed
PROVIDED = "provided"  # the provider: the refresh of `up` sees it
ANEW = "anew"  # the provider, which sees it only when it makes the thing over what is there
ADDED_CARD = "added-card"  # nothing to put right: a user's, which stays
ADDED_DISK = "added-disk"
ADDED_LIMIT = "added-limit"  # of a described card
IN_CARDS = (ADDED_CARD, ADDED_LIMIT)  # what a refresh records
ADDED = (ADDED_CARD, ADDED_DISK, ADDED_LIMIT)
REFUSED = "refused"  # nobody but a person
SILENT = "silent"  # nothing is known of what is on the machine
