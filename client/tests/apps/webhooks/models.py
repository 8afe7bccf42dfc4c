from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

from pydantic import BaseModel


class Priority(str, Enum):
    LOW = "low"
    HIGH = "high"


class Order(BaseModel):
    id: UUID
    total: Decimal
    placed_at: datetime
    priority: Priority = Priority.LOW
    notes: list[str] = []


@dataclass
class Payment:
    order_id: UUID
    amount: Decimal
    tags: set[str] = field(default_factory=set)
