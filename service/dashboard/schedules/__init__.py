"""Schedules: the list, one schedule with its ticks, and the form to make or change one."""
