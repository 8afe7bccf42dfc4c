"""What requests may name: `Resources` fits, and so does what the chores of features are given."""

from typing import Protocol

from jobs import Catalogue


class Known(Protocol):
    """The kinds and the queues that there are."""

    @property
    def catalogue(self) -> Catalogue: ...

    def check_queue(self, queue: str | None) -> None:
        """Raise `QueueUnknown` for a queue that nobody would work; None stands for the kind's own."""
