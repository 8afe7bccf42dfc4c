"""Properties of few jobs and flows, as bits of `traits`, so that a start or a finish sees them without another read."""

from enum import IntFlag


class Trait(IntFlag):
    """All but FLOW_CALLBACKS are the job's own; none of them says how many. A flow has CALLBACKS and EMPTY."""

    PARENTS = 1  # it came after other jobs: its attempts may read their results
    CHILDREN = 2  # jobs come after it
    CALLBACKS = 4
    FLOW_CALLBACKS = 8  # the flow that it is in has callbacks
    STEPS = 16  # it has kept steps or a checkpoint
    RETRY = 32  # it has a retry policy of its own
    EMPTY = 64  # existing jobs stood for all jobs of the flow, so it ended when it was made


# What a finish must follow up. A plain number, because testing the bits of an enum's flag takes ten times as long.
FOLLOWED = int(Trait.CHILDREN | Trait.CALLBACKS | Trait.FLOW_CALLBACKS)
# What an attempt is given before it begins.
PREPARED = int(Trait.PARENTS | Trait.STEPS | Trait.RETRY)
