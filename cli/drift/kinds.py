"""Who puts right what drifted."""

STEP = "step"  # its step, run again
MEMBERSHIP = "membership"  # the step that makes a node a member
PACKAGE = "package"  # the package's copy
OFF = "off"  # a nested node without power: it is started before the engine is let go
PROVIDED = "provided"  # the provider: the refresh of `up` sees it
ANEW = "anew"  # the provider, which sees it only when it makes the thing over what is there
ADDED_CARD = "added-card"  # nothing to put right: a user's, which stays
ADDED_DISK = "added-disk"
ADDED_LIMIT = "added-limit"  # of a described card
ADDED = (ADDED_CARD, ADDED_DISK, ADDED_LIMIT)
REFUSED = "refused"  # nobody but a person
PORTS = "ports"  # a person, too: a bridge that has none; the provider plans to take them away, and does not
FOREIGN = "foreign"  # a person, too: somebody else has what is described
LOCKED = "locked"  # a person, too: a lock of a guest that no task takes away
BY_HAND = (REFUSED, PORTS, FOREIGN, LOCKED)
PASSING = "passing"  # nothing to put right: a lock of a guest that goes with its task
UNDESCRIBED = "undescribed"  # recorded, and not in the stack file any more: the next `up` forgets or removes it
BY_REFRESH = (ADDED_CARD, ADDED_LIMIT, PORTS)  # what a refresh records, and is to be out of the record again
SILENT = "silent"  # nothing is known of what is on the machine
