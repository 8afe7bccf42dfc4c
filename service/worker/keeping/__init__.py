"""What a worker does beside performing jobs. `chores.py` lists every chore with its interval; each has its own file."""
