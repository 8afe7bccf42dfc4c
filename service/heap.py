"""How a process that lives long keeps Python's garbage collector from looking at the same objects again and again."""

import gc

# A batch of jobs is many objects that are alive together; by default they are looked at after each 700.
_YOUNG = 10_000
_GENERATIONS = (20, 20)


def settle() -> None:
    """Take what was imported out of the collector's sight, for it is never garbage: some 200,000 objects.

    Walking through them took a quarter of a drain's CPU time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *_GENERATIONS)
