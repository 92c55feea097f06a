"""Who puts right what drifted."""

STEP = "step"  # its step, run again
MEMBERSHIP = "membership"  # the step that makes a node a member
CONFIGURATION = "configuration"  # the step that changes the cluster's corosync.conf
PACKAGE = "package"  # the resource that copies the on-node package
OFF = "off"  # a nested node without power: it is started before the engine
PROVIDED = "provided"  # the provider: the refresh of `up` sees it
REMADE = "remade"  # the provider, once the resource is out of the state: its refresh does not see this
ADDED_CARD = "added-card"  # a user added it, and it stays
ADDED_DISK = "added-disk"
ADDED_LIMIT = "added-limit"  # of a described card
ADDED = (ADDED_CARD, ADDED_DISK, ADDED_LIMIT)
REFUSED = "refused"  # only a person
PORTS = "ports"  # a person: ports of a bridge described without; the provider plans to remove them, and does not
FOREIGN = "foreign"  # a person: somebody else has what is described
LOCKED = "locked"  # a person: a lock of a guest that no task removes
BY_HAND = (REFUSED, PORTS, FOREIGN, LOCKED)
PASSING = "passing"  # nobody: a lock of a guest that goes with its task
UNDESCRIBED = "undescribed"  # the next `up`, which removes or forgets it: it is not in the stack file any more
BY_REFRESH = (ADDED_CARD, ADDED_LIMIT, PORTS)  # a refresh records these, and they are taken out of the state again
SILENT = "silent"  # unknown: the machine did not answer
