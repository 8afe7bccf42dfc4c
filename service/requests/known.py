"""What requests may name: implemented by `Resources`, and by the tools of features' chores."""

from typing import Protocol

from jobs import Catalogue


class Known(Protocol):
    """The known kinds and queues."""

    @property
    def catalogue(self) -> Catalogue: ...

    def check_queue(self, queue: str | None) -> None:
        """Raise `QueueUnknown` for a queue that no worker would serve; None stands for the kind's own."""
