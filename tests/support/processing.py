"""Waits for what kinds in processes do: pids that they write, and processes that end."""

from pathlib import Path

from tests.support.running import eventually


async def written(path: Path) -> list[int]:
    """Wait until a kind has written its pids."""

    async def check() -> list[int]:
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []

    return await eventually(check)


async def gone(*pids: int) -> None:
    """Wait until processes have ended, whether or not somebody has reaped them."""

    async def check() -> bool:
        return not any(lives(pid) for pid in pids)

    await eventually(check)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
