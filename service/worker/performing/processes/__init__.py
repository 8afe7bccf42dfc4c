"""Attempts of kinds with `runs="process"`: a bounded pool of warm child processes, which run one attempt at a time.

`pool.py` has the children, `child.py` is one of them as its worker sees it, and `program.py` is what a child runs.
"""
