"""A file as the API shows it."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Row

from jobs.kit.files import StoredFile
from service.web.cursor import NEXT_CURSOR


class FileOut(BaseModel):
    id: str
    name: str = Field(description="The sender's name for it, without a path.")
    size: int = Field(description="In bytes.")
    content_type: str = Field(description="Detected from its first bytes.")
    sha256: str = Field(description="In hex.")
    created_at: datetime
    expires_at: datetime = Field(description="It is deleted after this, unless a job that may still run names it.")
    owner: str | None = Field(None, description="Who uploaded it, or enqueued the job that made it.")
    job_id: str | None = Field(None, description="The job that made it.")
    used_by: int = Field(0, description="How many jobs that may still run name it in their args.")

    @classmethod
    def of(cls, row: Row[Any]) -> "FileOut":
        return cls(**row._mapping, used_by=row.users)  # noqa: SLF001 - SQLAlchemy's own name for it

    @classmethod
    def of_new(cls, file: StoredFile, owner: str | None) -> "FileOut":
        known = {name: getattr(file, name) for name in StoredFile.__dataclass_fields__}
        return cls(**known, owner=owner)


class FileList(BaseModel):
    files: list[FileOut]
    next_cursor: str | None = Field(description=NEXT_CURSOR)
