"""An app that has moved from FastAPI's background tasks: each request has its number noted in a file, by a task.

`uvicorn tests.faults.moved_app:app`. Each third request has a second task, which runs in a thread.
"""

import os

from fastapi import FastAPI
from postlude.fastapi import BackgroundTasks, Postlude

NOTES = "FAULTS_NOTES"
NAME = "moved"

app = FastAPI(title=NAME)
Postlude(app)


async def note(number: int) -> None:
    _append(f"{number}")


def note_in_thread(number: int) -> None:
    _append(f"{number} in a thread")


def notes_of(number: int) -> list[str]:
    """Return what the tasks of a request note."""
    return [f"{number}", f"{number} in a thread"] if number % 3 == 0 else [f"{number}"]


@app.post("/notes/{number}")
async def take(number: int, tasks: BackgroundTasks) -> list[str | None]:
    handles = [tasks.add_task(note, number)]
    if len(notes_of(number)) > 1:
        handles.append(tasks.add_task(note_in_thread, number))
    return [handle.id for handle in handles]


def _append(line: str) -> None:
    """Append a line in one short write: with O_APPEND it stays whole, however many processes write at once."""
    file = os.open(os.environ[NOTES], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{line}\n".encode())
    os.close(file)
