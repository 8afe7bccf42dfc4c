"""Words for people."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 worker`, `4,861 workers`, `2 lanes are`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
