"""What a worker does besides performing jobs.

`chores.py` lists every chore with its interval; each has its own file.
"""
