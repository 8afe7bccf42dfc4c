"""Schedules: the list of them, one of them with its ticks, and the form to make or change one."""
