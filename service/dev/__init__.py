"""`postlude dev`: the API, a worker, Redis and what features add, in the foreground, as children of one supervisor.

start.py         puts it together: the checks, then the programs in their order
kinds.py         finds out whether the kinds can be used, and which folders they are in
reload.py        restarts the API and the worker when kinds change
redis_server.py  the embedded Redis
supervisor.py    keeps programs running, stops them in reverse order
child.py         one program as a child process
tether.py        ends a child when its supervisor dies
screen.py        what the person at the terminal reads
servers.py       the servers that features offer, such as the mail inbox
"""
