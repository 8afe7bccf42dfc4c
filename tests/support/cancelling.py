"""Cancels helper tasks, like a kind that cancels all tasks of its loop."""

import asyncio


def cancel_all_named(name: str) -> None:
    """Cancel the tasks of this name, if there are any."""
    for task in asyncio.all_tasks():
        if task.get_name() == name:
            task.cancel()


async def cancel_unbegun(name: str) -> None:
    """Cancel the task of this name, which has not had its first step, and wait for its end."""
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == name]
    task.cancel()
    await asyncio.wait([task])
