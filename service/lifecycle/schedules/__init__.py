"""Schedules: when they come due, what becomes of their ticks, and what users do to them."""
