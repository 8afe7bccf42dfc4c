import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_jsonable_python


class Actor(BaseModel):
    id: UUID
    name: str
    admin: bool = False


class AuditLog:
    """Writes lines of JSON into a file."""

    path = Path("audit.jsonl")

    @classmethod
    def write(cls, actor: Actor, action: str, **details: Any) -> None:
        assert isinstance(actor, Actor)
        line = {"actor": actor.name, "action": action, **to_jsonable_python(details)}
        with cls.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    @staticmethod
    async def alert(text: str, at: datetime) -> None:
        AuditLog.write(Actor(id=UUID(int=0), name="alarm"), text, age=(datetime.now(timezone.utc) - at).days)


def count_view(path: str) -> None:
    AuditLog.write(Actor(id=UUID(int=0), name="counter"), "view", path=path)
