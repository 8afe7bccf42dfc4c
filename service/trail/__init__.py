"""The trail: every action of an operator, with who, what, before and after, recorded before it is done."""

from service.trail.trail import Actor, Entry, Operator, Trail

__all__ = ["Actor", "Entry", "Operator", "Trail"]
