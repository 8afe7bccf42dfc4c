"""What few jobs and flows have, as bits of `traits`: a start or a finish learns of it without another look."""

from enum import IntFlag


class Trait(IntFlag):
    """A job's own, but for FLOW_CALLBACKS; none of them says how many. A flow has CALLBACKS and EMPTY."""

    PARENTS = 1  # it came after other jobs: its attempts may read their results
    CHILDREN = 2  # jobs come after it
    CALLBACKS = 4
    FLOW_CALLBACKS = 8  # the flow that it is in has callbacks
    STEPS = 16  # it has kept steps or a checkpoint
    RETRY = 32  # it has a retry policy of its own
    EMPTY = 64  # others stood for all jobs of the flow: it ended when it was made


# What a finish must follow up. Plain numbers: the bits of a flag are tested in Python, ten times as slowly.
FOLLOWED = int(Trait.CHILDREN | Trait.CALLBACKS | Trait.FLOW_CALLBACKS)
# What an attempt is given before it begins.
PREPARED = int(Trait.PARENTS | Trait.STEPS | Trait.RETRY)
