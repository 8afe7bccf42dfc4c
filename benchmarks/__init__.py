"""`make bench`: Postlude beside other job libraries, each in processes of its own, measured from outside.

contenders.py   who takes part, and in which set-up
peers/          one file for each library: its tasks, how to fill its queue, how to count ended jobs
stage.py        runs a peer's part in a process of its own, in the environment that the peer is installed in
callers.py      who takes part where calls are held back, and by which means
over_http.py    jobs enqueued through Postlude's API
receiver.py     answers posts at once, late or never, and reports them
arena.py        fresh servers for one performance, and the processes of one contender
cases/          one file for each question: drain, pick-up, ...
program.py      which case is played by whom, round by round
comparison.py   this checkout beside another revision, which base.py lays out
results.py      what was measured, as JSON; what changed between two runs
report.py       the tables of docs/performance.md; charts.py draws the charts
"""
